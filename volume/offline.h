/* A volume that nobody has open, for check and dump: nothing is changed and
 * nothing is replayed.
 */

#ifndef PAIRDISK_VOLUME_OFFLINE_H
#define PAIRDISK_VOLUME_OFFLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "io.h"
#include "record.h"
#include "segments.h"
#include "super.h"

/* A use of a segment. */
struct offline_lap {
  uint64_t lap, segment;
  uint32_t incarnation;
  bool is_in_table;            /* else begun after the checkpoint */
};

struct offline {
  const struct volume_io *io;
  struct io_dir *dir;
  struct io_file *super_file, *segments_file, *journal;
  struct super super;
  struct segments segments;
  bool is_table_valid;         /* else laps are from the segments' headers */
  struct offline_lap *lap;     /* in order */
  uint64_t nlaps;
  uint8_t *buf;                /* of OFFLINE_BATCH_MAX */
};

#define OFFLINE_BATCH_MAX (BATCH_HARD + FORMAT_PAGE)

/* Locks the volume.  EBUSY, ENOENT, EUCLEAN (no valid super); a file other
 * than the super that is not there, or cannot be read, is left NULL.
 */
extern int offline_open (struct offline *o, const struct volume_io *io,
                         const char *path, struct error *err);
extern void offline_close (struct offline *o);

/* Was it for want of memory or files?  Then nothing is known of the volume. */
extern bool offline_is_refused (int errnum);

/* The batch at logical POSITION in SEGMENT, to o->buf.  1: header and digest
 * are right; 0: they are not; -1: it cannot be read.
 */
extern int offline_read_batch (struct offline *o, uint64_t segment,
                               uint64_t position, struct batch *ret);

/* Only the header, without reading the rest. */
extern int offline_read_batch_header (struct offline *o, uint64_t segment,
                                      uint64_t position, struct batch *ret);

/* 1: the summary of this use of the segment; 0: none; -1. */
extern int offline_read_summary (struct offline *o,
                                 const struct offline_lap *lap,
                                 struct segment_summary *ret);

/* Record at AT in the batch in o->buf: false if it is not whole. */
extern bool offline_record (const struct offline *o,
                            const struct batch *batch, uint32_t at,
                            struct record *ret);

#endif /* PAIRDISK_VOLUME_OFFLINE_H */

/* Reading a stream of the journal from one end to the other, as recovery and
 * the cleaner do: past every cache, with several reads in flight.
 *
 * Direct reads, because the page cache has little of what was written with
 * O_DIRECT, and filling it costs several times what the device does.
 */

#ifndef PAIRDISK_VOLUME_AHEAD_H
#define PAIRDISK_VOLUME_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "hugemem.h"
#include "io.h"

#define AHEAD_PIECE (UINT64_C (1) << 20)
#define AHEAD_PIECES 16u         /* the window */
#define AHEAD_BYTES (AHEAD_PIECES * AHEAD_PIECE)
#define AHEAD_IN_FLIGHT 8u

struct ahead {
  const struct volume_io *io;
  struct io_queue *queue;
  struct hugemem space;
  uint8_t *memory;             /* in it: byte of position p at p modulo
                                  AHEAD_BYTES; behind that, what is needed
                                  of its beginning to be in one piece */
  uint64_t segment_size;
  uint64_t begun, end;         /* pieces [begun, end) are had or on their way */
  uint64_t window;             /* bytes; grows, most streams end soon */
  unsigned in_flight;
  bool is_had[AHEAD_PIECES];

  /* In which segment LAP is, or SEGMENT_NONE: nothing is read behind it. */
  uint64_t (*find) (void *opaque, uint64_t lap);
  void *opaque;
};

extern int ahead_init (struct ahead *a, const struct volume_io *io,
                       struct io_file *journal, uint64_t segment_size,
                       uint64_t (*find) (void *opaque, uint64_t lap),
                       void *opaque);
extern void ahead_release (struct ahead *a);

/* LEN bytes (at most two pieces) at logical POSITION, all in one segment, to
 * be read until the next call.  It may be anywhere, but what
 * follows the last one is fast.  NULL: they cannot be read.
 */
extern const uint8_t *ahead_get (struct ahead *a, uint64_t position,
                                 uint32_t len);

#endif /* PAIRDISK_VOLUME_AHEAD_H */

/* The cold stream: where the cleaner puts what it moves.
 *
 * Its segments are apart from those of guest records, and have laps of their
 * own.  Batches are written one at a time, each durable before the next, so
 * the stream's position is its watermark.
 *
 * One thread, the cleaner, uses this; only position is shared.
 */

#ifndef PAIRDISK_VOLUME_COLD_H
#define PAIRDISK_VOLUME_COLD_H

#include <stdbool.h>
#include <stdint.h>

#include "hugemem.h"
#include "io.h"
#include "record.h"

struct volume;

#define COLD_UNIT_MAX (sizeof (struct format_locator) + \
                       ROUND_UP (UNIT_STORED_MAX, GRANULE))

struct cold {
  struct io_queue *queue;
  struct hugemem space;
  uint8_t *buf;                /* in it: the batch in the making, then a page */
  uint32_t used, records;
  uint64_t segment, lap, offset;
  bool is_segment_closed;
  struct segment_summary summary;
  uint64_t position;           /* journal.lock: applied up to here */
};

extern int cold_init (struct volume *v);
extern void cold_release (struct volume *v);

/* Continue at POSITION. */
extern void cold_start (struct volume *v, uint64_t position);

/* Room for one record with a body of at least LENGTH (up to that of one unit)
 * in the batch, or NULL: then cold_write first.  Sets how long it may be: a
 * batch ends where its segment does, so that segments are full.
 */
extern uint8_t *cold_reserve (struct volume *v, uint32_t length,
                              uint32_t *ret_length);

/* RECORD's header; the body stands behind it (at what cold_reserve gave). */
extern void cold_add (struct volume *v, const struct record *record);

/* Write the batch, durably, and apply it.  ENOSPC: no free segment. */
extern int cold_write (struct volume *v);

#endif /* PAIRDISK_VOLUME_COLD_H */

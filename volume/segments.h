/* The segments of the journal: which use each is in, what in it is live.
 *
 * Invariant: a segment's lap is 0 exactly when it is free; two segments in
 * use never have the same lap.  live counts the granules that the map (and
 * an open stage's map) refers to.
 *
 * The table never moves: address space for the largest journal there can be
 * is set aside when it is made, so that it may grow under those who look at
 * it without a lock.
 */

#ifndef PAIRDISK_VOLUME_SEGMENTS_H
#define PAIRDISK_VOLUME_SEGMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "io.h"
#include "super.h"

#define SEGMENT_NONE UINT64_MAX

/* What is under a free segment.  Appending is fastest where blocks were
 * written before; where there is no space yet it may fail.
 */
enum segment_ground { GROUND_NONE, GROUND_RESERVED, GROUND_WRITTEN };

struct segment {
  uint64_t lap;                /* atomic: readers look at it */
  uint64_t first_seq;
  uint32_t live;               /* atomic, granules */
  enum segment_ground ground;  /* while it is free */
  bool is_victim;              /* the cleaner is at it */
  bool is_cleaned;             /* nothing in it is needed: free with the next
                                  checkpoint (set under checkpoint_lock, for
                                  one that began before does not cover what
                                  was moved out of it) */
  bool is_bad;                 /* holds a unit that does not verify: stays */
  _Alignas (4)                 /* apart from those above, which the compiler
                                  reads all at once */
  bool is_without_zeros;       /* atomic: nothing in it says "zero"; false
                                  after a start, when it is not known */
  bool is_warm;                /* was fetched since it was filled */
  uint64_t born;               /* the hot lap when it was opened: its age */
};

struct segments {
  uint64_t count;              /* atomic: it may grow */
  uint64_t size;               /* of one, bytes */
  struct segment *table;
  uint8_t *image;              /* of its file, while it is saved: a save that
                                  failed for want of memory would be final */
};

extern int segments_init (struct segments *segments, uint64_t count,
                          uint64_t size);
extern void segments_release (struct segments *segments);

/* Copies of the table: the files segments.0 and segments.1. */
extern const char *segments_name (unsigned slot);
extern uint64_t segments_file_size (uint64_t count);

/* From the copy that SUPER names, which is FILE. */
extern int segments_load (struct segments *segments,
                          const struct volume_io *io, struct io_file *file,
                          const struct super *super, struct error *err);

/* Write the table, with as many segments as SUPER has, to the copy that
 * SUPER names, which is FILE, durably, leaving out what is cleaned and laps
 * that begin at or after SUPER's positions (those are found again by replay).
 * Sets SUPER's hash of it.
 */
extern int segments_save (const struct segments *segments,
                          const struct volume_io *io, struct io_file *file,
                          struct super *super);

/* The newest hot segment of laps from FIRST to before END that is not warm,
 * or SEGMENT_NONE.
 */
extern uint64_t segments_find_not_warm (const struct segments *segments,
                                        uint64_t first, uint64_t end);

/* The segment in its LAPth use, or SEGMENT_NONE. */
extern uint64_t segments_find_lap (const struct segments *segments,
                                   uint64_t lap);

/* A free segment on GROUND, or SEGMENT_NONE. */
extern uint64_t segments_find_free (const struct segments *segments,
                                    enum segment_ground ground);
extern uint64_t segments_count_free (const struct segments *segments);

/* The best one to append to, or SEGMENT_NONE. */
extern uint64_t segments_find_ready (const struct segments *segments);

/* Free segments on GROUND or better. */
extern uint64_t segments_count_ready (const struct segments *segments,
                                      enum segment_ground ground);

/* Bytes that the map refers to, in all segments. */
extern uint64_t segments_live (const struct segments *segments);

static inline uint64_t
segments_count (const struct segments *segments)
{
  return __atomic_load_n (&segments->count, __ATOMIC_ACQUIRE);
}

/* To COUNT, which is not less; the new ones are free. */
static inline void
segments_grow (struct segments *segments, uint64_t count)
{
  __atomic_store_n (&segments->count, count, __ATOMIC_RELEASE);
}

static inline bool
lap_is_cold (uint64_t lap)
{
  return lap >= COLD_LAP_BASE;
}

static inline uint64_t
segment_lap (const struct segments *segments, uint64_t i)
{
  return __atomic_load_n (&segments->table[i].lap, __ATOMIC_ACQUIRE);
}

/* Bytes that the map refers to, in segment I. */
static inline uint64_t
segment_live (const struct segments *segments, uint64_t i)
{
  return (uint64_t) __atomic_load_n (&segments->table[i].live,
                                     __ATOMIC_RELAXED) * GRANULE;
}

/* The map has begun or ceased to refer to ENTRY's bytes. */
static inline void
segments_account (struct segments *segments, uint64_t position,
                  int64_t bytes)
{
  uint64_t i = position / segments->size;

  if (i < segments_count (segments))
    __atomic_add_fetch (&segments->table[i].live,
                        (uint32_t) (bytes / (int64_t) GRANULE),
                        __ATOMIC_RELAXED);
}

#endif /* PAIRDISK_VOLUME_SEGMENTS_H */

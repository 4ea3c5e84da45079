/* One seeded round of a crash test: a volume on a simulated disk that loses
 * power, and what the volume may hold afterwards.
 */

#ifndef PAIRDISK_CRASH_ROUND_H
#define PAIRDISK_CRASH_ROUND_H

#include <stdbool.h>
#include <stdint.h>

#include "io-sim.h"
#include "volume-model.h"
#include "volume.h"

struct round {
  struct sim *sim;
  uint64_t rng;
  struct volume *v;
  struct model model;
  uint64_t durable;            /* step of the model */
  uint8_t *buf;
  bool is_cleaning;            /* so little room that the cleaner works */
  unsigned grow_percent;       /* of operations: the volume grows */
  uint64_t capacity;           /* of its journal, as far as it is known */
  uint64_t wanted_size, wanted_capacity;   /* ... or it is this: 0, no */
};

/* A new volume, "disk", not open yet; its segments have 4 MiB.  CAPACITY 0:
 * what a new one gets.
 */
extern void round_begin (struct round *r, uint64_t seed, uint64_t size,
                         uint64_t capacity);

/* Close it, look at all of it once more, and forget it. */
extern void round_end (struct round *r);

/* After an opening: the disk is that of a moment after what was durable.  The
 * model goes on from there.
 */
extern void check_recovered (struct round *r);

#endif /* PAIRDISK_CRASH_ROUND_H */

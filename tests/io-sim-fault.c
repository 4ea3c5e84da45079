/* How the simulated disk fails: power that goes, operations that return an
 * error, and what of the unsynced arrives (see io-sim.h).
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "io-sim-internal.h"

static void crash_locked (struct sim *sim, uint64_t seed);

/* Is the power on for a handle of BOOT? */
bool
has_power (struct sim *sim, unsigned boot)
{
  if (sim->is_off || boot != sim->boot)
    return false;
  if (sim->crash_armed &&
      (!sim->crash_only || sim->crash_only (sim->crash_only_opaque)) &&
      sim->crash_after-- == 0) {
    crash_locked (sim, sim->crash_seed);
    return false;
  }
  return true;
}

/* Is the power on, and is this operation to fail?  Returns 0 or a positive
 * errno.
 */
int
begin (struct sim *sim, unsigned boot, unsigned kind)
{
  if (!has_power (sim, boot))
    return EIO;
  sim->count[__builtin_ctz (kind)]++;
  if (sim->fail_errnum == 0 || !(sim->fail_kinds & kind))
    return 0;
  if (sim->fail_after > 0) {
    sim->fail_after--;
    return 0;
  }
  kind = sim->fail_errnum;
  if (!sim->fail_sticky)
    sim->fail_errnum = 0;
  return kind;
}

/* A sector that was being written when power failed: noise, all of it or
 * from some byte on.
 */
static void
garble_sector (struct image *image, const uint8_t *data, uint64_t offset,
               uint64_t *rng)
{
  uint8_t sector[SECTOR];
  unsigned i;

  memcpy (sector, data, SECTOR);
  i = next_random (rng) % 2 ? 0 : next_random (rng) % SECTOR;
  for (; i < SECTOR; ++i)
    sector[i] = next_random (rng);
  sim_image_write (image, sector, SECTOR, offset);
}

void
arrive (struct image *image, const struct change *c, enum arrival how,
        uint64_t *rng)
{
  uint64_t i, cut, sectors = c->len / SECTOR;

  if (how == ANY)
    how = next_random (rng) % ANY;
  if (how == EACH_WRITE)
    how = next_random (rng) % 2 ? ALL : NONE;
  cut = next_random (rng) % (sectors + 1);
  for (i = 0; i < sectors; ++i) {
    const uint8_t *data = c->data + i * SECTOR;
    uint64_t offset = c->offset + i * SECTOR;

    if (how == GARBLED && next_random (rng) % 4 == 0)
      garble_sector (image, data, offset, rng);
    else if (how == ALL || (how == A_HEAD && i < cut) ||
             (how == A_TAIL && i >= cut) ||
             ((how == EACH_SECTOR || how == GARBLED) &&
              next_random (rng) % 2))
      sim_image_write (image, data, SECTOR, offset);
  }
}

/* ------------------------------------------------------------------ */
/* The crash.                                                          */

static void
crash_map (struct node *n, uint64_t *rng)
{
  uint8_t page[PAGE] __attribute__ ((aligned (8)));
  uint64_t i, end = n->now.size;
  unsigned s, how;

  for (i = 0; i < n->map_len / PAGE && i * PAGE < end; ++i) {
    copy_page (page, n->map + i * PAGE);
    how = next_random (rng) % 3;
    for (s = 0; s < PAGE / SECTOR; ++s)
      if ((how == 1 || (how == 2 && next_random (rng) % 2)) &&
          i * PAGE + s * SECTOR < end)
        sim_image_write (&n->medium, page + s * SECTOR, SECTOR,
                         i * PAGE + s * SECTOR);
  }
}

static void
crash_node (struct node *n, enum arrival how, uint64_t *rng)
{
  uint64_t size = next_random (rng) % 2 ? n->now.size : n->medium.size;
  struct change *c;

  if (n->exists != n->exists_on_medium)
    n->exists = n->exists_on_medium = next_random (rng) % 2;
  for (c = n->changes; c; c = c->next)
    arrive (&n->medium, c, how, rng);
  drop_changes (n);
  if (n->map)
    crash_map (n, rng);
  if (n->medium.size < size)
    n->medium.size = size;
  n->is_locked = false;
}

static void
crash_locked (struct sim *sim, uint64_t seed)
{
  uint64_t rng = seed;
  enum arrival how = next_random (&rng) % ARRIVALS;
  struct io_queue *q;
  struct node *n;
  unsigned i, k;

  if (sim->on_crash)
    sim->on_crash (sim->on_crash_opaque);
  for (q = sim->queues; q; q = q->next)
    for (i = 0, k = q->count; i < k && q->boot == sim->boot; ++i)
      if (q->flight[i].change)
        arrive (&q->node->medium, q->flight[i].change, how, &rng);
  for (n = sim->nodes; n; n = n->next) {
    crash_node (n, how, &rng);
    sim_image_copy (&n->now, &n->medium);
  }
  sim->is_off = true;
  sim->crash_armed = false;
  sim->fail_errnum = 0;
}

void
sim_crash (struct sim *sim, uint64_t seed)
{
  LOCK (sim);

  if (!sim->is_off)
    crash_locked (sim, seed);
}

void
sim_crash_after (struct sim *sim, uint64_t count, uint64_t seed)
{
  LOCK (sim);

  sim->crash_armed = true;
  sim->crash_after = count;
  sim->crash_seed = seed;
}

void
sim_on_crash (struct sim *sim, void (*fn) (void *opaque), void *opaque)
{
  LOCK (sim);

  sim->on_crash = fn;
  sim->on_crash_opaque = opaque;
}

void
sim_crash_only (struct sim *sim, bool (*fn) (void *opaque), void *opaque)
{
  LOCK (sim);

  sim->crash_only = fn;
  sim->crash_only_opaque = opaque;
}

bool
sim_is_off (struct sim *sim)
{
  LOCK (sim);

  return sim->is_off;
}

void
sim_restart (struct sim *sim)
{
  struct node *n;
  LOCK (sim);

  for (n = sim->nodes; n; n = n->next)
    assert (n->map == NULL);
  sim->is_off = sim->crash_armed = false;
  sim->on_crash = NULL;
  sim->crash_only = NULL;
  sim->boot++;
}

void
sim_fail (struct sim *sim, unsigned kinds, uint64_t count, int errnum,
          bool is_sticky)
{
  LOCK (sim);

  sim->fail_kinds = kinds;
  sim->fail_after = count;
  sim->fail_errnum = errnum;
  sim->fail_sticky = is_sticky;
}

uint64_t
sim_count (struct sim *sim, unsigned kinds)
{
  uint64_t n = 0;
  unsigned i;
  LOCK (sim);

  for (i = 0; i < 8; ++i)
    if (kinds & 1u << i)
      n += sim->count[i];
  return n;
}

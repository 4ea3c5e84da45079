/* The guests of a site (plugin/guest.c): one writes and reads, one flushes
 * (see pair-sim.h).
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "pair-sim-internal.h"
#include "sched-sim.h"

#define BLOCK VOLUME_BLOCK_SIZE

static bool
is_gone (unsigned i)
{
  return !world.site[i].guest.is_on || sim_is_off (world.site[i].sim);
}

static bool
is_gone_0 (void)
{
  return is_gone (0);
}

static bool
is_gone_1 (void)
{
  return is_gone (1);
}

static int
wait_for_peer (struct site *s, uint64_t seq)
{
  return seq == 0 ? 0 :
    sync_wait (s->sync, seq, s->index == 0 ? is_gone_0 : is_gone_1);
}

static uint64_t
seq_for_peer (struct site *s)
{
  struct volume_point appended;

  if (!sync_is_required (s->sync))
    return 0;
  volume_get_points (s->v, &appended, NULL);
  return appended.seq;
}

/* A flush covers all that is in PLACE. */
static void
note_acked (struct site *s, struct place place)
{
  if (sim_is_off (s->sim))
    return;
  s->acked = place;
  world.count.flushes++;
  site_check_claim (s->other);
  if (world.proven_to == s)
    CHECK (place_holds (world.proven, place) ||
           (world.is_alone && sched_now () >= world.proven_until),
           "site %u answered a flush of seq %" PRIu64 ", and the other was "
           "promoted with a proof at %" PRIu64, s->index, place.seq,
           world.proven.seq);
}

static void
flush_once (struct site *s)
{
  struct place place = { s->branch, branch_last (s->branch) };
  uint64_t seq = seq_for_peer (s);

  if (volume_flush (s->v) == 0 && wait_for_peer (s, seq) == 0)
    note_acked (s, place);
}

/* A call that failed may have been done in part, from its beginning. */
static void
undo (struct site *s, uint64_t step, uint64_t offset, uint64_t count)
{
  struct model *m = &s->branch->model;
  struct guest *g = &s->guest;
  uint64_t done = 0, n;

  for (; done < count; done += n) {
    n = BLOCK - (offset + done) % BLOCK;
    if (n > count - done)
      n = count - done;
    if (volume_read (s->v, g->buf, n, offset + done) == -1 ||
        memcmp (g->buf, m->data + offset + done, n) != 0)
      break;
    step++;
  }
  branch_undo (s->branch, step, offset + done, count - done,
               g->old + done);
}

static void
write_once (struct site *s)
{
  struct guest *g = &s->guest;
  struct branch *b = s->branch;
  struct model *m = &b->model;
  bool was_fenced = site_status (s).is_fenced;
  bool is_fua = random_chance (&g->rng, 5);
  bool is_zero = random_chance (&g->rng, 15);
  uint64_t max = random_chance (&g->rng, g->is_busy ? 20 : 3) ?
    RANDOM_WRITE_MAX :
    random_chance (&g->rng, 70) ? 2 * BLOCK : 16 * BLOCK;
  uint64_t unit = random_chance (&g->rng, 70) ? BLOCK : 1;
  uint64_t offset, count, step = m->step, last = branch_last (b);
  struct volume_point appended;
  int r, errnum;

  offset = g->first + random_below (&g->rng, (g->end - g->first) / unit) *
    unit;
  count = (1 + random_below (&g->rng, max / unit)) * unit;
  if (count > g->end - offset)
    count = g->end - offset;
  memcpy (g->old, m->data + offset, count);
  if (is_zero) {
    model_zero (m, count, offset);
    r = volume_zero (s->v, count, offset, (is_fua ? VOLUME_FUA : 0) |
                     (random_chance (&g->rng, 50) ? VOLUME_TRIM : 0));
  }
  else {
    fill_random (&g->rng, g->buf, count);
    model_write (m, g->buf, count, offset);
    r = volume_write (s->v, g->buf, count, offset, is_fua ? VOLUME_FUA : 0);
  }
  errnum = errno;
  volume_get_points (s->v, &appended, NULL);
  if (r == -1 && !sim_is_off (s->sim)) {
    CHECK ((errnum == ENOSPC && s->is_full) || site_status (s).is_fenced ||
           sim_is_off (s->sim), "write: %s", strerror (errnum));
    undo (s, step, offset, count);
  }
  branch_note (b, &appended, r == -1 && sim_is_off (s->sim));
  CHECK (!was_fenced || appended.seq == last, "fenced, it took a write");
  world.count.writes++;
  if (r == 0 && is_fua && wait_for_peer (s, seq_for_peer (s)) == 0)
    note_acked (s, (struct place) { b, branch_last (b) });
}

static void
read_once (struct site *s)
{
  const struct model *m = &s->branch->model;
  uint64_t offset = random_below (&s->guest.rng, m->size);
  uint64_t count = 1 + random_below (&s->guest.rng, 8 * BLOCK);

  if (count > m->size - offset)
    count = m->size - offset;
  CHECK (try_read (s->v, m, count, offset) == 0 || sim_is_off (s->sim),
         "read: %s", strerror (errno));
}

static void
rest (struct guest *g)
{
  if (g->is_busy) {
    sched_sleep (random_below (&g->rng, 200000));
    return;
  }
  sched_sleep (random_below (&g->rng, 2000 * g->pause_us));
  if (random_chance (&g->rng, 2))
    sched_sleep (100 * NS_PER_MSEC);
}

static void
writer (void *opaque)
{
  struct site *s = opaque;
  struct guest *g = &s->guest;

  while (!g->is_over) {
    bool has_power = !sim_is_off (s->sim);

    /* From here to 'writes' nobody else runs. */
    g->is_on = g->is_on && has_power;
    if (!g->is_on) {
      sched_wake (g);
      sched_wait (g, SCHED_NEVER);
      continue;
    }
    g->writes = true;
    if (random_chance (&g->rng, 85))
      write_once (s);
    else
      read_once (s);
    g->writes = false;
    sched_wake (g);
    rest (g);
  }
}

static void
flusher (void *opaque)
{
  struct site *s = opaque;
  struct guest *g = &s->guest;

  while (!g->is_over) {
    if (!g->is_on) {
      sched_wait (g, SCHED_NEVER);
      continue;
    }
    g->flushes = true;
    if (!sim_is_off (s->sim))
      flush_once (s);
    g->flushes = false;
    sched_wake (g);
    for (unsigned i = random_below (&g->rng, 10); i > 0; i--)
      rest (g);
    if (sim_is_off (s->sim) && g->is_on)
      sched_wait (g, SCHED_NEVER);
  }
}

void
guest_threads (struct site *s)
{
  s->guest.is_over = false;
  sched_spawn ("writer", writer, s);
  sched_spawn ("flusher", flusher, s);
}

void
guest_threads_end (struct site *s)
{
  guests_stop (s);
  s->guest.is_over = true;
  sched_wake (&s->guest);
  sched_sleep (NS_PER_SEC * 30);
}

void
guests_start (struct site *s)
{
  if (!site_is_up (s) || s->branch == NULL ||
      site_status (s).role == VOLUME_ROLE_SECONDARY)
    return;
  s->guest.is_on = true;
  sched_wake (&s->guest);
}

void
guests_stop (struct site *s)
{
  struct guest *g = &s->guest;

  g->is_on = false;
  sched_wake (g);
  while (g->writes || g->flushes)
    sched_wait (g, SCHED_NEVER);
}

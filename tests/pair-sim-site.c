/* The life of a site: its disk, which takes its time, and what is made and
 * taken down when power comes and goes (see pair-sim.h).
 *
 * Power may fail in any call; then calls return -1 and sim_is_off is true.
 */

#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net-sim.h"
#include "pair-sim-internal.h"
#include "sched-sim.h"
#include "volume-internal.h"

struct world world;
const struct uuid sim_pair = { { 7, 7, 7 } };

static const struct volume_options options = {
  .staging_bytes = 6 << 20, .commit_delay_ms = 1
};

void
say (const char *fmt, ...)
{
  int saved = errno;
  va_list ap;

  fprintf (stderr, "# %12.6f ", sched_now () / 1e9);
  va_start (ap, fmt);
  vfprintf (stderr, fmt, ap);
  va_end (ap);
  fputc ('\n', stderr);
  errno = saved;
}

struct volume_status
site_status (struct site *s)
{
  struct volume_status status;

  volume_get_status (s->v, &status);
  return status;
}

/* ------------------------------------------------------------------ */
/* The disk.                                                            */

/* A disk takes its time. */
static int
slow_wait (struct io_queue *queue, bool wait, struct io_completion *ret,
           unsigned max)
{
  if (wait && random_chance (&world.rng, 30))
    sched_sleep (random_below (&world.rng, 400000));
  return sim_io (world.site[0].sim)->queue_wait (queue, wait, ret, max);
}

static int
slow_sync (struct io_file *file)
{
  if (random_chance (&world.rng, 30))
    sched_sleep (random_below (&world.rng, 400000));
  return sim_io (world.site[0].sim)->sync (file);
}

/* So that much happens while a copy reads. */
static int
slow_read (struct io_file *file, void *buf, size_t len, uint64_t offset)
{
  if (random_chance (&world.rng, world.is_copies ? 5 : 1))
    sched_sleep (random_below (&world.rng, 4000000));
  return sim_io (world.site[0].sim)->read (file, buf, len, offset);
}

void
site_create (struct site *s, uint64_t seed)
{
  uint64_t size = world.site[0].branch ? world.site[0].branch->model.size :
    VOLUME_SIZE_MIN + seed % (world.is_copies ? 2000 :
                              seed % 3 == 0 ? 1500 : 100) * VOLUME_BLOCK_SIZE;
  struct volume_params params = { size, 0, 4 << 20 };
  struct error err = ERROR_INIT;

  s->rng = seed;
  s->guest.rng = random_next (&s->rng);
  s->sim = sim_new (random_next (&s->rng));
  s->io = *sim_io (s->sim);
  s->io.queue_wait = slow_wait;
  s->io.sync = slow_sync;
  s->io.read = slow_read;
  s->link.connections = 1 + random_below (&s->rng, 4);
  s->link.copy_bytes = 16384 << random_below (&s->rng, 8);
  s->link.cursor_bytes = 16384 << random_below (&s->rng, 9);
  s->guest.buf = malloc (RANDOM_WRITE_MAX);
  s->guest.old = malloc (RANDOM_WRITE_MAX);
  s->guest.pause_us = 1 + random_below (&s->rng, 20000);
  s->guest.end = size;
  params.capacity = (uint64_t) (32 + random_below (&s->rng, 48)) << 20;
  CHECK (volume_create (&s->io, "disk", &params, &err) == 0, "%s",
         err.message);
  if (s->index == 0) {
    struct volume_point none = { 0 };

    history_begin (size);
    s->branch = branch_new (&none, NULL);
  }
}

void
site_release (struct site *s)
{
  sim_free (s->sim);
  free (s->guest.buf);
  free (s->guest.old);
}

struct volume *
site_volume_open (struct site *s, struct error *err)
{
  return volume_open (&s->io, "disk", &options, err);
}

/* ------------------------------------------------------------------ */
/* Power.                                                               */

bool
site_open (struct site *s)
{
  struct volume_status status;
  struct error err = ERROR_INIT;

  if (sim_is_off (s->sim))
    sim_restart (s->sim);
  sim_crash_after (s->sim, UINT64_MAX, 0);
  sim_fail (s->sim, 0, 0, 0, false);
  s->is_full = false;
  if (random_chance (&s->rng, 50))
    site_check_promotable (s);
  if (world.fence > 0 && random_chance (&s->rng, 10))
    sim_crash_after (s->sim, random_below (&s->rng, 200),
                     random_next (&s->rng));
  s->v = site_volume_open (s, &err);
  if (s->v == NULL) {
    CHECK (sim_is_off (s->sim), "site %u: %s", s->index, err.message);
    return false;
  }
  if (sim_is_off (s->sim) || !site_check_opened (s)) {
    volume_abandon (s->v);
    s->v = NULL;
    return false;
  }
  site_sync_new (s);
  s->is_ending = false;
  world.count.provable += site_check_claim (s);
  net_power_on (s->index);
  site_start_replication (s);
  status = site_status (s);
  SAY ("site %u is up as %s", s->index, volume_role_name (status.role));
  if (world.fence > 0)
    guests_start (s);
  return true;
}

/* Where the secondary is: it will not be before that again. */
static void
note_seen (struct site *s)
{
  struct volume_status status = site_status (s);

  s->seen.branch = NULL;
  if (status.role == VOLUME_ROLE_SECONDARY && status.is_synced &&
      !status.stage.is_active && !status.discard.is_pending)
    s->seen = place_of (&status.committed);
}

static void
take_down (struct site *s)
{
  s->is_ending = true;
  while (s->looks > 0)
    sched_wait (&s->looks, SCHED_NEVER);
  guests_stop (s);
  site_stop_replication (s);
  net_close_server (s->index);
}

void
site_crash (struct site *s, bool says_so)
{
  SAY ("site %u has no power%s", s->index, says_so ? ", and says so" : "");
  world.count.crashes++;
  if (!sim_is_off (s->sim))
    sim_crash (s->sim, random_next (&s->rng));
  net_power_off (s->index, says_so);
  note_seen (s);
  take_down (s);
  volume_abandon (s->v);
  sync_free (s->sync);
  s->v = NULL;
  s->sync = NULL;
}

void
site_close (struct site *s)
{
  struct error err = ERROR_INIT;
  int r;

  note_seen (s);
  take_down (s);
  r = volume_close (s->v, &err);
  CHECK (r == 0 || sim_is_off (s->sim) || s->is_full, "%s", err.message);
  net_power_off (s->index, true);
  sync_free (s->sync);
  s->v = NULL;
  s->sync = NULL;
  SAY ("site %u was closed", s->index);
}

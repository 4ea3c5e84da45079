/* The thread of a scrub (see scrub.h). */

#include <config.h>

#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "scrub.h"
#include "scrubfile.h"

#define STORE_NS (5 * NS_PER_SEC)    /* a crash costs so much of its work */
#define STEP_BLOCKS 65536u       /* looked at between two looks at the clock */

const char *
scrub_state_name (enum scrub_state state)
{
  switch (state) {
  case SCRUB_NEVER: return "never";
  case SCRUB_RUNNING: return "running";
  case SCRUB_DONE: return "done";
  case SCRUB_STOPPED: return "stopped";
  }
  return "unknown";
}

void
scrub_init (struct scrub *s)
{
  pthread_condattr_t attr;

  pthread_mutex_init (&s->lock, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&s->changed, &attr);
  pthread_condattr_destroy (&attr);
}

void
scrub_release (struct scrub *s)
{
  pthread_cond_destroy (&s->changed);
  pthread_mutex_destroy (&s->lock);
}

/* Wait as long as BYTES take at the set rate since NS. */
static void
pace_locked (struct scrub *s, uint64_t bytes, uint64_t ns)
{
  struct timespec ts;
  uint64_t until;

  if (s->status.rate_bps == 0 || bytes == 0)
    return;
  until = ns + (uint64_t) ((double) bytes / s->status.rate_bps * NS_PER_SEC);
  ts = (struct timespec) { until / NS_PER_SEC, until % NS_PER_SEC };
  while (!s->is_stopping && clock_mono_ns () < until)
    pthread_cond_timedwait (&s->changed, &s->lock, &ts);
}

/* Write down how far it is, without the lock. */
static void
store (struct scrub *s, const struct scrub_progress *progress)
{
  uint64_t now = clock_mono_ns ();

  if (now - s->stored_ns < STORE_NS)
    return;
  s->stored_ns = now;
  scrubfile_store (s->dirfd, progress);
}

static void *
run (void *scrub)
{
  struct scrub *s = scrub;
  uint64_t block, ns, bytes;
  struct volume_scrub_result result;
  struct scrub_progress progress;
  int r = 0;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  block = s->block;
  result = s->status.result;
  progress = (struct scrub_progress) { block, s->status.rate_bps, result };

  while (r == 0 && s->status.done_bytes < s->status.total_bytes &&
         !s->is_stopping) {
    pthread_mutex_unlock (&s->lock);
    store (s, &progress);
    ns = clock_mono_ns ();
    bytes = result.bytes;
    r = volume_scrub (s->volume, &block, STEP_BLOCKS, &result);
    pthread_mutex_lock (&s->lock);
    s->status.result = result;
    s->status.done_bytes = block * VOLUME_BLOCK_SIZE;
    s->status.total_bytes = volume_size (s->volume);   /* it may grow */
    progress = (struct scrub_progress) { block, s->status.rate_bps, result };
    pace_locked (s, result.bytes - bytes, ns);
  }
  s->status.state = s->status.done_bytes == s->status.total_bytes
    ? SCRUB_DONE : SCRUB_STOPPED;
  if (s->status.state == SCRUB_DONE)
    scrubfile_remove (s->dirfd);
  else
    scrubfile_store (s->dirfd, &progress);
  s->ended_ns = clock_mono_ns ();
  return NULL;
}

static int
start (struct scrub *s, struct volume *volume, int dirfd,
       const struct scrub_progress *from, struct error *err)
{
  int r;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  s->volume = volume;
  s->dirfd = dirfd;
  s->block = from->block;
  s->stored_ns = 0;
  s->is_stopping = false;
  s->began_ns = clock_mono_ns ();
  memset (&s->status, 0, sizeof s->status);
  s->status.state = SCRUB_RUNNING;
  s->status.total_bytes = volume_size (volume);
  s->status.done_bytes = from->block * VOLUME_BLOCK_SIZE;
  s->status.rate_bps = from->rate_bps;
  s->status.result = from->result;
  r = pthread_create (&s->thread, NULL, run, s);
  if (r != 0) {
    s->status.state = SCRUB_NEVER;
    return error_set_errno (err, r, "cannot start a thread");
  }
  s->has_thread = true;
  return 0;
}

int
scrub_start (struct scrub *s, struct volume *volume, int dirfd,
             uint64_t rate_bps, struct error *err)
{
  const struct scrub_progress from = { .rate_bps = rate_bps };

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

    if (s->status.state == SCRUB_RUNNING) {
      s->status.rate_bps = rate_bps;
      return 0;
    }
  }
  scrub_stop (s, false);         /* it has ended: only collect it */
  return start (s, volume, dirfd, &from, err);
}

int
scrub_resume (struct scrub *s, struct volume *volume, int dirfd,
              struct error *err)
{
  struct scrub_progress from;

  if (!scrubfile_load (dirfd, &from) ||
      from.block > volume_size (volume) / VOLUME_BLOCK_SIZE)
    return 0;
  return start (s, volume, dirfd, &from, err);
}

static void
stop (struct scrub *s)
{
  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

    if (!s->has_thread)
      return;
    s->is_stopping = true;
    pthread_cond_broadcast (&s->changed);
  }
  pthread_join (s->thread, NULL);
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);
  s->has_thread = false;
}

void
scrub_stop (struct scrub *s, bool forgets)
{
  bool was_there = s->has_thread;

  stop (s);
  if (forgets && was_there)
    scrubfile_remove (s->dirfd);
}

bool
scrub_get_status (struct scrub *s, struct scrub_status *ret)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  if (s->status.state == SCRUB_NEVER)
    return false;
  *ret = s->status;
  ret->seconds = ((s->status.state == SCRUB_RUNNING ? clock_mono_ns ()
                   : s->ended_ns) - s->began_ns) / (double) NS_PER_SEC;
  return true;
}

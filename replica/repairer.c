/* Repair from the other side (see repairer.h).
 *
 *   what               comes from          when
 *   a read that waits  the volume          at once; it waits READ_MS at most
 *   damaged here       volume_wants        looked for every LOOK_MS; what the
 *                                          peer lacks is asked for again later
 *   damaged there      WANTED, by session  at once
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "repairer.h"
#include "replica-internal.h"

#define READ_MS 4000             /* a guest waits no longer than this */
#define AGAIN_MS 1000            /* no connection: none is tried for so long */
#define LOOK_MS 1000             /* between looks for what is damaged here */
#define LOOK_MAX_MS 600000       /* ... when the peer does not have it */

/* A read that waits; on its thread's stack, in the list while it does. */
struct job {
  struct job *next;
  struct volume_want want;
  uint8_t *unit;
  ssize_t length;                /* -1: it failed */
  bool is_done;
};

struct repairer {
  struct volume *v;
  struct errand *errand;         /* the thread's */
  struct replica_log log;
  pthread_t thread;

  /* The thread's. */
  uint8_t page[WIRE_PROOF_SIZE];
  struct wire_unit unit;
  struct volume_want want[VOLUME_WANTS_MAX];
  struct wire_wanted giving;
  unsigned looked_ms, damaged;   /* the pause there was, and what there was */
  uint64_t look_ns;

  pthread_mutex_t lock;          /* guards all below */
  pthread_cond_t changed;
  bool stop;
  struct job *jobs;
  bool has_wanted;
  struct wire_wanted wanted;
  uint64_t failed_ns;            /* no connection could be made: when */
  uint64_t said_ns;
};

/* At most one line a second: a rotten disk has much to tell. */
static bool
may_say (struct repairer *r)
{
  uint64_t now = clock_mono_ns ();
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->lock);

  if (r->said_ns != 0 && now - r->said_ns < NS_PER_SEC)
    return false;
  r->said_ns = now;
  return true;
}

static bool
is_down (struct repairer *r)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->lock);

  return r->failed_ns != 0 &&
    clock_mono_ns () - r->failed_ns < AGAIN_MS * NS_PER_MSEC;
}

static void
note_connection (struct repairer *r, bool is_there)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->lock);

  r->failed_ns = is_there ? 0 : clock_mono_ns ();
}

/* ------------------------------------------------------------------ */
/* The thread's work.                                                   */

/* The peer's unit of WANT is in r->unit.  Not verified. */
static int
fetch_unit (struct repairer *r, const struct volume_want *want)
{
  struct error err = ERROR_INIT;
  const struct wire_keys *keys;

  if (is_down (r))
    return -1;
  keys = errand_keys (r->errand, &err);
  note_connection (r, keys != NULL);
  if (keys == NULL ||
      errand_read (r->errand, WIRE_UNIT_OFFSET + want->block * WIRE_PAGE_SIZE,
                   r->page, &err) == -1 ||
      wire_unit_decode (r->page, keys, &r->unit, &err) == -1) {
    if (may_say (r))
      log_line (&r->log, REPLICA_LOG_INFO, "block %llu is damaged, and the "
                "peer cannot be asked for it: %s",
                (unsigned long long) want->block, err.message);
    return -1;
  }
  if (r->unit.length != 0 && r->unit.version.block == want->block &&
      r->unit.version.seq == want->seq &&
      r->unit.version.generation == want->generation)
    return 0;
  if (may_say (r))
    log_line (&r->log, REPLICA_LOG_INFO, "block %llu is damaged, and the peer "
              "does not have its version %llu",
              (unsigned long long) want->block,
              (unsigned long long) want->seq);
  return -1;
}

/* The job with WANT at ADDRESS, if it still waits. */
static struct job *
find_job_locked (struct repairer *r, const struct job *address,
                 const struct volume_want *want)
{
  for (struct job *j = r->jobs; j != NULL; j = j->next)
    if (j == address && !j->is_done &&
        memcmp (&j->want, want, sizeof *want) == 0)
      return j;
  return NULL;
}

static void
do_job (struct repairer *r, const struct job *address,
        const struct volume_want *want)
{
  int rc = fetch_unit (r, want);
  struct job *job;

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->lock);

    job = find_job_locked (r, address, want);
    if (job == NULL)
      return;
    job->is_done = true;
    if (rc == 0) {
      job->length = r->unit.length;
      memcpy (job->unit, r->unit.unit, r->unit.length);
    }
    pthread_cond_broadcast (&r->changed);
  }
  if (rc == 0 && may_say (r))
    log_line (&r->log, REPLICA_LOG_INFO, "block %llu is damaged here: read "
              "from the peer", (unsigned long long) want->block);
}

/* What is damaged here and nobody waits for. */
static void
repair_own (struct repairer *r)
{
  unsigned n = volume_wants (r->v, r->want, VOLUME_WANTS_MAX), repaired = 0;

  for (unsigned i = 0; i < n; i++) {
    struct error err = ERROR_INIT;
    int rc;

    {
      ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->lock);

      if (r->stop || r->jobs != NULL)
        return;                  /* they come first */
    }
    if (fetch_unit (r, &r->want[i]) == -1)
      continue;
    rc = volume_unit_give (r->v, &r->want[i], r->unit.unit, r->unit.length,
                           &err);
    if (rc == -1)
      log_line (&r->log, REPLICA_LOG_ERROR, "%s", err.message);
    if (rc == 1) {
      repaired++;
      log_line (&r->log, REPLICA_LOG_INFO, "block %llu was damaged and is "
                "right again: the peer had it",
                (unsigned long long) r->want[i].block);
    }
  }
  /* What could not be had is not asked for all the time. */
  if (n == 0 || n != r->damaged || repaired > 0)
    r->looked_ms = LOOK_MS;
  else
    r->looked_ms = r->looked_ms < LOOK_MAX_MS / 2 ? 2 * r->looked_ms
      : LOOK_MAX_MS;
  r->damaged = n;
  r->look_ns = clock_mono_ns () + r->looked_ms * NS_PER_MSEC;
  if (n == 0)
    errand_drop (r->errand);
}

/* Give the peer what it told of, as far as this side has it. */
static void
give (struct repairer *r)
{
  for (uint32_t i = 0; i < r->giving.count; i++) {
    const struct volume_want *want = &r->giving.want[i];
    struct error err = ERROR_INIT;
    const struct wire_keys *keys;
    ssize_t len;

    if (want->block >= volume_size (r->v) / VOLUME_BLOCK_SIZE)
      continue;
    len = volume_unit_read (r->v, want->block, &r->unit.version, r->unit.unit,
                            &err);
    if (len == -1 || r->unit.version.seq != want->seq ||
        r->unit.version.generation != want->generation)
      continue;                  /* a newer version is on its way, or none */
    r->unit.length = len;
    keys = errand_keys (r->errand, &err);
    if (keys == NULL)
      return;
    wire_unit_encode (&r->unit, keys, r->page);
    if (errand_write (r->errand, WIRE_UNIT_OFFSET + want->block *
                      WIRE_PAGE_SIZE, r->page, &err) == -1) {
      if (may_say (r))
        log_line (&r->log, REPLICA_LOG_INFO, "the peer did not take block "
                  "%llu, which is damaged there: %s",
                  (unsigned long long) want->block, err.message);
      return;
    }
    if (may_say (r))
      log_line (&r->log, REPLICA_LOG_INFO, "block %llu is damaged at the "
                "peer: it was given it", (unsigned long long) want->block);
  }
}

/* ------------------------------------------------------------------ */

static const struct job *
first_job_locked (const struct repairer *r)
{
  for (const struct job *j = r->jobs; j != NULL; j = j->next)
    if (!j->is_done)
      return j;
  return NULL;
}

enum task { TASK_STOP, TASK_JOB, TASK_GIVE, TASK_LOOK };

static enum task
next_task (struct repairer *r, const struct job **ret_job,
           struct volume_want *ret_want)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->lock);

  for (;;) {
    *ret_job = first_job_locked (r);
    if (r->stop)
      return TASK_STOP;
    if (*ret_job != NULL) {
      *ret_want = (*ret_job)->want;
      return TASK_JOB;
    }
    if (r->has_wanted) {
      r->has_wanted = false;
      r->giving = r->wanted;
      return TASK_GIVE;
    }
    if (clock_mono_ns () >= r->look_ns)
      return TASK_LOOK;
    cond_wait_until (&r->changed, &r->lock, r->look_ns);
  }
}

static void *
repairer_thread (void *opaque)
{
  struct repairer *r = opaque;
  const struct job *job;
  struct volume_want want;

  for (;;)
    switch (next_task (r, &job, &want)) {
    case TASK_STOP:
      return NULL;
    case TASK_JOB:
      do_job (r, job, &want);
      r->look_ns = clock_mono_ns () + LOOK_MS * NS_PER_MSEC;
      break;
    case TASK_GIVE:
      give (r);
      break;
    case TASK_LOOK:
      repair_own (r);
      break;
    }
}

/* The volume's source: called by reads that found damage. */
static ssize_t
fetch_for_read (void *opaque, const struct volume_want *want, void *unit)
{
  struct repairer *r = opaque;
  struct job job = { .want = *want, .unit = unit, .length = -1 }, **p;
  uint64_t deadline = clock_mono_ns () + READ_MS * NS_PER_MSEC;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->lock);

  job.next = r->jobs;
  r->jobs = &job;
  pthread_cond_broadcast (&r->changed);
  while (!job.is_done && !r->stop)
    if (cond_wait_until (&r->changed, &r->lock, deadline) == ETIMEDOUT)
      break;
  for (p = &r->jobs; *p != &job; p = &(*p)->next)
    ;
  *p = job.next;
  return job.is_done ? job.length : -1;
}

void
repairer_peer_wants (struct repairer *r, const struct wire_wanted *wanted)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->lock);

  r->wanted = *wanted;
  r->has_wanted = true;
  pthread_cond_broadcast (&r->changed);
}

static void
repairer_free (struct repairer *r)
{
  errand_free (r->errand);
  pthread_cond_destroy (&r->changed);
  pthread_mutex_destroy (&r->lock);
  free (r);
}

struct repairer *
repairer_start (struct volume *v, const struct errand_config *config,
                const struct replica_log *log, struct error *err)
{
  struct repairer *r = calloc (1, sizeof *r);
  int errnum;

  if (r == NULL) {
    error_set_errno (err, errno, "cannot make a repairer");
    return NULL;
  }
  r->v = v;
  r->log = *log;
  r->looked_ms = LOOK_MS;
  pthread_mutex_init (&r->lock, NULL);
  cond_init_monotonic (&r->changed);
  r->errand = errand_new (config, err);
  if (r->errand == NULL) {
    repairer_free (r);
    return NULL;
  }
  errnum = pthread_create (&r->thread, NULL, repairer_thread, r);
  if (errnum != 0) {
    repairer_free (r);
    error_set_errno (err, errnum, "cannot start a thread");
    return NULL;
  }
  volume_set_source (v, fetch_for_read, r);
  return r;
}

void
repairer_quit (struct repairer *r)
{
  if (r == NULL)
    return;
  pthread_mutex_lock (&r->lock);
  r->stop = true;
  pthread_cond_broadcast (&r->changed);
  pthread_mutex_unlock (&r->lock);
  errand_stop (r->errand);
}

void
repairer_stop (struct repairer *r)
{
  if (r == NULL)
    return;
  repairer_quit (r);
  volume_set_source (r->v, NULL, NULL);
  pthread_join (r->thread, NULL);
  repairer_free (r);
}

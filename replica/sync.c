/* The promise of the sync mode (see sync.h).
 *
 * Locks: store_lock, then lock.  store_lock makes changes of the record one
 * after the other and is held while it is written down; lock guards the rest
 * and is never held across a wait for the disk.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "replica-internal.h"
#include "sync.h"

#define LOOK_MS 50               /* between looks at who waits for a flush */
#define RENEW_MS_MIN 100         /* between promises, an eighth of the lease */
#define RENEW_MS_MAX 30000

struct sync {
  struct sync_config config;     /* its record is not used */
  pthread_mutex_t store_lock;

  /* Flushes wait.  Read without the lock by flushes that need not. */
  atomic_bool is_required;

  /* Guards all below. */
  pthread_mutex_t lock;
  pthread_cond_t held_moved;     /* or there is no need to wait any more */
  pthread_cond_t given_moved;
  struct sync_record record;     /* changed with both locks held */
  struct sync_settings settings;
  enum replica_promise target;   /* what the settings ask for */
  bool is_entering;
  uint64_t entry_seq;            /* no flush beyond it was alone */
  bool is_connected, is_sending;
  bool is_acked;                 /* in this session the peer took ... */
  enum replica_promise acked;
  bool is_fenced;
  bool is_owing;                 /* fenced while flushes had to wait: what the
                                    peer did not hold is never answered */
  uint64_t held_seq, waiting;

  uint64_t lease_end_ns;         /* monotonic: nobody relies on it then */
  uint32_t sent_lease_ms;
  uint64_t renew_ns;             /* monotonic */

  /* The secondary's: when it answered the last promise or session. */
  bool has_answered;
  struct moment answered;
};

const char *
sync_state_name (enum sync_state state)
{
  switch (state) {
  case SYNC_OFF: return "off";
  case SYNC_CATCHING_UP: return "catching-up";
  case SYNC_IN_SYNC: return "in-sync";
  case SYNC_SUSPENDED: return "suspended";
  case SYNC_DEGRADED: return "degraded";
  case SYNC_LEAVING: return "leaving";
  case SYNC_ABANDONING: return "abandoning";
  }
  return "unknown";
}

const char *
sync_proof_name (enum sync_proof proof)
{
  return proof == SYNC_PROVEN ? "proven" : "unknown";
}

const char *
sync_proof_reason (enum sync_proof proof)
{
  switch (proof) {
  case SYNC_PROVEN: return NULL;
  case SYNC_UNKNOWN_ASYNC: return "no-promise";
  case SYNC_UNKNOWN_LAPSED: return "lapsed";
  }
  return "no-promise";
}

/* When a lease that is told now is over at the peer, by a clock that may go
 * wrong by an eighth.
 */
static uint64_t
end_of_lease (uint64_t lease_ms)
{
  return clock_mono_ns () + (lease_ms + lease_ms / 8) * NS_PER_MSEC;
}

/* May somebody rely on a promise that was abandoned? */
static bool
is_relied_on_locked (const struct sync *s)
{
  return s->record.abandoned != SYNC_ABANDONED_NONE &&
    clock_mono_ns () < s->lease_end_ns;
}

/* Do flushes wait until nobody does?  Who was promoted relied on it for good,
 * and what waited is owed.
 */
static bool
is_abandoning_locked (const struct sync *s)
{
  return !s->is_fenced && is_relied_on_locked (s);
}

struct sync *
sync_new (const struct sync_config *config, struct error *err)
{
  struct sync *s = calloc (1, sizeof *s);

  if (s == NULL) {
    error_set_errno (err, errno, "cannot keep a mode");
    return NULL;
  }
  s->config = *config;
  s->record = config->record;
  atomic_init (&s->is_required, s->record.given != REPLICA_PROMISE_NONE ||
               s->record.abandoned != SYNC_ABANDONED_NONE);
  s->lease_end_ns = end_of_lease (s->record.lease_ms);
  pthread_mutex_init (&s->store_lock, NULL);
  pthread_mutex_init (&s->lock, NULL);
  cond_init_monotonic (&s->held_moved);
  cond_init_monotonic (&s->given_moved);
  return s;
}

void
sync_free (struct sync *s)
{
  if (s == NULL)
    return;
  pthread_cond_destroy (&s->given_moved);
  pthread_cond_destroy (&s->held_moved);
  pthread_mutex_destroy (&s->lock);
  pthread_mutex_destroy (&s->store_lock);
  free (s);
}

static void say (struct sync *s, bool is_error, const char *fmt, ...)
  __attribute__ ((format (printf, 3, 4)));

static void
say (struct sync *s, bool is_error, const char *fmt, ...)
{
  char line[512];
  va_list ap;

  if (s->config.log == NULL)
    return;
  va_start (ap, fmt);
  vsnprintf (line, sizeof line, fmt, ap);
  va_end (ap);
  s->config.log (s->config.opaque, is_error, line);
}

/* ------------------------------------------------------------------ */
/* The record.  store_lock is held.                                     */

/* Flushes wait if they must; all who wait look again. */
static void
set_required_locked (struct sync *s)
{
  atomic_store (&s->is_required, s->is_entering ||
                s->record.given != REPLICA_PROMISE_NONE ||
                s->record.abandoned != SYNC_ABANDONED_NONE || s->is_owing);
  pthread_cond_broadcast (&s->held_moved);
  pthread_cond_broadcast (&s->given_moved);
}

static bool
is_same_record (const struct sync_record *a, const struct sync_record *b)
{
  return a->given == b->given && a->heard == b->heard &&
    a->degraded_ns == b->degraded_ns && a->abandoned == b->abandoned &&
    a->lease_ms == b->lease_ms && a->lease.ms == b->lease.ms &&
    a->lease.from.boot_ns == b->lease.from.boot_ns;
}

/* Make RECORD the one in force once it is durable. */
static int
change_record (struct sync *s, const struct sync_record *record,
               struct error *err)
{
  struct error local = ERROR_INIT;

  if (err == NULL)
    err = &local;
  if (!is_same_record (record, &s->record) &&
      s->config.store (s->config.opaque, record, err) == -1) {
    say (s, true, "%s: the promise to the peer stays '%s'", err->message,
         replica_promise_name (s->record.given));
    return -1;
  }
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);
  s->record = *record;
  set_required_locked (s);
  return 0;
}

/* What a peer may rely on when RECORD promises less and it is not told. */
static void
abandon (struct sync *s, struct sync_record *record,
         enum sync_abandoned abandoned)
{
  bool is_relied_on = (s->record.given == REPLICA_PROMISE_SUSPEND ||
                       s->record.abandoned != SYNC_ABANDONED_NONE) &&
    !s->is_fenced && clock_mono_ns () < s->lease_end_ns;

  record->abandoned = is_relied_on ? abandoned : SYNC_ABANDONED_NONE;
  record->lease_ms = is_relied_on ? s->record.lease_ms : 0;
}

/* The peer is lost and flushes go on without it: first this is durable and
 * to be seen, then they go on.
 */
static void
degrade (struct sync *s)
{
  struct sync_record record = s->record;

  record.given = REPLICA_PROMISE_NONE;
  record.degraded_ns = clock_wall_ns ();
  if (change_record (s, &record, NULL) == 0)
    say (s, true, "the peer is lost: degraded, flushes no longer wait for it");
}

/* ------------------------------------------------------------------ */
/* Settings.                                                            */

void
sync_configure (struct sync *s, const struct sync_settings *settings,
                bool is_on)
{
  struct sync_record record;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->store_lock);

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

    s->settings = *settings;
    s->target = !is_on || !settings->is_sync ? REPLICA_PROMISE_NONE :
      settings->suspends ? REPLICA_PROMISE_SUSPEND : REPLICA_PROMISE_DEGRADE;
    if (s->target == REPLICA_PROMISE_NONE)
      s->is_entering = false;
    set_required_locked (s);
    record = s->record;
  }
  if (!settings->is_sync && record.degraded_ns != 0) {
    record.degraded_ns = 0;
    change_record (s, &record, NULL);
  }
}

bool
sync_wait_told (struct sync *s, unsigned timeout_ms)
{
  uint64_t deadline = clock_mono_ns () + timeout_ms * NS_PER_MSEC;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  while (s->record.given > s->target)
    if (cond_wait_until (&s->given_moved, &s->lock, deadline) == ETIMEDOUT)
      break;
  return s->record.given <= s->target;
}

int
sync_force (struct sync *s, struct error *err)
{
  struct sync_record record;
  bool is_degrading;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->store_lock);

  record = s->record;
  if (record.given <= s->target)
    return 0;
  pthread_mutex_lock (&s->lock);
  if (s->is_fenced && record.given == REPLICA_PROMISE_SUSPEND) {
    pthread_mutex_unlock (&s->lock);
    return 0;                    /* who was promoted relied on it for good */
  }
  is_degrading = s->target != REPLICA_PROMISE_NONE && !s->is_connected;
  abandon (s, &record, SYNC_ABANDONED_PEER);
  pthread_mutex_unlock (&s->lock);
  record.given = is_degrading ? REPLICA_PROMISE_NONE : s->target;
  if (is_degrading)
    record.degraded_ns = clock_wall_ns ();
  say (s, true, "the peer could not be told that it may rely on '%s' no "
       "longer%s", replica_promise_name (s->record.given),
       record.abandoned ? ": flushes wait until it does not any more" : "");
  return change_record (s, &record, err);
}

int
sync_reset (struct sync *s, struct error *err)
{
  struct sync_record record = { .given = REPLICA_PROMISE_NONE };
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->store_lock);

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

    abandon (s, &record, SYNC_ABANDONED_FORMER);
    s->is_entering = s->has_answered = false;
    s->is_fenced = s->is_owing = false;
    s->target = REPLICA_PROMISE_NONE;
  }
  return change_record (s, &record, err);
}

/* ------------------------------------------------------------------ */
/* The guest's side.                                                    */

/* Nobody relies any more on what was abandoned: that is all it was for. */
static void
end_abandoned (struct sync *s)
{
  struct sync_record record;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->store_lock);

  record = s->record;
  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

    if (is_relied_on_locked (s))
      return;
  }
  record.abandoned = SYNC_ABANDONED_NONE;
  change_record (s, &record, NULL);
}

static bool
must_wait_locked (const struct sync *s, uint64_t seq)
{
  if (is_abandoning_locked (s))
    return true;
  return (s->is_entering || s->record.given != REPLICA_PROMISE_NONE ||
          s->is_owing) && s->held_seq < seq;
}

static int
wait_locked (struct sync *s, uint64_t seq, bool (*is_gone) (void))
{
  bool gone;

  while (must_wait_locked (s, seq)) {
    if (s->is_fenced) {
      errno = ESHUTDOWN;
      return -1;
    }
    if (cond_wait_until (&s->held_moved, &s->lock, clock_mono_ns () +
                         LOOK_MS * NS_PER_MSEC) != ETIMEDOUT)
      continue;
    pthread_mutex_unlock (&s->lock);
    gone = is_gone != NULL && is_gone ();
    pthread_mutex_lock (&s->lock);
    if (gone) {
      errno = ESHUTDOWN;
      return -1;
    }
  }
  return 0;
}

bool
sync_is_required (struct sync *s)
{
  return atomic_load (&s->is_required);
}

int
sync_wait (struct sync *s, uint64_t seq, bool (*is_gone) (void))
{
  bool is_over;
  int r;

  if (!atomic_load (&s->is_required))
    return 0;
  pthread_mutex_lock (&s->lock);
  s->waiting++;
  r = wait_locked (s, seq, is_gone);
  s->waiting--;
  is_over = s->record.abandoned != SYNC_ABANDONED_NONE &&
    !is_relied_on_locked (s);
  pthread_mutex_unlock (&s->lock);
  if (is_over) {
    int errnum = errno;

    end_abandoned (s);
    errno = errnum;
  }
  return r;
}

/* ------------------------------------------------------------------ */
/* The sender's side.                                                   */

enum replica_promise
sync_session_promise (struct sync *s)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  return s->record.given < s->target ? s->record.given : s->target;
}

/* The peer that a promise was given to knows of what is kept, or of less:
 * none is abandoned.  False: what it knows of was abandoned meanwhile.
 */
static bool
set_told (struct sync_record *record, enum replica_promise promise)
{
  if (promise > record->given)
    return false;
  record->given = promise;
  if (record->abandoned == SYNC_ABANDONED_PEER)
    record->abandoned = SYNC_ABANDONED_NONE;
  return true;
}

void
sync_begin (struct sync *s, enum replica_promise said, bool is_copy)
{
  struct sync_record record;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->store_lock);

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

    s->is_connected = true;
    s->is_sending = s->is_acked = false;
    s->held_seq = 0;
  }
  /* The page takes back what it does not say. */
  if (is_copy && s->record.given == REPLICA_PROMISE_DEGRADE)
    degrade (s);
  record = s->record;
  if (set_told (&record, said))
    change_record (s, &record, NULL);
}

void
sync_note_held (struct sync *s, uint64_t seq)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  if (seq <= s->held_seq)
    return;
  s->held_seq = seq;
  if (s->waiting > 0)
    pthread_cond_broadcast (&s->held_moved);
}

/* From now on flushes wait; what none has waited for is known after that. */
static void
enter (struct sync *s, uint64_t (*appended) (void *opaque), void *opaque)
{
  uint64_t seq;

  pthread_mutex_lock (&s->lock);
  s->is_entering = true;
  set_required_locked (s);
  pthread_mutex_unlock (&s->lock);
  seq = appended (opaque);
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);
  s->entry_seq = seq;
}

static bool
may_tell (struct sync *s, bool is_near, uint64_t (*appended) (void *opaque),
          void *opaque)
{
  if (s->record.given != REPLICA_PROMISE_NONE)
    return true;
  if (s->target == REPLICA_PROMISE_NONE)
    return s->record.abandoned == SYNC_ABANDONED_PEER;
  if (!s->is_entering) {
    if (!is_near)
      return false;
    enter (s, appended, opaque);
  }
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);
  return s->held_seq >= s->entry_seq;
}

static uint32_t
lease_wanted (const struct sync *s)
{
  if (s->target != REPLICA_PROMISE_SUSPEND)
    return 0;
  return s->settings.proof_ms != 0 ? s->settings.proof_ms : SYNC_PROOF_MS;
}

static bool
has_nothing_to_tell_locked (const struct sync *s)
{
  if (s->is_sending)
    return true;
  if (!s->is_acked)
    return s->target == REPLICA_PROMISE_NONE &&
      s->record.given == REPLICA_PROMISE_NONE &&
      s->record.abandoned != SYNC_ABANDONED_PEER;
  return s->acked == s->target && s->record.given >= s->acked &&
    (s->target != REPLICA_PROMISE_SUSPEND ||
     (s->sent_lease_ms == lease_wanted (s) &&
      clock_mono_ns () < s->renew_ns));
}

static uint64_t
next_renewal (uint32_t lease_ms)
{
  uint64_t ms = lease_ms / 8;

  ms = ms < RENEW_MS_MIN ? RENEW_MS_MIN : ms > RENEW_MS_MAX ? RENEW_MS_MAX
    : ms;
  return clock_mono_ns () + ms * NS_PER_MSEC;
}

/* What will be told is given first, and for how long. */
static int
give (struct sync *s, uint32_t lease_ms)
{
  struct sync_record record = s->record;

  if (record.given < s->target)
    record.given = s->target;
  if (record.lease_ms < lease_ms)
    record.lease_ms = lease_ms;
  return change_record (s, &record, NULL);
}

bool
sync_step (struct sync *s, bool is_near, uint64_t (*appended) (void *opaque),
           void *opaque, enum replica_promise *ret_promise,
           uint32_t *ret_lease_ms)
{
  uint64_t end_ns;
  uint32_t lease_ms;

  /* Nothing to do: that is nearly always so. */
  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

    if (has_nothing_to_tell_locked (s))
      return false;
  }
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->store_lock);
  lease_ms = lease_wanted (s);
  if (!may_tell (s, is_near, appended, opaque) || give (s, lease_ms) == -1)
    return false;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);
  end_ns = end_of_lease (lease_ms);
  if (s->lease_end_ns < end_ns)
    s->lease_end_ns = end_ns;
  s->sent_lease_ms = lease_ms;
  s->renew_ns = next_renewal (lease_ms);
  s->is_entering = false;
  s->is_sending = true;
  *ret_promise = s->target;
  *ret_lease_ms = lease_ms;
  return true;
}

void
sync_told (struct sync *s, enum replica_promise promise)
{
  struct sync_record record;
  bool is_news;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->store_lock);

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

    is_news = !s->is_acked || s->acked != promise;
    s->is_sending = false;
    s->is_acked = true;
    s->acked = promise;
    record = s->record;
  }
  if (!set_told (&record, promise))
    return;
  if (record.abandoned == SYNC_ABANDONED_NONE)
    record.lease_ms = promise == REPLICA_PROMISE_SUSPEND ? s->sent_lease_ms
      : 0;
  if (promise != REPLICA_PROMISE_NONE)
    record.degraded_ns = 0;
  if (change_record (s, &record, NULL) == 0 && is_news)
    say (s, false, promise == REPLICA_PROMISE_NONE ?
         "flushes no longer wait for the peer" :
         "in sync: flushes wait for the peer (%s when it is lost)",
         replica_promise_name (promise));
}

bool
sync_ships_ahead (struct sync *s)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  return s->is_acked && s->acked != REPLICA_PROMISE_NONE &&
    s->target != REPLICA_PROMISE_NONE;
}

static bool
disconnect (struct sync *s)
{
  bool was_connected;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  was_connected = s->is_connected;
  s->is_connected = s->is_sending = s->is_acked = s->is_entering = false;
  set_required_locked (s);
  return was_connected;
}

void
sync_stopped (struct sync *s)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->store_lock);

  disconnect (s);
}

void
sync_lost (struct sync *s)
{
  bool was_connected;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->store_lock);

  was_connected = disconnect (s);
  if (s->record.given == REPLICA_PROMISE_DEGRADE)
    degrade (s);
  else if (s->record.given == REPLICA_PROMISE_SUSPEND && was_connected)
    say (s, true, "the peer is lost: flushes wait until it is back");
}

void
sync_fenced (struct sync *s)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  s->is_owing = s->is_owing || s->is_entering ||
    s->record.given != REPLICA_PROMISE_NONE || is_relied_on_locked (s);
  s->is_fenced = true;
  set_required_locked (s);
}

/* ------------------------------------------------------------------ */
/* The secondary's side.                                                */

/* RECORD is what will be heard; the next lease counts from now. */
static int
hear (struct sync *s, const struct sync_record *record, struct error *err)
{
  if (change_record (s, record, err) == -1)
    return -1;
  s->has_answered = true;
  moment_now (&s->answered);
  return 0;
}

int
sync_hear (struct sync *s, enum replica_promise promise, uint32_t lease_ms,
           struct error *err)
{
  struct sync_record record;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->store_lock);

  record = s->record;
  record.heard = promise;
  memset (&record.lease, 0, sizeof record.lease);
  if (promise == REPLICA_PROMISE_SUSPEND && s->has_answered) {
    record.lease.from = s->answered;
    record.lease.ms = lease_ms;
  }
  return hear (s, &record, err);
}

int
sync_hear_session (struct sync *s, enum replica_promise promise,
                   struct error *err)
{
  struct sync_record record;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->store_lock);

  record = s->record;
  if (promise < record.heard) {
    record.heard = promise;
    memset (&record.lease, 0, sizeof record.lease);
  }
  return hear (s, &record, err);
}

int
sync_forget_heard (struct sync *s, struct error *err)
{
  struct sync_record record;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->store_lock);

  record = s->record;
  record.heard = REPLICA_PROMISE_NONE;
  memset (&record.lease, 0, sizeof record.lease);
  return change_record (s, &record, err);
}

enum sync_proof
sync_prove_zero (struct sync *s, uint64_t *ret_left_ms)
{
  struct moment now;
  uint64_t left_ms;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  moment_now (&now);
  left_ms = s->record.heard != REPLICA_PROMISE_SUSPEND ? 0 :
    lease_left_ms (&s->record.lease, &now);
  if (ret_left_ms != NULL)
    *ret_left_ms = left_ms;
  return left_ms > 0 ? SYNC_PROVEN :
    s->record.heard == REPLICA_PROMISE_SUSPEND ? SYNC_UNKNOWN_LAPSED :
    SYNC_UNKNOWN_ASYNC;
}

/* ------------------------------------------------------------------ */

static enum sync_state
state_locked (const struct sync *s)
{
  if (is_abandoning_locked (s))
    return SYNC_ABANDONING;
  if (s->target < s->record.given && s->target == REPLICA_PROMISE_NONE)
    return SYNC_LEAVING;
  if (s->target == REPLICA_PROMISE_NONE)
    return SYNC_OFF;
  if (s->record.given == REPLICA_PROMISE_NONE)
    return s->record.degraded_ns ? SYNC_DEGRADED : SYNC_CATCHING_UP;
  if (s->is_acked)
    return SYNC_IN_SYNC;
  return s->is_sending ? SYNC_CATCHING_UP : SYNC_SUSPENDED;
}

void
sync_get_status (struct sync *s, struct sync_status *ret)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  ret->settings = s->settings;
  ret->state = state_locked (s);
  ret->held_seq = s->held_seq;
  ret->waiting = s->waiting;
  ret->degraded_ns = s->record.degraded_ns;
  ret->hold_ms = ret->state != SYNC_ABANDONING ? 0 :
    minus (s->lease_end_ns, clock_mono_ns ()) / NS_PER_MSEC;
}

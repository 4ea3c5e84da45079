/* The primary's end of the link: its thread, its states (see replica.h).
 *
 *   state        connected  what moves it on
 *   CONNECTING   no         session agreed -> INITIAL, DELTA or STREAM
 *   INITIAL      yes        stage committed -> STREAM
 *   DELTA        yes        stage committed -> STREAM
 *   STREAM       yes        one-shot's point committed -> DONE
 *   WAITING      no         back-off is over, kick -> CONNECTING
 *   REFUSED      no         refused_ms are over, kick -> CONNECTING
 *   DONE, FENCED no         nothing
 *
 * Any lost connection leads to WAITING, any finding that a new try cannot
 * change to REFUSED.  session.c does what happens while connected.
 *
 * Invariants: committed at the peer <= sent <= durable here.  The figures of
 * the lag are differences that are never taken below 0.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "crypto.h"
#include "link.h"
#include "replica-internal.h"
#include "sender-internal.h"

#define TICK_MS 500             /* between notes of the lag when idle */

static void
set_defaults (struct sender_config *config)
{
  if (config->connect_ms == 0)
    config->connect_ms = 5000;
  if (config->options.dead_seconds == 0)
    config->options.dead_seconds = OPTIONS_DEAD_SECONDS;
  if (config->options.connections == 0)
    config->options.connections = OPTIONS_CONNECTIONS;
  if (config->dead_ms == 0)
    config->dead_ms = config->options.dead_seconds * 1000;
  if (config->heartbeat_ms == 0)
    config->heartbeat_ms = 500;
  if (config->backoff_min_ms == 0)
    config->backoff_min_ms = 100;
  if (config->backoff_max_ms == 0)
    config->backoff_max_ms = 5000;
  if (config->refused_ms == 0)
    config->refused_ms = 5000;
  if (config->copy_bytes == 0)
    config->copy_bytes = FRAME_PAYLOAD_MAX;
  if (config->cursor_bytes == 0)
    config->cursor_bytes = 4 << 20;
}

static void
wake (struct sender *s)
{
  const uint64_t one = 1;

  if (write (s->wake_fd, &one, sizeof one) == -1) {
    /* Only EAGAIN can be: it is readable already. */
  }
}

/* ------------------------------------------------------------------ */
/* Status.                                                              */

void
sender_set_state (struct sender *s, enum sender_state state,
                  const char *reason)
{
  bool is_news;

  pthread_mutex_lock (&s->status_lock);
  is_news = state != s->status.state || strcmp (reason, s->status.reason) != 0;
  s->status.state = state;
  snprintf (s->status.reason, sizeof s->status.reason, "%s", reason);
  switch (state) {
  case SENDER_INITIAL:
  case SENDER_DELTA:
  case SENDER_STREAM:
    if (s->session_ns == 0)
      s->session_ns = clock_mono_ns ();
    break;
  default:
    s->session_ns = 0;
    s->status.connections = 0;
    s->status.waits_for = state == SENDER_WAITING || state == SENDER_REFUSED ?
      WAITS_RETRY : WAITS_UNSET;
  }
  pthread_mutex_unlock (&s->status_lock);
  if (is_news && state != SENDER_CONNECTING)
    log_line (&s->config.log,
              state == SENDER_REFUSED || state == SENDER_FENCED ?
              REPLICA_LOG_ERROR : REPLICA_LOG_INFO,
              "link is %s%s%s", sender_state_name (state),
              reason[0] ? ": " : "", reason);
}

void
sender_set_wait (struct sender *s, enum sender_wait wait)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->status_lock);

  s->status.waits_for = wait;
}

void
sender_set_rest (struct sender *s, uint64_t until_ns)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->status_lock);

  s->status.waits_for = WAITS_INTERVAL;
  s->next_ns = until_ns;
}

/* Half of the new, half of the old: what was a moment ago counts, too. */
static void
measure (double *bps, uint64_t now, uint64_t *before, double seconds)
{
  *bps = (*bps + minus (now, *before) / seconds) / 2;
  *before = now;
}

static void
update_rate_locked (struct sender *s, const struct volume_status *status,
                    uint64_t now)
{
  struct rate *r = &s->rate;
  double seconds = (now - r->start_ns) / (double) NS_PER_SEC;

  if (seconds < 1)
    return;
  r->start_ns = now;
  measure (&r->acked_bps, s->acked_bytes, &r->acked, seconds);
  measure (&r->done_bps, s->status.done_bytes, &r->done, seconds);
  measure (&r->committed_bps, s->status.peer_committed.bytes, &r->committed,
           seconds);
  measure (&r->appended_bps, status->appended.bytes, &r->appended, seconds);
}

void
sender_begin_rate (struct sender *s)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->status_lock);

  s->rate.done = s->status.done_bytes;
  s->rate.committed = s->status.peer_committed.bytes;
}

/* How long will it take?  Unknown rather than a guess. */
static void
set_eta (const struct sender *s, struct sender_status *ret)
{
  double left = 0, bps = 0;

  switch (ret->state) {
  case SENDER_INITIAL:
  case SENDER_DELTA:
    left = minus (ret->total_bytes, ret->done_bytes);
    bps = s->rate.done_bps;
    break;
  case SENDER_STREAM:
    left = ret->lag_bytes;
    bps = s->rate.committed_bps - s->rate.appended_bps;
    break;
  default:
    return;
  }
  ret->has_eta = left == 0 || bps > 1;
  ret->eta_seconds = ret->has_eta && left > 0 ? left / bps : 0;
}

void
sender_note_lag (struct sender *s)
{
  struct volume_status status;
  uint64_t now;

  volume_get_status (s->v, &status);
  now = clock_mono_ns ();
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->status_lock);
  lag_note (&s->lag, status.appended.seq, s->status.peer_committed.seq, now);
  update_rate_locked (s, &status, now);
}

void
sender_note_committed (struct sender *s, const struct volume_point *point)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->status_lock);

  /* Completions may overtake each other. */
  if (s->status.has_peer_committed &&
      point->seq < s->status.peer_committed.seq)
    return;
  s->status.has_peer_committed = true;
  s->status.initial_done = true;
  s->status.peer_committed = *point;
  volume_pin (s->v, point->seq);
}

void
sender_get_status (struct sender *s, struct sender_status *ret)
{
  struct volume_status status;
  uint64_t now;

  volume_get_status (s->v, &status);
  now = clock_mono_ns ();
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->status_lock);
  lag_note (&s->lag, status.appended.seq, s->status.peer_committed.seq, now);
  update_rate_locked (s, &status, now);
  *ret = s->status;
  ret->rate_bps = s->session_ns == 0 ? 0 : s->rate.acked_bps;
  ret->limit_bps = atomic_load (&s->limit_bps);
  ret->lag_writes = minus (status.appended.seq, ret->peer_committed.seq);
  ret->lag_bytes = minus (status.appended.bytes, ret->peer_committed.bytes);
  ret->lag_seconds = lag_age_ns (&s->lag, ret->peer_committed.seq, now) /
    (double) NS_PER_SEC;
  if (s->session_ns != 0)
    ret->connected_ms = (now - s->session_ns) / NS_PER_MSEC;
  if (ret->waits_for == WAITS_RETRY)
    ret->retry_ms = minus (s->retry_ns, now) / NS_PER_MSEC;
  if (ret->waits_for == WAITS_INTERVAL)
    ret->next_ms = minus (s->next_ns, now) / NS_PER_MSEC;
  set_eta (s, ret);
}

/* ------------------------------------------------------------------ */
/* The thread.                                                          */

static unsigned
jittered (unsigned ms)
{
  return ms / 2 + random_u64 () % (ms / 2 + 1);
}

/* Wait for MS, a kick or the stop; the lag is noted meanwhile. */
static void
pause_ms (struct sender *s, uint64_t ms)
{
  uint64_t deadline = clock_mono_ns () + ms * NS_PER_MSEC;

  pthread_mutex_lock (&s->status_lock);
  s->retry_ns = deadline;
  pthread_mutex_unlock (&s->status_lock);
  while (!atomic_load (&s->stop) && !atomic_exchange (&s->kicked, false)) {
    struct pollfd fd = { .fd = s->wake_fd, .events = POLLIN };
    uint64_t now = clock_mono_ns (), left, n;

    if (now >= deadline)
      return;
    left = (deadline - now) / NS_PER_MSEC + 1;
    if (poll (&fd, 1, left < TICK_MS ? (int) left : TICK_MS) == 1 &&
        read (s->wake_fd, &n, sizeof n) == -1)
      return;
    sender_note_lag (s);
  }
}

static void
park (struct sender *s)
{
  while (!atomic_load (&s->stop))
    pause_ms (s, 60 * 1000);
}

static void *
sender_thread (void *opaque)
{
  struct sender *s = opaque;
  unsigned backoff = s->config.backoff_min_ms;
  struct error last = ERROR_INIT;      /* told while the next try runs, too */

  while (!atomic_load (&s->stop)) {
    struct error err = ERROR_INIT;
    enum session_end end;
    bool was_open = false;

    sender_set_state (s, SENDER_CONNECTING, last.message);
    end = session_run (s, &was_open, &err);
    last = err;
    switch (end) {
    case SESSION_DONE:
      sender_set_state (s, SENDER_DONE, "");
      park (s);
      break;
    case SESSION_FENCED:
      sync_fenced (s->config.sync);
      sender_set_state (s, SENDER_FENCED, err.message);
      park (s);
      break;
    case SESSION_REFUSED:
      sync_lost (s->config.sync);
      sender_set_state (s, SENDER_REFUSED, err.message);
      pause_ms (s, s->config.refused_ms);
      break;
    case SESSION_RENEWED:
      sync_stopped (s->config.sync);
      log_line (&s->config.log, REPLICA_LOG_INFO, "%s", err.message);
      break;
    case SESSION_STOPPED:
    case SESSION_AGAIN:
      break;
    case SESSION_LOST:
    case SESSION_END_UNSET:
      sync_lost (s->config.sync);
      if (was_open)
        backoff = s->config.backoff_min_ms;
      sender_set_state (s, SENDER_WAITING, err.message);
      pause_ms (s, jittered (backoff));
      backoff = backoff * 2 < s->config.backoff_max_ms ?
        backoff * 2 : s->config.backoff_max_ms;
      break;
    }
  }
  sync_stopped (s->config.sync);
  sender_set_state (s, SENDER_OFF, "");
  return NULL;
}

/* ------------------------------------------------------------------ */

static void
sender_free (struct sender *s)
{
  pthread_mutex_destroy (&s->status_lock);
  explicit_bzero (s->config.secret, sizeof s->config.secret);
  free (s->mend.block);
  free (s->uri);
  free (s);
}

/* The first note of the lag: records from before the start are at least as
 * old as the newest of them.
 */
static void
init_lag (struct sender *s)
{
  struct volume_status status;
  uint64_t age;

  volume_get_status (s->v, &status);
  s->target_seq = status.durable.seq;
  s->status.total_bytes = status.size;
  s->rate.start_ns = clock_mono_ns ();
  s->rate.appended = status.appended.bytes;
  age = status.appended.time_ns == 0 ? 0 :
    minus (clock_wall_ns (), status.appended.time_ns);
  lag_note (&s->lag, status.appended.seq, 0,
            (int64_t) clock_mono_ns () - (int64_t) age);
}

static struct sender *
sender_new (struct volume *v, const struct sender_config *config,
            struct error *err)
{
  struct sender *s = calloc (1, sizeof *s);
  char export[REPLICA_EXPORT_NAME_SIZE];
  char pair[UUID_STRING_SIZE];

  if (s == NULL) {
    error_set_errno (err, errno, "cannot make a sender");
    return NULL;
  }
  s->v = v;
  s->config = *config;
  set_defaults (&s->config);
  s->config.uri = s->config.export = NULL;
  atomic_init (&s->limit_bps, config->options.limit_bps);
  atomic_init (&s->interval_ms, config->interval_ms);
  s->status.oneshot = config->oneshot;
  s->status.state = SENDER_CONNECTING;
  pthread_mutex_init (&s->status_lock, NULL);
  uuid_format (&config->pair, pair);
  snprintf (export, sizeof export, "%s%s", REPLICA_EXPORT_PREFIX, pair);
  s->wake_fd = volume_ship_fd (v, err);
  if (s->wake_fd != -1)
    s->uri = link_uri (config->uri, config->export ? : export, err);
  if (s->uri == NULL) {
    sender_free (s);
    return NULL;
  }
  init_lag (s);
  return s;
}

struct sender *
sender_start (struct volume *v, const struct sender_config *config,
              struct error *err)
{
  struct sender *s = sender_new (v, config, err);
  int errnum;

  if (s == NULL)
    return NULL;
  s->watcher = watcher_start (v, s->wake_fd, err);
  if (s->watcher == NULL) {
    sender_free (s);
    return NULL;
  }
  errnum = pthread_create (&s->thread, NULL, sender_thread, s);
  if (errnum != 0) {
    watcher_stop (s->watcher);
    sender_free (s);
    error_set_errno (err, errnum, "cannot start a thread");
    return NULL;
  }
  return s;
}

void
sender_stop (struct sender *s)
{
  if (s == NULL)
    return;
  atomic_store (&s->stop, true);
  wake (s);
  pthread_join (s->thread, NULL);
  watcher_stop (s->watcher);
  sender_free (s);
}

void
sender_set_limit (struct sender *s, uint64_t limit_bps)
{
  atomic_store (&s->limit_bps, limit_bps);
  wake (s);
}

void
sender_set_interval (struct sender *s, unsigned interval_ms)
{
  atomic_store (&s->interval_ms, interval_ms);
  wake (s);
}

void
sender_kick (struct sender *s)
{
  atomic_store (&s->kicked, true);
  wake (s);
}

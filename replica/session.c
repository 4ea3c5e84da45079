/* One connection of a sender: handshake, decision, copy, stream.
 *
 *   phase    sends                               until
 *   SCAN     delta records of the disk, block    the end of the disk; then the
 *            after block                         durable point E is taken
 *   CATCHUP  stream records after start_seq      one at or after E is sent,
 *                                                then the commit of the stage
 *   STREAM   stream records                      the connection is lost
 *   REST     nothing                             the interval is over: SCAN
 *
 * A scan shows blocks as they are when they are looked at, so what is staged
 * fits together only at a point at or after E: the commit is of the last
 * record that was sent before it.  A peer that staged stream records already
 * had the whole scan, since those are sent after it.
 *
 * What is sent was durable here before (volume_cursor_read, volume_delta_read
 * give nothing else), so the peer never has to take anything back.  Except in
 * STREAM when the peer was promised that flushes wait for it (sync.h): then
 * records go out while they are on their way to the medium here, and after a
 * crash the peer may show some that this side lost.  It knows which (its
 * confirmed_seq), and a delta replaces them.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "replica-internal.h"
#include "session-internal.h"

#define CLOSE_MS 500             /* for answers on their way, at the end */
#define KEYS_MS 1000             /* between looks at the files of the keys */

/* ------------------------------------------------------------------ */
/* Refusals.                                                            */

/* The first refusal on any of the connections; what follows from it on the
 * others is only that the session has ended.
 */
static bool
ask_result (struct session *n, struct wire_result *ret)
{
  uint8_t page[WIRE_PAGE_SIZE];
  struct wire_result result;
  bool found = false;

  for (unsigned i = 0; i < link_connections (n->link); i++) {
    link_use (n->link, i);
    if (!link_is_alive (n->link) ||
        link_read_page (n->link, WIRE_RESULT_OFFSET, page, NULL) == -1 ||
        wire_result_decode (page, &result, NULL) == -1 ||
        result.code == WIRE_RESULT_OK ||
        (found && result.code == WIRE_RESULT_STALE))
      continue;
    *ret = result;
    found = true;
  }
  return found;
}

/* Why did the peer refuse?  NBD's few error numbers do not say; ask. */
static enum session_end
explain_refusal (struct session *n, struct error *err)
{
  struct wire_result result;

  if (!ask_result (n, &result))
    return SESSION_LOST;
  error_set (err, wire_result_errno (result.code), "%s: %s",
             wire_result_string (result.code), result.message);
  switch (result.code) {
  case WIRE_RESULT_UNAUTHENTICATED:
  case WIRE_RESULT_MISMATCH:
  case WIRE_RESULT_TLS_REQUIRED:
    return SESSION_REFUSED;
  default:
    return SESSION_LOST;
  }
}

enum session_end
session_end_of_failure (struct session *n, struct error *err)
{
  if (atomic_load (&n->s->stop))
    return SESSION_STOPPED;
  if (err->errnum == ETIMEDOUT)
    return SESSION_LOST;         /* who is silent says no reason either */
  return explain_refusal (n, err);
}

/* ------------------------------------------------------------------ */
/* Figures.                                                             */

enum sender_state
session_state (const struct session *n)
{
  if (n->is_committed || n->is_cycle)
    return SENDER_STREAM;
  return n->since == 0 ? SENDER_INITIAL : SENDER_DELTA;
}

void
session_note_progress (struct session *n)
{
  struct sender_status *status = &n->s->status;
  bool is_copied = n->phase == PHASE_STREAM ||
    session_state (n) == SENDER_STREAM;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&n->s->status_lock);
  status->total_bytes = n->self_view.size;
  status->done_bytes = is_copied ? status->total_bytes :
    n->block * VOLUME_BLOCK_SIZE;
  status->progress = is_copied ? 100 :
    percent_unfinished (n->block, session_blocks (n));
}

/* ------------------------------------------------------------------ */
/* The loop.                                                            */

static int
reap (struct session *n, struct error *err)
{
  struct sender *s = n->s;
  struct link_slot *slot;

  while ((slot = link_reap (n->link)) != NULL) {
    if (slot->errnum != 0)
      return error_set_errno (err, slot->errnum,
                              "the peer did not take a frame");
    n->was_open = true;
    pace_returned (&n->pace, slot->done_ns - slot->sent_ns, slot->is_full);
    pthread_mutex_lock (&s->status_lock);
    s->acked_bytes += slot->length;
    if (slot->data > 0) {
      s->status.data_bytes += slot->data;
      s->status.data_wire_bytes += slot->length;
    }
    pthread_mutex_unlock (&s->status_lock);
    if (slot->tells)
      sync_told (s->config.sync, slot->promise);
    if (!slot->commits)
      continue;
    sync_note_held (s->config.sync, slot->point.seq);
    sender_note_committed (s, &slot->point);
    if (!n->is_committed) {
      n->is_committed = true;
      if (n->mending != NULL)
        session_mended (n);
      if (n->is_cycle)
        continue;
      log_line (&s->config.log, REPLICA_LOG_INFO,
                "the peer committed its copy at seq %" PRIu64,
                slot->point.seq);
      sender_set_state (s, SENDER_STREAM, "");
    }
  }
  return 0;
}

/* What is sent when there is nothing to send, and who sends nothing. */
static int
keep_alive (struct session *n, struct error *err)
{
  const struct sender_config *config = &n->s->config;

  if (link_check (n->link, config->dead_ms, config->heartbeat_ms, err) == -1)
    return -1;
  if (link_in_flight (n->link) == 0 &&
      clock_mono_ns () - n->sent_ns >= config->heartbeat_ms * NS_PER_MSEC)
    return session_send_heartbeat (n, err);
  return 0;
}

/* Who changes keys wants the old ones to be used no more. */
static bool
has_new_keys (struct session *n, struct error *err)
{
  uint64_t now = clock_mono_ns ();

  if (n->keys_stamp == 0 || now - n->keys_ns < KEYS_MS * NS_PER_MSEC)
    return false;
  n->keys_ns = now;
  if (options_keys_stamp (&n->s->config.options) == n->keys_stamp)
    return false;
  error_set (err, EAGAIN, "the keys of the link have changed: it begins anew");
  return true;
}

static bool
is_done (struct session *n)
{
  struct sender *s = n->s;

  if (!s->config.oneshot || session_state (n) != SENDER_STREAM)
    return false;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->status_lock);
  return s->status.peer_committed.seq >= s->target_seq;
}

static void
rest (struct session *n, unsigned *ret_ms)
{
  uint64_t now = clock_mono_ns (), until = session_end_of_rest (n);

  sender_set_rest (n->s, until);
  if (until < now + *ret_ms * NS_PER_MSEC)
    *ret_ms = minus (until, now) / NS_PER_MSEC + 1;
}

/* May what was written a moment ago wait for what is written next?  Not when a
 * flush or the end of a one-shot waits for it.  0: no; else so long.
 */
static uint64_t
gather_ns (const struct session *n)
{
  struct volume_point appended, durable;

  if (n->phase != PHASE_STREAM || !n->is_committed || n->held != NULL ||
      n->s->config.oneshot || sync_is_required (n->s->config.sync))
    return 0;
  volume_get_points (n->s->v, &appended, &durable);
  return pace_gather_ns (minus (durable.bytes, n->last.bytes), n->sent_ns,
                         clock_mono_ns ());
}

/* Send what there is and what may be sent.  RET_MS: look again after that. */
static int
send_all (struct session *n, unsigned *ret_ms, struct error *err)
{
  enum sender_wait wait = WAITS_WRITES;
  uint64_t limited_ns = 0, gathering_ns;
  int sent = 1;

  pace_set_limit (&n->pace, atomic_load (&n->s->limit_bps),
                  clock_mono_ns ());
  gathering_ns = gather_ns (n);
  n->looks_again = gathering_ns > 0;
  if (n->looks_again) {
    *ret_ms = gathering_ns / NS_PER_MSEC + 1;
    sender_set_wait (n->s, WAITS_WRITES);
    return 0;
  }
  while (sent == 1 &&
         (limited_ns = pace_wait_ns (&n->pace, clock_mono_ns ())) == 0)
    sent = session_send_next (n, err);
  if (sent == -1)
    return -1;

  *ret_ms = n->s->config.heartbeat_ms;
  n->looks_again = limited_ns > 0;
  if (n->looks_again) {
    wait = WAITS_LIMIT;
    if (limited_ns < *ret_ms * NS_PER_MSEC)
      *ret_ms = limited_ns / NS_PER_MSEC + 1;
  }
  else if (n->phase == PHASE_REST) {
    rest (n, ret_ms);
    return 0;
  }
  else if (n->held != NULL && n->is_unsettled) {
    wait = WAITS_MAP;
    *ret_ms = SESSION_SETTLE_MS;
  }
  else if (link_free_slot (n->link) == NULL)
    wait = WAITS_PEER;
  sender_set_wait (n->s, wait);
  return 0;
}

static enum session_end
work (struct session *n, struct error *err)
{
  enum session_end end;

  for (;;) {
    unsigned wait_ms;

    if (atomic_load (&n->s->stop))
      return SESSION_STOPPED;
    if (reap (n, err) == -1)
      return session_end_of_failure (n, err);
    if (is_done (n))
      return SESSION_DONE;
    if (has_new_keys (n, err))
      return SESSION_RENEWED;
    if (session_mend_is_due (n) && n->phase == PHASE_STREAM && n->is_committed)
      return SESSION_AGAIN;
    session_set_ahead (n);
    if ((end = session_keep_interval (n, err)) != SESSION_END_UNSET)
      return atomic_load (&n->s->stop) ? SESSION_STOPPED : end;
    if (send_all (n, &wait_ms, err) == -1 ||
        session_send_promise (n, err) == -1 ||
        session_look_for_wants (n, err) == -1 || keep_alive (n, err) == -1)
      return session_end_of_failure (n, err);
    if (!n->is_ahead && !n->looks_again && n->held == NULL &&
        n->phase != PHASE_REST && link_free_slot (n->link) != NULL)
      watcher_arm (n->s->watcher, n->last.seq);
    sender_note_lag (n->s);
    if (link_poll (n->link, wait_ms, err) == -1)
      return session_end_of_failure (n, err);
  }
}

static void
note_open (struct session *n)
{
  struct sender *s = n->s;

  pthread_mutex_lock (&s->status_lock);
  s->status.connects++;
  s->status.connections = link_connections (n->link);
  pthread_mutex_unlock (&s->status_lock);
  n->sent_ns = clock_mono_ns ();
  pace_init (&n->pace, atomic_load (&s->limit_bps), n->sent_ns);
  session_note_progress (n);
  sender_begin_rate (s);
  sender_set_state (s, session_state (n), "");
}

enum session_end
session_run (struct sender *s, bool *ret_was_open, struct error *err)
{
  struct link_config config = { .uri = s->uri, .wake_fd = s->wake_fd,
                                .stop = &s->stop,
                                .options = &s->config.options,
                                .page_ms = s->config.connect_ms };
  struct session *n = calloc (1, sizeof *n);
  enum session_end end;

  if (n == NULL) {
    error_set_errno (err, errno, "cannot begin a session");
    return SESSION_LOST;
  }
  n->s = s;
  n->keys_stamp = options_keys_stamp (&s->config.options);
  n->keys_ns = clock_mono_ns ();
  n->link = link_open (&config, err);
  if (n->link == NULL)
    end = atomic_load (&s->stop) ? SESSION_STOPPED :
      errno == EACCES ? SESSION_REFUSED : SESSION_LOST;
  else if ((end = session_begin (n, err)) == SESSION_END_UNSET) {
    note_open (n);
    end = work (n, err);
  }
  volume_ship_on (s->v, false);
  *ret_was_open = n->was_open;
  session_close_cursor (n);
  /* Who refuses a frame answers the others, too; who is silent does not. */
  if (n->link != NULL && (end != SESSION_LOST || err->errnum != ETIMEDOUT))
    link_settle (n->link, CLOSE_MS);
  link_close (n->link);
  explicit_bzero (&n->keys, sizeof n->keys);
  free (n->mending);
  free (n);
  return end;
}

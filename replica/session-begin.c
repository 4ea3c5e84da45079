/* The beginning of a session: handshake, decision, the SESSION page, further
 * connections.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "handshake.h"
#include "replica-internal.h"
#include "session-internal.h"

/* ------------------------------------------------------------------ */
/* Handshake.                                                           */

static enum session_end
shake_hands (struct session *n, struct wire_keys *keys, struct error *err)
{
  const struct sender_config *config = &n->s->config;
  bool is_refused;

  if (handshake (n->link, &config->pair, config->secret, keys, &is_refused,
                 err) == 0)
    return SESSION_END_UNSET;
  return is_refused ? SESSION_REFUSED : session_end_of_failure (n, err);
}

static enum session_end
read_status (struct session *n, struct error *err)
{
  struct sender *s = n->s;
  uint8_t page[WIRE_PAGE_SIZE];

  if (link_read_page (n->link, WIRE_STATUS_OFFSET, page, err) == -1)
    return session_end_of_failure (n, err);
  if (wire_status_decode (page, &n->keys, &n->peer, err) == -1)
    return SESSION_REFUSED;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->status_lock);
  if (n->peer.role == VOLUME_ROLE_SECONDARY) {
    s->status.peer_committed = n->peer.committed;
    s->status.has_peer_committed = !n->peer.is_given_up;
    s->status.initial_done |= !n->peer.is_given_up;
  }
  return SESSION_END_UNSET;
}

/* ------------------------------------------------------------------ */
/* Decision.                                                            */

/* In the course of things an interval's commit is no news; the first one of a
 * disk that was empty when the two came together is the first copy of it.
 */
static void
log_decision (struct session *n, const struct pair_decision *decision)
{
  char text[PAIR_DECIDE_FORMAT_MAX];
  struct sender *s = n->s;

  if (n->is_cycle && decision->action == PAIR_ACTION_STREAM)
    return;
  if (n->is_cycle && decision->action == PAIR_ACTION_INITIAL) {
    log_line (&s->config.log, REPLICA_LOG_INFO,
              "the disk is empty no longer: its first commit by interval");
    return;
  }
  pair_decide_format (&n->self_view, &n->peer_view, decision, text,
                      sizeof text);
  log_line (&s->config.log, REPLICA_LOG_INFO, "%s", text);
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->status_lock);
  snprintf (s->status.rule, sizeof s->status.rule, "%s",
            pair_rule_string (decision->rule));
}

/* The peer may hold a part of this very copy. */
static bool
can_resume (struct session *n, const struct volume_status *status)
{
  const struct wire_status *peer = &n->peer;
  uint64_t have = peer->stage_last > peer->stage_start ?
    peer->stage_last : peer->stage_start;

  return peer->stage_is_active && n->mending == NULL &&
    peer->stage_since == n->since &&
    have <= status->durable.seq &&
    have + 1 >= n->self_view.journal_from &&
    peer->stage_id == view_stage_id (&n->self_view, &n->s->config.pair,
                                     n->since, peer->stage_start);
}

static void
plan_stage (struct session *n, uint64_t since,
            const struct volume_status *status)
{
  uint64_t blocks = status->size / VOLUME_BLOCK_SIZE;

  n->since = since;
  n->phase = PHASE_SCAN;
  if (!can_resume (n, status)) {
    /* Not the durable point: a record that the map does not show yet would
     * be in neither the scan nor the stream.
     */
    n->start = status->committed.seq;
    n->last = status->committed;
  }
  else {
    n->start = n->last.seq = n->peer.stage_start;
    n->block = n->peer.stage_cursor < blocks ? n->peer.stage_cursor : blocks;
    if (n->peer.stage_last > n->start) {
      n->last.seq = n->peer.stage_last;
      n->block = blocks;
    }
    log_line (&n->s->config.log, REPLICA_LOG_INFO,
              "resume at block %" PRIu64 " of %" PRIu64 ", seq %" PRIu64,
              n->block, blocks, n->last.seq);
  }
  n->first_seq = n->last.seq + 1;
}

static enum session_end
meet_fence (struct session *n, struct error *err)
{
  if (volume_meet_fence (n->s->v, n->peer.fence, err) == -1)
    return SESSION_LOST;
  error_set (err, ESHUTDOWN, "the peer was promoted with fence %" PRIu64
             ", this side has %" PRIu64, n->peer.fence, n->self_view.fence);
  return SESSION_FENCED;
}

static enum session_end
refuse_rule (const struct pair_decision *decision, struct error *err)
{
  error_set (err, EPERM, "%s: %s", pair_rule_string (decision->rule),
             pair_rule_meaning (decision->rule));
  return SESSION_REFUSED;
}

static enum session_end
decide (struct session *n, const struct volume_status *status,
        struct error *err)
{
  struct pair_decision decision;
  struct uuid lineage;

  volume_lineage (n->s->v, &lineage);
  view_of_self (status, &lineage, &n->self_view);
  view_of_peer (&n->peer, &n->peer_view);
  if (n->peer.is_given_up) {
    n->self_view.loser = n->peer.volume;
    n->self_view.loser_keeps = n->peer.keeps_seq;
  }
  decision = pair_decide (&n->self_view, &n->peer_view);
  log_decision (n, &decision);

  switch (decision.action) {
  case PAIR_ACTION_DROP_STREAM:
    if (n->peer.committed.seq > decision.common.seq) {
      n->peer_differs = true;
      plan_stage (n, decision.common.seq, status);
      return SESSION_END_UNSET;
    }
    /* fall through */
  case PAIR_ACTION_STREAM:
    n->peer_differs = session_take_mend (n);
    if (n->peer_differs ||
        (session_interval_ms (n) > 0 && n->peer.committed.seq > 0 &&
         n->peer.committed.seq < status->committed.seq)) {
      plan_stage (n, n->peer.committed.seq, status);
      return SESSION_END_UNSET;
    }
    n->phase = PHASE_STREAM;
    n->first_seq = decision.from.seq + 1;
    n->last = n->peer.committed;
    return SESSION_END_UNSET;
  case PAIR_ACTION_DELTA:
  case PAIR_ACTION_DROP_DELTA:
    n->peer_differs = n->peer.committed.seq > decision.common.seq;
    plan_stage (n, decision.common.seq, status);
    return SESSION_END_UNSET;
  case PAIR_ACTION_INITIAL:
  case PAIR_ACTION_DROP_INITIAL:
    plan_stage (n, 0, status);
    return SESSION_END_UNSET;
  case PAIR_ACTION_FENCE_PEER:
    n->phase = PHASE_STREAM;
    n->tells_fence = true;
    return SESSION_END_UNSET;
  case PAIR_ACTION_FENCED:
    return meet_fence (n, err);
  case PAIR_ACTION_NEED_COMMAND:
  case PAIR_ACTION_REFUSE:
  case PAIR_ACTION_UNSET:
  case PAIR_ACTION_COUNT:
    break;
  }
  return refuse_rule (&decision, err);
}

static enum session_end
open_session (struct session *n, const struct volume_status *status,
              struct error *err)
{
  uint8_t page[WIRE_PAGE_SIZE];
  struct wire_session session = {
    .id = n->id,
    .promise = sync_session_promise (n->s->config.sync),
    .kind = n->phase == PHASE_STREAM ?
      WIRE_SESSION_STREAM : WIRE_SESSION_STAGE,
    .fence = status->fence,
    .size = status->size,
    .volume = status->uuid,
    .lineage = n->self_view.content,
    .salt = volume_content_salt (n->s->v),
    .appended = status->appended,
    .next_seq = n->peer.next_seq,
    .stage_id = n->phase == PHASE_STREAM ? 0 : n->mending != NULL ? n->id :
      view_stage_id (&n->self_view, &n->s->config.pair, n->since, n->start),
    .stage_since = n->since,
    .stage_start = n->start,
    .generations = status->generations,
  };

  wire_session_encode (&session, &n->keys, page);
  if (link_write_page (n->link, WIRE_SESSION_OFFSET, page, err) == -1)
    return session_end_of_failure (n, err);
  n->table = status->generations;
  sync_begin (n->s->config.sync, session.promise,
              n->phase != PHASE_STREAM);

  /* Who may stream to it has with that made the peer's content this pair's. */
  if (n->phase == PHASE_STREAM) {
    sync_note_held (n->s->config.sync, n->peer.committed.seq);
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&n->s->status_lock);
    n->s->status.has_peer_committed = true;
    n->s->status.initial_done = true;
  }
  return SESSION_END_UNSET;
}

/* The volume's status when all that was durable at the call is in the map and
 * its generation in the table: only then do the two sides' points compare.
 */
static int
settled_status (struct session *n, struct volume_status *ret,
                struct error *err)
{
  uint64_t deadline = clock_mono_ns () +
    n->s->config.connect_ms * NS_PER_MSEC;
  uint64_t seq;

  volume_get_status (n->s->v, ret);
  for (seq = ret->durable.seq; ret->committed.seq < seq;
       volume_get_status (n->s->v, ret)) {
    if (atomic_load (&n->s->stop) || clock_mono_ns () > deadline)
      return error_set (err, ETIMEDOUT, "the journal is ahead of the map");
    if (link_poll (n->link, SESSION_SETTLE_MS, err) == -1)
      return -1;
  }
  return 0;
}

/* The connections beside the first: each proves itself and may then carry
 * frames of the session.
 */
static enum session_end
add_connections (struct session *n, struct error *err)
{
  struct wire_keys keys;
  enum session_end end = SESSION_END_UNSET;

  while (end == SESSION_END_UNSET &&
         link_connections (n->link) < n->s->config.options.connections) {
    if (link_add (n->link, err) == -1)
      return session_end_of_failure (n, err);
    end = shake_hands (n, &keys, err);
    explicit_bzero (&keys, sizeof keys);
  }
  link_use (n->link, 0);
  return end;
}

static void
forget_stage (struct session *n)
{
  n->offset = n->block = n->since = n->start = n->uncovered = 0;
  n->peer_differs = false;
  free (n->mending);
  n->mending = NULL;
  n->mending_count = 0;
  memset (&n->changed, 0, sizeof n->changed);
}

enum session_end
session_agree (struct session *n, struct error *err)
{
  struct volume_status status;
  enum session_end end;

  forget_stage (n);
  if ((end = read_status (n, err)) != SESSION_END_UNSET)
    return end;
  if (settled_status (n, &status, err) == -1)
    return session_end_of_failure (n, err);
  if (status.is_fenced) {
    error_set (err, ESHUTDOWN, "a higher fence was met before");
    return SESSION_FENCED;
  }
  if ((end = decide (n, &status, err)) != SESSION_END_UNSET)
    return end;
  do
    n->id = random_u64 ();
  while (n->id == 0);
  if ((end = open_session (n, &status, err)) != SESSION_END_UNSET)
    return end;
  if (n->tells_fence) {
    /* It heard the fence, and should have refused a session all the same. */
    error_set (err, EAGAIN, "the peer was told of this side's fence");
    return SESSION_LOST;
  }
  n->is_committed = n->phase == PHASE_STREAM;
  n->level_ns = clock_mono_ns ();
  return SESSION_END_UNSET;
}

enum session_end
session_open_cursor (struct session *n, uint64_t first_seq,
                     struct error *err)
{
  volume_pin (n->s->v, first_seq - 1);
  n->cursor = volume_cursor_open (n->s->v, first_seq, err);
  return n->cursor == NULL ? SESSION_LOST : SESSION_END_UNSET;
}

void
session_close_cursor (struct session *n)
{
  if (n->cursor != NULL)
    volume_cursor_close (n->cursor);
  n->cursor = NULL;
}

enum session_end
session_begin (struct session *n, struct error *err)
{
  enum session_end end;

  if ((end = shake_hands (n, &n->keys, err)) != SESSION_END_UNSET ||
      (end = session_agree (n, err)) != SESSION_END_UNSET ||
      (end = add_connections (n, err)) != SESSION_END_UNSET)
    return end;
  return session_open_cursor (n, n->first_seq, err);
}

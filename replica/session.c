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
 * REST is in place of STREAM when the peer is to commit once an interval.  Then
 * a new session begins on the same connections, with a delta from the peer's
 * commit point: a block that was written many times in between is shipped
 * once, and until all of it is committed the peer shows that point.
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

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "format.h"
#include "link.h"
#include "replica-internal.h"
#include "sender-internal.h"
#include "view.h"
#include "wire.h"

#define CURSOR_BYTES (4u << 20)  /* what a broken copy sends again at most,
                                    besides the frames in flight */

#define NEAR_BYTES (8u << 20)    /* so far behind flushes may begin to wait */

#define CLOSE_MS 500             /* for answers on their way, at the end */
#define SETTLE_MS 2              /* between looks at the journal's end */

enum phase { PHASE_UNSET = 0, PHASE_SCAN, PHASE_CATCHUP, PHASE_STREAM,
             PHASE_REST };

struct session {
  struct sender *s;
  struct link *link;
  struct pace pace;
  struct wire_keys keys;         /* of the first connection */
  struct wire_status peer;
  struct pair_view self_view, peer_view;

  uint64_t id;
  uint64_t offset;               /* of the next frame in the stream */
  uint64_t sent_ns;              /* when the last frame was sent */

  enum phase phase;
  uint64_t since, start;         /* of the stage */
  uint64_t block;                /* SCAN: next to look at */
  bool peer_differs;             /* in blocks that it wrote since, too: */
  struct volume_changed changed; /* those around BLOCK */
  uint64_t uncovered;            /* SCAN: bytes sent since the last cursor */
  uint64_t first_seq;            /* first stream record */
  struct volume_cursor *cursor;
  struct volume_point last;      /* last stream record sent, or before it */
  struct volume_point end;       /* CATCHUP: E */
  struct volume_generations table;   /* as the peer has it */

  /* Read already, waits for a slot that tells the peer of its generation. */
  struct link_slot *held;
  bool is_unsettled;             /* and the volume's table lacks it still */

  bool tells_fence;              /* that is all the session is for */
  bool is_committed;             /* the peer has no stage of ours */
  bool is_cycle;                 /* the stage is that of one interval */
  uint64_t level_ns;             /* when this interval began: nothing was left
                                    then that had not been looked at */
  bool is_ahead;                 /* records go out before they are durable */
  bool was_open;                 /* it has taken a frame */
};

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

/* After a failed call: told to stop, refused or simply lost. */
static enum session_end
end_of_failure (struct session *n, struct error *err)
{
  if (atomic_load (&n->s->stop))
    return SESSION_STOPPED;
  if (err->errnum == ETIMEDOUT)
    return SESSION_LOST;         /* who is silent says no reason either */
  return explain_refusal (n, err);
}

/* ------------------------------------------------------------------ */
/* Handshake.                                                           */

static enum session_end
say_hello (struct session *n, struct wire_keys *keys, struct error *err)
{
  uint8_t page[WIRE_PAGE_SIZE];
  struct wire_hello hello;

  if (link_read_page (n->link, WIRE_HELLO_OFFSET, page, err) == -1)
    return end_of_failure (n, err);
  if (wire_hello_decode (page, &hello, err) == -1)
    return SESSION_REFUSED;
  if (hello.version_min > WIRE_VERSION || hello.version_max < WIRE_VERSION) {
    error_set (err, EPROTO, "the peer speaks protocol versions %u to %u, "
               "this side %u", hello.version_min, hello.version_max,
               WIRE_VERSION);
    return SESSION_REFUSED;
  }
  if (!uuid_equal (&hello.pair, &n->s->config.pair)) {
    error_set (err, EPROTO, "the peer answers for another pair");
    return SESSION_REFUSED;
  }
  memcpy (keys->server_nonce, hello.nonce, sizeof hello.nonce);
  return SESSION_END_UNSET;
}

static enum session_end
authenticate (struct session *n, struct wire_keys *keys, struct error *err)
{
  uint8_t page[WIRE_PAGE_SIZE];
  struct wire_auth auth = { .version = WIRE_VERSION };

  keys->pair = n->s->config.pair;
  memcpy (keys->secret, n->s->config.secret, sizeof keys->secret);
  random_bytes (keys->client_nonce, sizeof keys->client_nonce);
  memcpy (auth.nonce, keys->client_nonce, sizeof auth.nonce);
  wire_auth_encode (&auth, keys, page);
  if (link_write_page (n->link, WIRE_AUTH_OFFSET, page, err) == -1)
    return end_of_failure (n, err);
  return SESSION_END_UNSET;
}

static enum session_end
read_status (struct session *n, struct error *err)
{
  struct sender *s = n->s;
  uint8_t page[WIRE_PAGE_SIZE];

  if (link_read_page (n->link, WIRE_STATUS_OFFSET, page, err) == -1)
    return end_of_failure (n, err);
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

/* Between commits; 0: none.  Whoever waits for the peer does not wait so long. */
static unsigned
interval_ms (const struct session *n)
{
  return sync_is_required (n->s->config.sync) ? 0
    : atomic_load (&n->s->interval_ms);
}

static void
log_decision (struct session *n, const struct pair_decision *decision)
{
  char text[PAIR_DECIDE_FORMAT_MAX];
  struct sender *s = n->s;

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

  return peer->stage_is_active &&
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
  if (!n->is_cycle || decision.action != PAIR_ACTION_STREAM)
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
    if (interval_ms (n) > 0 && n->peer.committed.seq > 0 &&
        n->peer.committed.seq < status->committed.seq) {
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
    .stage_id = n->phase == PHASE_STREAM ? 0 :
      view_stage_id (&n->self_view, &n->s->config.pair, n->since, n->start),
    .stage_since = n->since,
    .stage_start = n->start,
    .generations = status->generations,
  };

  wire_session_encode (&session, &n->keys, page);
  if (link_write_page (n->link, WIRE_SESSION_OFFSET, page, err) == -1)
    return end_of_failure (n, err);
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
    if (link_poll (n->link, SETTLE_MS, err) == -1)
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
      return end_of_failure (n, err);
    end = say_hello (n, &keys, err);
    if (end == SESSION_END_UNSET)
      end = authenticate (n, &keys, err);
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
  memset (&n->changed, 0, sizeof n->changed);
}

/* Compare the two sides, decide and open the session. */
static enum session_end
agree (struct session *n, struct error *err)
{
  struct volume_status status;
  enum session_end end;

  forget_stage (n);
  if ((end = read_status (n, err)) != SESSION_END_UNSET)
    return end;
  if (settled_status (n, &status, err) == -1)
    return end_of_failure (n, err);
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

/* Read stream records from there on. */
static enum session_end
open_cursor (struct session *n, uint64_t first_seq, struct error *err)
{
  volume_pin (n->s->v, first_seq - 1);
  n->cursor = volume_cursor_open (n->s->v, first_seq, err);
  return n->cursor == NULL ? SESSION_LOST : SESSION_END_UNSET;
}

static void
close_cursor (struct session *n)
{
  if (n->cursor != NULL)
    volume_cursor_close (n->cursor);
  n->cursor = NULL;
}

static enum session_end
begin (struct session *n, struct error *err)
{
  enum session_end end;

  if ((end = say_hello (n, &n->keys, err)) != SESSION_END_UNSET ||
      (end = authenticate (n, &n->keys, err)) != SESSION_END_UNSET ||
      (end = agree (n, err)) != SESSION_END_UNSET ||
      (end = add_connections (n, err)) != SESSION_END_UNSET)
    return end;
  return open_cursor (n, n->first_seq, err);
}

/* ------------------------------------------------------------------ */
/* Frames.                                                              */

static int
send_frame (struct session *n, struct link_slot *slot, enum frame_type type,
            uint32_t length, bool fua, struct error *err)
{
  struct volume_point durable;
  struct frame frame = { .type = type, .length = length, .session = n->id,
                         .offset = n->offset };

  volume_get_points (n->s->v, &frame.appended, &durable);
  frame.durable_seq = durable.seq;
  frame_seal (&frame, slot->buf);
  slot->tells = type == FRAME_PROMISE;
  slot->length = FRAME_HEADER_SIZE + length;
  if (link_send (n->link, slot, n->offset, fua, err) == -1)
    return -1;
  n->offset += slot->length;
  n->sent_ns = clock_mono_ns ();
  slot->data = 0;                /* who sends data says so afterwards */
  slot->is_full = false;
  pace_sent (&n->pace, slot->length, n->sent_ns);
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&n->s->status_lock);
  n->s->status.sent_bytes += slot->length;
  return 0;
}

static uint8_t *
payload_of (struct link_slot *slot)
{
  return slot->buf + FRAME_HEADER_SIZE;
}

static uint64_t
blocks_of (const struct session *n)
{
  return n->self_view.size / VOLUME_BLOCK_SIZE;
}

static enum sender_state
state_of (const struct session *n)
{
  if (n->is_committed || n->is_cycle)
    return SENDER_STREAM;
  return n->since == 0 ? SENDER_INITIAL : SENDER_DELTA;
}

static void
note_progress (struct session *n)
{
  struct sender_status *status = &n->s->status;
  bool is_copied = n->phase == PHASE_STREAM || state_of (n) == SENDER_STREAM;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&n->s->status_lock);
  status->total_bytes = n->self_view.size;
  status->done_bytes = is_copied ? status->total_bytes :
    n->block * VOLUME_BLOCK_SIZE;
  status->progress = is_copied ? 100 :
    percent_unfinished (n->block, blocks_of (n));
}

static int
send_cursor (struct session *n, struct link_slot *slot, struct error *err)
{
  struct frame_cursor cursor = { n->block, blocks_of (n) };

  n->uncovered = 0;
  slot->commits = false;
  return send_frame (n, slot, FRAME_STAGE_CURSOR,
                     frame_cursor_encode (&cursor, payload_of (slot)), false,
                     err);
}

/* Have n->changed tell of n->block: the peer's own writes since the common
 * point are not in our births, and a delta without them would leave them
 * standing.
 */
static int
ask_changed (struct session *n, struct error *err)
{
  uint8_t page[WIRE_PAGE_SIZE];

  if (n->block >= blocks_of (n) ||
      (n->block >= n->changed.from && n->block < n->changed.end))
    return 0;
  if (link_read_page (n->link, WIRE_CHANGED_OFFSET + n->block *
                      WIRE_PAGE_SIZE, page, err) == -1 ||
      wire_changed_decode (page, &n->changed, err) == -1)
    return -1;
  if (n->changed.from != n->block || n->changed.end <= n->block)
    return error_set (err, EPROTO, "the peer told of other blocks than were "
                      "asked for");
  return 0;
}

/* Each of the following sends at most one frame: 1 it did, 0 there is
 * nothing to send now, -1 failure.
 */
static int
send_scan (struct session *n, struct link_slot *slot, struct error *err)
{
  struct volume_status status;
  ssize_t len;

  if (n->uncovered >= CURSOR_BYTES)
    return send_cursor (n, slot, err) == -1 ? -1 : 1;
  slot->commits = false;
  if (n->peer_differs && ask_changed (n, err) == -1)
    return -1;
  len = volume_delta_read (n->s->v, n->since,
                           n->peer_differs ? &n->changed : NULL, &n->block,
                           payload_of (slot), FRAME_PAYLOAD_MAX, err);
  if (len == -1)
    return -1;
  note_progress (n);
  if (len == 0 && n->block < blocks_of (n))
    return 1;
  n->uncovered += len;
  if (len > 0) {
    struct format_record record;

    memcpy (&record, payload_of (slot), sizeof record);
    if (send_frame (n, slot, FRAME_RECORDS, len, true, err) == -1)
      return -1;
    slot->data = (uint64_t) le32toh (record.nblocks) * VOLUME_BLOCK_SIZE;
    return 1;
  }

  n->block = blocks_of (n);
  volume_get_status (n->s->v, &status);
  n->end = status.durable;
  if (n->last.seq == n->end.seq)
    n->last = n->end;            /* after a resume only its seq was known */
  n->phase = PHASE_CATCHUP;
  sender_set_state (n->s, state_of (n), "");
  return send_cursor (n, slot, err) == -1 ? -1 : 1;
}

static int
send_commit (struct session *n, struct link_slot *slot, struct error *err)
{
  struct volume_status status;
  struct frame_commit commit = { .point = n->last };
  uint32_t len;

  volume_get_status (n->s->v, &status);
  n->table = commit.generations = status.generations;
  len = frame_commit_encode (&commit, payload_of (slot));
  slot->commits = true;
  slot->point = n->last;
  if (send_frame (n, slot, FRAME_STAGE_COMMIT, len, true, err) == -1)
    return -1;
  n->phase = interval_ms (n) > 0 ? PHASE_REST : PHASE_STREAM;
  note_progress (n);
  return 1;
}

static bool
same_table (const struct volume_generations *a,
            const struct volume_generations *b)
{
  if (a->count != b->count)
    return false;
  for (uint32_t i = 0; i < a->count; i++) {
    if (a->table[i].id != b->table[i].id ||
        a->table[i].first_seq != b->table[i].first_seq)
      return false;
  }
  return true;
}

static bool
knows_generation (const struct volume_generations *table, uint64_t id)
{
  for (uint32_t i = 0; i < table->count; i++) {
    if (table->table[i].id == id)
      return true;
  }
  return false;
}

/* Before the first record of a generation that the peer does not know. */
static int
send_table (struct session *n, struct link_slot *slot,
            const struct volume_generations *table, struct error *err)
{
  slot->commits = false;
  n->table = *table;
  return send_frame (n, slot, FRAME_GENERATIONS,
                     frame_generations_encode (table, payload_of (slot)),
                     true, err);
}

static int
send_held (struct session *n, struct error *err)
{
  struct link_slot *slot = n->held, *other;
  struct volume_status status;
  uint64_t data;
  bool is_full;

  volume_get_status (n->s->v, &status);
  n->is_unsettled = !knows_generation (&status.generations,
                                       slot->point.generation);
  if (n->is_unsettled)
    return 0;                    /* the map has not come that far yet */
  if (n->phase == PHASE_STREAM &&
      !same_table (&status.generations, &n->table)) {
    other = link_free_slot (n->link);
    if (other == NULL)
      return 0;                  /* comes back when one is free */
    if (send_table (n, other, &status.generations, err) == -1)
      return -1;
  }
  n->held = NULL;
  slot->is_held = false;
  slot->commits = n->phase == PHASE_STREAM;
  data = n->last.bytes == 0 ? 0 : minus (slot->point.bytes, n->last.bytes);
  is_full = slot->length >= pace_batch (&n->pace) / 2;
  n->last = slot->point;
  if (send_frame (n, slot, FRAME_RECORDS, slot->length, true, err) == -1)
    return -1;
  slot->data = data;
  slot->is_full = is_full;
  return 1;
}

static int
send_records (struct session *n, struct link_slot *slot, struct error *err)
{
  unsigned records;
  ssize_t len;

  volume_cursor_set_batch (n->cursor, pace_batch (&n->pace));
  len = volume_cursor_read (n->cursor, payload_of (slot), FRAME_PAYLOAD_MAX,
                            &slot->point, &records, err);
  if (len <= 0)
    return len;
  slot->length = len;
  slot->is_held = true;
  n->held = slot;
  return send_held (n, err);
}

static int
send_next (struct session *n, struct error *err)
{
  struct link_slot *slot;

  if (n->phase == PHASE_REST)
    return 0;
  if (n->held != NULL)
    return send_held (n, err);
  slot = link_free_slot (n->link);
  if (slot == NULL)
    return 0;
  if (n->phase == PHASE_SCAN)
    return send_scan (n, slot, err);
  if (n->phase == PHASE_CATCHUP && n->last.seq >= n->end.seq)
    return send_commit (n, slot, err);
  return send_records (n, slot, err);
}

static int
send_heartbeat (struct session *n, struct error *err)
{
  struct link_slot *slot = link_free_slot (n->link);

  if (slot == NULL)
    return 0;
  slot->commits = false;
  return send_frame (n, slot, FRAME_HEARTBEAT, 0, false, err);
}

static uint64_t
appended_seq (void *volume)
{
  struct volume_point appended;

  volume_get_points (volume, &appended, NULL);
  return appended.seq;
}

/* Tell the peer what flushes wait for, if that is to change. */
static int
send_promise (struct session *n, struct error *err)
{
  struct link_slot *slot = link_free_slot (n->link);
  struct frame_promise promise;
  struct volume_point appended;
  uint64_t behind;

  if (slot == NULL || !n->is_committed)
    return 0;
  volume_get_points (n->s->v, &appended, NULL);
  behind = minus (appended.bytes, n->last.bytes);
  if (!sync_step (n->s->config.sync, behind <= NEAR_BYTES, appended_seq,
                  n->s->v, &promise.promise, &promise.lease_ms))
    return 0;
  slot->promise = promise.promise;
  slot->commits = false;
  return send_frame (n, slot, FRAME_PROMISE,
                     frame_promise_encode (&promise, payload_of (slot)),
                     true, err);
}

/* With the promise in force records need not be durable here first. */
static void
set_ahead (struct session *n)
{
  bool is_ahead = n->phase == PHASE_STREAM && n->is_committed &&
    sync_ships_ahead (n->s->config.sync);

  if (is_ahead == n->is_ahead)
    return;
  n->is_ahead = is_ahead;
  volume_cursor_set_ahead (n->cursor, is_ahead);
  volume_ship_on (n->s->v, is_ahead);
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
    if (n->is_cycle && !n->is_committed)
      n->is_committed = true;
    if (!n->is_committed) {
      n->is_committed = true;
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
    return send_heartbeat (n, err);
  return 0;
}

static bool
is_done (struct session *n)
{
  struct sender *s = n->s;

  if (!s->config.oneshot || state_of (n) != SENDER_STREAM)
    return false;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->status_lock);
  return s->status.peer_committed.seq >= s->target_seq;
}

/* ------------------------------------------------------------------ */
/* Intervals.                                                           */

static uint64_t
end_of_rest (const struct session *n)
{
  return n->level_ns + interval_ms (n) * NS_PER_MSEC;
}

/* An interval counts from when there was nothing left to send. */
static bool
is_rest_over (struct session *n)
{
  struct volume_point appended;
  uint64_t now = clock_mono_ns ();

  volume_get_points (n->s->v, &appended, NULL);
  if (appended.seq <= n->last.seq)
    n->level_ns = now;
  return now >= end_of_rest (n) && n->is_committed &&
    link_in_flight (n->link) == 0;
}

/* What changed since the peer's commit point goes as one stage. */
static enum session_end
begin_cycle (struct session *n, struct error *err)
{
  enum session_end end;

  n->is_cycle = true;
  if ((end = agree (n, err)) != SESSION_END_UNSET)
    return end;
  note_progress (n);
  return open_cursor (n, n->first_seq, err);
}

/* REST is entered and left as the interval is set. */
static enum session_end
keep_interval (struct session *n, struct error *err)
{
  bool is_on = interval_ms (n) > 0;

  if (is_on && n->phase == PHASE_STREAM && n->is_committed &&
      n->held == NULL && !n->is_ahead)
    n->phase = PHASE_REST;
  if (n->phase != PHASE_REST)
    return SESSION_END_UNSET;

  /* The journal may go on without a cursor that does not. */
  close_cursor (n);
  if (!is_on) {
    n->phase = PHASE_STREAM;
    return open_cursor (n, n->last.seq + 1, err);
  }
  return is_rest_over (n) ? begin_cycle (n, err) : SESSION_END_UNSET;
}

/* ------------------------------------------------------------------ */

/* Send what there is and what may be sent.  RET_MS: look again after that. */
static int
send_all (struct session *n, unsigned *ret_ms, struct error *err)
{
  enum sender_wait wait = WAITS_WRITES;
  uint64_t limited_ns = 0;
  int sent = 1;

  pace_set_limit (&n->pace, atomic_load (&n->s->limit_bps),
                  clock_mono_ns ());
  while (sent == 1 &&
         (limited_ns = pace_wait_ns (&n->pace, clock_mono_ns ())) == 0)
    sent = send_next (n, err);
  if (sent == -1)
    return -1;

  *ret_ms = n->s->config.heartbeat_ms;
  if (limited_ns > 0) {
    wait = WAITS_LIMIT;
    if (limited_ns < *ret_ms * NS_PER_MSEC)
      *ret_ms = limited_ns / NS_PER_MSEC + 1;
  }
  else if (n->phase == PHASE_REST) {
    uint64_t now = clock_mono_ns (), until = end_of_rest (n);

    sender_set_rest (n->s, until);
    if (until < now + *ret_ms * NS_PER_MSEC)
      *ret_ms = minus (until, now) / NS_PER_MSEC + 1;
    return 0;
  }
  else if (n->held != NULL && n->is_unsettled) {
    wait = WAITS_MAP;
    *ret_ms = SETTLE_MS;
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
      return end_of_failure (n, err);
    if (is_done (n))
      return SESSION_DONE;
    set_ahead (n);
    if ((end = keep_interval (n, err)) != SESSION_END_UNSET)
      return atomic_load (&n->s->stop) ? SESSION_STOPPED : end;
    if (send_all (n, &wait_ms, err) == -1 || send_promise (n, err) == -1 ||
        keep_alive (n, err) == -1)
      return end_of_failure (n, err);
    if (!n->is_ahead && n->held == NULL && n->phase != PHASE_REST &&
        link_free_slot (n->link) != NULL)
      watcher_arm (n->s->watcher, n->last.seq);
    sender_note_lag (n->s);
    if (link_poll (n->link, wait_ms, err) == -1)
      return end_of_failure (n, err);
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
  note_progress (n);
  sender_begin_rate (s);
  sender_set_state (s, state_of (n), "");
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
  n->link = link_open (&config, err);
  if (n->link == NULL)
    end = atomic_load (&s->stop) ? SESSION_STOPPED :
      errno == EACCES ? SESSION_REFUSED : SESSION_LOST;
  else if ((end = begin (n, err)) == SESSION_END_UNSET) {
    note_open (n);
    end = work (n, err);
  }
  volume_ship_on (s->v, false);
  *ret_was_open = n->was_open;
  close_cursor (n);
  if (n->link != NULL && end != SESSION_LOST)
    link_settle (n->link, CLOSE_MS);
  link_close (n->link);
  explicit_bzero (&n->keys, sizeof n->keys);
  free (n);
  return end;
}

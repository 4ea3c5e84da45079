/* The frames of a session: delta records of the scan, stream records, commit,
 * generations, promises.  session.c has the table of the phases.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "format.h"
#include "replica-internal.h"
#include "session-internal.h"

#define NEAR_BYTES (8u << 20)    /* so far behind flushes may begin to wait */

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

static int
send_cursor (struct session *n, struct link_slot *slot, struct error *err)
{
  struct frame_cursor cursor = { n->block, session_blocks (n) };

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

  if (n->block >= session_blocks (n) ||
      (n->block >= n->changed.from && n->block < n->changed.end))
    return 0;
  if (n->mending != NULL) {
    session_fill_mend (n);
    return 0;
  }
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

  if (n->uncovered >= n->s->config.cursor_bytes)
    return send_cursor (n, slot, err) == -1 ? -1 : 1;
  slot->commits = false;
  if (n->peer_differs && ask_changed (n, err) == -1)
    return -1;
  len = volume_delta_read (n->s->v, n->since,
                           n->peer_differs ? &n->changed : NULL, &n->block,
                           payload_of (slot), n->s->config.copy_bytes, err);
  if (len == -1)
    return -1;
  session_note_progress (n);
  if (len == 0 && n->block < session_blocks (n))
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

  n->block = session_blocks (n);
  volume_get_status (n->s->v, &status);
  n->end = status.durable;
  if (n->last.seq == n->end.seq)
    n->last = n->end;            /* after a resume only its seq was known */
  n->phase = PHASE_CATCHUP;
  sender_set_state (n->s, session_state (n), "");
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
  n->phase = session_interval_ms (n) > 0 ? PHASE_REST : PHASE_STREAM;
  session_note_progress (n);
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

int
session_send_next (struct session *n, struct error *err)
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

int
session_send_heartbeat (struct session *n, struct error *err)
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

int
session_send_promise (struct session *n, struct error *err)
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

void
session_set_ahead (struct session *n)
{
  bool is_ahead = n->phase == PHASE_STREAM && n->is_committed &&
    sync_ships_ahead (n->s->config.sync);

  if (is_ahead == n->is_ahead)
    return;
  n->is_ahead = is_ahead;
  volume_cursor_set_ahead (n->cursor, is_ahead);
  volume_ship_on (n->s->v, is_ahead);
}

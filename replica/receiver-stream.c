/* Frames: put in order, applied, made durable (see receiver-internal.h).
 *
 * Frames may come in any order on any thread.  A write of one goes through
 * these steps:
 *
 *   step     waits until                          leaves when
 *   turn     all frames before it are applied,    gap_ms are over (the session
 *            nobody is in the volume              ends), session ended
 *   apply    -                                    done, or the session ends
 *   durable  a flush covers it (FUA only)         session ended
 *
 * The one that finds its frame applied but not durable flushes for all that
 * are applied, unless the next frame is already here: then that one is
 * applied first.  So a window of frames costs one flush.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "receiver-internal.h"
#include "replica-internal.h"

static int
apply_commit (struct volume *v, const struct frame *frame,
              const void *payload, struct error *err)
{
  struct frame_commit commit;

  if (frame_commit_decode (payload, frame->length, &commit, err) == -1 ||
      volume_receive_flush (v, err) == -1 ||
      volume_generations_set (v, &commit.generations, err) == -1)
    return -1;
  return volume_stage_commit (v, &commit.point, err);
}

static int
apply_generations (struct volume *v, const struct frame *frame,
                   const void *payload, struct error *err)
{
  struct volume_generations table;

  if (frame_generations_decode (payload, frame->length, &table, err) == -1)
    return -1;
  return volume_generations_set (v, &table, err);
}

static int
apply_promise (struct receiver *r, const struct frame *frame,
               const void *payload, struct error *err)
{
  struct frame_promise promise;

  if (frame_promise_decode (payload, frame->length, &promise, err) == -1 ||
      volume_receive_flush (r->v, err) == -1)
    return -1;

  /* Records may come before they are durable at the primary. */
  if (promise.promise != REPLICA_PROMISE_NONE &&
      volume_set_ahead (r->v, true, err) == -1)
    return -1;
  return sync_hear (r->config.sync, promise.promise, promise.lease_ms, err);
}

/* In the volume, without the lock. */
static int
apply_frame (struct receiver *r, const struct frame *frame,
             const void *payload, struct frame_cursor *ret_scan,
             struct error *err)
{
  switch (frame->type) {
  case FRAME_RECORDS:
    return volume_receive (r->v, payload, frame->length, err);
  case FRAME_STAGE_CURSOR:
    if (frame_cursor_decode (payload, frame->length, ret_scan, err) == -1)
      return -1;
    return volume_stage_cursor (r->v, ret_scan->block, err);
  case FRAME_STAGE_COMMIT:
    return apply_commit (r->v, frame, payload, err);
  case FRAME_GENERATIONS:
    return apply_generations (r->v, frame, payload, err);
  case FRAME_HEARTBEAT:
    return frame->length == 0 ? 0 :
      error_set (err, EBADMSG, "a heartbeat with a payload");
  case FRAME_PROMISE:
    return apply_promise (r, frame, payload, err);
  case FRAME_UNSET:
    break;
  }
  return error_set (err, EBADMSG, "a frame of no known type");
}

static bool
session_is (const struct receiver_conn *c, uint64_t session)
{
  return receiver_conn_has_session (c) && c->joined == session;
}

static bool
next_frame_is_here (const struct receiver *r)
{
  for (const struct waiter *w = r->waiters; w != NULL; w = w->next) {
    if (w->offset == r->next)
      return true;
  }
  return false;
}

static void
waiter_remove (struct receiver *r, struct waiter *w)
{
  struct waiter **p = &r->waiters;

  while (*p != w)
    p = &(*p)->next;
  *p = w->next;
}

/* Wait until FRAME is the next one and nobody is in the volume, and be the
 * one who is.
 */
static int
take_turn_locked (struct receiver_conn *c, const struct frame *frame,
                  struct error *err)
{
  struct receiver *r = c->r;
  uint64_t gap_ns = r->config.gap_ms * NS_PER_MSEC;
  uint64_t deadline = clock_mono_ns () + gap_ns;
  struct waiter w = { r->waiters, frame->offset };
  const char *why = NULL;

  r->waiters = &w;
  while (why == NULL) {
    if (!session_is (c, frame->session))
      why = "the session of a frame has ended";
    else if (frame->offset < r->next)
      why = "a frame came a second time";
    else if (frame->offset == r->next && !r->busy && r->v != NULL)
      break;
    else if (cond_wait_until (&r->changed, &r->lock,
                              deadline) == ETIMEDOUT) {
      deadline += gap_ns;
      if (session_is (c, frame->session) && !r->busy &&
          !next_frame_is_here (r)) {
        why = "a frame of the stream is missing";
        receiver_end_session_locked (r);
      }
    }
  }
  waiter_remove (r, &w);
  if (why != NULL)
    return receiver_refuse_locked (c, err, WIRE_RESULT_STALE, why);
  r->busy = true;
  return 0;
}

static void
hear_locked (struct receiver *r, const struct frame *frame)
{
  r->heard_ns = clock_mono_ns ();
  if (frame->appended.seq >= r->known.seq)
    r->known = frame->appended;
}

/* Apply in turn.  Called and returns with the lock held, works without. */
static int
apply_in_turn_locked (struct receiver_conn *c, const struct frame *frame,
                      const void *payload, struct error *err)
{
  struct receiver *r = c->r;
  struct error cause = ERROR_INIT;
  struct frame_cursor scan;
  int rc;

  if (take_turn_locked (c, frame, err) == -1)
    return -1;
  hear_locked (r, frame);
  scan = r->scan;
  pthread_mutex_unlock (&r->lock);

  volume_confirm (r->v, frame->durable_seq);
  rc = apply_frame (r, frame, payload, &scan, &cause);

  pthread_mutex_lock (&r->lock);
  receiver_leave_volume_locked (r);
  if (rc == -1) {
    receiver_refuse_cause_locked (c, err, &cause);
    if (session_is (c, frame->session))
      receiver_end_session_locked (r);
    return -1;
  }
  if (session_is (c, frame->session)) {
    r->next = frame->offset + FRAME_HEADER_SIZE + frame->length;
    r->scan = scan;
  }
  return 0;
}

/* Wait until the stream up to END is durable, or make it so. */
static int
make_durable_locked (struct receiver_conn *c, uint64_t session, uint64_t end,
                     struct error *err)
{
  struct receiver *r = c->r;

  for (;;) {
    struct error cause = ERROR_INIT;
    uint64_t upto = r->next;
    int rc;

    if (!session_is (c, session))
      return receiver_refuse_locked (c, err, WIRE_RESULT_STALE,
                                     "the session of a frame has ended");
    if (r->flushed >= end)
      return 0;
    if (r->busy || next_frame_is_here (r)) {
      pthread_cond_wait (&r->changed, &r->lock);
      continue;
    }
    r->busy = true;
    pthread_mutex_unlock (&r->lock);
    rc = volume_receive_flush (r->v, &cause);
    pthread_mutex_lock (&r->lock);
    receiver_leave_volume_locked (r);
    if (rc == -1) {
      receiver_refuse_cause_locked (c, err, &cause);
      if (session_is (c, session))
        receiver_end_session_locked (r);
      return -1;
    }
    if (session_is (c, session))
      r->flushed = upto;
  }
}

/* A frame that does not decode.  If it stands in the session's stream, that
 * stream has a hole now: end the session rather than let the others wait.
 */
static int
refuse_garbage (struct receiver_conn *c, const struct error *cause,
                struct error *err)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&c->r->lock);

  receiver_refuse_locked (c, err, WIRE_RESULT_GARBAGE, cause->message);
  if (receiver_conn_has_session (c))
    receiver_end_session_locked (c->r);
  return -1;
}

int
receiver_write_frame (struct receiver_conn *c, const void *buf, uint32_t count,
             uint64_t offset, bool fua, struct error *err)
{
  struct receiver *r = c->r;
  struct error cause = ERROR_INIT;
  struct frame frame;

  if (!receiver_conn_is_authenticated (c))
    return receiver_refuse (c, err, WIRE_RESULT_UNAUTHENTICATED, "stream");
  if (frame_decode (buf, count, &frame, &cause) == -1)
    return refuse_garbage (c, &cause, err);
  if (frame.offset != offset || frame.session == 0) {
    error_set (&cause, EBADMSG, "a frame is not where it says it is");
    return refuse_garbage (c, &cause, err);
  }

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->lock);

  /* Whoever proved to have the secret and knows the session is of it. */
  if (frame.session == r->session)
    c->joined = frame.session;
  if (apply_in_turn_locked (c, &frame,
                            (const uint8_t *) buf + FRAME_HEADER_SIZE,
                            err) == -1)
    return -1;
  if (!fua)
    return 0;
  return make_durable_locked (c, frame.session, offset + count, err);
}

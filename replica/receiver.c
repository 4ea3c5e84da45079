/* The secondary's end of the link (see replica.h).
 *
 * Works in the threads that call it: one for each NBD request in flight.
 * Frames may come in any order on any of them; they are put in order here.
 *
 * A write of a frame goes through these steps:
 *
 *   step     waits until                          leaves when
 *   turn     all frames before it are applied,    gap_ms are over (ESTALE, the
 *            nobody is in the volume              session ends), session ended
 *   apply    -                                    done, or the session ends
 *   durable  a flush covers it (FUA only)         session ended
 *
 * One thread at a time is in the volume ("busy").  The one that finds its
 * frame applied but not durable flushes for all that are applied, unless the
 * next frame is already here: then that one is applied first.  So a window
 * of frames costs one flush.
 *
 * Invariants: only the thread that set busy uses r->v (receiver_get_status
 * excepted: its caller owns the volume).  flushed <= next; next is the end of
 * the last applied frame.  A session that ended never comes back: its id is
 * random and set to 0, and all waits look at it.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "replica-internal.h"
#include "wire.h"

#define GAP_MS 10000

/* A frame that waits for its turn; lives on its thread's stack. */
struct waiter {
  struct waiter *next;
  uint64_t offset;
};

struct receiver {
  struct receiver_config config;

  /* Guards all below and all of every struct receiver_conn. */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  unsigned refs;                 /* the owner's and one a connection */
  struct volume *v;              /* NULL: let go of */
  bool accept;
  bool busy;

  uint64_t session;              /* 0: none */
  struct receiver_conn *session_conn;
  uint64_t next, flushed;        /* stream offsets */
  struct waiter *waiters;

  bool has_known;
  struct volume_point known;
  uint64_t heard_ns;             /* monotonic, 0: never */
  struct frame_cursor scan;      /* blocks 0: not told */
};

struct receiver_conn {
  struct receiver *r;
  struct wire_keys keys;
  bool auth_tried, is_authenticated;
  struct wire_result result;     /* first refusal since the session began */
};

/* ------------------------------------------------------------------ */

struct receiver *
receiver_new (struct volume *v, const struct receiver_config *config,
              struct error *err)
{
  struct receiver *r = calloc (1, sizeof *r);

  if (r == NULL) {
    error_set_errno (err, errno, "cannot make a receiver");
    return NULL;
  }
  r->config = *config;
  if (r->config.gap_ms == 0)
    r->config.gap_ms = GAP_MS;
  r->v = v;
  r->accept = config->accept;
  r->refs = 1;
  pthread_mutex_init (&r->lock, NULL);
  cond_init_monotonic (&r->changed);
  return r;
}

static void
receiver_unref (struct receiver *r)
{
  bool is_last;

  pthread_mutex_lock (&r->lock);
  is_last = --r->refs == 0;
  pthread_mutex_unlock (&r->lock);
  if (!is_last)
    return;
  pthread_cond_destroy (&r->changed);
  pthread_mutex_destroy (&r->lock);
  explicit_bzero (&r->config.secret, sizeof r->config.secret);
  free (r);
}

static void
end_session_locked (struct receiver *r)
{
  r->session = 0;
  r->session_conn = NULL;
  pthread_cond_broadcast (&r->changed);
}

/* Be the one in the volume; false when it is gone. */
static bool
enter_volume_locked (struct receiver *r)
{
  while (r->busy)
    pthread_cond_wait (&r->changed, &r->lock);
  if (r->v == NULL)
    return false;
  r->busy = true;
  return true;
}

static void
leave_volume_locked (struct receiver *r)
{
  r->busy = false;
  pthread_cond_broadcast (&r->changed);
}

void
receiver_free (struct receiver *r)
{
  if (r == NULL)
    return;
  pthread_mutex_lock (&r->lock);
  r->accept = false;
  end_session_locked (r);
  if (enter_volume_locked (r)) {
    r->v = NULL;
    leave_volume_locked (r);
  }
  pthread_mutex_unlock (&r->lock);
  receiver_unref (r);
}

void
receiver_set_accept (struct receiver *r, bool accept)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->lock);

  r->accept = accept;
  if (!accept)
    end_session_locked (r);
}

int
receiver_stop_and_rollback (struct receiver *r, struct error *err)
{
  struct volume_status status;
  int ret = 0;

  pthread_mutex_lock (&r->lock);
  r->accept = false;
  end_session_locked (r);
  if (!enter_volume_locked (r)) {
    pthread_mutex_unlock (&r->lock);
    return error_set (err, ESHUTDOWN, "the receiver is shut down");
  }
  pthread_mutex_unlock (&r->lock);

  volume_get_status (r->v, &status);
  if (status.role == VOLUME_ROLE_SECONDARY) {
    ret = volume_receive_flush (r->v, err);
    if (ret == 0)
      ret = volume_stage_drop (r->v, err);
  }

  pthread_mutex_lock (&r->lock);
  leave_volume_locked (r);
  memset (&r->scan, 0, sizeof r->scan);
  pthread_mutex_unlock (&r->lock);
  return ret;
}

/* ------------------------------------------------------------------ */
/* What it tells.                                                       */

static unsigned
stage_progress (const struct volume_status *status,
                const struct frame_cursor *scan)
{
  uint64_t blocks = status->size / VOLUME_BLOCK_SIZE;
  uint64_t done = status->stage.cursor;

  if (!status->stage.is_active)
    return status->committed.seq > 0 ? 100 : 0;
  if (scan->blocks == blocks && scan->block > done)
    done = scan->block;
  return percent_unfinished (done, blocks);
}

void
receiver_get_status (struct receiver *r, struct receiver_status *ret)
{
  struct volume_status status;
  struct volume_point known, committed;
  struct frame_cursor scan;
  struct volume *v;

  memset (ret, 0, sizeof *ret);
  pthread_mutex_lock (&r->lock);
  v = r->v;
  scan = r->scan;
  ret->accept = r->accept;
  ret->connected = r->session != 0;
  ret->was_heard = r->heard_ns != 0;
  if (ret->was_heard)
    ret->heard_ms_ago = (clock_mono_ns () - r->heard_ns) / NS_PER_MSEC;
  ret->has_known = r->has_known;
  ret->known = known = r->known;
  pthread_mutex_unlock (&r->lock);

  if (v == NULL)
    return;
  volume_get_status (v, &status);
  committed = status.committed;
  ret->is_staged = status.stage.is_active;
  ret->progress = stage_progress (&status, &scan);
  if (ret->has_known) {
    ret->loss_writes = minus (known.seq, committed.seq);
    ret->loss_bytes = minus (known.bytes, committed.bytes);
    if (ret->loss_writes > 0 && committed.time_ns > 0)
      ret->loss_seconds =
        minus (known.time_ns, committed.time_ns) / (double) NS_PER_SEC;
  }
}

/* ------------------------------------------------------------------ */
/* Connections and refusals.                                            */

struct receiver_conn *
receiver_conn_open (struct receiver *r, struct error *err)
{
  struct receiver_conn *c = calloc (1, sizeof *c);

  if (c == NULL) {
    error_set_errno (err, errno, "cannot open a connection");
    return NULL;
  }
  memcpy (c->keys.secret, r->config.secret, sizeof c->keys.secret);
  c->keys.pair = r->config.pair;
  random_bytes (c->keys.server_nonce, sizeof c->keys.server_nonce);
  c->r = r;
  pthread_mutex_lock (&r->lock);
  r->refs++;
  pthread_mutex_unlock (&r->lock);
  return c;
}

void
receiver_conn_close (struct receiver_conn *c)
{
  struct receiver *r = c->r;
  bool had_session;

  pthread_mutex_lock (&r->lock);
  had_session = r->session_conn == c;
  if (had_session)
    end_session_locked (r);
  pthread_mutex_unlock (&r->lock);
  if (had_session)
    log_line (&r->config.log, REPLICA_LOG_INFO,
              "the primary's connection was closed");
  explicit_bzero (&c->keys, sizeof c->keys);
  free (c);
  receiver_unref (r);
}

/* Note the first refusal for the RESULT page, fill ERR, set the errno that
 * NBD is given; returns -1.
 */
static int
refuse_locked (struct receiver_conn *c, struct error *err,
               enum wire_result_code code, const char *detail)
{
  if (c->result.code == WIRE_RESULT_OK) {
    c->result.code = code;
    snprintf (c->result.message, sizeof c->result.message, "%s", detail);
  }
  return error_set (err, wire_result_errno (code), "%s: %s",
                    wire_result_string (code), detail);
}

static int
refuse (struct receiver_conn *c, struct error *err,
        enum wire_result_code code, const char *detail)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&c->r->lock);

  return refuse_locked (c, err, code, detail);
}

/* The one place where an errno of the volume becomes a code of the wire. */
static enum wire_result_code
code_of_errno (int errnum)
{
  switch (errnum) {
  case EACCES: return WIRE_RESULT_UNAUTHENTICATED;
  case EBADMSG: return WIRE_RESULT_GARBAGE;
  case ESTALE: return WIRE_RESULT_STALE;
  case ENOSPC: return WIRE_RESULT_NO_SPACE;
  case EPERM: return WIRE_RESULT_NOT_ACCEPTED;
  case EINVAL: return WIRE_RESULT_MISMATCH;
  default: return WIRE_RESULT_IO;
  }
}

static bool
is_authenticated (struct receiver_conn *c)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&c->r->lock);

  return c->is_authenticated;
}

/* ------------------------------------------------------------------ */
/* Pages that are read.                                                 */

static void
status_from_volume (struct volume *v, bool accept, struct wire_status *ret)
{
  struct volume_status status;

  memset (ret, 0, sizeof *ret);
  volume_get_status (v, &status);
  ret->role = status.role;
  ret->accept = accept;
  ret->is_fenced = status.is_fenced;
  ret->fence = status.fence;
  ret->size = status.size;
  ret->volume = status.uuid;
  volume_lineage (v, &ret->lineage);
  ret->committed = status.committed;
  ret->next_seq = status.committed.seq + 1;
  ret->generations = status.generations;
  ret->stage_is_active = status.stage.is_active;
  ret->stage_id = status.stage.id;
  ret->stage_since = status.stage.since_seq;
  ret->stage_start = status.stage.start_seq;
  ret->stage_cursor = status.stage.cursor;
  ret->stage_last = status.stage.last_seq;
}

/* All that was received counts: flush first, so that nothing which was
 * received and not answered comes a second time.
 */
static int
flush_volume (struct volume *v, struct error *err)
{
  struct volume_status status;

  volume_get_status (v, &status);
  if (status.role != VOLUME_ROLE_SECONDARY)
    return 0;
  return volume_receive_flush (v, err);
}

static int
read_status (struct receiver_conn *c, void *page, struct error *err)
{
  struct receiver *r = c->r;
  struct wire_status status;
  struct error cause = ERROR_INIT;
  bool accept;
  int rc;

  pthread_mutex_lock (&r->lock);
  if (!c->is_authenticated || !enter_volume_locked (r)) {
    bool is_gone = c->is_authenticated;

    if (is_gone)
      refuse_locked (c, err, WIRE_RESULT_STALE, "the disk is closed here");
    else
      refuse_locked (c, err, WIRE_RESULT_UNAUTHENTICATED, "STATUS");
    pthread_mutex_unlock (&r->lock);
    return -1;
  }
  accept = r->accept;
  pthread_mutex_unlock (&r->lock);

  rc = flush_volume (r->v, &cause);
  if (rc == 0)
    status_from_volume (r->v, accept, &status);

  pthread_mutex_lock (&r->lock);
  leave_volume_locked (r);
  if (rc == -1)
    refuse_locked (c, err, code_of_errno (cause.errnum), cause.message);
  pthread_mutex_unlock (&r->lock);
  if (rc == -1)
    return -1;
  wire_status_encode (&status, &c->keys, page);
  return 0;
}

int
receiver_conn_read (struct receiver_conn *c, void *buf, uint32_t count,
                    uint64_t offset, struct error *err)
{
  struct wire_hello hello = { .version_min = WIRE_VERSION,
                              .version_max = WIRE_VERSION,
                              .pair = c->keys.pair };
  struct wire_result result;

  if (count != WIRE_PAGE_SIZE)
    return error_set (err, EINVAL, "only whole pages can be read here");

  switch (offset) {
  case WIRE_HELLO_OFFSET:
    memcpy (hello.nonce, c->keys.server_nonce, sizeof hello.nonce);
    wire_hello_encode (&hello, buf);
    return 0;
  case WIRE_STATUS_OFFSET:
    return read_status (c, buf, err);
  case WIRE_RESULT_OFFSET:
    pthread_mutex_lock (&c->r->lock);
    result = c->result;
    pthread_mutex_unlock (&c->r->lock);
    wire_result_encode (&result, buf);
    return 0;
  default:
    return error_set (err, EINVAL, "there is no page to read at this offset");
  }
}

/* ------------------------------------------------------------------ */
/* Pages that are written.                                              */

static int
write_auth (struct receiver_conn *c, const void *page, struct error *err)
{
  struct receiver *r = c->r;
  struct error cause = ERROR_INIT;
  struct wire_auth auth;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->lock);

  /* The nonce is good for one try. */
  if (c->auth_tried)
    return refuse_locked (c, err, WIRE_RESULT_UNAUTHENTICATED,
                          "AUTH was tried before on this connection");
  c->auth_tried = true;
  if (wire_auth_decode (page, &c->keys, &auth, &cause) == -1)
    return refuse_locked (c, err, code_of_errno (cause.errnum),
                          cause.message);
  if (auth.version != WIRE_VERSION)
    return refuse_locked (c, err, WIRE_RESULT_MISMATCH,
                          "the peer wants another protocol version");
  c->is_authenticated = true;
  return 0;
}

static bool
receiver_accepts (struct receiver *r)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->lock);

  return r->accept;
}

/* May this session be?  Called in the volume, without the lock. */
static int
check_session (struct receiver *r, const struct wire_session *session,
               const struct volume_status *status,
               enum wire_result_code *ret, struct error *err)
{
  struct uuid lineage;

  if (session->fence < status->fence) {
    *ret = WIRE_RESULT_FENCED;
    return error_set (err, EPERM, "fence %llu here, %llu there",
                      (unsigned long long) status->fence,
                      (unsigned long long) session->fence);
  }
  if (status->role != VOLUME_ROLE_SECONDARY) {
    *ret = WIRE_RESULT_NOT_ACCEPTED;
    if (status->role == VOLUME_ROLE_PRIMARY &&
        session->fence > status->fence &&
        volume_meet_fence (r->v, session->fence, err) == -1) {
      *ret = WIRE_RESULT_IO;
      return -1;
    }
    return error_set (err, EPERM, "the disk is %s",
                      volume_role_name (status->role));
  }
  if (!receiver_accepts (r)) {
    *ret = WIRE_RESULT_NOT_ACCEPTED;
    return error_set (err, EPERM, "replication is stopped");
  }
  *ret = WIRE_RESULT_MISMATCH;
  if (session->size != status->size)
    return error_set (err, EINVAL, "size %llu here, %llu there",
                      (unsigned long long) status->size,
                      (unsigned long long) session->size);
  volume_lineage (r->v, &lineage);
  if ((session->kind == WIRE_SESSION_STREAM || session->stage_since != 0) &&
      !uuid_equal (&lineage, &session->lineage))
    return error_set (err, EINVAL, "the disks have different lineages");
  *ret = WIRE_RESULT_STALE;
  if (session->next_seq != status->committed.seq + 1)
    return error_set (err, ESTALE, "the commit point has moved on");
  return 0;
}

/* Make the volume ready for what will come. */
static int
prepare_session (struct receiver *r, const struct wire_session *session,
                 const struct volume_status *status, bool *ret_resumed,
                 struct error *err)
{
  if (session->fence > status->fence &&
      volume_set_role (r->v, VOLUME_ROLE_SECONDARY, &r->config.pair,
                       session->fence, err) == -1)
    return -1;
  if (session->kind == WIRE_SESSION_STREAM) {
    if (status->stage.is_active && volume_stage_drop (r->v, err) == -1)
      return -1;
    return volume_generations_set (r->v, &session->generations, err);
  }
  *ret_resumed = status->stage.is_active &&
    status->stage.id == session->stage_id &&
    status->stage.since_seq == session->stage_since &&
    status->stage.start_seq == session->stage_start;
  if (*ret_resumed)
    return 0;
  return volume_stage_begin (r->v, session->stage_id, session->stage_since,
                             session->stage_start, session->salt,
                             &session->lineage, err);
}

/* In the volume, so that no frame of the session before is being applied. */
static int
open_session (struct receiver *r, const struct wire_session *session,
              bool *ret_resumed, enum wire_result_code *ret_code,
              struct error *err)
{
  struct volume_status status;

  if (flush_volume (r->v, err) == -1) {
    *ret_code = code_of_errno (err->errnum);
    return -1;
  }
  volume_get_status (r->v, &status);
  if (check_session (r, session, &status, ret_code, err) == -1)
    return -1;
  pthread_mutex_lock (&r->lock);
  end_session_locked (r);
  pthread_mutex_unlock (&r->lock);
  if (prepare_session (r, session, &status, ret_resumed, err) == -1) {
    *ret_code = code_of_errno (err->errnum);
    return -1;
  }
  return 0;
}

static void
log_session (struct receiver *r, const struct wire_session *session,
             bool is_resumed)
{
  log_line (&r->config.log, REPLICA_LOG_INFO,
            "session %016llx: %s%s from seq %llu, primary at seq %llu",
            (unsigned long long) session->id,
            is_resumed ? "resumed " : "",
            session->kind == WIRE_SESSION_STREAM ? "stream" :
            session->stage_since == 0 ? "initial copy" : "delta",
            (unsigned long long)
            (session->kind == WIRE_SESSION_STREAM ? session->next_seq :
             session->stage_since),
            (unsigned long long) session->appended.seq);
}

static void
install_session_locked (struct receiver_conn *c,
                        const struct wire_session *session)
{
  struct receiver *r = c->r;

  r->session = session->id;
  r->session_conn = c;
  r->next = r->flushed = 0;
  r->has_known = true;
  r->known = session->appended;
  r->heard_ns = clock_mono_ns ();
  memset (&r->scan, 0, sizeof r->scan);
  memset (&c->result, 0, sizeof c->result);
}

static int
write_session (struct receiver_conn *c, const void *page, struct error *err)
{
  struct receiver *r = c->r;
  struct error cause = ERROR_INIT;
  enum wire_result_code code = WIRE_RESULT_OK;
  struct wire_session session;
  bool is_resumed = false;
  int rc;

  if (!is_authenticated (c))
    return refuse (c, err, WIRE_RESULT_UNAUTHENTICATED, "SESSION");
  if (wire_session_decode (page, &c->keys, &session, &cause) == -1)
    return refuse (c, err, code_of_errno (cause.errnum), cause.message);

  pthread_mutex_lock (&r->lock);
  if (!enter_volume_locked (r)) {
    refuse_locked (c, err, WIRE_RESULT_STALE, "the disk is closed here");
    pthread_mutex_unlock (&r->lock);
    return -1;
  }
  pthread_mutex_unlock (&r->lock);

  rc = open_session (r, &session, &is_resumed, &code, &cause);

  pthread_mutex_lock (&r->lock);
  leave_volume_locked (r);
  if (rc == 0 && !r->accept) {   /* since it was looked at */
    code = WIRE_RESULT_NOT_ACCEPTED;
    rc = error_set (&cause, EPERM, "replication was stopped");
  }
  if (rc == 0)
    install_session_locked (c, &session);
  else
    refuse_locked (c, err, code, cause.message);
  pthread_mutex_unlock (&r->lock);
  if (rc == 0)
    log_session (r, &session, is_resumed);
  return rc;
}

/* ------------------------------------------------------------------ */
/* The stream.                                                          */

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
    return 0;
  case FRAME_UNSET:
    break;
  }
  return error_set (err, EBADMSG, "a frame of no known type");
}

static bool
session_is (const struct receiver_conn *c, uint64_t session)
{
  return c->r->session == session && c->r->session_conn == c;
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
        end_session_locked (r);
      }
    }
  }
  waiter_remove (r, &w);
  if (why != NULL)
    return refuse_locked (c, err, WIRE_RESULT_STALE, why);
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

  rc = apply_frame (r, frame, payload, &scan, &cause);

  pthread_mutex_lock (&r->lock);
  leave_volume_locked (r);
  if (rc == -1) {
    refuse_locked (c, err, code_of_errno (cause.errnum), cause.message);
    if (session_is (c, frame->session))
      end_session_locked (r);
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
      return refuse_locked (c, err, WIRE_RESULT_STALE,
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
    leave_volume_locked (r);
    if (rc == -1) {
      refuse_locked (c, err, code_of_errno (cause.errnum), cause.message);
      if (session_is (c, session))
        end_session_locked (r);
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

  refuse_locked (c, err, WIRE_RESULT_GARBAGE, cause->message);
  if (c->r->session_conn == c)
    end_session_locked (c->r);
  return -1;
}

static int
write_frame (struct receiver_conn *c, const void *buf, uint32_t count,
             uint64_t offset, bool fua, struct error *err)
{
  struct receiver *r = c->r;
  struct error cause = ERROR_INIT;
  struct frame frame;

  if (!is_authenticated (c))
    return refuse (c, err, WIRE_RESULT_UNAUTHENTICATED, "stream");
  if (frame_decode (buf, count, &frame, &cause) == -1)
    return refuse_garbage (c, &cause, err);
  if (frame.offset != offset || frame.session == 0) {
    error_set (&cause, EBADMSG, "a frame is not where it says it is");
    return refuse_garbage (c, &cause, err);
  }

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->lock);

  if (apply_in_turn_locked (c, &frame,
                            (const uint8_t *) buf + FRAME_HEADER_SIZE,
                            err) == -1)
    return -1;
  if (!fua)
    return 0;
  return make_durable_locked (c, frame.session, offset + count, err);
}

int
receiver_conn_write (struct receiver_conn *c, const void *buf,
                     uint32_t count, uint64_t offset, bool fua,
                     struct error *err)
{
  if (offset >= WIRE_STREAM_OFFSET)
    return write_frame (c, buf, count, offset - WIRE_STREAM_OFFSET, fua, err);
  if (count == WIRE_PAGE_SIZE && offset == WIRE_AUTH_OFFSET)
    return write_auth (c, buf, err);
  if (count == WIRE_PAGE_SIZE && offset == WIRE_SESSION_OFFSET)
    return write_session (c, buf, err);
  return error_set (err, EINVAL, "there is no page to write at this offset");
}

int
receiver_conn_flush (struct receiver_conn *c, struct error *err)
{
  struct receiver *r = c->r;
  int rc;

  pthread_mutex_lock (&r->lock);
  if (!c->is_authenticated || !enter_volume_locked (r)) {
    refuse_locked (c, err, WIRE_RESULT_UNAUTHENTICATED, "flush");
    pthread_mutex_unlock (&r->lock);
    return -1;
  }
  pthread_mutex_unlock (&r->lock);

  rc = flush_volume (r->v, err);

  pthread_mutex_lock (&r->lock);
  leave_volume_locked (r);
  pthread_mutex_unlock (&r->lock);
  return rc;
}

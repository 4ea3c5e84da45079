/* The handshake: STATUS, AUTH and SESSION pages (see receiver-internal.h). */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "receiver-internal.h"
#include "replica-internal.h"
#include "view.h"

static void
status_from_volume (const struct receiver *r, bool accept,
                    struct wire_status *ret)
{
  struct volume *v = r->v;
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
  ret->is_given_up = !status.is_synced || status.discard.is_pending;
  ret->keeps_seq = status.is_synced ? status.discard.seq : 0;
  ret->committed = status.committed;
  ret->next_seq = status.committed.seq + 1;
  ret->confirmed_seq = status.confirmed_seq;
  ret->generations = status.generations;
  ret->stage_is_active = status.stage.is_active;
  ret->stage_id = status.stage.id;
  ret->stage_since = status.stage.since_seq;
  ret->stage_start = status.stage.start_seq;
  ret->stage_cursor = status.stage.cursor;
  ret->stage_last = status.stage.last_seq;
}

int
receiver_read_status (struct receiver_conn *c, void *page, struct error *err)
{
  struct receiver *r = c->r;
  struct wire_status status;
  struct error cause = ERROR_INIT;
  bool accept;
  int rc;

  if (!receiver_conn_is_authenticated (c))
    return receiver_refuse (c, err, WIRE_RESULT_UNAUTHENTICATED, "STATUS");
  pthread_mutex_lock (&r->lock);
  if (!receiver_enter_volume_locked (r)) {
    receiver_refuse_locked (c, err, WIRE_RESULT_STALE,
                            "the disk is closed here");
    pthread_mutex_unlock (&r->lock);
    return -1;
  }
  accept = r->accept;
  pthread_mutex_unlock (&r->lock);

  rc = receiver_flush_volume (r, &cause);
  if (rc == 0)
    status_from_volume (r, accept, &status);

  pthread_mutex_lock (&r->lock);
  receiver_leave_volume_locked (r);
  if (rc == -1)
    receiver_refuse_cause_locked (c, err, &cause);
  pthread_mutex_unlock (&r->lock);
  if (rc == -1)
    return -1;
  wire_status_encode (&status, &c->keys, page);
  return 0;
}

int
receiver_write_auth (struct receiver_conn *c, const void *page,
                     struct error *err)
{
  struct receiver *r = c->r;
  struct error cause = ERROR_INIT;
  struct wire_auth auth;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->lock);

  /* The nonce is good for one try. */
  if (c->auth_tried)
    return receiver_refuse_locked (c, err, WIRE_RESULT_UNAUTHENTICATED,
                                   "AUTH was tried before on this connection");
  c->auth_tried = true;
  if (wire_auth_decode (page, &c->keys, &auth, &cause) == -1)
    return receiver_refuse_cause_locked (c, err, &cause);
  if (auth.version != WIRE_VERSION)
    return receiver_refuse_locked (c, err, WIRE_RESULT_MISMATCH,
                                   "the peer wants another protocol version");
  c->is_authenticated = true;
  return 0;
}

/* Blocks from FROM on that the session's stage must bring whatever the
 * primary did with them: this side has written them since.  They stay the
 * same until the stage is committed.
 */
int
receiver_read_changed (struct receiver_conn *c, uint64_t from, void *page,
                       struct error *err)
{
  struct receiver *r = c->r;
  CLEANUP_FREE struct volume_changed *changed = malloc (sizeof *changed);
  struct volume_status status;

  if (!receiver_conn_is_authenticated (c))
    return receiver_refuse (c, err, WIRE_RESULT_UNAUTHENTICATED, "CHANGED");
  pthread_mutex_lock (&r->lock);
  if (changed == NULL || !receiver_conn_has_session (c) ||
      !receiver_enter_volume_locked (r)) {
    receiver_refuse_locked (c, err, WIRE_RESULT_STALE, "there is no session");
    pthread_mutex_unlock (&r->lock);
    return -1;
  }
  pthread_mutex_unlock (&r->lock);

  volume_get_status (r->v, &status);
  if (status.stage.is_active)
    volume_changed_blocks (r->v, status.stage.since_seq, from, changed);

  pthread_mutex_lock (&r->lock);
  receiver_leave_volume_locked (r);
  if (!status.stage.is_active)
    receiver_refuse_locked (c, err, WIRE_RESULT_STALE, "there is no stage");
  pthread_mutex_unlock (&r->lock);
  if (!status.stage.is_active)
    return -1;
  wire_changed_encode (changed, page);
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
  if (status->is_synced && !status->discard.is_pending &&
      view_has_own_beyond (status, &session->generations))
    return error_set (err, EINVAL, "this side has writes of its own that the "
                      "primary lacks, and no command gave them up");
  *ret = WIRE_RESULT_STALE;
  if (session->next_seq != status->committed.seq + 1)
    return error_set (err, ESTALE, "the commit point has moved on");
  if (status->discard.is_unsaved) {
    *ret = WIRE_RESULT_NOT_ACCEPTED;
    return error_set (err, EPERM, "what is given up here is still being "
                      "saved");
  }
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
  if (sync_hear_session (r->config.sync, session->promise, err) == -1)
    return -1;
  if (session->kind == WIRE_SESSION_STREAM) {
    /* It holds what is shown here: that is how it came to stream. */
    if ((status->stage.is_active && volume_stage_drop (r->v, err) == -1) ||
        volume_set_ahead (r->v, false, err) == -1)
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

  if (receiver_flush_volume (r, err) == -1) {
    *ret_code = receiver_code_of_errno (err->errnum);
    return -1;
  }
  volume_get_status (r->v, &status);
  if (check_session (r, session, &status, ret_code, err) == -1)
    return -1;
  pthread_mutex_lock (&r->lock);
  receiver_end_session_locked (r);
  pthread_mutex_unlock (&r->lock);
  if (prepare_session (r, session, &status, ret_resumed, err) == -1) {
    *ret_code = receiver_code_of_errno (err->errnum);
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
  c->joined = session->id;
  r->next = r->flushed = 0;
  r->has_known = true;
  r->known = session->appended;
  r->heard_ns = clock_mono_ns ();
  memset (&r->scan, 0, sizeof r->scan);
  memset (&c->result, 0, sizeof c->result);
}

int
receiver_write_session (struct receiver_conn *c, const void *page,
                        struct error *err)
{
  struct receiver *r = c->r;
  struct error cause = ERROR_INIT;
  enum wire_result_code code = WIRE_RESULT_OK;
  struct wire_session session;
  bool is_resumed = false, is_first;
  int rc;

  if (!receiver_conn_is_authenticated (c))
    return receiver_refuse (c, err, WIRE_RESULT_UNAUTHENTICATED, "SESSION");
  if (wire_session_decode (page, &c->keys, &session, &cause) == -1)
    return receiver_refuse_cause (c, err, &cause);

  pthread_mutex_lock (&r->lock);
  if (!receiver_enter_volume_locked (r)) {
    receiver_refuse_locked (c, err, WIRE_RESULT_STALE,
                            "the disk is closed here");
    pthread_mutex_unlock (&r->lock);
    return -1;
  }
  is_first = c->joined == 0;
  pthread_mutex_unlock (&r->lock);

  rc = open_session (r, &session, &is_resumed, &code, &cause);

  pthread_mutex_lock (&r->lock);
  receiver_leave_volume_locked (r);
  if (rc == 0 && !r->accept) {   /* since it was looked at */
    code = WIRE_RESULT_NOT_ACCEPTED;
    rc = error_set (&cause, EPERM, "replication was stopped");
  }
  if (rc == 0)
    install_session_locked (c, &session);
  else
    receiver_refuse_locked (c, err, code, cause.message);
  pthread_mutex_unlock (&r->lock);
  if (rc == 0 && is_first)
    log_session (r, &session, is_resumed);
  return rc;
}

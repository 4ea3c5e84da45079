/* The secondary's end of the link: its life, its status, its connections (see
 * replica.h and receiver-internal.h).  It works in the threads that call it:
 * one for each NBD request in flight.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "receiver-internal.h"
#include "replica-internal.h"
#include "wire-proof.h"

#define GAP_MS 10000

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

void
receiver_end_session_locked (struct receiver *r)
{
  r->session = 0;
  pthread_cond_broadcast (&r->changed);
}

bool
receiver_enter_volume_locked (struct receiver *r)
{
  while (r->busy)
    pthread_cond_wait (&r->changed, &r->lock);
  if (r->v == NULL)
    return false;
  r->busy = true;
  return true;
}

void
receiver_leave_volume_locked (struct receiver *r)
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
  receiver_end_session_locked (r);
  if (receiver_enter_volume_locked (r)) {
    r->v = NULL;
    while (r->readers > 0)
      pthread_cond_wait (&r->changed, &r->lock);
    receiver_leave_volume_locked (r);
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
    receiver_end_session_locked (r);
}

int
receiver_stop_and_rollback (struct receiver *r, struct error *err)
{
  struct volume_status status;
  int ret = 0;

  pthread_mutex_lock (&r->lock);
  r->accept = false;
  receiver_end_session_locked (r);
  if (!receiver_enter_volume_locked (r)) {
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
  receiver_leave_volume_locked (r);
  memset (&r->scan, 0, sizeof r->scan);
  pthread_mutex_unlock (&r->lock);
  return ret;
}

int
receiver_flush_volume (struct receiver *r, struct error *err)
{
  struct volume_status status;

  volume_get_status (r->v, &status);
  if (status.role != VOLUME_ROLE_SECONDARY)
    return 0;
  return volume_receive_flush (r->v, err);
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
    return status->is_synced ? 100 : 0;
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
  had_session = receiver_conn_has_session (c);
  if (had_session)
    receiver_end_session_locked (r);
  pthread_mutex_unlock (&r->lock);
  if (had_session)
    log_line (&r->config.log, REPLICA_LOG_INFO,
              "the primary's connection was closed");
  explicit_bzero (&c->keys, sizeof c->keys);
  free (c);
  receiver_unref (r);
}

int
receiver_refuse_locked (struct receiver_conn *c, struct error *err,
                        enum wire_result_code code, const char *detail)
{
  if (c->result.code == WIRE_RESULT_OK) {
    c->result.code = code;
    snprintf (c->result.message, sizeof c->result.message, "%s", detail);
  }
  return error_set (err, wire_result_errno (code), "%s: %s",
                    wire_result_string (code), detail);
}

int
receiver_refuse (struct receiver_conn *c, struct error *err,
                 enum wire_result_code code, const char *detail)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&c->r->lock);

  return receiver_refuse_locked (c, err, code, detail);
}

int
receiver_refuse_cause_locked (struct receiver_conn *c, struct error *err,
                              const struct error *cause)
{
  return receiver_refuse_locked (c, err,
                                 receiver_code_of_errno (cause->errnum),
                                 cause->message);
}

int
receiver_refuse_cause (struct receiver_conn *c, struct error *err,
                       const struct error *cause)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&c->r->lock);

  return receiver_refuse_cause_locked (c, err, cause);
}

enum wire_result_code
receiver_code_of_errno (int errnum)
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

bool
receiver_conn_is_authenticated (struct receiver_conn *c)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&c->r->lock);

  return c->is_authenticated;
}

void
receiver_conn_require_tls (struct receiver_conn *c)
{
  c->lacks_tls = true;
}

/* ------------------------------------------------------------------ */
/* The callbacks.                                                       */

static int
check_tls (struct receiver_conn *c, struct error *err)
{
  return c->lacks_tls ?
    receiver_refuse (c, err, WIRE_RESULT_TLS_REQUIRED,
                     "the connection is plain TCP") : 0;
}

int
receiver_conn_read (struct receiver_conn *c, void *buf, uint32_t count,
                    uint64_t offset, struct error *err)
{
  struct wire_hello hello = { .version_min = WIRE_VERSION,
                              .version_max = WIRE_VERSION,
                              .pair = c->keys.pair };
  struct wire_result result;

  if (count == WIRE_PROOF_SIZE)
    return check_tls (c, err) == -1 ? -1 :
      receiver_read_proof (c, buf, offset, err);
  if (count != WIRE_PAGE_SIZE)
    return error_set (err, EINVAL, "only whole pages can be read here");
  if (offset != WIRE_RESULT_OFFSET && check_tls (c, err) == -1)
    return -1;
  if (offset >= WIRE_CHANGED_OFFSET && offset % WIRE_PAGE_SIZE == 0)
    return receiver_read_changed (c, (offset - WIRE_CHANGED_OFFSET) /
                                  WIRE_PAGE_SIZE, buf, err);

  switch (offset) {
  case WIRE_HELLO_OFFSET:
    memcpy (hello.nonce, c->keys.server_nonce, sizeof hello.nonce);
    wire_hello_encode (&hello, buf);
    return 0;
  case WIRE_STATUS_OFFSET:
    return receiver_read_status (c, buf, err);
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

int
receiver_conn_write (struct receiver_conn *c, const void *buf,
                     uint32_t count, uint64_t offset, bool fua,
                     struct error *err)
{
  if (check_tls (c, err) == -1)
    return -1;
  if (count == WIRE_PROOF_SIZE && wire_is_unit_offset (offset))
    return receiver_write_unit (c, buf, (offset - WIRE_UNIT_OFFSET) /
                                WIRE_PAGE_SIZE, err);
  if (offset >= WIRE_STREAM_OFFSET)
    return receiver_write_frame (c, buf, count, offset - WIRE_STREAM_OFFSET,
                                 fua, err);
  if (count == WIRE_PAGE_SIZE && offset == WIRE_AUTH_OFFSET)
    return receiver_write_auth (c, buf, err);
  if (count == WIRE_PAGE_SIZE && offset == WIRE_SESSION_OFFSET)
    return receiver_write_session (c, buf, err);
  return error_set (err, EINVAL, "there is no page to write at this offset");
}

int
receiver_conn_flush (struct receiver_conn *c, struct error *err)
{
  struct receiver *r = c->r;
  int rc;

  if (check_tls (c, err) == -1)
    return -1;
  pthread_mutex_lock (&r->lock);
  if (!c->is_authenticated || !receiver_enter_volume_locked (r)) {
    receiver_refuse_locked (c, err, WIRE_RESULT_UNAUTHENTICATED, "flush");
    pthread_mutex_unlock (&r->lock);
    return -1;
  }
  pthread_mutex_unlock (&r->lock);

  rc = receiver_flush_volume (r, err);

  pthread_mutex_lock (&r->lock);
  receiver_leave_volume_locked (r);
  pthread_mutex_unlock (&r->lock);
  return rc;
}

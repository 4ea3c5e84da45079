/* Repair and verification at the secondary's end: WANTED, UNIT and SUMS pages
 * (see receiver-internal.h).
 *
 * They only read the volume, so they go on beside frames; who lets go of the
 * volume waits for them.  A unit that is written changes nothing but what is
 * damaged: it is taken only in the version that is shown here and does not
 * verify.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "receiver-internal.h"
#include "replica-internal.h"
#include "wire-proof.h"

#define SUMS_MS 250              /* about: blocks are read this long */
#define SUMS_STEP 64u

/* The volume, until end_reading; NULL and the refusal made. */
static struct volume *
begin_reading (struct receiver_conn *c, const char *what, struct error *err)
{
  struct receiver *r = c->r;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->lock);

  if (!c->is_authenticated) {
    receiver_refuse_locked (c, err, WIRE_RESULT_UNAUTHENTICATED, what);
    return NULL;
  }
  if (r->v == NULL) {
    receiver_refuse_locked (c, err, WIRE_RESULT_STALE,
                            "the disk is closed here");
    return NULL;
  }
  r->readers++;
  return r->v;
}

static void
end_reading (struct receiver_conn *c)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&c->r->lock);

  if (--c->r->readers == 0)
    pthread_cond_broadcast (&c->r->changed);
}

/* ------------------------------------------------------------------ */

static int
read_wanted (struct receiver_conn *c, struct volume *v, void *page,
             struct error *err)
{
  CLEANUP_FREE struct wire_wanted *wanted = malloc (sizeof *wanted);
  struct volume_status status;

  if (wanted == NULL)
    return error_set_errno (err, errno, "WANTED");
  volume_get_status (v, &status);

  /* What was before its first sync is nothing that the peer has. */
  wanted->count = status.role == VOLUME_ROLE_SECONDARY && status.is_synced ?
    volume_wants (v, wanted->want, VOLUME_WANTS_MAX) : 0;
  wire_wanted_encode (wanted, &c->keys, page);
  return 0;
}

static int
read_unit (struct receiver_conn *c, struct volume *v, uint64_t block,
           void *page, struct error *err)
{
  CLEANUP_FREE struct wire_unit *unit = calloc (1, sizeof *unit);
  ssize_t len;

  if (unit == NULL)
    return error_set_errno (err, errno, "UNIT");
  len = volume_unit_read (v, block, &unit->version, unit->unit, err);
  if (len == -1 && err->errnum == EINVAL)
    return -1;
  if (len == -1)
    unit->version = (struct volume_want) { .block = block };
  else
    unit->length = len;
  wire_unit_encode (unit, &c->keys, page);
  return 0;
}

/* As many of COUNT blocks as can be had soon: who asks waits for a page. */
static int
make_sums (struct volume *v, uint64_t block, unsigned count,
           struct wire_sums *sums, struct error *err)
{
  uint64_t until = clock_mono_ns () + SUMS_MS * NS_PER_MSEC, bytes = 0;

  while (sums->count < count && clock_mono_ns () < until) {
    unsigned n = count - sums->count < SUMS_STEP ? count - sums->count
      : SUMS_STEP;

    if (volume_sums (v, block + sums->count, n, false,
                     sums->sum + sums->count, &bytes, err) == -1)
      return -1;
    sums->count += n;
  }
  return 0;
}

static int
read_sums (struct receiver_conn *c, struct volume *v, uint64_t block,
           unsigned count, void *page, struct error *err)
{
  CLEANUP_FREE struct wire_sums *sums = calloc (1, sizeof *sums);
  struct volume_status status;
  uint64_t left;

  if (sums == NULL)
    return error_set_errno (err, errno, "SUMS");

  /* The point first: what is looked at afterwards is at least as new. */
  volume_get_status (v, &status);
  sums->is_usable = status.role == VOLUME_ROLE_SECONDARY &&
    status.is_synced && !status.discard.is_pending;
  sums->committed = status.committed;
  sums->from = block;
  if (sums->is_usable) {
    left = minus (status.size / VOLUME_BLOCK_SIZE, block);
    if (count == 0 || count > VOLUME_SUMS_MAX)
      count = VOLUME_SUMS_MAX;
    if (make_sums (v, block, count < left ? count : left, sums, err) == -1)
      return -1;

    /* What was shown meanwhile may be of another history. */
    volume_get_status (v, &status);
    if (status.committed.seq < sums->committed.seq)
      sums->is_usable = false;
  }
  wire_sums_encode (sums, &c->keys, page);
  return 0;
}

static int
read_page (struct receiver_conn *c, struct volume *v, void *page,
           uint64_t offset, struct error *err)
{
  if (offset == WIRE_WANTED_OFFSET)
    return read_wanted (c, v, page, err);
  if (wire_is_unit_offset (offset))
    return read_unit (c, v, (offset - WIRE_UNIT_OFFSET) / WIRE_PAGE_SIZE,
                      page, err);
  if (wire_is_sums_offset (offset))
    return read_sums (c, v, (offset - WIRE_SUMS_OFFSET) / WIRE_PAGE_SIZE,
                      (offset - WIRE_SUMS_OFFSET) % WIRE_PAGE_SIZE, page,
                      err);
  return error_set (err, EINVAL, "there is no page to read at this offset");
}

int
receiver_read_proof (struct receiver_conn *c, void *page, uint64_t offset,
                     struct error *err)
{
  struct volume *v = begin_reading (c, "proof", err);
  int r;

  if (v == NULL)
    return -1;
  r = read_page (c, v, page, offset, err);
  end_reading (c);
  return r;
}

int
receiver_write_unit (struct receiver_conn *c, const void *page,
                     uint64_t block, struct error *err)
{
  CLEANUP_FREE struct wire_unit *unit = malloc (sizeof *unit);
  struct error cause = ERROR_INIT;
  struct volume *v = begin_reading (c, "UNIT", err);
  int r;

  if (v == NULL)
    return -1;
  r = unit == NULL ? error_set_errno (&cause, errno, "UNIT") :
    wire_unit_decode (page, &c->keys, unit, &cause);
  if (r == 0 && unit->version.block != block)
    r = error_set (&cause, EBADMSG, "a unit is not where it says it is");
  if (r == 0)
    r = volume_unit_give (v, &unit->version, unit->unit, unit->length,
                          &cause);
  end_reading (c);
  if (r == -1)
    return receiver_refuse_cause (c, err, &cause);
  if (r == 1)
    log_line (&c->r->config.log, REPLICA_LOG_INFO,
              "block %llu was damaged and is right again: the primary had it",
              (unsigned long long) block);
  return 0;
}

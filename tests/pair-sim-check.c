/* What must be true of a site: right after it was opened or promoted, and at
 * any moment (see pair-sim.h).
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "pair-sim-internal.h"
#include "sched-sim.h"
#include "volume-internal.h"

/* All of the disk; NULL: power failed. */
static uint8_t *
read_disk (struct site *s, struct volume *v)
{
  uint64_t size = volume_size (v), at, n;
  uint8_t *content = malloc (size);

  CHECK (content, "no memory");
  for (at = 0; at < size; at += n) {
    n = size - at < (1 << 20) ? size - at : 1 << 20;
    if (volume_read (v, content + at, n, at) == -1) {
      CHECK (sim_is_off (s->sim), "site %u cannot be read: %s", s->index,
             strerror (errno));
      free (content);
      return NULL;
    }
  }
  return content;
}

bool
site_check_opened (struct site *s)
{
  struct volume_status status = site_status (s);
  uint8_t *content;
  struct place p;

  if (status.role == VOLUME_ROLE_SECONDARY && !status.is_synced) {
    CHECK (!s->was_synced, "site %u was promotable", s->index);
    return true;
  }
  content = read_disk (s, s->v);
  if (content == NULL)
    return false;
  p = place_of (&status.committed);
  CHECK (p.branch, "site %u shows a point that never was: %016" PRIx64 " %"
         PRIu64, s->index, status.committed.generation, status.committed.seq);
  if (!place_is (p, content))
    place_explain (p, content);
  CHECK (place_is (p, content), "site %u is not as it was at its point",
         s->index);
  if (status.role == VOLUME_ROLE_SECONDARY) {
    CHECK (s->seen.branch == NULL || place_holds (p, s->seen),
           "site %u was at seq %" PRIu64 " before, and is at %" PRIu64,
           s->index, s->seen.seq, p.seq);
  }
  else {
    CHECK (s->acked.branch == NULL || place_holds (p, s->acked),
           "site %u lost what was flushed: seq %" PRIu64 " of branch %u, it "
           "has %" PRIu64 " of %u", s->index, s->acked.seq,
           s->acked.branch->id, p.seq, p.branch->id);
    s->branch = branch_new (&status.committed, content);
  }
  free (content);
  return true;
}

int
site_check_promoted (struct site *s)
{
  struct volume_status status = site_status (s);
  uint8_t *content = read_disk (s, s->v);
  struct place p = place_of (&status.committed);

  if (content == NULL)
    return -1;
  CHECK (p.branch, "site %u was promoted at a point that never was",
         s->index);
  if (!place_is (p, content))
    place_explain (p, content);
  CHECK (place_is (p, content), "site %u was promoted, and is not as its "
         "primary was", s->index);
  s->branch = branch_new (&status.committed, content);
  s->acked = p;
  free (content);
  return 0;
}

void
site_check_promotable (struct site *s)
{
  struct sim_snapshot *snapshot = sim_snapshot_take (s->sim);
  struct volume *v;
  struct volume_status status, after;
  struct error err = ERROR_INIT;
  uint8_t *content;
  struct place p;

  v = site_volume_open (s, &err);
  CHECK (v, "%s", err.message);
  volume_get_status (v, &status);
  if (status.role == VOLUME_ROLE_SECONDARY && status.is_synced) {
    CHECK (volume_receive_flush (v, &err) == 0 &&
           volume_stage_drop (v, &err) == 0 &&
           volume_set_role (v, VOLUME_ROLE_PRIMARY, &sim_pair,
                            status.fence + 1000, &err) == 0,
           "it cannot be promoted: %s", err.message);
    volume_get_status (v, &after);
    content = read_disk (s, v);
    p = place_of (&after.committed);
    CHECK (p.branch && place_is (p, content),
           "promoted, site %u is not as it was at its point", s->index);
    free (content);
    world.count.trials++;
  }
  volume_abandon (v);
  sim_snapshot_restore (s->sim, snapshot);
  sim_snapshot_free (snapshot);
}

static bool
check_claim (struct site *s)
{
  const struct branch *writing = s->other->branch;
  struct place held, acked = s->other->acked;
  struct volume_status status;
  struct volume_point point;

  if (!site_is_up (s) || s->sync == NULL || acked.branch == NULL)
    return false;
  status = site_status (s);
  if (status.role != VOLUME_ROLE_SECONDARY || !status.is_synced ||
      sync_prove_zero (s->sync, NULL) != SYNC_PROVEN)
    return false;
  /* What is staged it would not show. */
  point = status.stage.is_active ? status.committed : status.durable;
  held = place_of (&point);
  /* Of a write that has not returned yet: newer than all that did. */
  if (held.branch == NULL && (writing->generation == 0 ||
                              writing->generation == point.generation))
    held = (struct place) { writing, point.seq };
  CHECK (held.branch && place_holds (held, acked), "site %u has seq %" PRIu64
         ", and claims to lack nothing; a flush of seq %" PRIu64
         " of branch %u was answered", s->index, held.seq, acked.seq,
         acked.branch->id);
  return true;
}

bool
site_check_claim (struct site *s)
{
  bool is_proven;

  if (s->is_ending)
    return false;
  s->looks++;
  is_proven = check_claim (s);
  s->looks--;
  sched_wake (&s->looks);
  return is_proven;
}

/* ------------------------------------------------------------------ */
/* At any moment.                                                       */

/* Nobody relies on what is not given, or on a lease that is over there: who
 * abandoned a promise answers nothing as long as it may be relied on.  (A
 * promise that ends when the peer is lost is none that could be relied on.)
 */
static void
check_promise (struct site *primary)
{
  struct site *s = primary->other;
  struct sync_status mode;
  uint64_t left_ms;

  if (!site_is_up (s) || s->sync == NULL ||
      s->record.heard != REPLICA_PROMISE_SUSPEND ||
      sync_prove_zero (s->sync, &left_ms) != SYNC_PROVEN)
    return;
  CHECK (primary->record.given == REPLICA_PROMISE_SUSPEND ||
         primary->record.abandoned != SYNC_ABANDONED_NONE,
         "site %u heard %s, %s was given", s->index,
         replica_promise_name (s->record.heard),
         replica_promise_name (primary->record.given));
  if (!site_is_up (primary) || primary->sync == NULL)
    return;
  sync_get_status (primary->sync, &mode);
  CHECK (primary->record.given == REPLICA_PROMISE_SUSPEND ||
         site_status (primary).is_fenced || mode.hold_ms >= left_ms,
         "site %u relies on what was abandoned for %" PRIu64 " ms, flushes "
         "wait %" PRIu64 " ms", s->index, left_ms, mode.hold_ms);
}

static void
check_primary (struct site *s)
{
  const struct model *m = &s->branch->model;
  struct volume_status status = site_status (s);
  uint8_t *content = read_disk (s, s->v);

  if (content == NULL)
    return;
  CHECK (status.appended.seq == branch_last (s->branch), "seq %" PRIu64
         ", %" PRIu64 " were written", status.appended.seq,
         branch_last (s->branch));
  CHECK (memcmp (content, m->data, m->size) == 0,
         "site %u does not show what was written", s->index);
  free (content);
}

/* A write was refused that a secondary or a fenced primary must refuse. */
static void
check_refuses (struct site *s)
{
  static const uint8_t block[VOLUME_BLOCK_SIZE];

  CHECK (volume_write (s->v, block, sizeof block, 0, 0) == -1,
         "site %u takes a write", s->index);
}

static void
check_secondary (struct site *s)
{
  uint64_t deadline = sched_now () + 200 * NS_PER_MSEC;
  bool is_right = false;

  check_refuses (s);
  check_promise (s->other);
  while (!is_right && site_is_up (s)) {
    struct volume_status status = site_status (s), after;
    struct place p = place_of (&status.committed);
    uint8_t *content;

    CHECK (status.is_synced || !s->was_synced, "site %u was promotable",
           s->index);
    if (!status.is_synced)
      return;
    s->was_synced |= status.committed.seq > 0;
    content = read_disk (s, s->v);
    if (content == NULL)
      return;
    after = site_status (s);
    is_right = p.branch && place_is (p, content);
    if (!is_right && sched_now () > deadline &&
        memcmp (&after.committed, &status.committed,
                sizeof after.committed) == 0) {
      CHECK (p.branch, "site %u shows a point that never was", s->index);
      place_explain (p, content);
      CHECK (is_right, "site %u is not as its primary was", s->index);
    }
    free (content);
    if (!is_right)
      sched_sleep (NS_PER_MSEC);
  }
}

void
site_check (struct site *s)
{
  struct volume_status status;

  if (!site_is_up (s))
    return;
  status = site_status (s);
  world.count.checks++;
  if (status.is_failed)
    return;                      /* power is failing */
  if (status.role == VOLUME_ROLE_SECONDARY)
    check_secondary (s);
  else if (s->branch != NULL)
    check_primary (s);
}

/* What the plugin's requests do with a site (plugin/control-*.c), without
 * JSON (see pair-sim.h).
 */

#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "generations.h"
#include "pair-sim-internal.h"
#include "sched-sim.h"

#define TELL_MS 100

int
op_link_start (struct site *s)
{
  if (site_status (s).role != VOLUME_ROLE_PRIMARY)
    return -1;
  site_stop_sender (s);
  s->link.is_on = true;
  site_start_sender (s);
  return 0;
}

static void
take_promise_back (struct site *s)
{
  struct sender_status status;

  sync_configure (s->sync, &s->link.mode, false);
  if (s->sender == NULL)
    return;
  sender_get_status (s->sender, &status);
  if (status.connected_ms > 0) {
    sender_kick (s->sender);
    sync_wait_told (s->sync, TELL_MS);
  }
}

void
op_link_stop (struct site *s)
{
  take_promise_back (s);
  site_stop_sender (s);
  if (sim_is_off (s->sim))
    return;
  s->link.is_on = false;
  site_force_sync (s);
}

int
op_accept (struct site *s)
{
  if (site_status (s).role != VOLUME_ROLE_SECONDARY)
    return -1;
  s->link.accepts = true;
  receiver_set_accept (s->receiver, true);
  return 0;
}

int
op_replica_stop (struct site *s)
{
  struct error err = ERROR_INIT;

  if (site_status (s).role != VOLUME_ROLE_SECONDARY)
    return -1;
  s->link.accepts = false;
  if (receiver_stop_and_rollback (s->receiver, &err) == -1 ||
      sync_hear (s->sync, REPLICA_PROMISE_NONE, 0, &err) == -1) {
    CHECK (sim_is_off (s->sim) || s->is_full, "%s", err.message);
    return -1;
  }
  return 0;
}

bool
op_mode (struct site *s, const struct sync_settings *mode, bool force)
{
  bool is_told;

  s->link.mode = *mode;
  site_configure_sync (s);
  if (s->sender) {
    sender_set_interval (s->sender, site_interval_ms (s));
    sender_kick (s->sender);
  }
  is_told = sync_wait_told (s->sync, TELL_MS);
  if (!is_told && force)
    site_force_sync (s);
  return is_told;
}

void
op_interval (struct site *s, unsigned interval)
{
  s->link.interval_ms = interval;
  if (s->sender)
    sender_set_interval (s->sender, site_interval_ms (s));
}

/* Now and then power fails while the role is changed. */
static void
maybe_crash_soon (struct site *s)
{
  if (random_chance (&s->rng, 10))
    sim_crash_after (s->sim, random_below (&s->rng, 40),
                     random_next (&s->rng));
}

int
op_promote (struct site *s, uint64_t fence, bool *ret_proven)
{
  struct volume_status status = site_status (s);
  struct error err = ERROR_INIT;
  uint64_t left_ms;

  if (status.role != VOLUME_ROLE_SECONDARY || !status.is_synced ||
      fence <= status.fence)
    return -1;
  maybe_crash_soon (s);
  if (receiver_stop_and_rollback (s->receiver, &err) == -1 ||
      volume_receive_flush (s->v, &err) == -1)
    goto failed;
  s->link.accepts = false;
  *ret_proven = sync_prove_zero (s->sync, &left_ms) == SYNC_PROVEN;
  world.proven_until = sched_now () + left_ms * NS_PER_MSEC;
  if (volume_set_role (s->v, VOLUME_ROLE_PRIMARY, &sim_pair, fence,
                       &err) == -1)
    goto failed;
  if (random_chance (&s->rng, 10))
    sim_crash (s->sim, random_next (&s->rng));
  if (sim_is_off (s->sim) || site_check_promoted (s) == -1)
    return -1;
  if (sync_reset (s->sync, &err) == -1)
    goto failed;
  return 0;

 failed:
  CHECK (sim_is_off (s->sim) || s->is_full, "site %u: %s", s->index,
         err.message);
  if (!sim_is_off (s->sim))
    receiver_set_accept (s->receiver, s->link.accepts);
  return -1;
}

static void
history_of (struct site *s, struct pair_history *ret)
{
  struct volume_status status = site_status (s);
  struct pair_point last = { status.committed.generation,
                             status.committed.seq };

  memset (ret, 0, sizeof *ret);
  for (uint32_t i = 0; i < status.generations.count; i++) {
    const struct volume_generation *g = &status.generations.table[i];

    pair_history_add (ret, g->id, g->first_seq, &g->writer);
  }
  CHECK (pair_history_close (ret, last), "site %u: its table does not fit",
         s->index);
}

/* Was the one promoted before the other had written anything that it had?
 * What is common then has no generation.
 */
static bool
only_empty_disk_is_common (const struct pair_history *a,
                           const struct pair_history *b)
{
  const struct pair_generation *p = &a->generation[0];
  const struct pair_generation *q = &b->generation[0];

  return p->first_seq == 1 && q->first_seq == 1 && p->id != q->id;
}

int
op_demote (struct site *s, uint64_t fence, bool saves)
{
  struct pair_history mine, theirs;
  struct pair_point common = { 0, 0 };
  struct volume_tail tail;
  struct error err = ERROR_INIT;
  int r;

  if (site_status (s).role != VOLUME_ROLE_PRIMARY)
    return -1;
  guests_stop (s);
  if (volume_flush (s->v) == -1)
    goto failed;
  while (site_is_up (s) &&
         site_status (s).committed.seq < site_status (s).appended.seq)
    sched_sleep (NS_PER_MSEC);
  if (!site_is_up (s))
    return -1;
  history_of (s, &mine);
  history_of (s->other, &theirs);
  if (mine.last_seq > 0 && theirs.last_seq > 0)
    CHECK (pair_history_common (&mine, &theirs, &common) ==
           PAIR_COMMON_FOUND || only_empty_disk_is_common (&mine, &theirs),
           "the two have nothing in common");
  if (volume_tail_measure (s->v, common.seq, false, &tail, &err) == -1)
    goto failed;
  CHECK (tail.writes == mine.last_seq - common.seq, "%" PRIu64 " writes are "
         "given up, %" PRIu64 " were named", mine.last_seq - common.seq,
         tail.writes);
  maybe_crash_soon (s);
  site_stop_replication (s);
  r = sync_forget_heard (s->sync, &err);
  s->link.is_on = s->link.accepts = false;
  if (r == 0)
    r = volume_demote (s->v, fence, common.generation, common.seq,
                       saves && tail.writes > 0, &err);
  if (r == 0 && !sim_is_off (s->sim))
    SAY ("site %u gives up %" PRIu64 " writes after seq %" PRIu64, s->index,
         tail.writes, common.seq);
  site_start_replication (s);
  if (r == -1)
    goto failed;
  CHECK (sync_prove_zero (s->sync, NULL) != SYNC_PROVEN,
         "site %u claims to lack nothing of a primary it never heard",
         s->index);
  s->seen.branch = NULL;
  return sim_is_off (s->sim) ? -1 : 0;

 failed:
  CHECK (sim_is_off (s->sim) || s->is_full, "site %u: %s", s->index,
         err.message);
  return -1;
}

/* pair.set with the same role and a higher fence. */
int
op_raise (struct site *s, uint64_t fence)
{
  struct error err = ERROR_INIT;
  int r;

  site_stop_replication (s);
  r = volume_set_role (s->v, site_status (s).role, &sim_pair, fence, &err);
  CHECK (r == 0 || sim_is_off (s->sim) || s->is_full, "%s", err.message);
  site_start_replication (s);
  return r;
}

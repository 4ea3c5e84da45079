/* Promises 1 to 7 of a pair, in a simulated world (docs/design/promises.md).
 *
 * Two sites, their disks, the network, all threads and the clock are decided
 * by a seed: PAIRDISK_SEED=n PAIRDISK_ROUNDS=1 makes the same run again, and
 * with PAIRDISK_SIM_LOG=1 tells what happens in it.  See pair-sim.h,
 * sched-sim.h, net-sim.h and io-sim.h.
 *
 * A round: guests write and flush, and faults and commands happen to the
 * pair: power fails on either side or both, connections break, stall, or lead
 * to a peer that does nothing; a site's disk is full; the secondary is
 * promoted at any moment, the old primary returns, one of the two is given
 * up; roles are changed in good order; modes and intervals change.  Some
 * rounds are about copies: of larger disks, on slow lines, broken in the
 * middle again and again.  At the end all is healed, and both sides must
 * become equal by themselves.
 */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "net-sim.h"
#include "pair-sim.h"
#include "sched-sim.h"

#define ROUNDS 150
#define PROOF_MS SYNC_PROOF_MS_MIN
#define CONVERGE_S 20                /* of simulated time */
#define ROUND_SECONDS 60             /* of real time, then it hangs */

static struct site *
any_site (void)
{
  return &world.site[random_below (&world.rng, 2)];
}

static bool
chance (unsigned percent)
{
  return random_chance (&world.rng, percent);
}

/* The site in ROLE, if there is exactly one, and it is up. */
static struct site *
site_as (enum volume_role role)
{
  struct site *found = NULL;
  unsigned i;

  for (i = 0; i < 2; i++) {
    struct site *s = &world.site[i];

    if (!site_is_up (s) || site_status (s).role != role)
      continue;
    if (found)
      return NULL;
    found = s;
  }
  return found;
}

static bool
are_up (void)
{
  return site_is_up (&world.site[0]) && site_is_up (&world.site[1]);
}

/* Both are primary: somebody was promoted. */
static bool
is_split (void)
{
  return are_up () &&
    site_status (&world.site[0]).role == VOLUME_ROLE_PRIMARY &&
    site_status (&world.site[1]).role == VOLUME_ROLE_PRIMARY;
}

/* Power that failed in the middle of something. */
static void
look_after (void)
{
  unsigned i;

  for (i = 0; i < 2; i++) {
    struct site *s = &world.site[i];

    if (s->v != NULL && sim_is_off (s->sim))
      site_crash (s, chance (50));
  }
}

static void
pass_time (uint64_t ms)
{
  uint64_t end = sched_now () + ms * NS_PER_MSEC;

  do {
    sched_sleep (random_below (&world.rng, 20 * NS_PER_MSEC));
    look_after ();
  } while (sched_now () < end);
}

static void
repair_links (void)
{
  struct site *primary = site_as (VOLUME_ROLE_PRIMARY);
  struct site *secondary = site_as (VOLUME_ROLE_SECONDARY);

  if (primary && secondary) {
    /* Somebody's power failed in the middle of a demotion. */
    if (site_status (primary).is_fenced) {
      bool was_on = primary->guest.is_on, is_raised;

      /* It is no longer fenced, and takes writes when that is durable. */
      SAY ("site %u is the winner", primary->index);
      guests_stop (primary);
      is_raised = op_raise (primary, world.fence) == 0;
      if (was_on)
        guests_start (primary);
      if (!is_raised)
        return;
    }
    if (!secondary->link.accepts)
      op_accept (secondary);
    if (!primary->link.is_on)
      op_link_start (primary);
  }
}

/* All that is written is noted, then each side is looked at. */
static void
check_sites (void)
{
  bool was_on[2];
  unsigned i;

  for (i = 0; i < 2; i++) {
    struct guest *g = &world.site[i].guest;

    was_on[i] = g->is_on;
    g->is_on = false;
    while (g->writes)
      sched_wait (g, SCHED_NEVER);
  }
  for (i = 0; i < 2; i++)
    site_check (&world.site[i]);
  for (i = 0; i < 2; i++)
    if (was_on[i])
      guests_start (&world.site[i]);
  look_after ();
}

/* ------------------------------------------------------------------ */
/* What happens.                                                        */

static void
do_crash (void)
{
  struct site *s = any_site ();

  if (site_is_up (s))
    site_crash (s, chance (50));
  if (chance (20) && site_is_up (s->other))
    site_crash (s->other, chance (50));
}

static void
do_crash_soon (void)
{
  struct site *s = any_site ();

  if (site_is_up (s))
    sim_crash_after (s->sim, random_below (&world.rng, 300),
                     random_next (&world.rng));
}

static void
do_restart (void)
{
  struct site *s = any_site ();

  if (s->v == NULL)
    site_open (s);
  else if (site_is_up (s) && chance (15)) {
    site_close (s);
    site_open (s);
  }
}

static void
do_cut (void)
{
  SAY ("all connections break");
  net_cut ();
}

static void
do_block (void)
{
  unsigned way = random_below (&world.rng, 3);

  SAY ("no messages %s", way == 0 ? "from 0" : way == 1 ? "from 1" :
       "either way");
  if (way != 1)
    net_block (0, true);
  if (way != 0)
    net_block (1, true);
}

static void
do_hang (void)
{
  net_hang (any_site ()->index, true);
  SAY ("a site hangs");
}

static void
do_heal (void)
{
  unsigned i;

  for (i = 0; i < 2; i++) {
    net_block (i, false);
    net_hang (i, false);
  }
}

static void
do_speed (void)
{
  net_set_speed (random_below (&world.rng, chance (20) ? 20000000 : 500000),
                 UINT64_C (1) << (20 + random_below (&world.rng, 11)));
}

static void
do_full (void)
{
  struct site *s = any_site ();

  if (!site_is_up (s))
    return;
  SAY ("no space at site %u", s->index);
  world.count.full++;
  s->is_full = true;
  sim_fail (s->sim, SIM_SPACE, 0, ENOSPC, true);
}

static void
do_space (void)
{
  unsigned i;

  for (i = 0; i < 2; i++)
    if (world.site[i].v)
      sim_fail (world.site[i].sim, 0, 0, 0, false);
}

static void
do_mode (void)
{
  struct sync_settings mode = { chance (70), chance (60), PROOF_MS };
  struct site *s = site_as (VOLUME_ROLE_PRIMARY);

  if (s == NULL)
    s = any_site ();
  if (!site_is_up (s))
    return;
  SAY ("site %u: mode %s, %s", s->index, mode.is_sync ? "sync" : "async",
       mode.suspends ? "suspend" : "degrade");
  op_mode (s, &mode, chance (20));
}

static void
do_link_stop (void)
{
  struct site *s = any_site ();

  if (!site_is_up (s))
    return;
  SAY ("site %u: the link stops", s->index);
  if (site_status (s).role == VOLUME_ROLE_PRIMARY)
    op_link_stop (s);
  else
    op_replica_stop (s);
}

static void
do_limit (void)
{
  struct site *s = site_as (VOLUME_ROLE_PRIMARY);

  if (s && s->sender)
    sender_set_limit (s->sender, chance (50) ? 0 :
                      100000 + random_below (&world.rng, 10000000));
}

/* Of what the old primary answered nothing is missing, if that is said. */
static void
note_proof (struct site *s, bool is_proven)
{
  struct volume_status status = site_status (s);
  struct site *old = s->other;

  world.proven_to = NULL;
  if (!is_proven)
    return;
  world.count.proven++;
  world.proven = place_of (&status.committed);
  world.is_alone = old->record.abandoned != SYNC_ABANDONED_NONE;
  CHECK (old->acked.branch == NULL || place_holds (world.proven, old->acked),
         "site %u was promoted at seq %" PRIu64 " of branch %u and says it "
         "lacks nothing; a flush of seq %" PRIu64 " of branch %u was answered",
         s->index, world.proven.seq, world.proven.branch->id,
         old->acked.seq, old->acked.branch->id);
  world.proven_to = old;
}

static void
do_failover (void)
{
  struct site *s = any_site ();
  bool is_proven = false;
  struct guest *old = &s->other->guest;
  bool was_on = old->is_on;
  int r;

  if (!site_is_up (s) || site_status (s).role != VOLUME_ROLE_SECONDARY)
    return;
  /* What is written while it is promoted has no name yet. */
  old->is_on = false;
  while (old->writes)
    sched_wait (old, SCHED_NEVER);
  r = op_promote (s, world.fence + 1, &is_proven);
  if (r == 0) {
    world.fence++;
    world.count.failovers++;
    SAY ("site %u is promoted%s", s->index,
         is_proven ? ", and lacks nothing" : "");
    note_proof (s, is_proven);
    guests_start (s);
  }
  if (was_on)
    guests_start (s->other);
  look_after ();
}

/* Two primaries: one of them is given up. */
static void
do_resolve (void)
{
  struct site *loser = any_site (), *winner = loser->other;

  if (!is_split ())
    return;
  SAY ("site %u is the loser", loser->index);
  world.proven_to = NULL;
  world.fence++;
  guests_stop (winner);
  if (op_demote (loser, world.fence, chance (50)) == 0 &&
      site_is_up (winner)) {
    world.count.reversed++;
    loser->acked.branch = NULL;
    if (op_raise (winner, world.fence) == 0 && site_is_up (winner))
      op_link_start (winner);
    if (site_is_up (loser))
      op_accept (loser);
  }
  guests_start (winner);
  look_after ();
}

static void
do_salvage (void)
{
  struct error err = ERROR_INIT;
  unsigned i;

  for (i = 0; i < 2; i++) {
    struct site *s = &world.site[i];

    if (site_is_up (s) && site_status (s).discard.is_unsaved)
      CHECK (volume_salvaged (s->v, &err) == 0 || sim_is_off (s->sim), "%s",
             err.message);
  }
}

static void
do_interval (void)
{
  struct site *s = site_as (VOLUME_ROLE_PRIMARY);
  unsigned ms = chance (40) ? 0 : 1 + random_below (&world.rng, 200);

  if (s == NULL)
    return;
  SAY ("site %u: commits every %u ms", s->index, ms);
  world.count.intervals += ms > 0 && !s->link.mode.is_sync;
  op_interval (s, ms);
}

/* Guests write as much as they can. */
static void
be_busy (uint64_t ms)
{
  unsigned i;

  for (i = 0; i < 2; i++) {
    world.site[i].guest.is_busy = true;
    guests_start (&world.site[i]);
  }
  pass_time (ms);
  for (i = 0; i < 2; i++)
    world.site[i].guest.is_busy = false;
}

static void
do_be_busy (void)
{
  be_busy (random_below (&world.rng, 60));
}

/* Both go their own ways for a while: that takes a delta. */
static void
do_estrange (void)
{
  do_failover ();
  if (!is_split ())
    return;
  be_busy (random_below (&world.rng, 60));
  do_resolve ();
  if (chance (80))
    do_salvage ();
  repair_links ();
}

static void
break_copy (struct site *to)
{
  struct site *s = chance (50) ? to : to->other;

  switch (random_below (&world.rng, 5)) {
  case 0:
    site_crash (s, chance (50));
    break;
  case 1:
    sim_crash_after (s->sim, random_below (&world.rng, 100),
                     random_next (&world.rng));
    break;
  case 2:
    do_block ();
    pass_time (random_below (&world.rng, 500));
    break;
  default:
    do_cut ();
  }
}

/* A copy ends in the middle, again and again. */
static void
do_break_copy (void)
{
  uint64_t deadline = sched_now () + 300 * NS_PER_MSEC;
  unsigned i, left = 1 + random_below (&world.rng, 4);

  while (left > 0 && sched_now () < deadline) {
    for (i = 0; i < 2 && !site_is_copied (&world.site[i]); i++)
      ;
    if (i < 2) {
      pass_time (random_below (&world.rng, 60));
      if (!site_is_copied (&world.site[i]))
        continue;
      world.count.broken++;
      break_copy (&world.site[i]);
      left--;
      deadline = sched_now () + 300 * NS_PER_MSEC;
    }
    look_after ();
    if (chance (80))
      do_heal ();
    for (i = 0; i < 2; i++)
      if (world.site[i].v == NULL)
        site_open (&world.site[i]);
    repair_links ();
    pass_time (2);
  }
}

static bool
is_in_step (struct site *primary, struct site *secondary)
{
  struct volume_status a, b;
  struct sender_status link;

  if (!site_is_up (primary) || !site_is_up (secondary) ||
      primary->sender == NULL)
    return false;
  sender_get_status (primary->sender, &link);
  a = site_status (primary);
  b = site_status (secondary);
  return link.state == SENDER_STREAM && link.has_peer_committed &&
    link.lag_writes == 0 && b.is_synced &&
    a.appended.generation == b.committed.generation &&
    a.appended.seq == b.committed.seq;
}

/* Roles change in good order, and nothing is lost. */
static void
do_switchover (void)
{
  struct site *old = site_as (VOLUME_ROLE_PRIMARY);
  struct site *new = site_as (VOLUME_ROLE_SECONDARY);
  bool is_proven = false;
  uint64_t deadline;

  if (old == NULL || new == NULL)
    return;
  guests_stop (old);
  volume_flush (old->v);
  for (deadline = sched_now () + NS_PER_SEC; sched_now () < deadline &&
       !is_in_step (old, new); look_after ())
    sched_sleep (5 * NS_PER_MSEC);
  if (is_in_step (old, new) &&
      op_promote (new, world.fence + 1, &is_proven) == 0) {
    struct place here = { old->branch, branch_last (old->branch) };
    struct place there = { new->branch, branch_last (new->branch) };

    SAY ("site %u takes over", new->index);
    CHECK (place_holds (there, here), "a switchover lost writes");
    world.fence++;
    if (op_demote (old, world.fence, true) == 0 && site_is_up (new)) {
      world.count.switched++;
      old->acked.branch = NULL;
      op_link_start (new);
      if (site_is_up (old))
        op_accept (old);
    }
    guests_start (new);
  }
  if (site_is_up (old) && site_status (old).role == VOLUME_ROLE_PRIMARY)
    guests_start (old);
  look_after ();
}

static const struct event {
  void (*happen) (void);
  unsigned weight;
} events[] = {
  { do_crash, 8 }, { do_crash_soon, 8 }, { do_restart, 25 }, { do_cut, 8 },
  { do_block, 6 }, { do_hang, 4 }, { do_heal, 20 }, { do_speed, 5 },
  { do_full, 2 }, { do_space, 10 }, { do_mode, 8 }, { do_link_stop, 3 },
  { repair_links, 15 }, { do_limit, 2 }, { do_failover, 5 },
  { do_resolve, 10 }, { do_salvage, 10 }, { do_switchover, 4 },
  { do_interval, 5 }, { do_be_busy, 2 }, { check_sites, 15 },
};

/* In a round about copies this happens as often as all the rest. */
static const struct event copy_events[] = {
  { do_estrange, 10 }, { do_break_copy, 15 }, { do_interval, 5 },
  { do_be_busy, 5 }, { check_sites, 10 },
};

static void
one_of (const struct event *event, size_t count)
{
  unsigned total = 0, n, i;

  for (i = 0; i < count; i++)
    total += event[i].weight;
  n = random_below (&world.rng, total);
  for (i = 0; n >= event[i].weight; i++)
    n -= event[i].weight;
  event[i].happen ();
  look_after ();
}

static void
something (void)
{
  if (world.is_copies && chance (50))
    one_of (copy_events, sizeof copy_events / sizeof copy_events[0]);
  else
    one_of (events, sizeof events / sizeof events[0]);
}

/* ------------------------------------------------------------------ */

static void
write_a_little (struct site *s)
{
  s->guest.pause_us = 1 + random_below (&world.rng, 1000);
  guests_start (s);
  sched_sleep (20 * NS_PER_MSEC);
  guests_stop (s);
}

/* No crash that was still to come does any more.  False: one just did. */
static bool
keep_power (void)
{
  bool is_up = true;

  for (unsigned i = 0; i < 2; i++) {
    sim_crash_after (world.site[i].sim, UINT64_MAX, 0);
    is_up = is_up && site_is_up (&world.site[i]);
  }
  return is_up;
}

/* All is well again: both become equal by themselves. */
static void
converge (void)
{
  struct site *primary = NULL, *secondary = NULL;
  uint64_t deadline = sched_now () + CONVERGE_S * NS_PER_SEC;
  bool is_done = false;
  unsigned i;

  SAY ("all is well again");
  world.is_well = true;
  do_heal ();
  net_set_speed (100000, 1000000000);
  keep_power ();
  while (!is_done) {
    CHECK (sched_now () < deadline, "the two do not come together");
    look_after ();
    do_space ();
    for (i = 0; i < 2; i++)
      if (world.site[i].v == NULL)
        site_open (&world.site[i]);
    if (is_split ())
      do_resolve ();
    do_salvage ();
    primary = site_as (VOLUME_ROLE_PRIMARY);
    secondary = site_as (VOLUME_ROLE_SECONDARY);
    repair_links ();
    if (primary && secondary) {
      if (primary->sender)
        sender_set_limit (primary->sender, 0);
      write_a_little (primary);
      for (i = 0; i < 100 && !is_done; i++) {
        sched_sleep (20 * NS_PER_MSEC);
        is_done = is_in_step (primary, secondary);
      }
      is_done = is_done && keep_power ();
    }
    else
      sched_sleep (10 * NS_PER_MSEC);
  }
  check_sites ();
  guests_stop (primary);
  site_check (primary);
  site_check (secondary);
}

static void
pair_begin (void)
{
  struct site *primary = &world.site[0], *secondary = &world.site[1];
  struct error err = ERROR_INIT;
  unsigned i;

  for (i = 0; i < 2; i++) {
    struct site *s = &world.site[i];

    s->index = i;
    s->other = &world.site[!i];
    site_create (s, random_next (&world.rng));
    guest_threads (s);
  }
  for (i = 0; i < 2; i++)
    while (!site_open (&world.site[i]))
      ;
  sim_crash_after (primary->sim, UINT64_MAX, 0);
  sim_crash_after (secondary->sim, UINT64_MAX, 0);
  if (world.is_copies) {
    primary->guest.is_busy = true;
    write_a_little (primary);
    primary->guest.is_busy = false;
    net_set_speed (random_below (&world.rng, 2000000),
                   UINT64_C (1) << (22 + random_below (&world.rng, 6)));
  }
  else if (chance (70))
    write_a_little (primary);
  primary->link.mode = (struct sync_settings) {
    chance (60), chance (60), PROOF_MS
  };
  secondary->link.mode = primary->link.mode;
  world.fence = 1;
  CHECK (volume_set_role (primary->v, VOLUME_ROLE_PRIMARY, &sim_pair, 1,
                          &err) == 0 &&
         volume_set_role (secondary->v, VOLUME_ROLE_SECONDARY, &sim_pair, 1,
                          &err) == 0, "%s", err.message);
  CHECK (op_raise (primary, 1) == 0 && op_raise (secondary, 1) == 0, " ");
  guests_start (primary);
  op_accept (secondary);
  op_link_start (primary);
}

static void
one_round (void *opaque)
{
  uint64_t seed = *(uint64_t *) opaque, n;
  struct net_site net[2];
  unsigned i;

  memset (&world.site, 0, sizeof world.site);
  world.rng = seed;
  world.proven_to = NULL;
  world.fence = 0;
  world.is_copies = chance (40);
  world.is_verbose = getenv ("PAIRDISK_SIM_LOG") != NULL;
  for (i = 0; i < 2; i++)
    site_net (&world.site[i], &net[i]);
  net_begin (random_next (&world.rng), net);
  pair_begin ();
  for (n = random_below (&world.rng, 50); n > 0; n--) {
    something ();
    pass_time (random_below (&world.rng, chance (20) ? 500 : 60));
  }
  converge ();
  for (i = 0; i < 2; i++) {
    guest_threads_end (&world.site[i]);
    site_close (&world.site[i]);
  }
  net_end ();
  for (i = 0; i < 2; i++)
    site_release (&world.site[i]);
  history_end ();
}

/* What a round leaves for the next and for the sum of all. */
struct result {
  uint64_t steps, trace;
  struct counts count;
};

/* Each round has a process of its own, so that nothing is left over from the
 * one before: not even the state of LZ4's tables.
 */
static struct result *
run (uint64_t seed)
{
  static struct result *result;
  uint64_t rng = test_seed = seed;
  unsigned percent = random_below (&rng, 3) * 10;
  int status = -1;
  pid_t pid;

  if (result == NULL)
    result = mmap (NULL, sizeof *result, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK (result != MAP_FAILED, "no memory");
  fflush (NULL);
  pid = fork ();
  CHECK (pid != -1, "no process");
  if (pid == 0) {
    alarm (ROUND_SECONDS);
    world.count = result->count;
    sched_run (random_next (&rng), percent, one_round, &seed);
    *result = (struct result) { sched_steps (), sched_trace (), world.count };
    _exit (0);
  }
  waitpid (pid, &status, 0);
  if (status != 0)
    fprintf (stderr, "# to see what happens: PAIRDISK_SIM_LOG=1 "
             "PAIRDISK_SEED=%" PRIu64 " PAIRDISK_ROUNDS=1\n", seed);
  assert_int_equal (status, 0);
  return result;
}

static void
test_pair_sim (void **state)
{
  uint64_t rounds = test_begin (ROUNDS), i;
  struct counts count = { 0 };

  (void) state;
  for (i = 0; test_goes_on (i, rounds); i++)
    count = run (test_round_seed (i))->count;
  printf ("# %" PRIu64 " crashes, %" PRIu64 " failovers (%" PRIu64
          " proven), %" PRIu64 " provable after a crash, %" PRIu64
          " splits ended, %" PRIu64 " switchovers, %" PRIu64
          " promotions tried, %" PRIu64 " checks\n", count.crashes,
          count.failovers, count.proven, count.provable, count.reversed,
          count.switched, count.trials, count.checks);
  printf ("# %" PRIu64 " first copies, %" PRIu64 " deltas, %" PRIu64
          " copies broken, %" PRIu64 " resumed, %" PRIu64 " streams, %" PRIu64
          " fenced, %" PRIu64 " times full, %" PRIu64 " intervals, %" PRIu64 " writes, %" PRIu64
          " flushes\n", count.initials, count.deltas, count.broken,
          count.resumed, count.streams, count.fenced, count.full,
          count.intervals, count.writes, count.flushes);
}

/* A seed makes the same run each time. */
static void
test_replay (void **state)
{
  struct result first = *run (1000);

  (void) state;
  run (1001);
  assert_int_equal (run (1000)->steps, first.steps);
  assert_int_equal (run (1000)->trace, first.trace);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_pair_sim),
    cmocka_unit_test (test_replay),
  };

  const char *sanitizers = getenv ("PAIRDISK_SANITIZERS");

  if (sanitizers && *sanitizers) {
    puts ("1..0 # SKIP sanitizers do not follow threads that are coroutines");
    return 0;
  }
  return cmocka_run_group_tests (tests, NULL, NULL);
}

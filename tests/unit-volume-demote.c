/* The loser of a split: what it gave up stays shown until all of it is
 * replaced at once, also through crashes, and nothing of it is left then.
 *
 * Two volumes in one process, on simulated disks.  They are in step; the
 * primary writes on, the secondary is promoted and written, too; one of them,
 * at random, is demoted and brought up to date by what either changed, with
 * power failures of the loser in between.  Then the same again.
 */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io-sim.h"
#include "volume-image.h"
#include "volume-internal.h"
#include "volume-model.h"

#define MIB (UINT64_C (1) << 20)
#define DISK (4 * MIB)
#define CHUNK (2 * MIB)

static const struct volume_options options = {
  .staging_bytes = 6 << 20, .commit_delay_ms = 1
};

static const struct uuid pair = { { 7 } };

struct side {
  struct sim *sim;
  struct volume *v;
};

struct split {
  uint64_t rng;
  struct side side[2];
  struct side *primary, *secondary;      /* when in step */
  struct side *winner, *loser;           /* when not */
  uint64_t fence;
  uint8_t *buf, *chunk, *given_up;       /* all that the loser shows */
  struct volume_changed *changed;
  struct volume_point common;
  uint64_t next_block, must_reach;
  unsigned crashes, resumed, refused, turns;
};

static struct volume_status
status_of (const struct side *side)
{
  struct volume_status status;

  volume_get_status (side->v, &status);
  return status;
}

static void
side_open (struct side *side)
{
  struct error err = ERROR_INIT;

  side->v = volume_open (sim_io (side->sim), "disk", &options, &err);
  CHECK (side->v, "%s", err.message);
}

static void
write_some (struct split *t, struct side *side, unsigned n)
{
  const struct random_range range = { 0, DISK, 3 };
  struct model ignored;

  model_init (&ignored, DISK);
  while (n-- > 0)
    CHECK (random_write (&t->rng, side->v, &ignored, &range, t->buf, 0) == 0,
           "%s", strerror (errno));
  model_release (&ignored);
  CHECK (volume_flush (side->v) == 0, "%s", strerror (errno));
  /* Also in the map. */
  while (status_of (side).committed.seq < status_of (side).appended.seq)
    usleep (100);
}

/* ------------------------------------------------------------------ */

/* The loser shows what it gave up, or all of the winner's; IS_OVER: that. */
static void
check_loser (struct split *t, bool is_over)
{
  uint8_t *loser = read_all (t->loser->v), *winner = read_all (t->winner->v);

  CHECK (memcmp (loser, is_over ? winner : t->given_up, DISK) == 0,
         "the loser does not show what it should, %s",
         is_over ? "the winner's" : "its own");
  free (loser);
  free (winner);
}

static void
loser_crashes (struct split *t)
{
  struct volume_status s;

  sim_crash (t->loser->sim, random_next (&t->rng));
  volume_abandon (t->loser->v);
  sim_restart (t->loser->sim);
  side_open (t->loser);
  t->crashes++;
  s = status_of (t->loser);
  CHECK (s.role == VOLUME_ROLE_SECONDARY, "it forgot that it lost");
  if (s.discard.is_pending)
    check_loser (t, false);
  if (s.stage.is_active) {
    t->next_block = s.stage.cursor;
    t->resumed++;
  }
}

/* -1 is right only when its power has failed. */
static int
or_crash (struct split *t, int r, const struct error *err)
{
  if (r == 0)
    return 0;
  CHECK (sim_is_off (t->loser->sim), "%s", err->message);
  loser_crashes (t);
  return -1;
}

static void
begin_stage (struct split *t, uint64_t since)
{
  struct volume_status w = status_of (t->winner);
  struct error err = ERROR_INIT;
  struct uuid lineage;

  volume_lineage (t->winner->v, &lineage);
  t->next_block = t->must_reach = 0;
  if (or_crash (t, volume_stage_begin (t->loser->v, random_next (&t->rng),
                                       since, w.committed.seq,
                                       volume_content_salt (t->winner->v),
                                       &lineage, &err), &err) == 0)
    or_crash (t, volume_generations_set (t->loser->v, &w.generations, &err),
              &err);
}

/* A part of the scan; WITH_CHANGED: of what the loser wrote, too. */
static int
send_delta (struct split *t, bool with_changed)
{
  uint64_t since = status_of (t->loser).stage.since_seq;
  struct error err = ERROR_INIT;
  ssize_t n;

  if (with_changed)
    volume_changed_blocks (t->loser->v, since, t->next_block, t->changed);
  n = volume_delta_read (t->winner->v, since,
                         with_changed ? t->changed : NULL, &t->next_block,
                         t->chunk, CHUNK, &err);
  CHECK (n >= 0, "%s", err.message);
  t->must_reach = status_of (t->winner).appended.seq;
  if (n > 0 && or_crash (t, volume_receive (t->loser->v, t->chunk, n, &err),
                         &err) == -1)
    return -1;
  return or_crash (t, volume_stage_cursor (t->loser->v, t->next_block, &err),
                   &err);
}

static int
send_stream (struct split *t)
{
  struct error err = ERROR_INIT;
  struct volume_cursor *c;
  struct volume_point last;
  unsigned records;
  ssize_t n = 1;
  int r = 0;

  c = volume_cursor_open (t->winner->v,
                          status_of (t->loser).appended.seq + 1, &err);
  CHECK (c, "%s", err.message);
  while (r == 0 && n > 0) {
    n = volume_cursor_read (c, t->chunk, CHUNK, &last, &records, &err);
    CHECK (n >= 0, "%s", err.message);
    if (n > 0)
      r = or_crash (t, volume_receive (t->loser->v, t->chunk, n, &err), &err);
  }
  volume_cursor_close (c);
  return r == 0 ? or_crash (t, volume_receive_flush (t->loser->v, &err),
                            &err) : -1;
}

/* 0: committed; -1: crashed on the way; 1: refused. */
static int
commit (struct split *t)
{
  struct volume_status w;
  struct error err = ERROR_INIT;

  if (send_stream (t) == -1)
    return -1;
  w = status_of (t->winner);
  CHECK (status_of (t->loser).appended.seq >= t->must_reach, "behind");
  if (or_crash (t, volume_generations_set (t->loser->v, &w.generations,
                                           &err), &err) == -1)
    return -1;
  if (volume_stage_commit (t->loser->v, &w.appended, &err) == 0)
    return 0;
  if (!sim_is_off (t->loser->sim) && errno == EBADMSG)
    return 1;
  return or_crash (t, -1, &err);
}

/* A primary that does not ask what the loser changed cannot commit, unless by
 * chance it changed all of that itself.
 */
static void
forget_changes (struct split *t)
{
  struct error err = ERROR_INIT;
  int r;

  begin_stage (t, t->common.seq);
  while (t->next_block < DISK / VOLUME_BLOCK_SIZE)
    if (send_delta (t, false) == -1)
      return;
  r = commit (t);
  if (r == 1)
    t->refused++;
  check_loser (t, r == 0);
  if (r == 1 &&
      volume_stage_drop (t->loser->v, &err) == -1)
    or_crash (t, -1, &err);
}

static void
replace (struct split *t, bool is_split)
{
  while (is_split ? status_of (t->loser).discard.is_pending
         : !status_of (t->loser).is_synced) {
    if (!status_of (t->loser).stage.is_active)
      begin_stage (t, is_split ? t->common.seq : 0);
    else if (t->next_block < DISK / VOLUME_BLOCK_SIZE) {
      if (is_split && random_chance (&t->rng, 20))
        write_some (t, t->winner, 1 + random_below (&t->rng, 3));
      send_delta (t, is_split);
    }
    else
      CHECK (commit (t) != 1, "the commit was refused");
    if (is_split && random_chance (&t->rng, 20))
      sim_crash_after (t->loser->sim, random_below (&t->rng, 40),
                       random_next (&t->rng));
    if (sim_is_off (t->loser->sim))
      loser_crashes (t);
  }
  sim_crash_after (t->loser->sim, UINT64_MAX, 0);
  if (sim_is_off (t->loser->sim))
    loser_crashes (t);
  while (send_stream (t) == -1)
    ;
}

/* ------------------------------------------------------------------ */

static uint64_t
count_changed (struct split *t)
{
  uint64_t n = 0, i;

  t->changed->end = 0;
  do {
    volume_changed_blocks (t->loser->v, t->common.seq, t->changed->end,
                           t->changed);
    for (i = t->changed->first; i < t->changed->end; ++i)
      n += volume_changed_has (t->changed, i);
  } while (t->changed->end < DISK / VOLUME_BLOCK_SIZE);
  return n;
}

static void
demote (struct split *t)
{
  bool save = random_chance (&t->rng, 50);
  struct error err = ERROR_INIT;
  struct volume_tail tail;
  struct uuid lineage;

  t->given_up = read_all (t->loser->v);
  CHECK (volume_tail_measure (t->loser->v, t->common.seq, false, &tail,
                              &err) == 0 &&
         tail.writes == status_of (t->loser).appended.seq - t->common.seq,
         "%" PRIu64 " writes %s", tail.writes, err.message);
  CHECK (tail.is_exact ? tail.blocks >= count_changed (t)
         : tail.blocks == count_changed (t), "%" PRIu64 " blocks",
         tail.blocks);
  CHECK (volume_demote (t->loser->v, ++t->fence, t->common.generation + 1,
                        t->common.seq, save, &err) == -1 && errno == EINVAL,
         "a point that is not in its history");
  CHECK (volume_demote (t->loser->v, t->fence, t->common.generation,
                        t->common.seq, save, &err) == 0, "%s", err.message);
  CHECK (volume_set_role (t->winner->v, VOLUME_ROLE_PRIMARY, &pair, t->fence,
                          &err) == 0, "%s", err.message);
  if (random_chance (&t->rng, 30))
    loser_crashes (t);
  CHECK (status_of (t->loser).discard.is_unsaved == save, "saving");
  volume_lineage (t->winner->v, &lineage);
  if (save)
    CHECK (volume_stage_begin (t->loser->v, 1, 0,
                               status_of (t->winner).committed.seq, 1,
                               &lineage, &err) == -1 && errno == EPERM,
           "replaced before it was saved");
  CHECK (volume_salvaged (t->loser->v, &err) == 0, "%s", err.message);
  check_loser (t, false);
}

static void
turn (struct split *t)
{
  struct error err = ERROR_INIT;
  bool reverse = random_chance (&t->rng, 50);

  write_some (t, t->primary, random_below (&t->rng, 20));
  t->common = status_of (t->secondary).committed;
  CHECK (volume_set_role (t->secondary->v, VOLUME_ROLE_PRIMARY, &pair,
                          ++t->fence, &err) == 0, "%s", err.message);
  write_some (t, t->secondary, random_below (&t->rng, 20));
  t->winner = reverse ? t->secondary : t->primary;
  t->loser = reverse ? t->primary : t->secondary;
  demote (t);
  if (random_chance (&t->rng, 20))
    forget_changes (t);
  replace (t, true);
  check_loser (t, true);
  free (t->given_up);
  CHECK (volume_close (t->loser->v, &err) == 0, "%s", err.message);
  image_check_rebuild (t->loser->sim, "disk", &options, &t->rng);
  side_open (t->loser);
  check_loser (t, true);
  t->primary = t->winner;
  t->secondary = t->loser;
  t->turns++;
}

static void
split_begin (struct split *t, uint64_t seed)
{
  struct volume_params params = { DISK, 512 * MIB, 4 * MIB };
  struct error err = ERROR_INIT;
  unsigned i;

  memset (t, 0, sizeof *t);
  t->rng = seed;
  t->buf = malloc (RANDOM_WRITE_MAX);
  t->chunk = malloc (CHUNK);
  t->changed = malloc (sizeof *t->changed);
  CHECK (t->buf && t->chunk && t->changed, "no memory");
  for (i = 0; i < 2; ++i) {
    t->side[i].sim = sim_new (random_next (&t->rng));
    /* At times so little room that the cleaner moves what is given up. */
    params.capacity = random_chance (&t->rng, 50) ? 48 * MIB : 512 * MIB;
    CHECK (volume_create (sim_io (t->side[i].sim), "disk", &params, &err)
           == 0, "%s", err.message);
    side_open (&t->side[i]);
  }
  t->fence = 1;
  t->primary = t->winner = &t->side[0];
  t->secondary = t->loser = &t->side[1];
  CHECK (volume_set_role (t->winner->v, VOLUME_ROLE_PRIMARY, &pair, 1, &err)
         == 0 && volume_set_role (t->loser->v, VOLUME_ROLE_SECONDARY, &pair,
                                  1, &err) == 0, "%s", err.message);
  write_some (t, t->winner, 10);
  replace (t, false);
}

static void
split_end (struct split *t)
{
  struct error err = ERROR_INIT;
  unsigned i;

  for (i = 0; i < 2; ++i) {
    CHECK (volume_close (t->side[i].v, &err) == 0, "%s", err.message);
    sim_free (t->side[i].sim);
  }
  free (t->buf);
  free (t->chunk);
  free (t->changed);
}

static void
test_loser_is_replaced_as_a_whole (void **state)
{
  uint64_t i, rounds = test_begin (25);
  unsigned turns = 0, crashes = 0, resumed = 0, refused = 0, n;
  struct split *t = malloc (sizeof *t);

  (void) state;
  CHECK (t, "no memory");
  for (i = 0; test_goes_on (i, rounds); ++i) {
    split_begin (t, test_round_seed (i));
    for (n = 0; n < 6; ++n)
      turn (t);
    turns += t->turns;
    crashes += t->crashes;
    resumed += t->resumed;
    refused += t->refused;
    split_end (t);
  }
  printf ("# %u turns, %u crashes, %u stages resumed, %u commits refused\n",
          turns, crashes, resumed, refused);
  free (t);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_loser_is_replaced_as_a_whole),
  };

  return cmocka_run_group_tests_name ("volume demote", tests, NULL, NULL);
}

/* Promise 3: the secondary's disk is at all times the primary's disk at some
 * earlier moment, also during a sync and after crashes of its own.
 *
 * Two volumes in one process, each on a simulated disk.  What a link would
 * do is done step by step at random: an initial sync, deltas, cursor marks,
 * the stream, commits, dropped stages, while the primary goes on writing;
 * the secondary loses power now and then and is resumed from what its status
 * says.  It had a disk of its own before, and at times so little room that its
 * cleaner moves what is shown and what is staged.
 */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "io-sim.h"
#include "volume-image.h"
#include "volume-internal.h"
#include "volume-model.h"

#define BLOCK VOLUME_BLOCK_SIZE
#define MIB (UINT64_C (1) << 20)
#define DISK (2 * MIB)
#define CHUNK (2 * MIB)
#define OPS_MAX 4000

static const struct volume_options options = {
  .staging_bytes = 6 << 20, .commit_delay_ms = 1
};

/* After the OPS first writes the primary's newest record is seq. */
struct moment {
  uint64_t seq, step;
};

struct pair {
  uint64_t rng;
  struct sim *a, *b;
  struct volume *p, *s;        /* primary, secondary */
  struct model model;          /* of the primary */
  struct moment moment[OPS_MAX + 1];
  unsigned nmoments;
  uint8_t *buf, *chunk;
  uint64_t shown;              /* step that the secondary has shown */

  /* of the stage that is open */
  uint64_t since, next_block, must_reach, stage_id;
  bool has_synced;             /* the first commit was made */
  bool has_own;                /* until then it shows a disk of its own */
  unsigned commits, crashes, resumed, rebuilt;
};

static struct volume *
open_volume (struct sim *sim)
{
  struct error err = ERROR_INIT;
  struct volume *v = volume_open (sim_io (sim), "disk", &options, &err);

  CHECK (v, "%s", err.message);
  return v;
}

static struct volume_status
status_of (struct volume *v)
{
  struct volume_status status;

  volume_get_status (v, &status);
  return status;
}

/* Another disk, which the first sync ends. */
static void
write_own_disk (struct pair *t)
{
  const struct random_range range = { 0, DISK, 3 };
  unsigned n = random_below (&t->rng, 60);
  struct model own;

  model_init (&own, DISK);
  while (n-- > 0)
    CHECK (random_write (&t->rng, t->s, &own, &range, t->buf, 0) == 0, "%s",
           strerror (errno));
  t->has_own = own.step > 0;
  model_release (&own);
}

static void
pair_begin (struct pair *t, uint64_t seed)
{
  const struct volume_params params = { DISK, 512 * MIB, 4 * MIB };
  struct volume_params small = params;
  const struct uuid id = { { 7 } };
  struct error err = ERROR_INIT;

  memset (t, 0, sizeof *t);
  t->rng = seed;
  t->a = sim_new (random_next (&t->rng));
  t->b = sim_new (random_next (&t->rng));
  t->buf = malloc (RANDOM_WRITE_MAX);
  t->chunk = malloc (CHUNK);
  CHECK (t->buf && t->chunk, "no memory");
  if (random_chance (&t->rng, 60))
    small.capacity = 48 * MIB;
  CHECK (volume_create (sim_io (t->a), "disk", &params, &err) == 0 &&
         volume_create (sim_io (t->b), "disk", &small, &err) == 0, "%s",
         err.message);
  model_init (&t->model, DISK);
  t->p = open_volume (t->a);
  t->s = open_volume (t->b);
  write_own_disk (t);
  CHECK (volume_set_role (t->p, VOLUME_ROLE_PRIMARY, &id, 1, &err) == 0 &&
         volume_set_role (t->s, VOLUME_ROLE_SECONDARY, &id, 1, &err) == 0,
         "%s", err.message);
  t->nmoments = 1;             /* nothing written: seq 0, step 0 */
}

static void
pair_end (struct pair *t)
{
  struct error err = ERROR_INIT;

  CHECK (volume_close (t->p, &err) == 0, "%s", err.message);
  CHECK (volume_close (t->s, &err) == 0, "%s", err.message);
  sim_free (t->a);
  sim_free (t->b);
  model_release (&t->model);
  free (t->buf);
  free (t->chunk);
}

/* ------------------------------------------------------------------ */

static void
primary_writes (struct pair *t, unsigned n)
{
  const struct random_range range = { 0, DISK, 3 };

  while (n-- > 0 && t->nmoments <= OPS_MAX) {
    CHECK (random_write (&t->rng, t->p, &t->model, &range, t->buf, 0) == 0,
           "%s", strerror (errno));
    t->moment[t->nmoments++] = (struct moment) {
      status_of (t->p).appended.seq, t->model.step
    };
  }
  if (random_chance (&t->rng, 70))
    CHECK (volume_flush (t->p) == 0, "%s", strerror (errno));
}

/* The secondary shows the primary's disk as of its commit point, and never
 * an earlier one than before.
 */
static void
check_shown (struct pair *t)
{
  uint64_t low, high, first = 0, last = t->model.step;
  struct error err = ERROR_INIT;
  uint8_t *content;
  uint64_t seq;
  unsigned i;

  sim_crash_after (t->b, UINT64_MAX, 0);
  if (sim_is_off (t->b) || (t->has_own && !t->has_synced))
    return;                      /* it is looked at after the crash */
  /* Else what was received goes on being applied while we look. */
  CHECK (volume_receive_flush (t->s, &err) == 0, "%s", err.message);
  seq = status_of (t->s).committed.seq;
  content = read_all (t->s);
  for (i = 0; i < t->nmoments; ++i) {
    if (t->moment[i].seq <= seq)
      first = t->moment[i].step;
    if (t->moment[i].seq >= seq) {
      last = t->moment[i].step;
      break;
    }
  }
  CHECK (t->shown <= last, "shown step %" PRIu64 ", now seq %" PRIu64
         " which is step %" PRIu64, t->shown, seq, last);
  if (first < t->shown)
    first = t->shown;
  if (!model_match (&t->model, content, 0, t->model.nblocks, first, &low,
                    &high) || low > last) {
    model_explain (&t->model, content, 0, t->model.nblocks, first);
    CHECK (false, "not the primary's disk at seq %" PRIu64 " (steps %" PRIu64
           " to %" PRIu64 ")", seq, first, last);
  }
  t->shown = first;
  free (content);
}

static void
print_finding (void *opaque, const struct volume_finding *f)
{
  (void) opaque;
  fprintf (stderr, "# %s at %" PRIu64 ", block %" PRId64 ": %s\n", f->file,
           f->position, f->block, f->what);
}

/* With a map made anew from its journal it is the same disk. */
static void
secondary_is_rebuilt (struct pair *t)
{
  struct error err = ERROR_INIT;

  CHECK (volume_close (t->s, &err) == 0, "%s", err.message);
  image_check_rebuild (t->b, "disk", &options, &t->rng);
  t->s = open_volume (t->b);
  t->rebuilt++;
}

static void
secondary_crashes (struct pair *t)
{
  struct volume_check_result result;
  struct error err = ERROR_INIT;
  struct volume_status status;

  sim_crash (t->b, random_next (&t->rng));
  volume_abandon (t->s);
  sim_restart (t->b);
  while (random_chance (&t->rng, 20)) {
    sim_crash_after (t->b, random_below (&t->rng, 60),
                     random_next (&t->rng));
    t->s = volume_open (sim_io (t->b), "disk", &options, &err);
    sim_crash (t->b, random_next (&t->rng));
    if (t->s)
      volume_abandon (t->s);
    sim_restart (t->b);
  }
  CHECK (volume_check (sim_io (t->b), "disk", print_finding, NULL, NULL,
                       &result, &err) == 0 && result.findings == 0,
         "%" PRIu64 " findings %s", result.findings, err.message);
  t->s = open_volume (t->b);
  t->crashes++;
  check_shown (t);

  if (!status_of (t->s).stage.is_active && random_chance (&t->rng, 30))
    secondary_is_rebuilt (t);

  /* Go on where it says it is. */
  status = status_of (t->s);
  if (status.stage.is_active) {
    CHECK (status.stage.id == t->stage_id, "not the stage that was begun");
    t->since = status.stage.since_seq;
    t->next_block = status.stage.cursor;
    if (t->must_reach < status_of (t->p).appended.seq)
      t->must_reach = status_of (t->p).appended.seq;
    t->resumed++;
  }
}

/* -1 from the secondary is right only when its power has failed. */
static int
or_crash (struct pair *t, int r, const struct error *err)
{
  if (r == 0)
    return 0;
  CHECK (sim_is_off (t->b), "%s", err->message);
  secondary_crashes (t);
  return -1;
}

static void
begin_stage (struct pair *t)
{
  struct volume_status p, s = status_of (t->s);
  struct error err = ERROR_INIT;
  struct uuid lineage;

  CHECK (volume_flush (t->p) == 0, "%s", strerror (errno));
  /* What is durable is in the map a moment later. */
  do
    p = status_of (t->p);
  while (p.committed.seq < p.durable.seq);
  t->since = t->has_synced && random_chance (&t->rng, 80) ? s.committed.seq
    : 0;
  t->next_block = 0;
  t->must_reach = 0;
  t->stage_id = random_next (&t->rng);
  volume_lineage (t->p, &lineage);
  if (or_crash (t, volume_stage_begin (t->s, t->stage_id, t->since,
                                       p.committed.seq,
                                       volume_content_salt (t->p), &lineage,
                                       &err), &err) == -1)
    return;
  or_crash (t, volume_generations_set (t->s, &p.generations, &err), &err);
}

static int
send_delta (struct pair *t)
{
  struct error err = ERROR_INIT;
  ssize_t n = volume_delta_read (t->p, t->since, NULL, &t->next_block, t->chunk,
                                 CHUNK, &err);

  CHECK (n >= 0, "%s", err.message);
  /* The stage is a disk only from the newest version in it on. */
  if (t->must_reach < status_of (t->p).appended.seq)
    t->must_reach = status_of (t->p).appended.seq;
  if (n > 0 &&
      or_crash (t, volume_receive (t->s, t->chunk, n, &err), &err) == -1)
    return -1;
  if (random_chance (&t->rng, 30))
    return or_crash (t, volume_stage_cursor (t->s, t->next_block, &err),
                     &err);
  return 0;
}

/* Some of the stream after what the secondary has. */
static int
send_stream (struct pair *t)
{
  struct volume_status s = status_of (t->s);
  struct error err = ERROR_INIT;
  struct volume_cursor *c;
  struct volume_point last;
  unsigned rounds = 1 + random_below (&t->rng, 4), records;
  ssize_t n = 1;
  int r = 0;

  c = volume_cursor_open (t->p, s.appended.seq + 1, &err);
  CHECK (c, "%s", err.message);
  while (r == 0 && n > 0 && rounds-- > 0) {
    n = volume_cursor_read (c, t->chunk, CHUNK, &last, &records, &err);
    CHECK (n >= 0, "%s", err.message);
    if (n > 0)
      r = or_crash (t, volume_receive (t->s, t->chunk, n, &err), &err);
  }
  volume_cursor_close (c);
  if (r == 0 && random_chance (&t->rng, 50))
    r = or_crash (t, volume_receive_flush (t->s, &err), &err);
  return r;
}

static void
try_commit (struct pair *t)
{
  struct volume_status p = status_of (t->p), s;
  struct error err = ERROR_INIT;
  uint64_t first, last;

  CHECK (volume_flush (t->p) == 0, "%s", strerror (errno));
  do {
    if (send_stream (t) == -1)
      return;
    s = status_of (t->s);
    if (!s.stage.is_active)
      return;
  } while (s.appended.seq < t->must_reach);
  first = s.committed.seq;
  last = s.appended.seq;
  p = status_of (t->p);
  if (or_crash (t, volume_receive_flush (t->s, &err), &err) == -1 ||
      or_crash (t, volume_generations_set (t->s, &p.generations, &err),
                &err) == -1)
    return;
  /* In a crash it commits or it does not. */
  if (or_crash (t, volume_stage_commit (t->s, &(struct volume_point) {
            .generation = p.appended.generation, .seq = last,
            .time_ns = 1, .bytes = 1 }, &err), &err) == -1) {
    s = status_of (t->s);
    CHECK (s.committed.seq == (s.stage.is_active ? first : last),
           "half a commit: %" PRIu64, s.committed.seq);
    t->has_synced |= !s.stage.is_active;
    return;
  }
  t->has_synced = true;
  t->commits++;
  s = status_of (t->s);
  CHECK (s.committed.seq == last && !s.stage.is_active,
         "committed %" PRIu64 ", not %" PRIu64, s.committed.seq, last);
  check_shown (t);
}

static void
step (struct pair *t)
{
  struct volume_status s = status_of (t->s);
  struct error err = ERROR_INIT;

  if (random_chance (&t->rng, 12))
    sim_crash_after (t->b, random_below (&t->rng, 40), random_next (&t->rng));
  if (random_chance (&t->rng, 40))
    primary_writes (t, 1 + random_below (&t->rng, 10));

  if (!s.stage.is_active) {
    if (!t->has_synced || random_chance (&t->rng, 15))
      begin_stage (t);
    else if (send_stream (t) == 0 && random_chance (&t->rng, 30) &&
             !sim_is_off (t->b))
      check_shown (t);
  }
  else if (random_chance (&t->rng, 3)) {
    or_crash (t, volume_stage_drop (t->s, &err), &err);
    if (!sim_is_off (t->b))
      check_shown (t);
  }
  else if (t->next_block < t->model.nblocks)
    send_delta (t);
  else
    try_commit (t);
  if (sim_is_off (t->b))
    secondary_crashes (t);
}

static void
check_equal_in_the_end (struct pair *t)
{
  struct error err = ERROR_INIT;
  uint64_t p, s;

  sim_crash_after (t->b, UINT64_MAX, 0);
  CHECK (volume_flush (t->p) == 0, "%s", strerror (errno));
  while (!t->has_synced || status_of (t->s).stage.is_active) {
    if (!status_of (t->s).stage.is_active)
      begin_stage (t);
    while (t->next_block < t->model.nblocks)
      send_delta (t);
    try_commit (t);
  }
  while (status_of (t->s).appended.seq < status_of (t->p).appended.seq)
    send_stream (t);
  CHECK (volume_receive_flush (t->s, &err) == 0, "%s", err.message);
  check_all (t->s, &t->model);
  CHECK (volume_digest (t->p, &p, &err) == 0 &&
         volume_digest (t->s, &s, &err) == 0 && p == s, "digests differ");
  secondary_is_rebuilt (t);
}

static void
test_secondary_is_a_prefix (void **state)
{
  uint64_t i, rounds = test_begin (80);
  unsigned commits = 0, crashes = 0, resumed = 0, rebuilt = 0, steps;
  struct pair *t = malloc (sizeof *t);

  (void) state;
  CHECK (t, "no memory");
  for (i = 0; test_goes_on (i, rounds); ++i) {
    pair_begin (t, test_round_seed (i));
    primary_writes (t, 20);
    for (steps = 0; steps < 120; ++steps)
      step (t);
    check_equal_in_the_end (t);
    commits += t->commits;
    crashes += t->crashes;
    resumed += t->resumed;
    rebuilt += t->rebuilt;
    pair_end (t);
  }
  printf ("# %u commits, %u crashes, %u stages resumed, %u maps rebuilt\n",
          commits, crashes, resumed, rebuilt);
  free (t);
}

/* ------------------------------------------------------------------ */

/* The medium of a secondary loses one write to a table while a delta is
 * staged: what is committed then is right, or cannot be read and the check
 * has said so.  Never what was there before the delta.
 */
static const char *const tables[] = { "map.0", "map.1", "births.0",
                                      "births.1" };
#define NTABLES (sizeof tables / sizeof tables[0])
#define TABLE_SIZE (FORMAT_PAGE + DISK / BLOCK * 8)

static void
close_secondary (struct pair *t)
{
  struct error err = ERROR_INIT;

  CHECK (volume_close (t->s, &err) == 0, "%s", err.message);
}

/* Returns the tables as they were when it began. */
static uint8_t *
stage_delta (struct pair *t)
{
  uint8_t *old = malloc (NTABLES * TABLE_SIZE);
  struct error err = ERROR_INIT;
  size_t i;

  CHECK (old, "no memory");
  do
    begin_stage (t);
  while (t->since == 0);
  close_secondary (t);
  for (i = 0; i < NTABLES; ++i) {
    CHECK (sim_file_size (t->b, "disk", tables[i]) == TABLE_SIZE, "'%s'",
           tables[i]);
    sim_file_read (t->b, "disk", tables[i], 0, old + i * TABLE_SIZE,
                   TABLE_SIZE);
  }
  t->s = open_volume (t->b);
  while (t->next_block < t->model.nblocks)
    send_delta (t);
  CHECK (volume_flush (t->p) == 0, "%s", strerror (errno));
  while (status_of (t->s).appended.seq < status_of (t->p).appended.seq)
    send_stream (t);
  CHECK (volume_receive_flush (t->s, &err) == 0, "%s", err.message);
  return old;
}

static int
commit_stage (struct pair *t, struct error *err)
{
  const struct volume_status p = status_of (t->p), s = status_of (t->s);
  const struct volume_point point = {
    .generation = p.appended.generation, .seq = s.appended.seq,
    .time_ns = 1, .bytes = 1
  };

  if (volume_generations_set (t->s, &p.generations, err) == -1)
    return -1;
  return volume_stage_commit (t->s, &point, err);
}

static void
name_block (void *opaque, const struct volume_finding *finding)
{
  bool *is_named = opaque;

  if (finding->block >= 0)
    is_named[finding->block] = true;
}

/* Returns how many blocks cannot be read; -1: the stage was refused. */
static int
commit_damaged (struct pair *t, const char *what)
{
  bool is_named[DISK / BLOCK] = { false };
  struct volume_check_result result;
  struct error err = ERROR_INIT;
  int bad = 0;
  uint64_t i;

  CHECK (volume_check (sim_io (t->b), "disk", name_block, NULL, is_named,
                       &result, &err) == 0, "%s", err.message);
  t->s = volume_open (sim_io (t->b), "disk", &options, &err);
  if (t->s == NULL || commit_stage (t, &err) == -1) {
    CHECK (err.message[0] && result.findings > 0, "'%s': %s", what,
           err.message);
    bad = -1;
  }
  else
    for (i = 0; i < t->model.nblocks; ++i)
      if (try_read (t->s, &t->model, BLOCK, i * BLOCK) == -1) {
        CHECK (is_named[i], "'%s': block %" PRIu64 " cannot be read and the "
               "check does not name it", what, i);
        bad++;
      }
  if (t->s)
    volume_abandon (t->s);
  return bad;
}

static void
test_stale_pages_of_a_stage (void **state)
{
  uint64_t i, rounds = test_begin (6), at, pages = 0;
  struct pair *t = malloc (sizeof *t);
  unsigned bad = 0, refused = 0;
  uint8_t page[FORMAT_PAGE], *old;
  struct sim_snapshot *snapshot;
  size_t k;
  int r;

  (void) state;
  CHECK (t, "no memory");
  for (i = 0; test_goes_on (i, rounds); ++i) {
    pair_begin (t, test_round_seed (i));
    primary_writes (t, 60);
    check_equal_in_the_end (t);
    primary_writes (t, 60);
    old = stage_delta (t);
    close_secondary (t);
    snapshot = sim_snapshot_take (t->b);
    for (k = 0; k < NTABLES; ++k)
      for (at = 0; at < TABLE_SIZE; at += FORMAT_PAGE) {
        sim_file_read (t->b, "disk", tables[k], at, page, FORMAT_PAGE);
        if (memcmp (page, old + k * TABLE_SIZE + at, FORMAT_PAGE) == 0)
          continue;
        sim_file_write (t->b, "disk", tables[k], at,
                        old + k * TABLE_SIZE + at, FORMAT_PAGE);
        r = commit_damaged (t, tables[k]);
        refused += r == -1;
        bad += r > 0 ? r : 0;
        pages++;
        sim_restart (t->b);
        sim_snapshot_restore (t->b, snapshot);
      }
    sim_snapshot_free (snapshot);
    free (old);
    t->s = open_volume (t->b);
    pair_end (t);
  }
  printf ("# %" PRIu64 " pages put back: %u blocks not readable, %u stages "
          "refused\n", pages, bad, refused);
  CHECK (pages >= i && bad > 0, "a test of nothing");
  free (t);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_secondary_is_a_prefix),
    cmocka_unit_test (test_stale_pages_of_a_stage),
  };

  return cmocka_run_group_tests_name ("volume stage", tests, NULL, NULL);
}

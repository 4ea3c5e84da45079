/* Promise 1: what was flushed before a crash is read back after it; and the
 * disk is then as it was after some prefix of the writes.
 *
 * Seeded rounds on the simulated disk, which loses power at a random I/O
 * operation: while writing, in a flush, in a checkpoint, in a close, while the
 * volume grows, and in the recovery from the crash before.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "crash-round.h"
#include "volume-fixture.h"
#include "volume-internal.h"

#define BLOCK VOLUME_BLOCK_SIZE
#define MIB (UINT64_C (1) << 20)

/* How often power failed, and in the midst of what. */
static struct falls {
  unsigned all, in_checkpoint, in_cleaner;
} falls;

/* Is it the cleaner that asks? */
static bool
is_cleaner (void *opaque)
{
  struct round *r = opaque;
  struct volume *v = __atomic_load_n (&r->v, __ATOMIC_ACQUIRE);

  return v != NULL &&            /* it is being opened */
    pthread_equal (pthread_self (),
                   v->journal.thread[JOURNAL_THREAD_CLEANER]);
}

/* Is a checkpoint being written? */
static bool
is_checkpoint (void *opaque)
{
  struct round *r = opaque;
  struct volume *v = __atomic_load_n (&r->v, __ATOMIC_ACQUIRE);

  if (v == NULL || pthread_mutex_trylock (&v->checkpoint_lock) != 0)
    return v != NULL;
  pthread_mutex_unlock (&v->checkpoint_lock);
  return false;
}

static void
note_fall (void *opaque)
{
  falls.all++;
  falls.in_checkpoint += is_checkpoint (opaque);
  falls.in_cleaner += is_cleaner (opaque);
}

/* Power is to fail in a checkpoint and, if the cleaner is to be met, in its
 * work.
 */
static bool
is_missing (bool want_cleaner)
{
  return falls.in_checkpoint == 0 || (want_cleaner && falls.in_cleaner == 0);
}

/* So many rounds, and more of them if what is wanted has not come yet. */
static void
run_rounds (uint64_t least, void (*one) (uint64_t seed), bool want_cleaner)
{
  uint64_t i, rounds = test_begin (least);

  falls = (struct falls) { 0 };
  for (i = 0; test_goes_on (i, rounds); ++i)
    one (test_round_seed (i));
  while (i >= least && i < 10 * least && is_missing (want_cleaner))
    one (test_round_seed (i++));
  printf ("# power failed %u times: in a checkpoint %u, in the cleaner's "
          "work %u\n", falls.all, falls.in_checkpoint, falls.in_cleaner);
  fflush (stdout);
  CHECK (i < least || !is_missing (want_cleaner), "never where it was to");
}

/* Few or many operations from now on. */
static void
arm_crash (struct round *r)
{
  uint64_t magnitude = random_below (&r->rng, 11);

  sim_crash_after (r->sim,
                   random_below (&r->rng, UINT64_C (1) << magnitude),
                   random_next (&r->rng));
}

/* ... while it is in use.  Cleaner and checkpoints are little of all that is
 * done there: now and then it is their operations that count.
 */
static void
arm_crash_in_use (struct round *r)
{
  unsigned aim = random_below (&r->rng, 100);

  sim_on_crash (r->sim, note_fall, r);
  if (r->is_cleaning && aim < 50)
    sim_crash_only (r->sim, is_cleaner, r);
  else if (aim >= 85)
    sim_crash_only (r->sim, is_checkpoint, r);
  arm_crash (r);
}

/* Open after a crash or at first; perhaps power fails again meanwhile. */
static void
recover_volume (struct round *r)
{
  struct error err = ERROR_INIT;

  check_sound (r->sim, "disk");
  while (random_chance (&r->rng, 30)) {
    arm_crash (r);
    r->v = volume_open (sim_io (r->sim), "disk", &fixture_options, &err);
    if (r->v == NULL)
      CHECK (sim_is_off (r->sim), "%s", err.message);
    else {
      sim_crash (r->sim, random_next (&r->rng));
      volume_abandon (r->v);
    }
    sim_restart (r->sim);
    check_sound (r->sim, "disk");
  }
  r->v = volume_open (sim_io (r->sim), "disk", &fixture_options, &err);
  CHECK (r->v, "%s", err.message);
}

/* It has the size that was before it grew, or the one after, and the capacity
 * that goes with it.
 */
static void
check_geometry (struct round *r)
{
  struct volume_status status;
  bool is_grown;

  volume_get_status (r->v, &status);
  CHECK (volume_size (r->v) == status.size, "%" PRIu64 " and %" PRIu64,
         volume_size (r->v), status.size);
  is_grown = r->wanted_size != 0 && status.size == r->wanted_size &&
    status.capacity == r->wanted_capacity;
  CHECK (is_grown || (status.size == r->model.size &&
                      status.capacity == r->capacity),
         "%" PRIu64 " with %" PRIu64 ", before %" PRIu64 " with %" PRIu64
         ", wanted %" PRIu64 " with %" PRIu64, status.size, status.capacity,
         r->model.size, r->capacity, r->wanted_size, r->wanted_capacity);
  if (is_grown) {
    model_grow (&r->model, r->wanted_size);
    r->capacity = r->wanted_capacity;
  }
  r->wanted_size = 0;
}

/* Disk, journal or both. */
static int
grow (struct round *r, struct error *err)
{
  unsigned which = random_below (&r->rng, 3);
  bool to_the_end = random_chance (&r->rng, 20);
  int ret;

  r->wanted_size = r->model.size;
  r->wanted_capacity = r->capacity;
  if (which != 0 && r->model.size < 10 * MIB)
    r->wanted_size += (1 + random_below (&r->rng, to_the_end ? 1500 : 200)) *
      BLOCK;
  if (which != 1 && r->capacity < 128 * MIB)
    r->wanted_capacity += random_below (&r->rng, 3) * 4 * MIB;
  ret = volume_resize (r->v, r->wanted_size, r->wanted_capacity, err);
  if (ret == 0)
    check_geometry (r);
  return ret;
}

/* -1: power has failed. */
static int
one_op (struct round *r, struct random_range *range)
{
  unsigned kind = random_below (&r->rng, 100);
  bool is_fua = random_chance (&r->rng, 8);
  struct error err = ERROR_INIT;
  uint64_t offset;
  int ret;

  if (random_chance (&r->rng, r->grow_percent)) {
    ret = grow (r, &err);
    if (ret == 0)
      range->end = r->model.size;
  }
  else if (kind < 75) {
    ret = random_write (&r->rng, r->v, &r->model, range, r->buf,
                        is_fua ? VOLUME_FUA : 0);
    if (ret == 0 && is_fua)
      r->durable = r->model.step;
  }
  else if (kind < 87) {
    ret = volume_flush (r->v);
    if (ret == 0)
      r->durable = r->model.step;
  }
  else if (kind < 95) {
    offset = random_below (&r->rng, r->model.size);
    ret = try_read (r->v, &r->model, r->model.size - offset < 30000 ?
                    r->model.size - offset : 30000, offset);
  }
  else if (kind < 98)
    ret = checkpoint (r->v, false, &err);
  else {
    ret = volume_close (r->v, &err);
    r->v = NULL;
    if (ret == 0) {
      r->durable = r->model.step;
      struct volume *v = volume_open (sim_io (r->sim), "disk",
                                      &fixture_options, &err);

      __atomic_store_n (&r->v, v, __ATOMIC_RELEASE);
      if (v == NULL)
        ret = -1;
    }
  }
  if (ret == -1)
    CHECK (sim_is_off (r->sim), "%s %s", strerror (errno), err.message);
  return ret;
}

static void
one_life (struct round *r, struct random_range *range, unsigned ops)
{
  arm_crash_in_use (r);
  while (ops-- > 0)
    if (one_op (r, range) == -1)
      break;
  sim_crash (r->sim, random_next (&r->rng));
  if (r->v)
    volume_abandon (r->v);
  sim_restart (r->sim);
}

static void
one_round (uint64_t seed)
{
  uint64_t size = MIB + seed % 500 * BLOCK;
  struct random_range range = { 0, size, 4 };
  unsigned lives;
  struct round r;

  round_begin (&r, seed, size, 512 * MIB);
  /* A few blocks over and over, or the whole disk. */
  if (random_chance (&r.rng, 30))
    range.end = BLOCK * (1 + random_below (&r.rng, 20));
  if (random_chance (&r.rng, 10))
    range.large_percent = 70;
  lives = 1 + random_below (&r.rng, 5);
  recover_volume (&r);
  while (lives-- > 0) {
    one_life (&r, &range, 1 + random_below (&r.rng, 200));
    recover_volume (&r);
    check_recovered (&r);
  }
  /* It is a disk like any other. */
  for (lives = 0; lives < 20; ++lives)
    CHECK (random_write (&r.rng, r.v, &r.model, &range, r.buf, 0) == 0, "%s",
           strerror (errno));
  check_all (r.v, &r.model);
  round_end (&r);
}

/* So little room that the cleaner is at work all the time: power fails while
 * it moves, while it frees, and while the checkpoint between is written.
 */
static void
cleaning_round (uint64_t seed)
{
  const uint64_t size = 12 * MIB;
  struct random_range range = { 0, size, 60 };
  struct volume_status status;
  unsigned lives;
  struct round r;

  round_begin (&r, seed, size, 48 * MIB);
  r.is_cleaning = true;
  lives = 2 + random_below (&r.rng, 4);
  recover_volume (&r);
  while (lives-- > 0) {
    if (random_chance (&r.rng, 30))
      range.end = MIB * (1 + random_below (&r.rng, 12));
    one_life (&r, &range, 50 + random_below (&r.rng, 250));
    recover_volume (&r);
    check_recovered (&r);
  }
  volume_get_status (r.v, &status);
  CHECK (status.used <= status.capacity, "%" PRIu64 " used", status.used);
  round_end (&r);
}

/* It grows under way, with so little room at first that the cleaner works. */
static void
growing_round (uint64_t seed)
{
  struct random_range range = { 0, MIB + seed % 300 * BLOCK, 0 };
  unsigned lives;
  struct round r;

  round_begin (&r, seed, range.end, 48 * MIB);
  range.large_percent = random_below (&r.rng, 60);
  r.grow_percent = 1 + random_below (&r.rng, 12);
  lives = 2 + random_below (&r.rng, 5);
  recover_volume (&r);
  while (lives-- > 0) {
    one_life (&r, &range, 5 + random_below (&r.rng, 150));
    recover_volume (&r);
    check_geometry (&r);
    check_recovered (&r);
    range.end = r.model.size;
  }
  round_end (&r);
}

static void
test_crash_growing (void **state)
{
  (void) state;
  run_rounds (150, growing_round, false);
}

static void
test_crash_cleaning (void **state)
{
  (void) state;
  run_rounds (40, cleaning_round, true);
}

static void
test_crash (void **state)
{
  (void) state;
  run_rounds (1000, one_round, false);
}

/* ------------------------------------------------------------------ */
/* Several threads, each with a part of the disk.  Each part is some prefix of
 * its thread's writes, and together they are a prefix: what was begun after
 * another write had been acknowledged is not there without it.
 */

#define THREADS 3
#define NEVER UINT64_MAX

struct op {
  uint64_t start, ack;         /* of the clock below */
  uint64_t first_step, last_step;
};

struct writer {
  struct round *round;
  struct model model;
  struct random_range range;
  uint64_t rng, durable;
  uint8_t *buf;
  struct op *ops;
  unsigned nops, max;
  pthread_t thread;
};

static uint64_t event_clock;
static uint64_t flushed_before;   /* acked before this: durable */

static uint64_t
tick (void)
{
  return __atomic_add_fetch (&event_clock, 1, __ATOMIC_SEQ_CST);
}

static void
note_flushed (uint64_t start)
{
  uint64_t old = __atomic_load_n (&flushed_before, __ATOMIC_SEQ_CST);

  while (old < start &&
         !__atomic_compare_exchange_n (&flushed_before, &old, start, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
    ;
}

static void *
write_until_crash (void *opaque)
{
  struct writer *w = opaque;
  struct volume *v = w->round->v;
  unsigned kind;
  bool is_fua;
  struct op *op;
  uint64_t start;
  int r = 0;

  while (r == 0 && w->nops < w->max) {
    kind = random_below (&w->rng, 100);
    start = tick ();
    if (kind >= 98) {
      r = checkpoint (v, false, NULL);
      continue;
    }
    if (kind >= 85) {
      r = volume_flush (v);
      if (r == 0)
        note_flushed (start);
      continue;
    }
    is_fua = kind < 10;
    op = &w->ops[w->nops++];
    *op = (struct op) { start, NEVER, w->model.step + 1, 0 };
    r = random_write (&w->rng, v, &w->model, &w->range, w->buf,
                      is_fua ? VOLUME_FUA : 0);
    op->last_step = w->model.step;
    if (r == 0) {
      op->ack = tick ();
      if (is_fua) {
        w->durable = w->model.step;
        note_flushed (start);
      }
    }
  }
  if (r == -1)
    CHECK (sim_is_off (w->round->sim), "%s", strerror (errno));
  return NULL;
}

static void
check_prefix (struct writer *w, const uint8_t *content)
{
  uint64_t low[THREADS], high[THREADS], first, end;
  uint64_t lost = NEVER, kept = 0;      /* earliest ack, latest start */
  unsigned i, k;
  bool found;

  for (i = 0; i < THREADS; ++i) {
    for (k = 0; k < w[i].nops; ++k)
      if (w[i].ops[k].ack < flushed_before &&
          w[i].durable < w[i].ops[k].last_step)
        w[i].durable = w[i].ops[k].last_step;
    first = w[i].range.first / BLOCK;
    end = w[i].range.end / BLOCK;
    found = model_match (&w[i].model, content, first, end, w[i].durable,
                         &low[i], &high[i]);
    if (!found)
      model_explain (&w[i].model, content, first, end, w[i].durable);
    CHECK (found, "part %u is not that of any moment", i);
    for (k = 0; k < w[i].nops; ++k) {
      if (w[i].ops[k].last_step > high[i] && w[i].ops[k].ack < lost)
        lost = w[i].ops[k].ack;
      if (w[i].ops[k].first_step <= low[i] && w[i].ops[k].start > kept)
        kept = w[i].ops[k].start;
    }
  }
  CHECK (kept < lost, "a write begun at %" PRIu64 " is there, one done at %"
         PRIu64 " is not", kept, lost);
}

/* With little room the cleaner is at work, too.  What is written is on the
 * part of the disk that was there at first; the journal may use all of it.
 */
static void
threads_any_round (uint64_t seed, bool is_small, unsigned growths)
{
  uint64_t size = 2 * MIB, part = size / THREADS / BLOCK * BLOCK;
  struct writer w[THREADS];
  struct error err = ERROR_INIT;
  uint8_t *content;
  struct round r;
  unsigned i;

  round_begin (&r, seed, size, (is_small ? 48 : 512) * MIB);
  recover_volume (&r);
  event_clock = flushed_before = 0;
  for (i = 0; i < THREADS; ++i) {
    memset (&w[i], 0, sizeof w[i]);
    w[i].round = &r;
    model_init (&w[i].model, size);
    w[i].range = (struct random_range) { i * part, (i + 1) * part,
                                            is_small ? 80 : 4 };
    w[i].rng = random_next (&r.rng);
    w[i].max = is_small ? 200 : 100;
    w[i].ops = calloc (w[i].max, sizeof *w[i].ops);
    w[i].buf = malloc (RANDOM_WRITE_MAX);
    CHECK (w[i].ops && w[i].buf, "no memory");
  }
  r.is_cleaning = is_small;
  arm_crash_in_use (&r);
  for (i = 0; i < THREADS; ++i)
    CHECK (pthread_create (&w[i].thread, NULL, write_until_crash, &w[i]) == 0,
           "no thread");
  while (growths-- > 0)
    if (grow (&r, &err) == -1) {
      CHECK (sim_is_off (r.sim), "%s", err.message);
      break;
    }
  for (i = 0; i < THREADS; ++i)
    pthread_join (w[i].thread, NULL);
  sim_crash (r.sim, random_next (&r.rng));
  volume_abandon (r.v);
  sim_restart (r.sim);

  recover_volume (&r);
  check_geometry (&r);
  content = read_all (r.v);
  check_prefix (w, content);
  model_adopt (&r.model, content);
  free (content);
  round_end (&r);
  for (i = 0; i < THREADS; ++i) {
    model_release (&w[i].model);
    free (w[i].ops);
    free (w[i].buf);
  }
}

static void
threads_round (uint64_t seed)
{
  threads_any_round (seed, false, 0);
}

static void
test_crash_threads (void **state)
{
  (void) state;
  run_rounds (600, threads_round, false);
}

static void
threads_cleaning_round (uint64_t seed)
{
  threads_any_round (seed, true, 0);
}

static void
test_crash_threads_cleaning (void **state)
{
  (void) state;
  run_rounds (25, threads_cleaning_round, true);
}

static void
threads_growing_round (uint64_t seed)
{
  threads_any_round (seed, true, 1 + seed % 15);
}

static void
test_crash_threads_growing (void **state)
{
  (void) state;
  run_rounds (60, threads_growing_round, true);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_crash),
    cmocka_unit_test (test_crash_growing),
    cmocka_unit_test (test_crash_cleaning),
    cmocka_unit_test (test_crash_threads),
    cmocka_unit_test (test_crash_threads_cleaning),
    cmocka_unit_test (test_crash_threads_growing),
  };

  return cmocka_run_group_tests_name ("volume crash", tests, NULL, NULL);
}

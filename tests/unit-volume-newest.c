/* A delta since a seq holds exactly the blocks that were written after it,
 * also while others are written, and where nothing was written since it was
 * asked before, no birth is looked at.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "format.h"
#include "volume-internal.h"
#include "volume-model.h"

#define MIB (UINT64_C (1) << 20)
#define SIZE (64 * MIB + 5 * VOLUME_BLOCK_SIZE)
#define BLOCKS (SIZE / VOLUME_BLOCK_SIZE)
#define ROUNDS 200

static const struct volume_params params = {
  .size = SIZE, .capacity = 512 * MIB, .segment_size = 4 * MIB,
};
static char dir[64], path[80];
static uint64_t rng;

static struct volume *
reopen (struct volume *v)
{
  struct error err = ERROR_INIT;

  CHECK (v == NULL || volume_close (v, &err) == 0, "%s", err.message);
  v = volume_open (NULL, path, NULL, &err);
  CHECK (v, "%s", err.message);
  return v;
}

static int
setup (void **state)
{
  const char *tmp = getenv ("TMPDIR");
  struct error err = ERROR_INIT;

  snprintf (dir, sizeof dir, "%s/pairdisk-newest-XXXXXX", tmp ? tmp : "/tmp");
  CHECK (mkdtemp (dir), "mkdtemp");
  snprintf (path, sizeof path, "%s/disk", dir);
  CHECK (volume_create (NULL, path, &params, &err) == 0, "%s", err.message);
  *state = reopen (NULL);
  return 0;
}

static int
teardown (void **state)
{
  struct error err = ERROR_INIT;

  CHECK (volume_close (*state, &err) == 0, "%s", err.message);
  CHECK (volume_destroy (NULL, path, &err) == 0, "%s", err.message);
  CHECK (rmdir (dir) == 0, "%s", strerror (errno));
  return 0;
}

/* So many blocks from one on; in NEWEST (may be NULL) their seq. */
static void
write_some (struct volume *v, uint64_t *newest)
{
  static uint8_t buf[64 * VOLUME_BLOCK_SIZE];
  uint64_t count = 1 + random_below (&rng, random_chance (&rng, 20) ? 64 : 4);
  uint64_t block = random_below (&rng, BLOCKS - count), i;
  struct volume_point appended;

  memset (buf, (int) random_next (&rng), sizeof buf);
  if (random_chance (&rng, 20))
    CHECK (volume_zero (v, count * VOLUME_BLOCK_SIZE,
                        block * VOLUME_BLOCK_SIZE, 0) == 0, "zero");
  else
    CHECK (volume_write (v, buf, count * VOLUME_BLOCK_SIZE,
                         block * VOLUME_BLOCK_SIZE, 0) == 0, "write");
  if (newest == NULL)
    return;
  volume_get_points (v, &appended, NULL);
  for (i = 0; i < count; i++)
    newest[block + i] = appended.seq;
}

/* All is in the map. */
static void
settle (struct volume *v)
{
  struct volume_status status;

  CHECK (volume_flush (v) == 0, "%s", strerror (errno));
  do {
    lookup_settle (v);
    volume_get_status (v, &status);
  } while (status.committed.seq < status.appended.seq);
}

/* FOUND[b]: the seq that the delta has of block b, else 0. */
static int
read_delta (struct volume *v, uint64_t since, uint64_t *found,
            struct error *err)
{
  static uint8_t buf[2 << 20];
  struct unit_walk walk;
  struct walked_unit u;
  struct record r;
  uint64_t block = 0;
  ssize_t len;

  memset (found, 0, BLOCKS * sizeof *found);
  while (block < BLOCKS) {
    len = volume_delta_read (v, since, NULL, &block, buf, sizeof buf, err);
    if (len == -1)
      return -1;
    if (len == 0)
      continue;
    CHECK (record_decode ((struct format_record *) buf,
                          volume_content_salt (v), &r), "a bad record");
    walk = unit_walk_start (&r, buf + sizeof (struct format_record));
    while (unit_walk_next (&walk, &u) == 1)
      found[u.block] = u.unit.seq;
  }
  return 0;
}

static void
test_delta_is_what_was_written (void **state)
{
  static uint64_t newest[BLOCKS], found[BLOCKS];
  uint64_t rounds = test_begin (ROUNDS), i, b, since;
  struct error err = ERROR_INIT;
  struct volume_point appended;
  unsigned n;

  for (i = 0; test_goes_on (i, rounds); i++) {
    rng = test_round_seed (i);
    for (n = random_below (&rng, 20); n > 0; n--)
      write_some (*state, newest);
    if (random_chance (&rng, 5))
      *state = reopen (*state);
    settle (*state);
    volume_get_points (*state, &appended, NULL);
    since = appended.seq - random_below (&rng, random_chance (&rng, 80) &&
                                         appended.seq > 30 ? 30 :
                                         appended.seq + 1);
    CHECK (read_delta (*state, since, found, &err) == 0, "%s", err.message);
    for (b = 0; b < BLOCKS; b++)
      CHECK (found[b] == (newest[b] > since ? newest[b] : 0), "block %" PRIu64
             ": seq %" PRIu64 ", the delta since %" PRIu64 " has %" PRIu64,
             b, newest[b], since, found[b]);
  }
}

/* Damaged births: who looks at one says so. */
static void
test_old_births_are_not_looked_at (void **state)
{
  static uint64_t found[BLOCKS];
  struct error err = ERROR_INIT;
  struct volume_point appended;
  struct volume *v = *state;
  uint64_t b, kept, since;

  rng = 1;
  write_some (v, NULL);
  settle (v);
  volume_get_points (v, &appended, NULL);
  since = appended.seq;
  CHECK (read_delta (v, since, found, &err) == 0, "%s", err.message);
  for (b = 0; b < BLOCKS; b++)
    CHECK (found[b] == 0, "block %" PRIu64, b);

  for (b = 0; b < BLOCKS; b += NEWEST_BLOCKS) {
    kept = table_get (&v->births, b + 3);
    table_set (&v->births, b + 3, kept ^ 1);
    assert_int_equal (read_delta (v, since, found, &err), 0);
    table_set (&v->births, b + 3, kept);
  }

  /* It is, where something was written. */
  CHECK (volume_zero (v, VOLUME_BLOCK_SIZE, 0, 0) == 0, "zero");
  settle (v);
  kept = table_get (&v->births, 3);
  table_set (&v->births, 3, kept ^ 1);
  assert_int_equal (read_delta (v, since, found, &err), -1);
  table_set (&v->births, 3, kept);
}

/* ------------------------------------------------------------------ */

static atomic_bool is_over;

static void *
keep_writing (void *opaque)
{
  while (!is_over) {
    write_some (opaque, NULL);
    if (random_chance (&rng, 10))
      CHECK (volume_flush (opaque) == 0, "%s", strerror (errno));
  }
  return NULL;
}

static void
births_now (struct volume *v, uint64_t *ret)
{
  struct version version;
  uint64_t b;

  for (b = 0; b < BLOCKS; b++) {
    while (!lookup_shown (v, b, &version))
      lookup_settle (v);
    ret[b] = version.seq;
  }
}

/* What is in the map when a delta begins is in the delta, or newer: when
 * pages are counted, and when they were just counted beside a writer.
 */
static void
test_delta_beside_writers (void **state)
{
  static uint64_t found[BLOCKS], before[BLOCKS];
  struct error err = ERROR_INIT;
  struct volume_status status;
  struct volume *v = *state;
  uint64_t b, since = 0;
  pthread_t thread;
  unsigned i;

  rng = 7;
  is_over = false;
  assert_int_equal (pthread_create (&thread, NULL, keep_writing, v), 0);
  for (i = 0; i < 600; i++) {
    if (i % 2 == 0) {
      newest_forget_all (&v->newest, BLOCKS);
      volume_get_status (v, &status);
      since = status.committed.seq;
    }
    births_now (v, before);
    CHECK (read_delta (v, since, found, &err) == 0, "%s", err.message);
    for (b = 0; b < BLOCKS; b++)
      CHECK (before[b] <= since || found[b] >= before[b], "block %" PRIu64
             ": seq %" PRIu64 ", the delta since %" PRIu64 " has %" PRIu64,
             b, before[b], since, found[b]);
  }
  is_over = true;
  pthread_join (thread, NULL);
}

#define TEST(t) cmocka_unit_test_setup_teardown (t, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_delta_is_what_was_written),
    TEST (test_old_births_are_not_looked_at),
    TEST (test_delta_beside_writers),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

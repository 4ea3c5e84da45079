/* A volume that grows while it is used: what was written stays, what is new
 * reads as zeros and can be written, and a full journal is full no longer.
 *
 * What power loss does to it is in unit-volume-crash.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "volume-fixture.h"
#include "volume-internal.h"

#define BLOCK VOLUME_BLOCK_SIZE
#define MIB (UINT64_C (1) << 20)
#define GIB (UINT64_C (1) << 30)

/* What fixture_end does, and the map can be made anew. */
static void
end (struct fixture *f)
{
  struct volume_rebuild_result rebuilt;
  struct error err = ERROR_INIT;

  fixture_close (f);
  check_sound (f->sim, "disk");
  fixture_open (f);
  CHECK (volume_size (f->v) == f->model.size, "another size when opened");
  check_all (f->v, &f->model);
  fixture_close (f);
  CHECK (volume_rebuild_map (sim_io (f->sim), "disk", NULL, NULL, &rebuilt,
                             &err) == 0, "%s", err.message);
  check_sound (f->sim, "disk");
  fixture_open (f);
  fixture_end (f);
}

static void
resize (struct fixture *f, uint64_t size, uint64_t capacity)
{
  struct error err = ERROR_INIT;

  CHECK (volume_resize (f->v, size, capacity, &err) == 0, "%s", err.message);
  if (size != 0)
    model_grow (&f->model, size);
  CHECK (volume_size (f->v) == f->model.size, "%" PRIu64 " bytes, not %"
         PRIu64, volume_size (f->v), f->model.size);
}

static void
write_some (struct fixture *f, unsigned count, uint64_t first)
{
  const struct random_range range = { first, f->model.size, 10 };

  while (count-- > 0)
    CHECK (random_write (&f->rng, f->v, &f->model, &range, f->buf, 0) == 0,
           "%s", strerror (errno));
}

/* Grow, write in the new part and in the old, close or crash, open. */
static void
one_round (uint64_t seed)
{
  struct volume_status status;
  uint64_t old, size, capacity;
  unsigned times;
  struct fixture f;

  fixture_begin (&f, seed, MIB + seed % 300 * BLOCK, 0);
  write_some (&f, 20, 0);
  for (times = 1 + random_below (&f.rng, 4); times > 0; --times) {
    old = f.model.size;
    size = old + random_below (&f.rng, 3 * MIB / BLOCK) * BLOCK;
    volume_get_status (f.v, &status);
    capacity = random_chance (&f.rng, 50) ? 0
      : status.capacity + random_below (&f.rng, 16 * MIB);
    resize (&f, size, capacity);
    check_all (f.v, &f.model);
    if (size > old)
      write_some (&f, 10, old);
    write_some (&f, 20, 0);
    check_all (f.v, &f.model);
    if (random_chance (&f.rng, 30)) {
      CHECK (volume_flush (f.v) == 0, "%s", strerror (errno));
      sim_crash (f.sim, random_next (&f.rng));
      volume_abandon (f.v);
      sim_restart (f.sim);
      fixture_open (&f);
      check_all (f.v, &f.model);
    }
    else if (random_chance (&f.rng, 30)) {
      fixture_close (&f);
      fixture_open (&f);
    }
  }
  end (&f);
}

static void
test_grow (void **state)
{
  uint64_t i, rounds = test_begin (30);

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    one_round (test_round_seed (i));
}

/* ------------------------------------------------------------------ */

static int
write_noise (struct fixture *f, uint64_t offset, uint64_t count)
{
  int r;

  fill_noise (&f->rng, f->buf, count);
  r = volume_write (f->v, f->buf, count, offset, 0);
  if (r == 0)
    model_write (&f->model, f->buf, count, offset);
  return r;
}

/* A journal that is full takes writes again when it has grown, at once and
 * without being opened anew; the disk stays as large as it was.
 */
static void
test_grow_ends_enospc (void **state)
{
  const uint64_t count = 64 * BLOCK, size = 96 * MIB;
  struct volume_status status;
  uint64_t offset = 0, full;
  struct fixture f;

  (void) state;
  test_round_seed (0);
  fixture_begin (&f, 7, size, 48 * MIB);
  while (write_noise (&f, offset, count) == 0)
    offset += count;
  CHECK (errno == ENOSPC, "%s", strerror (errno));
  full = offset;
  CHECK (full < 48 * MIB, "%" PRIu64 " bytes went in", full);

  resize (&f, 0, 100 * MIB);
  volume_get_status (f.v, &status);
  CHECK (status.capacity == 100 * MIB && status.size == size,
         "capacity %" PRIu64, status.capacity);
  for (; offset < full + 24 * MIB; offset += count)
    CHECK (write_noise (&f, offset, count) == 0, "at %" PRIu64 ": %s", offset,
           strerror (errno));
  check_all (f.v, &f.model);
  end (&f);
}

/* Somebody who was told of an old size still may use what it covers, while
 * others write and the disk grows again and again.
 */
struct user {
  struct volume *v;
  struct model model;
  struct random_range range;
  uint64_t rng;
  bool *is_over;
  pthread_t thread;
};

static void *
use (void *opaque)
{
  struct user *u = opaque;
  uint8_t *buf = malloc (RANDOM_WRITE_MAX);
  uint64_t offset, count;

  CHECK (buf, "no memory");
  while (!__atomic_load_n (u->is_over, __ATOMIC_ACQUIRE)) {
    CHECK (random_write (&u->rng, u->v, &u->model, &u->range, buf, 0) == 0,
           "%s", strerror (errno));
    offset = u->range.first +
      random_below (&u->rng, u->range.end - u->range.first);
    count = 1 + random_below (&u->rng, u->range.end - offset);
    check_read (u->v, &u->model, count < 50000 ? count : 50000, offset);
  }
  free (buf);
  return NULL;
}

#define USERS 3u
#define GROWTHS 20u

static void
users_round (uint64_t seed)
{
  const uint64_t part = MIB;
  bool is_over = false;
  struct user user[USERS + 1];
  struct fixture f;
  unsigned i;

  fixture_begin (&f, seed, USERS * part, 64 * MIB);
  for (i = 0; i < USERS; ++i) {
    user[i] = (struct user) {
      .v = f.v, .rng = random_next (&f.rng), .is_over = &is_over,
      .range = { i * part, (i + 1) * part, 50 },
    };
    model_init (&user[i].model, f.model.size);
    CHECK (pthread_create (&user[i].thread, NULL, use, &user[i]) == 0,
           "no thread");
  }
  for (i = 0; i < GROWTHS; ++i) {
    resize (&f, f.model.size + (1 + random_below (&f.rng, 200)) * BLOCK,
            64 * MIB + (i / 2) * 4 * MIB);
    write_some (&f, 5, USERS * part);
  }
  __atomic_store_n (&is_over, true, __ATOMIC_RELEASE);
  for (i = 0; i < USERS; ++i) {
    pthread_join (user[i].thread, NULL);
    model_write (&f.model, user[i].model.data + i * part, part, i * part);
    model_release (&user[i].model);
  }
  check_all (f.v, &f.model);
  end (&f);
}

static void
test_grow_in_use (void **state)
{
  uint64_t i, rounds = test_begin (4);

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    users_round (test_round_seed (i));
}

/* ------------------------------------------------------------------ */

/* The capacity follows the size as long as nobody says otherwise. */
static void
test_capacity_follows (void **state)
{
  static const struct {
    uint64_t size, capacity, grown, expected;
  } cases[] = {
    { 64 * MIB, 0, 128 * MIB, 384 * MIB },           /* 3 times, as created */
    { 64 * MIB, 96 * MIB, 128 * MIB, 192 * MIB },    /* 1.5 times */
    { MIB, 0, 20 * MIB, 60 * MIB },    /* from the least: 3 times, not 48 */
    { MIB, 0, 2 * MIB, 48 * MIB },
    { 16 * MIB, GIB, 32 * MIB, GIB },
    { 20 * MIB, 50 * MIB, 22 * MIB, 60 * MIB },      /* by whole segments */
  };
  struct volume_status status;
  struct fixture f;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    test_round_seed (i);
    fixture_begin (&f, i, cases[i].size, cases[i].capacity);
    resize (&f, cases[i].grown, 0);
    volume_get_status (f.v, &status);
    CHECK (status.capacity == cases[i].expected,
           "%" PRIu64 " MiB, not %" PRIu64, status.capacity / MIB,
           cases[i].expected / MIB);
    end (&f);
  }
}

static void
refused (struct fixture *f, uint64_t size, uint64_t capacity, int errnum)
{
  struct volume_status before, after;
  struct error err = ERROR_INIT;

  volume_get_status (f->v, &before);
  CHECK (volume_resize (f->v, size, capacity, &err) == -1, "%" PRIu64
         " and %" PRIu64 " taken", size, capacity);
  CHECK (errno == errnum && err.errnum == errnum && err.message[0],
         "%s: %s", strerror (errno), err.message);
  volume_get_status (f->v, &after);
  CHECK (before.size == after.size && before.capacity == after.capacity,
         "refused, but done");
}

static void
test_refused (void **state)
{
  const struct uuid pair = { { 1, 2, 3 } };
  struct error err = ERROR_INIT;
  struct fixture f;

  (void) state;
  test_round_seed (0);
  fixture_begin (&f, 1, 2 * MIB, 64 * MIB);
  write_some (&f, 10, 0);
  refused (&f, MIB, 0, EINVAL);
  refused (&f, 2 * MIB - BLOCK, 128 * MIB, EINVAL);
  refused (&f, 0, 60 * MIB, EINVAL);
  refused (&f, 4 * MIB, 48 * MIB, EINVAL);
  refused (&f, 2 * MIB + 512, 0, EINVAL);
  refused (&f, VOLUME_SIZE_MAX + BLOCK, 0, EINVAL);
  refused (&f, 0, VOLUME_CAPACITY_MAX + 1, EINVAL);
  refused (&f, UINT64_MAX, UINT64_MAX, EINVAL);
  resize (&f, 0, 0);
  resize (&f, 2 * MIB, 64 * MIB);
  resize (&f, 2 * MIB, 61 * MIB);      /* the same in whole segments */

  /* In a pair both sides have one size; room is each side's own affair. */
  CHECK (volume_set_role (f.v, VOLUME_ROLE_PRIMARY, &pair, 1, &err) == 0,
         "%s", err.message);
  refused (&f, 4 * MIB, 0, EPERM);
  refused (&f, 4 * MIB, 128 * MIB, EPERM);
  resize (&f, 0, 72 * MIB);
  write_some (&f, 10, 0);
  CHECK (volume_set_role (f.v, VOLUME_ROLE_SECONDARY, &pair, 2, &err) == 0,
         "%s", err.message);
  refused (&f, 4 * MIB, 0, EPERM);
  resize (&f, 0, 80 * MIB);
  CHECK (volume_stage_begin (f.v, 1, 0, 10, 99, &pair, &err) == 0, "%s",
         err.message);
  refused (&f, 4 * MIB, 0, EPERM);
  resize (&f, 0, 88 * MIB);
  fixture_close (&f);
  fixture_open (&f);
  CHECK (volume_set_role (f.v, VOLUME_ROLE_STANDALONE, NULL, 2, &err) == 0,
         "%s", err.message);
  resize (&f, 4 * MIB, 0);
  write_some (&f, 10, 2 * MIB);
  check_all (f.v, &f.model);
  end (&f);
}

static void
test_grow_thousandfold (void **state)
{
  const uint64_t size = 4 * GIB, last = size - BLOCK;
  uint8_t block[BLOCK], back[BLOCK];
  struct fixture f;

  (void) state;
  test_round_seed (0);
  fixture_begin (&f, 1, MIB, 0);
  write_some (&f, 10, 0);
  CHECK (volume_resize (f.v, size, 0, NULL) == 0, "%s", strerror (errno));
  memset (block, 7, sizeof block);
  CHECK (volume_write (f.v, block, BLOCK, last, VOLUME_FUA) == 0, "%s",
         strerror (errno));
  fixture_close (&f);
  fixture_open (&f);
  CHECK (volume_size (f.v) == size, "%" PRIu64, volume_size (f.v));
  CHECK (volume_read (f.v, back, BLOCK, last) == 0 &&
         memcmp (block, back, BLOCK) == 0, "the last block");
  CHECK (volume_read (f.v, back, BLOCK, size) == -1 && errno == EINVAL,
         "behind the last block");
  check_read (f.v, &f.model, MIB, 0);
  fixture_close (&f);
  sim_free (f.sim);
  model_release (&f.model);
  free (f.buf);
}

/* ------------------------------------------------------------------ */
/* The Nth operation of a kind fails in a growth (ERRNUM 0: none does).
 * Returns how many there are.
 */
static uint64_t
nth_fault (unsigned kind, uint64_t nth, int errnum, bool is_sticky)
{
  const uint64_t old = 2 * MIB, grown = 6 * MIB;
  struct volume_status before, status;
  struct error err = ERROR_INIT;
  uint64_t count;
  struct fixture f;
  int r;

  fixture_begin (&f, nth, old, 48 * MIB);
  write_some (&f, 10, 0);
  CHECK (volume_flush (f.v) == 0, "%s", strerror (errno));
  volume_get_status (f.v, &before);
  count = sim_count (f.sim, kind);
  if (errnum)
    sim_fail (f.sim, kind, nth, errnum, is_sticky);
  r = volume_resize (f.v, grown, 80 * MIB, &err);
  count = sim_count (f.sim, kind) - count;
  sim_fail (f.sim, 0, 0, 0, false);
  volume_get_status (f.v, &status);

  if (r == 0)
    model_grow (&f.model, grown);
  else {
    CHECK (errno == errnum && err.message[0], "%s: %s", strerror (errno),
           err.message);
    CHECK (volume_size (f.v) == old &&
           segments_count (&f.v->segments) == 48 / 4, "it failed and grew");
    check_all (f.v, &f.model);
    if (!status.is_failed) {
      CHECK (status.size == old && status.capacity == before.capacity,
             "the status tells of what failed");
      write_some (&f, 10, 0);
      resize (&f, grown, 80 * MIB);      /* the second try */
      CHECK (volume_flush (f.v) == 0, "%s", strerror (errno));
    }
  }
  sim_crash (f.sim, nth);
  volume_abandon (f.v);
  sim_restart (f.sim);
  check_sound (f.sim, "disk");
  fixture_open (&f);
  volume_get_status (f.v, &status);
  if (status.size != f.model.size) {
    CHECK (r == -1 && status.size == grown, "%" PRIu64 " bytes",
           status.size);
    model_grow (&f.model, grown);
  }
  CHECK (status.capacity == (status.size == old ? 48 : 80) * MIB,
         "%" PRIu64 " with capacity %" PRIu64, status.size, status.capacity);
  check_all (f.v, &f.model);
  write_some (&f, 10, 0);
  end (&f);
  return count;
}

static void
test_every_operation (void **state)
{
  static const unsigned kinds[] = { SIM_WRITE, SIM_SYNC, SIM_SPACE,
                                    SIM_MAPSYNC };
  static const int errnums[] = { EIO, ENOSPC };
  uint64_t count, nth, runs = 0;
  unsigned k, e;

  (void) state;
  test_begin (1);
  for (k = 0; k < sizeof kinds / sizeof kinds[0]; ++k) {
    count = nth_fault (kinds[k], 0, 0, false);
    CHECK (count > 0, "kind %u is not used", kinds[k]);
    for (nth = 0; nth < count; ++nth)
      for (e = 0; e < 4; ++e, ++runs)
        nth_fault (kinds[k], nth, errnums[e % 2], e / 2);
  }
  printf ("# %" PRIu64 " runs\n", runs);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_grow),
    cmocka_unit_test (test_grow_ends_enospc),
    cmocka_unit_test (test_grow_in_use),
    cmocka_unit_test (test_capacity_follows),
    cmocka_unit_test (test_refused),
    cmocka_unit_test (test_grow_thousandfold),
    cmocka_unit_test (test_every_operation),
  };

  return cmocka_run_group_tests_name ("volume resize", tests, NULL, NULL);
}

/* The map made anew from the journal is the map that was there: the same
 * content, the same births, whatever was written, trimmed, moved by the
 * cleaner, cut off by crashes or left behind by another disk before.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "volume-image.h"
#include "volume-fixture.h"
#include "volume-internal.h"

#define BLOCK VOLUME_BLOCK_SIZE
#define MIB (UINT64_C (1) << 20)

/* ------------------------------------------------------------------ */

static int
rebuild (struct fixture *f, const char *path, struct error *err)
{
  struct volume_rebuild_result result;

  return volume_rebuild_map (sim_io (f->sim), path, NULL, NULL, &result, err);
}

static void
check_rebuild (struct fixture *f)
{
  check_sound (f->sim, "disk");
  image_check_rebuild (f->sim, "disk", &fixture_options, &f->rng);
}

/* ------------------------------------------------------------------ */

/* Writes until power fails or the load is done; so little room that the
 * cleaner works.
 */
static void
load (struct fixture *f, const struct random_range *range, unsigned ops)
{
  struct error err = ERROR_INIT;
  unsigned kind;
  int r = 0;

  while (r == 0 && ops-- > 0) {
    kind = random_below (&f->rng, 100);
    if (kind < 85)
      r = random_write (&f->rng, f->v, &f->model, range, f->buf,
                        kind < 5 ? VOLUME_FUA : 0);
    else if (kind < 97)
      r = volume_flush (f->v);
    else
      r = checkpoint (f->v, false, &err);
  }
  if (r == -1)
    CHECK (sim_is_off (f->sim), "%s %s", strerror (errno), err.message);
}

static void
one_round (uint64_t seed)
{
  const uint64_t size = 12 * MIB;
  struct random_range range = { 0, size, 50 };
  struct fixture f;
  unsigned lives;

  fixture_begin (&f, seed, size, 48 * MIB);
  lives = 1 + random_below (&f.rng, 4);
  while (lives-- > 0) {
    if (random_chance (&f.rng, 30))
      range.end = MIB * (1 + random_below (&f.rng, 12));
    if (random_chance (&f.rng, 60))
      sim_crash_after (f.sim, random_below (&f.rng, 2000),
                       random_next (&f.rng));
    load (&f, &range, 20 + random_below (&f.rng, 250));
    if (sim_is_off (f.sim) || random_chance (&f.rng, 40))
      fixture_crash (&f);
    else {
      struct volume *v = f.v;
      struct error err = ERROR_INIT;

      f.v = NULL;
      if (volume_close (v, &err) == -1)
        CHECK (sim_is_off (f.sim), "%s", err.message);
      sim_crash (f.sim, random_next (&f.rng));
      sim_restart (f.sim);
    }
    if (random_chance (&f.rng, 70))
      check_rebuild (&f);
    f.v = fixture_open_at (&f, "disk");
  }
  fixture_release (&f);
}

static void
test_random (void **state)
{
  uint64_t i, rounds = test_begin (40);

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    one_round (test_round_seed (i));
}

/* ------------------------------------------------------------------ */

/* Power fails at any operation of the rebuilding: the disk is there with the
 * old map or with the new one.
 */
static void
test_crash_in_rebuild (void **state)
{
  struct random_range range = { 0, 4 * MIB, 4 };
  struct sim_snapshot *snapshot;
  struct error err = ERROR_INIT;
  struct image before, after;
  struct fixture f;
  uint64_t ops;
  int r = -1;

  (void) state;
  test_begin (1);
  fixture_begin (&f, test_round_seed (0), 4 * MIB, 64 * MIB);
  load (&f, &range, 200);
  fixture_close (&f);
  snapshot = sim_snapshot_take (f.sim);
  before = image_take (f.sim, "disk", &fixture_options);
  for (ops = 0; r == -1; ++ops) {
    CHECK (ops < 5000, "no end");
    sim_snapshot_restore (f.sim, snapshot);
    sim_crash_after (f.sim, ops, random_next (&f.rng));
    r = rebuild (&f, "disk", &err);
    if (r == -1)
      CHECK (sim_is_off (f.sim), "%s", err.message);
    sim_crash (f.sim, random_next (&f.rng));
    sim_restart (f.sim);
    after = image_take (f.sim, "disk", &fixture_options);
    image_check_same (&before, &after);
    image_release (&after);
  }
  /* And it fails at any: an error, and the disk is as it was. */
  r = -1;
  for (ops = 0; r == -1; ++ops) {
    CHECK (ops < 5000, "no end");
    sim_snapshot_restore (f.sim, snapshot);
    sim_fail (f.sim, SIM_ALL, ops, EIO, false);
    r = rebuild (&f, "disk", &err);
    sim_fail (f.sim, 0, 0, 0, false);
    after = image_take (f.sim, "disk", &fixture_options);
    image_check_same (&before, &after);
    image_release (&after);
  }
  sim_snapshot_free (snapshot);
  image_release (&before);
  fixture_release (&f);
}

/* ------------------------------------------------------------------ */

/* File offset of the data of BLOCK's unit. */
static uint64_t
place_of (struct volume *v, uint64_t block)
{
  uint64_t entry = table_get (&v->map, block);

  CHECK (entry_kind (entry) == ENTRY_DATA, "block %" PRIu64, block);
  return entry_position (entry) + sizeof (struct format_unit);
}

static void
flip_byte (struct fixture *f, const char *name, uint64_t offset)
{
  uint8_t byte;

  sim_file_read (f->sim, "disk", name, offset, &byte, 1);
  byte ^= 0x10;
  sim_file_write (f->sim, "disk", name, offset, &byte, 1);
}

static void
write_noise (struct fixture *f, uint64_t block, uint64_t count)
{
  fill_noise (&f->rng, f->buf, count * BLOCK);
  model_write (&f->model, f->buf, count * BLOCK, block * BLOCK);
  CHECK (volume_write (f->v, f->buf, count * BLOCK, block * BLOCK,
                       VOLUME_FUA) == 0, "%s", strerror (errno));
}

/* The newest version of a block has rotted: it is never an older one. */
static void
test_rotten_unit (void **state)
{
  struct error err = ERROR_INIT;
  struct fixture f;
  uint64_t place;

  (void) state;
  test_round_seed (0);
  fixture_begin (&f, 1, MIB, 0);
  write_noise (&f, 0, 16);
  write_noise (&f, 4, 4);
  place = place_of (f.v, 5);
  fixture_close (&f);
  flip_byte (&f, "journal", place + 100);
  image_destroy_tables (f.sim, "disk", &f.rng);
  CHECK (rebuild (&f, "disk", &err) == 0, "%s", err.message);
  f.v = fixture_open_at (&f, "disk");
  check_read (f.v, &f.model, 5 * BLOCK, 0);
  check_read (f.v, &f.model, 10 * BLOCK, 6 * BLOCK);
  CHECK (volume_read (f.v, f.buf, BLOCK, 5 * BLOCK) == -1 && errno == EIO,
         "an older version was shown");
  write_noise (&f, 5, 1);
  check_all (f.v, &f.model);
  fixture_release (&f);
}

/* Both copies of the segment table. */
static void
flip_tables (struct fixture *f)
{
  uint64_t at;
  unsigned i;

  for (i = 0; i < 2; ++i)
    for (at = 0; at < sim_file_size (f->sim, "disk", segments_name (i));
         at += FORMAT_PAGE)
      flip_byte (f, segments_name (i), at);
}

/* What cannot be made anew is left as it is. */
static void
test_refuses (void **state)
{
  const struct uuid uuid = { { 1 } };
  struct error err = ERROR_INIT;
  struct image before, after;
  struct fixture f;

  (void) state;
  test_round_seed (0);
  fixture_begin (&f, 2, MIB, 0);
  write_noise (&f, 0, 16);
  CHECK (rebuild (&f, "disk", &err) == -1 && err.errnum == EBUSY, "%s",
         err.message);
  fixture_close (&f);
  before = image_take (f.sim, "disk", &fixture_options);

  /* A batch that does not verify. */
  flip_byte (&f, "journal", FORMAT_PAGE + 64 + 8);
  CHECK (rebuild (&f, "disk", &err) == -1 && err.errnum == EUCLEAN, "%s",
         err.message);
  flip_byte (&f, "journal", FORMAT_PAGE + 64 + 8);
  flip_tables (&f);
  CHECK (rebuild (&f, "disk", &err) == -1 && err.errnum == EUCLEAN, "%s",
         err.message);
  flip_tables (&f);
  after = image_take (f.sim, "disk", &fixture_options);
  image_check_same (&before, &after);
  image_release (&after);

  f.v = fixture_open_at (&f, "disk");
  CHECK (volume_set_role (f.v, VOLUME_ROLE_SECONDARY, &uuid, 1, &err) == 0 &&
         volume_stage_begin (f.v, 1, 0, 10, 99, &uuid, &err) == 0, "%s",
         err.message);
  fixture_close (&f);
  CHECK (rebuild (&f, "disk", &err) == -1 && err.errnum == EBUSY, "%s",
         err.message);
  after = image_take (f.sim, "disk", &fixture_options);
  image_check_same (&before, &after);
  image_release (&after);
  image_release (&before);
  f.v = NULL;
  fixture_release (&f);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_random),
    cmocka_unit_test (test_crash_in_rebuild),
    cmocka_unit_test (test_rotten_unit),
    cmocka_unit_test (test_refuses),
  };

  return cmocka_run_group_tests_name ("volume rebuild", tests, NULL, NULL);
}

/* Making and removing a volume while power fails, programs are killed and
 * others do the same: there is a volume or there is none, never one that
 * looks whole and is not, and what is left never stands in anybody's way.
 */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "io-sim.h"
#include "volume-internal.h"
#include "volume-model.h"

#define BLOCK VOLUME_BLOCK_SIZE
#define MIB (UINT64_C (1) << 20)

static const struct volume_params params = { MIB, 0, 0 };

static int
create (struct sim *sim, struct error *err)
{
  *err = (struct error) ERROR_INIT;
  return volume_create (sim_io (sim), "disk", &params, err);
}

static int
destroy (struct sim *sim, struct error *err)
{
  *err = (struct error) ERROR_INIT;
  return volume_destroy (sim_io (sim), "disk", err);
}

/* Open it, look whether all of it is VALUE, close. */
static bool
has_volume (struct sim *sim, uint8_t value)
{
  uint8_t content[BLOCK];
  struct error err = ERROR_INIT;
  struct volume *v = volume_open (sim_io (sim), "disk", NULL, &err);
  uint64_t at, i;

  if (v == NULL)
    return false;
  for (at = 0; at < MIB; at += BLOCK) {
    CHECK (volume_read (v, content, BLOCK, at) == 0, "%s", strerror (errno));
    for (i = 0; i < BLOCK; ++i)
      CHECK (content[i] == value, "wrong data");
  }
  CHECK (volume_close (v, &err) == 0, "%s", err.message);
  return true;
}

static void
fill (struct sim *sim, uint8_t value)
{
  uint8_t content[BLOCK];
  struct error err = ERROR_INIT;
  struct volume *v = volume_open (sim_io (sim), "disk", NULL, &err);
  uint64_t at;

  CHECK (v, "%s", err.message);
  memset (content, value, sizeof content);
  for (at = 0; at < MIB; at += BLOCK)
    CHECK (volume_write (v, content, BLOCK, at, 0) == 0, "%s",
           strerror (errno));
  CHECK (volume_close (v, &err) == 0, "%s", err.message);
}

static void
check_can_be_made (struct sim *sim)
{
  struct error err;

  CHECK (create (sim, &err) == 0, "%s", err.message);
  CHECK (has_volume (sim, 0), "it cannot be opened");
  CHECK (destroy (sim, &err) == 0, "%s", err.message);
  CHECK (create (sim, &err) == 0, "%s", err.message);
}

/* Power fails at each operation, some of what was not synced is there; what
 * puts it away fails in the same way.
 */
static void
test_crash_in_create (void **state)
{
  struct error err;
  struct sim *sim;
  uint64_t ops, rng;
  unsigned i;
  int r;

  (void) state;
  test_begin (1);
  rng = test_round_seed (0);
  for (ops = 0; ops < 300; ++ops) {
    sim = sim_new (random_next (&rng));
    sim_crash_after (sim, ops / 6, random_next (&rng));
    r = create (sim, &err);
    for (i = 0; i < 3; ++i) {
      sim_crash (sim, random_next (&rng));
      sim_restart (sim);
      if (has_volume (sim, 0))
        CHECK (create (sim, &err) == -1 && errno == EEXIST,
               "made anew over one that is whole");
      else
        CHECK (r == -1, "created, then gone");
      sim_crash_after (sim, random_below (&rng, 40), random_next (&rng));
      r = destroy (sim, &err) == -1 ? -1 : create (sim, &err);
    }
    sim_crash (sim, random_next (&rng));
    sim_restart (sim);
    if (has_volume (sim, 0))
      CHECK (destroy (sim, &err) == 0, "%s", err.message);
    check_can_be_made (sim);
    sim_free (sim);
  }
}

/* A volume with data: whole until it is none. */
static void
test_crash_in_destroy (void **state)
{
  struct volume_status status;
  struct error err;
  struct sim *sim;
  uint64_t ops, rng, left = 0;

  (void) state;
  test_begin (1);
  rng = test_round_seed (0);
  for (ops = 0; ops < 100; ++ops) {
    sim = sim_new (random_next (&rng));
    CHECK (create (sim, &err) == 0, "%s", err.message);
    fill (sim, 7);
    sim_crash_after (sim, ops / 5, random_next (&rng));
    destroy (sim, &err);
    sim_crash (sim, random_next (&rng));
    sim_restart (sim);
    if (volume_probe (sim_io (sim), "disk", &status, &err) == 0) {
      has_volume (sim, 7);       /* all of it or an error */
      CHECK (destroy (sim, &err) == 0, "%s", err.message);
      left++;
    }
    check_can_be_made (sim);
    sim_free (sim);
  }
  CHECK (left > 0, "power never failed early");
}

/* ------------------------------------------------------------------ */

static struct io_dir *
dir_of (struct sim *sim)
{
  struct io_dir *dir = sim_io (sim)->dir_open (sim, "disk");

  CHECK (dir, "%s", strerror (errno));
  return dir;
}

static void
remove_file (struct sim *sim, const char *name)
{
  struct io_dir *dir = dir_of (sim);

  CHECK (sim_io (sim)->unlink (dir, name) == 0, "%s", strerror (errno));
  sim_io (sim)->dir_close (dir);
}

/* What has lost its super and has data is damaged, not unfinished; what is
 * none of ours is let alone.
 */
static void
test_not_unfinished (void **state)
{
  const struct volume_io *io;
  struct io_file *file;
  struct error err;
  struct io_dir *dir;
  struct sim *sim;

  (void) state;
  test_begin (1);
  sim = sim_new (test_round_seed (0));
  io = sim_io (sim);
  CHECK (create (sim, &err) == 0, "%s", err.message);
  fill (sim, 7);
  remove_file (sim, "super");
  CHECK (create (sim, &err) == -1 && errno == EEXIST, "%s", err.message);
  CHECK (destroy (sim, &err) == -1 && errno == EINVAL, "%s", err.message);
  CHECK (sim_file_size (sim, "disk", "journal") > 0, "the data is gone");
  sim_free (sim);

  sim = sim_new (test_round_seed (0));
  io = sim_io (sim);
  CHECK (io->dir_create (sim, "disk") == 0, "%s", strerror (errno));
  dir = dir_of (sim);
  file = io->open (dir, "letters", IO_CREATE);
  CHECK (file, "%s", strerror (errno));
  io->close (file);
  io->dir_close (dir);
  CHECK (create (sim, &err) == -1 && errno == EEXIST, "%s", err.message);
  CHECK (destroy (sim, &err) == -1 && errno == EINVAL, "%s", err.message);
  remove_file (sim, "letters");
  sim_free (sim);
}

/* Another one is at work there just now. */
static void
test_made_by_another (void **state)
{
  const struct volume_io *io;
  struct io_file *journal;
  struct error err;
  struct io_dir *dir;
  struct sim *sim;

  (void) state;
  test_begin (1);
  sim = sim_new (test_round_seed (0));
  io = sim_io (sim);
  CHECK (io->dir_create (sim, "disk") == 0, "%s", strerror (errno));
  dir = dir_of (sim);
  journal = io->open (dir, "journal", IO_CREATE | IO_LOCK);
  CHECK (journal, "%s", strerror (errno));
  CHECK (create (sim, &err) == -1 && errno == EEXIST, "%s", err.message);
  CHECK (destroy (sim, &err) == -1 && errno == EINVAL, "%s", err.message);
  io->close (journal);
  CHECK (create (sim, &err) == 0, "%s", err.message);
  io->dir_close (dir);
  sim_free (sim);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_crash_in_create),
    cmocka_unit_test (test_crash_in_destroy),
    cmocka_unit_test (test_not_unfinished),
    cmocka_unit_test (test_made_by_another),
  };

  return cmocka_run_group_tests_name ("volume create", tests, NULL, NULL);
}

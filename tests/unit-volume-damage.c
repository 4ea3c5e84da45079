/* Damage to a volume that was closed: bytes flipped anywhere, files cut
 * short or missing.  A read then gives the right bytes or an error, and so
 * does open; never anything else.
 *
 * volume_check names every block that cannot be read, and finds something
 * where open refuses.
 *
 * PAIRDISK_LONG=1 tries every byte in use, else a sample of them.
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

static const struct volume_options options = {
  .staging_bytes = 6 << 20, .commit_delay_ms = 1
};

static const char *const files[] = {
  "super", "segments.0", "segments.1", "journal", "map.0", "births.0",
};
#define NFILES (sizeof files / sizeof files[0])

struct fixture {
  struct sim *sim;
  struct model model;
  struct sim_snapshot *snapshot;
  uint64_t rng;
  uint64_t opened, refused, bad_blocks, found;
  bool *is_named;              /* by the last check, by block */
  uint64_t findings;           /* of the last check */
  FILE *null;
};

static struct volume *
open_volume (struct fixture *f, struct error *err)
{
  *err = (struct error) ERROR_INIT;
  return volume_open (sim_io (f->sim), "disk", &options, err);
}

static void
take_finding (void *opaque, const struct volume_finding *finding)
{
  struct fixture *f = opaque;

  CHECK (finding->file[0] && finding->what[0], "a finding says nothing");
  if (finding->block >= 0)
    f->is_named[finding->block] = true;
}

static void
check_and_dump (struct fixture *f, const char *what, uint64_t offset)
{
  struct volume_check_result result = { 0 };
  struct error err = ERROR_INIT;
  int r;

  memset (f->is_named, 0, f->model.nblocks * sizeof *f->is_named);
  r = volume_check (sim_io (f->sim), "disk", take_finding, NULL, f, &result,
                    &err);
  CHECK (r == 0 || err.message[0], "'%s' at %" PRIu64 ": no message", what,
         offset);
  f->findings = r == -1 ? 1 : result.findings;
  f->found += f->findings > 0;
  if (random_chance (&f->rng, 5))
    volume_dump (sim_io (f->sim), "disk", ~0u, f->null, NULL);
}

/* A disk with some of everything.  IS_CLEAN: closed; else power failed when
 * all had been flushed and that had been noted.
 */
static void
fixture_make (struct fixture *f, bool is_clean)
{
  const struct volume_params params = { MIB, 0, 0 };
  struct random_range range = { 0, MIB, 0 };
  uint8_t *buf = malloc (RANDOM_WRITE_MAX);
  struct error err = ERROR_INIT;
  struct volume *v;
  unsigned i;

  memset (f, 0, sizeof *f);
  CHECK (buf, "no memory");
  f->rng = test_round_seed (is_clean);
  f->sim = sim_new (f->rng);
  CHECK (volume_create (sim_io (f->sim), "disk", &params, &err) == 0, "%s",
         err.message);
  model_init (&f->model, MIB);
  f->is_named = calloc (f->model.nblocks, sizeof *f->is_named);
  f->null = fopen ("/dev/null", "w");
  CHECK (f->is_named && f->null, "no memory");
  v = open_volume (f, &err);
  CHECK (v, "%s", err.message);
  for (i = 0; i < 60; ++i) {
    CHECK (random_write (&f->rng, v, &f->model, &range, buf, 0) == 0, "%s",
           strerror (errno));
    if (i % 10 == 0)
      CHECK (volume_flush (v) == 0, "%s", strerror (errno));
  }
  if (is_clean)
    CHECK (volume_close (v, &err) == 0, "%s", err.message);
  else {
    CHECK (volume_flush (v) == 0, "%s", strerror (errno));
    CHECK (checkpoint (v, false, &err) == 0, "%s", err.message);
    /* Its last batches are behind the checkpoint, the last but one is
     * known to have been durable by the watermark of the last.
     */
    for (i = 0; i < 20; ++i) {
      CHECK (random_write (&f->rng, v, &f->model, &range, buf, 0) == 0, "%s",
             strerror (errno));
      CHECK (volume_flush (v) == 0, "%s", strerror (errno));
    }
    model_adopt (&f->model, f->model.data);
    fill_random (&f->rng, buf, BLOCK);
    model_write (&f->model, buf, BLOCK, 0);
    CHECK (volume_write (v, buf, BLOCK, 0, VOLUME_FUA) == 0, "%s",
           strerror (errno));
    sim_crash (f->sim, 0);
    volume_abandon (v);
    sim_restart (f->sim);
  }
  f->snapshot = sim_snapshot_take (f->sim);
  check_and_dump (f, "", 0);
  CHECK (f->findings == 0, "nothing is wrong yet, says nobody but the check");
  free (buf);
}

static void
fixture_release (struct fixture *f)
{
  printf ("# opened %" PRIu64 ", refused %" PRIu64 ", blocks not readable %"
          PRIu64 ", found by check %" PRIu64 "\n", f->opened, f->refused,
          f->bad_blocks, f->found);
  fclose (f->null);
  free (f->is_named);
  sim_snapshot_free (f->snapshot);
  sim_free (f->sim);
  model_release (&f->model);
}

/* Right bytes or EIO, block by block and in one piece. */
static void
check_blocks (struct fixture *f, struct volume *v)
{
  uint64_t i;

  if (try_read (v, &f->model, MIB, 0) == 0)
    return;
  CHECK (errno == EIO, "%s", strerror (errno));
  for (i = 0; i < f->model.nblocks; ++i)
    if (try_read (v, &f->model, BLOCK, i * BLOCK) == -1) {
      CHECK (errno == EIO, "%s", strerror (errno));
      CHECK (f->is_named[i], "block %" PRIu64 " cannot be read and the check "
             "does not name it", i);
      f->bad_blocks++;
    }
}

/* A volume that has lost its last, torn-looking batch is right too: the
 * disk before the last write.
 */
static void
check_damaged (struct fixture *f, bool may_lose_last, const char *what,
               uint64_t offset)
{
  uint64_t low, high;
  struct error err;
  struct volume *v;
  uint8_t *content;

  check_and_dump (f, what, offset);
  v = open_volume (f, &err);
  if (v == NULL) {
    CHECK (f->findings > 0, "'%s' at %" PRIu64 ": open says %s, the check "
           "found nothing", what, offset, err.message);
    CHECK (err.message[0] && err.errnum > 0, "'%s' at %" PRIu64
           ": no message", what, offset);
    CHECK (errno == EUCLEAN || errno == EIO || errno == ENOENT,
           "'%s' at %" PRIu64 ": %s", what, offset, err.message);
    f->refused++;
  }
  else {
    f->opened++;
    if (may_lose_last) {
      content = malloc (MIB);
      CHECK (content, "no memory");
      if (volume_read (v, content, MIB, 0) == 0)
        CHECK (model_match (&f->model, content, 0, f->model.nblocks, 0, &low,
                            &high),
               "'%s' at %" PRIu64 ": wrong data", what, offset);
      free (content);
    }
    else
      check_blocks (f, v);
    volume_abandon (v);
  }
  sim_restart (f->sim);
  sim_snapshot_restore (f->sim, f->snapshot);
}

static void
flip_one (struct fixture *f, const char *name, uint64_t offset,
          uint8_t mask, bool may_lose_last)
{
  uint8_t byte;

  sim_file_read (f->sim, "disk", name, offset, &byte, 1);
  byte ^= mask;
  sim_file_write (f->sim, "disk", name, offset, &byte, 1);
  check_damaged (f, may_lose_last, name, offset);
}

/* All bytes in pages that hold anything, or one in STRIDE of them and the
 * first 128 of each page.
 */
static void
flip_file (struct fixture *f, const char *name, uint64_t stride,
           bool may_lose_last)
{
  uint64_t size = sim_file_size (f->sim, "disk", name), at, i;
  bool is_table = strncmp (name, "map", 3) == 0 ||
    strncmp (name, "births", 7) == 0;
  uint8_t mask;

  for (at = 0; at < size; at += FORMAT_PAGE) {
    if (!sim_page_is_used (f->sim, "disk", name, at))
      continue;
    for (i = 0; i < FORMAT_PAGE && at + i < size;) {
      /* A map entry's 13 bits of check find all single bits. */
      mask = is_table ? UINT64_C (1) << random_below (&f->rng, 8)
        : 1 + random_below (&f->rng, 255);
      flip_one (f, name, at + i, mask, may_lose_last);
      i += stride == 1 ? 1 : i < 128 ? 1 + random_below (&f->rng, 12)
        : 1 + random_below (&f->rng, 2 * stride);
    }
  }
}

static void
flip_all_files (bool is_clean, uint64_t stride)
{
  struct fixture f;
  size_t i;

  if (getenv ("PAIRDISK_LONG") && *getenv ("PAIRDISK_LONG"))
    stride = 1;
  fixture_make (&f, is_clean);
  for (i = 0; i < NFILES; ++i)
    flip_file (&f, files[i], stride, !is_clean);
  fixture_release (&f);
}

static void
test_flipped_bytes_after_close (void **state)
{
  (void) state;
  test_begin (1);
  flip_all_files (true, 400);
}

static void
test_flipped_bytes_after_crash (void **state)
{
  (void) state;
  test_begin (1);
  flip_all_files (false, 400);
}

/* ------------------------------------------------------------------ */

/* The copy of the segment table that the super does not name. */
static const char *
unused_copy (struct fixture *f)
{
  const struct volume_io *io = sim_io (f->sim);
  struct io_dir *dir = io->dir_open (io->opaque, "disk");
  struct io_file *file = io->open (dir, "super", 0);
  struct super super;

  CHECK (super_read (io, file, &super, NULL) == 0, "no super");
  io->close (file);
  io->dir_close (dir);
  return segments_name (!super.segments_slot);
}

static void
test_files_cut_short (void **state)
{
  struct fixture f;
  uint64_t size, to;
  struct error err;
  struct volume *v;
  const char *unused;
  size_t i, k;

  (void) state;
  test_begin (1);
  fixture_make (&f, true);
  unused = unused_copy (&f);
  for (i = 0; i < NFILES; ++i) {
    size = sim_file_size (f.sim, "disk", files[i]);
    for (k = 0; k < 12; ++k) {
      to = k == 0 ? 0 : k == 1 ? 1 : k == 2 ? size - 1 : k == 3 ? size - 4096
        : random_below (&f.rng, size);
      sim_file_resize (f.sim, "disk", files[i], to);
      check_damaged (&f, false, files[i], to);
    }
    /* Empty: it says so and does not take it for a new one. */
    sim_file_resize (f.sim, "disk", files[i], 0);
    v = open_volume (&f, &err);
    if (strcmp (files[i], unused) == 0) {
      /* Written anew before it is read. */
      CHECK (v && volume_close (v, &err) == 0, "%s", err.message);
    }
    else {
      CHECK (v == NULL && err.message[0], "'%s' is empty and nobody minds",
             files[i]);
      printf ("# empty %s: %s\n", files[i], err.message);
    }
    sim_restart (f.sim);
    sim_snapshot_restore (f.sim, f.snapshot);
  }
  fixture_release (&f);
}

static void
test_files_missing (void **state)
{
  struct fixture f;
  struct io_dir *dir;
  struct error err;
  struct volume *v;
  size_t i;

  (void) state;
  test_begin (1);
  fixture_make (&f, true);
  for (i = 0; i < NFILES; ++i) {
    dir = sim_io (f.sim)->dir_open (f.sim, "disk");
    CHECK (dir && sim_io (f.sim)->unlink (dir, files[i]) == 0, "%s",
           strerror (errno));
    sim_io (f.sim)->dir_close (dir);
    v = open_volume (&f, &err);
    CHECK (v == NULL && errno == ENOENT && err.message[0],
           "'%s' is missing: %s", files[i], err.message);
    sim_restart (f.sim);
    sim_snapshot_restore (f.sim, f.snapshot);
  }
  fixture_release (&f);
}

/* Two disks' files do not mix, and an older state of one file beside newer
 * ones of the others is found out or does no harm.
 */
static void
test_foreign_files (void **state)
{
  struct fixture f, other;
  uint64_t size;
  uint8_t *bytes;
  size_t i;

  (void) state;
  test_begin (1);
  fixture_make (&f, true);
  fixture_make (&other, true);
  for (i = 1; i < NFILES; ++i) {      /* another super is another volume */
    size = sim_file_size (other.sim, "disk", files[i]);
    bytes = malloc (size);
    CHECK (bytes, "no memory");
    sim_file_read (other.sim, "disk", files[i], 0, bytes, size);
    sim_file_resize (f.sim, "disk", files[i], size);
    sim_file_write (f.sim, "disk", files[i], 0, bytes, size);
    free (bytes);
    check_damaged (&f, false, files[i], 0);
  }
  fixture_release (&other);
  fixture_release (&f);
}

/* Every page of every file that changed since the disk was in use the last
 * time, put back as it was then: a medium that lost one write.
 */
struct copies {
  uint8_t *bytes[NFILES];
  uint64_t size[NFILES];
};

static void
copies_take (struct fixture *f, struct copies *c)
{
  size_t i;

  for (i = 0; i < NFILES; ++i) {
    c->size[i] = sim_file_size (f->sim, "disk", files[i]);
    c->bytes[i] = malloc (c->size[i]);
    CHECK (c->bytes[i], "no memory");
    sim_file_read (f->sim, "disk", files[i], 0, c->bytes[i], c->size[i]);
  }
}

static void
copies_release (struct copies *c)
{
  size_t i;

  for (i = 0; i < NFILES; ++i)
    free (c->bytes[i]);
}

/* Overwrite about half of the disk; then closed, or without power. */
static void
use_again (struct fixture *f, bool is_clean)
{
  struct random_range range = { 0, MIB, 0 };
  uint8_t *buf = malloc (RANDOM_WRITE_MAX);
  struct error err;
  struct volume *v;
  unsigned i;

  CHECK (buf, "no memory");
  v = open_volume (f, &err);
  CHECK (v, "%s", err.message);
  for (i = 0; i < 40; ++i)
    CHECK (random_write (&f->rng, v, &f->model, &range, buf, 0) == 0, "%s",
           strerror (errno));
  if (is_clean)
    CHECK (volume_close (v, &err) == 0, "%s", err.message);
  else {
    CHECK (volume_flush (v) == 0, "%s", strerror (errno));
    model_adopt (&f->model, f->model.data);
    fill_random (&f->rng, buf, BLOCK);
    model_write (&f->model, buf, BLOCK, 0);
    CHECK (volume_write (v, buf, BLOCK, 0, VOLUME_FUA) == 0, "%s",
           strerror (errno));
    sim_crash (f->sim, 0);
    volume_abandon (v);
    sim_restart (f->sim);
  }
  sim_snapshot_free (f->snapshot);
  f->snapshot = sim_snapshot_take (f->sim);
  free (buf);
}

static void
stale_pages (bool is_clean)
{
  uint8_t page[FORMAT_PAGE];
  struct copies old;
  struct fixture f;
  uint64_t at, tried = 0;
  size_t i;

  fixture_make (&f, true);
  copies_take (&f, &old);
  use_again (&f, is_clean);
  for (i = 0; i < NFILES; ++i)
    for (at = 0; at + FORMAT_PAGE <= old.size[i]; at += FORMAT_PAGE) {
      sim_file_read (f.sim, "disk", files[i], at, page, FORMAT_PAGE);
      if (memcmp (page, old.bytes[i] + at, FORMAT_PAGE) == 0)
        continue;
      sim_file_write (f.sim, "disk", files[i], at, old.bytes[i] + at,
                      FORMAT_PAGE);
      check_damaged (&f, !is_clean, files[i], at);
      tried++;
    }
  printf ("# %" PRIu64 " pages put back\n", tried);
  copies_release (&old);
  fixture_release (&f);
}

static void
test_stale_pages (void **state)
{
  (void) state;
  test_begin (1);
  stale_pages (true);
  stale_pages (false);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_flipped_bytes_after_close),
    cmocka_unit_test (test_flipped_bytes_after_crash),
    cmocka_unit_test (test_files_cut_short),
    cmocka_unit_test (test_files_missing),
    cmocka_unit_test (test_foreign_files),
    cmocka_unit_test (test_stale_pages),
  };

  return cmocka_run_group_tests_name ("volume damage", tests, NULL, NULL);
}

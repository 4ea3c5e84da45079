/* Damage to a volume that was closed: bytes flipped anywhere, pages stale,
 * segments lost, files cut short or missing; of a young volume, and of one
 * that has grown, wrapped around and been cleaned.  A read then gives the
 * right bytes or an error, and so does open; never anything else.
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
  uint64_t newest[2];          /* segments that were written last */
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

static void
write_random (struct fixture *f, struct volume *v, unsigned count,
              uint8_t *buf)
{
  const struct random_range range = { 0, f->model.size, 0 };

  while (count-- > 0)
    CHECK (random_write (&f->rng, v, &f->model, &range, buf, 0) == 0, "%s",
           strerror (errno));
}

/* Let it grow, disk and journal, and write to it until the cleaner has moved
 * what stayed and what it emptied was used again.
 */
static void
grow_old (struct fixture *f, struct volume *v, uint8_t *buf)
{
  const uint64_t count = RANDOM_WRITE_MAX / BLOCK * BLOCK;
  struct error err = ERROR_INIT;
  uint64_t written = 0, offset;

  CHECK (volume_resize (v, 2 * MIB, 52 * MIB, &err) == 0, "%s", err.message);
  model_grow (&f->model, 2 * MIB);
  while (written < 100 * MIB ||
         cold_position (v) == COLD_LAP_BASE * v->super.segment_size) {
    CHECK (written < 400 * MIB, "the cleaner has moved nothing");
    /* The second half is written seldom: it is what the cleaner moves. */
    if (written % (16 * MIB) < count)
      write_random (f, v, 40, buf);
    fill_noise (&f->rng, buf, count);
    offset = random_below (&f->rng, 200) * BLOCK;
    if (offset + count > f->model.size)
      offset = 0;
    model_write (&f->model, buf, count, offset);
    CHECK (volume_write (v, buf, count, offset, 0) == 0, "%s",
           strerror (errno));
    written += count;
  }
}

/* Power fails; all was flushed but for the last write, which is known to have
 * been durable by nothing but itself.
 */
static void
fail_power (struct fixture *f, struct volume *v, uint8_t *buf)
{
  CHECK (volume_flush (v) == 0, "%s", strerror (errno));
  model_adopt (&f->model, f->model.data);
  fill_random (&f->rng, buf, BLOCK);
  model_write (&f->model, buf, BLOCK, 0);
  CHECK (volume_write (v, buf, BLOCK, 0, VOLUME_FUA) == 0, "%s",
         strerror (errno));
  f->newest[0] = v->journal.segment;
  f->newest[1] = segments_find_lap (&v->segments, cold_position (v) /
                                    v->super.segment_size);
  sim_crash (f->sim, 0);
  volume_abandon (v);
  sim_restart (f->sim);
}

/* A disk with some of everything.  IS_CLEAN: closed; else power failed when
 * all had been flushed and that had been noted.  IS_OLD: it has a past.
 */
static void
fixture_make (struct fixture *f, bool is_clean, bool is_old)
{
  const struct volume_params params = { MIB, 0, 0 };
  uint8_t *buf = malloc (RANDOM_WRITE_MAX);
  struct error err = ERROR_INIT;
  struct volume *v;
  unsigned i;

  memset (f, 0, sizeof *f);
  CHECK (buf, "no memory");
  f->rng = test_round_seed (is_clean);
  f->newest[0] = f->newest[1] = SEGMENT_NONE;
  f->sim = sim_new (f->rng);
  CHECK (volume_create (sim_io (f->sim), "disk", &params, &err) == 0, "%s",
         err.message);
  model_init (&f->model, MIB);
  f->is_named = calloc (2 * f->model.nblocks, sizeof *f->is_named);
  f->null = fopen ("/dev/null", "w");
  CHECK (f->is_named && f->null, "no memory");
  v = open_volume (f, &err);
  CHECK (v, "%s", err.message);
  if (is_old)
    grow_old (f, v, buf);
  for (i = 0; i < 60; ++i) {
    write_random (f, v, 1, buf);
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
      write_random (f, v, 1, buf);
      CHECK (volume_flush (v) == 0, "%s", strerror (errno));
    }
    fail_power (f, v, buf);
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

/* In one piece, or block by block where that cannot be: the right bytes, or
 * EIO and the check has named the block.  A volume that has lost its last,
 * torn-looking batch is right too: the disk before the last write.
 */
static void
check_blocks (struct fixture *f, struct volume *v, bool may_lose_last,
              const char *what, uint64_t offset)
{
  const struct model *m = &f->model;
  uint64_t first = may_lose_last ? 0 : m->step, i, low, high;
  uint8_t *content = malloc (m->size);

  CHECK (content, "no memory");
  if (volume_read (v, content, m->size, 0) == 0) {
    CHECK (model_match (m, content, 0, m->nblocks, first, &low, &high),
           "'%s' at %" PRIu64 ": wrong data", what, offset);
    free (content);
    return;
  }
  CHECK (errno == EIO, "%s", strerror (errno));
  for (i = 0; i < m->nblocks; ++i) {
    if (volume_read (v, content + i * BLOCK, BLOCK, i * BLOCK) == 0) {
      CHECK (model_match (m, content, i, i + 1, first, &low, &high),
             "'%s' at %" PRIu64 ": wrong data in block %" PRIu64, what,
             offset, i);
      continue;
    }
    CHECK (errno == EIO, "%s", strerror (errno));
    CHECK (f->is_named[i], "'%s' at %" PRIu64 ": block %" PRIu64
           " cannot be read and the check does not name it", what, offset, i);
    f->bad_blocks++;
  }
  free (content);
}

static void
check_damaged (struct fixture *f, bool may_lose_last, const char *what,
               uint64_t offset)
{
  struct error err;
  struct volume *v;

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
    check_blocks (f, v, may_lose_last, what, offset);
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

static bool
is_long (void)
{
  const char *text = getenv ("PAIRDISK_LONG");

  return text && *text;
}

/* What finds each single flipped bit of FILE, but not each byte? */
static uint8_t
random_mask (struct fixture *f, const char *name)
{
  /* A map entry's 13 bits of check find all single bits. */
  if (strncmp (name, "map", 3) == 0 || strncmp (name, "births", 7) == 0)
    return UINT64_C (1) << random_below (&f->rng, 8);
  return 1 + random_below (&f->rng, 255);
}

/* All bytes in pages that hold anything, or one in STRIDE of them and the
 * first 128 of each page.
 */
static void
flip_file (struct fixture *f, const char *name, uint64_t stride,
           bool may_lose_last)
{
  uint64_t size = sim_file_size (f->sim, "disk", name), at, i;

  for (at = 0; at < size; at += FORMAT_PAGE) {
    if (!sim_page_is_used (f->sim, "disk", name, at))
      continue;
    for (i = 0; i < FORMAT_PAGE && at + i < size;) {
      flip_one (f, name, at + i, random_mask (f, name), may_lose_last);
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

  if (is_long ())
    stride = 1;
  fixture_make (&f, is_clean, false);
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

/* An old volume is too large for all of it: so many bytes of each file, half
 * of them where pages begin.
 */
static void
flip_old (bool is_clean, unsigned count)
{
  struct fixture f;
  uint64_t size, at;
  unsigned n, k;
  size_t i;

  fixture_make (&f, is_clean, true);
  for (i = 0; i < NFILES; ++i) {
    size = sim_file_size (f.sim, "disk", files[i]);
    for (n = k = 0; n < count && k < 100 * count; ++k) {
      at = random_below (&f.rng, size / FORMAT_PAGE) * FORMAT_PAGE;
      if (!sim_page_is_used (f.sim, "disk", files[i], at))
        continue;
      at += random_below (&f.rng, n % 2 ? 128 : FORMAT_PAGE);
      flip_one (&f, files[i], at, random_mask (&f, files[i]), !is_clean);
      ++n;
    }
  }
  fixture_release (&f);
}

static void
test_flipped_bytes_of_an_old_one (void **state)
{
  (void) state;
  test_begin (1);
  flip_old (true, is_long () ? 4000 : 25);
  flip_old (false, is_long () ? 4000 : 25);
}

/* Each segment: zeros, or what another one has.  After a crash not those that
 * were written last, which nothing may tell from never written.
 */
static void
lose_segments (bool is_clean, bool is_old)
{
  const uint64_t segment = 4 * MIB;
  uint8_t *bytes = malloc (segment);
  uint64_t size, count, i, k, pass;
  struct fixture f;

  CHECK (bytes, "no memory");
  fixture_make (&f, is_clean, is_old);
  size = sim_file_size (f.sim, "disk", "journal");
  count = size / segment;
  for (i = 0; i < count; ++i)
    for (pass = 0; pass < 2; ++pass) {
      if (i == f.newest[0] || i == f.newest[1])
        continue;
      k = (i + 1 + random_below (&f.rng, count)) % count;
      memset (bytes, 0, segment);
      if (pass == 1)
        sim_file_read (f.sim, "disk", "journal", k * segment, bytes, segment);
      sim_file_write (f.sim, "disk", "journal", i * segment, bytes, segment);
      check_damaged (&f, !is_clean, "journal", i * segment);
    }
  CHECK (!is_clean || f.bad_blocks > 0, "no segment was needed");
  fixture_release (&f);
  free (bytes);
}

static void
test_segments_lost (void **state)
{
  (void) state;
  test_begin (1);
  lose_segments (true, false);
  lose_segments (true, true);
  lose_segments (false, true);
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
  fixture_make (&f, true, false);
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
  fixture_make (&f, true, false);
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
  fixture_make (&f, true, false);
  fixture_make (&other, true, false);
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
  uint8_t *buf = malloc (RANDOM_WRITE_MAX);
  struct error err;
  struct volume *v;

  CHECK (buf, "no memory");
  v = open_volume (f, &err);
  CHECK (v, "%s", err.message);
  write_random (f, v, 40, buf);
  if (is_clean)
    CHECK (volume_close (v, &err) == 0, "%s", err.message);
  else
    fail_power (f, v, buf);
  sim_snapshot_free (f->snapshot);
  f->snapshot = sim_snapshot_take (f->sim);
  free (buf);
}

/* One in SKIP of them, of all files or only the journal's segment headers. */
static void
stale_pages (bool is_clean, bool is_old, unsigned skip, bool is_headers)
{
  const uint64_t step = is_headers ? 4 << 20 : FORMAT_PAGE;
  uint8_t page[FORMAT_PAGE];
  struct copies old;
  struct fixture f;
  uint64_t at, tried = 0;
  size_t i;

  fixture_make (&f, true, is_old);
  copies_take (&f, &old);
  use_again (&f, is_clean);
  for (i = 0; i < NFILES; ++i)
    for (at = 0; at + FORMAT_PAGE <= old.size[i]; at += step) {
      if (is_headers && strcmp (files[i], "journal") != 0)
        break;
      sim_file_read (f.sim, "disk", files[i], at, page, FORMAT_PAGE);
      if (memcmp (page, old.bytes[i] + at, FORMAT_PAGE) == 0 ||
          random_below (&f.rng, skip) != 0)
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
  unsigned skip = is_long () ? 1 : 8;

  (void) state;
  test_begin (1);
  stale_pages (true, false, 1, false);
  stale_pages (false, false, 1, false);
  stale_pages (true, true, skip, false);
  stale_pages (false, true, skip, false);
}

/* A segment whose header is of an earlier use was begun all the same: what
 * stands in it says so.
 */
static void
test_stale_segment_headers (void **state)
{
  uint64_t i, rounds = test_begin (8);

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    stale_pages (false, true, 1, true);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_flipped_bytes_after_close),
    cmocka_unit_test (test_flipped_bytes_after_crash),
    cmocka_unit_test (test_flipped_bytes_of_an_old_one),
    cmocka_unit_test (test_segments_lost),
    cmocka_unit_test (test_files_cut_short),
    cmocka_unit_test (test_files_missing),
    cmocka_unit_test (test_foreign_files),
    cmocka_unit_test (test_stale_pages),
    cmocka_unit_test (test_stale_segment_headers),
  };

  return cmocka_run_group_tests_name ("volume damage", tests, NULL, NULL);
}

/* What a crash cut off at the end of the journal: it does not come back, is not
 * taken up behind the cut, not shipped to the peer, and not called damage.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crash-round.h"
#include "volume-fixture.h"
#include "volume-internal.h"

#define BLOCK VOLUME_BLOCK_SIZE
#define MIB (UINT64_C (1) << 20)

/* What is not flushed stays in memory. */
static const struct volume_options slow = {
  .staging_bytes = 6 << 20, .commit_delay_ms = 1000
};

static void
open_recovered (struct round *r, const struct volume_options *options)
{
  struct error err = ERROR_INIT;

  r->v = volume_open (sim_io (r->sim), "disk", options, &err);
  CHECK (r->v, "%s", err.message);
  check_recovered (r);
}

static void
power_fails (struct round *r)
{
  sim_crash (r->sim, random_next (&r->rng));
  volume_abandon (r->v);
  sim_restart (r->sim);
}

/* A write that was lost in one crash does not come back in the next, when
 * the writes made meanwhile stand in its place in the journal and are torn:
 * same place, same seq, same block, same length, but another life.
 */
static void
write_same_places (struct round *r, unsigned count)
{
  uint64_t stamp = random_next (&r->rng);
  unsigned i, k;

  for (i = 0; i < count; ++i) {
    for (k = 0; k < BLOCK; ++k)
      r->buf[k] = stamp >> k % 8 * 8;
    model_write (&r->model, r->buf, BLOCK, i * BLOCK);
    if (volume_write (r->v, r->buf, BLOCK, i * BLOCK, 0) == -1)
      CHECK (sim_is_off (r->sim), "%s", strerror (errno));
  }
}

static void
lost_round (uint64_t seed)
{
  unsigned life, count;
  struct round r;

  round_begin (&r, seed, MIB, 0);
  count = 4 + random_below (&r.rng, 60);
  for (life = 0; life < 4; ++life) {
    open_recovered (&r, &slow);
    write_same_places (&r, count);
    sim_crash_after (r.sim, 1, random_next (&r.rng));
    volume_flush (r.v);
    power_fails (&r);
  }
  open_recovered (&r, &fixture_options);
  round_end (&r);
}

static void
test_lost_writes_stay_lost (void **state)
{
  uint64_t i, rounds = test_begin (200);

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    lost_round (test_round_seed (i));
}

/* ------------------------------------------------------------------ */

/* Nor do batches that were in flight behind a lost one, when what is written
 * next time in front of them is as long as that was: they are of another life.
 */
static void
lost_batches_round (uint64_t seed)
{
  const uint64_t count = 32 * BLOCK;
  unsigned life, i;
  struct round r;

  round_begin (&r, seed, 2 * MIB, 0);
  for (life = 0; life < 5; ++life) {
    open_recovered (&r, &slow);
    /* All of it the first time, then less and less. */
    for (i = 0; i < 14 - 3 * life; ++i) {
      fill_noise (&r.rng, r.buf, count);
      model_write (&r.model, r.buf, count, i * count);
      CHECK (volume_write (r.v, r.buf, count, i * count, 0) == 0, "%s",
             strerror (errno));
    }
    if (life > 0 && random_chance (&r.rng, 50)) {
      CHECK (volume_flush (r.v) == 0, "%s", strerror (errno));
      r.durable = r.model.step;
    }
    power_fails (&r);
  }
  open_recovered (&r, &fixture_options);
  round_end (&r);
}

static void
test_lost_batches_stay_lost (void **state)
{
  uint64_t i, rounds = test_begin (200);

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    lost_batches_round (test_round_seed (i));
}

/* ------------------------------------------------------------------ */

/* A peer that takes all records from the first one on has this disk. */
static void
check_stream (struct round *r)
{
  const uint64_t size = volume_size (r->v);
  uint8_t *disk = calloc (1, size), *shown = malloc (size);
  uint8_t *frame = malloc (RECORD_MAX);
  struct volume_status status;
  struct volume_cursor *c;
  struct volume_point last = { .seq = 0 };
  struct walked_unit u;
  struct unit_walk walk;
  struct record record;
  struct error err = ERROR_INIT;
  const uint8_t *body;
  unsigned records;
  uint64_t seq = 0;
  size_t at;
  ssize_t n;

  CHECK (disk && shown && frame, "no memory");
  c = volume_cursor_open (r->v, 1, &err);
  CHECK (c, "%s", err.message);
  while ((n = volume_cursor_read (c, frame, RECORD_MAX, &last, &records,
                                  &err)) > 0)
    for (at = 0; at < (size_t) n;
         at += sizeof (struct format_record) + record.length) {
      CHECK (record_decode ((const struct format_record *) (frame + at),
                            volume_content_salt (r->v), &record) &&
             record.seq == ++seq, "record %" PRIu64, seq);
      body = frame + at + sizeof (struct format_record);
      if (record.type != RECORD_WRITE) {
        memset (disk + record.block * BLOCK, 0,
                (size_t) record.nblocks * BLOCK);
        continue;
      }
      walk = unit_walk_start (&record, body);
      while (unit_walk_next (&walk, &u) == 1)
        CHECK (unit_expand (u.stored, &u.unit, disk + u.block * BLOCK),
               "block %" PRIu64, u.block);
    }
  CHECK (n == 0, "%s", err.message);
  volume_cursor_close (c);

  volume_get_status (r->v, &status);
  CHECK (last.seq == status.durable.seq, "%" PRIu64 " of %" PRIu64,
         last.seq, status.durable.seq);
  CHECK (volume_read (r->v, shown, size, 0) == 0 &&
         memcmp (shown, disk, size) == 0, "the peer has another disk");
  free (frame);
  free (shown);
  free (disk);
}

static void
write_noise (struct round *r, uint64_t count, uint64_t offset)
{
  fill_noise (&r->rng, r->buf, count);
  model_write (&r->model, r->buf, count, offset);
  CHECK (volume_write (r->v, r->buf, count, offset, 0) == 0 ||
         sim_is_off (r->sim), "%s", strerror (errno));
}

/* Behind what recovery kept there may be the beginning of a batch, whole
 * records in it.  When the next batch does not fit there, the segment ends in
 * front of it, and nobody is to take it up: not the peer, nor the cleaner.
 */
static void
cut_round (uint64_t seed)
{
  const uint64_t large = 32 * BLOCK;
  unsigned life, i, count;
  struct round r;

  round_begin (&r, seed, MIB, 64 * MIB);
  for (life = 0; life < 3; ++life) {
    open_recovered (&r, &slow);
    do {
      write_noise (&r, large, random_below (&r.rng, 8) * large);
      CHECK (volume_flush (r.v) == 0, "%s", strerror (errno));
    } while (r.v->journal.offset + 2 * large < 4 * MIB);
    check_stream (&r);
    r.durable = r.model.step;
    count = 1 + random_below (&r.rng, 8);
    for (i = 0; i < count; ++i)
      if (random_chance (&r.rng, 50))
        write_noise (&r, BLOCK, random_below (&r.rng, 256) * BLOCK);
      else {
        uint64_t block = random_below (&r.rng, 256);

        model_zero (&r.model, BLOCK, block * BLOCK);
        CHECK (volume_zero (r.v, BLOCK, block * BLOCK, 0) == 0 ||
               sim_is_off (r.sim), "%s", strerror (errno));
      }
    sim_crash_after (r.sim, 1, random_next (&r.rng));
    volume_flush (r.v);
    power_fails (&r);
  }
  open_recovered (&r, &fixture_options);
  write_noise (&r, 2 * large, 0);
  CHECK (volume_flush (r.v) == 0, "%s", strerror (errno));
  check_stream (&r);
  round_end (&r);
}

static void
test_what_was_cut_is_not_shipped (void **state)
{
  uint64_t i, rounds = test_begin (200);

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    cut_round (test_round_seed (i));
}

/* ------------------------------------------------------------------ */

/* A crash may leave the journal's file no longer than what was written to
 * its last segment, whose space was merely reserved: all of it counts, and
 * nobody calls that damage.
 */
enum short_tail {
  TAIL_IN_REPLAY,              /* begun after the last checkpoint */
  TAIL_IN_TABLE,               /* before it */
  TAIL_HEADER,                 /* of the next one a part of its header */
  TAILS
};

static void
begin_next_lap (struct round *r, struct io_file *file, uint64_t lap,
                uint64_t segment)
{
  const struct super *super = &r->v->super;
  struct segment_header header = {
    .lap = lap, .kind = SEGMENT_HOT, .incarnation = r->v->incarnation,
  };
  uint8_t page[FORMAT_PAGE] __attribute__ ((aligned (FORMAT_PAGE))) = { 0 };

  segment_header_encode (&header, &super->uuid, super->journal_salt,
                         super->segment_size, (struct format_segment *) page);
  CHECK (segment_lap (&r->v->segments, segment) == 0 &&
         sim_io (r->sim)->write (file, page, sizeof page,
                                 segment * super->segment_size) == 0, "%s",
         strerror (errno));
}

static void
cut_journal (struct round *r, struct io_file *file, uint64_t size)
{
  const struct volume_io *io = sim_io (r->sim);
  uint64_t before;

  CHECK (io->size (file, &before) == 0 && before > size,
         "a test of nothing: %" PRIu64, size);
  CHECK (io->resize (file, size) == 0 && io->sync (file) == 0, "%s",
         strerror (errno));
}

static void
short_round (uint64_t seed, enum short_tail tail)
{
  struct random_range range = { 0, 4 * MIB, 0 };
  const struct volume_io *io;
  struct error err = ERROR_INIT;
  struct journal *j;
  struct io_dir *dir;
  struct io_file *file;
  uint64_t segment, end;
  struct round r;

  round_begin (&r, seed, range.end, 64 * MIB);
  io = sim_io (r.sim);
  r.v = volume_open (io, "disk", &fixture_options, &err);
  CHECK (r.v, "%s", err.message);
  j = &r.v->journal;
  while (j->lap < 3 || j->offset < 64 << 10) {
    CHECK (random_write (&r.rng, r.v, &r.model, &range, r.buf, 0) == 0, "%s",
           strerror (errno));
    CHECK (volume_flush (r.v) == 0, "%s", strerror (errno));
  }
  if (tail == TAIL_IN_TABLE)
    CHECK (checkpoint (r.v, false, &err) == 0, "%s", err.message);
  CHECK (random_write (&r.rng, r.v, &r.model, &range, r.buf, 0) == 0 &&
         volume_flush (r.v) == 0, "%s", strerror (errno));
  r.durable = r.model.step;

  dir = io->dir_open (io->opaque, "disk");
  file = io->open (dir, "journal", 0);
  CHECK (file, "%s", strerror (errno));
  segment = segments_find_lap (&r.v->segments, j->lap);
  end = segment * 4 * MIB + j->offset;
  if (tail == TAIL_HEADER) {
    end = (segment + 1) * 4 * MIB + 512;
    begin_next_lap (&r, file, j->lap + 1, segment + 1);
  }
  volume_abandon (r.v);
  cut_journal (&r, file, end);
  io->close (file);
  io->dir_close (dir);

  check_sound (r.sim, "disk");
  open_recovered (&r, &fixture_options);
  round_end (&r);
}

static void
test_last_segment_cut_short (void **state)
{
  uint64_t i, rounds = test_begin (20);

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    short_round (test_round_seed (i), i % TAILS);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_lost_writes_stay_lost),
    cmocka_unit_test (test_lost_batches_stay_lost),
    cmocka_unit_test (test_what_was_cut_is_not_shipped),
    cmocka_unit_test (test_last_segment_cut_short),
  };

  return cmocka_run_group_tests_name ("volume tail", tests, NULL, NULL);
}

/* Records that the peer has not got yet are kept for it while there is room:
 * up to a quarter of the journal, whatever the cleaner could win there, and
 * all of them, so that the stream goes on where it was.  Beyond that, and
 * where a quarter is not to be had, they give way: guests are never refused a
 * write for the sake of a peer that is away.
 */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "volume-fixture.h"
#include "volume-internal.h"

#define BLOCK VOLUME_BLOCK_SIZE
#define MIB (UINT64_C (1) << 20)
#define SEGMENT (4 * MIB)
#define ROOMY (56 * MIB)
#define TIGHT (88 * MIB)
#define HOT (2 * MIB)
#define CAPACITY (128 * MIB)
#define BOUND (CAPACITY / 4)
#define CHUNK (2 * MIB)

#define COUNT (32 * BLOCK)

static void
write_noise (struct fixture *f, uint64_t offset)
{
  fill_noise (&f->rng, f->buf, COUNT);
  model_write (&f->model, f->buf, COUNT, offset);
  CHECK (volume_write (f->v, f->buf, COUNT, offset, 0) == 0, "at %" PRIu64
         ": %s", offset, strerror (errno));
}

/* All of the disk once: segments that are full and stay so. */
static void
fill (struct fixture *f)
{
  uint64_t offset;

  for (offset = 0; offset < f->model.size; offset += COUNT)
    write_noise (f, offset);
}

/* A few blocks over and over: what was written before is soon dead. */
static void
overwrite (struct fixture *f, uint64_t bytes)
{
  for (; bytes >= COUNT; bytes -= COUNT)
    write_noise (f, random_below (&f->rng, HOT / COUNT) * COUNT);
  CHECK (volume_flush (f->v) == 0, "%s", strerror (errno));
}

static struct volume_status
status_of (struct fixture *f)
{
  struct volume_status status;

  volume_get_status (f->v, &status);
  CHECK (status.used <= status.capacity, "%" PRIu64 " used", status.used);
  CHECK (sim_file_size (f->sim, "disk", "journal") <= status.capacity,
         "the journal is larger than its capacity");
  return status;
}

/* All records after PIN are there, each in its turn. */
static void
check_stream (struct fixture *f, uint64_t pin)
{
  const uint64_t last = status_of (f).durable.seq;
  struct volume_cursor *c;
  struct volume_point point = { .seq = pin };
  struct error err = ERROR_INIT;
  uint8_t *buf = malloc (CHUNK);
  unsigned n;
  uint64_t next = pin;

  CHECK (buf, "no memory");
  c = volume_cursor_open (f->v, pin + 1, &err);
  CHECK (c, "%s", err.message);
  while (next < last) {
    CHECK (volume_cursor_read (c, buf, CHUNK, &point, &n, &err) > 0,
           "%s after record %" PRIu64 " of %" PRIu64, err.message, next,
           last);
    next += n;
    CHECK (point.seq == next, "record %" PRIu64 ", not %" PRIu64, point.seq,
           next);
  }
  volume_cursor_close (c);
  free (buf);
}

static void
one_round (uint64_t seed, uint64_t size)
{
  struct error err = ERROR_INIT;
  struct volume_status status;
  uint64_t pin;
  struct fixture f;

  fixture_begin (&f, seed, size, CAPACITY);
  fill (&f);
  overwrite (&f, CAPACITY);

  /* The peer is away: what it lacks is not yet a quarter of the journal. */
  pin = status_of (&f).durable.seq;
  volume_pin (f.v, pin);
  overwrite (&f, BOUND - SEGMENT);
  CHECK (checkpoint (f.v, false, &err) == 0, "%s", err.message);
  if (size == ROOMY) {
    status = status_of (&f);
    CHECK (status.oldest_seq <= pin + 1, "record %" PRIu64 " is the oldest, %"
           PRIu64 " is wanted", status.oldest_seq, pin + 1);
    check_stream (&f, pin);
  }

  /* It stays away: writes go on, and its records go. */
  overwrite (&f, CAPACITY);
  status = status_of (&f);
  CHECK (status.oldest_seq > pin + 1, "the pin has no bound");
  CHECK (volume_cursor_open (f.v, pin + 1, &err) == NULL && errno == ERANGE,
         "a record that is gone: %s", err.message);
  check_all (f.v, &f.model);

  /* It is back, and has all. */
  pin = status_of (&f).durable.seq;
  volume_pin (f.v, pin);
  overwrite (&f, SEGMENT);
  check_stream (&f, pin);
  fixture_end (&f);
}

static void
test_roomy (void **state)
{
  uint64_t i, rounds = test_begin (4);

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    one_round (test_round_seed (i), ROOMY);
}

static void
test_tight (void **state)
{
  uint64_t i, rounds = test_begin (2);

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    one_round (test_round_seed (i), TIGHT);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_roomy),
    cmocka_unit_test (test_tight),
  };

  return cmocka_run_group_tests_name ("volume pin", tests, NULL, NULL);
}

/* What is overwritten from end to end is written over again: the journal does
 * not grow to its capacity before anything in it is used a second time.  What
 * came free beyond that goes back to the file system.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "volume-internal.h"
#include "volume-model.h"

#define MIB (UINT64_C (1) << 20)
#define SIZE (64 * MIB)
#define CAPACITY (4096 * MIB)
#define SEGMENT (4 * MIB)
#define PASSES_MAX 48u

static void
fill (uint64_t seed, uint64_t *buf, size_t len)
{
  for (; len > 0; len -= sizeof *buf)
    *buf++ = random_next (&seed);
}

/* One pass of incompressible data over the disk; the last one's seed
 * says what is there.
 */
static void
overwrite (struct volume *v, uint64_t seed, uint64_t size)
{
  static uint64_t buf[MIB / sizeof (uint64_t)];
  uint64_t offset;

  for (offset = 0; offset < size; offset += MIB) {
    fill (seed + offset, buf, sizeof buf);
    CHECK (volume_write (v, buf, sizeof buf, offset, 0) == 0, "%s",
           strerror (errno));
  }
  CHECK (volume_flush (v) == 0, "%s", strerror (errno));
}

static void
check_content (struct volume *v, uint64_t seed, uint64_t size)
{
  static uint64_t want[MIB / sizeof (uint64_t)], got[MIB / sizeof (uint64_t)];
  uint64_t offset;

  for (offset = 0; offset < size; offset += MIB) {
    fill (seed + offset, want, sizeof want);
    CHECK (volume_read (v, got, sizeof got, offset) == 0, "%s",
           strerror (errno));
    CHECK (memcmp (want, got, sizeof got) == 0, "at %lu",
           (unsigned long) offset);
  }
}

struct place {
  char dir[64], path[80];
};

static struct volume *
volume_begin (struct place *p, uint64_t size)
{
  const struct volume_params params = {
    .size = size, .capacity = CAPACITY, .segment_size = SEGMENT,
  };
  const char *tmp = getenv ("TMPDIR");
  struct error err = ERROR_INIT;
  struct volume *v;

  snprintf (p->dir, sizeof p->dir, "%s/pairdisk-spare.XXXXXX",
            tmp ? tmp : "/var/tmp");
  CHECK (mkdtemp (p->dir), "%s", strerror (errno));
  snprintf (p->path, sizeof p->path, "%s/disk", p->dir);
  CHECK (volume_create (NULL, p->path, &params, &err) == 0, "%s",
         err.message);
  v = volume_open (NULL, p->path, NULL, &err);
  CHECK (v, "%s", err.message);
  return v;
}

static void
volume_end (struct place *p, struct volume *v)
{
  struct error err = ERROR_INIT;

  CHECK (volume_close (v, &err) == 0, "%s", err.message);
  CHECK (volume_destroy (NULL, p->path, &err) == 0, "%s", err.message);
  CHECK (rmdir (p->dir) == 0, "%s", strerror (errno));
}

static void
test_dead_segments_are_used_again (void **state)
{
  struct error err = ERROR_INIT;
  struct volume_status status;
  struct place place;
  struct volume *v;
  uint64_t seed;
  unsigned pass;
  (void) state;

  test_begin (1);
  seed = test_round_seed (0);
  v = volume_begin (&place, SIZE);
  for (pass = 0; pass < PASSES_MAX; ++pass)
    overwrite (v, seed + pass, SIZE);
  volume_get_status (v, &status);
  /* All passes are three quarters of the capacity.  Less than half of them is
   * kept, and the cleaner was in no need: there was always space.
   */
  CHECK (status.used < PASSES_MAX / 2 * SIZE, "%lu bytes in use",
         (unsigned long) status.used);
  check_content (v, seed + pass - 1, SIZE);

  CHECK (volume_close (v, &err) == 0, "%s", err.message);
  v = volume_open (NULL, place.path, NULL, &err);
  CHECK (v, "%s", err.message);
  check_content (v, seed + pass - 1, SIZE);
  volume_end (&place, v);
}

/* ------------------------------------------------------------------ */

static uint64_t
allocated_bytes (const struct place *p)
{
  char path[96];
  struct stat st;

  snprintf (path, sizeof path, "%s/journal", p->path);
  CHECK (stat (path, &st) == 0, "%s", strerror (errno));
  return st.st_blocks * UINT64_C (512);
}

static void
test_space_is_given_back_in_a_pause (void **state)
{
  const struct timespec nap = { 0, 10 * NS_PER_MSEC };
  const uint64_t size = 512 * MIB;
  uint64_t seed, full, enough, deadline_ns;
  struct place place;
  struct volume *v;
  (void) state;

  test_begin (1);
  seed = test_round_seed (0);
  v = volume_begin (&place, size);
  overwrite (v, seed, size);
  full = allocated_bytes (&place);
  CHECK (full >= size, "only %" PRIu64 " bytes", full);
  CHECK (volume_zero (v, size, 0, 0) == 0, "%s", strerror (errno));
  CHECK (volume_flush (v) == 0, "%s", strerror (errno));

  /* What is left: what the cleaner wants free, the open segment, those that
   * say what was trimmed.
   */
  enough = (cleaner_low (v) + 4) * SEGMENT;
  CHECK (enough < full, "a test of nothing");
  deadline_ns = clock_mono_ns () + 60 * NS_PER_SEC;
  while (allocated_bytes (&place) > enough) {
    CHECK (clock_mono_ns () < deadline_ns, "%" PRIu64 " of %" PRIu64
           " bytes, %" PRIu64 " wanted", allocated_bytes (&place), full,
           enough);
    clock_nanosleep (CLOCK_MONOTONIC, 0, &nap, NULL);
  }
  overwrite (v, seed + 1, size);
  check_content (v, seed + 1, size);
  volume_end (&place, v);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_dead_segments_are_used_again),
    cmocka_unit_test (test_space_is_given_back_in_a_pause),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

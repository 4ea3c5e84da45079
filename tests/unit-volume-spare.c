/* What is overwritten from end to end is written over again: the journal does
 * not grow to its capacity before anything in it is used a second time.
 */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "volume-internal.h"
#include "volume-model.h"

#define MIB (UINT64_C (1) << 20)
#define SIZE (64 * MIB)
#define CAPACITY (4096 * MIB)
#define PASSES_MAX 48u

static void
fill (uint64_t seed, uint64_t *buf, size_t len)
{
  for (; len > 0; len -= sizeof *buf)
    *buf++ = random_next (&seed);
}

/* One pass of incompressible data over the whole disk; the last one's seed
 * says what is there.
 */
static void
overwrite (struct volume *v, uint64_t seed)
{
  static uint64_t buf[MIB / sizeof (uint64_t)];
  uint64_t offset;

  for (offset = 0; offset < SIZE; offset += MIB) {
    fill (seed + offset, buf, sizeof buf);
    CHECK (volume_write (v, buf, sizeof buf, offset, 0) == 0, "%s",
           strerror (errno));
  }
  CHECK (volume_flush (v) == 0, "%s", strerror (errno));
}

static void
check_content (struct volume *v, uint64_t seed)
{
  static uint64_t want[MIB / sizeof (uint64_t)], got[MIB / sizeof (uint64_t)];
  uint64_t offset;

  for (offset = 0; offset < SIZE; offset += MIB) {
    fill (seed + offset, want, sizeof want);
    CHECK (volume_read (v, got, sizeof got, offset) == 0, "%s",
           strerror (errno));
    CHECK (memcmp (want, got, sizeof got) == 0, "at %lu",
           (unsigned long) offset);
  }
}

static void
test_dead_segments_are_used_again (void **state)
{
  const struct volume_params params = {
    .size = SIZE, .capacity = CAPACITY, .segment_size = 4 * MIB,
  };
  const char *tmp = getenv ("TMPDIR");
  char dir[64], path[80];
  struct error err = ERROR_INIT;
  struct volume_status status;
  struct volume *v;
  uint64_t seed;
  unsigned pass;
  (void) state;

  test_begin (1);
  seed = test_round_seed (0);
  snprintf (dir, sizeof dir, "%s/pairdisk-spare.XXXXXX",
            tmp ? tmp : "/var/tmp");
  CHECK (mkdtemp (dir), "%s", strerror (errno));
  snprintf (path, sizeof path, "%s/disk", dir);
  CHECK (volume_create (NULL, path, &params, &err) == 0, "%s", err.message);
  v = volume_open (NULL, path, NULL, &err);
  CHECK (v, "%s", err.message);

  for (pass = 0; pass < PASSES_MAX; ++pass)
    overwrite (v, seed + pass);
  volume_get_status (v, &status);
  /* All passes are three quarters of the capacity.  Less than half of them is
   * kept, and the cleaner was in no need: there was always space.
   */
  CHECK (status.used < PASSES_MAX / 2 * SIZE, "%lu bytes in use",
         (unsigned long) status.used);
  check_content (v, seed + pass - 1);

  CHECK (volume_close (v, &err) == 0, "%s", err.message);
  v = volume_open (NULL, path, NULL, &err);
  CHECK (v, "%s", err.message);
  check_content (v, seed + pass - 1);
  CHECK (volume_close (v, &err) == 0, "%s", err.message);
  CHECK (volume_destroy (NULL, path, &err) == 0, "%s", err.message);
  CHECK (rmdir (dir) == 0, "%s", strerror (errno));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_dead_segments_are_used_again),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

/* A stage that was dropped leaves segments whose records have higher seqs than
 * the disk goes on with.  That they are freed takes nothing of the history
 * away which the peer may still ask for.
 */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "io-sim.h"
#include "volume-internal.h"
#include "volume-model.h"

#define BLOCK VOLUME_BLOCK_SIZE
#define MIB (UINT64_C (1) << 20)
#define DISK (64 * MIB)
#define CHUNK (2 * MIB)
#define SEGMENT (4 * MIB)
#define WAIT_S 20

static const struct volume_options options = {
  .staging_bytes = 6 << 20, .commit_delay_ms = 1
};
static const struct uuid pair = { { 7 } };
static uint8_t buf[CHUNK] __attribute__ ((aligned (8)));

struct side {
  struct sim *sim;
  struct volume *v;
};

static struct volume_status
status_of (struct volume *v)
{
  struct volume_status status;

  volume_get_status (v, &status);
  return status;
}

static void
begin (struct side *s, enum volume_role role)
{
  const struct volume_params params = { DISK, 512 * MIB, SEGMENT };
  struct error err = ERROR_INIT;

  s->sim = sim_new (role);
  CHECK (volume_create (sim_io (s->sim), "disk", &params, &err) == 0, "%s",
         err.message);
  s->v = volume_open (sim_io (s->sim), "disk", &options, &err);
  CHECK (s->v && volume_set_role (s->v, role, &pair, 1, &err) == 0, "%s",
         err.message);
}

static void
end (struct side *s)
{
  struct error err = ERROR_INIT;

  CHECK (volume_close (s->v, &err) == 0, "%s", err.message);
  sim_free (s->sim);
}

/* Noise, a record a MiB, in the map at the end. */
static void
write_noise (struct volume *v, uint64_t length)
{
  static uint64_t seed = 1;
  uint64_t at;

  for (at = 0; at < length; at += MIB) {
    fill_noise (&seed, buf, MIB);
    CHECK (volume_write (v, buf, MIB, at, 0) == 0, "%s", strerror (errno));
  }
  CHECK (volume_flush (v) == 0, "%s", strerror (errno));
  while (status_of (v).committed.seq < status_of (v).appended.seq)
    lookup_settle (v);
}

/* All that changed since the secondary's point, but for the commit. */
static void
stage (struct volume *from, struct volume *to)
{
  struct volume_status a = status_of (from), b = status_of (to);
  struct error err = ERROR_INIT;
  struct uuid lineage;
  uint64_t block = 0;
  ssize_t n;

  volume_lineage (from, &lineage);
  CHECK (volume_stage_begin (to, a.committed.seq, b.committed.seq,
                             a.committed.seq, volume_content_salt (from),
                             &lineage, &err) == 0 &&
         volume_generations_set (to, &a.generations, &err) == 0, "%s",
         err.message);
  while ((n = volume_delta_read (from, b.committed.seq, NULL, &block, buf,
                                 sizeof buf, &err)) > 0)
    CHECK (volume_receive (to, buf, n, &err) == 0, "%s", err.message);
  CHECK (n == 0 && volume_receive_flush (to, &err) == 0, "%s", err.message);
}

/* How many segments are in use from before lap END of the hot ones. */
static unsigned
segments_before (struct volume *v, uint64_t end)
{
  unsigned count = 0;
  uint64_t i, lap;

  for (i = 0; i < segments_count (&v->segments); i++) {
    lap = segment_lap (&v->segments, i);
    count += lap != 0 && lap < end;
  }
  return count;
}

/* Where the disk goes on. */
static uint64_t
oldest_lap (struct volume *v)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

  return v->super.oldest_position / SEGMENT;
}

static void
test_history_after_a_dropped_stage (void **state)
{
  struct side p, s;
  struct volume_cursor *c;
  struct volume_point last;
  struct volume_status at;
  struct error err = ERROR_INIT;
  uint64_t common, deadline, lap, at_byte = 0;
  unsigned records, before;

  (void) state;
  test_round_seed (0);
  begin (&p, VOLUME_ROLE_PRIMARY);
  begin (&s, VOLUME_ROLE_SECONDARY);
  write_noise (p.v, MIB);
  stage (p.v, s.v);
  at = status_of (p.v);
  CHECK (volume_stage_commit (s.v, &at.committed, &err) == 0, "%s",
         err.message);
  common = status_of (s.v).committed.seq;

  write_noise (p.v, DISK);
  stage (p.v, s.v);
  CHECK (volume_stage_drop (s.v, &err) == 0 &&
         volume_set_role (s.v, VOLUME_ROLE_PRIMARY, &pair, 2, &err) == 0, "%s",
         err.message);
  lap = oldest_lap (s.v);
  before = segments_before (s.v, lap);
  CHECK (before >= 8, "%u segments", before);

  /* Until those of the stage are freed.  What is written is live. */
  deadline = clock_mono_ns () + WAIT_S * NS_PER_SEC;
  do {
    CHECK (clock_mono_ns () < deadline, "%u segments of %u are not freed",
           segments_before (s.v, lap), before);
    CHECK (volume_write (s.v, buf, BLOCK, at_byte, VOLUME_FUA) == 0, "%s",
           strerror (errno));
    at_byte += BLOCK;
  } while (segments_before (s.v, lap) > before / 2);

  c = volume_cursor_open (s.v, common + 1, &err);
  CHECK (c, "%s", err.message);
  CHECK (volume_cursor_read (c, buf, sizeof buf, &last, &records, &err) > 0 &&
         last.seq > common, "%s", err.message);
  volume_cursor_close (c);
  end (&p);
  end (&s);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_history_after_a_dropped_stage),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

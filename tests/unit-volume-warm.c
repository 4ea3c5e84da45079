/* What was written is brought into the page cache, as it would be on a
 * buffered file: all that was written in bulk, up to a bound, where it is
 * still needed, and while guests are not busy; and no writer waits for more
 * than a segment of it.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "volume-internal.h"
#include "volume-model.h"

#define MIB (UINT64_C (1) << 20)
#define SIZE (512 * MIB)
#define HALF (SIZE / 2)          /* of it is written in bulk */
#define CAPACITY (1024 * MIB)
#define SEGMENT (4 * MIB)
#define SEGMENTS (CAPACITY / SEGMENT)
#define NAP_NS (2 * NS_PER_MSEC)
#define PATIENCE_NS (60 * NS_PER_SEC)

/* What the volume asked for. */
static struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  unsigned calls[SEGMENTS], all;
  bool is_gated, is_waiting;   /* a call waits until it may pass */
  unsigned passes;
} seen = {
  .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER,
};

static void
note_warm (struct io_file *file, uint64_t offset, uint64_t len)
{
  (void) file;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&seen.lock);

  CHECK (offset % SEGMENT == 0 && offset < CAPACITY && len == SEGMENT,
         "%" PRIu64 " at %" PRIu64, len, offset);
  seen.is_waiting = true;
  while (seen.is_gated && seen.passes == 0)
    pthread_cond_wait (&seen.changed, &seen.lock);
  seen.is_waiting = false;
  if (seen.is_gated)
    seen.passes--;
  seen.calls[offset / SEGMENT]++;
  seen.all++;
}

static void
let_pass (unsigned passes, bool is_gated)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&seen.lock);

  seen.passes = passes;
  seen.is_gated = is_gated;
  pthread_cond_broadcast (&seen.changed);
}

static bool
a_call_waits (void)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&seen.lock);

  return seen.is_waiting && seen.passes == 0;
}

static void
nap (uint64_t deadline_ns)
{
  const struct timespec ts = { 0, NAP_NS };

  CHECK (clock_mono_ns () < deadline_ns, "it takes too long");
  clock_nanosleep (CLOCK_MONOTONIC, 0, &ts, NULL);
}

/* ------------------------------------------------------------------ */

struct place {
  char dir[64], path[80];
  struct volume_io io;
};

static struct volume *
volume_begin (struct place *p)
{
  const struct volume_params params = {
    .size = SIZE, .capacity = CAPACITY, .segment_size = SEGMENT,
  };
  const char *tmp = getenv ("TMPDIR");
  struct error err = ERROR_INIT;
  struct volume *v;

  snprintf (p->dir, sizeof p->dir, "%s/pairdisk-warm.XXXXXX",
            tmp ? tmp : "/var/tmp");
  CHECK (mkdtemp (p->dir), "%s", strerror (errno));
  snprintf (p->path, sizeof p->path, "%s/disk", p->dir);
  p->io = volume_io_real;
  p->io.warm = note_warm;
  CHECK (volume_create (&p->io, p->path, &params, &err) == 0, "%s",
         err.message);
  v = volume_open (&p->io, p->path, NULL, &err);
  CHECK (v, "%s", err.message);
  v->warm_bytes = CAPACITY;
  return v;
}

static void
volume_end (struct place *p, struct volume *v)
{
  struct error err = ERROR_INIT;

  CHECK (volume_close (v, &err) == 0, "%s", err.message);
  CHECK (volume_destroy (&p->io, p->path, &err) == 0, "%s", err.message);
  CHECK (rmdir (p->dir) == 0, "%s", strerror (errno));
}

/* Incompressible data, so that it takes as much of the journal. */
static void
write_mib (struct volume *v, uint64_t offset)
{
  static uint64_t buf[MIB / sizeof (uint64_t)], rng = 1;
  size_t i;

  for (i = 0; i < MIB / sizeof *buf; ++i)
    buf[i] = random_next (&rng);
  CHECK (volume_write (v, buf, MIB, offset, 0) == 0, "%s", strerror (errno));
}

static void
write_range (struct volume *v, uint64_t size)
{
  uint64_t offset;

  for (offset = 0; offset < size; offset += MIB)
    write_mib (v, offset);
  CHECK (volume_flush (v) == 0, "%s", strerror (errno));
}

static void
wait_until_warm (struct volume *v)
{
  struct journal *j = &v->journal;
  uint64_t deadline_ns = clock_mono_ns () + PATIENCE_NS;
  bool is_done;

  for (;;) {
    pthread_mutex_lock (&j->lock);
    is_done = j->warm_from >= j->lap;
    pthread_mutex_unlock (&j->lock);
    if (is_done)
      return;
    nap (deadline_ns);
  }
}

/* As if all that is there had been written in such a hurry that nothing of it
 * was fetched yet, and here comes the pause.  Returns how many segments.
 */
static unsigned
begin_pause (struct volume *v, uint64_t first_lap)
{
  struct journal *j = &v->journal;
  unsigned i;

  pthread_mutex_lock (&seen.lock);
  memset (seen.calls, 0, sizeof seen.calls);
  seen.all = 0;
  pthread_mutex_unlock (&seen.lock);

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);
  for (i = 0; i < SEGMENTS; ++i)
    v->segments.table[i].is_warm = false;
  j->warm_from = first_lap;
  j->is_hurried = false;
  j->is_maintenance_due = true;
  pthread_cond_signal (&j->maintainer_cond);
  return j->lap - first_lap;
}

static uint64_t
newest_lap (struct volume *v)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->journal.lock);

  return v->journal.lap;
}

/* Those of laps from FIRST_LAP on, the open one excepted, once each. */
static void
check_fetched_from (struct volume *v, uint64_t first_lap)
{
  uint64_t i, lap, end = newest_lap (v);
  unsigned want;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&seen.lock);

  for (i = 0; i < SEGMENTS; ++i) {
    lap = segment_lap (&v->segments, i);
    want = lap >= first_lap && lap < end;
    CHECK (seen.calls[i] == want, "segment %" PRIu64 " of lap %" PRIu64
           ": %u times, and not %u", i, lap, seen.calls[i], want);
  }
}

/* ------------------------------------------------------------------ */

static void
test_all_that_was_written_in_bulk_is_fetched (void **state)
{
  struct place place;
  struct volume *v;
  uint64_t first;
  unsigned n;
  (void) state;

  v = volume_begin (&place);
  first = newest_lap (v) + 1;
  write_range (v, HALF);
  wait_until_warm (v);
  n = begin_pause (v, first);
  CHECK (n >= HALF / SEGMENT, "%u segments", n);
  wait_until_warm (v);
  check_fetched_from (v, first);
  volume_end (&place, v);
}

static void
test_no_more_than_there_is_memory_for (void **state)
{
  const unsigned most = 24;
  struct place place;
  struct volume *v;
  uint64_t first;
  (void) state;

  v = volume_begin (&place);
  first = newest_lap (v) + 1;
  write_range (v, HALF);
  wait_until_warm (v);
  v->warm_bytes = most * SEGMENT;
  begin_pause (v, first);
  wait_until_warm (v);
  check_fetched_from (v, newest_lap (v) - most);
  volume_end (&place, v);
}

static void
test_what_is_overwritten_is_not_fetched (void **state)
{
  struct place place;
  struct volume *v;
  uint64_t first, second, shared;
  (void) state;

  v = volume_begin (&place);
  first = newest_lap (v) + 1;
  write_range (v, HALF);
  second = newest_lap (v) + 1;
  write_range (v, HALF);
  wait_until_warm (v);
  begin_pause (v, first);
  wait_until_warm (v);
  /* The segment in which the second pass begins may be of either kind. */
  shared = segments_find_lap (&v->segments, second - 1);
  if (shared != SEGMENT_NONE && seen.calls[shared] > 0)
    second--;
  check_fetched_from (v, second);
  volume_end (&place, v);
}

/* ------------------------------------------------------------------ */

struct writer {
  struct volume *v;
  uint64_t segments;
  bool is_done;                /* atomic */
};

/* Not so fast that it counts as bulk; to the other half, so that nothing
 * becomes free meanwhile.
 */
static void *
write_steadily (void *opaque)
{
  const struct timespec pace = { 0, 12 * NS_PER_MSEC };
  struct writer *w = opaque;
  uint64_t i;

  for (i = 0; i < w->segments * (SEGMENT / MIB); ++i) {
    write_mib (w->v, HALF + i * MIB);
    if (i % (SEGMENT / MIB) == 0)
      clock_nanosleep (CLOCK_MONOTONIC, 0, &pace, NULL);
  }
  CHECK (volume_flush (w->v) == 0, "%s", strerror (errno));
  __atomic_store_n (&w->is_done, true, __ATOMIC_RELEASE);
  return NULL;
}

static uint64_t
count_ready (struct volume *v)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->journal.lock);

  return segments_count_ready (&v->segments, GROUND_RESERVED);
}

/* While much is to be fetched, somebody uses up the segments that are ready.
 * A call passes only when there is none left.
 */
static void
test_who_writes_does_not_wait_for_all_of_it (void **state)
{
  struct place place;
  struct writer w = { 0 };
  uint64_t first, deadline_ns;
  unsigned backlog, passed = 0;
  pthread_t thread;
  (void) state;

  w.v = volume_begin (&place);
  first = newest_lap (w.v) + 1;
  write_range (w.v, HALF);
  wait_until_warm (w.v);
  let_pass (0, true);
  backlog = begin_pause (w.v, first);
  deadline_ns = clock_mono_ns () + PATIENCE_NS;
  while (!a_call_waits ())
    nap (deadline_ns);

  w.segments = count_ready (w.v) + 8;
  CHECK (w.segments * SEGMENT <= HALF, "%" PRIu64, w.segments);
  CHECK (pthread_create (&thread, NULL, write_steadily, &w) == 0, "%s",
         strerror (errno));
  while (!__atomic_load_n (&w.is_done, __ATOMIC_ACQUIRE)) {
    if (count_ready (w.v) == 0 && a_call_waits ()) {
      let_pass (1, true);
      passed++;
    }
    nap (deadline_ns);
  }
  pthread_join (thread, NULL);
  printf ("# %" PRIu64 " segments written while %u of %u were fetched\n",
          w.segments, passed, backlog);
  CHECK (passed > 0, "a test of nothing");
  CHECK (passed < backlog / 2, "%u of %u", passed, backlog);
  let_pass (0, false);
  volume_end (&place, w.v);
}

struct reader {
  struct volume *v;
  uint64_t reads;              /* atomic */
  bool is_enough;              /* atomic */
};

static void *
read_on (void *opaque)
{
  struct reader *r = opaque;
  uint8_t block[VOLUME_BLOCK_SIZE];

  while (!__atomic_load_n (&r->is_enough, __ATOMIC_ACQUIRE)) {
    CHECK (volume_read (r->v, block, sizeof block,
                        r->reads * sizeof block % HALF) == 0, "%s",
           strerror (errno));
    __atomic_add_fetch (&r->reads, 1, __ATOMIC_RELEASE);
  }
  return NULL;
}

static void
wait_for_reads (struct reader *r, uint64_t more)
{
  uint64_t deadline_ns = clock_mono_ns () + PATIENCE_NS;
  uint64_t end = __atomic_load_n (&r->reads, __ATOMIC_ACQUIRE) + more;

  while (__atomic_load_n (&r->reads, __ATOMIC_ACQUIRE) < end)
    nap (deadline_ns);
}

static void
test_while_guests_are_busy_it_waits (void **state)
{
  struct place place;
  struct reader r = { 0 };
  uint64_t first;
  unsigned backlog, fetched;
  pthread_t thread;
  (void) state;

  r.v = volume_begin (&place);
  first = newest_lap (r.v) + 1;
  write_range (r.v, HALF);
  wait_until_warm (r.v);
  CHECK (pthread_create (&thread, NULL, read_on, &r) == 0, "%s",
         strerror (errno));
  wait_for_reads (&r, 1000);
  backlog = begin_pause (r.v, first);
  wait_for_reads (&r, 50000);
  pthread_mutex_lock (&seen.lock);
  fetched = seen.all;
  pthread_mutex_unlock (&seen.lock);
  CHECK (fetched < backlog / 2, "%u of %u", fetched, backlog);

  __atomic_store_n (&r.is_enough, true, __ATOMIC_RELEASE);
  pthread_join (thread, NULL);
  wait_until_warm (r.v);
  check_fetched_from (r.v, first);
  volume_end (&place, r.v);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_all_that_was_written_in_bulk_is_fetched),
    cmocka_unit_test (test_no_more_than_there_is_memory_for),
    cmocka_unit_test (test_what_is_overwritten_is_not_fetched),
    cmocka_unit_test (test_who_writes_does_not_wait_for_all_of_it),
    cmocka_unit_test (test_while_guests_are_busy_it_waits),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

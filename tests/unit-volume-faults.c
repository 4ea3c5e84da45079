/* What a volume does when it is full, when the disk under it fails, and when
 * it is not to be written: the error is the right one, it is final or ends
 * as promised, and no data is wrong meanwhile or afterwards.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "volume-fixture.h"
#include "volume-internal.h"

#define BLOCK VOLUME_BLOCK_SIZE
#define MIB (UINT64_C (1) << 20)

/* One record's worth of incompressible blocks; the model has them only if
 * the volume took them.
 */
static int
write_noise (struct fixture *f, uint64_t offset, uint64_t count)
{
  int r;

  fill_noise (&f->rng, f->buf, count);
  r = volume_write (f->v, f->buf, count, offset, 0);
  if (r == 0)
    model_write (&f->model, f->buf, count, offset);
  return r;
}

/* ------------------------------------------------------------------ */

static void
test_full_journal (void **state)
{
  const uint64_t size = 64 * MIB, count = 64 * BLOCK;
  uint64_t offset = 0;
  struct volume_status status;
  struct fixture f;
  int i;

  (void) state;
  test_round_seed (0);
  fixture_begin (&f, 1, size, 48 * MIB);
  while (write_noise (&f, offset, count) == 0) {
    offset += count;
    CHECK (offset < 48 * MIB, "more went in than there is room for");
  }
  CHECK (errno == ENOSPC, "%s", strerror (errno));
  CHECK (offset > 20 * MIB, "full after %" PRIu64 " bytes", offset);
  check_all (f.v, &f.model);        /* nothing of the refused write */
  CHECK (volume_flush (f.v) == 0, "%s", strerror (errno));
  volume_get_status (f.v, &status);
  CHECK (!status.is_failed && status.used <= status.capacity, "%s",
         status.failure);

  /* Still so, and still readable, after opening it again and a crash. */
  for (i = 0; i < 2; ++i) {
    struct error err = ERROR_INIT;

    if (i == 0)
      CHECK (volume_close (f.v, &err) == 0, "%s", err.message);
    else {
      sim_crash (f.sim, 1);
      volume_abandon (f.v);
      sim_restart (f.sim);
    }
    fixture_open (&f);
    check_all (f.v, &f.model);
    while (write_noise (&f, offset, count) == 0)
      offset += count;
    CHECK (errno == ENOSPC, "%s", strerror (errno));
    check_all (f.v, &f.model);
    CHECK (volume_flush (f.v) == 0, "%s", strerror (errno));
  }

  /* What is given up makes room. */
  CHECK (volume_zero (f.v, offset / 2, 0, VOLUME_TRIM) == 0, "%s",
         strerror (errno));
  model_zero (&f.model, offset / 2, 0);
  for (i = 0; i < 8; ++i)
    CHECK (write_noise (&f, i * count, count) == 0, "%s", strerror (errno));
  fixture_end (&f);
}

/* Full to the last page: what gives room takes some itself, and is not
 * refused.
 */
static void
test_trim_when_full (void **state)
{
  const uint64_t size = 64 * MIB;
  uint64_t offset = 0, count;
  struct fixture f;
  unsigned i;

  (void) state;
  test_round_seed (0);
  fixture_begin (&f, 9, size, 48 * MIB);
  for (count = 64 * BLOCK; count >= BLOCK; count /= 8)
    while (write_noise (&f, offset, count) == 0)
      offset += count;
  CHECK (errno == ENOSPC, "%s", strerror (errno));

  /* Each durable by itself: a page of the journal. */
  for (i = 0; i < 500; ++i, offset -= 8 * BLOCK) {
    CHECK (volume_zero (f.v, 8 * BLOCK, offset - 8 * BLOCK,
                        VOLUME_TRIM | VOLUME_FUA) == 0, "trim %u: %s", i,
           strerror (errno));
    model_zero (&f.model, 8 * BLOCK, offset - 8 * BLOCK);
  }
  for (i = 0; i < 4; ++i, offset += 64 * BLOCK)
    CHECK (write_noise (&f, offset, 64 * BLOCK) == 0, "%s",
           strerror (errno));
  check_all (f.v, &f.model);
  fixture_end (&f);
}

/* The same in records so large that a segment is a quarter empty when the
 * next does not fit: the cleaner has something to win, but not without end.
 */
static void
test_full_of_large_writes (void **state)
{
  const uint64_t size = 64 * MIB, count = 256 * BLOCK;
  uint64_t offset = 0;
  struct fixture f;

  (void) state;
  test_round_seed (0);
  fixture_begin (&f, 8, size, 48 * MIB);
  while (write_noise (&f, offset, count) == 0)
    offset += count;
  CHECK (errno == ENOSPC, "%s", strerror (errno));
  CHECK (offset > 20 * MIB, "full after %" PRIu64 " bytes", offset);
  check_all (f.v, &f.model);
  fixture_end (&f);
}

/* The file system under it is full: ENOSPC, until it has room again. */
static void
test_full_file_system (void **state)
{
  const uint64_t count = 64 * BLOCK;
  struct fixture f;
  unsigned i;

  (void) state;
  test_round_seed (0);
  fixture_begin (&f, 2, 2 * MIB, 128 * MIB);
  CHECK (write_noise (&f, 0, count) == 0, "%s", strerror (errno));
  sim_fail (f.sim, SIM_SPACE, 0, ENOSPC, true);
  for (i = 0; i < 1000 && write_noise (&f, i % 7 * count, count) == 0; ++i)
    ;
  CHECK (i < 1000 && errno == ENOSPC, "%s", strerror (errno));
  check_all (f.v, &f.model);
  CHECK (volume_flush (f.v) == 0, "%s", strerror (errno));

  sim_fail (f.sim, 0, 0, 0, false);
  for (i = 0; i < 100; ++i)
    CHECK (write_noise (&f, i % 7 * count, count) == 0, "%s",
           strerror (errno));
  check_all (f.v, &f.model);
  fixture_end (&f);
}

/* A copy that finds no room does not begin, and the secondary lives. */
static void
test_full_file_system_at_stage (void **state)
{
  static const struct uuid pair = { { 7 } }, lineage = { { 8 } };
  struct volume_status status;
  struct error err = ERROR_INIT;
  struct fixture f;
  unsigned i;

  (void) state;
  test_round_seed (0);
  fixture_begin (&f, 3, 2 * MIB, 128 * MIB);
  CHECK (volume_set_role (f.v, VOLUME_ROLE_SECONDARY, &pair, 1, &err) == 0,
         "%s", err.message);
  for (i = 0; i < 2; ++i) {
    sim_fail (f.sim, SIM_SPACE, i, ENOSPC, true);
    CHECK (volume_stage_begin (f.v, 5, 0, 0, 6, &lineage, &err) == -1 &&
           err.errnum == ENOSPC, "%s", err.message);
    volume_get_status (f.v, &status);
    CHECK (!status.is_failed && !status.stage.is_active, "%s",
           status.failure);
    sim_fail (f.sim, 0, 0, 0, false);
  }
  CHECK (volume_stage_begin (f.v, 5, 0, 0, 6, &lineage, &err) == 0, "%s",
         err.message);
  fixture_end (&f);
}

/* ------------------------------------------------------------------ */

static void
test_journal_write_fails (void **state)
{
  struct volume_status status;
  struct error err = ERROR_INIT;
  struct fixture f;
  uint64_t began_ns;
  unsigned i;

  (void) state;
  test_round_seed (0);
  fixture_begin (&f, 3, 2 * MIB, 64 * MIB);
  for (i = 0; i < 20; ++i)
    CHECK (write_noise (&f, i * BLOCK, BLOCK) == 0, "%s", strerror (errno));
  CHECK (volume_flush (f.v) == 0, "%s", strerror (errno));
  model_adopt (&f.model, f.model.data);

  sim_fail (f.sim, SIM_QUEUE, 0, EIO, false);     /* just once */
  fill_noise (&f.rng, f.buf, BLOCK);
  model_write (&f.model, f.buf, BLOCK, 0);
  CHECK (volume_write (f.v, f.buf, BLOCK, 0, VOLUME_FUA) == -1 &&
         errno == EIO, "a lost write was reported as durable");
  CHECK (volume_flush (f.v) == -1 && errno == EIO, "flush after a failure");
  CHECK (write_noise (&f, BLOCK, BLOCK) == -1 && errno == EIO, "%s",
         strerror (errno));
  CHECK (volume_flush (f.v) == -1 && errno == EIO, "it was tried again");
  volume_get_status (f.v, &status);
  CHECK (status.is_failed && status.failure[0], "nobody was told");
  began_ns = clock_mono_ns ();
  CHECK (volume_wait_durable (f.v, status.durable.seq, 20) == 0 &&
         clock_mono_ns () - began_ns >= 20 * NS_PER_MSEC,
         "who waits for what never comes does not wait");
  for (i = 1; i < 20; ++i)
    check_read (f.v, &f.model, BLOCK, i * BLOCK);
  CHECK (volume_close (f.v, &err) == -1 && err.message[0],
         "closed as if nothing had happened");

  /* What was flushed is there, and perhaps what failed. */
  fixture_open (&f);
  {
    uint8_t *content = read_all (f.v);
    uint64_t low, high;

    CHECK (model_match (&f.model, content, 0, f.model.nblocks, 0, &low,
                        &high), "not the disk of any moment");
    model_adopt (&f.model, content);
    free (content);
  }
  CHECK (write_noise (&f, 0, BLOCK) == 0, "%s", strerror (errno));
  fixture_end (&f);
}

static void
test_checkpoint_fails (void **state)
{
  static const unsigned kinds[] = { SIM_MAPSYNC, SIM_WRITE, SIM_SYNC };
  struct error err;
  struct fixture f;
  unsigned i, nth;

  (void) state;
  test_round_seed (0);
  for (i = 0; i < sizeof kinds / sizeof kinds[0]; ++i)
    for (nth = 0; nth < 3; ++nth) {
      fixture_begin (&f, 4 + i, 2 * MIB, 64 * MIB);
      CHECK (write_noise (&f, 0, 8 * BLOCK) == 0, "%s", strerror (errno));
      CHECK (volume_flush (f.v) == 0, "%s", strerror (errno));
      sim_fail (f.sim, kinds[i], nth, EIO, false);
      err = (struct error) ERROR_INIT;
      if (checkpoint (f.v, false, &err) == -1) {
        CHECK (err.message[0], "no message");
        CHECK (write_noise (&f, 0, BLOCK) == -1 && errno == EIO,
               "a failed sync was forgiven");
        check_all (f.v, &f.model);
      }
      sim_fail (f.sim, 0, 0, 0, false);
      sim_crash (f.sim, i + nth);
      volume_abandon (f.v);
      sim_restart (f.sim);
      fixture_open (&f);
      check_all (f.v, &f.model);
      fixture_end (&f);
    }
}

/* The simulated disk with a sync of the tables that stands still. */
static struct {
  pthread_mutex_t lock;
  pthread_cond_t opened;
  bool is_shut;
  int errnum;                    /* what the sync ends with */
  int (*map_sync) (struct io_file *file, uint64_t len);
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER,
           .opened = PTHREAD_COND_INITIALIZER };

static int
gated_map_sync (struct io_file *file, uint64_t len)
{
  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&gate.lock);

    while (gate.is_shut)
      pthread_cond_wait (&gate.opened, &gate.lock);
    if (gate.errnum) {
      errno = gate.errnum;
      return -1;
    }
  }
  return gate.map_sync (file, len);
}

static void
gate_set (bool is_shut, int errnum)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&gate.lock);

  gate.is_shut = is_shut;
  gate.errnum = errnum;
  pthread_cond_broadcast (&gate.opened);
}

struct ahead_writer {
  struct fixture *f;
  int errnum;                    /* of the write that failed */
  bool is_done;                  /* atomic */
};

static void *
write_much (void *opaque)
{
  struct ahead_writer *w = opaque;
  uint64_t i;

  for (i = 0; i < 40 && w->errnum == 0; ++i)
    if (write_noise (w->f, i % 4 * MIB / 2, MIB / 2) == -1)
      w->errnum = errno;
  __atomic_store_n (&w->is_done, true, __ATOMIC_RELEASE);
  return NULL;
}

/* Wait until the writer waits for the checkpoint; what is to be replayed. */
static uint64_t
wait_until_ahead (struct fixture *f, const struct ahead_writer *w)
{
  const uint64_t until = clock_mono_ns () + 60 * NS_PER_SEC;
  struct journal *j = &f->v->journal;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  while (j->checkpoint_waiters == 0) {
    CHECK (!__atomic_load_n (&w->is_done, __ATOMIC_ACQUIRE),
           "the writer did not wait");
    CHECK (clock_mono_ns () < until, "the writer neither waits nor ends");
    pthread_mutex_unlock (&j->lock);
    usleep (1000);
    pthread_mutex_lock (&j->lock);
  }
  return position_of (f->v, j->lap, j->offset) - j->checkpointed;
}

/* While a checkpoint stands still, writers do not go on for ever: there is
 * never more to replay than they may be ahead, and a segment.
 */
static void
test_slow_checkpoint (void **state)
{
  const struct volume_options often = {
    .staging_bytes = 6 << 20, .commit_delay_ms = 1, .checkpoint_bytes = MIB
  };
  struct volume_io io;
  struct ahead_writer w;
  struct error err = ERROR_INIT;
  struct fixture f;
  pthread_t thread;
  uint64_t ahead;
  int errnum;

  (void) state;
  test_round_seed (0);
  for (errnum = 0; errnum <= EIO; errnum += EIO) {
    fixture_begin (&f, 7, 4 * MIB, 64 * MIB);
    CHECK (volume_close (f.v, &err) == 0, "%s", err.message);
    io = *sim_io (f.sim);
    gate.map_sync = io.map_sync;
    io.map_sync = gated_map_sync;
    f.v = volume_open (&io, "disk", &often, &err);
    CHECK (f.v, "%s", err.message);

    gate_set (true, 0);
    w = (struct ahead_writer) { .f = &f };
    CHECK (pthread_create (&thread, NULL, write_much, &w) == 0, "no thread");
    ahead = wait_until_ahead (&f, &w);
    CHECK (ahead > CHECKPOINT_LEAD * MIB, "waits already");
    CHECK (ahead <= CHECKPOINT_LEAD * MIB + 4 * MIB,
           "%" PRIu64 " bytes are to be replayed", ahead);
    gate_set (false, errnum);
    pthread_join (thread, NULL);
    CHECK (w.errnum == errnum, "%s", strerror (w.errnum));
    if (errnum == 0)
      CHECK (volume_close (f.v, &err) == 0, "%s", err.message);
    else {
      volume_abandon (f.v);
      sim_crash (f.sim, 7);
      sim_restart (f.sim);
      gate_set (false, 0);
    }
    fixture_open (&f);
    if (errnum == 0)
      fixture_end (&f);
    else {
      CHECK (volume_close (f.v, &err) == 0, "%s", err.message);
      sim_free (f.sim);
      model_release (&f.model);
      free (f.buf);
    }
  }
}

/* Any operation fails, once or for good, while a guest works: each read is
 * right or EIO, and what was flushed is there afterwards.
 */
static void
fault_round (uint64_t seed)
{
  static const int errnums[] = { EIO, ENOSPC };
  struct random_range range = { 0, 2 * MIB, 4 };
  struct error err = ERROR_INIT;
  uint64_t durable = 0, low, high, offset;
  unsigned ops = 150, kind;
  struct fixture f;
  uint8_t *content;
  int r = 0;

  fixture_begin (&f, seed, 2 * MIB, 512 * MIB);
  sim_fail (f.sim, 1u << random_below (&f.rng, 6),
            random_below (&f.rng, 100), errnums[random_below (&f.rng, 2)],
            random_chance (&f.rng, 50));
  while (ops-- > 0) {
    kind = random_below (&f.rng, 100);
    r = 0;
    if (kind < 60)
      r = random_write (&f.rng, f.v, &f.model, &range, f.buf, 0);
    else if (kind < 75) {
      r = volume_flush (f.v);
      if (r == 0)
        durable = f.model.step;
    }
    else if (kind < 97) {
      offset = random_below (&f.rng, f.model.size - 30000);
      if (try_read (f.v, &f.model, 30000, offset) == -1)
        CHECK (errno == EIO || errno == ENOSPC, "%s", strerror (errno));
    }
    else
      checkpoint (f.v, false, &err);
    if (r == -1) {
      CHECK (errno == EIO || errno == ENOSPC, "%s", strerror (errno));
      break;                     /* the model does not know how much */
    }
  }
  if (random_chance (&f.rng, 50)) {
    if (volume_close (f.v, &err) == 0)
      durable = r == 0 ? f.model.step : durable;
    sim_fail (f.sim, 0, 0, 0, false);
  }
  else {
    sim_crash (f.sim, random_next (&f.rng));
    volume_abandon (f.v);
    sim_restart (f.sim);
  }
  fixture_open (&f);
  content = read_all (f.v);
  if (!model_match (&f.model, content, 0, f.model.nblocks, durable, &low,
                    &high)) {
    model_explain (&f.model, content, 0, f.model.nblocks, durable);
    CHECK (false, "not the disk of any moment");
  }
  model_adopt (&f.model, content);
  free (content);
  fixture_end (&f);
}

static void
test_random_faults (void **state)
{
  uint64_t i, rounds = test_begin (150);

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    fault_round (test_round_seed (i));
}

/* The Nth operation of a kind fails, of a load under which segments are
 * cleaned and checkpoints made.  Returns how many of the kind there were; 0
 * if none failed.
 */
static uint64_t
nth_fault (uint64_t seed, unsigned kind, uint64_t nth, int errnum,
           bool is_sticky)
{
  struct random_range range = { 0, 6 * MIB, 60 };
  struct volume_status status;
  struct error err = ERROR_INIT;
  uint64_t durable = 0, low, high, before, count;
  unsigned ops;
  struct fixture f;
  uint8_t *content;
  int r = 0;

  fixture_begin (&f, seed, 6 * MIB, 48 * MIB);
  before = sim_count (f.sim, kind);
  if (errnum)
    sim_fail (f.sim, kind, nth, errnum, is_sticky);
  for (ops = 0; r == 0 && ops < 160; ++ops) {
    if (ops % 12 == 11) {
      r = volume_flush (f.v);
      if (r == 0)
        durable = f.model.step;
    }
    else if (ops % 40 == 30)
      checkpoint (f.v, false, &err);
    else
      r = random_write (&f.rng, f.v, &f.model, &range, f.buf, 0);
  }
  count = sim_count (f.sim, kind) - before;
  if (r == -1)
    CHECK (errno == EIO || errno == ENOSPC, "%s", strerror (errno));

  /* A failure is for good, also when the disk has recovered. */
  volume_get_status (f.v, &status);
  sim_fail (f.sim, 0, 0, 0, false);
  if (status.is_failed) {
    /* All may have been durable already. */
    if (volume_flush (f.v) == 0 && r == 0)
      durable = f.model.step;
    CHECK (volume_write (f.v, f.buf, BLOCK, 0, VOLUME_FUA) == -1 &&
           (errno == EIO || errno == errnum), "a write after a failure");
    if (kind == SIM_MAPSYNC)
      CHECK (checkpoint (f.v, false, &err) == -1, "a sync was tried again");
  }
  sim_crash (f.sim, seed);
  volume_abandon (f.v);
  sim_restart (f.sim);
  fixture_open (&f);
  content = read_all (f.v);
  if (!model_match (&f.model, content, 0, f.model.nblocks, durable, &low,
                    &high)) {
    model_explain (&f.model, content, 0, f.model.nblocks, durable);
    CHECK (false, "not the disk of any moment: operation %" PRIu64
           " of kind %u", nth, kind);
  }
  model_adopt (&f.model, content);
  free (content);
  fixture_end (&f);
  return count;
}

/* All of them with PAIRDISK_LONG, else some of each kind. */
static void
test_every_operation (void **state)
{
  static const unsigned kinds[] = { SIM_READ, SIM_WRITE, SIM_SYNC, SIM_QUEUE,
                                    SIM_SPACE, SIM_MAPSYNC };
  static const int errnums[] = { EIO, ENOSPC };
  const char *is_long = getenv ("PAIRDISK_LONG");
  uint64_t count, nth, step, runs = 0;
  unsigned k, e;

  (void) state;
  test_begin (1);
  for (k = 0; k < sizeof kinds / sizeof kinds[0]; ++k) {
    count = nth_fault (test_round_seed (runs), kinds[k], 0, 0, false);
    step = is_long && *is_long ? 1 : count / 12 + 1;
    for (nth = 0; nth < count; nth += step)
      for (e = 0; e < 4; ++e, ++runs)
        nth_fault (test_round_seed (runs), kinds[k], nth, errnums[e % 2],
                   e / 2);
  }
  printf ("# %" PRIu64 " runs\n", runs);
}

/* ------------------------------------------------------------------ */

static void
test_bounds (void **state)
{
  const uint64_t size = MIB;
  struct fixture f;
  uint8_t b[2 * BLOCK] = { 1 };

  (void) state;
  test_round_seed (0);
  fixture_begin (&f, 5, size, 0);
  CHECK (volume_size (f.v) == size, "size");
#define REFUSED(call)                                                   \
  CHECK ((call) == -1 && errno == EINVAL, "taken: " #call)
  REFUSED (volume_read (f.v, b, 1, size));
  REFUSED (volume_read (f.v, b, 2, size - 1));
  REFUSED (volume_read (f.v, b, 1, UINT64_MAX));
  REFUSED (volume_write (f.v, b, 1, size, 0));
  REFUSED (volume_write (f.v, b, 2, size - 1, 0));
  REFUSED (volume_write (f.v, b, BLOCK, UINT64_MAX - 100, 0));
  REFUSED (volume_zero (f.v, 1, size, 0));
  REFUSED (volume_zero (f.v, UINT64_MAX, 1, 0));
  REFUSED (volume_zero (f.v, size + 1, 0, VOLUME_TRIM));
  REFUSED (volume_extents (f.v, size + 1, 0, NULL, NULL));
#undef REFUSED
  CHECK (volume_read (f.v, b, 0, size) == 0 &&
         volume_write (f.v, b, 0, size, VOLUME_FUA) == 0 &&
         volume_zero (f.v, 0, size, 0) == 0, "nothing is too much");
  check_all (f.v, &f.model);
  CHECK (volume_write (f.v, b, 1, size - 1, 0) == 0, "the last byte");
  model_write (&f.model, b, 1, size - 1);
  check_all (f.v, &f.model);
  fixture_end (&f);
}

static void
test_one_at_a_time (void **state)
{
  const struct volume_io *io;
  const struct volume_params params = { MIB, 0, 0 };
  struct volume_check_result result;
  struct volume_status status;
  struct error err = ERROR_INIT;
  struct fixture f;

  (void) state;
  test_round_seed (0);
  fixture_begin (&f, 6, MIB, 0);
  io = sim_io (f.sim);
  CHECK (volume_open (io, "disk", NULL, &err) == NULL && errno == EBUSY &&
         err.hint[0], "opened twice");
  CHECK (volume_destroy (io, "disk", &err) == -1 && errno == EBUSY,
         "destroyed in use");
  CHECK (volume_check (io, "disk", NULL, NULL, NULL, &result, &err) == -1 &&
         errno == EBUSY, "checked in use");
  CHECK (volume_dump (io, "disk", VOLUME_DUMP_SUPER, stderr, &err) == -1 &&
         errno == EBUSY, "dumped in use");
  CHECK (volume_probe (io, "disk", &status, &err) == 0 &&
         status.size == MIB, "not probed in use");
  CHECK (volume_create (io, "disk", &params, &err) == -1 && errno == EEXIST,
         "created over another");
  check_all (f.v, &f.model);
  CHECK (volume_open (io, "none", NULL, &err) == NULL && errno == ENOENT,
         "opened nothing");
  CHECK (volume_destroy (io, "none", &err) == -1, "destroyed nothing");
  fixture_end (&f);
}

/* Role and fence hold through a crash, and a late write is refused. */
static void
test_roles (void **state)
{
  const struct uuid pair = { { 1, 2, 3 } };
  struct volume_status status;
  struct error err = ERROR_INIT;
  struct fixture f;
  unsigned i;

  (void) state;
  for (i = 0; i < 20; ++i) {
    test_round_seed (i);
    fixture_begin (&f, i, MIB, 0);
    CHECK (write_noise (&f, 0, BLOCK) == 0, "%s", strerror (errno));
    CHECK (volume_set_role (f.v, VOLUME_ROLE_SECONDARY, &pair, 5, &err) == 0,
           "%s", err.message);
    CHECK (write_noise (&f, 0, BLOCK) == -1 && errno == EROFS,
           "a guest wrote to a secondary");
    CHECK (volume_set_role (f.v, VOLUME_ROLE_PRIMARY, &pair, 4, &err) == -1
           && errno == EPERM, "the fence was lowered");
    sim_crash (f.sim, i);
    volume_abandon (f.v);
    sim_restart (f.sim);

    fixture_open (&f);
    volume_get_status (f.v, &status);
    CHECK (status.role == VOLUME_ROLE_SECONDARY && status.fence == 5 &&
           uuid_equal (&status.pair, &pair), "the role was lost");
    CHECK (write_noise (&f, 0, BLOCK) == -1 && errno == EROFS,
           "a guest wrote to a secondary");
    check_all (f.v, &f.model);
    CHECK (volume_set_role (f.v, VOLUME_ROLE_PRIMARY, &pair, 6, &err) == 0,
           "%s", err.message);
    CHECK (write_noise (&f, BLOCK, BLOCK) == 0, "%s", strerror (errno));
    CHECK (volume_meet_fence (f.v, 7, &err) == 0, "%s", err.message);
    CHECK (write_noise (&f, 0, BLOCK) == -1 && errno == EROFS,
           "a fenced volume was written");
    CHECK (volume_flush (f.v) == 0, "%s", strerror (errno));
    sim_crash (f.sim, i + 100);
    volume_abandon (f.v);
    sim_restart (f.sim);

    fixture_open (&f);
    volume_get_status (f.v, &status);
    CHECK (status.is_fenced, "the fence was forgotten");
    CHECK (write_noise (&f, 0, BLOCK) == -1 && errno == EROFS,
           "a fenced volume was written");
    check_all (f.v, &f.model);
    CHECK (volume_set_role (f.v, VOLUME_ROLE_STANDALONE, NULL, 7, &err) == 0,
           "%s", err.message);
    CHECK (write_noise (&f, 0, BLOCK) == 0, "%s", strerror (errno));
    fixture_end (&f);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_full_journal),
    cmocka_unit_test (test_trim_when_full),
    cmocka_unit_test (test_full_of_large_writes),
    cmocka_unit_test (test_full_file_system),
    cmocka_unit_test (test_full_file_system_at_stage),
    cmocka_unit_test (test_journal_write_fails),
    cmocka_unit_test (test_checkpoint_fails),
    cmocka_unit_test (test_slow_checkpoint),
    cmocka_unit_test (test_random_faults),
    cmocka_unit_test (test_every_operation),
    cmocka_unit_test (test_bounds),
    cmocka_unit_test (test_one_at_a_time),
    cmocka_unit_test (test_roles),
  };

  return cmocka_run_group_tests_name ("volume faults", tests, NULL, NULL);
}

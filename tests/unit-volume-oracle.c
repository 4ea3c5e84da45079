/* Promise 2: a read returns what was last written, or an error.
 *
 * Seeded random operations on a volume and on a disk in memory, which must
 * agree after each; on the simulated disk and on real files; by one thread
 * and by several with ranges of their own and one range that all write.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "io-sim.h"
#include "volume-internal.h"
#include "volume-model.h"

#define BLOCK VOLUME_BLOCK_SIZE
#define MIB (UINT64_C (1) << 20)

static const struct volume_options options = {
  .staging_bytes = 6 << 20, .commit_delay_ms = 1
};

/* Where a volume is: in a simulator or in a directory of its own. */
struct place {
  struct sim *sim;
  const struct volume_io *io;
  char dir[256], path[300];
};

static void
place_make (struct place *p, bool is_real, uint64_t seed)
{
  const char *tmp = getenv ("TMPDIR");

  memset (p, 0, sizeof *p);
  if (is_real) {
    snprintf (p->dir, sizeof p->dir, "%s/pairdisk-oracle.XXXXXX",
              tmp ? tmp : "/var/tmp");
    CHECK (mkdtemp (p->dir), "%s", strerror (errno));
    snprintf (p->path, sizeof p->path, "%s/disk", p->dir);
    p->io = &volume_io_real;
  }
  else {
    p->sim = sim_new (seed);
    p->io = sim_io (p->sim);
    strcpy (p->path, "disk");
  }
}

static void
place_remove (struct place *p)
{
  struct error err = ERROR_INIT;

  CHECK (volume_destroy (p->io, p->path, &err) == 0, "%s", err.message);
  if (p->sim)
    sim_free (p->sim);
  else
    CHECK (rmdir (p->dir) == 0, "%s", strerror (errno));
}

static void
create (struct place *p, uint64_t size, uint64_t capacity)
{
  const struct volume_params params = { size, capacity, 4 * MIB };
  struct error err = ERROR_INIT;

  CHECK (volume_create (p->io, p->path, &params, &err) == 0, "%s",
         err.message);
}

static struct volume *
open_volume (struct place *p)
{
  struct error err = ERROR_INIT;
  struct volume *v = volume_open (p->io, p->path, &options, &err);

  CHECK (v, "%s", err.message);
  return v;
}

static void
close_volume (struct volume *v)
{
  struct error err = ERROR_INIT;

  CHECK (volume_close (v, &err) == 0, "%s", err.message);
}

/* ------------------------------------------------------------------ */

static struct volume *
random_op (uint64_t *rng, struct place *p, struct volume *v, struct model *m,
           uint8_t *buf)
{
  const struct random_range all = { 0, m->size, 6 };
  unsigned kind = random_below (rng, 200);
  struct error err = ERROR_INIT;
  uint64_t offset, count;

  if (kind < 120)
    CHECK (random_write (rng, v, m, &all, buf,
                         random_chance (rng, 10) ? VOLUME_FUA : 0) == 0,
           "%s", strerror (errno));
  else if (kind < 180) {
    offset = random_below (rng, m->size);
    count = 1 + random_below (rng, random_chance (rng, 80) ? 40000 : m->size);
    if (count > m->size - offset)
      count = m->size - offset;
    if (kind < 172)
      check_read (v, m, count, offset);
    else
      check_extents (v, m, count, offset);
  }
  else if (kind < 194)
    CHECK (volume_flush (v) == 0, "%s", strerror (errno));
  else if (kind < 197)
    CHECK (checkpoint (v, false, &err) == 0, "%s", err.message);
  else if (kind < 198) {
    close_volume (v);
    v = open_volume (p);
  }
  return v;
}

static void
one_round (bool is_real, uint64_t seed, unsigned ops)
{
  uint64_t rng = seed, size = MIB + random_below (&rng, 2000) * BLOCK;
  uint8_t *buf = malloc (RANDOM_WRITE_MAX);
  struct place p;
  struct model m;
  struct volume *v;

  CHECK (buf, "no memory");
  place_make (&p, is_real, seed);
  create (&p, size, 256 * MIB);
  model_init (&m, size);
  v = open_volume (&p);
  check_all (v, &m);
  while (ops-- > 0)
    v = random_op (&rng, &p, v, &m, buf);
  check_all (v, &m);
  close_volume (v);
  v = open_volume (&p);
  check_all (v, &m);
  close_volume (v);
  place_remove (&p);
  model_release (&m);
  free (buf);
}

static void
test_one_thread_sim (void **state)
{
  uint64_t i, rounds = test_begin (40);

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    one_round (false, test_round_seed (i), 300);
}

static void
test_one_thread_files (void **state)
{
  uint64_t i, rounds = test_begin (4);

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    one_round (true, test_round_seed (i), 300);
}

/* ------------------------------------------------------------------ */
/* Several threads.  The first blocks of the disk are written by all of them,
 * whole and with one stamp a write; the rest is divided.
 */

#define THREADS 4
#define SHARED 24u              /* blocks */

struct worker {
  struct volume *v;
  struct model *m;
  struct random_range range;
  uint64_t rng;
  unsigned ops;
  pthread_t thread;
};

static void
write_shared (struct worker *w, uint8_t *buf)
{
  uint64_t stamp = random_next (&w->rng);
  size_t i;

  for (i = 0; i < SHARED * BLOCK / 8; ++i)
    ((uint64_t *) buf)[i] = stamp;
  CHECK (volume_write (w->v, buf, SHARED * BLOCK, 0, 0) == 0, "%s",
         strerror (errno));
}

/* Each block is of one write; of which is not said. */
static void
read_shared (struct volume *v, uint8_t *buf, bool is_still)
{
  uint64_t *p = (uint64_t *) buf;
  size_t i, b;

  CHECK (volume_read (v, buf, SHARED * BLOCK, 0) == 0, "%s",
         strerror (errno));
  for (b = 0; b < SHARED; ++b) {
    for (i = 1; i < BLOCK / 8; ++i)
      CHECK (p[b * BLOCK / 8 + i] == p[b * BLOCK / 8],
             "block %zu is of two writes", b);
    CHECK (!is_still || p[b * BLOCK / 8] == p[0],
           "blocks 0 and %zu of one range are of different writes", b);
  }
}

static void *
work (void *opaque)
{
  struct worker *w = opaque;
  uint8_t *buf = malloc (RANDOM_WRITE_MAX);
  uint64_t offset, count;
  unsigned kind;

  CHECK (buf, "no memory");
  while (w->ops-- > 0) {
    kind = random_below (&w->rng, 100);
    if (kind < 50)
      CHECK (random_write (&w->rng, w->v, w->m, &w->range, buf,
                           random_chance (&w->rng, 20) ? VOLUME_FUA : 0) == 0,
             "%s", strerror (errno));
    else if (kind < 70) {
      offset = w->range.first +
        random_below (&w->rng, w->range.end - w->range.first);
      count = 1 + random_below (&w->rng, w->range.end - offset);
      check_read (w->v, w->m, count < 50000 ? count : 50000, offset);
    }
    else if (kind < 82)
      write_shared (w, buf);
    else if (kind < 92)
      read_shared (w->v, buf, false);
    else
      CHECK (volume_flush (w->v) == 0, "%s", strerror (errno));
  }
  free (buf);
  return NULL;
}

static void
check_workers (struct worker *w, struct volume *v)
{
  uint8_t *buf = malloc (SHARED * BLOCK);
  unsigned i;

  CHECK (buf, "no memory");
  for (i = 0; i < THREADS; ++i)
    check_read (v, w[i].m, w[i].range.end - w[i].range.first,
                w[i].range.first);
  read_shared (v, buf, true);
  free (buf);
}

static void
threads_round (bool is_real, uint64_t seed, unsigned ops, uint64_t capacity,
               unsigned large_percent)
{
  uint64_t rng = seed, size = 8 * MIB, part;
  struct worker w[THREADS];
  struct model m[THREADS];
  struct error err = ERROR_INIT;
  struct place p;
  struct volume *v;
  unsigned i;

  place_make (&p, is_real, seed);
  create (&p, size, capacity);
  v = open_volume (&p);
  /* Not by whole blocks: neighbours share the block where they meet. */
  part = (size - SHARED * BLOCK) / THREADS / BLOCK * BLOCK;
  for (i = 0; i < THREADS; ++i) {
    model_init (&m[i], size);
    w[i] = (struct worker) {
      .v = v, .m = &m[i], .rng = random_next (&rng), .ops = ops,
      .range = { SHARED * BLOCK + i * part, SHARED * BLOCK + (i + 1) * part,
                 large_percent },
    };
  }
  for (i = 0; i < THREADS; ++i)
    CHECK (pthread_create (&w[i].thread, NULL, work, &w[i]) == 0,
           "no thread");
  for (i = 0; i < 5; ++i)
    CHECK (checkpoint (v, false, &err) == 0, "%s", err.message);
  for (i = 0; i < THREADS; ++i)
    pthread_join (w[i].thread, NULL);

  check_workers (w, v);
  close_volume (v);
  v = open_volume (&p);
  check_workers (w, v);
  close_volume (v);
  place_remove (&p);
  for (i = 0; i < THREADS; ++i)
    model_release (&m[i]);
}

static void
test_threads_sim (void **state)
{
  uint64_t i, rounds = test_begin (6);

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    threads_round (false, test_round_seed (i), 250, 1024 * MIB, 3);
}

static void
test_threads_files (void **state)
{
  uint64_t i, rounds = test_begin (3);

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    threads_round (true, test_round_seed (i), 250, 1024 * MIB, 3);
}

/* So little room that the cleaner is at work under them all the time. */
static void
test_threads_cleaning (void **state)
{
  uint64_t i, rounds = test_begin (6);

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    threads_round (i % 2, test_round_seed (i), 250, 64 * MIB, 60);
}

/* Neighbours that write parts of the same blocks at the same time: neither
 * undoes the other.
 */
struct part_writer {
  struct volume *v;
  unsigned which;
  pthread_t thread;
};

#define PARTS 4u
#define PART_BLOCKS 8u
#define PART_ROUNDS 100u

static void *
write_parts (void *opaque)
{
  struct part_writer *w = opaque;
  uint8_t part[BLOCK / PARTS];
  unsigned round, b;

  for (round = 1; round <= PART_ROUNDS; ++round)
    for (b = 0; b < PART_BLOCKS; ++b) {
      memset (part, round, sizeof part);
      CHECK (volume_write (w->v, part, sizeof part,
                           b * BLOCK + w->which * sizeof part, 0) == 0,
             "%s", strerror (errno));
    }
  return NULL;
}

static void
test_parts_of_a_block (void **state)
{
  struct part_writer w[PARTS];
  uint8_t buf[BLOCK];
  struct place p;
  struct volume *v;
  unsigned i, b;

  (void) state;
  test_round_seed (0);
  place_make (&p, false, 1);
  create (&p, MIB, 0);
  v = open_volume (&p);
  for (i = 0; i < PARTS; ++i) {
    w[i] = (struct part_writer) { .v = v, .which = i };
    CHECK (pthread_create (&w[i].thread, NULL, write_parts, &w[i]) == 0,
           "no thread");
  }
  for (i = 0; i < PARTS; ++i)
    pthread_join (w[i].thread, NULL);
  for (b = 0; b < PART_BLOCKS; ++b) {
    CHECK (volume_read (v, buf, BLOCK, b * BLOCK) == 0, "%s",
           strerror (errno));
    for (i = 0; i < BLOCK; ++i)
      CHECK (buf[i] == PART_ROUNDS, "byte %u of block %u is of round %u", i,
             b, buf[i]);
  }
  close_volume (v);
  place_remove (&p);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_one_thread_sim),
    cmocka_unit_test (test_one_thread_files),
    cmocka_unit_test (test_threads_sim),
    cmocka_unit_test (test_threads_files),
    cmocka_unit_test (test_threads_cleaning),
    cmocka_unit_test (test_parts_of_a_block),
  };

  return cmocka_run_group_tests_name ("volume oracle", tests, NULL, NULL);
}

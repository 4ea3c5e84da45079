/* Stores that are sorted and made by threads leave in both tables what they
 * would have left one after the other: the last of a block counts, and a move
 * only where its origin stands.
 */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sorted.h"
#include "volume-model.h"

#define ROUNDS 60
#define BLOCKS_MAX 40000u        /* more than places are told apart */
#define PUTS_MAX 5000u
#define PAIRS 2u                 /* the disk and the stage */

struct pair {
  struct table map, births;    /* what the stores are made to */
  uint64_t *want_map, *want_births;
};

static void
no_prefetch (struct io_file *file, uint64_t offset, uint64_t len)
{
  (void) file;
  (void) offset;
  (void) len;
}

static const struct volume_io no_io = { .prefetch = no_prefetch };

static uint64_t *
zeros (uint64_t count)
{
  uint64_t *p = calloc (count, sizeof *p);

  CHECK (p, "no memory");
  return p;
}

static struct table
table_in_memory (uint64_t count)
{
  return (struct table) { .io = &no_io, .entry = zeros (count),
                          .count = count };
}

static void
pair_init (struct pair *p, uint64_t count)
{
  p->map = table_in_memory (count);
  p->births = table_in_memory (count);
  p->want_map = zeros (count);
  p->want_births = zeros (count);
}

static void
pair_release (struct pair *p)
{
  free (p->map.entry);
  free (p->births.entry);
  free (p->want_map);
  free (p->want_births);
}

/* Blocks that lie together, so that many are stored again. */
static uint64_t
some_block (uint64_t *rng, uint64_t count)
{
  uint64_t from = random_below (rng, 4) * count / 4;

  return from + random_below (rng, random_chance (rng, 50) ? 1 + count / 64
                              : count - from) % (count - from);
}

static void
put (struct sorted *s, struct pair *p, uint64_t *rng, uint64_t n)
{
  struct store store = {
    .block = some_block (rng, p->map.count), .entry = 2 * n + 1,
  };
  uint64_t was = p->want_map[store.block];

  if (random_chance (rng, 30)) {
    store.origin = was != 0 && random_chance (rng, 50) ? was : 2 * n + 2;
    if (was == store.origin)
      p->want_map[store.block] = store.entry;
  }
  else {
    store.birth = n + 1;
    p->want_map[store.block] = store.entry;
    p->want_births[store.block] = store.birth;
  }
  sorted_put (s, &p->map, &p->births, &store);
}

static void
check (const struct pair *p)
{
  uint64_t i;

  for (i = 0; i < p->map.count; ++i)
    CHECK (table_get (&p->map, i) == p->want_map[i] &&
           table_get (&p->births, i) == p->want_births[i],
           "block %" PRIu64, i);
}

static void
run_round (uint64_t rng)
{
  static const unsigned rooms[] = { 1, 2, 7, 64, 500, 2 * PUTS_MAX };
  const unsigned room = rooms[random_below (&rng, sizeof rooms /
                                            sizeof rooms[0])];
  uint64_t blocks = 1 + random_below (&rng, BLOCKS_MAX);
  uint64_t puts = random_below (&rng, PUTS_MAX), n;
  struct pair pair[PAIRS];
  struct sorted s;
  unsigned i, which = 0;

  for (i = 0; i < PAIRS; ++i)
    pair_init (&pair[i], blocks + i);
  CHECK (sorted_init (&s, room) == 0, "no memory");
  for (n = 0; n < puts; ++n) {
    if (random_below (&rng, 1000) == 0)
      which = !which;
    put (&s, &pair[which], &rng, n);
    if (random_below (&rng, 1000) == 0) {
      sorted_drain (&s);
      check (&pair[which]);
    }
  }
  sorted_drain (&s);
  sorted_drain (&s);
  for (i = 0; i < PAIRS; ++i)
    check (&pair[i]);
  sorted_release (&s);
  for (i = 0; i < PAIRS; ++i)
    pair_release (&pair[i]);
}

static void
test_same (void **state)
{
  uint64_t rounds = test_begin (ROUNDS), i;

  (void) state;
  for (i = 0; test_goes_on (i, rounds); ++i)
    run_round (test_round_seed (i));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_same),
  };

  return cmocka_run_group_tests_name ("volume sorted", tests, NULL, NULL);
}

/* Blocks on their way into the map: the same as a plain array would tell. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pending.h"
#include "volume-model.h"

#define BLOCKS 3000u
#define RUN 256u
#define STEPS 20000u

struct known {
  uint64_t seq, entry;         /* seq 0: nothing is pending */
};

static struct known model[BLOCKS];

/* Entries are told apart by block and seq alone. */
static uint64_t
entry_for (uint64_t block, uint64_t seq)
{
  return block * 1000003 + seq * 7 + 1;
}

static void
put (struct pending *p, uint64_t block, uint64_t count, uint64_t seq)
{
  uint64_t entry[RUN], i;

  for (i = 0; i < count; ++i) {
    entry[i] = entry_for (block + i, seq);
    if (model[block + i].seq <= seq)
      model[block + i] = (struct known) { seq, entry[i] };
  }
  CHECK (pending_put (p, block, count, seq, entry) == 0, "no memory");
}

static void
remove_shown (struct pending *p, uint64_t block, uint64_t count, uint64_t seq)
{
  uint64_t i;

  for (i = 0; i < count; ++i)
    if (model[block + i].seq <= seq)
      model[block + i].seq = 0;
  pending_remove (p, block, count, seq);
}

static void
check_version (struct pending *p, uint64_t block, uint64_t count,
               uint64_t seq)
{
  uint64_t entry[RUN], i;
  bool want = true;

  for (i = 0; i < count; ++i)
    want = want && model[block + i].seq == seq;
  CHECK (pending_get_version (p, block, count, seq, entry) == want,
         "version %lu of %lu blocks from %lu", (unsigned long) seq,
         (unsigned long) count, (unsigned long) block);
  for (i = 0; want && i < count; ++i)
    CHECK (entry[i] == entry_for (block + i, seq), "block %lu",
           (unsigned long) (block + i));
}

static void
check_blocks (struct pending *p)
{
  uint64_t block, entry, seq;
  bool found;

  for (block = 0; block < BLOCKS; ++block) {
    found = pending_get (p, block, &entry, &seq);
    CHECK (found == (model[block].seq != 0), "block %lu",
           (unsigned long) block);
    CHECK (!found || (seq == model[block].seq && entry == model[block].entry),
           "block %lu: seq %lu", (unsigned long) block, (unsigned long) seq);
  }
}

static void
test_as_an_array (void **state)
{
  struct pending p;
  uint64_t seed, newest = 1, block, count, seq;
  unsigned step, what;
  (void) state;

  test_begin (1);
  seed = test_round_seed (0);
  memset (model, 0, sizeof model);
  assert_int_equal (pending_init (&p), 0);
  for (step = 0; step < STEPS; ++step) {
    block = random_next (&seed) % BLOCKS;
    count = 1 + random_next (&seed) % (random_next (&seed) % 4 ? 20 : RUN);
    if (count > BLOCKS - block)
      count = BLOCKS - block;
    /* Writers overtake each other, and the map lags behind. */
    seq = newest > 64 ? newest - random_next (&seed) % 64 : newest;
    what = random_next (&seed) % 16;
    if (what < 7)
      put (&p, block, count, ++newest);
    else if (what == 7)
      put (&p, block, count, seq);
    else if (what < 14)
      remove_shown (&p, block, count, seq);
    else
      check_version (&p, block, count,
                     what == 14 && model[block].seq ? model[block].seq : seq);
    if (step % 500 == 0)
      check_blocks (&p);
  }
  check_blocks (&p);
  remove_shown (&p, 0, BLOCKS, newest);
  check_blocks (&p);
  pending_release (&p);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_as_an_array),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

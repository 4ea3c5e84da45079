/* Damaged units: only the very version repairs one, a repair is durable, and
 * a crash in the middle of it leaves the block damaged or right.
 *
 * Each round: a disk with random blocks, some of which rot on the medium; it
 * is offered everything but what it should have, by call and by a source, and
 * then that, with the power failing at a random operation.
 */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "io-sim.h"
#include "repair.h"
#include "volume-internal.h"
#include "volume-model.h"

#define BLOCK VOLUME_BLOCK_SIZE
#define MIB (UINT64_C (1) << 20)
#define BLOCKS 64u
#define ROTTEN 6u

struct copy {
  struct volume_want want;
  uint8_t unit[VOLUME_UNIT_MAX];
  ssize_t length;
  uint8_t content[BLOCK];
};

struct round {
  uint64_t rng;
  struct sim *sim;
  struct volume *v;
  struct copy copy[BLOCKS];
  unsigned rotten[ROTTEN];     /* blocks */
  int lies;                    /* of the source: see source */
  unsigned asked;
};

static void
open_disk (struct round *t)
{
  struct error err = ERROR_INIT;

  t->v = volume_open (sim_io (t->sim), "disk", NULL, &err);
  CHECK (t->v, "%s", err.message);
}

static void
close_disk (struct round *t)
{
  struct error err = ERROR_INIT;

  CHECK (volume_close (t->v, &err) == 0, "%s", err.message);
}

static void
make_disk (struct round *t)
{
  const struct volume_params params = { 2 * MIB, 64 * MIB, 4 * MIB };
  const struct uuid id = { { 7 } };
  struct error err = ERROR_INIT;

  CHECK (volume_create (sim_io (t->sim), "disk", &params, &err) == 0, "%s",
         err.message);
  open_disk (t);
  CHECK (volume_set_role (t->v, VOLUME_ROLE_PRIMARY, &id, 1, &err) == 0,
         "%s", err.message);
  for (unsigned i = 0; i < BLOCKS; i++) {
    struct copy *c = &t->copy[i];

    do
      fill_random (&t->rng, c->content, BLOCK);
    while (block_is_zero (c->content));
    CHECK (volume_write (t->v, c->content, BLOCK, i * BLOCK, 0) == 0, "%s",
           strerror (errno));
  }
  CHECK (volume_flush (t->v) == 0, "%s", strerror (errno));
  CHECK (journal_flush_applied (t->v) == 0, "%s", strerror (errno));
  for (unsigned i = 0; i < BLOCKS; i++) {
    t->copy[i].length = volume_unit_read (t->v, i, &t->copy[i].want,
                                          t->copy[i].unit, &err);
    CHECK (t->copy[i].length > 0, "%s", err.message);
  }
}

/* Bytes change where a unit lies, while nobody has the disk open. */
static void
let_rot (struct round *t)
{
  uint64_t at[ROTTEN];

  for (unsigned i = 0; i < ROTTEN; i++) {
    struct version version;

    t->rotten[i] = i * (BLOCKS / ROTTEN) + random_below (&t->rng, 8);
    CHECK (lookup_shown (t->v, t->rotten[i], &version), "lookup");
    at[i] = entry_position (version.entry) +
      random_below (&t->rng, t->copy[t->rotten[i]].length);
  }
  close_disk (t);
  for (unsigned i = 0; i < ROTTEN; i++) {
    uint8_t byte;

    sim_file_read (t->sim, "disk", "journal", at[i], &byte, 1);
    byte ^= 1u << random_below (&t->rng, 8);
    sim_file_write (t->sim, "disk", "journal", at[i], &byte, 1);
  }
  open_disk (t);
}

static bool
is_right (struct round *t, unsigned block)
{
  uint8_t buf[BLOCK];

  if (volume_read (t->v, buf, BLOCK, block * BLOCK) == -1) {
    CHECK (errno == EIO, "%s", strerror (errno));
    return false;
  }
  CHECK (memcmp (buf, t->copy[block].content, BLOCK) == 0,
         "block %u is wrong", block);
  return true;
}

static unsigned
damaged (struct round *t)
{
  struct volume_repairs r;

  volume_get_repairs (t->v, &r);
  return r.damaged;
}

/* ------------------------------------------------------------------ */

static void
offer_lies (struct round *t, unsigned block)
{
  struct copy *c = &t->copy[block], *other = &t->copy[block ^ 1];
  struct volume_want want = c->want;
  uint8_t unit[VOLUME_UNIT_MAX + UNIT_ENCODE_SLACK]
    __attribute__ ((aligned (8)));
  struct error err = ERROR_INIT;

  want.seq++;
  CHECK (volume_unit_give (t->v, &want, c->unit, c->length, &err) == 0,
         "another seq was taken");
  want = c->want;
  want.generation ^= 1;
  CHECK (volume_unit_give (t->v, &want, c->unit, c->length, &err) == 0,
         "another generation was taken");
  want = other->want;
  CHECK (volume_unit_give (t->v, &want, other->unit, other->length, &err)
         == 0, "what is not damaged was taken");
  CHECK (volume_unit_give (t->v, &c->want, other->unit, other->length, &err)
         == -1 && err.errnum == EBADMSG, "another block's unit was taken");
  CHECK (volume_unit_give (t->v, &c->want, c->unit, c->length - 1, &err)
         == -1, "a cut unit was taken");
  CHECK (volume_unit_give (t->v, &c->want, c->unit, 0, &err) == -1,
         "nothing was taken");
  memcpy (unit, c->unit, c->length);
  unit[random_below (&t->rng, c->length)] ^= 1u << random_below (&t->rng, 8);
  CHECK (volume_unit_give (t->v, &c->want, unit, c->length, &err) == -1,
         "a garbled unit was taken");
  /* The right content, with the seal of another version. */
  if (unit_encode (c->content, 1, unit) == c->length) {
    unit_seal (unit, volume_content_salt (t->v), block, c->want.seq - 1);
    CHECK (volume_unit_give (t->v, &c->want, unit, c->length, &err) == -1,
           "an older version was taken");
    unit_encode (c->content, 1, unit);
    unit_seal (unit, volume_content_salt (t->v) + 1, block, c->want.seq);
    CHECK (volume_unit_give (t->v, &c->want, unit, c->length, &err) == -1,
           "another salt's unit was taken");
  }
  CHECK (!is_right (t, block), "a lie repaired it");
}

static ssize_t
source (void *opaque, const struct volume_want *want, void *unit)
{
  struct round *t = opaque;
  const struct copy *c = &t->copy[want->block];

  t->asked++;
  CHECK (want->seq == c->want.seq && want->generation == c->want.generation,
         "another version is wanted than was written");
  switch (t->lies) {
  case 0:
    memcpy (unit, c->unit, c->length);
    return c->length;
  case 1:
    return -1;
  case 2:
    memcpy (unit, t->copy[want->block ^ 1].unit, c->length);
    return c->length;
  case 3:
    return VOLUME_UNIT_MAX + 1;
  default:
    return 0;
  }
}

static void
ask_the_source (struct round *t, unsigned block)
{
  for (t->lies = 4; t->lies > 0; t->lies--)
    CHECK (!is_right (t, block), "lie %d was believed", t->lies);
  t->asked = 0;
  CHECK (is_right (t, block), "the source was not asked");
  CHECK (t->asked == 1, "asked %u times", t->asked);
}

/* Give all that is rotten; the power may fail. */
static void
repair_all (struct round *t)
{
  struct error err = ERROR_INIT;

  for (unsigned i = 0; i < ROTTEN; i++) {
    const struct copy *c = &t->copy[t->rotten[i]];

    if (volume_unit_give (t->v, &c->want, c->unit, c->length, &err) == -1)
      CHECK (sim_is_off (t->sim), "%s", err.message);
  }
}

static void
crash (struct round *t)
{
  if (!sim_is_off (t->sim))
    sim_crash (t->sim, random_next (&t->rng));
  volume_abandon (t->v);
  sim_restart (t->sim);
  open_disk (t);
}

static void
run_round (uint64_t seed)
{
  struct volume_scrub_result result = { 0 };
  struct volume_repairs r;
  struct round *t = calloc (1, sizeof *t);
  uint64_t block = 0;
  unsigned found = 0;

  CHECK (t, "no memory");
  t->rng = seed;
  t->sim = sim_new (random_next (&t->rng));
  make_disk (t);
  let_rot (t);

  for (unsigned i = 0; i < ROTTEN; i++)
    CHECK (!is_right (t, t->rotten[i]), "block %u is not damaged",
           t->rotten[i]);
  CHECK (damaged (t) == ROTTEN, "%u are damaged", damaged (t));
  offer_lies (t, t->rotten[0]);

  volume_set_source (t->v, source, t);
  ask_the_source (t, t->rotten[1]);
  volume_set_source (t->v, NULL, NULL);
  volume_get_repairs (t->v, &r);
  CHECK (r.refused >= 4 && r.missed >= ROTTEN, "counters");

  /* A guest writes over one that is damaged. */
  fill_random (&t->rng, t->copy[t->rotten[2]].content, BLOCK);
  CHECK (volume_write (t->v, t->copy[t->rotten[2]].content, BLOCK,
                       t->rotten[2] * BLOCK, VOLUME_FUA) == 0, "write");

  /* The power fails while they are repaired: each is right or damaged. */
  if (random_chance (&t->rng, 70))
    sim_crash_after (t->sim, random_below (&t->rng, 12),
                     random_next (&t->rng));
  repair_all (t);
  crash (t);
  for (unsigned i = 0; i < BLOCKS; i++)
    found += !is_right (t, i);
  CHECK (found <= ROTTEN, "%u blocks cannot be read", found);

  /* Scrub finds what is left, and then it is repaired for good. */
  while (block < 2 * MIB / BLOCK)
    CHECK (volume_scrub (t->v, &block, 100, &result) == 0, "scrub");
  CHECK (result.errors == found && damaged (t) == found,
         "%" PRIu64 " found by scrub, %u by reading", result.errors, found);
  repair_all (t);
  CHECK (damaged (t) == 0, "%u are damaged still", damaged (t));
  crash (t);
  for (unsigned i = 0; i < BLOCKS; i++)
    CHECK (is_right (t, i), "block %u cannot be read", i);
  close_disk (t);
  sim_free (t->sim);
  free (t);
}

static void
test_repair (void **state)
{
  uint64_t rounds = test_begin (300), i;

  (void) state;
  for (i = 0; test_goes_on (i, rounds); i++)
    run_round (test_round_seed (i));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_repair),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

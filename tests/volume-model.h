/* What a volume must hold: its content in memory, and its history.
 *
 * The history is a row of steps, one for each block that a write changed, in
 * the order in which a volume makes them.  After a crash the disk must be as
 * it was after one of them: that is model_match.
 *
 * CHECK prints and aborts: it may be used in any thread.
 */

#ifndef PAIRDISK_VOLUME_MODEL_H
#define PAIRDISK_VOLUME_MODEL_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "volume.h"

/* Printed with every failure. */
extern uint64_t test_seed, test_round;

/* PAIRDISK_SEED and PAIRDISK_ROUNDS, or a random seed and ROUNDS (with
 * PAIRDISK_LONG many times that); prints the seed.  Returns the rounds.
 */
extern uint64_t test_begin (uint64_t rounds);

/* Is there to be a round I: of so many, or for PAIRDISK_SECONDS.  Prints how
 * fast they went when it is the last.
 */
extern bool test_goes_on (uint64_t i, uint64_t rounds);

/* The seed of one round: PAIRDISK_SEED with PAIRDISK_ROUNDS=1 repeats it. */
extern uint64_t test_round_seed (uint64_t round);

#define CHECK(cond, ...)                                                \
  do {                                                                  \
    if (!(cond)) {                                                      \
      fprintf (stderr, "Bail out! %s:%d: %s (PAIRDISK_SEED=%" PRIu64    \
               " PAIRDISK_ROUNDS=1): ", __FILE__, __LINE__, #cond,      \
               test_seed);                                              \
      fprintf (stderr, __VA_ARGS__);                                    \
      fputc ('\n', stderr);                                             \
      abort ();                                                         \
    }                                                                   \
  } while (0)

/* ------------------------------------------------------------------ */

extern uint64_t random_next (uint64_t *rng);

static inline uint64_t
random_below (uint64_t *rng, uint64_t n)
{
  return random_next (rng) % n;
}

static inline bool
random_chance (uint64_t *rng, unsigned percent)
{
  return random_below (rng, 100) < percent;
}

/* Bytes that compress well, a little, not at all, or are zeros; no two calls
 * make the same (zeros excepted).
 */
extern void fill_random (uint64_t *rng, uint8_t *buf, size_t len);

/* Bytes that do not compress; LEN is a multiple of 8, and so is where BUF is. */
extern void fill_noise (uint64_t *rng, uint8_t *buf, size_t len);

/* ------------------------------------------------------------------ */

struct model_version {
  uint64_t step, hash;
};

struct model_block {
  struct model_version *version;
  uint32_t count, capacity;
};

struct model {
  uint64_t size, nblocks;
  uint8_t *data;
  uint64_t step;               /* made so far */
  struct model_block *block;
};

extern void model_init (struct model *m, uint64_t size);
extern void model_release (struct model *m);

/* The disk has SIZE bytes now, zeros at the end. */
extern void model_grow (struct model *m, uint64_t size);

extern void model_write (struct model *m, const void *buf, uint64_t count,
                         uint64_t offset);
extern void model_zero (struct model *m, uint64_t count, uint64_t offset);

/* CONTENT is the disk now, and step 0 of a new history. */
extern void model_adopt (struct model *m, const uint8_t *content);

/* The steps from FIRST on after which the disk was CONTENT: true if there is
 * one, with the lowest and the highest.  FIRST_BLOCK and END_BLOCK: of these
 * blocks.
 */
extern bool model_match (const struct model *m, const uint8_t *content,
                         uint64_t first_block, uint64_t end_block,
                         uint64_t first, uint64_t *ret_low,
                         uint64_t *ret_high);

/* Print why there is none. */
extern void model_explain (const struct model *m, const uint8_t *content,
                           uint64_t first_block, uint64_t end_block,
                           uint64_t first);

/* ------------------------------------------------------------------ */

/* The volume holds what the model holds.  try_read: or says it cannot read
 * (-1).
 */
extern int try_read (struct volume *v, const struct model *m, uint64_t count,
                     uint64_t offset);
extern void check_read (struct volume *v, const struct model *m,
                        uint64_t count, uint64_t offset);
extern void check_extents (struct volume *v, const struct model *m,
                           uint64_t count, uint64_t offset);
extern void check_all (struct volume *v, const struct model *m);

/* Up to where the cleaner has written; it begins at COLD_LAP_BASE. */
extern uint64_t cold_position (struct volume *v);

/* All of the volume; the caller frees it. */
extern uint8_t *read_all (struct volume *v);

/* A random range, and one random write, zero or trim of both model and
 * volume; BUF has room for RANDOM_WRITE_MAX.  The model is changed first.
 * Returns what the volume said.
 */
#define RANDOM_WRITE_MAX (300u * VOLUME_BLOCK_SIZE)

struct random_range {
  uint64_t first, end;         /* bytes of the disk to stay in */
  unsigned large_percent;      /* of writes up to RANDOM_WRITE_MAX */
};
extern int random_write (uint64_t *rng, struct volume *v, struct model *m,
                         const struct random_range *range, uint8_t *buf,
                         unsigned flags);

#endif /* PAIRDISK_VOLUME_MODEL_H */

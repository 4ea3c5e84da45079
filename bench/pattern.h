/* What the load generator writes.
 *
 * A pattern is a pool of 4 KiB blocks made once from a seed.  Buffers are
 * filled from it and then varied by a stamp, which costs nothing beside the
 * I/O.  Two kinds of stamp:
 *
 * - pattern_stamp: eight bytes, so that no two blocks written are equal;
 * - pattern_seal: says which disk block and which version this is, at both
 *   ends of the block, and which pool block lies between, so that
 *   pattern_check can tell a right block from a stale, misplaced, torn or
 *   garbled one.
 *
 * Kinds: "half" shrinks to about a half under lz4, "random" does not shrink,
 * "zero" is all zeros (and is never stamped, only sealed).
 */

#ifndef BENCH_PATTERN_H
#define BENCH_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define PATTERN_BLOCK 4096u

enum pattern_kind {
  PATTERN_NONE = 0,
  PATTERN_HALF,
  PATTERN_RANDOM,
  PATTERN_ZERO,
};

enum pattern_verdict {
  PATTERN_OK = 1,       /* sealed for this block, version returned */
  PATTERN_IS_ZERO,      /* all zeros */
  PATTERN_UNSEALED,     /* not written by pattern_seal */
  PATTERN_MISPLACED,    /* sealed for another block */
  PATTERN_GARBLED,      /* sealed for this block, but torn or damaged */
};

struct pattern {
  enum pattern_kind kind;
  uint8_t *pool;
  uint64_t stamp;
};

/* PATTERN_NONE if NAME is not "half", "random" or "zero". */
extern enum pattern_kind pattern_kind_parse (const char *name);
extern const char *pattern_kind_name (enum pattern_kind kind);

extern int pattern_init (struct pattern *p, enum pattern_kind kind,
                         uint64_t seed, struct error *err);
extern void pattern_release (struct pattern *p);

/* Copy pool blocks, chosen by *RNG, to BUF; LEN is a multiple of 4 KiB or
 * smaller than that.
 */
extern void pattern_fill (const struct pattern *p, uint8_t *buf, size_t len,
                          uint64_t *rng);

/* Make each block of a filled BUF differ from all others written. */
extern void pattern_stamp (struct pattern *p, uint8_t *buf, size_t len);

/* Seal one filled 4 KiB block.  It may be sealed again and again. */
extern void pattern_seal (uint8_t *buf, uint64_t block, uint32_t version);

/* Judge one 4 KiB block that was read from disk block BLOCK.  *RET_VERSION
 * is set with PATTERN_OK only.
 */
extern enum pattern_verdict pattern_check (const struct pattern *p,
                                           const uint8_t *buf, uint64_t block,
                                           uint32_t *ret_version);

/* splitmix64: small, seedable, good enough for offsets and filler. */
static inline uint64_t
pattern_random (uint64_t *rng)
{
  uint64_t z = *rng += UINT64_C (0x9e3779b97f4a7c15);

  z = (z ^ z >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C (0x94d049bb133111eb);
  return z ^ z >> 31;
}

#endif /* BENCH_PATTERN_H */

/* What the load generator writes, see pattern.h.
 *
 * A sealed block, little endian:
 *
 *   offset  size
 *        0     8  "pdisklod"
 *        8     8  disk block
 *       16     4  version
 *       20     4  pool block that the bytes between came from
 *     4088     8  disk block * odd constant + version
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"

#define POOL_BLOCKS 1024u       /* 4 MiB, more than a core's own caches */
#define SEAL_MAGIC UINT64_C (0x646f6c6b73696470)

struct seal {
  uint64_t magic;
  uint64_t block;
  uint32_t version;
  uint32_t index;
};

#define TAIL_OFFSET (PATTERN_BLOCK - sizeof (uint64_t))

static const char *const kind_names[] = {
  [PATTERN_HALF] = "half",
  [PATTERN_RANDOM] = "random",
  [PATTERN_ZERO] = "zero",
};

enum pattern_kind
pattern_kind_parse (const char *name)
{
  size_t i;

  for (i = PATTERN_HALF; i <= PATTERN_ZERO; ++i)
    if (strcmp (name, kind_names[i]) == 0)
      return i;
  return PATTERN_NONE;
}

const char *
pattern_kind_name (enum pattern_kind kind)
{
  return kind_names[kind];
}

/* Runs of random bytes and of one repeated word take turns.  Random runs are
 * a little shorter, which makes up for what lz4 spends on saying so: about
 * half of the block is left.
 */
static void
make_half (uint8_t *block, uint64_t *rng)
{
  size_t i = 0, end;
  uint64_t word;
  bool random = true;

  while (i < PATTERN_BLOCK) {
    word = pattern_random (rng);
    end = i + (random ? 80 : 112) + (pattern_random (rng) % 9) * 8;
    for (; i < end && i < PATTERN_BLOCK; i += sizeof word) {
      if (random)
        word = pattern_random (rng);
      memcpy (block + i, &word, sizeof word);
    }
    random = !random;
  }
}

static void
make_random (uint8_t *block, uint64_t *rng)
{
  size_t i;
  uint64_t word;

  for (i = 0; i < PATTERN_BLOCK; i += sizeof word) {
    word = pattern_random (rng);
    memcpy (block + i, &word, sizeof word);
  }
}

int
pattern_init (struct pattern *p, enum pattern_kind kind, uint64_t seed,
              struct error *err)
{
  size_t i;

  p->kind = kind;
  p->stamp = 0;
  p->pool = calloc (POOL_BLOCKS, PATTERN_BLOCK);
  if (p->pool == NULL)
    return error_set_errno (err, ENOMEM, "cannot allocate the data pool");
  for (i = 0; i < POOL_BLOCKS; ++i) {
    if (kind == PATTERN_HALF)
      make_half (p->pool + i * PATTERN_BLOCK, &seed);
    else if (kind == PATTERN_RANDOM)
      make_random (p->pool + i * PATTERN_BLOCK, &seed);
  }
  return 0;
}

void
pattern_release (struct pattern *p)
{
  free (p->pool);
  p->pool = NULL;
}

void
pattern_fill (const struct pattern *p, uint8_t *buf, size_t len,
              uint64_t *rng)
{
  size_t i, n;
  uint32_t index;

  for (i = 0; i < len; i += n) {
    n = len - i < PATTERN_BLOCK ? len - i : PATTERN_BLOCK;
    index = pattern_random (rng) % POOL_BLOCKS;
    memcpy (buf + i, p->pool + (size_t) index * PATTERN_BLOCK, n);
    if (n == PATTERN_BLOCK && p->kind != PATTERN_ZERO) {
      index = htole32 (index);
      memcpy (buf + i + offsetof (struct seal, index), &index, sizeof index);
    }
  }
}

void
pattern_stamp (struct pattern *p, uint8_t *buf, size_t len)
{
  size_t i;

  if (p->kind == PATTERN_ZERO)
    return;
  for (i = 0; i + sizeof p->stamp <= len; i += PATTERN_BLOCK) {
    p->stamp++;
    memcpy (buf + i, &p->stamp, sizeof p->stamp);
  }
}

static uint64_t
tail_of (uint64_t block, uint32_t version)
{
  return htole64 (block * UINT64_C (0x9e3779b97f4a7c15) + version);
}

void
pattern_seal (uint8_t *buf, uint64_t block, uint32_t version)
{
  const struct seal seal = {
    .magic = htole64 (SEAL_MAGIC), .block = htole64 (block),
    .version = htole32 (version),
  };
  uint64_t tail = tail_of (block, version);

  memcpy (buf, &seal, offsetof (struct seal, index));   /* that stays */
  memcpy (buf + TAIL_OFFSET, &tail, sizeof tail);
}

enum pattern_verdict
pattern_check (const struct pattern *p, const uint8_t *buf, uint64_t block,
               uint32_t *ret_version)
{
  struct seal seal;
  uint64_t tail;
  uint32_t index;

  memcpy (&seal, buf, sizeof seal);
  if (le64toh (seal.magic) != SEAL_MAGIC) {
    if (buf[0] == 0 && memcmp (buf, buf + 1, PATTERN_BLOCK - 1) == 0)
      return PATTERN_IS_ZERO;
    return PATTERN_UNSEALED;
  }
  if (le64toh (seal.block) != block)
    return PATTERN_MISPLACED;
  memcpy (&tail, buf + TAIL_OFFSET, sizeof tail);
  if (tail != tail_of (block, le32toh (seal.version)))
    return PATTERN_GARBLED;
  index = le32toh (seal.index);
  if (index >= POOL_BLOCKS ||
      memcmp (buf + sizeof seal,
              p->pool + (size_t) index * PATTERN_BLOCK + sizeof seal,
              TAIL_OFFSET - sizeof seal) != 0)
    return PATTERN_GARBLED;
  *ret_version = le32toh (seal.version);
  return PATTERN_OK;
}

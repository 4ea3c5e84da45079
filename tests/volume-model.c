/* What a volume must hold (see volume-model.h). */

#include <config.h>

#include <errno.h>
#include <string.h>

#include <xxhash.h>

#include "cleanup.h"
#include "clock.h"
#include "record.h"
#include "volume-internal.h"
#include "volume-model.h"

#define BLOCK VOLUME_BLOCK_SIZE

uint64_t test_seed, test_round;
static uint64_t first_seed, began_ns, seconds;

#define LONG_FACTOR 20

uint64_t
test_begin (uint64_t rounds)
{
  const char *s = getenv ("PAIRDISK_SEED");

  first_seed = s ? strtoull (s, NULL, 0) : clock_wall_ns ();
  test_seed = first_seed;
  began_ns = clock_mono_ns ();
  s = getenv ("PAIRDISK_SECONDS");
  seconds = s ? strtoull (s, NULL, 0) : 0;
  s = getenv ("PAIRDISK_LONG");
  if (s && *s && rounds > 1)
    rounds *= LONG_FACTOR;
  s = getenv ("PAIRDISK_ROUNDS");
  if (s) {
    rounds = strtoull (s, NULL, 0);
    seconds = 0;
  }
  printf ("# PAIRDISK_SEED=%" PRIu64 " PAIRDISK_ROUNDS=%" PRIu64 "\n",
          first_seed, rounds);
  fflush (stdout);
  return rounds;
}

bool
test_goes_on (uint64_t i, uint64_t rounds)
{
  uint64_t ns = clock_mono_ns () - began_ns;

  if (seconds > 0 ? ns < seconds * NS_PER_SEC : i < rounds)
    return true;
  printf ("# %" PRIu64 " rounds in %.1f s, %.0f a minute\n", i, ns / 1e9,
          i * 60e9 / (ns + 1));
  fflush (stdout);
  return false;
}

uint64_t
test_round_seed (uint64_t round)
{
  test_round = round;
  test_seed = first_seed + round;
  return test_seed;
}

uint64_t
random_next (uint64_t *rng)
{
  uint64_t z = *rng += UINT64_C (0x9e3779b97f4a7c15);

  z = (z ^ z >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C (0x94d049bb133111eb);
  return z ^ z >> 31;
}

static void
fill_piece (uint64_t *rng, uint8_t *buf, size_t len)
{
  uint64_t stamp = random_next (rng), noise = 0;
  unsigned kind = random_below (rng, 8);
  size_t i;

  if (kind == 0) {
    memset (buf, 0, len);
    return;
  }
  for (i = 0; i < len; ++i) {
    if (i % 8 == 0)
      noise = random_next (rng);
    if (kind < 4)                         /* one stamp over and over */
      buf[i] = stamp >> i % 8 * 8;
    else if (kind < 6 && i % 128 < 64)    /* half and half */
      buf[i] = stamp >> i % 8 * 8;
    else
      buf[i] = noise >> i % 8 * 8;
  }
}

void
fill_random (uint64_t *rng, uint8_t *buf, size_t len)
{
  size_t n;

  for (; len > 0; buf += n, len -= n) {
    n = len < BLOCK ? len : BLOCK;
    fill_piece (rng, buf, n);
  }
}

void
fill_noise (uint64_t *rng, uint8_t *buf, size_t len)
{
  size_t i;

  for (i = 0; i < len / 8; ++i)
    ((uint64_t *) buf)[i] = random_next (rng);
}

/* ------------------------------------------------------------------ */

static void
add_version (struct model *m, uint64_t block, uint64_t hash)
{
  struct model_block *b = &m->block[block];

  if (b->count == b->capacity) {
    b->capacity = b->capacity ? b->capacity * 2 : 2;
    b->version = realloc (b->version, b->capacity * sizeof *b->version);
    CHECK (b->version, "no memory");
  }
  b->version[b->count++] = (struct model_version) { m->step, hash };
}

static uint64_t
block_hash (const uint8_t *content, uint64_t block)
{
  return XXH3_64bits (content + block * BLOCK, BLOCK);
}

void
model_init (struct model *m, uint64_t size)
{
  m->size = size;
  m->nblocks = size / BLOCK;
  m->data = calloc (1, size);
  m->block = calloc (m->nblocks, sizeof *m->block);
  CHECK (m->data && m->block, "no memory");
  model_adopt (m, m->data);
}

void
model_grow (struct model *m, uint64_t size)
{
  uint64_t nblocks = size / BLOCK, step = m->step;

  CHECK (size >= m->size, "smaller");
  m->data = realloc (m->data, size);
  m->block = realloc (m->block, nblocks * sizeof *m->block);
  CHECK (m->data && m->block, "no memory");
  memset (m->data + m->size, 0, size - m->size);
  memset (m->block + m->nblocks, 0,
          (nblocks - m->nblocks) * sizeof *m->block);
  for (m->step = 0; m->nblocks < nblocks; m->nblocks++)
    add_version (m, m->nblocks, block_hash (m->data, m->nblocks));
  m->step = step;
  m->size = size;
}

void
model_release (struct model *m)
{
  uint64_t i;

  for (i = 0; i < m->nblocks; ++i)
    free (m->block[i].version);
  free (m->block);
  free (m->data);
}

/* BUF NULL: zeros. */
static void
change (struct model *m, const uint8_t *buf, uint64_t count, uint64_t offset)
{
  uint64_t n;

  for (; count > 0; count -= n, offset += n) {
    n = BLOCK - offset % BLOCK;
    if (n > count)
      n = count;
    if (buf) {
      memcpy (m->data + offset, buf, n);
      buf += n;
    }
    else
      memset (m->data + offset, 0, n);
    m->step++;
    add_version (m, offset / BLOCK, block_hash (m->data, offset / BLOCK));
  }
}

void
model_write (struct model *m, const void *buf, uint64_t count,
             uint64_t offset)
{
  change (m, buf, count, offset);
}

void
model_zero (struct model *m, uint64_t count, uint64_t offset)
{
  change (m, NULL, count, offset);
}

void
model_adopt (struct model *m, const uint8_t *content)
{
  uint64_t i;

  if (content != m->data)
    memcpy (m->data, content, m->size);
  m->step = 0;
  for (i = 0; i < m->nblocks; ++i) {
    m->block[i].count = 0;
    add_version (m, i, block_hash (m->data, i));
  }
}

/* Call FN for each run [LOW, HIGH] of steps in which BLOCK had this hash. */
static void
for_each_run (const struct model *m, uint64_t block, uint64_t hash,
              void (*fn) (void *opaque, uint64_t low, uint64_t high),
              void *opaque)
{
  const struct model_block *b = &m->block[block];
  uint32_t i;

  for (i = 0; i < b->count; ++i)
    if (b->version[i].hash == hash)
      fn (opaque, b->version[i].step,
          i + 1 < b->count ? b->version[i + 1].step - 1 : m->step);
}

static void
add_run (void *opaque, uint64_t low, uint64_t high)
{
  int64_t *delta = opaque;

  delta[low]++;
  delta[high + 1]--;
}

bool
model_match (const struct model *m, const uint8_t *content,
             uint64_t first_block, uint64_t end_block, uint64_t first,
             uint64_t *ret_low, uint64_t *ret_high)
{
  int64_t *delta = calloc (m->step + 2, sizeof *delta), sum = 0;
  bool found = false;
  uint64_t i;

  CHECK (delta, "no memory");
  for (i = first_block; i < end_block; ++i)
    for_each_run (m, i, block_hash (content, i), add_run, delta);
  for (i = 0; i <= m->step; ++i) {
    sum += delta[i];
    if (i < first || sum != (int64_t) (end_block - first_block))
      continue;
    if (!found)
      *ret_low = i;
    *ret_high = i;
    found = true;
  }
  free (delta);
  return found;
}

static void
print_run (void *opaque, uint64_t low, uint64_t high)
{
  (void) opaque;
  fprintf (stderr, " %" PRIu64 "-%" PRIu64, low, high);
}

void
model_explain (const struct model *m, const uint8_t *content,
               uint64_t first_block, uint64_t end_block, uint64_t first)
{
  uint64_t i, shown = 0;

  fprintf (stderr, "# steps made %" PRIu64 ", durable %" PRIu64
           "; blocks not as at the end, and the steps they are from:\n",
           m->step, first);
  for (i = first_block; i < end_block && shown < 40; ++i) {
    if (m->block[i].version[m->block[i].count - 1].hash ==
        block_hash (content, i))
      continue;
    fprintf (stderr, "#   %" PRIu64 ":", i);
    for_each_run (m, i, block_hash (content, i), print_run, NULL);
    fprintf (stderr, " (changed last in %" PRIu64 ")%s\n",
             m->block[i].version[m->block[i].count - 1].step,
             block_is_zero (content + i * BLOCK) ? " zeros" : "");
    shown++;
  }
}

/* ------------------------------------------------------------------ */

int
try_read (struct volume *v, const struct model *m, uint64_t count,
          uint64_t offset)
{
  uint8_t *buf = malloc (count + 1);
  uint64_t i;
  int r;

  CHECK (buf, "no memory");
  memset (buf, 0xa5, count + 1);
  r = volume_read (v, buf, count, offset);
  CHECK (buf[count] == 0xa5, "read beyond its buffer");
  for (i = 0; r == 0 && i < count; ++i)
    CHECK (buf[i] == m->data[offset + i],
           "read %" PRIu64 "+%" PRIu64 ": byte %" PRIu64 " of block %" PRIu64
           " is %02x, not %02x", offset, count, (offset + i) % BLOCK,
           (offset + i) / BLOCK, buf[i], m->data[offset + i]);
  free (buf);
  return r;
}

void
check_read (struct volume *v, const struct model *m, uint64_t count,
            uint64_t offset)
{
  CHECK (try_read (v, m, count, offset) == 0, "%" PRIu64 "+%" PRIu64 ": %s",
         offset, count, strerror (errno));
}

struct extents {
  const struct model *m;
  uint64_t at;
  enum volume_extent kind;
};

static int
check_extent (void *opaque, uint64_t offset, uint64_t length,
              enum volume_extent kind)
{
  struct extents *e = opaque;
  uint64_t i;

  CHECK (offset == e->at && length > 0, "extents have a gap at %" PRIu64,
         e->at);
  CHECK (kind != e->kind, "extents of one kind follow each other");
  e->at += length;
  e->kind = kind;
  for (i = 0; kind != VOLUME_EXTENT_DATA && i < length; ++i)
    CHECK (e->m->data[offset + i] == 0, "extent at %" PRIu64 " is not zero",
           offset + i);
  return 0;
}

void
check_extents (struct volume *v, const struct model *m, uint64_t count,
               uint64_t offset)
{
  struct extents e = { m, offset, 0 };

  CHECK (volume_extents (v, count, offset, check_extent, &e) == 0, "%s",
         strerror (errno));
  CHECK (e.at == offset + count, "extents end at %" PRIu64, e.at);
}

void
check_all (struct volume *v, const struct model *m)
{
  uint64_t at, n;

  for (at = 0; at < m->size; at += n) {
    n = m->size - at < (1 << 20) ? m->size - at : 1 << 20;
    check_read (v, m, n, at);
  }
  check_extents (v, m, m->size, 0);
}

uint64_t
cold_position (struct volume *v)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->journal.lock);

  return v->cold.position;
}

uint8_t *
read_all (struct volume *v)
{
  uint64_t size = volume_size (v), at, n;
  uint8_t *buf = malloc (size);

  CHECK (buf, "no memory");
  for (at = 0; at < size; at += n) {
    n = size - at < (1 << 20) ? size - at : 1 << 20;
    CHECK (volume_read (v, buf + at, n, at) == 0, "read at %" PRIu64 ": %s",
           at, strerror (errno));
  }
  return buf;
}

/* ------------------------------------------------------------------ */

static void
random_span (uint64_t *rng, const struct random_range *range,
             uint64_t max, uint64_t unit, uint64_t *ret_offset,
             uint64_t *ret_count)
{
  uint64_t room, first = range->first / unit, end = range->end / unit;

  *ret_offset = first + random_below (rng, end - first);
  room = end - *ret_offset;
  if (room > max / unit)
    room = max / unit;
  *ret_count = (1 + random_below (rng, room)) * unit;
  *ret_offset *= unit;
}

int
random_write (uint64_t *rng, struct volume *v, struct model *m,
              const struct random_range *range, uint8_t *buf, unsigned flags)
{
  uint64_t offset, count;
  unsigned kind = random_below (rng, 100);

  if (kind < 12) {
    random_span (rng, range, random_chance (rng, 20) ? m->size : 16 * BLOCK,
                 random_chance (rng, 80) ? BLOCK : 1, &offset, &count);
    model_zero (m, count, offset);
    return volume_zero (v, count, offset,
                        flags | (kind < 5 ? VOLUME_TRIM : 0));
  }
  if (kind < 27)
    random_span (rng, range, 3 * BLOCK, 1, &offset, &count);
  else if (kind < 27 + range->large_percent)
    random_span (rng, range, RANDOM_WRITE_MAX, BLOCK, &offset, &count);
  else
    random_span (rng, range, 8 * BLOCK, BLOCK, &offset, &count);
  fill_random (rng, buf, count);
  model_write (m, buf, count, offset);
  return volume_write (v, buf, count, offset, flags);
}

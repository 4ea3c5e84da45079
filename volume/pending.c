/* Blocks whose newest version is not in the map yet (see pending.h).
 *
 * Each stripe is an open-addressing table with linear probing and deletion by
 * shifting back (Knuth, TAOCP vol. 3, 6.4, algorithm R).
 */

#include <config.h>

#include <stdlib.h>

#include "cleanup.h"
#include "pending.h"

#define CAPACITY_MIN 64u
#define REGION_BLOCKS (UINT64_C (1) << PENDING_REGION_SHIFT)

int
pending_init (struct pending *pending)
{
  unsigned i;

  pending->stripe = aligned_alloc (64, PENDING_STRIPES *
                                   sizeof *pending->stripe);
  if (pending->stripe == NULL)
    return -1;
  for (i = 0; i < PENDING_STRIPES; ++i) {
    pthread_mutex_init (&pending->stripe[i].lock, NULL);
    pending->stripe[i].count = 0;
    pending->stripe[i].capacity = 0;
    pending->stripe[i].slot = NULL;
  }
  return 0;
}

void
pending_release (struct pending *pending)
{
  unsigned i;

  if (pending->stripe == NULL)
    return;
  for (i = 0; i < PENDING_STRIPES; ++i) {
    pthread_mutex_destroy (&pending->stripe[i].lock);
    free (pending->stripe[i].slot);
  }
  free (pending->stripe);
  pending->stripe = NULL;
}

static uint64_t
hash (uint64_t n)
{
  n *= UINT64_C (0x9e3779b97f4a7c15);
  return n ^ n >> 32;
}

static struct pending_stripe *
stripe_of (struct pending *pending, uint64_t block)
{
  return &pending->stripe[hash (block >> PENDING_REGION_SHIFT) % PENDING_STRIPES];
}

/* Where BLOCK is looked for first: beside its neighbours in the region. */
static uint32_t
home_of (const struct pending_stripe *s, uint64_t block)
{
  return ((hash (block >> PENDING_REGION_SHIFT) >> 16) +
          block % REGION_BLOCKS) & (s->capacity - 1);
}

/* Where BLOCK is, or the empty slot where it would go. */
static uint32_t
find (const struct pending_stripe *s, uint64_t block)
{
  uint32_t i = home_of (s, block);

  while (s->slot[i].block != 0 && s->slot[i].block != block + 1)
    i = (i + 1) & (s->capacity - 1);
  return i;
}

static int
grow (struct pending_stripe *s)
{
  struct pending_stripe bigger = *s;
  uint32_t i;

  bigger.capacity = s->capacity ? s->capacity * 2 : CAPACITY_MIN;
  bigger.slot = calloc (bigger.capacity, sizeof *bigger.slot);
  if (bigger.slot == NULL)
    return -1;
  for (i = 0; i < s->capacity; ++i)
    if (s->slot[i].block != 0)
      bigger.slot[find (&bigger, s->slot[i].block - 1)] = s->slot[i];
  free (s->slot);
  s->slot = bigger.slot;
  s->capacity = bigger.capacity;
  return 0;
}

/* How many of COUNT blocks from BLOCK on are in BLOCK's region. */
static uint64_t
in_region (uint64_t block, uint64_t count)
{
  uint64_t left = REGION_BLOCKS - block % REGION_BLOCKS;

  return count < left ? count : left;
}

static int
put_in_stripe (struct pending_stripe *s, uint64_t block, uint64_t count,
               uint64_t seq, const uint64_t *entry)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);
  struct pending_slot *slot;
  uint64_t i;

  for (i = 0; i < count; ++i) {
    if (s->count * 4 >= s->capacity * 3 && grow (s) == -1)
      return -1;
    slot = &s->slot[find (s, block + i)];
    if (slot->block == 0)
      __atomic_store_n (&s->count, s->count + 1, __ATOMIC_RELEASE);
    else if (slot->seq > seq)
      continue;
    *slot = (struct pending_slot) { block + i + 1, seq, entry[i] };
  }
  return 0;
}

int
pending_put (struct pending *pending, uint64_t block, uint64_t count,
             uint64_t seq, const uint64_t *entry)
{
  uint64_t n;

  for (; count > 0; block += n, entry += n, count -= n) {
    n = in_region (block, count);
    if (put_in_stripe (stripe_of (pending, block), block, n, seq, entry) ==
        -1)
      return -1;
  }
  return 0;
}

static void
remove_at (struct pending_stripe *s, uint32_t hole)
{
  uint32_t mask = s->capacity - 1;
  uint32_t i = hole, home;

  for (;;) {
    i = (i + 1) & mask;
    if (s->slot[i].block == 0)
      break;
    home = home_of (s, s->slot[i].block - 1);
    /* May the entry at i move to the hole without passing its home? */
    if (((i - home) & mask) >= ((i - hole) & mask)) {
      s->slot[hole] = s->slot[i];
      hole = i;
    }
  }
  s->slot[hole].block = 0;
  __atomic_store_n (&s->count, s->count - 1, __ATOMIC_RELEASE);
}

void
pending_remove (struct pending *pending, uint64_t block, uint64_t count,
                uint64_t seq)
{
  struct pending_stripe *s;
  uint64_t n, k;
  uint32_t i;

  for (; count > 0; block += n, count -= n) {
    n = in_region (block, count);
    s = stripe_of (pending, block);
    if (__atomic_load_n (&s->count, __ATOMIC_ACQUIRE) == 0)
      continue;

    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);
    for (k = 0; k < n && s->count > 0; ++k) {
      i = find (s, block + k);
      if (s->slot[i].block != 0 && s->slot[i].seq <= seq)
        remove_at (s, i);
    }
  }
}

static bool
get_version_in_stripe (struct pending_stripe *s, uint64_t block,
                       uint64_t count, uint64_t seq, uint64_t *ret_entry)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);
  const struct pending_slot *slot;
  uint64_t i;

  if (s->count < count)
    return false;
  for (i = 0; i < count; ++i) {
    slot = &s->slot[find (s, block + i)];
    if (slot->block == 0 || slot->seq != seq)
      return false;
    ret_entry[i] = slot->entry;
  }
  return true;
}

bool
pending_get_version (struct pending *pending, uint64_t block, uint64_t count,
                     uint64_t seq, uint64_t *ret_entry)
{
  uint64_t n;

  for (; count > 0; block += n, ret_entry += n, count -= n) {
    n = in_region (block, count);
    if (!get_version_in_stripe (stripe_of (pending, block), block, n, seq,
                                ret_entry))
      return false;
  }
  return true;
}

bool
pending_get (struct pending *pending, uint64_t block, uint64_t *ret_entry,
             uint64_t *ret_seq)
{
  struct pending_stripe *s = stripe_of (pending, block);
  uint32_t i;

  if (__atomic_load_n (&s->count, __ATOMIC_ACQUIRE) == 0)
    return false;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);
  if (s->count == 0)
    return false;
  i = find (s, block);
  if (s->slot[i].block == 0)
    return false;
  *ret_entry = s->slot[i].entry;
  *ret_seq = s->slot[i].seq;
  return true;
}

/* Staging ring (see ring.h). */

#include <config.h>

#include <string.h>

#include "fence.h"
#include "ring.h"

int
ring_init (struct ring *ring, uint64_t size)
{
  memset (ring, 0, sizeof *ring);
  ring->size = size;
  return hugemem_map (&ring->space, size);
}

void
ring_release (struct ring *ring)
{
  hugemem_unmap (&ring->space);
}

void
ring_restart (struct ring *ring, uint64_t position)
{
  __atomic_store_n (&ring->floor, position, __ATOMIC_RELEASE);
}

void
ring_advance (struct ring *ring, uint64_t end)
{
  if (end <= ring->size || end - ring->size <= ring->floor)
    return;
  __atomic_store_n (&ring->floor, end - ring->size, __ATOMIC_SEQ_CST);
  /* The new floor is seen before any byte that it allows to overwrite. */
  fence (__ATOMIC_SEQ_CST);
}

/* A reader may copy bytes that a writer is just replacing; it finds out by
 * the floor and throws them away.  That race is meant.  memcpy would be
 * TSan's own, which tells of it.
 */
__attribute__ ((no_sanitize ("thread")))
static void
racy_copy (void *dst, const void *src, size_t len)
{
#ifdef FENCE_TSAN
  volatile const uint8_t *p = src;
  uint8_t *q = dst;

  while (len-- > 0)
    *q++ = *p++;
#else
  memcpy (dst, src, len);
#endif
}

bool
ring_copy (const struct ring *ring, uint64_t position, void *buf, size_t len)
{
  if (len > ring->size - position % ring->size ||
      position < __atomic_load_n (&ring->floor, __ATOMIC_ACQUIRE))
    return false;
  racy_copy (buf, ring_at (ring, position), len);
  fence (__ATOMIC_ACQUIRE);
  return position >= __atomic_load_n (&ring->floor, __ATOMIC_RELAXED);
}

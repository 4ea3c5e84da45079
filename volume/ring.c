/* Staging ring (see ring.h). */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "ring.h"

int
ring_init (struct ring *ring, uint64_t size)
{
  CLEANUP_CLOSE int fd = -1;
  uint8_t *base;

  memset (ring, 0, sizeof *ring);
  fd = memfd_create ("pairdisk-ring", MFD_CLOEXEC);
  if (fd == -1 || ftruncate (fd, size) == -1)
    return -1;
  base = mmap (NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED)
    return -1;
  if (mmap (base, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0)
      == MAP_FAILED ||
      mmap (base + size, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
            fd, 0) == MAP_FAILED) {
    munmap (base, 2 * size);
    return -1;
  }
  ring->memory = base;
  ring->size = size;
  return 0;
}

void
ring_release (struct ring *ring)
{
  if (ring->memory)
    munmap (ring->memory, 2 * ring->size);
  ring->memory = NULL;
}

void
ring_restart (struct ring *ring, uint64_t position)
{
  __atomic_store_n (&ring->floor, position, __ATOMIC_RELEASE);
}

/* TSan knows no fences, and gcc refuses them with it; it need not know these:
 * what they order is read by racy_copy alone, which it does not see.
 */
#ifdef __has_feature
#if __has_feature (thread_sanitizer)
#define RING_TSAN 1
#endif
#elif defined __SANITIZE_THREAD__
#define RING_TSAN 1
#endif

#ifdef RING_TSAN
#define fence(order) __sync_synchronize ()
#else
#define fence(order) __atomic_thread_fence (order)
#endif

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
#ifdef RING_TSAN
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
  if (position < __atomic_load_n (&ring->floor, __ATOMIC_ACQUIRE))
    return false;
  racy_copy (buf, ring_at (ring, position), len);
  fence (__ATOMIC_ACQUIRE);
  return position >= __atomic_load_n (&ring->floor, __ATOMIC_RELAXED);
}

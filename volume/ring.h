/* Staging ring: the newest part of the journal, in memory.
 *
 * The byte at logical position p is at p modulo the size.  That is a multiple
 * of the segments' size, so nothing that is in one segment wraps.  Writers
 * fill what they reserved; readers copy out and then ask whether what they copied
 * could have been overwritten meanwhile (a sequence lock whose counter is the
 * floor: the lowest position that is still whole).
 */

#ifndef PAIRDISK_VOLUME_RING_H
#define PAIRDISK_VOLUME_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hugemem.h"

struct ring {
  struct hugemem space;        /* size bytes */
  uint64_t size;
  uint64_t floor;              /* atomic */
};

extern int ring_init (struct ring *ring, uint64_t size);
extern void ring_release (struct ring *ring);

static inline uint8_t *
ring_at (const struct ring *ring, uint64_t position)
{
  return ring->space.memory + position % ring->size;
}

/* Positions below END are about to be written: older ones give way. */
extern void ring_advance (struct ring *ring, uint64_t end);

/* The ring holds nothing below POSITION (after recovery). */
extern void ring_restart (struct ring *ring, uint64_t position);

/* Copy LEN bytes at POSITION, all in one segment; false if the ring does not
 * hold them (any more).
 */
extern bool ring_copy (const struct ring *ring, uint64_t position, void *buf,
                       size_t len);

#endif /* PAIRDISK_VOLUME_RING_H */

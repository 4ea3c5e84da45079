/* Blocks whose newest version is not in the map yet.
 *
 * A write is found here from the moment it is acknowledged until its record
 * is durable and the map shows it.  Per block only the version with the
 * highest seq is kept, so overlapping writes take effect in seq order.
 *
 * The table is cut into stripes by region, each with its own lock, so that a
 * multi-block write takes one lock for 16 blocks; an empty stripe is seen
 * without taking it.
 */

#ifndef PAIRDISK_VOLUME_PENDING_H
#define PAIRDISK_VOLUME_PENDING_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define PENDING_STRIPES 1024u
#define PENDING_REGION_SHIFT 4u   /* 16 blocks share a stripe */

struct pending_slot {
  uint64_t block;              /* plus 1; 0: empty */
  uint64_t seq, entry;
};

struct pending_stripe {
  pthread_mutex_t lock;
  uint32_t count, capacity;    /* count is read without the lock */
  struct pending_slot *slot;
} __attribute__ ((aligned (64)));

struct pending {
  struct pending_stripe *stripe;
};

extern int pending_init (struct pending *pending);
extern void pending_release (struct pending *pending);

/* Record that version SEQ of the COUNT blocks from BLOCK on is ENTRY[0],
 * ENTRY[1] ..., except where a newer one is known.  -1 (ENOMEM): not all of
 * it was recorded.
 */
extern int pending_put (struct pending *pending, uint64_t block,
                        uint64_t count, uint64_t seq, const uint64_t *entry);

/* The entries of version SEQ of the COUNT blocks from BLOCK on.  False: of
 * some block there is a newer version here, or none.
 */
extern bool pending_get_version (struct pending *pending, uint64_t block,
                                 uint64_t count, uint64_t seq,
                                 uint64_t *ret_entry);

/* The map now shows version SEQ of the blocks [BLOCK, BLOCK+COUNT). */
extern void pending_remove (struct pending *pending, uint64_t block,
                            uint64_t count, uint64_t seq);

extern bool pending_get (struct pending *pending, uint64_t block,
                         uint64_t *ret_entry, uint64_t *ret_seq);

#endif /* PAIRDISK_VOLUME_PENDING_H */

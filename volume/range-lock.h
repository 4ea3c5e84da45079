/* Keeps read-modify-write of part of a block apart from other writers.
 *
 * Whole-block writers may overlap (seq decides who wins) and share; a writer
 * of part of a block excludes all others from it.  Locks are striped by MiB
 * of the disk and taken in the order of their stripes.
 */

#ifndef PAIRDISK_VOLUME_RANGE_LOCK_H
#define PAIRDISK_VOLUME_RANGE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define RANGE_LOCK_STRIPES 64u
#define RANGE_LOCK_SHIFT 20u

struct range_lock {
  pthread_rwlock_t stripe[RANGE_LOCK_STRIPES];
};

extern void range_lock_init (struct range_lock *lock);
extern void range_lock_release (struct range_lock *lock);

/* Stripes that a range holds, for its unlock. */
typedef uint64_t range_lock_held;

extern range_lock_held range_lock_acquire (struct range_lock *lock,
                                           uint64_t offset, uint64_t count,
                                           bool exclusive);
extern void range_lock_drop (struct range_lock *lock, range_lock_held held);

#endif /* PAIRDISK_VOLUME_RANGE_LOCK_H */

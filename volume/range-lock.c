/* Keeps read-modify-write apart from other writers (see range-lock.h). */

#include <config.h>

#include <assert.h>

#include "range-lock.h"

static_assert (RANGE_LOCK_STRIPES == 64, "range_lock_held has a bit for each");

void
range_lock_init (struct range_lock *lock)
{
  unsigned i;

  for (i = 0; i < RANGE_LOCK_STRIPES; ++i)
    pthread_rwlock_init (&lock->stripe[i], NULL);
}

void
range_lock_release (struct range_lock *lock)
{
  unsigned i;

  for (i = 0; i < RANGE_LOCK_STRIPES; ++i)
    pthread_rwlock_destroy (&lock->stripe[i]);
}

static range_lock_held
stripes_of (uint64_t offset, uint64_t count)
{
  uint64_t first = offset >> RANGE_LOCK_SHIFT;
  uint64_t last = (offset + count - 1) >> RANGE_LOCK_SHIFT;
  range_lock_held held = 0;

  if (last - first >= RANGE_LOCK_STRIPES - 1)
    return UINT64_MAX;
  for (; first <= last; ++first)
    held |= UINT64_C (1) << first % RANGE_LOCK_STRIPES;
  return held;
}

range_lock_held
range_lock_acquire (struct range_lock *lock, uint64_t offset, uint64_t count,
                    bool exclusive)
{
  range_lock_held held = stripes_of (offset, count), rest;
  unsigned i;

  for (rest = held; rest != 0; rest &= rest - 1) {
    i = __builtin_ctzll (rest);
    if (exclusive)
      pthread_rwlock_wrlock (&lock->stripe[i]);
    else
      pthread_rwlock_rdlock (&lock->stripe[i]);
  }
  return held;
}

void
range_lock_drop (struct range_lock *lock, range_lock_held held)
{
  for (; held != 0; held &= held - 1)
    pthread_rwlock_unlock (&lock->stripe[__builtin_ctzll (held)]);
}

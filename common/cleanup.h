/* Cleanup attributes for the common cases, after nbdkit's habit.
 *
 * Use these, or one goto ladder for a constructor, not both in one function.
 */

#ifndef PAIRDISK_CLEANUP_H
#define PAIRDISK_CLEANUP_H

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static inline void
cleanup_free (void *ptr)
{
  free (* (void **) ptr);
}

static inline void
cleanup_close (int *fd)
{
  if (*fd >= 0)
    close (*fd);
}

static inline void
cleanup_unlock (pthread_mutex_t **lock)
{
  pthread_mutex_unlock (*lock);
}

#define CLEANUP_FREE __attribute__ ((cleanup (cleanup_free)))
#define CLEANUP_CLOSE __attribute__ ((cleanup (cleanup_close)))

#define SCOPED_LOCK_NAME2(line) scoped_lock_##line
#define SCOPED_LOCK_NAME(line) SCOPED_LOCK_NAME2 (line)

/* Hold MUTEX until the end of the enclosing block. */
#define ACQUIRE_LOCK_FOR_CURRENT_SCOPE(mutex)                           \
  __attribute__ ((cleanup (cleanup_unlock)))                            \
  pthread_mutex_t *SCOPED_LOCK_NAME (__LINE__) = (mutex);               \
  pthread_mutex_lock (SCOPED_LOCK_NAME (__LINE__))

#endif /* PAIRDISK_CLEANUP_H */

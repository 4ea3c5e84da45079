/* Small things that sender and receiver share. */

#ifndef PAIRDISK_REPLICA_INTERNAL_H
#define PAIRDISK_REPLICA_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "replica.h"

extern void log_line (const struct replica_log *log,
                      enum replica_log_level level, const char *fmt, ...)
  __attribute__ ((format (printf, 3, 4)));

extern void cond_init_monotonic (pthread_cond_t *cond);

/* Like pthread_cond_timedwait, by the monotonic clock in nanoseconds. */
extern int cond_wait_until (pthread_cond_t *cond, pthread_mutex_t *lock,
                            uint64_t deadline_ns);

/* A - B, or 0 when that were negative: the two sides are read at different
 * moments.
 */
static inline uint64_t
minus (uint64_t a, uint64_t b)
{
  return a > b ? a - b : 0;
}

/* Percent of DONE in ALL, below 100 as long as the rest is not said. */
static inline unsigned
percent_unfinished (uint64_t done, uint64_t all)
{
  unsigned percent = all == 0 ? 0 : (unsigned) ((double) done / all * 100);

  return percent > 99 ? 99 : percent;
}

#endif /* PAIRDISK_REPLICA_INTERNAL_H */

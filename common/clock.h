/* The two clocks, in nanoseconds.
 *
 * Monotonic for every age, time-out and rate; wall only for what a person or
 * the other site will read as a date.
 */

#ifndef PAIRDISK_CLOCK_H
#define PAIRDISK_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_SEC UINT64_C (1000000000)
#define NS_PER_MSEC UINT64_C (1000000)

static inline uint64_t
clock_mono_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static inline uint64_t
clock_wall_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_REALTIME, &ts);
  return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

#endif /* PAIRDISK_CLOCK_H */

/* Latency histogram: log-linear buckets, 64 to each power of two, so that
 * any percentile is right within 1.6 %.  Values are nanoseconds.
 */

#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 6
#define HIST_BUCKETS ((64 - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

struct hist {
  uint64_t count;
  uint64_t max;
  uint64_t bucket[HIST_BUCKETS];
};

extern void hist_reset (struct hist *h);
extern void hist_add (struct hist *h, uint64_t value);

/* Smallest bucket bound that FRACTION (0 to 1) of the values do not exceed;
 * 0 for an empty histogram.
 */
extern uint64_t hist_percentile (const struct hist *h, double fraction);

#endif /* BENCH_HIST_H */

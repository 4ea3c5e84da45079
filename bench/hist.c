/* Latency histogram, see hist.h.
 *
 * Bucket layout: values below 64 have a bucket each; above, the bucket is
 * the position of the top bit (row) and the six bits after it (column).
 */

#include <config.h>

#include <stddef.h>
#include <string.h>

#include "hist.h"

#define SUB (UINT64_C (1) << HIST_SUB_BITS)

static size_t
bucket_of (uint64_t value)
{
  unsigned shift;

  if (value < SUB)
    return value;
  shift = 63 - __builtin_clzll (value) - HIST_SUB_BITS;
  return ((size_t) (shift + 1) << HIST_SUB_BITS) + (value >> shift) - SUB;
}

static uint64_t
upper_bound (size_t bucket)
{
  unsigned shift;

  if (bucket < SUB)
    return bucket;
  shift = (bucket >> HIST_SUB_BITS) - 1;
  return (((bucket & (SUB - 1)) + SUB + 1) << shift) - 1;
}

void
hist_reset (struct hist *h)
{
  memset (h, 0, sizeof *h);
}

void
hist_add (struct hist *h, uint64_t value)
{
  h->count++;
  h->bucket[bucket_of (value)]++;
  if (value > h->max)
    h->max = value;
}

uint64_t
hist_percentile (const struct hist *h, double fraction)
{
  uint64_t seen = 0, wanted = fraction * h->count;
  size_t i;

  if (h->count == 0)
    return 0;
  if (wanted >= h->count)
    return h->max;
  for (i = 0; i < HIST_BUCKETS; ++i) {
    seen += h->bucket[i];
    if (seen > wanted)
      break;
  }
  return upper_bound (i) < h->max ? upper_bound (i) : h->max;
}

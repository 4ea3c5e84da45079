/* Age of the oldest record not committed at the peer (see lag.h). */

#include <config.h>

#include <string.h>

#include "lag.h"

/* Merge neighbours: the earlier time with the later seq, so that an age is
 * rather told too high than too low.
 */
static void
halve (struct lag *lag)
{
  unsigned n = 0;

  for (unsigned i = 0; i < lag->count; i += 2) {
    unsigned last = i + 1 < lag->count ? i + 1 : i;

    lag->sample[n].time_ns = lag->sample[i].time_ns;
    lag->sample[n].seq = lag->sample[last].seq;
    n++;
  }
  lag->count = n;
}

static void
forget_committed (struct lag *lag, uint64_t committed)
{
  unsigned n = 0;

  while (n < lag->count && lag->sample[n].seq <= committed)
    n++;
  lag->count -= n;
  memmove (lag->sample, lag->sample + n, lag->count * sizeof lag->sample[0]);
}

void
lag_note (struct lag *lag, uint64_t seq, uint64_t committed, int64_t now_ns)
{
  forget_committed (lag, committed);
  if (seq <= committed ||
      (lag->count > 0 && seq <= lag->sample[lag->count - 1].seq))
    return;
  if (lag->count == LAG_SAMPLES_MAX)
    halve (lag);
  lag->sample[lag->count++] = (struct lag_sample) { seq, now_ns };
}

uint64_t
lag_age_ns (const struct lag *lag, uint64_t committed, int64_t now_ns)
{
  for (unsigned i = 0; i < lag->count; i++) {
    if (lag->sample[i].seq > committed)
      return now_ns > lag->sample[i].time_ns ?
        now_ns - lag->sample[i].time_ns : 0;
  }
  return 0;
}

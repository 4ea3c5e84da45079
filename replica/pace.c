/* Bandwidth limit, size of batches, gathering (see pace.h). */

#include <config.h>

#include "clock.h"
#include "pace.h"

#define BURST_PARTS 10       /* of a second */
#define SOON_NS (100 * NS_PER_MSEC)
#define LONG_NS (400 * NS_PER_MSEC)

static double
burst (const struct pace *p)
{
  uint64_t bytes = p->limit_bps / BURST_PARTS;

  return bytes > PACE_BURST ? bytes : PACE_BURST;
}

static void
fill (struct pace *p, uint64_t now)
{
  if (now > p->filled_ns)
    p->tokens += (double) (now - p->filled_ns) * p->limit_bps / NS_PER_SEC;
  p->filled_ns = now;
  if (p->tokens > burst (p))
    p->tokens = burst (p);
}

void
pace_init (struct pace *p, uint64_t limit_bps, uint64_t now)
{
  *p = (struct pace) { .limit_bps = limit_bps, .filled_ns = now,
                       .batch = PACE_BATCH_START };
  p->tokens = burst (p);
}

void
pace_set_limit (struct pace *p, uint64_t limit_bps, uint64_t now)
{
  if (limit_bps == p->limit_bps)
    return;
  fill (p, now);
  /* What a slower limit has left to wait for is not the faster one's. */
  if (p->limit_bps != 0 && limit_bps > p->limit_bps && p->tokens < 0)
    p->tokens = 0;
  p->limit_bps = limit_bps;
  if (p->tokens > burst (p))
    p->tokens = burst (p);
}

uint64_t
pace_wait_ns (struct pace *p, uint64_t now)
{
  if (p->limit_bps == 0)
    return 0;
  fill (p, now);
  return p->tokens > 0 ? 0 :
    (uint64_t) (-p->tokens * NS_PER_SEC / p->limit_bps) + 1;
}

void
pace_sent (struct pace *p, size_t bytes, uint64_t now)
{
  if (p->limit_bps == 0)
    return;
  fill (p, now);
  p->tokens -= bytes;
}

uint64_t
pace_gather_ns (uint64_t ready, uint64_t sent_ns, uint64_t now)
{
  uint64_t until = sent_ns + PACE_GATHER_MS * NS_PER_MSEC;

  return ready >= PACE_GATHER_BYTES || now >= until ? 0 : until - now;
}

size_t
pace_batch (const struct pace *p)
{
  size_t most = p->limit_bps == 0 ? PACE_BATCH_MAX : burst (p);

  return p->batch < most ? p->batch : most;
}

void
pace_returned (struct pace *p, uint64_t took_ns, bool is_full)
{
  uint64_t queued;

  if (p->shortest_ns == 0 || took_ns < p->shortest_ns)
    p->shortest_ns = took_ns > 0 ? took_ns : 1;
  queued = took_ns - p->shortest_ns;
  if (queued > LONG_NS)
    p->batch /= 2;
  else if (is_full && queued < SOON_NS)
    p->batch *= 2;
  else if (!is_full && p->batch > PACE_BATCH_START)
    p->batch /= 2;
  if (p->batch < PACE_BATCH_MIN)
    p->batch = PACE_BATCH_MIN;
  if (p->batch > PACE_BATCH_MAX)
    p->batch = PACE_BATCH_MAX;
}

/* How much is sent at once, and when: the bandwidth limit, the size of batches
 * and how long small ones gather.
 *
 * The limit is a bucket of tokens, a token a byte: they come at the rate of
 * the limit and gather for a tenth of a second (never less than PACE_BURST).
 * Something may be sent while there are any; what it takes more than there
 * are is waited for afterwards.
 *
 * A batch grows while full ones come back soon, so while there is a backlog
 * and the line and the peer keep up; it shrinks when they wait in a queue
 * for long, so that what is urgent does not wait behind them, and when there
 * is no backlog.  "Soon" is beyond the shortest time that any frame took.
 *
 * A frame costs a wake-up here and a flush at the peer, far more than a small
 * write does.  So what comes soon after a frame waits, a few milliseconds,
 * for company; what comes after a silence, or is much, does not.
 *
 * Pure: the caller brings the clock (monotonic, nanoseconds) and the lock.
 */

#ifndef PAIRDISK_PACE_H
#define PAIRDISK_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACE_BURST 65536u
#define PACE_BATCH_MIN (64u << 10)
#define PACE_BATCH_START (256u << 10)
#define PACE_BATCH_MAX (2u << 20)
#define PACE_GATHER_MS 5
#define PACE_GATHER_BYTES (512u << 10)

struct pace {
  uint64_t limit_bps;        /* 0: none */
  double tokens;
  uint64_t filled_ns;
  size_t batch;
  uint64_t shortest_ns;      /* 0: none came back yet */
};

extern void pace_init (struct pace *p, uint64_t limit_bps, uint64_t now);

/* It counts from now on, for what was sent before, too. */
extern void pace_set_limit (struct pace *p, uint64_t limit_bps, uint64_t now);

/* 0: something may be sent now; else after so many nanoseconds. */
extern uint64_t pace_wait_ns (struct pace *p, uint64_t now);

extern void pace_sent (struct pace *p, size_t bytes, uint64_t now);

/* READY guest bytes could be sent, nobody waits for them, and the last frame
 * went out at SENT_NS.  0: send them; else look again after so long.
 */
extern uint64_t pace_gather_ns (uint64_t ready, uint64_t sent_ns,
                                uint64_t now);

/* How many bytes to put into a frame. */
extern size_t pace_batch (const struct pace *p);

/* A frame came back after TOOK_NS; IS_FULL: more was ready to be sent. */
extern void pace_returned (struct pace *p, uint64_t took_ns, bool is_full);

#endif /* PAIRDISK_PACE_H */

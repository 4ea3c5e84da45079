/* How old is the oldest record that the peer has not committed?
 *
 * The primary notes now and then which seq it has appended.  Pure: the
 * caller brings the clock and the lock.
 *
 * Invariant: seqs and times rise from sample to sample.  A record's age is
 * never told as less than it is by more than the time between two notes, and
 * never as negative.
 */

#ifndef PAIRDISK_LAG_H
#define PAIRDISK_LAG_H

#include <stdint.h>

#define LAG_SAMPLES_MAX 256

struct lag {
  unsigned count;
  struct lag_sample {
    uint64_t seq;           /* newest appended when first seen at... */
    int64_t time_ns;        /* ...this monotonic time */
  } sample[LAG_SAMPLES_MAX];
};

/* SEQ is the newest appended, COMMITTED what the peer has of them. */
extern void lag_note (struct lag *lag, uint64_t seq, uint64_t committed,
                      int64_t now_ns);

/* 0 when nothing is missing at the peer. */
extern uint64_t lag_age_ns (const struct lag *lag, uint64_t committed,
                            int64_t now_ns);

#endif /* PAIRDISK_LAG_H */

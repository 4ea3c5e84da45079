/* What was written, acknowledged and flushed: the judge of --verify.
 *
 * Each 4 KiB block of the area has a version, counted up with each write
 * that is sent.  The ledger knows four of them:
 *
 *   settled   newest version known to be durable (flushed or FUA)
 *   done      newest version acknowledged; settled <= done <= issued
 *   issued    newest version sent
 *   dead      versions above done and up to here were lost in a crash and
 *             must never be seen again
 *
 * Kept in a file (a shared mapping, so that it outlives a killed load
 * generator) it carries over a crash of the server: opened again, only
 * settled versions are demanded, newer ones are allowed, and
 * ledger_adopt settles each block at what the disk really holds.
 *
 * Invariant: at most one write of a block is in flight (ledger_is_busy), so
 * that versions are acknowledged in order.
 */

#ifndef BENCH_LEDGER_H
#define BENCH_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "pattern.h"

struct ledger_block {
  uint32_t settled;
  uint32_t done;
  uint32_t issued;
  uint32_t dead;
};

enum ledger_flag {
  LEDGER_BUSY = 1,      /* a write is in flight */
  LEDGER_LISTED = 2,    /* is in unsettled */
};

struct ledger {
  struct ledger_block *blocks;
  size_t count;
  size_t map_len;
  uint8_t *flags;               /* LEDGER_BUSY, LEDGER_LISTED */
  uint64_t *unsettled;          /* blocks with done > settled */
  size_t unsettled_count;
  bool is_strict;               /* what we did not write must be zero */
};

/* PATH may be NULL: then the ledger lives for this run only, and blocks it
 * has not written may hold anything that is not misplaced or garbled.  With
 * PATH the disk must have been all zeros when the file was made.
 */
extern int ledger_open (struct ledger *l, const char *path, size_t count,
                        struct error *err);
extern void ledger_close (struct ledger *l);

extern bool ledger_is_busy (const struct ledger *l, uint64_t block);

/* The version to seal the block with; it is busy until ledger_write_end. */
extern uint32_t ledger_write_begin (struct ledger *l, uint64_t block);
extern void ledger_write_end (struct ledger *l, uint64_t block, bool is_ok,
                              bool is_durable);

/* A flush that was sent with nothing in flight has succeeded. */
extern void ledger_flushed (struct ledger *l);

/* The oldest version that a read sent now may return. */
extern uint32_t ledger_oldest (const struct ledger *l, uint64_t block);

/* NULL if a read that was sent when OLDEST held may return this now,
 * otherwise what is wrong with it.
 */
extern const char *ledger_judge (const struct ledger *l, uint64_t block,
                                 uint32_t oldest,
                                 enum pattern_verdict verdict,
                                 uint32_t version);

/* The disk was restarted and holds VERSION (0: zeros), judged right. */
extern void ledger_adopt (struct ledger *l, uint64_t block, uint32_t version);

#endif /* BENCH_LEDGER_H */

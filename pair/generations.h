/* Generation tables: which writer wrote which stretch of a disk's history.
 *
 * A generation is begun by the first write after a node became writer
 * (promotion, crash restart, switchover) and covers the seqs from its
 * first_seq to just before the next one begins, or to the end of the history.
 * Seqs start at 1 and are never reset, so a record is named by its
 * generation and seq: a struct pair_point.
 *
 * Invariant, checked by pair_history_check () on whatever comes from disk or
 * from a peer: at most PAIR_HISTORY_MAX entries, oldest first, ids not 0 and
 * all different, first_seq not 0 and rising.  Only the last generation may be
 * empty, which it is between pair_history_begin () and its first record; any
 * other disk that was ever written has the generation of its last record.
 *
 * Only the newest PAIR_HISTORY_MAX generations are kept.  Two sides that were
 * apart for longer have no common point any more and need a full copy.
 */

#ifndef PAIRDISK_PAIR_GENERATIONS_H
#define PAIRDISK_PAIR_GENERATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "uuid.h"

#define PAIR_HISTORY_MAX 32

struct pair_generation {
  uint64_t id;                  /* random, not 0 */
  uint64_t first_seq;
  struct uuid writer;           /* UUID of the volume that wrote it */
};

/* generation 0 means no point at all; seq is then 0 too. */
struct pair_point {
  uint64_t generation;
  uint64_t seq;
};

/* A disk's history up to and including last_seq. */
struct pair_history {
  uint64_t last_seq;            /* 0: nothing was ever written */
  uint32_t count;
  struct pair_generation generation[PAIR_HISTORY_MAX];  /* oldest first */
};

/* Is the invariant above kept? */
extern bool pair_history_check (const struct pair_history *history);

/* Build a history from a stored table: start from an all-zero struct, add the
 * entries in the order in which they were begun, then close it at the last
 * point.
 *
 * add: an entry that begins at or after FIRST_SEQ is superseded by the new
 *   one (what it was to hold never became part of this disk) and goes away.
 *   When the table is full the oldest goes.
 * close: set the last point and drop entries that begin after it (a secondary
 *   may hold its primary's whole table).  {0, 0} is a disk never written.
 *   False if the result breaks the invariant or LAST is not in it.
 */
extern void pair_history_add (struct pair_history *history, uint64_t id,
                              uint64_t first_seq, const struct uuid *writer);
extern bool pair_history_close (struct pair_history *history,
                                struct pair_point last);

/* Note that WRITER begins generation ID with seq last_seq + 1.  last_seq
 * stays: the caller moves it as records become part of the history.
 */
extern void pair_history_begin (struct pair_history *history, uint64_t id,
                                const struct uuid *writer);

/* Cut the history after SEQ: forget later generations and set last_seq to
 * SEQ.  A secondary that commits at SEQ of its primary's history takes a copy
 * of the primary's table cut at SEQ; a loser's table is cut at the common
 * point.  False, and nothing done, if SEQ is beyond the history or older than
 * what the table knows.
 */
extern bool pair_history_cut (struct pair_history *history, uint64_t seq);

/* Last seq of generation[INDEX]; less than its first_seq if it is empty. */
extern uint64_t pair_history_end (const struct pair_history *history,
                                  uint32_t index);

/* The generation that SEQ belongs to, NULL if SEQ is beyond the history, 0,
 * or older than what the table knows.
 */
extern const struct pair_generation *
pair_history_find (const struct pair_history *history, uint64_t seq);

/* The last point, {0, 0} for an empty history. */
extern struct pair_point
pair_history_last (const struct pair_history *history);

/* Was this very record written in this history?  {0, 0} lies on every
 * history.
 */
extern bool pair_history_contains (const struct pair_history *history,
                                   struct pair_point point);

enum pair_common {
  PAIR_COMMON_UNSET = 0,
  PAIR_COMMON_FOUND,     /* *ret is the last point both share */
  PAIR_COMMON_NONE,      /* the tables share no record */
  PAIR_COMMON_BROKEN,    /* they contradict each other: one id with two
                            beginnings or writers, or different pasts before a
                            shared generation */
};

/* The last point both histories share.  Both must pass the check. */
extern enum pair_common pair_history_common (const struct pair_history *a,
                                             const struct pair_history *b,
                                             struct pair_point *ret);

#endif /* PAIRDISK_PAIR_GENERATIONS_H */

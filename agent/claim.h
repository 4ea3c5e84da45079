/* What somebody wants for himself: a disk for a change of it, a place among the
 * pairs (claim.c).
 */

#ifndef PAIRDISK_AGENT_CLAIM_H
#define PAIRDISK_AGENT_CLAIM_H

#include <stdbool.h>

struct agent;
struct disk;
struct record;

enum claim {
  CLAIM_FAILED = -1,             /* of the store or memory */
  CLAIM_NO_DISK,
  CLAIM_FREE,
  CLAIM_IN_PAIR,
};

/* Begin a transaction with what is known of a disk of ours that is to be
 * changed: made part of a pair, resized, deleted.  RET is the disk, in whatever
 * state, and RET_PAIR (NULL: no memory for it) the pair it is in.  The caller
 * ends the transaction, unless there is none: CLAIM_FAILED.
 *
 * A pair that is being deleted may be gone already for who asked at the other
 * site: it is given a moment to be so here first.
 */
extern enum claim claim_disk (struct agent *agent, const char *id_or_name,
                              struct disk *ret, struct record *ret_pair);

/* Has this site all the pairs that it takes? */
extern bool pairs_are_too_many (struct agent *agent);

#endif /* PAIRDISK_AGENT_CLAIM_H */

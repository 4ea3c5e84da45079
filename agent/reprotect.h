/* What the two sides of a pair that failed over have and the other lacks, and
 * what a reprotect makes one of them give up (reprotect.c).
 */

#ifndef PAIRDISK_AGENT_REPROTECT_H
#define PAIRDISK_AGENT_REPROTECT_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "record.h"

struct agent;
struct answer;

/* observe: add "history" and "compare" to STATUS, which goes to the peer.
 * is_loser: is it our disk that gives up in the reprotect that REC asks for?
 * peer_status: what the peer told of its disk, a new reference or NULL.
 * end: change REC as a finished reprotect does; OPAQUE is the loser's DISCARD.
 * dry_run: answer what this reprotect would give up.
 */
extern void reprotect_observe (struct agent *agent, const struct record *rec,
                               json_t *status);
extern bool reprotect_is_loser (const struct agent *agent,
                                const struct record *rec);
extern json_t *reprotect_peer_status (struct agent *agent,
                                      const struct record *rec);
extern void reprotect_end (struct record *rec, void *opaque);
extern void reprotect_dry_run (struct agent *agent, const struct record *rec,
                               enum reprotect how, struct answer *answer);

/* Add to what is told of the pair. */
extern void reprotect_describe (struct agent *agent,
                                const struct record *rec, json_t *object);

/* Failed over: did both sides write?  *RET_KNOWN is false until both
 * histories were compared.  In words, with the next step, into RET (empty if
 * it is none).
 */
extern bool reprotect_is_split (struct agent *agent,
                                const struct record *rec, bool *ret_known);
extern void reprotect_split_text (struct agent *agent,
                                  const struct record *rec, char *ret,
                                  size_t size);

#endif /* PAIRDISK_AGENT_REPROTECT_H */

/* Changes of a pair's record (change.c), and which part in it this site has. */

#ifndef PAIRDISK_AGENT_CHANGE_H
#define PAIRDISK_AGENT_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"
#include "states.h"

struct agent;

/* Is this site the source / the destination of the pair? */
extern bool is_source (const struct agent *agent, const struct record *rec);
extern bool is_destination (const struct agent *agent,
                            const struct record *rec);

/* The pair's other region as seen from here, our disk. */
extern const char *other_region (const struct agent *agent,
                                 const struct record *rec);
extern const char *our_disk (const struct agent *agent,
                             const struct record *rec);

/* Apply EVENT to the pair as it is now, if it still is at VERSION (0: any).
 * Takes its own transaction.  1: moved or accepted, 0: not, -1.
 */
extern int report_event (struct agent *agent, const char *id,
                         uint64_t version, enum pair_event event,
                         const char *message,
                         void (*change) (struct record *rec, void *opaque),
                         void *opaque);

/* In a transaction: give REC its new status as a change made here, with the
 * event that tells of it.
 */
extern int record_move (struct agent *agent, struct record *rec,
                        enum pair_status status, bool is_verb,
                        const char *actor, const char *kind,
                        const char *message);

/* In words for an event: what a reprotect gave up, and a failover lost. */
extern void discard_text (const struct record *rec, char *ret, size_t size);
extern void loss_text (const struct record *rec, char *ret, size_t size);

/* A record came from the other site: keep the newer.  In a transaction.
 * 1: ours was replaced, 0: kept, -1.  RET is the one that counts.
 */
extern int record_merge (struct agent *agent, const struct record *theirs,
                         const char *actor, struct record *ret);

#endif /* PAIRDISK_AGENT_CHANGE_H */

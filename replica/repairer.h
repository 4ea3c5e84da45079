/* The primary's part in repairing damaged units, its own and the
 * secondary's, from the other side's copy.
 *
 * A thread with a connection of its own, which is made when something is to
 * be repaired.  It asks the secondary for what is damaged here (a read that
 * waits for it first), and gives it what it told to be damaged there.
 *
 * Nothing is taken on the peer's word: volume/repair.h says what must verify.
 */

#ifndef PAIRDISK_REPAIRER_H
#define PAIRDISK_REPAIRER_H

#include "errand.h"
#include "replica.h"

struct repairer;

/* Become the source of V (volume_set_source), which must outlive it. */
extern struct repairer *repairer_start (struct volume *v,
                                        const struct errand_config *config,
                                        const struct replica_log *log,
                                        struct error *err);

/* Let whoever waits for it, and whatever is under way, end soon. */
extern void repairer_quit (struct repairer *r);

/* Quit, join, free.  NULL is fine, for both. */
extern void repairer_stop (struct repairer *r);

/* The secondary told of this.  Any thread; never waits. */
extern void repairer_peer_wants (struct repairer *r,
                                 const struct wire_wanted *wanted);

#endif /* PAIRDISK_REPAIRER_H */

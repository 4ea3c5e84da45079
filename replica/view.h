/* What pair_decide is to see of this volume and of the peer's STATUS page. */

#ifndef PAIRDISK_VIEW_H
#define PAIRDISK_VIEW_H

#include "decide.h"
#include "volume.h"
#include "wire.h"

/* This side is a writer: its history reaches to what its map shows, all of
 * which is durable.
 */
extern void view_of_self (const struct volume_status *status,
                          const struct uuid *lineage, struct pair_view *ret);

extern void view_of_peer (const struct wire_status *status,
                          struct pair_view *ret);

/* Does the volume show a record that it wrote itself and that is not in the
 * history of which OTHER is the table?
 */
extern bool view_has_own_beyond (const struct volume_status *status,
                                 const struct volume_generations *other);

/* Name of an attempt to stage what differs since SINCE_SEQ with the stream
 * following START: any process that has this history finds the same one, and
 * one with another history another.  So an interrupted attempt can be resumed
 * after either side was restarted.  Never 0.
 */
extern uint64_t view_stage_id (const struct pair_view *self,
                               const struct uuid *pair, uint64_t since_seq,
                               uint64_t start_seq);

#endif /* PAIRDISK_VIEW_H */

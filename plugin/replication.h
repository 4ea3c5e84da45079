/* A disk's end of the link: the sender of a primary, the receiver of any disk
 * with a pair.
 *
 * What runs follows from the volume's role and the disk's link file; nothing
 * is remembered here.  replication_start, _stop and the sender functions are
 * called with the disk's ops_lock held (or before anyone else knows the
 * disk); the status functions and replication_open by anyone.
 */

#ifndef PAIRDISK_REPLICATION_H
#define PAIRDISK_REPLICATION_H

#include <pthread.h>
#include <stdbool.h>

#include "errand.h"
#include "error.h"
#include "linkfile.h"
#include "replica.h"

struct disk;

struct replication {
  pthread_mutex_t lock;      /* keeps the two below from being freed; never
                                held while waiting for disk or network */
  struct sender *sender;
  struct repairer *repairer; /* with each sender */
  struct receiver *receiver;
  struct sync *sync;         /* set once, before the volume is used; NULL:
                                the disk cannot be in a pair */
};

extern void replication_init (struct replication *r);
extern void replication_release (struct replication *r);

/* Take up the promise where it was.  What could not be read is in ERR (-1);
 * there is an object all the same if there was memory for it, one for which
 * everything may have been promised.
 */
extern int replication_load_sync (struct disk *disk, struct error *err);

/* Let the promise follow role and link file. */
extern void replication_configure_sync (struct disk *disk);

/* Run what role and link file ask for.  On failure nothing runs. */
extern int replication_start (struct disk *disk, struct error *err);
extern void replication_stop (struct disk *disk);

/* Only the sender, as the link file has it. */
extern int replication_start_sender (struct disk *disk, struct error *err);
extern void replication_stop_sender (struct disk *disk);
extern void replication_kick_sender (struct disk *disk);

/* Bytes a second from now on, 0: no limit.  The link file is the caller's. */
extern void replication_set_limit (struct disk *disk, uint64_t limit_bps);

/* Commit as often as the link file says, from now on. */
extern void replication_set_interval (struct disk *disk);

/* See sender_mend.  ENOTCONN: there is no sender. */
extern int replication_mend (struct disk *disk, const uint64_t *block,
                             size_t count, uint64_t *ret_id,
                             struct error *err);
extern enum sender_mend replication_mend_state (struct disk *disk,
                                                uint64_t id);
extern void replication_mend_cancel (struct disk *disk);

/* How to reach the peer.  ENOTCONN: the link is not on. */
extern int replication_errand (struct disk *disk, struct errand_config *ret,
                               char uri[LINK_URI_MAX + 1], struct error *err);

/* False: there is no sender, or no receiver. */
extern bool replication_sender_status (struct disk *disk,
                                       struct sender_status *ret);
extern bool replication_receiver_status (struct disk *disk,
                                         struct receiver_status *ret);

/* A connection to the pair's export. */
extern struct receiver_conn *replication_open (struct disk *disk,
                                               struct error *err);

#endif /* PAIRDISK_REPLICATION_H */

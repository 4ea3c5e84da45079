/* A network between two sites, in the place of libnbd, sockets and nbdkit.
 *
 * link.c is linked with the nbd_* functions of net-sim.c.  A connection to
 * "nbd://0/..." or "nbd://1/..." is to the receiver of that site: requests
 * arrive in order, each after a delay, and are handled as nbdkit does, on up
 * to 16 threads of a connection; answers travel back in the order in which
 * they are given.  So there is no order between connections, and on one of
 * them frames may overtake each other in the peer's threads.
 *
 * Everything here is done inside sched_run, from the seed of net_begin.
 */

#ifndef PAIRDISK_NET_SIM_H
#define PAIRDISK_NET_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

struct receiver_conn;

/* OPEN: somebody connects to this site, as the plugin's open of the export;
 * NULL refuses it.  IS_OFF: it has no power, and sends nothing.
 */
struct net_site {
  struct receiver_conn *(*open) (void *opaque, struct error *err);
  bool (*is_off) (void *opaque);
  void *opaque;
};

extern void net_begin (uint64_t seed, const struct net_site site[2]);
extern void net_end (void);

/* Of all messages from now on: DELAY_NS and up to so much more by chance, and
 * BPS bytes a second on each connection.
 */
extern void net_set_speed (uint64_t delay_ns, uint64_t bps);

/* Messages sent by site FROM do not arrive (they wait; new connections find
 * nobody).
 */
extern void net_block (unsigned from, bool is_blocked);

/* What runs on the site's threads takes no requests: half dead. */
extern void net_hang (unsigned site, bool is_hanging);

/* Every connection there is breaks, at both ends at once. */
extern void net_cut (void);

/* The site's power is gone: what it sends does not leave, what arrives is
 * lost.  SAYS_SO: only its process ended, and the system there resets the
 * connections.
 */
extern void net_power_off (unsigned site, bool says_so);

/* Wait until nobody is in a call of the site's receivers, with all its
 * server's connections closed.  After this the receiver can be freed.
 */
extern void net_close_server (unsigned site);
extern void net_power_on (unsigned site);

/* Requests that were handled, and those that came before another one that was
 * sent earlier.
 */
extern uint64_t net_requests (void);

#endif /* PAIRDISK_NET_SIM_H */

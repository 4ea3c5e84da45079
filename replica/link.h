/* The connections to the peer: libnbd, pages, frames in flight.
 *
 * The stream's frames are spread over all of them and put in order again by
 * the receiver.  When one is lost the whole link is.
 *
 * Everything here is for one thread, the one that made the link.  It is woken
 * from outside through an eventfd, and it gives up when *stop is set.
 */

#ifndef PAIRDISK_LINK_H
#define PAIRDISK_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "replica.h"
#include "wire-proof.h"
#include "wire.h"

#define LINK_WINDOW 8               /* frames in flight */

struct link;

/* A frame under way: room for one frame in BUF. */
struct link_slot {
  struct link *link;
  uint8_t *buf;
  uint32_t length;                  /* of header and payload */
  bool in_flight, is_done;
  bool is_held;                     /* the sender's: not free, not sent */
  int errnum;                       /* of the completion, positive */
  unsigned conn;                    /* the connection it went through */
  uint64_t sent_ns, done_ns;        /* monotonic */

  /* The sender's: what is true when this one completes. */
  uint64_t data;                    /* bytes of guests in it */
  bool is_full;                     /* there was more to send */
  bool commits;
  struct volume_point point;
  bool tells;                       /* the peer of a promise */
  enum replica_promise promise;
};

struct link_config {
  const char *uri;                  /* with the export */
  int wake_fd;                      /* eventfd */
  const atomic_bool *stop;
  const struct replica_options *options;
  unsigned page_ms;                 /* connection, and each page */
};

/* The URI of EXPORT at the instance that URI names; NULL and EINVAL if URI
 * is not an NBD URI or names an export already.
 */
extern char *link_uri (const char *uri, const char *export,
                       struct error *err);

/* Connect.  NULL: ECANCELED when told to stop, EACCES when keys or TLS do not
 * fit, which trying again does not change, else why it did not work.
 */
extern struct link *link_open (const struct link_config *config,
                               struct error *err);

/* One connection more, which pages go through from now on.  As link_open. */
extern int link_add (struct link *l, struct error *err);

extern unsigned link_connections (const struct link *l);

/* Pages go through this one, from 0. */
extern void link_use (struct link *l, unsigned conn);

/* Wait until nothing is under way, TIMEOUT_MS at most: a server that is cut
 * off while it answers complains (and nbdkit before 1.33.10 may abort).
 */
extern void link_settle (struct link *l, unsigned timeout_ms);

/* Whatever is in flight is given up. */
extern void link_close (struct link *l);

/* Wait for the completion.  The errno of a refusal is the peer's (NBD knows
 * few); a broken connection is ENOTCONN, ETIMEDOUT, ECONNRESET...
 */
extern int link_read_page (struct link *l, uint64_t offset, void *page,
                           struct error *err);
extern int link_write_page (struct link *l, uint64_t offset,
                            const void *page, struct error *err);

/* The same with a page of WIRE_PROOF_SIZE. */
extern int link_read_proof (struct link *l, uint64_t offset, void *page,
                            struct error *err);
extern int link_write_proof (struct link *l, uint64_t offset,
                             const void *page, struct error *err);

/* Ask for a page of WIRE_PROOF_SIZE and go on; one at a time, through the
 * first connection.
 */
extern int link_ask (struct link *l, uint64_t offset, struct error *err);

/* 1: PAGE is filled; 0: nothing was asked, or there is no answer yet; -1: it
 * was refused.
 */
extern int link_answer (struct link *l, void *page);

/* Is the connection of the pages usable still? */
extern bool link_is_alive (struct link *l);

/* A slot that is neither in flight nor held, or NULL. */
extern struct link_slot *link_free_slot (struct link *l);

/* Send the frame in SLOT. */
extern int link_send (struct link *l, struct link_slot *slot,
                      uint64_t stream_offset, bool fua, struct error *err);

/* A completed slot, taken off the link (it is free again), or NULL. */
extern struct link_slot *link_reap (struct link *l);

extern unsigned link_in_flight (const struct link *l);

/* Ask connections on which nothing moved for QUIET_MS whether they are there.
 * -1: one was silent for DEAD_MS though it owes an answer, or took no frame
 * for much longer.
 */
extern int link_check (struct link *l, unsigned dead_ms, unsigned quiet_ms,
                       struct error *err);

/* Do the connections' work until something completes, the eventfd is written
 * or TIMEOUT_MS are over.  -1: the connection is lost.
 */
extern int link_poll (struct link *l, unsigned timeout_ms,
                      struct error *err);

#endif /* PAIRDISK_LINK_H */

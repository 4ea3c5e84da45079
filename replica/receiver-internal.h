/* The receiver's parts: receiver.c (life, status, connections, refusals),
 * receiver-pages.c (handshake and sessions), receiver-stream.c (frames),
 * receiver-proof.c (repair and verification).
 *
 * One thread at a time is in the volume ("busy"), beside those that only read
 * it ("readers").
 *
 * Invariants: only the thread that set busy, and readers, use r->v
 * (receiver_get_status excepted: its caller owns the volume).  flushed <= next; next is the end of
 * the last applied frame.  A session that ended never comes back: its id is
 * random and set to 0, and all waits look at it.
 */

#ifndef PAIRDISK_RECEIVER_INTERNAL_H
#define PAIRDISK_RECEIVER_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "replica.h"
#include "wire.h"

/* A frame that waits for its turn; lives on its thread's stack. */
struct waiter {
  struct waiter *next;
  uint64_t offset;
};

struct receiver {
  struct receiver_config config;

  /* Guards all below and all of every struct receiver_conn. */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  unsigned refs;                 /* the owner's and one a connection */
  struct volume *v;              /* NULL: let go of */
  bool accept;
  bool busy;
  unsigned readers;

  uint64_t session;              /* 0: none */
  uint64_t next, flushed;        /* stream offsets */
  struct waiter *waiters;

  bool has_known;
  struct volume_point known;
  uint64_t heard_ns;             /* monotonic, 0: never */
  struct frame_cursor scan;      /* blocks 0: not told */
};

struct receiver_conn {
  struct receiver *r;
  struct wire_keys keys;
  uint64_t joined;               /* the session it is one of */
  bool lacks_tls;                /* only RESULT can be read */
  bool auth_tried, is_authenticated;
  struct wire_result result;     /* first refusal since the session began */
};

extern void receiver_end_session_locked (struct receiver *r);

/* Be the one in the volume; false when it is gone. */
extern bool receiver_enter_volume_locked (struct receiver *r);
extern void receiver_leave_volume_locked (struct receiver *r);

/* All that was received is durable: nothing which was received and not
 * answered comes a second time.  In the volume, without the lock; does
 * nothing unless secondary.
 */
extern int receiver_flush_volume (struct receiver *r, struct error *err);

/* Note the first refusal for the RESULT page, fill ERR, set the errno that
 * NBD is given; returns -1.
 */
extern int receiver_refuse_locked (struct receiver_conn *c, struct error *err,
                                   enum wire_result_code code,
                                   const char *detail);
extern int receiver_refuse (struct receiver_conn *c, struct error *err,
                            enum wire_result_code code, const char *detail);

/* The same for a failure of the volume or of decoding. */
extern int receiver_refuse_cause_locked (struct receiver_conn *c,
                                         struct error *err,
                                         const struct error *cause);
extern int receiver_refuse_cause (struct receiver_conn *c, struct error *err,
                                  const struct error *cause);

/* The one place where an errno of the volume becomes a code of the wire. */
extern enum wire_result_code receiver_code_of_errno (int errnum);

extern bool receiver_conn_is_authenticated (struct receiver_conn *c);

/* Is C one of the connections of the session there is? */
static inline bool
receiver_conn_has_session (const struct receiver_conn *c)
{
  return c->r->session != 0 && c->joined == c->r->session;
}

/* Pages (receiver-pages.c): what nbdkit's calls come to, by offset. */
extern int receiver_read_status (struct receiver_conn *c, void *page,
                                 struct error *err);
extern int receiver_read_changed (struct receiver_conn *c, uint64_t from,
                                  void *page, struct error *err);
extern int receiver_write_auth (struct receiver_conn *c, const void *page,
                                struct error *err);
extern int receiver_write_session (struct receiver_conn *c, const void *page,
                                   struct error *err);

/* Repair and verification (receiver-proof.c): pages of WIRE_PROOF_SIZE. */
extern int receiver_read_proof (struct receiver_conn *c, void *page,
                                uint64_t offset, struct error *err);
extern int receiver_write_unit (struct receiver_conn *c, const void *page,
                                uint64_t block, struct error *err);

/* Frames (receiver-stream.c).  OFFSET is that in the stream. */
extern int receiver_write_frame (struct receiver_conn *c, const void *buf,
                                 uint32_t count, uint64_t offset, bool fua,
                                 struct error *err);

#endif /* PAIRDISK_RECEIVER_INTERNAL_H */

/* Modes of a pair, and the promise that the sync mode gives.
 *
 * A promise is what a flush at the primary waits for.  The order below is
 * that of strength:
 *
 *   NONE     nothing: the local disk only
 *   DEGRADE  the peer too, until the peer is lost
 *   SUSPEND  the peer too, however long that takes
 *
 * The primary's side, `given': the strongest promise that the secondary may
 * rely on.  It is written down before the secondary is told of a stronger
 * one, and lowered only after the secondary was told (or by sync_force, which
 * is a person's word: see below).  Flushes wait for the peer as long as given
 * is not NONE, also after a restart.
 *
 *   given    session   flushes                       shown as
 *   NONE     any       local                         off, catching-up, degraded
 *   NONE     entering  wait for the peer             catching-up
 *   other    streams   wait for the peer             in-sync
 *   DEGRADE  lost      first given := NONE, durably  degraded
 *   SUSPEND  lost      wait                          suspended
 *
 * The secondary's side, `heard': what it was told last.  With SUSPEND every
 * flush that was ever acknowledged is in its journal, so that it can prove an
 * RPO of zero; with anything else it cannot.
 *
 * A proof is a lease.  SUSPEND is told again and again while the two are in
 * sync, and the secondary relies on it for the time that is told with it.  It
 * counts that time not from when it heard the promise but from when it
 * answered the message before, of which it knows that the primary sent the
 * promise afterwards; so however long a message is on its way, the lease is
 * over at the latest so long after it was sent.  sync_force and sync_reset
 * write down that the promise is abandoned and have flushes wait until the
 * last lease is over by a generous measure.  Then:
 *
 * Invariant: heard <= given, or the lease is over, or a promise is abandoned
 * and flushes wait.
 *
 * An abandoned promise ends early when the peer it was given to hears of a
 * lower one.
 *
 * One object a disk, for both roles; it outlives senders and receivers.
 */

#ifndef PAIRDISK_SYNC_H
#define PAIRDISK_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "lease.h"

#define SYNC_PROOF_MS_MIN 2000
#define SYNC_PROOF_MS 300000
#define SYNC_PROOF_MS_MAX 3600000

enum replica_promise {
  REPLICA_PROMISE_NONE = 0,
  REPLICA_PROMISE_DEGRADE,
  REPLICA_PROMISE_SUSPEND,
  REPLICA_PROMISE_MAX = REPLICA_PROMISE_SUSPEND
};

extern const char *replica_promise_name (enum replica_promise promise);

/* What was asked for. */
struct sync_settings {
  bool is_sync;
  bool suspends;           /* on the loss of the peer; else degrades */
  unsigned proof_ms;       /* how long it may rely on that; 0: default */
};

/* A promise of SUSPEND that was lowered and the peer was not told. */
enum sync_abandoned {
  SYNC_ABANDONED_NONE = 0,
  SYNC_ABANDONED_PEER,     /* the one of this pair, which may yet hear it */
  SYNC_ABANDONED_FORMER,   /* of a pair that is no more, or of other roles */
  SYNC_ABANDONED_MAX = SYNC_ABANDONED_FORMER
};

/* What must survive a restart. */
struct sync_record {
  enum replica_promise given, heard;
  uint64_t degraded_ns;    /* wall clock of the last loss, 0: none since the
                              two were in sync */
  enum sync_abandoned abandoned;
  uint64_t lease_ms;       /* the longest that the peer may rely on given, or
                              on what was abandoned; from the start anew */
  struct lease lease;      /* of what was heard */
};

enum sync_state {
  SYNC_OFF = 1,            /* async, or no link */
  SYNC_CATCHING_UP,
  SYNC_IN_SYNC,
  SYNC_SUSPENDED,          /* flushes wait for a peer that is away */
  SYNC_DEGRADED,           /* the peer was lost: no flush waits for it */
  SYNC_LEAVING,            /* sync no longer, but the peer was not told yet */
  SYNC_ABANDONING,         /* the peer cannot be told: flushes wait until it
                              claims no more that it has them all */
};

extern const char *sync_state_name (enum sync_state state);

struct sync;

struct sync_config {
  struct sync_record record;     /* as it was last stored */

  /* Store durably.  Called by one thread at a time. */
  int (*store) (void *opaque, const struct sync_record *record,
                struct error *err);
  void (*log) (void *opaque, bool is_error, const char *line);
  void *opaque;
};

extern struct sync *sync_new (const struct sync_config *config,
                              struct error *err);
extern void sync_free (struct sync *s);

/* What is wanted from now on.  IS_ON: this side is primary and its link is on
 * (and no one-shot).  Until the secondary was told of a lower promise the old
 * one is kept.
 */
extern void sync_configure (struct sync *s,
                            const struct sync_settings *settings, bool is_on);

/* Wait until the secondary relies on no more than is wanted.  False: it could
 * not be told in TIMEOUT_MS.
 */
extern bool sync_wait_told (struct sync *s, unsigned timeout_ms);

/* Do what is wanted though the secondary could not be told, as soon as it
 * cannot claim any more what would not be so.
 */
extern int sync_force (struct sync *s, struct error *err);

/* Give up both promises: there is no pair any more, or the roles changed.  What
 * a secondary may still rely on is abandoned.
 */
extern int sync_reset (struct sync *s, struct error *err);

/* ------------------------------------------------------------------ */
/* The guest's side.                                                    */

/* Do flushes wait? */
extern bool sync_is_required (struct sync *s);

/* All up to record SEQ is durable here: wait until the peer has it too, if
 * that was promised.  IS_GONE is asked now and then whether anybody still
 * waits for the answer.  -1: ESHUTDOWN.
 */
extern int sync_wait (struct sync *s, uint64_t seq, bool (*is_gone) (void));

/* ------------------------------------------------------------------ */
/* The sender's side: its thread only.                                  */

/* For the SESSION page: the promise that the peer may go on relying on. */
extern enum replica_promise sync_session_promise (struct sync *s);

/* The peer took a session whose page said so.  IS_COPY: it begins with a copy
 * of what differs, and nothing is held before that is committed.
 */
extern void sync_begin (struct sync *s, enum replica_promise said,
                        bool is_copy);

/* The peer shows, durably, all up to SEQ. */
extern void sync_note_held (struct sync *s, uint64_t seq);

/* Streaming.  IS_NEAR: not much more is appended here than is held there; the
 * newest is APPENDED, looked at by a function since a flush that does not
 * wait may not be newer.  True: send *RET_PROMISE, then call sync_told.
 * Call it again and again: leases are renewed by it.
 */
extern bool sync_step (struct sync *s, bool is_near,
                       uint64_t (*appended) (void *opaque), void *opaque,
                       enum replica_promise *ret_promise,
                       uint32_t *ret_lease_ms);
extern void sync_told (struct sync *s, enum replica_promise promise);

/* May records go out that are not durable here yet? */
extern bool sync_ships_ahead (struct sync *s);

/* The session has ended, or none came to be. */
extern void sync_lost (struct sync *s);

/* The same, but by our own doing: nothing is to be concluded from it. */
extern void sync_stopped (struct sync *s);

/* A higher fence was met, now or before a restart: nobody will ever hold
 * anything for this side.  What a flush had to wait for then is never
 * answered, whatever sync_force is asked for.
 */
extern void sync_fenced (struct sync *s);

/* ------------------------------------------------------------------ */
/* The secondary's side.                                                */

/* All are durable on return, and to be answered only then. */

/* A promise of the session that the last sync_hear_session was called for. */
extern int sync_hear (struct sync *s, enum replica_promise promise,
                      uint32_t lease_ms, struct error *err);

/* A session begins, and at most so much goes on. */
extern int sync_hear_session (struct sync *s, enum replica_promise promise,
                              struct error *err);

/* Before this side, a primary, is demoted: what it heard when it was secondary
 * before is of other roles, and would prove something again.
 */
extern int sync_forget_heard (struct sync *s, struct error *err);

/* Is every flush that the primary acknowledged in what this side holds? */
enum sync_proof {
  SYNC_PROVEN = 1,
  SYNC_UNKNOWN_ASYNC,      /* it was never so promised */
  SYNC_UNKNOWN_LAPSED,     /* it was; but the primary has not been heard for
                              so long that a person may have abandoned it */
};

/* The word in the control protocol: "proven" or "unknown". */
extern const char *sync_proof_name (enum sync_proof proof);

/* Why it is unknown: NULL, "no-promise", "lapsed". */
extern const char *sync_proof_reason (enum sync_proof proof);

/* RET_LEFT_MS (may be NULL): how long it will be so without the primary. */
extern enum sync_proof sync_prove_zero (struct sync *s,
                                        uint64_t *ret_left_ms);

/* ------------------------------------------------------------------ */

struct sync_status {
  struct sync_settings settings;
  enum sync_state state;
  uint64_t held_seq;
  uint64_t waiting;        /* flushes that wait for the peer now */
  uint64_t degraded_ns;
  uint64_t hold_ms;        /* SYNC_ABANDONING: for so long */
};

extern void sync_get_status (struct sync *s, struct sync_status *ret);

#endif /* PAIRDISK_SYNC_H */

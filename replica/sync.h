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
 * is a person's word).  Flushes wait for the peer as long as given is not
 * NONE, also after a restart.
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
 * Invariant: heard <= given, as long as nobody used force.
 *
 * One object a disk, for both roles; it outlives senders and receivers.
 */

#ifndef PAIRDISK_SYNC_H
#define PAIRDISK_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

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
};

/* What must survive a restart. */
struct sync_record {
  enum replica_promise given, heard;
  uint64_t degraded_ns;    /* wall clock of the last loss, 0: none since the
                              two were in sync */
};

enum sync_state {
  SYNC_OFF = 1,            /* async, or no link */
  SYNC_CATCHING_UP,
  SYNC_IN_SYNC,
  SYNC_SUSPENDED,          /* flushes wait for a peer that is away */
  SYNC_DEGRADED,           /* the peer was lost: no flush waits for it */
  SYNC_LEAVING             /* sync no longer, but the peer was not told yet */
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

/* Do what is wanted though the secondary could not be told. */
extern int sync_force (struct sync *s, struct error *err);

/* Give up both promises: there is no pair any more, or the roles changed. */
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
 */
extern bool sync_step (struct sync *s, bool is_near,
                       uint64_t (*appended) (void *opaque), void *opaque,
                       enum replica_promise *ret_promise);
extern void sync_told (struct sync *s, enum replica_promise promise);

/* May records go out that are not durable here yet? */
extern bool sync_ships_ahead (struct sync *s);

/* The session has ended, or none came to be. */
extern void sync_lost (struct sync *s);

/* The same, but by our own doing: nothing is to be concluded from it. */
extern void sync_stopped (struct sync *s);

/* A higher fence was met: nobody will ever hold anything for this side. */
extern void sync_fenced (struct sync *s);

/* ------------------------------------------------------------------ */
/* The secondary's side.                                                */

extern int sync_hear (struct sync *s, enum replica_promise promise,
                      struct error *err);
extern int sync_hear_at_most (struct sync *s, enum replica_promise promise,
                              struct error *err);

/* Is every flush that the primary acknowledged in what this side holds? */
extern bool sync_is_zero_proven (struct sync *s);

/* ------------------------------------------------------------------ */

struct sync_status {
  struct sync_settings settings;
  enum sync_state state;
  uint64_t held_seq;
  uint64_t waiting;        /* flushes that wait for the peer now */
  uint64_t degraded_ns;
};

extern void sync_get_status (struct sync *s, struct sync_status *ret);

#endif /* PAIRDISK_SYNC_H */

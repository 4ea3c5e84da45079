/* The parts of a session: session.c (life, loop, refusals), session-begin.c
 * (handshake, decision), session-frames.c (copy, stream, promises) and
 * session-proof.c (repair, verification).
 *
 * All of it is for one thread, the sender's.
 */

#ifndef PAIRDISK_SESSION_INTERNAL_H
#define PAIRDISK_SESSION_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "link.h"
#include "pace.h"
#include "sender-internal.h"
#include "view.h"
#include "wire-proof.h"
#include "wire.h"

#define SESSION_SETTLE_MS 2      /* between looks at the journal's end */

enum phase { PHASE_UNSET = 0, PHASE_SCAN, PHASE_CATCHUP, PHASE_STREAM,
             PHASE_REST };

struct session {
  struct sender *s;
  struct link *link;
  struct pace pace;
  struct wire_keys keys;         /* of the first connection */
  struct wire_status peer;
  struct pair_view self_view, peer_view;

  uint64_t id;
  uint64_t offset;               /* of the next frame in the stream */
  uint64_t sent_ns;              /* when the last frame was sent */
  uint64_t keys_stamp;           /* of the keys that are in use ... */
  uint64_t keys_ns;              /* ... and when they were looked at */

  enum phase phase;
  uint64_t since, start;         /* of the stage */
  uint64_t block;                /* SCAN: next to look at */
  bool peer_differs;             /* in blocks that it wrote since, too: */
  struct volume_changed changed; /* those around BLOCK */
  uint64_t uncovered;            /* SCAN: bytes sent since the last cursor */
  uint64_t first_seq;            /* first stream record */
  struct volume_cursor *cursor;
  struct volume_point last;      /* last stream record sent, or before it */
  struct volume_point end;       /* CATCHUP: E */
  struct volume_generations table;   /* as the peer has it */

  /* Read already, waits for a slot that tells the peer of its generation. */
  struct link_slot *held;
  bool is_unsettled;             /* and the volume's table lacks it still */

  /* Repair and verification: session-proof.c. */
  uint64_t ask_ns;               /* when to ask what is damaged there */
  uint8_t proof[WIRE_PROOF_SIZE];
  bool asks_nothing;
  uint64_t *mending;             /* blocks to bring, in order; NULL: none */
  size_t mending_count;
  uint64_t mend_id;

  bool tells_fence;              /* that is all the session is for */
  bool is_committed;             /* the peer has no stage of ours */
  bool is_cycle;                 /* the stage is that of one interval */
  uint64_t level_ns;             /* when this interval began: nothing was left
                                    then that had not been looked at */
  bool is_ahead;                 /* records go out before they are durable */
  bool looks_again;              /* soon, for what may not be sent yet: no
                                    record needs to wake it */
  bool was_open;                 /* it has taken a frame */
};

/* ------------------------------------------------------------------ */
/* session.c                                                            */

/* After a failed call: told to stop, refused or simply lost. */
extern enum session_end session_end_of_failure (struct session *n,
                                                struct error *err);

extern enum sender_state session_state (const struct session *n);
extern void session_note_progress (struct session *n);

static inline uint64_t
session_blocks (const struct session *n)
{
  return n->self_view.size / VOLUME_BLOCK_SIZE;
}

/* ------------------------------------------------------------------ */
/* session-begin.c                                                      */

/* Everything up to the first frame; SESSION_END_UNSET: go on with it. */
extern enum session_end session_begin (struct session *n, struct error *err);

/* Compare the two sides, decide and open the session, or the next one on the
 * same connections.
 */
extern enum session_end session_agree (struct session *n, struct error *err);

/* Read stream records from there on. */
extern enum session_end session_open_cursor (struct session *n,
                                             uint64_t first_seq,
                                             struct error *err);
extern void session_close_cursor (struct session *n);

/* ------------------------------------------------------------------ */
/* session-interval.c                                                   */

/* Between commits; 0: none.  Whoever waits for the peer does not wait so long. */
extern unsigned session_interval_ms (const struct session *n);

/* When the next commit begins; monotonic. */
extern uint64_t session_end_of_rest (const struct session *n);

/* Enter REST, leave it, or begin what follows it. */
extern enum session_end session_keep_interval (struct session *n,
                                               struct error *err);

/* ------------------------------------------------------------------ */
/* session-frames.c                                                     */

/* Each sends at most a frame or two: 1 it did, 0 there is nothing to send
 * now, -1 failure.
 */
extern int session_send_next (struct session *n, struct error *err);
extern int session_send_heartbeat (struct session *n, struct error *err);

/* Tell the peer what flushes wait for, if that is to change. */
extern int session_send_promise (struct session *n, struct error *err);

/* With the promise in force records need not be durable here first. */
extern void session_set_ahead (struct session *n);

/* ------------------------------------------------------------------ */
/* session-proof.c                                                      */

/* Ask what is damaged at the peer, now and then, and pass it on. */
extern int session_look_for_wants (struct session *n, struct error *err);

/* Are there blocks to bring to the peer that differ there? */
extern bool session_mend_is_due (struct session *n);

/* Have them in n->mending; false: there are none. */
extern bool session_take_mend (struct session *n);

/* Have n->changed tell of those around n->block. */
extern void session_fill_mend (struct session *n);

/* The peer committed them. */
extern void session_mended (struct session *n);

#endif /* PAIRDISK_SESSION_INTERNAL_H */

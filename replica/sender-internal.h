/* The sender's parts: sender.c (threads, state, back-off, status) and
 * session.c and its parts (one connection: handshake, decision, copy, stream).
 */

#ifndef PAIRDISK_SENDER_INTERNAL_H
#define PAIRDISK_SENDER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lag.h"
#include "pace.h"
#include "replica.h"
#include "watcher.h"

/* How a session ended. */
enum session_end {
  SESSION_END_UNSET = 0,
  SESSION_LOST,        /* connection or peer: try again with back-off */
  SESSION_REFUSED,     /* things must change first: try again slowly */
  SESSION_FENCED,
  SESSION_RENEWED,     /* by our own doing, to begin anew at once */
  SESSION_DONE,        /* one-shot finished */
  SESSION_AGAIN,       /* to begin with a delta: at once */
  SESSION_STOPPED
};

struct sender {
  struct volume *v;
  struct sender_config config;   /* its strings are not used */
  char *uri;                     /* with the export */
  int wake_fd;                   /* the volume's: look up from the poll */
  atomic_bool stop;
  atomic_bool kicked;
  _Atomic uint64_t limit_bps;
  atomic_uint interval_ms;
  pthread_t thread;
  struct watcher *watcher;
  uint64_t target_seq;           /* of a one-shot */

  /* Guards all below. */
  pthread_mutex_t status_lock;
  struct sender_status status;   /* lag and rate are filled in when asked */
  struct lag lag;
  uint64_t session_ns;           /* monotonic start, 0: none */
  uint64_t acked_bytes;          /* frames completed */
  uint64_t retry_ns;             /* monotonic, of the next try */
  uint64_t next_ns;              /* ... of the next interval's commit */
  struct mend {                  /* blocks found to differ at the peer */
    uint64_t *block;             /* in order */
    size_t count;                /* 0: none */
    uint64_t id, done_id;
  } mend;
  struct rate {                  /* of the last seconds */
    uint64_t start_ns;
    uint64_t acked, done, committed, appended;   /* bytes at start_ns */
    double acked_bps, done_bps, committed_bps, appended_bps;
  } rate;
};

/* Set the state, with a reason or "". */
extern void sender_set_state (struct sender *s, enum sender_state state,
                              const char *reason);

/* Note what is appended here, for the age of the lag. */
extern void sender_note_lag (struct sender *s);

/* What is there at the beginning of a session was not done in it. */
extern void sender_begin_rate (struct sender *s);

extern void sender_set_wait (struct sender *s, enum sender_wait wait);

/* WAITS_INTERVAL, until this time. */
extern void sender_set_rest (struct sender *s, uint64_t until_ns);

/* The peer has committed POINT. */
extern void sender_note_committed (struct sender *s,
                                   const struct volume_point *point);

/* Connect, work until the session ends; ERR says why it did.  RET_WAS_OPEN:
 * the peer took the session, so the next back-off starts anew.
 */
extern enum session_end session_run (struct sender *s, bool *ret_was_open,
                                     struct error *err);

#endif /* PAIRDISK_SENDER_INTERNAL_H */

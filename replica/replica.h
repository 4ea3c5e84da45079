/* The link between two sites: a sender at the primary, a receiver at the
 * secondary (docs/design/replica-protocol.md).
 *
 * This is everything that other directories may use of replica/.  A sender
 * has its own threads; start it only after the process has forked.  A
 * receiver has none: it works in the threads that call it, which are
 * nbdkit's.  Nothing here prints: what is worth telling goes to the log
 * function of the configuration.
 *
 * What an acknowledgement means: a frame written with FUA is answered when
 * its records are durable in the peer's journal and, without a stage,
 * visible there.
 */

#ifndef PAIRDISK_REPLICA_H
#define PAIRDISK_REPLICA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "options.h"
#include "sync.h"
#include "uuid.h"
#include "volume.h"

#define REPLICA_SECRET_SIZE 32

/* Export name of a pair at the secondary: this and the UUID. */
#define REPLICA_EXPORT_PREFIX "@replica/"
#define REPLICA_EXPORT_NAME_SIZE (sizeof REPLICA_EXPORT_PREFIX + \
                                  UUID_STRING_SIZE)

/* Size to advertise for such an export.  Advertise no block size limits
 * (minimum 1), native FUA, multi-conn, no trim, no zero, no extents.
 */
#define REPLICA_EXPORT_SIZE (UINT64_C (1) << 62)

/* False unless NAME is REPLICA_EXPORT_PREFIX and a UUID. */
extern bool replica_export_parse (const char *name, struct uuid *ret_pair);

enum replica_log_level { REPLICA_LOG_INFO = 1, REPLICA_LOG_ERROR };

/* Takes one line without the newline; may be called on any thread, never
 * with a lock of ours held.  FN may be NULL.
 */
struct replica_log {
  void (*fn) (void *opaque, enum replica_log_level level, const char *line);
  void *opaque;
};

/* ------------------------------------------------------------------ */
/* Sender.                                                              */

struct repairer;

enum sender_state {
  SENDER_UNSET = 0,
  SENDER_OFF,         /* stopped */
  SENDER_CONNECTING,
  SENDER_INITIAL,     /* first copy */
  SENDER_DELTA,       /* what changed since the common point */
  SENDER_STREAM,      /* records as they become durable */
  SENDER_DONE,        /* a one-shot that finished */
  SENDER_WAITING,     /* back-off before the next try: see reason */
  SENDER_REFUSED,     /* cannot work as things are; retried slowly */
  SENDER_FENCED,      /* a higher fence was met: final for this sender */
  SENDER_STATE_MAX = SENDER_FENCED
};

/* The word in the control protocol: "off", "connecting", ... */
extern const char *sender_state_name (enum sender_state state);

/* The strings are copied.  Times of 0 mean the default. */
struct sender_config {
  const char *uri;          /* NBD URI of the peer's instance, no export */
  const char *export;       /* NULL: REPLICA_EXPORT_PREFIX and the pair */
  uint8_t secret[REPLICA_SECRET_SIZE];
  struct uuid pair;
  bool oneshot;             /* done when what is durable now is committed */
  unsigned interval_ms;     /* between commits; 0: as soon as it can be */
  struct sync *sync;        /* of the disk; outlives the sender */
  struct repairer *repairer;/* of the disk, NULL: none; outlives it, too */
  struct replica_options options;
  struct replica_log log;
  unsigned connect_ms;      /* 5000: connection and each page */
  unsigned dead_ms;         /* 5000: peer that completes nothing */
  unsigned heartbeat_ms;    /* 500 */
  unsigned backoff_min_ms;  /* 100 */
  unsigned backoff_max_ms;  /* 5000 */
  unsigned refused_ms;      /* 5000: between tries when refused */
  unsigned copy_bytes;      /* 2 MiB: of a frame of a copy, at most */
  unsigned cursor_bytes;    /* 4 MiB: what a broken copy sends again, at most,
                               besides the frames in flight */
};

/* What a link waits for now. */
enum sender_wait {
  WAITS_UNSET = 0,      /* it is off, done, fenced or connects */
  WAITS_WRITES,         /* all there is was sent */
  WAITS_PEER,           /* as many frames are under way as may be */
  WAITS_LIMIT,          /* the bandwidth limit */
  WAITS_MAP,            /* a new generation is not in the map here yet */
  WAITS_INTERVAL,       /* the next commit: see next_ms */
  WAITS_RETRY,          /* the next try: see reason */
};

/* The word in the control protocol, NULL for WAITS_UNSET. */
extern const char *sender_wait_name (enum sender_wait wait);

/* LINK of the control protocol. */
struct sender_status {
  enum sender_state state;
  char reason[256];         /* "" or why it waits or was refused */
  bool oneshot;
  char rule[48];            /* name of the decision, "" before the first */
  unsigned progress;        /* 0..100 of the initial or delta copy */
  uint64_t total_bytes;     /* of the disk, to look at */
  uint64_t done_bytes;      /* of the disk, looked at and shipped */
  uint64_t sent_bytes;      /* on the wire since sender_start */
  uint64_t rate_bps;        /* bytes a second, of the last seconds */
  uint64_t limit_bps;       /* 0: none */
  uint64_t data_bytes;      /* of guests, in what the peer took since
                               sender_start... */
  uint64_t data_wire_bytes; /* ...and what they were on the wire */
  enum sender_wait waits_for;
  bool has_eta;
  double eta_seconds;       /* until the copy is done, or else the lag gone */
  uint64_t retry_ms;        /* WAITS_RETRY: until the next try */
  uint64_t next_ms;         /* WAITS_INTERVAL: until the next commit begins */
  unsigned connections;     /* of this session */
  uint64_t lag_writes, lag_bytes;   /* without peer_committed: all there is */
  double lag_seconds;       /* age of the oldest record not committed there */
  bool has_peer_committed;
  struct volume_point peer_committed;
  bool initial_done;        /* the peer was seen with a commit point */
  uint64_t connects;        /* sessions opened since sender_start */
  uint64_t connected_ms;    /* age of this session, 0: none */
};

struct sender;

/* Start to replicate V, which must outlive the sender and be primary.  Fails
 * only for want of memory or threads or for a URI that makes no sense
 * (EINVAL); an unreachable peer is not a failure here.
 */
extern struct sender *sender_start (struct volume *v,
                                    const struct sender_config *config,
                                    struct error *err);

/* Disconnect, join, free.  Takes no longer than a journal read or a name
 * look-up that may be running.  NULL is fine.
 */
extern void sender_stop (struct sender *s);

/* Any thread; never waits for network or disk. */
extern void sender_get_status (struct sender *s, struct sender_status *ret);

/* Bytes a second from now on, 0 for no limit.  Any thread. */
extern void sender_set_limit (struct sender *s, uint64_t limit_bps);

/* From now on.  Any thread.  With an interval the peer shows nothing new until
 * it is over; then what changed in it is shipped as a delta, each block once,
 * and committed as a whole.
 */
extern void sender_set_interval (struct sender *s, unsigned interval_ms);

/* Bring COUNT blocks, in order, to the peer though it has taken them before:
 * they differ there.  The copies there are replaced in one step, by a delta,
 * with the next session that would only stream; the one there is ends for it.
 * A later call replaces an earlier one.
 */
extern int sender_mend (struct sender *s, const uint64_t *block, size_t count,
                        uint64_t *ret_id, struct error *err);

/* GONE: it is not known here, or was given up. */
enum sender_mend { SENDER_MEND_GONE = 0, SENDER_MEND_PENDING,
                   SENDER_MEND_DONE };
extern enum sender_mend sender_mend_state (struct sender *s, uint64_t id);

/* Forget those that no session took up yet. */
extern void sender_mend_cancel (struct sender *s);

/* End a back-off now: the other side is known to be ready. */
extern void sender_kick (struct sender *s);

/* ------------------------------------------------------------------ */
/* Receiver.                                                            */

struct receiver;        /* one for each disk that has a pair */
struct receiver_conn;   /* one for each connection to its export */

struct receiver_config {
  uint8_t secret[REPLICA_SECRET_SIZE];
  struct uuid pair;
  struct sync *sync;    /* of the disk; outlives the receiver */
  bool accept;
  struct replica_log log;
  unsigned gap_ms;      /* 10000: longest wait for a missing frame */
};

/* For any disk with a pair, primary too: after a failover that is how the
 * old primary meets the higher fence.  V must live until receiver_free
 * returns.
 */
extern struct receiver *receiver_new (struct volume *v,
                                      const struct receiver_config *config,
                                      struct error *err);

/* End the session, wait until no call is in the volume, let go of it.  Open
 * connections stay valid and refuse everything until they are closed.  NULL is
 * fine.
 */
extern void receiver_free (struct receiver *r);

/* Let sessions begin, or end the one there is and refuse others.  What is
 * staged stays.
 */
extern void receiver_set_accept (struct receiver *r, bool accept);

/* accept := false, end the session, wait until no call is in the volume, drop
 * what is staged.  Call this before volume_set_role takes the disk away from
 * being a secondary.
 */
extern int receiver_stop_and_rollback (struct receiver *r, struct error *err);

/* SOURCE and LOSS of the control protocol. */
struct receiver_status {
  bool accept;
  bool connected;           /* there is a session */
  bool was_heard;
  uint64_t heard_ms_ago;    /* if was_heard */
  bool has_known;
  struct volume_point known;/* the newest the primary told of */
  unsigned progress;        /* 0..100 of what is staged; 100 without */
  bool is_staged;           /* something is staged now */
  uint64_t loss_writes, loss_bytes;  /* known minus committed, never < 0 */
  double loss_seconds;
};

/* Any thread; never waits for network or disk.  "Known" is kept in memory:
 * after a restart it is unknown until the primary is heard.  It outlives
 * receiver_set_accept and receiver_stop_and_rollback, and the figures are
 * against the commit point as it is at the call: take the loss of a
 * promotion before the new role is set.
 */
extern void receiver_get_status (struct receiver *r,
                                 struct receiver_status *ret);

/* The nbdkit callbacks of the export.  read, write and flush may run on
 * several threads at once for one connection; close is called alone and
 * last.  They set errno to what nbdkit is to answer, and fill ERR for its
 * log.
 */
extern struct receiver_conn *receiver_conn_open (struct receiver *r,
                                                 struct error *err);
extern int receiver_conn_read (struct receiver_conn *c, void *buf,
                               uint32_t count, uint64_t offset,
                               struct error *err);
extern int receiver_conn_write (struct receiver_conn *c, const void *buf,
                                uint32_t count, uint64_t offset, bool fua,
                                struct error *err);
extern int receiver_conn_flush (struct receiver_conn *c, struct error *err);

/* Refuse everything on C from now on but to say why: it is neither TLS nor a
 * Unix socket.  Before any other call.
 */
extern void receiver_conn_require_tls (struct receiver_conn *c);

extern void receiver_conn_close (struct receiver_conn *c);

#endif /* PAIRDISK_REPLICA_H */

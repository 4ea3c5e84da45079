/* Verify: do both sides of a pair hold the same?
 *
 * The secondary tells what its blocks hold at its commit point (SUMS), this
 * side then looks at its own, while guests write and records are shipped.  A
 * block whose version here is in that commit point, or is the very version
 * there, must hold the same; one that is newer here is looked at again
 * later.  So no one is stopped, and what is reported as different did differ
 * at one commit point, twice.
 *
 * Whatever hinders it (the secondary is away, or takes a copy) it waits for.
 */

#ifndef PAIRDISK_VERIFY_H
#define PAIRDISK_VERIFY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errand.h"
#include "repair.h"

#define VERIFY_RATE_DEFAULT (UINT64_C (64) << 20)  /* bytes a second */
#define VERIFY_RANGES_MAX 64

enum verify_state {
  VERIFY_NEVER = 0,
  VERIFY_RUNNING,
  VERIFY_WAITING,            /* see reason */
  VERIFY_REPAIRING,          /* what differs is copied to the secondary */
  VERIFY_DONE,
  VERIFY_STOPPED,            /* before its end */
  VERIFY_FAILED,             /* see reason */
};
extern const char *verify_state_name (enum verify_state state);

struct verify_range {
  uint64_t block, count;
};

struct verify_status {
  enum verify_state state;
  char reason[512];
  bool repairs;
  uint64_t done_bytes, total_bytes;   /* of the disk, holes too */
  uint64_t rate_bps;                  /* 0: as fast as it goes */
  uint64_t read_bytes;                /* here */
  uint64_t differing;                 /* blocks that do, or did */
  uint64_t repaired;                  /* ... and no longer do */
  uint64_t unreadable_here, unreadable_there;
  uint64_t changing;                  /* blocks that changed at every look:
                                         they are not compared */
  unsigned ranges;                    /* of what differs: the first of them */
  struct verify_range range[VERIFY_RANGES_MAX];
  struct volume_point committed;      /* the last commit point looked at */
  double seconds;
};

/* What it works with; OPAQUE is given to each. */
struct verify_ops {
  /* How to reach the peer just now; CONFIG->uri points to URI. */
  int (*errand) (void *opaque, struct errand_config *config, char *uri,
                 struct error *err);
  /* As sender_mend, sender_mend_state, sender_mend_cancel. */
  int (*mend) (void *opaque, const uint64_t *block, size_t count,
               uint64_t *ret_id, struct error *err);
  enum sender_mend (*mend_state) (void *opaque, uint64_t id);
  void (*mend_cancel) (void *opaque);

  /* Its thread tells how far it is: when it begins, every few seconds, if
   * all before done_bytes is settled then, and with DONE or FAILED at its
   * end.  STOPPED is not told.
   */
  void (*note) (void *opaque, const struct verify_status *status);
  void *opaque;
};

struct verify {
  pthread_mutex_t lock;      /* guards all below but thread and ops */
  pthread_cond_t changed;    /* is_stopping */
  bool is_stopping;
  uint64_t began_ns, ended_ns;
  struct verify_status status;
  struct errand *errand;     /* the thread's; NULL: none */
  struct volume *volume;
  struct verify_ops ops;
  pthread_t thread;
  bool has_thread;
};

extern void verify_init (struct verify *v);
extern void verify_release (struct verify *v);

/* Begin anew; one that is running goes on with the new rate.  By one thread
 * at a time, as verify_stop; the status by any.
 */
extern int verify_start (struct verify *v, struct volume *volume,
                         const struct verify_ops *ops, uint64_t rate_bps,
                         bool repairs, struct error *err);

/* Take up one that ended in the middle, with what was noted of it. */
extern int verify_resume (struct verify *v, struct volume *volume,
                          const struct verify_ops *ops,
                          const struct verify_status *from,
                          struct error *err);

/* Stop it and wait until it has; nothing if none is running. */
extern void verify_stop (struct verify *v);

/* False: none since the start. */
extern bool verify_get_status (struct verify *v, struct verify_status *ret);

/* ------------------------------------------------------------------ */

enum verify_verdict {
  VERIFY_UNSEEN = 0,
  VERIFY_SAME,
  VERIFY_LATER,              /* newer here: to be looked at again */
  VERIFY_DIFFERENT,
  VERIFY_BAD_HERE,
  VERIFY_BAD_THERE,
};

/* Pure.  OWN was looked at after the peer had told PEER, which holds all up
 * to record COMMITTED.
 */
extern enum verify_verdict verify_judge (const struct volume_sum *own,
                                         const struct volume_sum *peer,
                                         uint64_t committed);

#endif /* PAIRDISK_VERIFY_H */

/* A scrub of one disk: a thread that verifies all that is live at a set rate.
 *
 * What it has done is written down now and then (scrubfile.h), so that it goes
 * on after a restart.
 *
 * start, resume and stop are called by one thread at a time (a disk's ops_lock
 * is held), the status by any.
 */

#ifndef PAIRDISK_SCRUB_H
#define PAIRDISK_SCRUB_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "volume.h"

#define SCRUB_RATE_DEFAULT (UINT64_C (64) << 20)  /* bytes a second */

enum scrub_state {
  SCRUB_NEVER = 0,
  SCRUB_RUNNING,
  SCRUB_DONE,
  SCRUB_STOPPED,             /* before its end */
};
extern const char *scrub_state_name (enum scrub_state state);

struct scrub_status {
  enum scrub_state state;
  uint64_t done_bytes, total_bytes;   /* of the disk, holes too */
  uint64_t rate_bps;                  /* 0: as fast as it goes */
  double seconds;                     /* how long it runs or ran */
  struct volume_scrub_result result;
};

struct scrub {
  pthread_mutex_t lock;      /* guards all below but thread */
  pthread_cond_t changed;    /* is_stopping */
  bool is_stopping;
  uint64_t began_ns, ended_ns;
  struct scrub_status status;
  struct volume *volume;
  int dirfd;                 /* of the disk's directory */
  uint64_t block;            /* the next one to look at */
  uint64_t stored_ns;
  pthread_t thread;
  bool has_thread;
};

extern void scrub_init (struct scrub *s);
extern void scrub_release (struct scrub *s);

/* Begin anew; one that is running goes on with the new rate. */
extern int scrub_start (struct scrub *s, struct volume *volume, int dirfd,
                        uint64_t rate_bps, struct error *err);

/* Take up one that a restart interrupted; nothing if there was none. */
extern int scrub_resume (struct scrub *s, struct volume *volume, int dirfd,
                         struct error *err);

/* Stop it and wait until it has; nothing if none is running.  FORGETS: it is
 * not to be taken up again.
 */
extern void scrub_stop (struct scrub *s, bool forgets);

/* False: none since the start. */
extern bool scrub_get_status (struct scrub *s, struct scrub_status *ret);

#endif /* PAIRDISK_SCRUB_H */

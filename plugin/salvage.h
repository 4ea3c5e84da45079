/* What a disk gives up when it is demoted: how much it is, and a thread that
 * saves it before anything may replace it.
 *
 * salvage_start and _stop are called by one thread at a time (the disk's
 * ops_lock is held, or nobody knows the disk yet), the status by any.
 */

#ifndef PAIRDISK_SALVAGE_H
#define PAIRDISK_SALVAGE_H

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "volume.h"

enum salvage_state {
  SALVAGE_NONE = 0,          /* nothing is to be saved */
  SALVAGE_RUNNING,
  SALVAGE_DONE,
  SALVAGE_FAILED,            /* see reason; tried again by 'demote' */
};
extern const char *salvage_state_name (enum salvage_state state);

struct salvage_status {
  enum salvage_state state;
  char file[PATH_MAX];       /* when done */
  char reason[480];          /* when failed */
  uint64_t done_bytes, total_bytes;   /* of the disk, looked at */
  uint64_t file_bytes;       /* when done */
};

struct salvage {
  pthread_mutex_t lock;      /* guards all below but thread */
  bool is_stopping;
  struct salvage_status status;
  struct volume_tail tail;   /* of what is given up, if has_tail */
  bool has_tail;
  struct volume *volume;
  char path[PATH_MAX];
  pthread_t thread;
  bool has_thread;
};

extern void salvage_init (struct salvage *s);
extern void salvage_release (struct salvage *s);

/* Do what the volume's status asks for: measure what is given up and begin to
 * save it, in a file beside DISK_PATH.  Nothing if it gives up nothing.
 */
extern int salvage_start (struct salvage *s, struct volume *volume,
                          const char *disk_path, struct error *err);

/* Stop it if it runs and wait until it has; what is complete stays. */
extern void salvage_stop (struct salvage *s);

/* False: the disk has given up nothing since the start.  RET_TAIL->writes may
 * be 0.
 */
extern bool salvage_get_status (struct salvage *s,
                                struct salvage_status *ret,
                                struct volume_tail *ret_tail);

#endif /* PAIRDISK_SALVAGE_H */

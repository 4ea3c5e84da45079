/* A request on the control socket while it is answered: what the functions of
 * the table in control-ops.c share.  They return -1 with the refusal made.
 */

#ifndef PAIRDISK_CONTROL_CALL_H
#define PAIRDISK_CONTROL_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "disks.h"
#include "error.h"

#define CONTROL_TELL_MS 1000    /* to tell the peer of a promise's end */

struct call {
  const json_t *request;
  json_t *answer;
  struct disk *disk;            /* if NEEDS_DISK */
  bool is_unlocked;             /* the function released ops_lock itself */
  const char *code;             /* of a refusal */
  struct error error;
};

extern int call_refuse (struct call *call, const char *code, int errnum,
                        const char *fmt, ...)
  __attribute__ ((format (printf, 4, 5)));

/* A function below has failed and filled call->error. */
extern int call_failed (struct call *call);

/* The disk's role is not WANTED. */
extern int call_wrong_role (struct call *call,
                            const struct volume_status *status,
                            const char *wanted);

/* Is the disk WANTED, and its link set up? */
extern int call_check_role (struct call *call, enum volume_role wanted);

/* Fields, which must be there. */
extern int call_string (struct call *call, const char *key, const char **ret);
extern int call_number (struct call *call, const char *key, uint64_t *ret);
extern int call_uuid (struct call *call, const char *key, struct uuid *ret);
extern int call_secret (struct call *call, uint8_t ret[LINK_SECRET_SIZE]);

/* Of a disk's long work: "action", and "rate_bps" (bytes a second), which may
 * be missing: *RATE_BPS stays as it is.
 */
extern int call_start_or_stop (struct call *call, bool *is_start,
                               uint64_t *rate_bps);

/* control-disk.c */
extern int op_disk_create (struct call *call);
extern int op_disk_delete (struct call *call);
extern int op_disk_resize (struct call *call);
extern int op_disk_list (struct call *call);
extern int op_disk_status (struct call *call);
extern int op_disk_digest (struct call *call);
extern int op_disk_scrub (struct call *call);

/* control-verify.c */
extern int op_disk_verify (struct call *call);

/* control-pair.c */
extern int op_pair_set (struct call *call);
extern int op_pair_clear (struct call *call);
extern int op_promote (struct call *call);

/* control-link.c */
extern int op_link_start (struct call *call);
extern int op_link_limit (struct call *call);
extern int op_link_stop (struct call *call);
extern int op_link_mode (struct call *call);
extern int op_replica_accept (struct call *call);
extern int op_replica_stop (struct call *call);

/* The link of a primary will end: what the peer relies on is taken back, if
 * it can be told.
 */
extern void link_take_promise_back (struct disk *disk);

/* control-reconcile.c */
extern int op_disk_history (struct call *call);
extern int op_pair_compare (struct call *call);
extern int op_demote (struct call *call);

#endif /* PAIRDISK_CONTROL_CALL_H */

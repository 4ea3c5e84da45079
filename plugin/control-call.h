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

extern int call_number (struct call *call, const char *key, uint64_t *ret);

/* Is the disk WANTED, and its link set up? */
extern int call_check_role (struct call *call, enum volume_role wanted);

/* control-reconcile.c */
extern int op_disk_history (struct call *call);
extern int op_pair_compare (struct call *call);
extern int op_demote (struct call *call);

#endif /* PAIRDISK_CONTROL_CALL_H */

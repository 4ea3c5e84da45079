/* Bring this site's plugin to what a pair's record says (apply.c). */

#ifndef PAIRDISK_AGENT_APPLY_H
#define PAIRDISK_AGENT_APPLY_H

#include <jansson.h>

#include "control.h"

struct agent;
struct record;

/* Bring our plugin nearer to what REC says, by one step.  STATUS is
 * that of our disk.  -1: ERR.  Once promoted, *RET_PROMOTED is the plugin's
 * answer (the caller frees).
 */
enum { APPLY_WAITS,              /* for the other site */
       APPLY_STEPPED,            /* STATUS is old now: look again */
       APPLY_DONE };             /* it is as REC says */
extern int apply_record (struct agent *agent, const struct record *rec,
                         const json_t *status, json_t **ret_promoted,
                         struct control_error *err);

#endif /* PAIRDISK_AGENT_APPLY_H */

/* Disks of this site (disks.c). */

#ifndef PAIRDISK_AGENT_DISKS_H
#define PAIRDISK_AGENT_DISKS_H

#include <jansson.h>

#include "control.h"

struct agent;
struct answer;

/* STATUS of a disk, and what it is attached to; errors of the plugin as the
 * API's; what a kill left half done.
 */
extern json_t *disk_status (struct agent *agent, const char *disk,
                            unsigned timeout_ms, struct control_error *err);
extern void answer_control_error (struct answer *answer,
                                  const struct control_error *err);
extern void disks_settle (struct agent *agent);

#endif /* PAIRDISK_AGENT_DISKS_H */

/* What a disk is attached to (disk-attach.c). */

#ifndef PAIRDISK_AGENT_DISK_ATTACH_H
#define PAIRDISK_AGENT_DISK_ATTACH_H

#include <stdbool.h>

#include <jansson.h>

struct agent;
struct record;

/* Add to the STATUS of a disk what it is attached to, on record, as
 * "instance".  Is it attached, on record or to a guest, by its STATUS?
 * What is known of both of a pair's disks, for DescribeDiskReplicaPairs;
 * STATUS is of the one here, or NULL.
 */
extern void attach_add (struct agent *agent, const char *id, json_t *status);
extern bool attach_is_on (const json_t *status);
extern void attach_describe (struct agent *agent, const struct record *rec,
                             const json_t *status, json_t *object);

#endif /* PAIRDISK_AGENT_DISK_ATTACH_H */

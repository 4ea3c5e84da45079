/* The objects of docs/design/control-protocol.md as JSON, and back.
 *
 * All return a new reference, or NULL when memory is short.
 */

#ifndef PAIRDISK_STATUS_JSON_H
#define PAIRDISK_STATUS_JSON_H

#include <jansson.h>

#include "disks.h"
#include "linkfile.h"
#include "volume.h"

/* 64 bits as 16 hex digits: generations, digests, ids. */
extern json_t *hex_to_json (uint64_t value);
/* False also for a negative number. */
extern bool number_from_json (const json_t *json, uint64_t *ret);

extern bool hex_from_json (const json_t *json, uint64_t *ret);

extern json_t *point_to_json (const struct volume_point *point);
extern bool point_from_json (const json_t *json, struct volume_point *ret);

extern json_t *loss_to_json (const struct link_loss *loss);
extern bool loss_from_json (const json_t *json, struct link_loss *ret);

/* Of volume_tail_measure. */
extern json_t *tail_to_json (const struct volume_tail *tail);

extern json_t *uuid_to_json (const struct uuid *uuid);

/* STATUS of a disk, with LINK or SOURCE as its role says. */
extern json_t *disk_to_json (struct disk *disk);

#endif /* PAIRDISK_STATUS_JSON_H */

/* STATUS of a disk, as docs/design/control-protocol.md has it. */

#ifndef PAIRDISK_STATUS_JSON_H
#define PAIRDISK_STATUS_JSON_H

#include <jansson.h>

#include "disks.h"

/* With LINK or SOURCE as its role says.  A new reference, or NULL when memory
 * is short.
 */
extern json_t *disk_to_json (struct disk *disk);

#endif /* PAIRDISK_STATUS_JSON_H */

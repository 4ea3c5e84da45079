/* REPAIR and VERIFY of docs/design/control-protocol.md as JSON.  New
 * references, NULL when memory is short.
 */

#ifndef PAIRDISK_PROOF_JSON_H
#define PAIRDISK_PROOF_JSON_H

#include <jansson.h>

#include "disks.h"

extern json_t *repair_to_json (struct disk *disk);
extern json_t *verify_to_json (struct disk *disk);   /* null: none yet */

#endif /* PAIRDISK_PROOF_JSON_H */

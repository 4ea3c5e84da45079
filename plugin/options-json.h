/* How a link is carried, as JSON: in the link file and in link.start.
 *
 *   "tls":{"certificates":DIR} | {"psk_file":FILE,"username":NAME} | null
 *   "dead_seconds":N  "connections":N  "limit_bps":N
 */

#ifndef PAIRDISK_OPTIONS_JSON_H
#define PAIRDISK_OPTIONS_JSON_H

#include <jansson.h>

#include "error.h"
#include "options.h"

extern json_t *options_to_json (const struct replica_options *options);

/* What JSON has of them; the others stay.  EINVAL: one that makes no sense.
 * Its bounds and its files are not looked at: options_check does.
 */
extern int options_from_json (const json_t *json, struct replica_options *ret,
                              struct error *err);

#endif /* PAIRDISK_OPTIONS_JSON_H */

/* Values that the files of a disk, requests and answers share, as JSON, and
 * back.
 *
 * TO return a new reference, or NULL when memory is short; FROM are false for
 * what makes no sense, and have set some of RET then.
 */

#ifndef PAIRDISK_VALUE_JSON_H
#define PAIRDISK_VALUE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "linkfile.h"
#include "uuid.h"
#include "volume.h"

/* 64 bits as 16 hex digits: generations, digests, ids. */
extern json_t *hex_to_json (uint64_t value);
extern bool hex_from_json (const json_t *json, uint64_t *ret);

/* An argument of json_pack. */
#define NUMBER(n) ((json_int_t) (n))

/* False also for a negative number. */
extern bool number_from_json (const json_t *json, uint64_t *ret);

/* The member KEY of an object. */
extern bool number_at (const json_t *object, const char *key, uint64_t *ret);

/* Null is the null UUID. */
extern json_t *uuid_to_json (const struct uuid *uuid);
extern bool uuid_from_json (const json_t *json, struct uuid *ret);

extern json_t *point_to_json (const struct volume_point *point);
extern bool point_from_json (const json_t *json, struct volume_point *ret);

extern json_t *loss_to_json (const struct link_loss *loss);
extern bool loss_from_json (const json_t *json, struct link_loss *ret);

/* Of volume_tail_measure. */
extern json_t *tail_to_json (const struct volume_tail *tail);

#endif /* PAIRDISK_VALUE_JSON_H */

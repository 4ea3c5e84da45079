/* Single values: texts in arrays, members of JSON objects, the time of day
 * (values.c).
 */

#ifndef PAIRDISK_AGENT_VALUES_H
#define PAIRDISK_AGENT_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/* Copy SRC into the array DST; false (DST then empty) when it does not fit. */
extern bool text_set (char *dst, size_t size, const char *src);
#define TEXT_SET(dst, src) text_set ((dst), sizeof (dst), (src))

/* JSON members with defaults. */
extern const char *json_text (const json_t *object, const char *name);
extern uint64_t json_u64 (const json_t *object, const char *name);

/* Milliseconds since 1970. */
extern uint64_t wall_ms (void);

#endif /* PAIRDISK_AGENT_VALUES_H */

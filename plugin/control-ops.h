/* What the requests on the control socket do. */

#ifndef PAIRDISK_CONTROL_OPS_H
#define PAIRDISK_CONTROL_OPS_H

#include <stddef.h>

#include <jansson.h>

/* Carry out the request in the LEN bytes of LINE and return the answer, or
 * NULL when memory is short.
 */
extern json_t *control_answer (const char *line, size_t len);

/* The answer to a request that could not be taken in at all. */
extern json_t *control_refusal (const char *code, int errnum,
                                const char *message);

#endif /* PAIRDISK_CONTROL_OPS_H */

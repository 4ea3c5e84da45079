/* How the data of a pair gets to its copy, beyond the vendor's API (mode.c). */

#ifndef PAIRDISK_AGENT_MODE_H
#define PAIRDISK_AGENT_MODE_H

#include <stdbool.h>

#include <jansson.h>

#include "log.h"
#include "record.h"

struct answer;
struct request;

/* Parameters of create and modify into REC.  False: ANSWER says why not. */
extern bool mode_parse (const struct request *req, struct record *rec,
                        struct answer *answer);

/* Do the values of REC go together? */
extern bool mode_fits (const struct record *rec, struct answer *answer);

/* Is nothing else asked for? */
extern bool mode_is_all (const struct request *req);

/* The request that brings the disk of STATUS to what REC says, NULL when
 * there is none.
 */
extern json_t *mode_request (const struct record *rec,
                             const json_t *status);

/* Add to a link.start what REC says of it. */
extern void mode_add_to_start (const struct record *rec, json_t *start);

/* Fields of DescribeDiskReplicaPairs. */
extern void mode_describe (const struct record *rec, const json_t *status,
                           json_t *object);

/* Those of them that say whether a failover to the disk of STATUS, a copy,
 * would lose an acknowledged flush.
 */
extern void mode_describe_zero (const json_t *status, json_t *object);

/* The enum zero of LOSS in the control protocol; its words. */
extern enum zero mode_loss_zero (const json_t *loss);
extern const char *zero_string (enum zero zero);
extern const char *zero_reason (enum zero zero);

/* The event for people that a change of the mode's state from FROM to the one
 * of STATUS is worth, NULL: none.
 */
extern const char *mode_event (const char *from, const char *to,
                               enum log_level *ret_level);

#endif /* PAIRDISK_AGENT_MODE_H */

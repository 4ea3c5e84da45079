/* What is told of a pair (describe.c). */

#ifndef PAIRDISK_AGENT_DESCRIBE_H
#define PAIRDISK_AGENT_DESCRIBE_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct agent;
struct record;

/* The newest STATUS of a pair's disk here, a new reference, and its
 * age; NULL when there is none.  One that is some seconds old, and could not
 * be had anew, says no more how things are.  Milliseconds since 1970 of the
 * last recovery point, by such a STATUS; 0: none yet.
 */
struct status_age {
  uint64_t ms;
  bool is_old;
};
extern json_t *pair_disk_status (struct agent *agent,
                                 const struct record *rec,
                                 struct status_age *ret);
extern uint64_t pair_recovery_point (struct agent *agent,
                                     const struct record *rec,
                                     const json_t *status,
                                     const struct status_age *age);

#endif /* PAIRDISK_AGENT_DESCRIBE_H */

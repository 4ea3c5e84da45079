/* What the plugin's STATUS means for a pair (monitor.c).  Pure. */

#ifndef PAIRDISK_AGENT_MONITOR_H
#define PAIRDISK_AGENT_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "states.h"

struct record;

/* What the STATUS of our disk says about a pair in an active status: an
 * event for the table, or PAIR_EVENT_UNSET.
 */
struct observation {
  enum pair_event event;
  bool has_point;
  uint64_t point_ms;             /* recovery point */
  const char *link_state;        /* NULL: none */
  const char *link_reason;
  bool is_up;                    /* data flows */
};
extern void monitor_observe (const struct record *rec, const json_t *status,
                             bool at_source, uint64_t now_ms,
                             struct observation *ret);

/* Lag of a pair by the status of our disk; absent members stay away. */
extern void monitor_describe (const struct record *rec,
                              const json_t *status, bool at_source,
                              json_t *object);

/* Progress 0..100, its details into OBJECT. */
extern int monitor_progress (const struct record *rec, const json_t *status,
                             bool at_source, json_t *object);

#endif /* PAIRDISK_AGENT_MONITOR_H */

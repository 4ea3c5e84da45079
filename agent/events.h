/* The event log (events.c). */

#ifndef PAIRDISK_AGENT_EVENTS_H
#define PAIRDISK_AGENT_EVENTS_H

#include <stdint.h>

#include "log.h"

struct agent;

/* Append to the event log (inside a transaction) and to stderr. */
extern int event_add (struct agent *agent, enum log_level level,
                      const char *actor, const char *kind,
                      const char *pair, const char *disk,
                      const char *from, const char *to,
                      const char *fmt, ...)
  __attribute__ ((format (printf, 9, 10)));

/* The same with a transaction of its own. */
extern void event_note (struct agent *agent, enum log_level level,
                        const char *actor, const char *kind,
                        const char *pair, const char *disk,
                        const char *fmt, ...)
  __attribute__ ((format (printf, 7, 8)));

/* Events of each level since the start. */
extern void events_counted (uint64_t ret[LOG_LEVEL_ERROR + 1]);

#endif /* PAIRDISK_AGENT_EVENTS_H */

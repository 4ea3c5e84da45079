/* What monitoring reads (metrics.c). */

#ifndef PAIRDISK_AGENT_METRICS_H
#define PAIRDISK_AGENT_METRICS_H

#include <stdbool.h>

#include <jansson.h>

struct agent;

/* The text for Prometheus (the caller frees it), and the answer of /healthz. */
extern char *metrics_text (struct agent *agent);
extern json_t *health_json (struct agent *agent, bool *ret_ok);

#endif /* PAIRDISK_AGENT_METRICS_H */

/* The worker: brings each pair to where its record says (work.c). */

#ifndef PAIRDISK_AGENT_WORK_H
#define PAIRDISK_AGENT_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct agent;
struct record;

extern int work_start (struct agent *agent, struct error *err);
extern void work_stop (struct agent *agent);
extern void work_wake (struct agent *agent);

/* What a passing status waits for, in words; "": nothing that takes long. */
extern void work_waits_for (struct agent *agent, const struct record *rec,
                            char *ret, size_t size);

/* Wait until our plugin is as VERSION of the record says; false: not yet. */
extern bool work_wait_applied (struct agent *agent, const char *id,
                               uint64_t version, unsigned timeout_ms);

#endif /* PAIRDISK_AGENT_WORK_H */

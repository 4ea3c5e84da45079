/* What a verb would do (dry-run.c). */

#ifndef PAIRDISK_AGENT_DRY_RUN_H
#define PAIRDISK_AGENT_DRY_RUN_H

#include "states.h"

struct agent;
struct answer;
struct record;

/* Answer what EVENT, which T does not refuse, would give up. */
extern void dry_run (struct agent *agent, const struct record *rec,
                     enum pair_event event, const struct pair_transition *t,
                     struct answer *answer);

#endif /* PAIRDISK_AGENT_DRY_RUN_H */

/* Named steps, where a test may stop a process: see steps.c. */

#ifndef PAIRDISK_STEPS_H
#define PAIRDISK_STEPS_H

#include <stdbool.h>

/* Is anybody there who wants to know? */
extern bool steps_are_watched (void);

/* Step NAME begins (what it needs is durable, nothing of it is done), or has
 * ended (what it changes is durable, nobody was told).  Returns when this
 * process may go on; without a watcher at once.
 */
extern void step_begins (const char *name);
extern void step_ended (const char *name);

/* What this thread is doing, for steps within it; NULL: nothing. */
extern void step_scope_set (const char *scope);
extern const char *step_scope (void);

#endif /* PAIRDISK_STEPS_H */

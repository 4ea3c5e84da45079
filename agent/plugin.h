/* The nbdkit instance of the site (plugin.c). */

#ifndef PAIRDISK_AGENT_PLUGIN_H
#define PAIRDISK_AGENT_PLUGIN_H

#include <stdbool.h>

#include <jansson.h>

#include "control.h"
#include "error.h"
#include "uuid.h"

struct agent;
struct plugin;

extern struct plugin *plugin_new (struct agent *agent, struct error *err);

/* Adopt or start nbdkit, then watch it in a thread. */
extern int plugin_start (struct plugin *p, struct error *err);

/* End the thread, and nbdkit too if STOP_NBDKIT. */
extern void plugin_free (struct plugin *p, bool stop_nbdkit);

/* It answered once, and its process lives. */
extern bool plugin_is_alive (struct plugin *p);

/* It did not answer the last call.  Does it answer now?  That is a call. */
extern bool plugin_is_silent (struct plugin *p);
extern bool plugin_answers (struct plugin *p);

/* The address others reach our data at: HOST:PORT, data-address if given.
 * Returns RET.
 */
#define DATA_ADDRESS_SIZE 256
extern const char *plugin_data_address (struct plugin *p,
                                        char ret[DATA_ADDRESS_SIZE]);

/* Which process of nbdkit was last heard; "" when none was. */
extern void plugin_instance (struct plugin *p, char ret[UUID_STRING_SIZE]);

/* control_call with the plugin's socket. */
extern json_t *plugin_call (struct plugin *p, json_t *request,
                            unsigned timeout_ms, struct control_error *err);

#endif /* PAIRDISK_AGENT_PLUGIN_H */

/* Helpers of plugin.c: the command, the process, the disks that are there. */

#ifndef PAIRDISK_PLUGIN_INTERNAL_H
#define PAIRDISK_PLUGIN_INTERNAL_H

#include <stddef.h>
#include <sys/types.h>

#include <jansson.h>

#include "error.h"

struct agent;
struct settings;

/* Argument vector and environment of nbdkit, made before the fork. */
struct plugin_command {
  char *argv[16];
  char **env;
  size_t pid_index;              /* of LISTEN_PID, filled in by the child */
  int nfds;                      /* listening sockets from 3 on */
  char *text[3];                 /* what argv points to and must be freed */
};

/* C->nfds is set.  -1: nothing to release. */
extern int plugin_command_make (struct plugin_command *c,
                                const struct settings *settings,
                                const char *disks, const char *control,
                                struct error *err);
extern void plugin_command_release (struct plugin_command *c);

/* Start it with the listening sockets FDS and its messages to LOG_FD.  The
 * process is nobody's child that we could wait for.
 */
extern pid_t plugin_spawn (const struct plugin_command *c, const int fds[2],
                           int log_fd, struct error *err);

/* FN for the STATUS of each disk of the plugin, by name. */
extern void plugin_each_disk (struct agent *agent,
                              void (*fn) (struct agent *agent,
                                          const json_t *status,
                                          void *opaque),
                              void *opaque);

/* Put disks that are in the site directory but not in the store there. */
extern void plugin_adopt_disks (struct agent *agent);

#endif /* PAIRDISK_PLUGIN_INTERNAL_H */

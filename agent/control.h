/* Client of the plugin's control socket (control.c). */

#ifndef PAIRDISK_AGENT_CONTROL_H
#define PAIRDISK_AGENT_CONTROL_H

#include <jansson.h>

struct control_error {
  char code[32];                 /* of the plugin; "unreachable" when it does
                                    not answer */
  char message[480];
};

/* Send REQUEST (stolen), wait for the answer.  NULL: ERR is filled. */
extern json_t *control_call (const char *path, json_t *request,
                             unsigned timeout_ms,
                             struct control_error *err);

#endif /* PAIRDISK_AGENT_CONTROL_H */

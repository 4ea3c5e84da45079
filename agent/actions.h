/* Actions of the API: a request, its answer, and who carries it out
 * (actions.c).
 *
 * Each action is in the file of its noun: disks*.c, events.c, actions-pair.c,
 * describe.c, tags.c, regions.c, join.c, keys.c.
 */

#ifndef PAIRDISK_AGENT_ACTIONS_H
#define PAIRDISK_AGENT_ACTIONS_H

#include <stdbool.h>

#include <jansson.h>

#include "apierror.h"
#include "params.h"

struct agent;

enum key_role { KEY_ROLE_UNSET = 0, KEY_ROLE_READ_ONLY, KEY_ROLE_OPERATOR };

#define KEY_ID_SIZE 65

struct request {
  struct params params;
  const char *action, *region;
  char client[128];              /* who: "local", a key and an address */
  char key_id[KEY_ID_SIZE];      /* access key, "" if not signed */
  enum key_role role;
  bool is_local;                 /* unsigned, by the Unix socket */
  bool is_forwarded;             /* came from another site, which checked */
};

struct answer {
  json_t *body;                  /* without RequestId; NULL: {} */
  enum api_error error;
  const char *name1, *name2;     /* for the error's "%s"; static */
  char recommend[480];           /* "": the error's own hint */
};

/* Set the error; FMT (may be NULL) is the next step for a person. */
extern void answer_error (struct answer *a, enum api_error error,
                          const char *name, const char *fmt, ...)
  __attribute__ ((format (printf, 4, 5)));

/* Carry out REQ.  Sets the HTTP status and returns the JSON to send. */
extern json_t *actions_run (struct agent *agent, struct request *req,
                            int *ret_http);

/* The JSON of an error outside any action. */
extern json_t *error_body (struct agent *agent, enum api_error error,
                           const char *name, const char *recommend);

/* Actions that take a token finish here: the effect, the event and the
 * remembered answer are one transaction.
 */
struct work_token {
  char key[512];                 /* "": no token */
  char digest[65];
};
extern int token_remember (struct agent *agent, const struct work_token *t,
                           const json_t *body);

typedef void action_fn (struct agent *agent, struct request *req,
                        const struct work_token *token,
                        struct answer *answer);
extern action_fn action_create_disk, action_delete_disk, action_scrub_disk,
  action_verify_disk, action_attach_disk, action_detach_disk,
  action_resize_disk, action_describe_disks, action_describe_events,
  action_describe_site,
  action_create_pair, action_start_pair, action_stop_pair,
  action_failover_pair, action_reprotect_pair, action_delete_pair,
  action_modify_pair,
  action_describe_pairs, action_describe_progress,
  action_create_invitation, action_join_site, action_rotate_site,
  action_remove_site,
  action_describe_regions, action_list_edges,
  action_tag_resources, action_untag_resources, action_list_tag_resources,
  action_change_resource_group,
  action_create_key, action_update_key, action_delete_key, action_list_keys;

#endif /* PAIRDISK_AGENT_ACTIONS_H */

/* Access keys: CreateAccessKey, UpdateAccessKey, DeleteAccessKey,
 * ListAccessKeys (see auth.h).  Only by the Unix socket.
 *
 * The secret is in the answer of CreateAccessKey and nowhere else; so such
 * a call takes no ClientToken, whose memory would keep it.
 */

#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "actions.h"
#include "agent.h"
#include "apierror.h"
#include "auth.h"
#include "cleanup.h"
#include "crypto.h"
#include "events.h"
#include "log.h"
#include "names.h"
#include "params.h"
#include "store.h"
#include "values.h"

#define ID_CHARS 20
#define SECRET_CHARS 40

static void
refuse (struct answer *answer, enum api_error error, const char *name,
        const char *hint)
{
  answer_error (answer, error, name, hint ? "%s" : NULL, hint);
}

/* N letters and digits, each as likely as any other. */
static void
random_word (char *ret, size_t n)
{
  static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "abcdefghijklmnopqrstuvwxyz0123456789";
  uint8_t byte;

  while (n > 0) {
    random_bytes (&byte, 1);
    if (byte >= 248)             /* 4 * 62 */
      continue;
    *ret++ = chars[byte % 62];
    n--;
  }
  *ret = '\0';
}

static bool
parse_key (const struct request *req, struct access_key *key,
           struct answer *answer)
{
  const char *id = params_get (&req->params, "UserAccessKeyId");
  const char *secret = params_get (&req->params, "AccessKeySecret");
  const char *description = params_get (&req->params, "Description");

  key->role = key_role_parse (params_get (&req->params, "Role"));
  key->is_active = true;
  key->create_time = wall_ms () / 1000;
  if (key->role == KEY_ROLE_UNSET)
    refuse (answer, API_INVALID_PARAMETER, "Role",
            "give operator or read-only");
  else if (description && *description &&
           (!description_valid (description) ||
            !TEXT_SET (key->description, description)))
    refuse (answer, API_INVALID_PARAMETER, "Description", NULL);
  else if ((id == NULL) != (secret == NULL))
    refuse (answer, API_MISSING_NAME,
            id ? "AccessKeySecret" : "UserAccessKeyId",
            "give both to bring a key along, or neither");
  else if (id && (!key_id_valid (id) || !TEXT_SET (key->id, id)))
    refuse (answer, API_INVALID_PARAMETER, "UserAccessKeyId", NULL);
  else if (secret && (!key_secret_valid (secret) ||
                      !TEXT_SET (key->secret, secret)))
    refuse (answer, API_INVALID_PARAMETER, "AccessKeySecret", NULL);
  if (answer->error == API_OK && id == NULL) {
    memcpy (key->id, "PD", 2);
    random_word (key->id + 2, ID_CHARS);
    random_word (key->secret, SECRET_CHARS);
  }
  return answer->error == API_OK;
}

/* In a transaction. */
static bool
add_key (struct agent *agent, const struct request *req,
         const struct access_key *key, struct answer *answer)
{
  CLEANUP_FREE struct access_key *other = malloc (sizeof *other);
  CLEANUP_FREE struct access_key *list = NULL;
  ssize_t n = store_key_list (agent->store, &list);
  int r = other ? store_key_get (agent->store, key->id, other) : -1;

  if (n >= KEYS_MAX && r == 0)
    refuse (answer, API_QUOTA_EXCEED, NULL, "a site takes 50 access keys");
  else if (r == 1)
    refuse (answer, API_OPERATION_DENIED, NULL,
            "there is a key of that id; delete it first");
  else if (n == -1 || r == -1 || store_key_put (agent->store, key) == -1 ||
           event_add (agent, LOG_LEVEL_INFO, req->client, "key-created", "",
                      "", "", "", "access key %s, %s", key->id,
                      key_role_string (key->role)) == -1)
    refuse (answer, API_INTERNAL, NULL, NULL);
  return answer->error == API_OK;
}

static json_t *
describe_key (const struct access_key *key)
{
  return json_pack ("{s:s, s:s, s:s, s:s, s:I}", "AccessKeyId", key->id,
                    "Role", key_role_string (key->role),
                    "Status", key->is_active ? "Active" : "Inactive",
                    "Description", key->description,
                    "CreateTime", (json_int_t) key->create_time);
}

void
action_create_key (struct agent *agent, struct request *req,
                   const struct work_token *token, struct answer *answer)
{
  CLEANUP_FREE struct access_key *key = calloc (1, sizeof *key);
  bool ok;

  (void) token;
  if (key == NULL || !parse_key (req, key, answer))
    return;
  if (store_begin (agent->store) == -1) {
    refuse (answer, API_INTERNAL, NULL, NULL);
    return;
  }
  ok = add_key (agent, req, key, answer);
  if (store_end (agent->store, ok) == -1 && ok)
    refuse (answer, API_INTERNAL, NULL, NULL);
  if (answer->error == API_OK) {
    answer->body = describe_key (key);
    json_object_set_new (answer->body, "AccessKeySecret",
                         json_string (key->secret));
  }
  explicit_bzero (key, sizeof *key);
}

/* Delete the key of the call (STATUS NULL), or give it that status. */
static void
change_key (struct agent *agent, const struct request *req,
            const char *status, struct answer *answer)
{
  const char *id = params_get (&req->params, "UserAccessKeyId");
  CLEANUP_FREE struct access_key *key = malloc (sizeof *key);
  int r;

  if (key == NULL || store_begin (agent->store) == -1) {
    refuse (answer, API_INTERNAL, NULL, NULL);
    return;
  }
  r = store_key_get (agent->store, id, key);
  if (r == 1 && status == NULL)
    r = store_key_remove (agent->store, id) == -1 ? -1 : 1;
  else if (r == 1) {
    key->is_active = strcmp (status, "Active") == 0;
    r = store_key_put (agent->store, key) == -1 ? -1 : 1;
  }
  if (r == 1 &&
      event_add (agent, LOG_LEVEL_INFO, req->client,
                 status ? "key-changed" : "key-deleted", "", "", "", "",
                 "access key %s%s%s", id, status ? ", " : "",
                 status ? status : "") == -1)
    r = -1;
  explicit_bzero (key, sizeof *key);
  if (store_end (agent->store, r == 1) == -1)
    r = -1;
  if (r == 0)
    refuse (answer, API_NO_SUCH_RESOURCE, NULL, "there is no such key");
  else if (r == -1)
    refuse (answer, API_INTERNAL, NULL, NULL);
}

void
action_update_key (struct agent *agent, struct request *req,
                   const struct work_token *token, struct answer *answer)
{
  const char *status = params_get (&req->params, "Status");

  (void) token;
  if (strcmp (status, "Active") != 0 && strcmp (status, "Inactive") != 0)
    refuse (answer, API_INVALID_PARAMETER, "Status",
            "give Active or Inactive");
  else
    change_key (agent, req, status, answer);
}

void
action_delete_key (struct agent *agent, struct request *req,
                   const struct work_token *token, struct answer *answer)
{
  (void) token;
  change_key (agent, req, NULL, answer);
}

void
action_list_keys (struct agent *agent, struct request *req,
                  const struct work_token *token, struct answer *answer)
{
  CLEANUP_FREE struct access_key *list = NULL;
  json_t *array = json_array ();
  ssize_t n, i;

  (void) req;
  (void) token;
  answer->body = json_pack ("{s:o}", "AccessKeys", array);
  store_enter (agent->store);
  n = store_key_list (agent->store, &list);
  store_leave (agent->store);
  if (n == -1) {
    refuse (answer, API_INTERNAL, NULL, NULL);
    return;
  }
  for (i = 0; i < n; ++i)
    json_array_append_new (array, describe_key (&list[i]));
  if (n > 0)
    explicit_bzero (list, n * sizeof *list);
}

/* The table of actions, and what is common to all (see actions.h): version,
 * region, forwarding, required parameters, client tokens.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "actions.h"
#include "agent.h"
#include "apierror.h"
#include "cleanup.h"
#include "crypto.h"
#include "error.h"
#include "log.h"
#include "names.h"
#include "params.h"
#include "peer.h"
#include "store.h"
#include "uuid.h"
#include "values.h"

#define API_VERSION "2021-07-30"
#define FORWARD_TIMEOUT_MS 2500

enum action_flag {
  TAKES_TOKEN = 1,               /* has an effect: ClientToken counts */
  ANY_REGION = 2,                /* RegionId is optional: else ours */
  NO_FORWARD = 4,                /* any site answers for all regions */
  LOCAL_ONLY = 8,                /* only unsigned by the Unix socket */
};

struct action {
  const char *name;
  action_fn *run;
  unsigned flags;
  const char *required[6];       /* besides RegionId; NULL ends it early */
};

static const struct action actions[] = {
  { "CreateDiskReplicaPair", action_create_pair, TAKES_TOKEN,
    { "SourceZoneId", "DiskId", "DestinationRegionId", "DestinationDiskId",
      "DestinationZoneId", NULL } },
  { "StartDiskReplicaPair", action_start_pair, TAKES_TOKEN,
    { "ReplicaPairId", NULL } },
  { "StopDiskReplicaPair", action_stop_pair, TAKES_TOKEN,
    { "ReplicaPairId", NULL } },
  { "FailoverDiskReplicaPair", action_failover_pair, TAKES_TOKEN,
    { "ReplicaPairId", NULL } },
  { "ReprotectDiskReplicaPair", action_reprotect_pair, TAKES_TOKEN,
    { "ReplicaPairId", NULL } },
  { "DeleteDiskReplicaPair", action_delete_pair, TAKES_TOKEN,
    { "ReplicaPairId", NULL } },
  { "ModifyDiskReplicaPair", action_modify_pair, TAKES_TOKEN,
    { "ReplicaPairId", NULL } },
  { "DescribeDiskReplicaPairs", action_describe_pairs, 0, { NULL } },
  { "DescribeDiskReplicaPairProgress", action_describe_progress, 0,
    { "ReplicaPairId", NULL } },
  { "DescribeRegions", action_describe_regions, ANY_REGION | NO_FORWARD,
    { NULL } },
  { "ListReplicaEdgeSupported", action_list_edges, 0, { "Azone", NULL } },
  /* These have codes of their own for what is missing. */
  { "TagResources", action_tag_resources, TAKES_TOKEN, { NULL } },
  { "UntagResources", action_untag_resources, TAKES_TOKEN, { NULL } },
  { "ListTagResources", action_list_tag_resources, 0, { NULL } },
  { "ChangeResourceGroup", action_change_resource_group, TAKES_TOKEN,
    { NULL } },
  { "CreateDisk", action_create_disk, TAKES_TOKEN | ANY_REGION,
    { "DiskName", "Size", NULL } },
  { "DeleteDisk", action_delete_disk, TAKES_TOKEN | ANY_REGION,
    { "DiskId", NULL } },
  { "ResizeDisk", action_resize_disk, TAKES_TOKEN | ANY_REGION,
    { "DiskId", NULL } },
  { "AttachDisk", action_attach_disk, TAKES_TOKEN | ANY_REGION,
    { "DiskId", "InstanceId", NULL } },
  { "DetachDisk", action_detach_disk, TAKES_TOKEN | ANY_REGION,
    { "DiskId", NULL } },
  { "ScrubDisk", action_scrub_disk, TAKES_TOKEN | ANY_REGION,
    { "DiskId", NULL } },
  { "VerifyDisk", action_verify_disk, TAKES_TOKEN | ANY_REGION,
    { "DiskId", NULL } },
  { "DescribeDisks", action_describe_disks, ANY_REGION, { NULL } },
  { "DescribeEvents", action_describe_events, ANY_REGION, { NULL } },
  { "DescribeSite", action_describe_site, ANY_REGION, { NULL } },
  { "CreateInvitation", action_create_invitation, ANY_REGION | LOCAL_ONLY,
    { NULL } },
  { "JoinSite", action_join_site, ANY_REGION | LOCAL_ONLY, { "Token", NULL } },
  { "RotateSite", action_rotate_site, ANY_REGION | LOCAL_ONLY, { NULL } },
  { "RemoveSite", action_remove_site, ANY_REGION | LOCAL_ONLY,
    { "PeerRegionId", NULL } },
  { "CreateAccessKey", action_create_key, ANY_REGION | LOCAL_ONLY,
    { "Role", NULL } },
  { "UpdateAccessKey", action_update_key, ANY_REGION | LOCAL_ONLY,
    { "UserAccessKeyId", "Status", NULL } },
  { "DeleteAccessKey", action_delete_key, ANY_REGION | LOCAL_ONLY,
    { "UserAccessKeyId", NULL } },
  { "ListAccessKeys", action_list_keys, ANY_REGION | LOCAL_ONLY, { NULL } },
};

#define NACTIONS (sizeof actions / sizeof actions[0])

static const struct action *
action_find (const char *name)
{
  size_t i;

  for (i = 0; i < NACTIONS; ++i) {
    if (strcmp (actions[i].name, name) == 0)
      return &actions[i];
  }
  return NULL;
}

/* ------------------------------------------------------------------ */
/* Answers.                                                             */

void
answer_error (struct answer *a, enum api_error error, const char *name,
              const char *fmt, ...)
{
  va_list args;

  a->error = error;
  a->name1 = name;
  a->recommend[0] = '\0';
  if (fmt) {
    va_start (args, fmt);
    vsnprintf (a->recommend, sizeof a->recommend, fmt, args);
    va_end (args);
  }
}

static void
request_id (char ret[UUID_STRING_SIZE])
{
  struct uuid uuid;
  char *p;

  uuid_generate (&uuid);
  uuid_format (&uuid, ret);
  for (p = ret; *p; ++p) {
    if (*p >= 'a' && *p <= 'f')
      *p -= 'a' - 'A';
  }
}

static json_t *
make_error (struct agent *agent, enum api_error error, const char *name1,
            const char *name2, const char *recommend)
{
  struct api_error_text text;
  char id[UUID_STRING_SIZE];

  api_error_format (error, name1, name2, &text);
  request_id (id);
  return json_pack ("{s:s, s:s, s:s, s:s, s:s}",
                    "RequestId", id,
                    "HostId", agent->settings.region,
                    "Code", text.code,
                    "Message", text.message,
                    "Recommend", recommend && *recommend ? recommend
                    : api_error_info (error)->hint);
}

json_t *
error_body (struct agent *agent, enum api_error error, const char *name,
            const char *recommend)
{
  return make_error (agent, error, name, NULL, recommend);
}

static json_t *
finish (struct agent *agent, struct answer *a, int *ret_http)
{
  char id[UUID_STRING_SIZE];
  json_t *json;

  if (a->error != API_OK) {
    *ret_http = api_error_info (a->error)->http;
    json_decref (a->body);
    return make_error (agent, a->error, a->name1, a->name2, a->recommend);
  }
  *ret_http = 200;
  request_id (id);
  json = json_pack ("{s:s}", "RequestId", id);
  if (json && a->body)
    json_object_update (json, a->body);
  json_decref (a->body);
  return json;
}

/* ------------------------------------------------------------------ */
/* Client tokens.                                                       */

/* Calls being worked on: their keys.  Guarded by busy_lock. */
struct busy {
  struct busy *next;
  const char *key;
};

static pthread_mutex_t busy_lock = PTHREAD_MUTEX_INITIALIZER;
static struct busy *busy_list;

static bool
busy_enter (struct busy *b, const char *key)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&busy_lock);
  struct busy *other;

  for (other = busy_list; other; other = other->next) {
    if (strcmp (other->key, key) == 0)
      return false;
  }
  b->key = key;
  b->next = busy_list;
  busy_list = b;
  return true;
}

static void
busy_leave (struct busy *b)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&busy_lock);
  struct busy **p = &busy_list;

  while (*p != b)
    p = &(*p)->next;
  *p = b->next;
}

/* Not part of what a token stands for. */
static bool
is_gateway_param (const char *name)
{
  static const char *const names[] = {
    "Action", "Version", "Signature", "SignatureNonce", "Timestamp",
    "Format", "SignatureMethod", "SignatureVersion", "AccessKeyId",
    "SecurityToken", "ClientToken", NULL
  };
  size_t i;

  for (i = 0; names[i]; ++i) {
    if (strcmp (names[i], name) == 0)
      return true;
  }
  return false;
}

static int
params_digest (const struct params *p, char ret[65])
{
  json_t *json = json_object ();
  uint8_t mac[HMAC_SIZE];
  char *text;
  size_t i;

  /* The first value of a name counts, as for the action itself. */
  for (i = p->count; json && i-- > 0; ) {
    if (!is_gateway_param (p->table[i].name))
      json_object_set_new (json, p->table[i].name,
                           json_string (p->table[i].value));
  }
  text = json ? json_dumps (json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
  json_decref (json);
  if (text == NULL)
    return -1;
  hmac_sha256 ("token", 5, text, strlen (text), mac);
  hex_encode (mac, sizeof mac, ret);
  free (text);
  return 0;
}

static bool
token_parse (const struct request *req, struct work_token *t,
             struct answer *answer)
{
  const char *token = params_get (&req->params, "ClientToken");

  t->key[0] = '\0';
  if (token == NULL || *token == '\0')
    return true;
  if (!client_token_valid (token)) {
    answer_error (answer, API_INVALID_PARAMETER, "ClientToken", NULL);
    return false;
  }
  if ((size_t) snprintf (t->key, sizeof t->key, "%s|%s|%s|%s",
                         req->key_id, req->region, req->action,
                         token) >= sizeof t->key) {
    answer_error (answer, API_INVALID_PARAMETER, "RegionId", NULL);
    return false;
  }
  if (params_digest (&req->params, t->digest) == -1) {
    answer_error (answer, API_INTERNAL, NULL, NULL);
    return false;
  }
  return true;
}

int
token_remember (struct agent *agent, const struct work_token *t,
                const json_t *body)
{
  char *text;
  int r;

  if (t->key[0] == '\0')
    return 0;
  text = body ? json_dumps (body, JSON_COMPACT) : strdup ("{}");
  if (text == NULL)
    return -1;
  r = store_token_put (agent->store, t->key, t->digest, text);
  free (text);
  return r;
}

/* True: the call was made before, ANSWER is what it was told. */
static bool
token_recall (struct agent *agent, const struct work_token *t,
              struct answer *answer)
{
  char digest[65];
  CLEANUP_FREE char *text = NULL;
  int r;

  store_enter (agent->store);
  r = store_token_get (agent->store, t->key, digest, &text);
  store_leave (agent->store);
  if (r == -1)
    answer_error (answer, API_INTERNAL, NULL, NULL);
  else if (r == 1 && strcmp (digest, t->digest) != 0)
    answer_error (answer, API_IDEMPOTENT_PARAMETER_MISMATCH, NULL, NULL);
  else if (r == 1)
    answer->body = json_loads (text, 0, NULL);
  return r != 0;
}

static void
run_with_token (struct agent *agent, const struct action *action,
                struct request *req, struct answer *answer)
{
  struct work_token token;
  struct busy busy;

  if (!token_parse (req, &token, answer))
    return;
  if (token.key[0] == '\0') {
    action->run (agent, req, &token, answer);
    return;
  }
  if (!busy_enter (&busy, token.key)) {
    answer_error (answer, API_LAST_TOKEN_PROCESSING, NULL, NULL);
    return;
  }
  if (!token_recall (agent, &token, answer))
    action->run (agent, req, &token, answer);
  busy_leave (&busy);
}

/* ------------------------------------------------------------------ */
/* Regions.                                                             */

/* Let the site of the region answer.  NULL: ANSWER has the error. */
static json_t *
forward (struct peer *peer, const struct request *req,
         struct answer *answer, int *ret_http)
{
  struct error err = ERROR_INIT;
  json_t *params = json_object (), *reply, *body;
  size_t i;

  for (i = req->params.count; i-- > 0; )
    json_object_set_new (params, req->params.table[i].name,
                         json_string (req->params.table[i].value));
  json_object_set_new (params, "RegionId", json_string (req->region));
  reply = peer_call (peer, "forward",
                     json_pack ("{s:o, s:s, s:s}", "params", params,
                                "key", req->key_id, "client", req->client),
                     FORWARD_TIMEOUT_MS, &err);
  if (reply == NULL) {
    answer_error (answer, API_SERVICE_UNAVAILABLE, NULL,
                  "the site of region %s cannot be reached from here (%s); "
                  "call it there, or look at DescribeSite", req->region,
                  err.message);
    return NULL;
  }
  body = json_incref (json_object_get (reply, "body"));
  *ret_http = json_u64 (reply, "http");
  json_decref (reply);
  if (!json_is_object (body) || *ret_http < 200 || *ret_http > 599) {
    json_decref (body);
    answer_error (answer, API_INTERNAL, NULL, NULL);
    return NULL;
  }
  return body;
}

/* May this caller do this? */
static bool
check_role (const struct action *action, const struct request *req,
            struct answer *answer)
{
  if ((action->flags & LOCAL_ONLY) && !req->is_local) {
    answer_error (answer, API_FORBIDDEN_ACTION, NULL,
                  "access keys and sites are managed on the site's own "
                  "machine, with pairctl");
    return false;
  }
  if ((action->flags & TAKES_TOKEN) && req->role != KEY_ROLE_OPERATOR) {
    answer_error (answer, API_FORBIDDEN_ACTION, NULL,
                  "the access key is read-only");
    return false;
  }
  return true;
}

/* Fill in action, version and region; false: ANSWER has the error. */
static const struct action *
check_gateway (struct agent *agent, struct request *req,
               struct answer *answer)
{
  const char *version = params_get (&req->params, "Version");
  const struct action *action;

  req->action = params_get (&req->params, "Action");
  if (req->action == NULL) {
    answer_error (answer, API_MISSING_NAME, "Action", NULL);
    return NULL;
  }
  action = action_find (req->action);
  if (action == NULL) {
    answer_error (answer, API_NO_SUCH_API, NULL, NULL);
    return NULL;
  }
  if (version == NULL && !req->is_local && !req->is_forwarded) {
    answer_error (answer, API_MISSING_NAME, "Version", NULL);
    return NULL;
  }
  if (version && strcmp (version, API_VERSION) != 0) {
    answer_error (answer, API_INVALID_VERSION, NULL, NULL);
    return NULL;
  }
  if (!check_role (action, req, answer))
    return NULL;
  req->region = params_get (&req->params, "RegionId");
  if (req->region == NULL || *req->region == '\0') {
    if (!req->is_local && !(action->flags & ANY_REGION)) {
      answer_error (answer, API_MISSING_NAME, "RegionId", NULL);
      return NULL;
    }
    req->region = agent->settings.region;
  }
  return action;
}

static bool
check_required (const struct action *action, const struct request *req,
                struct answer *answer)
{
  size_t i;

  for (i = 0; i < 6 && action->required[i]; ++i) {
    const char *value = params_get (&req->params, action->required[i]);

    if (value == NULL || *value == '\0') {
      answer_error (answer, API_MISSING_NAME, action->required[i], NULL);
      return false;
    }
  }
  return true;
}

json_t *
actions_run (struct agent *agent, struct request *req, int *ret_http)
{
  struct answer answer = { .error = API_OK };
  const struct action *action = check_gateway (agent, req, &answer);
  struct peer *peer;
  json_t *json;

  if (action == NULL)
    return finish (agent, &answer, ret_http);
  if (strcmp (req->region, agent->settings.region) != 0 &&
      !req->is_forwarded && !(action->flags & (NO_FORWARD | LOCAL_ONLY)) &&
      (peer = peer_find (agent, req->region)) != NULL) {
    json = forward (peer, req, &answer, ret_http);
    return json ? json : finish (agent, &answer, ret_http);
  }
  if (check_required (action, req, &answer)) {
    if (action->flags & TAKES_TOKEN)
      run_with_token (agent, action, req, &answer);
    else
      action->run (agent, req, NULL, &answer);
  }
  if (answer.error != API_OK) {
    struct api_error_text text;

    api_error_format (answer.error, answer.name1, answer.name2, &text);
    log_info ("api: %s %s: refused, %s", req->client, action->name,
              text.code);
  }
  return finish (agent, &answer, ret_http);
}

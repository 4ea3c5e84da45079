/* Calls from the other sites: POST /peer/VERB (see peer.h, peer.c).
 *
 *   hello    who we are, where our nbdkit listens
 *   check    may this disk become the destination of a pair?
 *   disk     STATUS of a disk
 *   pair     exchange of a pair's record
 *   history  what a disk's plugin tells of its history
 *   compare  what this disk has beyond the history that is given
 *   forward  an action of the API for our region
 *
 * A call counts once, and only near its time: the nonces of the last two
 * windows are remembered, and what is older than this process is refused,
 * since the nonces of the one before are forgotten.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "actions.h"
#include "agent.h"
#include "apierror.h"
#include "change.h"
#include "claim.h"
#include "cleanup.h"
#include "control.h"
#include "crypto.h"
#include "disk-attach.h"
#include "disks.h"
#include "log.h"
#include "names.h"
#include "params.h"
#include "peer-internal.h"
#include "peer.h"
#include "plugin.h"
#include "record.h"
#include "runtime.h"
#include "settings.h"
#include "states.h"
#include "store.h"
#include "transitions.h"
#include "values.h"
#include "work.h"

#define NONCES_MAX 32768
#define STATUS_TIMEOUT_MS 1000
#define APPLY_TIMEOUT_MS 1200

/* ------------------------------------------------------------------ */
/* Authentication.                                                      */

/* A ring of nonces by arrival; entries past the window may be overwritten.
 * Guarded by nonce_lock.
 */
static pthread_mutex_t nonce_lock = PTHREAD_MUTEX_INITIALIZER;
static struct { char nonce[33]; uint64_t time_ms; } nonces[NONCES_MAX];
static size_t nonce_next;

/* True if it was not there and is now. */
static bool
nonce_take (const char *nonce, uint64_t now)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&nonce_lock);
  uint64_t life = 2 * PEER_WINDOW_MS;
  size_t i;

  if (nonces[nonce_next].time_ms + life > now)
    return false;                /* full: refuse rather than forget */
  /* Newest first, until they are too old to matter. */
  for (i = 1; i <= NONCES_MAX; ++i) {
    size_t at = (nonce_next + NONCES_MAX - i) % NONCES_MAX;

    if (nonces[at].time_ms + life <= now)
      break;
    if (strcmp (nonces[at].nonce, nonce) == 0)
      return false;
  }
  TEXT_SET (nonces[nonce_next].nonce, nonce);
  nonces[nonce_next].time_ms = now;
  nonce_next = (nonce_next + 1) % NONCES_MAX;
  return true;
}

struct auth {
  char time_ms[24], nonce[33], mac[65];
};

/* "TIME:NONCE:MAC" */
static bool
parse_auth (const char *text, struct auth *ret)
{
  const char *a, *b;

  if (text == NULL || strlen (text) > 160)
    return false;
  a = strchr (text, ':');
  b = a ? strchr (a + 1, ':') : NULL;
  if (b == NULL || a - text >= (int) sizeof ret->time_ms || b - a - 1 != 32 ||
      strlen (b + 1) != 64)
    return false;
  snprintf (ret->time_ms, sizeof ret->time_ms, "%.*s", (int) (a - text),
            text);
  snprintf (ret->nonce, sizeof ret->nonce, "%.32s", a + 1);
  snprintf (ret->mac, sizeof ret->mac, "%.64s", b + 1);
  return true;
}

/* Is the call of now, and the first of its kind?  NULL, else why not. */
static const char *
check_time (struct agent *agent, const struct auth *auth)
{
  uint64_t now = wall_ms (), then;

  if (!uint_parse (auth->time_ms, INT64_MAX, &then) ||
      then + PEER_WINDOW_MS < now || then > now + PEER_WINDOW_MS)
    return "the clocks of the sites differ by more than a minute";
  if (then < agent->start_ms)
    return "the call is older than this agent";
  if (!nonce_take (auth->nonce, now))
    return "the call was made before";
  return NULL;
}

/* NULL: fine, else why not. */
static const char *
check_auth (struct agent *agent, const char *verb, const struct auth *auth,
            const char *body, size_t len, struct peer **ret_from,
            struct secret *ret_secret)
{
  if (agent->npeers == 0)
    return "this site has no site secret, and no site was joined";
  *ret_from = peer_verify (agent, "request", verb, auth->time_ms,
                           auth->nonce, body, len, auth->mac, ret_secret);
  if (*ret_from == NULL)
    return "the site secrets differ";
  return check_time (agent, auth);
}

/* ------------------------------------------------------------------ */
/* May this disk become a destination?                                  */

struct refusal {
  enum api_error error;
  char message[480];
};

static json_t * __attribute__ ((format (printf, 3, 4)))
refuse (struct refusal *ret, enum api_error error, const char *fmt, ...)
{
  va_list args;

  ret->error = error;
  va_start (args, fmt);
  vsnprintf (ret->message, sizeof ret->message, fmt, args);
  va_end (args);
  return NULL;
}

static json_t *
refusal_json (const struct refusal *r)
{
  return json_pack ("{s:{s:s, s:s}}", "refused",
                    "code", api_error_info (r->error)->code,
                    "message", r->message);
}

/* PAIR: id of the pair it is for, or "".  The STATUS of the disk (with its
 * id in "disk"), or NULL: RET is why not.
 */
static json_t *
check_destination (struct agent *agent, const char *id_or_name,
                   const char *pair, const char *uuid, uint64_t size,
                   struct refusal *ret)
{
  CLEANUP_FREE struct record *rec = malloc (sizeof *rec);
  struct control_error err;
  struct disk disk;
  enum claim claim = claim_disk (agent, id_or_name, &disk, rec);
  json_t *status;

  if (claim == CLAIM_FAILED)
    return refuse (ret, API_INTERNAL, "the store of region %s failed",
                   agent->settings.region);
  store_end (agent->store, false);
  if (claim != CLAIM_NO_DISK && disk.state == DISK_RESIZING)
    return refuse (ret, API_OPERATION_DENIED,
                   "disk %s is being resized; try again", disk.id);
  if (claim == CLAIM_NO_DISK || disk.state != DISK_READY)
    return refuse (ret, API_NO_SUCH_RESOURCE,
                   "region %s has no disk '%s'", agent->settings.region,
                   id_or_name);
  if (claim == CLAIM_IN_PAIR && strcmp (rec->id, pair) != 0)
    return refuse (ret, API_OPERATION_DENIED,
                   "disk %s is in replication pair %s", disk.id, rec->id);
  if (pairs_are_too_many (agent))
    return refuse (ret, API_QUOTA_EXCEED, "the site of region %s takes part "
                   "in %llu pairs (pairs-max)", agent->settings.region,
                   (unsigned long long) agent->settings.pairs_max);
  status = disk_status (agent, disk.id, STATUS_TIMEOUT_MS, &err);
  if (status == NULL)
    return refuse (ret, API_SERVICE_UNAVAILABLE,
                   "region %s: %s", agent->settings.region, err.message);
  if (json_u64 (status, "size") != size)
    refuse (ret, API_OPERATION_DENIED, "disk %s has %llu bytes, the source "
            "%llu; make one of the same size", disk.id,
            (unsigned long long) json_u64 (status, "size"),
            (unsigned long long) size);
  else if (strcmp (json_text (status, "role"), "standalone") != 0 &&
           strcmp (json_text (status, "pair"), uuid) != 0)
    refuse (ret, API_OPERATION_DENIED, "disk %s is %s of another pair",
            disk.id, json_text (status, "role"));
  else if (attach_is_on (status))
    refuse (ret, API_OPERATION_DENIED, "disk %s is attached; detach it "
            "first", disk.id);
  if (ret->error != API_OK) {
    json_decref (status);
    return NULL;
  }
  json_object_set_new (status, "disk", json_string (disk.id));
  return status;
}

/* ------------------------------------------------------------------ */
/* Verbs.  Each returns the answer.                                     */

static json_t *
serve_hello (struct agent *agent, struct peer *from, const json_t *body)
{
  char data[DATA_ADDRESS_SIZE];
  json_t *ret;

  sites_hear (from, body);
  ret = json_pack ("{s:s, s:s, s:s, s:s}",
                   "region", agent->settings.region,
                   "zone", agent->settings.zone,
                   "version", PACKAGE_VERSION,
                   "data", plugin_data_address (agent->plugin, data));
  if (ret)
    sites_tell (from, ret);
  return ret;
}

static json_t *
serve_check (struct agent *agent, struct peer *from, const json_t *body)
{
  struct refusal refusal = { .error = API_OK };
  json_t *status;

  (void) from;
  if (strcmp (json_text (body, "zone"), agent->settings.zone) != 0) {
    refuse (&refusal, API_NO_SUCH_RESOURCE, "the site of region %s is zone "
            "%s", agent->settings.region, agent->settings.zone);
    return refusal_json (&refusal);
  }
  status = check_destination (agent, json_text (body, "disk"), "", "",
                              json_u64 (body, "size"), &refusal);
  return status ? json_pack ("{s:o}", "status", status)
    : refusal_json (&refusal);
}

static json_t *
serve_disk (struct agent *agent, struct peer *from, const json_t *body)
{
  struct control_error err;
  json_t *status = disk_status (agent, json_text (body, "disk"),
                                STATUS_TIMEOUT_MS, &err);

  (void) from;
  return status ? json_pack ("{s:o}", "status", status)
    : json_pack ("{s:s}", "trouble", err.message);
}

/* Keep the newer of THEIRS and ours in RET.  1 stored or known, 0 not
 * wanted (RET is THEIRS), -1.
 */
static int
merge_record (struct agent *agent, const struct record *theirs,
              const char *actor, struct record *ret)
{
  struct site_step step = { .name = "" };
  int r;

  if (store_begin (agent->store) == -1)
    return -1;
  r = store_pair_get (agent->store, theirs->id, ret);
  if (r == 0 && (theirs->status == PAIR_DELETED ||
                 theirs->status == PAIR_DELETING ||
                 theirs->status == PAIR_CREATE_FAILED)) {
    *ret = *theirs;
    store_end (agent->store, false);
    return 0;
  }
  if (r != -1)
    r = record_merge (agent, theirs, actor, ret);
  if (r == 1)
    site_step_begins (&step, transition_of (ret), "told");
  if (store_end (agent->store, r != -1) == -1)
    r = -1;
  site_step_ended (&step);
  return r == -1 ? -1 : 1;
}

static bool
is_known (struct agent *agent, const char *id)
{
  struct record *rec = malloc (sizeof *rec);
  int r = -1;

  if (rec) {
    store_enter (agent->store);
    r = store_pair_get (agent->store, id, rec);
    store_leave (agent->store);
  }
  free (rec);
  return r == 1;
}

static json_t *
pair_reply (struct agent *agent, const struct record *rec, bool applied)
{
  json_t *status = NULL;
  struct runtime *rt;

  pthread_mutex_lock (&agent->lock);
  rt = runtime_get (agent, rec->id);
  if (rt)
    status = json_deep_copy (rt->status);
  pthread_mutex_unlock (&agent->lock);
  return json_pack ("{s:o, s:b, s:o*}", "record", record_to_json (rec),
                    "applied", (int) applied, "status", status);
}

/* A new pair is checked before it is taken in. */
static bool
admit (struct agent *agent, const struct record *theirs,
       struct refusal *refusal)
{
  json_t *status;

  if (!is_source (agent, theirs) && !is_destination (agent, theirs)) {
    refuse (refusal, API_NO_SUCH_RESOURCE, "no disk of the pair is in "
            "region %s, zone %s", agent->settings.region,
            agent->settings.zone);
    return false;
  }
  if (theirs->status != PAIR_CREATING || is_known (agent, theirs->id))
    return true;
  status = check_destination (agent, theirs->destination_disk, theirs->id,
                              theirs->uuid, theirs->size, refusal);
  json_decref (status);
  return status != NULL;
}

static void
take_their_status (struct agent *agent, const struct record *rec,
                   json_t *status)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  struct runtime *rt = runtime_get (agent, rec->id);

  if (rt && json_is_object (status)) {
    json_decref (rt->peer_status);
    rt->peer_status = json_deep_copy (status);
  }
}

static json_t *
serve_pair (struct agent *agent, struct peer *from, const json_t *body)
{
  struct record *both = calloc (2, sizeof *both);
  struct record *theirs = both, *ours = both + 1;
  struct refusal refusal = { .error = API_OK };
  char actor[REGION_SIZE + 8];
  bool applied = true;
  json_t *json;
  int r;

  if (both == NULL ||
      !record_from_json (json_object_get (body, "record"), theirs)) {
    free (both);
    return NULL;
  }
  /* A joined site speaks for its own pairs only. */
  if (from->is_joined &&
      strcmp (other_region (agent, theirs), from->region) != 0) {
    refuse (&refusal, API_NO_SUCH_RESOURCE, "no disk of the pair is in "
            "region %s", from->region);
    free (both);
    return refusal_json (&refusal);
  }
  if (!admit (agent, theirs, &refusal)) {
    free (both);
    return refusal_json (&refusal);
  }
  snprintf (actor, sizeof actor, "peer %s", other_region (agent, theirs));
  r = merge_record (agent, theirs, actor, ours);
  if (r == 1) {
    take_their_status (agent, ours, json_object_get (body, "status"));
    /* A tombstone at rest was applied; the worker looks at it no more. */
    applied = ours->gone_ms != 0 ||
      work_wait_applied (agent, ours->id, ours->version, APPLY_TIMEOUT_MS);
  }
  json = r == -1 ? NULL : pair_reply (agent, ours, applied);
  free (both);
  return json;
}

/* A request to our plugin, for the other site to know. */
static json_t *
serve_plugin (struct agent *agent, const json_t *body, const char *op,
              const char *name)
{
  const json_t *peer = json_object_get (body, "peer");
  struct control_error err;
  json_t *reply;

  reply = plugin_call (agent->plugin,
                       json_pack ("{s:s, s:s, s:O*}", "op", op, "disk",
                                  json_text (body, "disk"), "peer", peer),
                       STATUS_TIMEOUT_MS, &err);
  return reply ? json_pack ("{s:o}", name, reply)
    : json_pack ("{s:s}", "trouble", err.message);
}

static json_t *
serve_history (struct agent *agent, struct peer *from, const json_t *body)
{
  (void) from;
  return serve_plugin (agent, body, "disk.history", "history");
}

static json_t *
serve_compare (struct agent *agent, struct peer *from, const json_t *body)
{
  (void) from;
  return serve_plugin (agent, body, "pair.compare", "compare");
}

static json_t *
serve_forward (struct agent *agent, struct peer *from, const json_t *body)
{
  struct request req = { .is_forwarded = true, .role = KEY_ROLE_OPERATOR };
  json_t *params = json_object_get (body, "params"), *value, *answer;
  const char *name;
  int http = 500;

  (void) from;
  snprintf (req.client, sizeof req.client, "peer, %.100s",
            json_text (body, "client"));
  TEXT_SET (req.key_id, json_text (body, "key"));
  json_object_foreach (params, name, value) {
    if (json_is_string (value))
      params_add (&req.params, name, strlen (name),
                  json_string_value (value), json_string_length (value));
  }
  answer = actions_run (agent, &req, &http);
  params_release (&req.params);
  return json_pack ("{s:i, s:o}", "http", http, "body", answer);
}

static const struct {
  const char *verb;
  json_t *(*serve) (struct agent *agent, struct peer *from,
                    const json_t *body);
} verbs[] = {
  { "hello", serve_hello },
  { "check", serve_check },
  { "disk", serve_disk },
  { "pair", serve_pair },
  { "history", serve_history },
  { "compare", serve_compare },
  { "forward", serve_forward },
};

static json_t *
run_verb (struct agent *agent, struct peer *from, const char *verb,
          const char *body, size_t len)
{
  json_t *json = json_loadb (body, len, 0, NULL), *ret = NULL;
  size_t i;

  for (i = 0; json_is_object (json) && i < sizeof verbs / sizeof verbs[0];
       ++i) {
    if (strcmp (verbs[i].verb, verb) == 0)
      ret = verbs[i].serve (agent, from, json);
  }
  json_decref (json);
  return ret;
}

/* A call that is not understood or not allowed; its answer proves nothing. */
static json_t *
turn_away (const char *verb, const char *why, int *ret_http)
{
  log_warning ("peer: refused a call of '%.32s': %s", verb, why);
  *ret_http = 403;
  return json_pack ("{s:s, s:s}", "Code", "Forbidden", "Message", why);
}

/* From a site that is no peer yet: it has an invitation. */
static json_t *
serve_join (struct agent *agent, const struct auth *auth, const char *body,
            size_t len, struct secret *ret_secret, const char **ret_why)
{
  json_t *json = json_loadb (body, len, 0, NULL), *ret = NULL;
  char want[65];

  *ret_why = "there is no such invitation, or it is over";
  if (join_secret (agent, json, ret_secret)) {
    peer_hmac (ret_secret->data, ret_secret->len, "request", "join",
               auth->time_ms, auth->nonce, body, len, want);
    *ret_why = secret_equal (want, auth->mac, 64) ? check_time (agent, auth)
      : "the invitation's secret is another";
  }
  if (*ret_why == NULL)
    ret = join_serve (agent, json, ret_why);
  json_decref (json);
  return ret;
}

json_t *
peer_serve (struct agent *agent, const char *verb, const char *auth_text,
            const char *body, size_t len, int *ret_http, char ret_auth[65])
{
  bool is_join = strcmp (verb, "join") == 0;
  struct peer *from = NULL;
  struct secret secret = { .len = 0 };
  struct auth auth;
  const char *why = NULL;
  json_t *json = NULL;
  char *text;

  if (strcmp (verb, "ca") == 0) {
    *ret_http = 200;
    return join_serve_ca (agent);
  }
  if (!parse_auth (auth_text, &auth))
    why = "the call carries no proof of the site secret";
  else if (is_join)
    json = serve_join (agent, &auth, body, len, &secret, &why);
  else
    why = check_auth (agent, verb, &auth, body, len, &from, &secret);
  if (why) {
    secret_wipe (&secret);
    return turn_away (verb, why, ret_http);
  }
  if (!is_join)
    json = run_verb (agent, from, verb, body, len);
  if (json == NULL) {
    *ret_http = 400;
    json = json_pack ("{s:s, s:s}", "Code", "InvalidParameter.Format",
                      "Message", "the call was not understood, or failed");
  }
  else
    *ret_http = 200;
  text = json_dumps (json, JSON_COMPACT);
  if (text)
    peer_hmac (secret.data, secret.len, "answer", verb, auth.time_ms,
               auth.nonce, text, strlen (text), ret_auth);
  free (text);
  secret_wipe (&secret);
  return json;
}

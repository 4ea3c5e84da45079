/* Disks of this site and what there is to see of it: CreateDisk, DeleteDisk,
 * ScrubDisk, VerifyDisk, DescribeDisks, DescribeSite (see disks.h).
 *
 * A disk is in the store before the plugin is asked to make it and until the
 * plugin has deleted it, so a kill in between is finished by the worker
 * (disks_settle).  The plugin has the last word on what a disk is.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "actions.h"
#include "agent.h"
#include "apierror.h"
#include "claim.h"
#include "cleanup.h"
#include "control.h"
#include "crypto.h"
#include "disk-attach.h"
#include "disk-resize.h"
#include "disks.h"
#include "events.h"
#include "log.h"
#include "names.h"
#include "paging.h"
#include "params.h"
#include "peer-internal.h"
#include "peer.h"
#include "plugin-internal.h"
#include "plugin.h"
#include "record.h"
#include "settings.h"
#include "store.h"
#include "values.h"
#include "work.h"
#include "x509.h"

#define CALL_TIMEOUT_MS 2200
#define MANY 8                   /* disks that are better asked for at once */
#define STATUS_TIMEOUT_MS 1000
#define LIST_TIMEOUT_MS 10000
#define BLOCK 4096
#define SIZE_MIN (UINT64_C (1) << 20)
#define SIZE_MAX_BYTES (UINT64_C (1) << 43)

void
answer_control_error (struct answer *answer, const struct control_error *err)
{
  static const struct { const char *code; enum api_error error; } map[] = {
    { "unreachable", API_SERVICE_UNAVAILABLE },
    { "no-such-disk", API_NO_SUCH_RESOURCE },
    { "disk-exists", API_OPERATION_DENIED },
    { "disk-in-use", API_OPERATION_DENIED },
    { "wrong-role", API_OPERATION_DENIED },
    { "no-space", API_OPERATION_DENIED },
    { "bad-request", API_INVALID_PARAMETER_FORMAT },
  };
  size_t i;

  for (i = 0; i < sizeof map / sizeof map[0]; ++i) {
    if (strcmp (map[i].code, err->code) == 0) {
      answer_error (answer, map[i].error, NULL, "%s", err->message);
      return;
    }
  }
  answer_error (answer, API_INTERNAL, NULL, "%s", err->message);
}

json_t *
disk_status (struct agent *agent, const char *disk, unsigned timeout_ms,
             struct control_error *err)
{
  json_t *ret = plugin_call (agent->plugin,
                             json_pack ("{s:s, s:s}", "op", "disk.status",
                                        "disk", disk), timeout_ms, err);

  if (ret)
    attach_add (agent, disk, ret);
  return ret;
}

/* ------------------------------------------------------------------ */
/* CreateDisk                                                           */

static bool
parse_disk (const struct request *req, struct disk *disk,
            struct answer *answer)
{
  const char *name = params_get (&req->params, "DiskName");
  const char *capacity = params_get (&req->params, "Capacity");
  uint8_t random[ID_RANDOM_SIZE];

  if (!pair_name_valid (name) || id_parse (name) != ID_UNSET ||
      !TEXT_SET (disk->name, name)) {
    answer_error (answer, API_INVALID_PARAMETER, "DiskName", "%s",
                  PAIR_NAME_RULE);
    return false;
  }
  if (!uint_parse (params_get (&req->params, "Size"), SIZE_MAX_BYTES,
                   &disk->size) ||
      disk->size < SIZE_MIN || disk->size % BLOCK != 0) {
    answer_error (answer, API_INVALID_PARAMETER, "Size",
                  "give bytes, a multiple of 4096, from 1 MiB to 8 TiB");
    return false;
  }
  if (capacity && *capacity &&
      !uint_parse (capacity, SIZE_MAX_BYTES * 4, &disk->capacity)) {
    answer_error (answer, API_INVALID_PARAMETER, "Capacity", NULL);
    return false;
  }
  random_bytes (random, sizeof random);
  id_make (ID_DISK, random, disk->id);
  disk->state = DISK_CREATING;
  disk->create_time = wall_ms () / 1000;
  return true;
}

/* Put the intent there, unless the name is taken. */
static bool
intend_disk (struct agent *agent, const struct disk *disk,
             struct answer *answer)
{
  struct disk other;
  int r;

  if (store_begin (agent->store) == -1) {
    answer_error (answer, API_INTERNAL, NULL, NULL);
    return false;
  }
  r = store_disk_get (agent->store, disk->name, &other);
  if (r == 1)
    answer_error (answer, API_INVALID_PARAMETER, "DiskName",
                  "this site has disk %s of that name", other.id);
  else if (r == -1 || store_disk_put (agent->store, disk) == -1)
    answer_error (answer, API_INTERNAL, NULL, NULL);
  if (store_end (agent->store, answer->error == API_OK) == -1)
    answer_error (answer, API_INTERNAL, NULL, NULL);
  return answer->error == API_OK;
}

static json_t *
create_request (const struct disk *disk)
{
  json_t *json = json_pack ("{s:s, s:s, s:I}", "op", "disk.create", "disk",
                            disk->id, "size", (json_int_t) disk->size);

  if (json && disk->capacity)
    json_object_set_new (json, "capacity", json_integer (disk->capacity));
  return json;
}

/* It is made: say so.  TOKEN may be NULL. */
static int
disk_is_made (struct agent *agent, struct disk *disk, const char *actor,
              const struct work_token *token, const json_t *body)
{
  bool ok;

  if (store_begin (agent->store) == -1)
    return -1;
  disk->state = DISK_READY;
  ok = store_disk_put (agent->store, disk) == 0 &&
    (token == NULL || token_remember (agent, token, body) == 0) &&
    event_add (agent, LOG_LEVEL_INFO, actor, "disk-created", "", disk->id,
               "", "", "disk '%s' of %llu bytes", disk->name,
               (unsigned long long) disk->size) == 0;
  return store_end (agent->store, ok) == -1 || !ok ? -1 : 0;
}

static void
forget_disk (struct agent *agent, const char *id)
{
  if (store_begin (agent->store) == 0)
    store_end (agent->store, store_disk_remove (agent->store, id) == 0);
}

void
action_create_disk (struct agent *agent, struct request *req,
                    const struct work_token *token, struct answer *answer)
{
  struct disk disk = { 0 };
  struct control_error err;
  json_t *reply;

  if (strcmp (req->region, agent->settings.region) != 0) {
    answer_error (answer, API_NO_SUCH_RESOURCE, NULL,
                  "no site of region %s is known here", req->region);
    return;
  }
  if (!parse_disk (req, &disk, answer) ||
      !intend_disk (agent, &disk, answer))
    return;
  reply = plugin_call (agent->plugin, create_request (&disk),
                       CALL_TIMEOUT_MS, &err);
  json_decref (reply);
  if (reply == NULL) {
    /* Without an answer it may or may not be made: take it back later. */
    if (strcmp (err.code, "unreachable") == 0) {
      disk.state = DISK_DELETING;
      if (store_begin (agent->store) == 0)
        store_end (agent->store, store_disk_put (agent->store, &disk) == 0);
      work_wake (agent);
    }
    else
      forget_disk (agent, disk.id);
    answer_control_error (answer, &err);
    return;
  }
  answer->body = json_pack ("{s:s}", "DiskId", disk.id);
  if (disk_is_made (agent, &disk, req->client, token, answer->body) == -1)
    answer_error (answer, API_INTERNAL, NULL, NULL);
}

/* ------------------------------------------------------------------ */
/* DeleteDisk                                                           */

/* Mark it as being deleted, if it may be. */
static bool
intend_delete (struct agent *agent, const char *id, struct disk *disk,
               struct answer *answer)
{
  CLEANUP_FREE struct record *rec = malloc (sizeof *rec);
  enum claim claim = claim_disk (agent, id, disk, rec);

  if (claim == CLAIM_FAILED) {
    answer_error (answer, API_INTERNAL, NULL, NULL);
    return false;
  }
  if (claim == CLAIM_NO_DISK)
    answer_error (answer, API_NO_SUCH_RESOURCE, NULL, NULL);
  else if (claim == CLAIM_IN_PAIR)
    answer_error (answer, API_OPERATION_DENIED, NULL,
                  "the disk is in replication pair %s; delete that first",
                  rec->id);
  else if (disk->instance[0])
    answer_error (answer, API_OPERATION_DENIED, NULL,
                  "the disk is attached to %s; detach it first",
                  disk->instance);
  if (answer->error == API_OK) {
    disk->state = DISK_DELETING;
    if (store_disk_put (agent->store, disk) == -1)
      answer_error (answer, API_INTERNAL, NULL, NULL);
  }
  if (store_end (agent->store, answer->error == API_OK) == -1)
    answer_error (answer, API_INTERNAL, NULL, NULL);
  return answer->error == API_OK;
}

/* Ask the plugin; what is not there is deleted. */
static bool
delete_in_plugin (struct agent *agent, const struct disk *disk,
                  struct control_error *err)
{
  json_t *reply =
    plugin_call (agent->plugin, json_pack ("{s:s, s:s}", "op", "disk.delete",
                                           "disk", disk->id),
                 CALL_TIMEOUT_MS, err);

  json_decref (reply);
  return reply != NULL || strcmp (err->code, "no-such-disk") == 0;
}

static int
disk_is_gone (struct agent *agent, const struct disk *disk,
              const char *actor, const struct work_token *token)
{
  bool ok;

  if (store_begin (agent->store) == -1)
    return -1;
  ok = store_disk_remove (agent->store, disk->id) == 0 &&
    (token == NULL || token_remember (agent, token, NULL) == 0) &&
    event_add (agent, LOG_LEVEL_INFO, actor, "disk-deleted", "", disk->id,
               "", "", "disk '%s'", disk->name) == 0;
  return store_end (agent->store, ok) == -1 || !ok ? -1 : 0;
}

void
action_delete_disk (struct agent *agent, struct request *req,
                    const struct work_token *token, struct answer *answer)
{
  const char *id = params_get (&req->params, "DiskId");
  struct control_error err;
  struct disk disk;

  if (strcmp (req->region, agent->settings.region) != 0) {
    answer_error (answer, API_NO_SUCH_RESOURCE, NULL, NULL);
    return;
  }
  if (!intend_delete (agent, id, &disk, answer))
    return;
  if (delete_in_plugin (agent, &disk, &err)) {
    if (disk_is_gone (agent, &disk, req->client, token) == -1)
      answer_error (answer, API_INTERNAL, NULL, NULL);
    return;
  }
  if (strcmp (err.code, "unreachable") != 0) {
    /* Refused: it stays. */
    disk.state = DISK_READY;
    if (store_begin (agent->store) == 0)
      store_end (agent->store, store_disk_put (agent->store, &disk) == 0);
  }
  else
    work_wake (agent);
  answer_control_error (answer, &err);
}

/* ------------------------------------------------------------------ */
/* ScrubDisk, VerifyDisk                                                */

/* -1: neither true nor false; nothing is false. */
static int
get_flag (const char *value)
{
  if (value == NULL || *value == '\0' || strcmp (value, "false") == 0)
    return 0;
  return strcmp (value, "true") == 0 ? 1 : -1;
}

/* Start or stop OP of the plugin, which keeps all there is to know of it:
 * nothing is stored.
 */
static void
begin_or_end (struct agent *agent, struct request *req,
              const struct work_token *token, const char *op,
              struct answer *answer)
{
  const char *rate = params_get (&req->params, "RateBps");
  int is_stop = get_flag (params_get (&req->params, "Stop"));
  int repairs = get_flag (params_get (&req->params, "Repair"));
  struct control_error err;
  struct disk disk;
  uint64_t rate_bps;
  json_t *call, *reply;
  int r;

  if (rate && *rate && !uint_parse (rate, SIZE_MAX_BYTES, &rate_bps)) {
    answer_error (answer, API_INVALID_PARAMETER, "RateBps", NULL);
    return;
  }
  if (is_stop == -1 || repairs == -1) {
    answer_error (answer, API_INVALID_PARAMETER,
                  is_stop == -1 ? "Stop" : "Repair", NULL);
    return;
  }
  store_enter (agent->store);
  r = store_disk_get (agent->store, params_get (&req->params, "DiskId"),
                      &disk);
  store_leave (agent->store);
  if (r != 1 || strcmp (req->region, agent->settings.region) != 0) {
    answer_error (answer, r == -1 ? API_INTERNAL : API_NO_SUCH_RESOURCE,
                  NULL, NULL);
    return;
  }
  call = json_pack ("{s:s, s:s, s:s, s:b}", "op", op, "disk", disk.id,
                    "action", is_stop ? "stop" : "start",
                    "repair", repairs);
  if (call && rate && *rate)
    json_object_set_new (call, "rate_bps", json_integer (rate_bps));
  reply = plugin_call (agent->plugin, call, CALL_TIMEOUT_MS, &err);
  if (reply == NULL)
    answer_control_error (answer, &err);
  else if (store_begin (agent->store) == 0)
    store_end (agent->store, token_remember (agent, token, NULL) == 0);
  json_decref (reply);
}

void
action_scrub_disk (struct agent *agent, struct request *req,
                   const struct work_token *token, struct answer *answer)
{
  begin_or_end (agent, req, token, "disk.scrub", answer);
}

void
action_verify_disk (struct agent *agent, struct request *req,
                    const struct work_token *token, struct answer *answer)
{
  begin_or_end (agent, req, token, "disk.verify", answer);
}

/* What a kill or a silent plugin left half done. */
void
disks_settle (struct agent *agent)
{
  CLEANUP_FREE struct disk *list = NULL;
  struct control_error err;
  ssize_t n, i;

  store_enter (agent->store);
  n = store_disk_list (agent->store, &list);
  store_leave (agent->store);
  for (i = 0; i < n; ++i) {
    uint64_t age_s = wall_ms () / 1000 - list[i].create_time;

    /* A young one is being worked on by its call. */
    if (list[i].state == DISK_DELETING &&
        delete_in_plugin (agent, &list[i], &err))
      disk_is_gone (agent, &list[i], "worker", NULL);
    else if (list[i].state == DISK_RESIZING)
      disk_resize_settle (agent, &list[i]);
    else if (list[i].state == DISK_CREATING && age_s > 5) {
      json_t *status = disk_status (agent, list[i].id, STATUS_TIMEOUT_MS,
                                    &err);

      if (status)
        disk_is_made (agent, &list[i], "worker", NULL, NULL);
      else if (strcmp (err.code, "no-such-disk") == 0)
        forget_disk (agent, list[i].id);
      json_decref (status);
    }
  }
}

static void
adopt_disk (struct agent *agent, const json_t *status, void *opaque)
{
  struct disk disk = { .state = DISK_READY }, other;

  (void) opaque;
  if (!TEXT_SET (disk.id, json_text (status, "disk")) || !disk.id[0] ||
      store_begin (agent->store) == -1)
    return;
  TEXT_SET (disk.name, disk.id);
  disk.size = json_u64 (status, "size");
  disk.capacity = json_u64 (status, "capacity");
  disk.create_time = wall_ms () / 1000;
  store_end (agent->store,
             store_disk_get (agent->store, disk.id, &other) == 0 &&
             store_disk_put (agent->store, &disk) == 0);
}

void
plugin_each_disk (struct agent *agent,
                  void (*fn) (struct agent *agent, const json_t *status,
                              void *opaque),
                  void *opaque)
{
  char after[DISK_ID_SIZE] = "";
  struct control_error err;
  json_t *reply, *request, *status;
  size_t i;

  do {
    request = json_pack ("{s:s}", "op", "disk.list");
    if (after[0])
      json_object_set_new (request, "after", json_string (after));
    reply = plugin_call (agent->plugin, request, LIST_TIMEOUT_MS, &err);
    if (reply == NULL) {
      log_warning ("plugin: cannot list its disks: %s", err.message);
      return;
    }
    json_array_foreach (json_object_get (reply, "disks"), i, status)
      fn (agent, status, opaque);
    TEXT_SET (after, json_text (reply, "next"));
    json_decref (reply);
  } while (after[0]);
}

void
plugin_adopt_disks (struct agent *agent)
{
  plugin_each_disk (agent, adopt_disk, NULL);
}

/* ------------------------------------------------------------------ */
/* DescribeDisks                                                        */

static void
keep_status (struct agent *agent, const json_t *status, void *opaque)
{
  (void) agent;
  json_object_set_new (opaque, json_text (status, "disk"),
                       json_deep_copy (status));
}

/* *SILENT: the plugin does not answer, so it is not asked once more: the
 * caller has 3 seconds for all disks.  KNOWN: STATUS of many, asked for at
 * once; what is not in it is asked for.
 */
static json_t *
describe_disk (struct agent *agent, const struct disk *disk,
               const json_t *known, bool *silent)
{
  CLEANUP_FREE struct record *rec = malloc (sizeof *rec);
  const struct settings *s = &agent->settings;
  struct control_error err = { "unreachable",
                               "the plugin did not answer in time" };
  json_t *detail = json_object_get (known, disk->id)
    ? json_incref (json_object_get (known, disk->id))
    : *silent ? NULL
    : disk_status (agent, disk->id, STATUS_TIMEOUT_MS, &err);
  bool attached = json_u64 (detail, "clients") > 0 || disk->instance[0];
  bool failed = detail == NULL ||
    strcmp (json_text (detail, "state"), "failed") == 0;
  uint64_t size = json_u64 (detail, "size");
  json_t *json;
  char *uri;
  int r;

  if (size == 0)
    size = disk->size;
  if (detail == NULL && strcmp (err.code, "unreachable") == 0)
    *silent = true;
  if (rec == NULL ||
      asprintf (&uri, "nbd+unix:///%s?socket=%s/nbd.sock", disk->id,
                s->dir) == -1) {
    json_decref (detail);
    return NULL;
  }
  store_enter (agent->store);
  r = store_pair_of_disk (agent->store, s, disk->id, rec);
  store_leave (agent->store);
  json = json_pack ("{s:s, s:s, s:I, s:s, s:b, s:s, s:s, s:s, s:s, s:I}",
                    "DiskId", disk->id, "DiskName", disk->name,
                    "Size", (json_int_t) size,
                    "Status", disk->state == DISK_RESIZING ? "Resizing"
                    : failed ? "Error"
                    : attached ? "InUse" : "Available",
                    "Attached", (int) attached,
                    "ReplicaPairId", r == 1 ? rec->id : "",
                    "RegionId", s->region, "ZoneId", s->zone,
                    "NbdUri", uri,
                    "CreateTime", (json_int_t) disk->create_time);
  free (uri);
  if (json && disk->instance[0])
    json_object_set_new (json, "InstanceId", json_string (disk->instance));
  if (json && detail) {
    json_object_del (detail, "ok");
    json_object_del (detail, "instance");
    json_object_set (json, "Used", json_object_get (detail, "used"));
    json_object_set (json, "Role", json_object_get (detail, "role"));
    json_object_set (json, "Detail", detail);
  }
  else if (json)
    json_object_set_new (json, "Trouble", json_string (err.message));
  json_decref (detail);
  return json;
}

void
action_describe_disks (struct agent *agent, struct request *req,
                       const struct work_token *token, struct answer *answer)
{
  const char *ids = params_get (&req->params, "DiskIds");
  CLEANUP_FREE struct disk *list = NULL;
  struct paging paging;
  json_t *array = json_array (), *known = NULL;
  uint64_t found = 0;
  bool silent = false;
  ssize_t n, i;

  (void) token;
  answer->body = json_pack ("{s:o}", "Disks", array);
  if (!paging_parse (req, &paging, answer))
    return;
  store_enter (agent->store);
  n = store_disk_list (agent->store, &list);
  store_leave (agent->store);
  if (n == -1) {
    answer_error (answer, API_INTERNAL, NULL, NULL);
    return;
  }
  if (strcmp (req->region, agent->settings.region) != 0)
    n = 0;
  if (ids == NULL && n >= MANY && !plugin_is_silent (agent->plugin)) {
    known = json_object ();
    plugin_each_disk (agent, keep_status, known);
  }
  for (i = 0; i < n; ++i) {
    if ((list[i].state != DISK_READY && list[i].state != DISK_RESIZING) ||
        (!in_comma_list (ids, list[i].id) &&
         !in_comma_list (ids, list[i].name)))
      continue;
    if (found >= paging.offset && found < paging.offset + paging.limit)
      json_array_append_new (array, describe_disk (agent, &list[i], known,
                                                   &silent));
    found++;
  }
  json_decref (known);
  paging_finish (&paging, found, answer->body);
}

/* Of the site, for those who join; NULL when it has none. */
static json_t *
describe_certificate (struct agent *agent)
{
  CLEANUP_FREE char *pem = trust_ours (agent, NULL, NULL);
  char fingerprint[X509_FINGERPRINT_SIZE], region[REGION_SIZE];
  uint64_t end;

  if (pem == NULL || x509_fingerprint (pem, fingerprint, NULL) == -1 ||
      x509_expiry (pem, &end, NULL) == -1)
    return NULL;
  return json_pack ("{s:s, s:I, s:s, s:s}", "Fingerprint", fingerprint,
                    "ExpireTime", (json_int_t) end,
                    "Rotation", trust_rotation (agent, region),
                    "RotationWaitsFor", region);
}

void
action_describe_site (struct agent *agent, struct request *req,
                      const struct work_token *token, struct answer *answer)
{
  const struct settings *s = &agent->settings;
  char data[DATA_ADDRESS_SIZE];
  char *nbd;

  (void) req;
  (void) token;
  if (asprintf (&nbd, "%s/nbd.sock", s->dir) == -1) {
    answer_error (answer, API_INTERNAL, NULL, NULL);
    return;
  }
  answer->body =
    json_pack ("{s:s, s:s, s:s, s:o*, s:s, s:o, s:s, s:s, s:b}",
               "RegionId", s->region, "ZoneId", s->zone,
               "Version", PACKAGE_VERSION,
               "Certificate", describe_certificate (agent),
               "Directory", s->dir,
               "Peers", peers_describe (agent),
               "NbdSocket", nbd,
               "DataAddress", plugin_data_address (agent->plugin, data),
               "PluginAlive", (int) plugin_answers (agent->plugin));
  free (nbd);
}

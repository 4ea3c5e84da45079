/* ResizeDisk: a disk grows while it is in use (see disk-resize.h).
 *
 * A disk is marked as being resized before the plugin is asked, so that no
 * pair is made of it meanwhile, and until the plugin has said what size it
 * has now.  After a kill or a silent plugin the worker asks again
 * (disk_resize_settle): the plugin has the last word.
 *
 * Both disks of a pair have one size, and neither site can change the other's
 * together with its own: a disk that is in a pair does not grow.  The room
 * for its journal is this site's own affair.
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
#include "claim.h"
#include "cleanup.h"
#include "control.h"
#include "disk-resize.h"
#include "disks.h"
#include "events.h"
#include "log.h"
#include "names.h"
#include "params.h"
#include "plugin.h"
#include "record.h"
#include "store.h"
#include "values.h"
#include "work.h"

#define CALL_TIMEOUT_MS 2200
#define CAPACITY_MAX (UINT64_C (1) << 44)

static bool
parse_number (const struct request *req, const char *name, uint64_t *ret,
              struct answer *answer)
{
  const char *value = params_get (&req->params, name);

  *ret = 0;
  if (value == NULL || *value == '\0' ||
      (uint_parse (value, CAPACITY_MAX, ret) && *ret > 0))
    return true;
  answer_error (answer, API_INVALID_PARAMETER, name,
                "give bytes, more than the disk has");
  return false;
}

/* Mark it as being resized, if it may be.  A second try goes on. */
static bool
intend_resize (struct agent *agent, const char *id, uint64_t size,
               struct disk *disk, struct answer *answer)
{
  CLEANUP_FREE struct record *rec = malloc (sizeof *rec);
  enum claim claim = claim_disk (agent, id, disk, rec);

  if (claim == CLAIM_FAILED) {
    answer_error (answer, API_INTERNAL, NULL, NULL);
    return false;
  }
  if (claim == CLAIM_NO_DISK ||
      (disk->state != DISK_READY && disk->state != DISK_RESIZING))
    answer_error (answer, API_NO_SUCH_RESOURCE, NULL, NULL);
  /* Whose size stays may be in one. */
  else if (claim == CLAIM_IN_PAIR && size != 0 && size != disk->size)
    answer_error (answer, API_OPERATION_DENIED, NULL,
                  "the disk is in replication pair %s, whose disks have one "
                  "size: stop and delete the pair, resize both disks, and "
                  "create it again; only what differs is copied then", rec->id);
  if (answer->error == API_OK) {
    disk->state = DISK_RESIZING;
    if (store_disk_put (agent->store, disk) == -1)
      answer_error (answer, API_INTERNAL, NULL, NULL);
  }
  if (store_end (agent->store, answer->error == API_OK) == -1)
    answer_error (answer, API_INTERNAL, NULL, NULL);
  return answer->error == API_OK;
}

/* SIZE and CAPACITY 0: say what it is, when all that was asked is done. */
static json_t *
call_plugin (struct agent *agent, const char *id, uint64_t size,
             uint64_t capacity, struct control_error *err)
{
  json_t *call = json_pack ("{s:s, s:s}", "op", "disk.resize", "disk", id);

  if (call && size)
    json_object_set_new (call, "size", json_integer (size));
  if (call && capacity)
    json_object_set_new (call, "capacity", json_integer (capacity));
  return plugin_call (agent->plugin, call, CALL_TIMEOUT_MS, err);
}

/* The plugin's word on it; NULL: as it was.  Something else may have become
 * of the disk meanwhile.  TOKEN may be NULL; BODY goes with it.
 */
static int
disk_is_resized (struct agent *agent, const char *id, const json_t *reply,
                 const char *actor, const struct work_token *token,
                 const json_t *body)
{
  struct disk disk;
  uint64_t before;
  bool ok;

  if (store_begin (agent->store) == -1)
    return -1;
  ok = store_disk_get (agent->store, id, &disk) == 1;
  if (ok && disk.state == DISK_RESIZING) {
    before = disk.size;
    disk.state = DISK_READY;
    if (reply) {
      disk.size = json_u64 (reply, "size");
      disk.capacity = json_u64 (reply, "capacity");
    }
    ok = store_disk_put (agent->store, &disk) == 0;
    if (ok && reply)
      ok = event_add (agent, LOG_LEVEL_INFO, actor, "disk-resized", "",
                      disk.id, "", "", "disk '%s' of %llu bytes, before %llu; "
                      "capacity %llu", disk.name,
                      (unsigned long long) disk.size,
                      (unsigned long long) before,
                      (unsigned long long) disk.capacity) == 0;
  }
  if (ok && token)
    ok = token_remember (agent, token, body) == 0;
  return store_end (agent->store, ok) == -1 || !ok ? -1 : 0;
}

void
action_resize_disk (struct agent *agent, struct request *req,
                    const struct work_token *token, struct answer *answer)
{
  const char *id = params_get (&req->params, "DiskId");
  uint64_t size, capacity;
  struct control_error err;
  struct disk disk;
  json_t *reply;

  if (strcmp (req->region, agent->settings.region) != 0) {
    answer_error (answer, API_NO_SUCH_RESOURCE, NULL, NULL);
    return;
  }
  if (!parse_number (req, "Size", &size, answer) ||
      !parse_number (req, "Capacity", &capacity, answer))
    return;
  if (size == 0 && capacity == 0) {
    answer_error (answer, API_MISSING_NAME, "Size",
                  "give a new Size, a new Capacity, or both");
    return;
  }
  if (!intend_resize (agent, id, size, &disk, answer))
    return;
  reply = call_plugin (agent, disk.id, size, capacity, &err);
  if (reply) {
    answer->body = json_pack ("{s:s, s:I, s:I}", "DiskId", disk.id,
                              "Size", (json_int_t) json_u64 (reply, "size"),
                              "Capacity",
                              (json_int_t) json_u64 (reply, "capacity"));
    if (disk_is_resized (agent, disk.id, reply, req->client, token,
                         answer->body) == -1)
      answer_error (answer, API_INTERNAL, NULL, NULL);
  }
  else {
    /* Without an answer it may or may not be done: the worker asks. */
    if (strcmp (err.code, "unreachable") == 0)
      work_wake (agent);
    else
      disk_is_resized (agent, disk.id, NULL, req->client, NULL, NULL);
    answer_control_error (answer, &err);
  }
  json_decref (reply);
}

void
disk_resize_settle (struct agent *agent, const struct disk *disk)
{
  struct control_error err;
  json_t *reply = call_plugin (agent, disk->id, 0, 0, &err);

  if (reply || strcmp (err.code, "unreachable") != 0)
    disk_is_resized (agent, disk->id, reply, "worker", NULL, NULL);
  json_decref (reply);
}

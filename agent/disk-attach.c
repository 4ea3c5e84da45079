/* AttachDisk, DetachDisk: which instance (a virtual machine, say) a disk is
 * for, on record (see disk-attach.h).
 *
 * A disk is attached when it is so on record, or a guest has it open.  The
 * second is the plugin's to know and to refuse; the first holds while the
 * instance is off, and over restarts.  Both go wherever a disk's STATUS goes,
 * so the other site knows them, too, and the verbs of a pair ask for both.
 *
 * A disk that is a copy, or is about to become one, is not attached: its
 * pair's record says so in the same transaction, its plugin where the record
 * leaves it open.
 */

#include <config.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "actions.h"
#include "agent.h"
#include "apierror.h"
#include "change.h"
#include "cleanup.h"
#include "control.h"
#include "disk-attach.h"
#include "disks.h"
#include "events.h"
#include "log.h"
#include "names.h"
#include "params.h"
#include "peer-internal.h"
#include "peer.h"
#include "record.h"
#include "reprotect.h"
#include "states.h"
#include "store.h"
#include "values.h"
#include "work.h"

#define STATUS_TIMEOUT_MS 1000

void
attach_add (struct agent *agent, const char *id, json_t *status)
{
  struct disk disk;
  int r;

  store_enter (agent->store);
  r = store_disk_get (agent->store, id, &disk);
  store_leave (agent->store);
  if (r == 1 && disk.instance[0])
    json_object_set_new (status, "instance", json_string (disk.instance));
}

bool
attach_is_on (const json_t *status)
{
  return json_u64 (status, "clients") > 0 ||
    json_text (status, "instance")[0] != '\0';
}

static void
describe_end (const json_t *status, const char *attached,
              const char *instance, json_t *object)
{
  if (status == NULL)
    return;
  json_object_set_new (object, attached,
                       json_boolean (attach_is_on (status)));
  if (json_text (status, "instance")[0])
    json_object_set (object, instance, json_object_get (status, "instance"));
}

void
attach_describe (struct agent *agent, const struct record *rec,
                 const json_t *status, json_t *object)
{
  struct peer *peer = peer_find (agent, other_region (agent, rec));
  bool at_source = is_source (agent, rec);
  json_t *theirs = peer && peer_is_reachable (peer)
    ? reprotect_peer_status (agent, rec) : NULL;

  describe_end (at_source ? status : theirs, "SourceAttached",
                "SourceInstanceId", object);
  describe_end (at_source ? theirs : status, "DestinationAttached",
                "DestinationInstanceId", object);
  json_decref (theirs);
}

/* ------------------------------------------------------------------ */

/* Is our disk of the pair a copy by its record, or on its way to be one? */
static bool
is_copy (const struct agent *agent, const struct record *rec)
{
  switch (rec->status) {
  case PAIR_REPROTECTING:
    return reprotect_is_loser (agent, rec);
  case PAIR_FAILOVERED:
  case PAIR_REPROTECT_FAILED:
  case PAIR_DELETING:
  case PAIR_DELETE_FAILED:
  case PAIR_INVALID:
    return false;               /* its role counts */
  default:
    return !is_source (agent, rec);
  }
}

/* May it be attached to INSTANCE?  In a transaction. */
static bool
check_attach (struct agent *agent, const struct disk *disk,
              const char *instance, struct answer *answer)
{
  CLEANUP_FREE struct record *rec = malloc (sizeof *rec);
  int r = rec ? store_pair_of_disk (agent->store, &agent->settings, disk->id,
                                    rec) : -1;

  if (r == -1)
    answer_error (answer, API_INTERNAL, NULL, NULL);
  else if (disk->instance[0] && strcmp (disk->instance, instance) != 0)
    answer_error (answer, API_OPERATION_DENIED, NULL,
                  "disk %s is attached to %s; detach it there first",
                  disk->id, disk->instance);
  else if (r == 1 && is_copy (agent, rec))
    answer_error (answer, API_OPERATION_DENIED, NULL,
                  "disk %s is the copy of pair %s, which is %s; it can be "
                  "attached after a failover", disk->id, rec->id,
                  pair_status_string (rec->status));
  return answer->error == API_OK;
}

/* INSTANCE "": detach. */
static void
change (struct agent *agent, const struct request *req,
        const struct work_token *token, const char *instance,
        struct answer *answer)
{
  struct disk disk;
  bool ok = false;
  int r;

  if (store_begin (agent->store) == -1) {
    answer_error (answer, API_INTERNAL, NULL, NULL);
    return;
  }
  r = store_disk_get (agent->store, params_get (&req->params, "DiskId"),
                      &disk);
  if (r != 1 || (disk.state != DISK_READY && disk.state != DISK_RESIZING))
    answer_error (answer, r == -1 ? API_INTERNAL : API_NO_SUCH_RESOURCE,
                  NULL, NULL);
  else if (*instance == '\0' ||
           check_attach (agent, &disk, instance, answer)) {
    bool is_change = strcmp (disk.instance, instance) != 0;

    ok = !is_change ||
      event_add (agent, LOG_LEVEL_INFO, req->client, *instance
                 ? "disk-attached" : "disk-detached", "", disk.id, "", "",
                 *instance ? "disk '%s' to %s" : "disk '%s' from %s",
                 disk.name, *instance ? instance : disk.instance) == 0;
    TEXT_SET (disk.instance, instance);
    ok = ok && (!is_change || store_disk_put (agent->store, &disk) == 0) &&
      token_remember (agent, token, NULL) == 0;
  }
  if ((store_end (agent->store, ok) == -1 || !ok) &&
      answer->error == API_OK)
    answer_error (answer, API_INTERNAL, NULL, NULL);
  work_wake (agent);
  peers_wake (agent);
}

static bool
is_here (const struct agent *agent, const struct request *req,
         struct answer *answer)
{
  if (strcmp (req->region, agent->settings.region) != 0)
    answer_error (answer, API_NO_SUCH_RESOURCE, NULL, NULL);
  return answer->error == API_OK;
}

/* The plugin says what the disk is, where it can be asked. */
static bool
check_role (struct agent *agent, const char *id_or_name,
            struct answer *answer)
{
  struct control_error err;
  struct disk disk;
  json_t *status = NULL;
  int r;

  store_enter (agent->store);
  r = store_disk_get (agent->store, id_or_name, &disk);
  store_leave (agent->store);
  if (r == 1)
    status = disk_status (agent, disk.id, STATUS_TIMEOUT_MS, &err);
  if (r != 1)
    answer_error (answer, r == -1 ? API_INTERNAL : API_NO_SUCH_RESOURCE,
                  NULL, NULL);
  else if (status == NULL)
    answer_control_error (answer, &err);
  else if (strcmp (json_text (status, "role"), "secondary") == 0)
    answer_error (answer, API_OPERATION_DENIED, NULL,
                  "disk %s is the copy of a pair; it can be attached after a "
                  "failover", disk.id);
  json_decref (status);
  return answer->error == API_OK;
}

void
action_attach_disk (struct agent *agent, struct request *req,
                    const struct work_token *token, struct answer *answer)
{
  const char *instance = params_get (&req->params, "InstanceId");

  if (!is_here (agent, req, answer))
    return;
  if (!pair_name_valid (instance) || strlen (instance) >= NAME_SIZE) {
    answer_error (answer, API_INVALID_PARAMETER, "InstanceId", "%s",
                  PAIR_NAME_RULE);
    return;
  }
  if (check_role (agent, params_get (&req->params, "DiskId"), answer))
    change (agent, req, token, instance, answer);
}

void
action_detach_disk (struct agent *agent, struct request *req,
                    const struct work_token *token, struct answer *answer)
{
  if (is_here (agent, req, answer))
    change (agent, req, token, "", answer);
}

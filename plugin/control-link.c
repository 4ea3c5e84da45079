/* Requests on the ends of a link: link.* at a primary, replica.* at a
 * secondary.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "control-call.h"
#include "options-json.h"

void
link_take_promise_back (struct disk *disk)
{
  struct sender_status status;

  sync_configure (disk->replication.sync, &disk->link.mode, false);
  if (replication_sender_status (disk, &status) &&
      status.connected_ms > 0) {
    replication_kick_sender (disk);
    sync_wait_told (disk->replication.sync, CONTROL_TELL_MS);
  }
}

/* The instance's address and nothing behind it. */
static int
check_uri (struct call *call, const char *uri)
{
  static const char *const schemes[] =
    { "nbd://", "nbds://", "nbd+unix://", "nbds+unix://" };
  size_t i;

  if (strlen (uri) > LINK_URI_MAX)
    return call_refuse (call, "bad-request", EINVAL,
                        "field 'uri' is longer than %d bytes", LINK_URI_MAX);
  for (i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
    if (strncmp (uri, schemes[i], strlen (schemes[i])) == 0)
      break;
  if (i < sizeof schemes / sizeof schemes[0])
    return strstr (uri, "tls-") == NULL ? 0 :
      call_refuse (call, "bad-request", EINVAL,
                   "keys do not go into 'uri': give field 'tls'");
  return call_refuse (call, "bad-request", EINVAL,
                      "field 'uri' must be an NBD URI: nbd://HOST:PORT or "
                      "nbd+unix:///?socket=PATH");
}

static bool
is_running_as (struct disk *disk, const char *uri, bool is_oneshot,
               const struct replica_options *options)
{
  struct sender_status status;

  return disk->link.is_on && disk->link.is_oneshot == is_oneshot &&
         strcmp (disk->link.uri, uri) == 0 &&
         memcmp (&disk->link.options, options, sizeof *options) == 0 &&
         replication_sender_status (disk, &status) &&
         status.state != SENDER_OFF && status.state != SENDER_DONE &&
         status.state != SENDER_FENCED;
}

int
op_link_start (struct call *call)
{
  struct disk *disk = call->disk;
  const json_t *oneshot = json_object_get (call->request, "oneshot");
  struct linkfile link = disk->link;
  const char *uri;

  if (call_string (call, "uri", &uri) == -1 || check_uri (call, uri) == -1 ||
      call_check_role (call, VOLUME_ROLE_PRIMARY) == -1)
    return -1;
  if (oneshot != NULL && !json_is_boolean (oneshot))
    return call_refuse (call, "bad-request", EINVAL,
                        "field 'oneshot' must be true or false");
  link.options = (struct replica_options) {
    .limit_bps = disk->link.options.limit_bps
  };
  if (options_from_json (call->request, &link.options, &call->error) == -1 ||
      options_check (&link.options, &call->error) == -1) {
    call->code = "bad-request";
    return -1;
  }
  if (is_running_as (disk, uri, json_is_true (oneshot), &link.options))
    return 0;

  replication_stop_sender (disk);
  strcpy (link.uri, uri);
  link.is_oneshot = json_is_true (oneshot);
  link.is_on = true;
  if (disk_set_link (disk, &link, &call->error) == -1 ||
      replication_start_sender (disk, &call->error) == -1)
    return call_failed (call);
  return 0;
}

/* Settings are for both: a secondary has them when it is primary. */
static int
check_settable (struct call *call)
{
  struct volume_status status;

  volume_get_status (call->disk->volume, &status);
  return call_check_role (call, status.role == VOLUME_ROLE_SECONDARY ?
                          VOLUME_ROLE_SECONDARY : VOLUME_ROLE_PRIMARY);
}

/* How fast the link may send; durable, and the link goes on. */
int
op_link_limit (struct call *call)
{
  struct disk *disk = call->disk;
  struct linkfile link = disk->link;

  if (call_number (call, "limit_bps", &link.options.limit_bps) == -1 ||
      check_settable (call) == -1)
    return -1;
  if (disk_set_link (disk, &link, &call->error) == -1)
    return call_failed (call);
  replication_set_limit (disk, link.options.limit_bps);
  return 0;
}

int
op_link_stop (struct call *call)
{
  struct linkfile link = call->disk->link;

  if (call_check_role (call, VOLUME_ROLE_PRIMARY) == -1)
    return -1;
  link_take_promise_back (call->disk);
  replication_stop_sender (call->disk);
  link.is_on = false;
  if (disk_set_link (call->disk, &link, &call->error) == -1 ||
      sync_force (call->disk->replication.sync, &call->error) == -1)
    return call_failed (call);
  return 0;
}

static int
get_word (struct call *call, const char *key, const char *no,
          const char *yes, bool *ret)
{
  const char *word;

  if (json_object_get (call->request, key) == NULL)
    return 0;
  if (call_string (call, key, &word) == -1)
    return -1;
  if (strcmp (word, no) != 0 && strcmp (word, yes) != 0)
    return call_refuse (call, "bad-request", EINVAL,
                        "field '%s' must be '%s' or '%s'", key, no, yes);
  *ret = strcmp (word, yes) == 0;
  return 0;
}

/* A whole number of seconds, MIN to MAX; not given: *RET stays. */
static int
get_seconds (struct call *call, const char *key, unsigned min, unsigned max,
             unsigned *ret)
{
  uint64_t seconds;

  if (json_object_get (call->request, key) == NULL)
    return 0;
  if (call_number (call, key, &seconds) == -1)
    return -1;
  if (seconds < min || seconds > max)
    return call_refuse (call, "bad-request", EINVAL,
                        "field '%s' must be from %u to %u", key, min, max);
  *ret = seconds;
  return 0;
}

static int
get_mode (struct call *call, struct linkfile *link)
{
  struct sync_settings *mode = &link->mode;
  unsigned proof = 0;

  if (get_word (call, "mode", "async", "sync", &mode->is_sync) == -1 ||
      get_word (call, "on_peer_loss", "degrade", "suspend",
                &mode->suspends) == -1 ||
      get_seconds (call, "proof_seconds", SYNC_PROOF_MS_MIN / 1000,
                   SYNC_PROOF_MS_MAX / 1000, &proof) == -1 ||
      get_seconds (call, "interval_seconds", 0, LINK_INTERVAL_MAX,
                   &link->interval_seconds) == -1)
    return -1;
  if (proof != 0)
    mode->proof_ms = proof * 1000;
  return 0;
}

/* Fields that are not given stay as they are.  The link goes on. */
int
op_link_mode (struct call *call)
{
  struct disk *disk = call->disk;
  const json_t *force = json_object_get (call->request, "force");
  struct linkfile link = disk->link;
  struct sync_status sync;
  bool is_told;

  if (force != NULL && !json_is_boolean (force))
    return call_refuse (call, "bad-request", EINVAL,
                        "field 'force' must be true or false");
  if (check_settable (call) == -1)
    return -1;
  if (get_mode (call, &link) == -1)
    return -1;
  if (disk_set_link (disk, &link, &call->error) == -1)
    return call_failed (call);
  replication_configure_sync (disk);
  replication_set_interval (disk);
  replication_kick_sender (disk);
  is_told = sync_wait_told (disk->replication.sync, CONTROL_TELL_MS);
  if (!is_told && json_is_true (force) &&
      sync_force (disk->replication.sync, &call->error) == -1)
    return call_failed (call);
  sync_get_status (disk->replication.sync, &sync);
  json_object_set_new (call->answer, "told", json_boolean (is_told));
  json_object_set_new (call->answer, "hold_ms",
                       json_integer ((json_int_t) sync.hold_ms));
  return 0;
}

static int
set_accepts (struct call *call, bool accepts)
{
  struct linkfile link = call->disk->link;

  if (link.accepts == accepts)
    return 0;
  link.accepts = accepts;
  if (disk_set_link (call->disk, &link, &call->error) == -1)
    return call_failed (call);
  return 0;
}

int
op_replica_accept (struct call *call)
{
  if (call_check_role (call, VOLUME_ROLE_SECONDARY) == -1 ||
      set_accepts (call, true) == -1)
    return -1;
  receiver_set_accept (call->disk->replication.receiver, true);
  return 0;
}

int
op_replica_stop (struct call *call)
{
  if (call_check_role (call, VOLUME_ROLE_SECONDARY) == -1 ||
      set_accepts (call, false) == -1)
    return -1;
  if (receiver_stop_and_rollback (call->disk->replication.receiver,
                                  &call->error) == -1 ||
      sync_hear (call->disk->replication.sync, REPLICA_PROMISE_NONE, 0,
                 &call->error) == -1)
    return call_failed (call);
  return 0;
}

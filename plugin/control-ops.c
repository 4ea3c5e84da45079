/* Requests on the control socket: one table, one function each.
 *
 * A function that changes a disk runs with the disk's ops_lock held.  Each
 * change is made durable in this order: what is to run is stopped, the link
 * file is written, the volume's role is set, what is to run now is started.
 * After a crash between any two steps the disk is safe (the link is off or
 * the old role still in force) and the same request finishes the work.
 */

#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "cleanup.h"
#include "control-call.h"
#include "control-ops.h"
#include "control.h"
#include "disks.h"
#include "options-json.h"
#include "status-json.h"
#include "steps.h"

#define NEEDS_DISK   (1u << 0)  /* there is one of that name */
#define NEEDS_VOLUME (1u << 1)  /* and it is open */
#define CHANGES      (1u << 2)  /* ops_lock is held */

#define TELL_MS 1000          /* to tell the peer that a promise is no more */

/* ------------------------------------------------------------------ */
/* Refusals.                                                            */

int
call_refuse (struct call *call, const char *code, int errnum,
             const char *fmt, ...)
{
  va_list args;

  call->code = code;
  call->error.errnum = errnum;
  va_start (args, fmt);
  vsnprintf (call->error.message, sizeof call->error.message, fmt, args);
  va_end (args);
  return -1;
}

#define refuse call_refuse
#define failed call_failed

int
call_failed (struct call *call)
{
  switch (call->error.errnum) {
  case EBUSY:  call->code = "disk-in-use";  break;
  case EEXIST: call->code = "disk-exists";  break;
  case EINVAL: call->code = "bad-request";  break;
  case ENOMEM: call->code = "internal";     break;
  case ENOSPC: call->code = "no-space";     break;
  default:     call->code = "io-error";     break;
  }
  return -1;
}

static int
wrong_role (struct call *call, const struct volume_status *status,
            const char *wanted)
{
  return refuse (call, "wrong-role", EPERM, "disk '%s' is %s, not %s",
                 call->disk->name, volume_role_name (status->role), wanted);
}

/* ------------------------------------------------------------------ */
/* Fields of a request.  All return -1 with the refusal made.           */

static int
get_string (struct call *call, const char *key, const char **ret)
{
  const json_t *value = json_object_get (call->request, key);

  /* A zero byte inside would cut it short. */
  if (!json_is_string (value) ||
      strlen (json_string_value (value)) != json_string_length (value))
    return refuse (call, "bad-request", EINVAL,
                   "field '%s' must be a string", key);
  *ret = json_string_value (value);
  return 0;
}

#define get_number call_number

int
call_number (struct call *call, const char *key, uint64_t *ret)
{
  const json_t *value = json_object_get (call->request, key);

  if (!json_is_integer (value) || json_integer_value (value) < 0)
    return refuse (call, "bad-request", EINVAL,
                   "field '%s' must be a whole number from 0", key);
  *ret = json_integer_value (value);
  return 0;
}

static int
get_uuid (struct call *call, const char *key, struct uuid *ret)
{
  const char *str;

  if (get_string (call, key, &str) == -1)
    return -1;
  if (!uuid_parse (str, ret) || uuid_is_null (ret))
    return refuse (call, "bad-request", EINVAL,
                   "field '%s' must be a UUID", key);
  return 0;
}

static int
get_secret (struct call *call, uint8_t ret[LINK_SECRET_SIZE])
{
  const char *str;

  if (get_string (call, "secret", &str) == -1)
    return -1;
  if (strlen (str) != 2 * LINK_SECRET_SIZE ||
      !hex_decode (str, 2 * LINK_SECRET_SIZE, ret))
    return refuse (call, "bad-request", EINVAL,
                   "field 'secret' must be %d hexadecimal digits",
                   2 * LINK_SECRET_SIZE);
  return 0;
}

/* ------------------------------------------------------------------ */
/* ping and disk.*                                                      */

static struct uuid instance;

static void
make_instance (void)
{
  uuid_generate (&instance);
}

static int
op_ping (struct call *call)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;

  pthread_once (&once, make_instance);
  json_object_set_new (call->answer, "version", json_string (PACKAGE_VERSION));
  json_object_set_new (call->answer, "pid", json_integer (getpid ()));
  json_object_set_new (call->answer, "instance", uuid_to_json (&instance));
  return 0;
}

static int
op_disk_create (struct call *call)
{
  struct volume_params params = { 0 };
  const char *name;

  if (get_string (call, "disk", &name) == -1 ||
      get_number (call, "size", &params.size) == -1)
    return -1;
  if (json_object_get (call->request, "capacity") != NULL &&
      get_number (call, "capacity", &params.capacity) == -1)
    return -1;
  if (!volume_name_is_valid (name))
    return refuse (call, "bad-request", EINVAL, "'%.80s' is no name for a "
                   "disk: letters, digits and . _ -, at most %d of them, "
                   "beginning with a letter or digit",
                   name, VOLUME_NAME_MAX);
  if (params.size < VOLUME_SIZE_MIN || params.size > VOLUME_SIZE_MAX ||
      params.size % VOLUME_BLOCK_SIZE != 0)
    return refuse (call, "bad-request", EINVAL, "field 'size' must be a "
                   "multiple of %u from 1 MiB to 8 TiB", VOLUME_BLOCK_SIZE);
  if (disk_create (name, &params, &call->error) == -1)
    return failed (call);
  return 0;
}

static int
op_disk_delete (struct call *call)
{
  struct volume_status status;

  volume_get_status (call->disk->volume, &status);
  if (status.role != VOLUME_ROLE_STANDALONE) {
    wrong_role (call, &status, "standalone");
    return error_hint (&call->error, "delete its pair first");
  }
  call->is_unlocked = true;
  if (disk_delete (call->disk, &call->error) == -1)
    return failed (call);
  return 0;
}

/* Without size and capacity it says what they are. */
static int
op_disk_resize (struct call *call)
{
  struct volume *volume = call->disk->volume;
  struct volume_status status;
  uint64_t size = 0, capacity = 0;

  if (json_object_get (call->request, "size") != NULL &&
      get_number (call, "size", &size) == -1)
    return -1;
  if (json_object_get (call->request, "capacity") != NULL &&
      get_number (call, "capacity", &capacity) == -1)
    return -1;
  if (volume_resize (volume, size, capacity, &call->error) == -1) {
    failed (call);
    if (call->error.errnum == EPERM)
      call->code = "wrong-role";
    return -1;
  }
  volume_get_status (volume, &status);
  json_object_set_new (call->answer, "size", json_integer (status.size));
  json_object_set_new (call->answer, "capacity",
                       json_integer (status.capacity));
  return 0;
}

/* As many as fit into a line; then "next" is the name to continue after. */
static int
op_disk_list (struct call *call)
{
  json_t *list = json_array ();
  struct disk *disk, *next;
  const char *after = "";
  size_t room = CONTROL_LINE_MAX - 256;

  json_object_set_new (call->answer, "disks", list);
  if (json_object_get (call->request, "after") != NULL &&
      get_string (call, "after", &after) == -1)
    return -1;

  for (disk = disk_next (after); disk != NULL; disk = next) {
    json_t *json = disk_to_json (disk);
    size_t len = json ? json_dumpb (json, NULL, 0, JSON_COMPACT) + 1 : 0;

    if (len > room) {
      json_t *last = json_array_get (list, json_array_size (list) - 1);

      json_object_set (call->answer, "next", json_object_get (last, "disk"));
      json_decref (json);
      disk_put (disk);
      break;
    }
    room -= len;
    json_array_append_new (list, json);
    next = disk_next (disk->name);
    disk_put (disk);
  }
  return 0;
}

static int
op_disk_status (struct call *call)
{
  json_t *json = disk_to_json (call->disk);

  if (json == NULL)
    return refuse (call, "internal", ENOMEM, "not enough memory");
  json_object_update (call->answer, json);
  json_decref (json);
  return 0;
}

static int
op_disk_digest (struct call *call)
{
  struct volume_status status;
  uint64_t digest;

  volume_get_status (call->disk->volume, &status);
  if (volume_digest (call->disk->volume, &digest, &call->error) == -1)
    return failed (call);
  json_object_set_new (call->answer, "digest", hex_to_json (digest));
  json_object_set_new (call->answer, "committed",
                       point_to_json (&status.committed));
  return 0;
}

static int
op_disk_scrub (struct call *call)
{
  uint64_t rate_bps = SCRUB_RATE_DEFAULT;
  const char *action;

  if (get_string (call, "action", &action) == -1)
    return -1;
  if (json_object_get (call->request, "rate_bps") != NULL &&
      get_number (call, "rate_bps", &rate_bps) == -1)
    return -1;
  if (strcmp (action, "stop") == 0) {
    scrub_stop (&call->disk->scrub);
    return 0;
  }
  if (strcmp (action, "start") != 0)
    return refuse (call, "bad-request", EINVAL,
                   "field 'action' must be 'start' or 'stop'");
  if (scrub_start (&call->disk->scrub, call->disk->volume, rate_bps,
                   &call->error) == -1)
    return failed (call);
  return 0;
}

/* ------------------------------------------------------------------ */
/* pair.*                                                               */

struct pair_request {
  enum volume_role role;
  struct uuid pair;
  uint64_t fence;
  uint8_t secret[LINK_SECRET_SIZE];
};

static int
get_pair_request (struct call *call, struct pair_request *ret)
{
  const char *role;

  if (get_string (call, "role", &role) == -1 ||
      get_uuid (call, "pair", &ret->pair) == -1 ||
      get_number (call, "fence", &ret->fence) == -1 ||
      get_secret (call, ret->secret) == -1)
    return -1;
  if (strcmp (role, "primary") == 0)
    ret->role = VOLUME_ROLE_PRIMARY;
  else if (strcmp (role, "secondary") == 0)
    ret->role = VOLUME_ROLE_SECONDARY;
  else
    return refuse (call, "bad-request", EINVAL,
                   "field 'role' must be 'primary' or 'secondary'");
  return 0;
}

static int
check_pair_request (struct call *call, const struct pair_request *wanted,
                    const struct volume_status *status)
{
  char pair[UUID_STRING_SIZE];

  if (status->role != VOLUME_ROLE_STANDALONE &&
      !uuid_equal (&status->pair, &wanted->pair)) {
    uuid_format (&status->pair, pair);
    refuse (call, "wrong-role", EPERM, "disk '%s' is the %s of pair %s",
            call->disk->name, volume_role_name (status->role), pair);
    return error_hint (&call->error, "delete that pair first");
  }
  if (status->role == VOLUME_ROLE_SECONDARY &&
      wanted->role == VOLUME_ROLE_PRIMARY) {
    wrong_role (call, status, "primary");
    return error_hint (&call->error, "a secondary is made primary by "
                       "'promote', which drops what is not committed");
  }
  if (status->role == VOLUME_ROLE_PRIMARY &&
      wanted->role == VOLUME_ROLE_SECONDARY) {
    wrong_role (call, status, "secondary");
    return error_hint (&call->error, "a primary is made secondary by "
                       "'demote', which names what it gives up");
  }
  if (wanted->fence < status->fence)
    return refuse (call, "fence-too-low", EPERM,
                   "disk '%s' has fence %llu, higher than %llu",
                   call->disk->name, (unsigned long long) status->fence,
                   (unsigned long long) wanted->fence);
  return 0;
}

/* The link file that goes with the wanted role. */
static void
make_link (struct disk *disk, const struct pair_request *wanted,
           const struct volume_status *status, struct linkfile *ret)
{
  if (status->role == wanted->role && disk->link.is_set)
    *ret = disk->link;
  else {
    memset (ret, 0, sizeof *ret);
    ret->is_set = true;
    ret->pair = wanted->pair;
  }
  memcpy (ret->secret, wanted->secret, LINK_SECRET_SIZE);
}

static int
set_pair (struct call *call, const struct pair_request *wanted,
          const struct volume_status *status)
{
  struct disk *disk = call->disk;
  struct linkfile link;
  struct error ignored;
  int r;

  make_link (disk, wanted, status, &link);
  replication_stop (disk);
  r = status->role == wanted->role ? 0 :
    sync_reset (disk->replication.sync, &call->error);
  if (r == 0)
    r = disk_set_link (disk, &link, &call->error);
  if (r == 0)
    r = volume_set_role (disk->volume, wanted->role, &wanted->pair,
                         wanted->fence, &call->error);
  disk_role_changed (disk);
  if (r == -1) {
    replication_start (disk, &ignored);
    return failed (call);
  }
  if (replication_start (disk, &call->error) == -1)
    return failed (call);
  return 0;
}

static int
op_pair_set (struct call *call)
{
  struct disk *disk = call->disk;
  struct pair_request wanted;
  struct volume_status status;
  int r;

  volume_get_status (disk->volume, &status);
  if (get_pair_request (call, &wanted) == -1 ||
      check_pair_request (call, &wanted, &status) == -1)
    return -1;

  if (status.role == wanted.role && status.fence == wanted.fence &&
      disk->link.is_set && disk->replication.receiver != NULL &&
      secret_equal (disk->link.secret, wanted.secret, LINK_SECRET_SIZE))
    return 0;

  if (wanted.role != VOLUME_ROLE_SECONDARY)
    return set_pair (call, &wanted, &status);
  if (disk_bar_guests (disk, &call->error) == -1)
    return failed (call);
  r = set_pair (call, &wanted, &status);
  disk_unbar_guests (disk);
  return r;
}

/* The link of a primary will end: what the peer relies on is taken back, if
 * it can be told.
 */
static void
take_promise_back (struct disk *disk)
{
  struct sender_status status;

  sync_configure (disk->replication.sync, &disk->link.mode, false);
  if (replication_sender_status (disk, &status) &&
      status.connected_ms > 0) {
    replication_kick_sender (disk);
    sync_wait_told (disk->replication.sync, TELL_MS);
  }
}

static int
op_pair_clear (struct call *call)
{
  static const struct uuid no_pair;
  static const struct linkfile no_link;
  struct disk *disk = call->disk;
  struct volume_status status;
  uint64_t fence;
  int r = 0;

  /* The role goes first: a link file of another pair than the volume's means
   * nothing, a role without its link file would keep the disk useless.
   */
  take_promise_back (disk);
  replication_stop (disk);
  volume_get_status (disk->volume, &status);
  if (status.stage.is_active)
    r = volume_stage_drop (disk->volume, &call->error);

  /* A disk on its own has no other side to be fenced from. */
  fence = status.is_fenced ? status.met_fence : status.fence;
  if (r == 0 && (status.role != VOLUME_ROLE_STANDALONE || status.is_fenced))
    r = volume_set_role (disk->volume, VOLUME_ROLE_STANDALONE, &no_pair,
                         fence, &call->error);
  disk_role_changed (disk);
  if (r == 0)
    r = disk_set_link (disk, &no_link, &call->error);
  if (r == 0)
    r = sync_reset (disk->replication.sync, &call->error);
  return r == -1 ? failed (call) : 0;
}

/* ------------------------------------------------------------------ */
/* link.* and replica.*                                                 */

#define check_role call_check_role

int
call_check_role (struct call *call, enum volume_role wanted)
{
  struct volume_status status;

  volume_get_status (call->disk->volume, &status);
  if (status.role != wanted)
    return wrong_role (call, &status, volume_role_name (wanted));
  if (!call->disk->link.is_set || call->disk->replication.receiver == NULL) {
    refuse (call, "wrong-role", EPERM,
            "the link of disk '%s' was not set up", call->disk->name);
    return error_hint (&call->error, "send 'pair.set' again");
  }
  return 0;
}

/* The instance's address and nothing behind it. */
static int
check_uri (struct call *call, const char *uri)
{
  static const char *const schemes[] =
    { "nbd://", "nbds://", "nbd+unix://", "nbds+unix://" };
  size_t i;

  if (strlen (uri) > LINK_URI_MAX)
    return refuse (call, "bad-request", EINVAL,
                   "field 'uri' is longer than %d bytes", LINK_URI_MAX);
  for (i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
    if (strncmp (uri, schemes[i], strlen (schemes[i])) == 0)
      break;
  if (i < sizeof schemes / sizeof schemes[0])
    return strstr (uri, "tls-") == NULL ? 0 :
      refuse (call, "bad-request", EINVAL,
              "keys do not go into 'uri': give field 'tls'");
  return refuse (call, "bad-request", EINVAL, "field 'uri' must be an NBD "
                 "URI: nbd://HOST:PORT or nbd+unix:///?socket=PATH");
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

static int
op_link_start (struct call *call)
{
  struct disk *disk = call->disk;
  const json_t *oneshot = json_object_get (call->request, "oneshot");
  struct linkfile link = disk->link;
  const char *uri;

  if (get_string (call, "uri", &uri) == -1 || check_uri (call, uri) == -1 ||
      check_role (call, VOLUME_ROLE_PRIMARY) == -1)
    return -1;
  if (oneshot != NULL && !json_is_boolean (oneshot))
    return refuse (call, "bad-request", EINVAL,
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
    return failed (call);
  return 0;
}

/* How fast the link may send; durable, and the link goes on. */
static int
op_link_limit (struct call *call)
{
  struct disk *disk = call->disk;
  struct linkfile link = disk->link;

  if (get_number (call, "limit_bps", &link.options.limit_bps) == -1 ||
      check_role (call, VOLUME_ROLE_PRIMARY) == -1)
    return -1;
  if (disk_set_link (disk, &link, &call->error) == -1)
    return failed (call);
  replication_set_limit (disk, link.options.limit_bps);
  return 0;
}

static int
op_link_stop (struct call *call)
{
  struct linkfile link = call->disk->link;

  if (check_role (call, VOLUME_ROLE_PRIMARY) == -1)
    return -1;
  take_promise_back (call->disk);
  replication_stop_sender (call->disk);
  link.is_on = false;
  if (disk_set_link (call->disk, &link, &call->error) == -1 ||
      sync_force (call->disk->replication.sync, &call->error) == -1)
    return failed (call);
  return 0;
}

static int
get_word (struct call *call, const char *key, const char *no,
          const char *yes, bool *ret)
{
  const char *word;

  if (json_object_get (call->request, key) == NULL)
    return 0;
  if (get_string (call, key, &word) == -1)
    return -1;
  if (strcmp (word, no) != 0 && strcmp (word, yes) != 0)
    return refuse (call, "bad-request", EINVAL,
                   "field '%s' must be '%s' or '%s'", key, no, yes);
  *ret = strcmp (word, yes) == 0;
  return 0;
}

static int
get_mode (struct call *call, struct sync_settings *mode)
{
  if (get_word (call, "mode", "async", "sync", &mode->is_sync) == -1 ||
      get_word (call, "on_peer_loss", "degrade", "suspend",
                &mode->suspends) == -1)
    return -1;
  return 0;
}

/* Fields that are not given stay as they are.  The link goes on. */
static int
op_link_mode (struct call *call)
{
  struct disk *disk = call->disk;
  const json_t *force = json_object_get (call->request, "force");
  struct linkfile link = disk->link;
  struct volume_status status;
  bool is_told;

  if (force != NULL && !json_is_boolean (force))
    return refuse (call, "bad-request", EINVAL,
                   "field 'force' must be true or false");
  volume_get_status (disk->volume, &status);
  if (status.role != VOLUME_ROLE_SECONDARY &&
      check_role (call, VOLUME_ROLE_PRIMARY) == -1)
    return -1;
  if (get_mode (call, &link.mode) == -1)
    return -1;
  if (disk_set_link (disk, &link, &call->error) == -1)
    return failed (call);
  replication_configure_sync (disk);
  replication_kick_sender (disk);
  is_told = sync_wait_told (disk->replication.sync, TELL_MS);
  if (!is_told && json_is_true (force) &&
      sync_force (disk->replication.sync, &call->error) == -1)
    return failed (call);
  json_object_set_new (call->answer, "told", json_boolean (is_told));
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
    return failed (call);
  return 0;
}

static int
op_replica_accept (struct call *call)
{
  if (check_role (call, VOLUME_ROLE_SECONDARY) == -1 ||
      set_accepts (call, true) == -1)
    return -1;
  receiver_set_accept (call->disk->replication.receiver, true);
  return 0;
}

static int
op_replica_stop (struct call *call)
{
  if (check_role (call, VOLUME_ROLE_SECONDARY) == -1 ||
      set_accepts (call, false) == -1)
    return -1;
  if (receiver_stop_and_rollback (call->disk->replication.receiver,
                                  &call->error) == -1 ||
      sync_hear (call->disk->replication.sync, REPLICA_PROMISE_NONE,
                 &call->error) == -1)
    return failed (call);
  return 0;
}

/* ------------------------------------------------------------------ */
/* promote                                                              */

static void
answer_promotion (struct call *call)
{
  const struct linkfile *link = &call->disk->link;

  json_object_set_new (call->answer, "committed",
                       point_to_json (&link->promoted_point));
  json_object_set_new (call->answer, "loss",
                       loss_to_json (&link->promoted_loss));
}

static int
check_promotion (struct call *call, uint64_t fence,
                 const struct volume_status *status)
{
  if (check_role (call, VOLUME_ROLE_SECONDARY) == -1)
    return -1;
  if (fence <= status->fence)
    return refuse (call, "fence-too-low", EPERM,
                   "disk '%s' has fence %llu: a promotion needs a higher one",
                   call->disk->name, (unsigned long long) status->fence);
  if (!status->is_synced) {
    refuse (call, "no-commit-point", EPERM, "disk '%s' holds no complete "
            "copy: its first synchronization was never finished",
            call->disk->name);
    return error_hint (&call->error,
                       "wait for it, or delete the pair to use the disk");
  }
  return 0;
}

/* Stop taking records and note what this side will have and lack. */
static int
settle_promotion (struct call *call, uint64_t fence)
{
  struct disk *disk = call->disk;
  struct receiver *receiver = disk->replication.receiver;
  struct linkfile link = disk->link;
  struct receiver_status before, after;
  struct volume_status status;

  replication_receiver_status (disk, &before);
  if (receiver_stop_and_rollback (receiver, &call->error) == -1 ||
      volume_receive_flush (disk->volume, &call->error) == -1)
    return failed (call);
  volume_get_status (disk->volume, &status);
  replication_receiver_status (disk, &after);

  /* The same promotion was begun before a crash: it knew more. */
  if (link.promoted_fence != fence ||
      link.promoted_point.seq != status.committed.seq) {
    link.promoted_fence = fence;
    link.promoted_point = status.committed;
    link.promoted_loss = (struct link_loss) {
      .writes = after.loss_writes,
      .bytes = after.loss_bytes,
      .seconds = after.loss_seconds,
      .heard_seconds_ago = after.was_heard ? after.heard_ms_ago / 1e3 : -1,
      .dropped_staged = before.is_staged,
      .is_zero_proven = sync_is_zero_proven (disk->replication.sync),
    };
  }
  link.accepts = false;
  if (disk_set_link (disk, &link, &call->error) == -1)
    return failed (call);
  return 0;
}

static int
op_promote (struct call *call)
{
  struct disk *disk = call->disk;
  struct volume_status status;
  uint64_t fence;

  if (get_number (call, "fence", &fence) == -1)
    return -1;
  volume_get_status (disk->volume, &status);
  if (status.role == VOLUME_ROLE_PRIMARY && status.fence == fence &&
      disk->link.promoted_fence == fence) {
    answer_promotion (call);
    return 0;
  }
  if (check_promotion (call, fence, &status) == -1)
    return -1;
  salvage_stop (&disk->salvage);   /* nothing is given up any more */

  if (settle_promotion (call, fence) == -1) {
    receiver_set_accept (disk->replication.receiver, disk->link.accepts);
    return -1;
  }
  if (volume_set_role (disk->volume, VOLUME_ROLE_PRIMARY, &status.pair, fence,
                       &call->error) == -1 ||
      sync_reset (disk->replication.sync, &call->error) == -1)
    return failed (call);
  disk_role_changed (disk);
  answer_promotion (call);
  return 0;
}

/* ------------------------------------------------------------------ */

static const struct op {
  const char *name;
  unsigned flags;
  int (*fn) (struct call *call);
} ops[] = {
  { "ping",           0,                                   op_ping },
  { "disk.create",    0,                                   op_disk_create },
  { "disk.delete",    NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_disk_delete },
  { "disk.list",      0,                                   op_disk_list },
  { "disk.status",    NEEDS_DISK,                          op_disk_status },
  { "disk.digest",    NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_disk_digest },
  { "disk.history",   NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_disk_history },
  { "disk.resize",    NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_disk_resize },
  { "disk.scrub",     NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_disk_scrub },
  { "pair.set",       NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_pair_set },
  { "pair.clear",     NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_pair_clear },
  { "link.start",     NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_link_start },
  { "link.limit",     NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_link_limit },
  { "link.stop",      NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_link_stop },
  { "link.mode",      NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_link_mode },
  { "replica.accept", NEEDS_DISK | NEEDS_VOLUME | CHANGES,
    op_replica_accept },
  { "replica.stop",   NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_replica_stop },
  { "promote",        NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_promote },
  { "pair.compare",   NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_pair_compare },
  { "demote",         NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_demote },
};

static const struct op *
find_op (const char *name)
{
  size_t i;

  for (i = 0; i < sizeof ops / sizeof ops[0]; i++)
    if (strcmp (ops[i].name, name) == 0)
      return &ops[i];
  return NULL;
}

static int
no_such_disk (struct call *call, const char *name)
{
  return refuse (call, "no-such-disk", ENOENT,
                 "there is no disk '%.80s' here", name);
}

/* What changes a pair can be watched: common/steps.c. */
static int
run_step (struct call *call, const struct op *op)
{
  char name[64];
  int r;

  if (!steps_are_watched () || strncmp (op->name, "disk.", 5) == 0 ||
      op->fn == op_pair_compare)
    return op->fn (call);
  snprintf (name, sizeof name, "plugin.%s", op->name);
  step_begins (name);
  step_scope_set (name);
  r = op->fn (call);
  step_scope_set (NULL);
  step_ended (name);
  return r;
}

static int
run_on_disk (struct call *call, const struct op *op)
{
  struct disk *disk = call->disk;
  int r;

  if ((op->flags & NEEDS_VOLUME) && disk->volume == NULL) {
    refuse (call, "io-error", EIO, "disk '%s' is not served: %s",
            disk->name, disk->failure.message);
    return error_hint (&call->error, "%s", disk->failure.hint);
  }
  if (!(op->flags & CHANGES))
    return op->fn (call);

  pthread_mutex_lock (&disk->ops_lock);
  r = disk->is_gone ? no_such_disk (call, disk->name) : run_step (call, op);
  if (!call->is_unlocked)
    pthread_mutex_unlock (&disk->ops_lock);
  return r;
}

static int
run (struct call *call)
{
  const char *name;
  const struct op *op;
  int r;

  if (!json_is_object (call->request))
    return refuse (call, "bad-request", EINVAL,
                   "a request is one JSON object on one line");
  if (get_string (call, "op", &name) == -1)
    return -1;
  op = find_op (name);
  if (op == NULL)
    return refuse (call, "bad-request", EINVAL,
                   "there is no op '%.80s'", name);
  if (!(op->flags & NEEDS_DISK))
    return op->fn (call);

  if (get_string (call, "disk", &name) == -1)
    return -1;
  call->disk = disk_get (name);
  if (call->disk == NULL)
    return no_such_disk (call, name);
  r = run_on_disk (call, op);
  disk_put (call->disk);
  return r;
}

static json_t *
refusal_to_json (const char *code, const struct error *error)
{
  json_t *message = json_string (error->message);

  if (message == NULL)
    message = json_string ("(the message is not valid UTF-8)");
  return json_pack ("{s:b, s:{s:s, s:s, s:o, s:s}}", "ok", 0, "error",
                    "code", code, "errno", error_name (error->errnum),
                    "message", message, "hint", error->hint);
}

json_t *
control_refusal (const char *code, int errnum, const char *message)
{
  struct error error = ERROR_INIT;

  error_set (&error, errnum, "%s", message);
  return refusal_to_json (code, &error);
}

json_t *
control_answer (const char *line, size_t len)
{
  json_t *request = json_loadb (line, len, JSON_REJECT_DUPLICATES, NULL);
  struct call call = {
    .request = request,
    .answer = json_pack ("{s:b}", "ok", 1),
    .error = ERROR_INIT,
  };

  if (run (&call) == -1) {
    json_decref (call.answer);
    call.answer = refusal_to_json (call.code, &call.error);
    nbdkit_debug ("control: %s: %s", call.code, call.error.message);
  }
  json_decref (request);
  return call.answer;
}

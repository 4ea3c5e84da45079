/* Requests that set the role of a disk: pair.set, pair.clear, promote. */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "control-call.h"
#include "value-json.h"

/* ------------------------------------------------------------------ */
/* pair.*                                                                */

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

  if (call_string (call, "role", &role) == -1 ||
      call_uuid (call, "pair", &ret->pair) == -1 ||
      call_number (call, "fence", &ret->fence) == -1 ||
      call_secret (call, ret->secret) == -1)
    return -1;
  if (strcmp (role, "primary") == 0)
    ret->role = VOLUME_ROLE_PRIMARY;
  else if (strcmp (role, "secondary") == 0)
    ret->role = VOLUME_ROLE_SECONDARY;
  else
    return call_refuse (call, "bad-request", EINVAL,
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
    call_refuse (call, "wrong-role", EPERM, "disk '%s' is the %s of pair %s",
                 call->disk->name, volume_role_name (status->role), pair);
    return error_hint (&call->error, "delete that pair first");
  }
  if (status->role == VOLUME_ROLE_SECONDARY &&
      wanted->role == VOLUME_ROLE_PRIMARY) {
    call_wrong_role (call, status, "primary");
    return error_hint (&call->error, "a secondary is made primary by "
                       "'promote', which drops what is not committed");
  }
  if (status->role == VOLUME_ROLE_PRIMARY &&
      wanted->role == VOLUME_ROLE_SECONDARY) {
    call_wrong_role (call, status, "secondary");
    return error_hint (&call->error, "a primary is made secondary by "
                       "'demote', which names what it gives up");
  }
  if (wanted->fence < status->fence)
    return call_refuse (call, "fence-too-low", EPERM,
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
  bool is_unfenced;
  int r;

  make_link (disk, wanted, status, &link);
  replication_stop (disk);
  is_unfenced = status->is_fenced && wanted->fence >= status->met_fence;
  r = status->role == wanted->role && !is_unfenced ? 0 :
    sync_reset (disk->replication.sync, &call->error);
  if (r == 0)
    r = disk_set_link (disk, &link, &call->error);
  if (r == 0)
    r = volume_set_role (disk->volume, wanted->role, &wanted->pair,
                         wanted->fence, &call->error);
  disk_role_changed (disk);
  if (r == -1) {
    replication_start (disk, &ignored);
    return call_failed (call);
  }
  if (replication_start (disk, &call->error) == -1)
    return call_failed (call);
  return 0;
}

int
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
    return call_failed (call);
  r = set_pair (call, &wanted, &status);
  disk_unbar_guests (disk);
  return r;
}

int
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
  link_take_promise_back (disk);
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
  return r == -1 ? call_failed (call) : 0;
}

/* ------------------------------------------------------------------ */
/* promote                                                               */

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
  if (call_check_role (call, VOLUME_ROLE_SECONDARY) == -1)
    return -1;
  if (fence <= status->fence)
    return call_refuse (call, "fence-too-low", EPERM,
                        "disk '%s' has fence %llu: a promotion needs a "
                        "higher one",
                        call->disk->name, (unsigned long long) status->fence);
  if (!status->is_synced) {
    call_refuse (call, "no-commit-point", EPERM, "disk '%s' holds no complete "
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
    return call_failed (call);
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
    };
  }
  /* What was proven then may have lapsed meanwhile. */
  link.promoted_loss.zero = sync_prove_zero (disk->replication.sync, NULL);
  link.accepts = false;
  if (disk_set_link (disk, &link, &call->error) == -1)
    return call_failed (call);
  return 0;
}

int
op_promote (struct call *call)
{
  struct disk *disk = call->disk;
  struct volume_status status;
  uint64_t fence;

  if (call_number (call, "fence", &fence) == -1)
    return -1;
  volume_get_status (disk->volume, &status);
  if (status.role == VOLUME_ROLE_PRIMARY && status.fence == fence &&
      disk->link.promoted_fence == fence) {
    disk_role_changed (disk);
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
    return call_failed (call);
  disk_role_changed (disk);
  answer_promotion (call);
  return 0;
}

/* Requests on a disk by itself: disk.* */

#include <config.h>

#include <errno.h>

#include "control-call.h"
#include "control.h"
#include "options-json.h"
#include "status-json.h"
#include "value-json.h"

int
op_disk_create (struct call *call)
{
  struct volume_params params = { 0 };
  const char *name;

  if (call_string (call, "disk", &name) == -1 ||
      call_number (call, "size", &params.size) == -1)
    return -1;
  if (json_object_get (call->request, "capacity") != NULL &&
      call_number (call, "capacity", &params.capacity) == -1)
    return -1;
  if (!volume_name_is_valid (name))
    return call_refuse (call, "bad-request", EINVAL,
                        "'%.80s' is no name for a disk: letters, digits and "
                        ". _ -, at most %d of them, beginning with a letter or digit",
                        name, VOLUME_NAME_MAX);
  if (params.size < VOLUME_SIZE_MIN || params.size > VOLUME_SIZE_MAX ||
      params.size % VOLUME_BLOCK_SIZE != 0)
    return call_refuse (call, "bad-request", EINVAL, "field 'size' must be a "
                        "multiple of %u from 1 MiB to 8 TiB",
                        VOLUME_BLOCK_SIZE);
  if (disk_create (name, &params, &call->error) == -1)
    return call_failed (call);
  return 0;
}

int
op_disk_delete (struct call *call)
{
  struct volume_status status;

  volume_get_status (call->disk->volume, &status);
  if (status.role != VOLUME_ROLE_STANDALONE) {
    call_wrong_role (call, &status, "standalone");
    return error_hint (&call->error, "delete its pair first");
  }
  call->is_unlocked = true;
  if (disk_delete (call->disk, &call->error) == -1)
    return call_failed (call);
  return 0;
}

/* Without size and capacity it says what they are. */
int
op_disk_resize (struct call *call)
{
  struct volume *volume = call->disk->volume;
  struct volume_status status;
  uint64_t size = 0, capacity = 0;

  if (json_object_get (call->request, "size") != NULL &&
      call_number (call, "size", &size) == -1)
    return -1;
  if (json_object_get (call->request, "capacity") != NULL &&
      call_number (call, "capacity", &capacity) == -1)
    return -1;
  if (volume_resize (volume, size, capacity, &call->error) == -1) {
    call_failed (call);
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
int
op_disk_list (struct call *call)
{
  json_t *list = json_array ();
  struct disk *disk, *next;
  const char *after = "";
  size_t room = CONTROL_LINE_MAX - 256;

  json_object_set_new (call->answer, "disks", list);
  if (json_object_get (call->request, "after") != NULL &&
      call_string (call, "after", &after) == -1)
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

int
op_disk_status (struct call *call)
{
  json_t *json = disk_to_json (call->disk);

  if (json == NULL)
    return call_refuse (call, "internal", ENOMEM, "not enough memory");
  json_object_update (call->answer, json);
  json_decref (json);
  return 0;
}

int
op_disk_digest (struct call *call)
{
  struct volume_status status;
  uint64_t digest;

  volume_get_status (call->disk->volume, &status);
  if (volume_digest (call->disk->volume, &digest, &call->error) == -1)
    return call_failed (call);
  json_object_set_new (call->answer, "digest", hex_to_json (digest));
  json_object_set_new (call->answer, "committed",
                       point_to_json (&status.committed));
  return 0;
}

int
op_disk_scrub (struct call *call)
{
  uint64_t rate_bps = SCRUB_RATE_DEFAULT;
  bool is_start;

  if (call_start_or_stop (call, &is_start, &rate_bps) == -1)
    return -1;
  if (!is_start) {
    scrub_stop (&call->disk->scrub, true);
    return 0;
  }
  if (scrub_start (&call->disk->scrub, call->disk->volume, call->disk->dirfd,
                   rate_bps, &call->error) == -1)
    return call_failed (call);
  return 0;
}

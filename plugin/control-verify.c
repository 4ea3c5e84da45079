/* The request disk.verify: both sides of a pair compared, from the primary.
 * See replica/verify.h.
 */

#include <config.h>

#include <errno.h>

#include "control-call.h"
#include "verification.h"
#include "verifyfile.h"

static int
start (struct call *call, uint64_t rate_bps, bool repairs)
{
  struct disk *disk = call->disk;
  const struct verify_ops ops = disk_verify_ops (disk);

  if (call_check_role (call, VOLUME_ROLE_PRIMARY) == -1)
    return -1;
  if (!disk->link.is_on) {
    call_refuse (call, "wrong-role", EPERM, "the link of disk '%s' is off",
                 disk->name);
    return error_hint (&call->error, "start its pair first");
  }
  if (verify_start (&disk->verify, disk->volume, &ops, rate_bps, repairs,
                    &call->error) == 0)
    return 0;
  if (call->error.errnum != EBUSY)
    return call_failed (call);
  call->code = "bad-request";
  return error_hint (&call->error, "stop it first");
}

int
op_disk_verify (struct call *call)
{
  const json_t *repair = json_object_get (call->request, "repair");
  uint64_t rate_bps = VERIFY_RATE_DEFAULT;
  bool is_start;

  if (call_start_or_stop (call, &is_start, &rate_bps) == -1)
    return -1;
  if (repair != NULL && !json_is_boolean (repair))
    return call_refuse (call, "bad-request", EINVAL,
                        "field 'repair' must be true or false");
  if (is_start)
    return start (call, rate_bps, json_is_true (repair));
  verify_stop (&call->disk->verify);
  if (verifyfile_remove (call->disk->dirfd) == -1) {
    error_set_errno (&call->error, errno, "cannot delete the file 'verify'");
    return call_failed (call);
  }
  return 0;
}

/* A disk's verification (see verification.h). */

#include <config.h>

#include "replication.h"
#include "verification.h"
#include "verifyfile.h"

static int
errand (void *opaque, struct errand_config *config, char *uri,
        struct error *err)
{
  return replication_errand (opaque, config, uri, err);
}

static int
mend (void *opaque, const uint64_t *block, size_t count, uint64_t *ret_id,
      struct error *err)
{
  return replication_mend (opaque, block, count, ret_id, err);
}

static enum sender_mend
mend_state (void *opaque, uint64_t id)
{
  return replication_mend_state (opaque, id);
}

static void
mend_cancel (void *opaque)
{
  replication_mend_cancel (opaque);
}

static void
note (void *opaque, const struct verify_status *status)
{
  struct disk *disk = opaque;

  if (status->state == VERIFY_DONE || status->state == VERIFY_FAILED)
    verifyfile_remove (disk->dirfd);
  else
    verifyfile_store (disk->dirfd, status);
}

struct verify_ops
disk_verify_ops (struct disk *disk)
{
  return (struct verify_ops) { errand, mend, mend_state, mend_cancel, note,
                               disk };
}

int
verification_resume (struct disk *disk, struct error *err)
{
  const struct verify_ops ops = disk_verify_ops (disk);
  struct volume_status status;
  struct verify_status from;

  volume_get_status (disk->volume, &status);
  if (!verifyfile_load (disk->dirfd, &from))
    return 0;
  if (status.role != VOLUME_ROLE_PRIMARY || !disk->link.is_on ||
      from.done_bytes > status.size) {
    verifyfile_remove (disk->dirfd);
    return 0;
  }
  return verify_resume (&disk->verify, disk->volume, &ops, &from, err);
}

/* A guest's requests.  See guest.h. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "clock.h"
#include "disks.h"
#include "guest.h"

/* NBD knows these and no others; nbdkit makes EINVAL of the rest, which
 * would tell the guest that its request was wrong.
 */
int
guest_errno (int errnum)
{
  switch (errnum) {
  case EPERM:
  case EROFS:
  case EACCES:
    return EPERM;
  case EINVAL:
  case ENOMEM:
  case ENOSPC:
  case EOVERFLOW:
  case ENOTSUP:
  case ESHUTDOWN:
    return errnum;
  case EDQUOT:
  case EFBIG:
    return ENOSPC;
  default:
    return EIO;
  }
}

/* A broken or full disk fails thousands of requests a second: one line a
 * second says enough.
 */
static bool
may_complain (struct disk *disk)
{
  uint_fast64_t now = clock_mono_ns ();
  uint_fast64_t last = atomic_load (&disk->last_complaint_ns);

  return (last == 0 || now - last >= NS_PER_SEC) &&
         atomic_compare_exchange_strong (&disk->last_complaint_ns,
                                         &last, now);
}

static int
fail (struct disk *disk, const char *what, uint64_t count, uint64_t offset)
{
  int errnum = errno;

  if (may_complain (disk))
    nbdkit_error ("disk '%s': %s of %" PRIu64 " bytes at %" PRIu64 ": %s",
                  disk->name, what, count, offset, strerror (errnum));
  errno = guest_errno (errnum);
  return -1;
}

/* A secondary takes no guests; one that is still connected gets nothing. */
static int
check_role (struct disk *disk)
{
  if (atomic_load_explicit (&disk->serves_guests, memory_order_relaxed))
    return 0;
  errno = EPERM;
  return -1;
}

static unsigned
volume_flags (uint32_t flags)
{
  return (flags & NBDKIT_FLAG_FUA ? VOLUME_FUA : 0) |
         (flags & NBDKIT_FLAG_MAY_TRIM ? VOLUME_TRIM : 0);
}

/* Does anybody still wait for the answer? */
static bool
client_is_gone (void)
{
  return nbdkit_nanosleep (0, 1000) == -1;
}

/* The newest record if flushes must wait for the peer, else 0.  That it may
 * change right after this is thought of in sync_step.
 */
static uint64_t
seq_for_peer (struct disk *disk)
{
  struct volume_point appended;

  if (!sync_is_required (disk->replication.sync))
    return 0;
  volume_get_points (disk->volume, &appended, NULL);
  return appended.seq;
}

/* After the local disk did its part of a request with FUA. */
static int
wait_for_peer (struct disk *disk, uint64_t seq)
{
  return seq == 0 ? 0 :
    sync_wait (disk->replication.sync, seq, client_is_gone);
}

static int
finish_fua (struct disk *disk, uint32_t flags)
{
  return flags & NBDKIT_FLAG_FUA ?
    wait_for_peer (disk, seq_for_peer (disk)) : 0;
}

/* A disk that met a higher fence, or whose journal failed, can still be read
 * by who wants to save what is on it.
 */
int
guest_can_write (struct disk *disk)
{
  struct volume_status status;

  volume_get_status (disk->volume, &status);
  return !status.is_fenced && !status.is_failed;
}

int
guest_read (struct disk *disk, void *buf, uint32_t count, uint64_t offset)
{
  if (check_role (disk) == -1 ||
      volume_read (disk->volume, buf, count, offset) == -1)
    return fail (disk, "read", count, offset);
  return 0;
}

int
guest_write (struct disk *disk, const void *buf, uint32_t count,
             uint64_t offset, uint32_t flags)
{
  if (check_role (disk) == -1 ||
      volume_write (disk->volume, buf, count, offset,
                    volume_flags (flags)) == -1 ||
      finish_fua (disk, flags) == -1)
    return fail (disk, "write", count, offset);
  return 0;
}

int
guest_zero (struct disk *disk, uint32_t count, uint64_t offset,
            uint32_t flags)
{
  if (check_role (disk) == -1 ||
      volume_zero (disk->volume, count, offset,
                   volume_flags (flags)) == -1 ||
      finish_fua (disk, flags) == -1)
    return fail (disk, "zero", count, offset);
  return 0;
}

int
guest_trim (struct disk *disk, uint32_t count, uint64_t offset,
            uint32_t flags)
{
  if (check_role (disk) == -1 ||
      volume_zero (disk->volume, count, offset,
                   volume_flags (flags) | VOLUME_TRIM) == -1 ||
      finish_fua (disk, flags) == -1)
    return fail (disk, "trim", count, offset);
  return 0;
}

int
guest_flush (struct disk *disk)
{
  uint64_t seq = seq_for_peer (disk);

  if (check_role (disk) == -1 || volume_flush (disk->volume) == -1 ||
      wait_for_peer (disk, seq) == -1)
    return fail (disk, "flush", volume_size (disk->volume), 0);
  return 0;
}

struct extents_request {
  struct nbdkit_extents *extents;
  bool is_one;               /* the client wants only the first */
};

static int
add_extent (void *opaque, uint64_t offset, uint64_t length,
            enum volume_extent kind)
{
  const struct extents_request *request = opaque;
  uint32_t type = 0;

  if (kind == VOLUME_EXTENT_ZERO)
    type = NBDKIT_EXTENT_ZERO;
  else if (kind == VOLUME_EXTENT_HOLE)
    type = NBDKIT_EXTENT_ZERO | NBDKIT_EXTENT_HOLE;
  if (nbdkit_add_extent (request->extents, offset, length, type) == -1)
    return -1;
  return request->is_one;
}

int
guest_extents (struct disk *disk, uint32_t count, uint64_t offset,
               uint32_t flags, struct nbdkit_extents *extents)
{
  struct extents_request request = {
    .extents = extents,
    .is_one = flags & NBDKIT_FLAG_REQ_ONE,
  };

  if (check_role (disk) == -1 ||
      volume_extents (disk->volume, count, offset, add_extent,
                      &request) == -1)
    return fail (disk, "block status", count, offset);
  return 0;
}

/* Growing a volume that is open and serving: the disk, its journal, or both.
 *
 * Space comes first: tables and segment tables become longer, durably, which
 * changes nothing for anyone.  Then a checkpoint whose super has the new
 * geometry: that is the one step in which it takes effect.  Only after that
 * may anybody use what is new, for a super that names the old geometry does
 * not know what is there.  A crash leaves the old size or the new one, and
 * at most a file that is longer than it need be.
 *
 * Neither tables nor segments move in memory (table.h, segments.h): readers
 * take no notice but of the number of blocks.
 */

#include <config.h>

#include <errno.h>

#include "cleanup.h"
#include "volume-internal.h"

struct geometry {
  uint64_t size, capacity;
};

static struct geometry
geometry_now (struct volume *v)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

  return (struct geometry) { v->super.size, v->super.capacity };
}

static void
set_geometry (struct volume *v, const struct geometry *geometry)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

  v->super.size = geometry->size;
  v->super.capacity = geometry->capacity;
}

/* The capacity that goes with a disk grown to SIZE: in proportion as before,
 * but no more than a new volume would get.
 */
static uint64_t
capacity_for (const struct volume *v, const struct geometry *now,
              uint64_t size)
{
  uint64_t usual = default_capacity (size, v->super.segment_size);
  long double wanted = (long double) now->capacity * size / now->size;

  if (wanted < usual)
    usual = ROUND_UP ((uint64_t) wanted, v->super.segment_size);
  return usual > now->capacity ? usual : now->capacity;
}

static int
check_growth (struct volume *v, const struct geometry *now,
              const struct geometry *wanted, struct error *err)
{
  if (check_size (wanted->size, err) == -1 ||
      check_capacity (wanted->capacity, err) == -1)
    return -1;
  if (wanted->size < now->size) {
    error_set (err, EINVAL, "the size is %llu bytes and cannot become less",
               (unsigned long long) now->size);
    return error_hint (err, "a disk can only grow: copy what is needed to a "
                       "smaller one");
  }
  if (wanted->capacity < now->capacity) {
    error_set (err, EINVAL, "the capacity is %llu bytes and cannot become "
               "less", (unsigned long long) now->capacity);
    return error_hint (err, "the journal can only grow: copy the disk to a "
                       "volume with less");
  }
  if (wanted->size > now->size && v->super.role != VOLUME_ROLE_STANDALONE) {
    error_set (err, EPERM, "the volume is the %s of a pair, whose sides have "
               "one size", volume_role_name (v->super.role));
    return error_hint (err, "stop and delete the pair, grow both disks, and "
                       "create it again: only what differs is copied then");
  }
  return 0;
}

/* ------------------------------------------------------------------ */

/* Room for both copies of the segment table, so that no checkpoint fails for
 * want of it.
 */
static int
extend_segments (struct volume *v, uint64_t count)
{
  const struct volume_io *io = v->io;
  uint64_t size = segments_file_size (count);
  unsigned i;

  for (i = 0; i < 2; ++i)
    if (io->resize (v->segments_file[i], size) == -1 ||
        io->reserve (v->segments_file[i], 0, size) == -1 ||
        io->sync (v->segments_file[i]) == -1)
      return -1;
  return 0;
}

static void
give_space_back (struct volume *v)
{
  uint64_t size = segments_file_size (segments_count (&v->segments));
  int saved = errno;
  unsigned i;

  for (i = 0; i < 2; ++i)
    v->io->resize (v->segments_file[i], size);
  table_cut (&v->map);
  table_cut (&v->births);
  errno = saved;
}

static int
make_space (struct volume *v, const struct geometry *now,
            const struct geometry *wanted, struct error *err)
{
  uint64_t nblocks = wanted->size / VOLUME_BLOCK_SIZE;

  if (nblocks > v->map.room || nblocks > v->births.room) {
    error_set (err, ENOMEM, "there is not enough address space to grow in");
    return error_hint (err, "raise the limit that the server is started with "
                       "(ulimit -v)");
  }
  /* No checkpoint writes to them meanwhile. */
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->checkpoint_lock);

  if ((wanted->size > now->size &&
       (table_extend (&v->map, nblocks) == -1 ||
        table_extend (&v->births, nblocks) == -1)) ||
      (wanted->capacity > now->capacity &&
       extend_segments (v, wanted->capacity / v->super.segment_size) == -1)) {
    give_space_back (v);
    return error_set_errno (err, errno, "cannot make space for the tables of "
                            "the larger volume");
  }
  return 0;
}

/* The super has the new geometry, durably: let it be used. */
static void
put_to_use (struct volume *v, const struct geometry *wanted)
{
  uint64_t nblocks = wanted->size / VOLUME_BLOCK_SIZE;
  struct journal *j = &v->journal;

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->checkpoint_lock);

    table_extended (&v->map, nblocks);
    table_extended (&v->births, nblocks);
  }
  __atomic_store_n (&v->nblocks, nblocks, __ATOMIC_RELEASE);

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);
  segments_grow (&v->segments, wanted->capacity / v->super.segment_size);
  j->is_exhausted = false;
  j->prepare_failed = 0;
  j->is_maintenance_due = true;
  pthread_cond_signal (&j->maintainer_cond);
  pthread_cond_broadcast (&j->progress);
}

int
volume_resize (struct volume *v, uint64_t size, uint64_t capacity,
               struct error *err)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->role_lock);
  const struct geometry now = geometry_now (v);
  struct geometry wanted = now;

  if (!live_wait (v))
    return error_set (err, EIO, "cannot grow the volume: %s", v->failure);
  if (size != 0)
    wanted.size = size;
  if (capacity != 0)
    wanted.capacity = capacity > VOLUME_CAPACITY_MAX ? capacity
      : ROUND_UP (capacity, v->super.segment_size);
  else if (wanted.size > now.size)
    wanted.capacity = capacity_for (v, &now, wanted.size);
  if (check_growth (v, &now, &wanted, err) == -1)
    return -1;
  if (wanted.size == now.size && wanted.capacity == now.capacity)
    return 0;

  if (make_space (v, &now, &wanted, err) == -1)
    return -1;
  set_geometry (v, &wanted);
  if (checkpoint (v, false, err) == -1) {
    /* If it was not even begun, the next one is not to do it. */
    set_geometry (v, &now);
    return -1;
  }
  put_to_use (v, &wanted);
  return 0;
}

/* Checkpoints, and the thread that makes them.
 *
 * A checkpoint says: map and births hold everything before this position.
 * Order: the tables are synced, the segment table is written to the copy
 * that the super does not name, then the super.  A crash between any two
 * leaves the older checkpoint in force, from which replay does it all again.
 * One that failed is the last: what a sync has not written, the next one may
 * not write either and yet succeed.  None is refused for want of memory: what
 * it is to write down has been changed already, so nothing is allocated here.
 */

#include <config.h>

#include <errno.h>

#include "cleanup.h"
#include "clock.h"
#include "volume-internal.h"

#define WARM_LIVE 4u             /* less than a fourth: not worth fetching */
#define PAUSE_MS 50u             /* without requests */

/* Up to where everything is applied, and the super as of there. */
static uint64_t
snapshot (struct volume *v, struct super *ret)
{
  struct journal *j = &v->journal;
  uint64_t position;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  while (j->is_applying)
    pthread_cond_wait (&j->progress, &j->lock);
  position = j->applied_position;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);
  *ret = v->super;
  ret->position = position;
  ret->cold_position = v->cold.position;
  ret->point = j->applied_point;
  ret->incarnation = ret->opened = v->incarnation;
  return position;
}

static int
sync_tables (struct volume *v)
{
  if (table_sync (&v->map) == -1 || table_sync (&v->births) == -1)
    return -1;
  if (v->stage_map.file != NULL &&
      (table_sync (&v->stage_map) == -1 ||
       table_sync (&v->stage_births) == -1))
    return -1;
  return 0;
}

/* Write SUPER twice, so that no single damaged slot takes a change of role
 * back.
 */
static int
write_super (struct volume *v, struct super *super)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

  super->sequence = v->super_written.sequence;
  if (super->durable_hint < v->super_written.durable_hint)
    super->durable_hint = v->super_written.durable_hint;
  if (super->durable_hint < super->position)
    super->durable_hint = super->position;
  if (super_write (v->io, v->super_file, super) == -1 ||
      super_write (v->io, v->super_file, super) == -1)
    return -1;
  v->super_written = *super;
  return 0;
}

int
checkpoint (struct volume *v, bool is_clean, struct error *err)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->checkpoint_lock);
  struct super super;
  int saved;

  if (v->checkpoint_failed)
    return error_set_errno (err, v->checkpoint_failed,
                            "cannot write a checkpoint");
  snapshot (v, &super);
  if (is_clean)
    super.flags |= SUPER_CLEAN;
  else
    super.flags &= ~SUPER_CLEAN;

  super.segments_slot = !v->super_written.segments_slot;
  if (sync_tables (v) == -1 ||
      segments_save (&v->segments, v->io,
                     v->segments_file[super.segments_slot], &super) == -1)
    goto err;
  if (write_super (v, &super) == -1)
    goto err;

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->journal.lock);
    v->journal.checkpointed = super.position;
    pthread_cond_broadcast (&v->journal.progress);
  }
  return 0;

 err:
  v->checkpoint_failed = saved = errno;
  journal_fail (v, saved, "cannot write a checkpoint");
  return error_set_errno (err, saved, "cannot write a checkpoint");
}

/* The checkpoint in force stays so: the tables are synced when the next one
 * is due and not now, when somebody waits.  A secondary has nobody waiting,
 * and a stage that replay ended is not to be replayed again without its
 * tables.
 */
int
checkpoint_opening (struct volume *v, struct error *err)
{
  struct super super;

  if (v->super.role == VOLUME_ROLE_SECONDARY ||
      v->super_written.flags & SUPER_STAGE)
    return checkpoint (v, false, err);
  super = v->super_written;
  super.flags &= ~SUPER_CLEAN;
  super.opened = v->incarnation;
  super.durable_hint = v->journal.durable_position;
  if (write_super (v, &super) == -1)
    return error_set_errno (err, errno, "cannot write the super");
  return 0;
}

/* ------------------------------------------------------------------ */
/* The maintainer: segments ready ahead of time, checkpoints now and then,
 * and after a pause a note of how far the journal was durable, so that rot
 * in its last batch is told apart from a torn tail.
 */

/* Direct writes leave nothing in the page cache.  What was just written is
 * likely to be read, and when it leaves the staging ring it should be found
 * there, as it would be on a buffered file.  What was written in bulk is
 * fetched in the pause after it, as much as the cache may well keep.
 *
 * The newest goes first, and one segment at a time: writers may come and wait
 * for what only this thread makes.  While guests are busy it is one for each
 * that they fill; the rest would keep the device from them.  Returns whether
 * more is to be fetched when they are not.
 */
static bool
warm_one_locked (struct volume *v)
{
  struct journal *j = &v->journal;
  uint64_t size = v->segments.size, most = v->warm_bytes / size, segment;

  if (j->is_hurried || j->is_stopping || j->failed)
    return false;
  if (!j->is_guest_writable)
    j->warm_from = j->lap;       /* nobody reads a secondary */
  if (j->warm_from + most < j->lap)
    j->warm_from = j->lap - most;
  segment = segments_find_not_warm (&v->segments, j->warm_from, j->lap);
  if (segment == SEGMENT_NONE) {
    j->warm_from = j->lap;
    return false;
  }
  v->segments.table[segment].is_warm = true;
  if (segment_live (&v->segments, segment) >= size / WARM_LIVE) {
    pthread_mutex_unlock (&j->lock);
    v->io->warm (j->file, segment * size, size);
    pthread_mutex_lock (&j->lock);
  }
  return true;
}

/* Has no guest asked for anything for some time? */
static bool
is_pause_locked (struct volume *v)
{
  struct journal *j = &v->journal;
  uint64_t requests = __atomic_load_n (&v->count.reads, __ATOMIC_RELAXED) +
    __atomic_load_n (&v->count.writes, __ATOMIC_RELAXED);
  uint64_t now = clock_mono_ns ();

  if (requests != j->requests) {
    j->requests = requests;
    j->requests_ns = now;
  }
  return now - j->requests_ns >= PAUSE_MS * NS_PER_MSEC;
}

/* Until there is something to do; with IS_COLD_LEFT it may also be a pause. */
static void
wait_maintenance_locked (struct volume *v, bool is_cold_left)
{
  struct journal *j = &v->journal;
  uint64_t until = clock_mono_ns () + PAUSE_MS * NS_PER_MSEC;
  struct timespec ts = { until / NS_PER_SEC, until % NS_PER_SEC };

  if (!is_cold_left)
    pthread_cond_wait (&j->maintainer_cond, &j->lock);
  else if (pthread_cond_timedwait (&j->maintainer_cond, &j->lock, &ts) ==
           ETIMEDOUT && is_pause_locked (v))
    j->is_maintenance_due = true;
}

static void
note_durable (struct volume *v)
{
  uint64_t durable = __atomic_load_n (&v->journal.durable_position,
                                      __ATOMIC_ACQUIRE);
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

  if (v->super_written.durable_hint >= durable)
    return;
  v->super_written.durable_hint = durable;
  super_write (v->io, v->super_file, &v->super_written);  /* only a hint */
}

void *
checkpoint_maintainer (void *volume)
{
  struct volume *v = volume;
  struct journal *j = &v->journal;
  bool is_quiet, is_due, is_cold_left = false;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  while (!j->is_stopping) {
    if (!j->is_maintenance_due) {
      wait_maintenance_locked (v, is_cold_left);
      continue;
    }
    j->is_maintenance_due = false;
    if (j->tail == j->head)
      j->is_hurried = false;
    spare_prepare_locked (v);
    is_cold_left = warm_one_locked (v);
    if (is_cold_left && is_pause_locked (v))
      j->is_maintenance_due = true;      /* go on */
    spare_prepare_more_locked (v);
    spare_give_back_locked (v);
    is_quiet = j->tail == j->head;
    is_due = position_of (v, j->lap, j->offset) - j->checkpointed >=
      v->checkpoint_bytes;
    if (j->failed || j->is_stopping || (!is_quiet && !is_due))
      continue;
    pthread_mutex_unlock (&j->lock);
    if (is_due)
      checkpoint (v, false, NULL);
    else
      note_durable (v);
    pthread_mutex_lock (&j->lock);
  }
  return NULL;
}

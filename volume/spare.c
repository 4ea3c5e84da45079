/* Free segments: made ready ahead of the writer, and given back.
 *
 * Appending to blocks that were written before is two to four times faster
 * than to fresh ones, so some free segments are always kept filled with
 * zeros, more of them after bursts that used them up.  But filling doubles
 * what the device has to write: who writes in bulk would be slowed by it, and
 * gets segments whose space is merely reserved, until there is a pause.
 *
 * Segments that came free are the best to have, and there is no hurry in
 * giving their space back to the file system: that keeps all who write to the
 * file waiting, so it is done in a pause, too, piece by piece, and only with
 * what is more than the cleaner wants free.
 */

#include <config.h>

#include <errno.h>

#include "clock.h"
#include "volume-internal.h"

/* Stored bytes a second at which the device had better write nothing else. */
#define HURRY_BYTES_PER_SEC (UINT64_C (400) << 20)

#define PUNCH_BYTES (UINT64_C (4) << 20)        /* at a time */

void
spare_note_rotation_locked (struct volume *v)
{
  struct journal *j = &v->journal;
  uint64_t now = clock_mono_ns ();

  j->is_hurried = now - j->rotated_ns <
    v->segments.size * NS_PER_SEC / HURRY_BYTES_PER_SEC;
  j->rotated_ns = now;
}

static int
make_ready (struct volume *v, uint64_t segment, enum segment_ground *ground)
{
  const struct volume_io *io = v->io;
  uint64_t size = v->segments.size;

  if (*ground == GROUND_RESERVED) {
    if (io->reserve (v->journal.file, segment * size, size) == 0)
      return 0;
    if (errno != EOPNOTSUPP && errno != EINVAL && errno != ENODEV)
      return -1;
    *ground = GROUND_WRITTEN;    /* this file system has no such thing */
  }
  return io->zero_fill (v->journal.file, segment * size, size);
}

/* One more free segment comes on GROUND.  False: there is none, or it failed,
 * and errno is set.  Nobody takes it meanwhile, for it is on no ground.
 */
static bool
prepare_one_locked (struct volume *v, enum segment_ground ground)
{
  struct journal *j = &v->journal;
  enum segment_ground was = GROUND_RESERVED;
  uint64_t segment = SEGMENT_NONE;
  int r, saved;

  if (ground == GROUND_WRITTEN)
    segment = segments_find_free (&v->segments, was);
  if (segment == SEGMENT_NONE) {
    was = GROUND_NONE;
    segment = segments_find_free (&v->segments, was);
  }
  if (segment == SEGMENT_NONE) {
    errno = 0;
    return false;
  }
  v->segments.table[segment].ground = GROUND_NONE;
  j->tries++;
  pthread_mutex_unlock (&j->lock);
  r = make_ready (v, segment, &ground);
  saved = errno;
  pthread_mutex_lock (&j->lock);
  v->segments.table[segment].ground = r == 0 ? ground : was;
  errno = saved;
  return r == 0;
}

void
spare_prepare_locked (struct volume *v)
{
  struct journal *j = &v->journal;
  uint64_t ready = segments_count_ready (&v->segments, GROUND_RESERVED);

  /* Whenever writers were faster than this, twice as many from now on. */
  if (segments_count_ready (&v->segments, GROUND_WRITTEN) == 0)
    j->spare_segments = 2 * j->spare_segments < cleaner_low (v) ?
      2 * j->spare_segments : cleaner_low (v);
  for (; ready < SEGMENTS_PREPARED && !j->is_stopping && !j->failed &&
         !j->prepare_failed; ++ready) {
    if (!prepare_one_locked (v, j->is_hurried ? GROUND_RESERVED
                                              : GROUND_WRITTEN)) {
      j->prepare_failed = errno;
      if (errno != 0)
        j->failed_try = j->tries;
      pthread_cond_broadcast (&j->progress);
      return;
    }
    pthread_cond_broadcast (&j->progress);
  }
}

void
spare_prepare_more_locked (struct volume *v)
{
  struct journal *j = &v->journal;

  if (j->is_stopping || j->failed || j->prepare_failed ||
      j->tail != j->head ||
      segments_count_ready (&v->segments, GROUND_WRITTEN) >=
      j->spare_segments)
    return;
  if (prepare_one_locked (v, GROUND_WRITTEN))
    j->is_maintenance_due = true;        /* perhaps another one */
  else
    j->spare_segments = SEGMENTS_PREPARED;
}

void
spare_give_back_locked (struct volume *v)
{
  struct journal *j = &v->journal;
  uint64_t segment, offset, size = v->segments.size;

  if (j->is_stopping || j->failed || j->tail != j->head ||
      segments_count_ready (&v->segments, GROUND_WRITTEN) <= cleaner_low (v))
    return;
  segment = segments_find_free (&v->segments, GROUND_WRITTEN);
  v->segments.table[segment].ground = GROUND_NONE;
  pthread_mutex_unlock (&j->lock);
  for (offset = 0; offset < size; offset += PUNCH_BYTES)
    v->io->punch (j->file, segment * size + offset,
                  size - offset < PUNCH_BYTES ? size - offset : PUNCH_BYTES);
  pthread_mutex_lock (&j->lock);
  j->is_maintenance_due = true;          /* perhaps another one */
}

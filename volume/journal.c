/* Appending to the journal.
 *
 * A writer takes the next place in the log under journal.lock, fills it in
 * the staging ring without the lock, and goes.  How what gathered becomes
 * durable is in commit.c.
 */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "crypto.h"
#include "commit.h"
#include "volume-internal.h"

void
journal_init_locks (struct volume *v)
{
  struct journal *j = &v->journal;
  pthread_condattr_t attr;

  pthread_mutex_init (&j->lock, NULL);
  pthread_mutex_init (&j->submit_lock, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&j->progress, &attr);
  pthread_cond_init (&j->committer_cond, &attr);
  pthread_cond_init (&j->maintainer_cond, &attr);
  pthread_cond_init (&j->cleaner_cond, &attr);
  pthread_condattr_destroy (&attr);
  j->ship_fd = -1;
}

int
journal_init (struct volume *v, uint64_t staging_bytes)
{
  struct journal *j = &v->journal;

  if (staging_bytes == 0)
    staging_bytes = STAGING_DEFAULT;
  if (staging_bytes < 4 * BATCH_HARD)
    staging_bytes = 4 * BATCH_HARD;
  staging_bytes = ROUND_UP (staging_bytes, v->super.segment_size);
  if (ring_init (&j->ring, staging_bytes) == -1)
    return -1;
  j->queue = v->io->queue_open (j->file, JOURNAL_BATCHES,
                                j->ring.space.memory, j->ring.size);
  return j->queue ? 0 : -1;
}

void
journal_release (struct volume *v)
{
  struct journal *j = &v->journal;

  if (j->queue)
    v->io->queue_close (j->queue);
  ring_release (&j->ring);
  if (j->ship_fd >= 0)
    close (j->ship_fd);
  pthread_cond_destroy (&j->cleaner_cond);
  pthread_cond_destroy (&j->maintainer_cond);
  pthread_cond_destroy (&j->committer_cond);
  pthread_cond_destroy (&j->progress);
  pthread_mutex_destroy (&j->submit_lock);
  pthread_mutex_destroy (&j->lock);
}

void
journal_start (struct volume *v, uint64_t position,
               const struct volume_point *point)
{
  struct journal *j = &v->journal;

  j->lap = position / v->super.segment_size;
  j->offset = position % v->super.segment_size;
  j->segment = segments_find_lap (&v->segments, j->lap);
  j->is_segment_closed = false;
  if (j->segment == SEGMENT_NONE) {
    /* The segment before this position is full; the next is not begun. */
    j->lap--;
    j->offset = v->super.segment_size;
    j->is_segment_closed = true;
  }
  else {
    if (j->offset == 0)
      j->offset = FORMAT_PAGE;
    j->summary = (struct segment_summary) { .lap = j->lap };
  }
  j->warm_from = j->lap + 1;
  j->spare_segments = SEGMENTS_PREPARED;
  j->acceleration = 1;
  j->next_seq = point->seq + 1;
  j->bytes = point->bytes;
  j->appended = j->durable_point = j->applied_point = *point;
  j->durable_position = j->applied_position = position;
  j->submitted_position = position;
  j->checkpointed = position;
  ring_restart (&j->ring, position);
}

/* ------------------------------------------------------------------ */
/* Taking a place.                                                     */

/* Can bytes up to logical position END go into the ring now? */
static bool
ring_has_room (struct journal *j, uint64_t end)
{
  return j->tail == j->head ||
    end - batch_at (j, j->tail)->position <= j->ring.size;
}

static struct staged_batch *
new_batch_locked (struct journal *j, uint64_t position, uint64_t offset)
{
  struct staged_batch *b = batch_at (j, j->head++);

  *b = (struct staged_batch) {
    .state = BATCH_OPEN, .holders = 1, .position = position,
    .offset = offset, .first_seq = j->next_seq, .last = j->appended,
  };
  return b;
}

/* One page of a segment's frame, as a batch of its own. */
static uint8_t *
new_page_locked (struct journal *j, uint64_t position, uint64_t offset)
{
  struct staged_batch *b = new_batch_locked (j, position, offset);
  uint8_t *memory;

  b->is_page = true;
  b->state = BATCH_CLOSED;
  b->used = b->length = FORMAT_PAGE;
  j->closed++;
  ring_advance (&j->ring, position + FORMAT_PAGE);
  memory = ring_at (&j->ring, position);
  memset (memory, 0, FORMAT_PAGE);
  return memory;
}

static void
write_summary_locked (struct volume *v)
{
  struct journal *j = &v->journal;
  uint64_t size = v->super.segment_size;
  uint8_t *memory;

  j->summary.data_end = j->offset;
  j->summary.closed_ns = clock_wall_ns ();
  memory = new_page_locked (j, position_of (v, j->lap + 1, 0) - FORMAT_PAGE,
                            (j->segment + 1) * size - FORMAT_PAGE);
  segment_summary_encode (&j->summary, v->super.journal_salt, size,
                          (struct format_summary *) memory);
  j->is_segment_closed = true;
}

static void
write_header_locked (struct volume *v, uint64_t segment)
{
  struct journal *j = &v->journal;
  uint64_t size = v->super.segment_size;
  const struct segment_header header = {
    .lap = j->lap + 1, .first_seq = j->next_seq,
    .opened_ns = clock_wall_ns (), .kind = SEGMENT_HOT,
    .incarnation = v->incarnation,
  };
  uint8_t *memory;

  j->lap++;
  j->segment = segment;
  j->offset = FORMAT_PAGE;
  j->is_segment_closed = false;
  j->summary = (struct segment_summary) { .lap = j->lap };
  v->segments.table[segment].born = j->lap;
  v->segments.table[segment].is_without_zeros = true;
  v->segments.table[segment].is_warm = false;
  __atomic_store_n (&v->segments.table[segment].first_seq, j->next_seq,
                    __ATOMIC_RELAXED);
  __atomic_store_n (&v->segments.table[segment].lap, j->lap,
                    __ATOMIC_RELEASE);
  memory = new_page_locked (j, position_of (v, j->lap, 0), segment * size);
  segment_header_encode (&header, &v->super.uuid, v->super.journal_salt,
                         size, (struct format_segment *) memory);
}

/* Has the cleaner found nothing to win, and has nothing become dead since? */
static bool
is_exhausted_locked (struct volume *v)
{
  struct journal *j = &v->journal;

  if (j->is_exhausted && segments_live (&v->segments) +
      v->super.segment_size / 4 < j->exhausted_live)
    j->is_exhausted = false;
  if (!j->is_exhausted)
    pthread_cond_signal (&j->cleaner_cond);
  return j->is_exhausted;
}

/* Is there as much journal since the last checkpoint as a crash may cost the
 * time to replay?  Then the next one is under way, or about to be.
 */
static bool
is_ahead_locked (const struct volume *v)
{
  const struct journal *j = &v->journal;

  return position_of (v, j->lap, j->offset) - j->checkpointed >
    CHECKPOINT_LEAD * v->checkpoint_bytes;
}

static void
wait_checkpoint_locked (struct volume *v)
{
  struct journal *j = &v->journal;

  j->is_maintenance_due = true;
  pthread_cond_signal (&j->maintainer_cond);
  j->checkpoint_waiters++;
  journal_wait_progress_locked (v);
  j->checkpoint_waiters--;
}

/* How many free segments are not for a record that takes NEED bytes.  One
 * without data gives room, and is refused later than others.
 */
static uint64_t
reserved_from (uint32_t need)
{
  return need == sizeof (struct format_record)
    ? SEGMENTS_RESERVED - SEGMENTS_FOR_TRIMS : SEGMENTS_RESERVED;
}

/* Go on in another segment.  1: done; 0: something had to be waited for,
 * look again; -1: there is no space, and that was found out after TRIES
 * attempts to make a segment ready had begun: it is not told of earlier ones.
 */
static int
rotate_locked (struct volume *v, enum journal_how how, uint32_t need,
               uint64_t tries)
{
  struct journal *j = &v->journal;
  uint64_t segment, free_segments, first = j->head, end;

  if (j->head + 2 > j->tail + JOURNAL_BATCHES ||
      !ring_has_room (j, position_of (v, j->lap + 1, FORMAT_PAGE))) {
    journal_wait_progress_locked (v);
    return 0;
  }
  if (how != JOURNAL_MARK && is_ahead_locked (v)) {
    wait_checkpoint_locked (v);
    return 0;
  }
  free_segments = segments_count_free (&v->segments);
  if (free_segments < cleaner_low (v) ||
      segments_count_ready (&v->segments, GROUND_WRITTEN) <
      j->spare_segments)
    pthread_cond_signal (&j->cleaner_cond);
  if (how != JOURNAL_MARK && free_segments <= reserved_from (need)) {
    if (!is_exhausted_locked (v)) {
      journal_wait_progress_locked (v);
      return 0;
    }
    errno = ENOSPC;
    return -1;
  }
  segment = segments_find_ready (&v->segments);
  if (segment == SEGMENT_NONE) {
    j->prepare_failed = 0;       /* try again, if not for this writer */
    if (segments_find_free (&v->segments, GROUND_NONE) == SEGMENT_NONE ||
        j->failed_try > tries) {
      errno = ENOSPC;
      return -1;
    }
    j->is_maintenance_due = true;
    pthread_cond_signal (&j->maintainer_cond);
    journal_wait_progress_locked (v);
    return 0;
  }

  if (!j->is_segment_closed)
    write_summary_locked (v);
  write_header_locked (v, segment);
  spare_note_rotation_locked (v);
  j->is_maintenance_due = true;
  pthread_cond_signal (&j->maintainer_cond);

  /* Without the lock others open batches of their own after these. */
  end = j->head;
  pthread_mutex_unlock (&j->lock);
  for (; first < end; ++first)
    batch_put_and_submit (v, first);
  pthread_mutex_lock (&j->lock);
  return 1;
}

/* Make sure that the open batch has room for NEED more bytes.  Returns as
 * rotate_locked.
 */
static int
open_batch_locked (struct volume *v, enum journal_how how, uint32_t need,
                   uint64_t tries)
{
  struct journal *j = &v->journal;
  uint64_t data_end = v->super.segment_size - FORMAT_PAGE, position;
  struct staged_batch *b;
  uint32_t used;

  used = j->is_open ? batch_at (j, j->head - 1)->used
    : sizeof (struct format_batch);
  if (used + need > BATCH_HARD ||
      j->offset + ROUND_UP (used + need, FORMAT_PAGE) > data_end) {
    if (j->is_open) {
      batch_close_and_submit_locked (v);
      return 0;
    }
    return rotate_locked (v, how, need, tries) == -1 ? -1 : 0;
  }

  position = position_of (v, j->lap, j->offset);
  if (!ring_has_room (j, position + ROUND_UP (used + need, FORMAT_PAGE)) ||
      (!j->is_open && j->head == j->tail + JOURNAL_BATCHES)) {
    if (j->is_open)
      batch_close_and_submit_locked (v);
    else
      journal_wait_progress_locked (v);
    return 0;
  }

  if (!j->is_open) {
    b = new_batch_locked (j, position,
                          j->segment * v->super.segment_size + j->offset);
    b->used = sizeof (struct format_batch);
    b->opened_ns = clock_mono_ns ();
    j->is_open = true;
    if (j->is_committer_idle)
      pthread_cond_signal (&j->committer_cond);
  }
  ring_advance (&j->ring,
                position + ROUND_UP (used + need, FORMAT_PAGE));
  return 1;
}

static int
check_may_append_locked (struct volume *v, enum journal_how how,
                         const struct record *record)
{
  struct journal *j = &v->journal;

  if (j->failed)
    errno = journal_failed_errno (j);
  else if (how == JOURNAL_GUEST && !j->is_guest_writable)
    errno = EROFS;
  else if (how == JOURNAL_FOREIGN && record->type != RECORD_DELTA &&
           record->seq != j->next_seq)
    errno = ESTALE;
  else
    return 0;
  return -1;
}

/* Give the record its seq, generation, time and byte count. */
static void
stamp_locked (struct journal *j, enum journal_how how, struct record *r)
{
  switch (how) {
  case JOURNAL_GUEST:
    if (j->generation == 0) {
      do
        j->generation = random_u64 ();
      while (j->generation == 0);
    }
    r->seq = j->next_seq++;
    r->generation = j->generation;
    r->time_ns = clock_wall_ns ();
    j->bytes += (uint64_t) r->nblocks * VOLUME_BLOCK_SIZE;
    r->bytes = j->bytes;
    break;
  case JOURNAL_FOREIGN:
    if (r->type == RECORD_DELTA)
      return;
    j->next_seq = r->seq + 1;
    j->bytes = r->bytes;
    break;
  case JOURNAL_MARK:
    r->seq = j->appended.seq;
    r->generation = j->appended.generation;
    r->time_ns = clock_wall_ns ();
    r->bytes = j->bytes;
    return;
  }
  j->appended = (struct volume_point) {
    .generation = r->generation, .seq = r->seq, .time_ns = r->time_ns,
    .bytes = r->bytes,
  };
}

static void
summarize_locked (struct journal *j, const struct record *r)
{
  struct segment_summary *s = &j->summary;

  if (record_type_is_mark (r->type))
    return;
  if (r->type != RECORD_DELTA) {
    if (s->first_seq == 0)
      s->first_seq = r->seq;
    s->last_seq = r->seq;
  }
  if (r->length > 0)
    s->units += r->nblocks;
  else
    s->zeros++;
  if (s->end_block == 0 || r->block < s->first_block)
    s->first_block = r->block;
  if (r->block + r->nblocks > s->end_block)
    s->end_block = r->block + r->nblocks;
}

int
journal_reserve (struct volume *v, enum journal_how how,
                 struct record *record, struct journal_slot *ret)
{
  struct journal *j = &v->journal;
  uint32_t need = sizeof (struct format_record) + record->length;
  struct staged_batch *b;
  uint64_t tries;
  int r;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  tries = j->tries;
  do {
    if (check_may_append_locked (v, how, record) == -1)
      return -1;
    r = open_batch_locked (v, how, need, tries);
    if (r == -1)
      return -1;
  } while (r == 0);

  b = batch_at (j, j->head - 1);
  stamp_locked (j, how, record);
  summarize_locked (j, record);
  ret->batch = j->head - 1;
  ret->position = b->position + b->used;
  ret->offset = b->offset + b->used;
  ret->memory = ring_at (&j->ring, b->position) + b->used;
  b->used += need;
  b->records++;
  b->last = j->appended;
  __atomic_add_fetch (&b->holders, 1, __ATOMIC_RELAXED);

  if (b->used >= BATCH_SOFT && j->closed < BATCH_IN_FLIGHT) {
    batch_close_locked (j);
    batch_put (b);             /* never the last: the caller holds it too */
  }
  return 0;
}

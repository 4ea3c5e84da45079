/* Committing the journal: how batches become durable, and who waits.
 *
 * Batches are written with several in flight.  There is no thread whose job
 * the writing is: the last filler of a closed batch submits it, and whoever
 * has to wait first waits for the device on behalf of all (the leader), so
 * that a write-and-flush at depth 1 never changes threads.  The committer
 * thread only sees to it that what nobody waits for is written soon.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "commit.h"
#include "volume-internal.h"

#define COMPLETIONS 16u
#define IDLE_ROUNDS 20u          /* committer rounds before it sleeps */

void
journal_fail_locked (struct volume *v, int errnum, const char *what)
{
  struct journal *j = &v->journal;

  if (j->failed == 0) {
    j->failed = errnum;
    snprintf (v->failure, sizeof v->failure, "%s: %s", what,
              strerror (errnum));
  }
  pthread_cond_broadcast (&j->progress);
}

void
journal_fail (struct volume *v, int errnum, const char *what)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->journal.lock);

  journal_fail_locked (v, errnum, what);
}

/* ------------------------------------------------------------------ */
/* Writing a batch.                                                    */

/* Wake who ships what is on its way to the medium. */
static void
journal_ship (struct journal *j)
{
  const uint64_t one = 1;

  if (__atomic_load_n (&j->is_shipping, __ATOMIC_ACQUIRE) &&
      write (j->ship_fd, &one, sizeof one) == -1) {
    /* Only EAGAIN can be: it is readable already. */
  }
}

/* Batches become whole in any order; who ships them takes them in theirs. */
static void
advance_submitted_locked (struct journal *j)
{
  struct staged_batch *b;

  if (j->submitted_below < j->tail)
    j->submitted_below = j->tail;      /* complete before it was counted */
  while (j->submitted_below < j->head) {
    b = batch_at (j, j->submitted_below);
    if (!b->is_submitted)
      break;
    __atomic_store_n (&j->submitted_position, b->position + b->length,
                      __ATOMIC_RELEASE);
    j->submitted_below++;
  }
}

static void
submit (struct volume *v, uint64_t number)
{
  struct journal *j = &v->journal;
  struct staged_batch *b = batch_at (j, number);
  uint8_t *memory = ring_at (&j->ring, b->position);
  int r, saved = 0;

  if (!b->is_page) {
    struct batch header = {
      .length = b->length, .used = b->used, .records = b->records,
      .position = b->position,
      .watermark = __atomic_load_n (&j->durable_position, __ATOMIC_ACQUIRE),
      .first_seq = b->first_seq, .incarnation = v->incarnation,
    };

    if (!batch_digest (memory, b->used, b->records, &header.digest))
      abort ();                  /* we made all of it */
    batch_encode (&header, v->super.journal_salt,
                  (struct format_batch *) memory);
    memset (memory + b->used, 0, b->length - b->used);
  }

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->submit_lock);

    r = v->io->queue_submit (j->queue, number, memory, b->length, b->offset);
    if (r == -1)
      saved = errno;
  }

  pthread_mutex_lock (&j->lock);
  if (r == -1)
    journal_fail_locked (v, saved, "cannot write to the journal");
  else {
    j->submitted++;
    if (number >= j->tail)
      b->is_submitted = true;
    advance_submitted_locked (j);
    pthread_cond_broadcast (&j->progress);
  }
  pthread_mutex_unlock (&j->lock);
  journal_ship (j);
}

bool
batch_put (struct staged_batch *b)
{
  return __atomic_sub_fetch (&b->holders, 1, __ATOMIC_ACQ_REL) == 0;
}

void
batch_put_and_submit (struct volume *v, uint64_t number)
{
  if (batch_put (batch_at (&v->journal, number)))
    submit (v, number);
}

uint64_t
batch_close_locked (struct journal *j)
{
  struct staged_batch *b = batch_at (j, j->head - 1);

  assert (j->is_open && b->state == BATCH_OPEN);
  b->length = ROUND_UP (b->used, FORMAT_PAGE);
  b->state = BATCH_CLOSED;
  j->offset += b->length;
  j->is_open = false;
  j->closed++;
  j->summary.batches++;
  j->summary.records += b->records;
  return j->head - 1;
}

void
batch_close_and_submit_locked (struct volume *v)
{
  uint64_t number = batch_close_locked (&v->journal);

  pthread_mutex_unlock (&v->journal.lock);
  batch_put_and_submit (v, number);
  pthread_mutex_lock (&v->journal.lock);
}

/* ------------------------------------------------------------------ */
/* Completions.                                                        */

static int
apply_batch (struct volume *v, const struct staged_batch *b)
{
  struct journal *j = &v->journal;
  const uint8_t *memory = ring_at (&j->ring, b->position);
  uint32_t at = sizeof (struct format_batch);
  struct record r;

  if (b->is_page)
    return 0;
  while (at < b->used) {
    if (!record_decode ((const struct format_record *) (memory + at),
                        position_seed (v->super.journal_salt,
                                       b->position + at), &r)) {
      errno = EUCLEAN;
      return -1;
    }
    at += sizeof (struct format_record);
    if (apply_record (v, &r, memory + at, b->offset + at,
                      b->position + at - sizeof (struct format_record)) == -1)
      return -1;
    at += r.length;
  }
  return 0;
}

static void
apply_durable_locked (struct volume *v)
{
  struct journal *j = &v->journal;
  struct staged_batch *b;
  int r, saved;

  if (j->is_applying)
    return;
  j->is_applying = true;
  while (j->tail < j->durable && !j->failed) {
    b = batch_at (j, j->tail);
    pthread_mutex_unlock (&j->lock);
    r = apply_batch (v, b);
    saved = errno;
    pthread_mutex_lock (&j->lock);
    if (r == -1) {
      journal_fail_locked (v, saved, "cannot apply what was written");
      break;
    }
    if (b->records > 0)
      j->applied_point = b->last;
    if (v->has_point_after_mark) {
      j->applied_point = v->point_after_mark;
      v->has_point_after_mark = false;
    }
    j->applied_position = b->position + b->length;
    j->tail++;
    pthread_cond_broadcast (&j->progress);
  }
  j->is_applying = false;
}

bool
journal_hold_applying_locked (struct volume *v)
{
  struct journal *j = &v->journal;

  while (j->is_applying && !j->failed && !j->is_stopping)
    pthread_cond_wait (&j->progress, &j->lock);
  if (j->failed || j->is_stopping)
    return false;
  j->is_applying = true;
  return true;
}

void
journal_resume_applying_locked (struct volume *v)
{
  struct journal *j = &v->journal;

  j->is_applying = false;
  apply_durable_locked (v);      /* what became durable meanwhile */
  pthread_cond_broadcast (&j->progress);
}

static void
advance_durable_locked (struct volume *v)
{
  struct journal *j = &v->journal;
  struct staged_batch *b;

  while (j->durable < j->head) {
    b = batch_at (j, j->durable);
    if (b->state != BATCH_DURABLE)
      break;
    if (b->records > 0)
      j->durable_point = b->last;
    __atomic_store_n (&j->durable_position, b->position + b->length,
                      __ATOMIC_RELEASE);
    j->durable++;
  }
}

/* Take completions from the queue for everybody. */
static void
lead_locked (struct volume *v, bool wait)
{
  struct journal *j = &v->journal;
  struct io_completion completion[COMPLETIONS];
  int i, n, saved;

  j->is_leading = true;
  pthread_mutex_unlock (&j->lock);
  n = v->io->queue_wait (j->queue, wait, completion, COMPLETIONS);
  saved = errno;
  pthread_mutex_lock (&j->lock);
  j->is_leading = false;

  if (n == -1)
    journal_fail_locked (v, saved, "cannot wait for the journal");
  for (i = 0; i < n; ++i) {
    j->submitted--;
    j->closed--;
    if (completion[i].error)
      journal_fail_locked (v, completion[i].error,
                           "cannot write to the journal");
    else
      batch_at (j, completion[i].id)->state = BATCH_DURABLE;
  }
  if (n == 0)
    return;
  if (!j->failed)
    advance_durable_locked (v);
  pthread_cond_broadcast (&j->progress);
  apply_durable_locked (v);
}

void
journal_wait_progress_locked (struct volume *v)
{
  struct journal *j = &v->journal;

  if (j->submitted > 0 && !j->is_leading)
    lead_locked (v, true);
  else
    pthread_cond_wait (&j->progress, &j->lock);
}

int
journal_failed_errno (const struct journal *j)
{
  return j->failed == ENOSPC || j->failed == EDQUOT ? ENOSPC : EIO;
}

int
journal_wait_durable (struct volume *v, uint64_t number)
{
  struct journal *j = &v->journal;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  while (j->durable < number) {
    if (j->failed) {
      errno = journal_failed_errno (j);
      return -1;
    }
    if (j->is_open && j->head <= number && j->closed < BATCH_IN_FLIGHT)
      batch_close_and_submit_locked (v);
    else
      journal_wait_progress_locked (v);
  }
  return 0;
}

int
journal_wait_applied (struct volume *v, uint64_t number)
{
  struct journal *j = &v->journal;

  if (journal_wait_durable (v, number) == -1)
    return -1;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);
  while (j->tail < number) {
    if (j->failed) {
      errno = journal_failed_errno (j);
      return -1;
    }
    apply_durable_locked (v);
    if (j->tail < number)
      pthread_cond_wait (&j->progress, &j->lock);
  }
  return 0;
}

static uint64_t
appended_batches (struct journal *j)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  return j->head;
}

int
journal_flush (struct volume *v)
{
  return journal_wait_durable (v, appended_batches (&v->journal));
}

int
journal_flush_applied (struct volume *v)
{
  return journal_wait_applied (v, appended_batches (&v->journal));
}

void
journal_filled (struct volume *v, const struct journal_slot *slot)
{
  struct journal *j = &v->journal;

  if (!batch_put (batch_at (j, slot->batch)))
    return;
  submit (v, slot->batch);

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);
  if (j->submitted > 0 && !j->is_leading)
    lead_locked (v, false);
}

/* ------------------------------------------------------------------ */
/* The committer: what nobody waits for is written within the delay.   */

static void
wait_ms_locked (struct journal *j, pthread_cond_t *cond, unsigned ms)
{
  uint64_t until = clock_mono_ns () + ms * NS_PER_MSEC;
  struct timespec ts = { until / NS_PER_SEC, until % NS_PER_SEC };

  pthread_cond_timedwait (cond, &j->lock, &ts);
}

/* lz4 works thoroughly while there is time for it, and quickly when writers
 * come so fast that they wait for it: a third of the time, and a fifth, for
 * a result that is some per cent larger.
 */
static void
choose_acceleration_locked (struct journal *j, uint64_t bytes,
                            uint64_t elapsed_ns)
{
  static const struct {
    uint64_t bytes_per_sec;
    int acceleration;
  } tier[] = { { UINT64_C (512) << 20, 16 }, { UINT64_C (128) << 20, 8 } };
  int acceleration = 1;
  size_t i;

  for (i = 0; i < sizeof tier / sizeof tier[0]; ++i)
    if (bytes * NS_PER_SEC > elapsed_ns * tier[i].bytes_per_sec) {
      acceleration = tier[i].acceleration;
      break;
    }
  __atomic_store_n (&j->acceleration, acceleration, __ATOMIC_RELAXED);
}

void *
journal_committer (void *volume)
{
  struct volume *v = volume;
  struct journal *j = &v->journal;
  unsigned quiet = 0;
  uint64_t now, then = clock_mono_ns (), bytes;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  bytes = j->bytes;
  while (!j->is_stopping) {
    if (j->failed || (j->tail == j->head && quiet >= IDLE_ROUNDS)) {
      j->is_committer_idle = true;
      j->is_maintenance_due = true;      /* note how far it is durable */
      pthread_cond_signal (&j->maintainer_cond);
      pthread_cond_wait (&j->committer_cond, &j->lock);
      j->is_committer_idle = false;
      quiet = 0;
      continue;
    }
    wait_ms_locked (j, &j->committer_cond, v->commit_delay_ms);
    quiet = j->tail == j->head ? quiet + 1 : 0;

    now = clock_mono_ns ();
    choose_acceleration_locked (j, j->bytes - bytes, now - then);
    then = now;
    bytes = j->bytes;
    if (j->is_open && now - batch_at (j, j->head - 1)->opened_ns >=
        v->commit_delay_ms * NS_PER_MSEC)
      batch_close_and_submit_locked (v);
    while (j->submitted > 0 && !j->is_leading && !j->failed)
      lead_locked (v, true);
  }
  return NULL;
}

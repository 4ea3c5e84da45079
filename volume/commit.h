/* What appending (journal.c) needs of committing (commit.c): the batches
 * that are in memory.  All "locked" under journal.lock.
 */

#ifndef PAIRDISK_VOLUME_COMMIT_H
#define PAIRDISK_VOLUME_COMMIT_H

#include "volume-internal.h"

static inline struct staged_batch *
batch_at (struct journal *j, uint64_t number)
{
  return &j->batch[number % JOURNAL_BATCHES];
}

/* No more records go into the open batch; its number.  The caller drops the
 * holder that stood for its being open, outside the lock.
 */
extern uint64_t batch_close_locked (struct journal *j);

/* Let go of a batch; true if the caller was the last to and must submit. */
extern bool batch_put (struct staged_batch *b);
extern void batch_put_and_submit (struct volume *v, uint64_t number);

/* Drops the lock meanwhile. */
extern void batch_close_and_submit_locked (struct volume *v);

/* Wait for some counter to move, or for the failure; as the leader if there
 * is none.
 */
extern void journal_wait_progress_locked (struct volume *v);

/* The first failure is final. */
extern void journal_fail_locked (struct volume *v, int errnum,
                                 const char *what);
extern int journal_failed_errno (const struct journal *j);

#endif /* PAIRDISK_VOLUME_COMMIT_H */

/* What a session does for repair and verification: it asks now and then what
 * is damaged at the peer, and brings the peer blocks that were found to
 * differ.
 *
 * Those are brought by a delta of its own over what the peer shows: the
 * peer's commit point stays until the delta is committed as one step.  Such a
 * delta is never resumed, since the next one may be of other blocks.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "repairer.h"
#include "replica-internal.h"
#include "session-internal.h"

#define ASK_MS 2000

/* ------------------------------------------------------------------ */
/* What is damaged at the peer.                                         */

int
session_look_for_wants (struct session *n, struct error *err)
{
  CLEANUP_FREE struct wire_wanted *wanted = NULL;
  struct error ignored = ERROR_INIT;
  uint64_t now = clock_mono_ns ();
  int rc;

  if (n->s->config.repairer == NULL || n->asks_nothing || now < n->ask_ns)
    return 0;
  rc = link_answer (n->link, n->proof);
  if (rc == -1)
    n->asks_nothing = true;      /* it refuses: not worth a session */
  if (rc == 1) {
    wanted = malloc (sizeof *wanted);
    if (wanted == NULL)
      return 0;
    if (wire_wanted_decode (n->proof, &n->keys, wanted, err) == -1)
      return -1;
    if (wanted->count > 0)
      repairer_peer_wants (n->s->config.repairer, wanted);
    n->ask_ns = now + ASK_MS * NS_PER_MSEC;
    return 0;
  }
  return n->asks_nothing ? 0 :
    link_ask (n->link, WIRE_WANTED_OFFSET, &ignored);
}

/* ------------------------------------------------------------------ */
/* What differs.                                                        */

bool
session_mend_is_due (struct session *n)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&n->s->status_lock);

  return n->s->mend.count > 0;
}

bool
session_take_mend (struct session *n)
{
  struct mend *mend = &n->s->mend;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&n->s->status_lock);

  if (mend->count == 0)
    return false;
  if (n->peer.committed.seq > 0)
    n->mending = malloc (mend->count * sizeof *mend->block);
  if (n->mending == NULL) {
    mend->count = 0;             /* given up; who asked for it sees that */
    return false;
  }
  memcpy (n->mending, mend->block, mend->count * sizeof *mend->block);
  n->mending_count = mend->count;
  n->mend_id = mend->id;
  return true;
}

/* The first of the blocks at or after BLOCK; the count if there is none. */
static size_t
find_mend (const struct session *n, uint64_t block)
{
  size_t low = 0, high = n->mending_count, middle;

  while (low < high) {
    middle = low + (high - low) / 2;
    if (n->mending[middle] < block)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

void
session_fill_mend (struct session *n)
{
  struct volume_changed *c = &n->changed;
  size_t i = find_mend (n, n->block);

  memset (c, 0, sizeof *c);
  c->from = n->block;
  c->first = c->end = session_blocks (n);
  if (i == n->mending_count)
    return;
  c->first = n->mending[i];
  if (c->first + VOLUME_CHANGED_BITS < c->end)
    c->end = c->first + VOLUME_CHANGED_BITS;
  for (; i < n->mending_count && n->mending[i] < c->end; i++)
    c->bits[(n->mending[i] - c->first) / 8] |=
      1u << (n->mending[i] - c->first) % 8;
}

void
session_mended (struct session *n)
{
  struct mend *mend = &n->s->mend;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&n->s->status_lock);

  if (mend->id == n->mend_id)
    mend->count = 0;
  mend->done_id = n->mend_id;
}

/* ------------------------------------------------------------------ */
/* From outside.                                                        */

int
sender_mend (struct sender *s, const uint64_t *block, size_t count,
             uint64_t *ret_id, struct error *err)
{
  uint64_t *copy = malloc (count * sizeof *copy);

  if (copy == NULL)
    return error_set_errno (err, errno, "cannot remember what differs");
  memcpy (copy, block, count * sizeof *copy);
  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->status_lock);

    free (s->mend.block);
    s->mend.block = copy;
    s->mend.count = count;
    *ret_id = ++s->mend.id;
  }
  sender_kick (s);
  return 0;
}

enum sender_mend
sender_mend_state (struct sender *s, uint64_t id)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->status_lock);

  if (s->mend.done_id >= id)
    return SENDER_MEND_DONE;
  return s->mend.count > 0 && s->mend.id >= id ? SENDER_MEND_PENDING
    : SENDER_MEND_GONE;
}

void
sender_mend_cancel (struct sender *s)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->status_lock);

  s->mend.count = 0;
}

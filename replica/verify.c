/* The thread of a verification (see verify.h).
 *
 *   pass     what                                    leaves
 *   scan     every block once, page after page       doubts: all that was not
 *                                                    the same at first sight
 *   recheck  the doubts, again and again             what differs, twice; what
 *                                                    is still not known
 *   repair   what differs, by a delta; then recheck  what still differs
 *
 * Rechecks and repairs come in between whenever there are many doubts, so
 * memory is bounded.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "link.h"
#include "replica-internal.h"
#include "verify.h"
#include "wire-proof.h"

#define DOUBTS_MAX 65536u        /* looked at again in one go */
#define SPAN 64u                 /* blocks asked for at once when rechecking */
#define LOOKS 24u                /* at a block that is not settled ... */
#define LOOK_MS 250              /* ... with so long between */
#define COMMITS 3u               /* then a look after each of so many commits */
#define WAIT_MS 500              /* for a peer that is away */
#define MENDS 3u                 /* tries to repair what differs */
#define NOTE_NS (5 * NS_PER_SEC) /* between notes of how far it is */

struct doubt {
  uint64_t block;
  enum verify_verdict verdict;
  bool is_confirmed;             /* it was seen to differ before */
};

/* What the thread works on. */
struct run {
  struct verify *v;
  uint8_t page[WIRE_PROOF_SIZE];
  struct wire_sums peer;
  struct volume_sum own[VOLUME_SUMS_MAX];
  struct doubt *doubt;
  size_t doubts;
  uint64_t *block;               /* that differ, for the repair */
  uint64_t later_seq;            /* commit point when one was seen to be newer */
  uint64_t noted_ns;
  bool is_over;                  /* it makes no sense any more */
};

const char *
verify_state_name (enum verify_state state)
{
  switch (state) {
  case VERIFY_NEVER: return "never";
  case VERIFY_RUNNING: return "running";
  case VERIFY_WAITING: return "waiting";
  case VERIFY_REPAIRING: return "repairing";
  case VERIFY_DONE: return "done";
  case VERIFY_STOPPED: return "stopped";
  case VERIFY_FAILED: return "failed";
  }
  return "unknown";
}

enum verify_verdict
verify_judge (const struct volume_sum *own, const struct volume_sum *peer,
              uint64_t committed)
{
  if (own->is_bad)
    return VERIFY_BAD_HERE;
  if (peer->is_bad)
    return VERIFY_BAD_THERE;
  if (own->hash == peer->hash)
    return VERIFY_SAME;
  return own->seq == peer->seq || own->seq <= committed ? VERIFY_DIFFERENT
    : VERIFY_LATER;
}

/* ------------------------------------------------------------------ */

static bool
is_stopping (struct run *r)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->v->lock);

  return r->v->is_stopping;
}

static void
set_state (struct run *r, enum verify_state state, const char *reason)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->v->lock);

  r->v->status.state = state;
  snprintf (r->v->status.reason, sizeof r->v->status.reason, "%s", reason);
}

static void
pause_until (struct run *r, uint64_t ns)
{
  struct verify *v = r->v;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->lock);

  while (!v->is_stopping && clock_mono_ns () < ns)
    cond_wait_until (&v->changed, &v->lock, ns);
}

static void
pause_ms (struct run *r, unsigned ms)
{
  pause_until (r, clock_mono_ns () + ms * NS_PER_MSEC);
}

/* ------------------------------------------------------------------ */
/* One look at some blocks, here and there.                             */

static void
drop_errand (struct run *r)
{
  struct errand *e;

  pthread_mutex_lock (&r->v->lock);
  e = r->v->errand;
  r->v->errand = NULL;
  pthread_mutex_unlock (&r->v->lock);
  errand_free (e);
}

/* The link's address may have changed since the last connection. */
static int
make_errand (struct run *r, struct error *err)
{
  struct verify *v = r->v;
  struct errand_config config;
  char uri[2048];
  struct errand *e;

  if (v->errand != NULL)
    return 0;
  if (v->ops.errand (v->ops.opaque, &config, uri, err) == -1)
    return -1;
  e = errand_new (&config, err);
  explicit_bzero (config.secret, sizeof config.secret);
  if (e == NULL)
    return -1;
  pthread_mutex_lock (&v->lock);
  v->errand = e;
  if (v->is_stopping)
    errand_stop (e);
  pthread_mutex_unlock (&v->lock);
  return 0;
}

/* Do the peer's answer and this side's history belong together? */
static int
check_answer (struct run *r, uint64_t block, unsigned count,
              struct error *err)
{
  const struct wire_sums *peer = &r->peer;
  struct volume_status status;
  uint64_t generation = 0;

  if (!peer->is_usable)
    return error_set (err, EAGAIN, "the secondary has no complete copy");
  if (peer->from != block || peer->count == 0 || peer->count > count)
    return error_set (err, EPROTO, "the peer told of other blocks than were "
                      "asked for");
  volume_get_status (r->v->volume, &status);
  for (uint32_t i = 0; i < status.generations.count; i++)
    if (status.generations.table[i].first_seq <= peer->committed.seq)
      generation = status.generations.table[i].id;
  if (peer->committed.seq == 0 ||
      peer->committed.seq > status.appended.seq ||
      peer->committed.generation != generation)
    return error_set (err, EAGAIN, "the secondary's commit point is not in "
                      "the history of this disk");
  return 0;
}

static int
try_to_look (struct run *r, uint64_t block, unsigned count,
             struct error *err)
{
  struct verify *v = r->v;
  const struct wire_keys *keys;
  struct volume_status status;
  uint64_t bytes = 0;

  volume_get_status (v->volume, &status);
  if (status.role != VOLUME_ROLE_PRIMARY) {
    r->is_over = true;
    return error_set (err, EPERM, "the disk is no longer primary");
  }
  if (make_errand (r, err) == -1)
    return -1;
  keys = errand_keys (v->errand, err);
  if (keys == NULL ||
      errand_read (v->errand, WIRE_SUMS_OFFSET + block * WIRE_PAGE_SIZE +
                   count, r->page, err) == -1 ||
      wire_sums_decode (r->page, keys, &r->peer, err) == -1 ||
      check_answer (r, block, count, err) == -1 ||
      volume_sums (v->volume, block, r->peer.count, true, r->own, &bytes,
                   err) == -1)
    return -1;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->lock);
  v->status.read_bytes += bytes;
  v->status.committed = r->peer.committed;
  return 0;
}

/* Wait as long as what was read since BEFORE (at BEGAN) takes at the set
 * rate.
 */
static void
pace (struct run *r, uint64_t began, uint64_t before)
{
  uint64_t bytes, rate;

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->v->lock);

    bytes = r->v->status.read_bytes - before;
    rate = r->v->status.rate_bps;
  }
  if (rate > 0)
    pause_until (r, began + (uint64_t) ((double) bytes / rate * NS_PER_SEC));
}

/* Look at up to COUNT blocks from BLOCK on, waiting for the peer as long as
 * it takes.  How many were looked at is in r->peer.count.  -1: stopped, or
 * over.
 */
static int
look (struct run *r, uint64_t block, unsigned count, enum verify_state state)
{
  struct error err = ERROR_INIT;

  while (!is_stopping (r)) {
    uint64_t began = clock_mono_ns ();
    uint64_t before = r->v->status.read_bytes;   /* only this thread's */

    if (try_to_look (r, block, count, &err) == 0) {
      set_state (r, state, "");
      pace (r, began, before);
      return 0;
    }
    drop_errand (r);
    if (r->is_over) {
      set_state (r, VERIFY_FAILED, err.message);
      return -1;
    }
    if (is_stopping (r))
      return -1;
    set_state (r, VERIFY_WAITING, err.message);
    pause_ms (r, WAIT_MS);
  }
  return -1;
}

/* ------------------------------------------------------------------ */
/* Recheck.                                                             */

static bool
is_settled (const struct doubt *d)
{
  return d->verdict == VERIFY_SAME ||
    (d->verdict == VERIFY_DIFFERENT && d->is_confirmed);
}

static void
settle (struct doubt *d, enum verify_verdict verdict)
{
  d->is_confirmed = verdict == VERIFY_DIFFERENT &&
    d->verdict == VERIFY_DIFFERENT;
  d->verdict = verdict;
}

/* One more look at each that is not settled.  1: all are; -1: stopped. */
static int
recheck_once (struct run *r, enum verify_state state)
{
  size_t i, j;
  int ret = 1;

  r->later_seq = UINT64_MAX;
  for (i = 0; i < r->doubts; i = j) {
    uint64_t block = r->doubt[i].block;

    j = i + 1;
    if (is_settled (&r->doubt[i]))
      continue;
    while (j < r->doubts && r->doubt[j].block < block + SPAN)
      j++;
    if (look (r, block, r->doubt[j - 1].block - block + 1, state) == -1)
      return -1;
    for (j = i; j < r->doubts && r->doubt[j].block < block + r->peer.count;
         j++) {
      struct doubt *d = &r->doubt[j];

      if (is_settled (d))
        continue;
      settle (d, verify_judge (&r->own[d->block - block],
                               &r->peer.sum[d->block - block],
                               r->peer.committed.seq));
      if (!is_settled (d))
        ret = 0;
      if (d->verdict == VERIFY_LATER &&
          r->peer.committed.seq < r->later_seq)
        r->later_seq = r->peer.committed.seq;
    }
  }
  return ret;
}

/* Wait for the secondary's next commit, which may be an interval away.  -1:
 * stopped.
 */
static int
wait_for_commit (struct run *r, enum verify_state state)
{
  while (r->peer.committed.seq <= r->later_seq) {
    set_state (r, VERIFY_WAITING, "for the secondary's next commit");
    pause_ms (r, WAIT_MS);
    if (look (r, r->doubt[0].block, 1, VERIFY_WAITING) == -1)
      return -1;
  }
  set_state (r, state, "");
  return 0;
}

static bool
is_any_on_its_way (const struct run *r)
{
  for (size_t i = 0; i < r->doubts; i++)
    if (r->doubt[i].verdict == VERIFY_LATER)
      return true;
  return false;
}

/* -1: stopped. */
static int
recheck (struct run *r, enum verify_state state)
{
  unsigned looks;
  int rc = 0;

  for (looks = 0; rc == 0 && looks < LOOKS + COMMITS; looks++) {
    if (looks >= LOOKS && !is_any_on_its_way (r))
      break;
    if (looks >= LOOKS && wait_for_commit (r, state) == -1)
      return -1;
    if (looks > 0 && looks < LOOKS)
      pause_ms (r, looks == 1 ? LOOK_MS / 10 : LOOK_MS);
    rc = recheck_once (r, state);
  }
  return rc == -1 ? -1 : 0;
}

/* ------------------------------------------------------------------ */
/* What differs, and its repair.                                        */

static bool
is_to_be_mended (const struct doubt *d)
{
  return (d->verdict == VERIFY_DIFFERENT && d->is_confirmed) ||
    d->verdict == VERIFY_BAD_THERE;
}

static void
add_range_locked (struct verify_status *s, uint64_t block)
{
  struct verify_range *last = &s->range[s->ranges == 0 ? 0 : s->ranges - 1];

  if (s->ranges > 0 && last->block + last->count == block)
    last->count++;
  else if (s->ranges < VERIFY_RANGES_MAX)
    s->range[s->ranges++] = (struct verify_range) { block, 1 };
}

static void
report (struct run *r)
{
  struct verify_status *s = &r->v->status;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->v->lock);

  for (size_t i = 0; i < r->doubts; i++) {
    const struct doubt *d = &r->doubt[i];

    switch (d->verdict) {
    case VERIFY_SAME:
      continue;
    case VERIFY_BAD_HERE:
      s->unreadable_here++;
      continue;
    case VERIFY_BAD_THERE:
      s->unreadable_there++;
      break;
    case VERIFY_DIFFERENT:
      if (d->is_confirmed) {
        s->differing++;
        break;
      }
      /* fall through */
    case VERIFY_LATER:
    case VERIFY_UNSEEN:
      s->changing++;
      continue;
    }
    add_range_locked (s, d->block);
  }
}

/* Keep those in doubt that are to be repaired. */
static void
keep_what_differs (struct run *r)
{
  size_t n = 0;

  for (size_t i = 0; i < r->doubts; i++)
    if (is_to_be_mended (&r->doubt[i])) {
      r->block[n] = r->doubt[i].block;
      r->doubt[n++] = (struct doubt) { .block = r->doubt[i].block };
    }
  r->doubts = n;
}

/* Have them copied, and wait for it.  -1: stopped. */
static int
mend (struct run *r)
{
  const struct verify_ops *ops = &r->v->ops;
  struct error err = ERROR_INIT;
  enum sender_mend state = SENDER_MEND_GONE;
  uint64_t id = 0;

  while (!is_stopping (r)) {
    if (state == SENDER_MEND_GONE) {
      if (ops->mend (ops->opaque, r->block, r->doubts, &id, &err) == -1)
        set_state (r, VERIFY_WAITING, err.message);
      else
        set_state (r, VERIFY_REPAIRING, "");
    }
    state = ops->mend_state (ops->opaque, id);
    if (state == SENDER_MEND_DONE)
      return 0;
    pause_ms (r, LOOK_MS);
  }
  ops->mend_cancel (ops->opaque);
  return -1;
}

static int
repair (struct run *r)
{
  uint64_t all;

  for (unsigned i = 0; i < MENDS; i++) {
    keep_what_differs (r);
    all = r->doubts;
    if (all == 0)
      return 0;
    if (mend (r) == -1 || recheck (r, VERIFY_REPAIRING) == -1)
      return -1;
    for (size_t k = 0; k < r->doubts; k++)
      all -= is_to_be_mended (&r->doubt[k]);
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->v->lock);
    r->v->status.repaired += all;
  }
  return 0;
}

/* ------------------------------------------------------------------ */

/* Settle the doubts there are.  -1: stopped. */
static int
settle_doubts (struct run *r)
{
  int rc;

  if (r->doubts == 0)
    return 0;
  rc = recheck (r, VERIFY_RUNNING);
  report (r);
  if (rc == 0 && r->v->status.repairs)
    rc = repair (r);
  r->doubts = 0;
  return rc;
}

static void
note_doubts (struct run *r, uint64_t block)
{
  for (uint32_t i = 0; i < r->peer.count; i++) {
    enum verify_verdict verdict =
      verify_judge (&r->own[i], &r->peer.sum[i], r->peer.committed.seq);

    if (verdict != VERIFY_SAME)
      r->doubt[r->doubts++] = (struct doubt) { .block = block + i,
                                               .verdict = verdict };
  }
}

/* So many that the pause after them is about a second. */
static unsigned
page_blocks (struct run *r)
{
  uint64_t rate, blocks;

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&r->v->lock);
    rate = r->v->status.rate_bps;
  }
  blocks = rate / VOLUME_BLOCK_SIZE;
  if (rate == 0 || blocks > VOLUME_SUMS_MAX)
    return VOLUME_SUMS_MAX;
  return blocks > 0 ? blocks : 1;
}

/* Nothing before this block is in doubt: who is interrupted begins there. */
static void
note_progress (struct run *r)
{
  uint64_t now = clock_mono_ns ();
  struct verify_status status;

  if (r->doubts > 0 || (r->noted_ns != 0 && now - r->noted_ns < NOTE_NS))
    return;
  r->noted_ns = now;
  pthread_mutex_lock (&r->v->lock);
  status = r->v->status;
  pthread_mutex_unlock (&r->v->lock);
  r->v->ops.note (r->v->ops.opaque, &status);
}

static int
scan (struct run *r)
{
  struct verify *v = r->v;
  uint64_t block = v->status.done_bytes / VOLUME_BLOCK_SIZE;
  uint64_t blocks = volume_size (v->volume) / VOLUME_BLOCK_SIZE;

  while (block < blocks) {
    uint64_t count = page_blocks (r);

    note_progress (r);
    if (count > blocks - block)
      count = blocks - block;
    if (look (r, block, count, VERIFY_RUNNING) == -1)
      return -1;
    note_doubts (r, block);
    block += r->peer.count;
    {
      ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->lock);

      v->status.done_bytes = block * VOLUME_BLOCK_SIZE;
    }
    if (r->doubts + VOLUME_SUMS_MAX > DOUBTS_MAX && settle_doubts (r) == -1)
      return -1;
  }
  return settle_doubts (r);
}

static void *
verify_thread (void *opaque)
{
  struct verify *v = opaque;
  CLEANUP_FREE struct run *r = calloc (1, sizeof *r);
  CLEANUP_FREE struct doubt *doubt = calloc (DOUBTS_MAX, sizeof *doubt);
  CLEANUP_FREE uint64_t *block = calloc (DOUBTS_MAX, sizeof *block);
  bool has_memory = r != NULL && doubt != NULL && block != NULL;
  struct verify_status status;
  int rc = -1;

  if (has_memory) {
    r->v = v;
    r->doubt = doubt;
    r->block = block;
    rc = scan (r);
    drop_errand (r);
  }
  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->lock);

    v->status.state = rc == 0 ? VERIFY_DONE : v->is_stopping ? VERIFY_STOPPED
      : VERIFY_FAILED;
    if (v->status.state != VERIFY_FAILED || !has_memory)
      snprintf (v->status.reason, sizeof v->status.reason, "%s",
                has_memory ? "" : "not enough memory");
    v->ended_ns = clock_mono_ns ();
    status = v->status;
  }
  if (status.state != VERIFY_STOPPED)
    v->ops.note (v->ops.opaque, &status);
  return NULL;
}

/* ------------------------------------------------------------------ */

void
verify_init (struct verify *v)
{
  pthread_mutex_init (&v->lock, NULL);
  cond_init_monotonic (&v->changed);
}

void
verify_release (struct verify *v)
{
  pthread_cond_destroy (&v->changed);
  pthread_mutex_destroy (&v->lock);
}

static bool
is_running (const struct verify_status *s)
{
  return s->state == VERIFY_RUNNING || s->state == VERIFY_WAITING ||
    s->state == VERIFY_REPAIRING;
}

/* From where FROM was, or from the beginning if nothing was done. */
static int
begin (struct verify *v, struct volume *volume, const struct verify_ops *ops,
       const struct verify_status *from, struct error *err)
{
  int rc;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->lock);

  v->volume = volume;
  v->ops = *ops;
  v->is_stopping = false;
  v->began_ns = clock_mono_ns ();
  v->status = *from;
  v->status.state = VERIFY_RUNNING;
  v->status.total_bytes = volume_size (volume);
  rc = pthread_create (&v->thread, NULL, verify_thread, v);
  if (rc != 0) {
    v->status.state = VERIFY_NEVER;
    return error_set_errno (err, rc, "cannot start a thread");
  }
  v->has_thread = true;
  return 0;
}

int
verify_start (struct verify *v, struct volume *volume,
              const struct verify_ops *ops, uint64_t rate_bps, bool repairs,
              struct error *err)
{
  const struct verify_status from = { .rate_bps = rate_bps,
                                      .repairs = repairs };

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->lock);

    if (is_running (&v->status) && v->status.repairs != repairs)
      return error_set (err, EBUSY, "a verification that %s is running",
                        v->status.repairs ? "repairs" : "only looks");
    if (is_running (&v->status)) {
      v->status.rate_bps = rate_bps;
      return 0;
    }
  }
  verify_stop (v);               /* it has ended: only collect it */
  return begin (v, volume, ops, &from, err);
}

int
verify_resume (struct verify *v, struct volume *volume,
               const struct verify_ops *ops,
               const struct verify_status *from, struct error *err)
{
  return begin (v, volume, ops, from, err);
}

void
verify_stop (struct verify *v)
{
  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->lock);

    if (!v->has_thread)
      return;
    v->is_stopping = true;
    if (v->errand != NULL)
      errand_stop (v->errand);
    pthread_cond_broadcast (&v->changed);
  }
  pthread_join (v->thread, NULL);
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->lock);
  v->has_thread = false;
}

bool
verify_get_status (struct verify *v, struct verify_status *ret)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->lock);

  if (v->status.state == VERIFY_NEVER)
    return false;
  *ret = v->status;
  ret->seconds = ((is_running (&v->status) ? clock_mono_ns () : v->ended_ns)
                  - v->began_ns) / (double) NS_PER_SEC;
  return true;
}

/* The cleaner: wins space back from segments whose units were overwritten.
 *
 * A round picks segments, copies what is live in them to the cold stream as
 * it is stored (checksum verified, not expanded, seq unchanged), moves each
 * map entry if it still points to where the copy was taken, and frees the
 * segments with the next checkpoint.
 *
 * Choice: benefit over cost, (1 - u) * age / (1 + u), u being the live part
 * (Rosenblum and Ousterhout, The Design and Implementation of a
 * Log-Structured File System, 1991).  Old segments are worth cleaning at a
 * higher u than young ones, which soon lose more by themselves.
 *
 * What is taken in a round is sorted by block before it is laid down, so
 * that data overwritten at random comes to lie in the order of the disk.
 *
 * A reader may hold a map entry of a segment that is freed and used again
 * under it.  It then finds something that does not verify, looks the block
 * up again and finds the new entry: readers need no lock against this.
 *
 * A block that reads as zeros keeps a record that says so as long as the map
 * does, so that a map rebuilt from the journal never brings older data back.
 * For the same purpose all that is moved says to which generation's history
 * it belongs.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ahead.h"
#include "cleanup.h"
#include "clock.h"
#include "volume-internal.h"

#define ROUND_BYTES (UINT64_C (48) << 20)   /* moved in one round, at most */
#define ROUND_SEGMENTS 16u
#define ROUND_READ (UINT64_C (128) << 20)   /* of segments read for it */
#define LEAD_MAX 64u             /* free segments: with more it rests */
#define DEAD_MIN 8u              /* segments worth a checkpoint */
#define TIDY_DEAD 0.5            /* dead part worth tidying up in a pause */
#define TIDY_AFTER_MS 1000u
#define MEMORY_TRIES 10u         /* rounds without it, until writers are */
#define MEMORY_AFTER_MS 100u     /* refused; and the time between them */

/* One live unit on its way. */
struct moved {
  bool is_staged;              /* keyed by the salt of the stage */
  uint64_t block, entry, seq;
  uint64_t generation;         /* that it is in, or a later one */
  uint8_t *stored;
};

/* Blocks that read as zeros since SEQ. */
struct kept_zero {
  uint64_t block, seq, generation;
  uint32_t count;
};

struct haul {
  struct moved *moved;
  size_t count, allocated;
  struct kept_zero *zero;
  size_t zeros, zeros_allocated;
  uint64_t bytes;
  struct ahead ahead;
  uint64_t lap, segment;       /* that is being read */
  uint64_t read;               /* bytes of segments, in this round */
};

/* ------------------------------------------------------------------ */
/* Choosing.                                                           */

/* Is the segment whole, applied, and not needed as it is? */
static bool
may_be_cleaned (struct volume *v, uint64_t i, uint64_t pinned_lap)
{
  const struct segment *s = &v->segments.table[i];
  uint64_t lap = segment_lap (&v->segments, i);

  if (lap == 0 || s->is_victim || s->is_bad)
    return false;
  if (lap_is_cold (lap))
    return lap != v->cold.lap || v->cold.is_segment_closed;
  return lap < pinned_lap &&
    position_of (v, lap + 1, 0) <= v->journal.applied_position;
}

/* Is there nothing in segment I that is needed?  Then it need not be read. */
static bool
is_dead (const struct volume *v, uint64_t i)
{
  const struct segment *s = &v->segments.table[i];

  return __atomic_load_n (&s->live, __ATOMIC_RELAXED) == 0 &&
    __atomic_load_n (&s->is_without_zeros, __ATOMIC_RELAXED);
}

static double
live_part (const struct volume *v, uint64_t i)
{
  return (double) segment_live (&v->segments, i) / v->segments.size;
}

/* How much space is wanted. */
enum want {
  WANT_NONE,                   /* only what costs little */
  WANT_SOON,                   /* less is free than the cleaner keeps */
  WANT_NOW,                    /* guests wait, and are refused without it */
};

/* The hot lap from which on segments are kept for the peer.  When space is
 * short and the pins hold more than a quarter of the journal they give way:
 * the peer is then brought up to date from the map.
 */
static uint64_t
pinned_lap_locked (struct volume *v, enum want want)
{
  struct journal *j = &v->journal;
  uint64_t i, lap, pinned = UINT64_MAX, held = 0;

  if (j->pin == 0)
    return UINT64_MAX;
  for (i = 0; i < segments_count (&v->segments); ++i) {
    lap = segment_lap (&v->segments, i);
    if (lap == 0 || lap_is_cold (lap))
      continue;
    /* The last lap that begins at or before the pin holds it. */
    if (v->segments.table[i].first_seq > j->pin)
      held++;
    else if (pinned == UINT64_MAX || lap > pinned)
      pinned = lap;
  }
  if (want != WANT_NONE && held * 4 > segments_count (&v->segments))
    return UINT64_MAX;
  return pinned == UINT64_MAX ? 0 : pinned;
}

static uint64_t
best_below_locked (struct volume *v, uint64_t pinned, double max_live)
{
  uint64_t i, best = SEGMENT_NONE;
  double u, age, score, best_score = 0;

  for (i = 0; i < segments_count (&v->segments); ++i) {
    if (!may_be_cleaned (v, i, pinned))
      continue;
    u = live_part (v, i);
    if (u > max_live || (max_live == 0 && !is_dead (v, i)))
      continue;
    age = v->journal.lap - v->segments.table[i].born + 1;
    score = (1 - u) * age / (1 + u);
    if (u == 0)
      score += 1e12;           /* costs nothing */
    if (score > best_score) {
      best = i;
      best_score = score;
    }
  }
  return best;
}

/* Guests go before the peer: sooner than they are refused, what is pinned is
 * had, too.
 */
static uint64_t
best_segment (struct volume *v, double max_live, enum want want)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->journal.lock);
  uint64_t best = best_below_locked (v, pinned_lap_locked (v, want),
                                     max_live);

  if (best == SEGMENT_NONE && want == WANT_NOW)
    best = best_below_locked (v, UINT64_MAX, max_live);
  return best;
}

/* Enough segments that cost nothing to have them written again, which is
 * better than to write fresh ones?
 */
static bool
has_dead_locked (struct volume *v)
{
  uint64_t pinned = pinned_lap_locked (v, WANT_NONE), i;
  unsigned n = 0;

  for (i = 0; i < segments_count (&v->segments) && n < DEAD_MIN; ++i)
    n += may_be_cleaned (v, i, pinned) && is_dead (v, i);
  return n == DEAD_MIN;
}

/* ------------------------------------------------------------------ */
/* Taking what is live.                                                */

static int
haul_add (struct haul *h, const struct walked_unit *u, uint64_t entry,
          uint64_t generation, bool is_staged)
{
  uint32_t size = unit_stored_size (&u->unit);
  struct moved *m;

  if (h->count == h->allocated) {
    size_t more = h->allocated ? 2 * h->allocated : 4096;

    m = realloc (h->moved, more * sizeof *m);
    if (m == NULL)
      return -1;
    h->moved = m;
    h->allocated = more;
  }
  m = &h->moved[h->count];
  m->stored = malloc (size);
  if (m->stored == NULL)
    return -1;
  memcpy (m->stored, u->stored, size);
  m->is_staged = is_staged;
  m->block = u->block;
  m->entry = entry;
  m->seq = u->unit.seq;
  m->generation = generation;
  h->count++;
  h->bytes += size;
  return 0;
}

static void
haul_empty (struct haul *h)
{
  size_t i;

  for (i = 0; i < h->count; ++i)
    free (h->moved[i].stored);
  h->count = h->zeros = 0;
  h->bytes = 0;
}

/* By the disk's map or the stage's. */
enum shown { SHOWN_NOT, SHOWN_ON_DISK, SHOWN_STAGED };

static enum shown
shown (const struct volume *v, uint64_t block, uint64_t entry)
{
  if (table_get (&v->map, block) == entry)
    return SHOWN_ON_DISK;
  return v->is_staging && table_get (&v->stage_map, block) == entry
    ? SHOWN_STAGED : SHOWN_NOT;
}

static bool
verifies (const struct walked_unit *u, uint64_t salt)
{
  struct unit unit;

  return unit_verify (u->stored, unit_stored_size (&u->unit), salt, u->block,
                      &unit);
}

/* The generation whose history holds all that the disk shows. */
static uint64_t
shown_generation (struct volume *v)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->journal.lock);
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

  return generations_at (&v->super.generations, v->is_staging
                         ? v->super.stage.shown.seq
                         : v->journal.applied_point.seq);
}

/* The one of RECORD if only the stage's map shows what it says. */
static uint64_t
generation_of (struct volume *v, enum shown where, const struct record *r)
{
  return where == SHOWN_STAGED ? r->generation : shown_generation (v);
}

/* Keep the word that blocks are zero, run by run, while the map says so. */
static int
keep_zeros (struct volume *v, struct haul *h, const struct record *r,
            uint64_t block, uint64_t count, uint64_t seq)
{
  uint64_t end = block + count, start;
  enum shown where;

  while (block < end) {
    start = block;
    where = shown (v, block, entry_zero (block, seq));
    do
      ++block;
    while (block < end && shown (v, block, entry_zero (block, seq)) == where);
    if (where == SHOWN_NOT)
      continue;
    if (h->zeros == h->zeros_allocated) {
      size_t more = h->zeros_allocated ? 2 * h->zeros_allocated : 256;
      struct kept_zero *z = realloc (h->zero, more * sizeof *z);

      if (z == NULL)
        return -1;
      h->zero = z;
      h->zeros_allocated = more;
    }
    h->zero[h->zeros++] = (struct kept_zero) {
      start, seq, generation_of (v, where, r), block - start
    };
  }
  return 0;
}

/* 0: done; -1: error; 2: a unit that is needed does not verify. */
static int
take_units (struct volume *v, struct haul *h, const struct record *r,
            const uint8_t *body, uint64_t body_offset)
{
  struct unit_walk walk = unit_walk_start (r, body);
  struct walked_unit u;
  uint64_t entry, generation = 0;
  enum shown where, last = SHOWN_NOT;
  bool is_staged;
  int more;

  while ((more = unit_walk_next (&walk, &u)) == 1) {
    if (u.block >= volume_blocks (v))
      return 2;
    if (u.unit.codec == UNIT_ZERO) {
      if (keep_zeros (v, h, r, u.block, 1, u.unit.seq) == -1)
        return -1;
      continue;
    }
    entry = entry_data (u.block, u.unit.seq, body_offset + u.offset,
                        unit_stored_size (&u.unit));
    where = shown (v, u.block, entry);
    if (where == SHOWN_NOT)
      continue;
    if (where != last)
      generation = generation_of (v, where, r);
    last = where;
    is_staged = false;
    if (!verifies (&u, v->super.content_salt)) {
      is_staged = true;
      if (!v->is_staging || !verifies (&u, v->super.stage.salt)) {
        repair_note (v, u.block, &(struct version) { entry, u.unit.seq });
        return 2;
      }
    }
    if (haul_add (h, &u, entry, generation, is_staged) == -1)
      return -1;
  }
  return more == 0 ? 0 : 2;
}

static int
take_record (struct volume *v, struct haul *h, const struct record *r,
             const uint8_t *body, uint64_t body_offset)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->tables_lock);

  switch (r->type) {
  case RECORD_WRITE:
  case RECORD_DELTA:
  case RECORD_MOVE:
    return take_units (v, h, r, body, body_offset);
  case RECORD_ZERO:
  case RECORD_TRIM:
  case RECORD_KEEP_ZERO:
    if (r->block >= volume_blocks (v) || r->nblocks > volume_blocks (v) - r->block)
      return 2;
    return keep_zeros (v, h, r, r->block, r->nblocks, r->seq);
  default:
    return 0;
  }
}

static int
take_batch (struct volume *v, struct haul *h, const struct batch *batch,
            const uint8_t *piece, uint64_t offset)
{
  uint32_t at = sizeof (struct format_batch), length;
  struct record r;
  int state;

  while (at < batch->used) {
    if (batch->used - at < sizeof (struct format_record) ||
        !record_decode ((const struct format_record *) (piece + at),
                        position_seed (v->super.journal_salt,
                                       batch->position + at), &r))
      return 2;
    length = sizeof (struct format_record) + r.length;
    if (length > batch->used - at)
      return 2;
    state = take_record (v, h, &r, piece + at +
                         sizeof (struct format_record),
                         offset + at + sizeof (struct format_record));
    if (state != 0)
      return state;
    at += length;
  }
  return 0;
}

static uint64_t
segment_being_read (void *opaque, uint64_t lap)
{
  const struct haul *h = opaque;

  return lap == h->lap ? h->segment : SEGMENT_NONE;
}

/* All that is live in segment I, batch by batch.  As take_batch; -1 also
 * where there is no memory to read ahead.
 */
static int
take_segment (struct volume *v, struct haul *h, uint64_t i)
{
  uint64_t size = v->super.segment_size, offset = FORMAT_PAGE;
  uint64_t position;
  uint32_t end = size - FORMAT_PAGE;
  const uint8_t *piece;
  struct batch batch;
  int state;

  if (is_dead (v, i))
    return 0;
  if (h->ahead.io == NULL &&
      ahead_init (&h->ahead, v->io, v->journal.file, size,
                  segment_being_read, h) == -1)
    return -1;

  h->lap = segment_lap (&v->segments, i);
  h->segment = i;
  h->read += size;
  /* Without a summary all of it is looked through. */
  if (fetch_data_end (v, i, h->lap, &end) == -1)
    return 2;
  while (offset < end) {
    position = position_of (v, h->lap, offset);
    piece = ahead_get (&h->ahead, position, FORMAT_PAGE);
    if (piece == NULL)
      return 2;
    if (!batch_decode ((const struct format_batch *) piece,
                       v->super.journal_salt, position, size, &batch) ||
        batch.length > BATCH_HARD + FORMAT_PAGE)
      return 0;                /* the end: what is live says if all is had */
    piece = ahead_get (&h->ahead, position, batch.length);
    if (piece == NULL)
      return 2;
    state = take_batch (v, h, &batch, piece, i * size + offset);
    if (state != 0)
      return state;
    offset += batch.length;
  }
  return 0;
}

/* ------------------------------------------------------------------ */
/* Laying it down.                                                     */

static int
compare_blocks (const void *a, const void *b)
{
  const struct moved *p = a, *q = b;

  if (p->is_staged != q->is_staged)
    return p->is_staged - q->is_staged;
  return p->block < q->block ? -1 : p->block > q->block;
}

/* Let foreground work have the device while there is time. */
static void
pace (struct volume *v)
{
  struct journal *j = &v->journal;
  uint64_t free_segments, until;
  struct timespec ts;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  free_segments = segments_count_free (&v->segments);
  if (j->is_stopping || free_segments < cleaner_low (v) / 2)
    return;
  until = clock_mono_ns () + (free_segments < cleaner_low (v) ? 2 : 10) *
    NS_PER_MSEC;
  ts = (struct timespec) { until / NS_PER_SEC, until % NS_PER_SEC };
  pthread_cond_timedwait (&j->cleaner_cond, &j->lock, &ts);
}

static int
lay_zeros_down (struct volume *v, const struct haul *h)
{
  const struct kept_zero *z;
  struct record r;
  uint32_t room;

  for (z = h->zero; z < h->zero + h->zeros; ++z) {
    r = (struct record) { .type = RECORD_KEEP_ZERO, .seq = z->seq,
                          .generation = z->generation,
                          .block = z->block, .nblocks = z->count };
    if (cold_reserve (v, 0, &room) == NULL && cold_write (v) == -1)
      return -1;
    cold_add (v, &r);
  }
  return 0;
}

static int
lay_down (struct volume *v, struct haul *h)
{
  struct record r;
  struct format_locator locator;
  uint32_t size, room;
  uint8_t *body;
  size_t i = 0;
  bool is_staged;

  if (lay_zeros_down (v, h) == -1)
    return -1;
  if (h->count > 0)
    qsort (h->moved, h->count, sizeof *h->moved, compare_blocks);
  while (i < h->count) {
    r = (struct record) { .type = RECORD_MOVE, .block = h->moved[i].block,
                          .generation = h->moved[i].generation };
    body = cold_reserve (v, COLD_UNIT_MAX, &room);
    if (body == NULL) {
      if (cold_write (v) == -1)
        return -1;
      pace (v);
      continue;
    }
    is_staged = h->moved[i].is_staged;
    for (; i < h->count && r.nblocks < VOLUME_RECORD_BLOCKS_MAX; ++i) {
      const struct moved *m = &h->moved[i];

      size = entry_length (m->entry);
      if (m->is_staged != is_staged || m->generation != r.generation ||
          r.length + sizeof locator + size > room)
        break;
      locator = (struct format_locator) { htole64 (m->block),
                                          htole64 (m->entry) };
      memcpy (body + r.length, &locator, sizeof locator);
      memcpy (body + r.length + sizeof locator, m->stored, size);
      r.length += sizeof locator + size;
      r.nblocks++;
      if (m->seq > r.seq)
        r.seq = m->seq;
    }
    cold_add (v, &r);
  }
  return cold_write (v);
}

static int
add_repaired (void *haul, uint64_t block, const struct version *version,
              const void *unit)
{
  struct walked_unit u = { .stored = unit, .block = block };

  if (!unit_decode_header (unit, entry_length (version->entry), &u.unit)) {
    errno = EUCLEAN;
    return -1;
  }
  return haul_add (haul, &u, version->entry, 0, false);
}

/* Units that were damaged and that somebody gave: they move, too.  IS_FAILED:
 * nothing is written any more, and who gave them need not wait.
 */
static void
lay_repaired_down (struct volume *v, struct haul *h, bool is_failed)
{
  uint64_t generation = shown_generation (v);
  int r = repair_take (v, add_repaired, h);
  size_t i;

  for (i = 0; i < h->count; ++i)
    h->moved[i].generation = generation;
  if (r == 0)
    r = is_failed ? -1 : lay_down (v, h);
  haul_empty (h);
  repair_written (v, r == 0);
}

/* ------------------------------------------------------------------ */
/* Freeing.                                                            */

/* Records up to where SEGMENT ends are no longer all there. */
static void
give_up_history (struct volume *v, uint64_t segment)
{
  uint64_t lap = segment_lap (&v->segments, segment), next, seq;

  if (lap_is_cold (lap))
    return;
  next = segments_find_lap (&v->segments, lap + 1);
  seq = next == SEGMENT_NONE ? v->journal.next_seq
    : v->segments.table[next].first_seq;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);
  /* A segment of before: its seqs, and those its successor began with, may be
   * of a stage that was dropped, and higher than what there is now.
   */
  if (position_of (v, lap + 1, 0) <= v->super.oldest_position)
    return;
  if (seq > v->super.oldest_seq)
    v->super.oldest_seq = seq;
  v->super.oldest_position = position_of (v, lap + 1, 0);
}

/* What was freed is kept for use again; the maintainer gives back what is too
 * much of it (spare.c).
 */
static int
free_segments (struct volume *v)
{
  struct journal *j = &v->journal;
  struct segment *segment;
  uint64_t i;

  if (checkpoint (v, false, NULL) == -1)
    return -1;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  for (i = 0; i < segments_count (&v->segments); ++i) {
    segment = &v->segments.table[i];
    if (!segment->is_cleaned)
      continue;
    segment->is_cleaned = false;
    segment->ground = GROUND_WRITTEN;
    __atomic_store_n (&segment->live, 0, __ATOMIC_RELAXED);
    __atomic_store_n (&segment->lap, 0, __ATOMIC_RELEASE);
    j->cleaned++;
  }
  j->is_exhausted = false;
  j->is_maintenance_due = true;
  pthread_cond_signal (&j->maintainer_cond);
  pthread_cond_broadcast (&j->progress);
  return 0;
}

/* How much a round may move: what finds room in two segments with frames and
 * padding, because writers may take all but the reserve meanwhile.
 */
static uint64_t
round_bytes (const struct volume *v)
{
  uint64_t room = 2 * v->segments.size / 4 * 3;

  return room < ROUND_BYTES ? room : ROUND_BYTES;
}

/* One round, a small one, so that space is won early: who waits for it waits
 * for a round.  1: space was won; 0: there is none to win; -1: it failed.
 */
static int
clean (struct volume *v, struct haul *h, double max_live, enum want want)
{
  uint64_t victim[ROUND_SEGMENTS], i, room = round_bytes (v);
  unsigned n = 0, k;
  int state, saved;

  h->read = 0;
  while (n < ROUND_SEGMENTS && h->read < ROUND_READ) {
    i = best_segment (v, max_live, want);
    if (i == SEGMENT_NONE ||
        h->bytes + live_part (v, i) * v->segments.size > room)
      break;
    state = take_segment (v, h, i);
    if (state == -1)
      goto err;
    if (state == 2) {
      count_up (&v->count.checksum_errors);
      v->segments.table[i].is_bad = true;
      continue;
    }
    v->segments.table[i].is_victim = true;
    victim[n++] = i;
  }
  ahead_release (&h->ahead);
  if (n == 0) {
    haul_empty (h);              /* of a segment that could not be read on */
    return 0;
  }
  if (lay_down (v, h) == -1)
    goto err;
  haul_empty (h);

  for (k = 0; k < n; ++k) {
    /* What the map still refers to here could not be found: keep it. */
    if (__atomic_load_n (&v->segments.table[victim[k]].live,
                         __ATOMIC_ACQUIRE) != 0)
      v->segments.table[victim[k]].is_bad = true;
    else {
      ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->checkpoint_lock);

      give_up_history (v, victim[k]);
      v->segments.table[victim[k]].is_cleaned = true;
    }
  }
  state = free_segments (v) == -1 ? -1 : 1;
  goto out;

 err:
  saved = errno;
  ahead_release (&h->ahead);
  haul_empty (h);
  errno = saved;
  state = -1;
 out:
  for (k = 0; k < n; ++k)
    v->segments.table[victim[k]].is_victim = false;
  return state;
}

/* ------------------------------------------------------------------ */
/* The thread.                                                         */

uint64_t
cleaner_low (const struct volume *v)
{
  uint64_t low = segments_count (&v->segments) / 8;

  if (low < SEGMENTS_RESERVED + 3)
    return SEGMENTS_RESERVED + 3;
  return low < SEGMENTS_RESERVED + LEAD_MAX ? low
    : SEGMENTS_RESERVED + LEAD_MAX;
}

static void
rest_locked (struct journal *j, unsigned ms)
{
  uint64_t until = clock_mono_ns () + ms * NS_PER_MSEC;
  struct timespec ts = { until / NS_PER_SEC, until % NS_PER_SEC };

  if (!j->is_stopping)
    pthread_cond_timedwait (&j->cleaner_cond, &j->lock, &ts);
}

static enum want
want_locked (const struct volume *v)
{
  uint64_t n = segments_count_free (&v->segments);

  return n <= SEGMENTS_RESERVED ? WANT_NOW
    : n < cleaner_low (v) ? WANT_SOON : WANT_NONE;
}

/* Is there more dead than live, and nothing else to do? */
static bool
is_worth_tidying_locked (struct volume *v)
{
  struct journal *j = &v->journal;
  uint64_t used = (segments_count (&v->segments) - segments_count_free (&v->segments)) *
    v->segments.size;

  return j->tail == j->head && !j->is_open &&
    used > 4 * v->segments.size &&
    segments_live (&v->segments) < used * (1 - TIDY_DEAD);
}

void *
cleaner_thread (void *volume)
{
  struct volume *v = volume;
  struct journal *j = &v->journal;
  struct haul haul = { 0 };
  uint64_t seen = 0;
  unsigned tries = 0;
  bool tidy, dead;
  enum want want;
  double max_live;
  int r, saved;

  live_count_beside_guests (v);
  pthread_mutex_lock (&j->lock);
  while (!j->is_stopping) {
    if (repair_is_queued (v)) {
      bool is_failed = j->failed != 0;

      pthread_mutex_unlock (&j->lock);
      lay_repaired_down (v, &haul, is_failed);
      pthread_mutex_lock (&j->lock);
      continue;
    }
    want = want_locked (v);
    tidy = seen == j->next_seq && is_worth_tidying_locked (v);
    dead = want == WANT_NONE && !tidy && has_dead_locked (v);
    if (j->failed || (want == WANT_NONE && !tidy && !dead)) {
      seen = j->next_seq;
      rest_locked (j, TIDY_AFTER_MS);
      continue;
    }
    pthread_mutex_unlock (&j->lock);
    max_live = want != WANT_NONE ? 1 - CLEANER_GAIN_PERCENT / 100. : tidy ? 1 - TIDY_DEAD : 0;
    r = clean (v, &haul, max_live, want);
    saved = errno;
    pthread_mutex_lock (&j->lock);
    if (r == 1) {
      tries = 0;
      continue;
    }
    /* That there is no memory now does not mean that there is no space. */
    if (r == -1 && saved == ENOMEM && ++tries < MEMORY_TRIES) {
      rest_locked (j, MEMORY_AFTER_MS);
      continue;
    }
    tries = 0;
    if (want != WANT_NOW && want_locked (v) == WANT_NOW)
      continue;                  /* then there may be more to be had */
    if (want == WANT_NOW) {
      j->is_exhausted = true;
      j->exhausted_live = segments_live (&v->segments);
      pthread_cond_broadcast (&j->progress);
    }
    seen = j->next_seq;
    rest_locked (j, TIDY_AFTER_MS);
  }
  pthread_mutex_unlock (&j->lock);
  free (haul.zero);
  free (haul.moved);
  return NULL;
}

void
volume_pin (struct volume *v, uint64_t seq)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->journal.lock);

  v->journal.pin = seq;
}

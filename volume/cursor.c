/* Durable records in the order of their seq, for the peer.
 *
 * A cursor walks the batches of the journal from segment to segment.  It
 * hands out guest records only, with their headers hashed by the salt of the
 * content (what they were seeded with means nothing elsewhere), and never
 * goes past the durable position, or, when it is to be ahead, past what is on
 * its way to the medium and therefore whole in the ring.
 *
 * What is no longer in the ring is read in large pieces past the page cache:
 * it is read once, and filling cold pages of the cache costs more CPU time
 * than all else that a cursor does.
 */

#include <config.h>

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "cleanup.h"
#include "clock.h"
#include "volume-internal.h"

#define DELTA_TRIES 5
#define PIECE_SIZE (2u << 20)
static_assert (PIECE_SIZE >= BATCH_HARD + FORMAT_PAGE, "room for any batch");

struct volume_cursor {
  struct volume *v;
  uint64_t position;           /* logical, of the batch */
  uint64_t segment;            /* where its lap is */
  uint32_t at;                 /* next record in it; 0: batch not loaded */
  struct batch batch;
  uint64_t next_seq;           /* records below are passed over, ... */
  uint64_t from;               /* ... and those before this position, which
                                  may be of a history that was given up and
                                  have the same seqs */
  uint64_t closed_lap;         /* whose end is known; 0: none */
  uint32_t data_end;           /* of it: an offset */
  bool is_ahead;               /* of the medium */
  size_t batch_size;           /* what a read gives, if not one record more */
  uint8_t *buf;                /* a batch of the ring */
  const uint8_t *data;         /* the batch: there or in the piece */
  uint8_t *piece;              /* of the journal, read from the medium; NULL
                                  until it is needed */
  uint64_t piece_position;
  uint64_t piece_length;
};

/* The segment in which the record FIRST, if it is there, must be. */
static uint64_t
find_start (struct volume *v, uint64_t first)
{
  uint64_t oldest, i, lap, best = SEGMENT_NONE, best_lap = 0;

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);
    oldest = v->super.oldest_position / v->super.segment_size;
  }
  for (i = 0; i < segments_count (&v->segments); ++i) {
    lap = segment_lap (&v->segments, i);
    if (lap == 0 || lap < oldest || lap_is_cold (lap))
      continue;
    if (lap != oldest &&
        __atomic_load_n (&v->segments.table[i].first_seq, __ATOMIC_RELAXED) >
        first)
      continue;
    if (lap > best_lap) {
      best = i;
      best_lap = lap;
    }
  }
  return best;
}

struct volume_cursor *
volume_cursor_open (struct volume *v, uint64_t first, struct error *err)
{
  struct volume_cursor *c;
  uint64_t size = v->super.segment_size, from;

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);
    if (first < v->super.oldest_seq) {
      error_set (err, ERANGE, "the journal no longer holds record %llu",
                 (unsigned long long) first);
      return NULL;
    }
    from = v->super.oldest_position;
  }
  c = calloc (1, sizeof *c);
  if (c != NULL)
    c->batch_size = SIZE_MAX;
  if (c == NULL || (c->buf = malloc (BATCH_HARD + FORMAT_PAGE)) == NULL) {
    error_set_errno (err, errno, "cannot read the journal");
    free (c);
    return NULL;
  }
  c->v = v;
  c->next_seq = first;
  c->from = from;
  c->segment = find_start (v, first);
  if (c->segment == SEGMENT_NONE)
    c->position = size;        /* nothing is written yet: lap 1 */
  else
    c->position = segment_lap (&v->segments, c->segment) * size +
      FORMAT_PAGE;
  return c;
}

void
volume_cursor_set_batch (struct volume_cursor *c, size_t size)
{
  c->batch_size = size;
}

void
volume_cursor_close (struct volume_cursor *c)
{
  if (c) {
    free (c->piece);
    free (c->buf);
    free (c);
  }
}

void
volume_cursor_set_ahead (struct volume_cursor *c, bool is_ahead)
{
  c->is_ahead = is_ahead;
}

/* How far it may read. */
static uint64_t
end_position (const struct volume_cursor *c)
{
  const struct journal *j = &c->v->journal;
  uint64_t durable = __atomic_load_n (&j->durable_position, __ATOMIC_ACQUIRE);
  uint64_t submitted = __atomic_load_n (&j->submitted_position,
                                        __ATOMIC_ACQUIRE);

  return c->is_ahead && submitted > durable ? submitted : durable;
}

static int
damaged (struct volume_cursor *c, struct error *err)
{
  count_up (&c->v->count.checksum_errors);
  return error_set (err, EIO, "the journal is damaged at byte %llu",
                    (unsigned long long)
                    (c->segment * c->v->super.segment_size +
                     c->position % c->v->super.segment_size));
}

/* Go to the next lap if this one is at its end.  1: a batch may be at
 * c->position; 0: nothing more is durable; -1: error.
 */
static int
next_segment (struct volume_cursor *c, struct error *err)
{
  struct volume *v = c->v;
  uint64_t size = v->super.segment_size, lap;

  if (c->position % size == 0) {
    lap = c->position / size;
    if (end_position (c) <= c->position)
      return 0;
    c->segment = segments_find_lap (&v->segments, lap);
    if (c->segment == SEGMENT_NONE)
      return error_set (err, ERANGE, "the journal no longer holds what "
                        "follows record %llu",
                        (unsigned long long) c->next_seq - 1);
    c->position += FORMAT_PAGE;
  }
  return end_position (c) > c->position;
}

/* From c->position on to the end of what is durable in this segment, as much
 * as fits.
 */
static int
read_piece (struct volume_cursor *c, uint64_t offset, struct error *err)
{
  struct volume *v = c->v;
  uint64_t size = v->super.segment_size, end;

  if (c->piece == NULL) {
    c->piece = aligned_alloc (FORMAT_PAGE, PIECE_SIZE);
    if (c->piece == NULL)
      return error_set_errno (err, errno, "cannot read the journal");
  }
  end = __atomic_load_n (&v->journal.durable_position, __ATOMIC_ACQUIRE);
  if (end > (c->position / size + 1) * size)
    end = (c->position / size + 1) * size;
  assert (end > c->position);  /* what is not durable is in the ring */
  if (end - c->position > PIECE_SIZE)
    end = c->position + PIECE_SIZE;
  c->piece_length = 0;
  if (fetch (v, c->piece, end - c->position, offset, true) == -1)
    return error_set_errno (err, errno, "cannot read the journal");
  c->piece_position = c->position;
  c->piece_length = end - c->position;
  return 0;
}

/* How much of the piece there is from c->position on. */
static uint64_t
left_of_piece (const struct volume_cursor *c)
{
  uint64_t end = c->piece_position + c->piece_length;

  return c->position >= c->piece_position && c->position < end ?
    end - c->position : 0;
}

static bool
decode_batch (struct volume_cursor *c, const void *data)
{
  return batch_decode (data, c->v->super.journal_salt, c->position,
                       c->v->super.segment_size, &c->batch) &&
    c->batch.length <= BATCH_HARD + FORMAT_PAGE;
}

/* The batch at c->position, at OFFSET of the file, to c->data.  1: it is
 * there; 0: there is none; -1: error.
 */
static int
find_batch (struct volume_cursor *c, uint64_t offset, struct error *err)
{
  struct volume *v = c->v;
  uint64_t left = left_of_piece (c);

  if (left == 0 &&
      fetch_staged (v, c->buf, sizeof (struct format_batch), offset)) {
    if (!decode_batch (c, c->buf))
      return 0;
    c->data = c->buf;
    if (fetch_staged (v, c->buf, c->batch.length, offset))
      return 1;
  }
  if (left == 0 && read_piece (c, offset, err) == -1)
    return -1;
  c->data = c->piece + (c->position - c->piece_position);
  if (!decode_batch (c, c->data))
    return 0;
  if (c->batch.length <= left_of_piece (c))
    return 1;

  /* It is cut at the piece's end. */
  if (read_piece (c, offset, err) == -1)
    return -1;
  c->data = c->piece;
  return c->batch.length <= c->piece_length;
}

/* Is c->position where the batches of this lap end?  What stands there then,
 * behind the cut of an earlier recovery, may look like one.  1: yes; 0: no, or
 * the lap is still open, and all that is durable is of this opening; -1: error.
 */
static int
is_at_data_end (struct volume_cursor *c, struct error *err)
{
  struct volume *v = c->v;
  uint64_t size = v->super.segment_size, lap = c->position / size;
  uint32_t offset = c->position % size;

  if (end_position (c) < (lap + 1) * size)
    return 0;
  if (c->closed_lap != lap) {
    switch (fetch_data_end (v, c->segment, lap, &c->data_end)) {
    case -1: return error_set_errno (err, errno, "cannot read the journal");
    case 0: return damaged (c, err);
    }
    c->closed_lap = lap;
  }
  return offset > c->data_end ? damaged (c, err) : offset == c->data_end;
}

/* Load the batch at c->position.  As next_segment. */
static int
load_batch (struct volume_cursor *c, struct error *err)
{
  uint64_t size = c->v->super.segment_size;
  int r;

  for (;;) {
    r = next_segment (c, err);
    if (r != 1)
      return r;
    r = is_at_data_end (c, err);
    if (r == -1)
      return -1;
    if (r == 0)
      break;
    c->position = (c->position / size + 1) * size;
  }
  r = find_batch (c, c->segment * size + c->position % size, err);
  if (r == 0)
    return damaged (c, err);
  if (r == 1)
    c->at = sizeof (struct format_batch);
  return r;
}

/* Header and length of the record at c->at; false: it is damaged. */
static bool
current_record (const struct volume_cursor *c, struct record *ret)
{
  return c->batch.used - c->at >= sizeof (struct format_record) &&
    record_decode ((const struct format_record *) (c->data + c->at),
                   position_seed (c->v->super.journal_salt,
                                  c->position + c->at), ret) &&
    ret->length <= c->batch.used - c->at - sizeof (struct format_record);
}

ssize_t
volume_cursor_read (struct volume_cursor *c, void *buf, size_t size,
                    struct volume_point *ret_last, unsigned *ret_records,
                    struct error *err)
{
  struct volume *v = c->v;
  uint64_t salt = v->super.content_salt;
  unsigned records = 0;
  uint8_t *p = buf;
  size_t used = 0, len;
  struct record r;
  int more;

  for (;;) {
    if (c->at == 0) {
      more = load_batch (c, err);
      if (more == -1)
        return -1;
      if (more == 0)
        break;
    }
    if (c->at == c->batch.used) {
      c->position += c->batch.length;
      c->at = 0;
      continue;
    }
    if (!current_record (c, &r))
      return damaged (c, err);
    len = sizeof (struct format_record) + r.length;
    if (!record_type_is_mark (r.type) && r.type != RECORD_DELTA &&
        r.type != RECORD_MOVE && r.seq >= c->next_seq &&
        c->position + c->at >= c->from) {
      if (r.seq != c->next_seq ||
          !record_verify_body (&r, c->data + c->at +
                               sizeof (struct format_record), salt,
                               volume_blocks (v)))
        return damaged (c, err);
      if (used + len > size || (used > 0 && used + len > c->batch_size))
        break;
      memcpy (p + used, c->data + c->at, len);
      record_reseed ((struct format_record *) (p + used), salt);
      used += len;
      records++;
      c->next_seq = r.seq + 1;
      *ret_last = (struct volume_point) {
        r.generation, r.seq, r.time_ns, r.bytes
      };
    }
    c->at += len;
  }
  *ret_records = records;
  return used;
}

int
volume_wait_durable (struct volume *v, uint64_t seq, unsigned timeout_ms)
{
  struct journal *j = &v->journal;
  uint64_t until = clock_mono_ns () + timeout_ms * NS_PER_MSEC;
  struct timespec ts = { until / NS_PER_SEC, until % NS_PER_SEC };
  unsigned wakes;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  wakes = j->wakes;
  while (j->durable_point.seq <= seq && j->wakes == wakes)
    if (pthread_cond_timedwait (&j->progress, &j->lock, &ts) == ETIMEDOUT)
      break;
  return j->durable_point.seq > seq;
}

int
volume_ship_fd (struct volume *v, struct error *err)
{
  struct journal *j = &v->journal;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  if (j->ship_fd == -1)
    j->ship_fd = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (j->ship_fd == -1)
    return error_set_errno (err, errno, "cannot make an eventfd");
  return j->ship_fd;
}

void
volume_ship_on (struct volume *v, bool is_on)
{
  __atomic_store_n (&v->journal.is_shipping,
                    is_on && v->journal.ship_fd >= 0, __ATOMIC_RELEASE);
}

void
volume_get_points (struct volume *v, struct volume_point *ret_appended,
                   struct volume_point *ret_durable)
{
  struct journal *j = &v->journal;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  *ret_appended = j->appended;
  if (ret_durable)
    *ret_durable = j->durable_point;
}

void
volume_wake_waiters (struct volume *v)
{
  struct journal *j = &v->journal;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  j->wakes++;
  pthread_cond_broadcast (&j->progress);
}

/* ------------------------------------------------------------------ */
/* Delta: what the map shows that is newer than the peer has.          */

uint64_t
volume_content_salt (struct volume *v)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

  return v->super.content_salt;
}

void
volume_lineage (struct volume *v, struct uuid *ret)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

  *ret = v->super.lineage;
}

static const uint8_t zeros[VOLUME_BLOCK_SIZE] __attribute__ ((aligned (8)));

static void
zero_unit (struct volume *v, uint64_t block, uint64_t seq, uint8_t *buf,
           struct unit *ret)
{
  *ret = (struct unit) { seq, UNIT_ZERO, 0 };
  unit_encode (zeros, 1, buf);
  unit_seal (buf, v->super.content_salt, block, seq);
}

/* The stored unit of BLOCK if it is newer than SINCE or the peer has another.
 * 1: in BUF (which has room for the largest); 0: nothing to ship; -1: error.
 */
static int
delta_unit (struct volume *v, uint64_t since, bool peer_differs,
            uint64_t block, uint8_t *buf, struct unit *ret, struct error *err)
{
  struct version version;
  uint32_t length;
  bool is_known = false;
  int try;

  for (try = 0; try < DELTA_TRIES; ++try) {
    if (try > 0)
      lookup_settle (v);
    is_known = lookup_shown (v, block, &version);
    if (!is_known)
      continue;
    if (version.seq <= since && !peer_differs)
      return 0;
    switch (entry_kind (version.entry)) {
    case ENTRY_UNWRITTEN:
      zero_unit (v, block, since, buf, ret);
      return 1;
    case ENTRY_ZERO:
      zero_unit (v, block, version.seq, buf, ret);
      return 1;
    }
    length = entry_length (version.entry);
    if (length <= ROUND_UP (UNIT_STORED_MAX, GRANULE) &&
        fetch (v, buf, length, entry_position (version.entry),
               try == DELTA_TRIES - 1) == 0 &&
        fetched_unit_is_valid (v, buf, block, &version, ret))
      return 1;
  }
  count_up (&v->count.checksum_errors);
  if (is_known && repair_from_source (v, block, &version, buf, ret))
    return 1;
  return error_set (err, EIO, "block %llu fails its checksum",
                    (unsigned long long) block);
}

static uint64_t
generation_of (struct volume *v, uint64_t seq)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

  return generations_at (&v->super.generations, seq);
}

ssize_t
volume_delta_read (struct volume *v, uint64_t since_seq,
                   const struct volume_changed *peer, uint64_t *block,
                   void *buf, size_t size, struct error *err)
{
  struct record r = { .type = RECORD_DELTA, .block = 0 };
  uint8_t *body = (uint8_t *) buf + sizeof (struct format_record), *p;
  struct format_locator locator = { 0, 0 };
  struct unit unit;
  const size_t room = sizeof locator + ROUND_UP (UNIT_STORED_MAX, GRANULE);
  uint64_t b = *block, end = volume_blocks (v);
  int more;

  if (size < sizeof (struct format_record) + room)
    return error_set (err, EINVAL, "the buffer is too small for a block");
  size -= sizeof (struct format_record) + room;
  if (peer && peer->end < end)
    end = peer->end;

  while (b < end && r.nblocks < VOLUME_RECORD_BLOCKS_MAX &&
         r.length <= size) {
    if (peer == NULL && b % NEWEST_BLOCKS == 0 &&
        !newest_may_be_after (v, b, since_seq)) {
      b = end - b < NEWEST_BLOCKS ? end : b + NEWEST_BLOCKS;
      continue;
    }
    p = body + r.length;
    more = delta_unit (v, since_seq, peer && volume_changed_has (peer, b), b,
                       p + sizeof locator, &unit, err);
    if (more == -1)
      return -1;
    if (more == 1) {
      locator.block = htole64 (b);
      memcpy (p, &locator, sizeof locator);
      if (r.nblocks++ == 0)
        r.block = b;
      r.length += sizeof locator + unit_stored_size (&unit);
      if (unit.seq > r.seq)
        r.seq = unit.seq;
    }
    ++b;
  }
  *block = b;
  if (r.nblocks == 0)
    return 0;
  r.time_ns = clock_wall_ns ();
  r.generation = generation_of (v, r.seq);
  record_encode (&r, v->super.content_salt, buf);
  return sizeof (struct format_record) + r.length;
}

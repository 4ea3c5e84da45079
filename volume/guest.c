/* The guest's side: read, write, zero, flush, extents.
 *
 * Compressing and hashing happen before the place in the log is taken,
 * copying after it, both outside the journal's lock.
 */

#include <config.h>

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "volume-internal.h"

#define SMALL_BLOCKS 8u          /* up to this a record is made on the stack */
#define RUN_MAX (256u << 10)     /* one read of neighbouring units */
#define RUN_GAP (FORMAT_PAGE + 128)   /* headers and padding passed over */
#define READ_TRIES 5             /* looks at a block that does not verify */
#define TURN_BLOCKS 16           /* worked on before others have a turn */

uint64_t
volume_size (const struct volume *v)
{
  return volume_blocks (v) * VOLUME_BLOCK_SIZE;
}

static int
check_range (const struct volume *v, uint64_t count, uint64_t offset)
{
  uint64_t size = volume_size (v);

  if (offset > size || count > size - offset) {
    errno = EINVAL;
    return -1;
  }
  return 0;
}

/* To be called when I blocks of a read are done.  Whoever moves bytes to the
 * guest wakes up often and has little to do each time.  It must not wait
 * until the whole of a large request has been expanded: yielding gives large
 * sequential reads a third more.  (Writes lose a tenth by it.)
 */
static void
let_others_run (unsigned i)
{
  if (i % TURN_BLOCKS == 0)
    sched_yield ();
}

/* How much of COUNT bytes at OFFSET is done in one step: a part of a block
 * (and then it is no multiple of one), else whole blocks, up to MAX_BLOCKS.
 */
static uint64_t
next_piece (uint64_t count, uint64_t offset, uint64_t max_blocks)
{
  uint64_t to_boundary = VOLUME_BLOCK_SIZE - offset % VOLUME_BLOCK_SIZE;
  uint64_t blocks = count / VOLUME_BLOCK_SIZE;

  if (to_boundary < VOLUME_BLOCK_SIZE || blocks == 0)
    return count < to_boundary ? count : to_boundary;
  return (blocks < max_blocks ? blocks : max_blocks) * VOLUME_BLOCK_SIZE;
}

/* ------------------------------------------------------------------ */
/* Reading.                                                            */

/* The newest version of BLOCK.  False as lookup_shown. */
static bool
lookup (struct volume *v, uint64_t block, struct version *ret)
{
  if (pending_get (&v->pending, block, &ret->entry, &ret->seq))
    return true;
  return lookup_shown (v, block, ret);
}

/* One block, looked up and fetched anew, at last from the medium. */
static int
read_block_again (struct volume *v, uint64_t block, void *buf)
{
  uint8_t stored[ROUND_UP (UNIT_STORED_MAX, GRANULE)];
  struct version version;
  struct unit unit;
  bool is_known = false;
  int try;

  for (try = 0; try < READ_TRIES; ++try) {
    if (try > 0)
      lookup_settle (v);
    is_known = lookup (v, block, &version);
    if (!is_known)
      continue;
    if (entry_kind (version.entry) != ENTRY_DATA) {
      memset (buf, 0, VOLUME_BLOCK_SIZE);
      return 0;
    }
    if (entry_length (version.entry) > sizeof stored)
      continue;
    if (fetch (v, stored, entry_length (version.entry),
               entry_position (version.entry), try == READ_TRIES - 1) == -1) {
      count_up (&v->count.read_errors);
      continue;
    }
    if (fetched_unit_is_valid (v, stored, block, &version, &unit) &&
        unit_expand (stored, &unit, buf))
      return 0;
  }
  count_up (&v->count.checksum_errors);
  if (is_known && repair_from_source (v, block, &version, stored, &unit) &&
      unit_expand (stored, &unit, buf))
    return 0;
  errno = EIO;
  return -1;
}

/* Expand a run of neighbouring units that was fetched as one piece. */
static int
expand_run (struct volume *v, const uint8_t *stored, uint64_t block,
            const struct version *version, unsigned count, uint8_t *buf)
{
  uint64_t start = entry_position (version[0].entry);
  const uint8_t *p;
  struct unit unit;
  unsigned i;

  for (i = 0; i < count; ++i) {
    p = stored + (entry_position (version[i].entry) - start);
    if (!fetched_unit_is_valid (v, p, block + i, &version[i], &unit) ||
        !unit_expand (p, &unit, buf)) {
      if (read_block_again (v, block + i, buf) == -1)
        return -1;
    }
    buf += VOLUME_BLOCK_SIZE;
    let_others_run (i + 1);
  }
  return 0;
}

static int
read_run (struct volume *v, uint64_t block, const struct version *version,
          unsigned count, uint32_t length, uint8_t *buf)
{
  uint8_t small[SMALL_BLOCKS * ROUND_UP (UNIT_STORED_MAX, GRANULE)];
  CLEANUP_FREE uint8_t *large = NULL;
  uint8_t *stored = small;
  unsigned i;

  if (length > sizeof small) {
    stored = large = malloc (length);
    if (large == NULL)
      return -1;
  }
  if (fetch (v, stored, length, entry_position (version[0].entry), false)
      == 0)
    return expand_run (v, stored, block, version, count, buf);

  for (i = 0; i < count; ++i)
    if (read_block_again (v, block + i, buf + i * VOLUME_BLOCK_SIZE) == -1)
      return -1;
  return 0;
}

/* Units that lie apart come from memory that is far, too: the next but one is
 * on its way while this one is verified and expanded (a fifth less CPU than
 * without, half of that with the next one).
 */
static void
approach (struct volume *v, const struct version *version)
{
  if (v->io->approach && entry_kind (version->entry) == ENTRY_DATA)
    v->io->approach (v->journal.file, entry_position (version->entry),
                     entry_length (version->entry));
}

/* How far a run that begins at position START and has LENGTH bytes reaches
 * with the unit of NEXT; 0: that is not part of it.
 */
static uint32_t
run_with (const struct volume *v, uint64_t start, uint32_t length,
          uint64_t next)
{
  uint64_t position;

  if (entry_kind (next) != ENTRY_DATA)
    return 0;
  position = entry_position (next);
  if (position < start + length || position > start + length + RUN_GAP ||
      position - start + entry_length (next) > RUN_MAX ||
      position / v->super.segment_size != start / v->super.segment_size)
    return 0;
  return position - start + entry_length (next);
}

/* Up to VOLUME_RECORD_BLOCKS_MAX whole blocks. */
static int
read_blocks (struct volume *v, uint64_t block, unsigned count, uint8_t *buf)
{
  struct version version[VOLUME_RECORD_BLOCKS_MAX];
  uint32_t length, longer;
  unsigned i, n;
  int r;

  /* A version that is not valid is one of no kind: looked up again. */
  for (i = 0; i < count; ++i)
    if (!lookup (v, block + i, &version[i]))
      version[i].entry = UINT64_MAX;

  for (i = 0; i < count; i += n) {
    n = 1;
    r = 0;
    switch (entry_kind (version[i].entry)) {
    case ENTRY_UNWRITTEN:
    case ENTRY_ZERO:
      memset (buf + i * VOLUME_BLOCK_SIZE, 0, VOLUME_BLOCK_SIZE);
      break;
    case ENTRY_DATA:
      length = entry_length (version[i].entry);
      while (i + n < count &&
             (longer = run_with (v, entry_position (version[i].entry), length,
                                 version[i + n].entry)) != 0) {
        length = longer;
        ++n;
      }
      if (i + n + 1 < count)
        approach (v, &version[i + n + 1]);
      r = read_run (v, block + i, &version[i], n, length,
                    buf + i * VOLUME_BLOCK_SIZE);
      break;
    default:
      r = read_block_again (v, block + i, buf + i * VOLUME_BLOCK_SIZE);
    }
    if (r == -1)
      return -1;
  }
  return 0;
}

int
volume_read (struct volume *v, void *buf, uint32_t count, uint64_t offset)
{
  uint8_t block[VOLUME_BLOCK_SIZE], *p = buf;
  uint32_t n;

  if (check_range (v, count, offset) == -1)
    return -1;
  count_up (&v->count.reads);

  for (; count > 0; p += n, offset += n, count -= n) {
    n = next_piece (count, offset, VOLUME_RECORD_BLOCKS_MAX);
    if (n % VOLUME_BLOCK_SIZE != 0) {
      if (read_blocks (v, offset / VOLUME_BLOCK_SIZE, 1, block) == -1)
        return -1;
      memcpy (p, block + offset % VOLUME_BLOCK_SIZE, n);
    }
    else if (read_blocks (v, offset / VOLUME_BLOCK_SIZE,
                          n / VOLUME_BLOCK_SIZE, p) == -1)
      return -1;
  }
  return 0;
}

/* ------------------------------------------------------------------ */
/* Writing.  The range is locked by the caller.                        */

/* The units of one record, one after the other. */
struct packed {
  uint8_t *body;
  uint64_t block;              /* of the first */
  unsigned count;
  uint32_t at[VOLUME_RECORD_BLOCKS_MAX + 1];   /* where each begins; the end */
};

/* Let readers find the units of a record that is not yet in the map. */
static int
make_units_pending (struct volume *v, const struct packed *p, uint64_t seq,
                    const struct journal_slot *slot)
{
  uint64_t base = slot->offset + sizeof (struct format_record);
  uint64_t entry[VOLUME_RECORD_BLOCKS_MAX];
  uint32_t size;
  unsigned i;

  for (i = 0; i < p->count; ++i) {
    size = p->at[i + 1] - p->at[i];
    if (size == sizeof (struct format_unit))
      entry[i] = entry_zero (p->block + i, seq);
    else
      entry[i] = entry_data (p->block + i, seq, base + p->at[i], size);
  }
  return pending_put (&v->pending, p->block, p->count, seq, entry);
}

static int
append_units (struct volume *v, const struct packed *p, uint64_t *ret_batch)
{
  struct record r = {
    .type = RECORD_WRITE, .length = p->at[p->count], .block = p->block,
    .nblocks = p->count,
  };
  struct journal_slot slot;
  unsigned i;
  int lost;

  if (journal_reserve (v, JOURNAL_GUEST, &r, &slot) == -1)
    return -1;
  for (i = 0; i < p->count; ++i)
    unit_seal (p->body + p->at[i], v->super.content_salt, p->block + i,
               r.seq);
  record_encode (&r, position_seed (v->super.journal_salt, slot.position),
                 (struct format_record *) slot.memory);
  memcpy (slot.memory + sizeof (struct format_record), p->body, r.length);
  lost = make_units_pending (v, p, r.seq, &slot);
  journal_filled (v, &slot);
  *ret_batch = slot.batch + 1;

  /* Without memory to remember it by, it is shown when it is in the map. */
  return lost == -1 ? journal_wait_applied (v, slot.batch + 1) : 0;
}

static int
write_blocks_locked (struct volume *v, const uint8_t *buf, unsigned count,
                     uint64_t block, uint64_t *ret_batch)
{
  uint8_t small[SMALL_BLOCKS * ROUND_UP (UNIT_STORED_MAX, GRANULE) +
                UNIT_ENCODE_SLACK]
    __attribute__ ((aligned (16)));
  CLEANUP_FREE uint8_t *large = NULL;
  int acceleration = __atomic_load_n (&v->journal.acceleration,
                                      __ATOMIC_RELAXED);
  struct packed p;
  unsigned i;

  p.body = small;
  p.block = block;
  p.count = count;
  if (count > SMALL_BLOCKS) {
    p.body = large = malloc (count * ROUND_UP (UNIT_STORED_MAX, GRANULE) +
                             UNIT_ENCODE_SLACK);
    if (large == NULL)
      return -1;
  }
  p.at[0] = 0;
  for (i = 0; i < count; ++i)
    p.at[i + 1] = p.at[i] + unit_encode (buf + i * VOLUME_BLOCK_SIZE,
                                         acceleration, p.body + p.at[i]);
  return append_units (v, &p, ret_batch);
}

static int
write_blocks (struct volume *v, const uint8_t *buf, unsigned count,
              uint64_t block, uint64_t *ret_batch)
{
  range_lock_held held;
  int r;

  held = range_lock_acquire (&v->range_lock, block * VOLUME_BLOCK_SIZE,
                             (uint64_t) count * VOLUME_BLOCK_SIZE, false);
  r = write_blocks_locked (v, buf, count, block, ret_batch);
  range_lock_drop (&v->range_lock, held);
  return r;
}

/* COUNT bytes within one block; BUF NULL means zeros. */
static int
write_part (struct volume *v, const uint8_t *buf, uint32_t count,
            uint64_t offset, uint64_t *ret_batch)
{
  uint8_t block[VOLUME_BLOCK_SIZE];
  uint64_t number = offset / VOLUME_BLOCK_SIZE;
  range_lock_held held;
  int r;

  held = range_lock_acquire (&v->range_lock, offset, count, true);
  r = read_blocks (v, number, 1, block);
  if (r == 0) {
    if (buf)
      memcpy (block + offset % VOLUME_BLOCK_SIZE, buf, count);
    else
      memset (block + offset % VOLUME_BLOCK_SIZE, 0, count);
    r = write_blocks_locked (v, block, 1, number, ret_batch);
  }
  range_lock_drop (&v->range_lock, held);
  return r;
}

static int
zero_blocks (struct volume *v, uint64_t block, uint32_t count, bool is_trim,
             uint64_t *ret_batch)
{
  struct record r = {
    .type = is_trim ? RECORD_TRIM : RECORD_ZERO,
    .block = block, .nblocks = count,
  };
  struct journal_slot slot;
  range_lock_held held;
  uint64_t entry[VOLUME_RECORD_BLOCKS_MAX];
  bool remembered = count <= VOLUME_RECORD_BLOCKS_MAX;
  uint32_t i;
  int ret;

  held = range_lock_acquire (&v->range_lock, block * VOLUME_BLOCK_SIZE,
                             (uint64_t) count * VOLUME_BLOCK_SIZE, false);
  ret = journal_reserve (v, JOURNAL_GUEST, &r, &slot);
  if (ret == 0) {
    record_encode (&r, position_seed (v->super.journal_salt, slot.position),
                   (struct format_record *) slot.memory);
    for (i = 0; remembered && i < count; ++i)
      entry[i] = entry_zero (block + i, r.seq);
    remembered = remembered &&
      pending_put (&v->pending, block, count, r.seq, entry) == 0;
    journal_filled (v, &slot);
    *ret_batch = slot.batch + 1;
    if (!remembered)
      ret = journal_wait_applied (v, slot.batch + 1);
  }
  range_lock_drop (&v->range_lock, held);
  return ret;
}

int
volume_write (struct volume *v, const void *buf, uint32_t count,
              uint64_t offset, unsigned flags)
{
  const uint8_t *p = buf;
  uint64_t batch = 0;
  uint32_t n;
  int r;

  if (check_range (v, count, offset) == -1)
    return -1;
  count_up (&v->count.writes);

  for (; count > 0; p += n, offset += n, count -= n) {
    n = next_piece (count, offset, VOLUME_RECORD_BLOCKS_MAX);
    r = n % VOLUME_BLOCK_SIZE != 0
      ? write_part (v, p, n, offset, &batch)
      : write_blocks (v, p, n / VOLUME_BLOCK_SIZE,
                      offset / VOLUME_BLOCK_SIZE, &batch);
    if (r == -1)
      return -1;
  }
  return flags & VOLUME_FUA ? journal_wait_durable (v, batch) : 0;
}

int
volume_zero (struct volume *v, uint64_t count, uint64_t offset,
             unsigned flags)
{
  uint64_t batch = 0, n;
  int r;

  if (check_range (v, count, offset) == -1)
    return -1;
  count_up (&v->count.writes);

  for (; count > 0; offset += n, count -= n) {
    n = next_piece (count, offset, RECORD_ZERO_BLOCKS_MAX);
    r = n % VOLUME_BLOCK_SIZE != 0
      ? write_part (v, NULL, n, offset, &batch)
      : zero_blocks (v, offset / VOLUME_BLOCK_SIZE, n / VOLUME_BLOCK_SIZE,
                     flags & VOLUME_TRIM, &batch);
    if (r == -1)
      return -1;
  }
  return flags & VOLUME_FUA ? journal_wait_durable (v, batch) : 0;
}

int
volume_flush (struct volume *v)
{
  count_up (&v->count.flushes);
  return journal_flush (v);
}

/* ------------------------------------------------------------------ */

static enum volume_extent
extent_kind (uint64_t entry)
{
  switch (entry_kind (entry)) {
  case ENTRY_UNWRITTEN: return VOLUME_EXTENT_HOLE;
  case ENTRY_ZERO: return VOLUME_EXTENT_ZERO;
  }
  return VOLUME_EXTENT_DATA;
}

int
volume_extents (struct volume *v, uint64_t count, uint64_t offset,
                int (*fn) (void *opaque, uint64_t offset, uint64_t length,
                           enum volume_extent kind),
                void *opaque)
{
  uint64_t end = offset + count, start = offset, next;
  enum volume_extent kind = 0, k;
  struct version version;
  int r;

  if (check_range (v, count, offset) == -1)
    return -1;

  while (offset < end) {
    /* What cannot be told apart is data: reading it tells. */
    k = lookup (v, offset / VOLUME_BLOCK_SIZE, &version)
      ? extent_kind (version.entry) : VOLUME_EXTENT_DATA;
    next = (offset / VOLUME_BLOCK_SIZE + 1) * VOLUME_BLOCK_SIZE;
    if (k != kind && offset > start) {
      r = fn (opaque, start, offset - start, kind);
      if (r != 0)
        return r;
      start = offset;
    }
    kind = k;
    offset = next < end ? next : end;
  }
  return start < end ? fn (opaque, start, end - start, kind) : 0;
}

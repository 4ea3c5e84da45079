/* Look at everything in a volume that nobody has open, and repair nothing.
 *
 * The journal is walked use by use of its segments.  What stands below the
 * checkpoint must be whole.  What stands above it (after a crash) is not in
 * the map yet and may end in a torn tail, as in recovery: a bad place there
 * is damage only if a watermark says that it was durable once.
 *
 * Units are verified twice.  In the journal each one is, dead or alive,
 * where the key of its hash is still known (a first sync brings another, so
 * records from before it are only checked by their headers): that is damage
 * to the journal and hits no block by itself.  Then each map entry is
 * followed: those findings name the block that cannot be read.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "offline.h"
#include "volume-internal.h"

#define PROGRESS_BLOCKS (UINT64_C (1) << 14)

struct check {
  struct offline o;
  uint64_t nblocks;
  struct table map, births;
  uint32_t *live;              /* granules, by segment */
  bool *is_in_use;             /* by segment */

  void (*fn) (void *opaque, const struct volume_finding *finding);
  void (*progress) (void *opaque, uint64_t done, uint64_t total);
  void *opaque;
  uint64_t done, total;
  struct volume_check_result result;

  uint64_t position;           /* where replay of this stream starts */
  uint64_t stage_salt;         /* of a stage begun behind the checkpoint */
  uint32_t incarnation;        /* of the last batch behind the checkpoint */
  uint64_t watermark;          /* highest seen */
  uint64_t end;                /* where the journal ends */
  bool is_ended;

  struct error refused;        /* it could not be looked at all of it */
};

static void finding (struct check *c, const char *file, uint64_t position,
                     int64_t block, const char *fmt, ...)
  __attribute__ ((format (printf, 5, 6)));

static void
finding (struct check *c, const char *file, uint64_t position, int64_t block,
         const char *fmt, ...)
{
  struct volume_finding f = {
    .file = file, .position = position, .block = block
  };
  va_list args;

  va_start (args, fmt);
  vsnprintf (f.what, sizeof f.what, fmt, args);
  va_end (args);
  c->result.findings++;
  if (c->fn)
    c->fn (c->opaque, &f);
}

static void
advance (struct check *c, uint64_t n)
{
  c->done += n;
  if (c->progress)
    c->progress (c->opaque, c->done, c->total);
}

/* ------------------------------------------------------------------ */

static void
check_super (struct check *c)
{
  struct format_super slot;
  struct super super;
  unsigned i;

  for (i = 0; i < SUPER_SLOTS; ++i) {
    if (c->o.io->read (c->o.super_file, &slot, sizeof slot,
                       i * SUPER_SIZE) == -1)
      finding (c, "super", i * SUPER_SIZE, -1, "copy %u cannot be read: %s",
               i, strerror (errno));
    else if (!super_decode (&slot, &super)) {
      /* The next to be written may be torn. */
      if (i != (c->o.super.sequence + 1) % SUPER_SLOTS)
        finding (c, "super", i * SUPER_SIZE, -1, "copy %u is damaged", i);
    }
    else if (super.sequence % SUPER_SLOTS != i ||
             !uuid_equal (&super.uuid, &c->o.super.uuid))
      finding (c, "super", i * SUPER_SIZE, -1,
               "copy %u does not belong here", i);
  }
  if (!c->o.is_table_valid)
    finding (c, "segments", 0, -1, "the segment table is %s",
             c->o.segments_file ? "damaged" : "missing");
  if (c->o.journal == NULL)
    finding (c, "journal", 0, -1, "the journal is missing");
}

/* ------------------------------------------------------------------ */
/* The journal.                                                        */

static uint64_t
file_offset (const struct check *c, const struct offline_lap *lap,
             uint64_t at)
{
  return lap->segment * c->o.super.segment_size + at;
}

static uint64_t
position_in (const struct check *c, const struct offline_lap *lap,
             uint64_t at)
{
  return lap->lap * c->o.super.segment_size + at;
}

/* Is everything before this position to be whole without question? */
static bool
is_checkpointed (const struct check *c, uint64_t position)
{
  return position < (lap_is_cold (position / c->o.super.segment_size)
                     ? c->o.super.cold_position : c->o.super.position);
}

static bool
unit_is_right (const struct check *c, const struct walked_unit *u)
{
  const struct super *s = &c->o.super;
  uint32_t size = unit_stored_size (&u->unit);
  struct unit unit;

  return unit_verify (u->stored, size, s->content_salt, u->block, &unit) ||
    (s->flags & SUPER_STAGE &&
     unit_verify (u->stored, size, s->stage.salt, u->block, &unit)) ||
    (c->stage_salt != 0 &&
     unit_verify (u->stored, size, c->stage_salt, u->block, &unit));
}

/* The body of a record at file offset OFFSET.  IS_KEYED: its units' key is
 * known.  IS_TAIL: only say so.
 */
static bool
check_body (struct check *c, const struct record *r, const uint8_t *body,
            uint64_t offset, bool is_keyed, bool is_tail)
{
  struct unit_walk walk = unit_walk_start (r, body);
  bool is_right = true;
  struct walked_unit u;
  struct mark mark;
  int more;

  if (record_type_is_mark (r->type)) {
    is_right = mark_decode (body, r->length, &mark);
    if (is_right && r->type == RECORD_STAGE_BEGIN)
      c->stage_salt = mark.salt;
    if (!is_right && !is_tail)
      finding (c, "journal", offset, -1, "a mark after record %" PRIu64
               " is damaged", r->seq);
    return is_right;
  }
  if (r->length == 0)
    return true;
  while ((more = unit_walk_next (&walk, &u)) == 1) {
    if (!is_tail)
      c->result.units++;
    if (!is_keyed || unit_is_right (c, &u))
      continue;
    is_right = false;
    if (!is_tail)
      finding (c, "journal", offset + u.offset, -1, "a version of block %"
               PRIu64 " (record %" PRIu64 ") does not verify", u.block,
               r->seq);
  }
  if (more == -1 && !is_tail)
    finding (c, "journal", offset, -1, "record %" PRIu64
             " has a garbled body", r->seq);
  return is_right && more == 0;
}

/* The batch in o.buf.  IS_TAIL: it counts as a whole or not at all, and
 * nothing is said of it.
 */
static bool
check_records (struct check *c, const struct offline_lap *lap,
               const struct batch *batch, bool is_tail)
{
  /* What the cleaner moved before a stage was shown has older keys. */
  bool is_keyed = !lap_is_cold (lap->lap) &&
    batch->position >= c->o.super.oldest_position;
  uint32_t at = sizeof (struct format_batch), n;
  uint64_t offset = file_offset (c, lap, batch->position %
                                 c->o.super.segment_size);
  struct record r;

  for (n = 0; n < batch->records; ++n) {
    if (!offline_record (&c->o, batch, at, &r)) {
      if (!is_tail)
        finding (c, "journal", offset + at, -1, "record %u of %u in its "
                 "batch is damaged", n + 1, batch->records);
      return false;
    }
    at += sizeof (struct format_record);
    if (!check_body (c, &r, c->o.buf + at, offset + at, is_keyed, is_tail) &&
        is_tail)
      return false;
    at += r.length;
  }
  if (!is_tail)
    c->result.records += n;
  return true;
}

/* Next place from AT on, below END, where a batch stands; or END. */
static uint64_t
find_batch (struct check *c, const struct offline_lap *lap, uint64_t at,
            uint64_t end)
{
  struct batch batch;

  for (; at < end; at += FORMAT_PAGE)
    if (offline_read_batch_header (&c->o, lap->segment,
                                   position_in (c, lap, at), &batch) == 1)
      break;
  return at;
}

/* Watermarks of what stands from AT on in a lap of the tail. */
static void
collect_watermarks (struct check *c, const struct offline_lap *lap,
                    uint64_t at)
{
  uint64_t end = c->o.super.segment_size - FORMAT_PAGE;
  struct batch batch;

  while ((at = find_batch (c, lap, at, end)) < end) {
    if (offline_read_batch_header (&c->o, lap->segment,
                                   position_in (c, lap, at), &batch) == 1 &&
        batch.incarnation >= c->incarnation &&
        batch.watermark > c->watermark)
      c->watermark = batch.watermark;
    at += FORMAT_PAGE;
  }
}

/* A batch at AT that must be whole: 0 and a finding if it is not. */
static uint32_t
check_batch (struct check *c, const struct offline_lap *lap, uint64_t at)
{
  struct batch batch;
  int r;

  r = offline_read_batch (&c->o, lap->segment, position_in (c, lap, at),
                          &batch);
  if (r == -1)
    finding (c, "journal", file_offset (c, lap, at), -1,
             "a batch cannot be read: %s", strerror (errno));
  else if (r == 0)
    finding (c, "journal", file_offset (c, lap, at), -1,
             "a batch is damaged");
  else if (check_records (c, lap, &batch, false))
    return batch.length;
  return 0;
}

/* [FORMAT_PAGE, END) of a segment holds batches and nothing else. */
static void
check_batches (struct check *c, const struct offline_lap *lap, uint64_t end)
{
  uint64_t at = FORMAT_PAGE;
  uint32_t length;

  while (at < end) {
    length = check_batch (c, lap, at);
    at = length > 0 ? at + length : find_batch (c, lap, at + FORMAT_PAGE, end);
  }
}

/* Batches behind the checkpoint, up to where recovery would go.  Returns the
 * offset of the first place without one.
 */
static uint64_t
check_tail (struct check *c, const struct offline_lap *lap, uint64_t at)
{
  struct batch batch;

  while (offline_read_batch (&c->o, lap->segment, position_in (c, lap, at),
                             &batch) == 1 &&
         batch.incarnation >= c->incarnation &&
         check_records (c, lap, &batch, true)) {
    c->incarnation = batch.incarnation;
    if (batch.watermark > c->watermark)
      c->watermark = batch.watermark;
    c->result.records += batch.records;
    at += batch.length;
  }
  return at;
}

static void
check_segment_header (struct check *c, const struct offline_lap *lap)
{
  uint64_t offset = file_offset (c, lap, 0);
  struct format_segment page;
  struct segment_header header;

  if (c->o.io->read (c->o.journal, &page, sizeof page, offset) == -1)
    finding (c, "journal", offset, -1, "segment %" PRIu64
             " cannot be read: %s", lap->segment, strerror (errno));
  else if (!segment_header_decode (&page, &c->o.super.uuid,
                                   c->o.super.journal_salt,
                                   c->o.super.segment_size, &header) ||
           header.lap != lap->lap)
    finding (c, "journal", offset, -1, "the header of segment %" PRIu64
             " is damaged", lap->segment);
}

static void
check_lap (struct check *c, const struct offline_lap *lap)
{
  const struct super *s = &c->o.super;
  uint64_t size = s->segment_size, at = FORMAT_PAGE;
  uint64_t base = lap->lap * size, end = base + size;
  struct segment_summary summary;
  bool has_summary;

  if (c->is_ended) {
    collect_watermarks (c, lap, FORMAT_PAGE);
    return;
  }
  c->result.segments++;
  check_segment_header (c, lap);
  has_summary = offline_read_summary (&c->o, lap, &summary) == 1;

  if (is_checkpointed (c, base)) {
    at = c->position < end ? c->position - base :
      has_summary ? summary.data_end : size - FORMAT_PAGE;
    check_batches (c, lap, at);
    if (c->position >= end) {
      if (!has_summary)
        finding (c, "journal", file_offset (c, lap, size - FORMAT_PAGE), -1,
                 "the summary of segment %" PRIu64 " is damaged",
                 lap->segment);
      return;
    }
  }
  if (s->flags & SUPER_CLEAN) {
    c->is_ended = true;
    return;
  }
  if (!lap->is_in_table && lap->incarnation > c->incarnation)
    c->incarnation = lap->incarnation;
  at = check_tail (c, lap, at);
  c->end = base + at;
  if (has_summary && summary.data_end == at)
    c->end = end;
  else {
    collect_watermarks (c, lap, at);
    c->is_ended = true;
  }
}

/* How much of lap K the file must have: all, if another of its stream comes
 * after it; else what the checkpoint covers, for a crash may leave a segment
 * shorter than it was made, and the page of its header, too.
 */
static uint64_t
needed_bytes (const struct check *c, uint64_t k)
{
  const struct super *s = &c->o.super;
  const struct offline_lap *lap = &c->o.lap[k];
  bool is_cold = lap_is_cold (lap->lap);
  uint64_t base = lap->lap * s->segment_size;
  uint64_t position = is_cold ? s->cold_position : s->position;

  if (k + 1 < c->o.nlaps && lap_is_cold (c->o.lap[k + 1].lap) == is_cold)
    return s->segment_size;
  if (position <= base)
    return 0;
  return position - base < s->segment_size ? position - base
    : s->segment_size;
}

static void
check_length (struct check *c)
{
  uint64_t k, at, end = 0, size;

  for (k = 0; k < c->o.nlaps; ++k) {
    at = c->o.lap[k].segment * c->o.super.segment_size + needed_bytes (c, k);
    if (at > end)
      end = at;
  }
  if (c->o.io->size (c->o.journal, &size) == 0 && size < end)
    finding (c, "journal", size, -1, "the journal is cut short: %" PRIu64
             " bytes, %" PRIu64 " are in use", size, end);
}

/* One stream of laps, the hot ones or the cold ones: [I, END) of the table. */
static void
check_stream (struct check *c, uint64_t i, uint64_t end, uint64_t position,
              uint64_t watermark)
{
  const struct super *s = &c->o.super;
  uint64_t newest = position / s->segment_size, next = newest;

  c->position = c->end = position;
  c->watermark = watermark;
  c->incarnation = s->incarnation;
  c->is_ended = false;
  if (position % s->segment_size != 0 &&
      (i == end || c->o.lap[end - 1].lap < newest))
    finding (c, "journal", 0, -1, "the segment of the last checkpoint is "
             "gone");
  for (; i < end; ++i) {
    c->is_in_use[c->o.lap[i].segment] = true;
    /* Behind the checkpoint laps follow each other without a gap. */
    if (c->o.lap[i].lap >= newest && c->o.lap[i].lap != next++)
      c->is_ended = true;
    check_lap (c, &c->o.lap[i]);
    advance (c, s->segment_size);
  }
  if (!(s->flags & SUPER_CLEAN) && c->watermark > c->end)
    finding (c, "journal", 0, -1, "the journal ends at position %" PRIu64
             " and was durable up to %" PRIu64, c->end, c->watermark);
}

static void
check_journal (struct check *c)
{
  const struct super *s = &c->o.super;
  uint64_t cold = 0;

  check_length (c);
  while (cold < c->o.nlaps && !lap_is_cold (c->o.lap[cold].lap))
    cold++;
  check_stream (c, 0, cold, s->position, s->durable_hint);
  check_stream (c, cold, c->o.nlaps, s->cold_position, s->cold_position);
}

/* ------------------------------------------------------------------ */
/* Map and births.                                                     */

static bool
is_in_use (const struct check *c, uint64_t position)
{
  uint64_t segment = position / c->o.super.segment_size;

  return segment < c->o.segments.count && c->is_in_use[segment];
}

/* Follow a data entry to the seq of its unit; false after a finding. */
static bool
check_data_entry (struct check *c, uint64_t salt, uint64_t block,
                  uint64_t entry, uint64_t *ret_seq)
{
  uint8_t stored[ROUND_UP (UNIT_STORED_MAX, GRANULE)];
  uint64_t position = entry_position (entry);
  uint32_t length = entry_length (entry);
  struct unit unit;

  if (length < sizeof (struct format_unit) || length > sizeof stored ||
      !is_in_use (c, position)) {
    finding (c, "map", FORMAT_PAGE + block * sizeof entry, block,
             "the entry points to nothing");
    return false;
  }
  c->live[position / c->o.super.segment_size] += length / GRANULE;
  if (c->o.io->read (c->o.journal, stored, length, position) == -1)
    finding (c, "journal", position, block, "the block cannot be read: %s",
             strerror (errno));
  else if (!unit_verify (stored, length, salt, block, &unit) ||
           unit_stored_size (&unit) != length)
    finding (c, "journal", position, block,
             "the block does not verify where the map says it is");
  else if (!entry_is_valid (entry, block, unit.seq))
    finding (c, "map", FORMAT_PAGE + block * sizeof entry, block,
             "the entry is not of this version of the block");
  else {
    *ret_seq = unit.seq;
    return true;
  }
  return false;
}

/* Seq of the block's version, 0 if there is none; false: it is bad. */
static bool
check_entry (struct check *c, const struct table *map, uint64_t salt,
             uint64_t block, uint64_t *ret_seq)
{
  uint64_t entry = table_get (map, block);

  if (entry_kind (entry) == ENTRY_DATA) {
    c->result.blocks_written++;
    return check_data_entry (c, salt, block, entry, ret_seq);
  }
  if (!entry_is_valid (entry, block, entry_zero_seq (entry)) ||
      (entry_kind (entry) != ENTRY_ZERO && entry != 0)) {
    finding (c, "map", FORMAT_PAGE + block * sizeof entry, block,
             "the entry is damaged");
    return false;
  }
  *ret_seq = entry_kind (entry) == ENTRY_ZERO ? entry_zero_seq (entry) : 0;
  return true;
}

/* SEQ: of the block's version.  After a crash either table may show what the
 * other does not yet.
 */
static void
check_birth (struct check *c, const struct table *births, uint64_t block,
             uint64_t seq)
{
  uint64_t birth;

  if (!birth_decode (table_get (births, block), block, &birth))
    finding (c, "births", FORMAT_PAGE + block * sizeof birth, block,
             "the birth is damaged");
  else if (birth != seq && c->o.super.flags & SUPER_CLEAN)
    finding (c, "births", FORMAT_PAGE + block * sizeof birth, block,
             "the birth (%" PRIu64 ") is not that of the block (%" PRIu64
             ")", birth, seq);
}

static void
check_table (struct check *c, const struct table *map,
             const struct table *births, uint64_t salt)
{
  uint64_t block, seq;

  for (block = 0; block < c->nblocks; ++block) {
    if (block % PROGRESS_BLOCKS == PROGRESS_BLOCKS - 1)
      advance (c, PROGRESS_BLOCKS * VOLUME_BLOCK_SIZE);
    if (check_entry (c, map, salt, block, &seq) && births->entry)
      check_birth (c, births, block, seq);
  }
}

/* Map and births as far as they are there. */
/* What keeps us from looking at it is no damage. */
static void
open_table (struct check *c, struct table *table, const char *file,
            const char *name, const char *magic)
{
  struct error err = ERROR_INIT;

  if (table_open (table, c->o.io, c->o.dir, name, magic, c->nblocks,
                  &c->o.super.uuid, &err) == 0)
    return;
  if (offline_is_refused (err.errnum))
    c->refused = err;
  else
    finding (c, file, 0, -1, "%s", err.message);
}

static void
open_tables (struct check *c, unsigned slot)
{
  memset (&c->map, 0, sizeof c->map);
  memset (&c->births, 0, sizeof c->births);
  open_table (c, &c->map, "map", map_name (slot), MAP_MAGIC);
  open_table (c, &c->births, "births", births_name (slot), BIRTHS_MAGIC);
}

static void
check_disk (struct check *c, unsigned slot, uint64_t salt)
{
  open_tables (c, slot);
  if (c->map.entry && c->o.journal)
    check_table (c, &c->map, &c->births, salt);
  table_close (&c->map);
  table_close (&c->births);
}

/* What the table says is live is what the map refers to; known only of a
 * volume that was closed.
 */
static void
check_live (struct check *c)
{
  uint64_t i;

  if (!(c->o.super.flags & SUPER_CLEAN) || !c->o.is_table_valid ||
      c->result.findings > 0)
    return;
  for (i = 0; i < c->o.segments.count; ++i)
    if (c->live[i] != c->o.segments.table[i].live)
      finding (c, "segments", 0, -1, "segment %" PRIu64 " has %" PRIu64
               " live bytes, the table says %" PRIu64, i,
               (uint64_t) c->live[i] * GRANULE,
               (uint64_t) c->o.segments.table[i].live * GRANULE);
}

int
volume_check (const struct volume_io *io, const char *path,
              void (*fn) (void *opaque, const struct volume_finding *finding),
              void (*progress) (void *opaque, uint64_t done, uint64_t total),
              void *opaque, struct volume_check_result *ret,
              struct error *err)
{
  struct check c = { .fn = fn, .progress = progress, .opaque = opaque };
  const struct super *s = &c.o.super;
  bool has_stage;

  if (offline_open (&c.o, io, path, err) == -1)
    return -1;
  has_stage = s->flags & SUPER_STAGE;
  c.nblocks = super_blocks (s);
  c.live = calloc (c.o.segments.count, sizeof *c.live);
  c.is_in_use = calloc (c.o.segments.count, sizeof *c.is_in_use);
  if (c.live == NULL || c.is_in_use == NULL) {
    free (c.live);
    free (c.is_in_use);
    offline_close (&c.o);
    return error_set_errno (err, ENOMEM, "cannot check '%s'", path);
  }
  c.total = c.o.nlaps * s->segment_size + (1 + has_stage) * s->size;

  check_super (&c);
  if (c.o.journal)
    check_journal (&c);
  check_disk (&c, s->map_slot, s->content_salt);
  if (has_stage)
    check_disk (&c, !s->map_slot, s->stage.salt);
  if (c.refused.errnum == 0)
    check_live (&c);
  c.done = 0;
  advance (&c, c.total);

  *ret = c.result;
  free (c.live);
  free (c.is_in_use);
  offline_close (&c.o);
  if (c.refused.errnum == 0)
    return 0;
  return error_set (err, c.refused.errnum, "%s", c.refused.message);
}

/* Map and births, made anew from the journal alone.
 *
 * Each record says: at this seq of this generation, that was written to that
 * block.  Such a word is true for the disk if the generation is in the
 * disk's history and the seq in that generation's part of it; what a crash
 * cut off, a stage that was dropped left behind, or another disk wrote that
 * was here before is not, wherever it still stands.  What the cleaner moved
 * and what a delta brought carries a generation for this.  Of all true words
 * on a block the one with the highest seq is what the disk shows: the
 * cleaner keeps it, also when it says "zeros".
 *
 * The tables are made as of the last checkpoint; what stands behind it is
 * replayed onto them when the volume is opened, as after a crash.  They are
 * written beside the old ones, to the slot of a stage, and the super that
 * names them is the one step in which they take effect.
 *
 * A batch that is damaged could hold the newest version of any block: then
 * nothing is changed.  A unit that is rotten has a header that is right (the
 * digest of its batch says so), and the entry is made as if it were whole:
 * reading that block is an error, never older data.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "offline.h"
#include "volume-internal.h"

struct rebuild {
  struct offline o;
  uint64_t nblocks;
  struct table map, births;
  struct volume_rebuild_result result;
};

/* Is what was written at SEQ of GENERATION part of the disk? */
static bool
is_true (const struct super *s, uint64_t generation, uint64_t seq)
{
  const struct volume_generations *g = &s->generations;
  uint32_t i;

  if (seq == 0 || seq > s->point.seq)
    return false;
  for (i = 0; i < g->count; ++i)
    if (g->table[i].id == generation)
      return i + 1 == g->count || seq < g->table[i + 1].first_seq;
  /* Of generations that the table no longer has room for. */
  return g->count == VOLUME_GENERATIONS_MAX && seq < g->table[0].first_seq;
}

/* SEQ of BLOCK is ENTRY, unless it is known to be newer.  Of several copies
 * the last whole one counts, as it did when they were moved.
 */
static void
store (struct rebuild *b, uint64_t block, uint64_t seq, uint64_t entry,
       bool is_whole)
{
  uint64_t shown;

  if (!birth_decode (table_get (&b->births, block), block, &shown) ||
      shown > seq || (shown == seq && !is_whole))
    return;
  table_set (&b->map, block, entry);
  table_set (&b->births, block, birth_encode (block, seq));
}

/* -1: the body, at file offset OFFSET, is not what its header says. */
static int
store_units (struct rebuild *b, const struct record *r, const uint8_t *body,
             uint64_t offset)
{
  const struct super *s = &b->o.super;
  struct unit_walk walk = unit_walk_start (r, body);
  struct walked_unit u;
  struct unit unit;
  uint32_t size;
  bool is_whole;
  int more;

  while ((more = unit_walk_next (&walk, &u)) == 1) {
    if (!is_true (s, r->generation, u.unit.seq))
      continue;
    if (u.block >= b->nblocks)
      return -1;
    size = unit_stored_size (&u.unit);
    is_whole = unit_verify (u.stored, size, s->content_salt, u.block, &unit);
    if (is_whole && unit.codec == UNIT_ZERO)
      store (b, u.block, unit.seq, entry_zero (u.block, unit.seq), true);
    else
      store (b, u.block, u.unit.seq,
             entry_data (u.block, u.unit.seq, offset + u.offset, size),
             is_whole);
  }
  return more;
}

static int
store_zeros (struct rebuild *b, const struct record *r)
{
  uint64_t block;

  if (!is_true (&b->o.super, r->generation, r->seq))
    return 0;
  if (r->block >= b->nblocks || r->nblocks > b->nblocks - r->block)
    return -1;
  for (block = r->block; block < r->block + r->nblocks; ++block)
    store (b, block, r->seq, entry_zero (block, r->seq), true);
  return 0;
}

static int
store_record (struct rebuild *b, const struct record *r, const uint8_t *body,
              uint64_t offset)
{
  switch (r->type) {
  case RECORD_WRITE:
  case RECORD_DELTA:
  case RECORD_MOVE:
    return store_units (b, r, body, offset);
  case RECORD_ZERO:
  case RECORD_TRIM:
  case RECORD_KEEP_ZERO:
    return store_zeros (b, r);
  case RECORD_STAGE_BEGIN:
  case RECORD_STAGE_CURSOR:
  case RECORD_STAGE_COMMIT:
  case RECORD_STAGE_DROP:
    break;
  }
  return 0;
}

/* The batch in o.buf, which stands at file offset OFFSET. */
static int
store_batch (struct rebuild *b, const struct batch *batch, uint64_t offset)
{
  uint32_t at = sizeof (struct format_batch), n;
  struct record r;

  for (n = 0; n < batch->records; ++n) {
    if (!offline_record (&b->o, batch, at, &r))
      return -1;
    at += sizeof (struct format_record);
    if (store_record (b, &r, b->o.buf + at, offset + at) == -1)
      return -1;
    at += r.length;
    b->result.records++;
  }
  return 0;
}

static int
damaged (uint64_t offset, struct error *err)
{
  error_set (err, EUCLEAN, "the journal is damaged at byte %llu: "
             "it cannot be told which blocks were written there",
             (unsigned long long) offset);
  return error_hint (err, "nothing was changed; "
                     "recover from the other site");
}

/* What stands in a use of a segment below the checkpoint. */
static int
store_lap (struct rebuild *b, const struct offline_lap *lap,
           struct error *err)
{
  const struct super *s = &b->o.super;
  uint64_t size = s->segment_size, base = lap->lap * size;
  uint64_t position = lap_is_cold (lap->lap) ? s->cold_position : s->position;
  uint64_t offset = lap->segment * size, at = FORMAT_PAGE, end;
  struct segment_summary summary;
  struct batch batch;
  int r;

  if (base >= position)
    return 0;
  end = position - base;
  if (end >= size) {
    r = offline_read_summary (&b->o, lap, &summary);
    if (r != 1)
      return damaged (offset + size - FORMAT_PAGE, err);
    end = summary.data_end;
  }
  b->result.segments++;
  for (; at < end; at += batch.length) {
    r = offline_read_batch (&b->o, lap->segment, base + at, &batch);
    if (r == -1)
      return error_set_errno (err, errno,
                              "cannot read the journal at byte %llu",
                              (unsigned long long) (offset + at));
    if (r == 0 || store_batch (b, &batch, offset + at) == -1)
      return damaged (offset + at, err);
  }
  return 0;
}

/* ------------------------------------------------------------------ */

static int
check_can (const struct rebuild *b, struct error *err)
{
  if (b->o.super.flags & SUPER_STAGE) {
    error_set (err, EBUSY, "a sync of this volume is under way");
    return error_hint (err, "its other site has all of the data: let the "
                       "sync end, or begin it anew with a new volume");
  }
  if (b->o.journal == NULL)
    return error_set (err, EUCLEAN, "the journal is missing");
  if (!b->o.is_table_valid) {
    error_set (err, EUCLEAN, "the segment table is damaged or missing: it "
               "cannot be told which parts of the journal are in use");
    return error_hint (err, "nothing was changed; "
                       "recover from the other site");
  }
  return 0;
}

static void
remove_tables (struct rebuild *b, unsigned slot)
{
  b->o.io->unlink (b->o.dir, map_name (slot));
  b->o.io->unlink (b->o.dir, births_name (slot));
}

static int
make_tables (struct rebuild *b, unsigned slot, struct error *err)
{
  const struct volume_io *io = b->o.io;
  const struct uuid *uuid = &b->o.super.uuid;

  remove_tables (b, slot);
  if (table_create (io, b->o.dir, map_name (slot), MAP_MAGIC, b->nblocks,
                    uuid, err) == -1 ||
      table_create (io, b->o.dir, births_name (slot), BIRTHS_MAGIC,
                    b->nblocks, uuid, err) == -1 ||
      table_open (&b->map, io, b->o.dir, map_name (slot), MAP_MAGIC,
                  b->nblocks, uuid, err) == -1 ||
      table_open (&b->births, io, b->o.dir, births_name (slot), BIRTHS_MAGIC,
                  b->nblocks, uuid, err) == -1)
    return -1;
  if (io->dir_sync (b->o.dir) == -1)
    return error_set_errno (err, errno, "cannot make the new map");
  return 0;
}

/* Both tables are durable, then the super names them.  It does not say that
 * the volume was closed in order: live bytes are to be counted anew.
 */
static int
show_tables (struct rebuild *b, unsigned slot, struct error *err)
{
  struct super *s = &b->o.super;

  if (table_sync (&b->map) == -1 || table_sync (&b->births) == -1)
    return error_set_errno (err, errno, "cannot write the new map");
  s->map_slot = slot;
  s->flags &= ~SUPER_CLEAN;
  if (super_write (b->o.io, b->o.super_file, s) == -1 ||
      super_write (b->o.io, b->o.super_file, s) == -1)
    return error_set_errno (err, errno, "cannot write 'super'");
  return 0;
}

static void
count_written (struct rebuild *b)
{
  uint64_t i;

  for (i = 0; i < b->nblocks; ++i)
    b->result.blocks_written +=
      entry_kind (table_get (&b->map, i)) == ENTRY_DATA;
}

static int
rebuild (struct rebuild *b, void (*progress) (void *opaque, uint64_t done,
                                              uint64_t total),
         void *opaque, struct error *err)
{
  unsigned old = b->o.super.map_slot;
  bool is_shown = false;
  uint64_t i;
  int r;

  r = make_tables (b, !old, err);
  for (i = 0; r == 0 && i < b->o.nlaps; ++i) {
    if (progress)
      progress (opaque, i, b->o.nlaps);
    r = store_lap (b, &b->o.lap[i], err);
  }
  if (r == 0) {
    count_written (b);
    r = show_tables (b, !old, err);
    is_shown = b->o.super.map_slot != old;
  }
  table_close (&b->map);
  table_close (&b->births);
  /* If the super could not be written it may name either. */
  if (r == 0)
    remove_tables (b, old);
  else if (!is_shown)
    remove_tables (b, !old);
  return r;
}

int
volume_rebuild_map (const struct volume_io *io, const char *path,
                    void (*progress) (void *opaque, uint64_t done,
                                      uint64_t total),
                    void *opaque, struct volume_rebuild_result *ret,
                    struct error *err)
{
  struct rebuild b;
  int r;

  memset (&b, 0, sizeof b);
  if (offline_open (&b.o, io, path, err) == -1)
    return -1;
  b.nblocks = super_blocks (&b.o.super);
  r = check_can (&b, err);
  if (r == 0)
    r = rebuild (&b, progress, opaque, err);
  offline_close (&b.o);
  if (r == 0)
    *ret = b.result;
  return r;
}

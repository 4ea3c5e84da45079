/* Print what is on the disk, one line an object, whether it is right or not.
 *
 * A line begins with what it is; NAME=VALUE follow.  Numbers are decimal,
 * ids, salts and hashes hexadecimal.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "offline.h"
#include "volume-internal.h"

static const char *
record_type_name (enum format_record_type type)
{
  switch (type) {
  case RECORD_WRITE: return "write";
  case RECORD_ZERO: return "zero";
  case RECORD_TRIM: return "trim";
  case RECORD_DELTA: return "delta";
  case RECORD_MOVE: return "move";
  case RECORD_STAGE_BEGIN: return "stage-begin";
  case RECORD_STAGE_CURSOR: return "stage-cursor";
  case RECORD_STAGE_COMMIT: return "stage-commit";
  case RECORD_STAGE_DROP: return "stage-drop";
  case RECORD_KEEP_ZERO: return "keep-zero";
  }
  return "unknown";
}

static const char *
codec_name (unsigned codec)
{
  switch (codec) {
  case UNIT_ZERO: return "zero";
  case UNIT_RAW: return "raw";
  case UNIT_LZ4: return "lz4";
  }
  return "unknown";
}

/* ------------------------------------------------------------------ */

static void
print_uuid (FILE *fp, const char *name, const struct uuid *uuid)
{
  char s[UUID_STRING_SIZE];

  uuid_format (uuid, s);
  fprintf (fp, " %s=%s", name, s);
}

static void
print_point (FILE *fp, const struct volume_point *p)
{
  fprintf (fp, " seq=%" PRIu64 " generation=%016" PRIx64 " time_ns=%" PRIu64
           " bytes=%" PRIu64, p->seq, p->generation, p->time_ns, p->bytes);
}

static void
print_generations (FILE *fp, const char *what,
                   const struct volume_generations *table)
{
  uint32_t i;

  for (i = 0; i < table->count; ++i) {
    fprintf (fp, "%s id=%016" PRIx64 " first_seq=%" PRIu64, what,
             table->table[i].id, table->table[i].first_seq);
    print_uuid (fp, "writer", &table->table[i].writer);
    fputc ('\n', fp);
  }
}

static void
print_stage (FILE *fp, const struct stage *stage)
{
  fprintf (fp, "stage id=%016" PRIx64 " since=%" PRIu64 " start=%" PRIu64
           " salt=%016" PRIx64 " cursor=%" PRIu64 " last=%" PRIu64,
           stage->id, stage->since, stage->start, stage->salt, stage->cursor,
           stage->last);
  print_uuid (fp, "lineage", &stage->lineage);
  fputc ('\n', fp);
  fprintf (fp, "stage-shown");
  print_point (fp, &stage->shown);
  fputc ('\n', fp);
  print_generations (fp, "stage-generation", &stage->generations);
}

/* The super in force in full, of the others who they are. */
static void
dump_super (struct offline *o, FILE *fp)
{
  const struct super *s = &o->super;
  struct format_super slot;
  struct super other;
  unsigned i;

  for (i = 0; i < SUPER_SLOTS; ++i) {
    if (o->io->read (o->super_file, &slot, sizeof slot, i * SUPER_SIZE) == -1)
      fprintf (fp, "super-slot number=%u unreadable\n", i);
    else if (!super_decode (&slot, &other))
      fprintf (fp, "super-slot number=%u invalid\n", i);
    else
      fprintf (fp, "super-slot number=%u sequence=%" PRIu64 " position=%"
               PRIu64 "%s\n", i, other.sequence, other.position,
               other.sequence == s->sequence ? " in-force" : "");
  }
  fprintf (fp, "super version=%u sequence=%" PRIu64, FORMAT_VERSION,
           s->sequence);
  print_uuid (fp, "uuid", &s->uuid);
  fprintf (fp, " size=%" PRIu64 " capacity=%" PRIu64 " segment_size=%" PRIu64
           " created_ns=%" PRIu64 " journal_salt=%016" PRIx64
           " content_salt=%016" PRIx64, s->size, s->capacity,
           s->segment_size, s->created_ns, s->journal_salt, s->content_salt);
  print_uuid (fp, "lineage", &s->lineage);
  fprintf (fp, "\nrole name=%s fence=%" PRIu64 " met_fence=%" PRIu64,
           volume_role_name (s->role), s->fence, s->met_fence);
  print_uuid (fp, "pair", &s->pair);
  fprintf (fp, "%s%s%s%s%s\n", s->flags & SUPER_CLEAN ? " clean" : "",
           s->flags & SUPER_FENCED ? " fenced" : "",
           s->flags & SUPER_STAGE ? " staging" : "",
           s->flags & SUPER_NEW_WRITER ? " new-writer" : "",
           s->flags & SUPER_AHEAD ? " ahead" : "");
  if (s->flags & SUPER_DISCARD)
    fprintf (fp, "discard keeps_seq=%" PRIu64 " generation=%016" PRIx64
             "%s\n", s->discard_seq, s->discard_generation,
             s->flags & SUPER_SALVAGE ? " unsaved" : "");
  fprintf (fp, "checkpoint position=%" PRIu64, s->position);
  print_point (fp, &s->point);
  fprintf (fp, " incarnation=%" PRIu32 " opened=%" PRIu32 " map=%" PRIu32 " segments=%" PRIu32
           " durable_hint=%" PRIu64 " oldest_seq=%" PRIu64
           " oldest_position=%" PRIu64 " confirmed_seq=%" PRIu64 "\n",
           s->incarnation, s->opened, s->map_slot, s->segments_slot,
           s->durable_hint, s->oldest_seq, s->oldest_position,
           s->confirmed_seq);
  print_generations (fp, "generation", &s->generations);
  if (s->flags & SUPER_STAGE)
    print_stage (fp, &s->stage);
}

/* ------------------------------------------------------------------ */

static void
dump_segments (struct offline *o, FILE *fp)
{
  struct segment_summary s;
  const struct offline_lap *l;
  uint64_t i;

  fprintf (fp, "segments count=%" PRIu64 " in_use=%" PRIu64 "%s\n",
           o->segments.count, o->nlaps,
           o->is_table_valid ? "" : " table-invalid");
  for (i = 0; i < o->nlaps; ++i) {
    l = &o->lap[i];
    fprintf (fp, "segment number=%" PRIu64 " lap=%" PRIu64 " position=%"
             PRIu64 " incarnation=%" PRIu32, l->segment, l->lap,
             l->lap * o->super.segment_size, l->incarnation);
    if (l->is_in_table)
      fprintf (fp, " first_seq=%" PRIu64 " live=%" PRIu64,
               o->segments.table[l->segment].first_seq,
               (uint64_t) o->segments.table[l->segment].live * GRANULE);
    else
      fprintf (fp, " after-checkpoint");
    if (o->journal && offline_read_summary (o, l, &s) == 1)
      fprintf (fp, " data_end=%" PRIu32 " batches=%" PRIu32 " records=%"
               PRIu64 " units=%" PRIu64 " seqs=%" PRIu64 "-%" PRIu64
               " blocks=%" PRIu64 "-%" PRIu64 " closed_ns=%" PRIu64,
               s.data_end, s.batches, s.records, s.units, s.first_seq,
               s.last_seq, s.first_block, s.end_block, s.closed_ns);
    fputc ('\n', fp);
  }
}

/* ------------------------------------------------------------------ */

static void
print_mark (FILE *fp, const uint8_t *body, uint32_t length)
{
  struct mark mark;

  if (!mark_decode (body, length, &mark)) {
    fprintf (fp, "mark invalid\n");
    return;
  }
  fprintf (fp, "mark stage=%016" PRIx64 " since=%" PRIu64 " start=%" PRIu64
           " salt=%016" PRIx64 " cursor=%" PRIu64, mark.stage_id, mark.since,
           mark.start, mark.salt, mark.cursor);
  print_point (fp, &mark.point);
  fputc ('\n', fp);
}

static void
print_units (struct offline *o, FILE *fp, const struct record *r,
             const uint8_t *body)
{
  struct unit_walk walk = unit_walk_start (r, body);
  struct walked_unit u;
  struct unit unit;
  int more;

  if (r->length == 0)
    return;
  while ((more = unit_walk_next (&walk, &u)) == 1)
    fprintf (fp, "unit block=%" PRIu64 " seq=%" PRIu64 " codec=%s length=%"
             PRIu32 "%s\n", u.block, u.unit.seq, codec_name (u.unit.codec),
             u.unit.length,
             unit_verify (u.stored, unit_stored_size (&u.unit),
                          o->super.content_salt, u.block, &unit) ? ""
             : o->super.flags & SUPER_STAGE &&
             unit_verify (u.stored, unit_stored_size (&u.unit),
                          o->super.stage.salt, u.block, &unit) ? " staged"
             : " invalid");
  if (more == -1)
    fprintf (fp, "unit garbled\n");
}

static void
print_batch (struct offline *o, FILE *fp, const struct batch *batch)
{
  uint32_t at = sizeof (struct format_batch), n;
  struct record r;

  for (n = 0; n < batch->records; ++n) {
    if (!offline_record (o, batch, at, &r)) {
      fprintf (fp, "record position=%" PRIu64 " invalid\n",
               batch->position + at);
      return;
    }
    fprintf (fp, "record type=%s position=%" PRIu64 " seq=%" PRIu64
             " generation=%016" PRIx64 " time_ns=%" PRIu64 " bytes=%" PRIu64
             " block=%" PRIu64 " nblocks=%" PRIu32 " length=%" PRIu32 "\n",
             record_type_name (r.type), batch->position + at, r.seq,
             r.generation, r.time_ns, r.bytes, r.block, r.nblocks, r.length);
    at += sizeof (struct format_record);
    if (record_type_is_mark (r.type))
      print_mark (fp, o->buf + at, r.length);
    else
      print_units (o, fp, &r, o->buf + at);
    at += r.length;
  }
}

/* Whatever stands in a segment as a batch of this lap; also what a crash left
 * behind the end.
 */
static void
dump_lap (struct offline *o, FILE *fp, const struct offline_lap *lap)
{
  uint64_t size = o->super.segment_size, at = FORMAT_PAGE, position;
  struct batch batch;
  int r;

  while (at < size - FORMAT_PAGE && !ferror (fp)) {
    position = lap->lap * size + at;
    r = offline_read_batch (o, lap->segment, position, &batch);
    if (r == 1) {
      fprintf (fp, "batch position=%" PRIu64 " segment=%" PRIu64 " offset=%"
               PRIu64 " length=%" PRIu32 " used=%" PRIu32 " records=%" PRIu32
               " watermark=%" PRIu64 " first_seq=%" PRIu64 " incarnation=%"
               PRIu32 "\n", position, lap->segment, at, batch.length,
               batch.used, batch.records, batch.watermark, batch.first_seq,
               batch.incarnation);
      print_batch (o, fp, &batch);
      at += batch.length;
      continue;
    }
    if (r == -1)
      fprintf (fp, "batch position=%" PRIu64 " unreadable: %s\n", position,
               strerror (errno));
    else if (offline_read_batch_header (o, lap->segment, position,
                                        &batch) == 1)
      fprintf (fp, "batch position=%" PRIu64 " incarnation=%" PRIu32
               " invalid\n", position, batch.incarnation);
    at += FORMAT_PAGE;
  }
}

static void
dump_records (struct offline *o, FILE *fp)
{
  uint64_t i;

  for (i = 0; o->journal && i < o->nlaps; ++i)
    dump_lap (o, fp, &o->lap[i]);
}

/* ------------------------------------------------------------------ */

/* Runs of unwritten and of zero blocks are one line. */
static void
print_entries (FILE *fp, const char *name, const struct table *map)
{
  uint64_t block, start, entry;

  for (block = 0; block < map->count && !ferror (fp); ++block) {
    entry = table_get (map, block);
    if (entry == 0)
      continue;
    if (entry_kind (entry) == ENTRY_DATA) {
      fprintf (fp, "%s block=%" PRIu64 " data offset=%" PRIu64 " length=%"
               PRIu32 "\n", name, block, entry_position (entry),
               entry_length (entry));
      continue;
    }
    if (!entry_is_valid (entry, block, entry_zero_seq (entry))) {
      fprintf (fp, "%s block=%" PRIu64 " invalid %016" PRIx64 "\n", name,
               block, entry);
      continue;
    }
    for (start = block; block + 1 < map->count &&
           table_get (map, block + 1) ==
           entry_zero (block + 1, entry_zero_seq (entry)); ++block)
      ;
    fprintf (fp, "%s block=%" PRIu64 " zero blocks=%" PRIu64 " seq=%" PRIu64
             "\n", name, start, block - start + 1, entry_zero_seq (entry));
  }
}

static void
print_births (FILE *fp, const struct table *births)
{
  uint64_t block, seq;

  for (block = 0; block < births->count && !ferror (fp); ++block) {
    if (!birth_decode (table_get (births, block), block, &seq))
      fprintf (fp, "birth block=%" PRIu64 " damaged\n", block);
    else if (seq != 0)
      fprintf (fp, "birth block=%" PRIu64 " seq=%" PRIu64 "\n", block, seq);
  }
}

static void
dump_map (struct offline *o, FILE *fp, unsigned slot, const char *name)
{
  uint64_t nblocks = super_blocks (&o->super);
  struct error err = ERROR_INIT;
  struct table table;

  if (table_open (&table, o->io, o->dir, map_name (slot), MAP_MAGIC, nblocks,
                  &o->super.uuid, &err) == 0) {
    print_entries (fp, name, &table);
    table_close (&table);
  }
  else
    fprintf (fp, "%s invalid: %s\n", name, err.message);
  if (table_open (&table, o->io, o->dir, births_name (slot), BIRTHS_MAGIC,
                  nblocks, &o->super.uuid, &err) == 0) {
    print_births (fp, &table);
    table_close (&table);
  }
  else
    fprintf (fp, "births invalid: %s\n", err.message);
}

int
volume_dump (const struct volume_io *io, const char *path, unsigned what,
             void *stdio_file, struct error *err)
{
  FILE *fp = stdio_file;
  struct offline o;
  int r = 0;

  if (offline_open (&o, io, path, err) == -1)
    return -1;
  if (what & VOLUME_DUMP_SUPER)
    dump_super (&o, fp);
  if (what & VOLUME_DUMP_SEGMENTS)
    dump_segments (&o, fp);
  if (what & VOLUME_DUMP_RECORDS)
    dump_records (&o, fp);
  if (what & VOLUME_DUMP_MAP) {
    dump_map (&o, fp, o.super.map_slot, "map");
    if (o.super.flags & SUPER_STAGE)
      dump_map (&o, fp, !o.super.map_slot, "stage-map");
  }
  if (fflush (fp) == EOF || ferror (fp))
    r = error_set_errno (err, errno ? errno : EIO, "cannot write the dump");
  offline_close (&o);
  return r;
}

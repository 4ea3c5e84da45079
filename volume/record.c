/* Records, units, batches and segment pages (see record.h).
 *
 * XXH3-64 by Y. Collet, https://github.com/Cyan4973/xxHash; lz4 block format,
 * https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md.
 */

#include <config.h>

#include <endian.h>
#include <string.h>

#include <lz4.h>

#include "hash.h"
#include "record.h"

/* Stored raw unless lz4 saves at least this much. */
#define UNIT_GAIN_MIN 64

/* ------------------------------------------------------------------ */

static uint64_t
header_hash (const struct format_record *header, uint64_t seed)
{
  return XXH3_64bits_withSeed (header,
                               offsetof (struct format_record, hash), seed);
}

void
record_encode (const struct record *record, uint64_t seed,
               struct format_record *ret)
{
  ret->magic = htole16 (RECORD_MAGIC);
  ret->version = FORMAT_VERSION;
  ret->type = record->type;
  ret->length = htole32 (record->length);
  ret->seq = htole64 (record->seq);
  ret->generation = htole64 (record->generation);
  ret->time_ns = htole64 (record->time_ns);
  ret->bytes = htole64 (record->bytes);
  ret->block = htole64 (record->block);
  ret->nblocks = htole32 (record->nblocks);
  ret->flags = 0;
  record_reseed (ret, seed);
}

void
record_reseed (struct format_record *header, uint64_t seed)
{
  header->hash = htole64 (header_hash (header, seed));
}

static bool
record_length_is_valid (const struct record *r)
{
  switch (r->type) {
  case RECORD_WRITE:
    return r->nblocks >= 1 && r->nblocks <= VOLUME_RECORD_BLOCKS_MAX &&
      r->length >= r->nblocks * sizeof (struct format_unit) &&
      r->length <= r->nblocks * UNIT_STORED_MAX;
  case RECORD_DELTA:
  case RECORD_MOVE:
    return r->nblocks >= 1 && r->nblocks <= VOLUME_RECORD_BLOCKS_MAX &&
      r->length >= r->nblocks * (sizeof (struct format_unit) +
                                 sizeof (struct format_locator)) &&
      r->length <= r->nblocks * (UNIT_STORED_MAX +
                                 sizeof (struct format_locator));
  case RECORD_ZERO:
  case RECORD_TRIM:
  case RECORD_KEEP_ZERO:
    return r->nblocks >= 1 && r->nblocks <= RECORD_ZERO_BLOCKS_MAX &&
      r->length == 0;
  case RECORD_STAGE_BEGIN:
  case RECORD_STAGE_CURSOR:
  case RECORD_STAGE_COMMIT:
  case RECORD_STAGE_DROP:
    return r->length == sizeof (struct format_mark) && r->nblocks == 0 &&
      r->block == 0;
  }
  return false;
}

bool
record_decode (const struct format_record *header, uint64_t seed,
               struct record *ret)
{
  struct record r;

  if (header->magic != htole16 (RECORD_MAGIC) ||
      header->version != FORMAT_VERSION ||
      header->type < RECORD_WRITE || header->type > RECORD_TYPE_MAX ||
      header->flags != 0 ||
      le64toh (header->hash) != header_hash (header, seed))
    return false;
  r.type = header->type;
  r.length = le32toh (header->length);
  r.seq = le64toh (header->seq);
  r.generation = le64toh (header->generation);
  r.time_ns = le64toh (header->time_ns);
  r.bytes = le64toh (header->bytes);
  r.block = le64toh (header->block);
  r.nblocks = le32toh (header->nblocks);
  if (r.seq > SEQ_MAX || r.length % GRANULE != 0 ||
      r.block > VOLUME_SIZE_MAX / VOLUME_BLOCK_SIZE ||
      !record_length_is_valid (&r))
    return false;
  *ret = r;
  return true;
}

/* ------------------------------------------------------------------ */

#define META_LENGTH_SHIFT 48
#define META_CODEC_SHIFT 61

bool
block_is_zero (const void *block)
{
  uint64_t first;

  memcpy (&first, block, sizeof first);
  return first == 0 &&
    memcmp (block, (const char *) block + 8, VOLUME_BLOCK_SIZE - 8) == 0;
}

/* The hash is made in two steps, so that the costly one (over the data) can
 * run before the seq is known: first the data, then that hash together with
 * block and meta.
 */
static uint64_t
unit_hash (uint64_t data_hash, uint64_t salt, uint64_t block, uint64_t meta)
{
  const uint64_t v[3] = { htole64 (data_hash), htole64 (block),
                          htole64 (meta) };

  return XXH3_64bits_withSeed (v, sizeof v, salt);
}

static_assert (LZ4_COMPRESSBOUND (VOLUME_BLOCK_SIZE) <=
               VOLUME_BLOCK_SIZE + UNIT_ENCODE_SLACK, "slack");

/* At acceleration 1 lz4's plain call is the faster one; above it, where a
 * block takes about a microsecond, not clearing a table of 16 KiB each time
 * is what counts.  There is room for the worst case, so neither fails.
 */
static uint32_t
compress (const void *block, void *data, int acceleration)
{
  static __thread LZ4_stream_t stream;
  static __thread bool is_ready;
  const int room = VOLUME_BLOCK_SIZE + UNIT_ENCODE_SLACK;

  if (acceleration <= 1)
    return LZ4_compress_default (block, data, VOLUME_BLOCK_SIZE, room);
  if (!is_ready) {
    LZ4_initStream (&stream, sizeof stream);
    is_ready = true;
  }
  LZ4_resetStream_fast (&stream);
  return LZ4_compress_fast_continue (&stream, block, data, VOLUME_BLOCK_SIZE,
                                     room, acceleration);
}

uint32_t
unit_encode (const void *block, int acceleration, void *ret)
{
  struct format_unit *header = ret;
  char *data = (char *) (header + 1);
  struct unit unit = { 0, UNIT_ZERO, 0 };
  uint32_t stored, n;

  if (!block_is_zero (block)) {
    n = compress (block, data, acceleration);
    if (n > 0 && n <= VOLUME_BLOCK_SIZE - UNIT_GAIN_MIN) {
      unit.codec = UNIT_LZ4;
      unit.length = n;
    }
    else {
      unit.codec = UNIT_RAW;
      unit.length = VOLUME_BLOCK_SIZE;
      memcpy (data, block, VOLUME_BLOCK_SIZE);
    }
  }
  stored = unit_stored_size (&unit);
  memset (data + unit.length, 0, stored - sizeof *header - unit.length);
  header->hash = XXH3_64bits (data, unit.length);
  header->meta = (uint64_t) unit.length << META_LENGTH_SHIFT |
    (uint64_t) unit.codec << META_CODEC_SHIFT;
  return stored;
}

void
unit_seal (void *stored, uint64_t salt, uint64_t block, uint64_t seq)
{
  struct format_unit *header = stored;
  uint64_t meta = header->meta | seq;

  header->hash = htole64 (unit_hash (header->hash, salt, block, meta));
  header->meta = htole64 (meta);
}

bool
unit_decode_header (const void *stored, size_t size, struct unit *ret)
{
  struct format_unit header;
  struct unit unit;
  uint64_t meta;

  if (size < sizeof header)
    return false;
  memcpy (&header, stored, sizeof header);
  meta = le64toh (header.meta);
  unit.seq = meta & SEQ_MAX;
  unit.codec = meta >> META_CODEC_SHIFT;
  unit.length = (meta >> META_LENGTH_SHIFT) & 0x1fff;
  switch (unit.codec) {
  case UNIT_ZERO:
    if (unit.length != 0)
      return false;
    break;
  case UNIT_RAW:
    if (unit.length != VOLUME_BLOCK_SIZE)
      return false;
    break;
  case UNIT_LZ4:
    if (unit.length == 0 || unit.length > VOLUME_BLOCK_SIZE - UNIT_GAIN_MIN)
      return false;
    break;
  default:
    return false;
  }
  if (unit_stored_size (&unit) > size)
    return false;
  *ret = unit;
  return true;
}

bool
unit_verify (const void *stored, size_t size, uint64_t salt, uint64_t block,
             struct unit *ret)
{
  const uint8_t *data = (const uint8_t *) stored + sizeof (struct format_unit);
  struct format_unit header;
  struct unit unit;
  uint32_t i;

  if (!unit_decode_header (stored, size, &unit))
    return false;
  memcpy (&header, stored, sizeof header);
  if (le64toh (header.hash) !=
      unit_hash (XXH3_64bits (data, unit.length), salt, block,
                 le64toh (header.meta)))
    return false;
  for (i = sizeof header + unit.length; i < unit_stored_size (&unit); ++i)
    if (((const uint8_t *) stored)[i] != 0)
      return false;
  *ret = unit;
  return true;
}

bool
unit_expand (const void *stored, const struct unit *unit, void *ret)
{
  const char *data = (const char *) stored + sizeof (struct format_unit);

  switch (unit->codec) {
  case UNIT_ZERO:
    memset (ret, 0, VOLUME_BLOCK_SIZE);
    return true;
  case UNIT_RAW:
    memcpy (ret, data, VOLUME_BLOCK_SIZE);
    return true;
  case UNIT_LZ4:
    return LZ4_decompress_safe (data, ret, unit->length, VOLUME_BLOCK_SIZE) ==
      (int) VOLUME_BLOCK_SIZE;
  }
  return false;
}

/* ------------------------------------------------------------------ */

int
unit_walk_next (struct unit_walk *walk, struct walked_unit *ret)
{
  const struct record *r = walk->record;
  bool located = r->type == RECORD_DELTA || r->type == RECORD_MOVE;
  struct format_locator locator;

  if (walk->done == r->nblocks)
    return walk->offset == r->length ? 0 : -1;

  ret->block = r->block + walk->done;
  ret->origin = 0;
  if (located) {
    if (r->length - walk->offset < sizeof locator)
      return -1;
    memcpy (&locator, walk->body + walk->offset, sizeof locator);
    ret->block = le64toh (locator.block);
    ret->origin = le64toh (locator.origin);
    walk->offset += sizeof locator;
  }
  ret->offset = walk->offset;
  ret->stored = walk->body + walk->offset;
  if (!unit_decode_header (ret->stored, r->length - walk->offset, &ret->unit))
    return -1;
  walk->offset += unit_stored_size (&ret->unit);
  walk->done++;
  return 1;
}

/* Only a move has an origin: the entry of the same version of the block. */
static bool
origin_is_valid (const struct record *r, const struct walked_unit *u)
{
  return r->type == RECORD_MOVE ?
    entry_kind (u->origin) == ENTRY_DATA &&
    entry_length (u->origin) == unit_stored_size (&u->unit) &&
    entry_is_valid (u->origin, u->block, u->unit.seq) : u->origin == 0;
}

bool
record_verify_body (const struct record *r, const void *body, uint64_t salt,
                    uint64_t nblocks)
{
  struct unit_walk walk;
  struct walked_unit u;
  struct unit unit;
  struct mark mark;
  int more;

  switch (r->type) {
  case RECORD_ZERO:
  case RECORD_TRIM:
  case RECORD_KEEP_ZERO:
    return r->block < nblocks && r->nblocks <= nblocks - r->block;
  case RECORD_STAGE_BEGIN:
  case RECORD_STAGE_CURSOR:
  case RECORD_STAGE_COMMIT:
  case RECORD_STAGE_DROP:
    return mark_decode (body, r->length, &mark);
  case RECORD_WRITE:
  case RECORD_DELTA:
  case RECORD_MOVE:
    break;
  }

  walk = unit_walk_start (r, body);
  while ((more = unit_walk_next (&walk, &u)) == 1) {
    if (u.block >= nblocks ||
        (r->type == RECORD_WRITE && u.unit.seq != r->seq) ||
        u.unit.seq > r->seq || !origin_is_valid (r, &u) ||
        !unit_verify (u.stored, unit_stored_size (&u.unit), salt, u.block,
                      &unit))
      return false;
  }
  return more == 0;
}

/* ------------------------------------------------------------------ */

static bool
add_body_digest (const struct record *r, const uint8_t *body, uint64_t *h)
{
  const size_t before = r->type == RECORD_WRITE ? 0 :
    sizeof (struct format_locator);
  struct unit_walk walk = unit_walk_start (r, body);
  struct walked_unit u;
  int more;

  if (r->type != RECORD_WRITE && r->type != RECORD_DELTA &&
      r->type != RECORD_MOVE) {
    *h = XXH3_64bits_withSeed (body, r->length, *h);
    return true;
  }
  while ((more = unit_walk_next (&walk, &u)) == 1)
    *h = XXH3_64bits_withSeed (u.stored - before,
                               before + sizeof (struct format_unit), *h);
  return more == 0;
}

bool
batch_digest (const void *batch, uint32_t used, uint32_t records,
              uint64_t *ret)
{
  const uint8_t *p = batch;
  uint32_t at = sizeof (struct format_batch), n;
  const struct format_record *header;
  struct record r;
  uint64_t h = 0;

  if (used < at)
    return false;
  for (n = 0; n < records; ++n) {
    if (used - at < sizeof *header)
      return false;
    header = (const struct format_record *) (p + at);
    at += sizeof *header;
    r = (struct record) {
      .type = header->type, .length = le32toh (header->length),
      .block = le64toh (header->block), .nblocks = le32toh (header->nblocks),
    };
    h = XXH3_64bits_withSeed (header, sizeof *header, h);
    if (r.length % GRANULE != 0 || r.length > used - at ||
        !add_body_digest (&r, p + at, &h))
      return false;
    at += r.length;
  }
  *ret = h;
  return at == used;
}

void
batch_encode (const struct batch *batch, uint64_t journal_salt,
              struct format_batch *ret)
{
  memset (ret, 0, sizeof *ret);
  ret->magic = htole32 (BATCH_MAGIC);
  ret->length = htole32 (batch->length);
  ret->used = htole32 (batch->used);
  ret->records = htole32 (batch->records);
  ret->position = htole64 (batch->position);
  ret->watermark = htole64 (batch->watermark);
  ret->first_seq = htole64 (batch->first_seq);
  ret->incarnation = htole32 (batch->incarnation);
  ret->digest = htole64 (batch->digest);
  ret->hash = htole64 (XXH3_64bits_withSeed
                       (ret, offsetof (struct format_batch, hash),
                        position_seed (journal_salt, batch->position)));
}

bool
batch_decode (const struct format_batch *header, uint64_t journal_salt,
              uint64_t position, uint64_t segment_size, struct batch *ret)
{
  uint64_t offset = position % segment_size;

  if (header->magic != htole32 (BATCH_MAGIC) ||
      le64toh (header->position) != position ||
      le64toh (header->hash) !=
      XXH3_64bits_withSeed (header, offsetof (struct format_batch, hash),
                            position_seed (journal_salt, position)))
    return false;
  ret->length = le32toh (header->length);
  ret->used = le32toh (header->used);
  ret->records = le32toh (header->records);
  ret->position = position;
  ret->watermark = le64toh (header->watermark);
  ret->first_seq = le64toh (header->first_seq);
  ret->incarnation = le32toh (header->incarnation);
  ret->digest = le64toh (header->digest);
  return offset < segment_size - FORMAT_PAGE &&
    ret->length >= FORMAT_PAGE && ret->length % FORMAT_PAGE == 0 &&
    ret->length <= segment_size - FORMAT_PAGE - offset &&
    ret->used >= sizeof *header && ret->used <= ret->length &&
    ret->watermark <= position && header->reserved1 == 0;
}

void
segment_header_encode (const struct segment_header *header,
                       const struct uuid *uuid, uint64_t journal_salt,
                       uint64_t segment_size, struct format_segment *ret)
{
  memset (ret, 0, sizeof *ret);
  ret->magic = htole32 (SEGMENT_MAGIC);
  ret->version = htole32 (FORMAT_VERSION);
  ret->lap = htole64 (header->lap);
  ret->first_seq = htole64 (header->first_seq);
  ret->opened_ns = htole64 (header->opened_ns);
  memcpy (ret->uuid, uuid->byte, sizeof ret->uuid);
  ret->kind = htole32 (header->kind);
  ret->incarnation = htole32 (header->incarnation);
  ret->hash = htole64 (XXH3_64bits_withSeed
                       (ret, offsetof (struct format_segment, hash),
                        position_seed (journal_salt,
                                       header->lap * segment_size)));
}

bool
segment_header_decode (const struct format_segment *header,
                       const struct uuid *uuid, uint64_t journal_salt,
                       uint64_t segment_size, struct segment_header *ret)
{
  uint64_t lap = le64toh (header->lap);

  if (header->magic != htole32 (SEGMENT_MAGIC) ||
      header->version != htole32 (FORMAT_VERSION) ||
      memcmp (header->uuid, uuid->byte, sizeof header->uuid) != 0 ||
      lap == 0 || lap > UINT64_MAX / segment_size ||
      le64toh (header->hash) !=
      XXH3_64bits_withSeed (header, offsetof (struct format_segment, hash),
                            position_seed (journal_salt, lap * segment_size)))
    return false;
  ret->lap = lap;
  ret->first_seq = le64toh (header->first_seq);
  ret->opened_ns = le64toh (header->opened_ns);
  ret->kind = le32toh (header->kind);
  ret->incarnation = le32toh (header->incarnation);
  return ret->kind == SEGMENT_HOT || ret->kind == SEGMENT_COLD;
}

void
segment_summary_encode (const struct segment_summary *summary,
                        uint64_t journal_salt, uint64_t segment_size,
                        struct format_summary *ret)
{
  memset (ret, 0, sizeof *ret);
  ret->magic = htole32 (SUMMARY_MAGIC);
  ret->version = htole32 (FORMAT_VERSION);
  ret->lap = htole64 (summary->lap);
  ret->data_end = htole32 (summary->data_end);
  ret->batches = htole32 (summary->batches);
  ret->records = htole64 (summary->records);
  ret->units = htole64 (summary->units);
  ret->first_seq = htole64 (summary->first_seq);
  ret->last_seq = htole64 (summary->last_seq);
  ret->first_block = htole64 (summary->first_block);
  ret->end_block = htole64 (summary->end_block);
  ret->closed_ns = htole64 (summary->closed_ns);
  ret->zeros = htole64 (summary->zeros);
  ret->hash = htole64 (XXH3_64bits_withSeed
                       (ret, offsetof (struct format_summary, hash),
                        position_seed (journal_salt,
                                       (summary->lap + 1) * segment_size -
                                       FORMAT_PAGE)));
}

bool
segment_summary_decode (const struct format_summary *summary,
                        uint64_t journal_salt, uint64_t segment_size,
                        uint64_t lap, struct segment_summary *ret)
{
  static const uint8_t zeros[sizeof summary->reserved];

  if (summary->magic != htole32 (SUMMARY_MAGIC) ||
      summary->version != htole32 (FORMAT_VERSION) ||
      le64toh (summary->lap) != lap ||
      le64toh (summary->hash) !=
      XXH3_64bits_withSeed (summary, offsetof (struct format_summary, hash),
                            position_seed (journal_salt,
                                           (lap + 1) * segment_size -
                                           FORMAT_PAGE)))
    return false;
  ret->lap = lap;
  ret->data_end = le32toh (summary->data_end);
  ret->batches = le32toh (summary->batches);
  ret->records = le64toh (summary->records);
  ret->units = le64toh (summary->units);
  ret->first_seq = le64toh (summary->first_seq);
  ret->last_seq = le64toh (summary->last_seq);
  ret->first_block = le64toh (summary->first_block);
  ret->end_block = le64toh (summary->end_block);
  ret->closed_ns = le64toh (summary->closed_ns);
  ret->zeros = le64toh (summary->zeros);
  return ret->data_end >= FORMAT_PAGE && ret->data_end % FORMAT_PAGE == 0 &&
    ret->data_end <= segment_size - FORMAT_PAGE &&
    memcmp (summary->reserved, zeros, sizeof zeros) == 0;
}

/* ------------------------------------------------------------------ */

static uint64_t
mark_hash (const struct format_mark *mark)
{
  return XXH3_64bits (mark, offsetof (struct format_mark, hash));
}

void
mark_encode (const struct mark *mark, struct format_mark *ret)
{
  memset (ret, 0, sizeof *ret);
  ret->stage_id = htole64 (mark->stage_id);
  ret->since = htole64 (mark->since);
  ret->start = htole64 (mark->start);
  ret->salt = htole64 (mark->salt);
  memcpy (ret->lineage, mark->lineage.byte, sizeof ret->lineage);
  ret->generation = htole64 (mark->point.generation);
  ret->seq = htole64 (mark->point.seq);
  ret->time_ns = htole64 (mark->point.time_ns);
  ret->bytes = htole64 (mark->point.bytes);
  ret->cursor = htole64 (mark->cursor);
  ret->hash = htole64 (mark_hash (ret));
}

bool
mark_decode (const void *body, size_t length, struct mark *ret)
{
  struct format_mark m;

  if (length != sizeof m)
    return false;
  memcpy (&m, body, sizeof m);
  if (le64toh (m.hash) != mark_hash (&m) || le64toh (m.seq) > SEQ_MAX ||
      le64toh (m.start) > SEQ_MAX || le64toh (m.since) > SEQ_MAX)
    return false;
  ret->stage_id = le64toh (m.stage_id);
  ret->since = le64toh (m.since);
  ret->start = le64toh (m.start);
  ret->salt = le64toh (m.salt);
  memcpy (ret->lineage.byte, m.lineage, sizeof m.lineage);
  ret->point.generation = le64toh (m.generation);
  ret->point.seq = le64toh (m.seq);
  ret->point.time_ns = le64toh (m.time_ns);
  ret->point.bytes = le64toh (m.bytes);
  ret->cursor = le64toh (m.cursor);
  return true;
}

/* ------------------------------------------------------------------ */

#define ENTRY_KIND_SHIFT 62
#define ENTRY_CHECK_SHIFT 49
#define ENTRY_CHECK_MASK (UINT64_C (0x1fff) << ENTRY_CHECK_SHIFT)

/* The finalizer of MurmurHash3 (A. Appleby, public domain): each bit of the
 * result depends on all bits of N.
 */
static uint64_t
mix (uint64_t n)
{
  n ^= n >> 33;
  n *= UINT64_C (0xff51afd7ed558ccd);
  n ^= n >> 33;
  n *= UINT64_C (0xc4ceb9fe1a85ec53);
  return n ^ n >> 33;
}

/* 13 bits over a sum of products of entry, block and seq. */
static uint64_t
entry_check (uint64_t entry, uint64_t block, uint64_t seq)
{
  uint64_t h = (entry & ~ENTRY_CHECK_MASK) +
    block * UINT64_C (0x9e3779b97f4a7c15) +
    seq * UINT64_C (0xc2b2ae3d27d4eb4f);

  return (mix (h) << ENTRY_CHECK_SHIFT) & ENTRY_CHECK_MASK;
}

uint64_t
birth_encode (uint64_t block, uint64_t seq)
{
  return seq | mix (block * UINT64_C (0x9e3779b97f4a7c15) + seq) << 48;
}

bool
birth_decode (uint64_t birth, uint64_t block, uint64_t *ret_seq)
{
  *ret_seq = birth & SEQ_MAX;
  return birth == 0 || birth == birth_encode (block, *ret_seq);
}

uint64_t
entry_data (uint64_t block, uint64_t seq, uint64_t position, uint32_t length)
{
  uint64_t entry = (uint64_t) ENTRY_DATA << ENTRY_KIND_SHIFT |
    (uint64_t) (length / GRANULE) << 40 | position / GRANULE;

  return entry | entry_check (entry, block, seq);
}

uint64_t
entry_zero (uint64_t block, uint64_t seq)
{
  uint64_t entry = (uint64_t) ENTRY_ZERO << ENTRY_KIND_SHIFT | seq;

  return entry | entry_check (entry, block, seq);
}

bool
entry_is_valid (uint64_t entry, uint64_t block, uint64_t seq)
{
  switch (entry_kind (entry)) {
  case ENTRY_UNWRITTEN:
    return entry == 0;
  case ENTRY_DATA:
    return (entry & ENTRY_CHECK_MASK) == entry_check (entry, block, seq);
  case ENTRY_ZERO:
    return (entry >> 48 & 1) == 0 && entry_zero_seq (entry) == seq &&
      (entry & ENTRY_CHECK_MASK) == entry_check (entry, block, seq);
  }
  return false;
}

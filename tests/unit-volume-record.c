/* Tests of volume/record.h and of the layout of the super: round trips,
 * golden bytes, every single flipped bit, hostile lengths, truncation.
 *
 * The golden files (tests/data/volume-*.txt) are the formats as released: a
 * change that alters them needs a new FORMAT_VERSION.  PAIRDISK_GOLDEN=write
 * in the environment writes them anew.
 */

#include <config.h>

#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden.h"
#include "record.h"
#include "super.h"

#define SALT UINT64_C (0x0123456789abcdef)
#define SEED UINT64_C (0xfedcba9876543210)
#define SEGMENT (UINT64_C (4) << 20)
#define DISK_BLOCKS UINT64_C (100000)

static uint64_t rng = UINT64_C (0x9e3779b97f4a7c15);

static uint64_t
next_random (void)
{
  rng ^= rng << 13;
  rng ^= rng >> 7;
  rng ^= rng << 17;
  return rng;
}

enum { TEXT, NOISE, ZERO };

static void
fill_block (uint8_t *block, int kind)
{
  size_t i;

  memset (block, 0, VOLUME_BLOCK_SIZE);
  for (i = 0; i < VOLUME_BLOCK_SIZE && kind != ZERO; ++i)
    block[i] = kind == TEXT ? (uint8_t) "all work and no play "[i % 21]
      : (uint8_t) (next_random () >> 32);
}

static void
flip (void *p, size_t bit)
{
  ((uint8_t *) p)[bit / 8] ^= 1u << bit % 8;
}

/* ------------------------------------------------------------------ */
/* Golden files: the offset and 32 bytes a line, lines of zeros left out. */

static void
hex_dump (FILE *fp, const uint8_t *bytes, size_t len)
{
  static const uint8_t zeros[32];
  size_t i, j, n;

  for (i = 0; i < len; i += n) {
    n = len - i < 32 ? len - i : 32;
    if (memcmp (bytes + i, zeros, n) == 0)
      continue;
    fprintf (fp, "%04zx:", i);
    for (j = 0; j < n; ++j)
      fprintf (fp, "%s%02x", j % 8 == 0 ? " " : "", bytes[i + j]);
    fputc ('\n', fp);
  }
  fprintf (fp, "%zu bytes\n", len);
}

static void
check_golden (const char *name, const void *bytes, size_t len)
{
  char file[64], *text;
  size_t size;
  FILE *fp = open_memstream (&text, &size);

  assert_non_null (fp);
  hex_dump (fp, bytes, len);
  assert_int_equal (fclose (fp), 0);
  snprintf (file, sizeof file, "volume-%s.txt", name);
  assert_golden (file, text);
  free (text);
}

/* ------------------------------------------------------------------ */
/* A record with its body, made as the volume makes it.                 */

struct made {
  struct record record;
  struct format_record header;
  uint8_t body[64 << 10] __attribute__ ((aligned (8)));
};

static uint32_t
add_unit (struct made *m, uint32_t at, int kind, uint64_t block, uint64_t seq)
{
  uint8_t data[VOLUME_BLOCK_SIZE];
  uint32_t n;

  fill_block (data, kind);
  n = unit_encode (data, 1, m->body + at);
  unit_seal (m->body + at, SALT, block, seq);
  return at + n;
}

static uint32_t
add_locator (struct made *m, uint32_t at, uint64_t block, uint64_t origin)
{
  const struct format_locator l = { htole64 (block), htole64 (origin) };

  memcpy (m->body + at, &l, sizeof l);
  return at + sizeof l;
}

static void
finish (struct made *m, enum format_record_type type, uint64_t block,
        uint32_t nblocks, uint32_t length)
{
  m->record = (struct record) {
    .type = type, .length = length, .seq = 77, .generation = 0x6e6e,
    .time_ns = 1700000000000000000, .bytes = 1 << 20, .block = block,
    .nblocks = nblocks
  };
  record_encode (&m->record, SEED, &m->header);
}

static void
make_write (struct made *m, const int *kinds, uint32_t n)
{
  uint32_t i, at = 0;

  for (i = 0; i < n; ++i)
    at = add_unit (m, at, kinds[i], 1000 + i, 77);
  finish (m, RECORD_WRITE, 1000, n, at);
}

static void
make_located (struct made *m, enum format_record_type type)
{
  uint32_t at = 0;

  at = add_locator (m, at, 5, type == RECORD_MOVE ?
                    entry_data (5, 12, 0x123450, 4112) : 0);
  at = add_unit (m, at, NOISE, 5, 12);
  at = add_locator (m, at, 99999, type == RECORD_MOVE ?
                    entry_data (99999, 77, 0x567890, 16) : 0);
  at = add_unit (m, at, ZERO, 99999, 77);
  finish (m, type, 0, 2, at);
}

static const struct mark example_mark = {
  .stage_id = 0x1111, .since = 22, .start = 33, .salt = 0x4444,
  .lineage = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } },
  .point = { 0x5555, 66, 77, 88 }, .cursor = 99
};

static void
make_mark (struct made *m, enum format_record_type type)
{
  mark_encode (&example_mark, (struct format_mark *) m->body);
  finish (m, type, 0, 0, sizeof (struct format_mark));
}

static bool
is_valid (const struct made *m)
{
  struct record r;

  return record_decode (&m->header, SEED, &r) &&
    record_verify_body (&r, m->body, SALT, DISK_BLOCKS);
}

static void
make_each (struct made *m, enum format_record_type type)
{
  const int kinds[] = { NOISE, ZERO };

  switch (type) {
  case RECORD_WRITE:
    make_write (m, kinds, 2);
    break;
  case RECORD_ZERO:
  case RECORD_TRIM:
  case RECORD_KEEP_ZERO:
    finish (m, type, 17, 40000, 0);
    break;
  case RECORD_DELTA:
  case RECORD_MOVE:
    make_located (m, type);
    break;
  default:
    make_mark (m, type);
  }
}

/* ------------------------------------------------------------------ */

static void
test_records_round_trip (void **state)
{
  struct made m;
  struct format_record again;
  struct record r;
  int type;

  (void) state;
  for (type = RECORD_WRITE; type <= RECORD_TYPE_MAX; ++type) {
    make_each (&m, type);
    assert_true (record_decode (&m.header, SEED, &r));
    record_encode (&r, SEED, &again);
    assert_memory_equal (&again, &m.header, sizeof again);
    assert_true (is_valid (&m));
    assert_false (record_decode (&m.header, SEED + 1, &r));
    record_reseed (&m.header, SEED + 1);
    assert_true (record_decode (&m.header, SEED + 1, &r));
  }
}

static void
test_records_golden (void **state)
{
  static const char *const name[] = {
    [RECORD_WRITE] = "record-write", [RECORD_ZERO] = "record-zero",
    [RECORD_TRIM] = "record-trim", [RECORD_DELTA] = "record-delta",
    [RECORD_MOVE] = "record-move",
    [RECORD_STAGE_BEGIN] = "record-stage-begin",
    [RECORD_STAGE_CURSOR] = "record-stage-cursor",
    [RECORD_STAGE_COMMIT] = "record-stage-commit",
    [RECORD_STAGE_DROP] = "record-stage-drop",
    [RECORD_KEEP_ZERO] = "record-keep-zero"
  };
  uint8_t bytes[sizeof (struct format_record) + (16 << 10)];
  struct made m;
  int type;

  (void) state;
  for (type = RECORD_WRITE; type <= RECORD_TYPE_MAX; ++type) {
    rng = type;
    make_each (&m, type);
    memcpy (bytes, &m.header, sizeof m.header);
    memcpy (bytes + sizeof m.header, m.body, m.record.length);
    check_golden (name[type], bytes, sizeof m.header + m.record.length);
  }
}

/* What an earlier lz4 wrote: "all work and no play " over and over. */
static void
test_old_lz4_unit (void **state)
{
  uint8_t stored[UNIT_STORED_MAX] __attribute__ ((aligned (8)));
  uint8_t block[VOLUME_BLOCK_SIZE], back[VOLUME_BLOCK_SIZE];
  struct unit unit;
  uint8_t *p = stored + sizeof (struct format_unit);
  uint32_t i, length;

  (void) state;
  fill_block (block, TEXT);
  memset (stored, 0, sizeof stored);
  /* Token 15/15, 21 literals (15 + 6), distance 21, a match of 4070 bytes
   * (4 + 15 + 15 * 255 + 226), and five last literals.
   */
  *p++ = 0xff;
  *p++ = 6;
  memcpy (p, block, 21);
  p += 21;
  *p++ = 21;
  *p++ = 0;
  for (i = 0; i < 15; ++i)
    *p++ = 255;
  *p++ = 226;
  *p++ = 0x50;
  memcpy (p, block + VOLUME_BLOCK_SIZE - 5, 5);
  p += 5;
  length = p - stored - sizeof (struct format_unit);
  ((struct format_unit *) stored)->hash = UINT64_C (0x9f2c1a1cf2f2a4c2);
  ((struct format_unit *) stored)->meta = (uint64_t) length << 48 |
    (uint64_t) UNIT_LZ4 << 61 | 77;

  assert_true (unit_decode_header (stored, sizeof stored, &unit));
  assert_int_equal (unit.length, length);
  assert_int_equal (unit.seq, 77);
  assert_false (unit_verify (stored, sizeof stored, SALT, 3, &unit));
  assert_true (unit_expand (stored, &unit, back));
  assert_memory_equal (back, block, sizeof block);
}

static void
test_units_round_trip (void **state)
{
  uint8_t stored[UNIT_STORED_MAX + UNIT_ENCODE_SLACK] __attribute__ ((aligned (8)));
  uint8_t block[VOLUME_BLOCK_SIZE], back[VOLUME_BLOCK_SIZE];
  static const unsigned codec[] = { UNIT_LZ4, UNIT_RAW, UNIT_ZERO };
  struct unit unit;
  uint32_t size, cut;
  int kind;

  (void) state;
  for (kind = TEXT; kind <= ZERO; ++kind) {
    fill_block (block, kind);
    memset (stored, 0xee, sizeof stored);
    size = unit_encode (block, 1, stored);
    assert_int_equal (size % GRANULE, 0);
    assert_in_range (size, sizeof (struct format_unit), UNIT_STORED_MAX);
    unit_seal (stored, SALT, 42, SEQ_MAX);
    assert_true (unit_verify (stored, size, SALT, 42, &unit));
    assert_int_equal (unit.codec, codec[kind]);
    assert_int_equal (unit.seq, SEQ_MAX);
    assert_int_equal (unit_stored_size (&unit), size);
    assert_true (unit_expand (stored, &unit, back));
    assert_memory_equal (back, block, sizeof block);
    /* misdirected, foreign, truncated */
    assert_false (unit_verify (stored, size, SALT, 43, &unit));
    assert_false (unit_verify (stored, size, SALT + 1, 42, &unit));
    for (cut = 0; cut < size; ++cut)
      assert_false (unit_verify (stored, cut, SALT, 42, &unit));
  }
}

static void
test_every_flipped_bit_of_a_record (void **state)
{
  const int kinds[] = { TEXT, ZERO, NOISE };
  struct made m;
  size_t bit;
  int type;

  (void) state;
  for (type = RECORD_WRITE; type <= RECORD_TYPE_MAX; ++type) {
    make_each (&m, type);
    for (bit = 0; bit < sizeof m.header * 8; ++bit) {
      flip (&m.header, bit);
      assert_false (is_valid (&m));
      flip (&m.header, bit);
    }
    for (bit = 0; bit < m.record.length * 8; ++bit) {
      flip (m.body, bit);
      if (is_valid (&m))
        fail_msg ("type %d: bit %zu of the body may flip", type, bit);
      flip (m.body, bit);
    }
    assert_true (is_valid (&m));
  }
  make_write (&m, kinds, 3);
  for (bit = 0; bit < m.record.length * 8; ++bit) {
    flip (m.body, bit);
    assert_false (is_valid (&m));
    flip (m.body, bit);
  }
}

/* Header fields that are hashed right but must not be believed. */
static void
test_hostile_records (void **state)
{
  static const struct record hostile[] = {
    { RECORD_WRITE, 16, SEQ_MAX + 1, 1, 1, 1, 0, 1 },
    { RECORD_WRITE, 15, 1, 1, 1, 1, 0, 1 },
    { RECORD_WRITE, 0, 1, 1, 1, 1, 0, 1 },
    { RECORD_WRITE, 0, 1, 1, 1, 1, 0, 0 },
    { RECORD_WRITE, 16, 1, 1, 1, 1, 0, 0 },
    { RECORD_WRITE, 16, 1, 1, 1, 1, 0, 2 },
    { RECORD_WRITE, UNIT_STORED_MAX + 16, 1, 1, 1, 1, 0, 1 },
    { RECORD_WRITE, 257 * 16, 1, 1, 1, 1, 0, 257 },
    { RECORD_WRITE, UINT32_MAX - 15, 1, 1, 1, 1, 0, UINT32_MAX },
    { RECORD_WRITE, 16, 1, 1, 1, 1, UINT64_MAX, 1 },
    { RECORD_WRITE, 16, 1, 1, 1, 1, VOLUME_SIZE_MAX / 4096 + 1, 1 },
    { RECORD_DELTA, 16, 1, 1, 1, 1, 0, 1 },
    { RECORD_DELTA, 0, 1, 1, 1, 1, 0, 0 },
    { RECORD_MOVE, UNIT_STORED_MAX + 32, 1, 1, 1, 1, 0, 1 },
    { RECORD_ZERO, 16, 1, 1, 1, 1, 0, 1 },
    { RECORD_ZERO, 0, 1, 1, 1, 1, 0, 0 },
    { RECORD_TRIM, 0, 1, 1, 1, 1, 0, RECORD_ZERO_BLOCKS_MAX + 1 },
    { RECORD_STAGE_BEGIN, 0, 1, 1, 1, 1, 0, 0 },
    { RECORD_STAGE_CURSOR, 96, 1, 1, 1, 1, 0, 1 },
    { RECORD_STAGE_COMMIT, 112, 1, 1, 1, 1, 0, 0 },
    { RECORD_STAGE_DROP, 96, 1, 1, 1, 1, 1, 0 },
    { 0, 0, 1, 1, 1, 1, 0, 0 },
    { RECORD_TYPE_MAX + 1, 0, 1, 1, 1, 1, 0, 0 },
  };
  struct format_record header;
  struct record r;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof hostile / sizeof hostile[0]; ++i) {
    record_encode (&hostile[i], SEED, &header);
    if (record_decode (&header, SEED, &r))
      fail_msg ("hostile record %zu was taken", i);
  }
  record_encode (&(struct record) { RECORD_ZERO, 0, 1, 1, 1, 1, 0, 1 }, SEED,
                 &header);
  assert_true (record_decode (&header, SEED, &r));
  header.flags = htole32 (1);
  record_reseed (&header, SEED);
  assert_false (record_decode (&header, SEED, &r));
}

static void
test_hostile_bodies (void **state)
{
  const int kinds[] = { NOISE, ZERO };
  struct made m;
  struct record r;

  (void) state;
  /* outside the disk */
  make_write (&m, kinds, 2);
  assert_true (record_verify_body (&m.record, m.body, SALT, 1002));
  assert_false (record_verify_body (&m.record, m.body, SALT, 1001));
  finish (&m, RECORD_ZERO, 10, 5, 0);
  assert_true (record_verify_body (&m.record, m.body, SALT, 15));
  assert_false (record_verify_body (&m.record, m.body, SALT, 14));
  assert_false (record_verify_body (&m.record, m.body, SALT, 3));
  make_located (&m, RECORD_DELTA);
  assert_false (record_verify_body (&m.record, m.body, SALT, 99999));

  /* bytes after the last unit, or units after the last byte */
  make_write (&m, kinds, 2);
  r = m.record;
  r.length += GRANULE;
  assert_false (record_verify_body (&r, m.body, SALT, DISK_BLOCKS));
  r.length -= 2 * GRANULE;
  assert_false (record_verify_body (&r, m.body, SALT, DISK_BLOCKS));
  r = m.record;
  r.nblocks = 3;
  assert_false (record_verify_body (&r, m.body, SALT, DISK_BLOCKS));
  r.nblocks = 1;
  assert_false (record_verify_body (&r, m.body, SALT, DISK_BLOCKS));

  /* a unit of another write; one from the future of a delta */
  r = m.record;
  r.seq++;
  assert_false (record_verify_body (&r, m.body, SALT, DISK_BLOCKS));
  make_located (&m, RECORD_DELTA);
  r = m.record;
  r.seq--;
  assert_false (record_verify_body (&r, m.body, SALT, DISK_BLOCKS));
}

/* Bytes that nobody made: nothing is read outside them (run with the
 * sanitizers) and nothing of them is believed.
 */
static void
test_noise (void **state)
{
  struct made *m = malloc (sizeof *m);
  struct unit unit;
  uint8_t *stored, block[VOLUME_BLOCK_SIZE];
  size_t i, j, size;

  (void) state;
  assert_non_null (m);
  for (i = 0; i < 3000; ++i) {
    size = next_random () % 200 * 8;
    stored = malloc (size + 1);
    assert_non_null (stored);
    for (j = 0; j < size; ++j)
      stored[j] = next_random () >> 40;
    if (size >= 16)         /* a plausible header now and then */
      stored[15] = UNIT_LZ4 << 5 | (stored[15] & 0x01);
    assert_false (unit_verify (stored, size, SALT, i, &unit));
    if (unit_decode_header (stored, size, &unit))
      unit_expand (stored, &unit, block);
    finish (m, i % 2 ? RECORD_WRITE : RECORD_MOVE, 0, 1 + i % 9,
            size / GRANULE * GRANULE);
    assert_false (record_verify_body (&m->record, stored, SALT, DISK_BLOCKS));
    free (stored);
  }
  free (m);
}

/* ------------------------------------------------------------------ */

static void
test_batch (void **state)
{
  const struct batch b = { 8192, 4100, 3, 5 * SEGMENT + 4096,
                           5 * SEGMENT, 70, 9, 0xd1d1 };
  struct format_batch page, again;
  struct batch back, bad;
  size_t bit;

  (void) state;
  batch_encode (&b, SALT, &page);
  check_golden ("batch", &page, sizeof page);
  assert_true (batch_decode (&page, SALT, b.position, SEGMENT, &back));
  batch_encode (&back, SALT, &again);
  assert_memory_equal (&again, &page, sizeof again);
  assert_false (batch_decode (&page, SALT, b.position + SEGMENT, SEGMENT,
                              &back));
  assert_false (batch_decode (&page, SALT + 1, b.position, SEGMENT, &back));
  for (bit = 0; bit < sizeof page * 8; ++bit) {
    flip (&page, bit);
    assert_false (batch_decode (&page, SALT, b.position, SEGMENT, &back));
    flip (&page, bit);
  }

#define HOSTILE(field, value)                                           \
  do {                                                                  \
    bad = b;                                                            \
    bad.field = (value);                                                \
    batch_encode (&bad, SALT, &page);                                   \
    assert_false (batch_decode (&page, SALT, bad.position, SEGMENT, &back)); \
  } while (0)
  HOSTILE (length, 0);
  HOSTILE (length, 4095);
  HOSTILE (length, SEGMENT - 4096);     /* onto the summary */
  HOSTILE (length, UINT32_MAX - 4095);
  HOSTILE (used, 63);
  HOSTILE (used, 8193);
  HOSTILE (watermark, b.position + 1);
  HOSTILE (position, 6 * SEGMENT - 8192);
#undef HOSTILE
}

/* The digest of a batch covers each header in it. */
static void
test_batch_digest (void **state)
{
  uint8_t *bytes = calloc (1, 64 << 10);
  uint32_t at = sizeof (struct format_batch), unit, n = 0;
  uint64_t digest, other;
  struct made m;
  size_t bit;
  int type;

  (void) state;
  assert_non_null (bytes);
  for (type = RECORD_WRITE; type <= RECORD_TYPE_MAX; ++type, ++n) {
    make_each (&m, type);
    memcpy (bytes + at, &m.header, sizeof m.header);
    memcpy (bytes + at + sizeof m.header, m.body, m.record.length);
    at += sizeof m.header + m.record.length;
  }
  assert_true (batch_digest (bytes, at, n, &digest));
  assert_false (batch_digest (bytes, at, n - 1, &other));
  assert_false (batch_digest (bytes, at, n + 1, &other));
  assert_false (batch_digest (bytes, at - GRANULE, n, &other));
  assert_false (batch_digest (bytes, at + GRANULE, n, &other));
  assert_false (batch_digest (bytes, 0, n, &other));

  /* the first record, its first unit's header, and the last mark */
  unit = sizeof (struct format_batch) + sizeof (struct format_record);
  for (bit = sizeof (struct format_batch) * 8; bit < at * 8ul; ++bit) {
    if (bit == (unit + sizeof (struct format_unit)) * 8)
      bit = (at - sizeof (struct format_mark)) * 8;
    flip (bytes, bit);
    assert_true (!batch_digest (bytes, at, n, &other) || other != digest);
    flip (bytes, bit);
  }
  free (bytes);
}

static void
test_segment_pages (void **state)
{
  const struct uuid uuid = { { 0xaa, 1, 2, 3 } }, other = { { 0xab } };
  const struct segment_header h = { 12, 70, 1700000000000000000, SEGMENT_HOT,
                                    9 };
  const struct segment_summary s = { 12, 1 << 20, 200, 4000, 9000, 70, 4070,
                                     3, 90000, 1700000000000000001, 5 };
  struct format_segment hp, hp2;
  struct format_summary sp, sp2;
  struct segment_header hb;
  struct segment_summary sb;
  size_t bit;

  (void) state;
  segment_header_encode (&h, &uuid, SALT, SEGMENT, &hp);
  segment_summary_encode (&s, SALT, SEGMENT, &sp);
  check_golden ("segment-header", &hp, sizeof hp);
  check_golden ("segment-summary", &sp, sizeof sp);
  assert_true (segment_header_decode (&hp, &uuid, SALT, SEGMENT, &hb));
  segment_header_encode (&hb, &uuid, SALT, SEGMENT, &hp2);
  assert_memory_equal (&hp2, &hp, sizeof hp);
  assert_false (segment_header_decode (&hp, &other, SALT, SEGMENT, &hb));
  assert_false (segment_header_decode (&hp, &uuid, SALT + 1, SEGMENT, &hb));
  assert_true (segment_summary_decode (&sp, SALT, SEGMENT, 12, &sb));
  segment_summary_encode (&sb, SALT, SEGMENT, &sp2);
  assert_memory_equal (&sp2, &sp, sizeof sp);
  assert_false (segment_summary_decode (&sp, SALT, SEGMENT, 11, &sb));

  for (bit = 0; bit < sizeof hp * 8; ++bit) {
    flip (&hp, bit);
    assert_false (segment_header_decode (&hp, &uuid, SALT, SEGMENT, &hb));
    flip (&hp, bit);
  }
  for (bit = 0; bit < sizeof sp * 8; ++bit) {
    flip (&sp, bit);
    if (segment_summary_decode (&sp, SALT, SEGMENT, 12, &sb))
      fail_msg ("bit %zu of a summary may flip", bit);
    flip (&sp, bit);
  }

  hb = h;
  hb.kind = 3;
  segment_header_encode (&hb, &uuid, SALT, SEGMENT, &hp);
  assert_false (segment_header_decode (&hp, &uuid, SALT, SEGMENT, &hb));
  sb = s;
  sb.data_end = SEGMENT;
  segment_summary_encode (&sb, SALT, SEGMENT, &sp);
  assert_false (segment_summary_decode (&sp, SALT, SEGMENT, 12, &sb));
}

static void
test_marks (void **state)
{
  struct format_mark page, again;
  struct mark back, bad;

  (void) state;
  mark_encode (&example_mark, &page);
  check_golden ("mark", &page, sizeof page);
  assert_true (mark_decode (&page, sizeof page, &back));
  mark_encode (&back, &again);
  assert_memory_equal (&again, &page, sizeof again);
  assert_false (mark_decode (&page, sizeof page - 1, &back));
  assert_false (mark_decode (&page, 0, &back));
  bad = example_mark;
  bad.point.seq = SEQ_MAX + 1;
  mark_encode (&bad, &page);
  assert_false (mark_decode (&page, sizeof page, &back));
}

/* ------------------------------------------------------------------ */

static void
test_map_entries (void **state)
{
  const uint64_t data = entry_data (1000, 77, UINT64_C (0x123456780), 4112);
  const uint64_t zero = entry_zero (1000, 77);
  const le64 golden[] = { htole64 (data), htole64 (zero),
                          htole64 (entry_data (0, 1, 4160, 16)),
                          htole64 (entry_zero (0, SEQ_MAX)) };

  (void) state;
  check_golden ("map-entries", golden, sizeof golden);
  assert_int_equal (entry_kind (data), ENTRY_DATA);
  assert_int_equal (entry_position (data), UINT64_C (0x123456780));
  assert_int_equal (entry_length (data), 4112);
  assert_true (entry_is_valid (data, 1000, 77));
  assert_int_equal (entry_kind (zero), ENTRY_ZERO);
  assert_int_equal (entry_zero_seq (zero), 77);
  assert_true (entry_is_valid (zero, 1000, 77));
  assert_true (entry_is_valid (0, 1000, 77));
  assert_int_equal (entry_zero_seq (entry_zero (5, SEQ_MAX)), SEQ_MAX);
  assert_int_equal (entry_position (entry_data (5, 1, (UINT64_C (1) << 44) -
                                                16, 16)),
                    (UINT64_C (1) << 44) - 16);
}

/* One flipped bit never makes data of zeros, zeros of data or nothing of
 * either; the 13 bits of check find nearly all others.
 */
static void
test_flipped_bits_of_a_map_entry (void **state)
{
  uint64_t block, seq, entry, flipped;
  unsigned i, bit, missed = 0;

  (void) state;
  for (i = 0; i < 2000; ++i) {
    block = next_random () % (UINT64_C (1) << 31);
    seq = next_random () & SEQ_MAX;
    entry = i % 2 ? entry_zero (block, seq)
      : entry_data (block, seq, (next_random () >> 21) * GRANULE,
                    (1 + next_random () % 257) * GRANULE);
    assert_true (entry_is_valid (entry, block, seq));
    for (bit = 0; bit < 64; ++bit) {
      flipped = entry ^ UINT64_C (1) << bit;
      if (!entry_is_valid (flipped, block,
                           entry_kind (flipped) == ENTRY_ZERO ?
                           entry_zero_seq (flipped) : seq))
        continue;
      assert_int_equal (entry_kind (flipped), entry_kind (entry));
      missed++;
    }
  }
  /* 1 in 8192 expected: about 15 */
  assert_in_range (missed, 0, 60);
}

/* ------------------------------------------------------------------ */

static void
example_super (struct super *s)
{
  unsigned i;

  memset (s, 0, sizeof *s);
  s->sequence = 3;
  s->uuid = (struct uuid) { { 0x10, 0x11 } };
  s->size = 64 << 20;
  s->capacity = 8 * SEGMENT;
  s->segment_size = SEGMENT;
  s->created_ns = 1700000000000000000;
  s->journal_salt = 0x1020;
  s->content_salt = 0x3040;
  s->lineage = (struct uuid) { { 0x20, 0x21 } };
  s->role = VOLUME_ROLE_SECONDARY;
  s->flags = SUPER_FLAGS;
  s->pair = (struct uuid) { { 0x30, 0x31 } };
  s->fence = 4;
  s->met_fence = 5;
  s->position = 7 * SEGMENT + 8192;
  s->point = (struct volume_point) { 0x66, 600, 1700000000000000002, 1 << 24 };
  s->incarnation = 8;
  s->opened = 17;
  s->map_slot = s->segments_slot = 1;
  s->segments_hash = 0x5060;
  s->durable_hint = 7 * SEGMENT + 12288;
  s->cold_position = (COLD_LAP_BASE + 2) * s->segment_size + 8192;
  s->oldest_seq = 9;
  s->oldest_position = SEGMENT;
  s->confirmed_seq = 590;
  s->stage.id = 0x7080;
  s->stage.since = 10;
  s->stage.start = 11;
  s->stage.salt = 0x90a0;
  s->stage.lineage = (struct uuid) { { 0x40, 0x41 } };
  s->stage.cursor = 12;
  s->stage.last = 13;
  s->stage.shown = (struct volume_point) { 0x88, 14, 15, 16 };
  s->discard_generation = 0x99;
  s->discard_seq = 17;
  for (i = 0; i < VOLUME_GENERATIONS_MAX + 2; ++i)
    generations_add (&s->generations, 100 + i, i * 10, &s->uuid);
  generations_add (&s->stage.generations, 0x77, 5, &s->lineage);
}

/* What a secondary knew of its primary ends where its own writing begins. */
static void
test_generations_superseded (void **state)
{
  static const struct uuid writer = { { 1 } };
  struct volume_generations table = { 0 };

  (void) state;
  generations_add (&table, 10, 1, &writer);
  generations_add (&table, 11, 49, &writer);
  generations_add (&table, 12, 55, &writer);
  generations_add (&table, 13, 49, &writer);
  assert_int_equal (table.count, 2);
  assert_int_equal (generations_at (&table, 48), 10);
  assert_int_equal (generations_at (&table, 60), 13);
}

static void
test_super (void **state)
{
  struct super s, back;
  struct format_super slot, again;
  size_t bit;

  (void) state;
  example_super (&s);
  assert_int_equal (s.generations.count, VOLUME_GENERATIONS_MAX);
  assert_int_equal (s.generations.table[0].id, 102);
  super_encode (&s, &slot);
  check_golden ("super", &slot, sizeof slot);
  assert_true (super_decode (&slot, &back));
  super_encode (&back, &again);
  assert_memory_equal (&again, &slot, sizeof slot);
  for (bit = 0; bit < sizeof slot * 8; ++bit) {
    flip (&slot, bit);
    assert_false (super_decode (&slot, &back));
    flip (&slot, bit);
  }

#define HOSTILE(field, value)                   \
  do {                                          \
    example_super (&s);                         \
    s.field = (value);                          \
    super_encode (&s, &slot);                   \
    assert_false (super_decode (&slot, &back)); \
  } while (0)
  HOSTILE (discard_seq, SEQ_MAX + 1);
  HOSTILE (size, 0);
  HOSTILE (size, 4096);
  HOSTILE (size, (64 << 20) + 512);
  HOSTILE (size, VOLUME_SIZE_MAX + 4096);
  HOSTILE (segment_size, 0);
  HOSTILE (segment_size, 4096);
  HOSTILE (segment_size, SEGMENT + 4096);
  HOSTILE (capacity, 0);
  HOSTILE (capacity, 8 * SEGMENT + 1);
  HOSTILE (capacity, UINT64_MAX - SEGMENT + 1);
  HOSTILE (role, 0);
  HOSTILE (role, VOLUME_ROLE_MAX + 1);
  HOSTILE (flags, SUPER_FLAGS + 1);
  HOSTILE (confirmed_seq, SEQ_MAX + 1);
  HOSTILE (map_slot, 2);
  HOSTILE (segments_slot, 2);
  HOSTILE (point.seq, SEQ_MAX + 1);
  HOSTILE (generations.table[3].id, 0);
#undef HOSTILE
}

static void
test_salvage (void **state)
{
  const struct salvage_info info = {
    .volume = { { 0x10, 0x11 } }, .pair = { { 0x30, 0x31 } },
    .lineage = { { 0x20, 0x21 } }, .size = 64 << 20,
    .content_salt = 0x3040, .saved_ns = 1700000000000000000,
    .kept_generation = 0x66, .kept_seq = 600,
    .last = { 0x77, 620, 1700000000000000002, 1 << 24 },
    .records = 2, .blocks = 5, .length = 12288,
  };
  struct salvage_info back;
  struct format_salvage page, again;
  size_t bit;

  (void) state;
  salvage_encode (&info, &page);
  check_golden ("salvage", &page, sizeof page);
  assert_true (salvage_decode (&page, &back));
  salvage_encode (&back, &again);
  assert_memory_equal (&again, &page, sizeof page);
  for (bit = 0; bit < sizeof page * 8; ++bit) {
    flip (&page, bit);
    assert_false (salvage_decode (&page, &back));
    flip (&page, bit);
  }
  back = info;
  back.size = 4096;
  salvage_encode (&back, &page);
  assert_false (salvage_decode (&page, &back));
  back = info;
  back.length = 80;
  salvage_encode (&back, &page);
  assert_false (salvage_decode (&page, &back));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_records_round_trip),
    cmocka_unit_test (test_records_golden),
    cmocka_unit_test (test_old_lz4_unit),
    cmocka_unit_test (test_units_round_trip),
    cmocka_unit_test (test_every_flipped_bit_of_a_record),
    cmocka_unit_test (test_hostile_records),
    cmocka_unit_test (test_hostile_bodies),
    cmocka_unit_test (test_noise),
    cmocka_unit_test (test_batch),
    cmocka_unit_test (test_batch_digest),
    cmocka_unit_test (test_segment_pages),
    cmocka_unit_test (test_marks),
    cmocka_unit_test (test_map_entries),
    cmocka_unit_test (test_flipped_bits_of_a_map_entry),
    cmocka_unit_test (test_generations_superseded),
    cmocka_unit_test (test_super),
    cmocka_unit_test (test_salvage),
  };

  return cmocka_run_group_tests_name ("volume record", tests, NULL, NULL);
}

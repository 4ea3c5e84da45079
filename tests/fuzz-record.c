/* Fuzzer of records and batches: the input is a record, or a batch of them,
 * as the journal and the link have them.
 */

#include <config.h>

#include <xxhash.h>

#include "fuzz.h"
#include "record.h"

/* As in the golden files. */
#define SALT UINT64_C (0x0123456789abcdef)
#define SEED UINT64_C (0xfedcba9876543210)
#define SEGMENT (UINT64_C (4) << 20)
#define DISK_BLOCKS UINT64_C (100000)

/* Make the hashes of all units right, as far as they can be told. */
static void
seal_units (const struct record *r, uint8_t *body)
{
  struct unit_walk walk = unit_walk_start (r, body);
  struct format_unit header;
  struct walked_unit u;
  uint64_t seq;

  while (unit_walk_next (&walk, &u) == 1) {
    memcpy (&header, u.stored, sizeof header);
    seq = u.unit.seq;
    header.hash = XXH3_64bits (u.stored + sizeof header, u.unit.length);
    header.meta = le64toh (header.meta) & ~SEQ_MAX;
    unit_seal (&header, SALT, u.block, seq);
    memcpy (body + u.offset, &header, sizeof header);
  }
}

static void
look_at_units (const struct record *r, const uint8_t *body)
{
  struct unit_walk walk = unit_walk_start (r, body);
  uint8_t block[VOLUME_BLOCK_SIZE];
  struct walked_unit u;
  struct unit unit;
  uint32_t n = 0;
  int more;

  while ((more = unit_walk_next (&walk, &u)) == 1) {
    FUZZ_CHECK (u.offset + unit_stored_size (&u.unit) <= r->length);
    FUZZ_CHECK (++n <= VOLUME_RECORD_BLOCKS_MAX);
    if (unit_verify (u.stored, unit_stored_size (&u.unit), SALT, u.block,
                     &unit))
      unit_expand (u.stored, &unit, block);
  }
  if (record_verify_body (r, body, SALT, DISK_BLOCKS))
    FUZZ_CHECK (more == 0 &&
                (r->type != RECORD_WRITE || r->block < DISK_BLOCKS));
}

/* Returns its length, 0 if it is none. */
static size_t
look_at_record (uint8_t *p, size_t size, uint64_t seed, bool fix)
{
  struct format_record *header = (struct format_record *) p;
  struct record r;
  uint8_t *body;

  if (size < sizeof *header)
    return 0;
  if (fix)
    record_reseed (header, seed);
  if (!record_decode (header, seed, &r) || r.length > size - sizeof *header)
    return 0;
  FUZZ_CHECK (r.length <= RECORD_BODY_MAX);
  /* Memory that ends where the body ends. */
  body = fuzz_copy (p + sizeof *header, r.length, 0);
  if (!record_type_is_mark (r.type) && r.length > 0) {
    if (fix)
      seal_units (&r, body);
    look_at_units (&r, body);
  }
  else
    record_verify_body (&r, body, SALT, DISK_BLOCKS);
  free (body);
  return sizeof *header + r.length;
}

static void
look_at_batch (uint8_t *p, size_t size, bool fix)
{
  struct format_batch *header = (struct format_batch *) p;
  uint64_t position = le64toh (header->position), digest;
  struct batch b;
  uint8_t *copy;

  if (fix) {
    header->magic = htole32 (BATCH_MAGIC);
    header->hash = htole64 (XXH3_64bits_withSeed
                            (header, offsetof (struct format_batch, hash),
                             position_seed (SALT, position)));
  }
  if (batch_decode (header, SALT, position, SEGMENT, &b)) {
    FUZZ_CHECK (b.used <= b.length && b.length <= SEGMENT);
    if (b.length <= size) {
      copy = fuzz_copy (p, b.used, 0);
      batch_digest (copy, b.used, b.records, &digest);
      free (copy);
    }
  }
  /* Whatever the header says, for the sake of the walk. */
  batch_digest (p, size, le32toh (header->records) % 64, &digest);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  size_t at, n;
  uint8_t *p;
  int fix;

  for (fix = 0; fix <= 1; ++fix) {
    p = fuzz_copy (data, size, 0);
    for (at = 0; at < size; at += n) {
      n = look_at_record (p + at, size - at, SEED, fix);
      if (n == 0)
        break;
    }
    free (p);
    if (size < sizeof (struct format_batch))
      continue;
    p = fuzz_copy (data, size, 0);
    for (at = sizeof (struct format_batch); at < size; at += n) {
      n = look_at_record (p + at, size - at, SEED, fix);
      if (n == 0)
        break;
    }
    look_at_batch (p, size, fix);
    free (p);
  }
  return 0;
}

/* Records, units, batches and segment pages: layout to bytes and back.
 *
 * Pure: no I/O, no locks, no clock.  Everything read from a disk or a peer is
 * checked here before anybody else uses a field of it.
 */

#ifndef PAIRDISK_VOLUME_RECORD_H
#define PAIRDISK_VOLUME_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format.h"
#include "volume.h"

/* Largest body: 256 located units, all raw. */
#define UNIT_STORED_MAX (sizeof (struct format_unit) + VOLUME_BLOCK_SIZE)
#define RECORD_BODY_MAX \
  (VOLUME_RECORD_BLOCKS_MAX * (UNIT_STORED_MAX + \
                               sizeof (struct format_locator)))
#define RECORD_MAX (sizeof (struct format_record) + RECORD_BODY_MAX)

/* A record without data covers at most this much of the disk. */
#define RECORD_ZERO_BLOCKS_MAX (UINT32_C (1) << 18)   /* 1 GiB */

#define ROUND_UP(n, m) (((n) + (m) - 1) / (m) * (m))

struct record {
  enum format_record_type type;
  uint32_t length;             /* of the body */
  uint64_t seq, generation, time_ns, bytes;
  uint64_t block;
  uint32_t nblocks;
};

static inline bool
record_type_is_mark (enum format_record_type type)
{
  return type >= RECORD_STAGE_BEGIN && type <= RECORD_STAGE_DROP;
}

/* Seed of the hashes of what stands at logical position POS. */
static inline uint64_t
position_seed (uint64_t journal_salt, uint64_t pos)
{
  return journal_salt + pos * UINT64_C (0x9e3779b97f4a7c15);
}

extern void record_encode (const struct record *record, uint64_t seed,
                           struct format_record *ret);

/* False unless the header is whole, bounded and hashed with SEED. */
extern bool record_decode (const struct format_record *header, uint64_t seed,
                           struct record *ret);

/* Hash an encoded header anew, for another place. */
extern void record_reseed (struct format_record *header, uint64_t seed);

/* ------------------------------------------------------------------ */

struct unit {
  uint64_t seq;
  unsigned codec;              /* UNIT_ZERO, UNIT_RAW, UNIT_LZ4 */
  uint32_t length;             /* stored bytes, without header and padding */
};

/* Header, data and padding. */
static inline uint32_t
unit_stored_size (const struct unit *unit)
{
  return ROUND_UP (sizeof (struct format_unit) + unit->length, GRANULE);
}

/* Compress one block into RET (8-aligned); the header is unfinished until
 * unit_seal.  ACCELERATION is lz4's.  Returns the stored size, which is
 * UNIT_STORED_MAX at most; while it works it needs room for UNIT_ENCODE_SLACK
 * bytes more.
 */
#define UNIT_ENCODE_SLACK 32u
extern uint32_t unit_encode (const void *block, int acceleration, void *ret);

/* Give an encoded unit its seq and its hash. */
extern void unit_seal (void *unit, uint64_t salt, uint64_t block,
                       uint64_t seq);

/* Bounds of a unit header, with SIZE bytes there in all. */
extern bool unit_decode_header (const void *stored, size_t size,
                                struct unit *ret);

/* True if the stored unit (SIZE bytes are there) is what was sealed. */
extern bool unit_verify (const void *stored, size_t size, uint64_t salt,
                         uint64_t block, struct unit *ret);

/* Expand a verified unit to one block.  False: it does not expand to exactly
 * one block (then nothing in RET is to be used).
 */
extern bool unit_expand (const void *stored, const struct unit *unit,
                         void *ret);

extern bool block_is_zero (const void *block);

/* ------------------------------------------------------------------ */

/* Walk the units of a record's body. */
struct unit_walk {
  const struct record *record;
  const uint8_t *body;
  uint32_t offset;             /* next unit, within the body */
  uint32_t done;               /* units seen */
};

struct walked_unit {
  struct unit unit;
  const uint8_t *stored;       /* its header */
  uint32_t offset;             /* of stored, within the body */
  uint64_t block;
  uint64_t origin;             /* MOVE: the map entry it came from */
};

static inline struct unit_walk
unit_walk_start (const struct record *record, const void *body)
{
  return (struct unit_walk) { record, body, 0, 0 };
}

/* 1: RET filled; 0: that was all of them; -1: the body is malformed. */
extern int unit_walk_next (struct unit_walk *walk, struct walked_unit *ret);

/* Does the whole body verify: every unit of a record with data, the size of
 * a mark, the disk's bounds (NBLOCKS blocks).
 */
extern bool record_verify_body (const struct record *record, const void *body,
                                uint64_t salt, uint64_t nblocks);

/* ------------------------------------------------------------------ */

struct batch {
  uint32_t length, used, records;
  uint64_t position, watermark, first_seq;
  uint32_t incarnation;
  uint64_t digest;
};

/* One hash over the headers of all records and units and over marks, of a
 * whole batch in memory: USED bytes.  Where power failed in a write there may
 * be sectors that an earlier opening wrote to the same place and lost, with
 * the same seqs: each of their records verifies, this does not.  False: it is
 * not RECORDS whole records.
 */
extern bool batch_digest (const void *batch, uint32_t used, uint32_t records,
                          uint64_t *ret);

extern void batch_encode (const struct batch *batch, uint64_t journal_salt,
                          struct format_batch *ret);
extern bool batch_decode (const struct format_batch *header,
                          uint64_t journal_salt, uint64_t position,
                          uint64_t segment_size, struct batch *ret);

struct segment_header {
  uint64_t lap, first_seq, opened_ns;
  uint32_t kind, incarnation;
};

extern void segment_header_encode (const struct segment_header *header,
                                   const struct uuid *uuid,
                                   uint64_t journal_salt,
                                   uint64_t segment_size,
                                   struct format_segment *ret);

/* False unless it is the header of a use of this volume's segment. */
extern bool segment_header_decode (const struct format_segment *header,
                                   const struct uuid *uuid,
                                   uint64_t journal_salt,
                                   uint64_t segment_size,
                                   struct segment_header *ret);

struct segment_summary {
  uint64_t lap;
  uint32_t data_end, batches;
  uint64_t records, units, first_seq, last_seq, first_block, end_block;
  uint64_t closed_ns, zeros;
};

extern void segment_summary_encode (const struct segment_summary *summary,
                                    uint64_t journal_salt,
                                    uint64_t segment_size,
                                    struct format_summary *ret);
extern bool segment_summary_decode (const struct format_summary *summary,
                                    uint64_t journal_salt,
                                    uint64_t segment_size, uint64_t lap,
                                    struct segment_summary *ret);

/* ------------------------------------------------------------------ */

/* Marks. */
struct mark {
  uint64_t stage_id, since, start, salt;
  struct uuid lineage;
  struct volume_point point;
  uint64_t cursor;
};

extern void mark_encode (const struct mark *mark, struct format_mark *ret);
extern bool mark_decode (const void *body, size_t length, struct mark *ret);

/* ------------------------------------------------------------------ */

/* The head page of a salvage file; false unless hash and bounds hold. */
extern void salvage_encode (const struct salvage_info *info,
                            struct format_salvage *ret);
extern bool salvage_decode (const struct format_salvage *page,
                            struct salvage_info *ret);

/* ------------------------------------------------------------------ */

/* Map entries. */
static inline unsigned
entry_kind (uint64_t entry)
{
  return entry >> 62;
}

static inline uint64_t
entry_position (uint64_t entry)        /* byte in the journal file */
{
  return (entry & ((UINT64_C (1) << 40) - 1)) * GRANULE;
}

static inline uint32_t
entry_length (uint64_t entry)          /* bytes, header included */
{
  return ((entry >> 40) & 0x1ff) * GRANULE;
}

static inline uint64_t
entry_zero_seq (uint64_t entry)
{
  return entry & SEQ_MAX;
}

extern uint64_t entry_data (uint64_t block, uint64_t seq, uint64_t position,
                            uint32_t length);
extern uint64_t entry_zero (uint64_t block, uint64_t seq);

/* Births: encode, and decode to a seq (0: unwritten); false: garbled. */
extern uint64_t birth_encode (uint64_t block, uint64_t seq);
extern bool birth_decode (uint64_t birth, uint64_t block, uint64_t *ret_seq);

/* Is ENTRY one that was made for BLOCK?  SEQ: of the unit it points to (for
 * a zero entry it is its own).  Unwritten is valid only as 0.
 */
extern bool entry_is_valid (uint64_t entry, uint64_t block, uint64_t seq);

#endif /* PAIRDISK_VOLUME_RECORD_H */

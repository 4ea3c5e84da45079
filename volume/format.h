/* The volume on disk.  All integers are little-endian; reserved bytes are
 * zero and checked.  The story and the reasons: docs/design/volume-format.md.
 *
 * No functions live here: record.c, super.c, segment.c and map.c have them.
 *
 *   super       SUPER_SLOTS slots of SUPER_SIZE bytes, written in turn
 *   segments.N  two copies of the segment table, written in turn
 *   map.N       a header page, then 8 bytes for each block of the disk
 *   births.N    a header page, then 8 bytes for each block of the disk
 *   journal     segments of segment_size bytes
 *
 * A segment:  header page | batches ... | summary page (last 4 KiB)
 * A batch:    64 byte header, records; padded to 4 KiB; written at once
 * A record:   64 byte header, body (multiple of 16 bytes)
 * A unit:     16 byte header, stored data padded to 16 bytes
 *
 * A logical position counts bytes of all segments ever used: lap *
 * segment_size + offset, where lap numbers the uses of segments: from 1 for
 * hot ones (records as they came), from COLD_LAP_BASE for cold ones (units
 * that the cleaner moved).
 * Every hash in the journal but a unit's is seeded with the volume's journal
 * salt and the logical position, so that what an earlier lap left behind
 * never passes.
 */

#ifndef PAIRDISK_VOLUME_FORMAT_H
#define PAIRDISK_VOLUME_FORMAT_H

#include <assert.h>
#include <stdint.h>

#define FORMAT_VERSION 1

#define FORMAT_PAGE 4096u           /* smallest write to any file */
#define GRANULE 16u                 /* positions and lengths in the map */

typedef uint64_t le64;              /* little-endian on disk; the codec */
typedef uint32_t le32;              /* functions convert */
typedef uint16_t le16;

/* ------------------------------------------------------------------ */

#define SUPER_MAGIC "PAIRDISK"
#define SUPER_SLOTS 4u
#define SUPER_SIZE 4096u

#define SUPER_CLEAN        (1u << 0)  /* closed in order: nothing to replay */
#define SUPER_FENCED       (1u << 1)  /* met_fence > fence: no guest writes */
#define SUPER_STAGE        (1u << 2)  /* a stage is open */
#define SUPER_NEW_WRITER   (1u << 3)  /* next guest write: new generation */
#define SUPER_SYNCED       (1u << 4)  /* secondary: what is shown is of its pair */
#define SUPER_DISCARD      (1u << 5)  /* secondary: what it holds after
                                         discard_seq is given up */
#define SUPER_SALVAGE      (1u << 6)  /* ... as soon as it has been saved */
#define SUPER_AHEAD        (1u << 7)  /* secondary: takes records that the primary
                                         may not hold durably yet */
#define SUPER_FLAGS        0xffu

struct format_generation {
  le64 id;                  /*  0 */
  le64 first_seq;           /*  8 */
  uint8_t writer[16];       /* 16 */
};
static_assert (sizeof (struct format_generation) == 32, "layout");

struct format_super {
  uint8_t magic[8];         /*    0 */
  le32 version;             /*    8 */
  le32 slots;               /*   12  SUPER_SLOTS */
  le64 sequence;            /*   16  highest valid slot wins */
  uint8_t uuid[16];         /*   24 */
  le64 size;                /*   40  bytes of the disk */
  le64 capacity;            /*   48  bytes of the journal at most */
  le64 segment_size;        /*   56 */
  le64 created_ns;          /*   64 */
  le64 journal_salt;        /*   72  this site's journal */
  le64 content_salt;        /*   80  the replicated content: unit hashes */
  uint8_t lineage[16];      /*   88 */
  le32 role;                /*  104  enum volume_role */
  le32 flags;               /*  108 */
  uint8_t pair[16];         /*  112 */
  le64 fence;               /*  128 */
  le64 met_fence;           /*  136 */
  /* checkpoint: the map holds everything before this position */
  le64 position;            /*  144  logical */
  le64 seq;                 /*  152 */
  le64 generation;          /*  160 */
  le64 time_ns;             /*  168 */
  le64 bytes;               /*  176 */
  le32 incarnation;         /*  184  batches from here on have it or more */
  le32 map_slot;            /*  188  0 or 1: which map.N is the disk */
  le32 segments_slot;       /*  192  which copy of the segment table */
  le32 opened;              /*  196  incarnation of the last opening */
  le64 segments_hash;       /*  200 */
  le64 durable_hint;        /*  208  logical; all before it was durable */
  le64 oldest_seq;          /*  216  first record the journal holds whole */
  le64 oldest_position;     /*  224  logical, of the batch it is in */
  /* stage, if SUPER_STAGE */
  le64 stage_id;            /*  232 */
  le64 stage_since;         /*  240 */
  le64 stage_start;         /*  248 */
  le64 stage_salt;          /*  256 */
  uint8_t stage_lineage[16];/*  264 */
  le64 stage_cursor;        /*  280  blocks */
  le64 stage_last;          /*  288  seq */
  le64 shown_generation;    /*  296  what the disk shows meanwhile */
  le64 shown_seq;           /*  304 */
  le64 shown_time_ns;       /*  312 */
  le64 shown_bytes;         /*  320 */
  le64 cold_position;       /*  328  like position, of the cold segments */
  le64 discard_generation;  /*  336  if SUPER_DISCARD: the last point that */
  le64 discard_seq;         /*  344  is kept; 0: nothing is */
  le64 confirmed_seq;       /*  352  if SUPER_AHEAD */
  uint8_t reserved2[664];   /*  360 */
  le32 generation_count;    /* 1024 */
  le32 reserved3;           /* 1028 */
  struct format_generation generations[32]; /* 1032 */
  le32 stage_generation_count; /* 2056  the table a stage's commit brings */
  le32 reserved4;           /* 2060 */
  struct format_generation stage_generations[32]; /* 2064 */
  uint8_t reserved5[1000];  /* 3088 */
  le64 hash;                /* 4088  XXH3 of the bytes before */
};
static_assert (sizeof (struct format_super) == SUPER_SIZE, "layout");

/* ------------------------------------------------------------------ */

/* Segment table: header page, then an entry for each segment. */
#define SEGTABLE_MAGIC UINT32_C (0x54474553)  /* "SEGT" */

struct format_segtable {
  le32 magic;               /*  0 */
  le32 version;             /*  4 */
  le64 count;               /*  8  entries */
  uint8_t uuid[16];         /* 16 */
  uint8_t reserved[4064];   /* 32 */
};
static_assert (sizeof (struct format_segtable) == FORMAT_PAGE, "layout");

struct format_segentry {
  le64 lap;                 /*  0  0: free */
  le64 first_seq;           /*  8  next seq when it was opened */
  le32 live;                /* 16  granules the map refers to */
  le32 reserved;            /* 20 */
};
static_assert (sizeof (struct format_segentry) == 24, "layout");

/* ------------------------------------------------------------------ */

#define SEGMENT_MAGIC UINT32_C (0x484d4753)   /* "SGMH" */
#define SUMMARY_MAGIC UINT32_C (0x534d4753)   /* "SGMS" */

/* First page of a segment (the rest of the page is zero). */
struct format_segment {
  le32 magic;               /*  0 */
  le32 version;             /*  4 */
  le64 lap;                 /*  8 */
  le64 first_seq;           /* 16  next seq when it was opened */
  le64 opened_ns;           /* 24 */
  uint8_t uuid[16];         /* 32 */
  le32 kind;                /* 48  SEGMENT_HOT or SEGMENT_COLD */
  le32 incarnation;         /* 52 */
  le64 hash;                /* 56 */
};
static_assert (sizeof (struct format_segment) == 64, "layout");

#define COLD_LAP_BASE (UINT64_C (1) << 32)

#define SEGMENT_HOT  1u              /* records in the order of their seq */
#define SEGMENT_COLD 2u              /* units moved by the cleaner */

/* Last page: what the segment holds. */
struct format_summary {
  le32 magic;               /*  0 */
  le32 version;             /*  4 */
  le64 lap;                 /*  8 */
  le32 data_end;            /* 16  offset after the last batch */
  le32 batches;             /* 20 */
  le64 records;             /* 24 */
  le64 units;               /* 32 */
  le64 first_seq;           /* 40  of guest records in it; 0: none */
  le64 last_seq;            /* 48 */
  le64 first_block;         /* 56  blocks touched lie in */
  le64 end_block;           /* 64  [first_block, end_block) */
  le64 closed_ns;           /* 72 */
  le64 zeros;               /* 80  records and units that say "zero" */
  uint8_t reserved[32];     /* 88 */
  le64 hash;                /* 120 */
};
static_assert (sizeof (struct format_summary) == 128, "layout");

#define BATCH_MAGIC UINT32_C (0x48434250)     /* "PBCH" */

struct format_batch {
  le32 magic;               /*  0 */
  le32 length;              /*  4  whole batch, multiple of 4096 */
  le32 used;                /*  8  bytes of header and records */
  le32 records;             /* 12 */
  le64 position;            /* 16  logical, of this header */
  le64 watermark;           /* 24  logical: durable when this was written */
  le64 first_seq;           /* 32  next seq when it was opened */
  le32 incarnation;         /* 40 */
  le32 reserved1;           /* 44 */
  le64 digest;              /* 48  of what it holds: batch_digest */
  le64 hash;                /* 56 */
};
static_assert (sizeof (struct format_batch) == 64, "layout");

/* ------------------------------------------------------------------ */

#define RECORD_MAGIC UINT16_C (0x5244)        /* "DR" */

enum format_record_type {
  RECORD_WRITE = 1,         /* units of nblocks blocks from block on */
  RECORD_ZERO = 2,          /* no body: blocks read as zeros */
  RECORD_TRIM = 3,          /* the same, and the space is given up */
  RECORD_DELTA = 4,         /* nblocks located units, each of its own seq */
  RECORD_MOVE = 5,          /* the same, moved by the cleaner */
  RECORD_STAGE_BEGIN = 6,   /* marks: body is a struct format_mark; */
  RECORD_STAGE_CURSOR = 7,  /* their seq is that of the record before */
  RECORD_STAGE_COMMIT = 8,
  RECORD_STAGE_DROP = 9,
  RECORD_KEEP_ZERO = 10,    /* moved: the blocks have read as zeros since seq */
  RECORD_TYPE_MAX = RECORD_KEEP_ZERO
};

struct format_record {
  le16 magic;               /*  0 */
  uint8_t version;          /*  2 */
  uint8_t type;             /*  3 */
  le32 length;              /*  4  of the body */
  le64 seq;                 /*  8  below 2^48 */
  le64 generation;          /* 16  in whose history all that it says is */
  le64 time_ns;             /* 24  wall clock of the writer */
  le64 bytes;               /* 32  guest bytes written up to and with this */
  le64 block;               /* 40 */
  le32 nblocks;             /* 48 */
  le32 flags;               /* 52  none yet: 0 */
  le64 hash;                /* 56  of the header; in the journal seeded with
                                   its position, on the wire with the salt
                                   of the content */
};
static_assert (sizeof (struct format_record) == 64, "layout");

/* Before each unit in RECORD_DELTA and RECORD_MOVE. */
struct format_locator {
  le64 block;               /*  0 */
  le64 origin;              /*  8  map entry it was copied from, else 0 */
};
static_assert (sizeof (struct format_locator) == 16, "layout");

/* meta: bits 0-47 seq, 48-60 stored length (0 to 4096), 61-63 codec.
 * hash: see unit_hash in record.h; covers salt, block, meta and data.
 */
struct format_unit {
  le64 hash;                /*  0 */
  le64 meta;                /*  8 */
};
static_assert (sizeof (struct format_unit) == 16, "layout");

#define UNIT_ZERO 0u
#define UNIT_RAW  1u
#define UNIT_LZ4  2u

struct format_mark {
  le64 stage_id;            /*  0 */
  le64 since;               /*  8 */
  le64 start;               /* 16 */
  le64 salt;                /* 24 */
  uint8_t lineage[16];      /* 32 */
  le64 generation;          /* 48  the point that the disk shows after it */
  le64 seq;                 /* 56 */
  le64 time_ns;             /* 64 */
  le64 bytes;               /* 72 */
  le64 cursor;              /* 80  STAGE_CURSOR: blocks */
  le64 hash;                /* 88  XXH3 of the bytes before */
};
static_assert (sizeof (struct format_mark) == 96, "layout");

/* ------------------------------------------------------------------ */

/* A salvage file: this page, then records of type RECORD_DELTA as on the wire,
 * their headers hashed with the salt of the content.  What a disk gave up, as
 * blocks in the version they had then.  The page is written last.
 */
#define SALVAGE_MAGIC "PAIRDSAL"

struct format_salvage {
  uint8_t magic[8];         /*   0 */
  le32 version;             /*   8 */
  le32 reserved1;           /*  12 */
  uint8_t uuid[16];         /*  16  of the volume */
  uint8_t pair[16];         /*  32 */
  uint8_t lineage[16];      /*  48 */
  le64 size;                /*  64  bytes of the disk */
  le64 content_salt;        /*  72 */
  le64 saved_ns;            /*  80 */
  le64 kept_generation;     /*  88  the last point that was not given up */
  le64 kept_seq;            /*  96 */
  le64 generation;          /* 104  the last one that was */
  le64 seq;                 /* 112 */
  le64 time_ns;             /* 120 */
  le64 bytes;               /* 128 */
  le64 records;             /* 136  that follow */
  le64 blocks;              /* 144  in them */
  le64 length;              /* 152  of the file */
  uint8_t reserved2[3928];  /* 160 */
  le64 hash;                /* 4088 */
};
static_assert (sizeof (struct format_salvage) == FORMAT_PAGE, "layout");

/* ------------------------------------------------------------------ */

#define MAP_MAGIC "PAIRDMAP"
#define BIRTHS_MAGIC "PAIRDBIR"

/* First page of map.N and births.N. */
struct format_table {
  uint8_t magic[8];         /*  0 */
  le32 version;             /*  8 */
  le32 reserved1;           /* 12 */
  le64 count;               /* 16  entries when it was made: a disk that has
                                   grown since has more */
  uint8_t uuid[16];         /* 24 */
  uint8_t reserved2[4048];  /* 40 */
  le64 hash;                /* 4088 */
};
static_assert (sizeof (struct format_table) == FORMAT_PAGE, "layout");

/* A map entry is 0 (unwritten) or
 *   bits 62-63  kind: 1 data, 2 zero (so that one flipped bit never turns
 *               one into the other or into unwritten)
 *   bits 49-61  check over block, seq and the bits below
 *   data: 40-48 length, header included, in granules; 0-39 position in the
 *         journal file in granules
 *   zero: 0-47  seq
 */
#define ENTRY_UNWRITTEN 0u
#define ENTRY_DATA 1u
#define ENTRY_ZERO 2u

#define SEQ_MAX ((UINT64_C (1) << 48) - 1)

/* A birth is 0 (unwritten) or the seq of the block's version (bits 0-47)
 * with 16 check bits over block and seq.  Map and births vouch for each
 * other: an entry's check bits cover the seq that its birth names, so that a
 * stale page of either does not pass beside a fresh one of the other.
 */

#endif /* PAIRDISK_VOLUME_FORMAT_H */

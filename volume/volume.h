/* A log-structured disk: the journal is the disk, the map finds the blocks.
 *
 * This is everything that other directories may use of volume/.  The formats
 * are in format.h, the files they are in and the reasons in
 * docs/design/volume-format.md.
 *
 * All functions return -1 (or NULL) with errno set unless they say
 * otherwise; none prints.  Guest-side calls (read, write, zero, flush,
 * extents) may be made from any number of threads at once, and so may
 * volume_get_status.  Role, stage and replica calls may be made from any
 * thread; each says what it excludes.
 *
 * Promises (docs/design/promises.md): what was flushed is read back after any
 * crash; a read returns what was last written or an error.
 */

#ifndef PAIRDISK_VOLUME_H
#define PAIRDISK_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "uuid.h"

#define VOLUME_BLOCK_SIZE 4096u            /* a block, and a unit */
#define VOLUME_SIZE_MIN (UINT64_C (1) << 20)
#define VOLUME_SIZE_MAX (UINT64_C (1) << 43)  /* 8 TiB */
#define VOLUME_CAPACITY_MAX (UINT64_C (1) << 44)
#define VOLUME_NAME_MAX 64                 /* of an export name */
#define VOLUME_GENERATIONS_MAX 32
#define VOLUME_RECORD_BLOCKS_MAX 256u      /* data blocks in one record */

struct volume;
struct volume_io;        /* table of I/O functions, see io.h */

enum volume_role {
  VOLUME_ROLE_UNSET = 0,
  VOLUME_ROLE_STANDALONE,  /* no pair: serves guests */
  VOLUME_ROLE_PRIMARY,     /* serves guests; its records go to a peer */
  VOLUME_ROLE_SECONDARY,   /* takes a peer's records; guests are refused */
  VOLUME_ROLE_MAX = VOLUME_ROLE_SECONDARY
};
extern const char *volume_role_name (enum volume_role role);

/* Who wrote from which seq on.  See design section 6. */
struct volume_generation {
  uint64_t id;             /* random, never 0 */
  uint64_t first_seq;
  struct uuid writer;      /* volume UUID of the writing site */
};

struct volume_generations {
  uint32_t count;
  struct volume_generation table[VOLUME_GENERATIONS_MAX];  /* oldest first */
};

/* A moment in the life of a disk's content. */
struct volume_point {
  uint64_t generation;     /* id, 0: nothing ever written */
  uint64_t seq;            /* the last record in it */
  uint64_t time_ns;        /* wall clock when that record was made */
  uint64_t bytes;          /* guest bytes written, counted from creation */
};

/* ------------------------------------------------------------------ */
/* Making, opening, closing.                                           */

struct volume_params {
  uint64_t size;           /* bytes, multiple of 4096 */
  uint64_t capacity;       /* journal bytes; 0: default for the size */
  uint64_t segment_size;   /* 0: default (32 MiB, smaller for tiny disks) */
};

/* Is NAME fit to be an export and a directory: [A-Za-z0-9][A-Za-z0-9._-]*. */
extern bool volume_name_is_valid (const char *name);

/* Make the directory PATH (must not exist, or be empty) with an empty volume
 * in it.  On failure nothing is left behind, and what an interrupted call
 * left is put away.  IO NULL: the real files.
 */
extern int volume_create (const struct volume_io *io, const char *path,
                          const struct volume_params *params,
                          struct error *err);

/* Remove what a volume_create or volume_destroy that was interrupted left at
 * PATH, if nobody is at it.  0: done; -1: it is something else, or busy.
 */
extern int volume_remove_unfinished (const struct volume_io *io,
                                     const char *path);

/* Delete the volume's files and the directory PATH.  EBUSY when it is open
 * somewhere; refuses (ENOTDIR, EINVAL) what is not a volume, but for the
 * unfinished.
 */
extern int volume_destroy (const struct volume_io *io, const char *path,
                           struct error *err);

struct volume_options {
  uint64_t staging_bytes;  /* 0: default (32 MiB): bound on undurable data */
  unsigned commit_delay_ms;/* 0: default; longest life of an unwritten record */
  uint64_t checkpoint_bytes; /* 0: default (256 MiB): of journal between two; writers
                              wait for one when they are four times ahead */
};

/* Open and recover the volume at PATH.  Takes an exclusive lock on it
 * (EBUSY when another process has it).  After a crash the tail is cut at the
 * first torn record; damage below the commit watermark makes this fail with
 * EUCLEAN and a message that says where.
 */
extern struct volume *volume_open (const struct volume_io *io,
                                   const char *path,
                                   const struct volume_options *options,
                                   struct error *err);

/* Flush, checkpoint, unlock, free.  The volume is gone whatever is returned;
 * -1 says that the last data may not be durable.  No other call may be
 * running or follow.
 */
extern int volume_close (struct volume *v, struct error *err);

/* Grow the disk to SIZE, its journal to CAPACITY (made a multiple of the
 * segment size), or both in one step, while it is in use; durable on return,
 * and after a crash all or nothing of it.  0: as it is, but without CAPACITY
 * the journal keeps its proportion to a disk that grows.  The same size again
 * is fine.
 * EINVAL: less than it is, or out of bounds.  EPERM: SIZE grows and the
 * volume is in a pair.  ENOSPC: no room for the tables, and nothing changed.
 */
extern int volume_resize (struct volume *v, uint64_t size, uint64_t capacity,
                          struct error *err);

/* ------------------------------------------------------------------ */
/* The guest's side.  Bounds are checked: outside the disk is EINVAL.   */

#define VOLUME_FUA  (1u << 0)   /* durable when the call returns */
#define VOLUME_TRIM (1u << 1)   /* zero: the space is given up */

extern uint64_t volume_size (const struct volume *v);

/* EIO: a block fails its checksum or the medium its read (buffer contents
 * are then undefined; nothing wrong is ever returned with success).
 */
extern int volume_read (struct volume *v, void *buf, uint32_t count,
                        uint64_t offset);

/* Writes are acknowledged when readers would see them; durable after a
 * flush, or at return with VOLUME_FUA.  ENOSPC: journal full, nothing of this
 * record was written (a call of more than 1 MiB may be done in part, as on
 * any disk).  EIO: the journal failed, now and for good.  EROFS: role,
 * fence or fault forbids writing.
 */
extern int volume_write (struct volume *v, const void *buf, uint32_t count,
                         uint64_t offset, unsigned flags);

/* Make the range read as zeros; cheap at any length. */
extern int volume_zero (struct volume *v, uint64_t count, uint64_t offset,
                        unsigned flags);

extern int volume_flush (struct volume *v);

enum volume_extent { VOLUME_EXTENT_DATA = 1, VOLUME_EXTENT_ZERO,
                     VOLUME_EXTENT_HOLE };

/* Call FN for runs of one kind that together cover the range, in order; stop
 * early when it returns nonzero (returned as is).
 */
extern int volume_extents (struct volume *v, uint64_t count, uint64_t offset,
                           int (*fn) (void *opaque, uint64_t offset,
                                      uint64_t length,
                                      enum volume_extent kind),
                           void *opaque);

/* ------------------------------------------------------------------ */
/* What it is and how it fares.                                         */

struct volume_status {
  struct uuid uuid;
  uint64_t size, capacity, segment_size;
  uint64_t room;             /* with about so much live it is full */
  uint64_t used;             /* bytes of journal in segments in use */
  uint64_t live;             /* bytes in them that the map refers to */
  bool is_usage_known;       /* of both; false: probed, and damaged */
  enum volume_role role;
  struct uuid pair;          /* null when standalone */
  uint64_t fence;
  uint64_t met_fence;        /* the highest met at a peer, 0: none */
  bool is_fenced;            /* it is higher than ours: no writes */
  bool is_synced;            /* false: secondary, and what it shows is still
                                its own, from before the pair */
  bool is_failed;            /* a journal write failed: read-only for good */
  char failure[240];
  struct volume_point appended;  /* newest record acknowledged */
  struct volume_point durable;   /* newest record durable here */
  struct volume_point committed; /* what the map shows (secondary: its last
                                    commit point, else as durable) */
  uint64_t confirmed_seq;    /* secondary: of what is committed, the primary
                                holds at least this durably; less than all
                                only after volume_set_ahead */
  struct volume_generations generations;
  uint64_t oldest_seq;       /* oldest record the journal still holds whole */
  struct {                   /* a staged initial sync or delta */
    bool is_active;
    uint64_t id;             /* names the attempt */
    uint64_t since_seq;      /* 0: initial, else delta since this seq */
    uint64_t start_seq;      /* stream follows from start_seq + 1 */
    uint64_t cursor;         /* blocks below this are staged durably */
    uint64_t last_seq;       /* newest stream record staged durably */
  } stage;
  struct {                   /* secondary: volume_demote was called, and what
                                it wrote has not been replaced yet */
    bool is_pending;
    bool is_unsaved;         /* it is kept until volume_salvaged */
    uint64_t generation, seq;   /* the last point that is not given up */
  } discard;
  uint64_t checksum_errors, read_errors;   /* since open */
  uint64_t guest_writes, guest_reads, flushes;
};

extern void volume_get_status (struct volume *v, struct volume_status *ret);

/* XXH3-64 of the whole content at the last commit point (holes are zeros).
 * For tests and verification; takes as long as reading the disk.  The caller
 * keeps writers away.
 */
extern int volume_digest (struct volume *v, uint64_t *ret, struct error *err);

#define VOLUME_SCRUB_BAD_MAX 16

struct volume_scrub_result {
  uint64_t units, bytes;     /* verified; read from the medium */
  uint64_t errors;           /* blocks that cannot be read or do not verify */
  uint64_t bad[VOLUME_SCRUB_BAD_MAX];   /* the first of them */
};

/* Read from the medium and verify what is live in at most NBLOCKS blocks from
 * *BLOCK on, and at most 1 MiB of it; advances *BLOCK, up to the disk's end,
 * and adds to RET.  Guests may go on.  What is found counts in the status,
 * too.  -1: ENOMEM.
 */
extern int volume_scrub (struct volume *v, uint64_t *block, uint64_t nblocks,
                         struct volume_scrub_result *ret);

/* ------------------------------------------------------------------ */
/* Role and fence (durable when the call returns).                      */

/* Change role, pair and fence in one step.  Never lowers the fence (EPERM).
 * Becoming a secondary keeps the content until the first commit of a stage.
 * Leaving secondary for primary or standalone (a promotion) drops a stage
 * that is not complete, and the next guest write opens a new generation.
 * Between standalone and primary guests go on writing.  Before a volume
 * becomes secondary the caller sees to it that no guest is writing (role
 * checks happen in every volume_write, so a late one gets EROFS).
 */
extern int volume_set_role (struct volume *v, enum volume_role role,
                            const struct uuid *pair, uint64_t fence,
                            struct error *err);

/* A writer becomes secondary of its pair and gives up all that it holds after
 * SEQ of GENERATION ({0, 0}: everything), in one step with the new fence:
 * the first commit of what its new primary sends replaces it.  Until then it
 * shows what it did, and may be promoted again, which takes the giving-up
 * back.  SAVE: nothing is replaced before volume_salvaged.  Guests as in
 * volume_set_role.  EINVAL: the point is not in this volume's history.
 */
extern int volume_demote (struct volume *v, uint64_t fence,
                          uint64_t generation, uint64_t seq, bool save,
                          struct error *err);
extern int volume_salvaged (struct volume *v, struct error *err);

/* What a volume shows that is newer than SEQ of its history. */
struct volume_tail {
  uint64_t writes;           /* records */
  bool is_exact;             /* the journal still tells them all: */
  uint64_t bytes;            /* guest bytes in these writes; else at least
                                so many */
  uint64_t blocks;           /* that differ from then: at most; if not
                                is_exact, so many (QUICK: 0, not counted) */
  uint64_t first_ns, last_ns;   /* wall clock of the first (0: not known) and
                                   the last of them */
};

/* Takes as long as looking at every birth if the journal does not tell and
 * it is not to be QUICK.
 */
extern int volume_tail_measure (struct volume *v, uint64_t seq, bool quick,
                                struct volume_tail *ret, struct error *err);

/* What a salvage file says of itself. */
struct salvage_info {
  struct uuid volume, pair, lineage;
  uint64_t size, content_salt, saved_ns;
  uint64_t kept_generation, kept_seq;   /* the last point not given up */
  struct volume_point last;             /* the last one that was */
  uint64_t records, blocks, length;     /* of the file */
};

/* Write all that is newer than SEQ of GENERATION to a file (format.h) that appears at PATH
 * when it is complete and durable; an older one is replaced.  PROGRESS (may
 * be NULL) is told of blocks looked at, and stops it (ECANCELED) by returning
 * false.  The caller keeps writers away.
 */
extern int volume_salvage (struct volume *v, uint64_t generation,
                           uint64_t seq, const char *path,
                           bool (*progress) (void *opaque, uint64_t done,
                                             uint64_t total),
                           void *opaque, struct salvage_info *ret,
                           struct error *err);

/* Read such a file, verifying all of it.  FN (may be NULL) gets each block,
 * DATA NULL for zeros; -1 (errno set) ends it.  EUCLEAN: it is damaged.
 */
extern int salvage_read (const char *path,
                         int (*fn) (void *opaque, uint64_t block,
                                    uint64_t seq, const void *data),
                         void *opaque, struct salvage_info *ret,
                         struct error *err);

/* Is this a regular file that begins as one? */
extern bool salvage_is_file (const char *path);

/* A peer with FENCE was met, higher than ours: refuse guest writes from now
 * on, also after restart, until volume_set_role gives a fence >= FENCE or
 * makes the volume standalone (which takes FENCE for its own).
 */
extern int volume_meet_fence (struct volume *v, uint64_t fence,
                              struct error *err);

/* ------------------------------------------------------------------ */
/* Records for and from the peer.  Layout of a record: format.h.        */

/* Reads durable records in seq order from the ring or the journal. */
struct volume_cursor;

/* Position before the record with seq FIRST (> oldest_seq - 1).  ERANGE: the
 * journal no longer holds it.
 */
extern struct volume_cursor *volume_cursor_open (struct volume *v,
                                                 uint64_t first,
                                                 struct error *err);

/* Copy as many whole records as fit into BUF (at least 2 MiB).  Returns bytes
 * (0: none durable yet), sets the point of the last one copied and the
 * number of records.
 */
extern ssize_t volume_cursor_read (struct volume_cursor *c, void *buf,
                                   size_t size, struct volume_point *ret_last,
                                   unsigned *ret_records, struct error *err);

/* Go on ahead of the medium: read also what is on its way there, from the
 * ring.  After a crash here it may be gone, and its seqs are used again.
 */
extern void volume_cursor_set_ahead (struct volume_cursor *c, bool is_ahead);
/* No more bytes at once than this from now on, but at least one record. */
extern void volume_cursor_set_batch (struct volume_cursor *c, size_t size);

extern void volume_cursor_close (struct volume_cursor *c);

/* An eventfd, valid until volume_close, that is written each time when records
 * are on their way to the medium while volume_ship_on (V, true) is in force.
 * NULL ERR is fine; -1: there is none.
 */
extern int volume_ship_fd (struct volume *v, struct error *err);
extern void volume_ship_on (struct volume *v, bool is_on);

/* The newest record acknowledged, and (may be NULL) the newest durable. */
extern void volume_get_points (struct volume *v,
                               struct volume_point *ret_appended,
                               struct volume_point *ret_durable);

/* Wait until a record after SEQ is durable here, the time-out (which
 * returns 0) or a call of volume_wake_waiters.  Returns 1 when there is one.
 */
extern int volume_wait_durable (struct volume *v, uint64_t seq,
                                unsigned timeout_ms);
extern void volume_wake_waiters (struct volume *v);

/* Keep records after SEQ in the journal for the peer, as long as space
 * allows; 0: none.
 */
extern void volume_pin (struct volume *v, uint64_t seq);

/* Some of the blocks that a volume shows in a version after a seq: bit I of
 * BITS is block FIRST + I, and there are none in [from, first).
 */
#define VOLUME_CHANGED_BITS 31744u

struct volume_changed {
  uint64_t from, first, end; /* known from FROM up to END */
  uint8_t bits[VOLUME_CHANGED_BITS / 8];
};

static inline bool
volume_changed_has (const struct volume_changed *set, uint64_t block)
{
  uint64_t i = block - set->first;

  return block >= set->first && i < VOLUME_CHANGED_BITS &&
    ((set->bits[i / 8] >> i % 8) & 1);
}

/* Look from block FROM on.  RET->end: how far was looked, which is not
 * always as far as there are bits; the disk's end at most.  A birth that is
 * garbled counts as a change.
 */
extern void volume_changed_blocks (struct volume *v, uint64_t since_seq,
                                   uint64_t from, struct volume_changed *ret);

/* Primary: one record of kind "delta" with the stored units (not decompressed,
 * checksum verified) of written blocks from *BLOCK on whose birth is after
 * SINCE_SEQ; advances *BLOCK past what was looked at.  Returns bytes in BUF
 * (of SIZE, in which a block must fit) or 0 when there is nothing more up to the disk's end.
 * Zeroed blocks are shipped as empty units.  Only durable versions are taken.
 * PEER (may be NULL): blocks in which the peer differs besides; they are
 * shipped whatever their birth, unwritten ones as zeros of SINCE_SEQ, and
 * nothing after its end is looked at.
 */
extern ssize_t volume_delta_read (struct volume *v, uint64_t since_seq,
                                  const struct volume_changed *peer,
                                  uint64_t *block, void *buf, size_t size,
                                  struct error *err);

/* The key of unit checksums; a secondary takes it over with a stage. */
extern uint64_t volume_content_salt (struct volume *v);

/* Content lineage: random at creation, taken over with the first stage, so
 * that two volumes with nothing in common are told apart.
 */
extern void volume_lineage (struct volume *v, struct uuid *ret);

/* Secondary only (EPERM otherwise); calls are made by one thread at a time.
 *
 * stage_begin: records that follow are staged, not shown.  SINCE_SEQ 0 takes
 *   everything new: on commit the old content is gone, and salt and lineage
 *   become the ones given here.  Replaces an unfinished stage.
 * receive: append LEN bytes of whole records in stream order.  Each is
 *   validated in full (header, lengths, unit checksums with the salt in
 *   force, seq exactly one after the last for stream records) before any
 *   effect: EBADMSG for garbage, ESTALE for a seq out of order.  Without a
 *   stage they are committed when durable.
 * stage_cursor: the blocks below BLOCK are all staged (or unwritten).
 * generations_set: take over the primary's table (durable on return): that of
 *   the stage if one is open, so call it after stage_begin and before commit;
 *   without a stage it also says that what is shown is of this pair.
 * stage_commit: make everything staged visible as POINT, in one step.  A
 *   delta over what was given up must bring every block that was (EBADMSG).
 * stage_drop: forget what is staged.
 * receive_flush: all received is durable, and committed if no stage is open.
 * set_ahead: records that follow may be ones that the primary does not hold
 *   durably yet, and loses if it crashes (durable on return, and until it is
 *   set to false, which says that it holds all there is).
 * confirm: the primary holds SEQ durably.  Kept in memory; what is known after
 *   a crash of this side may be less.
 */
extern int volume_stage_begin (struct volume *v, uint64_t id,
                               uint64_t since_seq, uint64_t start_seq,
                               uint64_t salt, const struct uuid *lineage,
                               struct error *err);
extern int volume_receive (struct volume *v, const void *records, size_t len,
                           struct error *err);
extern int volume_receive_flush (struct volume *v, struct error *err);
extern int volume_stage_cursor (struct volume *v, uint64_t block,
                                struct error *err);
extern int volume_generations_set (struct volume *v,
                                   const struct volume_generations *table,
                                   struct error *err);
extern int volume_stage_commit (struct volume *v,
                                const struct volume_point *point,
                                struct error *err);
extern int volume_stage_drop (struct volume *v, struct error *err);
extern int volume_set_ahead (struct volume *v, bool is_ahead,
                             struct error *err);
extern void volume_confirm (struct volume *v, uint64_t seq);

/* ------------------------------------------------------------------ */
/* Offline: all work on a volume that nobody has open.                  */

struct volume_finding {
  const char *file;        /* "super", "journal", "map", "births" */
  uint64_t position;       /* byte in that file */
  int64_t block;           /* guest block that is hit, or -1 */
  char what[200];
};

struct volume_check_result {
  uint64_t segments, records, units, blocks_written, findings;
};

/* Read everything; call FN for each finding, PROGRESS (may be NULL) now and
 * then.  0: looked at all of it (findings or not).  Repairs nothing.
 */
extern int volume_check (const struct volume_io *io, const char *path,
                         void (*fn) (void *opaque,
                                     const struct volume_finding *finding),
                         void (*progress) (void *opaque, uint64_t done,
                                           uint64_t total),
                         void *opaque, struct volume_check_result *ret,
                         struct error *err);

struct volume_rebuild_result {
  uint64_t segments, records, blocks_written;
};

/* Make map and births anew from the journal, as of the last checkpoint, and
 * put them in place of those there are (which need not be whole, or there at
 * all) in one step.  EBUSY: the volume is in use, or a stage is open.
 * EUCLEAN: the journal is damaged such that it cannot be told which blocks
 * are hit; nothing is changed then.  A version of a block that is rotten in
 * the journal is an error when the block is read, as before.
 */
extern int volume_rebuild_map (const struct volume_io *io, const char *path,
                               void (*progress) (void *opaque, uint64_t done,
                                                 uint64_t total),
                               void *opaque,
                               struct volume_rebuild_result *ret,
                               struct error *err);

enum volume_dump_what { VOLUME_DUMP_SUPER = 1, VOLUME_DUMP_SEGMENTS = 2,
                        VOLUME_DUMP_RECORDS = 4, VOLUME_DUMP_MAP = 8 };

/* Print the formats field by field, one line an object, to a stdio FILE. */
extern int volume_dump (const struct volume_io *io, const char *path,
                        unsigned what, void *stdio_file, struct error *err);

/* Status of a volume that need not be open, as of its last checkpoint (reads
 * the super and the segment table).
 */
extern int volume_probe (const struct volume_io *io, const char *path,
                         struct volume_status *ret, struct error *err);

#endif /* PAIRDISK_VOLUME_H */

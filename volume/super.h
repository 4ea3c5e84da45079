/* The super: who the volume is, what role it has, where replay starts.
 *
 * Invariant: at least one of the slots is whole at every instant, and the
 * highest valid one is the last that super_write completed or a later one
 * that it was writing.
 */

#ifndef PAIRDISK_VOLUME_SUPER_H
#define PAIRDISK_VOLUME_SUPER_H

#include <stdint.h>

#include "format.h"
#include "io.h"
#include "volume.h"

struct stage {
  uint64_t id, since, start, salt;
  struct uuid lineage;
  uint64_t cursor;             /* blocks */
  uint64_t last;               /* seq */
  struct volume_point shown;   /* what the disk shows meanwhile */
  struct volume_generations generations;
};

struct super {
  uint64_t sequence;
  struct uuid uuid;
  uint64_t size, capacity, segment_size;
  uint64_t created_ns;
  uint64_t journal_salt, content_salt;
  struct uuid lineage;
  enum volume_role role;
  uint32_t flags;              /* SUPER_* */
  struct uuid pair;
  uint64_t fence, met_fence;
  uint64_t position;           /* checkpoint, logical */
  struct volume_point point;   /* the map holds everything up to it */
  uint32_t incarnation, opened;
  uint32_t map_slot, segments_slot;
  uint64_t segments_hash;
  uint64_t durable_hint;
  uint64_t cold_position;      /* as position, in the cold segments */
  uint64_t oldest_seq, oldest_position;
  uint64_t confirmed_seq;      /* when flags has SUPER_AHEAD */
  struct stage stage;          /* when flags has SUPER_STAGE */
  uint64_t discard_generation, discard_seq;   /* when it has SUPER_DISCARD */
  struct volume_generations generations;
};

extern void super_encode (const struct super *super, struct format_super *ret);

/* False unless hash, version and every bound hold. */
extern bool super_decode (const struct format_super *slot, struct super *ret);

/* Read the highest valid slot.  EUCLEAN when there is none. */
extern int super_read (const struct volume_io *io, struct io_file *file,
                       struct super *ret, struct error *err);

/* Count SUPER's sequence up and write it durably. */
extern int super_write (const struct volume_io *io, struct io_file *file,
                        struct super *super);

static inline uint64_t
super_blocks (const struct super *super)
{
  return super->size / VOLUME_BLOCK_SIZE;
}

static inline uint64_t
super_segments (const struct super *super)
{
  return super->capacity / super->segment_size;
}

/* What is shown is of the pair, and nothing of it is given up (any more). */
static inline void
super_keep_shown (struct super *super)
{
  super->flags |= SUPER_SYNCED;
  super->flags &= ~(SUPER_DISCARD | SUPER_SALVAGE);
  super->discard_generation = super->discard_seq = 0;
}

/* The generation that SEQ is in, 0 if the table does not reach back to it. */
extern uint64_t generations_at (const struct volume_generations *table,
                                uint64_t seq);

/* Add a generation, letting the oldest go when the table is full.  Those that
 * were to begin with FIRST_SEQ or later never became part of this disk: a
 * promoted secondary knew of them from its primary.
 */
extern void generations_add (struct volume_generations *table, uint64_t id,
                             uint64_t first_seq, const struct uuid *writer);

#endif /* PAIRDISK_VOLUME_SUPER_H */

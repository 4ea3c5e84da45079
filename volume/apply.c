/* Making durable records visible: the only writer of map and births, in a
 * replay by way of sorted.h.
 *
 * Records are applied one after the other in the order of the journal, at
 * run time by whichever thread found them durable, after a crash by replay.
 * Both take the same way through here, and applying a record twice is the
 * same as once.
 */

#include <config.h>

#include <errno.h>

#include "cleanup.h"
#include "sorted.h"
#include "volume-internal.h"

struct target {
  struct table *map, *births;
};

static struct target
target_of (struct volume *v)
{
  if (v->is_staging)
    return (struct target) { &v->stage_map, &v->stage_births };
  return (struct target) { &v->map, &v->births };
}

/* The birth goes first: who reads an entry and then its birth may find the
 * birth too new, and looks again, but never too old for good.  The page's
 * newest birth is raised before the entry is seen: what the map shows is in a
 * delta that begins then.  In a replay nobody reads, and no page is known.
 */
static void
store_entry (struct volume *v, const struct target *to, uint64_t block,
             uint64_t seq, uint64_t entry)
{
  uint64_t old;

  if (v->sorted) {
    sorted_put (v->sorted, to->map, to->births, &(struct store) {
      .block = block, .birth = birth_encode (block, seq), .entry = entry
    });
    return;
  }
  table_set (to->births, block, birth_encode (block, seq));
  if (to->births == &v->births)
    newest_raise (&v->newest, block, seq);
  old = table_exchange (to->map, block, entry);
  if (block >= v->counted)
    return;
  if (entry_kind (old) == ENTRY_DATA)
    segments_account (&v->segments, entry_position (old),
                      -(int64_t) entry_length (old));
  if (entry_kind (entry) == ENTRY_DATA)
    segments_account (&v->segments, entry_position (entry),
                      entry_length (entry));
}

/* What stands at OFFSET of the journal says that blocks read as zeros. */
static void
note_zero (struct volume *v, uint64_t offset)
{
  __atomic_store_n (&v->segments.table[offset / v->segments.size]
                    .is_without_zeros, false, __ATOMIC_RELAXED);
}

/* What the guest just wrote: where its units are is still known. */
static bool
apply_pending (struct volume *v, const struct record *record,
               uint64_t body_offset)
{
  const struct target to = target_of (v);
  uint64_t entry[VOLUME_RECORD_BLOCKS_MAX];
  uint32_t i;

  if (v->is_replaying || record->nblocks > VOLUME_RECORD_BLOCKS_MAX ||
      !pending_get_version (&v->pending, record->block, record->nblocks,
                            record->seq, entry))
    return false;
  for (i = 0; i < record->nblocks; ++i) {
    if (entry_kind (entry[i]) == ENTRY_ZERO)
      note_zero (v, body_offset);
    store_entry (v, &to, record->block + i, record->seq, entry[i]);
  }
  return true;
}

static int
apply_units (struct volume *v, const struct record *record, const void *body,
             uint64_t body_offset)
{
  const struct target to = target_of (v);
  struct unit_walk walk = unit_walk_start (record, body);
  struct walked_unit u;
  uint64_t entry;
  int more;

  while ((more = unit_walk_next (&walk, &u)) == 1) {
    if (u.unit.codec == UNIT_ZERO) {
      entry = entry_zero (u.block, u.unit.seq);
      note_zero (v, body_offset);
    }
    else
      entry = entry_data (u.block, u.unit.seq, body_offset + u.offset,
                          unit_stored_size (&u.unit));
    store_entry (v, &to, u.block, u.unit.seq, entry);
  }
  if (more == -1) {
    errno = EUCLEAN;
    return -1;
  }
  return 0;
}

/* Units that the cleaner moved, where the map (of the disk or of the stage)
 * still shows where they came from.
 */
int
apply_move (struct volume *v, const struct record *record, const void *body,
            uint64_t body_offset)
{
  struct unit_walk walk = unit_walk_start (record, body);
  struct walked_unit u;
  uint64_t entry;
  int more;

  if (v->sorted && v->is_staging)
    sorted_drain (v->sorted);
  while ((more = unit_walk_next (&walk, &u)) == 1) {
    if (u.block >= volume_blocks (v))
      break;
    entry = entry_data (u.block, u.unit.seq, body_offset + u.offset,
                        unit_stored_size (&u.unit));
    if (v->sorted && !v->is_staging) {
      sorted_put (v->sorted, &v->map, &v->births, &(struct store) {
        .block = u.block, .entry = entry, .origin = u.origin
      });
      continue;
    }
    if (!table_replace (&v->map, u.block, u.origin, entry) &&
        !(v->is_staging &&
          table_replace (&v->stage_map, u.block, u.origin, entry)))
      continue;
    if (u.block >= v->counted)
      continue;
    segments_account (&v->segments, entry_position (u.origin),
                      -(int64_t) entry_length (u.origin));
    segments_account (&v->segments, entry_position (entry),
                      entry_length (entry));
  }
  if (more != 0) {
    errno = EUCLEAN;
    return -1;
  }
  return 0;
}

static void
apply_zero (struct volume *v, const struct record *record,
            uint64_t body_offset)
{
  const struct target to = target_of (v);
  uint64_t i, block;

  note_zero (v, body_offset - sizeof (struct format_record));
  for (i = 0; i < record->nblocks; ++i) {
    block = record->block + i;
    store_entry (v, &to, block, record->seq,
                 entry_zero (block, record->seq));
  }
}

/* A generation begins with its first record. */
static void
note_generation (struct volume *v, const struct record *record)
{
  struct volume_generations *g = &v->super.generations;

  /* Only this thread changes the table while not secondary. */
  if (v->super.role == VOLUME_ROLE_SECONDARY ||
      (g->count > 0 && g->table[g->count - 1].id == record->generation))
    return;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);
  generations_add (g, record->generation, record->seq, &v->super.uuid);
  v->super.flags &= ~SUPER_NEW_WRITER;
}

int
apply_record (struct volume *v, const struct record *record,
              const void *body, uint64_t body_offset, uint64_t position)
{
  switch (record->type) {
  case RECORD_WRITE:
    note_generation (v, record);
    if (!apply_pending (v, record, body_offset) &&
        apply_units (v, record, body, body_offset) == -1)
      return -1;
    pending_remove (&v->pending, record->block, record->nblocks, record->seq);
    break;

  case RECORD_ZERO:
  case RECORD_TRIM:
    note_generation (v, record);
    apply_zero (v, record, body_offset);
    pending_remove (&v->pending, record->block, record->nblocks, record->seq);
    break;

  case RECORD_DELTA:
    if (!v->is_staging) {
      errno = EUCLEAN;
      return -1;
    }
    return apply_units (v, record, body, body_offset);

  case RECORD_MOVE:
    return apply_move (v, record, body, body_offset);

  case RECORD_KEEP_ZERO:
    note_zero (v, body_offset - sizeof (struct format_record));
    return 0;                  /* for who rebuilds the map */

  case RECORD_STAGE_BEGIN:
  case RECORD_STAGE_CURSOR:
  case RECORD_STAGE_COMMIT:
  case RECORD_STAGE_DROP:
    if (v->sorted)
      sorted_drain (v->sorted);
    return stage_apply_mark (v, record, body, position);
  }

  v->has_point_after_mark = false;
  if (v->is_staging) {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);
    v->super.stage.last = record->seq;
  }
  return 0;
}

/* Views for pair_decide (see view.h).  Pure. */

#include <config.h>

#include <endian.h>
#include <string.h>

#include "hash.h"
#include "view.h"

static enum pair_role
role_of (enum volume_role role, bool is_fenced)
{
  switch (role) {
  case VOLUME_ROLE_UNSET: break;
  case VOLUME_ROLE_STANDALONE: return PAIR_ROLE_STANDALONE;
  case VOLUME_ROLE_PRIMARY:
    return is_fenced ? PAIR_ROLE_FENCED : PAIR_ROLE_PRIMARY;
  case VOLUME_ROLE_SECONDARY: return PAIR_ROLE_SECONDARY;
  }
  return PAIR_ROLE_UNSET;
}

static void
set_history (struct pair_history *history,
             const struct volume_generations *table,
             const struct volume_point *last)
{
  struct pair_point point = { last->generation, last->seq };

  memset (history, 0, sizeof *history);
  for (uint32_t i = 0; i < table->count; i++)
    pair_history_add (history, table->table[i].id, table->table[i].first_seq,
                      &table->table[i].writer);
  if (!pair_history_close (history, point)) {
    /* No table for this point.  pair_decide must see that it is broken, not
     * something that happens to look whole.
     */
    memset (history, 0, sizeof *history);
    history->last_seq = last->seq > 0 ? last->seq : 1;
  }
}

void
view_of_self (const struct volume_status *status, const struct uuid *lineage,
              struct pair_view *ret)
{
  memset (ret, 0, sizeof *ret);
  ret->volume = status->uuid;
  ret->content = *lineage;
  ret->size = status->size;
  ret->role = role_of (status->role, status->is_fenced);
  ret->fence = status->fence;
  set_history (&ret->history, &status->generations, &status->committed);
  ret->journal_from = status->oldest_seq;
  if (ret->journal_from == 0 || ret->journal_from > status->committed.seq)
    ret->journal_from = status->committed.seq + 1;
}

void
view_of_peer (const struct wire_status *status, struct pair_view *ret)
{
  memset (ret, 0, sizeof *ret);
  ret->volume = status->volume;
  ret->content = status->lineage;
  ret->size = status->size;
  ret->role = role_of (status->role, status->is_fenced);
  ret->fence = status->fence;
  set_history (&ret->history, &status->generations, &status->committed);

  /* What this side may never have held durably counts as staged: if it is
   * lost here that is a crash's doing, and no flush of it was acknowledged.
   */
  if (status->confirmed_seq < status->committed.seq) {
    ret->staged = (struct pair_point) { status->committed.generation,
                                        status->committed.seq };
    if (!pair_history_cut (&ret->history, status->confirmed_seq))
      memset (&ret->staged, 0, sizeof ret->staged);
  }
}

bool
view_has_own_beyond (const struct volume_status *status,
                     const struct volume_generations *other)
{
  const struct volume_generations *own = &status->generations;
  uint64_t end, other_end;
  uint32_t i, j;

  for (i = 0; i < own->count; i++) {
    if (!uuid_equal (&own->table[i].writer, &status->uuid))
      continue;
    end = i + 1 < own->count ? own->table[i + 1].first_seq - 1
      : status->committed.seq;
    if (end < own->table[i].first_seq)
      continue;
    for (j = 0; j < other->count; j++)
      if (other->table[j].id == own->table[i].id)
        break;
    if (j == other->count) {
      /* Or so old that the other's table has no room for it any more. */
      if (other->count < VOLUME_GENERATIONS_MAX ||
          end >= other->table[0].first_seq)
        return true;
      continue;
    }
    other_end = j + 1 < other->count ? other->table[j + 1].first_seq - 1
      : UINT64_MAX;
    if (end > other_end)
      return true;
  }
  return false;
}

uint64_t
view_stage_id (const struct pair_view *self, const struct uuid *pair,
               uint64_t since_seq, uint64_t start_seq)
{
  const struct pair_generation *g =
    pair_history_find (&self->history, start_seq);
  uint64_t numbers[3] = { htole64 (since_seq), htole64 (start_seq),
                          htole64 (g == NULL ? 0 : g->id) };
  uint8_t data[3 * sizeof (struct uuid) + sizeof numbers];
  uint64_t id;

  memcpy (data, &self->volume, 16);
  memcpy (data + 16, &self->content, 16);
  memcpy (data + 32, pair, 16);
  memcpy (data + 48, numbers, sizeof numbers);
  id = XXH3_64bits (data, sizeof data);
  return id == 0 ? 1 : id;
}

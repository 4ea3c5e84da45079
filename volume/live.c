/* Counting the live bytes of segments after a crash.
 *
 * The map says it all, but that of a large full disk takes seconds to read,
 * and until then guests need nothing of it: only the cleaner does.  So its
 * thread counts before it does anything else.  v->counted is a mark that
 * moves up the map: what is stored below it is accounted for as always, what
 * is stored above it will be found when the mark passes.  It moves while
 * nothing is applied, a few thousand entries at a time.
 *
 * A secondary's stage moves whole maps in and out: it is counted before it
 * is opened, and so is what becomes a secondary.
 */

#include <config.h>

#include "cleanup.h"
#include "volume-internal.h"

#define STEP 32768u              /* entries counted in one go */

static void
count (struct volume *v, const struct table *map, uint64_t i, uint64_t end)
{
  uint64_t entry;

  for (; i < end; ++i) {
    entry = table_get (map, i);
    if (entry_kind (entry) == ENTRY_DATA)
      segments_account (&v->segments, entry_position (entry),
                        entry_length (entry));
  }
}

static void
count_all (struct volume *v, const struct table *map)
{
  uint64_t i = 0, end;

  for (table_next_used (map, &i, &end); i < table_count (map);
       table_next_used (map, &i, &end)) {
    count (v, map, i, end);
    i = end;
  }
}

void
live_forget (struct volume *v)
{
  uint64_t i;

  for (i = 0; i < segments_count (&v->segments); ++i)
    __atomic_store_n (&v->segments.table[i].live, 0, __ATOMIC_RELAXED);
  v->counted = 0;
}

void
live_count_now (struct volume *v)
{
  if (v->counted == LIVE_COUNTED)
    return;
  count_all (v, &v->map);
  if (v->is_staging)
    count_all (v, &v->stage_map);
  v->counted = LIVE_COUNTED;
}

void
live_count_beside_guests (struct volume *v)
{
  struct journal *j = &v->journal;
  uint64_t i, end = 0, stop;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  while (v->counted != LIVE_COUNTED && journal_hold_applying_locked (v)) {
    pthread_mutex_unlock (&j->lock);
    i = v->counted;
    if (i >= end)
      table_next_used (&v->map, &i, &end);
    stop = end - i < STEP ? end : i + STEP;
    count (v, &v->map, i, stop);
    pthread_mutex_lock (&j->lock);
    v->counted = stop < table_count (&v->map) ? stop : LIVE_COUNTED;
    journal_resume_applying_locked (v);
  }
}

bool
live_wait (struct volume *v)
{
  struct journal *j = &v->journal;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  while (v->counted != LIVE_COUNTED && !j->failed && !j->is_stopping)
    pthread_cond_wait (&j->progress, &j->lock);
  return v->counted == LIVE_COUNTED;
}

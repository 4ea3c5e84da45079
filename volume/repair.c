/* Damaged units and their repair (see repair.h).
 *
 *   damaged    found by a read, a scrub, the cleaner; remembered by block and
 *              map entry, as long as a map shows that entry
 *   queued     somebody gave the unit; the cleaner's thread writes it
 *   (gone)     written and shown: it came to lie elsewhere
 *
 * A unit in a stage is remembered, too, and wanted once it is shown: before
 * that its history is not known here.
 *
 * The list is bounded.  What has no room in it is found again by whoever
 * reads it next.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "volume-internal.h"

#define WRITE_MS 10000           /* waited for the cleaner's thread */

void
repair_init (struct volume *v)
{
  pthread_condattr_t attr;

  pthread_mutex_init (&v->repairs.lock, NULL);
  pthread_rwlock_init (&v->repairs.source_lock, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&v->repairs.changed, &attr);
  pthread_condattr_destroy (&attr);
}

void
repair_release (struct volume *v)
{
  unsigned i;

  for (i = 0; i < v->repairs.count; ++i)
    free (v->repairs.list[i].unit);
  pthread_cond_destroy (&v->repairs.changed);
  pthread_rwlock_destroy (&v->repairs.source_lock);
  pthread_mutex_destroy (&v->repairs.lock);
}

/* ------------------------------------------------------------------ */
/* The list.  repairs.lock is held, and tables_lock where it says so.  */

static struct damaged *
find_locked (struct repairs *s, uint64_t block, uint64_t entry)
{
  unsigned i;

  for (i = 0; i < s->count; ++i)
    if (s->list[i].block == block && s->list[i].entry == entry)
      return &s->list[i];
  return NULL;
}

static void
remove_locked (struct repairs *s, struct damaged *d)
{
  free (d->unit);
  *d = s->list[--s->count];
}

void
repair_note (struct volume *v, uint64_t block, const struct version *version)
{
  struct repairs *s = &v->repairs;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  if (find_locked (s, block, version->entry) != NULL)
    return;
  s->found++;
  if (s->count == VOLUME_WANTS_MAX)
    return;
  s->list[s->count++] = (struct damaged) {
    .block = block, .entry = version->entry, .seq = version->seq
  };
}

/* Forget what no map shows.  With tables_lock. */
static void
prune_locked (struct volume *v)
{
  struct repairs *s = &v->repairs;
  unsigned i = 0;

  while (i < s->count) {
    const struct damaged *d = &s->list[i];

    if (d->unit != NULL || table_get (&v->map, d->block) == d->entry ||
        (v->is_staging && table_get (&v->stage_map, d->block) == d->entry))
      ++i;
    else
      remove_locked (s, &s->list[i]);
  }
}

/* The generation that SEQ is of, in what is shown; 0: not known. */
static uint64_t
generation_at (struct volume *v, uint64_t seq)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

  return generations_at (&v->super.generations, seq);
}

unsigned
volume_wants (struct volume *v, struct volume_want *ret, unsigned max)
{
  struct repairs *s = &v->repairs;
  uint64_t generation;
  unsigned i, n = 0;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->tables_lock);
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  prune_locked (v);
  for (i = 0; i < s->count && n < max; ++i) {
    const struct damaged *d = &s->list[i];

    generation = generation_at (v, d->seq);
    if (d->unit == NULL && generation != 0 &&
        table_get (&v->map, d->block) == d->entry)
      ret[n++] = (struct volume_want) { d->block, d->seq, generation };
  }
  return n;
}

void
volume_get_repairs (struct volume *v, struct volume_repairs *ret)
{
  struct repairs *s = &v->repairs;
  bool may_prune = pthread_mutex_trylock (&v->tables_lock) == 0;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  if (may_prune) {               /* else who asks would wait for the disk */
    prune_locked (v);
    pthread_mutex_unlock (&v->tables_lock);
  }
  memset (ret, 0, sizeof *ret);
  ret->found = s->found;
  ret->repaired = s->repaired;
  ret->refused = s->refused;
  ret->missed = s->missed;
  ret->damaged = s->count;
  for (unsigned i = 0; i < s->count && i < VOLUME_DAMAGED_SHOWN; ++i)
    ret->block[i] = s->list[i].block;
}

/* ------------------------------------------------------------------ */
/* Giving.                                                             */

/* Is UNIT what VERSION of BLOCK says, whole? */
static bool
is_the_unit (struct volume *v, const void *unit, size_t len, uint64_t block,
             const struct version *version, struct unit *ret)
{
  return len == entry_length (version->entry) &&
    fetched_unit_is_valid (v, unit, block, version, ret);
}

/* Take UNIT over for the cleaner's thread.  The caller has verified it. */
static int
queue_locked (struct volume *v, struct damaged *d, const void *unit,
              size_t len)
{
  if (d->unit != NULL)
    return 0;
  d->unit = malloc (len);
  if (d->unit == NULL)
    return -1;
  memcpy (d->unit, unit, len);
  __atomic_add_fetch (&v->repairs.queued, 1, __ATOMIC_RELEASE);
  return 0;
}

/* False: it writes nothing any more. */
static bool
wake_cleaner (struct volume *v)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->journal.lock);

  pthread_cond_signal (&v->journal.cleaner_cond);
  return v->journal.failed == 0;
}

/* The entry that is wanted as WANT and shown now.  False: there is none. */
static bool
find_wanted (struct volume *v, const struct volume_want *want,
             struct version *ret)
{
  struct repairs *s = &v->repairs;
  unsigned i;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->tables_lock);
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  for (i = 0; i < s->count; ++i) {
    const struct damaged *d = &s->list[i];

    if (d->block == want->block && d->seq == want->seq &&
        table_get (&v->map, d->block) == d->entry) {
      *ret = (struct version) { d->entry, d->seq };
      return generation_at (v, d->seq) == want->generation;
    }
  }
  return false;
}

/* Wait until what was queued is written.  1: it is shown; -1: it is not. */
static int
wait_until_written (struct volume *v, uint64_t block, uint64_t entry)
{
  struct repairs *s = &v->repairs;
  uint64_t until = clock_mono_ns () + WRITE_MS * NS_PER_MSEC;
  struct timespec ts = { until / NS_PER_SEC, until % NS_PER_SEC };
  const struct damaged *d;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  while ((d = find_locked (s, block, entry)) != NULL && d->unit != NULL)
    if (pthread_cond_timedwait (&s->changed, &s->lock, &ts) == ETIMEDOUT)
      break;
  return d == NULL ? 1 : -1;
}

int
volume_unit_give (struct volume *v, const struct volume_want *want,
                  const void *unit, size_t len, struct error *err)
{
  struct repairs *s = &v->repairs;
  struct version version;
  struct damaged *d;
  struct unit ignored;

  if (!find_wanted (v, want, &version))
    return 0;
  if (!is_the_unit (v, unit, len, want->block, &version, &ignored)) {
    count_up (&s->refused);
    return error_set (err, EBADMSG, "what was given for block %llu is not "
                      "its version %llu", (unsigned long long) want->block,
                      (unsigned long long) want->seq);
  }
  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

    d = find_locked (s, want->block, version.entry);
    if (d == NULL)
      return 0;
    if (queue_locked (v, d, unit, len) == -1)
      return error_set_errno (err, errno, "cannot repair block %llu",
                              (unsigned long long) want->block);
  }
  if (!wake_cleaner (v) ||
      wait_until_written (v, want->block, version.entry) == -1)
    return error_set (err, EIO, "cannot write block %llu anew",
                      (unsigned long long) want->block);
  return 1;
}

/* ------------------------------------------------------------------ */
/* Asking.                                                             */

void
volume_set_source (struct volume *v, volume_source *source, void *opaque)
{
  struct repairs *s = &v->repairs;

  pthread_rwlock_wrlock (&s->source_lock);
  s->source = source;
  s->source_opaque = opaque;
  pthread_rwlock_unlock (&s->source_lock);
}

bool
repair_from_source (struct volume *v, uint64_t block,
                    const struct version *version, void *stored,
                    struct unit *ret)
{
  struct repairs *s = &v->repairs;
  const struct volume_want want = { block, version->seq,
                                    generation_at (v, version->seq) };
  struct damaged *d;
  ssize_t len = -1;

  repair_note (v, block, version);
  pthread_rwlock_rdlock (&s->source_lock);
  if (s->source != NULL && want.generation != 0)
    len = s->source (s->source_opaque, &want, stored);
  pthread_rwlock_unlock (&s->source_lock);
  if (len <= 0 || len > (ssize_t) VOLUME_UNIT_MAX) {
    count_up (&s->missed);
    return false;
  }
  if (!is_the_unit (v, stored, len, block, version, ret)) {
    count_up (&s->refused);
    return false;
  }
  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

    d = find_locked (s, block, version->entry);
    if (d != NULL)
      queue_locked (v, d, stored, len);  /* without memory: the next time */
  }
  wake_cleaner (v);
  return true;
}

/* ------------------------------------------------------------------ */
/* The cleaner's side.                                                 */

bool
repair_is_queued (struct volume *v)
{
  return __atomic_load_n (&v->repairs.queued, __ATOMIC_ACQUIRE) > 0;
}

int
repair_take (struct volume *v,
             int (*fn) (void *opaque, uint64_t block,
                        const struct version *version, const void *unit),
             void *opaque)
{
  struct repairs *s = &v->repairs;
  unsigned i;
  int r = 0;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  for (i = 0; r == 0 && i < s->count; ++i) {
    struct damaged *d = &s->list[i];
    const struct version version = { d->entry, d->seq };

    if (d->unit == NULL)
      continue;
    d->is_taken = true;
    r = fn (opaque, d->block, &version, d->unit);
  }
  return r;
}

void
repair_written (struct volume *v, bool is_written)
{
  struct repairs *s = &v->repairs;
  unsigned i = 0;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  while (i < s->count) {
    struct damaged *d = &s->list[i];

    if (!d->is_taken) {
      ++i;
      continue;
    }
    __atomic_sub_fetch (&s->queued, 1, __ATOMIC_RELEASE);
    if (is_written) {
      /* The cleaner may try the segment again. */
      v->segments.table[entry_position (d->entry) / v->segments.size].is_bad =
        false;
      s->repaired++;
      remove_locked (s, d);
      continue;
    }
    free (d->unit);
    d->unit = NULL;
    d->is_taken = false;
    ++i;
  }
  pthread_cond_broadcast (&s->changed);
}

/* ------------------------------------------------------------------ */
/* Reading a unit for somebody else.                                   */

int
repair_read (struct volume *v, uint64_t block, bool newest,
             struct version *ret_version, void *stored, struct unit *ret)
{
  bool is_known = false;
  int try;

  for (try = 0; try < REPAIR_TRIES; ++try) {
    bool found, is_pending;

    if (try > 0)
      lookup_settle (v);
    is_pending = newest && pending_get (&v->pending, block,
                                        &ret_version->entry,
                                        &ret_version->seq);
    found = is_pending;
    if (!is_pending) {
      ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->tables_lock);

      found = lookup_shown (v, block, ret_version);
    }
    if (!found)
      continue;
    if (entry_kind (ret_version->entry) != ENTRY_DATA)
      return 0;
    is_known = true;
    if (entry_length (ret_version->entry) <= VOLUME_UNIT_MAX &&
        fetch (v, stored, entry_length (ret_version->entry),
               entry_position (ret_version->entry), !is_pending) == 0 &&
        fetched_unit_is_valid (v, stored, block, ret_version, ret))
      return entry_length (ret_version->entry);
  }
  if (is_known) {
    count_up (&v->count.checksum_errors);
    repair_note (v, block, ret_version);
  }
  else
    ret_version->seq = 0;
  errno = EIO;
  return -1;
}

ssize_t
volume_unit_read (struct volume *v, uint64_t block, struct volume_want *ret,
                  void *unit, struct error *err)
{
  struct version version;
  struct unit ignored;
  int len;

  if (block >= volume_blocks (v))
    return error_set (err, EINVAL, "block %llu is behind the disk's end",
                      (unsigned long long) block);
  len = repair_read (v, block, false, &version, unit, &ignored);
  if (len == -1)
    return error_set (err, EIO, "block %llu is damaged",
                      (unsigned long long) block);
  if (len == 0)
    return error_set (err, ENOENT, "block %llu holds no data",
                      (unsigned long long) block);
  *ret = (struct volume_want) { block, version.seq,
                                generation_at (v, version.seq) };
  return len;
}

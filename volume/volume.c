/* Opening and closing a volume; its roles and status. */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "hash.h"
#include "volume-internal.h"

const char *
map_name (unsigned slot)
{
  return slot == 0 ? "map.0" : "map.1";
}

const char *
births_name (unsigned slot)
{
  return slot == 0 ? "births.0" : "births.1";
}

const char *
volume_role_name (enum volume_role role)
{
  switch (role) {
  case VOLUME_ROLE_UNSET: return "unset";
  case VOLUME_ROLE_STANDALONE: return "standalone";
  case VOLUME_ROLE_PRIMARY: return "primary";
  case VOLUME_ROLE_SECONDARY: return "secondary";
  }
  return "unknown";
}

bool
volume_name_is_valid (const char *name)
{
  static const char alnum[] = "abcdefghijklmnopqrstuvwxyz"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  size_t len = strlen (name), i;

  if (len == 0 || len > VOLUME_NAME_MAX)
    return false;
  for (i = 0; i < len; ++i)
    if (strchr (alnum, name[i]) == NULL &&
        (i == 0 || strchr ("._-", name[i]) == NULL))
      return false;
  return true;
}

/* ------------------------------------------------------------------ */

static int
open_super (struct volume *v, struct error *err)
{
  v->super_file = v->io->open (v->dir, "super", IO_LOCK);
  if (v->super_file == NULL) {
    switch (errno) {
    case EBUSY:
      error_set (err, EBUSY, "'%s' is in use by another process", v->path);
      return error_hint (err, "stop the nbdkit that serves it");
    case ENOENT:
    case ENOTDIR:
      return error_set (err, ENOENT, "'%s' is not a volume", v->path);
    default:
      return error_set_errno (err, errno, "cannot open '%s'", v->path);
    }
  }
  return super_read (v->io, v->super_file, &v->super, err);
}

static int
open_files (struct volume *v, struct error *err)
{
  unsigned i;

  if (open_super (v, err) == -1)
    return -1;
  v->super_written = v->super;
  v->nblocks = super_blocks (&v->super);
  v->incarnation = v->super.opened + 1;
  v->counted = LIVE_COUNTED;

  for (i = 0; i < 2; ++i) {
    v->segments_file[i] = v->io->open (v->dir, segments_name (i), 0);
    if (v->segments_file[i] == NULL)
      return error_set_errno (err, errno, "cannot open '%s'",
                              segments_name (i));
  }
  if (segments_init (&v->segments, super_segments (&v->super),
                     v->super.segment_size) == -1)
    return error_set_errno (err, errno, "cannot open '%s'", v->path);
  if (segments_load (&v->segments, v->io,
                     v->segments_file[v->super.segments_slot], &v->super,
                     err) == -1)
    return -1;

  if (table_open (&v->map, v->io, v->dir, map_name (v->super.map_slot),
                  MAP_MAGIC, v->nblocks, &v->super.uuid, err) == -1 ||
      table_open (&v->births, v->io, v->dir,
                  births_name (v->super.map_slot), BIRTHS_MAGIC,
                  v->nblocks, &v->super.uuid, err) == -1 ||
      newest_open (&v->newest, v->births.room, err) == -1)
    return -1;
  if (v->super.flags & SUPER_STAGE) {
    if (stage_tables_open (v, err) == -1)
      return -1;
    v->is_staging = true;
  }

  v->journal.file = v->io->open (v->dir, "journal", IO_READ_MUCH);
  if (v->journal.file == NULL)
    return error_set_errno (err, errno, "cannot open 'journal'");
  return 0;
}

/* How much of a segment in use must be there: all, but of those that were
 * being written what the checkpoint covers (see recover.c).
 */
static uint64_t
needed_bytes (const struct volume *v, uint64_t segment)
{
  uint64_t lap = segment_lap (&v->segments, segment);
  uint64_t position = lap_is_cold (lap) ? v->super.cold_position
    : v->super.position;

  return lap == position / v->super.segment_size
    ? position % v->super.segment_size : v->super.segment_size;
}

/* The journal must reach as far as the segments in use. */
static int
check_journal_length (struct volume *v, struct error *err)
{
  uint64_t i, size, end, need = 0;

  if (v->io->size (v->journal.file, &size) == -1)
    return error_set_errno (err, errno, "cannot open 'journal'");
  for (i = 0; i < segments_count (&v->segments); ++i) {
    if (segment_lap (&v->segments, i) == 0)
      continue;
    end = i * v->super.segment_size + needed_bytes (v, i);
    if (end > need)
      need = end;
  }
  if (size >= need)
    return 0;
  error_set (err, EUCLEAN, "'journal' is cut short: %llu bytes, at least "
             "%llu are in use", (unsigned long long) size,
             (unsigned long long) need);
  return error_hint (err, "'pairctl volume check' names the blocks that are "
                     "hit; recover from the other site");
}

static void
set_writer (struct volume *v)
{
  const struct volume_generations *g = &v->super.generations;
  struct journal *j = &v->journal;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  j->generation = v->super.flags & SUPER_NEW_WRITER || g->count == 0
    ? 0 : g->table[g->count - 1].id;
  j->is_guest_writable = v->super.role != VOLUME_ROLE_SECONDARY &&
    !(v->super.flags & SUPER_FENCED);
}

static void
stop_threads (struct volume *v)
{
  struct journal *j = &v->journal;

  pthread_mutex_lock (&j->lock);
  j->is_stopping = true;
  j->wakes++;
  pthread_cond_broadcast (&j->committer_cond);
  pthread_cond_broadcast (&j->maintainer_cond);
  pthread_cond_broadcast (&j->cleaner_cond);
  pthread_cond_broadcast (&j->progress);
  pthread_mutex_unlock (&j->lock);
  while (j->nthreads > 0)
    pthread_join (j->thread[--j->nthreads], NULL);
}

static int
start_threads (struct volume *v, struct error *err)
{
  static void *(*const body[JOURNAL_THREADS]) (void *) = {
    journal_committer, checkpoint_maintainer, cleaner_thread
  };
  struct journal *j = &v->journal;
  int r;

  j->is_maintenance_due = true;
  while (j->nthreads < JOURNAL_THREADS) {
    r = pthread_create (&j->thread[j->nthreads], NULL, body[j->nthreads], v);
    if (r != 0) {
      stop_threads (v);
      return error_set_errno (err, r, "cannot start a thread");
    }
    j->nthreads++;
  }
  return 0;
}

static void
volume_free (struct volume *v)
{
  unsigned i;

  table_close (&v->map);
  table_close (&v->births);
  newest_close (&v->newest);
  table_close (&v->stage_map);
  table_close (&v->stage_births);
  cold_release (v);
  journal_release (v);
  if (v->journal.file)
    v->io->close (v->journal.file);
  for (i = 0; i < 2; ++i)
    if (v->segments_file[i])
      v->io->close (v->segments_file[i]);
  if (v->super_file)
    v->io->close (v->super_file);
  if (v->dir)
    v->io->dir_close (v->dir);
  segments_release (&v->segments);
  pending_release (&v->pending);
  range_lock_release (&v->range_lock);
  pthread_mutex_destroy (&v->role_lock);
  pthread_mutex_destroy (&v->checkpoint_lock);
  pthread_mutex_destroy (&v->tables_lock);
  repair_release (v);
  pthread_mutex_destroy (&v->super_lock);
  free (v->path);
  free (v);
}

struct volume *
volume_open (const struct volume_io *io, const char *path,
             const struct volume_options *options, struct error *err)
{
  struct volume *v = calloc (1, sizeof *v);
  int saved;

  if (v == NULL || (v->path = strdup (path)) == NULL) {
    error_set_errno (err, errno, "cannot open '%s'", path);
    free (v);
    return NULL;
  }
  v->io = io_or_real (io);
  v->commit_delay_ms = options && options->commit_delay_ms
    ? options->commit_delay_ms : COMMIT_DELAY_MS_DEFAULT;
  v->checkpoint_bytes = options && options->checkpoint_bytes
    ? options->checkpoint_bytes : CHECKPOINT_BYTES_DEFAULT;
  v->warm_bytes = (uint64_t) sysconf (_SC_PHYS_PAGES) *
    sysconf (_SC_PAGESIZE) / WARM_MEMORY;
  pthread_mutex_init (&v->role_lock, NULL);
  pthread_mutex_init (&v->checkpoint_lock, NULL);
  pthread_mutex_init (&v->tables_lock, NULL);
  repair_init (v);
  pthread_mutex_init (&v->super_lock, NULL);
  range_lock_init (&v->range_lock);
  journal_init_locks (v);

  v->dir = v->io->dir_open (v->io->opaque, path);
  if (v->dir == NULL) {
    error_set_errno (err, errno, "cannot open '%s'", path);
    goto err;
  }
  if (pending_init (&v->pending) == -1) {
    error_set_errno (err, errno, "cannot open '%s'", path);
    goto err;
  }
  if (open_files (v, err) == -1 || check_journal_length (v, err) == -1)
    goto err;
  if (journal_init (v, options ? options->staging_bytes : 0) == -1 ||
      cold_init (v) == -1) {
    error_set_errno (err, errno, "cannot set up the journal of '%s'", path);
    goto err;
  }
  if (recover (v, err) == -1)
    goto err;
  set_writer (v);

  if (checkpoint_opening (v, err) == -1)
    goto err;
  if (!v->is_staging)
    stage_tables_remove (v);
  if (start_threads (v, err) == -1)
    goto err;
  return v;

 err:
  saved = errno;
  volume_free (v);
  errno = saved;
  return NULL;
}

int
volume_close (struct volume *v, struct error *err)
{
  int r, saved;
  bool is_counted;

  r = journal_flush_applied (v);
  if (r == -1)
    error_set (err, errno, "cannot flush '%s': %s", v->path, v->failure);
  is_counted = live_wait (v);
  stop_threads (v);
  if (r == 0)
    r = checkpoint (v, is_counted, err);
  saved = errno;
  volume_free (v);
  errno = saved;
  return r;
}

void
volume_abandon (struct volume *v)
{
  journal_fail (v, EIO, "abandoned");
  stop_threads (v);
  volume_free (v);
}

/* ------------------------------------------------------------------ */

static void
bound_confirmed (struct volume_status *status)
{
  if (status->confirmed_seq > status->committed.seq)
    status->confirmed_seq = status->committed.seq;
}

static void
status_from_super (const struct super *super, struct volume_status *ret)
{
  memset (ret, 0, sizeof *ret);
  ret->uuid = super->uuid;
  ret->size = super->size;
  ret->capacity = super->capacity;
  ret->segment_size = super->segment_size;
  ret->room = (super->capacity - SEGMENTS_RESERVED * super->segment_size) /
    100 * (100 - CLEANER_GAIN_PERCENT);
  ret->role = super->role;
  ret->pair = super->pair;
  ret->fence = super->fence;
  ret->met_fence = super->met_fence;
  ret->is_fenced = super->flags & SUPER_FENCED;
  ret->is_synced = super->role != VOLUME_ROLE_SECONDARY ||
    super->flags & SUPER_SYNCED;
  ret->discard.is_pending = super->flags & SUPER_DISCARD;
  ret->discard.is_unsaved = super->flags & SUPER_SALVAGE;
  ret->discard.generation = super->discard_generation;
  ret->discard.seq = super->discard_seq;
  ret->generations = super->generations;
  ret->oldest_seq = super->oldest_seq;
  ret->appended = ret->durable = ret->committed = super->point;
  ret->confirmed_seq = super->flags & SUPER_AHEAD ? super->confirmed_seq :
    UINT64_MAX;
  if (super->flags & SUPER_STAGE) {
    ret->stage.is_active = true;
    ret->stage.id = super->stage.id;
    ret->stage.since_seq = super->stage.since;
    ret->stage.start_seq = super->stage.start;
    ret->stage.cursor = super->stage.cursor;
    ret->stage.last_seq = super->stage.last;
    ret->committed = super->stage.shown;
  }
}

static void
usage_from_segments (const struct segments *segments,
                     struct volume_status *ret)
{
  uint64_t i;

  for (i = 0; i < segments_count (segments); ++i)
    if (segment_lap (segments, i) != 0) {
      ret->used += segments->size;
      ret->live += segment_live (segments, i);
    }
  ret->is_usage_known = true;
}

void
volume_get_status (struct volume *v, struct volume_status *ret)
{
  struct journal *j = &v->journal;

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);
    {
      ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);
      status_from_super (&v->super, ret);
    }
    ret->appended = j->appended;
    ret->durable = j->durable_point;
    if (!ret->stage.is_active)
      ret->committed = j->applied_point;
    bound_confirmed (ret);
    ret->is_failed = j->failed != 0;
    memcpy (ret->failure, v->failure, sizeof ret->failure);
  }
  usage_from_segments (&v->segments, ret);
  ret->checksum_errors = __atomic_load_n (&v->count.checksum_errors,
                                          __ATOMIC_RELAXED);
  ret->read_errors = __atomic_load_n (&v->count.read_errors,
                                      __ATOMIC_RELAXED);
  ret->guest_writes = __atomic_load_n (&v->count.writes, __ATOMIC_RELAXED);
  ret->guest_reads = __atomic_load_n (&v->count.reads, __ATOMIC_RELAXED);
  ret->flushes = __atomic_load_n (&v->count.flushes, __ATOMIC_RELAXED);
}

/* What the copy of the segment table says that SUPER names, if it does. */
static void
probe_usage (const struct volume_io *io, struct io_dir *dir,
             const struct super *super, struct volume_status *ret)
{
  struct io_file *file = io->open (dir, segments_name (super->segments_slot),
                                   0);
  struct segments segments = { 0 };

  if (file == NULL)
    return;
  if (segments_init (&segments, super_segments (super),
                     super->segment_size) == 0 &&
      segments_load (&segments, io, file, super, NULL) == 0)
    usage_from_segments (&segments, ret);
  segments_release (&segments);
  io->close (file);
}

int
volume_probe (const struct volume_io *io, const char *path,
              struct volume_status *ret, struct error *err)
{
  struct io_dir *dir;
  struct io_file *file = NULL;
  struct super super;
  int r = -1, saved;

  io = io_or_real (io);
  dir = io->dir_open (io->opaque, path);
  if (dir)
    file = io->open (dir, "super", 0);
  if (file == NULL)
    error_set (err, errno == EACCES ? EACCES : ENOENT,
               "'%s' is not a volume", path);
  else
    r = super_read (io, file, &super, err);
  saved = errno;
  if (r == 0) {
    status_from_super (&super, ret);
    probe_usage (io, dir, &super, ret);
    bound_confirmed (ret);
  }
  if (file)
    io->close (file);
  if (dir)
    io->dir_close (dir);
  errno = saved;
  return r;
}

/* ------------------------------------------------------------------ */

/* What a secondary that was a writer gives up. */
struct given_up {
  uint64_t generation, seq;
  bool save;
};

/* In the super: role, pair, fence and what follows from them.  GIVEN_UP NULL:
 * a writer that becomes secondary gives up all that it holds, unsaved.
 */
static void
set_role_in_super (struct volume *v, enum volume_role role,
                   const struct uuid *pair, uint64_t fence,
                   const struct given_up *given_up)
{
  static const struct uuid null;
  bool was_secondary = v->super.role == VOLUME_ROLE_SECONDARY;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

  if (role != VOLUME_ROLE_SECONDARY || !was_secondary)
    v->super.flags &= ~SUPER_AHEAD;
  v->super.role = role;
  v->super.pair = pair ? *pair : null;
  v->super.fence = fence;
  /* In no pair there is nobody to stop for; later pairs begin above. */
  if (role == VOLUME_ROLE_STANDALONE && fence < v->super.met_fence)
    v->super.fence = v->super.met_fence;
  if (v->super.fence >= v->super.met_fence)
    v->super.flags &= ~SUPER_FENCED;
  if (was_secondary && role != VOLUME_ROLE_SECONDARY) {
    super_keep_shown (&v->super);
    v->super.flags |= SUPER_NEW_WRITER;
  }
  if (was_secondary || role != VOLUME_ROLE_SECONDARY)
    return;
  super_keep_shown (&v->super);
  if (given_up == NULL)
    v->super.flags &= ~SUPER_SYNCED;
  else {
    v->super.flags |= SUPER_DISCARD | (given_up->save ? SUPER_SALVAGE : 0);
    v->super.discard_generation = given_up->generation;
    v->super.discard_seq = given_up->seq;
  }
}

static int
change_role_locked (struct volume *v, enum volume_role role,
                    const struct uuid *pair, uint64_t fence,
                    const struct given_up *given_up, struct error *err)
{
  struct journal *j = &v->journal;
  bool was_secondary = v->super.role == VOLUME_ROLE_SECONDARY;
  bool goes_on;                  /* guests may write before and after */

  if (role == VOLUME_ROLE_SECONDARY && !live_wait (v))
    return error_set (err, EIO, "cannot change the role: %s", v->failure);
  if (fence < v->super.fence)
    return error_set (err, EPERM, "fence %llu is below %llu",
                      (unsigned long long) fence,
                      (unsigned long long) v->super.fence);
  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);
    goes_on = j->is_guest_writable && role != VOLUME_ROLE_SECONDARY;
    j->is_guest_writable = goes_on;
  }
  if (journal_flush_applied (v) == -1)
    return error_set (err, errno, "cannot flush: %s", v->failure);
  if (was_secondary && role != VOLUME_ROLE_SECONDARY && v->is_staging &&
      stage_drop_locked (v, err) == -1)
    return -1;
  set_role_in_super (v, role, pair, fence, given_up);
  if (role == VOLUME_ROLE_STANDALONE)
    volume_pin (v, 0);
  if (checkpoint (v, false, err) == -1)
    return -1;
  if (!goes_on)
    set_writer (v);
  return 0;
}

int
volume_set_role (struct volume *v, enum volume_role role,
                 const struct uuid *pair, uint64_t fence, struct error *err)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->role_lock);

  return change_role_locked (v, role, pair, fence, NULL, err);
}

int
volume_demote (struct volume *v, uint64_t fence, uint64_t generation,
               uint64_t seq, bool save, struct error *err)
{
  const struct given_up given_up = { generation, seq, save };
  struct volume_status status;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->role_lock);

  if (v->super.role != VOLUME_ROLE_PRIMARY)
    return error_set (err, EPERM, "the volume is %s, not primary",
                      volume_role_name (v->super.role));
  if (journal_flush_applied (v) == -1)
    return error_set (err, errno, "cannot flush: %s", v->failure);
  volume_get_status (v, &status);
  if (seq > status.committed.seq ||
      generations_at (&status.generations, seq) != generation)
    return error_set (err, EINVAL, "the history of this volume has no seq "
                      "%llu of generation %016llx", (unsigned long long) seq,
                      (unsigned long long) generation);
  return change_role_locked (v, VOLUME_ROLE_SECONDARY, &status.pair, fence,
                             &given_up, err);
}

int
volume_salvaged (struct volume *v, struct error *err)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->role_lock);

  if (!(v->super.flags & SUPER_SALVAGE))
    return 0;
  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);
    v->super.flags &= ~SUPER_SALVAGE;
  }
  return checkpoint (v, false, err);
}

int
volume_meet_fence (struct volume *v, uint64_t fence, struct error *err)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->role_lock);

  /* Who sees that it is fenced sees no write come in. */
  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->journal.lock);
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

    if (fence <= v->super.fence || fence <= v->super.met_fence)
      return 0;
    v->super.met_fence = fence;
    v->super.flags |= SUPER_FENCED;
    v->journal.is_guest_writable = false;
  }
  return checkpoint (v, false, err);
}

#define DIGEST_CHUNK (1u << 20)

int
volume_digest (struct volume *v, uint64_t *ret, struct error *err)
{
  CLEANUP_FREE uint8_t *buf = malloc (DIGEST_CHUNK);
  XXH3_state_t *state = XXH3_createState ();
  uint64_t size = volume_size (v), offset, n;
  int r = 0;

  if (buf == NULL || state == NULL) {
    XXH3_freeState (state);
    return error_set_errno (err, ENOMEM, "cannot read the disk");
  }
  XXH3_64bits_reset (state);
  if (journal_flush_applied (v) == -1)
    r = error_set (err, errno, "cannot flush: %s", v->failure);
  for (offset = 0; r == 0 && offset < size; offset += n) {
    n = size - offset;
    if (n > DIGEST_CHUNK)
      n = DIGEST_CHUNK;
    if (volume_read (v, buf, n, offset) == -1)
      r = error_set_errno (err, errno, "cannot read the disk at byte %llu",
                           (unsigned long long) offset);
    else
      XXH3_64bits_update (state, buf, n);
  }
  *ret = XXH3_64bits_digest (state);
  XXH3_freeState (state);
  return r;
}

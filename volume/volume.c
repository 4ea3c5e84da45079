/* Making, opening and closing a volume; its roles and status. */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "cleanup.h"
#include "clock.h"
#include "crypto.h"
#include "volume-internal.h"

#define SEGMENT_SIZE_DEFAULT (UINT64_C (32) << 20)
#define SEGMENT_SIZE_MIN (UINT64_C (4) << 20)
#define SEGMENTS_MIN 12u

static const char *const file_names[] = {
  "super", "segments.0", "segments.1", "journal",
  "map.0", "births.0", "map.1", "births.1",
};

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

static const struct volume_io *
io_or_real (const struct volume_io *io)
{
  return io ? io : &volume_io_real;
}

/* ------------------------------------------------------------------ */

int
check_size (uint64_t size, struct error *err)
{
  if (size < VOLUME_SIZE_MIN || size > VOLUME_SIZE_MAX ||
      size % VOLUME_BLOCK_SIZE != 0)
    return error_set (err, EINVAL, "the size must be a multiple of 4096 "
                      "between 1M and 8T, not %llu",
                      (unsigned long long) size);
  return 0;
}

int
check_capacity (uint64_t capacity, struct error *err)
{
  if (capacity > VOLUME_CAPACITY_MAX)
    return error_set (err, EINVAL, "the capacity must be at most 16T");
  return 0;
}

static int
check_params (const struct volume_params *p, struct error *err)
{
  if (check_size (p->size, err) == -1)
    return -1;
  if (p->segment_size != 0 &&
      (p->segment_size < SEGMENT_SIZE_MIN ||
       p->segment_size > (UINT64_C (1) << 30) ||
       (p->segment_size & (p->segment_size - 1)) != 0))
    return error_set (err, EINVAL, "the segment size must be a power of two "
                      "between 4M and 1G");
  return check_capacity (p->capacity, err);
}

/* The journal may take three times the size of the disk: its file grows only
 * as far as it is used.
 */
uint64_t
default_capacity (uint64_t size, uint64_t segment_size)
{
  uint64_t capacity = ROUND_UP (3 * size, segment_size);

  if (capacity > VOLUME_CAPACITY_MAX)
    return VOLUME_CAPACITY_MAX;
  return capacity < SEGMENTS_MIN * segment_size ? SEGMENTS_MIN * segment_size
    : capacity;
}

/* Complete what the caller left open. */
static void
default_geometry (const struct volume_params *p, struct super *super)
{
  uint64_t size = p->segment_size, capacity = p->capacity;

  if (size == 0) {
    size = SEGMENT_SIZE_DEFAULT;
    while (size > SEGMENT_SIZE_MIN && size > p->size / 16)
      size /= 2;
  }
  if (capacity == 0)
    capacity = default_capacity (p->size, size);
  capacity = ROUND_UP (capacity, size);
  if (capacity < SEGMENTS_MIN * size)
    capacity = SEGMENTS_MIN * size;
  super->size = p->size;
  super->segment_size = size;
  super->capacity = capacity;
}

/* A file of SIZE bytes; 0: empty. */
static int
create_file (const struct volume_io *io, struct io_dir *dir,
             const char *name, uint64_t size, struct error *err)
{
  struct io_file *file = io->open (dir, name, IO_CREATE);
  int r = 0, saved;

  if (file == NULL)
    return error_set_errno (err, errno, "cannot create '%s'", name);
  if (size > 0)
    r = io->resize (file, size);
  if (r == 0 && size > 0)
    r = io->reserve (file, 0, size);
  if (r == 0)
    r = io->sync (file);
  saved = errno;
  io->close (file);
  return r == -1 ? error_set_errno (err, saved, "cannot create '%s'", name)
    : 0;
}

/* The first segment table and all slots of the super, which make it a
 * volume.
 */
static int
create_super (const struct volume_io *io, struct io_dir *dir,
              struct super *super, struct error *err)
{
  struct io_file *file = NULL, *table = NULL;
  struct segments segments = { 0 };
  unsigned i;
  int r = -1, saved;

  table = io->open (dir, segments_name (super->segments_slot), 0);
  if (table == NULL ||
      segments_init (&segments, super_segments (super),
                     super->segment_size) == -1 ||
      segments_save (&segments, io, table, super) == -1)
    goto out;
  file = io->open (dir, "super", IO_CREATE);
  if (file == NULL ||
      io->resize (file, SUPER_SLOTS * SUPER_SIZE) == -1 ||
      io->reserve (file, 0, SUPER_SLOTS * SUPER_SIZE) == -1)
    goto out;
  for (i = 0; i < SUPER_SLOTS; ++i)
    if (super_write (io, file, super) == -1)
      goto out;
  r = io->dir_sync (dir);

 out:
  saved = errno;
  segments_release (&segments);
  if (table)
    io->close (table);
  if (file)
    io->close (file);
  return r == -1 ? error_set_errno (err, saved, "cannot create the super")
    : 0;
}

static void
remove_files (const struct volume_io *io, struct io_dir *dir)
{
  size_t i;

  for (i = 0; i < sizeof file_names / sizeof file_names[0]; ++i)
    io->unlink (dir, file_names[i]);
}

int
volume_create (const struct volume_io *io, const char *path,
               const struct volume_params *params, struct error *err)
{
  struct super super = {
    .created_ns = clock_wall_ns (), .journal_salt = random_u64 (),
    .content_salt = random_u64 (), .role = VOLUME_ROLE_STANDALONE,
    .flags = SUPER_CLEAN | SUPER_NEW_WRITER, .oldest_seq = 1,
  };
  struct io_dir *dir;
  uint64_t nblocks, table_size;
  int r, saved;

  io = io_or_real (io);
  if (check_params (params, err) == -1)
    return -1;
  uuid_generate (&super.uuid);
  uuid_generate (&super.lineage);
  default_geometry (params, &super);
  nblocks = super_blocks (&super);
  table_size = segments_file_size (super_segments (&super));
  super.position = super.segment_size;         /* lap 1, not begun */
  super.oldest_position = super.segment_size;
  super.durable_hint = super.position;
  super.cold_position = COLD_LAP_BASE * super.segment_size;

  if (io->dir_create (io->opaque, path) == -1)
    return error_set_errno (err, errno, "cannot create '%s'", path);
  dir = io->dir_open (io->opaque, path);
  if (dir == NULL) {
    error_set_errno (err, errno, "cannot open '%s'", path);
    saved = errno;
    io->dir_remove (io->opaque, path);
    errno = saved;
    return -1;
  }

  r = create_file (io, dir, "journal", 0, err);
  if (r == 0)
    r = create_file (io, dir, segments_name (0), table_size, err);
  if (r == 0)
    r = create_file (io, dir, segments_name (1), table_size, err);
  if (r == 0)
    r = table_create (io, dir, map_name (0), MAP_MAGIC, nblocks, &super.uuid,
                      err);
  if (r == 0)
    r = table_create (io, dir, births_name (0), BIRTHS_MAGIC,
                      nblocks, &super.uuid, err);
  if (r == 0)
    r = create_super (io, dir, &super, err);
  saved = errno;
  if (r == -1)
    remove_files (io, dir);
  io->dir_close (dir);
  if (r == -1)
    io->dir_remove (io->opaque, path);
  errno = saved;
  return r;
}

int
volume_destroy (const struct volume_io *io, const char *path,
                struct error *err)
{
  struct io_dir *dir;
  struct io_file *file;
  struct super super;

  io = io_or_real (io);
  dir = io->dir_open (io->opaque, path);
  if (dir == NULL)
    return error_set_errno (err, errno, "cannot open '%s'", path);
  file = io->open (dir, "super", IO_LOCK);
  if (file == NULL || super_read (io, file, &super, NULL) == -1) {
    if (errno == EBUSY)
      error_set (err, EBUSY, "'%s' is in use", path);
    else
      error_set (err, EINVAL, "'%s' is not a volume", path);
    if (file)
      io->close (file);
    io->dir_close (dir);
    return -1;
  }
  remove_files (io, dir);
  io->unlink (dir, "link");      /* what the plugin keeps beside it */
  io->close (file);
  io->dir_close (dir);
  if (io->dir_remove (io->opaque, path) == -1)
    return error_set_errno (err, errno, "cannot remove '%s'", path);
  return 0;
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

/* The journal must reach as far as the segments in use. */
static int
check_journal_length (struct volume *v, struct error *err)
{
  uint64_t i, size, need = 0;

  if (v->io->size (v->journal.file, &size) == -1)
    return error_set_errno (err, errno, "cannot open 'journal'");
  for (i = 0; i < segments_count (&v->segments); ++i)
    if (segment_lap (&v->segments, i) != 0)
      need = (i + 1) * v->super.segment_size;
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

void
volume_get_status (struct volume *v, struct volume_status *ret)
{
  struct journal *j = &v->journal;
  uint64_t i;

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
  for (i = 0; i < segments_count (&v->segments); ++i)
    if (segment_lap (&v->segments, i) != 0) {
      ret->used += v->segments.size;
      ret->live += (uint64_t) GRANULE *
        __atomic_load_n (&v->segments.table[i].live, __ATOMIC_RELAXED);
    }
  ret->checksum_errors = __atomic_load_n (&v->count.checksum_errors,
                                          __ATOMIC_RELAXED);
  ret->read_errors = __atomic_load_n (&v->count.read_errors,
                                      __ATOMIC_RELAXED);
  ret->guest_writes = __atomic_load_n (&v->count.writes, __ATOMIC_RELAXED);
  ret->guest_reads = __atomic_load_n (&v->count.reads, __ATOMIC_RELAXED);
  ret->flushes = __atomic_load_n (&v->count.flushes, __ATOMIC_RELAXED);
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

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

    if (fence <= v->super.fence || fence <= v->super.met_fence)
      return 0;
    v->super.met_fence = fence;
    v->super.flags |= SUPER_FENCED;
  }
  set_writer (v);
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

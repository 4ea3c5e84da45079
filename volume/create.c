/* Making and removing a volume's files.
 *
 * A volume is one as soon as its super is on the medium, the last file that
 * is made; it is none any more as soon as the super is gone, the first that
 * is removed.  What a crash leaves of either is told by its journal: the
 * first, the last, and empty.  So it is never taken for a volume, and who
 * makes or removes one at the same place puts it away.
 */

#include <config.h>

#include <errno.h>

#include "clock.h"
#include "crypto.h"
#include "volume-internal.h"

#define SEGMENT_SIZE_DEFAULT (UINT64_C (32) << 20)
#define SEGMENT_SIZE_MIN (UINT64_C (4) << 20)
#define SEGMENTS_MIN 12u

/* In the order in which they are removed; the journal follows. */
static const char *const file_names[] = {
  "super", "segments.0", "segments.1", "map.0", "births.0", "map.1",
  "births.1",
};

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

/* ------------------------------------------------------------------ */

/* The first file of a new volume, which keeps others away until all are
 * there.
 */
static struct io_file *
create_journal (const struct volume_io *io, struct io_dir *dir,
                struct error *err)
{
  struct io_file *file = io->open (dir, "journal", IO_CREATE | IO_LOCK);

  if (file == NULL)
    error_set_errno (err, errno, "cannot create 'journal'");
  else if (io->sync (file) == -1 || io->dir_sync (dir) == -1) {
    error_set_errno (err, errno, "cannot create 'journal'");
    io->close (file);
    io->unlink (dir, "journal");
    return NULL;
  }
  return file;
}

/* All but the journal.  The syncs keep the order if power fails. */
static void
remove_files (const struct volume_io *io, struct io_dir *dir)
{
  size_t i;

  for (i = 0; i < sizeof file_names / sizeof file_names[0]; ++i) {
    io->unlink (dir, file_names[i]);
    if (i == 0)
      io->dir_sync (dir);
  }
  io->dir_sync (dir);
}

/* Not when it only cannot be read. */
static bool
has_no_super (const struct volume_io *io, struct io_dir *dir)
{
  struct io_file *file = io->open (dir, "super", 0);
  struct super super;
  bool ret;

  if (file == NULL)
    return errno == ENOENT;
  ret = super_read (io, file, &super, NULL) == -1 && errno == EUCLEAN;
  io->close (file);
  return ret;
}

/* It is an empty directory, or an empty journal without a super. */
int
volume_remove_unfinished (const struct volume_io *io, const char *path)
{
  struct io_file *journal;
  struct io_dir *dir;
  uint64_t size;
  bool is_ours;

  io = io_or_real (io);
  dir = io->dir_open (io->opaque, path);
  if (dir == NULL)
    return -1;
  journal = io->open (dir, "journal", IO_LOCK);
  is_ours = journal ? io->size (journal, &size) == 0 && size == 0 &&
    has_no_super (io, dir) : errno == ENOENT;
  if (journal && is_ours) {
    remove_files (io, dir);
    io->unlink (dir, "journal");
  }
  if (journal)
    io->close (journal);
  io->dir_close (dir);
  return is_ours ? io->dir_remove (io->opaque, path) : -1;
}

static int
create_directory (const struct volume_io *io, const char *path,
                  struct error *err)
{
  int saved;

  if (io->dir_create (io->opaque, path) == 0)
    return 0;
  saved = errno;
  if (saved == EEXIST && volume_remove_unfinished (io, path) == 0 &&
      io->dir_create (io->opaque, path) == 0)
    return 0;
  return error_set_errno (err, saved, "cannot create '%s'", path);
}

static int
create_files (const struct volume_io *io, struct io_dir *dir,
              struct super *super, struct error *err)
{
  uint64_t nblocks = super_blocks (super);
  uint64_t table_size = segments_file_size (super_segments (super));
  unsigned i;

  for (i = 0; i < 2; ++i)
    if (create_file (io, dir, segments_name (i), table_size, err) == -1)
      return -1;
  if (table_create (io, dir, map_name (0), MAP_MAGIC, nblocks, &super->uuid,
                    err) == -1 ||
      table_create (io, dir, births_name (0), BIRTHS_MAGIC, nblocks,
                    &super->uuid, err) == -1)
    return -1;
  if (io->dir_sync (dir) == -1)  /* nothing is younger than the super */
    return error_set_errno (err, errno, "cannot sync the directory");
  return create_super (io, dir, super, err);
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
  struct io_file *journal = NULL;
  struct io_dir *dir;
  int r = -1, saved;

  io = io_or_real (io);
  if (check_params (params, err) == -1)
    return -1;
  uuid_generate (&super.uuid);
  uuid_generate (&super.lineage);
  default_geometry (params, &super);
  super.position = super.segment_size;         /* lap 1, not begun */
  super.oldest_position = super.segment_size;
  super.durable_hint = super.position;
  super.cold_position = COLD_LAP_BASE * super.segment_size;

  if (create_directory (io, path, err) == -1)
    return -1;
  dir = io->dir_open (io->opaque, path);
  if (dir == NULL)
    error_set_errno (err, errno, "cannot open '%s'", path);
  else if ((journal = create_journal (io, dir, err)) != NULL)
    r = create_files (io, dir, &super, err);

  saved = errno;
  if (r == -1 && journal) {
    remove_files (io, dir);
    io->unlink (dir, "journal");
  }
  if (journal)
    io->close (journal);
  if (dir)
    io->dir_close (dir);
  if (r == -1)
    io->dir_remove (io->opaque, path);
  errno = saved;
  return r;
}

/* From here on it is an empty journal, however the rest ends. */
static int
empty_journal (const struct volume_io *io, struct io_dir *dir)
{
  struct io_file *file = io->open (dir, "journal", 0);
  int r, saved;

  if (file == NULL)
    return errno == ENOENT ? 0 : -1;
  r = io->resize (file, 0);
  if (r == 0)
    r = io->sync (file);
  saved = errno;
  io->close (file);
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
  int r;

  io = io_or_real (io);
  dir = io->dir_open (io->opaque, path);
  if (dir == NULL)
    return error_set_errno (err, errno, "cannot open '%s'", path);
  file = io->open (dir, "super", IO_LOCK);
  if (file == NULL || super_read (io, file, &super, NULL) == -1) {
    r = errno == EBUSY ? EBUSY : EINVAL;
    if (file)
      io->close (file);
    io->dir_close (dir);
    if (r == EBUSY)
      return error_set (err, EBUSY, "'%s' is in use", path);
    return volume_remove_unfinished (io, path) == 0 ? 0
      : error_set (err, EINVAL, "'%s' is not a volume", path);
  }
  r = empty_journal (io, dir);
  if (r == -1)
    error_set_errno (err, errno, "cannot remove '%s'", path);
  else {
    io->unlink (dir, "link");    /* what the plugin keeps beside it */
    remove_files (io, dir);
    io->unlink (dir, "journal");
  }
  io->close (file);
  io->dir_close (dir);
  if (r == 0 && io->dir_remove (io->opaque, path) == -1)
    return error_set_errno (err, errno, "cannot remove '%s'", path);
  return r;
}

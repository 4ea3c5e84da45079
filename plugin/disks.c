/* Registry of disks.  See disks.h for the rules of lifetime and locking. */

#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "disks.h"
#include "scrubfile.h"
#include "verification.h"
#include "verifyfile.h"
#include "steps.h"
#include "syncfile.h"

/* Guards the list, and refs, guests and is_barred of every disk in it. */
static pthread_mutex_t disks_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t disks_changed = PTHREAD_COND_INITIALIZER;
static struct disk *disks;
static char *disks_dir;

/* ------------------------------------------------------------------ */
/* One disk.                                                            */

static void
disk_free (struct disk *disk)
{
  if (disk == NULL)
    return;
  scrub_release (&disk->scrub);
  salvage_release (&disk->salvage);
  verify_release (&disk->verify);
  replication_release (&disk->replication);
  pthread_mutex_destroy (&disk->ops_lock);
  if (disk->dirfd >= 0)
    close (disk->dirfd);
  free (disk->path);
  free (disk);
}

static struct disk *
disk_new (const char *dir, const char *name, struct error *err)
{
  struct disk *disk = calloc (1, sizeof *disk);

  if (disk == NULL || asprintf (&disk->path, "%s/%s", dir, name) == -1) {
    free (disk);
    error_set_errno (err, ENOMEM, "disk '%s'", name);
    return NULL;
  }
  snprintf (disk->name, sizeof disk->name, "%s", name);
  pthread_mutex_init (&disk->ops_lock, NULL);
  replication_init (&disk->replication);
  scrub_init (&disk->scrub);
  salvage_init (&disk->salvage);
  verify_init (&disk->verify);
  disk->dirfd = -1;
  return disk;
}

/* A step within the request that this thread serves. */
static void
inner_step_ended (const char *step)
{
  char name[64];

  if (step_scope () == NULL)
    return;
  snprintf (name, sizeof name, "%s.%s", step_scope (), step);
  step_ended (name);
}

void
disk_role_changed (struct disk *disk)
{
  struct volume_status status;

  inner_step_ended ("role");

  volume_get_status (disk->volume, &status);
  atomic_store (&disk->serves_guests, status.role != VOLUME_ROLE_SECONDARY);
}

/* A link file that cannot be read does not keep the disk from its guests:
 * the link is off until the pair is set up again.
 */
static int
disk_load_link (struct disk *disk, struct error *err)
{
  struct volume_status status;

  if (linkfile_load (disk->dirfd, &disk->link, err) == -1)
    return -1;

  volume_get_status (disk->volume, &status);
  if (!uuid_equal (&disk->link.pair, &status.pair))
    memset (&disk->link, 0, sizeof disk->link);
  return 0;
}

int
disk_set_link (struct disk *disk, const struct linkfile *link,
               struct error *err)
{
  int r = link->is_set ? linkfile_store (disk->dirfd, link, err)
                       : linkfile_remove (disk->dirfd, err);

  if (r == -1)
    return -1;
  inner_step_ended ("link-file");
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disk->replication.lock);
  disk->link = *link;
  return 0;
}

void
disk_get_link (struct disk *disk, struct linkfile *ret)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disk->replication.lock);
  *ret = disk->link;
}

/* The directory, what was promised to the peer, the volume: without any of
 * them it is not served, for no flush may go unwaited for that was promised.
 * A record that cannot be read says that all was: -1, and there is a volume.
 */
static int
disk_open (struct disk *disk, struct error *err)
{
  int r;

  disk->dirfd = open (disk->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (disk->dirfd == -1)
    return error_set_errno (&disk->failure, errno,
                            "cannot open directory '%s'", disk->path);
  r = replication_load_sync (disk, err);
  if (disk->replication.sync == NULL) {
    disk->failure = *err;
    return -1;
  }
  disk->volume = volume_open (NULL, disk->path, NULL, &disk->failure);
  return disk->volume == NULL ? -1 : r;
}

/* Open it and take up the link where it was.  What fails is told to FN and
 * kept in the disk.
 */
static void
disk_start (struct disk *disk,
            void (*fn) (const char *name, const struct error *error))
{
  struct error error = ERROR_INIT;
  int r = disk_open (disk, &error);

  if (disk->volume == NULL) {
    fn (disk->name, &disk->failure);
    return;
  }
  if (r == -1 || disk_load_link (disk, &error) == -1)
    fn (disk->name, &error);
  disk_role_changed (disk);

  error = (struct error) ERROR_INIT;
  if (replication_start (disk, &error) == -1)
    fn (disk->name, &error);
  error = (struct error) ERROR_INIT;
  if (scrub_resume (&disk->scrub, disk->volume, disk->dirfd, &error) == -1)
    fn (disk->name, &error);
  error = (struct error) ERROR_INIT;
  if (verification_resume (disk, &error) == -1)
    fn (disk->name, &error);
}

/* Close the volume; DISK stays. */
static int
disk_stop (struct disk *disk, struct error *err)
{
  struct volume *volume = disk->volume;

  if (volume == NULL)
    return 0;
  scrub_stop (&disk->scrub, false);
  verify_stop (&disk->verify);
  replication_stop (disk);
  disk->volume = NULL;
  return volume_close (volume, err);
}

/* ------------------------------------------------------------------ */
/* The list.                                                            */

static void
disk_insert (struct disk *disk)
{
  struct disk **pos = &disks;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disks_lock);
  while (*pos != NULL && strcmp ((*pos)->name, disk->name) < 0)
    pos = &(*pos)->next;
  disk->next = *pos;
  *pos = disk;
}

static void
disk_remove_locked (struct disk *disk)
{
  struct disk **pos = &disks;

  while (*pos != disk)
    pos = &(*pos)->next;
  *pos = disk->next;
  disk->is_unlisted = true;
}

struct disk *
disk_get (const char *name)
{
  struct disk *disk;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disks_lock);
  for (disk = disks; disk != NULL; disk = disk->next)
    if (strcmp (disk->name, name) == 0) {
      disk->refs++;
      return disk;
    }
  return NULL;
}

struct disk *
disk_next (const char *after)
{
  struct disk *disk;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disks_lock);
  for (disk = disks; disk != NULL; disk = disk->next)
    if (strcmp (disk->name, after) > 0) {
      disk->refs++;
      return disk;
    }
  return NULL;
}

struct disk *
disk_get_by_pair (const struct uuid *pair)
{
  struct volume_status status;
  struct disk *disk, *next, *found = NULL;

  /* The status is asked for with a reference held, not the lock. */
  for (disk = disk_next (""); disk != NULL; disk = next) {
    next = disk_next (disk->name);
    if (disk->volume != NULL) {
      volume_get_status (disk->volume, &status);
      if (uuid_equal (&status.pair, pair) &&
          (found == NULL || status.role == VOLUME_ROLE_SECONDARY)) {
        if (found != NULL)
          disk_put (found);
        found = disk;
        continue;
      }
    }
    disk_put (disk);
  }
  return found;
}

void
disk_put (struct disk *disk)
{
  bool is_last;

  pthread_mutex_lock (&disks_lock);
  is_last = --disk->refs == 0 && disk->is_unlisted;
  pthread_cond_broadcast (&disks_changed);
  pthread_mutex_unlock (&disks_lock);
  if (is_last)
    disk_free (disk);
}

unsigned
disks_count (void)
{
  const struct disk *disk;
  unsigned count = 0;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disks_lock);
  for (disk = disks; disk != NULL; disk = disk->next)
    count++;
  return count;
}

/* ------------------------------------------------------------------ */
/* All of a directory.                                                  */

/* A directory with a name fit for a disk and a piece of a volume in it. */
static bool
is_volume (DIR *dir, const char *name)
{
  static const char *const pieces[] = { "super", "journal", "map" };
  struct stat statbuf;
  char path[NAME_MAX + 16];
  size_t i;

  if (!volume_name_is_valid (name))
    return false;
  for (i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
    snprintf (path, sizeof path, "%s/%s", name, pieces[i]);
    if (fstatat (dirfd (dir), path, &statbuf, 0) == 0)
      return true;
  }
  return false;
}

static int
for_each_volume (const char *path,
                 int (*fn) (const char *name, void *opaque,
                            struct error *err),
                 void *opaque, struct error *err)
{
  DIR *dir = opendir (path);
  const struct dirent *entry;
  int r = 0;

  if (dir == NULL)
    return error_set_errno (err, errno, "cannot open directory '%s'", path);
  while (r == 0 && (errno = 0, entry = readdir (dir)) != NULL)
    if (is_volume (dir, entry->d_name))
      r = fn (entry->d_name, opaque, err);
  if (r == 0 && errno != 0)
    r = error_set_errno (err, errno, "cannot read directory '%s'", path);
  closedir (dir);
  return r;
}

struct scan {
  const char *dir;
  void (*fn) (const char *name, const struct error *error);
};

static int
probe_one (const char *name, void *opaque, struct error *err)
{
  const struct scan *scan = opaque;
  struct volume_status status;
  struct error error = ERROR_INIT;
  CLEANUP_FREE char *path = NULL;

  if (asprintf (&path, "%s/%s", scan->dir, name) == -1) {
    path = NULL;
    return error_set_errno (err, ENOMEM, "disk '%s'", name);
  }
  if (volume_probe (NULL, path, &status, &error) == -1)
    scan->fn (name, &error);
  return 0;
}

int
disks_probe (const char *dir,
             void (*fn) (const char *name, const struct error *error),
             struct error *err)
{
  struct scan scan = { dir, fn };

  return for_each_volume (dir, probe_one, &scan, err);
}

static int
open_one (const char *name, void *opaque, struct error *err)
{
  const struct scan *scan = opaque;
  struct disk *disk = disk_new (scan->dir, name, err);
  struct error interrupted = ERROR_INIT;

  if (disk == NULL)
    return -1;
  if (volume_remove_unfinished (NULL, disk->path) == 0) {
    error_set (&interrupted, EINTR, "it was being made or deleted when that "
               "was interrupted: what was left of it is removed");
    scan->fn (name, &interrupted);
    disk_free (disk);
    return 0;
  }
  disk_start (disk, scan->fn);
  disk_insert (disk);
  return 0;
}

int
disks_open_all (const char *dir,
                void (*fn) (const char *name, const struct error *error),
                struct error *err)
{
  struct scan scan = { dir, fn };

  disks_dir = strdup (dir);
  if (disks_dir == NULL)
    return error_set_errno (err, ENOMEM, "directory '%s'", dir);
  return for_each_volume (dir, open_one, &scan, err);
}

void
disks_close_all (void (*fn) (const char *name, const struct error *error))
{
  struct disk *disk;

  while ((disk = disks) != NULL) {
    struct error error = ERROR_INIT;

    disks = disk->next;
    if (disk_stop (disk, &error) == -1)
      fn (disk->name, &error);
    disk_free (disk);
  }
  free (disks_dir);
  disks_dir = NULL;
}

/* ------------------------------------------------------------------ */
/* Coming and going.                                                    */

static void
ignore_complaint (const char *name, const struct error *error)
{
}

int
disk_create (const char *name, const struct volume_params *params,
             struct error *err)
{
  /* Two requests for one name: the second finds the first one's disk. */
  static pthread_mutex_t create_lock = PTHREAD_MUTEX_INITIALIZER;
  struct disk *disk;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&create_lock);
  disk = disk_get (name);
  if (disk != NULL) {
    disk_put (disk);
    return error_set (err, EEXIST, "disk '%s' exists", name);
  }

  disk = disk_new (disks_dir, name, err);
  if (disk == NULL)
    return -1;
  if (volume_create (NULL, disk->path, params, err) == -1) {
    disk_free (disk);
    return -1;
  }
  disk_start (disk, ignore_complaint);
  if (disk->volume == NULL) {
    if (err)
      *err = disk->failure;
    volume_destroy (NULL, disk->path, NULL);
    errno = disk->failure.errnum;
    disk_free (disk);
    return -1;
  }
  disk_insert (disk);
  return 0;
}

int
disk_delete (struct disk *disk, struct error *err)
{
  int r;

  if (disk_bar_guests (disk, err) == -1) {
    pthread_mutex_unlock (&disk->ops_lock);
    return -1;
  }

  /* Requests that wait for ops_lock hold a reference: let them see that the
   * disk is gone and go away before it is closed.
   */
  disk->is_gone = true;
  pthread_mutex_unlock (&disk->ops_lock);
  pthread_mutex_lock (&disks_lock);
  disk_remove_locked (disk);
  while (disk->refs > 1)
    pthread_cond_wait (&disks_changed, &disks_lock);
  pthread_mutex_unlock (&disks_lock);

  r = disk_stop (disk, err);
  if (r == 0)
    r = syncfile_store (disk->dirfd, &(struct sync_record) { 0 }, err);
  if (r == 0 && scrubfile_remove (disk->dirfd) == -1)
    r = error_set_errno (err, errno, "cannot delete the scrub's file");
  if (r == 0 && verifyfile_remove (disk->dirfd) == -1)
    r = error_set_errno (err, errno, "cannot delete the file 'verify'");
  if (r == 0)
    r = linkfile_remove (disk->dirfd, err);
  if (r == 0)
    r = volume_destroy (NULL, disk->path, err);
  return r;
}

int
disk_enter_guest (struct disk *disk, struct error *err)
{
  struct volume_status status;
  char pair[UUID_STRING_SIZE];

  if (disk->volume == NULL) {
    error_set (err, EIO, "disk '%s' is not served: %s",
               disk->name, disk->failure.message);
    return error_hint (err, "%s", disk->failure.hint);
  }

  pthread_mutex_lock (&disks_lock);
  if (!disk->is_barred && atomic_load (&disk->serves_guests)) {
    disk->guests++;
    disk->refs++;
    pthread_mutex_unlock (&disks_lock);
    return 0;
  }
  pthread_mutex_unlock (&disks_lock);

  volume_get_status (disk->volume, &status);
  if (status.role != VOLUME_ROLE_SECONDARY)
    return error_set (err, EBUSY, "disk '%s' cannot be attached "
                      "while its role is being changed", disk->name);
  uuid_format (&status.pair, pair);
  error_set (err, EPERM, "disk '%s' is the secondary of pair %s: "
             "it cannot be attached before a failover", disk->name, pair);
  return error_hint (err, "run 'pairctl pair failover' at this site");
}

void
disk_leave_guest (struct disk *disk)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disks_lock);
  disk->guests--;
  disk->refs--;
  pthread_cond_broadcast (&disks_changed);
}

unsigned
disk_guests (struct disk *disk)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disks_lock);
  return disk->guests;
}

int
disk_bar_guests (struct disk *disk, struct error *err)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disks_lock);
  if (disk->guests > 0) {
    error_set (err, EBUSY, "disk '%s' is in use by %u connection%s",
               disk->name, disk->guests, disk->guests == 1 ? "" : "s");
    return error_hint (err, "detach it from its guests first");
  }
  disk->is_barred = true;
  return 0;
}

void
disk_unbar_guests (struct disk *disk)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disks_lock);
  disk->is_barred = false;
}

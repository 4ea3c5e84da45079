/* Directories of a copy's own, and what kill -9 leaves of them.
 *
 * A copy makes its volume or image, its sockets and its log in directories
 * that no server looks at: pairctl-XXXXXX, and beside the place where
 * NAME will be .NAME.pairctl-XXXXXX.  Each is locked as long as pairctl or a
 * child of it lives.  So what nobody locks was left by a copy that was
 * killed, and the next copy to the same directory removes it and says so.
 *
 * Only what a copy makes is removed, by its name: a directory that holds
 * anything else stays and is told, too.
 */

#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "cli.h"
#include "volume.h"

#define MARK "pairctl-"
#define RANDOM_LEN 6             /* mkdtemp's */
#define TRIES 10
#define LOCK_FD_MIN 10           /* out of the way of what children get */

/* ------------------------------------------------------------------ */

static int
lock_directory (const char *path)
{
  struct stat st, there;
  int fd, saved, low = open (path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

  if (low == -1)
    return -1;
  fd = fcntl (low, F_DUPFD_CLOEXEC, LOCK_FD_MIN);
  close (low);
  if (fd == -1)
    return -1;
  if (fstat (fd, &st) == 0 && flock (fd, LOCK_EX | LOCK_NB) == 0 &&
      lstat (path, &there) == 0) {
    /* Somebody may have removed it before it was locked. */
    if (st.st_uid == geteuid () && there.st_ino == st.st_ino &&
        there.st_dev == st.st_dev)
      return fd;
    errno = EACCES;
  }
  saved = errno;
  close (fd);
  errno = saved;
  return -1;
}

int
workdir_make (struct workdir *w, const char *parent, const char *name)
{
  int i, fd;
  char *path;

  for (i = 0; i < TRIES; ++i) {
    path = name ? text_printf ("%s/.%s." MARK "XXXXXX", parent, name)
      : text_printf ("%s/" MARK "XXXXXX", parent);
    if (mkdtemp (path) == NULL) {
      int saved = errno;

      free (path);
      errno = saved;
      return -1;
    }
    fd = lock_directory (path);
    if (fd >= 0) {
      *w = (struct workdir) { path, fd };
      return 0;
    }
    free (path);                 /* taken for a dead one's just now */
  }
  errno = EBUSY;
  return -1;
}

static int
remove_directory (const char *path, struct error *err)
{
  static const char *const names[] = {
    "log", "nbd.sock", "control.sock", "image", ".lock",
    ("disks/" WORKDIR_DISK), "disks/.lock",
  };
  CLEANUP_FREE char *volume = text_printf ("%s/" WORKDIR_DISK, path);
  CLEANUP_FREE char *disks = text_printf ("%s/disks", path);
  struct stat st;
  size_t i;

  if (lstat (volume, &st) == 0 && volume_destroy (NULL, volume, err) == -1)
    return -1;
  for (i = 0; i < sizeof names / sizeof names[0]; ++i) {
    CLEANUP_FREE char *file = text_printf ("%s/%s", path, names[i]);

    unlink (file);
  }
  rmdir (disks);
  return rmdir (path) == 0 ? 0
    : error_set_errno (err, errno, "cannot remove '%s'", path);
}

void
workdir_remove (struct workdir *w)
{
  if (w->path == NULL)
    return;
  remove_directory (w->path, NULL);
  close (w->lock);
  free (w->path);
  w->path = NULL;
}

/* ------------------------------------------------------------------ */

static bool
is_workdir_name (const char *name)
{
  size_t len = strlen (name), tail = strlen (MARK) + RANDOM_LEN;
  const char *mark = name + len - tail;

  return len >= tail && strncmp (mark, MARK, strlen (MARK)) == 0 &&
    (mark == name || (name[0] == '.' && mark > name + 2 && mark[-1] == '.'));
}

/* Takes TEXT. */
static void
tell (char *text)
{
  fprintf (stderr, "pairctl: %s\n", text_clean (text));
  free (text);
}

static void
sweep_one (const char *path, bool is_same)
{
  struct error err = ERROR_INIT;
  int lock = lock_directory (path);

  if (lock == -1) {
    if (is_same && errno == EWOULDBLOCK)
      tell (text_printf ("another copy to the same place is under way in "
                         "'%s'", path));
    return;
  }
  if (remove_directory (path, &err) == 0)
    tell (text_printf ("removed '%s', left by a copy that was killed", path));
  else
    tell (text_printf ("'%s' was left by a copy that was killed, and stays: "
                       "%s", path, err.message));
  close (lock);
}

void
workdirs_sweep (const char *parent, const char *name)
{
  CLEANUP_FREE char *same = text_printf (".%s." MARK, name ? name : "");
  DIR *dir = opendir (parent);
  const struct dirent *entry;

  if (dir == NULL)
    return;                      /* who makes something there will say so */
  while ((entry = readdir (dir)) != NULL)
    if (is_workdir_name (entry->d_name)) {
      CLEANUP_FREE char *path = text_printf ("%s/%s", parent, entry->d_name);

      sweep_one (path, strncmp (entry->d_name, same, strlen (same)) == 0);
    }
  closedir (dir);
}

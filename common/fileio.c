/* Whole reads and writes, files replaced as one step (see fileio.h). */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "fileio.h"

int
pread_full (int fd, void *buf, size_t len, off_t offset)
{
  char *p = buf;

  while (len > 0) {
    ssize_t r = pread (fd, p, len, offset);

    if (r < 0) {
      if (errno == EINTR)
        continue;
      return -1;
    }
    if (r == 0) {
      errno = EIO;
      return -1;
    }
    p += r;
    len -= r;
    offset += r;
  }
  return 0;
}

int
pwrite_full (int fd, const void *buf, size_t len, off_t offset)
{
  const char *p = buf;

  while (len > 0) {
    ssize_t r = pwrite (fd, p, len, offset);

    if (r < 0) {
      if (errno == EINTR)
        continue;
      return -1;
    }
    p += r;
    len -= r;
    offset += r;
  }
  return 0;
}

int
write_full (int fd, const void *buf, size_t len)
{
  const char *p = buf;

  while (len > 0) {
    ssize_t r = write (fd, p, len);

    if (r < 0) {
      if (errno == EINTR)
        continue;
      return -1;
    }
    p += r;
    len -= r;
  }
  return 0;
}

int
dir_sync (int dirfd)
{
  return fsync (dirfd);
}

int
file_replace (int dirfd, const char *name, const void *data, size_t len,
              mode_t mode)
{
  char tmp[256];
  CLEANUP_CLOSE int fd = -1;
  int saved;

  if (snprintf (tmp, sizeof tmp, "%s.new", name) >= (int) sizeof tmp) {
    errno = ENAMETOOLONG;
    return -1;
  }
  unlinkat (dirfd, tmp, 0);
  fd = openat (dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd == -1)
    return -1;
  if (write_full (fd, data, len) == -1 || fsync (fd) == -1 ||
      renameat (dirfd, tmp, dirfd, name) == -1) {
    saved = errno;
    unlinkat (dirfd, tmp, 0);
    errno = saved;
    return -1;
  }
  return dir_sync (dirfd);
}

int
file_replace_path (const char *path, const void *data, size_t len,
                   mode_t mode)
{
  const char *slash = strrchr (path, '/');
  CLEANUP_FREE char *parent = slash == NULL ? strdup (".")
    : strndup (path, slash == path ? 1 : slash - path);
  CLEANUP_CLOSE int dir = -1;

  if (parent == NULL)
    return -1;
  dir = open (parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return dir == -1 ? -1
    : file_replace (dir, slash ? slash + 1 : path, data, len, mode);
}

char *
file_read (int dirfd, const char *name, size_t max, size_t *ret_len)
{
  CLEANUP_CLOSE int fd = -1;
  struct stat st;
  char *buf;
  int saved;

  fd = openat (dirfd, name, O_RDONLY | O_CLOEXEC);
  if (fd == -1 || fstat (fd, &st) == -1)
    return NULL;
  if (st.st_size < 0 || (uint64_t) st.st_size > max) {
    errno = EFBIG;
    return NULL;
  }
  buf = malloc (st.st_size + 1);
  if (buf == NULL)
    return NULL;
  if (pread_full (fd, buf, st.st_size, 0) == -1) {
    saved = errno;
    free (buf);
    errno = saved;
    return NULL;
  }
  buf[st.st_size] = '\0';
  if (ret_len)
    *ret_len = st.st_size;
  return buf;
}

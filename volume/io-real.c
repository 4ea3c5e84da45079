/* The real files of a volume (see io.h).
 *
 * Each file is open twice: buffered, for reads, small writes and the
 * mapping, and O_DIRECT, for the queue, zero_fill and read_medium.  The
 * kernel keeps the two views coherent: a completed direct write has thrown
 * out what the page cache had of its range.  Where a file system has no
 * O_DIRECT the buffered descriptor does everything.  A file that is opened
 * with IO_READ_MUCH is read through a window where that can be.
 *
 * A queue is an io_uring whose writes carry RWF_DSYNC.  Its submission side
 * is touched by queue_submit and queue_read alone and its completion side by
 * queue_wait alone; what both know of a request is in its slot, which the
 * submitter takes and queue_wait gives back.  Where no ring can be made
 * (EPERM, ENOMEM, ENOSYS) the submitter does it by itself and leaves the
 * result for queue_wait.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <liburing.h>

#include "cleanup.h"
#include "fileio.h"
#include "format.h"
#include "io.h"
#include "window.h"

struct io_dir {
  int fd;
};

struct io_file {
  int fd;
  int direct_fd;               /* -1: the file system has no O_DIRECT */
  void *map;
  uint64_t map_len;
  bool has_window;
  struct window window;
  int null_fd;                 /* -1, or where warm () sends the file */
};

/* One request in flight.  id to offset belong to the submitter until used is
 * set, to the waiter from then on.
 */
struct slot {
  atomic_bool used;
  uint64_t id;
  bool is_read;
  void *buf;                   /* const for a write */
  size_t len;
  uint64_t offset;
  int result;                  /* without a ring: 0 or positive errno */
  bool is_done;
};

struct io_queue {
  int fd;
  unsigned depth;
  struct slot *slots;
  atomic_uint in_flight;

  bool has_ring;
  struct io_uring ring;
  struct iovec buffer;         /* to be registered, or empty */
  const char *fixed;           /* the registered buffer, or NULL */
  size_t fixed_len;
  size_t written;              /* until it is registered */

  /* Without a ring: guards result and is_done of the slots. */
  pthread_mutex_t done_lock;
  pthread_cond_t done_cond;
};

static const char zeros[1 << 20] __attribute__ ((aligned (FORMAT_PAGE)));

/* ------------------------------------------------------------------ */

/* Make the entry of PATH in its parent directory durable. */
static int
sync_parent (const char *path)
{
  char parent[PATH_MAX];
  CLEANUP_CLOSE int fd = -1;

  if ((size_t) snprintf (parent, sizeof parent, "%s/..", path) >=
      sizeof parent) {
    errno = ENAMETOOLONG;
    return -1;
  }
  fd = open (parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  return dir_sync (fd);
}

static int
real_dir_create (void *opaque, const char *path)
{
  int saved;

  (void) opaque;
  if (mkdir (path, 0700) < 0)
    return -1;
  if (sync_parent (path) < 0) {
    saved = errno;
    rmdir (path);
    errno = saved;
    return -1;
  }
  return 0;
}

static int
real_dir_remove (void *opaque, const char *path)
{
  (void) opaque;
  return rmdir (path);
}

static struct io_dir *
real_dir_open (void *opaque, const char *path)
{
  struct io_dir *dir = malloc (sizeof *dir);

  (void) opaque;
  if (dir == NULL)
    return NULL;
  dir->fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir->fd < 0) {
    free (dir);
    return NULL;
  }
  return dir;
}

static int
real_dir_sync (struct io_dir *dir)
{
  return dir_sync (dir->fd);
}

static void
real_dir_close (struct io_dir *dir)
{
  if (dir == NULL)
    return;
  close (dir->fd);
  free (dir);
}

static int
real_unlink (struct io_dir *dir, const char *name)
{
  return unlinkat (dir->fd, name, 0);
}

/* ------------------------------------------------------------------ */

static struct io_file *
real_open (struct io_dir *dir, const char *name, unsigned flags)
{
  struct io_file *file = calloc (1, sizeof *file);
  int oflags = O_RDWR | O_CLOEXEC | O_NOCTTY;
  int saved;

  if (file == NULL)
    return NULL;
  file->direct_fd = file->null_fd = -1;
  if (flags & IO_CREATE)
    oflags |= O_CREAT | O_EXCL;
  file->fd = openat (dir->fd, name, oflags, 0600);
  if (file->fd < 0)
    goto err;
  if ((flags & IO_LOCK) && flock (file->fd, LOCK_EX | LOCK_NB) < 0) {
    if (errno == EWOULDBLOCK)
      errno = EBUSY;
    goto err_close;
  }
  file->direct_fd = openat (dir->fd, name,
                            O_RDWR | O_CLOEXEC | O_NOCTTY | O_DIRECT);
  if (file->direct_fd < 0 && errno != EINVAL && errno != EOPNOTSUPP)
    goto err_close;
  if (flags & IO_READ_MUCH) {
    window_init (&file->window, file->fd);
    file->has_window = true;
    file->null_fd = open ("/dev/null", O_WRONLY | O_CLOEXEC);
  }
  return file;

 err_close:
  saved = errno;
  close (file->fd);
  errno = saved;
 err:
  saved = errno;
  free (file);
  errno = saved;
  return NULL;
}

static void
real_unmap (struct io_file *file)
{
  if (file->map != NULL)
    munmap (file->map, file->map_len);
  file->map = NULL;
}

static void
real_close (struct io_file *file)
{
  if (file == NULL)
    return;
  real_unmap (file);
  if (file->has_window)
    window_release (&file->window);
  if (file->null_fd >= 0)
    close (file->null_fd);
  if (file->direct_fd >= 0)
    close (file->direct_fd);
  close (file->fd);
  free (file);
}

/* By lseek, which knows block devices too. */
static int
real_size (struct io_file *file, uint64_t *ret)
{
  off_t end = lseek (file->fd, 0, SEEK_END);

  if (end < 0)
    return -1;
  *ret = end;
  return 0;
}

static int
real_resize (struct io_file *file, uint64_t size)
{
  int r;

  do
    r = ftruncate (file->fd, size);
  while (r < 0 && errno == EINTR);
  return r;
}

static int
real_reserve (struct io_file *file, uint64_t offset, uint64_t len)
{
  int r;

  do
    r = posix_fallocate (file->fd, offset, len);
  while (r == EINTR);
  if (r != 0) {
    errno = r;
    return -1;
  }
  return 0;
}

/* Space first: ENOSPC is found before anything is written. */
static int
real_zero_fill (struct io_file *file, uint64_t offset, uint64_t len)
{
  int fd = file->direct_fd >= 0 ? file->direct_fd : file->fd;
  int r;
  size_t n;

  if (offset % FORMAT_PAGE != 0 || len % FORMAT_PAGE != 0) {
    errno = EINVAL;
    return -1;
  }
  do
    r = fallocate (file->fd, 0, offset, len);
  while (r < 0 && errno == EINTR);
  if (r < 0 && errno != EOPNOTSUPP && errno != ENODEV && errno != ENOSYS)
    return -1;

  while (len > 0) {
    n = len < sizeof zeros ? len : sizeof zeros;
    if (pwrite_full (fd, zeros, n, offset) < 0)
      return -1;
    offset += n;
    len -= n;
  }
  return fdatasync (fd);
}

static int
real_punch (struct io_file *file, uint64_t offset, uint64_t len)
{
  return fallocate (file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    offset, len);
}

/* A store through the mapping counts at once: the page is in the cache. */
static int
real_data (struct io_file *file, uint64_t offset, uint64_t *ret_start,
           uint64_t *ret_end)
{
  off_t start, end = lseek (file->fd, 0, SEEK_END);

  if (end < 0)
    return -1;
  *ret_start = *ret_end = end;
  if ((uint64_t) end <= offset)
    return 0;
  start = lseek (file->fd, offset, SEEK_DATA);
  if (start < 0 && errno == ENXIO)
    return 0;
  if (start < 0) {
    *ret_start = offset;         /* it cannot say: all may be data */
    return 0;
  }
  *ret_start = start;
  end = lseek (file->fd, start, SEEK_HOLE);
  if (end > start)
    *ret_end = end;
  return 0;
}

static void
real_prefetch (struct io_file *file, uint64_t offset, uint64_t len)
{
  posix_fadvise (file->fd, offset, len, POSIX_FADV_WILLNEED);
}

/* What POSIX_FADV_WILLNEED brings comes in single pages; the kernel's own
 * reading ahead, as here, takes large ones, which cost far less to copy from
 * and to throw out.
 */
static void
real_warm (struct io_file *file, uint64_t offset, uint64_t len)
{
  off_t at = offset;
  ssize_t n = -1;

  while (len > 0 && file->null_fd >= 0) {
    n = sendfile (file->null_fd, file->fd, &at, len);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      break;
    len -= n;
  }
  if (n < 0)
    real_prefetch (file, at, len);       /* it cannot be sent */
}

static int
real_read (struct io_file *file, void *buf, size_t len, uint64_t offset)
{
  if (file->has_window && window_copy (&file->window, buf, len, offset))
    return 0;
  return pread_full (file->fd, buf, len, offset);
}

static void
real_approach (struct io_file *file, uint64_t offset, uint64_t len)
{
  if (file->has_window)
    window_approach (&file->window, len, offset);
}

/* Up to LEN bytes at OFFSET: both aligned to pages.  Returns what it got,
 * which is less at the end of the file.
 */
static ssize_t
read_direct (int fd, void *buf, size_t len, uint64_t offset)
{
  size_t done = 0;
  ssize_t r;

  while (done < len) {
    r = pread (fd, (char *) buf + done, len - done, offset + done);
    if (r < 0 && errno == EINTR)
      continue;
    if (r < 0)
      return -1;
    done += r;
    if (r == 0 || r % FORMAT_PAGE != 0)
      break;
  }
  return done;
}

static int
real_read_medium (struct io_file *file, void *buf, size_t len,
                  uint64_t offset)
{
  uint64_t start = offset / FORMAT_PAGE * FORMAT_PAGE;
  size_t span = (offset + len - start + FORMAT_PAGE - 1) /
    FORMAT_PAGE * FORMAT_PAGE;
  CLEANUP_FREE void *bounce = NULL;
  ssize_t r;

  if (file->direct_fd < 0) {
    posix_fadvise (file->fd, start, span, POSIX_FADV_DONTNEED);
    return pread_full (file->fd, buf, len, offset);
  }

  if (span == len && (uintptr_t) buf % FORMAT_PAGE == 0) {
    r = read_direct (file->direct_fd, buf, len, offset);
    if (r >= 0 && (size_t) r < len) {
      errno = EIO;
      r = -1;
    }
    return r < 0 ? -1 : 0;
  }
  r = posix_memalign (&bounce, FORMAT_PAGE, span);
  if (r != 0) {
    bounce = NULL;
    errno = r;
    return -1;
  }
  r = read_direct (file->direct_fd, bounce, span, start);
  if (r < 0)
    return -1;
  if ((uint64_t) r < offset - start + len) {
    errno = EIO;
    return -1;
  }
  memcpy (buf, (char *) bounce + (offset - start), len);
  return 0;
}

static int
real_write (struct io_file *file, const void *buf, size_t len,
            uint64_t offset)
{
  return pwrite_full (file->fd, buf, len, offset);
}

static int
real_sync (struct io_file *file)
{
  return fdatasync (file->fd);
}

static void *
real_map (struct io_file *file, uint64_t len)
{
  void *p;

  if (file->map != NULL) {
    errno = EBUSY;
    return NULL;
  }
  p = mmap (NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);
  if (p == MAP_FAILED)
    return NULL;
  /* Else the kernel reads 32 pages around each one that is touched: of the
   * tables of a large disk all would soon be in memory.
   */
  madvise (p, len, MADV_RANDOM);
  file->map = p;
  file->map_len = len;
  return p;
}

static int
real_map_sync (struct io_file *file, uint64_t len)
{
  return msync (file->map, len, MS_SYNC);
}

/* ------------------------------------------------------------------ */

/* All of LEN bytes, durable.  Returns 0 or a positive errno. */
static int
write_durable (int fd, const void *buf, size_t len, uint64_t offset)
{
  struct iovec iov = { (void *) buf, len };
  ssize_t r;

  do
    r = pwritev2 (fd, &iov, 1, offset, RWF_DSYNC);
  while (r < 0 && (errno == EINTR || errno == EAGAIN));
  if (r < 0)
    return errno;
  return (size_t) r == len ? 0 : EIO;
}

static struct io_queue *
real_queue_open (struct io_file *file, unsigned depth, void *buf,
                 size_t buflen)
{
  struct io_queue *queue;

  if (depth == 0 || depth > 1024) {
    errno = EINVAL;
    return NULL;
  }
  queue = calloc (1, sizeof *queue);
  if (queue == NULL)
    return NULL;
  queue->slots = calloc (depth, sizeof *queue->slots);
  if (queue->slots == NULL) {
    free (queue);
    return NULL;
  }
  queue->fd = file->direct_fd >= 0 ? file->direct_fd : file->fd;
  queue->depth = depth;
  pthread_mutex_init (&queue->done_lock, NULL);
  pthread_cond_init (&queue->done_cond, NULL);
  queue->has_ring = io_uring_queue_init (depth, &queue->ring, 0) == 0;
  queue->buffer = (struct iovec) { buf, buflen };
  return queue;
}

/* Registering takes and pins all of the buffer: only when as much was written
 * as it holds, so that a disk with little to write keeps little memory.  A
 * small RLIMIT_MEMLOCK forbids it, and the plain writes are only a little
 * dearer.
 */
static void
register_when_used (struct io_queue *queue, size_t len)
{
  if (queue->buffer.iov_base == NULL)
    return;
  queue->written += len;
  if (queue->written < queue->buffer.iov_len)
    return;
  if (io_uring_register_buffers (&queue->ring, &queue->buffer, 1) == 0) {
    queue->fixed = queue->buffer.iov_base;
    queue->fixed_len = queue->buffer.iov_len;
  }
  queue->buffer.iov_base = NULL;
}

static struct slot *
take_slot (struct io_queue *queue)
{
  unsigned i;

  for (i = 0; i < queue->depth; ++i)
    if (!atomic_load_explicit (&queue->slots[i].used, memory_order_acquire))
      return &queue->slots[i];
  return NULL;
}

static bool
is_in_fixed (const struct io_queue *queue, const char *buf, size_t len)
{
  return queue->fixed != NULL && buf >= queue->fixed &&
    len <= queue->fixed_len &&
    (size_t) (buf - queue->fixed) <= queue->fixed_len - len;
}

static int
submit_ring (struct io_queue *queue, struct slot *slot)
{
  struct io_uring_sqe *sqe = io_uring_get_sqe (&queue->ring);
  int r;

  if (sqe == NULL) {
    errno = EAGAIN;
    return -1;
  }
  if (slot->is_read)
    io_uring_prep_read (sqe, queue->fd, slot->buf, slot->len, slot->offset);
  else {
    register_when_used (queue, slot->len);
    if (is_in_fixed (queue, slot->buf, slot->len))
      io_uring_prep_write_fixed (sqe, queue->fd, slot->buf, slot->len,
                                 slot->offset, 0);
    else
      io_uring_prep_write (sqe, queue->fd, slot->buf, slot->len,
                           slot->offset);
    sqe->rw_flags = RWF_DSYNC;
  }
  io_uring_sqe_set_data64 (sqe, slot - queue->slots);

  /* EAGAIN: the kernel is short of memory for the request. */
  while ((r = io_uring_submit (&queue->ring)) == -EINTR || r == -EAGAIN ||
         r == 0)
    sched_yield ();
  if (r < 0) {
    errno = -r;
    return -1;
  }
  return 0;
}

/* A request done at once.  Returns 0 or a positive errno. */
static int
do_slot (struct io_queue *queue, const struct slot *slot)
{
  if (!slot->is_read)
    return write_durable (queue->fd, slot->buf, slot->len, slot->offset);
  return pread_full (queue->fd, slot->buf, slot->len, slot->offset) == -1
    ? errno : 0;
}

static int
submit_request (struct io_queue *queue, uint64_t id, bool is_read, void *buf,
                size_t len, uint64_t offset)
{
  struct slot *slot = take_slot (queue);
  int result;

  if (slot == NULL || len > INT_MAX) {
    errno = slot == NULL ? EAGAIN : EINVAL;
    return -1;
  }
  slot->id = id;
  slot->is_read = is_read;
  slot->buf = buf;
  slot->len = len;
  slot->offset = offset;
  slot->is_done = false;
  atomic_store_explicit (&slot->used, true, memory_order_release);
  atomic_fetch_add (&queue->in_flight, 1);

  if (queue->has_ring) {
    if (submit_ring (queue, slot) == 0)
      return 0;
    atomic_store_explicit (&slot->used, false, memory_order_release);
    atomic_fetch_sub (&queue->in_flight, 1);
    return -1;
  }

  result = do_slot (queue, slot);
  pthread_mutex_lock (&queue->done_lock);
  slot->result = result;
  slot->is_done = true;
  pthread_cond_signal (&queue->done_cond);
  pthread_mutex_unlock (&queue->done_lock);
  return 0;
}

static int
real_queue_submit (struct io_queue *queue, uint64_t id, const void *buf,
                   size_t len, uint64_t offset)
{
  return submit_request (queue, id, false, (void *) buf, len, offset);
}

static int
real_queue_read (struct io_queue *queue, uint64_t id, void *buf, size_t len,
                 uint64_t offset)
{
  return submit_request (queue, id, true, buf, len, offset);
}

static void
release_slot (struct io_queue *queue, struct slot *slot)
{
  atomic_store_explicit (&slot->used, false, memory_order_release);
  atomic_fetch_sub (&queue->in_flight, 1);
}

/* Kernel results are bytes or negative errno; here is where they become
 * ours.  A request that was interrupted or cancelled (the thread that submitted
 * it ended before it began) was not done: do it now.
 */
static int
slot_error (struct io_queue *queue, const struct slot *slot, int res)
{
  if (res == -EINTR || res == -EAGAIN || res == -ECANCELED)
    return do_slot (queue, slot);
  if (res < 0)
    return -res;
  return (size_t) res == slot->len ? 0 : EIO;
}

static int
wait_ring (struct io_queue *queue, bool wait, struct io_completion *ret,
           unsigned max)
{
  struct io_uring_cqe *cqe;
  struct slot *slot;
  unsigned n = 0;
  int r;

  while (n < max) {
    if (io_uring_peek_cqe (&queue->ring, &cqe) != 0) {
      if (n > 0 || !wait || atomic_load (&queue->in_flight) == 0)
        break;
      r = io_uring_wait_cqe (&queue->ring, &cqe);
      if (r == -EINTR || r == -EAGAIN)
        continue;
      if (r < 0) {
        errno = -r;
        return -1;
      }
    }
    slot = &queue->slots[io_uring_cqe_get_data64 (cqe)];
    r = cqe->res;
    io_uring_cqe_seen (&queue->ring, cqe);
    /* Pairs with the release in queue_submit. */
    (void) atomic_load_explicit (&slot->used, memory_order_acquire);
    ret[n].id = slot->id;
    ret[n++].error = slot_error (queue, slot, r);
    release_slot (queue, slot);
  }
  return n;
}

static int
wait_done (struct io_queue *queue, bool wait, struct io_completion *ret,
           unsigned max)
{
  unsigned i, n = 0;
  struct slot *slot;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&queue->done_lock);

  for (;;) {
    for (i = 0; i < queue->depth && n < max; ++i) {
      slot = &queue->slots[i];
      if (!atomic_load_explicit (&slot->used, memory_order_acquire) ||
          !slot->is_done)
        continue;
      ret[n].id = slot->id;
      ret[n++].error = slot->result;
      slot->is_done = false;
      release_slot (queue, slot);
    }
    if (n > 0 || !wait || max == 0 || atomic_load (&queue->in_flight) == 0)
      return n;
    pthread_cond_wait (&queue->done_cond, &queue->done_lock);
  }
}

static int
real_queue_wait (struct io_queue *queue, bool wait,
                 struct io_completion *ret, unsigned max)
{
  return queue->has_ring ? wait_ring (queue, wait, ret, max)
    : wait_done (queue, wait, ret, max);
}

/* Waits for what is in flight: its buffer may be gone after this. */
static void
real_queue_close (struct io_queue *queue)
{
  struct io_completion c;

  if (queue == NULL)
    return;
  while (atomic_load (&queue->in_flight) > 0)
    if (real_queue_wait (queue, true, &c, 1) < 0)
      break;
  if (queue->has_ring)
    io_uring_queue_exit (&queue->ring);
  pthread_cond_destroy (&queue->done_cond);
  pthread_mutex_destroy (&queue->done_lock);
  free (queue->slots);
  free (queue);
}

/* ------------------------------------------------------------------ */

const struct volume_io volume_io_real = {
  .dir_create = real_dir_create,
  .dir_remove = real_dir_remove,
  .dir_open = real_dir_open,
  .dir_sync = real_dir_sync,
  .dir_close = real_dir_close,
  .unlink = real_unlink,
  .open = real_open,
  .close = real_close,
  .size = real_size,
  .resize = real_resize,
  .reserve = real_reserve,
  .zero_fill = real_zero_fill,
  .punch = real_punch,
  .data = real_data,
  .prefetch = real_prefetch,
  .warm = real_warm,
  .approach = real_approach,
  .read = real_read,
  .read_medium = real_read_medium,
  .write = real_write,
  .sync = real_sync,
  .map = real_map,
  .map_sync = real_map_sync,
  .unmap = real_unmap,
  .queue_open = real_queue_open,
  .queue_submit = real_queue_submit,
  .queue_read = real_queue_read,
  .queue_wait = real_queue_wait,
  .queue_close = real_queue_close,
};

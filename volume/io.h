/* All I/O of a volume goes through this table.
 *
 * The real one (volume_io_real, io-real.c) uses files and io_uring.  Tests
 * put a simulator here that loses, tears and reorders what was not synced.
 *
 * All functions return 0 or -1 with errno set unless they say otherwise.
 * A file may be used from any number of threads; a queue is submitted to by
 * one thread at a time and waited on by one (other) thread at a time.
 */

#ifndef PAIRDISK_VOLUME_IO_H
#define PAIRDISK_VOLUME_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct io_dir;
struct io_file;
struct io_queue;

#define IO_CREATE (1u << 0)      /* make it; EEXIST when it is there */
#define IO_LOCK   (1u << 1)      /* exclusive lock: EBUSY when taken */
#define IO_READ_MUCH (1u << 2)   /* here and there, again and again: a hint */

struct io_completion {
  uint64_t id;
  int error;                     /* 0 or positive errno */
};

struct volume_io {
  void *opaque;                  /* for the implementation */

  int (*dir_create) (void *opaque, const char *path);
  int (*dir_remove) (void *opaque, const char *path);   /* must be empty */
  struct io_dir *(*dir_open) (void *opaque, const char *path);
  int (*dir_sync) (struct io_dir *dir);
  void (*dir_close) (struct io_dir *dir);
  int (*unlink) (struct io_dir *dir, const char *name);

  struct io_file *(*open) (struct io_dir *dir, const char *name,
                           unsigned flags);
  void (*close) (struct io_file *file);
  int (*size) (struct io_file *file, uint64_t *ret);
  int (*resize) (struct io_file *file, uint64_t size);

  /* Blocks for [OFFSET, OFFSET+LEN), so that storing to them cannot fail for
   * lack of space; they read as zeros if they were not there.
   */
  int (*reserve) (struct io_file *file, uint64_t offset, uint64_t len);

  /* Write zeros that are on the medium, and grow the file if needed. */
  int (*zero_fill) (struct io_file *file, uint64_t offset, uint64_t len);

  /* Give the blocks of the range back; what is read there is undefined. */
  int (*punch) (struct io_file *file, uint64_t offset, uint64_t len);

  /* Where from OFFSET on the next bytes are that may be other than zero, and
   * where they end; both at the file's end when there are none.  NULL: all of
   * the file may be.
   */
  int (*data) (struct io_file *file, uint64_t offset, uint64_t *ret_start,
               uint64_t *ret_end);

  /* Exactly LEN bytes; EIO when the file is shorter.  Sees every completed
   * write.  Cheap for small reads of recently read data.
   */
  int (*read) (struct io_file *file, void *buf, size_t len, uint64_t offset);

  /* The same but from the medium, past any cache: a second opinion. */
  int (*read_medium) (struct io_file *file, void *buf, size_t len,
                      uint64_t offset);

  /* The range will be read soon: a hint that may be ignored. */
  void (*prefetch) (struct io_file *file, uint64_t offset, uint64_t len);

  /* The same, but it takes as long as reading the range, and what it brings
   * is cheaper to read.
   */
  void (*warm) (struct io_file *file, uint64_t offset, uint64_t len);

  /* The range is the next that this thread reads: what memory has of it may
   * come near the processor meanwhile.  A hint that costs nothing; NULL where
   * it would be of no use.
   */
  void (*approach) (struct io_file *file, uint64_t offset, uint64_t len);

  /* Not durable before sync.  Page-aligned. */
  int (*write) (struct io_file *file, const void *buf, size_t len,
                uint64_t offset);
  int (*sync) (struct io_file *file);

  /* LEN bytes of the file as memory, shared: stores reach the file at any
   * time and in any order, and for certain with map_sync.  One mapping a
   * file, released by unmap.  LEN may be more than the file has: those bytes
   * may be touched when it has grown.
   */
  void *(*map) (struct io_file *file, uint64_t len);
  int (*map_sync) (struct io_file *file, uint64_t len);
  void (*unmap) (struct io_file *file);

  /* Durable writes, and reads from the medium, several in flight.  A
   * completed write is on the medium.  BUF must stay as it is until then,
   * page-aligned like LEN and OFFSET.
   * queue_wait returns the number of completions stored (up to MAX), waiting
   * for at least one if WAIT; without anything in flight it returns 0.
   */
  struct io_queue *(*queue_open) (struct io_file *file, unsigned depth,
                                  void *buf, size_t buflen);
  int (*queue_submit) (struct io_queue *queue, uint64_t id, const void *buf,
                       size_t len, uint64_t offset);
  int (*queue_read) (struct io_queue *queue, uint64_t id, void *buf,
                     size_t len, uint64_t offset);
  int (*queue_wait) (struct io_queue *queue, bool wait,
                     struct io_completion *ret, unsigned max);
  void (*queue_close) (struct io_queue *queue);
};

extern const struct volume_io volume_io_real;

#endif /* PAIRDISK_VOLUME_IO_H */

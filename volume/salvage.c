/* Salvage files: what a disk gave up, saved before it is replaced.
 *
 * The records are those that a delta would ship, units as they are stored,
 * so all that is in the file verifies by itself.  It grows under a name of
 * its own, the head page last; the rename is the step that makes it one.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "fileio.h"
#include "hash.h"
#include "volume-internal.h"

#define BUFFER_SIZE (2u << 20)
static_assert (BUFFER_SIZE >= RECORD_MAX, "room for a record");

/* ------------------------------------------------------------------ */
/* The head page.                                                       */

static uint64_t
page_hash (const struct format_salvage *page)
{
  return XXH3_64bits (page, offsetof (struct format_salvage, hash));
}

void
salvage_encode (const struct salvage_info *info, struct format_salvage *ret)
{
  memset (ret, 0, sizeof *ret);
  memcpy (ret->magic, SALVAGE_MAGIC, sizeof ret->magic);
  ret->version = htole32 (FORMAT_VERSION);
  memcpy (ret->uuid, info->volume.byte, sizeof ret->uuid);
  memcpy (ret->pair, info->pair.byte, sizeof ret->pair);
  memcpy (ret->lineage, info->lineage.byte, sizeof ret->lineage);
  ret->size = htole64 (info->size);
  ret->content_salt = htole64 (info->content_salt);
  ret->saved_ns = htole64 (info->saved_ns);
  ret->kept_generation = htole64 (info->kept_generation);
  ret->kept_seq = htole64 (info->kept_seq);
  ret->generation = htole64 (info->last.generation);
  ret->seq = htole64 (info->last.seq);
  ret->time_ns = htole64 (info->last.time_ns);
  ret->bytes = htole64 (info->last.bytes);
  ret->records = htole64 (info->records);
  ret->blocks = htole64 (info->blocks);
  ret->length = htole64 (info->length);
  ret->hash = htole64 (page_hash (ret));
}

static bool
is_zero (const uint8_t *p, size_t len)
{
  while (len-- > 0)
    if (*p++ != 0)
      return false;
  return true;
}

bool
salvage_decode (const struct format_salvage *page, struct salvage_info *ret)
{
  if (memcmp (page->magic, SALVAGE_MAGIC, sizeof page->magic) != 0 ||
      le32toh (page->version) != FORMAT_VERSION || page->reserved1 != 0 ||
      !is_zero (page->reserved2, sizeof page->reserved2) ||
      le64toh (page->hash) != page_hash (page))
    return false;
  memset (ret, 0, sizeof *ret);
  memcpy (ret->volume.byte, page->uuid, sizeof page->uuid);
  memcpy (ret->pair.byte, page->pair, sizeof page->pair);
  memcpy (ret->lineage.byte, page->lineage, sizeof page->lineage);
  ret->size = le64toh (page->size);
  ret->content_salt = le64toh (page->content_salt);
  ret->saved_ns = le64toh (page->saved_ns);
  ret->kept_generation = le64toh (page->kept_generation);
  ret->kept_seq = le64toh (page->kept_seq);
  ret->last.generation = le64toh (page->generation);
  ret->last.seq = le64toh (page->seq);
  ret->last.time_ns = le64toh (page->time_ns);
  ret->last.bytes = le64toh (page->bytes);
  ret->records = le64toh (page->records);
  ret->blocks = le64toh (page->blocks);
  ret->length = le64toh (page->length);
  return ret->size >= VOLUME_SIZE_MIN && ret->size <= VOLUME_SIZE_MAX &&
    ret->size % VOLUME_BLOCK_SIZE == 0 && ret->length >= sizeof *page;
}

/* ------------------------------------------------------------------ */
/* Writing.                                                             */

/* All of it into FD. */
static int
write_records (struct volume *v, int fd, struct salvage_info *info,
               bool (*progress) (void *opaque, uint64_t done,
                                 uint64_t total),
               void *opaque, struct error *err)
{
  CLEANUP_FREE uint8_t *buf = malloc (BUFFER_SIZE);
  uint64_t block = 0;
  struct record r;
  ssize_t len;

  if (buf == NULL)
    return error_set_errno (err, errno, "cannot save");
  for (;;) {
    len = volume_delta_read (v, info->kept_seq, NULL, &block, buf,
                             BUFFER_SIZE, err);
    if (len == -1)
      return -1;
    if (progress && !progress (opaque, block, volume_blocks (v)))
      return error_set (err, ECANCELED, "was told to stop");
    if (len == 0)
      return 0;
    if (pwrite_full (fd, buf, len, info->length) == -1)
      return error_set_errno (err, errno, "cannot write");
    if (!record_decode ((const struct format_record *) buf,
                        info->content_salt, &r))
      return error_set (err, EIO, "a record came out garbled");
    info->records++;
    info->blocks += r.nblocks;
    info->length += len;
  }
}

static int
write_file (struct volume *v, int fd, struct salvage_info *info,
            bool (*progress) (void *opaque, uint64_t done, uint64_t total),
            void *opaque, struct error *err)
{
  struct format_salvage page;

  if (write_records (v, fd, info, progress, opaque, err) == -1)
    return -1;
  info->saved_ns = clock_wall_ns ();
  salvage_encode (info, &page);
  if (pwrite_full (fd, &page, sizeof page, 0) == -1 || fsync (fd) == -1)
    return error_set_errno (err, errno, "cannot write");
  return 0;
}

static int
sync_directory_of (const char *path)
{
  CLEANUP_FREE char *copy = strdup (path);
  CLEANUP_CLOSE int fd = -1;

  if (copy == NULL)
    return -1;
  fd = open (dirname (copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd == -1 ? -1 : dir_sync (fd);
}

int
volume_salvage (struct volume *v, uint64_t generation, uint64_t seq,
                const char *path,
                bool (*progress) (void *opaque, uint64_t done,
                                  uint64_t total),
                void *opaque, struct salvage_info *ret, struct error *err)
{
  struct salvage_info info = {
    .kept_generation = generation, .kept_seq = seq,
    .length = sizeof (struct format_salvage),
  };
  struct error cause = ERROR_INIT;
  struct volume_status status;
  char part[PATH_MAX];
  int fd, r;

  if (snprintf (part, sizeof part, "%s.part", path) >= (int) sizeof part)
    return error_set (err, ENAMETOOLONG, "'%s' is too long a name", path);
  if (journal_flush_applied (v) == -1)
    return error_set (err, errno, "cannot flush: %s", v->failure);
  volume_get_status (v, &status);
  info.volume = status.uuid;
  info.pair = status.pair;
  info.size = status.size;
  info.last = status.committed;
  info.content_salt = volume_content_salt (v);
  volume_lineage (v, &info.lineage);

  fd = open (part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd == -1)
    return error_set_errno (err, errno, "cannot create '%s'", part);
  r = write_file (v, fd, &info, progress, opaque, &cause);
  close (fd);
  if (r == 0 && (rename (part, path) == -1 ||
                 sync_directory_of (path) == -1))
    r = error_set_errno (&cause, errno, "cannot rename");
  if (r == -1) {
    unlink (part);
    return error_set (err, cause.errnum, "salvage file '%s': %.300s", path,
                      cause.message);
  }
  *ret = info;
  return 0;
}

/* ------------------------------------------------------------------ */
/* Reading.                                                             */

static int
damaged (struct error *err, const char *path, uint64_t offset,
         const char *what)
{
  return error_set (err, EUCLEAN, "'%s' is damaged at byte %llu: %s", path,
                    (unsigned long long) offset, what);
}

static int
tell_blocks (const struct record *r, const uint8_t *body,
             int (*fn) (void *opaque, uint64_t block, uint64_t seq,
                        const void *data), void *opaque)
{
  struct unit_walk walk = unit_walk_start (r, body);
  uint8_t block[VOLUME_BLOCK_SIZE];
  struct walked_unit u;

  while (unit_walk_next (&walk, &u) == 1) {
    if (u.unit.codec != UNIT_ZERO && !unit_expand (u.stored, &u.unit, block)) {
      errno = EUCLEAN;
      return -1;
    }
    if (fn && fn (opaque, u.block, u.unit.seq,
                  u.unit.codec == UNIT_ZERO ? NULL : block) == -1)
      return -1;
  }
  return 0;
}

static int
read_records (const char *path, int fd, const struct salvage_info *info,
              int (*fn) (void *opaque, uint64_t block, uint64_t seq,
                         const void *data),
              void *opaque, struct error *err)
{
  CLEANUP_FREE uint8_t *buf = malloc (RECORD_BODY_MAX);
  uint64_t at = sizeof (struct format_salvage), n, blocks = 0;
  struct format_record header;
  struct record r;

  if (buf == NULL)
    return error_set_errno (err, errno, "cannot read '%s'", path);
  for (n = 0; n < info->records; ++n) {
    if (info->length - at < sizeof header ||
        pread_full (fd, &header, sizeof header, at) == -1 ||
        !record_decode (&header, info->content_salt, &r) ||
        r.type != RECORD_DELTA)
      return damaged (err, path, at, "there is no record");
    at += sizeof header;
    if (info->length - at < r.length ||
        pread_full (fd, buf, r.length, at) == -1 ||
        !record_verify_body (&r, buf, info->content_salt,
                             info->size / VOLUME_BLOCK_SIZE))
      return damaged (err, path, at, "the record does not verify");
    if (tell_blocks (&r, buf, fn, opaque) == -1)
      return error_set_errno (err, errno, "cannot use block near %llu of '%s'",
                              (unsigned long long) r.block, path);
    at += r.length;
    blocks += r.nblocks;
  }
  if (at != info->length || blocks != info->blocks)
    return damaged (err, path, at, "its length is not what it says");
  return 0;
}

static int
read_page (const char *path, int fd, struct salvage_info *ret,
           struct error *err)
{
  struct format_salvage page;
  struct stat st;

  if (fstat (fd, &st) == -1 ||
      pread_full (fd, &page, sizeof page, 0) == -1)
    return error_set_errno (err, errno, "cannot read '%s'", path);
  if (!salvage_decode (&page, ret))
    return damaged (err, path, 0, "there is no head page");
  if ((uint64_t) st.st_size != ret->length)
    return damaged (err, path, st.st_size, "its length is not what it says");
  return 0;
}

int
salvage_read (const char *path,
              int (*fn) (void *opaque, uint64_t block, uint64_t seq,
                         const void *data),
              void *opaque, struct salvage_info *ret, struct error *err)
{
  CLEANUP_CLOSE int fd = open (path, O_RDONLY | O_CLOEXEC);

  if (fd == -1)
    return error_set_errno (err, errno, "cannot open '%s'", path);
  if (read_page (path, fd, ret, err) == -1)
    return -1;
  return read_records (path, fd, ret, fn, opaque, err);
}

bool
salvage_is_file (const char *path)
{
  CLEANUP_CLOSE int fd = -1;
  struct stat st;
  char magic[8];

  if (stat (path, &st) == -1 || !S_ISREG (st.st_mode))
    return false;
  fd = open (path, O_RDONLY | O_CLOEXEC);
  return fd != -1 && pread_full (fd, magic, sizeof magic, 0) == 0 &&
    memcmp (magic, SALVAGE_MAGIC, sizeof magic) == 0;
}

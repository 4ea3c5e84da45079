/* map.N and births.N (see table.h). */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "format.h"
#include "hash.h"
#include "record.h"
#include "table.h"
#include "volume.h"

#define AHEAD (1u << 20)         /* entries that are read at once */

static uint64_t
table_file_size (uint64_t count)
{
  return FORMAT_PAGE + ROUND_UP (count * sizeof (uint64_t), FORMAT_PAGE);
}

int
table_create (const struct volume_io *io, struct io_dir *dir,
              const char *name, const char *magic, uint64_t count,
              const struct uuid *uuid, struct error *err)
{
  CLEANUP_FREE struct format_table *header = NULL;
  struct io_file *file;
  int r;

  header = aligned_alloc (FORMAT_PAGE, sizeof *header);
  if (header == NULL)
    return error_set_errno (err, errno, "cannot create '%s'", name);
  memset (header, 0, sizeof *header);
  memcpy (header->magic, magic, sizeof header->magic);
  header->version = htole32 (FORMAT_VERSION);
  header->count = htole64 (count);
  memcpy (header->uuid, uuid->byte, sizeof header->uuid);
  header->hash = htole64 (XXH3_64bits
                          (header, offsetof (struct format_table, hash)));

  file = io->open (dir, name, IO_CREATE);
  if (file == NULL)
    return error_set_errno (err, errno, "cannot create '%s'", name);
  r = io->resize (file, table_file_size (count));
  if (r == 0)
    r = io->reserve (file, 0, table_file_size (count));
  if (r == 0)
    r = io->write (file, header, sizeof *header, 0);
  if (r == 0)
    r = io->sync (file);
  if (r == -1)
    error_set_errno (err, errno, "cannot create '%s'", name);
  io->close (file);
  return r;
}

static bool
header_is_valid (const struct format_table *header, const char *magic,
                 uint64_t count, const struct uuid *uuid)
{
  return memcmp (header->magic, magic, sizeof header->magic) == 0 &&
    le32toh (header->version) == FORMAT_VERSION &&
    le64toh (header->count) <= count &&    /* it may have grown since */
    memcmp (header->uuid, uuid->byte, sizeof header->uuid) == 0 &&
    le64toh (header->hash) ==
    XXH3_64bits (header, offsetof (struct format_table, hash));
}

/* Where address space is limited: without room to grow. */
static uint8_t *
map_with_room (struct table *table)
{
  uint8_t *base;

  table->room = VOLUME_SIZE_MAX / VOLUME_BLOCK_SIZE;
  base = table->io->map (table->file, table_file_size (table->room));
  if (base == NULL && errno == ENOMEM) {
    table->room = table->count;
    base = table->io->map (table->file, table_file_size (table->room));
  }
  return base;
}

int
table_open (struct table *table, const struct volume_io *io,
            struct io_dir *dir, const char *name, const char *magic,
            uint64_t count, const struct uuid *uuid, struct error *err)
{
  uint64_t size;
  uint8_t *base;

  table->io = io;
  table->count = count;
  table->file = io->open (dir, name, 0);
  if (table->file == NULL)
    return error_set_errno (err, errno, "cannot open '%s'", name);
  if (io->size (table->file, &size) == -1) {
    error_set_errno (err, errno, "cannot open '%s'", name);
    goto err;
  }
  if (size < table_file_size (count)) {
    error_set (err, EUCLEAN, "'%s' is cut short: %llu bytes of %llu", name,
               (unsigned long long) size,
               (unsigned long long) table_file_size (count));
    goto err;
  }
  base = map_with_room (table);
  if (base == NULL) {
    error_set_errno (err, errno, "cannot map '%s'", name);
    goto err;
  }
  if (!header_is_valid ((const struct format_table *) base, magic, count,
                        uuid)) {
    error_set (err, EUCLEAN, "the header of '%s' is damaged", name);
    io->unmap (table->file);
    goto err;
  }
  table->entry = (uint64_t *) (base + FORMAT_PAGE);
  return 0;

 err:
  io->close (table->file);
  table->file = NULL;
  return -1;
}

void
table_close (struct table *table)
{
  if (table->file == NULL)
    return;
  table->io->unmap (table->file);
  table->io->close (table->file);
  table->file = NULL;
  table->entry = NULL;
}

int
table_sync (struct table *table)
{
  return table->io->map_sync (table->file, table_file_size (table->count));
}

void
table_cut (struct table *table)
{
  int saved = errno;

  table->io->resize (table->file, table_file_size (table->count));
  errno = saved;
}

int
table_extend (struct table *table, uint64_t count)
{
  const struct volume_io *io = table->io;
  uint64_t old = table_file_size (table->count);
  uint64_t size = table_file_size (count);

  if (count > table->room) {
    errno = ENOMEM;
    return -1;
  }
  if (size == old)
    return 0;
  /* First to the old size: a try that a crash cut short may have left more,
   * and what is new is to be zero.
   */
  if (io->resize (table->file, old) == -1)
    return -1;
  if (io->resize (table->file, size) == -1 ||
      io->reserve (table->file, old, size - old) == -1 ||
      io->sync (table->file) == -1) {
    table_cut (table);
    return -1;
  }
  return 0;
}

void
table_extended (struct table *table, uint64_t count)
{
  __atomic_store_n (&table->count, count, __ATOMIC_RELEASE);
}

void
table_next_used (const struct table *table, uint64_t *i, uint64_t *ret_end)
{
  uint64_t count = table_count (table);
  uint64_t start, end;

  *ret_end = count;
  if (*i >= count || table->io->data == NULL ||
      table->io->data (table->file, FORMAT_PAGE + *i * sizeof (uint64_t),
                       &start, &end) == -1)
    return;
  start = (start - FORMAT_PAGE) / sizeof (uint64_t);
  end = (end - FORMAT_PAGE + sizeof (uint64_t) - 1) / sizeof (uint64_t);
  *i = start < count ? start : count;
  if (end < count)
    *ret_end = end;
  if (*ret_end - *i > AHEAD)
    *ret_end = *i + AHEAD;
  table->io->prefetch (table->file, FORMAT_PAGE + *i * sizeof (uint64_t),
                       (*ret_end - *i) * sizeof (uint64_t));
}

/* pairctl volume dump of a salvage file: what a disk gave up, read, and
 * written back to where a person wants to have it.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "cleanup.h"
#include "cli.h"
#include "fileio.h"
#include "uuid.h"
#include "volume.h"

static int
print_block (void *opaque, uint64_t block, uint64_t seq, const void *data)
{
  FILE *fp = opaque;

  return fprintf (fp, "block number=%" PRIu64 " offset=%" PRIu64 " seq=%"
                  PRIu64 " %s\n", block, block * VOLUME_BLOCK_SIZE, seq,
                  data ? "data" : "zeros") < 0 ? -1 : 0;
}

static void
print_head (const struct salvage_info *info)
{
  char volume[UUID_STRING_SIZE], pair[UUID_STRING_SIZE];
  char lineage[UUID_STRING_SIZE];

  uuid_format (&info->volume, volume);
  uuid_format (&info->pair, pair);
  uuid_format (&info->lineage, lineage);
  printf ("salvage volume=%s pair=%s lineage=%s size=%" PRIu64 " saved_ns=%"
          PRIu64 " records=%" PRIu64 " length=%" PRIu64 " blocks=%" PRIu64
          "\n", volume, pair, lineage, info->size, info->saved_ns,
          info->records, info->length, info->blocks);
  printf ("kept seq=%" PRIu64 " generation=%016" PRIx64 "\n", info->kept_seq,
          info->kept_generation);
  printf ("last seq=%" PRIu64 " generation=%016" PRIx64 " time_ns=%" PRIu64
          " bytes=%" PRIu64 "\n", info->last.seq, info->last.generation,
          info->last.time_ns, info->last.bytes);
}

static int
write_block (void *opaque, uint64_t block, uint64_t seq, const void *data)
{
  static const uint8_t zeros[VOLUME_BLOCK_SIZE];
  const int *fd = opaque;

  (void) seq;
  return pwrite_full (*fd, data ? data : zeros, VOLUME_BLOCK_SIZE,
                      (off_t) (block * VOLUME_BLOCK_SIZE));
}

/* All of the file verifies before the first block is written. */
static int
write_back (const char *path, const char *target, struct error *err)
{
  CLEANUP_CLOSE int fd = -1;
  struct salvage_info info;
  off_t size;

  if (salvage_read (path, NULL, NULL, &info, err) == -1)
    return -1;
  fd = open (target, O_WRONLY | O_CLOEXEC);
  if (fd == -1)
    return error_set_errno (err, errno, "cannot open '%s'", target);
  size = lseek (fd, 0, SEEK_END);
  if (size == -1 || (uint64_t) size < info.size)
    return error_set (err, EINVAL, "'%s' is smaller than the disk, which has "
                      "%" PRIu64 " bytes", target, info.size);
  if (salvage_read (path, write_block, &fd, &info, err) == -1)
    return -1;
  if (fsync (fd) == -1)
    return error_set_errno (err, errno, "cannot write '%s'", target);
  print_line ("wrote %" PRIu64 " blocks to '%s'", info.blocks, target);
  return 0;
}

int
salvage_dump (const char *path, const char *write_to)
{
  struct salvage_info info;
  struct error err = ERROR_INIT;

  if (write_to) {
    if (write_back (path, write_to, &err) == -1)
      return fail_error (&err, "cannot write '%s' back", path);
    return EXIT_OK;
  }
  if (salvage_read (path, NULL, NULL, &info, &err) == -1)
    return fail_error (&err, "cannot dump salvage file '%s'", path);
  print_head (&info);
  if (salvage_read (path, print_block, stdout, &info, &err) == -1)
    return fail_error (&err, "cannot dump salvage file '%s'", path);
  return EXIT_OK;
}

/* What was written, acknowledged and flushed, see ledger.h.
 *
 * The file is struct ledger_block for each block in host byte order: it
 * belongs to one test on one machine and is no format to keep.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "ledger.h"

static int
map_blocks (struct ledger *l, const char *path, struct error *err)
{
  CLEANUP_CLOSE int fd = -1;
  struct stat st;
  int flags = MAP_SHARED;

  if (path == NULL)
    flags |= MAP_ANONYMOUS;
  else {
    fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd == -1 || fstat (fd, &st) == -1)
      return error_set_errno (err, errno, "cannot open ledger '%s'", path);
    if (st.st_size != 0 && (size_t) st.st_size != l->map_len)
      return error_set (err, EINVAL,
                        "ledger '%s' is for an area of another size", path);
    if (ftruncate (fd, l->map_len) == -1)
      return error_set_errno (err, errno, "cannot grow ledger '%s'", path);
  }
  l->blocks = mmap (NULL, l->map_len, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (l->blocks == MAP_FAILED) {
    l->blocks = NULL;
    return error_set_errno (err, errno, "cannot map the ledger");
  }
  return 0;
}

int
ledger_open (struct ledger *l, const char *path, size_t count,
             struct error *err)
{
  size_t i;

  memset (l, 0, sizeof *l);
  l->count = count;
  l->map_len = count * sizeof *l->blocks;
  l->is_strict = path != NULL;
  if (map_blocks (l, path, err) == -1)
    return -1;
  l->flags = calloc (count, sizeof *l->flags);
  l->unsettled = calloc (count, sizeof *l->unsettled);
  if (l->flags == NULL || l->unsettled == NULL) {
    ledger_close (l);
    return error_set_errno (err, ENOMEM, "cannot allocate the ledger");
  }
  for (i = 0; i < count; ++i)
    l->blocks[i].done = l->blocks[i].settled;
  return 0;
}

void
ledger_close (struct ledger *l)
{
  if (l->blocks)
    munmap (l->blocks, l->map_len);
  free (l->flags);
  free (l->unsettled);
  memset (l, 0, sizeof *l);
}

bool
ledger_is_busy (const struct ledger *l, uint64_t block)
{
  return l->flags[block] & LEDGER_BUSY;
}

uint32_t
ledger_write_begin (struct ledger *l, uint64_t block)
{
  assert (!ledger_is_busy (l, block));
  l->flags[block] |= LEDGER_BUSY;
  return ++l->blocks[block].issued;
}

void
ledger_write_end (struct ledger *l, uint64_t block, bool is_ok,
                  bool is_durable)
{
  struct ledger_block *b = &l->blocks[block];

  l->flags[block] &= ~LEDGER_BUSY;
  if (!is_ok)
    return;
  b->done = b->issued;
  if (is_durable)
    b->settled = b->done;
  else if (!(l->flags[block] & LEDGER_LISTED)) {
    l->flags[block] |= LEDGER_LISTED;
    l->unsettled[l->unsettled_count++] = block;
  }
}

void
ledger_flushed (struct ledger *l)
{
  uint64_t block;

  while (l->unsettled_count > 0) {
    block = l->unsettled[--l->unsettled_count];
    l->flags[block] &= ~LEDGER_LISTED;
    l->blocks[block].settled = l->blocks[block].done;
  }
}

uint32_t
ledger_oldest (const struct ledger *l, uint64_t block)
{
  return l->blocks[block].done;
}

static const char *
judge_version (const struct ledger_block *b, uint32_t oldest,
               uint32_t version)
{
  if (version == oldest)
    return NULL;
  if (version < oldest)
    return "older than what was acknowledged or flushed";
  if (version > b->issued)
    return "newer than anything written";
  if (version <= b->dead)
    return "was lost in a crash and is back";
  return NULL;
}

const char *
ledger_judge (const struct ledger *l, uint64_t block, uint32_t oldest,
              enum pattern_verdict verdict, uint32_t version)
{
  const struct ledger_block *b = &l->blocks[block];
  bool is_foreign_ok = !l->is_strict && oldest == 0;

  switch (verdict) {
  case PATTERN_MISPLACED:
    return "belongs to another block";
  case PATTERN_GARBLED:
    return "is torn or garbled";
  case PATTERN_UNSEALED:
    return is_foreign_ok ? NULL : "was never written";
  case PATTERN_IS_ZERO:
    return oldest == 0 ? NULL : "is zero, a write is lost";
  case PATTERN_OK:
    return is_foreign_ok ? NULL : judge_version (b, oldest, version);
  }
  return "has no verdict";
}

void
ledger_adopt (struct ledger *l, uint64_t block, uint32_t version)
{
  struct ledger_block *b = &l->blocks[block];

  assert (!ledger_is_busy (l, block));
  b->dead = b->issued;
  b->done = version;
  b->settled = version;
}

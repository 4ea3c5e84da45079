/* The segments of the journal (see segments.h). */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "hash.h"
#include "record.h"
#include "segments.h"

/* Address space for the largest journal: its table, and the table's file. */
static size_t
table_bytes (uint64_t size)
{
  return ROUND_UP (VOLUME_CAPACITY_MAX / size * sizeof (struct segment),
                   FORMAT_PAGE);
}

static size_t
reserved_bytes (uint64_t size)
{
  return table_bytes (size) + segments_file_size (VOLUME_CAPACITY_MAX / size);
}

int
segments_init (struct segments *segments, uint64_t count, uint64_t size)
{
  void *p = mmap (NULL, reserved_bytes (size), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  if (p == MAP_FAILED)
    return -1;
  madvise (p, reserved_bytes (size), MADV_NOHUGEPAGE);
  segments->count = count;
  segments->size = size;
  segments->table = p;
  segments->image = (uint8_t *) p + table_bytes (size);
  return 0;
}

void
segments_release (struct segments *segments)
{
  if (segments->table)
    munmap (segments->table, reserved_bytes (segments->size));
  segments->table = NULL;
}

const char *
segments_name (unsigned slot)
{
  return slot == 0 ? "segments.0" : "segments.1";
}

uint64_t
segments_file_size (uint64_t count)
{
  return sizeof (struct format_segtable) +
    ROUND_UP (count * sizeof (struct format_segentry), FORMAT_PAGE);
}

int
segments_load (struct segments *segments, const struct volume_io *io,
               struct io_file *file, const struct super *super,
               struct error *err)
{
  size_t size = segments_file_size (segments->count);
  CLEANUP_FREE uint8_t *slot = malloc (size);
  const struct format_segentry *entry;
  uint64_t i;

  if (slot == NULL || io->read (file, slot, size, 0) == -1)
    return error_set_errno (err, errno, "cannot read the segment table");
  if (XXH3_64bits (slot, size) != super->segments_hash)
    return error_set (err, EUCLEAN,
                      "the segment table is not the one the super names");

  entry = (const void *) (slot + sizeof (struct format_segtable));
  for (i = 0; i < segments->count; ++i) {
    segments->table[i].lap = le64toh (entry[i].lap);
    segments->table[i].first_seq = le64toh (entry[i].first_seq);
    segments->table[i].live = le32toh (entry[i].live);
    segments->table[i].born = lap_is_cold (segments->table[i].lap)
      ? super->position / super->segment_size : segments->table[i].lap;
  }
  return 0;
}

/* Does LAP begin before the position that replay starts from? */
static bool
lap_is_known (const struct super *super, uint64_t lap)
{
  return lap * super->segment_size <
    (lap_is_cold (lap) ? super->cold_position : super->position);
}

int
segments_save (const struct segments *segments, const struct volume_io *io,
               struct io_file *file, struct super *super)
{
  uint64_t count = super_segments (super), i, lap;
  size_t size = segments_file_size (count);
  uint8_t *buf = segments->image;
  struct format_segtable *header = (void *) buf;
  struct format_segentry *entry;

  memset (buf, 0, size);
  header->magic = htole32 (SEGTABLE_MAGIC);
  header->version = htole32 (FORMAT_VERSION);
  header->count = htole64 (count);
  memcpy (header->uuid, super->uuid.byte, sizeof header->uuid);
  entry = (void *) (header + 1);
  for (i = 0; i < count; ++i) {
    lap = segment_lap (segments, i);
    if (lap == 0 || segments->table[i].is_cleaned ||
        !lap_is_known (super, lap))
      continue;
    entry[i].lap = htole64 (lap);
    entry[i].first_seq = htole64 (__atomic_load_n
                                  (&segments->table[i].first_seq,
                                   __ATOMIC_RELAXED));
    entry[i].live = htole32 (__atomic_load_n (&segments->table[i].live,
                                              __ATOMIC_RELAXED));
  }
  if (io->write (file, buf, size, 0) == -1 || io->sync (file) == -1)
    return -1;
  super->segments_hash = XXH3_64bits (buf, size);
  return 0;
}

uint64_t
segments_find_lap (const struct segments *segments, uint64_t lap)
{
  uint64_t i;

  for (i = 0; i < segments_count (segments); ++i)
    if (segment_lap (segments, i) == lap)
      return i;
  return SEGMENT_NONE;
}

uint64_t
segments_find_not_warm (const struct segments *segments, uint64_t first,
                        uint64_t end)
{
  uint64_t i, lap, newest = 0, found = SEGMENT_NONE;

  for (i = 0; i < segments_count (segments); ++i) {
    lap = segment_lap (segments, i);
    if (lap >= first && lap < end && lap > newest &&
        !segments->table[i].is_warm) {
      newest = lap;
      found = i;
    }
  }
  return found;
}

uint64_t
segments_find_free (const struct segments *segments,
                    enum segment_ground ground)
{
  uint64_t i;

  for (i = 0; i < segments_count (segments); ++i)
    if (segment_lap (segments, i) == 0 &&
        segments->table[i].ground == ground)
      return i;
  return SEGMENT_NONE;
}

uint64_t
segments_find_ready (const struct segments *segments)
{
  uint64_t i = segments_find_free (segments, GROUND_WRITTEN);

  return i != SEGMENT_NONE ? i
    : segments_find_free (segments, GROUND_RESERVED);
}

uint64_t
segments_live (const struct segments *segments)
{
  uint64_t i, live = 0;

  for (i = 0; i < segments_count (segments); ++i)
    live += segment_live (segments, i);
  return live;
}

uint64_t
segments_count_free (const struct segments *segments)
{
  uint64_t i, n = 0;

  for (i = 0; i < segments_count (segments); ++i)
    n += segment_lap (segments, i) == 0;
  return n;
}

uint64_t
segments_count_ready (const struct segments *segments,
                      enum segment_ground ground)
{
  uint64_t i, n = 0;

  for (i = 0; i < segments_count (segments); ++i)
    n += segment_lap (segments, i) == 0 &&
      segments->table[i].ground >= ground;
  return n;
}

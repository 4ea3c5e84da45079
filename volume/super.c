/* The super (see super.h). */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "hash.h"
#include "super.h"

static uint64_t
slot_hash (const struct format_super *slot)
{
  return XXH3_64bits (slot, offsetof (struct format_super, hash));
}

static void
generations_encode (const struct volume_generations *table,
                    le32 *ret_count, struct format_generation *ret)
{
  uint32_t i;

  *ret_count = htole32 (table->count);
  for (i = 0; i < table->count; ++i) {
    ret[i].id = htole64 (table->table[i].id);
    ret[i].first_seq = htole64 (table->table[i].first_seq);
    memcpy (ret[i].writer, table->table[i].writer.byte,
            sizeof ret[i].writer);
  }
}

static bool
generations_decode (le32 count, const struct format_generation *table,
                    struct volume_generations *ret)
{
  uint32_t i;

  ret->count = le32toh (count);
  if (ret->count > VOLUME_GENERATIONS_MAX)
    return false;
  for (i = 0; i < ret->count; ++i) {
    ret->table[i].id = le64toh (table[i].id);
    ret->table[i].first_seq = le64toh (table[i].first_seq);
    memcpy (ret->table[i].writer.byte, table[i].writer,
            sizeof table[i].writer);
    if (ret->table[i].id == 0 || ret->table[i].first_seq > SEQ_MAX)
      return false;
  }
  return true;
}

void
super_encode (const struct super *super, struct format_super *ret)
{
  memset (ret, 0, sizeof *ret);
  memcpy (ret->magic, SUPER_MAGIC, sizeof ret->magic);
  ret->version = htole32 (FORMAT_VERSION);
  ret->slots = htole32 (SUPER_SLOTS);
  ret->sequence = htole64 (super->sequence);
  memcpy (ret->uuid, super->uuid.byte, sizeof ret->uuid);
  ret->size = htole64 (super->size);
  ret->capacity = htole64 (super->capacity);
  ret->segment_size = htole64 (super->segment_size);
  ret->created_ns = htole64 (super->created_ns);
  ret->journal_salt = htole64 (super->journal_salt);
  ret->content_salt = htole64 (super->content_salt);
  memcpy (ret->lineage, super->lineage.byte, sizeof ret->lineage);
  ret->role = htole32 (super->role);
  ret->flags = htole32 (super->flags);
  memcpy (ret->pair, super->pair.byte, sizeof ret->pair);
  ret->fence = htole64 (super->fence);
  ret->met_fence = htole64 (super->met_fence);
  ret->position = htole64 (super->position);
  ret->seq = htole64 (super->point.seq);
  ret->generation = htole64 (super->point.generation);
  ret->time_ns = htole64 (super->point.time_ns);
  ret->bytes = htole64 (super->point.bytes);
  ret->incarnation = htole32 (super->incarnation);
  ret->opened = htole32 (super->opened);
  ret->map_slot = htole32 (super->map_slot);
  ret->segments_slot = htole32 (super->segments_slot);
  ret->segments_hash = htole64 (super->segments_hash);
  ret->durable_hint = htole64 (super->durable_hint);
  ret->cold_position = htole64 (super->cold_position);
  ret->oldest_seq = htole64 (super->oldest_seq);
  ret->oldest_position = htole64 (super->oldest_position);
  if (super->flags & SUPER_AHEAD)
    ret->confirmed_seq = htole64 (super->confirmed_seq);
  if (super->flags & SUPER_STAGE) {
    ret->stage_id = htole64 (super->stage.id);
    ret->stage_since = htole64 (super->stage.since);
    ret->stage_start = htole64 (super->stage.start);
    ret->stage_salt = htole64 (super->stage.salt);
    memcpy (ret->stage_lineage, super->stage.lineage.byte,
            sizeof ret->stage_lineage);
    ret->stage_cursor = htole64 (super->stage.cursor);
    ret->stage_last = htole64 (super->stage.last);
    ret->shown_generation = htole64 (super->stage.shown.generation);
    ret->shown_seq = htole64 (super->stage.shown.seq);
    ret->shown_time_ns = htole64 (super->stage.shown.time_ns);
    ret->shown_bytes = htole64 (super->stage.shown.bytes);
    generations_encode (&super->stage.generations,
                        &ret->stage_generation_count,
                        ret->stage_generations);
  }
  if (super->flags & SUPER_DISCARD) {
    ret->discard_generation = htole64 (super->discard_generation);
    ret->discard_seq = htole64 (super->discard_seq);
  }
  generations_encode (&super->generations, &ret->generation_count,
                      ret->generations);
  ret->hash = htole64 (slot_hash (ret));
}

static bool
bytes_are_zero (const uint8_t *p, size_t len)
{
  while (len-- > 0)
    if (*p++ != 0)
      return false;
  return true;
}

static bool
is_power_of_two (uint64_t n)
{
  return n != 0 && (n & (n - 1)) == 0;
}

static bool
super_is_bounded (const struct super *s)
{
  return s->size >= VOLUME_SIZE_MIN && s->size <= VOLUME_SIZE_MAX &&
    s->size % VOLUME_BLOCK_SIZE == 0 &&
    is_power_of_two (s->segment_size) &&
    s->segment_size >= (UINT64_C (1) << 22) &&
    s->segment_size <= (UINT64_C (1) << 30) &&
    s->capacity % s->segment_size == 0 &&
    s->capacity >= 4 * s->segment_size &&
    s->capacity <= VOLUME_CAPACITY_MAX &&
    s->role >= VOLUME_ROLE_STANDALONE && s->role <= VOLUME_ROLE_MAX &&
    (s->flags & ~SUPER_FLAGS) == 0 &&
    s->confirmed_seq <= (s->flags & SUPER_AHEAD ? SEQ_MAX : 0) &&
    s->incarnation <= s->opened &&
    s->map_slot <= 1 && s->segments_slot <= 1 &&
    s->point.seq <= SEQ_MAX && s->discard_seq <= SEQ_MAX &&
    s->position % FORMAT_PAGE == 0 &&
    s->cold_position % FORMAT_PAGE == 0 &&
    s->position / s->segment_size < COLD_LAP_BASE &&
    s->cold_position / s->segment_size >= COLD_LAP_BASE;
}

bool
super_decode (const struct format_super *slot, struct super *ret)
{
  struct super s;

  memset (&s, 0, sizeof s);
  if (memcmp (slot->magic, SUPER_MAGIC, sizeof slot->magic) != 0 ||
      le32toh (slot->version) != FORMAT_VERSION ||
      le32toh (slot->slots) != SUPER_SLOTS ||
      le64toh (slot->hash) != slot_hash (slot) ||
      slot->reserved3 != 0 || slot->reserved4 != 0 ||
      !bytes_are_zero (slot->reserved2, sizeof slot->reserved2) ||
      !bytes_are_zero (slot->reserved5, sizeof slot->reserved5))
    return false;
  s.sequence = le64toh (slot->sequence);
  memcpy (s.uuid.byte, slot->uuid, sizeof slot->uuid);
  s.size = le64toh (slot->size);
  s.capacity = le64toh (slot->capacity);
  s.segment_size = le64toh (slot->segment_size);
  s.created_ns = le64toh (slot->created_ns);
  s.journal_salt = le64toh (slot->journal_salt);
  s.content_salt = le64toh (slot->content_salt);
  memcpy (s.lineage.byte, slot->lineage, sizeof slot->lineage);
  s.role = le32toh (slot->role);
  s.flags = le32toh (slot->flags);
  memcpy (s.pair.byte, slot->pair, sizeof slot->pair);
  s.fence = le64toh (slot->fence);
  s.met_fence = le64toh (slot->met_fence);
  s.position = le64toh (slot->position);
  s.point.seq = le64toh (slot->seq);
  s.point.generation = le64toh (slot->generation);
  s.point.time_ns = le64toh (slot->time_ns);
  s.point.bytes = le64toh (slot->bytes);
  s.incarnation = le32toh (slot->incarnation);
  s.opened = le32toh (slot->opened);
  s.map_slot = le32toh (slot->map_slot);
  s.segments_slot = le32toh (slot->segments_slot);
  s.segments_hash = le64toh (slot->segments_hash);
  s.durable_hint = le64toh (slot->durable_hint);
  s.cold_position = le64toh (slot->cold_position);
  s.oldest_seq = le64toh (slot->oldest_seq);
  s.oldest_position = le64toh (slot->oldest_position);
  s.confirmed_seq = le64toh (slot->confirmed_seq);
  s.discard_generation = le64toh (slot->discard_generation);
  s.discard_seq = le64toh (slot->discard_seq);
  s.stage.id = le64toh (slot->stage_id);
  s.stage.since = le64toh (slot->stage_since);
  s.stage.start = le64toh (slot->stage_start);
  s.stage.salt = le64toh (slot->stage_salt);
  memcpy (s.stage.lineage.byte, slot->stage_lineage,
          sizeof slot->stage_lineage);
  s.stage.cursor = le64toh (slot->stage_cursor);
  s.stage.last = le64toh (slot->stage_last);
  s.stage.shown.generation = le64toh (slot->shown_generation);
  s.stage.shown.seq = le64toh (slot->shown_seq);
  s.stage.shown.time_ns = le64toh (slot->shown_time_ns);
  s.stage.shown.bytes = le64toh (slot->shown_bytes);
  if (!generations_decode (slot->generation_count, slot->generations,
                           &s.generations) ||
      !generations_decode (slot->stage_generation_count,
                           slot->stage_generations, &s.stage.generations) ||
      !super_is_bounded (&s))
    return false;
  *ret = s;
  return true;
}

int
super_read (const struct volume_io *io, struct io_file *file,
            struct super *ret, struct error *err)
{
  CLEANUP_FREE struct format_super *slot = malloc (sizeof *slot);
  struct super s;
  bool found = false;
  uint64_t size;
  unsigned i;

  if (slot == NULL)
    return error_set_errno (err, errno, "cannot read super");
  if (io->size (file, &size) == -1)
    return error_set_errno (err, errno, "cannot read super");

  for (i = 0; i < SUPER_SLOTS; ++i) {
    if ((i + 1) * SUPER_SIZE > size)
      break;
    if (io->read (file, slot, SUPER_SIZE, i * SUPER_SIZE) == -1)
      continue;
    if (super_decode (slot, &s) && (!found || s.sequence > ret->sequence)) {
      *ret = s;
      found = true;
    }
  }
  if (!found) {
    error_set (err, EUCLEAN, "no valid copy of the super among %u",
               SUPER_SLOTS);
    return error_hint (err, "the volume is damaged or is none; "
                       "'pairctl volume check' says what is left of it");
  }
  return 0;
}

int
super_write (const struct volume_io *io, struct io_file *file,
             struct super *super)
{
  /* Not to depend on memory: a failure here is final. */
  struct format_super slot __attribute__ ((aligned (FORMAT_PAGE)));

  super->sequence++;
  super_encode (super, &slot);
  if (io->write (file, &slot, sizeof slot,
                 super->sequence % SUPER_SLOTS * SUPER_SIZE) == -1)
    return -1;
  return io->sync (file);
}

uint64_t
generations_at (const struct volume_generations *table, uint64_t seq)
{
  uint32_t i = table->count;

  while (i > 0 && table->table[i - 1].first_seq > seq)
    i--;
  return i > 0 ? table->table[i - 1].id : 0;
}

void
generations_add (struct volume_generations *table, uint64_t id,
                 uint64_t first_seq, const struct uuid *writer)
{
  while (table->count > 0 &&
         table->table[table->count - 1].first_seq >= first_seq)
    table->count--;
  if (table->count == VOLUME_GENERATIONS_MAX) {
    memmove (&table->table[0], &table->table[1],
             (VOLUME_GENERATIONS_MAX - 1) * sizeof table->table[0]);
    table->count--;
  }
  table->table[table->count++] = (struct volume_generation) {
    .id = id, .first_seq = first_seq, .writer = *writer
  };
}

/* Getting bytes of the journal back: from the staging ring while they are
 * there (always, until they are durable), else from the file.
 */

#include <config.h>

#include "cleanup.h"
#include "volume-internal.h"

bool
fetch_staged (struct volume *v, void *buf, size_t len, uint64_t offset)
{
  uint64_t size = v->super.segment_size;
  uint64_t segment = offset / size, lap;

  if (segment >= segments_count (&v->segments))
    return false;
  lap = segment_lap (&v->segments, segment);
  return lap != 0 && !lap_is_cold (lap) &&
    ring_copy (&v->journal.ring, position_of (v, lap, offset % size), buf,
               len);
}

int
fetch (struct volume *v, void *buf, size_t len, uint64_t offset,
       bool from_medium)
{
  if (from_medium)
    return v->io->read_medium (v->journal.file, buf, len, offset);
  if (fetch_staged (v, buf, len, offset))
    return 0;
  return v->io->read (v->journal.file, buf, len, offset);
}

int
fetch_data_end (struct volume *v, uint64_t segment, uint64_t lap,
                uint32_t *ret)
{
  uint64_t size = v->super.segment_size;
  struct format_summary page;
  struct segment_summary summary;

  if (fetch (v, &page, sizeof page, (segment + 1) * size - FORMAT_PAGE,
             false) == -1)
    return -1;
  if (!segment_summary_decode (&page, v->super.journal_salt, size, lap,
                               &summary))
    return 0;
  *ret = summary.data_end;
  return 1;
}

bool
version_is_valid (const struct version *version, uint64_t block)
{
  return entry_is_valid (version->entry, block, version->seq) &&
    (version->entry != 0 || version->seq == 0);
}

bool
lookup_shown (struct volume *v, uint64_t block, struct version *ret)
{
  ret->entry = table_get (&v->map, block);
  return birth_decode (table_get (&v->births, block), block, &ret->seq) &&
    version_is_valid (ret, block);
}

void
lookup_settle (struct volume *v)
{
  struct journal *j = &v->journal;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  while (j->is_applying)
    pthread_cond_wait (&j->progress, &j->lock);
}

bool
fetched_unit_is_valid (struct volume *v, const void *stored, uint64_t block,
                       const struct version *version, struct unit *ret)
{
  uint32_t length = entry_length (version->entry);

  return unit_verify (stored, length, v->super.content_salt, block, ret) &&
    unit_stored_size (ret) == length && ret->seq == version->seq;
}

/* Getting bytes of the journal back: from the staging ring while they are
 * there (always, until they are durable), else from the file.
 */

#include <config.h>

#include "volume-internal.h"

int
fetch (struct volume *v, void *buf, size_t len, uint64_t offset,
       bool from_medium)
{
  uint64_t size = v->super.segment_size;
  uint64_t segment = offset / size, lap;

  if (from_medium)
    return v->io->read_medium (v->journal.file, buf, len, offset);
  if (segment < v->segments.count) {
    lap = segment_lap (&v->segments, segment);
    if (lap != 0 && !lap_is_cold (lap) &&
        ring_copy (&v->journal.ring, position_of (v, lap, offset % size),
                   buf, len))
      return 0;
  }
  return v->io->read (v->journal.file, buf, len, offset);
}

bool
fetched_unit_is_valid (struct volume *v, const void *stored, uint64_t block,
                       uint64_t entry, struct unit *ret)
{
  return unit_verify (stored, entry_length (entry), v->super.content_salt,
                      block, ret) &&
    unit_stored_size (ret) == entry_length (entry) &&
    entry_is_valid (entry, block, ret->seq);
}

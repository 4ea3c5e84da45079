/* What blocks hold, as hashes: for who compares two volumes (see repair.h). */

#include <config.h>

#include <errno.h>

#include <xxhash.h>

#include "volume-internal.h"

int
volume_sums (struct volume *v, uint64_t block, unsigned count, bool newest,
             struct volume_sum *ret, uint64_t *bytes, struct error *err)
{
  uint8_t stored[ROUND_UP (UNIT_STORED_MAX, GRANULE)];
  uint8_t content[VOLUME_BLOCK_SIZE];
  struct version version;
  struct unit unit;
  unsigned i;
  int len;

  if (count > VOLUME_SUMS_MAX || block > volume_blocks (v) ||
      count > volume_blocks (v) - block)
    return error_set (err, EINVAL, "blocks behind the disk's end, or too many "
                      "at once");
  for (i = 0; i < count; ++i) {
    len = repair_read (v, block + i, newest, &version, stored, &unit);
    ret[i] = (struct volume_sum) { .seq = version.seq, .is_bad = len == -1 };
    if (len <= 0)
      continue;
    *bytes += len;
    if (!unit_expand (stored, &unit, content))
      ret[i].is_bad = true;
    else if (!block_is_zero (content))
      ret[i].hash = XXH3_64bits (content, sizeof content);
  }
  return 0;
}

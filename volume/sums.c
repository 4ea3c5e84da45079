/* What blocks hold, as hashes: for who compares two volumes (see repair.h).
 *
 * Most are read as scrub does, in runs of units that lie near each other.
 * What is not settled with that is looked up and read again by itself.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "hash.h"
#include "volume-internal.h"

static uint64_t
hash_content (const uint8_t *content)
{
  return block_is_zero (content) ? 0 : XXH3_64bits (content,
                                                    VOLUME_BLOCK_SIZE);
}

/* Block by block. */
static void
sum_again (struct volume *v, uint64_t block, bool newest,
           struct volume_sum *ret, uint64_t *bytes)
{
  uint8_t stored[ROUND_UP (UNIT_STORED_MAX, GRANULE)];
  uint8_t content[VOLUME_BLOCK_SIZE];
  struct version version;
  struct unit unit;
  int len = repair_read (v, block, newest, &version, stored, &unit);

  *ret = (struct volume_sum) { .seq = version.seq, .is_bad = len == -1 };
  if (len <= 0)
    return;
  *bytes += len;
  if (unit_expand (stored, &unit, content))
    ret->hash = hash_content (content);
  else
    ret->is_bad = true;
}

/* Look up COUNT blocks.  Returns how many are to be read, in PLACED; what is
 * not to be told yet is marked as bad in RET.
 */
static unsigned
look_up (struct volume *v, uint64_t block, unsigned count, bool newest,
         struct placed *placed, struct volume_sum *ret)
{
  unsigned i, n = 0;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->tables_lock);

  for (i = 0; i < count; ++i) {
    struct placed *p = &placed[n];
    struct version pending;

    p->block = block + i;
    ret[i] = (struct volume_sum) { .is_bad = true };
    if ((newest && pending_get (&v->pending, block + i, &pending.entry,
                                &pending.seq)) ||
        !lookup_shown (v, block + i, &p->version))
      continue;
    if (entry_kind (p->version.entry) != ENTRY_DATA)
      ret[i] = (struct volume_sum) { .seq = p->version.seq };
    else
      ++n;
  }
  return n;
}

static void
sum_run (struct volume *v, uint64_t block, const struct placed *p,
         unsigned count, uint32_t length, uint8_t *buf,
         struct volume_sum *ret, uint64_t *bytes)
{
  uint64_t start = entry_position (p->version.entry);
  uint8_t content[VOLUME_BLOCK_SIZE];
  struct unit unit;
  unsigned i;

  if (length > PLACED_RUN_BYTES || fetch (v, buf, length, start, true) == -1)
    return;
  *bytes += length;
  for (i = 0; i < count; ++i) {
    const uint8_t *stored = buf + (entry_position (p[i].version.entry) -
                                   start);

    if (fetched_unit_is_valid (v, stored, p[i].block, &p[i].version, &unit) &&
        unit_expand (stored, &unit, content))
      ret[p[i].block - block] = (struct volume_sum) {
        .seq = p[i].version.seq, .hash = hash_content (content)
      };
  }
}

int
volume_sums (struct volume *v, uint64_t block, unsigned count, bool newest,
             struct volume_sum *ret, uint64_t *bytes, struct error *err)
{
  CLEANUP_FREE struct placed *placed = NULL;
  CLEANUP_FREE uint8_t *buf = NULL;
  uint32_t length;
  unsigned i, n, m;

  if (count > VOLUME_SUMS_MAX || block > volume_blocks (v) ||
      count > volume_blocks (v) - block)
    return error_set (err, EINVAL, "blocks behind the disk's end, or too many "
                      "at once");
  placed = malloc ((count + 1) * sizeof *placed);
  buf = malloc (PLACED_RUN_BYTES);
  if (placed == NULL || buf == NULL)
    return error_set_errno (err, ENOMEM, "cannot read blocks");

  n = look_up (v, block, count, newest, placed, ret);
  placed_sort (placed, n);
  for (i = 0; i < n; i += m) {
    m = placed_run (v, &placed[i], n - i, &length);
    sum_run (v, block, &placed[i], m, length, buf, ret, bytes);
  }
  for (i = 0; i < count; ++i)
    if (ret[i].is_bad)
      sum_again (v, block + i, newest, &ret[i], bytes);
  return 0;
}

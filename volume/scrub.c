/* Scrub: reading all that is live from the medium and verifying it, a step at
 * a time, while guests go on.
 *
 * What is looked at is what map and births show, and a stage that is open,
 * unit by unit as a read would find it, but past every cache.  Beside a guest that writes and a cleaner
 * that moves, a unit may be gone when it is looked for: then map and births
 * say something else by now, and that is looked at.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "volume-internal.h"

#define STEP_UNITS 256u          /* read in one step at most */
#define RUN_GAP (16u << 10)      /* between units that are read as one piece */
#define TRIES 5                  /* looks at a block that does not verify */

/* VERSION NULL: which one it is is not known. */
static void
found_bad (struct volume *v, uint64_t block, const struct version *version,
           bool is_read_error, struct volume_scrub_result *result)
{
  if (version != NULL)
    repair_note (v, block, version);
  count_up (is_read_error ? &v->count.read_errors
            : &v->count.checksum_errors);
  if (result->errors < VOLUME_SCRUB_BAD_MAX)
    result->bad[result->errors] = block;
  result->errors++;
}

static bool
is_data (const struct version *version)
{
  return entry_kind (version->entry) == ENTRY_DATA;
}

/* What the disk, or the stage, has of BLOCK.  False as lookup_shown. */
static bool
look_up_locked (struct volume *v, uint64_t block, bool is_staged,
                struct version *ret)
{
  if (!is_staged)
    return lookup_shown (v, block, ret);
  *ret = (struct version) { 0 };
  if (!v->is_staging)
    return true;
  ret->entry = table_get (&v->stage_map, block);
  return birth_decode (table_get (&v->stage_births, block), block,
                       &ret->seq) && version_is_valid (ret, block);
}

static bool
look_up (struct volume *v, uint64_t block, bool is_staged,
         struct version *ret)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->tables_lock);

  return look_up_locked (v, block, is_staged, ret);
}

/* Is it whole, and that version?  A stage that became the disk meanwhile
 * brought its salt along.
 */
static bool
is_valid (struct volume *v, const void *stored, uint64_t block,
          bool is_staged, const struct version *version)
{
  uint8_t content[VOLUME_BLOCK_SIZE];
  uint64_t salt = 0;
  struct unit unit;

  if (is_staged) {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

    salt = v->super.stage.salt;
  }
  if (is_staged &&
      unit_verify (stored, entry_length (version->entry), salt, block,
                   &unit))
    return unit_stored_size (&unit) == entry_length (version->entry) &&
      unit.seq == version->seq && unit_expand (stored, &unit, content);
  return fetched_unit_is_valid (v, stored, block, version, &unit) &&
    unit_expand (stored, &unit, content);
}

/* A block that did not verify, looked up and read again until it does. */
static void
look_again (struct volume *v, uint64_t block, bool is_staged,
            struct volume_scrub_result *result)
{
  uint8_t stored[ROUND_UP (UNIT_STORED_MAX, GRANULE)];
  struct version version;
  bool is_read_error = false, is_known = false;
  int try;

  for (try = 0; try < TRIES; ++try) {
    lookup_settle (v);
    is_known = look_up (v, block, is_staged, &version);
    if (!is_known)
      continue;
    if (!is_data (&version))
      return;                    /* trimmed meanwhile */
    if (entry_length (version.entry) > sizeof stored)
      continue;
    is_read_error = fetch (v, stored, entry_length (version.entry),
                           entry_position (version.entry), true) == -1;
    if (!is_read_error &&
        is_valid (v, stored, block, is_staged, &version)) {
      result->units++;
      return;
    }
  }
  found_bad (v, block, is_known ? &version : NULL, is_read_error, result);
}

static int
compare_positions (const void *a, const void *b)
{
  uint64_t p = entry_position (((const struct placed *) a)->version.entry);
  uint64_t q = entry_position (((const struct placed *) b)->version.entry);

  return p < q ? -1 : p > q;
}

/* End of the unit of S in the journal file. */
static uint64_t
unit_end (const struct placed *s)
{
  return entry_position (s->version.entry) + entry_length (s->version.entry);
}

void
placed_sort (struct placed *s, unsigned count)
{
  qsort (s, count, sizeof *s, compare_positions);
}

unsigned
placed_run (const struct volume *v, const struct placed *s, unsigned count,
            uint32_t *ret_length)
{
  uint64_t size = v->super.segment_size;
  uint64_t start = entry_position (s->version.entry), end = unit_end (s);
  unsigned n;

  for (n = 1; n < count; ++n) {
    uint64_t next = entry_position (s[n].version.entry);

    if (next > end + RUN_GAP || unit_end (&s[n]) - start > PLACED_RUN_BYTES ||
        next / size != start / size)
      break;
    if (unit_end (&s[n]) > end)
      end = unit_end (&s[n]);
  }
  *ret_length = end - start;
  return n;
}

/* Verify COUNT units that are a run of LENGTH bytes, with one read into BUF. */
static void
verify_run (struct volume *v, const struct placed *s, unsigned count,
            uint32_t length, uint8_t *buf,
            struct volume_scrub_result *result)
{
  uint64_t start = entry_position (s->version.entry);
  const uint8_t *stored;
  bool is_read;
  unsigned i;

  is_read = length <= PLACED_RUN_BYTES &&
    fetch (v, buf, length, start, true) == 0;
  for (i = 0; i < count; ++i) {
    stored = buf + (entry_position (s[i].version.entry) - start);
    if (is_read &&
        is_valid (v, stored, s[i].block, s[i].is_staged, &s[i].version))
      result->units++;
    else
      look_again (v, s[i].block, s[i].is_staged, result);
  }
  result->bytes += length;
}

/* Look up what is in blocks from *BLOCK to END, as many as there is room for;
 * what cannot be told is put aside in ODD.  Returns how many.
 */
static unsigned
collect (struct volume *v, uint64_t *block, uint64_t end,
         struct placed *step, struct placed *odd, unsigned *ret_odd)
{
  unsigned count = 0;
  int staged;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->tables_lock);

  *ret_odd = 0;
  for (; *block < end && count + 1 < STEP_UNITS && *ret_odd + 1 < STEP_UNITS;
       ++*block)
    for (staged = 0; staged <= (int) v->is_staging; ++staged) {
      struct placed *s = &step[count];

      s->block = *block;
      s->is_staged = staged;
      if (!look_up_locked (v, *block, staged, &s->version))
        odd[(*ret_odd)++] = *s;
      else if (is_data (&s->version))
        ++count;
    }
  return count;
}

int
volume_scrub (struct volume *v, uint64_t *block, uint64_t nblocks,
              struct volume_scrub_result *result)
{
  CLEANUP_FREE struct placed *step =
    malloc (2 * STEP_UNITS * sizeof *step);
  CLEANUP_FREE uint8_t *buf = malloc (PLACED_RUN_BYTES);
  uint64_t end;
  unsigned count, odd, i, n;
  uint32_t length;

  if (step == NULL || buf == NULL) {
    errno = ENOMEM;
    return -1;
  }
  if (*block > volume_blocks (v))
    *block = volume_blocks (v);
  end = nblocks < volume_blocks (v) - *block ? *block + nblocks : volume_blocks (v);
  count = collect (v, block, end, step, step + STEP_UNITS, &odd);
  for (i = 0; i < odd; ++i)
    look_again (v, step[STEP_UNITS + i].block, step[STEP_UNITS + i].is_staged,
                result);

  placed_sort (step, count);
  for (i = 0; i < count; i += n) {
    n = placed_run (v, &step[i], count - i, &length);
    verify_run (v, &step[i], n, length, buf, result);
  }
  return 0;
}

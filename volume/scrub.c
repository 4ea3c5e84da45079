/* Scrub: reading all that is live from the medium and verifying it, a step at
 * a time, while guests go on.
 *
 * What is looked at is what map and births show, unit by unit as a read would
 * find it, but past every cache.  Beside a guest that writes and a cleaner
 * that moves, a unit may be gone when it is looked for: then map and births
 * say something else by now, and that is looked at.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "volume-internal.h"

#define STEP_UNITS 256u          /* read in one step at most */
#define RUN_BYTES (256u << 10)   /* one read of units that are near ... */
#define RUN_GAP (16u << 10)      /* ... with no more than this between */
#define TRIES 5                  /* looks at a block that does not verify */

struct scrubbed {
  uint64_t block;
  struct version version;
};

static void
found_bad (struct volume *v, uint64_t block, bool is_read_error,
           struct volume_scrub_result *result)
{
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

/* A block that did not verify, looked up and read again until it does. */
static void
look_again (struct volume *v, uint64_t block,
            struct volume_scrub_result *result)
{
  uint8_t stored[ROUND_UP (UNIT_STORED_MAX, GRANULE)];
  uint8_t content[VOLUME_BLOCK_SIZE];
  struct version version;
  struct unit unit;
  bool is_read_error = false;
  int try;

  for (try = 0; try < TRIES; ++try) {
    lookup_settle (v);
    if (!lookup_shown (v, block, &version))
      continue;
    if (!is_data (&version))
      return;                    /* trimmed meanwhile */
    if (entry_length (version.entry) > sizeof stored)
      continue;
    is_read_error = fetch (v, stored, entry_length (version.entry),
                           entry_position (version.entry), true) == -1;
    if (!is_read_error &&
        fetched_unit_is_valid (v, stored, block, &version, &unit) &&
        unit_expand (stored, &unit, content)) {
      result->units++;
      return;
    }
  }
  found_bad (v, block, is_read_error, result);
}

static int
compare_positions (const void *a, const void *b)
{
  uint64_t p = entry_position (((const struct scrubbed *) a)->version.entry);
  uint64_t q = entry_position (((const struct scrubbed *) b)->version.entry);

  return p < q ? -1 : p > q;
}

/* End of the unit of S in the journal file. */
static uint64_t
unit_end (const struct scrubbed *s)
{
  return entry_position (s->version.entry) + entry_length (s->version.entry);
}

/* How many of the COUNT units from S on are read as one piece. */
static unsigned
run_of (const struct volume *v, const struct scrubbed *s, unsigned count)
{
  uint64_t size = v->super.segment_size;
  uint64_t start = entry_position (s->version.entry), end = unit_end (s);
  unsigned n;

  for (n = 1; n < count; ++n) {
    uint64_t next = entry_position (s[n].version.entry);

    if (next > end + RUN_GAP || unit_end (&s[n]) - start > RUN_BYTES ||
        next / size != start / size)
      break;
    if (unit_end (&s[n]) > end)
      end = unit_end (&s[n]);
  }
  return n;
}

/* Verify COUNT units, sorted by position, with one read into BUF. */
static void
verify_run (struct volume *v, const struct scrubbed *s, unsigned count,
            uint8_t *buf, struct volume_scrub_result *result)
{
  uint64_t start = entry_position (s->version.entry), end = start;
  uint8_t content[VOLUME_BLOCK_SIZE];
  const uint8_t *stored;
  struct unit unit;
  bool is_read;
  unsigned i;

  for (i = 0; i < count; ++i)
    if (unit_end (&s[i]) > end)
      end = unit_end (&s[i]);
  is_read = end - start <= RUN_BYTES &&
    fetch (v, buf, end - start, start, true) == 0;
  for (i = 0; i < count; ++i) {
    stored = buf + (entry_position (s[i].version.entry) - start);
    if (is_read &&
        fetched_unit_is_valid (v, stored, s[i].block, &s[i].version, &unit) &&
        unit_expand (stored, &unit, content))
      result->units++;
    else
      look_again (v, s[i].block, result);
  }
  result->bytes += end - start;
}

int
volume_scrub (struct volume *v, uint64_t *block, uint64_t nblocks,
              struct volume_scrub_result *result)
{
  CLEANUP_FREE struct scrubbed *step = malloc (STEP_UNITS * sizeof *step);
  CLEANUP_FREE uint8_t *buf = malloc (RUN_BYTES);
  uint64_t end;
  unsigned count = 0, i, n;

  if (step == NULL || buf == NULL) {
    errno = ENOMEM;
    return -1;
  }
  if (*block > volume_blocks (v))
    *block = volume_blocks (v);
  end = nblocks < volume_blocks (v) - *block ? *block + nblocks : volume_blocks (v);
  for (; *block < end && count < STEP_UNITS; ++*block) {
    step[count].block = *block;
    if (!lookup_shown (v, *block, &step[count].version))
      look_again (v, *block, result);
    else if (is_data (&step[count].version))
      ++count;
  }

  qsort (step, count, sizeof *step, compare_positions);
  for (i = 0; i < count; i += n) {
    n = run_of (v, &step[i], count - i);
    verify_run (v, &step[i], n, buf, result);
  }
  return 0;
}

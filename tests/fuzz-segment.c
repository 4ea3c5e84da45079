/* Fuzzer of the pages around a segment and of marks. */

#include <config.h>

#include <xxhash.h>

#include "fuzz.h"
#include "record.h"

/* As in the golden files. */
#define SALT UINT64_C (0x0123456789abcdef)
#define SEGMENT (UINT64_C (4) << 20)

static void
look_at_header (struct format_segment *p, bool fix)
{
  struct format_segment again;
  struct segment_header h;
  struct uuid uuid;

  memcpy (uuid.byte, p->uuid, sizeof uuid.byte);
  if (fix)
    p->hash = htole64 (XXH3_64bits_withSeed
                       (p, offsetof (struct format_segment, hash),
                        position_seed (SALT, le64toh (p->lap) * SEGMENT)));
  if (!segment_header_decode (p, &uuid, SALT, SEGMENT, &h))
    return;
  FUZZ_CHECK (h.lap > 0 &&
              (h.kind == SEGMENT_HOT || h.kind == SEGMENT_COLD));
  segment_header_encode (&h, &uuid, SALT, SEGMENT, &again);
  FUZZ_CHECK (memcmp (&again, p, sizeof again) == 0);
}

static void
look_at_summary (struct format_summary *p, bool fix)
{
  uint64_t lap = le64toh (p->lap);
  struct format_summary again;
  struct segment_summary s;

  if (fix)
    p->hash = htole64 (XXH3_64bits_withSeed
                       (p, offsetof (struct format_summary, hash),
                        position_seed (SALT, (lap + 1) * SEGMENT -
                                       FORMAT_PAGE)));
  if (!segment_summary_decode (p, SALT, SEGMENT, lap, &s))
    return;
  FUZZ_CHECK (s.data_end >= FORMAT_PAGE &&
              s.data_end <= SEGMENT - FORMAT_PAGE);
  segment_summary_encode (&s, SALT, SEGMENT, &again);
  FUZZ_CHECK (memcmp (&again, p, sizeof again) == 0);
}

static void
look_at_mark (struct format_mark *p, bool fix)
{
  struct format_mark again;
  struct mark m;

  if (fix)
    p->hash = htole64 (XXH3_64bits (p, offsetof (struct format_mark, hash)));
  if (!mark_decode (p, sizeof *p, &m))
    return;
  mark_encode (&m, &again);
  FUZZ_CHECK (memcmp (&again, p, sizeof again) == 0);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  void *p;
  int fix;

  for (fix = 0; fix <= 1; ++fix) {
    p = fuzz_copy (data, size, sizeof (struct format_segment));
    look_at_header (p, fix);
    free (p);
    p = fuzz_copy (data, size, sizeof (struct format_summary));
    look_at_summary (p, fix);
    free (p);
    p = fuzz_copy (data, size, sizeof (struct format_mark));
    look_at_mark (p, fix);
    free (p);
  }
  /* A body that is too short is none. */
  p = fuzz_copy (data, size, 0);
  mark_decode (p, size, &(struct mark) { 0 });
  free (p);
  return 0;
}

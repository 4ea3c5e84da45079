/* Fuzzer of the super: super_decode. */

#include <config.h>

#include <xxhash.h>

#include "fuzz.h"
#include "super.h"

static void
look (const struct format_super *slot)
{
  struct format_super again;
  struct super s;

  if (!super_decode (slot, &s))
    return;
  FUZZ_CHECK (s.size % VOLUME_BLOCK_SIZE == 0 && s.size >= VOLUME_SIZE_MIN &&
              s.size <= VOLUME_SIZE_MAX);
  FUZZ_CHECK (s.segment_size > 0 && super_segments (&s) > 0);
  FUZZ_CHECK (s.role <= VOLUME_ROLE_MAX && s.map_slot <= 1 &&
              s.segments_slot <= 1);
  FUZZ_CHECK (s.generations.count <= VOLUME_GENERATIONS_MAX &&
              s.stage.generations.count <= VOLUME_GENERATIONS_MAX);
  generations_at (&s.generations, s.point.seq);
  /* What a stage has is kept only while there is one. */
  super_encode (&s, &again);
  FUZZ_CHECK (super_decode (&again, &s));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct format_super *slot;

  if (size > sizeof *slot)
    size = sizeof *slot;
  slot = (struct format_super *) fuzz_copy (data, size, sizeof *slot);
  look (slot);
  slot->hash = htole64 (XXH3_64bits (slot,
                                     offsetof (struct format_super, hash)));
  look (slot);
  free (slot);
  return 0;
}

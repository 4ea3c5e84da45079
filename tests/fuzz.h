/* What the fuzzers share.
 *
 * A fuzzer looks at its input twice: as it is, and with the hashes made right
 * where they stand, for behind a hash nothing that is random is ever looked
 * at.  What decodes must be within its bounds, and encodes to the bytes that
 * it came from.
 *
 * Built with libFuzzer where clang has it; elsewhere fuzz-main.c drives the
 * same functions with random changes of the seeds.
 */

#ifndef PAIRDISK_FUZZ_H
#define PAIRDISK_FUZZ_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define FUZZ_CHECK(cond)                                                \
  do {                                                                  \
    if (!(cond)) {                                                      \
      fprintf (stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);       \
      abort ();                                                         \
    }                                                                   \
  } while (0)

/* A copy that ends where its memory ends; shorter inputs are filled up with
 * zeros to MIN.
 */
static inline uint8_t *
fuzz_copy (const uint8_t *data, size_t size, size_t min)
{
  uint8_t *copy = calloc (1, size > min ? size : min + (min == 0));

  FUZZ_CHECK (copy != NULL);
  if (size > 0)
    memcpy (copy, data, size);
  return copy;
}

#endif /* PAIRDISK_FUZZ_H */

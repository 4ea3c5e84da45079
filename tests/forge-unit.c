/* Test helper: change what a stopped volume holds, such that it still
 * verifies, or not.
 *
 *   forge-unit forge DIR BLOCK   another content in the version that is
 *                                shown, sealed as the real one (it must be
 *                                stored raw: incompressible)
 *   forge-unit damage DIR BLOCK  one byte flipped in the unit
 *   forge-unit older DIR BLOCK   the content as it is, sealed with a seq that
 *                                is one less
 */

#include <config.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "volume-internal.h"

static int
die (const char *what)
{
  fprintf (stderr, "forge-unit: %s\n", what);
  return 1;
}

int
main (int argc, char *argv[])
{
  uint8_t unit[VOLUME_UNIT_MAX + UNIT_ENCODE_SLACK]
    __attribute__ ((aligned (8)));
  struct error err = ERROR_INIT;
  struct version version;
  struct volume *v;
  uint64_t block, salt;
  uint32_t x = 2463534242u;
  char path[4096];
  int fd;

  if (argc != 4)
    return die ("usage: forge-unit forge|damage|older DIR BLOCK");
  block = strtoull (argv[3], NULL, 10);
  v = volume_open (NULL, argv[2], NULL, &err);
  if (v == NULL)
    return die (err.message);
  if (!lookup_shown (v, block, &version) ||
      entry_kind (version.entry) != ENTRY_DATA)
    return die ("the block holds no data");
  salt = volume_content_salt (v);
  if (volume_close (v, &err) == -1)
    return die (err.message);

  snprintf (path, sizeof path, "%s/journal", argv[2]);
  fd = open (path, O_RDWR);
  if (fd == -1 ||
      pread (fd, unit, entry_length (version.entry),
             entry_position (version.entry)) !=
      (ssize_t) entry_length (version.entry))
    return die ("cannot read the journal");
  if (strcmp (argv[1], "damage") == 0)
    unit[entry_length (version.entry) / 2] ^= 0x40;
  else if (strcmp (argv[1], "older") == 0) {
    uint8_t content[VOLUME_BLOCK_SIZE];
    struct unit header;

    if (!unit_verify (unit, entry_length (version.entry), salt, block,
                      &header) ||
        !unit_expand (unit, &header, content) ||
        unit_encode (content, 1, unit) != entry_length (version.entry))
      return die ("the block does not verify");
    unit_seal (unit, salt, block, version.seq - 1);
  }
  else {
    uint8_t content[VOLUME_BLOCK_SIZE];
    unsigned i;

    for (i = 0; i < sizeof content; i++) {
      x ^= x << 13;
      x ^= x >> 17;
      x ^= x << 5;
      content[i] = x;
    }
    if (unit_encode (content, 1, unit) != entry_length (version.entry))
      return die ("the block is not stored raw");
    unit_seal (unit, salt, block, version.seq);
  }
  if (pwrite (fd, unit, entry_length (version.entry),
              entry_position (version.entry)) !=
      (ssize_t) entry_length (version.entry) || fsync (fd) == -1)
    return die ("cannot write the journal");
  close (fd);
  printf ("block %" PRIu64 " seq %" PRIu64 "\n", block, version.seq);
  return 0;
}

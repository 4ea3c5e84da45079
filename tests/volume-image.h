/* All of a disk, to compare it with what it was: its content and, of each
 * block, birth and kind of map entry.
 */

#ifndef PAIRDISK_VOLUME_IMAGE_H
#define PAIRDISK_VOLUME_IMAGE_H

#include <stdint.h>

#include "io-sim.h"
#include "volume.h"

struct image {
  uint8_t *content;
  uint64_t nblocks;
  uint64_t *birth;
  uint8_t *kind;
};

/* Opens the volume and closes it. */
extern struct image image_take (struct sim *sim, const char *path,
                                const struct volume_options *options);
extern void image_release (struct image *image);
extern void image_check_same (const struct image *a, const struct image *b);

/* Nothing of the tables that are there is of any use afterwards. */
extern void image_destroy_tables (struct sim *sim, const char *path,
                                  uint64_t *rng);

/* The disk as it lies there, closed or crashed, is the same with a map that
 * was made anew; it is left so.
 */
extern void image_check_rebuild (struct sim *sim, const char *path,
                                 const struct volume_options *options,
                                 uint64_t *rng);

#endif /* PAIRDISK_VOLUME_IMAGE_H */

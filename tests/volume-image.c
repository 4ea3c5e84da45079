/* All of a disk (see volume-image.h). */

#include <config.h>

#include <string.h>

#include "volume-image.h"
#include "volume-internal.h"
#include "volume-model.h"

#define BLOCK VOLUME_BLOCK_SIZE

struct image
image_take (struct sim *sim, const char *path,
            const struct volume_options *options)
{
  struct error err = ERROR_INIT;
  struct volume *v = volume_open (sim_io (sim), path, options, &err);
  struct image image;
  uint64_t i;

  CHECK (v, "%s", err.message);
  image.content = read_all (v);
  image.nblocks = v->nblocks;

  image.birth = calloc (image.nblocks, sizeof *image.birth);
  image.kind = calloc (image.nblocks, sizeof *image.kind);
  CHECK (image.birth && image.kind, "no memory");
  for (i = 0; i < image.nblocks; ++i) {
    image.birth[i] = table_get (&v->births, i);
    image.kind[i] = entry_kind (table_get (&v->map, i));
  }
  CHECK (volume_close (v, &err) == 0, "%s", err.message);
  return image;
}

void
image_release (struct image *image)
{
  free (image->content);
  free (image->birth);
  free (image->kind);
}

void
image_check_same (const struct image *a, const struct image *b)
{
  uint64_t i;

  for (i = 0; i < a->nblocks; ++i) {
    CHECK (a->kind[i] == b->kind[i], "block %" PRIu64 " was of kind %u and "
           "is of kind %u (births %" PRIu64 ", %" PRIu64 ")", i, a->kind[i],
           b->kind[i], a->birth[i] & SEQ_MAX, b->birth[i] & SEQ_MAX);
    CHECK (a->birth[i] == b->birth[i], "block %" PRIu64 " was of seq %" PRIu64
           " and is of %" PRIu64, i, a->birth[i] & SEQ_MAX,
           b->birth[i] & SEQ_MAX);
    CHECK (memcmp (a->content + i * BLOCK, b->content + i * BLOCK,
                   BLOCK) == 0, "block %" PRIu64 " (seq %" PRIu64
           ") has other content", i, a->birth[i] & SEQ_MAX);
  }
}

void
image_destroy_tables (struct sim *sim, const char *path, uint64_t *rng)
{
  static const char *const names[] = { "map.0", "map.1", "births.0",
                                       "births.1" };
  uint64_t size, i, offset;
  uint8_t noise[512];

  for (i = 0; i < sizeof names / sizeof names[0]; ++i) {
    size = sim_file_size (sim, path, names[i]);
    if (size == 0)
      continue;
    if (random_chance (rng, 30)) {
      sim_file_resize (sim, path, names[i], 0);
      continue;
    }
    for (offset = 0; offset + sizeof noise <= size; offset += sizeof noise) {
      uint64_t k;

      for (k = 0; k < sizeof noise; ++k)
        noise[k] = random_next (rng);
      sim_file_write (sim, path, names[i], offset, noise, sizeof noise);
    }
  }
}

void
image_check_rebuild (struct sim *sim, const char *path,
                     const struct volume_options *options, uint64_t *rng)
{
  struct sim_snapshot *snapshot = sim_snapshot_take (sim);
  struct volume_rebuild_result result;
  struct error err = ERROR_INIT;
  struct image before, after;

  before = image_take (sim, path, options);
  sim_snapshot_restore (sim, snapshot);
  sim_snapshot_free (snapshot);
  image_destroy_tables (sim, path, rng);
  CHECK (volume_rebuild_map (sim_io (sim), path, NULL, NULL, &result,
                             &err) == 0, "%s", err.message);
  after = image_take (sim, path, options);
  image_check_same (&before, &after);
  image_release (&before);
  image_release (&after);
}

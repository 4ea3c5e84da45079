/* A volume on a simulated disk, the model of what it holds, and a buffer:
 * what most tests of the volume begin and end with.
 */

#ifndef PAIRDISK_VOLUME_FIXTURE_H
#define PAIRDISK_VOLUME_FIXTURE_H

#include "io-sim.h"
#include "volume-model.h"

struct fixture {
  struct sim *sim;
  uint64_t rng;
  struct volume *v;
  struct model model;
  uint8_t *buf;                /* RANDOM_WRITE_MAX */
};

/* Little memory, and nothing stays unwritten for long. */
extern const struct volume_options fixture_options;

/* With segments of 4 MiB at PATH; the volume of a fixture is at "disk". */
extern void fixture_create (struct fixture *f, const char *path,
                            uint64_t size, uint64_t capacity);
extern struct volume *fixture_open_at (struct fixture *f, const char *path);

/* Make it, and open it. */
extern void fixture_begin (struct fixture *f, uint64_t seed, uint64_t size,
                           uint64_t capacity);
extern void fixture_open (struct fixture *f);
extern void fixture_close (struct fixture *f);

/* Power fails, for a moment; it is not opened. */
extern void fixture_crash (struct fixture *f);

/* Close it if it is open, let go of all. */
extern void fixture_release (struct fixture *f);

/* Close it; the same is there when it is opened again; let go of all. */
extern void fixture_end (struct fixture *f);

/* volume_check has nothing to say of the volume at PATH. */
extern void check_sound (struct sim *sim, const char *path);

#endif /* PAIRDISK_VOLUME_FIXTURE_H */

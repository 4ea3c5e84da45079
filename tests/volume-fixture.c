/* What tests of the volume have in common (see volume-fixture.h). */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "volume-fixture.h"
#include "volume-internal.h"

#define MIB (UINT64_C (1) << 20)

const struct volume_options fixture_options = {
  .staging_bytes = 6 << 20, .commit_delay_ms = 1
};

void
fixture_create (struct fixture *f, const char *path, uint64_t size,
                uint64_t capacity)
{
  const struct volume_params params = { size, capacity, 4 * MIB };
  struct error err = ERROR_INIT;

  CHECK (volume_create (sim_io (f->sim), path, &params, &err) == 0, "%s",
         err.message);
}

struct volume *
fixture_open_at (struct fixture *f, const char *path)
{
  struct error err = ERROR_INIT;
  struct volume *v = volume_open (sim_io (f->sim), path, &fixture_options,
                                  &err);

  CHECK (v, "%s", err.message);
  return v;
}

void
fixture_begin (struct fixture *f, uint64_t seed, uint64_t size,
               uint64_t capacity)
{
  memset (f, 0, sizeof *f);
  f->rng = seed;
  f->sim = sim_new (random_next (&f->rng));
  f->buf = malloc (RANDOM_WRITE_MAX);
  CHECK (f->buf, "no memory");
  fixture_create (f, "disk", size, capacity);
  model_init (&f->model, size);
  fixture_open (f);
}

void
fixture_open (struct fixture *f)
{
  f->v = fixture_open_at (f, "disk");
}

void
fixture_close (struct fixture *f)
{
  struct error err = ERROR_INIT;

  CHECK (volume_close (f->v, &err) == 0, "%s", err.message);
  f->v = NULL;
}

void
fixture_crash (struct fixture *f)
{
  sim_crash (f->sim, random_next (&f->rng));
  volume_abandon (f->v);
  f->v = NULL;
  sim_restart (f->sim);
}

void
fixture_release (struct fixture *f)
{
  if (f->v)
    fixture_close (f);
  sim_free (f->sim);
  model_release (&f->model);
  free (f->buf);
}

void
fixture_end (struct fixture *f)
{
  fixture_close (f);
  fixture_open (f);
  CHECK (volume_size (f->v) == f->model.size, "another size when opened");
  check_all (f->v, &f->model);
  fixture_release (f);
}

static void
print_finding (void *opaque, const struct volume_finding *finding)
{
  (void) opaque;
  fprintf (stderr, "# %s at %" PRIu64 ", block %" PRId64 ": %s\n",
           finding->file, finding->position, finding->block, finding->what);
}

void
check_sound (struct sim *sim, const char *path)
{
  struct volume_check_result result;
  struct error err = ERROR_INIT;

  CHECK (volume_check (sim_io (sim), path, print_finding, NULL, NULL, &result,
                       &err) == 0, "%s", err.message);
  CHECK (result.findings == 0, "%" PRIu64 " findings", result.findings);
}

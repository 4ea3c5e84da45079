/* One seeded round of a crash test, see crash-round.h. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crash-round.h"
#include "volume-fixture.h"

#define MIB (UINT64_C (1) << 20)

void
round_begin (struct round *r, uint64_t seed, uint64_t size,
             uint64_t capacity)
{
  const struct volume_params params = { size, capacity, 4 * MIB };
  struct error err = ERROR_INIT;

  memset (r, 0, sizeof *r);
  r->rng = seed;
  r->capacity = capacity;
  r->sim = sim_new (random_next (&r->rng));
  r->buf = malloc (RANDOM_WRITE_MAX);
  CHECK (r->buf, "no memory");
  CHECK (volume_create (sim_io (r->sim), "disk", &params, &err) == 0, "%s",
         err.message);
  model_init (&r->model, size);
}

void
round_end (struct round *r)
{
  struct error err = ERROR_INIT;

  CHECK (volume_close (r->v, &err) == 0, "%s", err.message);
  r->v = volume_open (sim_io (r->sim), "disk", &fixture_options, &err);
  CHECK (r->v, "%s", err.message);
  check_all (r->v, &r->model);
  CHECK (volume_close (r->v, &err) == 0, "%s", err.message);
  check_sound (r->sim, "disk");
  sim_free (r->sim);
  model_release (&r->model);
  free (r->buf);
}

void
check_recovered (struct round *r)
{
  uint8_t *content = read_all (r->v);
  uint64_t low, high;
  bool found = model_match (&r->model, content, 0, r->model.nblocks,
                            r->durable, &low, &high);

  if (!found)
    model_explain (&r->model, content, 0, r->model.nblocks, r->durable);
  CHECK (found, "not the disk of any moment");
  model_adopt (&r->model, content);
  r->durable = 0;
  free (content);
}

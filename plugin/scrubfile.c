/* A disk's scrub file as JSON, and back.  See scrubfile.h. */

#include <config.h>

#include <string.h>

#include "scrubfile.h"
#include "statefile.h"
#include "value-json.h"

/* Of those that are named. */
static size_t
bad_count (const struct volume_scrub_result *result)
{
  return result->errors < VOLUME_SCRUB_BAD_MAX ? result->errors
    : VOLUME_SCRUB_BAD_MAX;
}

static json_t *
to_json (const struct scrub_progress *p)
{
  json_t *bad = json_array ();

  for (size_t i = 0; i < bad_count (&p->result); i++)
    json_array_append_new (bad, json_integer (NUMBER (p->result.bad[i])));
  return json_pack ("{s:I, s:I, s:I, s:I, s:I, s:o}",
                    "block", NUMBER (p->block),
                    "rate_bps", NUMBER (p->rate_bps),
                    "units", NUMBER (p->result.units),
                    "bytes", NUMBER (p->result.bytes),
                    "errors", NUMBER (p->result.errors),
                    "bad_blocks", bad);
}

static bool
from_json (json_t *json, void *opaque)
{
  const json_t *bad = json_object_get (json, "bad_blocks"), *block;
  struct scrub_progress *ret = opaque;
  size_t i;

  if (!number_at (json, "block", &ret->block) ||
      !number_at (json, "rate_bps", &ret->rate_bps) ||
      !number_at (json, "units", &ret->result.units) ||
      !number_at (json, "bytes", &ret->result.bytes) ||
      !number_at (json, "errors", &ret->result.errors) ||
      ret->block > VOLUME_SIZE_MAX / VOLUME_BLOCK_SIZE ||
      json_array_size (bad) != bad_count (&ret->result))
    return false;
  json_array_foreach (bad, i, block)
    if (!number_from_json (block, &ret->result.bad[i]))
      return false;
  return true;
}

static const struct statefile file = { "scrub", 2, from_json };

bool
scrubfile_load (int dirfd, struct scrub_progress *ret)
{
  memset (ret, 0, sizeof *ret);
  return statefile_load (dirfd, &file, ret, NULL) == 1;
}

void
scrubfile_store (int dirfd, const struct scrub_progress *progress)
{
  statefile_store (dirfd, &file, to_json (progress), NULL);
}

int
scrubfile_remove (int dirfd)
{
  return statefile_remove (dirfd, &file, NULL);
}

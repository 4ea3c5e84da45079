/* A disk's verify file as JSON, and back.  See verifyfile.h. */

#include <config.h>

#include <string.h>

#include "verifyfile.h"
#include "statefile.h"
#include "value-json.h"

static json_t *
to_json (const struct verify_status *s)
{
  json_t *ranges = json_array ();

  for (unsigned i = 0; i < s->ranges; i++)
    json_array_append_new (ranges,
                           json_pack ("{s:I, s:I}",
                                      "block", NUMBER (s->range[i].block),
                                      "count", NUMBER (s->range[i].count)));
  return json_pack ("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
                    "repair", s->repairs,
                    "done_bytes", NUMBER (s->done_bytes),
                    "rate_bps", NUMBER (s->rate_bps),
                    "read_bytes", NUMBER (s->read_bytes),
                    "differing", NUMBER (s->differing),
                    "repaired", NUMBER (s->repaired),
                    "unreadable_here", NUMBER (s->unreadable_here),
                    "unreadable_there", NUMBER (s->unreadable_there),
                    "changing", NUMBER (s->changing),
                    "ranges", ranges);
}

static bool
from_json (json_t *json, void *opaque)
{
  const json_t *ranges = json_object_get (json, "ranges"), *range;
  const json_t *repairs = json_object_get (json, "repair");
  struct verify_status *ret = opaque;
  size_t i;

  if (!json_is_boolean (repairs) ||
      !number_at (json, "done_bytes", &ret->done_bytes) ||
      !number_at (json, "rate_bps", &ret->rate_bps) ||
      !number_at (json, "read_bytes", &ret->read_bytes) ||
      !number_at (json, "differing", &ret->differing) ||
      !number_at (json, "repaired", &ret->repaired) ||
      !number_at (json, "unreadable_here", &ret->unreadable_here) ||
      !number_at (json, "unreadable_there", &ret->unreadable_there) ||
      !number_at (json, "changing", &ret->changing) ||
      ret->done_bytes % VOLUME_BLOCK_SIZE != 0 ||
      json_array_size (ranges) > VERIFY_RANGES_MAX)
    return false;
  ret->repairs = json_is_true (repairs);
  ret->ranges = json_array_size (ranges);
  json_array_foreach (ranges, i, range)
    if (!number_at (range, "block", &ret->range[i].block) ||
        !number_at (range, "count", &ret->range[i].count))
      return false;
  return true;
}

static const struct statefile file = { "verify", 2, from_json };

bool
verifyfile_load (int dirfd, struct verify_status *ret)
{
  memset (ret, 0, sizeof *ret);
  return statefile_load (dirfd, &file, ret, NULL) == 1;
}

void
verifyfile_store (int dirfd, const struct verify_status *status)
{
  statefile_store (dirfd, &file, to_json (status), NULL);
}

int
verifyfile_remove (int dirfd)
{
  return statefile_remove (dirfd, &file, NULL);
}

/* A disk's sync file as JSON, and back.  See syncfile.h. */

#include <config.h>

#include <string.h>

#include "statefile.h"
#include "syncfile.h"
#include "value-json.h"

static bool
promise_from_json (const json_t *json, enum replica_promise *ret)
{
  const char *name = json_string_value (json);

  for (unsigned i = 0; name != NULL && i <= REPLICA_PROMISE_MAX; i++)
    if (strcmp (name, replica_promise_name (i)) == 0) {
      *ret = i;
      return true;
    }
  return false;
}

static const char *const abandoned_names[] = {
  [SYNC_ABANDONED_NONE] = "none",
  [SYNC_ABANDONED_PEER] = "peer",
  [SYNC_ABANDONED_FORMER] = "former",
};

static bool
abandoned_from_json (const json_t *json, enum sync_abandoned *ret)
{
  const char *name = json_string_value (json);

  for (unsigned i = 0; name != NULL && i <= SYNC_ABANDONED_MAX; i++)
    if (strcmp (name, abandoned_names[i]) == 0) {
      *ret = i;
      return true;
    }
  return false;
}

/* Null: none. */
static json_t *
lease_to_json (const struct lease *lease)
{
  if (lease->ms == 0)
    return json_null ();
  return json_pack ("{s:o, s:I, s:I, s:I}",
                    "boot", uuid_to_json (&lease->from.boot),
                    "boot_ns", NUMBER (lease->from.boot_ns),
                    "wall_ns", NUMBER (lease->from.wall_ns),
                    "ms", NUMBER (lease->ms));
}

static bool
lease_from_json (const json_t *json, struct lease *ret)
{
  if (json_is_null (json))
    return true;
  return uuid_from_json (json_object_get (json, "boot"), &ret->from.boot) &&
    number_at (json, "boot_ns", &ret->from.boot_ns) &&
    number_at (json, "wall_ns", &ret->from.wall_ns) &&
    number_at (json, "ms", &ret->ms) &&
    ret->ms <= SYNC_PROOF_MS_MAX;
}

static json_t *
record_to_json (const struct sync_record *record)
{
  return json_pack ("{s:s, s:s, s:I, s:s, s:I, s:o}",
                    "given", replica_promise_name (record->given),
                    "heard", replica_promise_name (record->heard),
                    "degraded_ns", NUMBER (record->degraded_ns),
                    "abandoned", abandoned_names[record->abandoned],
                    "lease_ms", NUMBER (record->lease_ms),
                    "heard_lease", lease_to_json (&record->lease));
}

static bool
record_from_json (json_t *json, void *opaque)
{
  struct sync_record *ret = opaque;

  return promise_from_json (json_object_get (json, "given"), &ret->given) &&
    promise_from_json (json_object_get (json, "heard"), &ret->heard) &&
    number_at (json, "degraded_ns", &ret->degraded_ns) &&
    abandoned_from_json (json_object_get (json, "abandoned"),
                         &ret->abandoned) &&
    number_at (json, "lease_ms", &ret->lease_ms) &&
    ret->lease_ms <= SYNC_PROOF_MS_MAX &&
    lease_from_json (json_object_get (json, "heard_lease"), &ret->lease);
}

static const struct statefile file = { "sync", 3, record_from_json };

/* Nothing is known: all may have been promised, and nothing is proven. */
static const struct sync_record worst = {
  .given = REPLICA_PROMISE_SUSPEND, .lease_ms = SYNC_PROOF_MS_MAX
};

int
syncfile_load (int dirfd, struct sync_record *ret, struct error *err)
{
  memset (ret, 0, sizeof *ret);
  if (statefile_load (dirfd, &file, ret, err) != -1)
    return 0;
  *ret = worst;
  return error_hint (err, "flushes may wait for the peer: set the mode again");
}

int
syncfile_store (int dirfd, const struct sync_record *record,
                struct error *err)
{
  if (record->given == REPLICA_PROMISE_NONE &&
      record->heard == REPLICA_PROMISE_NONE &&
      record->abandoned == SYNC_ABANDONED_NONE && record->degraded_ns == 0)
    return statefile_remove (dirfd, &file, err);
  return statefile_store (dirfd, &file, record_to_json (record), err);
}

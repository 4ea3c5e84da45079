/* Reading and writing a disk's sync file.  See syncfile.h. */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "cleanup.h"
#include "fileio.h"
#include "value-json.h"
#include "syncfile.h"

#define SYNC_FILE "sync"
#define SYNC_FILE_MAX 4096
#define SYNC_VERSION 2

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
                    "boot_ns", (json_int_t) lease->from.boot_ns,
                    "wall_ns", (json_int_t) lease->from.wall_ns,
                    "ms", (json_int_t) lease->ms);
}

static bool
lease_from_json (const json_t *json, struct lease *ret)
{
  const char *boot = json_string_value (json_object_get (json, "boot"));

  if (json_is_null (json))
    return true;
  memset (ret, 0, sizeof *ret);
  if (boot != NULL && !uuid_parse (boot, &ret->from.boot))
    return false;
  return number_from_json (json_object_get (json, "boot_ns"),
                           &ret->from.boot_ns) &&
    number_from_json (json_object_get (json, "wall_ns"),
                      &ret->from.wall_ns) &&
    number_from_json (json_object_get (json, "ms"), &ret->ms) &&
    ret->ms <= SYNC_PROOF_MS_MAX;
}

static bool
record_from_json (const json_t *json, struct sync_record *ret)
{
  const json_t *version = json_object_get (json, "version");

  if (!json_is_integer (version) ||
      json_integer_value (version) != SYNC_VERSION ||
      !number_from_json (json_object_get (json, "degraded_ns"),
                         &ret->degraded_ns) ||
      !number_from_json (json_object_get (json, "lease_ms"),
                         &ret->lease_ms) ||
      ret->lease_ms > SYNC_PROOF_MS_MAX ||
      !abandoned_from_json (json_object_get (json, "abandoned"),
                            &ret->abandoned) ||
      !lease_from_json (json_object_get (json, "heard_lease"), &ret->lease))
    return false;
  return promise_from_json (json_object_get (json, "given"), &ret->given) &&
    promise_from_json (json_object_get (json, "heard"), &ret->heard);
}

/* Nothing is known: all may have been promised, and nothing is proven. */
static const struct sync_record worst = {
  .given = REPLICA_PROMISE_SUSPEND, .lease_ms = SYNC_PROOF_MS_MAX
};

int
syncfile_load (int dirfd, struct sync_record *ret, struct error *err)
{
  CLEANUP_FREE char *text = NULL;
  size_t len;
  json_t *json;
  bool is_good;

  memset (ret, 0, sizeof *ret);
  text = file_read (dirfd, SYNC_FILE, SYNC_FILE_MAX, &len);
  if (text == NULL && errno == ENOENT)
    return 0;
  if (text == NULL) {
    *ret = worst;
    return error_set_errno (err, errno, "cannot read file \"%s\"", SYNC_FILE);
  }

  json = json_loadb (text, len, JSON_REJECT_DUPLICATES, NULL);
  is_good = json != NULL && record_from_json (json, ret);
  json_decref (json);
  if (is_good)
    return 0;
  *ret = worst;
  error_set (err, EINVAL, "file \"%s\" is damaged", SYNC_FILE);
  return error_hint (err, "flushes may wait for the peer: set the mode again");
}

static int
syncfile_remove (int dirfd)
{
  /* An interrupted file_replace leaves the first. */
  if ((unlinkat (dirfd, SYNC_FILE ".new", 0) == -1 && errno != ENOENT) ||
      (unlinkat (dirfd, SYNC_FILE, 0) == -1 && errno != ENOENT))
    return -1;
  return dir_sync (dirfd);
}

int
syncfile_store (int dirfd, const struct sync_record *record,
                struct error *err)
{
  CLEANUP_FREE char *text = NULL;
  json_t *json;
  int r;

  if (record->given == REPLICA_PROMISE_NONE &&
      record->heard == REPLICA_PROMISE_NONE &&
      record->abandoned == SYNC_ABANDONED_NONE && record->degraded_ns == 0)
    r = syncfile_remove (dirfd);
  else {
    json = json_pack ("{s:i, s:s, s:s, s:I, s:s, s:I, s:o}",
                      "version", SYNC_VERSION,
                      "given", replica_promise_name (record->given),
                      "heard", replica_promise_name (record->heard),
                      "degraded_ns", (json_int_t) record->degraded_ns,
                      "abandoned", abandoned_names[record->abandoned],
                      "lease_ms", (json_int_t) record->lease_ms,
                      "heard_lease", lease_to_json (&record->lease));
    if (json != NULL)
      text = json_dumps (json, JSON_INDENT (2));
    json_decref (json);
    errno = ENOMEM;
    r = text == NULL ? -1 :
      file_replace (dirfd, SYNC_FILE, text, strlen (text), 0600);
  }
  return r == -1 ? error_set_errno (err, errno, "cannot write file \"%s\"",
                                    SYNC_FILE) : 0;
}

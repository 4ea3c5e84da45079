/* Reading and writing a disk's sync file.  See syncfile.h. */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "cleanup.h"
#include "fileio.h"
#include "syncfile.h"

#define SYNC_FILE "sync"
#define SYNC_FILE_MAX 4096
#define SYNC_VERSION 1

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

static bool
record_from_json (const json_t *json, struct sync_record *ret)
{
  const json_t *version = json_object_get (json, "version");
  const json_t *degraded = json_object_get (json, "degraded_ns");

  if (!json_is_integer (version) ||
      json_integer_value (version) != SYNC_VERSION ||
      !json_is_integer (degraded) || json_integer_value (degraded) < 0)
    return false;
  ret->degraded_ns = json_integer_value (degraded);
  return promise_from_json (json_object_get (json, "given"), &ret->given) &&
    promise_from_json (json_object_get (json, "heard"), &ret->heard);
}

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
    ret->given = REPLICA_PROMISE_SUSPEND;
    return error_set_errno (err, errno, "cannot read file \"%s\"", SYNC_FILE);
  }

  json = json_loadb (text, len, JSON_REJECT_DUPLICATES, NULL);
  is_good = json != NULL && record_from_json (json, ret);
  json_decref (json);
  if (is_good)
    return 0;
  *ret = (struct sync_record) { .given = REPLICA_PROMISE_SUSPEND };
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
      record->heard == REPLICA_PROMISE_NONE && record->degraded_ns == 0)
    r = syncfile_remove (dirfd);
  else {
    json = json_pack ("{s:i, s:s, s:s, s:I}", "version", SYNC_VERSION,
                      "given", replica_promise_name (record->given),
                      "heard", replica_promise_name (record->heard),
                      "degraded_ns", (json_int_t) record->degraded_ns);
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

/* Reading and writing a disk's verify file.  See verifyfile.h. */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "cleanup.h"
#include "fileio.h"
#include "verifyfile.h"

#define VERIFY_FILE "verify"
#define VERIFY_FILE_MAX 16384
#define VERIFY_VERSION 1

#define NUMBER(n) ((json_int_t) (n))

static bool
get (const json_t *json, const char *key, uint64_t *ret)
{
  const json_t *value = json_object_get (json, key);

  if (!json_is_integer (value) || json_integer_value (value) < 0)
    return false;
  *ret = json_integer_value (value);
  return true;
}

static bool
from_json (const json_t *json, struct verify_status *ret)
{
  const json_t *ranges = json_object_get (json, "ranges"), *range;
  const json_t *repairs = json_object_get (json, "repair");
  uint64_t version;
  size_t i;

  if (!get (json, "version", &version) || version != VERIFY_VERSION ||
      !json_is_boolean (repairs) ||
      !get (json, "done_bytes", &ret->done_bytes) ||
      !get (json, "rate_bps", &ret->rate_bps) ||
      !get (json, "read_bytes", &ret->read_bytes) ||
      !get (json, "differing", &ret->differing) ||
      !get (json, "repaired", &ret->repaired) ||
      !get (json, "unreadable_here", &ret->unreadable_here) ||
      !get (json, "unreadable_there", &ret->unreadable_there) ||
      !get (json, "changing", &ret->changing) ||
      ret->done_bytes % VOLUME_BLOCK_SIZE != 0 ||
      json_array_size (ranges) > VERIFY_RANGES_MAX)
    return false;
  ret->repairs = json_is_true (repairs);
  ret->ranges = json_array_size (ranges);
  json_array_foreach (ranges, i, range)
    if (!get (range, "block", &ret->range[i].block) ||
        !get (range, "count", &ret->range[i].count))
      return false;
  return true;
}

bool
verifyfile_load (int dirfd, struct verify_status *ret)
{
  CLEANUP_FREE char *text = NULL;
  json_t *json;
  size_t len;
  bool is_good;

  memset (ret, 0, sizeof *ret);
  text = file_read (dirfd, VERIFY_FILE, VERIFY_FILE_MAX, &len);
  if (text == NULL)
    return false;
  json = json_loadb (text, len, JSON_REJECT_DUPLICATES, NULL);
  is_good = json != NULL && from_json (json, ret);
  json_decref (json);
  return is_good;
}

void
verifyfile_store (int dirfd, const struct verify_status *s)
{
  CLEANUP_FREE char *text = NULL;
  json_t *ranges = json_array (), *json;

  for (unsigned i = 0; i < s->ranges; i++)
    json_array_append_new (ranges,
                           json_pack ("{s:I, s:I}",
                                      "block", NUMBER (s->range[i].block),
                                      "count", NUMBER (s->range[i].count)));
  json = json_pack ("{s:i, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
                    "version", VERIFY_VERSION,
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
  if (json != NULL)
    text = json_dumps (json, JSON_INDENT (2));
  json_decref (json);
  if (text != NULL)
    file_replace (dirfd, VERIFY_FILE, text, strlen (text), 0600);
}

int
verifyfile_remove (int dirfd)
{
  /* An interrupted file_replace leaves the first. */
  if ((unlinkat (dirfd, VERIFY_FILE ".new", 0) == -1 && errno != ENOENT) ||
      (unlinkat (dirfd, VERIFY_FILE, 0) == -1 && errno != ENOENT))
    return -1;
  return dir_sync (dirfd);
}

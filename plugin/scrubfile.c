/* Reading and writing a disk's scrub file.  See scrubfile.h. */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "cleanup.h"
#include "fileio.h"
#include "scrubfile.h"

#define SCRUB_FILE "scrub"
#define SCRUB_FILE_MAX 4096
#define SCRUB_VERSION 1

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
from_json (const json_t *json, struct scrub_progress *ret)
{
  const json_t *bad = json_object_get (json, "bad_blocks"), *block;
  uint64_t version;
  size_t i;

  if (!get (json, "version", &version) || version != SCRUB_VERSION ||
      !get (json, "block", &ret->block) ||
      !get (json, "rate_bps", &ret->rate_bps) ||
      !get (json, "units", &ret->result.units) ||
      !get (json, "bytes", &ret->result.bytes) ||
      !get (json, "errors", &ret->result.errors) ||
      ret->block > VOLUME_SIZE_MAX / VOLUME_BLOCK_SIZE ||
      json_array_size (bad) > VOLUME_SCRUB_BAD_MAX ||
      (ret->result.errors < VOLUME_SCRUB_BAD_MAX &&
       json_array_size (bad) != ret->result.errors))
    return false;
  json_array_foreach (bad, i, block)
    ret->result.bad[i] = json_integer_value (block);
  return true;
}

bool
scrubfile_load (int dirfd, struct scrub_progress *ret)
{
  CLEANUP_FREE char *text = NULL;
  json_t *json;
  size_t len;
  bool is_good;

  memset (ret, 0, sizeof *ret);
  text = file_read (dirfd, SCRUB_FILE, SCRUB_FILE_MAX, &len);
  if (text == NULL)
    return false;
  json = json_loadb (text, len, JSON_REJECT_DUPLICATES, NULL);
  is_good = json != NULL && from_json (json, ret);
  json_decref (json);
  return is_good;
}

void
scrubfile_store (int dirfd, const struct scrub_progress *p)
{
  CLEANUP_FREE char *text = NULL;
  json_t *bad = json_array (), *json;

  for (uint64_t i = 0; i < p->result.errors && i < VOLUME_SCRUB_BAD_MAX; i++)
    json_array_append_new (bad, json_integer (p->result.bad[i]));
  json = json_pack ("{s:i, s:I, s:I, s:I, s:I, s:I, s:o}",
                    "version", SCRUB_VERSION,
                    "block", (json_int_t) p->block,
                    "rate_bps", (json_int_t) p->rate_bps,
                    "units", (json_int_t) p->result.units,
                    "bytes", (json_int_t) p->result.bytes,
                    "errors", (json_int_t) p->result.errors,
                    "bad_blocks", bad);
  if (json != NULL)
    text = json_dumps (json, JSON_INDENT (2));
  json_decref (json);
  if (text != NULL)
    file_replace (dirfd, SCRUB_FILE, text, strlen (text), 0600);
}

int
scrubfile_remove (int dirfd)
{
  /* An interrupted file_replace leaves the first. */
  if ((unlinkat (dirfd, SCRUB_FILE ".new", 0) == -1 && errno != ENOENT) ||
      (unlinkat (dirfd, SCRUB_FILE, 0) == -1 && errno != ENOENT))
    return -1;
  return dir_sync (dirfd);
}

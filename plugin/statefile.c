/* Files of state with version and checksum (see statefile.h). */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "fileio.h"
#include "hash.h"
#include "statefile.h"

#define HEX_SIZE 17

/* Of all members there are.  False: memory is short. */
static bool
checksum (const json_t *json, char ret[HEX_SIZE])
{
  CLEANUP_FREE char *text = json_dumps (json, JSON_COMPACT | JSON_SORT_KEYS);

  if (text == NULL)
    return false;
  snprintf (ret, HEX_SIZE, "%016" PRIx64,
            (uint64_t) XXH3_64bits (text, strlen (text)));
  return true;
}

/* Take the checksum out of JSON; is it that of the rest? */
static bool
is_whole (json_t *json)
{
  const char *stored = json_string_value (json_object_get (json, "checksum"));
  char was[HEX_SIZE], is[HEX_SIZE];

  if (stored == NULL || strlen (stored) != HEX_SIZE - 1)
    return false;
  strcpy (was, stored);
  json_object_del (json, "checksum");
  return checksum (json, is) && strcmp (was, is) == 0;
}

static int
from_text (const struct statefile *file, const char *text, size_t len,
           void *ret, struct error *err)
{
  json_auto_t *json = json_loadb (text, len, JSON_REJECT_DUPLICATES, NULL);
  const json_t *version = json_object_get (json, "version");

  if (json_is_integer (version) &&
      json_integer_value (version) != file->version)
    return error_set (err, ENOTSUP, "file \"%s\" is of version %"
                      JSON_INTEGER_FORMAT ", not %d", file->name,
                      json_integer_value (version), file->version);
  if (!json_is_integer (version) || !is_whole (json) ||
      !file->from_json (json, ret))
    return error_set (err, EBADMSG, "file \"%s\" is damaged", file->name);
  return 1;
}

int
statefile_load (int dirfd, const struct statefile *file, void *ret,
                struct error *err)
{
  size_t len;
  CLEANUP_FREE char *text = file_read (dirfd, file->name, STATEFILE_MAX, &len);

  if (text == NULL)
    return errno == ENOENT ? 0 :
      error_set_errno (err, errno, "cannot read file \"%s\"", file->name);
  return from_text (file, text, len, ret, err);
}

/* NULL: memory is short. */
static char *
to_text (const struct statefile *file, json_t *members)
{
  json_auto_t *json = json_pack ("{s:i}", "version", file->version);
  char hex[HEX_SIZE];

  if (json_object_update (json, members) == -1 || !checksum (json, hex) ||
      json_object_set_new (json, "checksum", json_string (hex)) == -1)
    return NULL;
  return json_dumps (json, JSON_INDENT (2));
}

int
statefile_store (int dirfd, const struct statefile *file, json_t *json,
                 struct error *err)
{
  CLEANUP_FREE char *text = to_text (file, json);
  size_t len = text != NULL ? strlen (text) : 0;

  json_decref (json);
  errno = text == NULL ? ENOMEM : EFBIG;
  if (text == NULL || len > STATEFILE_MAX ||
      file_replace (dirfd, file->name, text, len, 0600) == -1)
    return error_set_errno (err, errno, "cannot write file \"%s\"",
                            file->name);
  return 0;
}

int
statefile_remove (int dirfd, const struct statefile *file, struct error *err)
{
  char new[64];

  /* An interrupted file_replace leaves the first. */
  snprintf (new, sizeof new, "%s.new", file->name);
  if ((unlinkat (dirfd, new, 0) == -1 && errno != ENOENT) ||
      (unlinkat (dirfd, file->name, 0) == -1 && errno != ENOENT) ||
      dir_sync (dirfd) == -1)
    return error_set_errno (err, errno, "cannot remove file \"%s\"",
                            file->name);
  return 0;
}

/* Reading and writing a disk's link file.  See linkfile.h. */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "cleanup.h"
#include "fileio.h"
#include "linkfile.h"
#include "options-json.h"
#include "value-json.h"

#define LINK_FILE "link"
#define LINK_FILE_MAX 16384
#define LINK_VERSION 2

static json_t *
promotion_to_json (const struct linkfile *link)
{
  return json_pack ("{s:I, s:o, s:o}",
                    "fence", (json_int_t) link->promoted_fence,
                    "committed", point_to_json (&link->promoted_point),
                    "loss", loss_to_json (&link->promoted_loss));
}

static json_t *
link_to_json (const struct linkfile *link)
{
  char secret[2 * LINK_SECRET_SIZE + 1];

  hex_encode (link->secret, LINK_SECRET_SIZE, secret);
  return json_pack ("{s:i, s:o, s:s, s:s, s:b, s:b, "
                    "s:{s:b, s:b, s:i, s:i}, s:o, s:b, s:o}",
                    "version", LINK_VERSION,
                    "pair", uuid_to_json (&link->pair),
                    "secret", secret,
                    "uri", link->uri,
                    "on", link->is_on,
                    "oneshot", link->is_oneshot,
                    "mode",
                    "sync", link->mode.is_sync,
                    "suspend", link->mode.suspends,
                    "proof_ms", (int) link->mode.proof_ms,
                    "interval", (int) link->interval_seconds,
                    "options", options_to_json (&link->options),
                    "accept", link->accepts,
                    "promoted", link->promoted_fence ?
                    promotion_to_json (link) : json_null ());
}

static bool
promotion_from_json (const json_t *json, struct linkfile *link)
{
  const json_t *fence = json_object_get (json, "fence");

  if (json_is_null (json))
    return true;
  if (!json_is_integer (fence) || json_integer_value (fence) <= 0)
    return false;
  link->promoted_fence = json_integer_value (fence);
  return point_from_json (json_object_get (json, "committed"),
                          &link->promoted_point) &&
         loss_from_json (json_object_get (json, "loss"),
                         &link->promoted_loss);
}

static bool
uuid_or_null (const json_t *json, struct uuid *ret)
{
  memset (ret, 0, sizeof *ret);
  return json_is_null (json) ||
         (json_is_string (json) && uuid_parse (json_string_value (json), ret));
}

static bool
link_from_json (json_t *json, struct linkfile *link)
{
  const char *secret, *uri;
  const json_t *pair, *promoted, *options;
  int version, is_on, is_oneshot, accepts, is_sync, suspends, proof_ms,
    interval;

  if (json_unpack (json, "{s:i, s:o, s:s, s:s, s:b, s:b, "
                   "s:{s:b, s:b, s:i, s:i}, s:o, s:b, s:o}",
                   "version", &version, "pair", &pair, "secret", &secret,
                   "uri", &uri, "on", &is_on, "oneshot", &is_oneshot,
                   "mode", "sync", &is_sync, "suspend", &suspends,
                   "proof_ms", &proof_ms, "interval", &interval,
                   "options", &options, "accept", &accepts,
                   "promoted", &promoted) == -1)
    return false;
  if (version != LINK_VERSION || strlen (uri) > LINK_URI_MAX ||
      proof_ms < 0 || proof_ms > SYNC_PROOF_MS_MAX ||
      interval < 0 || interval > LINK_INTERVAL_MAX ||
      strlen (secret) != 2 * LINK_SECRET_SIZE ||
      !hex_decode (secret, 2 * LINK_SECRET_SIZE, link->secret))
    return false;

  strcpy (link->uri, uri);
  link->is_set = true;
  link->is_on = is_on;
  link->is_oneshot = is_oneshot;
  link->mode.is_sync = is_sync;
  link->mode.suspends = suspends;
  link->mode.proof_ms = proof_ms;
  link->interval_seconds = interval;
  link->accepts = accepts;
  return uuid_or_null (pair, &link->pair) &&
         options_from_json (options, &link->options, NULL) == 0 &&
         promotion_from_json (promoted, link);
}

int
linkfile_load (int dirfd, struct linkfile *ret, struct error *err)
{
  struct linkfile link = { 0 };
  CLEANUP_FREE char *text = NULL;
  size_t len;
  json_t *json;
  bool is_good;

  text = file_read (dirfd, LINK_FILE, LINK_FILE_MAX, &len);
  if (text == NULL) {
    if (errno != ENOENT)
      return error_set_errno (err, errno, "cannot read file \"%s\"",
                              LINK_FILE);
    *ret = link;
    return 0;
  }

  json = json_loadb (text, len, JSON_REJECT_DUPLICATES, NULL);
  is_good = json != NULL && link_from_json (json, &link);
  json_decref (json);
  if (!is_good) {
    error_set (err, EINVAL, "file \"%s\" is damaged", LINK_FILE);
    return error_hint (err, "set up the pair again: stop it, then start it");
  }
  *ret = link;
  return 0;
}

int
linkfile_store (int dirfd, const struct linkfile *link, struct error *err)
{
  CLEANUP_FREE char *text = NULL;
  json_t *json = link_to_json (link);

  if (json != NULL)
    text = json_dumps (json, JSON_INDENT (2));
  json_decref (json);
  if (text == NULL)
    return error_set_errno (err, ENOMEM, "cannot write file \"%s\"",
                            LINK_FILE);
  if (file_replace (dirfd, LINK_FILE, text, strlen (text), 0600) == -1)
    return error_set_errno (err, errno, "cannot write file \"%s\"",
                            LINK_FILE);
  return 0;
}

int
linkfile_remove (int dirfd, struct error *err)
{
  /* An interrupted file_replace leaves the first. */
  if ((unlinkat (dirfd, LINK_FILE ".new", 0) == -1 && errno != ENOENT) ||
      (unlinkat (dirfd, LINK_FILE, 0) == -1 && errno != ENOENT) ||
      dir_sync (dirfd) == -1)
    return error_set_errno (err, errno, "cannot remove file \"%s\"",
                            LINK_FILE);
  return 0;
}

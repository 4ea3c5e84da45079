/* A disk's link file as JSON, and back.  See linkfile.h. */

#include <config.h>

#include <string.h>

#include "crypto.h"
#include "linkfile.h"
#include "options-json.h"
#include "statefile.h"
#include "value-json.h"

static json_t *
promotion_to_json (const struct linkfile *link)
{
  return json_pack ("{s:I, s:o, s:o}",
                    "fence", NUMBER (link->promoted_fence),
                    "committed", point_to_json (&link->promoted_point),
                    "loss", loss_to_json (&link->promoted_loss));
}

static json_t *
link_to_json (const struct linkfile *link)
{
  char secret[2 * LINK_SECRET_SIZE + 1];

  hex_encode (link->secret, LINK_SECRET_SIZE, secret);
  return json_pack ("{s:o, s:s, s:s, s:b, s:b, "
                    "s:{s:b, s:b, s:i, s:i}, s:o, s:b, s:o}",
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
  if (json_is_null (json))
    return true;
  return number_at (json, "fence", &link->promoted_fence) &&
         link->promoted_fence != 0 &&
         point_from_json (json_object_get (json, "committed"),
                          &link->promoted_point) &&
         loss_from_json (json_object_get (json, "loss"),
                         &link->promoted_loss);
}

static bool
link_from_json (json_t *json, void *ret)
{
  struct linkfile *link = ret;
  const char *secret, *uri;
  const json_t *pair, *promoted, *options;
  int is_on, is_oneshot, accepts, is_sync, suspends, proof_ms, interval;

  if (json_unpack (json, "{s:o, s:s, s:s, s:b, s:b, "
                   "s:{s:b, s:b, s:i, s:i}, s:o, s:b, s:o}",
                   "pair", &pair, "secret", &secret,
                   "uri", &uri, "on", &is_on, "oneshot", &is_oneshot,
                   "mode", "sync", &is_sync, "suspend", &suspends,
                   "proof_ms", &proof_ms, "interval", &interval,
                   "options", &options, "accept", &accepts,
                   "promoted", &promoted) == -1)
    return false;
  if (strlen (uri) > LINK_URI_MAX || proof_ms < 0 ||
      proof_ms > SYNC_PROOF_MS_MAX || interval < 0 ||
      interval > LINK_INTERVAL_MAX ||
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
  return uuid_from_json (pair, &link->pair) &&
         options_from_json (options, &link->options, NULL) == 0 &&
         promotion_from_json (promoted, link);
}

static const struct statefile file = { "link", 3, link_from_json };

int
linkfile_load (int dirfd, struct linkfile *ret, struct error *err)
{
  struct linkfile link = { 0 };

  if (statefile_load (dirfd, &file, &link, err) == -1)
    return error_hint (err, "set up the pair again: stop it, then start it");
  *ret = link;
  return 0;
}

int
linkfile_store (int dirfd, const struct linkfile *link, struct error *err)
{
  return statefile_store (dirfd, &file, link_to_json (link), err);
}

int
linkfile_remove (int dirfd, struct error *err)
{
  return statefile_remove (dirfd, &file, err);
}

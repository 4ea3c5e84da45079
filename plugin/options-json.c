/* How a link is carried, as JSON (see options-json.h). */

#include <config.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "options-json.h"

static json_t *
tls_to_json (const struct replica_options *options)
{
  if (options->certificates[0])
    return json_pack ("{s:s}", "certificates", options->certificates);
  if (options->psk_file[0])
    return json_pack ("{s:s, s:s}", "psk_file", options->psk_file,
                      "username", options->username);
  return json_null ();
}

json_t *
options_to_json (const struct replica_options *options)
{
  return json_pack ("{s:o, s:i, s:i, s:I}",
                    "tls", tls_to_json (options),
                    "dead_seconds", (int) options->dead_seconds,
                    "connections", (int) options->connections,
                    "limit_bps", (json_int_t) options->limit_bps);
}

/* Absent: RET is "". */
static int
get_text (const json_t *json, const char *key, char *ret, size_t size,
          struct error *err)
{
  const json_t *value = json_object_get (json, key);
  size_t len;

  memset (ret, 0, size);
  if (value == NULL)
    return 0;
  if (!json_is_string (value))
    return error_set (err, EINVAL, "field '%s' must be a string", key);
  len = json_string_length (value);
  if (len == 0 || len >= size || strlen (json_string_value (value)) != len)
    return error_set (err, EINVAL, "field '%s' is empty or longer than %zu "
                      "bytes", key, size - 1);
  memcpy (ret, json_string_value (value), len);
  return 0;
}

static int
get_count (const json_t *json, const char *key, unsigned *ret,
           struct error *err)
{
  const json_t *value = json_object_get (json, key);

  if (value == NULL)
    return 0;
  if (!json_is_integer (value) || json_integer_value (value) < 0 ||
      json_integer_value (value) > INT_MAX)
    return error_set (err, EINVAL, "field '%s' must be a whole number from 0",
                      key);
  *ret = json_integer_value (value);
  return 0;
}

static int
tls_from_json (const json_t *tls, struct replica_options *ret,
               struct error *err)
{
  if (tls == NULL || json_is_null (tls))
    return 0;
  if (!json_is_object (tls) ||
      (json_object_get (tls, "certificates") != NULL) ==
      (json_object_get (tls, "psk_file") != NULL))
    return error_set (err, EINVAL, "field 'tls' must be an object with "
                      "'certificates' or with 'psk_file' and 'username'");
  if (get_text (tls, "certificates", ret->certificates,
                sizeof ret->certificates, err) == -1 ||
      get_text (tls, "psk_file", ret->psk_file, sizeof ret->psk_file,
                err) == -1 ||
      get_text (tls, "username", ret->username, sizeof ret->username,
                err) == -1)
    return -1;
  return 0;
}

int
options_from_json (const json_t *json, struct replica_options *ret,
                   struct error *err)
{
  const json_t *limit = json_object_get (json, "limit_bps");

  if (tls_from_json (json_object_get (json, "tls"), ret, err) == -1 ||
      get_count (json, "dead_seconds", &ret->dead_seconds, err) == -1 ||
      get_count (json, "connections", &ret->connections, err) == -1)
    return -1;
  if (limit == NULL)
    return 0;
  if (!json_is_integer (limit) || json_integer_value (limit) < 0)
    return error_set (err, EINVAL,
                      "field 'limit_bps' must be a whole number from 0");
  ret->limit_bps = json_integer_value (limit);
  return 0;
}

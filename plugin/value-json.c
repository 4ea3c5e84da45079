/* Values that files and requests share, as JSON (see value-json.h). */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto.h"
#include "value-json.h"

json_t *
hex_to_json (uint64_t value)
{
  char hex[17];

  snprintf (hex, sizeof hex, "%016" PRIx64, value);
  return json_string (hex);
}

bool
hex_from_json (const json_t *json, uint64_t *ret)
{
  const char *hex = json_string_value (json);
  uint8_t byte[8];
  uint64_t value = 0;
  size_t i;

  if (hex == NULL || strlen (hex) != 16 || !hex_decode (hex, 16, byte))
    return false;
  for (i = 0; i < sizeof byte; i++)
    value = value << 8 | byte[i];
  *ret = value;
  return true;
}

json_t *
uuid_to_json (const struct uuid *uuid)
{
  char str[UUID_STRING_SIZE];

  if (uuid_is_null (uuid))
    return json_null ();
  uuid_format (uuid, str);
  return json_string (str);
}

bool
uuid_from_json (const json_t *json, struct uuid *ret)
{
  memset (ret, 0, sizeof *ret);
  return json_is_null (json) ||
         (json_is_string (json) && uuid_parse (json_string_value (json), ret));
}

json_t *
point_to_json (const struct volume_point *point)
{
  return json_pack ("{s:o, s:I, s:I, s:I}",
                    "generation", hex_to_json (point->generation),
                    "seq", NUMBER (point->seq),
                    "time_ns", NUMBER (point->time_ns),
                    "bytes", NUMBER (point->bytes));
}

bool
number_from_json (const json_t *json, uint64_t *ret)
{
  if (!json_is_integer (json) || json_integer_value (json) < 0)
    return false;
  *ret = json_integer_value (json);
  return true;
}

bool
number_at (const json_t *object, const char *key, uint64_t *ret)
{
  return number_from_json (json_object_get (object, key), ret);
}

bool
point_from_json (const json_t *json, struct volume_point *ret)
{
  return hex_from_json (json_object_get (json, "generation"),
                        &ret->generation) &&
         number_at (json, "seq", &ret->seq) &&
         number_at (json, "time_ns", &ret->time_ns) &&
         number_at (json, "bytes", &ret->bytes);
}

json_t *
loss_to_json (const struct link_loss *loss)
{
  return json_pack ("{s:I, s:I, s:f, s:o, s:b, s:s, s:s?}",
                    "writes", NUMBER (loss->writes),
                    "bytes", NUMBER (loss->bytes),
                    "seconds", loss->seconds,
                    "heard_seconds_ago", loss->heard_seconds_ago < 0 ?
                    json_null () : json_real (loss->heard_seconds_ago),
                    "dropped_staged", loss->dropped_staged,
                    "rpo_zero", sync_proof_name (loss->zero),
                    "rpo_zero_reason", sync_proof_reason (loss->zero));
}

static enum sync_proof
proof_from_json (const json_t *loss)
{
  const char *name = json_string_value (json_object_get (loss, "rpo_zero"));
  const char *reason =
    json_string_value (json_object_get (loss, "rpo_zero_reason"));

  if (name != NULL && strcmp (name, sync_proof_name (SYNC_PROVEN)) == 0)
    return SYNC_PROVEN;
  return reason != NULL &&
    strcmp (reason, sync_proof_reason (SYNC_UNKNOWN_LAPSED)) == 0 ?
    SYNC_UNKNOWN_LAPSED : SYNC_UNKNOWN_ASYNC;
}

bool
loss_from_json (const json_t *json, struct link_loss *ret)
{
  const json_t *heard = json_object_get (json, "heard_seconds_ago");

  if (!number_at (json, "writes", &ret->writes) ||
      !number_at (json, "bytes", &ret->bytes))
    return false;
  ret->seconds = json_number_value (json_object_get (json, "seconds"));
  ret->heard_seconds_ago = json_is_number (heard) ?
    json_number_value (heard) : -1;
  ret->dropped_staged =
    json_is_true (json_object_get (json, "dropped_staged"));
  ret->zero = proof_from_json (json);
  return true;
}

json_t *
tail_to_json (const struct volume_tail *tail)
{
  return json_pack ("{s:I, s:I, s:I, s:b, s:I, s:I, s:f}",
                    "writes", NUMBER (tail->writes),
                    "blocks", NUMBER (tail->blocks),
                    "bytes", NUMBER (tail->bytes),
                    "exact", tail->is_exact,
                    "first_ns", NUMBER (tail->first_ns),
                    "last_ns", NUMBER (tail->last_ns),
                    "seconds", tail->first_ns != 0 &&
                    tail->last_ns > tail->first_ns ?
                    (tail->last_ns - tail->first_ns) / 1e9 : 0.0);
}

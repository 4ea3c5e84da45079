/* The record of a pair: its fields, its JSON, which of two counts (record.h).
 *
 * Both sites keep the whole record.  record_compare is a total order over
 * the versions a record can have, so that exchange in any order, any number
 * of times, ends with the same record on both.
 */

#include <config.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <jansson.h>

#include "crypto.h"
#include "names.h"
#include "record.h"
#include "states.h"
#include "uuid.h"
#include "values.h"

const struct record_field record_fields[] = {
#define X(kind, member, scope)                                          \
  { #member, RECORD_##kind, RECORD_##scope,                             \
    offsetof (struct record, member),                                   \
    sizeof (((struct record *) 0)->member) },
  RECORD_FIELDS (X)
#undef X
  { NULL, 0, 0, 0, 0 }
};

json_t *
record_to_json (const struct record *rec)
{
  const struct record_field *f;
  json_t *ret = json_object ();

  for (f = record_fields; ret && f->name; ++f) {
    const char *at = (const char *) rec + f->offset;
    json_t *value;

    if (f->scope != RECORD_SHARED)
      continue;
    if (f->kind == RECORD_TEXT)
      value = json_string (at);
    else if (f->kind == RECORD_STATUS)
      value = json_string (pair_status_string (rec->status));
    else
      value = json_integer (*(const uint64_t *) at);
    if (value == NULL || json_object_set_new (ret, f->name, value) == -1) {
      json_decref (ret);
      return NULL;
    }
  }
  return ret;
}

static bool
field_from_json (const struct record_field *f, const json_t *value,
                 struct record *ret)
{
  char *at = (char *) ret + f->offset;

  if (f->kind == RECORD_U64) {
    if (!json_is_integer (value) || json_integer_value (value) < 0)
      return false;
    *(uint64_t *) at = json_integer_value (value);
    return true;
  }
  if (!json_is_string (value) ||
      strlen (json_string_value (value)) != json_string_length (value))
    return false;
  if (f->kind == RECORD_TEXT)
    return text_set (at, f->size, json_string_value (value));
  ret->status = pair_status_parse (json_string_value (value));
  return ret->status != PAIR_STATUS_UNSET;
}

bool
record_from_json (const json_t *json, struct record *ret)
{
  const struct record_field *f;
  struct uuid uuid;
  uint8_t salt[32];

  memset (ret, 0, sizeof *ret);
  if (!json_is_object (json))
    return false;
  for (f = record_fields; f->name; ++f) {
    if (f->scope == RECORD_SHARED &&
        !field_from_json (f, json_object_get (json, f->name), ret))
      return false;
  }
  return id_valid (ret->id, ID_PAIR) && uuid_parse (ret->uuid, &uuid) &&
    strlen (ret->salt) == 64 && hex_decode (ret->salt, 64, salt) &&
    ret->version > 0 && ret->rpo > 0;
}

static bool
is_ending (const struct record *rec)
{
  return rec->status == PAIR_DELETING || rec->status == PAIR_DELETED ||
    rec->status == PAIR_DELETE_FAILED;
}

static int
compare_u64 (uint64_t a, uint64_t b)
{
  return a < b ? -1 : a > b;
}

int
record_compare (const struct record *a, const struct record *b)
{
  int r;

  r = compare_u64 (is_ending (a), is_ending (b));
  if (r == 0)
    r = compare_u64 (a->fence, b->fence);
  if (r == 0)
    r = compare_u64 (a->epoch, b->epoch);
  if (r == 0)
    r = compare_u64 (a->version, b->version);
  if (r == 0)
    r = compare_u64 (pair_status_metric (a->status),
                     pair_status_metric (b->status));
  if (r == 0)
    r = strcmp (a->owner_region, b->owner_region);
  if (r == 0)
    r = strcmp (a->owner_zone, b->owner_zone);
  return r;
}

void
record_secret (const void *secret, size_t len, const struct record *rec,
               char ret[65])
{
  char text[UUID_STRING_SIZE + 80];
  uint8_t mac[HMAC_SIZE];
  int n;

  n = snprintf (text, sizeof text, "pair\n%s\n%s", rec->uuid, rec->salt);
  hmac_sha256 (secret, len, text, n, mac);
  hex_encode (mac, sizeof mac, ret);
  explicit_bzero (mac, sizeof mac);
}

/* The two signatures of the API (see sign.h). */

#include <config.h>

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "crypto.h"
#include "params.h"
#include "sign.h"

/* ------------------------------------------------------------------ */
/* Text that grows.                                                     */

struct text {
  char *data;
  size_t len, room;
  bool failed;
};

static void
text_bytes (struct text *t, const char *data, size_t len)
{
  if (t->len + len + 1 > t->room) {
    size_t room = 2 * (t->len + len + 1);
    char *p = t->failed ? NULL : realloc (t->data, room);

    if (p == NULL) {
      t->failed = true;
      return;
    }
    t->data = p;
    t->room = room;
  }
  memcpy (t->data + t->len, data, len);
  t->len += len;
  t->data[t->len] = '\0';
}

static void
text_add (struct text *t, const char *str)
{
  text_bytes (t, str, strlen (str));
}

/* Percent-encoded: only letters, digits and "-_.~" stay. */
static void
text_encoded (struct text *t, const char *str)
{
  static const char digits[] = "0123456789ABCDEF";

  for (; *str; ++str) {
    unsigned char c = *str;
    char code[3] = { '%', digits[c >> 4], digits[c & 15] };

    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
        (c >= '0' && c <= '9') || strchr ("-_.~", c))
      text_bytes (t, str, 1);
    else
      text_bytes (t, code, 3);
  }
}

static char *
text_finish (struct text *t)
{
  if (!t->failed && t->data == NULL)
    text_bytes (t, "", 0);
  if (t->failed) {
    free (t->data);
    return NULL;
  }
  return t->data;
}

/* ------------------------------------------------------------------ */
/* Parameters.                                                          */

struct entry {
  const char *name, *value;
  size_t index;                  /* in the order they came */
};

static int
compare_entries (const void *pa, const void *pb)
{
  const struct entry *a = pa, *b = pb;
  int r = strcmp (a->name, b->name);

  return r ? r : a->index < b->index ? -1 : 1;
}

char *
sign_query (const struct params *params, const char *leave_out)
{
  CLEANUP_FREE struct entry *list =
    calloc (params->count + 1, sizeof *list);
  struct text t = { .data = NULL };
  size_t i;

  if (list == NULL)
    return NULL;
  for (i = 0; i < params->count; ++i)
    list[i] = (struct entry) { params->table[i].name,
                               params->table[i].value, i };
  qsort (list, params->count, sizeof *list, compare_entries);
  for (i = 0; i < params->count; ++i) {
    if ((i > 0 && strcmp (list[i].name, list[i - 1].name) == 0) ||
        (leave_out && strcmp (list[i].name, leave_out) == 0))
      continue;
    if (t.len > 0)
      text_add (&t, "&");
    text_encoded (&t, list[i].name);
    text_add (&t, "=");
    text_encoded (&t, list[i].value);
  }
  return text_finish (&t);
}

/* ------------------------------------------------------------------ */
/* ACS3-HMAC-SHA256.                                                    */

/* Copy the value of "NAME=" out of the comma list TEXT. */
static bool
take_field (const char *text, const char *name, char *ret, size_t size)
{
  size_t name_len = strlen (name);

  while (*text) {
    size_t len = strcspn (text, ",");

    while (len > 0 && *text == ' ') {
      text++;
      len--;
    }
    if (len > name_len && memcmp (text, name, name_len) == 0 &&
        text[name_len] == '=') {
      text += name_len + 1;
      len -= name_len + 1;
      while (len > 0 && text[len - 1] == ' ')
        len--;
      if (len == 0 || len >= size)
        return false;
      memcpy (ret, text, len);
      ret[len] = '\0';
      return true;
    }
    text += len;
    if (*text == ',')
      text++;
  }
  return false;
}

bool
sign_acs3_parse (const char *authorization, struct sign_acs3 *ret)
{
  const char *text = authorization + sizeof SIGN_ACS3 - 1;

  memset (ret, 0, sizeof *ret);
  return strncmp (authorization, SIGN_ACS3 " ", sizeof SIGN_ACS3) == 0 &&
    take_field (text, "Credential", ret->key_id, sizeof ret->key_id) &&
    take_field (text, "SignedHeaders", ret->signed_headers,
                sizeof ret->signed_headers) &&
    take_field (text, "Signature", ret->signature, sizeof ret->signature);
}

bool
sign_is_signed (const char *signed_headers, const char *name)
{
  size_t name_len = strlen (name);

  while (*signed_headers) {
    size_t len = strcspn (signed_headers, ";");

    if (len == name_len && memcmp (signed_headers, name, len) == 0)
      return true;
    signed_headers += len;
    if (*signed_headers == ';')
      signed_headers++;
  }
  return false;
}

/* "name:value\n" for each name of the list. */
static bool
add_headers (struct text *t, const char *signed_headers,
             sign_header_fn *header, void *opaque)
{
  unsigned count = 0;
  char name[128];

  while (*signed_headers) {
    size_t len = strcspn (signed_headers, ";");
    const char *value, *end;

    if (len == 0 || len >= sizeof name || ++count > SIGN_HEADERS_MAX)
      return false;
    memcpy (name, signed_headers, len);
    name[len] = '\0';
    value = header (opaque, name);
    if (value == NULL)
      return false;
    while (isspace ((unsigned char) *value))
      value++;
    end = value + strlen (value);
    while (end > value && isspace ((unsigned char) end[-1]))
      end--;
    text_add (t, name);
    text_add (t, ":");
    text_bytes (t, value, end - value);
    text_add (t, "\n");
    signed_headers += len;
    if (*signed_headers == ';')
      signed_headers++;
  }
  return true;
}

char *
sign_acs3_request (const char *method, const char *path,
                   const struct params *query, const char *signed_headers,
                   sign_header_fn *header, void *opaque,
                   const char *body_hash)
{
  CLEANUP_FREE char *text = sign_query (query, NULL);
  struct text t = { .failed = text == NULL };

  text_add (&t, method);
  text_add (&t, "\n");
  text_add (&t, path);
  text_add (&t, "\n");
  text_add (&t, text ? text : "");
  text_add (&t, "\n");
  if (!add_headers (&t, signed_headers, header, opaque)) {
    free (t.data);
    return NULL;
  }
  text_add (&t, "\n");
  text_add (&t, signed_headers);
  text_add (&t, "\n");
  text_add (&t, body_hash);
  return text_finish (&t);
}

void
sign_acs3 (const char *secret, const char *canonical_request,
           char ret[SIGN_SIZE])
{
  char text[sizeof SIGN_ACS3 + 1 + 2 * HMAC_SIZE];
  uint8_t hash[HMAC_SIZE];
  int n;

  sha256 (canonical_request, strlen (canonical_request), hash);
  n = snprintf (text, sizeof text, SIGN_ACS3 "\n");
  hex_encode (hash, sizeof hash, text + n);
  hmac_sha256 (secret, strlen (secret), text, strlen (text), hash);
  hex_encode (hash, sizeof hash, ret);
}

/* ------------------------------------------------------------------ */
/* RPC HMAC-SHA1.                                                       */

char *
sign_rpc_string (const char *method, const struct params *params)
{
  CLEANUP_FREE char *query = sign_query (params, "Signature");
  struct text t = { .failed = query == NULL };

  text_add (&t, method);
  text_add (&t, "&%2F&");
  text_encoded (&t, query ? query : "");
  return text_finish (&t);
}

void
sign_rpc (const char *secret, const char *string_to_sign,
          char ret[SIGN_SIZE])
{
  uint8_t mac[HMAC_SHA1_SIZE];
  char key[256];
  int n = snprintf (key, sizeof key, "%s&", secret);

  hmac_sha1 (key, n < (int) sizeof key ? n : (int) sizeof key - 1,
             string_to_sign, strlen (string_to_sign), mac);
  explicit_bzero (key, sizeof key);
  base64_encode (mac, sizeof mac, ret);
}

/* ------------------------------------------------------------------ */

bool
sign_time_parse (const char *text, uint64_t *ret)
{
  static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
  struct tm tm = { .tm_isdst = 0 }, back;
  time_t t;
  size_t i;

  for (i = 0; i < sizeof form; ++i) {
    if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
      return false;
  }
  sscanf (text, "%4d-%2d-%2dT%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon,
          &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec);
  tm.tm_year -= 1900;
  tm.tm_mon -= 1;
  back = tm;
  t = timegm (&back);
  /* The 31st of February becomes a day of March: refuse it. */
  if (t < 0 || back.tm_mon != tm.tm_mon || back.tm_mday != tm.tm_mday ||
      back.tm_hour != tm.tm_hour || back.tm_min != tm.tm_min ||
      back.tm_sec != tm.tm_sec)
    return false;
  *ret = t;
  return true;
}

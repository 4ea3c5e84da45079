/* The text of an invitation (see token.h).
 *
 *   pairdisk1.BASE64URL(JSON).CHECK
 *
 * CHECK is 8 digits of a hash of what is before: it tells a token that was
 * copied by half from one that was refused.
 */

#include <config.h>

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/gnutls.h>
#include <jansson.h>

#include "cleanup.h"
#include "crypto.h"
#include "token.h"
#include "values.h"

#define PREFIX "pairdisk1."
#define CHECK_LEN 8
#define TEXT_MAX 4096

static void
check_of (const char *text, size_t len, char ret[CHECK_LEN + 1])
{
  uint8_t mac[HMAC_SIZE];

  hmac_sha256 ("pairdisk token", 14, text, len, mac);
  hex_encode (mac, CHECK_LEN / 2, ret);
}

/* Base64 with the letters of URLs, without "=". */
static void
to_url (char *text, size_t len)
{
  size_t i;

  for (i = 0; i < len; ++i) {
    if (text[i] == '+')
      text[i] = '-';
    else if (text[i] == '/')
      text[i] = '_';
  }
}

char *
token_format (const struct token *token)
{
  char secret[2 * TOKEN_SECRET_LEN + 1], check[CHECK_LEN + 1], *json_text;
  gnutls_datum_t in, out = { NULL, 0 };
  char *ret = NULL;
  json_t *json;
  int n;

  hex_encode (token->secret, TOKEN_SECRET_LEN, secret);
  json = json_pack ("{s:s, s:s, s:s, s:s, s:s, s:I}", "a", token->address,
                    "r", token->region, "i", token->id, "s", secret,
                    "f", token->fingerprint, "e", (json_int_t) token->end);
  explicit_bzero (secret, sizeof secret);
  json_text = json ? json_dumps (json, JSON_COMPACT) : NULL;
  json_decref (json);
  if (json_text == NULL)
    return NULL;
  in.data = (unsigned char *) json_text;
  in.size = strlen (json_text);
  if (gnutls_base64_encode2 (&in, &out) == 0) {
    while (out.size > 0 && out.data[out.size - 1] == '=')
      out.size--;
    to_url ((char *) out.data, out.size);
    n = asprintf (&ret, PREFIX "%.*s.", (int) out.size, (char *) out.data);
    if (n == -1)
      ret = NULL;
    else
      check_of (ret, n, check);
  }
  explicit_bzero (json_text, in.size);
  free (json_text);
  if (out.data)
    gnutls_memset (out.data, 0, out.size);
  gnutls_free (out.data);
  if (ret) {
    char *whole;

    if (asprintf (&whole, "%s%s", ret, check) == -1)
      whole = NULL;
    explicit_bzero (ret, strlen (ret));
    free (ret);
    ret = whole;
  }
  return ret;
}

static bool
copy (const json_t *json, const char *name, char *ret, size_t size)
{
  const char *text = json_string_value (json_object_get (json, name));

  if (text == NULL || *text == '\0' || strlen (text) >= size)
    return false;
  strcpy (ret, text);
  return true;
}

static bool
from_json (const json_t *json, struct token *ret)
{
  char secret[2 * TOKEN_SECRET_LEN + 1];
  bool ok;

  ret->version = 1;
  ret->end = json_integer_value (json_object_get (json, "e"));
  ok = copy (json, "a", ret->address, sizeof ret->address) &&
    copy (json, "r", ret->region, sizeof ret->region) &&
    copy (json, "i", ret->id, sizeof ret->id) &&
    copy (json, "f", ret->fingerprint, sizeof ret->fingerprint) &&
    copy (json, "s", secret, sizeof secret) &&
    strlen (secret) == 2 * TOKEN_SECRET_LEN &&
    hex_decode (secret, 2 * TOKEN_SECRET_LEN, ret->secret) &&
    strlen (ret->id) == 16;
  explicit_bzero (secret, sizeof secret);
  return ok;
}

/* The JSON of the middle part, a new reference. */
static json_t *
decode (const char *text, size_t len)
{
  size_t room = len + 4;
  CLEANUP_FREE char *copy_text = calloc (1, room + 1);
  gnutls_datum_t in, out = { NULL, 0 };
  json_t *json = NULL;
  size_t i;

  if (copy_text == NULL)
    return NULL;
  for (i = 0; i < len; ++i)
    copy_text[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
  while (i % 4 != 0)
    copy_text[i++] = '=';
  in.data = (unsigned char *) copy_text;
  in.size = i;
  if (gnutls_base64_decode2 (&in, &out) == 0) {
    json = json_loadb ((char *) out.data, out.size, 0, NULL);
    gnutls_memset (out.data, 0, out.size);
    gnutls_free (out.data);
  }
  explicit_bzero (copy_text, room);
  return json;
}

bool
token_parse_text (const char *text, struct token *ret)
{
  char check[CHECK_LEN + 1];
  const char *dot, *end;
  json_t *json;
  bool ok;

  if (text == NULL)
    return false;
  while (isspace ((unsigned char) *text))
    text++;
  end = text + strlen (text);
  while (end > text && isspace ((unsigned char) end[-1]))
    end--;
  if (end - text > TEXT_MAX ||
      end - text < (ptrdiff_t) strlen (PREFIX) + CHECK_LEN + 1 ||
      strncmp (text, PREFIX, strlen (PREFIX)) != 0)
    return false;
  dot = end - CHECK_LEN - 1;
  check_of (text, dot + 1 - text, check);
  if (*dot != '.' || memcmp (dot + 1, check, CHECK_LEN) != 0)
    return false;
  text += strlen (PREFIX);
  json = decode (text, dot - text);
  ok = json && from_json (json, ret);
  json_decref (json);
  return ok;
}

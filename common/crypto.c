/* Randomness, hexadecimal, Base64, hashes (see crypto.h). */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include <gnutls/crypto.h>

#include "crypto.h"

void
random_bytes (void *buf, size_t len)
{
  uint8_t *p = buf;

  while (len > 0) {
    ssize_t r = getrandom (p, len, 0);

    if (r < 0) {
      if (errno == EINTR)
        continue;
      abort ();
    }
    p += r;
    len -= r;
  }
}

uint64_t
random_u64 (void)
{
  uint64_t r;

  random_bytes (&r, sizeof r);
  return r;
}

void
hmac_sha256 (const void *key, size_t keylen, const void *data, size_t len,
             uint8_t ret[HMAC_SIZE])
{
  if (gnutls_hmac_fast (GNUTLS_MAC_SHA256, key, keylen, data, len, ret) < 0)
    abort ();
}

void
hmac_sha1 (const void *key, size_t keylen, const void *data, size_t len,
           uint8_t ret[HMAC_SHA1_SIZE])
{
  if (gnutls_hmac_fast (GNUTLS_MAC_SHA1, key, keylen, data, len, ret) < 0)
    abort ();
}

void
sha256 (const void *data, size_t len, uint8_t ret[HMAC_SIZE])
{
  if (gnutls_hash_fast (GNUTLS_DIG_SHA256, data, len, ret) < 0)
    abort ();
}

void
base64_encode (const void *data, size_t len, char *ret)
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "abcdefghijklmnopqrstuvwxyz0123456789+/";
  const uint8_t *p = data;

  while (len > 0) {
    unsigned n = len < 3 ? len : 3;
    uint32_t bits = p[0] << 16 | (n > 1 ? p[1] << 8 : 0) |
      (n > 2 ? p[2] : 0);

    *ret++ = digits[bits >> 18];
    *ret++ = digits[bits >> 12 & 63];
    *ret++ = n > 1 ? digits[bits >> 6 & 63] : '=';
    *ret++ = n > 2 ? digits[bits & 63] : '=';
    p += n;
    len -= n;
  }
  *ret = '\0';
}

bool
secret_equal (const void *a, const void *b, size_t len)
{
  const uint8_t *p = a, *q = b;
  uint8_t diff = 0;

  while (len-- > 0)
    diff |= *p++ ^ *q++;
  return diff == 0;
}

void
hex_encode (const void *data, size_t len, char *ret)
{
  static const char digits[] = "0123456789abcdef";
  const uint8_t *p = data;

  while (len-- > 0) {
    *ret++ = digits[*p >> 4];
    *ret++ = digits[*p++ & 15];
  }
  *ret = '\0';
}

static int
hex_value (char c)
{
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

bool
hex_decode (const char *hex, size_t digits, void *ret)
{
  uint8_t *p = ret;
  size_t i;

  for (i = 0; i < digits; i += 2) {
    int hi = hex_value (hex[i]);
    int lo = hi < 0 ? -1 : hex_value (hex[i + 1]);

    if (lo < 0)
      return false;
    *p++ = hi << 4 | lo;
  }
  return true;
}

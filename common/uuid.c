/* 128-bit random identifiers (see uuid.h). */

#include <config.h>

#include <stdio.h>
#include <string.h>

#include "crypto.h"
#include "uuid.h"

void
uuid_generate (struct uuid *ret)
{
  random_bytes (ret->byte, sizeof ret->byte);
  ret->byte[6] = (ret->byte[6] & 0x0f) | 0x40;
  ret->byte[8] = (ret->byte[8] & 0x3f) | 0x80;
}

void
uuid_format (const struct uuid *uuid, char ret[UUID_STRING_SIZE])
{
  static const char digits[] = "0123456789abcdef";
  char *p = ret;
  size_t i;

  for (i = 0; i < sizeof uuid->byte; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      *p++ = '-';
    *p++ = digits[uuid->byte[i] >> 4];
    *p++ = digits[uuid->byte[i] & 15];
  }
  *p = '\0';
}

bool
uuid_parse (const char *str, struct uuid *ret)
{
  struct uuid u;
  size_t i;

  if (strlen (str) != UUID_STRING_SIZE - 1)
    return false;
  for (i = 0; i < sizeof u.byte; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) {
      if (*str++ != '-')
        return false;
    }
    if (!hex_decode (str, 2, &u.byte[i]))
      return false;
    str += 2;
  }
  *ret = u;
  return true;
}

bool
uuid_equal (const struct uuid *a, const struct uuid *b)
{
  return memcmp (a, b, sizeof *a) == 0;
}

bool
uuid_is_null (const struct uuid *uuid)
{
  static const struct uuid null;

  return uuid_equal (uuid, &null);
}

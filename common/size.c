/* Sizes as people write them (see size.h). */

#include <config.h>

#include <stdio.h>
#include <string.h>

#include "size.h"

static const char suffixes[] = "KMGTP";

bool
size_parse (const char *str, uint64_t *ret)
{
  uint64_t value = 0;
  const char *p = str, *s;
  unsigned shift = 0;

  for (; *p >= '0' && *p <= '9'; ++p) {
    if (value > (INT64_MAX - 9) / 10)
      return false;
    value = value * 10 + (*p - '0');
  }
  if (p == str)
    return false;

  if (*p) {
    char upper = *p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p;

    s = strchr (suffixes, upper);
    if (s == NULL)
      return false;
    shift = 10 * (s - suffixes + 1);
    ++p;
    if (*p && strcmp (p, "iB") != 0 && strcmp (p, "B") != 0)
      return false;
  }
  if (value > (uint64_t) INT64_MAX >> shift)
    return false;
  *ret = value << shift;
  return true;
}

const char *
size_format (uint64_t bytes, char ret[SIZE_STRING_SIZE])
{
  double value = bytes;
  int unit = -1;

  while (value >= 1024 && unit < (int) sizeof suffixes - 2) {
    value /= 1024;
    ++unit;
  }
  if (unit < 0)
    snprintf (ret, SIZE_STRING_SIZE, "%u B", (unsigned) bytes);
  else
    snprintf (ret, SIZE_STRING_SIZE, "%.1f %ciB", value, suffixes[unit]);
  return ret;
}

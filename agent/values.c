/* Single values (see values.h). */

#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <jansson.h>

#include "clock.h"
#include "values.h"

bool
text_set (char *dst, size_t size, const char *src)
{
  size_t len = strlen (src);

  dst[0] = '\0';
  if (len >= size)
    return false;
  memcpy (dst, src, len + 1);
  return true;
}

const char *
json_text (const json_t *object, const char *name)
{
  const char *ret = json_string_value (json_object_get (object, name));

  return ret ? ret : "";
}

uint64_t
json_u64 (const json_t *object, const char *name)
{
  const json_t *value = json_object_get (object, name);
  json_int_t i = json_integer_value (value);

  if (json_is_real (value) && json_real_value (value) > 0)
    return json_real_value (value);
  return i > 0 ? i : 0;
}

uint64_t
wall_ms (void)
{
  return clock_wall_ns () / NS_PER_MSEC;
}

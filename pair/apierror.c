/* Errors of the API (see apierror.h). */

#include <config.h>

#include <stdio.h>
#include <string.h>

#include "apierror.h"

static const struct api_error_info infos[API_ERROR_COUNT] = {
  { 200, "OK", "OK", "" },
#define X(name, http, code, message, hint) { http, code, message, hint },
  API_ERRORS (X)
#undef X
};

const struct api_error_info *
api_error_info (enum api_error error)
{
  return &infos[(unsigned) error < API_ERROR_COUNT ? error : API_INTERNAL];
}

enum api_error
api_error_find (const char *code)
{
  unsigned i;

  for (i = API_OK + 1; i < API_ERROR_COUNT; ++i)
    if (strcmp (infos[i].code, code) == 0)
      return i;
  if (strncmp (code, "Missing", 7) == 0 && code[7])
    return API_MISSING_NAME;
  if (strncmp (code, "Invalid", 7) == 0 && code[7])
    return API_INVALID_NAME;
  return API_OK;
}

/* Copy FORMAT with its "%s" replaced by NAMES in turn. */
static void
fill_in (const char *format, const char *const names[2], char *ret,
         size_t size)
{
  size_t len = 0;
  unsigned used = 0;

  while (*format) {
    const char *piece = format;
    size_t n = 1;

    if (strncmp (format, "%s", 2) == 0) {
      piece = used < 2 && names[used] ? names[used] : "";
      n = strlen (piece);
      ++used;
      format += 2;
    }
    else
      ++format;
    if (n > size - 1 - len)
      n = size - 1 - len;
    memcpy (ret + len, piece, n);
    len += n;
  }
  ret[len] = '\0';
}

void
api_error_format (enum api_error error, const char *name1, const char *name2,
                  struct api_error_text *ret)
{
  const struct api_error_info *info = api_error_info (error);
  const char *const names[2] = { name1, name2 };

  fill_in (info->code, names, ret->code, sizeof ret->code);
  fill_in (info->message, names, ret->message, sizeof ret->message);
}

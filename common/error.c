/* What went wrong, in a form a person can act on (see error.h). */

#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

int
error_set (struct error *err, int errnum, const char *fmt, ...)
{
  va_list args;

  if (err) {
    err->errnum = errnum;
    err->hint[0] = '\0';
    va_start (args, fmt);
    vsnprintf (err->message, sizeof err->message, fmt, args);
    va_end (args);
  }
  errno = errnum;
  return -1;
}

int
error_set_errno (struct error *err, int errnum, const char *fmt, ...)
{
  va_list args;
  size_t n;

  if (err) {
    err->errnum = errnum;
    err->hint[0] = '\0';
    va_start (args, fmt);
    vsnprintf (err->message, sizeof err->message, fmt, args);
    va_end (args);
    n = strlen (err->message);
    snprintf (err->message + n, sizeof err->message - n, ": %s",
              strerror (errnum));
  }
  errno = errnum;
  return -1;
}

int
error_hint (struct error *err, const char *fmt, ...)
{
  va_list args;

  if (err) {
    va_start (args, fmt);
    vsnprintf (err->hint, sizeof err->hint, fmt, args);
    va_end (args);
  }
  return -1;
}

const char *
error_name (int errnum)
{
  const char *name = strerrorname_np (errnum);

  return name ? name : "EUNKNOWN";
}

/* One line an event on stderr (see log.h).
 *
 * A line is made whole and written by one call, so lines of several threads
 * do not mix.
 */

#include <config.h>

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

const char *
log_level_name (enum log_level level)
{
  switch (level) {
  case LOG_LEVEL_WARNING: return "warning";
  case LOG_LEVEL_ERROR: return "error";
  default: return "info";
  }
}

void
log_line (enum log_level level, const char *fmt, ...)
{
  char line[2048];
  uint64_t now = clock_wall_ns ();
  time_t secs = now / NS_PER_SEC;
  struct tm tm;
  size_t n, i;
  va_list args;
  ssize_t r;

  gmtime_r (&secs, &tm);
  n = strftime (line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
  n += snprintf (line + n, sizeof line - n, ".%03uZ %s ",
                 (unsigned) (now % NS_PER_SEC / NS_PER_MSEC),
                 log_level_name (level));
  va_start (args, fmt);
  vsnprintf (line + n, sizeof line - n - 1, fmt, args);
  va_end (args);

  /* What came from outside must not make a second line. */
  for (i = n, n = strlen (line); i < n; ++i) {
    if ((unsigned char) line[i] < ' ')
      line[i] = ' ';
  }
  line[n++] = '\n';
  r = write (STDERR_FILENO, line, n);
  (void) r;
}

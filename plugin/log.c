/* Information lines.  See log.h. */

#include <config.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <syslog.h>
#include <unistd.h>

#include "log.h"

static pid_t first_pid;
static bool is_background;

void
log_before_fork (void)
{
  first_pid = getpid ();
}

void
log_after_fork (void)
{
  is_background = getpid () != first_pid;
}

void
log_info (const char *fmt, ...)
{
  char line[1024];
  va_list args;

  va_start (args, fmt);
  vsnprintf (line, sizeof line, fmt, args);
  va_end (args);
  if (is_background)
    syslog (LOG_DAEMON | LOG_INFO, "pairdisk: %s", line);
  else
    fprintf (stderr, "nbdkit: pairdisk: %s\n", line);
}

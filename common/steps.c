/* Named steps of what changes a pair.
 *
 * A test that wants to end a process at a named step listens on a Unix socket
 * and names it in PAIRDISK_STEPS.  Each step then connects, says
 *
 *   PID NAME begin|end
 *
 * and waits for a line or the end of the connection.  So the test decides
 * what happens there: to this process or to any other.  Without the variable
 * nothing is done, and a watcher that is not there keeps nobody waiting.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "steps.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct sockaddr_un watcher = { .sun_family = AF_UNIX };
static _Thread_local const char *scope;

static void
find_watcher (void)
{
  const char *path = getenv ("PAIRDISK_STEPS");

  if (path && strlen (path) < sizeof watcher.sun_path)
    strcpy (watcher.sun_path, path);
}

bool
steps_are_watched (void)
{
  pthread_once (&once, find_watcher);
  return watcher.sun_path[0] != '\0';
}

static void
tell (const char *name, const char *moment)
{
  char line[200], byte;
  int fd, len, saved = errno;

  if (!steps_are_watched ())
    return;
  len = snprintf (line, sizeof line, "%ld %s %s\n", (long) getpid (), name,
                  moment);
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && len < (int) sizeof line &&
      connect (fd, (struct sockaddr *) &watcher, sizeof watcher) == 0 &&
      send (fd, line, len, MSG_NOSIGNAL) == len) {
    while (recv (fd, &byte, 1, 0) == -1 && errno == EINTR)
      ;
  }
  if (fd >= 0)
    close (fd);
  errno = saved;
}

void
step_begins (const char *name)
{
  tell (name, "begin");
}

void
step_ended (const char *name)
{
  tell (name, "end");
}

void
step_scope_set (const char *name)
{
  scope = name;
}

const char *
step_scope (void)
{
  return scope;
}

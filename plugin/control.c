/* Socket, threads and framing of the control protocol.  See control.h. */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "cleanup.h"
#include "control-ops.h"
#include "control.h"

#define CONNECTIONS_MAX 64

static struct sockaddr_un address;  /* sun_path "": nothing to remove */
static int listener = -1;
static pthread_t accept_thread;
static bool is_running;             /* accept_thread is there to be joined */

/* Guards the table of connections.  The thread of a connection is detached;
 * giving its slot back is the last it does.
 */
static pthread_mutex_t connections_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t connections_changed = PTHREAD_COND_INITIALIZER;
static struct connection {
  int fd;
  bool is_used;
} connections[CONNECTIONS_MAX];
static bool is_stopping;

/* ------------------------------------------------------------------ */
/* One connection.                                                      */

/* Consumes ANSWER. */
static int
send_answer (int fd, json_t *answer)
{
  CLEANUP_FREE char *text = NULL;
  const char *p;
  size_t left;

  if (answer != NULL)
    text = json_dumps (answer, JSON_COMPACT);
  json_decref (answer);
  if (text == NULL)
    return -1;
  left = strlen (text) + 1;
  text[left - 1] = '\n';    /* in place of the zero byte */

  for (p = text; left > 0; ) {
    ssize_t r = send (fd, p, left, MSG_NOSIGNAL);

    if (r == -1 && errno != EINTR)
      return -1;
    if (r > 0) {
      p += r;
      left -= r;
    }
  }
  return 0;
}

/* Answer all whole lines in BUF; the rest moves to its front.  Returns its
 * length, or -1 when the connection is over.
 */
static ssize_t
answer_lines (int fd, char *buf, size_t len)
{
  char *line = buf, *end;

  while ((end = memchr (line, '\n', buf + len - line)) != NULL) {
    if (send_answer (fd, control_answer (line, end - line)) == -1)
      return -1;
    line = end + 1;
  }
  len -= line - buf;
  memmove (buf, line, len);
  if (len < CONTROL_LINE_MAX)
    return len;
  send_answer (fd, control_refusal ("bad-request", EMSGSIZE,
                                    "a request is at most 65536 bytes"));
  return -1;
}

static void *
connection_main (void *opaque)
{
  struct connection *conn = opaque;
  CLEANUP_FREE char *buf = malloc (CONTROL_LINE_MAX);
  ssize_t len = 0, r;

  while (buf != NULL && len >= 0) {
    r = recv (conn->fd, buf + len, CONTROL_LINE_MAX - len, 0);
    if (r == 0 || (r == -1 && errno != EINTR))
      break;
    if (r > 0)
      len = answer_lines (conn->fd, buf, len + r);
  }

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&connections_lock);
  close (conn->fd);
  conn->is_used = false;
  pthread_cond_broadcast (&connections_changed);
  return NULL;
}

static bool
connection_start_locked (int fd)
{
  struct connection *conn = connections;
  pthread_t thread;

  while (conn < connections + CONNECTIONS_MAX && conn->is_used)
    conn++;
  if (is_stopping || conn == connections + CONNECTIONS_MAX)
    return false;
  conn->fd = fd;
  if (pthread_create (&thread, NULL, connection_main, conn) != 0)
    return false;
  conn->is_used = true;
  pthread_detach (thread);
  return true;
}

static void *
accept_main (void *opaque)
{
  for (;;) {
    int fd = accept4 (listener, NULL, NULL, SOCK_CLOEXEC);
    bool is_started;

    if (fd == -1) {
      if (errno == EINTR || errno == ECONNABORTED)
        continue;
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
          errno == ENOBUFS) {
        /* Nothing tells when there are descriptors again. */
        nbdkit_error ("control socket: accept: %m");
        usleep (100 * 1000);
        continue;
      }
      return NULL;          /* control_stop has shut it down */
    }

    pthread_mutex_lock (&connections_lock);
    is_started = connection_start_locked (fd);
    pthread_mutex_unlock (&connections_lock);
    if (!is_started) {
      send_answer (fd, control_refusal ("internal", EAGAIN,
                                        "too many control connections"));
      close (fd);
    }
  }
}

/* ------------------------------------------------------------------ */
/* Beginning and end.                                                   */

/* Remove a socket file that no process listens on. */
static void
remove_stale_socket (void)
{
  CLEANUP_CLOSE int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct stat statbuf;

  if (fd >= 0 &&
      lstat (address.sun_path, &statbuf) == 0 && S_ISSOCK (statbuf.st_mode) &&
      connect (fd, (struct sockaddr *) &address, sizeof address) == -1 &&
      errno == ECONNREFUSED)
    unlink (address.sun_path);
}

static int
listen_at_address (void)
{
  mode_t mask;
  int r;

  listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener == -1)
    return -1;

  /* No thread is running yet, so the process's umask is ours to change. */
  mask = umask (0177);
  r = bind (listener, (struct sockaddr *) &address, sizeof address);
  umask (mask);
  if (r == -1)
    return -1;
  return listen (listener, 16);
}

int
control_listen (const char *path, struct error *err)
{
  int saved;

  if (strlen (path) >= sizeof address.sun_path) {
    error_set (err, ENAMETOOLONG, "control socket '%s': the path is longer "
               "than the %zu bytes of a socket address",
               path, sizeof address.sun_path - 1);
    return error_hint (err, "give a shorter one with control=PATH");
  }
  address.sun_family = AF_UNIX;
  strcpy (address.sun_path, path);
  remove_stale_socket ();

  if (listen_at_address () == -1) {
    saved = errno;
    if (listener >= 0)
      close (listener);
    listener = -1;
    address.sun_path[0] = '\0';
    return error_set_errno (err, saved, "control socket '%s'", path);
  }
  return 0;
}

int
control_start (struct error *err)
{
  int r = pthread_create (&accept_thread, NULL, accept_main, NULL);

  if (r != 0)
    return error_set_errno (err, r, "control socket: cannot start a thread");
  is_running = true;
  return 0;
}

static void
stop_connections (void)
{
  size_t i;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&connections_lock);
  is_stopping = true;
  for (i = 0; i < CONNECTIONS_MAX; i++)
    while (connections[i].is_used) {
      shutdown (connections[i].fd, SHUT_RDWR);
      pthread_cond_wait (&connections_changed, &connections_lock);
    }
}

void
control_stop (void)
{
  if (listener == -1)
    return;
  unlink (address.sun_path);
  shutdown (listener, SHUT_RDWR);
  if (is_running)
    pthread_join (accept_thread, NULL);
  is_running = false;
  stop_connections ();
  close (listener);
  listener = -1;
}

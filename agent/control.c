/* Client of the plugin's control socket (see control.h and
 * docs/design/control-protocol.md).
 *
 * A connection a call: it costs some tens of microseconds on a Unix socket,
 * and no state outlives a plugin that was restarted.  The deadline covers
 * connect, request and answer together.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "cleanup.h"
#include "clock.h"
#include "control.h"
#include "values.h"

#define LINE_MAX_BYTES (64 * 1024)

static int __attribute__ ((format (printf, 2, 3)))
unreachable (struct control_error *err, const char *fmt, ...)
{
  va_list args;

  TEXT_SET (err->code, "unreachable");
  va_start (args, fmt);
  vsnprintf (err->message, sizeof err->message, fmt, args);
  va_end (args);
  return -1;
}

/* Wait for EVENTS until DEADLINE. */
static int
wait_for (int fd, short events, uint64_t deadline, struct control_error *err)
{
  for (;;) {
    uint64_t now = clock_mono_ns ();
    struct pollfd pfd = { .fd = fd, .events = events };
    int r;

    if (now >= deadline)
      return unreachable (err, "the plugin did not answer in time");
    r = poll (&pfd, 1, (deadline - now) / NS_PER_MSEC + 1);
    if (r > 0)
      return 0;
    if (r < 0 && errno != EINTR)
      return unreachable (err, "poll: %s", strerror (errno));
  }
}

static int
open_socket (const char *path, uint64_t deadline, struct control_error *err)
{
  struct sockaddr_un sun = { .sun_family = AF_UNIX };
  int fd;

  if (!text_set (sun.sun_path, sizeof sun.sun_path, path))
    return unreachable (err, "path of the control socket is too long");
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd == -1)
    return unreachable (err, "socket: %s", strerror (errno));
  while (connect (fd, (struct sockaddr *) &sun, sizeof sun) == -1) {
    /* EAGAIN: its backlog is full.  It is a local process: look again. */
    if (errno != EAGAIN || clock_mono_ns () >= deadline) {
      unreachable (err, "cannot connect to '%s': %s", path,
                   strerror (errno));
      close (fd);
      return -1;
    }
    poll (NULL, 0, 5);
  }
  return fd;
}

static int
send_all (int fd, const char *text, size_t len, uint64_t deadline,
          struct control_error *err)
{
  while (len > 0) {
    ssize_t r = send (fd, text, len, MSG_NOSIGNAL);

    if (r >= 0) {
      text += r;
      len -= r;
    }
    else if (errno == EAGAIN) {
      if (wait_for (fd, POLLOUT, deadline, err) == -1)
        return -1;
    }
    else if (errno != EINTR)
      return unreachable (err, "send: %s", strerror (errno));
  }
  return 0;
}

/* Read one line; it is zero-terminated without its end. */
static int
receive_line (int fd, char *line, uint64_t deadline,
              struct control_error *err)
{
  size_t len = 0;

  for (;;) {
    ssize_t r = recv (fd, line + len, LINE_MAX_BYTES - len, 0);
    char *end;

    if (r > 0) {
      end = memchr (line + len, '\n', r);
      len += r;
      if (end) {
        *end = '\0';
        return 0;
      }
      if (len == LINE_MAX_BYTES)
        return unreachable (err, "the plugin's answer is too long");
    }
    else if (r == 0)
      return unreachable (err, "the plugin closed the connection");
    else if (errno == EAGAIN) {
      if (wait_for (fd, POLLIN, deadline, err) == -1)
        return -1;
    }
    else if (errno != EINTR)
      return unreachable (err, "receive: %s", strerror (errno));
  }
}

static json_t *
parse_answer (const char *line, struct control_error *err)
{
  json_t *answer = json_loads (line, 0, NULL);
  json_t *error;

  if (!json_is_object (answer)) {
    json_decref (answer);
    unreachable (err, "the plugin's answer is not a JSON object");
    return NULL;
  }
  if (json_is_true (json_object_get (answer, "ok")))
    return answer;

  error = json_object_get (answer, "error");
  if (!TEXT_SET (err->code, json_text (error, "code")) || !err->code[0])
    TEXT_SET (err->code, "internal");
  snprintf (err->message, sizeof err->message, "%s",
            json_text (error, "message"));
  json_decref (answer);
  return NULL;
}

json_t *
control_call (const char *path, json_t *request, unsigned timeout_ms,
              struct control_error *err)
{
  uint64_t deadline = clock_mono_ns () + timeout_ms * NS_PER_MSEC;
  CLEANUP_FREE char *text = json_dumps (request, JSON_COMPACT);
  CLEANUP_FREE char *line = malloc (LINE_MAX_BYTES + 1);
  CLEANUP_CLOSE int fd = -1;
  size_t len;

  json_decref (request);
  memset (err, 0, sizeof *err);
  if (text == NULL || line == NULL) {
    unreachable (err, "out of memory");
    return NULL;
  }
  len = strlen (text);
  if (len >= LINE_MAX_BYTES) {
    TEXT_SET (err->code, "bad-request");
    TEXT_SET (err->message, "request too long");
    return NULL;
  }
  text[len] = '\n';
  fd = open_socket (path, deadline, err);
  if (fd == -1 || send_all (fd, text, len + 1, deadline, err) == -1 ||
      receive_line (fd, line, deadline, err) == -1)
    return NULL;
  explicit_bzero (text, len);
  return parse_answer (line, err);
}

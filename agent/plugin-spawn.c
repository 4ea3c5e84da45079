/* What starting nbdkit needs: its command and its process
 * (plugin-internal.h).
 *
 * nbdkit 1.32 started by socket activation asks the kernel for SIGTERM when
 * its parent ends (as with --exit-with-parent), and the kernel means the
 * parent's thread.  Ours is to outlive paird, so paird is not its parent:
 * another process is between them and has ended before nbdkit begins.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data-tls.h"
#include "error.h"
#include "plugin-internal.h"
#include "settings.h"

extern char **environ;

static bool
is_listen_variable (const char *text)
{
  return strncmp (text, "LISTEN_", 7) == 0;
}

int
plugin_command_make (struct plugin_command *c,
                     const struct settings *settings, const char *disks,
                     const char *control, struct error *err)
{
  static char fds1[] = "LISTEN_FDS=1", fds2[] = "LISTEN_FDS=2";
  static char foreground[] = "-f", tls_on[] = "--tls=on";
  static char verify[] = "--tls-verify-peer";
  static char guests[] = "guests=unix";
  static char peers_tls[] = "peers=tls", peers_any[] = "peers=any";
  bool is_tls = data_tls_is_on (settings);
  size_t n = 0, i;
  char **e;

  for (e = environ; *e; ++e)
    n++;
  c->env = calloc (n + 3, sizeof *c->env);
  if (c->env == NULL)
    return error_set (err, ENOMEM, "out of memory");
  for (n = 0, e = environ; *e; ++e) {
    if (!is_listen_variable (*e))
      c->env[n++] = *e;
  }
  c->env[n++] = c->nfds == 1 ? fds1 : fds2;
  c->pid_index = n;

  if (asprintf (&c->text[0], "dir=%s", disks) == -1)
    c->text[0] = NULL;
  if (asprintf (&c->text[1], "control=%s", control) == -1)
    c->text[1] = NULL;
  c->text[2] = data_tls_flag (settings);
  if (c->text[0] == NULL || c->text[1] == NULL ||
      (is_tls && c->text[2] == NULL)) {
    plugin_command_release (c);
    return error_set (err, ENOMEM, "out of memory");
  }
  i = 0;
  c->argv[i++] = settings->nbdkit;
  c->argv[i++] = foreground;
  if (is_tls) {
    c->argv[i++] = tls_on;
    if (data_tls_verifies (settings))
      c->argv[i++] = verify;
    c->argv[i++] = c->text[2];
  }
  c->argv[i++] = settings->plugin;
  c->argv[i++] = c->text[0];
  c->argv[i++] = c->text[1];
  c->argv[i++] = guests;
  c->argv[i++] = is_tls ? peers_tls : peers_any;
  c->argv[i] = NULL;
  return 0;
}

void
plugin_command_release (struct plugin_command *c)
{
  free (c->env);
  free (c->text[0]);
  free (c->text[1]);
  free (c->text[2]);
  c->env = NULL;
  c->text[0] = c->text[1] = c->text[2] = NULL;
}

/* Become nbdkit.  Only async-signal-safe calls, as in every child of a
 * process with threads.
 */
static void __attribute__ ((noreturn))
become_nbdkit (const struct plugin_command *c, const int fds[2], int log_fd)
{
  char pid[16], text[32] = "LISTEN_PID=", *q = pid + sizeof pid;
  sigset_t none;
  int null_fd, high[2], i;
  unsigned n = getpid ();

  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  *--q = '\0';
  for (; n > 0; n /= 10)
    *--q = '0' + n % 10;
  memcpy (text + 11, q, strlen (q) + 1);
  c->env[c->pid_index] = text;

  /* Move both out of the way of 3 and 4, where they belong. */
  for (i = 0; i < c->nfds; ++i) {
    high[i] = fcntl (fds[i], F_DUPFD, 10);
    if (high[i] == -1)
      _exit (126);
  }
  for (i = 0; i < c->nfds; ++i) {
    if (dup2 (high[i], 3 + i) == -1)
      _exit (126);
  }
  null_fd = open ("/dev/null", O_RDWR);
  if (null_fd >= 0)
    dup2 (null_fd, STDIN_FILENO);
  dup2 (log_fd, STDOUT_FILENO);
  dup2 (log_fd, STDERR_FILENO);
  if (syscall (SYS_close_range, 3 + c->nfds, ~0U, 0) == -1) {
    for (i = 3 + c->nfds; i < 1024; ++i)
      close (i);
  }
  execvpe (c->argv[0], c->argv, c->env);
  _exit (127);
}

/* The process between paird and nbdkit: report nbdkit's id and end.  nbdkit
 * waits until it is told that this happened.
 */
static void __attribute__ ((noreturn))
between (const struct plugin_command *c, const int fds[2], int log_fd,
         const int report[2], const int go[2])
{
  pid_t pid;
  char byte;

  setsid ();
  pid = fork ();
  if (pid == 0) {
    close (go[1]);
    if (read (go[0], &byte, 1) != 1)
      _exit (125);
    become_nbdkit (c, fds, log_fd);
  }
  _exit (write (report[1], &pid, sizeof pid) == sizeof pid ? 0 : 1);
}

pid_t
plugin_spawn (const struct plugin_command *c, const int fds[2], int log_fd,
              struct error *err)
{
  int report[2] = { -1, -1 }, go[2] = { -1, -1 }, saved;
  pid_t pid = -1, first = -1;

  if (pipe2 (report, O_CLOEXEC) == 0 && pipe2 (go, O_CLOEXEC) == 0)
    first = fork ();
  saved = errno;
  if (first == 0)
    between (c, fds, log_fd, report, go);
  if (first > 0) {
    close (report[1]);
    report[1] = -1;
    if (read (report[0], &pid, sizeof pid) != sizeof pid)
      pid = -1;
    waitpid (first, NULL, 0);
    if (pid > 0 && write (go[1], "", 1) != 1)
      pid = -1;
    saved = ECHILD;
  }
  close (report[0]);
  close (report[1]);
  close (go[0]);
  close (go[1]);
  return pid > 0 ? pid : error_set_errno (err, saved, "fork");
}

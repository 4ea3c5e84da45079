/* paird: the agent of a site (see agent.h).
 *
 * One agent a site directory, held by a lock on paird.lock.  SIGTERM and
 * SIGINT end it, and nbdkit with it if stop-plugin-on-exit says so; killed
 * any other way it leaves nbdkit running and finds it again.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <curl/curl.h>

#include "agent.h"
#include "error.h"
#include "http.h"
#include "listen.h"
#include "log.h"
#include "peer.h"
#include "plugin.h"
#include "runtime.h"
#include "settings.h"
#include "store.h"
#include "tls.h"
#include "values.h"
#include "work.h"

static int
complain (const struct error *err)
{
  log_error ("paird: %s", err->message);
  if (err->hint[0])
    log_error ("paird: hint: %s", err->hint);
  return EXIT_FAILURE;
}

/* Make and lock the site directory; settings.dir becomes absolute. */
static int
open_site (struct agent *agent, struct error *err)
{
  struct settings *s = &agent->settings;
  char *path, *real;
  int fd;

  if (mkdir (s->dir, 0700) == -1 && errno != EEXIST)
    return error_set_errno (err, errno, "cannot make '%s'", s->dir);
  real = realpath (s->dir, NULL);
  if (real == NULL)
    return error_set_errno (err, errno, "cannot find '%s'", s->dir);
  free (s->dir);
  s->dir = real;

  if (asprintf (&path, "%s/paird.lock", s->dir) == -1)
    return error_set (err, ENOMEM, "out of memory");
  fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  free (path);
  if (fd == -1)
    return error_set_errno (err, errno, "cannot open paird.lock in '%s'",
                            s->dir);
  /* Held until the process ends. */
  if (flock (fd, LOCK_EX | LOCK_NB) == -1) {
    close (fd);
    error_set (err, EBUSY, "'%s' is in use", s->dir);
    return error_hint (err, "end the other paird of this directory first");
  }
  if (asprintf (&path, "%s/paird.db", s->dir) == -1)
    return error_set (err, ENOMEM, "out of memory");
  agent->store = store_open (path, err);
  free (path);
  return agent->store ? 0 : -1;
}

static void
init_locks (struct agent *agent)
{
  pthread_condattr_t attr;

  pthread_mutex_init (&agent->lock, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&agent->work_cond, &attr);
  pthread_cond_init (&agent->applied_cond, &attr);
  pthread_condattr_destroy (&attr);
}

static int
start (struct agent *agent, struct error *err)
{
  if (open_site (agent, err) == -1 ||
      (strcmp (agent->settings.listen_tls, "none") != 0 &&
       tls_load (agent->settings.tls_dir, err) == -1))
    return -1;
  agent->plugin = plugin_new (agent, err);
  if (agent->plugin == NULL || peers_start (agent, err) == -1 ||
      plugin_start (agent->plugin, err) == -1 ||
      work_start (agent, err) == -1)
    return -1;
  agent->http = http_start (agent, err);
  if (agent->http == NULL)
    return -1;
  /* nbdkit's are asked for by a thread of its own, later. */
  if (!agent->settings.run_nbdkit)
    listen_inherit_end ();
  return 0;
}

static void
stop (struct agent *agent, bool stop_nbdkit)
{
  http_stop (agent->http);
  work_stop (agent);
  plugin_free (agent->plugin, stop_nbdkit);
  peers_stop (agent);
  runtimes_free (agent);
  store_close (agent->store);
  settings_release (&agent->settings);
  tls_release ();
}

/* Tell systemd, if it is there, how far we are (sd_notify(3)). */
static void
notify (const char *state)
{
  const char *path = getenv ("NOTIFY_SOCKET");
  struct sockaddr_un sun = { .sun_family = AF_UNIX };
  socklen_t len;
  int fd;

  if (path == NULL || (path[0] != '/' && path[0] != '@') ||
      !text_set (sun.sun_path, sizeof sun.sun_path, path))
    return;
  len = offsetof (struct sockaddr_un, sun_path) + strlen (path);
  if (path[0] == '@')
    sun.sun_path[0] = '\0';
  fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd == -1)
    return;
  if (sendto (fd, state, strlen (state), MSG_NOSIGNAL,
              (struct sockaddr *) &sun, len) == -1)
    log_warning ("paird: cannot tell systemd: %s", strerror (errno));
  close (fd);
}

/* Every thread inherits this mask, so only main sees the signals. */
static void
block_signals (sigset_t *set)
{
  signal (SIGPIPE, SIG_IGN);
  signal (SIGHUP, SIG_IGN);
  sigemptyset (set);
  sigaddset (set, SIGTERM);
  sigaddset (set, SIGINT);
  pthread_sigmask (SIG_BLOCK, set, NULL);
}

int
main (int argc, char **argv)
{
  static struct agent agent;
  struct error err = ERROR_INIT;
  sigset_t signals;
  int r, signal_number;

  r = settings_load (&agent.settings, argc, argv, &err);
  if (r != 1) {
    settings_release (&agent.settings);
    return r == 0 ? EXIT_SUCCESS : complain (&err);
  }
  listen_inherit ();
  curl_global_init (CURL_GLOBAL_ALL);
  block_signals (&signals);
  init_locks (&agent);
  agent.start_ms = wall_ms ();
  if (start (&agent, &err) == -1) {
    complain (&err);
    stop (&agent, false);
    return EXIT_FAILURE;
  }
  log_info ("paird: %s, region %s, zone %s, directory %s", PACKAGE_VERSION,
            agent.settings.region, agent.settings.zone, agent.settings.dir);

  notify ("READY=1");
  sigwait (&signals, &signal_number);
  notify ("STOPPING=1");
  log_info ("paird: ending on signal %d", signal_number);
  stop (&agent, agent.settings.run_nbdkit &&
        agent.settings.stop_plugin_on_exit);
  curl_global_cleanup ();
  return EXIT_SUCCESS;
}

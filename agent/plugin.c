/* The nbdkit instance of the site: start, adopt, watch, stop (see plugin.h).
 *
 * nbdkit outlives paird unless told otherwise: data goes on flowing without
 * an agent.  So it runs in a session of its own, gets its two listening
 * sockets by socket activation (Unix socket for guests, TCP for the other
 * sites), writes its messages to nbdkit.log, and is found again through its
 * control socket.
 *
 *   state    nbdkit           what moves it on
 *   START    none             spawned -> WAIT; failed -> back-off, START
 *   WAIT     runs, silent     answers ping -> ALIVE; dies -> START
 *   ALIVE    answered a ping  dies -> back-off, START
 *
 * What is there when paird starts begins in WAIT.  Without run-nbdkit
 * START only looks for one that somebody else started.
 *
 * The pid file holds "PID STARTTIME" of the process, so that a number that
 * was used again is not mistaken for it.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "agent.h"
#include "cleanup.h"
#include "clock.h"
#include "control.h"
#include "error.h"
#include "events.h"
#include "fileio.h"
#include "listen.h"
#include "log.h"
#include "plugin-internal.h"
#include "plugin.h"
#include "uuid.h"
#include "values.h"
#include "work.h"

#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 5000
#define STOP_TIMEOUT_MS 20000
#define PING_TIMEOUT_MS 1500
#define ANSWER_TIMEOUT_MS 2000
#define PIDFILE "nbdkit.pid"
#define LOG_MAX_BYTES (4 << 20)

struct plugin {
  struct agent *agent;
  char *control, *nbd, *log, *pidfile, *disks;
  pthread_t thread;
  bool has_thread;
  int quit_fd;                   /* eventfd: end the thread */

  pthread_mutex_t lock;          /* guards what follows */
  pid_t pid;                     /* 0: none */
  int pidfd;                     /* -1: none */
  bool is_alive;                 /* it answered once and did not end */
  bool is_silent;                /* ... but not the last call */
  char address[DATA_ADDRESS_SIZE];   /* what TCP is bound to */
  char instance[UUID_STRING_SIZE];
};

static void *plugin_thread (void *opaque);

static char *
path_in (const struct agent *agent, const char *name)
{
  char *ret;

  return asprintf (&ret, "%s/%s", agent->settings.dir, name) == -1 ? NULL
    : ret;
}

struct plugin *
plugin_new (struct agent *agent, struct error *err)
{
  struct plugin *p = calloc (1, sizeof *p);

  if (p == NULL)
    goto nomem;
  p->agent = agent;
  p->pidfd = p->quit_fd = -1;
  pthread_mutex_init (&p->lock, NULL);
  p->control = path_in (agent, "control.sock");
  p->nbd = path_in (agent, "nbd.sock");
  p->log = path_in (agent, "nbdkit.log");
  p->pidfile = path_in (agent, PIDFILE);
  p->disks = path_in (agent, "disks");
  if (!p->control || !p->nbd || !p->log || !p->pidfile || !p->disks)
    goto nomem;
  if (strlen (p->control) >= sizeof ((struct sockaddr_un *) 0)->sun_path) {
    error_set (err, ENAMETOOLONG, "path of the site directory '%s' is too "
               "long for Unix sockets", agent->settings.dir);
    plugin_free (p, false);
    return NULL;
  }
  TEXT_SET (p->address, agent->settings.data_listen);
  p->quit_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (p->quit_fd == -1) {
    error_set_errno (err, errno, "eventfd");
    plugin_free (p, false);
    return NULL;
  }
  return p;

 nomem:
  error_set (err, ENOMEM, "out of memory");
  plugin_free (p, false);
  return NULL;
}

bool
plugin_is_alive (struct plugin *p)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&p->lock);

  return p->is_alive;
}

bool
plugin_is_silent (struct plugin *p)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&p->lock);

  return !p->is_alive || p->is_silent;
}

const char *
plugin_data_address (struct plugin *p, char ret[DATA_ADDRESS_SIZE])
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&p->lock);
  const char *given = p->agent->settings.data_address;

  text_set (ret, DATA_ADDRESS_SIZE, given ? given : p->address);
  return ret;
}

void
plugin_instance (struct plugin *p, char ret[UUID_STRING_SIZE])
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&p->lock);

  text_set (ret, UUID_STRING_SIZE, p->instance);
}

json_t *
plugin_call (struct plugin *p, json_t *request, unsigned timeout_ms,
             struct control_error *err)
{
  json_t *ret = control_call (p->control, request, timeout_ms, err);

  pthread_mutex_lock (&p->lock);
  p->is_silent = ret == NULL && strcmp (err->code, "unreachable") == 0;
  pthread_mutex_unlock (&p->lock);
  return ret;
}

/* ------------------------------------------------------------------ */
/* Which process it is.                                                 */

/* Field 22 of /proc/PID/stat: when it began.  0: no such process, or one
 * that is dead and not yet collected.
 */
static unsigned long long
process_start_time (pid_t pid)
{
  CLEANUP_CLOSE int fd = -1;
  char path[64], text[1024], *p;
  ssize_t n;
  int field;

  snprintf (path, sizeof path, "/proc/%d/stat", (int) pid);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd == -1)
    return 0;
  n = read (fd, text, sizeof text - 1);
  if (n <= 0)
    return 0;
  text[n] = '\0';
  p = strrchr (text, ')');
  if (p && p[1] == ' ' && (p[2] == 'Z' || p[2] == 'X'))
    return 0;
  for (field = 2; p && field < 22; ++field)
    p = strchr (p + 1, ' ');
  return p ? strtoull (p, NULL, 10) : 0;
}

static void
write_pidfile (struct plugin *p, pid_t pid)
{
  CLEANUP_CLOSE int dir = open (p->agent->settings.dir,
                                O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  char text[64];
  int n;

  n = snprintf (text, sizeof text, "%d %llu\n", (int) pid,
                process_start_time (pid));
  if (dir == -1 || file_replace (dir, PIDFILE, text, n, 0644) == -1)
    log_warning ("plugin: cannot write '%s': %s", p->pidfile,
                 strerror (errno));
}

/* The process in the pid file if it is still that one, else 0. */
static pid_t
read_pidfile (struct plugin *p)
{
  CLEANUP_FREE char *text = file_read (AT_FDCWD, p->pidfile, 64, NULL);
  unsigned long long start;
  int pid;

  if (text == NULL || sscanf (text, "%d %llu", &pid, &start) != 2 ||
      pid <= 1 || start == 0 || process_start_time (pid) != start)
    return 0;
  return pid;
}

/* -1: it is gone. */
static int
take_process (struct plugin *p, pid_t pid)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&p->lock);

  p->pidfd = syscall (SYS_pidfd_open, pid, 0);
  p->pid = p->pidfd == -1 ? 0 : pid;
  return p->pidfd == -1 ? -1 : 0;
}

static void
drop_process (struct plugin *p)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&p->lock);

  if (p->pidfd >= 0)
    close (p->pidfd);
  p->pidfd = -1;
  p->pid = 0;
  p->is_alive = false;
}

/* Wait for the process to end; true if it has, false if told to quit. */
static bool
wait_end (struct plugin *p, int timeout_ms)
{
  struct pollfd pfds[2] = { { .fd = p->pidfd, .events = POLLIN },
                            { .fd = p->quit_fd, .events = POLLIN } };

  poll (pfds, 2, timeout_ms);
  return pfds[0].revents != 0;
}

static bool
is_quitting (struct plugin *p, int wait_ms)
{
  struct pollfd pfd = { .fd = p->quit_fd, .events = POLLIN };

  return poll (&pfd, 1, wait_ms) > 0;
}

/* ------------------------------------------------------------------ */
/* Talking to it.                                                       */

/* Is there one that answers?  Then *RET_PID is its process. */
static bool
ping (struct plugin *p, unsigned timeout_ms, pid_t *ret_pid)
{
  struct control_error err;
  json_t *answer = plugin_call (p, json_pack ("{s:s}", "op", "ping"),
                                timeout_ms, &err);

  if (answer == NULL)
    return false;
  *ret_pid = json_u64 (answer, "pid");
  pthread_mutex_lock (&p->lock);
  TEXT_SET (p->instance, json_text (answer, "instance"));
  pthread_mutex_unlock (&p->lock);
  json_decref (answer);
  return *ret_pid > 1;
}

bool
plugin_answers (struct plugin *p)
{
  pid_t pid;

  return plugin_is_alive (p) && ping (p, ANSWER_TIMEOUT_MS, &pid);
}

static void
set_alive (struct plugin *p, const char *how)
{
  pthread_mutex_lock (&p->lock);
  p->is_alive = true;
  pthread_mutex_unlock (&p->lock);
  event_note (p->agent, LOG_LEVEL_INFO, "plugin", "plugin-alive", "", "",
              "nbdkit %s, process %d, instance %s", how, (int) p->pid,
              p->instance);
  plugin_adopt_disks (p->agent);
  work_wake (p->agent);
}

/* From its start until it answers.  False: it died or we quit. */
static bool
wait_answer (struct plugin *p, const char *how)
{
  pid_t pid;

  for (;;) {
    if (ping (p, PING_TIMEOUT_MS, &pid) && pid == p->pid) {
      set_alive (p, how);
      return true;
    }
    if (wait_end (p, 20) || is_quitting (p, 0))
      return false;
  }
}

/* One is there from before: take it.  One that lives and is silent may be
 * opening its volumes, so it is waited for, not ended.  True: it answers.
 */
static bool
adopt (struct plugin *p)
{
  pid_t pid;

  if (!ping (p, PING_TIMEOUT_MS, &pid))
    pid = read_pidfile (p);
  if (pid == 0 || take_process (p, pid) == -1)
    return false;
  write_pidfile (p, pid);
  return wait_answer (p, "adopted");
}

/* ------------------------------------------------------------------ */
/* Starting it.                                                         */

static int
open_log (struct plugin *p)
{
  struct stat st;
  char *old;

  if (stat (p->log, &st) == 0 && st.st_size > LOG_MAX_BYTES &&
      asprintf (&old, "%s.1", p->log) != -1) {
    rename (p->log, old);
    free (old);
  }
  return open (p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int
spawn (struct plugin *p, struct error *err)
{
  struct plugin_command c = { 0 };
  CLEANUP_CLOSE int unix_fd = -1;
  CLEANUP_CLOSE int tcp_fd = -1;
  CLEANUP_CLOSE int log_fd = -1;
  char address[DATA_ADDRESS_SIZE];
  pid_t pid;

  if (mkdir (p->disks, 0700) == -1 && errno != EEXIST)
    return error_set_errno (err, errno, "cannot make '%s'", p->disks);
  unlink (p->control);
  unix_fd = listen_unix (p->nbd, err);
  if (unix_fd == -1)
    return -1;
  if (strcmp (p->agent->settings.data_listen, "none") != 0) {
    tcp_fd = listen_tcp (p->agent->settings.data_listen, address,
                         sizeof address, err);
    if (tcp_fd == -1)
      return -1;
    pthread_mutex_lock (&p->lock);
    TEXT_SET (p->address, address);
    pthread_mutex_unlock (&p->lock);
  }
  log_fd = open_log (p);
  if (log_fd == -1)
    return error_set_errno (err, errno, "cannot open '%s'", p->log);
  c.nfds = tcp_fd == -1 ? 1 : 2;
  if (plugin_command_make (&c, &p->agent->settings, p->disks, p->control,
                           err) == -1)
    return -1;
  pid = plugin_spawn (&c, (int[2]) { unix_fd, tcp_fd }, log_fd, err);
  plugin_command_release (&c);
  if (pid == -1)
    return -1;
  if (take_process (p, pid) == -1)
    return error_set (err, ESRCH, "nbdkit ended at once, see '%s'", p->log);
  write_pidfile (p, pid);
  return 0;
}

static void *
plugin_thread (void *opaque)
{
  struct plugin *p = opaque;
  struct error err = ERROR_INIT;
  unsigned backoff_ms = BACKOFF_MIN_MS;
  uint64_t since;
  bool is_there = adopt (p);

  while (!is_quitting (p, 0)) {
    since = clock_mono_ns ();
    if (!is_there && p->pid == 0 && !p->agent->settings.run_nbdkit)
      is_there = adopt (p);
    else if (!is_there && p->pid == 0) {
      if (spawn (p, &err) == -1)
        log_error ("plugin: cannot start nbdkit: %s", err.message);
      else
        is_there = wait_answer (p, "started");
    }
    if (p->pid != 0) {
      while (!wait_end (p, -1)) {
        if (is_quitting (p, 0))
          return NULL;
      }
      drop_process (p);
      event_note (p->agent, LOG_LEVEL_ERROR, "plugin", "plugin-died", "", "",
                  "nbdkit ended, see '%s'", p->log);
    }
    is_there = false;
    if (clock_mono_ns () - since > 10 * NS_PER_SEC)
      backoff_ms = BACKOFF_MIN_MS;
    if (is_quitting (p, backoff_ms))
      break;
    backoff_ms = backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS
      : backoff_ms * 2;
  }
  return NULL;
}

int
plugin_start (struct plugin *p, struct error *err)
{
  int r = pthread_create (&p->thread, NULL, plugin_thread, p);

  if (r != 0)
    return error_set_errno (err, r, "cannot start a thread");
  p->has_thread = true;
  return 0;
}

/* ------------------------------------------------------------------ */
/* Ending it.                                                           */

static void
stop_process (struct plugin *p)
{
  struct pollfd pfd = { .fd = p->pidfd, .events = POLLIN };

  if (p->pid == 0)
    return;
  log_info ("plugin: ending nbdkit, process %d", (int) p->pid);
  kill (p->pid, SIGTERM);
  if (poll (&pfd, 1, STOP_TIMEOUT_MS) == 0) {
    log_error ("plugin: nbdkit did not end in time, killing it");
    kill (p->pid, SIGKILL);
  }
  drop_process (p);
  unlink (p->pidfile);
  unlink (p->control);
  listen_unlink (p->nbd);
}

void
plugin_free (struct plugin *p, bool stop_nbdkit)
{
  uint64_t one = 1;

  if (p == NULL)
    return;
  if (p->has_thread) {
    if (write (p->quit_fd, &one, sizeof one) == -1)
      abort ();
    pthread_join (p->thread, NULL);
    if (stop_nbdkit)
      stop_process (p);
  }
  if (p->pidfd >= 0)
    close (p->pidfd);
  if (p->quit_fd >= 0)
    close (p->quit_fd);
  pthread_mutex_destroy (&p->lock);
  free (p->control);
  free (p->nbd);
  free (p->log);
  free (p->pidfile);
  free (p->disks);
  free (p);
}

/* pairctl volume create --from, and export: content in and out of a volume.
 *
 * nbdcopy does the work, to or from an nbdkit with the plugin that serves the
 * one volume on a Unix socket in a private directory.  Its listening socket
 * is made here, so nbdcopy need not wait for it: who connects early waits in
 * the queue, and finds it closed when nbdkit fails.
 *
 * Both are children of this process and get SIGTERM when it ends, however it
 * ends.  Their messages go to a file and are shown if the copying fails.
 *
 * A new volume, or image, is made in a directory with a name that no server
 * looks at, beside where it will be, and moved there when it is complete: at
 * PATH there is all of it or nothing.  What kill -9 leaves: volume-left.c.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "cli.h"
#include "clock.h"
#include "fileio.h"
#include "size.h"
#include "volume.h"

#define LOG_MAX 4096             /* shown of the children's messages */
#define POLL_MS 500

struct copy {
  struct cli *cli;
  struct workdir work;           /* sockets and log */
  struct workdir beside;         /* where what is made will be */
  char *disks;                   /* what nbdkit serves; holds WORKDIR_DISK */
  pid_t nbdkit, nbdcopy;         /* 0: none */
  int log;
  bool is_odd;                   /* the source ends inside a block */
  struct failure failure;
};

static volatile sig_atomic_t caught;

static void
catch_signal (int sig)
{
  caught = sig;
}

static int
went_wrong (struct copy *c, int errnum, const char *what, const char *name)
{
  failure_set (&c->failure, EXIT_FAILED, NULL, NULL, "%s '%s': %s", what, name,
               strerror (errnum));
  return -1;
}

static bool
is_uri (const char *text)
{
  return strncmp (text, "nbd", 3) == 0 && strstr (text, "://") != NULL;
}

/* What nbdcopy takes for a file whatever its name is.  The caller frees it. */
static char *
copy_operand (const char *text)
{
  return text_printf ("%s%s", is_uri (text) || *text == '/' ? "" : "./", text);
}

/* ------------------------------------------------------------------ */
/* Children.                                                            */

/* Start ARGV with FD (if not -1) as its descriptor 3. */
static pid_t
spawn (struct copy *c, char *const argv[], int fd)
{
  pid_t parent = getpid (), pid = fork ();
  char text[24];
  int null_fd;

  if (pid == -1)
    return went_wrong (c, errno, "cannot start", argv[0]);
  if (pid > 0)
    return pid;

  prctl (PR_SET_PDEATHSIG, SIGTERM);
  if (getppid () != parent)
    _exit (1);
  /* A terminal's ^C is for us, who end them in the right order. */
  setpgid (0, 0);
  null_fd = open ("/dev/null", O_RDWR);
  if (null_fd == -1 || dup2 (null_fd, STDIN_FILENO) == -1 ||
      dup2 (c->log, STDOUT_FILENO) == -1 ||
      dup2 (c->log, STDERR_FILENO) == -1)
    _exit (126);
  if (c->beside.path)
    fcntl (c->beside.lock, F_SETFD, 0);
  fcntl (c->work.lock, F_SETFD, 0);
  if (fd == 3)
    fcntl (3, F_SETFD, 0);
  else if (fd != -1 && dup2 (fd, 3) == -1)
    _exit (126);
  snprintf (text, sizeof text, "%ld", (long) getpid ());
  setenv ("LISTEN_PID", text, 1);
  execvp (argv[0], argv);
  dprintf (STDERR_FILENO, "cannot run '%s': %s\n", argv[0], strerror (errno));
  _exit (127);
}

/* Wait for *PID, after SIG if that is not 0.  True: it ended well. */
static bool
reap (pid_t *pid, int sig)
{
  int status = -1;

  if (*pid <= 0)
    return false;
  if (sig != 0)
    kill (*pid, sig);
  while (waitpid (*pid, &status, 0) == -1 && errno == EINTR)
    continue;
  *pid = 0;
  return WIFEXITED (status) && WEXITSTATUS (status) == 0;
}

static void
show_log (struct copy *c)
{
  char text[LOG_MAX + 1];
  ssize_t n = pread (c->log, text, LOG_MAX, 0), i, start;

  for (i = start = 0; i < n; ++i)
    if (text[i] == '\n') {
      text[i] = '\0';
      fprintf (stderr, "%s\n", text_clean (text + start));
      start = i + 1;
    }
}

static int
make_work (struct copy *c)
{
  const char *dir = getenv ("TMPDIR");
  CLEANUP_FREE char *log = NULL;

  if (dir == NULL || *dir == '\0')
    dir = "/tmp";
  workdirs_sweep (dir, NULL);
  if (workdir_make (&c->work, dir, NULL) == -1)
    return went_wrong (c, errno, "cannot make a directory in", dir);
  log = text_printf ("%s/log", c->work.path);
  c->log = open (log, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  return c->log == -1 ? went_wrong (c, errno, "cannot make", log) : 0;
}

static int
make_beside (struct copy *c, const char *parent, const char *name)
{
  workdirs_sweep (parent, name);
  if (workdir_make (&c->beside, parent, name) == -1)
    return went_wrong (c, errno, "cannot make a directory in", parent);
  return 0;
}

static void
remove_work (struct copy *c)
{
  workdir_remove (&c->work);
  workdir_remove (&c->beside);
  if (c->log >= 0)
    close (c->log);
  free (c->disks);
}

static int
listen_unix (struct copy *c)
{
  struct sockaddr_un sun = { .sun_family = AF_UNIX };
  int fd;

  if ((size_t) snprintf (sun.sun_path, sizeof sun.sun_path, "%s/nbd.sock",
                         c->work.path) >= sizeof sun.sun_path)
    return went_wrong (c, ENAMETOOLONG, "cannot listen in", c->work.path);
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd == -1 || bind (fd, (struct sockaddr *) &sun, sizeof sun) == -1 ||
      listen (fd, SOMAXCONN) == -1) {
    int saved = errno;

    if (fd >= 0)
      close (fd);
    return went_wrong (c, saved, "cannot listen on", sun.sun_path);
  }
  return fd;
}

static int
start_nbdkit (struct copy *c)
{
  const char *plugin = args_value (c->cli, "plugin");
  CLEANUP_FREE char *file = NULL, *dir = NULL, *control = NULL;
  int fd;

  if (plugin == NULL)
    plugin = getenv ("PAIRDISK_PLUGIN");
  file = copy_operand (plugin && *plugin ? plugin : DEFAULT_PLUGIN);
  if (access (file, R_OK) == -1) {
    failure_set (&c->failure, EXIT_FAILED, NULL,
                 "name the plugin with --plugin or PAIRDISK_PLUGIN",
                 "cannot read the plugin '%s': %s", file, strerror (errno));
    return -1;
  }
  dir = text_printf ("dir=%s", c->disks);
  control = text_printf ("control=%s/control.sock", c->work.path);
  fd = listen_unix (c);
  if (fd == -1)
    return -1;

  char *argv[] = { (char *) "nbdkit", (char *) "-f", file, dir, control,
                   c->is_odd ? (char *) "--filter=blocksize" : NULL,
                   c->is_odd ? (char *) "minblock=4096" : NULL, NULL };
  setenv ("LISTEN_FDS", "1", 1);
  c->nbdkit = spawn (c, argv, fd);
  unsetenv ("LISTEN_FDS");
  close (fd);
  return c->nbdkit == -1 ? -1 : 0;
}

/* ------------------------------------------------------------------ */
/* Copying.                                                             */

/* nbdcopy writes lines of "PERCENT/100" until it closes FD. */
static int
follow (struct copy *c, int fd, uint64_t size)
{
  struct pollfd p = { .fd = fd, .events = POLLIN };
  struct progress progress;
  char text[64];
  unsigned percent = 0;
  ssize_t n;
  int r = 0;

  progress_init (&progress, c->cli);
  for (;;) {
    if (caught) {
      failure_set (&c->failure, EXIT_FAILED, NULL, NULL, "%s",
                   strsignal (caught));
      r = -1;
      break;
    }
    if (c->cli->deadline_ns && clock_mono_ns () > c->cli->deadline_ns) {
      failure_set (&c->failure, EXIT_TIMEOUT, NULL, NULL, "timed out");
      r = -1;
      break;
    }
    if (poll (&p, 1, POLL_MS) == 1) {
      n = read (fd, text, sizeof text - 1);
      if (n == 0)
        break;
      if (n > 0) {
        text[n] = '\0';
        if (sscanf (text, "%u/", &percent) != 1 || percent > 100)
          continue;
      }
    }
    progress_update (&progress, "copying",
                     percent == 100 ? size : size / 100 * percent, size,
                     false);
  }
  progress_end (&progress);
  return r;
}

/* Copy SOURCE to TARGET, one of which is NULL: the volume. */
static int
run_nbdcopy (struct copy *c, const char *source, const char *target,
             uint64_t size)
{
  CLEANUP_FREE char *uri = text_printf ("nbd+unix:///" WORKDIR_DISK
                                        "?socket=%s/nbd.sock", c->work.path);
  CLEANUP_FREE char *other = copy_operand (source ? source : target);
  char *argv[8];
  int fd[2], i = 0, r;

  if (pipe2 (fd, O_CLOEXEC) == -1)
    return went_wrong (c, errno, "cannot start", "nbdcopy");
  argv[i++] = (char *) "nbdcopy";
  argv[i++] = (char *) "--progress=3";
  argv[i++] = (char *) "--flush";
  if (source)                    /* a new volume reads as zeros */
    argv[i++] = (char *) "--destination-is-zero";
  argv[i++] = (char *) "--";
  argv[i++] = source ? other : uri;
  argv[i++] = source ? uri : other;
  argv[i] = NULL;
  c->nbdcopy = spawn (c, argv, fd[1]);
  close (fd[1]);
  r = c->nbdcopy == -1 ? -1 : follow (c, fd[0], size);
  close (fd[0]);
  if (r == -1) {
    reap (&c->nbdcopy, SIGTERM);
    return -1;
  }
  if (!reap (&c->nbdcopy, 0)) {
    show_log (c);
    failure_set (&c->failure, EXIT_FAILED, NULL, NULL, "the copying failed");
    return -1;
  }
  return 0;
}

static int
copy (struct copy *c, const char *source, const char *target, uint64_t size)
{
  struct sigaction action = { .sa_handler = catch_signal };
  int r;

  sigemptyset (&action.sa_mask);
  sigaction (SIGINT, &action, NULL);
  sigaction (SIGTERM, &action, NULL);
  sigaction (SIGHUP, &action, NULL);
  r = start_nbdkit (c);
  if (r == 0)
    r = run_nbdcopy (c, source, target, size);

  /* It closes the volume, so that it opens at once the next time. */
  reap (&c->nbdkit, SIGTERM);
  return r;
}

/* After the clean-up: end as the signal would have ended us. */
static int
end (struct copy *c, const char *what, const char *path)
{
  int r = fail (&c->failure, "%s '%s'", what, path);

  if (caught) {
    signal (caught, SIG_DFL);
    raise (caught);
  }
  return r;
}

/* ------------------------------------------------------------------ */
/* How large.                                                           */

static int
uri_size (struct copy *c, const char *uri, uint64_t *ret)
{
  char *argv[] = { (char *) "nbdinfo", (char *) "--size", (char *) "--",
                   (char *) uri, NULL };
  char text[LOG_MAX];
  ssize_t n;
  off_t start = lseek (c->log, 0, SEEK_END);
  pid_t pid = spawn (c, argv, -1);

  if (pid == -1)
    return -1;
  if (reap (&pid, 0) &&
      (n = pread (c->log, text, sizeof text - 1, start)) > 0) {
    text[n] = '\0';
    if (sscanf (text, "%" SCNu64, ret) == 1)
      return 0;
  }
  show_log (c);
  failure_set (&c->failure, EXIT_FAILED, NULL, NULL,
               "cannot find out the size of '%s'", uri);
  return -1;
}

static int
file_size (struct copy *c, const char *path, uint64_t *ret)
{
  struct stat st;
  char magic[4];
  int fd = open (path, O_RDONLY | O_CLOEXEC), r = 0;

  if (fd == -1 || fstat (fd, &st) == -1)
    r = went_wrong (c, errno, "cannot open", path);
  else if (S_ISREG (st.st_mode))
    *ret = st.st_size;
  else if (!S_ISBLK (st.st_mode)) {
    failure_set (&c->failure, EXIT_FAILED, NULL, NULL,
                 "'%s' is neither a file nor a block device", path);
    r = -1;
  }
  else if (ioctl (fd, BLKGETSIZE64, ret) == -1)
    r = went_wrong (c, errno, "cannot find out the size of", path);
  if (r == 0 && pread (fd, magic, sizeof magic, 0) == sizeof magic &&
      memcmp (magic, "QFI\xfb", sizeof magic) == 0) {
    failure_set (&c->failure, EXIT_FAILED, NULL,
                 "serve it with 'qemu-nbd -r -f qcow2' and give the NBD URI",
                 "'%s' is not a raw image but qcow2", path);
    r = -1;
  }
  if (fd >= 0)
    close (fd);
  return r;
}

static int
set_size (struct copy *c, const char *from, uint64_t *size)
{
  uint64_t found = 0;
  int r;

  r = is_uri (from) ? uri_size (c, from, &found) : file_size (c, from, &found);
  if (r == -1)
    return -1;
  c->is_odd = found % VOLUME_BLOCK_SIZE != 0;
  if (*size == 0) {
    *size = (found + VOLUME_BLOCK_SIZE - 1) / VOLUME_BLOCK_SIZE *
      VOLUME_BLOCK_SIZE;
    if (*size < VOLUME_SIZE_MIN)
      *size = VOLUME_SIZE_MIN;
  }
  if (found <= *size)
    return 0;
  failure_set (&c->failure, EXIT_FAILED, NULL, NULL,
               "'%s' is larger: %" PRIu64 " bytes", from, found);
  return -1;
}

/* ------------------------------------------------------------------ */
/* Where what is made will be.                                          */

/* DIR and NAME of PATH, without slashes at its end; the caller frees both. */
static void
split (const char *path, char **ret_dir, char **ret_name)
{
  size_t len = strlen (path), start, dir;

  while (len > 1 && path[len - 1] == '/')
    len--;
  for (start = len; start > 0 && path[start - 1] != '/'; --start)
    continue;
  *ret_name = text_printf ("%.*s", (int) (len - start), path + start);
  for (dir = start; dir > 1 && path[dir - 1] == '/'; --dir)
    continue;
  *ret_dir = text_printf ("%.*s", dir ? (int) dir : 1, dir ? path : ".");
}

/* Not over anything, as far as the file system can promise that. */
static int
rename_to_new (const char *from, const char *to)
{
  struct stat st;

  if (renameat2 (AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
    return 0;
  if (errno != EINVAL || lstat (to, &st) == 0)
    return -1;
  return rename (from, to);
}

/* Put what was MADE where it belongs. */
static int
move_in (struct copy *c, const char *made, const char *path,
         const char *parent)
{
  int fd, r;

  if (rename_to_new (made, path) == -1)
    return went_wrong (c, errno, "cannot move what was copied to", path);
  fd = open (parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  r = fd == -1 || dir_sync (fd) == -1
    ? went_wrong (c, errno, "cannot sync", parent) : 0;
  if (fd >= 0)
    close (fd);
  return r;
}

/* ------------------------------------------------------------------ */
/* create --from                                                        */

static int
create_and_copy (struct copy *c, const char *from,
                 struct volume_params *params)
{
  CLEANUP_FREE char *parent = NULL, *name = NULL, *volume = NULL;
  struct error err = ERROR_INIT;
  struct stat st;

  if (lstat (c->cli->arg, &st) == 0)
    return went_wrong (c, EEXIST, "volume", c->cli->arg);
  split (c->cli->arg, &parent, &name);
  if (make_work (c) == -1 || set_size (c, from, &params->size) == -1 ||
      make_beside (c, parent, name) == -1)
    return -1;
  c->disks = text_printf ("%s", c->beside.path);
  volume = text_printf ("%s/" WORKDIR_DISK, c->disks);
  if (volume_create (NULL, volume, params, &err) == -1) {
    failure_set (&c->failure, EXIT_FAILED, NULL, err.hint, "%s", err.message);
    return -1;
  }
  return copy (c, from, NULL, params->size) == -1 ? -1
    : move_in (c, volume, c->cli->arg, parent);
}

int
volume_create_from (struct cli *cli, const char *from,
                    struct volume_params *params)
{
  struct copy c = { .cli = cli, .log = -1 };
  int r = create_and_copy (&c, from, params);

  remove_work (&c);
  return r == 0 ? EXIT_OK
    : end (&c, "cannot create volume", cli->arg);
}

/* ------------------------------------------------------------------ */
/* export                                                               */

/* To a new file. */
static int
export_file (struct copy *c, const char *dest, uint64_t size)
{
  CLEANUP_FREE char *parent = NULL, *name = NULL, *image = NULL;
  struct stat st;
  int fd;

  if (lstat (dest, &st) == 0)
    return went_wrong (c, EEXIST, "cannot make", dest);
  split (dest, &parent, &name);
  if (make_beside (c, parent, name) == -1)
    return -1;
  image = text_printf ("%s/image", c->beside.path);
  fd = open (image, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd == -1)
    return went_wrong (c, errno, "cannot make", image);
  close (fd);
  return copy (c, NULL, image, size) == -1 ? -1
    : move_in (c, image, dest, parent);
}

static int
export (struct copy *c, uint64_t size)
{
  CLEANUP_FREE char *volume = realpath (c->cli->arg, NULL), *link = NULL;
  const char *dest = c->cli->arg2;
  struct stat st;

  if (make_work (c) == -1)
    return -1;
  c->disks = text_printf ("%s/disks", c->work.path);
  link = text_printf ("%s/" WORKDIR_DISK, c->disks);
  if (volume == NULL || mkdir (c->disks, 0700) == -1 ||
      symlink (volume, link) == -1)
    return went_wrong (c, errno, "cannot make", link);

  if (is_uri (dest) || (stat (dest, &st) == 0 && S_ISBLK (st.st_mode)))
    return copy (c, NULL, dest, size);
  return export_file (c, dest, size);
}

int
volume_export_verb (struct cli *cli)
{
  struct copy c = { .cli = cli, .log = -1 };
  char size_text[SIZE_STRING_SIZE];
  struct volume_status status;
  struct error err = ERROR_INIT;
  int r;

  if (volume_probe (NULL, cli->arg, &status, &err) == -1)
    return fail_error (&err, "cannot export volume '%s'", cli->arg);
  r = export (&c, status.size);
  remove_work (&c);
  if (r == -1)
    return end (&c, "cannot export volume", cli->arg);
  if (cli->json)
    return print_json (json_pack ("{s:s, s:s, s:I}", "Path", cli->arg,
                                  "Dest", cli->arg2,
                                  "Size", (json_int_t) status.size));
  return print_line ("exported volume '%s' of %s to '%s'", cli->arg,
                     size_format (status.size, size_text), cli->arg2);
}

/* nbdkit plugin: the disks under a directory, one export each.
 *
 * Here are the callbacks and nothing else.  Which disks there are is in
 * disks.c, what a guest's requests do in guest.c, the peer's in replica/, the
 * agent's in control-ops.c.
 *
 * nbdkit forks between .get_ready and .after_fork: what can fail for want of
 * a directory, a lock or a socket is done before, while the user still sees
 * stderr; threads and volumes come after.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "cleanup.h"
#include "control.h"
#include "disks.h"
#include "guest.h"
#include "log.h"
#include "replica.h"
#include "size.h"
#include "steps.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

/* Invisible to volume_name_is_valid, so that no disk can have it. */
#define LOCK_FILE ".lock"

static char *dir;               /* absolute */
static char *control_path;      /* absolute */
static bool is_unix_only;       /* guests=unix */
static bool peers_may_be_plain; /* peers=any */
static int lock_fd = -1;

static void
print_error (const struct error *error)
{
  nbdkit_error ("%s", error->message);
  if (error->hint[0])
    nbdkit_error ("hint: %s", error->hint);
}

static void
print_disk_error (const char *name, const struct error *error)
{
  nbdkit_error ("disk '%s': %s", name, error->message);
  if (error->hint[0])
    nbdkit_error ("hint: %s", error->hint);
}

/* ------------------------------------------------------------------ */
/* Configuration, beginning and end.                                    */

/* KEY is one of two words; which? */
static int
set_word (const char *key, const char *value, const char *no,
          const char *yes, bool *ret)
{
  *ret = strcmp (value, yes) == 0;
  if (*ret || strcmp (value, no) == 0)
    return 0;
  nbdkit_error ("%s must be '%s' or '%s', not '%s'", key, no, yes, value);
  return -1;
}

static int
pairdisk_config (const char *key, const char *value)
{
  if (strcmp (key, "dir") == 0) {
    free (dir);
    dir = nbdkit_realpath (value);
    return dir ? 0 : -1;
  }
  if (strcmp (key, "control") == 0) {
    free (control_path);
    control_path = nbdkit_absolute_path (value);
    return control_path ? 0 : -1;
  }
  if (strcmp (key, "guests") == 0)
    return set_word (key, value, "any", "unix", &is_unix_only);
  if (strcmp (key, "peers") == 0)
    return set_word (key, value, "tls", "any", &peers_may_be_plain);
  nbdkit_error ("unknown parameter '%s'", key);
  return -1;
}

static int
pairdisk_config_complete (void)
{
  if (dir == NULL) {
    nbdkit_error ("the directory of the disks is missing: give dir=DIR");
    return -1;
  }
  if (control_path == NULL &&
      asprintf (&control_path, "%s/control.sock", dir) == -1) {
    control_path = NULL;
    nbdkit_error ("asprintf: %m");
    return -1;
  }
  return 0;
}

#define pairdisk_config_help \
  "[dir=]<DIR>     (required) Directory of the disks.\n" \
  "control=<PATH>  Control socket [default: DIR/control.sock].\n" \
  "guests=any|unix Who may attach disks [default: any].\n" \
  "peers=tls|any   May the other site come without TLS [default: tls]."

/* Held until the process ends, in whatever way it does. */
static int
lock_dir (struct error *err)
{
  CLEANUP_FREE char *path = NULL;

  if (asprintf (&path, "%s/%s", dir, LOCK_FILE) == -1) {
    path = NULL;
    return error_set_errno (err, ENOMEM, "directory '%s'", dir);
  }
  lock_fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_fd == -1)
    return error_set_errno (err, errno, "cannot open '%s'", path);
  if (flock (lock_fd, LOCK_EX | LOCK_NB) == 0)
    return 0;
  if (errno != EWOULDBLOCK)
    return error_set_errno (err, errno, "cannot lock '%s'", path);
  error_set (err, EBUSY,
             "directory '%s' is served by another instance", dir);
  return error_hint (err, "one nbdkit serves all disks of a directory: "
                     "stop the other one, or connect to it");
}

static int
pairdisk_get_ready (void)
{
  struct error error = ERROR_INIT;

  log_before_fork ();
  if (lock_dir (&error) == -1 ||
      disks_probe (dir, print_disk_error, &error) == -1 ||
      control_listen (control_path, &error) == -1) {
    print_error (&error);
    return -1;
  }
  return 0;
}

static int
pairdisk_after_fork (void)
{
  struct error error = ERROR_INIT;

  log_after_fork ();
  if (disks_open_all (dir, print_disk_error, &error) == -1 ||
      control_start (&error) == -1) {
    print_error (&error);
    return -1;
  }
  return 0;
}

/* All connections are closed.  Nothing is lost by a kill instead, but the
 * next start is faster after a checkpoint.
 */
static void
pairdisk_cleanup (void)
{
  control_stop ();
  disks_close_all (print_disk_error);
}

static void
pairdisk_unload (void)
{
  pairdisk_cleanup ();
  if (lock_fd >= 0)
    close (lock_fd);
  free (control_path);
  free (dir);
}

/* ------------------------------------------------------------------ */
/* Exports.                                                             */

static bool
is_unix_socket (void)
{
  struct sockaddr_storage addr;
  socklen_t len = sizeof addr;

  return nbdkit_peer_name ((struct sockaddr *) &addr, &len) == 0 &&
         addr.ss_family == AF_UNIX;
}

/* Is the client of this connection one that may attach disks? */
static bool
is_welcome (void)
{
  return !is_unix_only || is_unix_socket ();
}

static const char *
describe (struct disk *disk)
{
  struct volume_status status;
  char size[SIZE_STRING_SIZE];

  if (disk->volume == NULL)
    return "failed: see the server's log";
  volume_get_status (disk->volume, &status);
  if (status.role == VOLUME_ROLE_SECONDARY)
    return "secondary of a pair: cannot be attached before a failover";
  return nbdkit_printf_intern ("%s, %s%s", size_format (status.size, size),
                               volume_role_name (status.role),
                               status.is_fenced ? ", fenced: read-only" :
                               status.is_failed ? ", failed: read-only" : "");
}

static int
pairdisk_list_exports (int readonly, int is_tls,
                       struct nbdkit_exports *exports)
{
  struct disk *disk, *next;
  int r = 0;

  if (!is_welcome ())
    return 0;
  for (disk = disk_next (""); disk != NULL; disk = next) {
    if (r == 0)
      r = nbdkit_add_export (exports, disk->name, describe (disk));
    next = disk_next (disk->name);
    disk_put (disk);
  }
  return r;
}

static const char *
pairdisk_default_export (int readonly, int is_tls)
{
  const char *name;
  struct disk *disk;

  if (!is_welcome () || disks_count () != 1)
    return NULL;
  disk = disk_next ("");
  if (disk == NULL)
    return NULL;
  name = nbdkit_strdup_intern (disk->name);
  disk_put (disk);
  return name;
}

/* ------------------------------------------------------------------ */
/* Connections.  One of the two is set: the guest's disk or the peer's
 * connection, which holds no reference because the receiver cuts it off when
 * its disk goes away.
 */

struct handle {
  struct disk *disk;
  struct receiver_conn *peer;
};

static int
open_peer (const struct uuid *pair, struct handle *h, struct error *err)
{
  struct disk *disk = disk_get_by_pair (pair);
  char str[UUID_STRING_SIZE];

  if (disk == NULL) {
    uuid_format (pair, str);
    return error_set (err, ENOENT, "no disk of pair %s is here", str);
  }
  h->peer = replication_open (disk, err);
  disk_put (disk);
  if (h->peer == NULL)
    return -1;

  /* --tls=on lets plain TCP in.  It is told why not: a refusal here would be
   * an export that does not exist.
   */
  if (!peers_may_be_plain && nbdkit_is_tls () != 1 && !is_unix_socket ())
    receiver_conn_require_tls (h->peer);
  return 0;
}

static int
open_guest (const char *name, struct handle *h, struct error *err)
{
  struct disk *disk;
  int r;

  if (!is_welcome ()) {
    error_set (err, EPERM, "disk '%.80s' cannot be attached over the "
               "network here", name);
    return error_hint (err, "connect to the Unix socket, or start nbdkit "
                       "with guests=any");
  }
  disk = disk_get (name);
  if (disk == NULL) {
    error_set (err, ENOENT, "there is no disk '%.80s' here", name);
    return error_hint (err, "'nbdinfo --list' prints the disks");
  }
  step_begins ("plugin.attach");
  r = disk_enter_guest (disk, err);
  step_ended ("plugin.attach");
  disk_put (disk);
  if (r == 0)
    h->disk = disk;
  return r;
}

static void *
pairdisk_open (int readonly)
{
  const char *name = nbdkit_export_name ();
  struct handle *h = calloc (1, sizeof *h);
  struct error error = ERROR_INIT;
  struct uuid pair;
  int r;

  if (h == NULL || name == NULL) {
    nbdkit_error ("open: %m");
    free (h);
    return NULL;
  }
  r = replica_export_parse (name, &pair) ? open_peer (&pair, h, &error)
                                         : open_guest (name, h, &error);
  if (r == -1) {
    print_error (&error);
    free (h);
    errno = error.errnum;
    return NULL;
  }
  return h;
}

static void
pairdisk_close (void *handle)
{
  struct handle *h = handle;

  if (h->peer != NULL)
    receiver_conn_close (h->peer);
  else
    disk_leave_guest (h->disk);
  free (h);
}

static int64_t
pairdisk_get_size (void *handle)
{
  struct handle *h = handle;

  return h->peer ? REPLICA_EXPORT_SIZE : volume_size (h->disk->volume);
}

static const char *
pairdisk_export_description (void *handle)
{
  struct handle *h = handle;

  return h->peer ? "replication" : describe (h->disk);
}

static int
pairdisk_block_size (void *handle, uint32_t *minimum, uint32_t *preferred,
                     uint32_t *maximum)
{
  struct handle *h = handle;

  if (h->peer) {
    *minimum = *preferred = *maximum = 0;   /* none advertised */
    return 0;
  }
  *minimum = 512;
  *preferred = VOLUME_BLOCK_SIZE;
  *maximum = 32 * 1024 * 1024;
  return 0;
}

static int
pairdisk_can_write (void *handle)
{
  struct handle *h = handle;

  return h->peer ? 1 : guest_can_write (h->disk);
}

static int
is_guest (void *handle)
{
  struct handle *h = handle;

  return h->peer == NULL;
}

static int
always (void *handle)
{
  return 1;
}

static int
never (void *handle)
{
  return 0;
}

static int
pairdisk_can_zero (void *handle)
{
  return is_guest (handle);
}

static int
pairdisk_can_fua (void *handle)
{
  return NBDKIT_FUA_NATIVE;
}

/* ------------------------------------------------------------------ */
/* Requests.                                                            */

/* What the receiver refuses is in the primary's log in full; here it is only
 * of use to who debugs.
 */
static int
peer_result (int r, const struct error *error)
{
  if (r == -1) {
    int errnum = errno;

    nbdkit_debug ("replication: %s", error->message);
    errno = errnum;
  }
  return r;
}

static int
pairdisk_pread (void *handle, void *buf, uint32_t count, uint64_t offset,
                uint32_t flags)
{
  struct handle *h = handle;
  struct error error = ERROR_INIT;

  if (h->peer)
    return peer_result (receiver_conn_read (h->peer, buf, count, offset,
                                            &error), &error);
  return guest_read (h->disk, buf, count, offset);
}

static int
pairdisk_pwrite (void *handle, const void *buf, uint32_t count,
                 uint64_t offset, uint32_t flags)
{
  struct handle *h = handle;
  struct error error = ERROR_INIT;

  if (h->peer)
    return peer_result (receiver_conn_write (h->peer, buf, count, offset,
                                             flags & NBDKIT_FLAG_FUA,
                                             &error), &error);
  return guest_write (h->disk, buf, count, offset, flags);
}

static int
pairdisk_flush (void *handle, uint32_t flags)
{
  struct handle *h = handle;
  struct error error = ERROR_INIT;

  if (h->peer)
    return peer_result (receiver_conn_flush (h->peer, &error), &error);
  return guest_flush (h->disk);
}

static int
pairdisk_zero (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct handle *h = handle;

  return guest_zero (h->disk, count, offset, flags);
}

static int
pairdisk_trim (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct handle *h = handle;

  return guest_trim (h->disk, count, offset, flags);
}

static int
pairdisk_extents (void *handle, uint32_t count, uint64_t offset,
                  uint32_t flags, struct nbdkit_extents *extents)
{
  struct handle *h = handle;

  return guest_extents (h->disk, count, offset, flags, extents);
}

static struct nbdkit_plugin plugin = {
  .name               = "pairdisk",
  .longname           = "replicated virtual disks",
  .version            = PACKAGE_VERSION,
  .description        = "disks whose journal is shipped to another site",
  .unload             = pairdisk_unload,
  .config             = pairdisk_config,
  .config_complete    = pairdisk_config_complete,
  .config_help        = pairdisk_config_help,
  .magic_config_key   = "dir",
  .get_ready          = pairdisk_get_ready,
  .after_fork         = pairdisk_after_fork,
  .cleanup            = pairdisk_cleanup,
  .list_exports       = pairdisk_list_exports,
  .default_export     = pairdisk_default_export,
  .open               = pairdisk_open,
  .close              = pairdisk_close,
  .get_size           = pairdisk_get_size,
  .export_description = pairdisk_export_description,
  .block_size         = pairdisk_block_size,
  .can_write          = pairdisk_can_write,
  .can_flush          = always,
  .is_rotational      = never,
  .can_trim           = is_guest,
  .can_zero           = pairdisk_can_zero,
  .can_fast_zero      = is_guest,
  .can_extents        = is_guest,
  .can_fua            = pairdisk_can_fua,
  .can_multi_conn     = always,
  .pread              = pairdisk_pread,
  .pwrite             = pairdisk_pwrite,
  .flush              = pairdisk_flush,
  .zero               = pairdisk_zero,
  .trim               = pairdisk_trim,
  .extents            = pairdisk_extents,
  .errno_is_preserved = 1,
};

NBDKIT_REGISTER_PLUGIN (plugin)

/* How a link is carried (see options.h). */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"

bool
options_want_tls (const struct replica_options *options)
{
  return options->certificates[0] != '\0' || options->psk_file[0] != '\0';
}

/* A file with a key: ours or root's, and for nobody else to read. */
static int
check_key (const char *path, struct error *err)
{
  struct stat st;

  if (stat (path, &st) == -1)
    return error_set_errno (err, errno, "cannot read '%s'", path);
  if (!S_ISREG (st.st_mode))
    return error_set (err, EINVAL, "'%s' is not a file", path);
  if (st.st_uid != geteuid () && st.st_uid != 0)
    return error_set (err, EPERM, "'%s' belongs to another user", path);
  if (st.st_mode & 077) {
    error_set (err, EPERM, "'%s' can be read by others", path);
    return error_hint (err, "chmod 600 '%s'", path);
  }
  if (access (path, R_OK) == -1)
    return error_set_errno (err, errno, "cannot read '%s'", path);
  return 0;
}

static int
check_certificates (const char *dir, struct error *err)
{
  char path[OPTIONS_PATH_MAX + 32];

  snprintf (path, sizeof path, "%s/ca-cert.pem", dir);
  if (access (path, R_OK) == -1)
    return error_set_errno (err, errno, "cannot read '%s'", path);

  /* Only a peer that asks who we are needs the other two. */
  snprintf (path, sizeof path, "%s/client-key.pem", dir);
  if (access (path, F_OK) == -1 && errno == ENOENT)
    return 0;
  return check_key (path, err);
}

int
options_check (const struct replica_options *options, struct error *err)
{
  if (options->certificates[0] && options->psk_file[0])
    return error_set (err, EINVAL,
                      "TLS is by certificates or by a PSK file, not both");
  if ((options->certificates[0] && options->certificates[0] != '/') ||
      (options->psk_file[0] && options->psk_file[0] != '/'))
    return error_set (err, EINVAL, "the path of keys must be absolute");
  if (options->psk_file[0] && !options->username[0])
    return error_set (err, EINVAL,
                      "a PSK file needs the name of the user in it");
  if (options->dead_seconds != 0 &&
      (options->dead_seconds < OPTIONS_DEAD_SECONDS_MIN ||
       options->dead_seconds > OPTIONS_DEAD_SECONDS_MAX))
    return error_set (err, EINVAL, "a peer can be given up after %d to %d "
                      "seconds", OPTIONS_DEAD_SECONDS_MIN,
                      OPTIONS_DEAD_SECONDS_MAX);
  if (options->connections > OPTIONS_CONNECTIONS_MAX)
    return error_set (err, EINVAL, "a link has at most %d connections",
                      OPTIONS_CONNECTIONS_MAX);
  if (options->certificates[0])
    return check_certificates (options->certificates, err);
  if (options->psk_file[0])
    return check_key (options->psk_file, err);
  return 0;
}

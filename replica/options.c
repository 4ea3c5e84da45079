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

/* FNV-1a: there is nobody to make two of these alike on purpose. */
static uint64_t
mix (uint64_t hash, uint64_t value)
{
  for (unsigned i = 0; i < 8; i++, value >>= 8)
    hash = (hash ^ (value & 0xff)) * UINT64_C (0x100000001b3);
  return hash;
}

static uint64_t
stamp_file (uint64_t hash, const char *path)
{
  struct stat st;

  if (stat (path, &st) == -1)
    return mix (hash, 0);
  hash = mix (mix (hash, st.st_dev), st.st_ino);
  hash = mix (mix (hash, st.st_size), st.st_mtim.tv_sec);
  return mix (hash, st.st_mtim.tv_nsec);
}

uint64_t
options_keys_stamp (const struct replica_options *options)
{
  static const char *const names[] =
    { "ca-cert.pem", "ca-crl.pem", "client-cert.pem", "client-key.pem" };
  uint64_t hash = UINT64_C (0xcbf29ce484222325);
  char path[OPTIONS_PATH_MAX + 32];

  if (!options_want_tls (options))
    return 0;
  if (options->psk_file[0])
    hash = stamp_file (hash, options->psk_file);
  for (size_t i = 0; options->certificates[0] &&
         i < sizeof names / sizeof names[0]; i++) {
    snprintf (path, sizeof path, "%s/%s", options->certificates, names[i]);
    hash = stamp_file (hash, path);
  }
  return hash | 1;
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

/* TLS of the links between the sites: what the settings data-tls,
 * data-psk-file and data-psk-user come to for nbdkit and for the plugin (see
 * data-tls.h).
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "data-tls.h"
#include "error.h"
#include "settings.h"

/* What needs no escapes in a URI. */
#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

static bool
is_psk (const struct settings *s)
{
  return strcmp (s->data_tls, "psk") == 0;
}

bool
data_tls_is_on (const struct settings *s)
{
  return strcmp (s->data_tls, "off") != 0;
}

int
data_tls_check (const struct settings *s, struct error *err)
{
  struct stat st;

  if (data_tls_is_on (s) && !is_psk (s) && strcmp (s->data_tls, "x509") != 0)
    return error_set (err, EINVAL, "data-tls '%s' is none of off, x509, psk",
                      s->data_tls);
  if (data_tls_is_on (s) && !is_psk (s) && s->tls_dir[0] != '/')
    return error_set (err, EINVAL, "data-tls=x509 needs an absolute path as "
                      "tls-dir");
  if (!is_psk (s))
    return 0;
  if (s->data_psk_file == NULL)
    return error_set (err, EINVAL, "data-tls=psk needs a data-psk-file");
  if (s->data_psk_file[0] != '/')
    return error_set (err, EINVAL, "data-psk-file '%s' is not an absolute "
                      "path", s->data_psk_file);
  if (strlen (s->data_psk_user) > 63 ||
      s->data_psk_user[strspn (s->data_psk_user, PLAIN)] != '\0')
    return error_set (err, EINVAL, "data-psk-user '%.80s' is not made of "
                      "letters, digits, dots and dashes", s->data_psk_user);
  if (stat (s->data_psk_file, &st) == -1)
    return error_set_errno (err, errno, "cannot read '%s'", s->data_psk_file);
  if (st.st_mode & 077) {
    error_set (err, EPERM, "'%s' can be read by others", s->data_psk_file);
    return error_hint (err, "chmod 600 '%s'", s->data_psk_file);
  }
  return 0;
}

void
data_tls_uri (const struct settings *s, const char *address, char *ret,
              size_t size)
{
  if (!data_tls_is_on (s))
    snprintf (ret, size, "nbd://%s", address);
  else if (is_psk (s))
    snprintf (ret, size, "nbds://%s@%s", s->data_psk_user, address);
  else
    snprintf (ret, size, "nbds://%s", address);
}

json_t *
data_tls_link (const struct settings *s)
{
  if (!data_tls_is_on (s))
    return json_null ();
  if (is_psk (s))
    return json_pack ("{s:s, s:s}", "psk_file", s->data_psk_file,
                      "username", s->data_psk_user);
  return json_pack ("{s:s}", "certificates", s->tls_dir);
}

/* nbdkit reads what it trusts when it is started, and sites are joined and
 * change their certificates later.  The plugin has the other site prove the
 * pair's secret in any case; so where certificates are ours to change, that
 * is what tells who calls.
 */
bool
data_tls_verifies (const struct settings *s)
{
  char path[4096];

  return data_tls_is_on (s) &&
    (is_psk (s) ||
     (size_t) snprintf (path, sizeof path, "%s/site-cert.pem", s->tls_dir) >=
     sizeof path || access (path, F_OK) == -1);
}

char *
data_tls_flag (const struct settings *s)
{
  char *ret;

  if (!data_tls_is_on (s) ||
      asprintf (&ret, is_psk (s) ? "--tls-psk=%s" : "--tls-certificates=%s",
                is_psk (s) ? s->data_psk_file : s->tls_dir) == -1)
    return NULL;
  return ret;
}

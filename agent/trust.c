/* The site's keys and certificates, and how they are replaced
 * (peer-internal.h, common/x509.h).
 *
 *   tls/        what is shown
 *   tls.next/   what shall be shown, with the file "staged" in it: once all
 *               joined sites have told that they know it
 *   tls.old/    what was shown before, and is by nbdkit until it is started
 *               anew
 *
 * In each hello a site tells the certificates it wants to be known by, which
 * are those of all three, and the digest of those it knows the other one by.
 * So no moment of a rotation has a site show what the others do not know.
 *
 *   there is               done next
 *   tls.making             left by a kill: removed
 *   tls.next with staged   all know it: it changes places with tls
 *   tls.next without       it was exchanged: becomes tls.old, or goes if nbdkit
 *                          shows the one that is there
 *   tls with staged        removed, once there is no tls.next
 *   tls.old                another nbdkit runs than at the exchange: removed
 *
 * Where tls has no site-cert.pem it was not made by us: then ca-cert.pem is
 * what we are known by, and nothing is ever written there.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "cleanup.h"
#include "crypto.h"
#include "error.h"
#include "events.h"
#include "fileio.h"
#include "log.h"
#include "peer-internal.h"
#include "plugin.h"
#include "settings.h"
#include "store.h"
#include "tls.h"
#include "uuid.h"
#include "values.h"
#include "x509.h"

/* One at a time: taken before any other lock. */
static pthread_mutex_t trust_lock = PTHREAD_MUTEX_INITIALIZER;

#define OLD_INSTANCE "tls-old-instance"

static char *
path_of (struct agent *agent, const char *suffix, const char *name)
{
  char *ret;

  if (asprintf (&ret, "%s%s%s%s", agent->settings.tls_dir, suffix,
                *name ? "/" : "", name) == -1)
    abort ();
  return ret;
}

static char *
read_of (struct agent *agent, const char *suffix, const char *name)
{
  CLEANUP_FREE char *path = path_of (agent, suffix, name);

  return file_read (AT_FDCWD, path, X509_BUNDLE_MAX, NULL);
}

static bool
is_there (struct agent *agent, const char *suffix, const char *name)
{
  CLEANUP_FREE char *path = path_of (agent, suffix, name);

  return access (path, F_OK) == 0;
}

static void
remove_of (struct agent *agent, const char *suffix)
{
  CLEANUP_FREE char *path = path_of (agent, suffix, "");

  x509_remove_site (path);
}

/* ------------------------------------------------------------------ */
/* What we are known by.                                                */

void
trust_digest (const char *pem, char ret[65])
{
  uint8_t mac[HMAC_SIZE];

  hmac_sha256 ("trust", 5, pem, strlen (pem), mac);
  hex_encode (mac, sizeof mac, ret);
}

char *
trust_ours (struct agent *agent, char ret_digest[65], struct error *err)
{
  static const char *const suffixes[] = { "", ".next", ".old" };
  char *all = NULL, *more;
  size_t i;

  for (i = 0; i < 3; ++i) {
    CLEANUP_FREE char *pem = read_of (agent, suffixes[i], "site-cert.pem");

    if (pem == NULL && i == 0)
      pem = read_of (agent, "", "ca-cert.pem");
    if (pem == NULL)
      continue;
    if (asprintf (&more, "%s%s", all ? all : "", pem) == -1)
      abort ();
    free (all);
    all = more;
  }
  if (all == NULL) {
    error_set (err, ENOENT, "this site has no keys and certificates in '%s'",
               agent->settings.tls_dir);
    error_hint (err, "'pairctl site init' makes them");
  }
  else if (ret_digest)
    trust_digest (all, ret_digest);
  return all;
}

int
trust_write_bundle (struct agent *agent, struct error *err)
{
  CLEANUP_FREE char *all = NULL;
  CLEANUP_FREE char *dir = path_of (agent, "", "");
  CLEANUP_CLOSE int fd = -1;
  size_t i;

  if (!is_there (agent, "", "site-cert.pem"))
    return 0;
  all = trust_ours (agent, NULL, err);
  if (all == NULL)
    return -1;
  for (i = 0; i < agent->npeers; ++i) {
    CLEANUP_FREE char *pem = file_read (AT_FDCWD, agent->peers[i].ca_path,
                                        TRUST_SIZE, NULL);
    char *more;

    if (!agent->peers[i].is_joined || pem == NULL)
      continue;
    if (asprintf (&more, "%s%s", all, pem) == -1)
      abort ();
    free (all);
    all = more;
  }
  fd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd == -1 ||
      file_replace (fd, "ca-cert.pem", all, strlen (all), 0600) == -1)
    return error_set_errno (err, errno, "cannot write ca-cert.pem in '%s'",
                            dir);
  return 0;
}

/* ------------------------------------------------------------------ */
/* Rotation.                                                            */

/* HOST of HOST:PORT, into RET; false for a wildcard. */
static bool
host_of (const char *address, char *ret, size_t size)
{
  const char *colon = address ? strrchr (address, ':') : NULL;
  size_t len = colon ? (size_t) (colon - address) : 0;

  if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
    address++;
    len -= 2;
  }
  if (len == 0 || len >= size)
    return false;
  memcpy (ret, address, len);
  ret[len] = '\0';
  return strcmp (ret, "0.0.0.0") != 0 && strcmp (ret, "::") != 0;
}

/* trust_lock is held. */
static int
stage_locked (struct agent *agent, struct error *err)
{
  const struct settings *s = &agent->settings;
  const char *const addresses[] = { s->address, s->listen_tls,
                                    s->data_address, s->data_listen };
  CLEANUP_FREE char *making = path_of (agent, ".making", "");
  CLEANUP_FREE char *next = path_of (agent, ".next", "");
  CLEANUP_CLOSE int fd = -1;
  char text[4][256];
  const char *hosts[5];
  size_t n = 0, i;

  if (!is_there (agent, "", "site-cert.pem")) {
    error_set (err, EPERM, "'%s' was not made by 'pairctl site init'",
               s->tls_dir);
    return error_hint (err, "replace what is there yourself");
  }
  for (i = 0; i < 4; ++i) {
    if (host_of (addresses[i], text[n], sizeof text[n])) {
      hosts[n] = text[n];
      n++;
    }
  }
  hosts[n] = NULL;
  x509_remove_site (making);
  x509_remove_site (next);
  if (x509_make_site (making, s->region, hosts, err) == -1)
    return -1;
  fd = open (making, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd == -1 || file_replace (fd, "staged", "", 0, 0600) == -1 ||
      rename (making, next) == -1) {
    error_set_errno (err, errno, "cannot stage new keys in '%s'", next);
    x509_remove_site (making);
    return -1;
  }
  return 0;
}

/* A joined site that does not know what we want to be known by, or NULL. */
static struct peer *
who_is_missing (struct agent *agent)
{
  char digest[65];
  CLEANUP_FREE char *ours = trust_ours (agent, digest, NULL);
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  size_t i;

  for (i = 0; ours && i < agent->npeers; ++i) {
    struct peer *p = &agent->peers[i];

    if (p->is_joined && !p->is_removed && strcmp (p->trusted, digest) != 0)
      return p;
  }
  return NULL;
}

static bool
is_old_in_use (struct agent *agent)
{
  char instance[UUID_STRING_SIZE];
  CLEANUP_FREE char *then = NULL;

  plugin_instance (agent->plugin, instance);
  store_enter (agent->store);
  store_fact_get (agent->store, OLD_INSTANCE, &then);
  store_leave (agent->store);
  return instance[0] == '\0' || (then && strcmp (then, instance) == 0);
}

/* So that tls.old can be what nbdkit shows now. */
static int
make_room_for_old (struct agent *agent)
{
  char instance[UUID_STRING_SIZE];
  int r = -1;

  remove_of (agent, ".old");
  plugin_instance (agent->plugin, instance);
  if (store_begin (agent->store) == 0) {
    r = store_fact_put (agent->store, OLD_INSTANCE, instance);
    if (store_end (agent->store, r == 0) == -1)
      r = -1;
  }
  return r;
}

/* tls.next and tls change places.  Not undone by a kill. */
static int
exchange (struct agent *agent)
{
  CLEANUP_FREE char *now = path_of (agent, "", "");
  CLEANUP_FREE char *next = path_of (agent, ".next", "");
  struct error err = ERROR_INIT;

  /* What nbdkit shows is kept, however often we rotate meanwhile. */
  if ((!is_there (agent, ".old", "") || !is_old_in_use (agent)) &&
      make_room_for_old (agent) == -1)
    return -1;
  if (renameat2 (AT_FDCWD, next, AT_FDCWD, now, RENAME_EXCHANGE) == -1) {
    log_error ("site: cannot exchange '%s' and '%s': %s", next, now,
               strerror (errno));
    return -1;
  }
  if (strcmp (agent->settings.listen_tls, "none") != 0 &&
      tls_load (now, &err) == -1)
    log_error ("site: %s", err.message);
  return 0;
}

static void
finish_exchange (struct agent *agent)
{
  CLEANUP_FREE char *next = path_of (agent, ".next", "");
  CLEANUP_FREE char *old = path_of (agent, ".old", "");
  CLEANUP_FREE char *staged = path_of (agent, "", "staged");
  struct error err = ERROR_INIT;

  if (is_there (agent, ".old", ""))
    remove_of (agent, ".next");
  else if (rename (next, old) == -1) {
    log_error ("site: cannot rename '%s': %s", next, strerror (errno));
    return;
  }
  unlink (staged);
  if (trust_write_bundle (agent, &err) == -1)
    log_error ("site: %s", err.message);
  event_note (agent, LOG_LEVEL_INFO, "site", "site-rotated", "", "",
              "the site shows its new certificate");
}

static void
step_locked (struct agent *agent, bool is_forced)
{
  CLEANUP_FREE char *staged = path_of (agent, "", "staged");
  struct error err = ERROR_INIT;

  if (is_there (agent, ".next", "staged")) {
    if ((!is_forced && who_is_missing (agent)) || exchange (agent) == -1)
      return;
  }
  if (is_there (agent, ".next", ""))
    finish_exchange (agent);
  else if (is_there (agent, "", "staged"))
    unlink (staged);
  if (is_there (agent, ".old", "") && !is_old_in_use (agent)) {
    remove_of (agent, ".old");
    if (trust_write_bundle (agent, &err) == -1)
      log_error ("site: %s", err.message);
    event_note (agent, LOG_LEVEL_INFO, "site", "site-old-key-removed", "",
                "", "nothing shows the certificate before the last rotation "
                "any more");
  }
}

int
trust_stage (struct agent *agent, bool is_forced, struct error *err)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&trust_lock);

  if (stage_locked (agent, err) == -1)
    return -1;
  event_note (agent, LOG_LEVEL_INFO, "site", "site-rotation", "", "",
              "new keys were made; they are used when every joined site "
              "knows them");
  step_locked (agent, is_forced);
  return 0;
}

void
trust_step (struct agent *agent)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&trust_lock);

  step_locked (agent, false);
}

const char *
trust_rotation (struct agent *agent, char ret_for[REGION_SIZE])
{
  struct peer *missing;

  ret_for[0] = '\0';
  if (is_there (agent, ".next", "")) {
    missing = who_is_missing (agent);
    if (missing)
      text_set (ret_for, REGION_SIZE, missing->region);
    return "waiting";
  }
  return is_there (agent, ".old", "") ? "old-kept" : "none";
}

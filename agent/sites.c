/* Sites that were joined: on disk, and what is told in a hello
 * (peer-internal.h).
 *
 * Each is two files in the site directory, both 0600: peers/REGION.pem, the
 * certificates that it shows or will show, and peers/REGION.json:
 *
 *   {"version":1, "region":"...", "address":"HOST:PORT",
 *    "secrets":[{"count":N, "secret":"hex", "sure":true}, ...]}
 *
 * A site is joined when its .json is there.
 */

#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "agent.h"
#include "cleanup.h"
#include "error.h"
#include "events.h"
#include "fileio.h"
#include "log.h"
#include "peer-internal.h"
#include "settings.h"
#include "values.h"
#include "work.h"
#include "x509.h"

#define FILE_VERSION 1

/* Two hellos of one site at a time would each save half of what they heard. */
static pthread_mutex_t hear_lock = PTHREAD_MUTEX_INITIALIZER;

static int
open_dir (struct agent *agent, struct error *err)
{
  CLEANUP_FREE char *path = NULL;
  int fd;

  if (asprintf (&path, "%s/peers", agent->settings.dir) == -1) {
    path = NULL;
    return error_set (err, ENOMEM, "out of memory");
  }
  if (mkdir (path, 0700) == -1 && errno != EEXIST)
    return error_set_errno (err, errno, "cannot make '%s'", path);
  fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd == -1 ? error_set_errno (err, errno, "cannot open '%s'", path)
    : fd;
}

static int
save (struct peer *p, const char *address, const struct secrets *secrets,
      struct error *err)
{
  CLEANUP_CLOSE int dir = open_dir (p->agent, err);
  char name[REGION_SIZE + 8], *text;
  json_t *json;
  int r;

  if (dir == -1)
    return -1;
  json = json_pack ("{s:i, s:s, s:s, s:o}", "version", FILE_VERSION,
                    "region", p->region, "address", address,
                    "secrets", secrets_to_json (secrets));
  text = json ? json_dumps (json, JSON_INDENT (1)) : NULL;
  json_decref (json);
  if (text == NULL)
    return error_set (err, ENOMEM, "out of memory");
  snprintf (name, sizeof name, "%s.json", p->region);
  r = file_replace (dir, name, text, strlen (text), 0600);
  if (r == -1)
    error_set_errno (err, errno, "cannot write peers/%s", name);
  explicit_bzero (text, strlen (text));
  free (text);
  return r;
}

static int
save_trust (struct peer *p, const char *pem, struct error *err)
{
  CLEANUP_CLOSE int dir = open_dir (p->agent, err);
  char name[REGION_SIZE + 8], digest[65];

  if (dir == -1)
    return -1;
  snprintf (name, sizeof name, "%s.pem", p->region);
  if (file_replace (dir, name, pem, strlen (pem), 0600) == -1)
    return error_set_errno (err, errno, "cannot write peers/%s", name);
  trust_digest (pem, digest);
  pthread_mutex_lock (&p->agent->lock);
  TEXT_SET (p->trust, digest);
  pthread_mutex_unlock (&p->agent->lock);
  return 0;
}

static int
set_ca_path (struct peer *p, struct error *err)
{
  if ((size_t) snprintf (p->ca_path, sizeof p->ca_path, "%s/peers/%s.pem",
                         p->agent->settings.dir, p->region) >=
      sizeof p->ca_path)
    return error_set (err, ENAMETOOLONG, "the path of the site directory is "
                      "too long");
  return 0;
}

/* ------------------------------------------------------------------ */
/* At the start.                                                        */

static int
load_one (struct agent *agent, int dir, const char *name, struct error *err)
{
  CLEANUP_FREE char *text = file_read (dir, name, PEER_FILE_MAX, NULL);
  CLEANUP_FREE char *pem = NULL;
  json_t *json = text ? json_loads (text, 0, NULL) : NULL;
  size_t len = strlen (name) - strlen (".json");
  struct peer *p = NULL;

  if (json_u64 (json, "version") == FILE_VERSION &&
      strlen (json_text (json, "region")) == len && len < REGION_SIZE &&
      memcmp (json_text (json, "region"), name, len) == 0)
    p = peer_slot (agent, json_text (json, "region"), err);
  if (text)
    explicit_bzero (text, strlen (text));
  if (p == NULL || !TEXT_SET (p->address, json_text (json, "address")) ||
      !secrets_from_json (json_object_get (json, "secrets"), &p->secrets)) {
    json_decref (json);
    return error_set (err, EINVAL, "peers/%s does not describe a joined "
                      "site of this version", name);
  }
  json_decref (json);
  if (set_ca_path (p, err) == -1)
    return -1;
  pem = file_read (AT_FDCWD, p->ca_path, TRUST_SIZE, NULL);
  if (pem == NULL)
    return error_set_errno (err, errno, "cannot read '%s'", p->ca_path);
  trust_digest (pem, p->trust);
  p->is_joined = true;
  p->is_removed = false;
  return 0;
}

int
sites_load (struct agent *agent, struct error *err)
{
  int fd = open_dir (agent, err), r = 0;
  DIR *d = fd == -1 ? NULL : fdopendir (fd);
  struct dirent *e;

  if (d == NULL)
    return -1;
  while (r == 0 && (e = readdir (d)) != NULL) {
    const char *dot = strrchr (e->d_name, '.');

    if (dot && e->d_name[0] != '.' && strcmp (dot, ".json") == 0)
      r = load_one (agent, fd, e->d_name, err);
  }
  closedir (d);
  return r;
}

/* ------------------------------------------------------------------ */
/* Hello.                                                               */

void
sites_tell (struct peer *p, json_t *hello)
{
  CLEANUP_FREE char *ours = NULL;
  struct error err = ERROR_INIT;

  if (!p->is_joined)
    return;
  ours = trust_ours (p->agent, NULL, &err);
  if (ours == NULL)
    log_error ("site: %s", err.message);
  else
    json_object_set_new (hello, "trust", json_string (ours));
  pthread_mutex_lock (&p->agent->lock);
  json_object_set_new (hello, "trusts", json_string (p->trust));
  json_object_set_new (hello, "secrets", secrets_tell (&p->secrets));
  pthread_mutex_unlock (&p->agent->lock);
}

/* The certificates it wants to be known by. */
static void
hear_trust (struct peer *p, const char *pem)
{
  char digest[65], fingerprint[X509_FINGERPRINT_SIZE], known[65];
  struct error err = ERROR_INIT;

  if (*pem == '\0' || strlen (pem) >= TRUST_SIZE)
    return;
  trust_digest (pem, digest);
  pthread_mutex_lock (&p->agent->lock);
  TEXT_SET (known, p->trust);
  pthread_mutex_unlock (&p->agent->lock);
  if (strcmp (digest, known) == 0)
    return;
  if (x509_fingerprint (pem, fingerprint, &err) == -1 ||
      save_trust (p, pem, &err) == -1 ||
      trust_write_bundle (p->agent, &err) == -1) {
    log_error ("site: the certificates of %s: %s", p->region, err.message);
    return;
  }
  event_note (p->agent, LOG_LEVEL_INFO, "peer", "site-certificates", "", "",
              "the site of region %s has other certificates from now on",
              p->region);
}

static void
hear_secrets (struct peer *p, const json_t *told)
{
  struct secrets secrets;
  char address[ADDRESS_SIZE];
  struct error err = ERROR_INIT;
  bool changed;

  pthread_mutex_lock (&p->agent->lock);
  secrets = p->secrets;
  TEXT_SET (address, p->address);
  pthread_mutex_unlock (&p->agent->lock);
  changed = secrets_hear (&secrets, told);
  /* Durable before it is used or told: the other side may forget the old. */
  if (changed && save (p, address, &secrets, &err) == -1)
    log_error ("site: %s", err.message);
  else if (changed) {
    pthread_mutex_lock (&p->agent->lock);
    p->secrets = secrets;
    pthread_mutex_unlock (&p->agent->lock);
    work_wake (p->agent);
  }
  explicit_bzero (&secrets, sizeof secrets);
}

void
sites_hear (struct peer *p, const json_t *hello)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&hear_lock);

  if (!p->is_joined || p->is_removed)
    return;
  pthread_mutex_lock (&p->agent->lock);
  TEXT_SET (p->trusted, json_text (hello, "trusts"));
  pthread_mutex_unlock (&p->agent->lock);
  hear_trust (p, json_text (hello, "trust"));
  hear_secrets (p, json_object_get (hello, "secrets"));
}

/* ------------------------------------------------------------------ */
/* Coming, changing and going.                                          */

int
sites_add (struct peer *p, const char *zone, const char *address,
           const char *trust, const struct joined_secret *secret,
           struct error *err)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&hear_lock);
  struct secrets secrets = { .n = 0 };

  if (!p->is_joined && !p->is_removed) {
    error_set (err, EEXIST, "region '%s' is a peer by the configuration file",
               p->region);
    return error_hint (err, "take its 'peer' out of there first");
  }
  secrets_add (&secrets, secret, "");
  if (set_ca_path (p, err) == -1 || save_trust (p, trust, err) == -1 ||
      save (p, address, &secrets, err) == -1)
    return -1;
  pthread_mutex_lock (&p->agent->lock);
  TEXT_SET (p->address, address);
  if (region_is_valid (zone))
    TEXT_SET (p->zone, zone);
  p->secrets = secrets;
  p->is_joined = true;
  pthread_mutex_unlock (&p->agent->lock);
  explicit_bzero (&secrets, sizeof secrets);
  if (trust_write_bundle (p->agent, err) == -1)
    return -1;
  return peer_begin (p, err);
}

int
sites_remove (struct peer *p, struct error *err)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&hear_lock);
  CLEANUP_CLOSE int dir = open_dir (p->agent, err);
  char name[REGION_SIZE + 8];

  if (dir == -1)
    return -1;
  snprintf (name, sizeof name, "%s.json", p->region);
  if (unlinkat (dir, name, 0) == -1 && errno != ENOENT)
    return error_set_errno (err, errno, "cannot remove peers/%s", name);
  snprintf (name, sizeof name, "%s.pem", p->region);
  unlinkat (dir, name, 0);
  if (dir_sync (dir) == -1)
    return error_set_errno (err, errno, "cannot sync peers");
  pthread_mutex_lock (&p->agent->lock);
  p->is_removed = true;
  explicit_bzero (&p->secrets, sizeof p->secrets);
  p->data[0] = p->zone[0] = p->trust[0] = p->trusted[0] = '\0';
  pthread_mutex_unlock (&p->agent->lock);
  return trust_write_bundle (p->agent, err);
}

int
sites_renew_secrets (struct agent *agent, struct error *err)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&hear_lock);
  size_t i;
  int r = 0;

  for (i = 0; r == 0 && i < agent->npeers; ++i) {
    struct peer *p = &agent->peers[i];
    struct secrets secrets;
    char address[ADDRESS_SIZE];

    if (!p->is_joined || p->is_removed)
      continue;
    pthread_mutex_lock (&agent->lock);
    secrets = p->secrets;
    TEXT_SET (address, p->address);
    pthread_mutex_unlock (&agent->lock);
    secrets_renew (&secrets);
    r = save (p, address, &secrets, err);
    if (r == 0) {
      pthread_mutex_lock (&agent->lock);
      p->secrets = secrets;
      pthread_mutex_unlock (&agent->lock);
    }
    explicit_bzero (&secrets, sizeof secrets);
  }
  return r;
}

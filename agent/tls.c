/* The certificate that the site's API shows (see tls.h).
 *
 * libmicrohttpd asks for it at each handshake, so it can be replaced while
 * connections are there.  What was loaded before may be in use by one of
 * them, and is kept until the end; there is one a rotation.
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

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

#include "cleanup.h"
#include "error.h"
#include "fileio.h"
#include "tls.h"
#include "x509.h"

#define CHAIN_MAX 8

struct identity {
  struct identity *next;         /* the one before */
  gnutls_privkey_t key;
  gnutls_pcert_st chain[CHAIN_MAX];
  unsigned count;
  uint64_t expiry;
};

static pthread_mutex_t tls_lock = PTHREAD_MUTEX_INITIALIZER;
static struct identity *newest;  /* guarded by tls_lock */

static char *
read_pem (const char *dir, const char *name, struct error *err)
{
  CLEANUP_FREE char *path = NULL;
  char *ret;

  if (asprintf (&path, "%s/%s", dir, name) == -1) {
    path = NULL;
    error_set (err, ENOMEM, "out of memory");
    return NULL;
  }
  ret = file_read (AT_FDCWD, path, X509_BUNDLE_MAX, NULL);
  if (ret == NULL) {
    error_set_errno (err, errno, "cannot read '%s'", path);
    error_hint (err, "'pairctl site init' makes the keys of a site");
  }
  return ret;
}

static void
identity_free (struct identity *id)
{
  while (id->count > 0)
    gnutls_pcert_deinit (&id->chain[--id->count]);
  if (id->key)
    gnutls_privkey_deinit (id->key);
  free (id);
}

static int
parse (struct identity *id, const char *key, const char *crt)
{
  const gnutls_datum_t k = { (unsigned char *) key, strlen (key) };
  const gnutls_datum_t c = { (unsigned char *) crt, strlen (crt) };
  unsigned count = CHAIN_MAX;
  int r = gnutls_privkey_init (&id->key);

  if (r == 0)
    r = gnutls_privkey_import_x509_raw (id->key, &k, GNUTLS_X509_FMT_PEM,
                                        NULL, 0);
  if (r == 0)
    r = gnutls_pcert_list_import_x509_raw (id->chain, &count, &c,
                                           GNUTLS_X509_FMT_PEM, 0);
  if (r == 0)
    id->count = count;
  return r;
}

int
tls_load (const char *dir, struct error *err)
{
  CLEANUP_FREE char *key = read_pem (dir, "server-key.pem", err);
  CLEANUP_FREE char *crt = key ? read_pem (dir, "server-cert.pem", err)
    : NULL;
  struct identity *id;
  int r;

  if (crt == NULL)
    return -1;
  id = calloc (1, sizeof *id);
  if (id == NULL)
    return error_set (err, ENOMEM, "out of memory");
  r = parse (id, key, crt);
  explicit_bzero (key, strlen (key));
  if (r >= 0 && x509_expiry (crt, &id->expiry, err) == -1) {
    identity_free (id);
    return -1;
  }
  if (r < 0) {
    identity_free (id);
    return error_set (err, EINVAL, "cannot use server-key.pem and "
                      "server-cert.pem of '%s': %s", dir,
                      gnutls_strerror (r));
  }
  pthread_mutex_lock (&tls_lock);
  id->next = newest;
  newest = id;
  pthread_mutex_unlock (&tls_lock);
  return 0;
}

void
tls_release (void)
{
  while (newest) {
    struct identity *next = newest->next;

    identity_free (newest);
    newest = next;
  }
}

bool
tls_expiry (uint64_t *ret)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&tls_lock);

  if (newest)
    *ret = newest->expiry;
  return newest != NULL;
}

static int
retrieve (gnutls_session_t session, const gnutls_datum_t *req_ca_dn,
          int nreqs, const gnutls_pk_algorithm_t *pk_algos,
          int pk_algos_length, gnutls_pcert_st **pcert,
          unsigned *pcert_length, gnutls_privkey_t *privkey)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&tls_lock);

  (void) session;
  (void) req_ca_dn;
  (void) nreqs;
  (void) pk_algos;
  (void) pk_algos_length;
  if (newest == NULL)
    return -1;
  *pcert = newest->chain;
  *pcert_length = newest->count;
  *privkey = newest->key;
  return 0;
}

void *
tls_callback (void)
{
  gnutls_certificate_retrieve_function2 *function = retrieve;

  return (void *) (intptr_t) function;
}

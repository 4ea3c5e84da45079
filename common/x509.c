/* Keys and certificates of a site (see x509.h). */

#include <config.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "cleanup.h"
#include "crypto.h"
#include "fileio.h"
#include "x509.h"

#define LIFE_S (10 * 366L * 86400)
/* Clocks of two sites may differ. */
#define EARLIER_S 86400L

static const char *const file_names[] = {
  "site-key.pem", "site-cert.pem", "ca-cert.pem", "server-key.pem",
  "server-cert.pem", "client-key.pem", "client-cert.pem", NULL
};

static int
gnutls_failed (struct error *err, const char *what, int r)
{
  return error_set (err, r == GNUTLS_E_MEMORY_ERROR ? ENOMEM : EIO,
                    "cannot %s: %s", what, gnutls_strerror (r));
}

/* ------------------------------------------------------------------ */
/* Making one.                                                          */

enum purpose { PURPOSE_SITE = 1, PURPOSE_SERVER, PURPOSE_CLIENT };

static int
add_host (gnutls_x509_crt_t crt, const char *host)
{
  uint8_t address[16];

  if (inet_pton (AF_INET, host, address) == 1)
    return gnutls_x509_crt_set_subject_alt_name (crt, GNUTLS_SAN_IPADDRESS,
                                                 address, 4,
                                                 GNUTLS_FSAN_APPEND);
  if (inet_pton (AF_INET6, host, address) == 1)
    return gnutls_x509_crt_set_subject_alt_name (crt, GNUTLS_SAN_IPADDRESS,
                                                 address, 16,
                                                 GNUTLS_FSAN_APPEND);
  return gnutls_x509_crt_set_subject_alt_name (crt, GNUTLS_SAN_DNSNAME, host,
                                               strlen (host),
                                               GNUTLS_FSAN_APPEND);
}

static int
set_purpose (gnutls_x509_crt_t crt, enum purpose purpose)
{
  int r;

  r = gnutls_x509_crt_set_basic_constraints (crt, purpose == PURPOSE_SITE,
                                             purpose == PURPOSE_SITE ? 0
                                             : -1);
  if (r == 0)
    r = gnutls_x509_crt_set_key_usage (crt, purpose == PURPOSE_SITE
                                       ? GNUTLS_KEY_KEY_CERT_SIGN
                                       : GNUTLS_KEY_DIGITAL_SIGNATURE);
  if (r == 0 && purpose != PURPOSE_SITE)
    r = gnutls_x509_crt_set_key_purpose_oid (crt, purpose == PURPOSE_SERVER
                                             ? GNUTLS_KP_TLS_WWW_SERVER
                                             : GNUTLS_KP_TLS_WWW_CLIENT, 0);
  return r;
}

/* Everything but the signature. */
static int
fill (gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, enum purpose purpose,
      const char *name, const char *const *hosts, gnutls_x509_crt_t ca_crt)
{
  uint8_t serial[16], id[64];
  size_t id_len = sizeof id;
  time_t now = time (NULL);
  int r;

  random_bytes (serial, sizeof serial);
  serial[0] = (serial[0] & 0x7f) | 1;   /* positive, and not zero */
  r = gnutls_x509_crt_set_version (crt, 3);
  if (r == 0)
    r = gnutls_x509_crt_set_serial (crt, serial, sizeof serial);
  if (r == 0)
    r = gnutls_x509_crt_set_activation_time (crt, now - EARLIER_S);
  if (r == 0)
    r = gnutls_x509_crt_set_expiration_time (crt, now + LIFE_S);
  if (r == 0)
    r = gnutls_x509_crt_set_dn_by_oid (crt, GNUTLS_OID_X520_COMMON_NAME, 0,
                                       name, strlen (name));
  if (r == 0)
    r = gnutls_x509_crt_set_key (crt, key);
  if (r == 0)
    r = gnutls_x509_crt_get_key_id (crt, GNUTLS_KEYID_USE_SHA256, id,
                                    &id_len);
  if (r == 0)
    r = gnutls_x509_crt_set_subject_key_id (crt, id, id_len);
  if (r == 0 && ca_crt) {
    id_len = sizeof id;
    r = gnutls_x509_crt_get_subject_key_id (ca_crt, id, &id_len, NULL);
    if (r == 0)
      r = gnutls_x509_crt_set_authority_key_id (crt, id, id_len);
  }
  if (r == 0)
    r = set_purpose (crt, purpose);
  for (; r == 0 && purpose == PURPOSE_SERVER && *hosts; ++hosts)
    r = add_host (crt, *hosts);
  return r;
}

struct pem {
  gnutls_datum_t key, crt;
};

static void
pem_release (struct pem *p)
{
  if (p->key.data)
    gnutls_memset (p->key.data, 0, p->key.size);
  gnutls_free (p->key.data);
  gnutls_free (p->crt.data);
}

/* A key and its certificate, signed by CA_KEY (NULL: by itself). */
static int
make (gnutls_x509_privkey_t *ret_key, gnutls_x509_crt_t *ret_crt,
      enum purpose purpose, const char *name, const char *const *hosts,
      gnutls_x509_privkey_t ca_key, gnutls_x509_crt_t ca_crt, struct pem *pem)
{
  int r;

  r = gnutls_x509_privkey_init (ret_key);
  if (r == 0)
    r = gnutls_x509_crt_init (ret_crt);
  if (r == 0)
    r = gnutls_x509_privkey_generate (*ret_key, GNUTLS_PK_ECDSA,
          GNUTLS_CURVE_TO_BITS (GNUTLS_ECC_CURVE_SECP256R1), 0);
  if (r == 0)
    r = fill (*ret_crt, *ret_key, purpose, name, hosts, ca_crt);
  if (r == 0)
    r = gnutls_x509_crt_sign2 (*ret_crt, ca_crt ? ca_crt : *ret_crt,
                               ca_key ? ca_key : *ret_key,
                               GNUTLS_DIG_SHA256, 0);
  if (r == 0)
    r = gnutls_x509_privkey_export2 (*ret_key, GNUTLS_X509_FMT_PEM,
                                     &pem->key);
  if (r == 0)
    r = gnutls_x509_crt_export2 (*ret_crt, GNUTLS_X509_FMT_PEM, &pem->crt);
  return r;
}

/* PEMs of the site, a server and a client. */
static int
make_all (const char *name, const char *const *hosts, struct pem pems[3])
{
  gnutls_x509_privkey_t keys[3] = { NULL };
  gnutls_x509_crt_t crts[3] = { NULL };
  char text[160];
  uint8_t random[4];
  char unique[2 * sizeof random + 1];
  int r = 0, i;

  /* During a rotation two authorities of one site are trusted.  Who looks for
   * the one that signed goes by the name.
   */
  random_bytes (random, sizeof random);
  hex_encode (random, sizeof random, unique);

  for (i = 0; r == 0 && i < 3; ++i) {
    static const char *const words[3] = { "", " server", " client" };

    snprintf (text, sizeof text, "pairdisk %.30s %s%s", name, unique,
              words[i]);
    r = make (&keys[i], &crts[i], PURPOSE_SITE + i, text, hosts,
              i == 0 ? NULL : keys[0], i == 0 ? NULL : crts[0], &pems[i]);
  }
  for (i = 0; i < 3; ++i) {
    if (crts[i])
      gnutls_x509_crt_deinit (crts[i]);
    if (keys[i])
      gnutls_x509_privkey_deinit (keys[i]);
  }
  return r;
}

/* ------------------------------------------------------------------ */
/* A directory of them.                                                 */

void
x509_remove_site (const char *dir)
{
  DIR *d = opendir (dir);
  struct dirent *e;

  while (d && (e = readdir (d)) != NULL)
    unlinkat (dirfd (d), e->d_name, 0);
  if (d)
    closedir (d);
  rmdir (dir);
}

static int
write_all (int fd, const struct pem pems[3], struct error *err)
{
  const gnutls_datum_t *const data[] = {
    &pems[0].key, &pems[0].crt, &pems[0].crt, &pems[1].key, &pems[1].crt,
    &pems[2].key, &pems[2].crt
  };
  size_t i;

  for (i = 0; file_names[i]; ++i) {
    if (file_replace (fd, file_names[i], data[i]->data, data[i]->size,
                      0600) == -1)
      return error_set_errno (err, errno, "cannot write '%s'",
                              file_names[i]);
  }
  return 0;
}

int
x509_make_site (const char *dir, const char *name, const char *const *hosts,
                struct error *err)
{
  struct pem pems[3] = { { { NULL, 0 }, { NULL, 0 } } };
  CLEANUP_CLOSE int fd = -1;
  int r, i;

  r = make_all (name, hosts, pems);
  if (r != 0)
    gnutls_failed (err, "make a certificate", r);
  else if (mkdir (dir, 0700) == -1)
    r = error_set_errno (err, errno, "cannot make '%s'", dir);
  else {
    fd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = fd == -1 ? error_set_errno (err, errno, "cannot open '%s'", dir)
      : write_all (fd, pems, err);
    if (r == -1)
      x509_remove_site (dir);
  }
  for (i = 0; i < 3; ++i)
    pem_release (&pems[i]);
  return r == 0 ? 0 : -1;
}

/* ------------------------------------------------------------------ */
/* Looking at one.                                                      */

static int
load (const char *pem, gnutls_x509_crt_t *ret, struct error *err)
{
  const gnutls_datum_t data = { (unsigned char *) pem, strlen (pem) };
  int r = gnutls_x509_crt_init (ret);

  if (r != 0)
    return gnutls_failed (err, "read a certificate", r);
  r = gnutls_x509_crt_import (*ret, &data, GNUTLS_X509_FMT_PEM);
  if (r == 0)
    return 0;
  gnutls_x509_crt_deinit (*ret);
  return error_set (err, EINVAL, "this is no certificate: %s",
                    gnutls_strerror (r));
}

int
x509_fingerprint (const char *pem, char ret[X509_FINGERPRINT_SIZE],
                  struct error *err)
{
  gnutls_x509_crt_t crt;
  uint8_t digest[32];
  size_t len = sizeof digest;
  int r;

  if (load (pem, &crt, err) == -1)
    return -1;
  r = gnutls_x509_crt_get_fingerprint (crt, GNUTLS_DIG_SHA256, digest, &len);
  gnutls_x509_crt_deinit (crt);
  if (r != 0)
    return gnutls_failed (err, "hash a certificate", r);
  hex_encode (digest, sizeof digest, ret);
  return 0;
}

int
x509_expiry (const char *pem, uint64_t *ret, struct error *err)
{
  gnutls_x509_crt_t crt;
  time_t end;

  if (load (pem, &crt, err) == -1)
    return -1;
  end = gnutls_x509_crt_get_expiration_time (crt);
  gnutls_x509_crt_deinit (crt);
  if (end == (time_t) -1)
    return error_set (err, EINVAL, "a certificate does not say when it ends");
  *ret = end;
  return 0;
}

/* Keys and certificates of a site.
 *
 * A site has a certificate authority of its own.  Its certificate is what
 * other sites pin: they know its fingerprint by an invitation, and then take
 * whatever it has signed.  It signs one certificate for the servers of the
 * site (paird, nbdkit) and one for its clients, so that these can be
 * replaced without telling anybody.
 *
 * A directory of them has the names that nbdkit and libnbd look for:
 *
 *   site-key.pem     key of the authority
 *   site-cert.pem    its certificate
 *   ca-cert.pem      the authorities that are trusted: this one and those of
 *                    the joined sites
 *   server-key.pem   server-cert.pem
 *   client-key.pem   client-cert.pem
 *
 * Keys are ECDSA, P-256.  All files have mode 0600, the directory 0700.
 */

#ifndef PAIRDISK_X509_H
#define PAIRDISK_X509_H

#include <stdint.h>

#include "error.h"

#define X509_FINGERPRINT_SIZE 65  /* hex of SHA-256, with the zero byte */
#define X509_PEM_MAX 16384        /* of one certificate */
#define X509_BUNDLE_MAX (64 * X509_PEM_MAX)

/* Make the directory DIR with everything in it, for the site NAME whose
 * servers are found at HOSTS (names or numeric addresses, NULL ends it).
 * DIR must not exist; after a failure it does not.
 */
extern int x509_make_site (const char *dir, const char *name,
                           const char *const *hosts, struct error *err);

/* Remove such a directory, if it is there, and whatever else is in it. */
extern void x509_remove_site (const char *dir);

/* SHA-256 of the (first) certificate in PEM. */
extern int x509_fingerprint (const char *pem,
                             char ret[X509_FINGERPRINT_SIZE],
                             struct error *err);

/* When the first certificate in PEM ends: seconds since 1970. */
extern int x509_expiry (const char *pem, uint64_t *ret, struct error *err);

#endif /* PAIRDISK_X509_H */

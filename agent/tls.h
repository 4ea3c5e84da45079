/* The certificate that the site's API shows (tls.c). */

#ifndef PAIRDISK_TLS_H
#define PAIRDISK_TLS_H

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

#include "error.h"

/* Read server-key.pem and server-cert.pem of DIR; from now on they are shown.
 * After a failure what was shown before still is.
 */
extern int tls_load (const char *dir, struct error *err);
extern void tls_release (void);

/* For MHD_OPTION_HTTPS_CERT_CALLBACK. */
extern int tls_retrieve (gnutls_session_t session,
                         const gnutls_datum_t *req_ca_dn, int nreqs,
                         const gnutls_pk_algorithm_t *pk_algos,
                         int pk_algos_length, gnutls_pcert_st **pcert,
                         unsigned *pcert_length, gnutls_privkey_t *privkey);

#endif /* PAIRDISK_TLS_H */

/* The certificate that the site's API shows (tls.c). */

#ifndef PAIRDISK_TLS_H
#define PAIRDISK_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

/* Read server-key.pem and server-cert.pem of DIR; from now on they are shown.
 * After a failure what was shown before still is.
 */
extern int tls_load (const char *dir, struct error *err);
extern void tls_release (void);

/* When the certificate that is shown ends; false: none is. */
extern bool tls_expiry (uint64_t *ret);

/* The function for MHD_OPTION_HTTPS_CERT_CALLBACK.  GnuTLS's header cannot be
 * included where params.h is (both have a tag "params"), so it goes untyped.
 */
extern void *tls_callback (void);

#endif /* PAIRDISK_TLS_H */

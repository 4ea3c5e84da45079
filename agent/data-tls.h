/* TLS of the links between the sites: the setting data-tls and what goes with
 * it (data-tls.c).
 */

#ifndef PAIRDISK_AGENT_DATA_TLS_H
#define PAIRDISK_AGENT_DATA_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "error.h"

struct settings;

extern int data_tls_check (const struct settings *s, struct error *err);
extern bool data_tls_is_on (const struct settings *s);

/* The URI of nbdkit at ADDRESS.  It differs for each kind, so that a link is
 * started anew when data-tls is another one.
 */
extern void data_tls_uri (const struct settings *s, const char *address,
                          char *ret, size_t size);

/* Field "tls" of link.start, a new reference; null without. */
extern json_t *data_tls_link (const struct settings *s);

/* The flag of nbdkit that names the keys, NULL without TLS or memory; the
 * caller frees it.
 */
extern char *data_tls_flag (const struct settings *s);

/* Shall nbdkit have clients show a certificate that it trusts? */
extern bool data_tls_verifies (const struct settings *s);

#endif /* PAIRDISK_AGENT_DATA_TLS_H */

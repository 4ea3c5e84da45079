/* The two signatures of the API: ACS3-HMAC-SHA256 and RPC HMAC-SHA1.
 *
 * Pure: no clock, no store, no network.  What is signed is what the action
 * sees: of a name that comes twice the first value, as in params_get.
 */

#ifndef PAIRDISK_AGENT_SIGN_H
#define PAIRDISK_AGENT_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct params;

#define SIGN_ACS3 "ACS3-HMAC-SHA256"
#define SIGN_RPC "HMAC-SHA1"
#define SIGN_SIZE 65             /* either signature, with the zero byte */
#define SIGN_HEADERS_MAX 64

/* "a=b&c=d": sorted by name, each name once, percent-encoded as RFC 3986
 * says.  LEAVE_OUT is a name or NULL.  NULL: out of memory; the caller frees.
 */
extern char *sign_query (const struct params *params, const char *leave_out);

/* "ACS3-HMAC-SHA256 Credential=ID,SignedHeaders=a;b,Signature=HEX", taken
 * apart.  SIGNED_HEADERS is as it came.
 */
struct sign_acs3 {
  char key_id[129];
  char signed_headers[1024];
  char signature[SIGN_SIZE];
};
extern bool sign_acs3_parse (const char *authorization,
                             struct sign_acs3 *ret);

/* Is the header NAME (lower case) one of the list "a;b;c"? */
extern bool sign_is_signed (const char *signed_headers, const char *name);

/* Value of a header by its lower-case name, NULL: there is none. */
typedef const char *sign_header_fn (void *opaque, const char *name);

/* The canonical request.  NULL: a signed header is absent, or out of memory;
 * the caller frees.
 */
extern char *sign_acs3_request (const char *method, const char *path,
                                const struct params *query,
                                const char *signed_headers,
                                sign_header_fn *header, void *opaque,
                                const char *body_hash);
extern void sign_acs3 (const char *secret, const char *canonical_request,
                       char ret[SIGN_SIZE]);

/* The string to sign over query and form parameters; the caller frees. */
extern char *sign_rpc_string (const char *method,
                              const struct params *params);
extern void sign_rpc (const char *secret, const char *string_to_sign,
                      char ret[SIGN_SIZE]);

/* "2026-01-31T23:59:59Z" as seconds since 1970. */
extern bool sign_time_parse (const char *text, uint64_t *ret);

#endif /* PAIRDISK_AGENT_SIGN_H */

/* The text of an invitation (token.c, join.c). */

#ifndef PAIRDISK_TOKEN_H
#define PAIRDISK_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#define TOKEN_SECRET_LEN 32

struct token {
  unsigned version;
  char address[256];             /* HOST:PORT of the API with TLS */
  char region[65];
  char id[17];
  uint8_t secret[TOKEN_SECRET_LEN];
  char fingerprint[65];
  uint64_t end;                  /* seconds since 1970 */
};

/* One word without blanks; the caller frees and wipes it.  NULL: no memory. */
extern char *token_format (const struct token *token);

/* False when TEXT (may be NULL) is not a whole token.  Blanks around it do
 * not matter.
 */
extern bool token_parse_text (const char *text, struct token *ret);

#endif /* PAIRDISK_TOKEN_H */

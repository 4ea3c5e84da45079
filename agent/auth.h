/* Who calls?  Access keys, signatures, nonces, credentials of a Unix socket
 * (auth.c), where keys and nonces are kept (store-keys.c), and the actions
 * that make keys (keys.c).
 *
 * A signed call counts once and only within CLOCK_WINDOW_S of its time: its
 * nonce is in the store, so not after a restart either.  An unsigned call is
 * taken only by the Unix socket, from root and from paird's own user.
 */

#ifndef PAIRDISK_AGENT_AUTH_H
#define PAIRDISK_AGENT_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "actions.h"
#include "names.h"
#include "sign.h"

struct agent;
struct params;
struct store;

#define CLOCK_WINDOW_S 900
#define NONCE_LIFE_MS ((2 * CLOCK_WINDOW_S + 60) * UINT64_C (1000))
#define NONCE_MAX 128            /* characters */
#define NONCES_PER_KEY_MAX 20000
#define KEYS_MAX 50

#define KEY_SECRET_SIZE 129

/* X (name, string).  Strings are interface. */
#define KEY_ROLES(X)                                                    \
  X (READ_ONLY, "read-only")                                            \
  X (OPERATOR, "operator")

extern const char *key_role_string (enum key_role role);
extern enum key_role key_role_parse (const char *str);

struct access_key {
  char id[KEY_ID_SIZE];
  char secret[KEY_SECRET_SIZE];
  enum key_role role;
  bool is_active;
  char description[DESCRIPTION_SIZE];
  uint64_t create_time;          /* seconds since 1970 */
};

/* Letters, digits, "-_."; 4 and up. */
extern bool key_id_valid (const char *str);
extern bool key_secret_valid (const char *str);

/* ------------------------------------------------------------------ */
/* store-keys.c; inside store_begin or store_enter as in store.h.       */

extern int store_key_get (struct store *s, const char *id,
                          struct access_key *ret);
extern int store_key_put (struct store *s, const struct access_key *key);
extern int store_key_remove (struct store *s, const char *id);

/* Oldest first; the caller frees.  -1: failed. */
extern ssize_t store_key_list (struct store *s, struct access_key **ret);

/* Take NONCE of KEY, which must be new.  1 taken, 0 it was used before, -1:
 * ERRNO is EIO, or E2BIG when KEY has MAX nonces already.
 */
extern int store_nonce_take (struct store *s, const char *key,
                             const char *nonce, uint64_t now_ms,
                             unsigned max);

/* ------------------------------------------------------------------ */
/* auth.c                                                               */

/* A call as it came. */
struct call {
  const char *method, *path;
  const struct params *query, *form;
  sign_header_fn *header;        /* names in lower case */
  void *opaque;                  /* for HEADER */
  const char *body;
  size_t body_len;
  bool is_unix;                  /* by the Unix socket, ... */
  int fd;                        /* ... which is this */
  const char *address;           /* of the client, for people */
};

/* Find out who calls, and what is asked for: role, key, client, params of
 * RET.  False: ANSWER has the error.
 */
extern bool auth_call (struct agent *agent, const struct call *call,
                       struct request *ret, struct answer *answer);

#endif /* PAIRDISK_AGENT_AUTH_H */

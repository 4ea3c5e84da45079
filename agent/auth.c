/* Who calls (see auth.h). */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actions.h"
#include "agent.h"
#include "apierror.h"
#include "auth.h"
#include "cleanup.h"
#include "crypto.h"
#include "params.h"
#include "sign.h"
#include "store.h"
#include "values.h"

static const char *const role_strings[] = {
  "unset",
#define X(name, string) string,
  KEY_ROLES (X)
#undef X
};

#define NROLES (sizeof role_strings / sizeof role_strings[0])

const char *
key_role_string (enum key_role role)
{
  return role_strings[(unsigned) role < NROLES ? role : 0];
}

enum key_role
key_role_parse (const char *str)
{
  unsigned i;

  for (i = KEY_ROLE_UNSET + 1; i < NROLES; ++i) {
    if (strcmp (role_strings[i], str) == 0)
      return i;
  }
  return KEY_ROLE_UNSET;
}

static bool
is_word (const char *str, size_t min, size_t size, const char *more)
{
  size_t i;

  for (i = 0; str[i]; ++i) {
    if (i + 1 >= size ||
        !((str[i] >= 'a' && str[i] <= 'z') ||
          (str[i] >= 'A' && str[i] <= 'Z') ||
          (str[i] >= '0' && str[i] <= '9') || strchr (more, str[i])))
      return false;
  }
  return i >= min;
}

bool
key_id_valid (const char *str)
{
  return is_word (str, 4, KEY_ID_SIZE, "-_.");
}

bool
key_secret_valid (const char *str)
{
  return is_word (str, 16, KEY_SECRET_SIZE, "-_.+/=");
}

/* ------------------------------------------------------------------ */

static bool
refuse (struct answer *answer, enum api_error error, const char *name,
        const char *hint)
{
  answer_error (answer, error, name, hint ? "%s" : NULL, hint);
  return false;
}

/* Headers win over the query, the query over the form; first come wins. */
static bool
add_param (struct params *to, const char *name, const char *value,
           struct answer *answer)
{
  if (value == NULL ||
      params_add (to, name, strlen (name), value, strlen (value)) == 0)
    return true;
  return refuse (answer, API_INVALID_PARAMETER_FORMAT, NULL,
                 errno == E2BIG ? "send fewer parameters"
                 : "parameters must be UTF-8 text");
}

static bool
add_params (struct params *to, const struct params *from,
            struct answer *answer)
{
  size_t i;

  for (i = 0; i < from->count; ++i) {
    if (!add_param (to, from->table[i].name, from->table[i].value, answer))
      return false;
  }
  return true;
}

/* What the old form signs is query and form, so no header counts there. */
static bool
take_params (const struct call *call, bool with_headers, struct params *to,
             struct answer *answer)
{
  if (with_headers &&
      (!add_param (to, "Action",
                   call->header (call->opaque, "x-acs-action"), answer) ||
       !add_param (to, "Version",
                   call->header (call->opaque, "x-acs-version"), answer)))
    return false;
  return add_params (to, call->query, answer) &&
    add_params (to, call->form, answer);
}

/* ------------------------------------------------------------------ */
/* What both forms have in common.                                      */

/* A signed call, before it is believed. */
struct claim {
  const char *key_id, *time, *nonce, *signature;
};

static bool
check_present (const struct claim *c, struct answer *answer)
{
  const struct { const char *name, *value; } list[] = {
    { "AccessKeyId", c->key_id }, { "Signature", c->signature },
    { "SignatureNonce", c->nonce }, { "Timestamp", c->time },
  };
  size_t i;

  for (i = 0; i < sizeof list / sizeof list[0]; ++i) {
    if (list[i].value == NULL || *list[i].value == '\0')
      return refuse (answer, API_MISSING_NAME, list[i].name, NULL);
  }
  if (strlen (c->nonce) > NONCE_MAX)
    return refuse (answer, API_INVALID_NAME, "SignatureNonce", NULL);
  return true;
}

static bool
find_key (struct agent *agent, const char *id, struct access_key *ret,
          struct answer *answer)
{
  int r = 0;

  if (key_id_valid (id)) {
    store_enter (agent->store);
    r = store_key_get (agent->store, id, ret);
    store_leave (agent->store);
  }
  if (r == -1)
    return refuse (answer, API_INTERNAL, NULL, NULL);
  if (r == 0 || ret->role == KEY_ROLE_UNSET)
    return refuse (answer, API_ACCESS_KEY_NOT_FOUND, NULL, NULL);
  if (!ret->is_active)
    return refuse (answer, API_ACCESS_KEY_INACTIVE, NULL, NULL);
  return true;
}

static bool
check_time (const char *text, struct answer *answer)
{
  uint64_t then, now = wall_ms () / 1000;

  if (!sign_time_parse (text, &then))
    return refuse (answer, API_TIMESTAMP_FORMAT, NULL, NULL);
  if (then + CLOCK_WINDOW_S < now || then > now + CLOCK_WINDOW_S)
    return refuse (answer, API_TIMESTAMP_EXPIRED, NULL, NULL);
  return true;
}

static bool
take_nonce (struct agent *agent, const struct access_key *key,
            const char *nonce, struct answer *answer)
{
  int r = -1, e = EIO;

  if (store_begin (agent->store) == 0) {
    r = store_nonce_take (agent->store, key->id, nonce, wall_ms (),
                          NONCES_PER_KEY_MAX);
    e = errno;
    if (store_end (agent->store, r == 1) == -1) {
      r = -1;
      e = EIO;
    }
  }
  if (r == -1)
    return refuse (answer, e == E2BIG ? API_THROTTLING_USER : API_INTERNAL,
                   NULL, NULL);
  return r == 1 || refuse (answer, API_SIGNATURE_NONCE_USED, NULL, NULL);
}

static bool
signatures_equal (const char *a, const char *b)
{
  return strlen (a) == strlen (b) && secret_equal (a, b, strlen (a));
}

/* ------------------------------------------------------------------ */
/* ACS3-HMAC-SHA256.                                                    */

/* Whatever we act on must be signed; action and version may come in the
 * query instead, which always is.
 */
static bool
check_signed_headers (const struct call *call, const char *list,
                      struct answer *answer)
{
  static const char *const needed[] = {
    "host", "x-acs-date", "x-acs-content-sha256", "x-acs-signature-nonce",
    "x-acs-action", "x-acs-version", NULL
  };
  size_t i;

  for (i = 0; needed[i]; ++i) {
    if (!sign_is_signed (list, needed[i]) &&
        (i < 4 || call->header (call->opaque, needed[i]))) {
      answer_error (answer, API_SIGNATURE_DOES_NOT_MATCH, NULL,
                    "the header %s must be among the signed ones",
                    needed[i]);
      return false;
    }
  }
  return true;
}

static bool
verify_acs3 (const struct call *call, const struct sign_acs3 *claim,
             const struct access_key *key, struct answer *answer)
{
  const char *told = call->header (call->opaque, "x-acs-content-sha256");
  CLEANUP_FREE char *text = NULL;
  uint8_t hash[HMAC_SIZE];
  char body_hash[2 * HMAC_SIZE + 1], want[SIGN_SIZE];

  if (!check_signed_headers (call, claim->signed_headers, answer))
    return false;
  sha256 (call->body, call->body_len, hash);
  hex_encode (hash, sizeof hash, body_hash);
  if (told == NULL || strcasecmp (told, body_hash) != 0)
    return refuse (answer, API_SIGNATURE_DOES_NOT_MATCH, NULL,
                   "x-acs-content-sha256 is not the hash of the body that "
                   "came");
  text = sign_acs3_request (call->method, call->path, call->query,
                            claim->signed_headers, call->header,
                            call->opaque, body_hash);
  if (text == NULL)
    return refuse (answer, API_SIGNATURE_DOES_NOT_MATCH, NULL,
                   "a header that is said to be signed did not come");
  sign_acs3 (key->secret, text, want);
  if (!signatures_equal (want, claim->signature))
    return refuse (answer, API_SIGNATURE_DOES_NOT_MATCH, NULL, NULL);
  return true;
}

static bool
auth_acs3 (struct agent *agent, const struct call *call,
           const char *authorization, struct request *ret,
           struct access_key *key, struct answer *answer)
{
  struct sign_acs3 parts;
  struct claim claim = {
    .key_id = parts.key_id,
    .time = call->header (call->opaque, "x-acs-date"),
    .nonce = call->header (call->opaque, "x-acs-signature-nonce"),
    .signature = parts.signature,
  };

  if (strncmp (authorization, SIGN_ACS3 " ", sizeof SIGN_ACS3) != 0)
    return refuse (answer, API_INVALID_SIGNATURE_METHOD, NULL, NULL);
  if (!sign_acs3_parse (authorization, &parts))
    return refuse (answer, API_INVALID_NAME, "Authorization",
                   "the form is ACS3-HMAC-SHA256 Credential=ID,"
                   "SignedHeaders=NAMES,Signature=HEX");
  return check_present (&claim, answer) &&
    find_key (agent, claim.key_id, key, answer) &&
    check_time (claim.time, answer) &&
    verify_acs3 (call, &parts, key, answer) &&
    take_nonce (agent, key, claim.nonce, answer) &&
    take_params (call, true, &ret->params, answer);
}

/* ------------------------------------------------------------------ */
/* RPC HMAC-SHA1.  RET has the parameters already.                      */

static bool
verify_rpc (const struct call *call, const struct params *params,
            const char *signature, const struct access_key *key,
            struct answer *answer)
{
  CLEANUP_FREE char *text = sign_rpc_string (call->method, params);
  char want[SIGN_SIZE];

  if (text == NULL)
    return refuse (answer, API_INTERNAL, NULL, NULL);
  sign_rpc (key->secret, text, want);
  if (!signatures_equal (want, signature))
    return refuse (answer, API_SIGNATURE_DOES_NOT_MATCH, NULL, NULL);
  return true;
}

static bool
auth_rpc (struct agent *agent, const struct call *call, struct request *ret,
          struct access_key *key, struct answer *answer)
{
  const struct params *p = &ret->params;
  const char *method = params_get (p, "SignatureMethod");
  const char *version = params_get (p, "SignatureVersion");
  struct claim claim = {
    .key_id = params_get (p, "AccessKeyId"),
    .time = params_get (p, "Timestamp"),
    .nonce = params_get (p, "SignatureNonce"),
    .signature = params_get (p, "Signature"),
  };

  if (!check_present (&claim, answer))
    return false;
  if (method == NULL || strcmp (method, SIGN_RPC) != 0)
    return refuse (answer, API_INVALID_SIGNATURE_METHOD, NULL, NULL);
  if (version == NULL || strcmp (version, "1.0") != 0)
    return refuse (answer, API_INVALID_NAME, "SignatureVersion", NULL);
  return find_key (agent, claim.key_id, key, answer) &&
    check_time (claim.time, answer) &&
    verify_rpc (call, p, claim.signature, key, answer) &&
    take_nonce (agent, key, claim.nonce, answer);
}

/* ------------------------------------------------------------------ */

static bool
auth_unix (const struct call *call, struct request *ret,
           struct answer *answer)
{
  struct ucred peer;
  socklen_t len = sizeof peer;

  if (getsockopt (call->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1)
    return refuse (answer, API_INTERNAL, NULL, NULL);
  if (peer.uid != 0 && peer.uid != geteuid ())
    return refuse (answer, API_FORBIDDEN, NULL,
                   "only root and the user of paird call unsigned; sign "
                   "the call with an access key");
  ret->is_local = true;
  ret->role = KEY_ROLE_OPERATOR;
  TEXT_SET (ret->client, "local");
  return take_params (call, true, &ret->params, answer);
}

bool
auth_call (struct agent *agent, const struct call *call,
           struct request *ret, struct answer *answer)
{
  const char *authorization = call->header (call->opaque, "authorization");
  CLEANUP_FREE struct access_key *key = calloc (1, sizeof *key);
  bool ok;

  if (key == NULL)
    return refuse (answer, API_INTERNAL, NULL, NULL);
  if (authorization)
    ok = auth_acs3 (agent, call, authorization, ret, key, answer);
  else if (params_get (call->query, "Signature") ||
           params_get (call->form, "Signature"))
    ok = take_params (call, false, &ret->params, answer) &&
      auth_rpc (agent, call, ret, key, answer);
  else if (call->is_unix)
    return auth_unix (call, ret, answer);
  else
    return refuse (answer, API_MISSING_NAME, "AccessKeyId",
                   "sign the call with an access key ('pairctl key "
                   "create'); only the Unix socket takes unsigned calls");
  if (ok) {
    ret->role = key->role;
    TEXT_SET (ret->key_id, key->id);
    snprintf (ret->client, sizeof ret->client, "%s %.48s", key->id,
              call->address);
  }
  explicit_bzero (key, sizeof *key);
  return ok;
}

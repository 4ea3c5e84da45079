/* How two sites come to trust each other (peer-internal.h).
 *
 * One makes an invitation: a token with its address, the fingerprint of its
 * certificate, and a secret that is good for one site and for some time.
 *
 *   pairdisk1.BASE64URL({"a":address, "r":region, "i":id, "s":secret,
 *                        "f":fingerprint, "e":end}).CHECK
 *
 * The other one asks the address for its certificate ("ca"), compares the
 * fingerprint, and then calls "join" through TLS that only this certificate's
 * owner can speak.  Call and answer are proven with the invitation's secret,
 * so both know whom they talk to.  What they sign with from then on is made
 * from that secret on both sides and does not travel.
 *
 * The same site may use its invitation again until it ends, since the answer
 * to its first call may have been lost; not when the secret has been replaced
 * or is being replaced, since such a call may be an old one that comes late.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fcntl.h>

#include <jansson.h>

#include "actions.h"
#include "agent.h"
#include "apierror.h"
#include "change.h"
#include "cleanup.h"
#include "crypto.h"
#include "error.h"
#include "events.h"
#include "fileio.h"
#include "log.h"
#include "names.h"
#include "params.h"
#include "peer-internal.h"
#include "peer.h"
#include "record.h"
#include "settings.h"
#include "states.h"
#include "store.h"
#include "token.h"
#include "values.h"
#include "x509.h"

#define EXPIRES_DEFAULT_S 3600
#define EXPIRES_MAX_S (7 * 86400)
#define JOIN_TIMEOUT_MS 6000

/* ------------------------------------------------------------------ */
/* Invitations.  The fact "invitation:ID" is JSON: secret, end, and who used
 * it; "joined-by:REGION" is the ID that a site used last.
 */

static bool
fact_name (const char *id, char ret[40])
{
  uint8_t raw[8];

  if (strlen (id) != INVITATION_ID_SIZE - 1 ||
      !hex_decode (id, INVITATION_ID_SIZE - 1, raw))
    return false;
  snprintf (ret, 40, "invitation:%s", id);
  return true;
}

/* The invitation if it is not over, a new reference; else NULL. */
static json_t *
invitation_get (struct agent *agent, const char *id)
{
  CLEANUP_FREE char *text = NULL;
  json_t *json = NULL;
  char name[40];

  if (!fact_name (id, name))
    return NULL;
  store_enter (agent->store);
  if (store_fact_get (agent->store, name, &text) == 1)
    json = json_loads (text, 0, NULL);
  store_leave (agent->store);
  if (json && json_u64 (json, "end") <= wall_ms () / 1000) {
    json_decref (json);
    json = NULL;
  }
  return json;
}

static void
user_name (const char *region, char ret[REGION_SIZE + 16])
{
  snprintf (ret, REGION_SIZE + 16, "joined-by:%s", region);
}

/* REGION, unless it is NULL, has used it. */
static int
invitation_put (struct agent *agent, const char *id, const json_t *json,
                const char *region)
{
  CLEANUP_FREE char *text = json_dumps (json, JSON_COMPACT);
  char name[40], user[REGION_SIZE + 16];
  bool ok;

  if (text == NULL || !fact_name (id, name) ||
      store_begin (agent->store) == -1)
    return -1;
  ok = store_fact_put (agent->store, name, text) == 0;
  if (ok && region) {
    user_name (region, user);
    ok = store_fact_put (agent->store, user, id) == 0;
  }
  return store_end (agent->store, ok);
}

/* What the site of REGION joined by lets it join no more. */
static int
invitation_end (struct agent *agent, const char *region)
{
  CLEANUP_FREE char *id = NULL;
  char user[REGION_SIZE + 16];
  json_t *nothing;
  int r;

  user_name (region, user);
  store_enter (agent->store);
  r = store_fact_get (agent->store, user, &id);
  store_leave (agent->store);
  if (r != 1)
    return r;
  nothing = json_object ();      /* without an end: it is over */
  r = invitation_put (agent, id, nothing, NULL);
  json_decref (nothing);
  return r;
}

/* Where the others find us. */
static bool
our_address (struct agent *agent, const char **ret, struct answer *answer)
{
  const struct settings *s = &agent->settings;

  *ret = s->address ? s->address : s->listen_tls;
  if (strcmp (s->listen_tls, "none") == 0) {
    answer_error (answer, API_OPERATION_DENIED, NULL,
                  "this site has no listen-tls for other sites; see "
                  "'pairctl site init'");
    return false;
  }
  if (s->address == NULL && (strncmp (s->listen_tls, "0.0.0.0:", 8) == 0 ||
                             strncmp (s->listen_tls, "[::]:", 5) == 0 ||
                             s->listen_tls[0] == ':')) {
    answer_error (answer, API_OPERATION_DENIED, NULL,
                  "listen-tls is no address that others could use: set "
                  "'address' in the configuration file");
    return false;
  }
  return true;
}

static bool
only_here (const struct request *req, struct answer *answer)
{
  if (!req->is_local)
    answer_error (answer, API_FORBIDDEN, NULL, "sites are managed on their "
                  "own machine, with pairctl");
  return req->is_local;
}

static bool
answer_failure (struct answer *answer, const struct error *err)
{
  answer_error (answer, API_OPERATION_DENIED, NULL, "%s%s%s", err->message,
                err->hint[0] ? "; " : "", err->hint);
  return false;
}

void
action_create_invitation (struct agent *agent, struct request *req,
                          const struct work_token *work,
                          struct answer *answer)
{
  const char *wanted = params_get (&req->params, "ExpiresIn"), *address;
  uint64_t life = EXPIRES_DEFAULT_S;
  CLEANUP_FREE char *pem = NULL;
  struct error err = ERROR_INIT;
  struct token token = { .version = 1 };
  uint8_t id[8];
  char secret[65], *text;
  json_t *json;
  int r;

  (void) work;
  if (!only_here (req, answer) || !our_address (agent, &address, answer))
    return;
  if (wanted && *wanted &&
      (!uint_parse (wanted, EXPIRES_MAX_S, &life) || life == 0)) {
    answer_error (answer, API_INVALID_PARAMETER, "ExpiresIn",
                  "1 second to 7 days");
    return;
  }
  pem = trust_ours (agent, NULL, &err);
  if (pem == NULL || x509_fingerprint (pem, token.fingerprint, &err) == -1) {
    answer_failure (answer, &err);
    return;
  }
  random_bytes (id, sizeof id);
  hex_encode (id, sizeof id, token.id);
  random_bytes (token.secret, sizeof token.secret);
  token.end = wall_ms () / 1000 + life;
  TEXT_SET (token.address, address);
  TEXT_SET (token.region, agent->settings.region);

  hex_encode (token.secret, sizeof token.secret, secret);
  json = json_pack ("{s:s, s:I}", "secret", secret,
                    "end", (json_int_t) token.end);
  r = json ? invitation_put (agent, token.id, json, NULL) : -1;
  json_decref (json);
  explicit_bzero (secret, sizeof secret);
  text = r == 0 ? token_format (&token) : NULL;
  explicit_bzero (token.secret, sizeof token.secret);
  if (text == NULL) {
    answer_error (answer, API_INTERNAL, NULL, NULL);
    return;
  }
  event_note (agent, LOG_LEVEL_INFO, req->client, "site-invited", "", "",
              "invitation %s for one site, good for %llu s", token.id,
              (unsigned long long) life);
  answer->body = json_pack ("{s:s, s:I, s:s, s:s}", "Token", text,
                            "ExpireTime", (json_int_t) token.end,
                            "Address", address,
                            "Fingerprint", token.fingerprint);
  explicit_bzero (text, strlen (text));
  free (text);
}

/* ------------------------------------------------------------------ */
/* The invited site calls.                                              */

json_t *
join_serve_ca (struct agent *agent)
{
  struct error err = ERROR_INIT;
  CLEANUP_FREE char *pem = trust_ours (agent, NULL, &err);

  return pem ? json_pack ("{s:s}", "trust", pem)
    : json_pack ("{s:s}", "Message", err.message);
}

bool
join_secret (struct agent *agent, const json_t *body, struct secret *ret)
{
  json_t *invitation = invitation_get (agent,
                                       json_text (body, "invitation"));
  const char *hex = json_text (invitation, "secret");
  bool ok = strlen (hex) == 2 * TOKEN_SECRET_LEN &&
    hex_decode (hex, 2 * TOKEN_SECRET_LEN, ret->data);

  ret->len = ok ? TOKEN_SECRET_LEN : 0;
  json_decref (invitation);
  return ok;
}

/* What the two sites sign with, from the invitation's secret. */
static void
derive (const struct secret *secret, const char *inviting,
        const char *invited, const char *fingerprint,
        struct joined_secret *ret)
{
  char text[2 * REGION_SIZE + X509_FINGERPRINT_SIZE + 32];
  int n = snprintf (text, sizeof text, "pairdisk sites\n%s\n%s\n%s",
                    inviting, invited, fingerprint);

  ret->count = 1;
  hmac_sha256 (secret->data, secret->len, text, n, ret->data);
}

/* For whom the invitation is from now on; false: it was another's.  *RET_AGAIN:
 * it was this one's before.
 */
static bool
invitation_use (struct agent *agent, const char *id, const char *region,
                const char *fingerprint, bool *ret_again)
{
  json_t *json = invitation_get (agent, id);
  char user[REGION_SIZE + X509_FINGERPRINT_SIZE];
  const char *before = json_text (json, "user");
  bool ok;

  snprintf (user, sizeof user, "%s %s", region, fingerprint);
  ok = json && (*before == '\0' || strcmp (before, user) == 0);
  *ret_again = *before != '\0';
  if (ok && *before == '\0') {
    json_object_set_new (json, "user", json_string (user));
    ok = invitation_put (agent, id, json, region) == 0;
  }
  json_decref (json);
  return ok;
}

/* The site has joined and another secret counts by now: a call that says
 * otherwise comes late, and would undo that.
 */
static bool
is_past (struct peer *p, const struct joined_secret *joined)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&p->agent->lock);

  return p->is_joined && !p->is_removed &&
    (p->secrets.n > 1 || !secrets_have (&p->secrets, joined));
}

json_t *
join_serve (struct agent *agent, const json_t *body, const char **ret_why)
{
  const char *region = json_text (body, "region");
  const char *address = json_text (body, "address");
  const char *trust = json_text (body, "trust");
  const char *id = json_text (body, "invitation");
  char fingerprint[X509_FINGERPRINT_SIZE];
  CLEANUP_FREE char *ours = NULL;
  struct error err = ERROR_INIT;
  struct joined_secret joined;
  struct secret secret;
  struct peer *p;
  bool is_again;
  int r;

  *ret_why = "the call to join was not understood";
  if (!region_is_valid (region) || strrchr (address, ':') == NULL ||
      strlen (address) >= ADDRESS_SIZE || strlen (trust) >= TRUST_SIZE ||
      x509_fingerprint (trust, fingerprint, &err) == -1)
    return NULL;
  *ret_why = "both sites are of one region; each needs one of its own";
  if (strcmp (region, agent->settings.region) == 0)
    return NULL;
  *ret_why = "another site has used the invitation";
  if (!invitation_use (agent, id, region, fingerprint, &is_again) ||
      !join_secret (agent, body, &secret))
    return NULL;
  derive (&secret, agent->settings.region, region, fingerprint, &joined);
  secret_wipe (&secret);
  p = peer_slot (agent, region, &err);
  if (p && is_again && is_past (p, &joined)) {
    explicit_bzero (&joined, sizeof joined);
    *ret_why = "the invitation was used, and what the sites share has "
      "changed since; make another";
    return NULL;
  }
  r = p ? sites_add (p, json_text (body, "zone"), address, trust, &joined,
                     &err) : -1;
  explicit_bzero (&joined, sizeof joined);
  ours = r == 0 ? trust_ours (agent, NULL, &err) : NULL;
  if (ours == NULL) {
    log_error ("site: region %s cannot join: %s", region, err.message);
    *ret_why = "the site cannot take another in; see its log";
    return NULL;
  }
  *ret_why = NULL;
  event_note (agent, LOG_LEVEL_INFO, "peer", "site-joined", "", "",
              "the site of region %s at %s joined by invitation %s, "
              "certificate %.16s", region, address, id, fingerprint);
  return json_pack ("{s:s, s:s, s:s}", "region", agent->settings.region,
                    "zone", agent->settings.zone, "trust", ours);
}

/* ------------------------------------------------------------------ */
/* We are the invited site.                                             */

/* Its certificate by the fingerprint; the caller frees. */
static char *
fetch_trust (const struct token *token, struct error *err)
{
  CLEANUP_FREE char *text = NULL;
  char fingerprint[X509_FINGERPRINT_SIZE], ignored[65];
  size_t len;
  json_t *json;
  char *ret;

  /* Anybody may answer this; what it says is checked. */
  if (peer_post (token->address, true, NULL, "ca", "{}", "Accept: */*",
                 JOIN_TIMEOUT_MS, &text, &len, ignored, err) == -1)
    return NULL;
  json = json_loads (text, 0, NULL);
  ret = strdup (json_text (json, "trust"));
  json_decref (json);
  if (ret == NULL || strlen (ret) >= TRUST_SIZE ||
      x509_fingerprint (ret, fingerprint, err) == -1 ||
      strcmp (fingerprint, token->fingerprint) != 0) {
    free (ret);
    error_set (err, EACCES, "what answers at %s is not the site that made "
               "the token: its certificate is another", token->address);
    return NULL;
  }
  return ret;
}

/* The call itself, with the certificate in a file for libcurl. */
static json_t *
call_join (struct agent *agent, const struct token *token, const char *trust,
           const struct secret *secret, const char *address,
           const char *ours, struct error *err)
{
  CLEANUP_FREE char *path = NULL;
  CLEANUP_FREE char *text = NULL;
  json_t *body, *ret = NULL;

  body = json_pack ("{s:s, s:s, s:s, s:s, s:s}", "invitation", token->id,
                    "region", agent->settings.region,
                    "zone", agent->settings.zone, "address", address,
                    "trust", ours);
  text = body ? json_dumps (body, JSON_COMPACT) : NULL;
  json_decref (body);
  if (text == NULL ||
      asprintf (&path, "%s/peers/join-%s.tmp", agent->settings.dir,
                token->id) == -1) {
    path = NULL;
    error_set (err, ENOMEM, "out of memory");
    return NULL;
  }
  if (file_replace_path (path, trust, strlen (trust), 0600) == -1)
    error_set_errno (err, errno, "cannot write '%s'", path);
  else
    ret = peer_call_proven (token->address, true, path, secret, "join", text,
                            JOIN_TIMEOUT_MS, err);
  unlink (path);
  return ret;
}

static int
join (struct agent *agent, const struct token *token, const char *address,
      struct error *err)
{
  CLEANUP_FREE char *trust = NULL;
  CLEANUP_FREE char *ours = trust_ours (agent, NULL, err);
  char fingerprint[X509_FINGERPRINT_SIZE];
  struct joined_secret joined;
  struct secret secret = { .len = TOKEN_SECRET_LEN };
  struct peer *p;
  json_t *reply;
  int r = -1;

  if (ours == NULL || x509_fingerprint (ours, fingerprint, err) == -1)
    return -1;
  trust = fetch_trust (token, err);
  if (trust == NULL)
    return -1;
  memcpy (secret.data, token->secret, TOKEN_SECRET_LEN);
  reply = call_join (agent, token, trust, &secret, address, ours, err);
  if (reply && strcmp (json_text (reply, "region"), token->region) != 0)
    error_set (err, EBADMSG, "the site says that it is region '%s'",
               json_text (reply, "region"));
  else if (reply && (p = peer_slot (agent, token->region, err)) != NULL) {
    derive (&secret, token->region, agent->settings.region, fingerprint,
            &joined);
    r = sites_add (p, json_text (reply, "zone"), token->address, trust,
                   &joined, err);
    explicit_bzero (&joined, sizeof joined);
  }
  secret_wipe (&secret);
  json_decref (reply);
  return r;
}

void
action_join_site (struct agent *agent, struct request *req,
                  const struct work_token *work, struct answer *answer)
{
  struct error err = ERROR_INIT;
  struct token token;
  const char *address;

  (void) work;
  if (!only_here (req, answer) || !our_address (agent, &address, answer))
    return;
  if (!token_parse_text (params_get (&req->params, "Token"), &token)) {
    answer_error (answer, API_INVALID_PARAMETER, "Token",
                  "it is not a whole token of 'pairctl site invite'");
    return;
  }
  if (token.end <= wall_ms () / 1000)
    answer_error (answer, API_OPERATION_DENIED, NULL,
                  "the token is over; make another with 'pairctl site "
                  "invite'");
  else if (strcmp (token.region, agent->settings.region) == 0)
    answer_error (answer, API_OPERATION_DENIED, NULL,
                  "the token is of a site of region %s as this one is",
                  token.region);
  else if (join (agent, &token, address, &err) == -1)
    answer_failure (answer, &err);
  else {
    event_note (agent, LOG_LEVEL_INFO, req->client, "site-joined", "", "",
                "joined the site of region %s at %s, certificate %.16s",
                token.region, token.address, token.fingerprint);
    answer->body = json_pack ("{s:s, s:s}", "PeerRegionId", token.region,
                              "Address", token.address);
  }
  explicit_bzero (&token, sizeof token);
}

/* ------------------------------------------------------------------ */

/* A pair with that region, into RET (its id); false: none. */
static bool
has_pairs (struct agent *agent, const char *region, char ret[ID_SIZE])
{
  CLEANUP_FREE struct record *list = NULL;
  bool found = false;
  ssize_t n, i;

  store_enter (agent->store);
  n = store_pair_list (agent->store, &list);
  store_leave (agent->store);
  for (i = 0; i < n && !found; ++i) {
    found = list[i].status != PAIR_DELETED &&
      strcmp (other_region (agent, &list[i]), region) == 0;
    if (found)
      text_set (ret, ID_SIZE, list[i].id);
  }
  return found || n == -1;
}

void
action_remove_site (struct agent *agent, struct request *req,
                    const struct work_token *work, struct answer *answer)
{
  const char *region = params_get (&req->params, "PeerRegionId");
  struct error err = ERROR_INIT;
  char pair[ID_SIZE] = "";
  struct peer *p;

  (void) work;
  if (!only_here (req, answer))
    return;
  p = peer_find (agent, region);
  if (p == NULL)
    answer_error (answer, API_NO_SUCH_RESOURCE, NULL,
                  "no site of region %s is known here", region);
  else if (!p->is_joined)
    answer_error (answer, API_OPERATION_DENIED, NULL,
                  "the site is named in the configuration file; take it out "
                  "there");
  else if (has_pairs (agent, region, pair))
    answer_error (answer, API_OPERATION_DENIED, NULL,
                  "pair %s is with that site; delete it first", pair);
  else if (invitation_end (agent, region) == -1)
    answer_error (answer, API_OPERATION_DENIED, NULL, "the invitation that "
                  "the site joined by cannot be ended; see the log");
  else if (sites_remove (p, &err) == -1)
    answer_failure (answer, &err);
  else
    event_note (agent, LOG_LEVEL_INFO, req->client, "site-removed", "", "",
                "the site of region %s is no peer any more", region);
}

void
action_rotate_site (struct agent *agent, struct request *req,
                    const struct work_token *work, struct answer *answer)
{
  const char *force = params_get (&req->params, "Force");
  struct error err = ERROR_INIT;
  char region[REGION_SIZE];
  const char *state;

  (void) work;
  if (!only_here (req, answer))
    return;
  if (trust_stage (agent, force && strcmp (force, "true") == 0, &err) == -1 ||
      sites_renew_secrets (agent, &err) == -1) {
    answer_failure (answer, &err);
    return;
  }
  event_note (agent, LOG_LEVEL_INFO, req->client, "site-secrets", "", "",
              "the secrets shared with joined sites are being replaced");
  peers_wake (agent);
  state = trust_rotation (agent, region);
  answer->body = json_pack ("{s:s, s:s}", "Rotation", state,
                            "RotationWaitsFor", region);
}

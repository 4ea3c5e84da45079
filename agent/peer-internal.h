/* What peer*.c, secrets.c, sites.c, join.c and trust.c share about the other
 * sites.
 */

#ifndef PAIRDISK_PEER_INTERNAL_H
#define PAIRDISK_PEER_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "error.h"
#include "settings.h"

struct agent;

#define ADDRESS_SIZE 256
#define PEER_FILE_MAX (256 * 1024)
#define TRUST_SIZE (48 * 1024)   /* certificates of one site */
#define INVITATION_ID_SIZE 17

/* Secrets of a joined site, newest first.  There is more than one only while
 * they are being changed: see secrets.c.
 */
#define SECRETS_MAX 4
#define JOINED_SECRET_LEN 32

struct joined_secret {
  uint64_t count;                /* each new one counts one more */
  uint8_t data[JOINED_SECRET_LEN];
};

struct secrets {
  size_t n;
  struct joined_secret list[SECRETS_MAX];
  size_t sure;                   /* index of the newest that the other site
                                    is known to hold */
};

/* Slots are never moved nor given back; agent.npeers only grows. */
struct peer {
  struct agent *agent;
  pthread_t thread;
  bool has_thread;
  bool is_joined;                /* by invitation: TLS, secrets of its own */
  char region[REGION_SIZE];
  char ca_path[512];             /* its certificates, for libcurl */

  /* Guarded by agent.lock. */
  pthread_cond_t cond;           /* something changed, or quit */
  bool wanted, quit;
  bool is_removed;
  bool is_doubted;               /* a call took too long: say hello */
  char address[ADDRESS_SIZE];    /* HOST:PORT of its API */
  struct secrets secrets;        /* joined only */
  char trust[65];                /* digest of the certificates we have of it */
  char trusted[65];              /* ... of those it has of us, as told */
  uint64_t ok_ns, fail_ns;       /* last answer, last failure */
  bool was_reachable;            /* as the last event said */
  char zone[REGION_SIZE];
  char data[ADDRESS_SIZE];       /* HOST:PORT of its nbdkit, or "" */
};

extern bool peer_is_reachable_locked (const struct peer *p);

/* A new or found slot for a joined site, not started yet.  NULL: ERR. */
extern struct peer *peer_slot (struct agent *agent, const char *region,
                               struct error *err);

/* Start its thread, or have the one that is there begin anew. */
extern int peer_begin (struct peer *p, struct error *err);

/* ------------------------------------------------------------------ */
/* peer-call.c                                                          */

/* The authentication of a message: hex HMAC with SECRET over KIND, verb, time,
 * nonce, body.
 */
extern void peer_hmac (const void *secret, size_t secret_len,
                       const char *kind, const char *verb,
                       const char *time_ms, const char *nonce,
                       const char *body, size_t len, char ret[65]);

/* POST https://ADDRESS/peer/VERB with the answer's text.  CA_PATH: what must
 * have signed the other side's certificate; NULL: nobody is asked.
 * *RET_AUTH is the proof in the answer, or "".
 */
extern int peer_post (const char *address, bool is_tls, const char *ca_path,
                      const char *verb, const char *body, const char *auth,
                      unsigned timeout_ms, char **ret_body, size_t *ret_len,
                      char ret_auth[65], struct error *err);

/* A secret that can be passed on; wipe it after use. */
struct secret {
  uint8_t data[4096];
  size_t len;
};

/* The same with a proof of SECRET in both directions.  NULL: ERR. */
extern json_t *peer_call_proven (const char *address, bool is_tls,
                                 const char *ca_path,
                                 const struct secret *secret,
                                 const char *verb, const char *body,
                                 unsigned timeout_ms, struct error *err);

/* ------------------------------------------------------------------ */
/* secrets.c                                                            */

extern void secret_wipe (struct secret *s);

/* The name of a secret that may be told to anybody: 16 hex digits. */
#define SECRET_ID_SIZE 17
extern void joined_secret_id (const struct joined_secret *s,
                              char ret[SECRET_ID_SIZE]);

/* Put S in its place; false: it is there.  KEEP is the name of one
 * that stays in any case, as does the one we are sure of.
 */
extern bool secrets_have (const struct secrets *list,
                          const struct joined_secret *s);
extern bool secrets_add (struct secrets *list, const struct joined_secret *s,
                         const char *keep);

/* A new one, newer than all. */
extern void secrets_renew (struct secrets *list);

/* "secrets" of a hello: what we hold, what we are sure of, and the newest if
 * the other side may not have it.
 */
extern json_t *secrets_tell (const struct secrets *list);

/* Take in what the other side told; true if LIST changed. */
extern bool secrets_hear (struct secrets *list, const json_t *told);

extern json_t *secrets_to_json (const struct secrets *list);
extern bool secrets_from_json (const json_t *json, struct secrets *ret);

/* What calls to P are signed with, or what the pairs with it are. */
extern void peer_secret (struct peer *p, struct secret *ret);

/* Whose secret proves this message?  NULL: nobody's.  RET is the secret. */
extern struct peer *peer_verify (struct agent *agent, const char *kind,
                                 const char *verb, const char *time_ms,
                                 const char *nonce, const char *body,
                                 size_t len, const char *mac,
                                 struct secret *ret);

/* ------------------------------------------------------------------ */
/* sites.c                                                              */

/* Sites that were joined, from the site directory, into the table of peers. */
extern int sites_load (struct agent *agent, struct error *err);

/* "trust" and "secrets" of a hello to and from P. */
extern void sites_tell (struct peer *p, json_t *hello);
extern void sites_hear (struct peer *p, const json_t *hello);

/* Take in a site: P (from peer_slot) has these certificates and secrets from
 * now on, durably, and its thread begins.  ZONE is what it said, until the
 * first hello.
 */
extern int sites_add (struct peer *p, const char *zone, const char *address,
                      const char *trust, const struct joined_secret *secret,
                      struct error *err);
extern int sites_remove (struct peer *p, struct error *err);

/* A new secret for each joined site. */
extern int sites_renew_secrets (struct agent *agent, struct error *err);

/* ------------------------------------------------------------------ */
/* join.c                                                               */

/* Calls from a site that is no peer yet.  "ca": what its token's fingerprint
 * is of.
 */
extern json_t *join_serve_ca (struct agent *agent);

/* The secret of the invitation that the call BODY names; false: there is none
 * (any more).
 */
extern bool join_secret (struct agent *agent, const json_t *body,
                         struct secret *ret);

/* "join", proven with that secret.  NULL: *RET_WHY says why not. */
extern json_t *join_serve (struct agent *agent, const json_t *body,
                           const char **ret_why);

/* ------------------------------------------------------------------ */
/* trust.c                                                              */

/* The certificates that this site wants to be known by, PEM; the caller
 * frees.  RET_DIGEST may be NULL.
 */
extern char *trust_ours (struct agent *agent, char ret_digest[65],
                         struct error *err);
extern void trust_digest (const char *pem, char ret[65]);

/* Write ca-cert.pem: ours and those of all joined sites. */
extern int trust_write_bundle (struct agent *agent, struct error *err);

/* Stage new keys; they are shown once every joined site knows them, or at
 * once if IS_FORCED.
 */
extern int trust_stage (struct agent *agent, bool is_forced,
                        struct error *err);

/* Go on with a rotation, if one is under way. */
extern void trust_step (struct agent *agent);

/* "none", "waiting" (for a site, into RET_FOR), "old-kept" (nbdkit still
 * shows the old one).
 */
extern const char *trust_rotation (struct agent *agent,
                                   char ret_for[REGION_SIZE]);

#endif /* PAIRDISK_PEER_INTERNAL_H */

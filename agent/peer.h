/* The other sites: calls to them (peer.c) and from them (peer-serve.c). */

#ifndef PAIRDISK_AGENT_PEER_H
#define PAIRDISK_AGENT_PEER_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "apierror.h"
#include "error.h"

struct agent;
struct peer;

#define PEER_AUTH_HEADER "x-pairdisk-auth"
#define PEER_WINDOW_MS 60000     /* how far the clocks may differ */

/* Start one thread a peer. */
extern int peers_start (struct agent *agent, struct error *err);
extern void peers_stop (struct agent *agent);

/* The peer for a region, NULL if none is configured. */
extern struct peer *peer_find (struct agent *agent, const char *region);
extern bool peer_is_reachable (struct peer *peer);
extern json_t *peers_describe (struct agent *agent);

/* POST /peer/VERB with BODY (stolen).  NULL: no valid answer in time. */
extern json_t *peer_call (struct peer *peer, const char *verb, json_t *body,
                          unsigned timeout_ms, struct error *err);

/* The code in the "refused" of its answer. */
extern enum api_error peer_refused_code (const json_t *refused);

/* Data URI of the peer's plugin, or false when never heard. */
extern bool peer_data_uri (struct agent *agent, const char *region,
                           char *ret, size_t size);

/* Have the peer threads look at the records now. */
extern void peers_wake (struct agent *agent);

/* Check and serve a call.  *RET_AUTH (64 digits) proves the answer. */
extern json_t *peer_serve (struct agent *agent, const char *verb,
                           const char *auth, const char *body, size_t len,
                           int *ret_http, char ret_auth[65]);

#endif /* PAIRDISK_AGENT_PEER_H */

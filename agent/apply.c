/* Bring this site's plugin to what a pair's record says (see apply.h).
 *
 *   status                         source                destination
 *   creating created stop* invalid primary, link off     secondary, refusing
 *   initial_syncing syncing normal primary, link on      secondary, accepting
 *   manual_syncing                 primary, one-shot     secondary, accepting
 *   failovering failovered         meets the fence       promoted
 *   reprotect_failed               meets the fence       left alone
 *   reprotecting, to reverse       gives up              promoted
 *   reprotecting, to cancel        writes again, after:  gives up
 *   create_failed delet*           cleared               cleared
 *   other                          left alone            left alone
 *
 * Level-triggered: each call looks at the plugin's STATUS and makes the next
 * step that is missing.  Every step may be repeated, so a kill anywhere
 * needs no undoing.
 */

#include <config.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "agent.h"
#include "apply.h"
#include "change.h"
#include "cleanup.h"
#include "clock.h"
#include "control.h"
#include "crypto.h"
#include "data-tls.h"
#include "log.h"
#include "mode.h"
#include "peer-internal.h"
#include "peer.h"
#include "plugin.h"
#include "record.h"
#include "reprotect.h"
#include "runtime.h"
#include "states.h"
#include "store.h"
#include "transitions.h"
#include "values.h"

#define OP_TIMEOUT_MS 10000
#define PEER_GRACE_NS (3 * NS_PER_SEC)
#define KICK_NS (5 * NS_PER_SEC)

struct step {
  struct agent *agent;
  const struct record *rec;
  const char *disk;
  const json_t *status;
  struct control_error *err;
};

static json_t *
ask (struct step *s, json_t *request)
{
  struct site_step step;
  json_t *reply;

  json_object_set_new (request, "disk", json_string (s->disk));
  disk_step_begins (&step, s->agent, s->rec, json_text (request, "op"));
  reply = plugin_call (s->agent->plugin, request, OP_TIMEOUT_MS, s->err);
  site_step_ended (&step);
  return reply;
}

/* A step was made, or -1. */
static int
tell (struct step *s, json_t *request)
{
  json_t *reply = ask (s, request);

  json_decref (reply);
  return reply ? APPLY_STEPPED : -1;
}

static int
op (struct step *s, const char *name)
{
  log_info ("worker: pair %s: %s", s->rec->id, name);
  return tell (s, json_pack ("{s:s}", "op", name));
}

static int
fail (struct step *s, const char *code, const char *message)
{
  TEXT_SET (s->err->code, code);
  TEXT_SET (s->err->message, message);
  return -1;
}

static bool
is_ours (const struct step *s)
{
  return strcmp (json_text (s->status, "pair"), s->rec->uuid) == 0;
}

/* STATUS of either site's disk: does it have ROLE by this very record? */
static bool
has_role (const struct step *s, const json_t *status, const char *role)
{
  return strcmp (json_text (status, "pair"), s->rec->uuid) == 0 &&
    strcmp (json_text (status, "role"), role) == 0 &&
    json_u64 (status, "fence") == s->rec->fence;
}

/* ------------------------------------------------------------------ */
/* Roles.                                                               */

/* The link's secret, from the one that we share with the other site. */
static bool
link_secret (struct step *s, struct peer *peer, char ret[65])
{
  struct secret secret;

  if (peer == NULL)
    return false;
  peer_secret (peer, &secret);
  record_secret (secret.data, secret.len, s->rec, ret);
  secret_wipe (&secret);
  return true;
}

/* Is SECRET the one that this process gave the plugin last?  Remember it.  The
 * plugin does nothing when it is given what it has.
 */
static bool
secret_is_new (struct step *s, const char *secret)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->agent->lock);
  struct runtime *rt = runtime_get (s->agent, s->rec->id);
  uint8_t mac[HMAC_SIZE];

  hmac_sha256 ("link", 4, secret, 64, mac);
  if (rt == NULL || memcmp (rt->link_secret, mac, sizeof mac) == 0)
    return false;
  memcpy (rt->link_secret, mac, sizeof mac);
  return true;
}

static void
forget_secret (struct step *s)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->agent->lock);
  struct runtime *rt = runtime_get (s->agent, s->rec->id);

  if (rt)
    memset (rt->link_secret, 0, sizeof rt->link_secret);
}

static int
give_role (struct step *s, const char *role)
{
  const char *now = json_text (s->status, "role");
  bool is_same = has_role (s, s->status, role);
  struct peer *peer = peer_find (s->agent, other_region (s->agent, s->rec));
  char secret[65];
  int r;

  /* What the sites agreed on stays until they know each other by another. */
  if (is_same && (peer == NULL || !peer_is_reachable (peer)))
    return APPLY_DONE;
  if (!link_secret (s, peer, secret))
    return fail (s, "no-site", "this site has no peer of the pair's other "
                 "region");
  if (!secret_is_new (s, secret) && is_same)
    return APPLY_DONE;
  if (!is_ours (s) && strcmp (now, "standalone") != 0)
    return fail (s, "wrong-role", "the disk belongs to another pair");
  if (is_ours (s) && strcmp (now, "primary") == 0 &&
      strcmp (role, "secondary") == 0)
    return fail (s, "wrong-role", "the disk was promoted; it is not made "
                 "secondary again without a reprotect");
  if (json_u64 (s->status, "fence") > s->rec->fence)
    return fail (s, "fence-too-low", "the disk met a higher fence number "
                 "than this pair has");
  log_info ("worker: pair %s: disk %s %s %s", s->rec->id, s->disk,
            is_same ? "has its link's secret checked as" : "becomes", role);
  r = tell (s, json_pack ("{s:s, s:s, s:s, s:I, s:s}", "op", "pair.set",
                          "role", role, "pair", s->rec->uuid,
                          "fence", (json_int_t) s->rec->fence,
                          "secret", secret));
  explicit_bzero (secret, sizeof secret);
  if (r == -1)
    forget_secret (s);
  return r;
}

/* The disk's mode and limits, whichever role it has: it may get the other. */
static int
give_mode (struct step *s)
{
  json_t *request = mode_request (s->rec, s->status);

  if (request == NULL)
    return APPLY_DONE;
  log_info ("worker: pair %s: %s of disk %s", s->rec->id,
            json_text (request, "op"), s->disk);
  return tell (s, request);
}

/* Role and mode. */
static int
settle (struct step *s, const char *role)
{
  int r = give_role (s, role);

  return r == APPLY_DONE ? give_mode (s) : r;
}

static int
clear_role (struct step *s)
{
  return is_ours (s) ? op (s, "pair.clear") : APPLY_DONE;
}

/* ------------------------------------------------------------------ */
/* The source's link.                                                   */

static const char *
link_state (const struct step *s)
{
  const char *state =
    json_text (json_object_get (s->status, "link"), "state");

  return *state ? state : "off";
}

static int
link_off (struct step *s)
{
  return strcmp (link_state (s), "off") == 0 ? APPLY_DONE
    : op (s, "link.stop");
}

/* Remember what link.start was given for. */
static int
note_link (struct step *s, const char *uri, const char *digest)
{
  struct agent *agent = s->agent;
  struct record *rec = malloc (sizeof *rec);
  struct site_step step;
  struct runtime *rt;
  int r = -1;

  site_step_begins (&step, transition_of (s->rec), "link-noted");
  if (rec && store_begin (agent->store) == 0) {
    r = store_pair_get (agent->store, s->rec->id, rec);
    if (r == 1) {
      rec->link_epoch = s->rec->epoch;
      text_set (rec->link_uri, sizeof rec->link_uri, uri);
      TEXT_SET (rec->link_digest, digest);
      r = store_pair_put (agent->store, rec);
    }
    if (store_end (agent->store, r == 0) == -1)
      r = -1;
  }
  site_step_ended (&step);
  free (rec);
  pthread_mutex_lock (&agent->lock);
  rt = runtime_get (agent, s->rec->id);
  if (rt)
    rt->link_started_ns = clock_mono_ns ();
  pthread_mutex_unlock (&agent->lock);
  return r == 0 ? APPLY_STEPPED
    : fail (s, "internal", "the store failed");
}

/* How the link is carried; RET names it. */
static json_t *
start_request (struct step *s, const char *uri, bool oneshot, char ret[65])
{
  json_t *start = json_pack ("{s:s, s:s, s:b, s:o}", "op", "link.start",
                             "uri", uri, "oneshot", (int) oneshot,
                             "tls", data_tls_link (&s->agent->settings));
  CLEANUP_FREE char *text = NULL;
  uint8_t mac[HMAC_SIZE];

  if (start == NULL)
    return NULL;
  mode_add_to_start (s->rec, start);
  text = json_dumps (start, JSON_COMPACT | JSON_SORT_KEYS);
  if (text == NULL) {
    json_decref (start);
    return NULL;
  }
  hmac_sha256 ("start", 5, text, strlen (text), mac);
  hex_encode (mac, sizeof mac, ret);
  return start;
}

static int
link_start (struct step *s, const char *uri, bool oneshot)
{
  char digest[65];
  json_t *start = start_request (s, uri, oneshot, digest);

  if (start == NULL)
    return fail (s, "internal", "out of memory");
  log_info ("worker: pair %s: link.start %s%s", s->rec->id, uri,
            oneshot ? " one-shot" : "");
  return tell (s, start) == -1 ? -1 : note_link (s, uri, digest);
}

/* Was link.start given for this, by this verb? */
static bool
is_started (struct step *s, const char *uri, bool oneshot)
{
  char digest[65] = "";

  json_decref (start_request (s, uri, oneshot, digest));
  return s->rec->link_epoch == s->rec->epoch &&
    strcmp (s->rec->link_uri, uri) == 0 &&
    strcmp (s->rec->link_digest, digest) == 0;
}

/* Does the destination accept, or is there nobody to ask? */
static bool
peer_is_ready (struct step *s, bool *ret_applied, uint64_t *ret_started_ns)
{
  struct agent *agent = s->agent;
  struct peer *peer = peer_find (agent, s->rec->destination_region);
  bool reachable = peer && peer_is_reachable (peer);
  struct runtime *rt;
  bool ready = false;

  pthread_mutex_lock (&agent->lock);
  rt = runtime_get (agent, s->rec->id);
  if (rt) {
    *ret_applied = rt->acked_epoch == s->rec->epoch && rt->peer_applied;
    *ret_started_ns = rt->link_started_ns;
    ready = *ret_applied ||
      (!reachable && clock_mono_ns () - rt->epoch_ns > PEER_GRACE_NS);
  }
  pthread_mutex_unlock (&agent->lock);
  return ready;
}

static int
link_on (struct step *s, bool oneshot)
{
  const char *state = link_state (s);
  uint64_t started_ns = 0;
  bool peer_applied = false;
  char uri[300];
  bool is_same;

  if (!peer_data_uri (s->agent, s->rec->destination_region, uri,
                      sizeof uri))
    return APPLY_WAITS;
  is_same = is_started (s, uri, oneshot);
  if (!peer_is_ready (s, &peer_applied, &started_ns))
    return is_same ? APPLY_DONE : APPLY_WAITS;
  if (!is_same) {
    /* A one-shot that was done before must not pass for the new one. */
    if (strcmp (state, "done") == 0 && op (s, "link.stop") == -1)
      return -1;
    return link_start (s, uri, oneshot);
  }
  if (strcmp (state, "off") == 0)
    return link_start (s, uri, oneshot);
  if (strcmp (state, "refused") == 0 && peer_applied &&
      clock_mono_ns () - started_ns > KICK_NS)
    return link_start (s, uri, oneshot);
  return APPLY_DONE;
}

/* Failed over: have the plugin meet the new primary, whose fence number makes
 * it stop writing.  The link is off afterwards.
 */
static int
meet_fence (struct step *s)
{
  uint64_t started_ns = 0;
  bool peer_applied = false;
  char uri[300];

  if (!is_ours (s) || strcmp (json_text (s->status, "role"), "primary") != 0)
    return APPLY_DONE;
  if (json_is_true (json_object_get (s->status, "fenced")))
    return link_off (s);
  if (strcmp (link_state (s), "off") != 0 ||
      s->rec->status == PAIR_FAILOVERING ||
      !peer_data_uri (s->agent, s->rec->destination_region, uri,
                      sizeof uri) ||
      !peer_is_ready (s, &peer_applied, &started_ns) || !peer_applied ||
      clock_mono_ns () - started_ns < KICK_NS)
    return APPLY_DONE;
  return link_start (s, uri, false);
}

/* ------------------------------------------------------------------ */
/* Reprotect.                                                           */

/* It is secondary: is what it gives up saved? */
static int
wait_saved (struct step *s)
{
  const json_t *discard = json_object_get (s->status, "discard");
  const json_t *salvage = json_object_get (discard, "salvage");

  if (json_u64 (s->status, "fence") != s->rec->fence)
    return give_role (s, "secondary");
  if (!json_is_true (json_object_get (discard, "pending")) ||
      json_is_true (json_object_get (discard, "saved")))
    return APPLY_DONE;
  if (strcmp (json_text (salvage, "state"), "running") == 0)
    return APPLY_WAITS;
  if (strcmp (json_text (salvage, "state"), "failed") == 0)
    fail (s, "not-saved", json_text (salvage, "reason"));
  return -1;
}

static int
give_up (struct step *s, const json_t *theirs)
{
  const json_t *history = json_object_get (theirs, "history");
  struct record const *rec = s->rec;

  if (!json_is_object (history) ||
      (rec->reprotect == REPROTECT_REVERSE &&
       !has_role (s, theirs, "primary")))
    return APPLY_WAITS;
  if (strcmp (json_text (s->status, "role"), "primary") == 0)
    log_info ("worker: pair %s: disk %s gives up what the other one lacks",
              rec->id, s->disk);
  return tell (s, json_pack ("{s:s, s:I, s:O, s:b, s:b}", "op", "demote",
                             "fence", (json_int_t) rec->fence,
                             "peer", history,
                             "salvage", rec->reprotect_unsaved == 0,
                             "force", rec->reprotect_force != 0));
}

static int
lose (struct step *s)
{
  json_t *theirs;
  int r;

  if (!is_ours (s))
    return fail (s, "wrong-role", "the disk is no longer in this pair");
  if (strcmp (json_text (s->status, "role"), "secondary") == 0) {
    r = wait_saved (s);
    if (r != -1 || strcmp (s->err->code, "not-saved") != 0)
      return r;
  }
  theirs = reprotect_peer_status (s->agent, s->rec);
  r = give_up (s, theirs);
  json_decref (theirs);
  return r;
}

/* The one that keeps what it has: writable, with the new fence.  When the
 * failover is given up, not before the other one has stopped.
 */
static int
win (struct step *s)
{
  json_t *theirs;
  bool may;

  if (!is_ours (s))
    return fail (s, "wrong-role", "the disk is no longer in this pair");
  theirs = reprotect_peer_status (s->agent, s->rec);
  may = s->rec->reprotect == REPROTECT_REVERSE ||
    has_role (s, theirs, "secondary");
  json_decref (theirs);
  if (!may)
    return APPLY_WAITS;
  if (strcmp (json_text (s->status, "role"), "secondary") == 0) {
    log_info ("worker: pair %s: disk %s is primary again", s->rec->id,
              s->disk);
    return tell (s, json_pack ("{s:s, s:I}", "op", "promote", "fence",
                               (json_int_t) s->rec->fence));
  }
  if (!has_role (s, s->status, "primary"))
    return give_role (s, "primary");
  return link_off (s);
}

static int
reprotect (struct step *s)
{
  return reprotect_is_loser (s->agent, s->rec) ? lose (s) : win (s);
}

/* ------------------------------------------------------------------ */

static int
apply_source (struct step *s)
{
  int r;

  switch (s->rec->status) {
  case PAIR_CREATING:
  case PAIR_CREATED:
  case PAIR_STOPPING:
  case PAIR_STOPPED:
  case PAIR_STOP_FAILED:
  case PAIR_INVALID:
    r = settle (s, "primary");
    return r == APPLY_DONE ? link_off (s) : r;
  case PAIR_INITIAL_SYNCING:
  case PAIR_SYNCING:
  case PAIR_NORMAL:
  case PAIR_MANUAL_SYNCING:
    r = settle (s, "primary");
    return r == APPLY_DONE ? link_on (s, s->rec->status == PAIR_MANUAL_SYNCING) : r;
  case PAIR_FAILOVERING:
  case PAIR_FAILOVERED:
  case PAIR_REPROTECT_FAILED:
    return meet_fence (s);
  case PAIR_REPROTECTING:
    return reprotect (s);
  case PAIR_CREATE_FAILED:
  case PAIR_DELETING:
  case PAIR_DELETE_FAILED:
  case PAIR_DELETED:
    return clear_role (s);
  default:
    return APPLY_DONE;
  }
}

/* ------------------------------------------------------------------ */
/* The destination.                                                     */

static int
accept_on (struct step *s)
{
  const json_t *source = json_object_get (s->status, "source");

  return json_is_true (json_object_get (source, "accept"))
    ? APPLY_DONE : op (s, "replica.accept");
}

static int
accept_off (struct step *s)
{
  const json_t *source = json_object_get (s->status, "source");

  if (json_is_true (json_object_get (source, "accept")) ||
      json_is_object (json_object_get (s->status, "stage")))
    return op (s, "replica.stop");
  return APPLY_DONE;
}

static int
promote (struct step *s, json_t **ret_promoted)
{
  json_t *reply;

  if (s->rec->status == PAIR_FAILOVERED &&
      strcmp (json_text (s->status, "role"), "secondary") != 0)
    return APPLY_DONE;
  if (!is_ours (s))
    return fail (s, "wrong-role", "the disk is no longer in this pair");
  /* After a reprotect that failed it may be primary still. */
  if (strcmp (json_text (s->status, "role"), "primary") == 0 &&
      json_u64 (s->status, "fence") < s->rec->fence)
    return give_role (s, "primary");
  log_info ("worker: pair %s: promote disk %s, fence %llu", s->rec->id,
            s->disk, (unsigned long long) s->rec->fence);
  reply = ask (s, json_pack ("{s:s, s:I}", "op", "promote", "fence",
                             (json_int_t) s->rec->fence));
  if (reply == NULL && strcmp (s->err->code, "wrong-role") == 0 &&
      has_role (s, s->status, "primary")) {
    s->err->code[0] = s->err->message[0] = '\0';
    reply = json_pack ("{s:O}", "committed",
                       json_object_get (s->status, "committed"));
  }
  if (reply == NULL)
    return -1;
  *ret_promoted = reply;
  return APPLY_DONE;
}

static int
apply_destination (struct step *s, json_t **ret_promoted)
{
  int r;

  switch (s->rec->status) {
  case PAIR_CREATING:
  case PAIR_CREATED:
  case PAIR_STOPPING:
  case PAIR_STOPPED:
  case PAIR_STOP_FAILED:
  case PAIR_INVALID:
    r = settle (s, "secondary");
    return r == APPLY_DONE ? accept_off (s) : r;
  case PAIR_INITIAL_SYNCING:
  case PAIR_SYNCING:
  case PAIR_NORMAL:
  case PAIR_MANUAL_SYNCING:
    r = settle (s, "secondary");
    return r == APPLY_DONE ? accept_on (s) : r;
  case PAIR_FAILOVERING:
  case PAIR_FAILOVERED:
    return promote (s, ret_promoted);
  case PAIR_REPROTECTING:
    return reprotect (s);
  case PAIR_CREATE_FAILED:
  case PAIR_DELETING:
  case PAIR_DELETE_FAILED:
  case PAIR_DELETED:
    return clear_role (s);
  default:
    return APPLY_DONE;
  }
}

int
apply_record (struct agent *agent, const struct record *rec,
              const json_t *status, json_t **ret_promoted,
              struct control_error *err)
{
  struct step s = { agent, rec, our_disk (agent, rec), status, err };

  *ret_promoted = NULL;
  return is_source (agent, rec) ? apply_source (&s)
    : apply_destination (&s, ret_promoted);
}

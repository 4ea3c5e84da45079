/* The verbs of a pair: create, start, stop, failover, modify, delete (see
 * actions.h).
 *
 * A verb gathers the facts, asks the table (pair_apply), and if it says so
 * changes the record, in one transaction with the event and the token.  The
 * work that follows is the worker's.
 */

#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "actions.h"
#include "agent.h"
#include "apierror.h"
#include "change.h"
#include "claim.h"
#include "cleanup.h"
#include "control.h"
#include "crypto.h"
#include "disk-attach.h"
#include "disks.h"
#include "dry-run.h"
#include "error.h"
#include "events.h"
#include "log.h"
#include "mode.h"
#include "names.h"
#include "params.h"
#include "peer.h"
#include "record.h"
#include "reprotect.h"
#include "states.h"
#include "store.h"
#include "tags.h"
#include "transitions.h"
#include "uuid.h"
#include "values.h"
#include "work.h"

#define PEER_TIMEOUT_MS 1500
#define STATUS_TIMEOUT_MS 1000

/* ------------------------------------------------------------------ */
/* Create: the parameters.                                              */

static bool
bad (struct answer *answer, const char *name, const char *hint)
{
  answer_error (answer, API_INVALID_PARAMETER, name, hint ? "%s" : NULL,
                hint);
  return false;
}

/* A parameter that is true or false, if it was given. */
static bool
parse_switch (const struct request *req, const char *name,
              struct answer *answer)
{
  const char *value = params_get (&req->params, name);
  bool on;

  return value == NULL || *value == '\0' || bool_parse (value, &on) ||
    bad (answer, name, "give true or false");
}

/* Of a parameter that was checked before. */
static bool
is_true (const struct request *req, const char *name)
{
  const char *value = params_get (&req->params, name);
  bool ret = false;

  return value && *value && bool_parse (value, &ret) && ret;
}

static bool
parse_names (const struct request *req, struct record *rec,
             struct answer *answer)
{
  const char *name = params_get (&req->params, "PairName");
  const char *description = params_get (&req->params, "Description");
  const char *group = params_get (&req->params, "ResourceGroupId");

  if (name && *name && (!pair_name_valid (name) ||
                        !TEXT_SET (rec->name, name)))
    return bad (answer, "PairName", PAIR_NAME_RULE);
  if (description && *description &&
      (!description_valid (description) ||
       !TEXT_SET (rec->description, description)))
    return bad (answer, "Description", "2 to 256 characters, not http:// or "
                "https:// first");
  if (group && *group && (!resource_group_valid (group) ||
                          !TEXT_SET (rec->resource_group, group)))
    return bad (answer, "ResourceGroupId", NULL);
  return true;
}

/* By the rules of the pair's charge type. */
static bool
parse_bandwidth (const struct request *req, struct record *rec,
                 struct answer *answer)
{
  const char *bandwidth = params_get (&req->params, "Bandwidth");
  enum charge_type type = CHARGE_POSTPAY;
  uint32_t n;

  if (bandwidth == NULL || *bandwidth == '\0')
    return true;
  charge_type_parse (rec->charge_type, &type);
  if (!bandwidth_parse (bandwidth, type, &n))
    return bad (answer, "Bandwidth", NULL);
  rec->bandwidth = n;
  return true;
}

static bool
parse_charge (const struct request *req, struct record *rec,
              struct answer *answer)
{
  const char *charge = params_get (&req->params, "ChargeType");
  const char *period = params_get (&req->params, "Period");
  const char *unit = params_get (&req->params, "PeriodUnit");
  enum charge_type type = CHARGE_POSTPAY;
  uint32_t n;

  if (charge && *charge && !charge_type_parse (charge, &type))
    return bad (answer, "ChargeType", NULL);
  TEXT_SET (rec->charge_type, charge_type_string (type));
  if (period && *period) {
    if (!period_parse (period, &n))
      return bad (answer, "Period", NULL);
    rec->period = n;
  }
  if (unit && *unit && !period_unit_valid (unit))
    return bad (answer, "PeriodUnit", NULL);
  if (type == CHARGE_PREPAY && (rec->period == 0 || unit == NULL)) {
    answer_error (answer, API_MISSING_NAME,
                  rec->period == 0 ? "Period" : "PeriodUnit", NULL);
    return false;
  }
  rec->bandwidth = type == CHARGE_PREPAY ? BANDWIDTH_KBPS_DEFAULT : 0;
  return parse_bandwidth (req, rec, answer);
}

static bool
parse_flow (const struct request *req, struct record *rec,
            struct answer *answer)
{
  const char *rpo = params_get (&req->params, "RPO");
  const char *rtc = params_get (&req->params, "EnableRtc");
  uint32_t n = rec->rpo;
  bool on = rec->enable_rtc;

  if (rpo && *rpo && !rpo_parse (rpo, &n))
    return bad (answer, "RPO", NULL);
  if (rtc && *rtc && !bool_parse (rtc, &on))
    return bad (answer, "EnableRtc", NULL);
  rec->rpo = n;
  rec->enable_rtc = on;
  return true;
}

/* What ModifyDiskReplicaPair can change. */
static bool
parse_changes (const struct request *req, struct record *rec,
               struct answer *answer)
{
  return parse_names (req, rec, answer) && parse_flow (req, rec, answer) &&
    parse_bandwidth (req, rec, answer) && mode_parse (req, rec, answer);
}

/* ------------------------------------------------------------------ */
/* Create: the disks.                                                   */

static bool
check_source (struct agent *agent, const struct request *req,
              struct record *rec, uint64_t *ret_fence,
              struct answer *answer)
{
  const char *zone = params_get (&req->params, "SourceZoneId");
  CLEANUP_FREE struct record *other = malloc (sizeof *other);
  struct control_error err;
  struct disk disk;
  enum claim claim;
  json_t *status;
  bool is_free;

  if (strcmp (req->region, agent->settings.region) != 0 ||
      strcmp (zone, agent->settings.zone) != 0) {
    answer_error (answer, API_NO_SUCH_RESOURCE, NULL,
                  "this site is region %s, zone %s; a pair is created at "
                  "its source", agent->settings.region,
                  agent->settings.zone);
    return false;
  }
  claim = claim_disk (agent, params_get (&req->params, "DiskId"), &disk,
                      other);
  if (claim == CLAIM_FAILED) {
    answer_error (answer, API_INTERNAL, NULL, NULL);
    return false;
  }
  store_end (agent->store, false);
  if (claim == CLAIM_IN_PAIR && disk.state == DISK_READY) {
    answer_error (answer, API_OPERATION_DENIED, NULL,
                  "disk %s is in replication pair %s already", disk.id,
                  other->id);
    return false;
  }
  if (claim != CLAIM_NO_DISK && disk.state == DISK_RESIZING) {
    answer_error (answer, API_OPERATION_DENIED, NULL,
                  "disk %s is being resized; try again", disk.id);
    return false;
  }
  if (claim == CLAIM_NO_DISK || disk.state != DISK_READY) {
    answer_error (answer, API_NO_SUCH_RESOURCE, NULL,
                  "this site has no such disk");
    return false;
  }
  status = disk_status (agent, disk.id, STATUS_TIMEOUT_MS, &err);
  if (status == NULL) {
    answer_control_error (answer, &err);
    return false;
  }
  TEXT_SET (rec->source_region, agent->settings.region);
  TEXT_SET (rec->source_zone, agent->settings.zone);
  TEXT_SET (rec->source_disk, disk.id);
  TEXT_SET (rec->source_device, json_text (status, "uuid"));
  rec->size = json_u64 (status, "size");
  *ret_fence = json_u64 (status, "fence");
  is_free = strcmp (json_text (status, "role"), "standalone") == 0;
  json_decref (status);
  if (!is_free)
    answer_error (answer, API_OPERATION_DENIED, NULL,
                  "disk %s still has a role in another pair", disk.id);
  return is_free;
}

static bool
check_destination (struct agent *agent, const struct request *req,
                   struct record *rec, uint64_t *ret_fence,
                   struct answer *answer)
{
  const char *region = params_get (&req->params, "DestinationRegionId");
  const char *zone = params_get (&req->params, "DestinationZoneId");
  const char *disk = params_get (&req->params, "DestinationDiskId");
  struct peer *peer = peer_find (agent, region);
  struct error err = ERROR_INIT;
  const json_t *status, *refused;
  json_t *reply;

  if (strcmp (region, agent->settings.region) == 0 &&
      strcmp (zone, agent->settings.zone) == 0)
    return bad (answer, "DestinationZoneId",
                "both disks would be in one zone; use another site's");
  if (peer == NULL || !TEXT_SET (rec->destination_region, region) ||
      !TEXT_SET (rec->destination_zone, zone)) {
    answer_error (answer, API_NO_SUCH_RESOURCE, NULL,
                  "this site has no peer of region %.64s; see DescribeSite",
                  region);
    return false;
  }
  reply = peer_call (peer, "check",
                     json_pack ("{s:s, s:s, s:I}", "disk", disk, "zone",
                                zone, "size", (json_int_t) rec->size),
                     PEER_TIMEOUT_MS, &err);
  if (reply == NULL) {
    answer_error (answer, API_SERVICE_UNAVAILABLE, NULL,
                  "the site of region %s cannot be reached: %s", region,
                  err.message);
    return false;
  }
  refused = json_object_get (reply, "refused");
  status = json_object_get (reply, "status");
  if (json_is_object (refused))
    answer_error (answer, peer_refused_code (refused), NULL, "%s",
                  json_text (refused, "message"));
  else if (!TEXT_SET (rec->destination_disk, json_text (status, "disk")) ||
           !TEXT_SET (rec->destination_device, json_text (status, "uuid")))
    answer_error (answer, API_INTERNAL, NULL, NULL);
  *ret_fence = json_u64 (status, "fence");
  json_decref (reply);
  return answer->error == API_OK;
}

static bool
check_quota (struct agent *agent, struct answer *answer)
{
  if (pairs_are_too_many (agent))
    answer_error (answer, API_QUOTA_EXCEED, NULL, "this site takes part in "
                  "%llu pairs (pairs-max): delete one that is not needed",
                  (unsigned long long) agent->settings.pairs_max);
  return answer->error == API_OK;
}

static void
make_identity (struct agent *agent, struct record *rec, uint64_t fence)
{
  uint8_t random[32];
  struct uuid uuid;

  random_bytes (random, sizeof random);
  id_make (ID_PAIR, random, rec->id);
  random_bytes (random, sizeof random);
  hex_encode (random, sizeof random, rec->salt);
  uuid_generate (&uuid);
  uuid_format (&uuid, rec->uuid);
  TEXT_SET (rec->primary_region, rec->source_region);
  TEXT_SET (rec->primary_zone, rec->source_zone);
  TEXT_SET (rec->standby_region, rec->destination_region);
  TEXT_SET (rec->standby_zone, rec->destination_zone);
  TEXT_SET (rec->owner_region, agent->settings.region);
  TEXT_SET (rec->owner_zone, agent->settings.zone);
  rec->fence = fence;
  rec->create_time = wall_ms () / 1000;
}

static void
refuse (struct answer *answer, const struct pair_transition *t)
{
  /* Its own hint says only to look; the status is known here. */
  if (t->refusal == API_INVALID_STATUS &&
      strcmp (t->hint, api_error_info (t->refusal)->hint) == 0)
    answer_error (answer, t->refusal, NULL, "the pair is %s (%s)%s",
                  pair_status_string (t->status),
                  pair_status_meaning (t->status),
                  pair_status_kind (t->status) == PAIR_KIND_PASSING
                  ? ": wait until that is over"
                  : ": 'pairctl pair show' says what comes next");
  else
    answer_error (answer, t->refusal, NULL, "%s", t->hint);
}

/* For the event: the name, and what the first start replaces for good, where
 * that is something and can be had.
 */
static void
creation_text (struct agent *agent, const struct record *rec, char *ret,
               size_t size)
{
  struct answer plan = { .error = API_OK };
  const json_t *discard;
  size_t n = snprintf (ret, size, "%s", rec->name);

  reprotect_dry_run (agent, rec, REPROTECT_CANCEL, &plan);
  discard = json_object_get (plan.body, "Discard");
  if (n < size && json_u64 (discard, "Writes") > 0)
    snprintf (ret + n, size - n, "%sdisk %s of region %s gives up %llu "
              "writes, %llu bytes, at the first start; not saved",
              n ? "; " : "", rec->destination_disk, rec->destination_region,
              (unsigned long long) json_u64 (discard, "Writes"),
              (unsigned long long) json_u64 (discard, "Bytes"));
  json_decref (plan.body);
}

static void
store_new_pair (struct agent *agent, const struct request *req,
                const struct work_token *token, struct record *rec,
                struct answer *answer)
{
  char text[480];
  static const struct pair_facts facts = { .at_source = true,
                                           .peer_reachable = true };
  struct pair_transition t = pair_apply (PAIR_STATUS_UNSET,
                                         PAIR_VERB_CREATE, &facts);
  CLEANUP_FREE struct record *other = malloc (sizeof *other);
  struct site_step step = { .name = "" };
  bool ok = false;

  if (t.outcome != PAIR_MOVED) {
    refuse (answer, &t);
    return;
  }
  creation_text (agent, rec, text, sizeof text);
  if (other && store_begin (agent->store) == 0) {
    if (store_pair_of_disk (agent->store, &agent->settings,
                            rec->source_disk, other) == 0) {
      answer->body = json_pack ("{s:s, s:s}", "ReplicaPairId", rec->id,
                                "OrderId", "");
      ok = answer->body &&
        record_move (agent, rec, t.status, true, req->client, "create",
                     text) == 0 &&
        token_remember (agent, token, answer->body) == 0;
    }
    else
      answer_error (answer, API_OPERATION_DENIED, NULL,
                    "the disk is in another replication pair already");
    if (ok)
      site_step_begins (&step, "create", "intent");
    ok = store_end (agent->store, ok) == 0 && ok;
    site_step_ended (&step);
  }
  if (!ok && answer->error == API_OK)
    answer_error (answer, API_INTERNAL, NULL, NULL);
}

void
action_create_pair (struct agent *agent, struct request *req,
                    const struct work_token *token, struct answer *answer)
{
  static const struct pair_transition created = {
    .outcome = PAIR_MOVED, .status = PAIR_CREATING
  };
  CLEANUP_FREE struct record *rec = calloc (1, sizeof *rec);
  uint64_t fence_here, fence_there;

  if (rec == NULL) {
    answer_error (answer, API_INTERNAL, NULL, NULL);
    return;
  }
  if (!parse_switch (req, "DryRun", answer))
    return;
  rec->rpo = RPO_SECONDS_DEFAULT;
  if (!parse_names (req, rec, answer) || !parse_charge (req, rec, answer) ||
      !parse_flow (req, rec, answer) || !mode_parse (req, rec, answer) ||
      !mode_fits (rec, answer) || !tags_parse (req, rec, answer) ||
      !check_quota (agent, answer) ||
      !check_source (agent, req, rec, &fence_here, answer) ||
      !check_destination (agent, req, rec, &fence_there, answer))
    return;
  if (is_true (req, "DryRun")) {
    dry_run (agent, rec, PAIR_VERB_CREATE, &created, answer);
    return;
  }
  make_identity (agent, rec,
                 (fence_here > fence_there ? fence_here : fence_there) + 1);
  store_new_pair (agent, req, token, rec, answer);
  if (answer->error == API_OK) {
    work_wake (agent);
    peers_wake (agent);
  }
}

/* ------------------------------------------------------------------ */
/* The other verbs.                                                     */

struct verb {
  enum pair_event event;
  const char *kind;              /* of the event in the log */
  bool needs_attached;           /* the table asks who is attached */
};

static int
read_pair (struct agent *agent, const struct request *req,
           struct record *ret)
{
  int r;

  store_enter (agent->store);
  r = store_pair_get (agent->store,
                      params_get (&req->params, "ReplicaPairId"), ret);
  store_leave (agent->store);
  return r;
}

/* STATUS of the disk at the other site, NULL when it cannot be had. */
static json_t *
ask_peer_disk (struct peer *peer, const char *disk)
{
  json_t *reply, *status;

  if (peer == NULL || !peer_is_reachable (peer))
    return NULL;
  reply = peer_call (peer, "disk", json_pack ("{s:s}", "disk", disk),
                     PEER_TIMEOUT_MS, NULL);
  status = json_incref (json_object_get (reply, "status"));
  json_decref (reply);
  return status;
}

/* What can only be had by asking: the record is not locked meanwhile. */
struct gathered {
  struct pair_facts facts;       /* those that the record does not know */
  bool knows_point;              /* the destination's plugin was asked; else
                                    the record counts */
  uint64_t disk_fence;           /* of our disk */
};

static void
gather (struct agent *agent, const struct record *rec,
        const struct verb *verb, struct gathered *ret)
{
  struct pair_facts *facts = &ret->facts;
  struct peer *peer = peer_find (agent, other_region (agent, rec));
  bool at_source = is_source (agent, rec);
  struct control_error err;
  json_t *ours = disk_status (agent, our_disk (agent, rec),
                              STATUS_TIMEOUT_MS, &err);
  json_t *theirs = NULL;
  bool here, there;

  if (verb->needs_attached)
    theirs = ask_peer_disk (peer, at_source ? rec->destination_disk
                            : rec->source_disk);
  here = attach_is_on (ours);
  there = attach_is_on (theirs);
  facts->source_attached = at_source ? here : there;
  facts->destination_attached = at_source ? there : here;
  facts->peer_reachable = peer && peer_is_reachable (peer);
  if (!at_source && strcmp (json_text (ours, "role"), "secondary") == 0 &&
      strcmp (json_text (ours, "pair"), rec->uuid) == 0) {
    ret->knows_point = true;
    facts->has_completed_point =
      json_is_object (json_object_get (ours, "committed"));
  }
  ret->disk_fence = json_u64 (ours, "fence");
  json_decref (ours);
  json_decref (theirs);
}

static void
facts_of_record (const struct request *req, const struct record *rec,
                 const struct gathered *g, struct pair_facts *facts)
{
  uint64_t now = wall_ms ();

  *facts = g->facts;
  facts->at_source = strcmp (req->region, rec->source_region) == 0;
  facts->at_destination = strcmp (req->region, rec->destination_region) == 0;
  if (!g->knows_point)
    facts->has_completed_point = rec->has_point;
  facts->copies_difference = facts->has_completed_point || rec->has_base;
  facts->had_oneshot = rec->oneshot_time != 0;
  facts->seconds_since_oneshot =
    now > rec->oneshot_time ? (now - rec->oneshot_time) / 1000 : 0;
  facts->rpo_seconds = rec->rpo;
  facts->changes_link_only = mode_is_all (req);
}

/* What the work that was asked for changes in the record.  False: nothing. */
static bool
prepare_work (const struct request *req, struct record *rec,
              enum pair_work work, uint64_t disk_fence)
{
  struct answer ignored = { .error = API_OK };      /* checked before */

  switch (work) {
  case PAIR_WORK_SYNC_ONCE:
    rec->oneshot_time = wall_ms ();
    rec->message[0] = '\0';
    return true;
  case PAIR_WORK_SYNC:
  case PAIR_WORK_STOP:
  case PAIR_WORK_DELETE:
    rec->message[0] = '\0';
    return true;
  case PAIR_WORK_FAILOVER:
    rec->fence = (rec->fence > disk_fence ? rec->fence : disk_fence) + 1;
    rec->failover_start_ms = wall_ms ();
    rec->has_loss = 0;
    rec->message[0] = '\0';
    return true;
  case PAIR_WORK_REVERSE:
  case PAIR_WORK_CANCEL:
    rec->fence = (rec->fence > disk_fence ? rec->fence : disk_fence) + 1;
    rec->reprotect = work == PAIR_WORK_CANCEL ? REPROTECT_CANCEL
      : REPROTECT_REVERSE;
    rec->reprotect_force = is_true (req, "Force");
    rec->reprotect_unsaved = is_true (req, "DiscardUnsaved");
    rec->has_discard = 0;
    rec->message[0] = '\0';
    return true;
  case PAIR_WORK_MODIFY:
    return parse_changes (req, rec, &ignored);
  default:
    return false;
  }
}

/* In a transaction; REC is the record as it is now. */
static bool
carry_out (struct agent *agent, const struct request *req,
           const struct verb *verb, const struct work_token *token,
           const struct gathered *gathered, struct record *rec,
           struct answer *answer)
{
  struct pair_facts facts;
  struct pair_transition t;

  facts_of_record (req, rec, gathered, &facts);
  t = pair_apply (rec->status, verb->event, &facts);
  if (t.outcome == PAIR_REFUSED) {
    refuse (answer, &t);
    return false;
  }
  if ((t.outcome == PAIR_MOVED || t.work != PAIR_WORK_NONE) &&
      prepare_work (req, rec, t.work, gathered->disk_fence)) {
    if (!mode_fits (rec, answer))
      return false;
    if (record_move (agent, rec, t.status, true, req->client, verb->kind,
                     "") == -1) {
      answer_error (answer, API_INTERNAL, NULL, NULL);
      return false;
    }
  }
  if (token_remember (agent, token, NULL) == -1) {
    answer_error (answer, API_INTERNAL, NULL, NULL);
    return false;
  }
  return true;
}

/* A refusal that says something about the pair's safety is worth an event. */
static void
note_refusal (struct agent *agent, const struct request *req,
              const struct verb *verb, const struct record *rec,
              const struct answer *answer)
{
  if (answer->error != API_NO_SUCH_RESOURCE)
    event_note (agent, LOG_LEVEL_INFO, req->client, "refused", rec->id,
                our_disk (agent, rec), "%s in status %s: %s", verb->kind,
                pair_status_string (rec->status),
                api_error_info (answer->error)->code);
}

static void
try_verb (struct agent *agent, const struct request *req,
          const struct verb *verb, const struct record *rec,
          const struct gathered *gathered, struct answer *answer)
{
  struct pair_facts facts;
  struct pair_transition t;

  facts_of_record (req, rec, gathered, &facts);
  t = pair_apply (rec->status, verb->event, &facts);
  if (t.outcome == PAIR_REFUSED)
    refuse (answer, &t);
  else
    dry_run (agent, rec, verb->event, &t, answer);
}

static void
run_verb (struct agent *agent, const struct request *req,
          const struct verb *verb, const struct work_token *token,
          struct answer *answer)
{
  CLEANUP_FREE struct record *rec = malloc (sizeof *rec);
  struct gathered gathered = { .disk_fence = 0 };
  struct site_step step = { .name = "" };
  bool ok = false;
  int r = rec ? read_pair (agent, req, rec) : -1;

  if (!parse_switch (req, "DryRun", answer))
    return;
  if (r != 1) {
    answer_error (answer, r == 0 ? API_NO_SUCH_RESOURCE : API_INTERNAL,
                  NULL, NULL);
    return;
  }
  gather (agent, rec, verb, &gathered);
  if (is_true (req, "DryRun")) {
    try_verb (agent, req, verb, rec, &gathered, answer);
    return;
  }
  if (store_begin (agent->store) == 0) {
    if (store_pair_get (agent->store, rec->id, rec) == 1)
      ok = carry_out (agent, req, verb, token, &gathered, rec, answer);
    if (ok)
      site_step_begins (&step, verb->kind, "intent");
    if (store_end (agent->store, ok) == -1)
      ok = false;
    site_step_ended (&step);
  }
  if (!ok && answer->error == API_OK)
    answer_error (answer, API_INTERNAL, NULL, NULL);
  if (!ok) {
    note_refusal (agent, req, verb, rec, answer);
    return;
  }
  work_wake (agent);
  peers_wake (agent);
}

void
action_start_pair (struct agent *agent, struct request *req,
                   const struct work_token *token, struct answer *answer)
{
  static const struct verb start =
    { PAIR_VERB_START, "start", true };
  static const struct verb oneshot =
    { PAIR_VERB_START_ONESHOT, "start-oneshot", true };
  const char *value = params_get (&req->params, "OneShot");
  bool once = false;

  if (value && *value && !bool_parse (value, &once)) {
    bad (answer, "OneShot", "give true or false");
    return;
  }
  run_verb (agent, req, once ? &oneshot : &start, token, answer);
}

void
action_stop_pair (struct agent *agent, struct request *req,
                  const struct work_token *token, struct answer *answer)
{
  static const struct verb verb = { PAIR_VERB_STOP, "stop", false };

  run_verb (agent, req, &verb, token, answer);
}

void
action_failover_pair (struct agent *agent, struct request *req,
                      const struct work_token *token, struct answer *answer)
{
  static const struct verb verb = { PAIR_VERB_FAILOVER, "failover", false };

  run_verb (agent, req, &verb, token, answer);
}

/* ReverseReplicate, and beyond the vendor's: Force, DiscardUnsaved. */
void
action_reprotect_pair (struct agent *agent, struct request *req,
                       const struct work_token *token, struct answer *answer)
{
  static const char *const switches[] = { "ReverseReplicate", "Force",
                                          "DiscardUnsaved" };
  static const struct verb reverse = { PAIR_VERB_REVERSE, "reprotect", true };
  static const struct verb cancel = { PAIR_VERB_CANCEL, "cancel", true };
  const char *value = params_get (&req->params, "ReverseReplicate");
  size_t i;

  for (i = 0; i < sizeof switches / sizeof switches[0]; ++i)
    if (!parse_switch (req, switches[i], answer))
      return;
  run_verb (agent, req, value && *value && !is_true (req, "ReverseReplicate")
            ? &cancel : &reverse, token, answer);
}

void
action_delete_pair (struct agent *agent, struct request *req,
                    const struct work_token *token, struct answer *answer)
{
  static const struct verb verb = { PAIR_VERB_DELETE, "delete", false };

  run_verb (agent, req, &verb, token, answer);
}

void
action_modify_pair (struct agent *agent, struct request *req,
                    const struct work_token *token, struct answer *answer)
{
  static const struct verb verb = { PAIR_VERB_MODIFY, "modify", false };
  CLEANUP_FREE struct record *scratch = calloc (1, sizeof *scratch);

  if (scratch == NULL)
    answer_error (answer, API_INTERNAL, NULL, NULL);
  else if (parse_changes (req, scratch, answer))
    run_verb (agent, req, &verb, token, answer);
}

/* What is told of pairs: DescribeDiskReplicaPairs and ...PairProgress
 * (see describe.h).
 */

#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "actions.h"
#include "agent.h"
#include "apierror.h"
#include "change.h"
#include "cleanup.h"
#include "clock.h"
#include "describe.h"
#include "disk-attach.h"
#include "mode.h"
#include "monitor.h"
#include "paging.h"
#include "params.h"
#include "plugin.h"
#include "record.h"
#include "reprotect.h"
#include "runtime.h"
#include "states.h"
#include "store.h"
#include "tags.h"
#include "values.h"
#include "work.h"

#define PAIR_IDS_MAX 100
#define STATUS_OLD_MS 5000

json_t *
pair_disk_status (struct agent *agent, const struct record *rec,
                  struct status_age *ret)
{
  bool is_silent = plugin_is_silent (agent->plugin);
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  struct runtime *rt = runtime_get (agent, rec->id);

  *ret = (struct status_age) { .ms = 0 };
  if (rt == NULL || rt->status == NULL)
    return NULL;
  ret->ms = (clock_mono_ns () - rt->status_ns) / NS_PER_MSEC;
  ret->is_old = ret->ms > STATUS_OLD_MS && (rt->status_missed || is_silent);
  return json_deep_copy (rt->status);
}

uint64_t
pair_recovery_point (struct agent *agent, const struct record *rec,
                     const json_t *status, const struct status_age *age)
{
  struct observation o;
  uint64_t point = rec->has_point ? rec->point_ms : 0;

  if (pair_status_kind (rec->status) != PAIR_KIND_ACTIVE &&
      rec->status != PAIR_STOPPING)
    return point;
  /* What was so then may have ended since: the point does not move on. */
  monitor_observe (rec, status, is_source (agent, rec), wall_ms () - age->ms,
                   &o);
  return o.has_point && o.point_ms > point ? o.point_ms : point;
}

static void
describe_loss (const struct record *rec, json_t *json)
{
  json_t *loss;

  if (!rec->has_loss)
    return;
  loss = json_pack ("{s:I, s:I, s:f, s:f, s:b}",
                    "Writes", (json_int_t) rec->loss_writes,
                    "Bytes", (json_int_t) rec->loss_bytes,
                    "Seconds", rec->loss_ms / 1000.0,
                    "FailoverSeconds", rec->failover_ms / 1000.0,
                    "DroppedStaged", (int) (rec->loss_dropped != 0));
  if (loss) {
    json_object_set_new (loss, "RpoZero",
                         json_string (zero_string (rec->loss_zero)));
    if (rec->loss_zero != ZERO_PROVEN)
      json_object_set_new (loss, "RpoZeroReason",
                           json_string (zero_reason (rec->loss_zero)));
  }
  if (loss && rec->loss_heard_known)
    json_object_set_new (loss, "HeardSecondsAgo",
                         json_real (rec->loss_heard_ms / 1000.0));
  json_object_set_new (json, "Loss", loss);
}

/* When what was paid for ends, seconds since 1970; 0: never.  Nothing happens
 * then: there is nobody to pay.
 */
static time_t
expiry (const struct record *rec)
{
  time_t created = rec->create_time;
  struct tm tm;
  int day;

  if (rec->period == 0 || strcmp (rec->charge_type, "PREPAY") != 0 ||
      gmtime_r (&created, &tm) == NULL)
    return 0;
  /* A month later is that day, or the last of the month. */
  day = tm.tm_mday;
  tm.tm_mday = 1;
  tm.tm_mon += rec->period;
  timegm (&tm);
  do {
    struct tm try = tm;

    try.tm_mday = day--;
    created = timegm (&try);
    if (try.tm_mon == tm.tm_mon)
      break;
  } while (day > 27);
  return created;
}

/* A failure's reason is for StatusMessage; what else there is to say, too. */
static json_t *
describe_pair (struct agent *agent, const struct request *req,
               const struct record *rec)
{
  struct status_age age;
  json_t *status = pair_disk_status (agent, rec, &age);
  uint64_t point = pair_recovery_point (agent, rec, status, &age);
  json_t *tags = json_loads (rec->tags, 0, NULL), *json;
  char more[480];

  if (age.is_old) {
    json_decref (status);
    status = NULL;
  }
  reprotect_split_text (agent, rec, more, sizeof more);
  if (more[0] == '\0')
    work_waits_for (agent, rec, more, sizeof more);
  json = json_pack (
    "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s,"
    " s:s, s:s, s:I, s:I, s:b, s:I, s:s, s:s, s:s, s:s, s:o}",
    "ReplicaPairId", rec->id, "PairName", rec->name,
    "Description", rec->description,
    "Status", pair_status_string (rec->status),
    "StatusMessage", rec->message[0] ? rec->message : more,
    "SourceRegion", rec->source_region, "SourceZoneId", rec->source_zone,
    "SourceDiskId", rec->source_disk,
    "DestinationRegion", rec->destination_region,
    "DestinationZoneId", rec->destination_zone,
    "DestinationDiskId", rec->destination_disk,
    "PrimaryRegion", rec->primary_region, "PrimaryZone", rec->primary_zone,
    "StandbyRegion", rec->standby_region, "StandbyZone", rec->standby_zone,
    "Site", strcmp (req->region, rec->primary_region) == 0 ? "production"
    : "backup",
    "RPO", (json_int_t) rec->rpo, "Bandwidth", (json_int_t) rec->bandwidth,
    "EnableRtc", (int) (rec->enable_rtc != 0),
    "CreateTime", (json_int_t) rec->create_time,
    "ChargeType", rec->charge_type, "ReplicaGroupId", "",
    "ReplicaGroupName", "", "ResourceGroupId", rec->resource_group,
    "Tags", tags ? tags : json_array ());
  if (json && expiry (rec))
    json_object_set_new (json, "ExpiredTime", json_integer (expiry (rec)));
  if (json && point)
    json_object_set_new (json, "LastRecoverPoint",
                         json_integer (point / 1000));
  if (json) {
    describe_loss (rec, json);
    reprotect_describe (agent, rec, json);
    mode_describe (rec, status, json);
    attach_describe (agent, rec, status, json);
    monitor_describe (rec, status, is_source (agent, rec), json);
  }
  json_decref (status);
  return json;
}

/* ------------------------------------------------------------------ */

struct filter {
  const char *ids, *name, *group, *resource_group;
};

static bool
parse_filter (const struct request *req, struct filter *ret,
              struct answer *answer)
{
  const char *site = params_get (&req->params, "Site"), *p;
  unsigned n = 1;

  ret->ids = params_get (&req->params, "PairIds");
  ret->name = params_get (&req->params, "Name");
  ret->group = params_get (&req->params, "ReplicaGroupId");
  ret->resource_group = params_get (&req->params, "ResourceGroupId");
  if (site && *site && strcmp (site, "production") != 0 &&
      strcmp (site, "backup") != 0) {
    answer_error (answer, API_INVALID_PARAMETER, "Site", NULL);
    return false;
  }
  for (p = ret->ids; p && (p = strchr (p, ',')) != NULL; ++p)
    n++;
  if (n > PAIR_IDS_MAX) {
    answer_error (answer, API_INVALID_PARAMETER, "PairIds", NULL);
    return false;
  }
  return tags_filter_valid (req, answer);
}

static bool
is_wanted (const struct request *req, const struct filter *f,
           const struct record *rec)
{
  if (rec->status == PAIR_DELETED)
    return false;
  if (strcmp (req->region, rec->source_region) != 0 &&
      strcmp (req->region, rec->destination_region) != 0)
    return false;
  if (f->name && strstr (rec->name, f->name) == NULL)
    return false;
  if (f->group && *f->group && strcmp (f->group, "-") != 0)
    return false;                /* no pair is in a group */
  if (f->resource_group && *f->resource_group &&
      strcmp (f->resource_group, rec->resource_group) != 0)
    return false;
  return in_comma_list (f->ids, rec->id) && tags_match (req, rec);
}

void
action_describe_pairs (struct agent *agent, struct request *req,
                       const struct work_token *token, struct answer *answer)
{
  CLEANUP_FREE struct record *list = NULL;
  json_t *array = json_array ();
  struct filter filter;
  struct paging paging;
  uint64_t found = 0;
  ssize_t n, i;

  (void) token;
  answer->body = json_pack ("{s:o}", "ReplicaPairs", array);
  if (!parse_filter (req, &filter, answer) ||
      !paging_parse (req, &paging, answer))
    return;
  store_enter (agent->store);
  n = store_pair_list (agent->store, &list);
  store_leave (agent->store);
  if (n == -1) {
    answer_error (answer, API_INTERNAL, NULL, NULL);
    return;
  }
  for (i = 0; i < n; ++i) {
    if (!is_wanted (req, &filter, &list[i]))
      continue;
    if (found >= paging.offset && found < paging.offset + paging.limit)
      json_array_append_new (array, describe_pair (agent, req, &list[i]));
    found++;
  }
  paging_finish (&paging, found, answer->body);
}

void
action_describe_progress (struct agent *agent, struct request *req,
                          const struct work_token *token,
                          struct answer *answer)
{
  CLEANUP_FREE struct record *rec = malloc (sizeof *rec);
  struct pair_facts facts = { 0 };
  struct pair_transition t;
  json_t *status;
  struct status_age age;
  uint64_t point;
  int r = -1;

  (void) token;
  if (rec) {
    store_enter (agent->store);
    r = store_pair_get (agent->store,
                        params_get (&req->params, "ReplicaPairId"), rec);
    store_leave (agent->store);
  }
  if (r != 1) {
    answer_error (answer, r == 0 ? API_NO_SUCH_RESOURCE : API_INTERNAL,
                  NULL, NULL);
    return;
  }
  facts.at_source = strcmp (req->region, rec->source_region) == 0;
  facts.at_destination = strcmp (req->region, rec->destination_region) == 0;
  t = pair_apply (rec->status, PAIR_VERB_PROGRESS, &facts);
  if (t.outcome == PAIR_REFUSED) {
    answer_error (answer, t.refusal, NULL, t.hint ? "%s" : NULL, t.hint);
    return;
  }
  status = pair_disk_status (agent, rec, &age);
  answer->body = json_object ();
  r = monitor_progress (rec, status, is_source (agent, rec), answer->body);
  json_object_set_new (answer->body, "Progress", json_integer (r));
  point = pair_recovery_point (agent, rec, status, &age);
  if (point)
    json_object_set_new (answer->body, "RecoverPoint",
                         json_integer (point / 1000));
  json_decref (status);
}

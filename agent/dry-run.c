/* DryRun of a pair's verbs: everything but the effect (see dry-run.h).
 *
 * A verb that would be refused is refused.  Else the answer says what the
 * pair would become, and what would be given up: of what the two disks say of
 * their histories where a disk is to become the copy of another, and of what
 * the destination was told last where the source may be gone.
 */

#include <config.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "actions.h"
#include "apierror.h"
#include "control.h"
#include "describe.h"
#include "disks.h"
#include "dry-run.h"
#include "mode.h"
#include "record.h"
#include "reprotect.h"
#include "states.h"
#include "values.h"

#define STATUS_TIMEOUT_MS 1000

static double
difference (const json_t *a, const json_t *b, const char *name)
{
  uint64_t x = json_u64 (a, name), y = json_u64 (b, name);

  return x > y ? x - y : 0;
}

/* What the copy lacks of what it knows the source to have, as the plugin will
 * say after the promotion; records that are staged in order count as lacking
 * here, and are taken then.
 */
static void
failover_dry_run (struct agent *agent, const struct record *rec,
                  struct answer *answer)
{
  struct control_error err;
  json_t *status = disk_status (agent, rec->destination_disk,
                                STATUS_TIMEOUT_MS, &err);
  const json_t *source = json_object_get (status, "source");
  const json_t *known = json_object_get (source, "known");
  const json_t *committed = json_object_get (status, "committed");
  const json_t *heard = json_object_get (source, "heard_ms_ago");
  json_t *discard;

  if (status == NULL) {
    answer_control_error (answer, &err);
    return;
  }
  discard = json_pack ("{s:s, s:s}", "RegionId", rec->source_region,
                       "DiskId", rec->source_disk);
  if (json_is_object (known) && json_is_object (committed)) {
    json_object_set_new (discard, "Writes", json_integer
                         (difference (known, committed, "seq")));
    json_object_set_new (discard, "Bytes", json_integer
                         (difference (known, committed, "bytes")));
    json_object_set_new (discard, "Seconds", json_real
                         (difference (known, committed, "time_ns") / 1e9));
  }
  if (json_is_number (heard))
    json_object_set_new (discard, "HeardSecondsAgo", json_real
                         (json_number_value (heard) / 1e3));
  answer->body = json_pack ("{s:o}", "Discard", discard);
  mode_describe_zero (status, answer->body);
  json_decref (status);
}

/* What the copy will show. */
static void
tell_point (struct agent *agent, const struct record *rec, json_t *body)
{
  struct status_age age;
  json_t *status = pair_disk_status (agent, rec, &age);
  uint64_t point = pair_recovery_point (agent, rec, status, &age);

  if (point)
    json_object_set_new (body, "RecoverPoint", json_integer (point / 1000));
  json_decref (status);
}

void
dry_run (struct agent *agent, const struct record *rec,
         enum pair_event event, const struct pair_transition *t,
         struct answer *answer)
{
  switch (event) {
  case PAIR_VERB_REVERSE:
    reprotect_dry_run (agent, rec, REPROTECT_REVERSE, answer);
    break;
  case PAIR_VERB_CREATE:
  case PAIR_VERB_CANCEL:
    reprotect_dry_run (agent, rec, REPROTECT_CANCEL, answer);
    break;
  case PAIR_VERB_START:
  case PAIR_VERB_START_ONESHOT:
    /* What runs already gives up nothing more. */
    if (t->outcome == PAIR_MOVED)
      reprotect_dry_run (agent, rec, REPROTECT_CANCEL, answer);
    break;
  case PAIR_VERB_FAILOVER:
    if (t->outcome == PAIR_MOVED)
      failover_dry_run (agent, rec, answer);
    break;
  default:
    break;                       /* what is staged the source still has */
  }
  if (answer->error != API_OK)
    return;
  if (answer->body == NULL)
    answer->body = json_object ();
  json_object_set_new (answer->body, "Status",
                       json_string (pair_status_string (t->status)));
  if (event == PAIR_VERB_FAILOVER || event == PAIR_VERB_STOP)
    tell_point (agent, rec, answer->body);
}

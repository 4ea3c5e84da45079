/* Changes of a pair's record: by a report, by the other site (see change.h).
 * Each is one transaction with its event.
 */

#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "change.h"
#include "events.h"
#include "log.h"
#include "mode.h"
#include "peer.h"
#include "record.h"
#include "states.h"
#include "store.h"
#include "transitions.h"
#include "values.h"
#include "work.h"

bool
is_source (const struct agent *agent, const struct record *rec)
{
  return strcmp (rec->source_region, agent->settings.region) == 0 &&
    strcmp (rec->source_zone, agent->settings.zone) == 0;
}

bool
is_destination (const struct agent *agent, const struct record *rec)
{
  return strcmp (rec->destination_region, agent->settings.region) == 0 &&
    strcmp (rec->destination_zone, agent->settings.zone) == 0;
}

const char *
other_region (const struct agent *agent, const struct record *rec)
{
  return is_source (agent, rec) ? rec->destination_region
    : rec->source_region;
}

const char *
our_disk (const struct agent *agent, const struct record *rec)
{
  return is_source (agent, rec) ? rec->source_disk : rec->destination_disk;
}

static enum log_level
level_of (enum pair_status status)
{
  switch (status) {
  case PAIR_CREATE_FAILED:
  case PAIR_STOP_FAILED:
  case PAIR_FAILOVER_FAILED:
  case PAIR_REPROTECT_FAILED:
  case PAIR_DELETE_FAILED:
  case PAIR_INVALID:
    return LOG_LEVEL_ERROR;
  case PAIR_FAILOVERING:
  case PAIR_FAILOVERED:
    return LOG_LEVEL_WARNING;
  default:
    return LOG_LEVEL_INFO;
  }
}

void
discard_text (const struct record *rec, char *ret, size_t size)
{
  const char *region = rec->discard_region, *file = rec->discard_file;

  if (rec->discard_writes == 0)
    snprintf (ret, size, "nothing is given up: the disk of region %s has no "
              "writes that the other one lacks; asked for by %s", region,
              rec->asked_by);
  else
    snprintf (ret, size, "the disk of region %s gives up %llu writes, "
              "%s%llu bytes, made over %.1f s; %s%s; asked for by %s", region,
              (unsigned long long) rec->discard_writes,
              rec->discard_exact ? "" : "at least ",
              (unsigned long long) rec->discard_bytes,
              rec->discard_ms / 1000.0, *file ? "saved there in "
              : "not saved", file, rec->asked_by);
}

void
loss_text (const struct record *rec, char *ret, size_t size)
{
  char heard[64] = "never heard";

  if (rec->loss_heard_known)
    snprintf (heard, sizeof heard, "last heard %.1f s before",
              rec->loss_heard_ms / 1000.0);
  snprintf (ret, size, "lost %llu writes, %llu bytes, %.1f s of what the "
            "source had told of%s; %s; took %.3f s; RPO zero: %s%s%s; asked for "
            "by %s",
            (unsigned long long) rec->loss_writes,
            (unsigned long long) rec->loss_bytes, rec->loss_ms / 1000.0,
            rec->loss_dropped ? ", and what was staged" : "", heard,
            rec->failover_ms / 1000.0, zero_string (rec->loss_zero),
            rec->loss_zero == ZERO_PROVEN ? "" : ", ",
            rec->loss_zero == ZERO_PROVEN ? "" : zero_reason (rec->loss_zero),
            rec->asked_by);
}

int
record_move (struct agent *agent, struct record *rec,
             enum pair_status status, bool is_verb, const char *actor,
             const char *kind, const char *message)
{
  enum pair_status old = rec->status;

  rec->status = status;
  rec->version++;
  if (is_verb) {
    rec->epoch++;
    snprintf (rec->asked_by, sizeof rec->asked_by, "%s", actor);
    TEXT_SET (rec->owner_region, agent->settings.region);
    TEXT_SET (rec->owner_zone, agent->settings.zone);
  }
  if (store_pair_put (agent->store, rec) == -1)
    return -1;
  return event_add (agent, level_of (status), actor, kind, rec->id,
                    our_disk (agent, rec),
                    old == PAIR_STATUS_UNSET ? "" : pair_status_string (old),
                    pair_status_string (status), "%s", message);
}

static int
report_locked (struct agent *agent, struct record *rec, uint64_t version,
               enum pair_event event, const char *message,
               void (*change) (struct record *rec, void *opaque),
               void *opaque)
{
  struct pair_facts facts = {
    .at_source = is_source (agent, rec),
    .at_destination = is_destination (agent, rec),
    .has_completed_point = rec->has_point,
    .peer_reachable = true,
    .rpo_seconds = rec->rpo,
  };
  struct pair_transition t;

  if (version != 0 && rec->version != version)
    return 0;
  t = pair_apply (rec->status, event, &facts);
  if (t.outcome != PAIR_MOVED)
    return 0;
  if (change)
    change (rec, opaque);
  return record_move (agent, rec, t.status, false, "worker",
                      pair_event_string (event), message) == -1 ? -1 : 1;
}

/* The step that EVENT is in the transition that REC is in. */
static void
report_step_begins (struct site_step *s, const struct record *before,
                    enum pair_event event)
{
  const char *step = "end";

  switch (event) {
  case PAIR_EVENT_CREATE_FAILED:
  case PAIR_EVENT_STOP_FAILED:
  case PAIR_EVENT_FAILOVER_FAILED:
  case PAIR_EVENT_REPROTECT_FAILED:
  case PAIR_EVENT_DELETE_FAILED:
    step = "failed";
    break;
  case PAIR_EVENT_LAGGING:
    step = "behind";
    break;
  default:
    break;
  }
  site_step_begins (s, event == PAIR_EVENT_DISK_INVALID ? "invalid"
                    : transition_of (before), step);
}

int
report_event (struct agent *agent, const char *id, uint64_t version,
              enum pair_event event, const char *message,
              void (*change) (struct record *rec, void *opaque),
              void *opaque)
{
  struct record *rec = calloc (2, sizeof *rec);
  struct site_step step = { .name = "" };
  int r = -1;

  if (rec && store_begin (agent->store) == 0) {
    r = store_pair_get (agent->store, id, rec);
    rec[1] = rec[0];
    if (r == 1)
      r = report_locked (agent, rec, version, event, message, change,
                         opaque);
    if (r == 1)
      report_step_begins (&step, &rec[1], event);
    if (store_end (agent->store, r == 1) == -1)
      r = -1;
    site_step_ended (&step);
  }
  free (rec);
  if (r == 1) {
    work_wake (agent);
    peers_wake (agent);
  }
  return r;
}

/* What the record that now counts says was given up, if OURS did not: the
 * other site has an event of it, this one gets one, too.
 */
static int
tell_losses (struct agent *agent, const struct record *ours,
             const struct record *now, const char *actor)
{
  char text[480];

  if (now->has_discard && (!ours || !ours->has_discard ||
                           strcmp (ours->discard_file, now->discard_file) ||
                           ours->discard_writes != now->discard_writes)) {
    discard_text (now, text, sizeof text);
    if (event_add (agent, now->discard_writes ? LOG_LEVEL_WARNING
                   : LOG_LEVEL_INFO, actor, "discarded", now->id,
                   our_disk (agent, now), "", "", "%s", text) == -1)
      return -1;
  }
  if (now->has_loss && (!ours || !ours->has_loss ||
                        ours->failover_start_ms != now->failover_start_ms)) {
    loss_text (now, text, sizeof text);
    return event_add (agent, LOG_LEVEL_WARNING, actor, "lost", now->id,
                      our_disk (agent, now), "", "", "%s", text);
  }
  return 0;
}

/* The record is the same on both sides, but a recovery point that one of
 * them has seen counts for both.
 */
static int
absorb_point (struct agent *agent, const struct record *theirs,
              struct record *ours)
{
  if (!theirs->has_point || ours->has_point)
    return 0;
  ours->has_point = 1;
  ours->point_ms = theirs->point_ms;
  return store_pair_put (agent->store, ours);
}

/* Tags and resource group live by their own count (tags.c). */
static void
absorb_meta (const struct record *from, struct record *to)
{
  if (from->meta <= to->meta)
    return;
  to->meta = from->meta;
  to->version++;
  TEXT_SET (to->tags, from->tags);
  TEXT_SET (to->resource_group, from->resource_group);
}

int
record_merge (struct agent *agent, const struct record *theirs,
              const char *actor, struct record *ret)
{
  struct record *ours = malloc (sizeof *ours);
  int r, cmp;

  if (ours == NULL)
    return -1;
  r = store_pair_get (agent->store, theirs->id, ours);
  if (r == -1) {
    free (ours);
    return -1;
  }
  cmp = r == 0 ? 1 : record_compare (theirs, ours);
  if (cmp <= 0) {
    if (theirs->meta > ours->meta) {
      absorb_meta (theirs, ours);
      r = store_pair_put (agent->store, ours);
    }
    else if (cmp == 0)
      r = absorb_point (agent, theirs, ours);
    *ret = *ours;
    free (ours);
    return r == -1 ? -1 : 0;
  }

  *ret = *theirs;
  if (r == 1) {
    absorb_meta (ours, ret);
    ret->link_epoch = ours->link_epoch;
    TEXT_SET (ret->link_uri, ours->link_uri);
    if (ours->has_point && ours->epoch == theirs->epoch &&
        strcmp (ours->source_region, theirs->source_region) == 0 &&
        strcmp (ours->source_disk, theirs->source_disk) == 0) {
      ret->has_point = 1;
      if (ours->point_ms > ret->point_ms)
        ret->point_ms = ours->point_ms;
    }
  }
  if (store_pair_put (agent->store, ret) == -1 ||
      tell_losses (agent, r == 1 ? ours : NULL, ret, actor) == -1 ||
      ((r == 0 || ours->status != theirs->status) &&
       event_add (agent, level_of (theirs->status), actor, "peer-record",
                  theirs->id, our_disk (agent, theirs),
                  r == 0 ? "" : pair_status_string (ours->status),
                  pair_status_string (theirs->status), "%s",
                  theirs->status == PAIR_FAILOVERED &&
                  is_source (agent, theirs)
                  ? "the other site was made primary; this disk is no "
                  "longer replicated" : theirs->message) == -1))
    r = -1;
  else
    r = 1;
  free (ours);
  if (r == 1)
    work_wake (agent);
  return r;
}

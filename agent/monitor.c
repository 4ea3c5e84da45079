/* What the plugin's STATUS means for a pair.  Pure: no calls, no clock
 * (see monitor.h and docs/design/control-protocol.md).
 *
 * The source's site moves an active pair: it knows the lag.  "normal" is
 * reached when the link streams and the copy is no older than the RPO, and
 * left when it becomes older, whatever the reason.
 */

#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "monitor.h"
#include "record.h"
#include "states.h"
#include "values.h"

#define SILENT_MS 5000           /* many heartbeats */

static double
number (const json_t *object, const char *name)
{
  return json_number_value (json_object_get (object, name));
}

static uint64_t
point_ms (const json_t *point)
{
  return json_u64 (point, "time_ns") / 1000000;
}

static bool
state_is (const json_t *link, const char *state)
{
  return strcmp (json_text (link, "state"), state) == 0;
}

static void
observe_source (const struct record *rec, const json_t *status,
                uint64_t now_ms, struct observation *ret)
{
  const json_t *link = json_object_get (status, "link");
  const json_t *lag = json_object_get (link, "lag");
  /* Of a disk nobody ever wrote to there is nothing to copy. */
  bool is_empty =
    json_u64 (json_object_get (status, "appended"), "seq") == 0;
  bool is_level;

  if (!json_is_object (link))
    return;
  ret->link_state = json_text (link, "state");
  ret->link_reason = json_text (link, "reason");
  ret->is_up = state_is (link, "stream") || state_is (link, "done");
  ret->has_point = json_is_true (json_object_get (link, "initial_done"));
  is_level = ret->is_up && json_u64 (lag, "writes") == 0;
  ret->point_ms = is_level ? now_ms
    : point_ms (json_object_get (link, "peer_committed"));

  switch (rec->status) {
  case PAIR_INITIAL_SYNCING:
  case PAIR_SYNCING:
    if (state_is (link, "stream") && (ret->has_point || is_empty) &&
        number (lag, "seconds") <= rec->rpo)
      ret->event = PAIR_EVENT_SYNCED;
    break;
  case PAIR_NORMAL:
    if (number (lag, "seconds") > rec->rpo)
      ret->event = PAIR_EVENT_LAGGING;
    break;
  case PAIR_MANUAL_SYNCING:
    if (state_is (link, "done") && rec->link_epoch == rec->epoch)
      ret->event = PAIR_EVENT_ONESHOT_DONE;
    break;
  default:
    break;
  }
}

static void
observe_destination (const json_t *status, uint64_t now_ms,
                     struct observation *ret)
{
  const json_t *source = json_object_get (status, "source");
  const json_t *committed = json_object_get (status, "committed");
  const json_t *known = json_object_get (source, "known");

  if (!json_is_object (committed) ||
      strcmp (json_text (status, "role"), "secondary") != 0 ||
      json_is_true (json_object_get (json_object_get (status, "discard"),
                                     "pending")))
    return;
  ret->has_point = true;
  ret->point_ms = point_ms (committed);
  ret->is_up = json_is_true (json_object_get (source, "connected"));
  if (ret->is_up && json_is_object (known) &&
      json_u64 (known, "seq") == json_u64 (committed, "seq") &&
      !json_is_object (json_object_get (status, "stage")))
    ret->point_ms = now_ms - json_u64 (source, "heard_ms_ago");
}

void
monitor_observe (const struct record *rec, const json_t *status,
                 bool at_source, uint64_t now_ms, struct observation *ret)
{
  memset (ret, 0, sizeof *ret);
  if (at_source)
    observe_source (rec, status, now_ms, ret);
  else
    observe_destination (status, now_ms, ret);
}

/* ------------------------------------------------------------------ */

static void
describe_source (const json_t *status, json_t *object)
{
  const json_t *link = json_object_get (status, "link");
  const json_t *lag = json_object_get (link, "lag");

  if (!json_is_object (link))
    return;
  json_object_set_new (object, "LinkState",
                       json_string (json_text (link, "state")));
  if (*json_text (link, "reason"))
    json_object_set_new (object, "LinkReason",
                         json_string (json_text (link, "reason")));
  if (json_is_object (lag)) {
    json_object_set (object, "LagSeconds", json_object_get (lag, "seconds"));
    json_object_set (object, "LagWrites", json_object_get (lag, "writes"));
    json_object_set (object, "LagBytes", json_object_get (lag, "bytes"));
  }
}

static uint64_t
difference (const json_t *a, const json_t *b, const char *name)
{
  uint64_t x = json_u64 (a, name), y = json_u64 (b, name);

  return x > y ? x - y : 0;
}

/* The destination knows what the source last told of: nothing, if that was long
 * ago.  It is told something every half second.
 */
static void
describe_destination (const json_t *status, json_t *object)
{
  const json_t *source = json_object_get (status, "source");
  const json_t *committed = json_object_get (status, "committed");
  const json_t *known = json_object_get (source, "known");
  bool accept = json_is_true (json_object_get (source, "accept"));
  uint64_t heard_ms = json_u64 (source, "heard_ms_ago");
  bool is_up = json_is_true (json_object_get (source, "connected")) &&
    heard_ms < SILENT_MS;
  char text[64];

  if (!json_is_object (source))
    return;
  json_object_set_new (object, "LinkState",
    json_string (is_up ? json_is_object (json_object_get (status, "stage"))
                 ? "delta" : "stream" : accept ? "waiting" : "off"));
  if (accept && !is_up && heard_ms > 0) {
    snprintf (text, sizeof text, "nothing was heard of the source for %.1f s",
              heard_ms / 1e3);
    json_object_set_new (object, "LinkReason", json_string (text));
  }
  if (is_up && json_is_object (known) && json_is_object (committed)) {
    json_object_set_new (object, "LagSeconds",
      json_real (difference (known, committed, "time_ns") / 1e9));
    json_object_set_new (object, "LagWrites",
      json_integer (difference (known, committed, "seq")));
    json_object_set_new (object, "LagBytes",
      json_integer (difference (known, committed, "bytes")));
  }
}

void
monitor_describe (const struct record *rec, const json_t *status,
                  bool at_source, json_t *object)
{
  if (rec->status == PAIR_FAILOVERED || rec->status == PAIR_FAILOVERING ||
      rec->status == PAIR_REPROTECTING ||
      rec->status == PAIR_REPROTECT_FAILED)
    return;
  if (at_source)
    describe_source (status, object);
  else
    describe_destination (status, object);
}

int
monitor_progress (const struct record *rec, const json_t *status,
                  bool at_source, json_t *object)
{
  const json_t *link = json_object_get (status, "link");
  const json_t *from = at_source ? link : json_object_get (status, "source");
  bool is_active = pair_status_kind (rec->status) == PAIR_KIND_ACTIVE;
  int progress;

  monitor_describe (rec, status, at_source, object);
  if (at_source && json_is_object (link)) {
    json_object_set (object, "DoneBytes",
                     json_object_get (link, "done_bytes"));
    json_object_set (object, "TotalBytes",
                     json_object_get (link, "total_bytes"));
    json_object_set (object, "RateBps", json_object_get (link, "rate_bps"));
  }
  if (rec->status == PAIR_NORMAL)
    return 100;
  if (!is_active)
    return rec->has_point ? 100 : 0;
  progress = number (from, "progress");
  return progress < 0 ? 0 : progress > 100 ? 100 : progress;
}

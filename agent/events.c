/* The event log: written here, read by DescribeEvents (see events.h). */

#include <config.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "actions.h"
#include "agent.h"
#include "apierror.h"
#include "cleanup.h"
#include "events.h"
#include "log.h"
#include "names.h"
#include "params.h"
#include "store.h"
#include "values.h"

static void
log_event (const struct event *e)
{
  log_line (e->level, "event: %s%s%s%s%s%s%s%s%s%s%s by %s", e->kind,
            e->pair[0] ? " pair=" : "", e->pair,
            e->disk[0] ? " disk=" : "", e->disk,
            e->to[0] ? " " : "", e->from, e->to[0] ? " -> " : "", e->to,
            e->message[0] ? ": " : "", e->message, e->actor);
}

/* Events of each level since the start. */
static _Atomic uint64_t counted[LOG_LEVEL_ERROR + 1];

void
events_counted (uint64_t ret[LOG_LEVEL_ERROR + 1])
{
  size_t i;

  for (i = 0; i <= LOG_LEVEL_ERROR; ++i)
    ret[i] = counted[i];
}

static int __attribute__ ((format (printf, 9, 0)))
add (struct agent *agent, enum log_level level, const char *actor,
     const char *kind, const char *pair, const char *disk, const char *from,
     const char *to, const char *fmt, va_list args)
{
  struct event e = { .time_ms = wall_ms (), .level = level };

  TEXT_SET (e.actor, actor);
  TEXT_SET (e.kind, kind);
  TEXT_SET (e.pair, pair);
  TEXT_SET (e.disk, disk);
  TEXT_SET (e.from, from);
  TEXT_SET (e.to, to);
  vsnprintf (e.message, sizeof e.message, fmt, args);
  log_event (&e);
  counted[level]++;
  return store_event_add (agent->store, &e);
}

int
event_add (struct agent *agent, enum log_level level, const char *actor,
           const char *kind, const char *pair, const char *disk,
           const char *from, const char *to, const char *fmt, ...)
{
  va_list args;
  int r;

  va_start (args, fmt);
  r = add (agent, level, actor, kind, pair, disk, from, to, fmt, args);
  va_end (args);
  return r;
}

void
event_note (struct agent *agent, enum log_level level, const char *actor,
            const char *kind, const char *pair, const char *disk,
            const char *fmt, ...)
{
  va_list args;

  if (store_begin (agent->store) == -1)
    return;
  va_start (args, fmt);
  store_end (agent->store,
             add (agent, level, actor, kind, pair, disk, "", "", fmt,
                  args) == 0);
  va_end (args);
}

static json_t *
describe_event (const struct event *e)
{
  return json_pack ("{s:I, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}",
                    "EventId", (json_int_t) e->id,
                    "Time", (json_int_t) e->time_ms,
                    "Level", log_level_name (e->level),
                    "Actor", e->actor, "Kind", e->kind,
                    "ReplicaPairId", e->pair, "DiskId", e->disk,
                    "From", e->from, "To", e->to, "Message", e->message);
}

static bool
parse_filter (const struct request *req, struct event_filter *ret,
              struct answer *answer)
{
  const char *after = params_get (&req->params, "AfterId");
  const char *max = params_get (&req->params, "MaxResults");
  uint64_t n = 100;

  ret->pair = params_get (&req->params, "ReplicaPairId");
  ret->disk = params_get (&req->params, "DiskId");
  if (after && *after && !uint_parse (after, INT64_MAX, &ret->after)) {
    answer_error (answer, API_INVALID_PARAMETER, "AfterId", NULL);
    return false;
  }
  if (max && *max && (!uint_parse (max, 500, &n) || n == 0)) {
    answer_error (answer, API_INVALID_PARAMETER, "MaxResults", NULL);
    return false;
  }
  ret->max = n;
  return true;
}

void
action_describe_events (struct agent *agent, struct request *req,
                        const struct work_token *token,
                        struct answer *answer)
{
  CLEANUP_FREE struct event *list = NULL;
  struct event_filter filter = { 0 };
  json_t *array = json_array ();
  ssize_t n = 0, i;

  (void) token;
  answer->body = json_pack ("{s:o}", "Events", array);
  if (!parse_filter (req, &filter, answer))
    return;
  if (strcmp (req->region, agent->settings.region) == 0) {
    store_enter (agent->store);
    n = store_event_list (agent->store, &filter, &list);
    store_leave (agent->store);
  }
  if (n == -1) {
    answer_error (answer, API_INTERNAL, NULL, NULL);
    return;
  }
  for (i = 0; i < n; ++i)
    json_array_append_new (array, describe_event (&list[i]));
}

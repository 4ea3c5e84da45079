/* Statuses of a pair and what moves it (see states.h).
 *
 * The table below is the whole machine.  An empty cell is a verb that the
 * status does not take, or a report that came too late.
 */

#include <config.h>

#include <string.h>

#include "states.h"

/* What a cell demands beyond the status. */
enum {
  NEED_POINT = 1,               /* a completed point */
  NEED_SOURCE_FREE = 2,         /* source not attached */
  NEED_DESTINATION_FREE = 4,    /* destination not attached */
  NEED_PAUSE = 8,               /* half an RPO since the last one-shot */
  NEED_LINK_ONLY = 32,          /* nothing but how the link works */
  BY_COPY = 16,                 /* syncing instead of initial_syncing when
                                   only the difference is copied */
};

struct cell {
  enum pair_outcome outcome;
  enum pair_status next;        /* when outcome is PAIR_MOVED */
  enum pair_work work;
  unsigned needs;
};

#define TO(next, work, needs)                           \
  { PAIR_MOVED, PAIR_##next, PAIR_WORK_##work, needs }
#define STAY(work, needs)                                       \
  { PAIR_UNCHANGED, PAIR_STATUS_UNSET, PAIR_WORK_##work, needs }
#define LATER { PAIR_DEFERRED, PAIR_STATUS_UNSET, PAIR_WORK_NONE, 0 }

static const struct cell cells[PAIR_EVENT_COUNT][PAIR_STATUS_COUNT] = {
  [PAIR_VERB_CREATE] = {
    [PAIR_STATUS_UNSET] = TO (CREATING, CREATE, NEED_DESTINATION_FREE),
    [PAIR_DELETED] = TO (CREATING, CREATE, NEED_DESTINATION_FREE),
  },
  [PAIR_VERB_START] = {
    [PAIR_CREATED] = TO (INITIAL_SYNCING, SYNC,
                         NEED_DESTINATION_FREE | BY_COPY),
    [PAIR_STOPPED] = TO (INITIAL_SYNCING, SYNC,
                         NEED_DESTINATION_FREE | BY_COPY),
    [PAIR_SYNCING] = STAY (NONE, 0),
    [PAIR_NORMAL] = STAY (NONE, 0),
  },
  [PAIR_VERB_START_ONESHOT] = {
    [PAIR_CREATED] = TO (MANUAL_SYNCING, SYNC_ONCE,
                         NEED_DESTINATION_FREE | NEED_PAUSE),
    [PAIR_STOPPED] = TO (MANUAL_SYNCING, SYNC_ONCE,
                         NEED_DESTINATION_FREE | NEED_PAUSE),
    [PAIR_MANUAL_SYNCING] = STAY (NONE, NEED_PAUSE),
  },
  [PAIR_VERB_STOP] = {
    [PAIR_INITIAL_SYNCING] = TO (STOPPING, STOP, 0),
    [PAIR_MANUAL_SYNCING] = TO (STOPPING, STOP, 0),
    [PAIR_SYNCING] = TO (STOPPING, STOP, 0),
    [PAIR_NORMAL] = TO (STOPPING, STOP, 0),
    [PAIR_STOP_FAILED] = TO (STOPPING, STOP, 0),
    [PAIR_STOPPING] = STAY (NONE, 0),
    [PAIR_STOPPED] = STAY (NONE, 0),
  },
  [PAIR_VERB_FAILOVER] = {
    [PAIR_INITIAL_SYNCING] = TO (FAILOVERING, FAILOVER, NEED_POINT),
    [PAIR_MANUAL_SYNCING] = TO (FAILOVERING, FAILOVER, NEED_POINT),
    [PAIR_SYNCING] = TO (FAILOVERING, FAILOVER, NEED_POINT),
    [PAIR_NORMAL] = TO (FAILOVERING, FAILOVER, NEED_POINT),
    [PAIR_STOPPING] = TO (FAILOVERING, FAILOVER, NEED_POINT),
    [PAIR_STOPPED] = TO (FAILOVERING, FAILOVER, NEED_POINT),
    [PAIR_STOP_FAILED] = TO (FAILOVERING, FAILOVER, NEED_POINT),
    [PAIR_FAILOVER_FAILED] = TO (FAILOVERING, FAILOVER, NEED_POINT),
    [PAIR_REPROTECT_FAILED] = TO (FAILOVERING, FAILOVER, NEED_POINT),
    [PAIR_FAILOVERING] = STAY (NONE, 0),
    [PAIR_FAILOVERED] = STAY (NONE, 0),
  },
  [PAIR_VERB_REVERSE] = {
    [PAIR_FAILOVERED] = TO (REPROTECTING, REVERSE, NEED_SOURCE_FREE),
    [PAIR_REPROTECT_FAILED] = TO (REPROTECTING, REVERSE, NEED_SOURCE_FREE),
  },
  [PAIR_VERB_CANCEL] = {
    [PAIR_FAILOVERED] = TO (REPROTECTING, CANCEL, NEED_DESTINATION_FREE),
    [PAIR_REPROTECT_FAILED] = TO (REPROTECTING, CANCEL,
                                  NEED_DESTINATION_FREE),
  },
  [PAIR_VERB_MODIFY] = {
    [PAIR_CREATED] = STAY (MODIFY, 0),
    [PAIR_STOPPED] = STAY (MODIFY, 0),
    [PAIR_INITIAL_SYNCING] = STAY (MODIFY, NEED_LINK_ONLY),
    [PAIR_MANUAL_SYNCING] = STAY (MODIFY, NEED_LINK_ONLY),
    [PAIR_SYNCING] = STAY (MODIFY, NEED_LINK_ONLY),
    [PAIR_NORMAL] = STAY (MODIFY, NEED_LINK_ONLY),
    [PAIR_FAILOVERED] = STAY (MODIFY, NEED_LINK_ONLY),
  },
  [PAIR_VERB_DELETE] = {
    [PAIR_CREATED] = TO (DELETING, DELETE, 0),
    [PAIR_CREATE_FAILED] = TO (DELETING, DELETE, 0),
    [PAIR_STOPPED] = TO (DELETING, DELETE, 0),
    [PAIR_FAILOVERED] = TO (DELETING, DELETE, 0),
    [PAIR_FAILOVER_FAILED] = TO (DELETING, DELETE, 0),
    [PAIR_REPROTECT_FAILED] = TO (DELETING, DELETE, 0),
    [PAIR_DELETE_FAILED] = TO (DELETING, DELETE, 0),
    [PAIR_INVALID] = TO (DELETING, DELETE, 0),
    [PAIR_DELETING] = STAY (NONE, 0),
  },
  [PAIR_VERB_PROGRESS] = {
#define X(name, string, kind, metric, meaning)                          \
    [PAIR_##name] = STAY (DESCRIBE, 0),
    PAIR_STATUSES (X)           /* deleted is answered before the table */
#undef X
  },

  [PAIR_EVENT_CREATED] = {
    [PAIR_CREATING] = TO (CREATED, NONE, 0),
  },
  [PAIR_EVENT_CREATE_FAILED] = {
    [PAIR_CREATING] = TO (CREATE_FAILED, NONE, 0),
  },
  [PAIR_EVENT_SYNCED] = {
    [PAIR_INITIAL_SYNCING] = TO (NORMAL, RECORD_POINT, 0),
    [PAIR_SYNCING] = TO (NORMAL, RECORD_POINT, 0),
    [PAIR_NORMAL] = STAY (RECORD_POINT, 0),
  },
  [PAIR_EVENT_LAGGING] = {
    [PAIR_NORMAL] = TO (SYNCING, NONE, 0),
    [PAIR_SYNCING] = STAY (NONE, 0),
  },
  [PAIR_EVENT_ONESHOT_DONE] = {
    [PAIR_MANUAL_SYNCING] = TO (STOPPED, RECORD_POINT, 0),
  },
  [PAIR_EVENT_STOPPED] = {
    [PAIR_STOPPING] = TO (STOPPED, NONE, 0),
  },
  [PAIR_EVENT_STOP_FAILED] = {
    [PAIR_STOPPING] = TO (STOP_FAILED, NONE, 0),
  },
  [PAIR_EVENT_FAILOVERED] = {
    [PAIR_FAILOVERING] = TO (FAILOVERED, NONE, 0),
  },
  [PAIR_EVENT_FAILOVER_FAILED] = {
    [PAIR_FAILOVERING] = TO (FAILOVER_FAILED, NONE, 0),
  },
  [PAIR_EVENT_REVERSED] = {
    [PAIR_REPROTECTING] = TO (STOPPED, SWAP_DIRECTION, 0),
  },
  [PAIR_EVENT_CANCELLED] = {
    [PAIR_REPROTECTING] = TO (STOPPED, NONE, 0),
  },
  [PAIR_EVENT_REPROTECT_FAILED] = {
    [PAIR_REPROTECTING] = TO (REPROTECT_FAILED, NONE, 0),
  },
  [PAIR_EVENT_DELETED] = {
    [PAIR_DELETING] = TO (DELETED, NONE, 0),
  },
  [PAIR_EVENT_DELETE_FAILED] = {
    [PAIR_DELETING] = TO (DELETE_FAILED, NONE, 0),
  },
  /* Work that is under way is finished first, and a deletion makes the disks'
   * state matter no more.
   */
  [PAIR_EVENT_DISK_INVALID] = {
    [PAIR_CREATING] = LATER,
    [PAIR_CREATED] = TO (INVALID, NONE, 0),
    [PAIR_CREATE_FAILED] = TO (INVALID, NONE, 0),
    [PAIR_INITIAL_SYNCING] = TO (INVALID, NONE, 0),
    [PAIR_MANUAL_SYNCING] = TO (INVALID, NONE, 0),
    [PAIR_SYNCING] = TO (INVALID, NONE, 0),
    [PAIR_NORMAL] = TO (INVALID, NONE, 0),
    [PAIR_STOPPING] = LATER,
    [PAIR_STOPPED] = TO (INVALID, NONE, 0),
    [PAIR_STOP_FAILED] = TO (INVALID, NONE, 0),
    [PAIR_FAILOVERING] = LATER,
    [PAIR_FAILOVERED] = TO (INVALID, NONE, 0),
    [PAIR_FAILOVER_FAILED] = TO (INVALID, NONE, 0),
    [PAIR_REPROTECTING] = LATER,
    [PAIR_REPROTECT_FAILED] = TO (INVALID, NONE, 0),
    [PAIR_DELETE_FAILED] = TO (INVALID, NONE, 0),
    [PAIR_INVALID] = STAY (NONE, 0),
  },
};

/* Where a verb may be called, and whether a group's member takes it. */
enum site {
  SITE_EITHER = 0,
  SITE_SOURCE,                  /* else there is no such disk here */
  SITE_DESTINATION,             /* else not allowed for primary */
  SITE_DELETE,                  /* see delete_allowed () */
};

static const struct {
  enum site site;
  bool is_groups_own;           /* a member takes it only from its group */
} verbs[PAIR_EVENT_COUNT] = {
  [PAIR_VERB_CREATE] = { SITE_SOURCE, false },
  [PAIR_VERB_START] = { SITE_EITHER, true },
  [PAIR_VERB_START_ONESHOT] = { SITE_EITHER, true },
  [PAIR_VERB_STOP] = { SITE_EITHER, true },
  [PAIR_VERB_FAILOVER] = { SITE_DESTINATION, true },
  [PAIR_VERB_REVERSE] = { SITE_DESTINATION, true },
  [PAIR_VERB_CANCEL] = { SITE_DESTINATION, true },
  [PAIR_VERB_MODIFY] = { SITE_EITHER, false },
  [PAIR_VERB_DELETE] = { SITE_DELETE, true },
  [PAIR_VERB_PROGRESS] = { SITE_EITHER, false },
};

static struct pair_transition
refuse (enum pair_status status, enum api_error error, const char *hint)
{
  return (struct pair_transition) {
    .outcome = PAIR_REFUSED,
    .status = status,
    .refusal = error,
    .hint = hint ? hint : api_error_info (error)->hint,
  };
}

/* The source's site deletes; the other one may when it is the only one that
 * can still be asked, or the direction no longer means anything.
 */
static bool
delete_allowed (enum pair_status status, const struct pair_facts *facts)
{
  return facts->at_source || status == PAIR_FAILOVERED ||
    status == PAIR_FAILOVER_FAILED || status == PAIR_REPROTECT_FAILED ||
    status == PAIR_INVALID || !facts->peer_reachable;
}

static enum api_error
check_site (enum site site, enum pair_status status,
            const struct pair_facts *facts)
{
  switch (site) {
  case SITE_SOURCE:
    return facts->at_source ? API_OK : API_NO_SUCH_RESOURCE;
  case SITE_DESTINATION:
    return facts->at_destination ? API_OK : API_NOT_ALLOWED_FOR_PRIMARY;
  case SITE_DELETE:
    return delete_allowed (status, facts) ? API_OK
                                          : API_NOT_ALLOWED_FOR_STANDBY;
  case SITE_EITHER:
    break;
  }
  return API_OK;
}

/* "Longer than half the RPO", without rounding; cannot overflow. */
static bool
paused_enough (const struct pair_facts *facts)
{
  return !facts->had_oneshot ||
    facts->seconds_since_oneshot > UINT32_MAX ||
    2 * facts->seconds_since_oneshot > facts->rpo_seconds;
}

static struct pair_transition
check_needs (enum pair_status status, enum pair_event verb, unsigned needs,
             const struct pair_facts *facts)
{
  bool starts = verb == PAIR_VERB_START || verb == PAIR_VERB_START_ONESHOT;

  if ((needs & NEED_DESTINATION_FREE) && facts->destination_attached)
    return refuse (status,
                   starts ? API_STANDBY_DEVICE_ATTACHED : API_OPERATION_DENIED,
                   "detach the secondary disk first");
  if ((needs & NEED_SOURCE_FREE) && facts->source_attached)
    return refuse (status, API_OPERATION_DENIED,
                   "detach the old primary disk first, it becomes the target");
  if ((needs & NEED_POINT) && !facts->has_completed_point)
    return refuse (status, API_INVALID_STATUS,
                   "there is nothing to fail over to before a first "
                   "synchronization is complete");
  if ((needs & NEED_LINK_ONLY) && !facts->changes_link_only)
    return refuse (status, API_INVALID_STATUS,
                   "stop the pair first: while it runs only the mode and the "
                   "link can be changed");
  if ((needs & NEED_PAUSE) && !paused_enough (facts))
    return refuse (status, API_MANUAL_SYNC_LIMIT, NULL);
  return (struct pair_transition) { .outcome = PAIR_OUTCOME_UNSET };
}

static struct pair_transition
take (enum pair_status status, const struct cell *cell,
      const struct pair_facts *facts)
{
  enum pair_status next = status;

  if (cell->outcome == PAIR_MOVED)
    next = (cell->needs & BY_COPY) && facts->copies_difference
      ? PAIR_SYNCING : cell->next;
  return (struct pair_transition) {
    .outcome = cell->outcome ? cell->outcome : PAIR_IGNORED,
    .status = next,
    .work = cell->work,
  };
}

static struct pair_transition
apply_verb (enum pair_status status, enum pair_event verb,
            const struct pair_facts *facts)
{
  const struct cell *cell = &cells[verb][status];
  bool is_taken = cell->outcome != PAIR_OUTCOME_UNSET;
  bool exists = status != PAIR_STATUS_UNSET && status != PAIR_DELETED;
  struct pair_transition t;
  enum api_error error;

  if (!exists && verb != PAIR_VERB_CREATE)
    return refuse (status, API_NO_SUCH_RESOURCE, NULL);
  if (!facts->at_source && !facts->at_destination)
    return refuse (status, API_NO_SUCH_RESOURCE, NULL);
  if (!is_taken && pair_status_kind (status) == PAIR_KIND_PASSING)
    return refuse (status, API_INVALID_STATUS, NULL);
  error = check_site (verbs[verb].site, status, facts);
  if (error != API_OK)
    return refuse (status, error, NULL);
  if (verbs[verb].is_groups_own && facts->in_group)
    return refuse (status, API_OPERATION_DENIED,
                   "the pair is in a group: use the group's verb, or remove "
                   "the pair from it first");
  if (!is_taken)
    return refuse (status, API_INVALID_STATUS, NULL);
  t = check_needs (status, verb, cell->needs, facts);
  if (t.outcome == PAIR_REFUSED)
    return t;
  return take (status, cell, facts);
}

struct pair_transition
pair_apply (enum pair_status status, enum pair_event event,
            const struct pair_facts *facts)
{
  if ((unsigned) status >= PAIR_STATUS_COUNT ||
      (unsigned) event >= PAIR_EVENT_COUNT || event == PAIR_EVENT_UNSET)
    return refuse (status, API_INTERNAL, NULL);
  if (pair_event_is_verb (event))
    return apply_verb (status, event, facts);
  return take (status, &cells[event][status], facts);
}

static const struct {
  const char *string, *meaning;
  enum pair_kind kind;
  unsigned metric;
} statuses[PAIR_STATUS_COUNT] = {
  { "unset", "", PAIR_KIND_UNSET, 0 },
#define X(name, string, kind, metric, meaning)          \
  { string, meaning, PAIR_KIND_##kind, metric },
  PAIR_STATUSES (X)
#undef X
};

static const struct {
  const char *string, *meaning;
} events[PAIR_EVENT_COUNT] = {
  { "unset", "" },
#define X(name, string, what) { string, what },
  PAIR_VERBS (X)
  PAIR_REPORTS (X)
#undef X
}, works[PAIR_WORK_COUNT] = {
#define X(name, string, what) { string, what },
  PAIR_WORKS (X)
#undef X
};

static const char *const reasons[PAIR_REASON_COUNT] = {
  "unset",
#define X(name, string) string,
  PAIR_REASONS (X)
#undef X
};

/* Index I of a table of N, 0 if out of range. */
#define AT(table, i, n) table[(unsigned) (i) < (n) ? (i) : 0]

const char *
pair_status_string (enum pair_status status)
{
  return AT (statuses, status, PAIR_STATUS_COUNT).string;
}

const char *
pair_status_meaning (enum pair_status status)
{
  return AT (statuses, status, PAIR_STATUS_COUNT).meaning;
}

enum pair_kind
pair_status_kind (enum pair_status status)
{
  return AT (statuses, status, PAIR_STATUS_COUNT).kind;
}

unsigned
pair_status_metric (enum pair_status status)
{
  return AT (statuses, status, PAIR_STATUS_COUNT).metric;
}

const char *
pair_event_string (enum pair_event event)
{
  return AT (events, event, PAIR_EVENT_COUNT).string;
}

const char *
pair_event_meaning (enum pair_event event)
{
  return AT (events, event, PAIR_EVENT_COUNT).meaning;
}

const char *
pair_work_string (enum pair_work work)
{
  return AT (works, work, PAIR_WORK_COUNT).string;
}

const char *
pair_work_meaning (enum pair_work work)
{
  return AT (works, work, PAIR_WORK_COUNT).meaning;
}

const char *
pair_reason_string (enum pair_reason reason)
{
  return AT (reasons, reason, PAIR_REASON_COUNT);
}

const char *
pair_kind_string (enum pair_kind kind)
{
  static const char *const strings[] = {
    [PAIR_KIND_UNSET] = "unset",
    [PAIR_KIND_PASSING] = "passing",
    [PAIR_KIND_RESTING] = "resting",
    [PAIR_KIND_ACTIVE] = "active",
    [PAIR_KIND_GONE] = "gone",
  };

  return AT (strings, kind, sizeof strings / sizeof strings[0]);
}

enum pair_status
pair_status_parse (const char *str)
{
  unsigned i;

  for (i = PAIR_STATUS_UNSET + 1; i < PAIR_STATUS_COUNT; ++i)
    if (strcmp (str, statuses[i].string) == 0)
      return i;
  return PAIR_STATUS_UNSET;
}

enum pair_reason
pair_reason_parse (const char *str)
{
  unsigned i;

  for (i = PAIR_REASON_UNSET + 1; i < PAIR_REASON_COUNT; ++i)
    if (strcmp (str, reasons[i]) == 0)
      return i;
  return PAIR_REASON_UNSET;
}

bool
pair_event_is_verb (enum pair_event event)
{
  return event > PAIR_EVENT_UNSET && event <= PAIR_VERB_PROGRESS;
}

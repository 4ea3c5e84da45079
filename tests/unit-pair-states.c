/* Every status x every verb x every combination of facts, against a table
 * and a model written down apart from the code.
 */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "states.h"

#define VERB_COUNT 10

/* What each verb does where everything else is fine: "-" refused for the
 * status, "=" accepted and nothing changes, else the next status ("*": or
 * syncing, when only the difference is copied).
 */
static const struct {
  const char *status;
  const char *verb[VERB_COUNT];
} grid[] = {
#define IS "initial_syncing*"
#define MS "manual_syncing"
#define FO "failovering"
#define RE "reprotecting"
  /* create      start oneshot stop        failover reverse cancel modify
     delete      progress */
  { "unset",            { "creating", "-", "-", "-", "-", "-", "-", "-",
                          "-", "-" } },
  { "creating",         { "-", "-", "-", "-", "-", "-", "-", "-",
                          "-", "=" } },
  { "created",          { "-", IS, MS, "-", "-", "-", "-", "=",
                          "deleting", "=" } },
  { "create_failed",    { "-", "-", "-", "-", "-", "-", "-", "-",
                          "deleting", "=" } },
  { "initial_syncing",  { "-", "-", "-", "stopping", FO, "-", "-", "-",
                          "-", "=" } },
  { "manual_syncing",   { "-", "-", "=", "stopping", FO, "-", "-", "-",
                          "-", "=" } },
  { "syncing",          { "-", "=", "-", "stopping", FO, "-", "-", "-",
                          "-", "=" } },
  { "normal",           { "-", "=", "-", "stopping", FO, "-", "-", "-",
                          "-", "=" } },
  { "stopping",         { "-", "-", "-", "=", FO, "-", "-", "-",
                          "-", "=" } },
  { "stopped",          { "-", IS, MS, "=", FO, "-", "-", "=",
                          "deleting", "=" } },
  { "stop_failed",      { "-", "-", "-", "stopping", FO, "-", "-", "-",
                          "-", "=" } },
  { "failovering",      { "-", "-", "-", "-", "=", "-", "-", "-",
                          "-", "=" } },
  { "failovered",       { "-", "-", "-", "-", "=", RE, RE, "-",
                          "deleting", "=" } },
  { "failover_failed",  { "-", "-", "-", "-", FO, "-", "-", "-",
                          "deleting", "=" } },
  { "reprotecting",     { "-", "-", "-", "-", "-", "-", "-", "-",
                          "-", "=" } },
  { "reprotect_failed", { "-", "-", "-", "-", FO, RE, RE, "-",
                          "deleting", "=" } },
  { "deleting",         { "-", "-", "-", "-", "-", "-", "-", "-",
                          "=", "=" } },
  { "delete_failed",    { "-", "-", "-", "-", "-", "-", "-", "-",
                          "deleting", "=" } },
  { "deleted",          { "creating", "-", "-", "-", "-", "-", "-", "-",
                          "-", "-" } },
  { "invalid",          { "-", "-", "-", "-", "-", "-", "-", "-",
                          "deleting", "=" } },
#undef IS
#undef MS
#undef FO
#undef RE
};

static const char *const verb_names[VERB_COUNT] = {
  "create", "start", "start-oneshot", "stop", "failover", "reverse",
  "cancel", "modify", "delete", "progress",
};

/* Work that an accepted verb asks for when it moves the pair. */
static const char *const moving_work[VERB_COUNT] = {
  "create", "sync", "sync-once", "stop", "failover", "reverse", "cancel",
  NULL, "delete", NULL,
};

enum verb {
  CREATE, START, ONESHOT, STOP, FAILOVER, REVERSE, CANCEL, MODIFY, DELETE,
  PROGRESS,
};

static bool
one_of (const char *str, const char *list)
{
  size_t len = strlen (str);
  const char *p = list;

  while ((p = strstr (p, str))) {
    if ((p == list || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
      return true;
    p += len;
  }
  return false;
}

#define PASSING "creating stopping failovering reprotecting deleting"

/* The code that api.md demands, "" when the verb is accepted. */
static const char *
expected_code (const char *status, enum verb verb, const char *entry,
               const struct pair_facts *f)
{
  bool exists = !one_of (status, "unset deleted");
  bool is_row = strcmp (entry, "-") != 0;
  bool moves = is_row && strcmp (entry, "=") != 0;
  bool both_wrong = !f->at_source && !f->at_destination;

  if ((!exists && verb != CREATE) || both_wrong)
    return "NoSuchResource";
  if (!is_row && one_of (status, PASSING))
    return "OperationDenied.InvalidStatus";

  if (verb == CREATE && !f->at_source)
    return "NoSuchResource";
  if ((verb == FAILOVER || verb == REVERSE || verb == CANCEL) &&
      !f->at_destination)
    return "OperationDenied.OperateNotAllowedForPrimary";
  if (verb == DELETE && !f->at_source && f->peer_reachable &&
      !one_of (status, "failovered failover_failed reprotect_failed invalid"))
    return "OperationDenied.OperateNotAllowedForStandby";

  if (f->in_group && verb != CREATE && verb != MODIFY && verb != PROGRESS)
    return "OperationDenied";
  if (!is_row)
    return "OperationDenied.InvalidStatus";

  if (moves && f->destination_attached) {
    if (verb == START || verb == ONESHOT)
      return "OperationDenied.StandbyDeviceAttached";
    if (verb == CREATE || verb == CANCEL)
      return "OperationDenied";
  }
  if (moves && verb == REVERSE && f->source_attached)
    return "OperationDenied";
  if (moves && verb == FAILOVER && !f->has_completed_point)
    return "OperationDenied.InvalidStatus";
  if (verb == ONESHOT && f->had_oneshot &&
      f->seconds_since_oneshot <= f->rpo_seconds / 2)
    return "OperationDenied.ManualSyncLimit";
  return "";
}

static const char *
expected_status (const char *status, const char *entry,
                 const struct pair_facts *f)
{
  static char next[32];
  size_t len = strlen (entry);

  if (strcmp (entry, "=") == 0)
    return status;
  snprintf (next, sizeof next, "%s", entry);
  if (next[len-1] == '*') {
    next[len-1] = '\0';
    if (f->copies_difference)
      return "syncing";
  }
  return next;
}

static enum pair_status
status_of (const char *name)
{
  enum pair_status status = pair_status_parse (name);

  if (status == PAIR_STATUS_UNSET)
    assert_string_equal (name, "unset");
  return status;
}

static enum pair_event
event_of (const char *name)
{
  unsigned e;

  for (e = 1; e < PAIR_EVENT_COUNT; ++e)
    if (strcmp (pair_event_string (e), name) == 0)
      return e;
  fail_msg ("no event '%s'", name);
  return PAIR_EVENT_UNSET;
}

static void
check_one (const char *status, enum verb verb, const char *entry,
           const struct pair_facts *f)
{
  const char *code = expected_code (status, verb, entry, f);
  struct pair_transition t;

  t = pair_apply (status_of (status), event_of (verb_names[verb]), f);
  if (code[0]) {
    assert_int_equal (t.outcome, PAIR_REFUSED);
    assert_string_equal (api_error_info (t.refusal)->code, code);
    assert_string_equal (pair_status_string (t.status), status);
    assert_int_equal (t.work, PAIR_WORK_NONE);
    assert_non_null (t.hint);
    assert_true (t.hint[0] != '\0');
    return;
  }
  assert_int_equal (t.refusal, API_OK);
  assert_null (t.hint);
  assert_string_equal (pair_status_string (t.status),
                       expected_status (status, entry, f));
  if (strcmp (entry, "=") != 0) {
    assert_int_equal (t.outcome, PAIR_MOVED);
    assert_string_equal (pair_work_string (t.work), moving_work[verb]);
  }
  else {
    assert_int_equal (t.outcome, PAIR_UNCHANGED);
    assert_string_equal (pair_work_string (t.work),
                         verb == MODIFY ? "modify" :
                         verb == PROGRESS ? "describe" : "none");
  }
}

/* RPO 900: within, at and just beyond half of it; and never before. */
static void
set_oneshot (struct pair_facts *f, unsigned which)
{
  static const uint64_t ages[] = { 0, 450, 451, UINT64_MAX };

  f->rpo_seconds = 900;
  f->had_oneshot = which > 0;
  f->seconds_since_oneshot = which > 0 ? ages[which-1] : 0;
}

#define FACT_BITS 8
#define ONESHOT_CASES 5

static struct pair_facts
facts_of (unsigned bits, unsigned oneshot)
{
  struct pair_facts f = {
    .at_source = bits & 1,
    .at_destination = bits & 2,
    .in_group = bits & 4,
    .has_completed_point = bits & 8,
    .copies_difference = bits & 16,
    .source_attached = bits & 32,
    .destination_attached = bits & 64,
    .peer_reachable = bits & 128,
  };

  set_oneshot (&f, oneshot);
  return f;
}

static void
every_status_verb_and_fact (void **state)
{
  unsigned bits, oneshot;
  size_t i;
  int verb;

  (void) state;
  assert_int_equal (sizeof grid / sizeof grid[0], PAIR_STATUS_COUNT);
  for (i = 0; i < sizeof grid / sizeof grid[0]; ++i)
    for (verb = 0; verb < VERB_COUNT; ++verb)
      for (bits = 0; bits < 1u << FACT_BITS; ++bits)
        for (oneshot = 0; oneshot < ONESHOT_CASES; ++oneshot) {
          struct pair_facts f = facts_of (bits, oneshot);

          check_one (grid[i].status, verb, grid[i].verb[verb], &f);
        }
}

/* All reports that do something; every other one is ignored. */
static const struct {
  const char *event, *from, *to, *work;
} reports[] = {
  { "created-ok", "creating", "created", "none" },
  { "created-failed", "creating", "create_failed", "none" },
  { "synced", "initial_syncing", "normal", "record-point" },
  { "synced", "syncing", "normal", "record-point" },
  { "synced", "normal", "normal", "record-point" },
  { "lagging", "normal", "syncing", "none" },
  { "lagging", "syncing", "syncing", "none" },
  { "oneshot-done", "manual_syncing", "stopped", "record-point" },
  { "stopped-ok", "stopping", "stopped", "none" },
  { "stop-failed", "stopping", "stop_failed", "none" },
  { "failovered-ok", "failovering", "failovered", "none" },
  { "failover-failed", "failovering", "failover_failed", "none" },
  { "reversed-ok", "reprotecting", "stopped", "swap-direction" },
  { "cancelled-ok", "reprotecting", "stopped", "none" },
  { "reprotect-failed", "reprotecting", "reprotect_failed", "none" },
  { "deleted-ok", "deleting", "deleted", "none" },
  { "delete-failed", "deleting", "delete_failed", "none" },
};

static void
check_report (enum pair_event event, enum pair_status status)
{
  const char *from = pair_status_string (status), *to = NULL, *work = "none";
  static const struct pair_facts none;
  struct pair_transition t;
  size_t i;

  for (i = 0; i < sizeof reports / sizeof reports[0]; ++i)
    if (event == event_of (reports[i].event) &&
        strcmp (from, reports[i].from) == 0) {
      to = reports[i].to;
      work = reports[i].work;
    }
  if (event == PAIR_EVENT_DISK_INVALID &&
      !one_of (from, PASSING " unset deleted"))
    to = "invalid";

  t = pair_apply (status, event, &none);
  assert_int_equal (t.refusal, API_OK);
  assert_string_equal (pair_work_string (t.work), work);
  assert_string_equal (pair_status_string (t.status), to ? to : from);
  if (to)
    assert_int_equal (t.outcome, strcmp (to, from) == 0 ? PAIR_UNCHANGED
                                                        : PAIR_MOVED);
  else if (event == PAIR_EVENT_DISK_INVALID &&
           one_of (from, "creating stopping failovering reprotecting"))
    assert_int_equal (t.outcome, PAIR_DEFERRED);
  else
    assert_int_equal (t.outcome, PAIR_IGNORED);
}

static void
every_status_and_report (void **state)
{
  unsigned e, s;

  (void) state;
  for (e = 1; e < PAIR_EVENT_COUNT; ++e)
    for (s = 0; s < PAIR_STATUS_COUNT; ++s)
      if (!pair_event_is_verb (e))
        check_report (e, s);
}

/* Facts under which as much as possible is allowed. */
/* How the link works can be changed while it does. */
static void
test_modify_link (void **state)
{
  struct pair_facts f = { .at_source = true, .peer_reachable = true };
  struct pair_transition t;

  (void) state;
  t = pair_apply (PAIR_NORMAL, PAIR_VERB_MODIFY, &f);
  assert_int_equal (t.refusal, API_INVALID_STATUS);
  f.changes_link_only = true;
  t = pair_apply (PAIR_NORMAL, PAIR_VERB_MODIFY, &f);
  assert_int_equal (t.outcome, PAIR_UNCHANGED);
  assert_int_equal (t.work, PAIR_WORK_MODIFY);
  t = pair_apply (PAIR_STOPPED, PAIR_VERB_MODIFY, &f);
  assert_int_equal (t.work, PAIR_WORK_MODIFY);
  t = pair_apply (PAIR_STOPPING, PAIR_VERB_MODIFY, &f);
  assert_int_equal (t.refusal, API_INVALID_STATUS);
}

static const struct pair_facts fine = {
  .at_source = true,
  .at_destination = true,
  .has_completed_point = true,
  .peer_reachable = true,
  .rpo_seconds = 900,
};

/* Mark all that can be reached from STATUS. */
static void
reach (enum pair_status status, bool reached[PAIR_STATUS_COUNT])
{
  unsigned e, d;

  if (reached[status])
    return;
  reached[status] = true;
  for (e = 1; e < PAIR_EVENT_COUNT; ++e)
    for (d = 0; d < 2; ++d) {
      struct pair_facts f = fine;

      f.copies_difference = d;
      reach (pair_apply (status, e, &f).status, reached);
    }
}

static void
every_status_is_reached_and_left_for_deletion (void **state)
{
  unsigned s, i;

  (void) state;
  for (s = 0; s < PAIR_STATUS_COUNT; ++s) {
    bool reached[PAIR_STATUS_COUNT] = { false };

    reach (s, reached);
    assert_true (reached[PAIR_DELETED]);
    /* A pair once made can come to every status. */
    if (s == PAIR_STATUS_UNSET)
      for (i = 1; i < PAIR_STATUS_COUNT; ++i)
        assert_true (reached[i]);
  }
}

/* Work in a passing status can always end, one way and the other. */
static void
every_passing_status_ends_well_or_badly (void **state)
{
  unsigned s, e;

  (void) state;
  for (s = 1; s < PAIR_STATUS_COUNT; ++s) {
    unsigned ends = 0;

    if (pair_status_kind (s) != PAIR_KIND_PASSING)
      continue;
    for (e = 1; e < PAIR_EVENT_COUNT; ++e)
      if (!pair_event_is_verb (e) &&
          pair_apply (s, e, &fine).outcome == PAIR_MOVED)
        ++ends;
    assert_true (ends >= 2);
  }
}

/* A call made again after it was accepted starts nothing a second time. */
static void
a_repeated_verb_has_no_second_effect (void **state)
{
  unsigned s, e;

  (void) state;
  for (s = 0; s < PAIR_STATUS_COUNT; ++s)
    for (e = 1; e < PAIR_EVENT_COUNT; ++e) {
      struct pair_transition first = pair_apply (s, e, &fine), again;

      if (first.outcome != PAIR_MOVED || !pair_event_is_verb (e))
        continue;
      again = pair_apply (first.status, e, &fine);
      assert_int_equal (again.status, first.status);
      assert_int_equal (again.work, PAIR_WORK_NONE);
    }
}

static void
values_out_of_range_are_refused (void **state)
{
  struct pair_transition t;

  (void) state;
  t = pair_apply (PAIR_STATUS_COUNT, PAIR_VERB_STOP, &fine);
  assert_int_equal (t.refusal, API_INTERNAL);
  t = pair_apply (PAIR_NORMAL, PAIR_EVENT_COUNT, &fine);
  assert_int_equal (t.refusal, API_INTERNAL);
  t = pair_apply (PAIR_NORMAL, PAIR_EVENT_UNSET, &fine);
  assert_int_equal (t.refusal, API_INTERNAL);
  assert_string_equal (pair_status_string (12345), "unset");
  assert_string_equal (pair_event_string (12345), "unset");
  assert_string_equal (pair_reason_string (12345), "unset");
}

/* The API's 19 words with their kinds, in the order of its reference. */
static void
the_words_of_the_api (void **state)
{
  static const struct {
    const char *string, *kind;
  } words[] = {
    { "creating", "passing" }, { "created", "resting" },
    { "create_failed", "resting" }, { "initial_syncing", "active" },
    { "manual_syncing", "active" }, { "syncing", "active" },
    { "normal", "active" }, { "stopping", "passing" },
    { "stopped", "resting" }, { "stop_failed", "resting" },
    { "failovering", "passing" }, { "failovered", "resting" },
    { "failover_failed", "resting" }, { "reprotecting", "passing" },
    { "reprotect_failed", "resting" }, { "deleting", "passing" },
    { "delete_failed", "resting" }, { "deleted", "gone" },
    { "invalid", "resting" },
  };
  unsigned i;

  (void) state;
  assert_int_equal (sizeof words / sizeof words[0], PAIR_STATUS_COUNT - 1);
  for (i = 0; i < PAIR_STATUS_COUNT - 1; ++i) {
    enum pair_status status = pair_status_parse (words[i].string);

    assert_int_equal (status, i + 1);
    assert_int_equal (pair_status_metric (status), i + 1);
    assert_string_equal (pair_status_string (status), words[i].string);
    assert_string_equal (pair_kind_string (pair_status_kind (status)),
                         words[i].kind);
    assert_true (pair_status_meaning (status)[0] != '\0');
  }
  assert_int_equal (pair_status_parse ("unset"), PAIR_STATUS_UNSET);
  assert_int_equal (pair_status_parse ("Normal"), PAIR_STATUS_UNSET);
  assert_int_equal (pair_status_parse (""), PAIR_STATUS_UNSET);
  assert_int_equal (pair_reason_parse ("DeviceRemoved"),
                    PAIR_REASON_DEVICE_REMOVED);
  assert_int_equal (pair_reason_parse ("unset"), PAIR_REASON_UNSET);
}

/* The life of a pair as a person lives it. */
static void
there_and_back_again (void **state)
{
  static const struct {
    enum pair_event event;
    enum pair_status status;
  } life[] = {
    { PAIR_VERB_CREATE, PAIR_CREATING },
    { PAIR_EVENT_CREATED, PAIR_CREATED },
    { PAIR_VERB_START, PAIR_INITIAL_SYNCING },
    { PAIR_EVENT_SYNCED, PAIR_NORMAL },
    { PAIR_EVENT_LAGGING, PAIR_SYNCING },
    { PAIR_EVENT_SYNCED, PAIR_NORMAL },
    { PAIR_VERB_FAILOVER, PAIR_FAILOVERING },
    { PAIR_EVENT_LAGGING, PAIR_FAILOVERING },
    { PAIR_EVENT_FAILOVERED, PAIR_FAILOVERED },
    { PAIR_VERB_REVERSE, PAIR_REPROTECTING },
    { PAIR_EVENT_REVERSED, PAIR_STOPPED },
    { PAIR_VERB_START_ONESHOT, PAIR_MANUAL_SYNCING },
    { PAIR_EVENT_ONESHOT_DONE, PAIR_STOPPED },
    { PAIR_VERB_DELETE, PAIR_DELETING },
    { PAIR_EVENT_DELETED, PAIR_DELETED },
  };
  enum pair_status status = PAIR_STATUS_UNSET;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof life / sizeof life[0]; ++i) {
    status = pair_apply (status, life[i].event, &fine).status;
    assert_int_equal (status, life[i].status);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (every_status_verb_and_fact),
    cmocka_unit_test (every_status_and_report),
    cmocka_unit_test (every_status_is_reached_and_left_for_deletion),
    cmocka_unit_test (every_passing_status_ends_well_or_badly),
    cmocka_unit_test (a_repeated_verb_has_no_second_effect),
    cmocka_unit_test (values_out_of_range_are_refused),
    cmocka_unit_test (the_words_of_the_api),
    cmocka_unit_test (there_and_back_again),
    cmocka_unit_test (test_modify_link),
  };

  return cmocka_run_group_tests_name ("pair-states", tests, NULL, NULL);
}

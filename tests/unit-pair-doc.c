/* docs/design/pair-states.md says what the code does: its tables stand
 * between "<!-- NAME -->" and "<!-- end -->" and are made here from the code.
 *
 * As a test it compares; "unit-pair-doc --update FILE" writes them anew.
 */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apierror.h"
#include "decide.h"
#include "doc-tables.h"
#include "states.h"

static const struct pair_facts fine = {
  .at_source = true,
  .at_destination = true,
  .has_completed_point = true,
  .peer_reachable = true,
  .had_oneshot = true,
  .seconds_since_oneshot = 901,
  .rpo_seconds = 900,
};

static void
statuses (FILE *fp)
{
  unsigned s;

  fprintf (fp, "| status | kind | metric | meaning |\n"
           "| --- | --- | --- | --- |\n");
  for (s = 1; s < PAIR_STATUS_COUNT; ++s)
    fprintf (fp, "| `%s` | %s | %u | %s |\n", pair_status_string (s),
             pair_kind_string (pair_status_kind (s)), pair_status_metric (s),
             pair_status_meaning (s));
}

static void
events (FILE *fp)
{
  unsigned e;

  fprintf (fp, "| event | kind | what |\n| --- | --- | --- |\n");
  for (e = 1; e < PAIR_EVENT_COUNT; ++e)
    fprintf (fp, "| `%s` | %s | %s |\n", pair_event_string (e),
             pair_event_is_verb (e) ? "verb" : "report",
             pair_event_meaning (e));
}

static bool
refused_with (enum pair_status s, enum pair_event e,
              const struct pair_facts *facts)
{
  return pair_apply (s, e, facts).outcome == PAIR_REFUSED;
}

/* What one cell of the table demands beyond the status, as letters. */
static const char *
demands (enum pair_status s, enum pair_event e)
{
  static char ret[8];
  struct pair_facts f;
  char *p = ret;

  f = fine;
  f.has_completed_point = false;
  if (refused_with (s, e, &f))
    *p++ = 'p';
  f = fine;
  f.source_attached = true;
  if (refused_with (s, e, &f))
    *p++ = 's';
  f = fine;
  f.destination_attached = true;
  if (refused_with (s, e, &f))
    *p++ = 'd';
  f = fine;
  f.seconds_since_oneshot = 450;
  if (refused_with (s, e, &f))
    *p++ = 'o';
  *p = '\0';
  return ret;
}

static void
cell (FILE *fp, enum pair_status s, enum pair_event e)
{
  struct pair_facts difference = fine;
  struct pair_transition t = pair_apply (s, e, &fine), u;
  const char *letters = demands (s, e);

  difference.copies_difference = true;
  u = pair_apply (s, e, &difference);
  switch (t.outcome) {
  case PAIR_MOVED:
    fprintf (fp, " %s", pair_status_string (t.status));
    if (u.status != t.status)
      fprintf (fp, " or %s", pair_status_string (u.status));
    break;
  case PAIR_UNCHANGED:
    fprintf (fp, " =");
    break;
  case PAIR_DEFERRED:
    fprintf (fp, " later");
    break;
  default:
    break;
  }
  if (t.outcome != PAIR_REFUSED && letters[0])
    fprintf (fp, " *%s*", letters);
  fprintf (fp, " |");
}

static void
verb_table (FILE *fp)
{
  unsigned s, e;

  fprintf (fp, "| status |");
  for (e = PAIR_VERB_CREATE; e < PAIR_VERB_PROGRESS; ++e)
    fprintf (fp, " %s |", pair_event_string (e));
  fprintf (fp, "\n|");
  for (e = PAIR_VERB_CREATE; e <= PAIR_VERB_PROGRESS; ++e)
    fprintf (fp, " --- |");
  fprintf (fp, "\n");
  for (s = 0; s < PAIR_STATUS_COUNT; ++s) {
    fprintf (fp, s ? "| `%s` |" : "| (no pair) |", pair_status_string (s));
    for (e = PAIR_VERB_CREATE; e < PAIR_VERB_PROGRESS; ++e)
      cell (fp, s, e);
    fprintf (fp, "\n");
  }
}

static void
report_table (FILE *fp)
{
  unsigned s, e;

  fprintf (fp, "| report | in | becomes | the caller then |\n"
           "| --- | --- | --- | --- |\n");
  for (e = PAIR_VERB_PROGRESS + 1; e < PAIR_EVENT_COUNT; ++e)
    for (s = 1; s < PAIR_STATUS_COUNT; ++s) {
      struct pair_transition t = pair_apply (s, e, &fine);

      if (t.outcome == PAIR_IGNORED)
        continue;
      fprintf (fp, "| `%s` | `%s` |", pair_event_string (e),
               pair_status_string (s));
      cell (fp, s, e);
      fprintf (fp, " %s |\n", t.work ? pair_work_meaning (t.work) : "");
    }
}

static void
work_table (FILE *fp)
{
  unsigned w;

  fprintf (fp, "| work | what the caller does |\n| --- | --- |\n");
  for (w = PAIR_WORK_NONE + 1; w < PAIR_WORK_COUNT; ++w)
    fprintf (fp, "| `%s` | %s |\n", pair_work_string (w),
             pair_work_meaning (w));
}

static void
fact_table (FILE *fp)
{
  fprintf (fp, "| letter | fact |\n| --- | --- |\n");
#define X(name, letter, what)                           \
  fprintf (fp, "| %c | %s |\n", letter, what);
  PAIR_FACTS (X)
#undef X
}

static void
rule_table (FILE *fp)
{
  unsigned r;

  fprintf (fp, "| rule | `");
#define X(name, letter, what) fputc (letter, fp);
  PAIR_FACTS (X)
#undef X
  fprintf (fp, "` | action | what was found |\n| --- | --- | --- | --- |\n");
  for (r = 1; r < PAIR_RULE_COUNT; ++r)
    fprintf (fp, "| `%s` | `%s` | %s | %s |\n", pair_rule_string (r),
             pair_rule_pattern (r), pair_action_string (pair_rule_action (r)),
             pair_rule_meaning (r));
}

static void
action_table (FILE *fp)
{
  unsigned a;

  fprintf (fp, "| action | what the primary does |\n| --- | --- |\n");
  for (a = 1; a < PAIR_ACTION_COUNT; ++a)
    fprintf (fp, "| `%s` | %s |\n", pair_action_string (a),
             pair_action_meaning (a));
}

static void
error_table (FILE *fp)
{
  unsigned e;

  fprintf (fp, "| HTTP | code | next step |\n| --- | --- | --- |\n");
  for (e = 1; e < API_ERROR_COUNT; ++e)
    fprintf (fp, "| %d | `%s` | %s |\n", api_error_info (e)->http,
             api_error_info (e)->code, api_error_info (e)->hint);
}

static const struct doc_table tables[] = {
  { "statuses", statuses },
  { "events", events },
  { "verb table", verb_table },
  { "report table", report_table },
  { "work", work_table },
  { "facts", fact_table },
  { "rules", rule_table },
  { "actions", action_table },
  { "errors", error_table },
  { NULL, NULL }
};

static void
the_page_says_what_the_code_does (void **state)
{
  (void) state;
  assert_true (doc_is_current ("docs/design/pair-states.md", tables,
                               "unit-pair-doc"));
}

int
main (int argc, char *argv[])
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (the_page_says_what_the_code_does),
  };

  if (argc == 3 && strcmp (argv[1], "--update") == 0)
    return doc_update (argv[2], tables);
  return cmocka_run_group_tests_name ("pair-doc", tests, NULL, NULL);
}

/* The named steps of transitions: docs/design/transitions.md lists those of
 * the table in agent/transitions.c, each under a name of its own.
 *
 * As a test it compares; "unit-agent-transitions --update FILE" writes the
 * list anew.
 */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "doc-tables.h"
#include "record.h"
#include "states.h"
#include "transitions.h"

/* Within a request of the plugin, and of what it does by itself, a step is
 * told of when it has ended.
 */
static const char *
moments (const struct step_info *info)
{
  return info->at == STEP_AT_PLUGIN && *info->step ? "end" : "begin, end";
}

static void
step_table (FILE *fp)
{
  const struct step_info *i;
  char name[STEP_NAME_SIZE];

  fprintf (fp, "| step | | moments | what |\n| --- | --- | --- | --- |\n");
  for (i = steps; i->transition; ++i) {
    step_name (i, name);
    fprintf (fp, "| `%s` | %s | %s | %s |\n", name, i->is_rare ? "rare" : "",
             moments (i), i->what);
  }
}

static const struct doc_table tables[] = {
  { "steps", step_table },
  { NULL, NULL }
};

static void
the_page_lists_the_steps (void **state)
{
  (void) state;
  assert_true (doc_is_current ("docs/design/transitions.md", tables,
                               "unit-agent-transitions"));
}

static void
no_name_comes_twice (void **state)
{
  const struct step_info *i, *j;
  char one[STEP_NAME_SIZE], two[STEP_NAME_SIZE];

  (void) state;
  for (i = steps; i->transition; ++i) {
    step_name (i, one);
    for (j = i + 1; j->transition; ++j) {
      step_name (j, two);
      assert_string_not_equal (one, two);
    }
  }
}

/* Every status belongs to a transition that has steps. */
static void
every_status_has_a_transition (void **state)
{
  static struct record rec;
  const struct step_info *i;
  const char *name;

  (void) state;
  for (rec.status = 1; rec.status < PAIR_STATUS_COUNT; ++rec.status) {
    for (rec.reprotect = 1; rec.reprotect <= 2; ++rec.reprotect) {
      name = transition_of (&rec);
      for (i = steps; i->transition; ++i) {
        if (strcmp (i->transition, name) == 0)
          break;
      }
      assert_non_null (i->transition);
    }
  }
}

int
main (int argc, char *argv[])
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (the_page_lists_the_steps),
    cmocka_unit_test (no_name_comes_twice),
    cmocka_unit_test (every_status_has_a_transition),
  };

  if (argc == 3 && strcmp (argv[1], "--update") == 0)
    return doc_update (argv[2], tables);
  return cmocka_run_group_tests_name ("agent-transitions", tests, NULL, NULL);
}

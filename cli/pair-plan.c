/* What a verb of a pair gives up: asked for with DryRun, shown, and a reason to
 * ask for --force; and what a pair's two disks have that the other lacks.
 */

#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "cleanup.h"
#include "cli.h"
#include "clock.h"
#include "size.h"

/* "20 writes, 1.3 MB, made over 0.3s". */
static char *
tail_text (const json_t *tail)
{
  char size_text[SIZE_STRING_SIZE], time_text[TEXT_SIZE];
  uint64_t writes, bytes;
  double seconds;
  bool exact = true;

  if (!get_uint (tail, "Writes", &writes))
    return text_printf ("unknown");
  if (writes == 0)
    return text_printf ("nothing");
  if (!get_uint (tail, "Bytes", &bytes))
    return text_printf ("%" PRIu64 " writes", writes);
  get_bool (tail, "Exact", &exact);
  if (!exact || !get_double (tail, "Seconds", &seconds))
    return text_printf ("%" PRIu64 " writes, at least %s", writes,
                        size_format (bytes, size_text));
  return text_printf ("%" PRIu64 " writes, %s, made over %s", writes,
                      size_format (bytes, size_text),
                      seconds_format (seconds, time_text));
}

static void
tail_fact (struct table *t, const char *name, const json_t *tail)
{
  CLEANUP_FREE char *text = tail_text (tail);

  fact_printf (t, name, "%s (disk %s in %s)", text,
               or_unknown (get_string (tail, "DiskId")),
               or_unknown (get_string (tail, "RegionId")));
}

void
divergence_facts (struct table *t, const json_t *pair)
{
  const json_t *d = json_object_get (pair, "Divergence");
  const json_t *gone = json_object_get (pair, "Discard");
  const char *relation = get_string (d, "Relation");
  uint64_t writes;

  if (relation) {
    fact (t, "histories", strcmp (relation, "split-brain") == 0
          ? "split brain: each side has writes that the other lacks"
          : relation);
    tail_fact (t, "only at source", json_object_get (d, "Source"));
    tail_fact (t, "only at dest.", json_object_get (d, "Destination"));
  }
  if (get_uint (gone, "Writes", &writes) && writes > 0) {
    tail_fact (t, "given up", gone);
    fact (t, "saved in", get_string (gone, "SalvageFile"));
  }
}

/* ------------------------------------------------------------------ */

static void
point_of_plan (struct table *t, const json_t *plan)
{
  char date[TEXT_SIZE], age[TEXT_SIZE];
  double point;

  if (get_double (plan, "RecoverPoint", &point) && point > 0)
    fact_printf (t, "copy is of", "%s (%s ago)", date_format (point, date),
                 seconds_format ((double) clock_wall_ns () / NS_PER_SEC
                                 - point, age));
}

/* What a failover gives up is what the copy was told of; that may be old. */
static void
heard_of_plan (struct table *t, const json_t *plan)
{
  char text[TEXT_SIZE];
  double seconds;

  if (get_double (json_object_get (plan, "Discard"), "HeardSecondsAgo",
                  &seconds))
    fact_printf (t, "primary heard", "%s ago; what it wrote after that is "
                 "not counted", seconds_format (seconds, text));
  if (rpo_zero_text (plan))
    fact (t, "rpo zero", rpo_zero_text (plan));
}

int
plan_print (struct cli *cli, json_t *plan)
{
  const json_t *discard = json_object_get (plan, "Discard");
  const json_t *keep = json_object_get (plan, "Keep");
  struct table *t;

  if (cli->json)
    return print_json (plan);
  t = facts_new ();
  fact (t, "would be", get_string (plan, "Status"));
  if (get_string (plan, "Relation"))
    fact (t, "histories", get_string (plan, "Relation"));
  if (discard)
    tail_fact (t, "gives up", discard);
  else
    fact (t, "gives up", "nothing");
  if (keep)
    tail_fact (t, "keeps", keep);
  heard_of_plan (t, plan);
  point_of_plan (t, plan);
  json_decref (plan);
  return table_print_plain (t);
}

int
plan_check (struct cli *cli, const json_t *plan, const char *pair, bool saves)
{
  const json_t *discard = json_object_get (plan, "Discard");
  CLEANUP_FREE char *text = tail_text (discard);
  struct failure f;
  uint64_t writes;

  if (args_value (cli, "force") ||
      (get_uint (discard, "Writes", &writes) && writes == 0))
    return EXIT_OK;
  failure_set (&f, EXIT_REFUSED, NULL, saves
               ? "--force goes on; they are saved to a file there first"
               : "--force goes on, and nothing of it is saved",
               "disk %s in %s gives up %s",
               or_unknown (get_string (discard, "DiskId")),
               or_unknown (get_string (discard, "RegionId")), text);
  return fail (&f, "not done: pair '%s'", pair);
}

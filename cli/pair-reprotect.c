/* pairctl pair reprotect: after a failover, whose writes go.
 *
 * What would be given up is asked for and named first; where that is
 * something, it takes --force to go on.
 */

#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "cleanup.h"
#include "cli.h"
#include "size.h"

const struct cli_option pair_reprotect_options[] = {
  { "cancel", NULL, false,
    "give the failover up instead: the old direction stays" },
  { "dry-run", NULL, false, "only show what would be given up" },
  { "force", NULL, false, "go on when writes are given up" },
  { "no-save", NULL, false, "do not save them to a file first" },
  { "wait", NULL, false, "wait until it is done" },
  { NULL, NULL, false, NULL }
};

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

static int
print_plan (struct cli *cli, json_t *plan)
{
  struct table *t;

  if (cli->json)
    return print_json (plan);
  t = facts_new ();
  fact (t, "histories", get_string (plan, "Relation"));
  tail_fact (t, "gives up", json_object_get (plan, "Discard"));
  tail_fact (t, "keeps", json_object_get (plan, "Keep"));
  json_decref (plan);
  return table_print_plain (t);
}

/* May this be done?  Else the exit code, after it was printed. */
static int
check_plan (struct cli *cli, const json_t *plan)
{
  const json_t *discard = json_object_get (plan, "Discard");
  CLEANUP_FREE char *text = tail_text (discard);
  struct failure f;
  uint64_t writes;

  if (args_value (cli, "force") ||
      (get_uint (discard, "Writes", &writes) && writes == 0))
    return EXIT_OK;
  failure_set (&f, EXIT_REFUSED, NULL, args_value (cli, "no-save")
               ? "--force goes on, and nothing of it is saved"
               : "--force goes on; they are saved to a file there first",
               "disk %s in %s gives up %s",
               or_unknown (get_string (discard, "DiskId")),
               or_unknown (get_string (discard, "RegionId")), text);
  return fail (&f, "not done: pair '%s'", cli->arg);
}

static json_t *
call (struct cli *cli, const char *id, bool is_dry_run, struct failure *f)
{
  const struct param params[] = {
    { "ReplicaPairId", id },
    { "ReverseReplicate", args_value (cli, "cancel") ? "false" : "true" },
    { "DryRun", is_dry_run ? "true" : NULL },
    { "Force", args_value (cli, "force") ? "true" : NULL },
    { "DiscardUnsaved", args_value (cli, "no-save") ? "true" : NULL },
    { NULL, NULL }
  };

  return is_dry_run
    ? client_read (cli, "ReprotectDiskReplicaPair", params, f)
    : client_change (cli, "ReprotectDiskReplicaPair", params, f);
}

static int
print_done (struct cli *cli, json_t *o)
{
  bool cancel = args_value (cli, "cancel") != NULL;
  struct table *t;

  if (cli->json)
    return print_json (args_value (cli, "wait")
                       ? json_pack ("{s:o?}", "ReplicaPair", o) : o);
  if (args_value (cli, "wait") == NULL) {
    json_decref (o);
    print_line ("pair '%s': the %s", cli->arg, cancel
                ? "failover is being given up"
                : "direction is being turned round");
    return print_line ("next: pairctl pair wait %s --for stopped", cli->arg);
  }
  t = facts_new ();
  fact (t, cancel ? "failover given up" : "direction turned", cli->arg);
  divergence_facts (t, o);
  fact_printf (t, "next", "pairctl pair start %s", cli->arg);
  json_decref (o);
  return table_print_plain (t);
}

static int
carry_out (struct cli *cli, const char *id)
{
  struct failure f;
  json_t *o = call (cli, id, false, &f);

  if (o == NULL)
    return fail (&f, "cannot reprotect pair '%s'", cli->arg);
  if (args_value (cli, "wait")) {
    json_decref (o);
    if (pair_wait (cli, id, "stopped", true, &o, &f) == -1)
      return fail (&f, "waiting for pair '%s'", cli->arg);
  }
  return print_done (cli, o);
}

int
pair_reprotect (struct cli *cli)
{
  CLEANUP_FREE char *id = NULL;
  json_t *pair, *plan = NULL;
  struct failure f;
  int r;

  pair = pair_find (cli, cli->arg, &f);
  if (pair) {
    id = text_printf ("%s", get_string (pair, "ReplicaPairId"));
    json_decref (pair);
    plan = call (cli, id, true, &f);
  }
  if (plan == NULL)
    return fail (&f, "cannot reprotect pair '%s'", cli->arg);
  if (args_value (cli, "dry-run"))
    return print_plan (cli, plan);
  r = check_plan (cli, plan);
  json_decref (plan);
  return r != EXIT_OK ? r : carry_out (cli, id);
}

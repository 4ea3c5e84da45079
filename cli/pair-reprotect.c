/* pairctl pair reprotect: after a failover, whose writes go.
 *
 * What would be given up is asked for and named first; where that is
 * something, it takes --force to go on.
 */

#include <config.h>

#include "cleanup.h"
#include "cli.h"

const struct cli_option pair_reprotect_options[] = {
  { "cancel", NULL, false,
    "give the failover up instead: the old direction stays" },
  { "dry-run", NULL, false, "only show what would be given up" },
  { "force", NULL, false, "go on when writes are given up" },
  { "no-save", NULL, false, "do not save them to a file first" },
  { "wait", NULL, false, "wait until it is done" },
  { NULL, NULL, false, NULL }
};

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
    return plan_print (cli, plan);
  r = plan_check (cli, plan, cli->arg, args_value (cli, "no-save") == NULL);
  json_decref (plan);
  return r != EXIT_OK ? r : carry_out (cli, id);
}

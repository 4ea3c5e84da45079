/* pairctl pair modify: names and RPO of a pair that does not run, mode and link
 * of any.
 */

#include <config.h>

#include <math.h>
#include <stdio.h>

#include "cli.h"

#define RPO_MAX 86400

const struct cli_option pair_modify_options[] = {
  { "name", "NAME", false, "name of the pair" },
  { "description", "TEXT", false, "what it is for" },
  { "rpo", "TIME", false, "how old the copy may become: 30s, 15m" },
  MODE_OPTIONS,
  { "force", NULL, false,
    "also when the copy cannot be told that flushes wait for it no more" },
  { NULL, NULL, false, NULL }
};

int
pair_modify (struct cli *cli)
{
  const char *rpo = args_value (cli, "rpo"), *name = args_value (cli, "name");
  const char *description = args_value (cli, "description");
  const char *force = args_value (cli, "force");
  struct mode_options mode;
  struct param m[MODE_PARAMS];
  double seconds = 0;
  char rpo_text[24];
  struct failure f;
  json_t *pair, *answer;

  if (!mode_options_get (cli, &mode))
    return EXIT_USAGE;
  if (!mode_options_params (&mode, m) && !rpo && !name && !description)
    return usage_error (cli, "nothing to change: give --name, --description, "
                        "--rpo, --mode or another option");
  if (rpo && (!duration_parse (rpo, &seconds) || seconds < 1 ||
              seconds > RPO_MAX || seconds != floor (seconds)))
    return usage_error (cli, "'--rpo %s' is not a time of whole seconds, a "
                        "day at most", rpo);
  snprintf (rpo_text, sizeof rpo_text, "%.0f", seconds);
  pair = pair_find (cli, cli->arg, &f);
  if (pair == NULL)
    return fail (&f, "cannot modify pair '%s'", cli->arg);

  const struct param params[] = {
    { "ReplicaPairId", get_string (pair, "ReplicaPairId") },
    { "PairName", name },
    { "Description", description },
    { "RPO", rpo ? rpo_text : NULL },
    m[0], m[1], m[2], m[3], m[4], m[5],
    { "Force", force ? "true" : NULL },
    { NULL, NULL }
  };
  answer = client_change (cli, "ModifyDiskReplicaPair", params, &f);
  json_decref (pair);
  if (answer == NULL)
    return fail (&f, "cannot modify pair '%s'", cli->arg);
  if (cli->json)
    return print_json (answer);
  json_decref (answer);
  return print_line ("pair '%s' is changed", name ? name : cli->arg);
}

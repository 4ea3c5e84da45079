/* pairctl disk scrub: verify what is on a disk while it is in use. */

#include <config.h>

#include <inttypes.h>

#include "cleanup.h"
#include "cli.h"
#include "size.h"

const struct cli_option disk_scrub_options[] = {
  { "rate", "SIZE", false, "bytes a second; 0: no limit (default 64M)" },
  { "stop", NULL, false, "stop the one that is running" },
  { "wait", NULL, false, "follow it to its end" },
  { NULL, NULL, false, NULL }
};

static int
report (struct cli *cli, json_t *scrub)
{
  char bytes_text[SIZE_STRING_SIZE];
  const json_t *bad = json_object_get (scrub, "bad_blocks"), *block;
  uint64_t bytes = 0, units = 0, errors = 0;
  size_t i;
  int r;

  get_uint (scrub, "read_bytes", &bytes);
  get_uint (scrub, "units", &units);
  get_uint (scrub, "errors", &errors);
  if (cli->json)
    r = print_json (json_pack ("{s:O}", "Scrub", scrub));
  else {
    json_array_foreach (bad, i, block)
      print_line ("block %" JSON_INTEGER_FORMAT " is damaged: %"
                  JSON_INTEGER_FORMAT " bytes from the disk's begin",
                  json_integer_value (block),
                  json_integer_value (block) * 4096);
    r = print_line ("scrub of disk '%s' is %s: %" PRIu64 " units in %s, %"
                    PRIu64 " bad blocks", cli->arg,
                    or_unknown (get_string (scrub, "state")), units,
                    size_format (bytes, bytes_text), errors);
  }
  json_decref (scrub);
  return r == EXIT_OK && errors > 0 ? EXIT_DAMAGE : r;
}

int
disk_scrub (struct cli *cli)
{
  bool is_stop = args_value (cli, "stop") != NULL;
  CLEANUP_FREE char *rate = NULL, *id = NULL;
  uint64_t rate_bps = 0;
  struct failure f;
  json_t *disk, *o, *scrub;

  if (!args_size (cli, "rate", &rate_bps))
    return EXIT_USAGE;
  if (is_stop && (args_value (cli, "rate") || args_value (cli, "wait")))
    return usage_error (cli, "'--stop' goes with no other option");
  if (args_value (cli, "rate"))
    rate = text_printf ("%" PRIu64, rate_bps);
  disk = disk_find (cli, cli->arg, &f);
  if (disk == NULL)
    return fail (&f, "cannot scrub disk '%s'", cli->arg);
  id = text_printf ("%s", or_unknown (get_string (disk, "DiskId")));
  json_decref (disk);

  const struct param params[] = {
    { "DiskId", id }, { "RateBps", rate },
    { "Stop", is_stop ? "true" : NULL }, { NULL, NULL }
  };
  o = client_change (cli, "ScrubDisk", params, &f);
  if (o == NULL)
    return fail (&f, "cannot scrub disk '%s'", cli->arg);
  if (args_value (cli, "wait")) {
    json_decref (o);
    scrub = disk_follow (cli, id, "scrub", "scrubbing", &f);
    return scrub ? report (cli, scrub)
      : fail (&f, "waiting for the scrub of disk '%s'", cli->arg);
  }
  if (cli->json)
    return print_json (o);
  json_decref (o);
  return print_line (is_stop ? "stopped the scrub of disk '%s'"
                     : "started a scrub of disk '%s'", cli->arg);
}

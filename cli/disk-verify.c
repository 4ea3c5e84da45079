/* pairctl disk verify: compare both sides of a pair while it is in use. */

#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "cleanup.h"
#include "cli.h"
#include "size.h"

const struct cli_option disk_verify_options[] = {
  { "rate", "SIZE", false, "bytes a second; 0: no limit (default 64M)" },
  { "repair", NULL, false, "copy what differs to the secondary" },
  { "stop", NULL, false, "stop the one that is running" },
  { "wait", NULL, false, "follow it to its end" },
  { NULL, NULL, false, NULL }
};

static void
print_ranges (const json_t *verify)
{
  const json_t *range;
  uint64_t block, count;
  size_t i;

  json_array_foreach (json_object_get (verify, "ranges"), i, range)
    if (get_uint (range, "block", &block) && get_uint (range, "count", &count))
      print_line ("blocks %" PRIu64 " to %" PRIu64 " differ: %" PRIu64
                  " bytes from the disk's begin", block, block + count - 1,
                  block * 4096);
}

static int
report (struct cli *cli, json_t *verify)
{
  uint64_t differing = 0, repaired = 0, here = 0, there = 0, changing = 0;
  bool is_whole = strcmp (or_unknown (get_string (verify, "state")),
                          "done") == 0;
  int r;

  get_uint (verify, "differing", &differing);
  get_uint (verify, "repaired", &repaired);
  get_uint (verify, "unreadable_here", &here);
  get_uint (verify, "unreadable_there", &there);
  get_uint (verify, "changing", &changing);
  if (cli->json)
    r = print_json (json_pack ("{s:O}", "Verify", verify));
  else {
    print_ranges (verify);
    if (here + there > 0)
      print_line ("%" PRIu64 " blocks cannot be read here, %" PRIu64
                  " at the secondary", here, there);
    if (changing > 0)
      print_line ("%" PRIu64 " blocks changed at every look and were not "
                  "compared", changing);
    r = print_line ("verification of disk '%s' is %s: %" PRIu64 " blocks "
                    "differ, %" PRIu64 " repaired", cli->arg,
                    or_unknown (get_string (verify, "state")), differing,
                    repaired);
  }
  json_decref (verify);
  if (r != EXIT_OK)
    return r;
  if (differing + there > repaired || here > 0)
    return EXIT_DAMAGE;
  return is_whole ? EXIT_OK : EXIT_FAILED;
}

int
disk_verify (struct cli *cli)
{
  bool is_stop = args_value (cli, "stop") != NULL;
  CLEANUP_FREE char *rate = NULL, *id = NULL;
  uint64_t rate_bps = 0;
  struct failure f;
  json_t *disk, *o, *verify;

  if (!args_size (cli, "rate", &rate_bps))
    return EXIT_USAGE;
  if (is_stop && (args_value (cli, "rate") || args_value (cli, "wait") ||
                  args_value (cli, "repair")))
    return usage_error (cli, "'--stop' goes with no other option");
  if (args_value (cli, "rate"))
    rate = text_printf ("%" PRIu64, rate_bps);
  disk = disk_find (cli, cli->arg, &f);
  if (disk == NULL)
    return fail (&f, "cannot verify disk '%s'", cli->arg);
  id = text_printf ("%s", or_unknown (get_string (disk, "DiskId")));
  json_decref (disk);

  const struct param params[] = {
    { "DiskId", id }, { "RateBps", rate },
    { "Repair", args_value (cli, "repair") ? "true" : NULL },
    { "Stop", is_stop ? "true" : NULL }, { NULL, NULL }
  };
  o = client_change (cli, "VerifyDisk", params, &f);
  if (o == NULL)
    return fail (&f, "cannot verify disk '%s'", cli->arg);
  if (args_value (cli, "wait")) {
    json_decref (o);
    verify = disk_follow (cli, id, "verify", NULL, &f);
    return verify ? report (cli, verify)
      : fail (&f, "waiting for the verification of disk '%s'", cli->arg);
  }
  if (cli->json)
    return print_json (o);
  json_decref (o);
  return print_line (is_stop ? "stopped the verification of disk '%s'"
                     : "started a verification of disk '%s'", cli->arg);
}

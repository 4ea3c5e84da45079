/* pairctl disk scrub: verify what is on a disk while it is in use. */

#include <config.h>

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "cli.h"
#include "clock.h"
#include "size.h"

#define ASK_MS 300

const struct cli_option disk_scrub_options[] = {
  { "rate", "SIZE", false, "bytes a second; 0: no limit (default 64M)" },
  { "stop", NULL, false, "stop the one that is running" },
  { "wait", NULL, false, "follow it to its end" },
  { NULL, NULL, false, NULL }
};

/* The scrub of DISK (a reference is taken from it), or NULL: F is filled. */
static json_t *
scrub_of (json_t *disk, struct failure *f)
{
  json_t *scrub = json_object_get (json_object_get (disk, "Detail"), "scrub");

  if (json_is_object (scrub))
    json_incref (scrub);
  else {
    scrub = NULL;
    failure_set (f, EXIT_FAILED, NULL, "start it again",
                 "the disk's server was started anew and knows of none");
  }
  json_decref (disk);
  return scrub;
}

/* Follow it until it is no longer running. */
static json_t *
follow (struct cli *cli, const char *id, struct failure *f)
{
  const struct timespec nap = { 0, ASK_MS * NS_PER_MSEC };
  struct progress p;
  json_t *disk, *scrub = NULL;
  uint64_t done = 0, total = 0;

  progress_init (&p, cli);
  for (;;) {
    disk = disk_find (cli, id, f);
    scrub = disk ? scrub_of (disk, f) : NULL;
    if (scrub == NULL)
      break;
    get_uint (scrub, "done_bytes", &done);
    get_uint (scrub, "total_bytes", &total);
    progress_update (&p, "scrubbing", done, total, false);
    if (strcmp (or_unknown (get_string (scrub, "state")), "running") != 0)
      break;
    json_decref (scrub);
    scrub = NULL;
    if (cli->deadline_ns && clock_mono_ns () >= cli->deadline_ns) {
      failure_set (f, EXIT_TIMEOUT, NULL,
                   "it goes on without being waited for; see 'pairctl disk "
                   "show'", "it is at %.0f%%",
                   total ? 100. * done / total : 0);
      break;
    }
    clock_nanosleep (CLOCK_MONOTONIC, 0, &nap, NULL);
  }
  progress_end (&p);
  return scrub;
}

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
    scrub = follow (cli, id, &f);
    return scrub ? report (cli, scrub)
      : fail (&f, "waiting for the scrub of disk '%s'", cli->arg);
  }
  if (cli->json)
    return print_json (o);
  json_decref (o);
  return print_line (is_stop ? "stopped the scrub of disk '%s'"
                     : "started a scrub of disk '%s'", cli->arg);
}

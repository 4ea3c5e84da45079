/* pairctl pair: a disk here and its copy at another site. */

#include <config.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "cli.h"
#include "clock.h"
#include "size.h"

#define NAME_ROOM 600            /* a name of any length, and some words */

const struct cli_option pair_create_options[] = {
  { "disk", "DISK", true, "the disk here, by name or id" },
  { "peer-disk", "DISK", true, "the disk at the peer" },
  { "peer-region", "REGION", false, "the peer (not needed if there is one)" },
  { "peer-zone", "ZONE", false, "its zone (default: the peer's own)" },
  { "name", "NAME", false, "name of the pair" },
  { "rpo", "TIME", false, "how old the copy may become: 30s, 15m" },
  MODE_OPTIONS,
  { "dry-run", NULL, false, "only show what the peer's disk would give up" },
  { "force", NULL, false, "go on when it gives something up" },
  { "wait", NULL, false, "wait until it is created" },
  { NULL, NULL, false, NULL }
};

const struct cli_option pair_start_options[] = {
  { "one-shot", NULL, false, "copy once, then stop" },
  { "dry-run", NULL, false, "only show what would be given up" },
  { "wait", NULL, false, "wait until the copy is complete" },
  { NULL, NULL, false, NULL }
};

const struct cli_option pair_verb_options[] = {
  { "dry-run", NULL, false, "only show what would be given up" },
  { "wait", NULL, false, "wait until it is done" },
  { NULL, NULL, false, NULL }
};

const struct cli_option pair_wait_for_options[] = {
  { "for", "STATE[,STATE]", true, "the states that end the waiting" },
  { NULL, NULL, false, NULL }
};

const struct cli_option pair_progress_options[] = {
  { "once", NULL, false, "show it once, do not follow" },
  { NULL, NULL, false, NULL }
};

/* ------------------------------------------------------------------ */
/* create                                                               */

/* The entry of DescribeSite's Peers for REGION (NULL: the only one). */
static const json_t *
find_peer (const json_t *site, const char *region, struct failure *f)
{
  const json_t *peers = json_object_get (site, "Peers");
  json_t *peer;
  size_t i;

  if (region == NULL) {
    if (json_array_size (peers) == 1)
      return json_array_get (peers, 0);
    failure_set (f, EXIT_REFUSED, NULL, "name one with --peer-region; 'pairctl "
                 "site show' lists them", "the site has %zu peers",
                 json_array_size (peers));
    return NULL;
  }
  json_array_foreach (peers, i, peer) {
    const char *name = get_string (peer, "RegionId");

    if (name && strcmp (name, region) == 0)
      return peer;
  }
  failure_set (f, EXIT_REFUSED, NULL, "'pairctl site show' lists the peers",
               "the site has no peer '%s'", region);
  return NULL;
}

/* Call CreateDiskReplicaPair with what the user and the site say; IS_DRY_RUN:
 * ask what it would give up.
 */
static json_t *
create_between (struct cli *cli, const json_t *site, const json_t *disk,
                const struct mode_options *mode, bool is_dry_run,
                struct failure *f)
{
  struct param m[MODE_PARAMS];
  const json_t *peer = find_peer (site, args_value (cli, "peer-region"), f);
  const char *zone = args_value (cli, "peer-zone");
  const char *rpo = args_value (cli, "rpo");
  char rpo_text[24];
  double seconds = 0;

  if (peer == NULL)
    return NULL;
  if (zone == NULL)
    zone = get_string (peer, "ZoneId");
  if (zone == NULL) {
    failure_set (f, EXIT_REFUSED, NULL, "give it with --peer-zone",
                 "the zone of peer '%s' is not known",
                 or_unknown (get_string (peer, "RegionId")));
    return NULL;
  }
  if (rpo)
    duration_parse (rpo, &seconds);
  snprintf (rpo_text, sizeof rpo_text, "%.0f", seconds);
  mode_options_params (mode, m);

  const struct param params[] = {
    { "SourceZoneId", get_string (site, "ZoneId") },
    { "DiskId", get_string (disk, "DiskId") },
    { "DestinationRegionId", get_string (peer, "RegionId") },
    { "DestinationZoneId", zone },
    { "DestinationDiskId", args_value (cli, "peer-disk") },
    { "PairName", args_value (cli, "name") },
    { "RPO", rpo ? rpo_text : NULL },
    { "DryRun", is_dry_run ? "true" : NULL },
    m[0], m[1], m[2], m[3], m[4], m[5],
    { NULL, NULL }
  };
  return is_dry_run
    ? client_read (cli, "CreateDiskReplicaPair", params, f)
    : client_change (cli, "CreateDiskReplicaPair", params, f);
}

int
pair_create (struct cli *cli)
{
  const char *disk_name = args_value (cli, "disk");
  const char *rpo = args_value (cli, "rpo"), *name = args_value (cli, "name");
  json_t *site, *disk = NULL, *plan = NULL, *o = NULL, *pair = NULL;
  const char *id;
  struct mode_options mode;
  struct failure f;
  double seconds = 1;
  int r = EXIT_OK;

  if (rpo && (!duration_parse (rpo, &seconds) || seconds < 1 ||
              seconds > rint (seconds) || seconds < rint (seconds)))
    return usage_error (cli, "'--rpo %s' is not a time of whole seconds", rpo);
  if (!mode_options_get (cli, &mode))
    return EXIT_USAGE;

  site = client_read (cli, "DescribeSite", NULL, &f);
  if (site)
    disk = disk_find (cli, disk_name, &f);
  if (disk)
    plan = create_between (cli, site, disk, &mode, true, &f);
  if (plan && args_value (cli, "dry-run") == NULL) {
    r = plan_check (cli, plan, name ? name : disk_name, false);
    json_decref (plan);
    plan = NULL;
    if (r == EXIT_OK)
      o = create_between (cli, site, disk, &mode, false, &f);
  }
  json_decref (site);
  json_decref (disk);
  if (plan)
    return plan_print (cli, plan);
  if (r != EXIT_OK)
    return r;
  if (o == NULL)
    return fail (&f, "cannot create a pair of disk '%s'", disk_name);

  id = get_string (o, "ReplicaPairId");
  if (name == NULL)
    name = or_unknown (id);
  if (args_value (cli, "wait") && id &&
      pair_wait (cli, id, "created", true, &pair, &f) == -1)
    r = fail (&f, "waiting for pair '%s'", name);
  else if (cli->json)
    r = print_json (json_incref (o));
  else {
    print_line ("created pair '%s': %s", name, or_unknown (id));
    r = print_line ("next: pairctl pair start %s", name);
  }
  json_decref (pair);
  json_decref (o);
  return r;
}

/* ------------------------------------------------------------------ */
/* start, stop, failover, delete                                        */

struct verb {
  const char *word;          /* "start": for errors */
  const char *action;
  struct param param;        /* beside the pair, or NULLs */
  const char *begun;         /* what is so when the call is answered */
  const char *done;          /* ... and when it was waited for */
  const char *state;         /* waited for */
};

/* Call the verb's action, and wait if asked to.  *RET is the answer, or the
 * pair after the waiting (NULL: gone).  0, or an exit code after the error
 * was printed.
 */
static int
run_verb (struct cli *cli, const struct verb *verb, json_t **ret)
{
  bool is_dry_run = args_value (cli, "dry-run") != NULL;
  CLEANUP_FREE char *id = NULL;
  json_t *pair, *o = NULL;
  struct failure f;

  pair = pair_find (cli, cli->arg, &f);
  if (pair) {
    id = text_printf ("%s", get_string (pair, "ReplicaPairId"));
    const struct param params[] = {
      { "ReplicaPairId", id },
      { "DryRun", is_dry_run ? "true" : NULL },
      verb->param,
      { NULL, NULL }
    };
    o = is_dry_run ? client_read (cli, verb->action, params, &f)
      : client_change (cli, verb->action, params, &f);
    json_decref (pair);
  }
  if (o == NULL)
    return fail (&f, "cannot %s pair '%s'", verb->word, cli->arg);
  if (args_value (cli, "wait") && !is_dry_run) {
    json_decref (o);
    if (pair_wait (cli, id, verb->state, true, &o, &f) == -1)
      return fail (&f, "waiting for pair '%s'", cli->arg);
  }
  *ret = o;
  return 0;
}

/* The JSON answer of a verb; takes O (NULL: the pair is gone). */
static int
print_verb_json (struct cli *cli, json_t *o)
{
  if (args_value (cli, "wait"))
    return print_json (json_pack ("{s:o?}", "ReplicaPair", o));
  return print_json (o);
}

static int
simple_verb (struct cli *cli, const struct verb *verb)
{
  json_t *o;
  int r = run_verb (cli, verb, &o);

  if (r != 0)
    return r;
  if (args_value (cli, "dry-run"))
    return plan_print (cli, o);
  if (cli->json)
    return print_verb_json (cli, o);
  json_decref (o);
  if (args_value (cli, "wait"))
    return print_line ("pair '%s' is %s", cli->arg, verb->done);
  print_line ("pair '%s' is %s", cli->arg, verb->begun);
  return print_line ("next: pairctl pair wait %s --for %s", cli->arg,
                     verb->state);
}

int
pair_start (struct cli *cli)
{
  static const struct verb start = {
    "start", "StartDiskReplicaPair", { NULL, NULL },
    "starting", "replicating", "normal"
  };
  static const struct verb one_shot = {
    "start", "StartDiskReplicaPair", { "OneShot", "true" },
    "being copied once", "copied and stopped", "stopped"
  };

  return simple_verb (cli, args_value (cli, "one-shot") ? &one_shot : &start);
}

int
pair_stop (struct cli *cli)
{
  static const struct verb stop = {
    "stop", "StopDiskReplicaPair", { NULL, NULL },
    "stopping", "stopped", "stopped"
  };

  return simple_verb (cli, &stop);
}

int
pair_delete (struct cli *cli)
{
  static const struct verb delete = {
    "delete", "DeleteDiskReplicaPair", { NULL, NULL },
    "being deleted", "deleted", "deleted"
  };

  return simple_verb (cli, &delete);
}

/* "d-abc at nbd+unix:///...": where the disk that was opened is found. */
static void
open_disk_fact (struct cli *cli, struct table *t, const json_t *pair)
{
  const char *id = get_string (pair, "DestinationDiskId");
  struct failure ignored;
  json_t *disk = id ? disk_find (cli, id, &ignored) : NULL;

  fact (t, "open for writing", id);
  if (get_string (disk, "NbdUri"))
    fact (t, "uri", get_string (disk, "NbdUri"));
  json_decref (disk);
}

static void
loss_facts (struct table *t, const json_t *loss)
{
  char text[TEXT_SIZE], size_text[SIZE_STRING_SIZE];
  uint64_t writes, bytes;
  double seconds;

  if (get_uint (loss, "Writes", &writes))
    fact_printf (t, "lost writes", "%" PRIu64, writes);
  else
    fact (t, "lost writes", "unknown");
  fact (t, "lost bytes", get_uint (loss, "Bytes", &bytes)
        ? size_format (bytes, size_text) : "unknown");
  fact (t, "lost time", get_double (loss, "Seconds", &seconds)
        ? seconds_format (seconds, text) : "unknown");
  if (get_double (loss, "HeardSecondsAgo", &seconds))
    fact_printf (t, "primary heard", "%s before the failover; what it wrote "
                 "after that is not counted", seconds_format (seconds, text));
  else
    fact (t, "primary heard", "unknown");
  if (rpo_zero_text (loss))
    fact (t, "rpo zero", rpo_zero_text (loss));
  fact (t, "failover took", get_double (loss, "FailoverSeconds", &seconds)
        ? seconds_format (seconds, text) : "unknown");
}

static int
print_failover (struct cli *cli, json_t *pair)
{
  struct table *t = facts_new ();

  fact (t, "failed over", cli->arg);
  open_disk_fact (cli, t, pair);
  loss_facts (t, json_object_get (pair, "Loss"));
  json_decref (pair);
  return table_print_plain (t);
}

int
pair_failover (struct cli *cli)
{
  static const struct verb failover = {
    "fail over", "FailoverDiskReplicaPair", { NULL, NULL },
    "failing over", "failed over", "failovered"
  };
  json_t *pair;
  int r;

  if (args_value (cli, "wait") == NULL || args_value (cli, "dry-run") ||
      cli->json)
    return simple_verb (cli, &failover);
  r = run_verb (cli, &failover, &pair);
  return r != 0 ? r : print_failover (cli, pair);
}

/* ------------------------------------------------------------------ */
/* list, show                                                           */

static void
pair_row (struct table *t, const json_t *pair)
{
  table_text (t, get_string (pair, "PairName"));
  table_text (t, get_string (pair, "ReplicaPairId"));
  table_text (t, get_string (pair, "Status"));
  table_printf (t, "%s/%s", or_unknown (get_string (pair, "SourceRegion")),
                or_unknown (get_string (pair, "SourceDiskId")));
  table_printf (t, "%s/%s", or_unknown (get_string (pair, "DestinationRegion")),
                or_unknown (get_string (pair, "DestinationDiskId")));
  table_seconds (t, pair, "LagSeconds");
  table_size (t, pair, "LagBytes");
  table_age (t, pair, "LastRecoverPoint");
  table_seconds (t, pair, "RPO");
  table_text (t, get_string (pair, "LinkState"));
}

int
pair_list (struct cli *cli)
{
  static const struct column columns[] = {
    { "NAME", false, true, 0 },
    { "ID", false, false, 3 },
    { "STATUS", false, false, 0 },
    { "SOURCE", false, true, 2 },
    { "DESTINATION", false, true, 1 },
    { "LAG", true, false, 0 },
    { "BEHIND", true, false, 5 },
    { "POINT", true, false, 4 },
    { "RPO", true, false, 6 },
    { "LINK", false, false, 0 },
  };
  struct failure f;
  struct table *t;
  json_t *pairs, *pair;
  size_t i;

  pairs = client_list (cli, "DescribeDiskReplicaPairs", NULL, "ReplicaPairs",
                       SIZE_MAX, &f);
  if (pairs == NULL)
    return fail (&f, "cannot list pairs");
  if (cli->json)
    return print_json (json_pack ("{s:o}", "ReplicaPairs", pairs));
  t = table_new (columns, sizeof columns / sizeof columns[0]);
  json_array_foreach (pairs, i, pair)
    pair_row (t, pair);
  json_decref (pairs);
  return table_print (t);
}

/* NULL when there is none in this status. */
static json_t *
ask_progress (struct cli *cli, const json_t *pair, struct failure *f)
{
  const struct param params[] = {
    { "ReplicaPairId", get_string (pair, "ReplicaPairId") }, { NULL, NULL }
  };

  return client_read (cli, "DescribeDiskReplicaPairProgress", params, f);
}

static void
progress_facts (struct table *t, const json_t *progress)
{
  char done_text[SIZE_STRING_SIZE], total_text[SIZE_STRING_SIZE];
  uint64_t percent, done, total;

  if (!get_uint (progress, "Progress", &percent))
    fact (t, "progress", NULL);
  else if (get_uint (progress, "DoneBytes", &done) &&
           get_uint (progress, "TotalBytes", &total) && total > 0)
    fact_printf (t, "progress", "%" PRIu64 "%% (%s of %s)", percent,
                 size_format (done, done_text),
                 size_format (total, total_text));
  else
    fact_printf (t, "progress", "%" PRIu64 "%%", percent);
}

static void
end_fact (struct table *t, const char *what, const json_t *pair,
          const char *region, const char *zone, const char *disk)
{
  fact_printf (t, what, "%s in %s/%s", or_unknown (get_string (pair, disk)),
               or_unknown (get_string (pair, region)),
               or_unknown (get_string (pair, zone)));
}

/* "source to vm1, destination no"; what is not known is left out. */
static void
attached_fact (struct table *t, const json_t *pair)
{
  static const struct { const char *end, *attached, *instance; } ends[] = {
    { "source", "SourceAttached", "SourceInstanceId" },
    { "destination", "DestinationAttached", "DestinationInstanceId" },
  };
  char text[2 * NAME_ROOM] = "";
  size_t i, n = 0;
  bool b;

  for (i = 0; i < 2; ++i) {
    const char *to = get_string (pair, ends[i].instance);

    if (!get_bool (pair, ends[i].attached, &b) || n >= sizeof text)
      continue;
    n += snprintf (text + n, sizeof text - n, "%s%s %s%s", n ? ", " : "",
                   ends[i].end, to ? "to " : b ? "yes" : "no", to ? to : "");
  }
  fact (t, "attached", n ? text : NULL);
}

static void
point_fact (struct table *t, const json_t *pair)
{
  char date[TEXT_SIZE], age[TEXT_SIZE];
  double point;

  if (!get_double (pair, "LastRecoverPoint", &point) || point <= 0)
    fact (t, "last point", "none yet");
  else
    fact_printf (t, "last point", "%s (%s ago)", date_format (point, date),
                 seconds_format ((double) clock_wall_ns () / NS_PER_SEC
                                 - point, age));
}

static void
lag_fact (struct table *t, const json_t *pair)
{
  char text[TEXT_SIZE], size_text[SIZE_STRING_SIZE];
  uint64_t writes, bytes;
  double seconds;

  if (!get_double (pair, "LagSeconds", &seconds))
    fact (t, "lag", NULL);
  else if (get_uint (pair, "LagWrites", &writes) &&
           get_uint (pair, "LagBytes", &bytes))
    fact_printf (t, "lag", "%s, %" PRIu64 " writes, %s",
                 seconds_format (seconds, text), writes,
                 size_format (bytes, size_text));
  else
    fact (t, "lag", seconds_format (seconds, text));
}

static void
link_fact (struct table *t, const json_t *pair)
{
  const char *state = get_string (pair, "LinkState");
  const char *reason = get_string (pair, "LinkReason");

  if (state && reason)
    fact_printf (t, "link", "%s: %s", state, reason);
  else
    fact (t, "link", state);
}

static void
pair_facts (struct table *t, const json_t *pair, const json_t *progress,
            const char *name)
{
  const char *status = or_unknown (get_string (pair, "Status"));
  const char *meaning = state_meaning (status);
  const char *message = get_string (pair, "StatusMessage");
  const char *next = state_next (status);
  char text[TEXT_SIZE];
  double seconds;

  fact (t, "name", get_string (pair, "PairName"));
  fact (t, "id", get_string (pair, "ReplicaPairId"));
  fact_printf (t, "status", "%s%s%s", status, message ? ": " : "",
               message ? message : "");
  if (*meaning)
    fact (t, "that is", meaning);
  end_fact (t, "source", pair, "SourceRegion", "SourceZoneId", "SourceDiskId");
  end_fact (t, "destination", pair, "DestinationRegion", "DestinationZoneId",
            "DestinationDiskId");
  attached_fact (t, pair);
  fact (t, "rpo", get_double (pair, "RPO", &seconds)
        ? seconds_format (seconds, text) : NULL);
  mode_facts (t, pair);
  point_fact (t, pair);
  lag_fact (t, pair);
  link_fact (t, pair);
  progress_facts (t, progress);
  if (json_is_object (json_object_get (pair, "Loss")))
    loss_facts (t, json_object_get (pair, "Loss"));
  divergence_facts (t, pair);
  fact (t, "created", get_double (pair, "CreateTime", &seconds)
        ? date_format (seconds, text) : NULL);
  if (next) {
    CLEANUP_FREE char *step = text_replace (next, "%s", name);

    fact (t, "next", step);
  }
}

int
pair_show (struct cli *cli)
{
  struct failure f;
  struct table *t;
  json_t *pair, *progress;

  pair = pair_find (cli, cli->arg, &f);
  if (pair == NULL)
    return fail (&f, "cannot show pair '%s'", cli->arg);
  progress = ask_progress (cli, pair, &f);
  if (cli->json)
    return print_json (json_pack ("{s:o, s:o?}", "ReplicaPair", pair,
                                  "Progress", progress));
  t = facts_new ();
  pair_facts (t, pair, progress, cli->arg);
  json_decref (pair);
  json_decref (progress);
  return table_print_plain (t);
}

/* ------------------------------------------------------------------ */
/* progress, wait                                                       */

static int
progress_once (struct cli *cli, json_t *pair)
{
  struct failure f;
  json_t *progress = ask_progress (cli, pair, &f);
  struct table *t;

  if (progress == NULL) {
    json_decref (pair);
    return fail (&f, "cannot show the progress of pair '%s'", cli->arg);
  }
  if (cli->json) {
    json_decref (pair);
    return print_json (json_pack ("{s:o}", "Progress", progress));
  }
  t = facts_new ();
  fact (t, "status", get_string (pair, "Status"));
  progress_facts (t, progress);
  link_fact (t, pair);
  json_decref (pair);
  json_decref (progress);
  return table_print_plain (t);
}

/* The end of a waiting; takes PAIR (NULL: gone). */
static int
print_reached (struct cli *cli, json_t *pair)
{
  CLEANUP_FREE char *status =
    text_printf ("%s", pair ? or_unknown (get_string (pair, "Status"))
                 : "deleted");

  if (cli->json)
    print_json (json_pack ("{s:o?}", "ReplicaPair", pair));
  else {
    json_decref (pair);
    print_line ("pair '%s' is %s", cli->arg, status);
  }
  return state_is_wrong (status) ? EXIT_FAILED : EXIT_OK;
}

int
pair_progress (struct cli *cli)
{
  CLEANUP_FREE char *id = NULL;
  struct failure f;
  json_t *pair = pair_find (cli, cli->arg, &f);

  if (pair == NULL)
    return fail (&f, "cannot follow pair '%s'", cli->arg);
  if (args_value (cli, "once"))
    return progress_once (cli, pair);
  id = text_printf ("%s", get_string (pair, "ReplicaPairId"));
  json_decref (pair);
  if (pair_wait (cli, id, WAIT_ANY_END, false, &pair, &f) == -1)
    return fail (&f, "waiting for pair '%s'", cli->arg);
  return print_reached (cli, pair);
}

/* False after a usage error. */
static bool
check_states (struct cli *cli, const char *states)
{
  const char *p = states;

  do {
    size_t n = strcspn (p, ",");

    if (!state_is_known (p, n)) {
      usage_error (cli, "there is no state '%.*s'; there are: %s", (int) n, p,
                   state_names ());
      return false;
    }
    p += n;
  } while (*p++ == ',');
  return true;
}

int
pair_wait_for (struct cli *cli)
{
  const char *states = args_value (cli, "for");
  CLEANUP_FREE char *id = NULL;
  struct failure f;
  json_t *pair;

  if (!check_states (cli, states))
    return EXIT_USAGE;
  pair = pair_find (cli, cli->arg, &f);
  if (pair == NULL) {
    if (strcmp (f.code, "NoSuchResource") == 0 &&
        states_contain (states, "deleted"))
      return print_reached (cli, NULL);
    return fail (&f, "cannot wait for pair '%s'", cli->arg);
  }
  id = text_printf ("%s", get_string (pair, "ReplicaPairId"));
  json_decref (pair);
  if (pair_wait (cli, id, states, false, &pair, &f) == -1)
    return fail (&f, "waiting for pair '%s'", cli->arg);
  return print_reached (cli, pair);
}

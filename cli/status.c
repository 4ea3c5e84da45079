/* pairctl status: the whole site on one screen, what needs attention first.
 *
 * Everything is asked before anything is printed.  What is wrong is found by
 * the rules in look_at_*: each adds one line with the next step.  The pairs
 * that do well are counted, and listed as far as the screen goes.
 */

#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cleanup.h"
#include "cli.h"
#include "clock.h"
#include "size.h"

#define FULL_PERCENT 85
#define CERTIFICATE_DAYS 30
#define LINES_DEFAULT 24
#define PAIRS_MIN 5               /* listed on the smallest screen */

const struct cli_option status_options[] = {
  { "all", NULL, false, "list all pairs, also those that do well" },
  { NULL, NULL, false, NULL }
};

enum severity { CRITICAL = 1, WARNING, NOTICE };

static const char *const severity_words[] = {
  [CRITICAL] = "critical", [WARNING] = "warning", [NOTICE] = "notice"
};

struct status {
  json_t *site, *pairs, *disks;
  json_t *attention;       /* array of objects, most severe first */
};

/* ------------------------------------------------------------------ */
/* What is wrong.                                                       */

static void __attribute__ ((format (printf, 6, 7)))
attention (struct status *s, enum severity severity, const char *kind,
           const char *object, const char *next, const char *fmt, ...)
{
  char text[512];
  va_list args;
  json_t *item;
  size_t at = 0;

  va_start (args, fmt);
  vsnprintf (text, sizeof text, fmt, args);
  va_end (args);
  item = json_pack ("{s:s, s:s, s:s, s:s, s:s}",
                    "Severity", severity_words[severity], "Kind", kind,
                    "Object", object, "Problem", text, "Next", next);
  /* Behind those of the same severity. */
  while (at < json_array_size (s->attention)) {
    const char *word = get_string (json_array_get (s->attention, at),
                                   "Severity");
    enum severity other = strcmp (word, "critical") == 0 ? CRITICAL
      : strcmp (word, "warning") == 0 ? WARNING : NOTICE;

    if (other > severity)
      break;
    at++;
  }
  json_array_insert_new (s->attention, at, item);
}

static void
look_at_site (struct status *s)
{
  const json_t *c = json_object_get (s->site, "Certificate");
  const char *rotation = get_string (c, "Rotation"), *region;
  json_t *peer;
  double end;
  size_t i;
  bool b;

  if (get_bool (s->site, "PluginAlive", &b) && !b)
    attention (s, CRITICAL, "site", "data path", "see nbdkit.log in the site "
               "directory", "nbdkit does not answer: no disk is served");
  json_array_foreach (json_object_get (s->site, "Peers"), i, peer) {
    region = or_unknown (get_string (peer, "RegionId"));
    if (get_bool (peer, "Reachable", &b) && !b)
      attention (s, WARNING, "site", region, "is it up? 'pairctl event list' "
                 "says why", "the site does not answer at %s",
                 or_unknown (get_string (peer, "Address")));
  }
  if (rotation && strcmp (rotation, "waiting") == 0)
    attention (s, NOTICE, "site", "rotation", "pairctl site show",
               "new keys wait for the site of region %s",
               or_unknown (get_string (c, "RotationWaitsFor")));
  if (get_double (c, "ExpireTime", &end) &&
      end - (double) clock_wall_ns () / NS_PER_SEC <
      CERTIFICATE_DAYS * 86400.)
    attention (s, WARNING, "site", "certificate", "pairctl site rotate",
               "it ends in less than %d days", CERTIFICATE_DAYS);
}

static bool
is_link_down (const char *link)
{
  static const char *const down[] = { "off", "connecting", "waiting",
                                      "refused", "fenced", NULL };
  size_t i;

  for (i = 0; link && down[i]; ++i)
    if (strcmp (link, down[i]) == 0)
      return true;
  return false;
}

static bool
is_active (const char *status)
{
  return strcmp (status, "normal") == 0 ||
    (strlen (status) >= 7 &&
     strcmp (status + strlen (status) - 7, "syncing") == 0);
}

static const char *
pair_name (const json_t *pair)
{
  const char *name = get_string (pair, "PairName");

  return name ? name : or_unknown (get_string (pair, "ReplicaPairId"));
}

/* The next step in that status, for that pair; the caller frees. */
static char *
next_of (const json_t *pair, const char *status)
{
  const char *next = state_next (status), *name = pair_name (pair);

  return next ? text_replace (next, "%s", name)
    : text_printf ("pairctl pair show %s", name);
}

static bool
is_split (const json_t *pair)
{
  const char *relation =
    get_string (json_object_get (pair, "Divergence"), "Relation");

  return relation && (strcmp (relation, "split-brain") == 0 ||
                      strcmp (relation, "unrelated") == 0);
}

static bool
waits_for_copy (const json_t *pair)
{
  const char *state = get_string (pair, "ModeState");

  return state && (strcmp (state, "suspended") == 0 ||
                   strcmp (state, "leaving") == 0 ||
                   strcmp (state, "abandoning") == 0);
}

static void
look_at_pair (struct status *s, const json_t *pair)
{
  const char *status = or_unknown (get_string (pair, "Status"));
  const char *message = get_string (pair, "StatusMessage");
  const char *link = get_string (pair, "LinkState");
  const char *reason = get_string (pair, "LinkReason");
  const char *name = pair_name (pair);
  CLEANUP_FREE char *next = next_of (pair, status);
  char lag_text[TEXT_SIZE], rpo_text[TEXT_SIZE];
  double lag, rpo;
  bool b;

  if (is_split (pair)) {
    free (next);
    next = text_printf ("pairctl pair reprotect %s --dry-run [--cancel], at "
                        "site %s", name,
                        or_unknown (get_string (pair, "DestinationRegion")));
    attention (s, CRITICAL, "pair", name, next, "%s",
               message ? message : "split brain");
  }
  else if (state_is_wrong (status))
    attention (s, CRITICAL, "pair", name, next, "%s%s%s", status,
               message ? ": " : "", message ? message : "");
  else if (is_active (status) && waits_for_copy (pair))
    attention (s, CRITICAL, "pair", name, next,
               "flushes wait for the copy, which is away");
  else if (is_active (status) && is_link_down (link))
    attention (s, CRITICAL, "pair", name, "do both sites and the network "
               "between them work? 'pairctl site list'",
               "it shall replicate and no data flows: the link is %s%s%s",
               link, reason ? ": " : "", reason ? reason : "");
  else if (get_bool (pair, "Degraded", &b) && b)
    attention (s, CRITICAL, "pair", name, next,
               "synchronous replication goes on without its copy");
  else if (is_active (status) && get_double (pair, "LagSeconds", &lag) &&
           get_double (pair, "RPO", &rpo) && lag > rpo)
    attention (s, WARNING, "pair", name, next,
               "the copy is %s behind, more than its RPO of %s",
               seconds_format (lag, lag_text),
               seconds_format (rpo, rpo_text));
  else if (message && *message && !state_is_resting (status))
    attention (s, WARNING, "pair", name, next, "%s: %s", status, message);
  else if (strcmp (status, "failovered") == 0)
    attention (s, NOTICE, "pair", name, next,
               "failed over: it has no copy until it is reprotected");
}

static void
look_at_disk (struct status *s, const json_t *disk)
{
  const json_t *detail = json_object_get (disk, "Detail");
  const json_t *errors = json_object_get (detail, "errors");
  const char *name = get_string (disk, "DiskName");
  const char *status = get_string (disk, "Status");
  const char *failure = get_string (detail, "failure");
  const char *trouble = get_string (disk, "Trouble");
  CLEANUP_FREE char *show = NULL;
  uint64_t room, live, bad = 0, unread = 0;
  char hold_text[TEXT_SIZE];
  double hold;

  if (name == NULL)
    name = or_unknown (get_string (disk, "DiskId"));
  show = text_printf ("pairctl disk show %s", name);
  if (status && strcmp (status, "Error") == 0)
    attention (s, CRITICAL, "disk", name, show, "%s", failure ? failure
               : trouble ? trouble : "it cannot be used");
  if (disk_hold_seconds (detail, &hold))
    attention (s, WARNING, "disk", name, show, "flushes wait %s more, until "
               "the copy claims no more to have them all",
               seconds_format (hold, hold_text));
  get_uint (errors, "checksum", &bad);
  get_uint (errors, "read", &unread);
  if (bad + unread > 0)
    attention (s, CRITICAL, "disk", name, show, "%" PRIu64 " checksums did "
               "not match, %" PRIu64 " reads failed", bad, unread);
  if (get_uint (detail, "room", &room) && get_uint (detail, "live", &live) &&
      live / (room / 100 + 1) >= FULL_PERCENT) {
    CLEANUP_FREE char *grow = text_printf ("pairctl disk resize %s "
                                           "--capacity", name);

    attention (s, WARNING, "disk", name, grow, "its journal is %" PRIu64
               " %% full: guests will get ENOSPC", live / (room / 100 + 1));
  }
}

/* ------------------------------------------------------------------ */
/* Asking.                                                              */

static int
gather (struct cli *cli, struct status *s, struct failure *f)
{
  json_t *item;
  size_t i;

  s->attention = json_array ();
  s->site = client_read (cli, "DescribeSite", NULL, f);
  if (s->site)
    s->pairs = client_list (cli, "DescribeDiskReplicaPairs", NULL,
                            "ReplicaPairs", SIZE_MAX, f);
  if (s->pairs)
    s->disks = client_list (cli, "DescribeDisks", NULL, "Disks", SIZE_MAX, f);
  if (s->disks == NULL)
    return -1;
  look_at_site (s);
  json_array_foreach (s->pairs, i, item)
    look_at_pair (s, item);
  json_array_foreach (s->disks, i, item)
    look_at_disk (s, item);
  return 0;
}

static void
status_release (struct status *s)
{
  json_decref (s->site);
  json_decref (s->pairs);
  json_decref (s->disks);
  json_decref (s->attention);
}

/* ------------------------------------------------------------------ */
/* Printing.                                                            */

/* "97 normal, 2 syncing": how often each value of KEY is there; the caller
 * frees.
 */
static char *
counts (const json_t *array, const char *key)
{
  json_t *seen = json_object (), *item, *count;
  char *text = text_printf ("%s", ""), *more;
  const char *name;
  size_t i;

  json_array_foreach (array, i, item) {
    name = or_unknown (get_string (item, key));
    count = json_object_get (seen, name);
    json_object_set_new (seen, name,
                         json_integer (json_integer_value (count) + 1));
  }
  json_object_foreach (seen, name, count) {
    more = text_printf ("%s%s%lld %s", text, *text ? ", " : "",
                        (long long) json_integer_value (count), name);
    free (text);
    text = more;
  }
  json_decref (seen);
  return text;
}

static void
print_site (const struct status *s)
{
  size_t n = json_array_size (json_object_get (s->site, "Peers")), i, away = 0;
  json_t *peer;
  bool b;

  json_array_foreach (json_object_get (s->site, "Peers"), i, peer)
    away += get_bool (peer, "Reachable", &b) && !b;
  print_line ("site %s/%s, paird %s, data path %s, %zu other site%s%s",
              or_unknown (get_string (s->site, "RegionId")),
              or_unknown (get_string (s->site, "ZoneId")),
              or_unknown (get_string (s->site, "Version")),
              get_bool (s->site, "PluginAlive", &b) ? b ? "alive" : "down"
              : "unknown", n, n == 1 ? "" : "s",
              away ? " (not all reachable)" : "");
}

static void
print_attention (const struct status *s)
{
  static const struct column columns[] = {
    { "ATTENTION", false, false, 0 },
    { "OBJECT", false, false, 0 },
    { "PROBLEM", false, true, 0 },
    { "NEXT", false, true, 1 },
  };
  struct table *t;
  json_t *item;
  size_t i;

  if (json_array_size (s->attention) == 0) {
    print_line ("nothing needs attention");
    return;
  }
  t = table_new (columns, sizeof columns / sizeof columns[0]);
  json_array_foreach (s->attention, i, item) {
    table_text (t, get_string (item, "Severity"));
    table_printf (t, "%s %s", get_string (item, "Kind"),
                  get_string (item, "Object"));
    table_text (t, get_string (item, "Problem"));
    table_text (t, get_string (item, "Next"));
  }
  table_print (t);
}

/* Lines of the terminal; 0: it is none. */
static size_t
terminal_lines (void)
{
  struct winsize size;

  if (!isatty (STDOUT_FILENO))
    return 0;
  return ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0
    ? size.ws_row : LINES_DEFAULT;
}

/* How early a pair is listed: what moves before what rests or does well. */
static int
rank (const struct status *s, const json_t *pair)
{
  const char *name = pair_name (pair), *object, *kind;
  const char *status = or_unknown (get_string (pair, "Status"));
  json_t *item;
  size_t i;

  json_array_foreach (s->attention, i, item) {
    object = get_string (item, "Object");
    kind = get_string (item, "Kind");
    if (strcmp (kind, "pair") == 0 && strcmp (object, name) == 0)
      return 0;
  }
  return state_is_moving (status) ? 1 : strcmp (status, "normal") ? 2 : 3;
}

/* "async", or how a synchronous pair is. */
static const char *
mode_word (const json_t *pair)
{
  const char *mode = get_string (pair, "ReplicationMode");
  const char *state = get_string (pair, "ModeState");

  return mode && strcmp (mode, "sync") == 0 && state &&
    strcmp (state, "off") != 0 ? state : mode;
}

/* Is that end of the pair now at this site? */
static bool
is_here (const struct status *s, const json_t *pair, const char *end)
{
  CLEANUP_FREE char *region_key = text_printf ("%sRegion", end);
  CLEANUP_FREE char *zone_key = text_printf ("%sZoneId", end);
  const char *region = get_string (pair, region_key);
  const char *zone = get_string (pair, zone_key);

  return region && zone &&
    strcmp (region, or_unknown (get_string (s->site, "RegionId"))) == 0 &&
    strcmp (zone, or_unknown (get_string (s->site, "ZoneId"))) == 0;
}

/* What the disk of this site is to the pair. */
static const char *
role_here (const struct status *s, const json_t *pair)
{
  bool is_source = is_here (s, pair, "Source");
  const char *status = get_string (pair, "Status");

  if (status && strcmp (status, "failovered") == 0)
    return is_source ? "old source" : "in use";
  return is_source ? "source" : "copy";
}

static void
pair_row (const struct status *s, struct table *t, const json_t *pair)
{
  table_text (t, pair_name (pair));
  table_text (t, get_string (pair, "Status"));
  table_text (t, role_here (s, pair));
  table_text (t, mode_word (pair));
  table_seconds (t, pair, "LagSeconds");
  table_size (t, pair, "LagBytes");
  table_age (t, pair, "LastRecoverPoint");
  table_seconds (t, pair, "RPO");
  table_text (t, get_string (pair, "LinkState"));
}

static void
print_pairs (const struct status *s, size_t max)
{
  static const struct column columns[] = {
    { "PAIR", false, true, 0 },
    { "STATUS", false, false, 0 },
    { "HERE", false, false, 5 },
    { "MODE", false, false, 4 },
    { "LAG", true, false, 0 },
    { "BEHIND", true, false, 2 },
    { "POINT", true, false, 1 },
    { "RPO", true, false, 3 },
    { "LINK", false, false, 0 },
  };
  size_t n = json_array_size (s->pairs), i, printed = 0;
  CLEANUP_FREE char *text = counts (s->pairs, "Status");
  struct table *t;
  json_t *pair;
  int r;

  print_line ("%zu pair%s%s%s", n, n == 1 ? "" : "s", n ? ": " : "", text);
  if (n == 0)
    return;
  t = table_new (columns, sizeof columns / sizeof columns[0]);
  for (r = 0; r <= 3; ++r) {
    json_array_foreach (s->pairs, i, pair) {
      if (rank (s, pair) == r && printed < max) {
        pair_row (s, t, pair);
        printed++;
      }
    }
  }
  table_print (t);
  if (printed < n)
    print_line ("... and %zu more: pairctl status --all", n - printed);
}

static void
print_disks (const struct status *s)
{
  size_t n = json_array_size (s->disks), i;
  CLEANUP_FREE char *text = counts (s->disks, "Status");
  char size_text[SIZE_STRING_SIZE], used_text[SIZE_STRING_SIZE];
  uint64_t size = 0, used = 0, x;
  json_t *disk;

  json_array_foreach (s->disks, i, disk) {
    size += get_uint (disk, "Size", &x) ? x : 0;
    used += get_uint (disk, "Used", &x) ? x : 0;
  }
  print_line ("%zu disk%s%s%s; %s for guests, %s in journals", n,
              n == 1 ? "" : "s", n ? ": " : "", text,
              size_format (size, size_text), size_format (used, used_text));
}

int
status_show (struct cli *cli)
{
  struct status s = { .site = NULL };
  size_t lines = terminal_lines (), used, max = SIZE_MAX;
  struct failure f;

  if (gather (cli, &s, &f) == -1) {
    status_release (&s);
    return fail (&f, "cannot show the status");
  }
  if (cli->json)
    return print_json (json_pack ("{s:o, s:o, s:o, s:o}",
                                  "Attention", s.attention, "Site", s.site,
                                  "ReplicaPairs", s.pairs,
                                  "Disks", s.disks));
  used = json_array_size (s.attention) + 10;
  if (lines > 0 && args_value (cli, "all") == NULL)
    max = lines > used + PAIRS_MIN ? lines - used : PAIRS_MIN;
  print_site (&s);
  print_line ("%s", "");
  print_attention (&s);
  print_line ("%s", "");
  print_pairs (&s, max);
  print_line ("%s", "");
  print_disks (&s);
  status_release (&s);
  return EXIT_OK;
}

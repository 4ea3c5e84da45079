/* pairctl site: the site whose agent is asked, and the sites it knows. */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "cli.h"
#include "clock.h"

#define TOKEN_MAX 4096

const struct cli_option site_invite_options[] = {
  { "expires", "TIME", false, "how long it is good (default 1h, at most 7d)" },
  { NULL, NULL, false, NULL }
};

const struct cli_option site_rotate_options[] = {
  { "force", NULL, false,
    "do not wait for sites that are away: they must join again" },
  { "wait", NULL, false, "wait until the new certificate is shown" },
  { NULL, NULL, false, NULL }
};

/* ------------------------------------------------------------------ */
/* show, list                                                           */

static void
certificate_facts (struct table *t, const json_t *site)
{
  const json_t *c = json_object_get (site, "Certificate");
  const char *rotation = get_string (c, "Rotation");
  const char *waits_for = get_string (c, "RotationWaitsFor");
  char text[TEXT_SIZE];
  double end;

  if (c == NULL)
    return;
  fact (t, "certificate", get_string (c, "Fingerprint"));
  fact (t, "good until", get_double (c, "ExpireTime", &end)
        ? date_format (end, text) : NULL);
  if (rotation && strcmp (rotation, "waiting") == 0)
    fact_printf (t, "rotation", "waits for the site of region %s",
                 or_unknown (waits_for));
  else if (rotation && strcmp (rotation, "old-kept") == 0)
    fact (t, "rotation", "done; the data path shows the certificate before it "
          "until nbdkit is started anew");
}

int
site_show (struct cli *cli)
{
  struct failure f;
  struct table *t;
  json_t *site, *peer;
  size_t i;
  bool b;

  site = client_read (cli, "DescribeSite", NULL, &f);
  if (site == NULL)
    return fail (&f, "cannot show the site");
  if (cli->json)
    return print_json (site);

  t = facts_new ();
  fact (t, "region", get_string (site, "RegionId"));
  fact (t, "zone", get_string (site, "ZoneId"));
  fact (t, "agent", get_string (site, "Version"));
  fact (t, "data path", get_bool (site, "PluginAlive", &b)
        ? b ? "alive" : "down" : "unknown");
  fact (t, "nbd socket", get_string (site, "NbdSocket"));
  fact (t, "data address", get_string (site, "DataAddress"));
  certificate_facts (t, site);
  json_array_foreach (json_object_get (site, "Peers"), i, peer) {
    const char *zone = get_string (peer, "ZoneId");

    fact_printf (t, "peer", "%s%s%s at %s, %s",
                 or_unknown (get_string (peer, "RegionId")), zone ? "/" : "",
                 zone ? zone : "", or_unknown (get_string (peer, "Address")),
                 get_bool (peer, "Reachable", &b)
                 ? b ? "reachable" : "not reachable" : "state unknown");
  }
  json_decref (site);
  return table_print_plain (t);
}

static void
site_row (struct table *t, const json_t *site, const char *address,
          const char *state, const char *trust)
{
  table_text (t, get_string (site, "RegionId"));
  table_text (t, get_string (site, "ZoneId"));
  table_text (t, address);
  table_text (t, get_string (site, "DataAddress"));
  table_text (t, state);
  table_text (t, trust);
}

int
site_list (struct cli *cli)
{
  static const struct column columns[] = {
    { "REGION", false, false, 0 },
    { "ZONE", false, false, 3 },
    { "ADDRESS", false, true, 0 },
    { "DATA", false, true, 2 },
    { "STATE", false, false, 0 },
    { "TRUST", false, false, 1 },
  };
  struct failure f;
  struct table *t;
  json_t *site = client_read (cli, "DescribeSite", NULL, &f), *peer;
  size_t i;
  bool b;

  if (site == NULL)
    return fail (&f, "cannot list the sites");
  if (cli->json) {
    json_t *peers = json_incref (json_object_get (site, "Peers"));

    json_decref (site);
    return print_json (json_pack ("{s:o}", "Peers", peers));
  }
  t = table_new (columns, sizeof columns / sizeof columns[0]);
  site_row (t, site, NULL, "this one", NULL);
  json_array_foreach (json_object_get (site, "Peers"), i, peer)
    site_row (t, peer, get_string (peer, "Address"),
              !get_bool (peer, "Reachable", &b) ? "unknown"
              : b ? "reachable" : "away",
              get_bool (peer, "Joined", &b) && b ? "joined" : "configured");
  json_decref (site);
  return table_print (t);
}

/* ------------------------------------------------------------------ */
/* invite, join, remove                                                 */

int
site_invite (struct cli *cli)
{
  const char *expires = args_value (cli, "expires"), *token;
  char seconds_text[24], date[TEXT_SIZE];
  double seconds = 3600, end;
  struct failure f;
  json_t *o;

  if (expires && (!duration_parse (expires, &seconds) || seconds < 1 ||
                  seconds > 7 * 86400.))
    return usage_error (cli, "'--expires %s' is not a time from 1s to 7d",
                        expires);
  snprintf (seconds_text, sizeof seconds_text, "%.0f", seconds);
  const struct param params[] = {
    { "ExpiresIn", seconds_text }, { NULL, NULL }
  };
  o = client_read (cli, "CreateInvitation", params, &f);
  if (o == NULL)
    return fail (&f, "cannot invite a site");
  if (cli->json)
    return print_json (o);
  token = get_string (o, "Token");
  print_line ("%s", or_unknown (token));
  /* For people; standard output is the token and nothing else. */
  if (isatty (STDERR_FILENO) && get_double (o, "ExpireTime", &end))
    fprintf (stderr, "good for one site, until %s; keep it secret\n"
             "next, at the other site: pairctl site join -\n",
             date_format (end, date));
  json_decref (o);
  return EXIT_OK;
}

/* The token from standard input; the caller frees. */
static char *
read_token (void)
{
  char *text = calloc (1, TOKEN_MAX + 1);
  size_t n;

  if (text == NULL)
    return NULL;
  n = fread (text, 1, TOKEN_MAX, stdin);
  while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r' ||
                   text[n - 1] == ' '))
    text[--n] = '\0';
  return text;
}

int
site_join (struct cli *cli)
{
  char *token = strcmp (cli->arg, "-") == 0 ? read_token ()
    : text_printf ("%s", cli->arg);
  struct failure f;
  json_t *o;
  int r;

  if (token == NULL || *token == '\0') {
    free (token);
    return usage_error (cli, "there is no token on standard input");
  }
  const struct param params[] = { { "Token", token }, { NULL, NULL } };
  o = client_read (cli, "JoinSite", params, &f);
  explicit_bzero (token, strlen (token));
  free (token);
  if (o == NULL)
    return fail (&f, "cannot join");
  if (cli->json)
    return print_json (o);
  r = print_line ("joined the site of region '%s' at %s",
                  or_unknown (get_string (o, "PeerRegionId")),
                  or_unknown (get_string (o, "Address")));
  print_line ("next: pairctl pair create, or pairctl site list");
  json_decref (o);
  return r;
}

int
site_remove (struct cli *cli)
{
  const struct param params[] = {
    { "PeerRegionId", cli->arg }, { NULL, NULL }
  };
  struct failure f;
  json_t *o = client_read (cli, "RemoveSite", params, &f);

  if (o == NULL)
    return fail (&f, "cannot remove the site of region '%s'", cli->arg);
  if (cli->json)
    return print_json (o);
  json_decref (o);
  print_line ("the site of region '%s' is trusted no longer", cli->arg);
  return print_line ("next: pairctl site remove at that site, too");
}

/* ------------------------------------------------------------------ */
/* rotate                                                               */

/* The site's certificate, a new reference. */
static json_t *
ask_certificate (struct cli *cli, struct failure *f)
{
  json_t *site = client_read (cli, "DescribeSite", NULL, f), *ret;

  if (site == NULL)
    return NULL;
  ret = json_incref (json_object_get (site, "Certificate"));
  json_decref (site);
  return ret ? ret : json_object ();
}

/* Until nothing waits for another site.  NULL: F. */
static json_t *
wait_rotated (struct cli *cli, struct failure *f)
{
  const struct timespec nap = { 0, 200 * 1000000 };
  CLEANUP_FREE char *waits_for = NULL;

  do {
    json_t *c = ask_certificate (cli, f);
    const char *rotation = get_string (c, "Rotation");

    if (c && (rotation == NULL || strcmp (rotation, "waiting") != 0))
      return c;
    if (c == NULL && cli->deadline_ns == 0)
      return NULL;
    if (c) {
      free (waits_for);
      waits_for = text_printf ("%s", or_unknown (get_string (c,
                                                   "RotationWaitsFor")));
    }
    json_decref (c);
    nanosleep (&nap, NULL);
  } while (cli->deadline_ns == 0 || clock_mono_ns () < cli->deadline_ns);
  failure_set (f, EXIT_TIMEOUT, NULL, "it goes on by itself; --force does not "
               "wait for sites that are away",
               "it still waits for the site of region %s",
               or_unknown (waits_for));
  return NULL;
}

int
site_rotate (struct cli *cli)
{
  const struct param params[] = {
    { "Force", args_value (cli, "force") ? "true" : NULL }, { NULL, NULL }
  };
  struct failure f;
  const char *waits_for;
  json_t *o = client_read (cli, "RotateSite", params, &f);

  if (o == NULL)
    return fail (&f, "cannot rotate the site's keys");
  if (args_value (cli, "wait")) {
    json_decref (o);
    o = wait_rotated (cli, &f);
    if (o == NULL)
      return fail (&f, "waiting for the rotation");
  }
  if (cli->json)
    return print_json (o);
  waits_for = get_string (o, "RotationWaitsFor");
  if (waits_for && *waits_for)
    print_line ("new keys are made; they are used when the site of region "
                "'%s' knows them", waits_for);
  else
    print_line ("new keys are in use");
  json_decref (o);
  return print_line ("next: pairctl site show");
}

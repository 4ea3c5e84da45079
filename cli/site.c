/* pairctl site: the site whose agent is asked. */

#include <config.h>

#include "cli.h"

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

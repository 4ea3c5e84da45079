/* DescribeRegions and ListReplicaEdgeSupported: which sites there are (see
 * actions.h).
 *
 * A region is a site: this one, and each peer.  What a peer's zone is, is
 * known once it was heard.
 */

#include <config.h>

#include <stdbool.h>
#include <string.h>

#include <jansson.h>

#include "actions.h"
#include "agent.h"
#include "apierror.h"
#include "paging.h"
#include "params.h"
#include "peer.h"
#include "settings.h"
#include "values.h"

static bool
is_one_of (const char *value, const char *const list[])
{
  size_t i;

  for (i = 0; list[i]; ++i) {
    if (strcmp (list[i], value) == 0)
      return true;
  }
  return false;
}

/* An optional parameter that is one of LIST; false: ANSWER has the error. */
static bool
check_word (const struct request *req, const char *name,
            const char *const list[], struct answer *answer)
{
  const char *value = params_get (&req->params, name);

  if (value == NULL || *value == '\0' || is_one_of (value, list))
    return true;
  answer_error (answer, API_INVALID_PARAMETER, name, NULL);
  return false;
}

static json_t *
region_json (const char *region, const char *zone, const char *endpoint)
{
  json_t *zones = json_array ();

  if (*zone)
    json_array_append_new (zones, json_pack (
      "{s:s, s:s, s:[s]}", "ZoneId", zone, "LocalName", zone,
      "ResourceTypes", "ear"));
  return json_pack ("{s:s, s:s, s:s, s:o}", "RegionId", region,
                    "LocalName", region, "RegionEndpoint", endpoint,
                    "Zones", zones);
}

/* Where others find our API. */
static const char *
own_endpoint (const struct settings *s)
{
  const char *const list[] = { s->address, s->listen_tls, s->listen };
  size_t i;

  for (i = 0; i < sizeof list / sizeof list[0]; ++i) {
    if (list[i] && strcmp (list[i], "none") != 0)
      return list[i];
  }
  return "";
}

void
action_describe_regions (struct agent *agent, struct request *req,
                         const struct work_token *token,
                         struct answer *answer)
{
  static const char *const types[] = { "ear", "lens", "dbsc", NULL };
  static const char *const languages[] = { "zh-CN", "en-US", "ja", NULL };
  const char *wanted = params_get (&req->params, "RegionId");
  const char *type = params_get (&req->params, "ResourceType");
  const struct settings *s = &agent->settings;
  json_t *array, *peers, *peer;
  size_t i;

  (void) token;
  if (!check_word (req, "ResourceType", types, answer) ||
      !check_word (req, "AcceptLanguage", languages, answer))
    return;
  array = json_array ();
  answer->body = json_pack ("{s:o}", "Regions", array);
  /* The other two are products that this is not. */
  if (type && *type && strcmp (type, "ear") != 0)
    return;
  if (wanted && *wanted == '\0')
    wanted = NULL;
  if (wanted == NULL || strcmp (wanted, s->region) == 0)
    json_array_append_new (array, region_json (s->region, s->zone,
                                               own_endpoint (s)));
  peers = peers_describe (agent);
  json_array_foreach (peers, i, peer) {
    const char *region = json_text (peer, "RegionId");

    if (wanted == NULL || strcmp (wanted, region) == 0)
      json_array_append_new (array, region_json (
        region, json_text (peer, "ZoneId"), json_text (peer, "Address")));
  }
  json_decref (peers);
}

/* Which sites may a disk of this zone be copied to? */
void
action_list_edges (struct agent *agent, struct request *req,
                   const struct work_token *token, struct answer *answer)
{
  bool is_ours = strcmp (params_get (&req->params, "Azone"),
                         agent->settings.zone) == 0;
  json_t *array, *peers, *peer;
  struct paging paging;
  size_t i, count = 0;

  (void) token;
  if (!paging_parse (req, &paging, answer))
    return;
  array = json_array ();
  answer->body = json_pack ("{s:o}", "SupportedRegions", array);
  peers = peers_describe (agent);
  json_array_foreach (peers, i, peer) {
    const char *zone = json_text (peer, "ZoneId");

    if (!is_ours || *zone == '\0')
      continue;
    if (count >= paging.offset && count < paging.offset + paging.limit)
      json_array_append_new (array, json_pack (
        "{s:s, s:[{s:s, s:b}]}", "RegionId", json_text (peer, "RegionId"),
        "Zones", "ZoneId", zone, "SupportRtc", 1));
    count++;
  }
  json_decref (peers);
  paging_finish (&paging, count, answer->body);
  json_object_set_new (answer->body, "MaxResults",
                       json_integer (paging.limit));
}

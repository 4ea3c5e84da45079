/* Tags and resource groups of pairs: TagResources, UntagResources,
 * ListTagResources, ChangeResourceGroup (see tags.h).
 *
 * They say nothing about replication, so they change in every status, from
 * either site.  The record counts their changes (meta), and of two records
 * that changed at the same time the one with the later tags keeps them
 * whatever becomes of the rest (record_merge).
 *
 * A call for several pairs changes all of them or none.
 */

#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "actions.h"
#include "agent.h"
#include "apierror.h"
#include "change.h"
#include "cleanup.h"
#include "names.h"
#include "paging.h"
#include "params.h"
#include "peer.h"
#include "record.h"
#include "states.h"
#include "store.h"
#include "tags.h"
#include "values.h"

#define RESOURCES_MAX 50
#define TAGS_PAGE 50

static bool
refuse (struct answer *answer, enum api_error error, const char *name)
{
  answer_error (answer, error, name, NULL);
  return false;
}

static int
no (struct answer *answer, enum api_error error, const char *name)
{
  refuse (answer, error, name);
  return -1;
}

/* ------------------------------------------------------------------ */
/* Tag.N.Key and Tag.N.Value of a call.                                 */

struct tag {
  const char *key, *value;       /* value NULL: not given */
};

static const char *
numbered (const struct request *req, const char *fmt, int n)
{
  char name[32];

  snprintf (name, sizeof name, fmt, n);
  return params_get (&req->params, name);
}

/* -1: ANSWER has the error, else how many. */
static int
tags_of_call (const struct request *req, struct tag ret[TAGS_MAX],
              struct answer *answer)
{
  int n, i, count = 0;

  for (n = 1; n <= TAGS_MAX; ++n) {
    const char *key = numbered (req, "Tag.%d.Key", n);
    const char *value = numbered (req, "Tag.%d.Value", n);

    if (key == NULL && value == NULL)
      continue;
    if (key == NULL || *key == '\0')
      return no (answer, value && *value ? API_INVALID_TAG_VALUE
                 : API_INVALID_PARAMETER, "Tag.N.Key");
    if (!tag_key_valid (key))
      return no (answer, API_INVALID_PARAMETER, "Tag.N.Key");
    if (value && !tag_value_valid (value))
      return no (answer, API_INVALID_PARAMETER, "Tag.N.Value");
    for (i = 0; i < count; ++i) {
      if (strcmp (ret[i].key, key) == 0)
        return no (answer, API_DUPLICATE_TAG_KEY, NULL);
    }
    ret[count++] = (struct tag) { key, value };
  }
  if (numbered (req, "Tag.%d.Key", TAGS_MAX + 1))
    return no (answer, API_NUMBER_EXCEED_TAGS, NULL);
  return count;
}

static json_t *
tags_of_record (const struct record *rec)
{
  json_t *tags = json_loads (rec->tags[0] ? rec->tags : "[]", 0, NULL);

  return tags ? tags : json_array ();
}

/* The object of KEY in the array TAGS, or NULL. */
static json_t *
find_tag (const json_t *tags, const char *key)
{
  json_t *tag;
  size_t i;

  json_array_foreach (tags, i, tag) {
    if (strcmp (json_text (tag, "TagKey"), key) == 0)
      return tag;
  }
  return NULL;
}

static void
put_tag (json_t *tags, const struct tag *t)
{
  const char *value = t->value ? t->value : "";
  json_t *tag = find_tag (tags, t->key);

  if (tag)
    json_object_set_new (tag, "TagValue", json_string (value));
  else
    json_array_append_new (tags, json_pack ("{s:s, s:s}", "TagKey", t->key,
                                            "TagValue", value));
}

/* Takes TAGS. */
static bool
store_tags (struct record *rec, json_t *tags, struct answer *answer)
{
  CLEANUP_FREE char *text = json_dumps (tags, JSON_COMPACT);
  size_t n = json_array_size (tags);

  json_decref (tags);
  if (n > TAGS_MAX)
    return refuse (answer, API_QUOTA_EXCEED_TAGS, NULL);
  if (text == NULL || !TEXT_SET (rec->tags, n ? text : ""))
    return refuse (answer, API_INTERNAL, NULL);
  return true;
}

bool
tags_parse (const struct request *req, struct record *rec,
            struct answer *answer)
{
  struct tag list[TAGS_MAX];
  int n = tags_of_call (req, list, answer), i;
  json_t *tags;

  if (n == -1)
    return false;
  tags = json_array ();
  for (i = 0; i < n; ++i)
    put_tag (tags, &list[i]);
  return store_tags (rec, tags, answer);
}

bool
tags_filter_valid (const struct request *req, struct answer *answer)
{
  struct tag list[TAGS_MAX];

  return tags_of_call (req, list, answer) != -1;
}

bool
tags_match (const struct request *req, const struct record *rec)
{
  struct answer ignored = { .error = API_OK };
  struct tag list[TAGS_MAX];
  int n = tags_of_call (req, list, &ignored), i;
  json_t *tags = tags_of_record (rec);
  bool all = true;

  for (i = 0; all && i < n; ++i) {
    const json_t *tag = find_tag (tags, list[i].key);

    all = tag && (list[i].value == NULL ||
                  strcmp (json_text (tag, "TagValue"), list[i].value) == 0);
  }
  json_decref (tags);
  return all;
}

/* ------------------------------------------------------------------ */
/* The resources of a call.                                             */

static bool
check_type (const struct request *req, struct answer *answer)
{
  const char *type = params_get (&req->params, "ResourceType");

  if (type == NULL || *type == '\0')
    return refuse (answer, API_MISSING_RESOURCE_TYPE, NULL);
  /* The vendor's Terraform provider writes DiskReplicaPair. */
  if (strcasecmp (type, "diskreplicapair") != 0 &&
      strcasecmp (type, "diskreplicagroup") != 0 &&
      strcasecmp (type, "dedicatedblockstoragecluster") != 0)
    return refuse (answer, API_RESOURCE_TYPE_NOT_FOUND, NULL);
  return true;
}

static bool
is_pairs (const struct request *req)
{
  return strcasecmp (params_get (&req->params, "ResourceType"),
                     "diskreplicapair") == 0;
}

static bool
check_region (struct agent *agent, const struct request *req,
              struct answer *answer)
{
  if (strcmp (req->region, agent->settings.region) != 0 &&
      peer_find (agent, req->region) == NULL)
    return refuse (answer, API_REGION_ID_NOT_FOUND, NULL);
  return true;
}

/* ResourceId.N; -1: ANSWER has the error. */
static int
ids_of_call (const struct request *req, const char *ret[RESOURCES_MAX],
             struct answer *answer)
{
  int n, count = 0;

  for (n = 1; n <= RESOURCES_MAX; ++n) {
    const char *id = numbered (req, "ResourceId.%d", n);

    if (id && *id)
      ret[count++] = id;
  }
  if (numbered (req, "ResourceId.%d", RESOURCES_MAX + 1))
    return no (answer, API_NUMBER_EXCEED_RESOURCE_IDS, NULL);
  return count;
}

/* Is it a pair that a call to this region may see? */
static bool
is_here (const struct request *req, const struct record *rec)
{
  return rec->status != PAIR_DELETED &&
    (strcmp (req->region, rec->source_region) == 0 ||
     strcmp (req->region, rec->destination_region) == 0);
}

typedef bool change_fn (const struct request *req, struct record *rec,
                        struct answer *answer);

/* In a transaction: one pair. */
static bool
change_one (struct agent *agent, const struct request *req, const char *id,
            const char *kind, change_fn *change, struct record *rec,
            struct answer *answer)
{
  int r = is_pairs (req) ? store_pair_get (agent->store, id, rec) : 0;

  if (r == -1)
    return refuse (answer, API_INTERNAL, NULL);
  if (r == 0 || !is_here (req, rec)) {
    answer_error (answer, API_RESOURCE_ID_NOT_FOUND, NULL,
                  "region %.64s has no pair '%.64s'", req->region, id);
    return false;
  }
  if (!change (req, rec, answer))
    return false;
  rec->meta++;
  if (record_move (agent, rec, rec->status, false, req->client, kind,
                   "") == -1)
    return refuse (answer, API_INTERNAL, NULL);
  return true;
}

/* All of IDS or none. */
static void
change_all (struct agent *agent, const struct request *req,
            const struct work_token *token, const char *const ids[], int n,
            const char *kind, change_fn *change, struct answer *answer)
{
  CLEANUP_FREE struct record *rec = malloc (sizeof *rec);
  bool ok = true;
  int i;

  if (rec == NULL || store_begin (agent->store) == -1) {
    refuse (answer, API_INTERNAL, NULL);
    return;
  }
  for (i = 0; ok && i < n; ++i)
    ok = change_one (agent, req, ids[i], kind, change, rec, answer);
  if (ok && token_remember (agent, token, NULL) == -1)
    ok = refuse (answer, API_INTERNAL, NULL);
  if (store_end (agent->store, ok) == -1)
    refuse (answer, API_INTERNAL, NULL);
  if (answer->error == API_OK)
    peers_wake (agent);
}

/* ------------------------------------------------------------------ */
/* The actions.                                                         */

static bool
add_tags (const struct request *req, struct record *rec,
          struct answer *answer)
{
  struct tag list[TAGS_MAX];
  int n = tags_of_call (req, list, answer), i;
  json_t *tags;

  if (n == -1)
    return false;
  tags = tags_of_record (rec);
  for (i = 0; i < n; ++i)
    put_tag (tags, &list[i]);
  return store_tags (rec, tags, answer);
}

void
action_tag_resources (struct agent *agent, struct request *req,
                      const struct work_token *token, struct answer *answer)
{
  const char *ids[RESOURCES_MAX];
  struct tag list[TAGS_MAX];
  int n;

  if (!check_type (req, answer) || !check_region (agent, req, answer) ||
      (n = ids_of_call (req, ids, answer)) == -1)
    return;
  if (n == 0) {
    refuse (answer, API_MISSING_NAME, "ResourceId");
    return;
  }
  switch (tags_of_call (req, list, answer)) {
  case -1:
    return;
  case 0:
    refuse (answer, API_MISSING_NAME, "Tag");
    return;
  }
  change_all (agent, req, token, ids, n, "tag", add_tags, answer);
}

static bool
remove_tags (const struct request *req, struct record *rec,
             struct answer *answer)
{
  json_t *tags = tags_of_record (rec);
  bool any = false;
  size_t i;
  int n;

  for (n = 1; n <= TAGS_MAX; ++n) {
    const char *key = numbered (req, "TagKey.%d", n);

    if (key == NULL || *key == '\0')
      continue;
    any = true;
    for (i = json_array_size (tags); i-- > 0; ) {
      if (strcmp (json_text (json_array_get (tags, i), "TagKey"), key) == 0)
        json_array_remove (tags, i);
    }
  }
  if (!any)                      /* then All was given */
    json_array_clear (tags);
  return store_tags (rec, tags, answer);
}

static bool
has_tag_keys (const struct request *req)
{
  int n;

  for (n = 1; n <= TAGS_MAX; ++n) {
    const char *key = numbered (req, "TagKey.%d", n);

    if (key && *key)
      return true;
  }
  return false;
}

void
action_untag_resources (struct agent *agent, struct request *req,
                        const struct work_token *token,
                        struct answer *answer)
{
  const char *all_text = params_get (&req->params, "All");
  const char *ids[RESOURCES_MAX];
  bool all = false;
  int n;

  if (!check_type (req, answer) || !check_region (agent, req, answer) ||
      (n = ids_of_call (req, ids, answer)) == -1)
    return;
  if (n == 0)
    refuse (answer, API_MISSING_NAME, "ResourceId");
  else if (all_text && *all_text && !bool_parse (all_text, &all))
    refuse (answer, API_INVALID_PARAMETER, "All");
  else if (numbered (req, "TagKey.%d", TAGS_MAX + 1))
    refuse (answer, API_NUMBER_EXCEED_TAGS, NULL);
  else if (!all && !has_tag_keys (req))
    refuse (answer, API_MISSING_NAME, "TagKey");
  else
    change_all (agent, req, token, ids, n, "untag", remove_tags, answer);
}

/* "rg-..." or whatever a client uses: no spaces, no quotes. */
bool
resource_group_valid (const char *str)
{
  size_t n = strspn (str, "abcdefghijklmnopqrstuvwxyz"
                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

  return n > 0 && str[n] == '\0' &&
    n < sizeof ((struct record *) 0)->resource_group;
}

static bool
new_resource_group (const struct request *req, struct record *rec,
                    struct answer *answer)
{
  const char *group = params_get (&req->params, "NewResourceGroupId");

  return TEXT_SET (rec->resource_group, group) ||
    refuse (answer, API_RESOURCE_GROUP_NOT_FOUND, NULL);
}

void
action_change_resource_group (struct agent *agent, struct request *req,
                              const struct work_token *token,
                              struct answer *answer)
{
  const char *group = params_get (&req->params, "NewResourceGroupId");
  const char *id = params_get (&req->params, "ResourceId");

  if (!check_type (req, answer) || !check_region (agent, req, answer))
    return;
  if (group == NULL || *group == '\0')
    refuse (answer, API_MISSING_RESOURCE_GROUP, NULL);
  else if (!resource_group_valid (group))
    refuse (answer, API_RESOURCE_GROUP_NOT_FOUND, NULL);
  else if (id == NULL || *id == '\0')
    refuse (answer, API_MISSING_NAME, "ResourceId");
  else
    change_all (agent, req, token, &id, 1, "resource-group",
                new_resource_group, answer);
}

/* ------------------------------------------------------------------ */

static bool
is_listed (const struct request *req, const char *const ids[], int n,
           const struct record *rec)
{
  int i;

  if (!is_here (req, rec) || !tags_match (req, rec))
    return false;
  for (i = 0; i < n; ++i) {
    if (strcmp (ids[i], rec->id) == 0)
      return true;
  }
  return n == 0;
}

/* The tags of one pair, as far as they are on the page; *COUNT goes on. */
static void
list_tags_of (const struct request *req, const struct record *rec,
              const struct paging *paging, uint64_t *count, json_t *array)
{
  json_t *tags = tags_of_record (rec), *tag;
  size_t i;

  json_array_foreach (tags, i, tag) {
    if (*count >= paging->offset && *count < paging->offset + paging->limit)
      json_array_append_new (array, json_pack (
        "{s:s, s:s, s:s, s:s}", "ResourceId", rec->id,
        "ResourceType", params_get (&req->params, "ResourceType"),
        "TagKey", json_text (tag, "TagKey"),
        "TagValue", json_text (tag, "TagValue")));
    ++*count;
  }
  json_decref (tags);
}

void
action_list_tag_resources (struct agent *agent, struct request *req,
                           const struct work_token *token,
                           struct answer *answer)
{
  CLEANUP_FREE struct record *list = NULL;
  const char *ids[RESOURCES_MAX], *max;
  struct tag filter[TAGS_MAX];
  struct paging paging;
  uint64_t count = 0;
  json_t *array;
  ssize_t n, i;
  int nids, ntags;

  (void) token;
  if (!check_type (req, answer) || !check_region (agent, req, answer) ||
      (nids = ids_of_call (req, ids, answer)) == -1 ||
      (ntags = tags_of_call (req, filter, answer)) == -1 ||
      !paging_parse (req, &paging, answer))
    return;
  if (nids == 0 && ntags == 0) {
    refuse (answer, API_MISSING_NAME, "ResourceId");
    return;
  }
  max = params_get (&req->params, "MaxResults");
  if (max == NULL || *max == '\0')
    paging.limit = TAGS_PAGE;
  store_enter (agent->store);
  n = is_pairs (req) ? store_pair_list (agent->store, &list) : 0;
  store_leave (agent->store);
  if (n == -1) {
    refuse (answer, API_INTERNAL, NULL);
    return;
  }
  array = json_array ();
  for (i = 0; i < n; ++i) {
    if (is_listed (req, ids, nids, &list[i]))
      list_tags_of (req, &list[i], &paging, &count, array);
  }
  answer->body = json_pack ("{s:o}", "TagResources", array);
  paging_finish (&paging, count, answer->body);
}

/* Lists in answers (see paging.h). */

#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "actions.h"
#include "apierror.h"
#include "names.h"
#include "paging.h"
#include "params.h"

static bool
paging_number (const struct request *req, const char *name, uint64_t max,
               uint64_t *ret, struct answer *answer)
{
  const char *value = params_get (&req->params, name);

  if (value == NULL || *value == '\0')
    return true;
  if (!uint_parse (value, max, ret) || *ret == 0) {
    answer_error (answer, API_INVALID_PARAMETER, name, NULL);
    return false;
  }
  return true;
}

bool
paging_parse (const struct request *req, struct paging *ret,
              struct answer *answer)
{
  const char *max = params_get (&req->params, "MaxResults");
  const char *token = params_get (&req->params, "NextToken");
  uint64_t size = 10;

  memset (ret, 0, sizeof *ret);
  ret->page_number = 1;
  ret->limit = 10;
  if (!paging_number (req, "MaxResults", 500, &ret->limit, answer) ||
      !paging_number (req, "PageNumber", INT32_MAX, &ret->page_number,
                      answer) ||
      !paging_number (req, "PageSize", 100, &size, answer))
    return false;
  ret->by_token = (token && *token) || (max && *max);
  if (token && *token &&
      !uint_parse (token, INT32_MAX, &ret->offset)) {
    answer_error (answer, API_INVALID_PARAMETER, "NextToken", NULL);
    return false;
  }
  if (!ret->by_token) {
    ret->limit = size;
    ret->offset = (ret->page_number - 1) * size;
  }
  return true;
}

void
paging_finish (const struct paging *p, uint64_t total, json_t *body)
{
  char next[24] = "";

  if (p->offset + p->limit < total)
    snprintf (next, sizeof next, "%llu",
              (unsigned long long) (p->offset + p->limit));
  json_object_set_new (body, "TotalCount", json_integer (total));
  if (next[0])
    json_object_set_new (body, "NextToken", json_string (next));
  json_object_set_new (body, "PageNumber", json_integer (p->page_number));
  json_object_set_new (body, "PageSize", json_integer (p->limit));
  if (p->by_token)
    json_object_set_new (body, "MaxResults", json_integer (p->limit));
}

bool
in_comma_list (const char *list, const char *value)
{
  size_t len = strlen (value);
  const char *p = list;

  while (p && *p) {
    size_t n = strcspn (p, ",");

    if (n == len && memcmp (p, value, n) == 0)
      return true;
    p += n;
    if (*p == ',')
      p++;
  }
  return list == NULL || *list == '\0';
}

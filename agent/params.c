/* Parameters of a call, from the query and from a form body (see params.h).
 *
 * Names and values are UTF-8 text without zero bytes.  The first value of a
 * name counts, so adding the query first makes it win over the body.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cleanup.h"
#include "crypto.h"
#include "params.h"

static bool
is_text (const char *str, size_t len)
{
  json_t *json = json_stringn (str, len);     /* checks the UTF-8 */

  if (json == NULL || memchr (str, '\0', len) != NULL) {
    json_decref (json);
    return false;
  }
  json_decref (json);
  return true;
}

int
params_add (struct params *p, const char *name, size_t name_len,
            const char *value, size_t value_len)
{
  void *table;
  char *n, *v;

  if (!is_text (name, name_len) || !is_text (value, value_len)) {
    errno = EINVAL;
    return -1;
  }
  if (p->count == PARAMS_MAX) {
    errno = E2BIG;
    return -1;
  }
  table = reallocarray (p->table, p->count + 1, sizeof p->table[0]);
  if (table == NULL)
    return -1;
  p->table = table;
  n = strndup (name, name_len);
  v = strndup (value, value_len);
  if (n == NULL || v == NULL) {
    free (n);
    free (v);
    errno = ENOMEM;
    return -1;
  }
  p->table[p->count].name = n;
  p->table[p->count++].value = v;
  return 0;
}

/* Decode in place "%41" and "+"; returns the new length. */
static size_t
form_decode (char *str, size_t len)
{
  size_t i, n = 0;

  for (i = 0; i < len; ++i) {
    if (str[i] == '%' && i + 2 < len && hex_decode (&str[i + 1], 2, &str[n])) {
      i += 2;
      n++;
    }
    else
      str[n++] = str[i] == '+' ? ' ' : str[i];
  }
  return n;
}

static int
add_form_field (struct params *p, char *field, size_t len)
{
  char *eq = memchr (field, '=', len);
  size_t name_len = eq ? (size_t) (eq - field) : len;
  char *value = eq ? eq + 1 : field + len;
  size_t value_len = field + len - value;

  if (len == 0)
    return 0;
  name_len = form_decode (field, name_len);
  value_len = form_decode (value, value_len);
  return params_add (p, field, name_len, value, value_len);
}

int
params_add_form (struct params *p, const char *body, size_t len)
{
  CLEANUP_FREE char *copy = malloc (len + 1);
  char *field = copy;

  if (copy == NULL)
    return -1;
  memcpy (copy, body, len);
  copy[len] = '\0';
  while (field <= copy + len) {
    size_t left = copy + len - field;
    char *end = memchr (field, '&', left);
    size_t n = end ? (size_t) (end - field) : left;

    if (add_form_field (p, field, n) == -1)
      return -1;
    field += n + 1;
  }
  return 0;
}

const char *
params_get (const struct params *p, const char *name)
{
  size_t i;

  for (i = 0; i < p->count; ++i) {
    if (strcmp (p->table[i].name, name) == 0)
      return p->table[i].value;
  }
  return NULL;
}

void
params_release (struct params *p)
{
  size_t i;

  for (i = 0; i < p->count; ++i) {
    free (p->table[i].name);
    free (p->table[i].value);
  }
  free (p->table);
  p->table = NULL;
  p->count = 0;
}

/* The secret of a joined site, and how it is changed (peer-internal.h).
 *
 * Either side may make a new secret at any time.  They are ordered by a count
 * and then by value, so both sides agree which is the newest.  In each hello
 * a site tells the names of those it holds, the one it is sure of, and hands
 * over (through TLS, proven with an older one) the newest if the other side
 * did not tell that it holds it.  A site is sure of the newest of its own
 * that the other one holds: that is what it signs with and what the links'
 * secrets are made from.  When both are sure of the newest the others are
 * forgotten.  Nothing of this needs an order of messages, so a kill or a
 * lost answer at any point only delays it.
 *
 * A peer from the configuration file has the site secret, for good.
 */

#include <config.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "agent.h"
#include "cleanup.h"
#include "crypto.h"
#include "peer-internal.h"
#include "settings.h"
#include "values.h"

void
secret_wipe (struct secret *s)
{
  explicit_bzero (s, sizeof *s);
}

void
joined_secret_id (const struct joined_secret *s, char ret[SECRET_ID_SIZE])
{
  uint8_t mac[HMAC_SIZE];

  hmac_sha256 (s->data, sizeof s->data, "name", 4, mac);
  hex_encode (mac, (SECRET_ID_SIZE - 1) / 2, ret);
}

static int
compare (const struct joined_secret *a, const struct joined_secret *b)
{
  if (a->count != b->count)
    return a->count < b->count ? -1 : 1;
  return memcmp (a->data, b->data, sizeof a->data);
}

static void
drop (struct secrets *list, size_t at)
{
  memmove (&list->list[at], &list->list[at + 1],
           (list->n - at - 1) * sizeof list->list[0]);
  list->n--;
  if (list->sure > at)
    list->sure--;
}

/* Room for one more: neither what we sign with goes nor what the other side
 * does.  Newer ones first: an old one may be all that the other one knows.
 */
static void
make_room (struct secrets *list, const char *keep)
{
  char id[SECRET_ID_SIZE];
  size_t i;

  for (i = 0; list->n == SECRETS_MAX && i < list->n; ++i) {
    joined_secret_id (&list->list[i], id);
    if (i != list->sure && strcmp (id, keep) != 0)
      drop (list, i);
  }
}

bool
secrets_have (const struct secrets *list, const struct joined_secret *s)
{
  size_t i;

  for (i = 0; i < list->n; ++i) {
    if (compare (&list->list[i], s) == 0)
      return true;
  }
  return false;
}

bool
secrets_add (struct secrets *list, const struct joined_secret *s,
             const char *keep)
{
  size_t at, i;

  if (secrets_have (list, s))
    return false;
  make_room (list, keep);
  for (at = 0; at < list->n && compare (&list->list[at], s) > 0; ++at)
    ;
  for (i = list->n; i > at; --i)
    list->list[i] = list->list[i - 1];
  list->list[at] = *s;
  if (list->n++ > 0 && list->sure >= at)
    list->sure++;
  return true;
}

void
secrets_renew (struct secrets *list)
{
  struct joined_secret s = { .count = list->n ? list->list[0].count + 1 : 1 };

  /* The other side cannot have the newest for certain, so it may go; if it
   * does, several changes are under way and one more would be no gain.
   */
  if (list->n == SECRETS_MAX && list->sure == 0)
    return;
  if (list->n == SECRETS_MAX)
    drop (list, 0);
  random_bytes (s.data, sizeof s.data);
  secrets_add (list, &s, "");
  explicit_bzero (&s, sizeof s);
}

static json_t *
one_to_json (const struct joined_secret *s)
{
  char hex[2 * JOINED_SECRET_LEN + 1];
  json_t *ret;

  hex_encode (s->data, sizeof s->data, hex);
  ret = json_pack ("{s:I, s:s}", "count", (json_int_t) s->count,
                   "secret", hex);
  explicit_bzero (hex, sizeof hex);
  return ret;
}

static bool
one_from_json (const json_t *json, struct joined_secret *ret)
{
  const char *hex = json_text (json, "secret");

  ret->count = json_u64 (json, "count");
  return ret->count > 0 && strlen (hex) == 2 * JOINED_SECRET_LEN &&
    hex_decode (hex, 2 * JOINED_SECRET_LEN, ret->data);
}

json_t *
secrets_tell (const struct secrets *list)
{
  json_t *holds = json_array (), *ret;
  char id[SECRET_ID_SIZE];
  size_t i;

  for (i = 0; i < list->n; ++i) {
    joined_secret_id (&list->list[i], id);
    json_array_append_new (holds, json_string (id));
  }
  joined_secret_id (&list->list[list->sure], id);
  ret = json_pack ("{s:o, s:s}", "holds", holds, "sure", id);
  if (ret && list->sure > 0)
    json_object_set_new (ret, "new", one_to_json (&list->list[0]));
  return ret;
}

static bool
array_has (const json_t *array, const char *text)
{
  json_t *item;
  size_t i;

  json_array_foreach (array, i, item) {
    if (json_is_string (item) &&
        strcmp (json_string_value (item), text) == 0)
      return true;
  }
  return false;
}

bool
secrets_hear (struct secrets *list, const json_t *told)
{
  const json_t *holds = json_object_get (told, "holds");
  const char *theirs = json_text (told, "sure");
  struct joined_secret s;
  char id[SECRET_ID_SIZE];
  bool changed = false;
  size_t i;

  if (one_from_json (json_object_get (told, "new"), &s))
    changed = secrets_add (list, &s, theirs);
  explicit_bzero (&s, sizeof s);
  for (i = 0; i < list->n; ++i) {
    joined_secret_id (&list->list[i], id);
    if (array_has (holds, id))
      break;
  }
  if (i < list->n && i != list->sure) {
    list->sure = i;
    changed = true;
  }
  joined_secret_id (&list->list[0], id);
  if (list->sure == 0 && list->n > 1 &&
      strcmp (theirs, id) == 0) {
    explicit_bzero (&list->list[1], (list->n - 1) * sizeof list->list[0]);
    list->n = 1;
    changed = true;
  }
  return changed;
}

json_t *
secrets_to_json (const struct secrets *list)
{
  json_t *ret = json_array ();
  size_t i;

  for (i = 0; i < list->n; ++i) {
    json_t *one = one_to_json (&list->list[i]);

    if (one && i == list->sure)
      json_object_set_new (one, "sure", json_true ());
    json_array_append_new (ret, one);
  }
  return ret;
}

bool
secrets_from_json (const json_t *json, struct secrets *ret)
{
  struct joined_secret s;
  json_t *item;
  size_t i;

  memset (ret, 0, sizeof *ret);
  json_array_foreach (json, i, item) {
    if (i >= SECRETS_MAX || !one_from_json (item, &s) ||
        !secrets_add (ret, &s, ""))
      return false;
  }
  json_array_foreach (json, i, item) {
    if (json_is_true (json_object_get (item, "sure")))
      ret->sure = i;
  }
  return ret->n > 0;
}

/* ------------------------------------------------------------------ */

static void
set_secret (struct secret *ret, const void *data, size_t len)
{
  ret->len = len < sizeof ret->data ? len : sizeof ret->data;
  memcpy (ret->data, data, ret->len);
}

void
peer_secret (struct peer *p, struct secret *ret)
{
  const struct settings *s = &p->agent->settings;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&p->agent->lock);

  if (p->is_joined)
    set_secret (ret, p->secrets.list[p->secrets.sure].data,
                JOINED_SECRET_LEN);
  else
    set_secret (ret, s->secret, s->secret_len);
}

struct peer *
peer_verify (struct agent *agent, const char *kind, const char *verb,
             const char *time_ms, const char *nonce, const char *body,
             size_t len, const char *mac, struct secret *ret)
{
  size_t i, j;
  char want[65];

  for (i = 0; i < agent->npeers; ++i) {
    struct peer *p = &agent->peers[i];
    struct secrets list;
    bool is_removed;

    pthread_mutex_lock (&agent->lock);
    list = p->secrets;
    is_removed = p->is_removed;
    pthread_mutex_unlock (&agent->lock);
    for (j = 0; !is_removed && j < (p->is_joined ? list.n : 1); ++j) {
      if (p->is_joined)
        set_secret (ret, list.list[j].data, JOINED_SECRET_LEN);
      else
        set_secret (ret, agent->settings.secret, agent->settings.secret_len);
      peer_hmac (ret->data, ret->len, kind, verb, time_ms, nonce, body, len,
                 want);
      if (secret_equal (want, mac, 64)) {
        explicit_bzero (&list, sizeof list);
        return p;
      }
    }
    explicit_bzero (&list, sizeof list);
  }
  secret_wipe (ret);
  return NULL;
}

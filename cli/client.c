/* Calls to the agent through the site's Unix socket.
 *
 * The agent answers at once, so a call that is not answered within
 * CALL_TIMEOUT is taken as lost.  A lost call is repeated once with the same
 * client token: the agent remembers tokens, so whatever became of the first
 * one there is one effect.  A repeated call that meets its predecessor still
 * being worked on (LastTokenProcessing) asks again until it is done.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>

#include <curl/curl.h>

#include "cleanup.h"
#include "cli.h"
#include "clock.h"
#include "uuid.h"

#define API_VERSION "2021-07-30"
#define CALL_TIMEOUT_MS 15000
#define ASK_AGAIN_MS 100
#define ANSWER_MAX (64u << 20)

struct client {
  CURL *curl;
  char socket[sizeof ((struct sockaddr_un *) 0)->sun_path];
};

struct answer {
  char *data;
  size_t len;
  long status;             /* of HTTP; 0: none came */
  CURLcode result;
};

/* ------------------------------------------------------------------ */
/* One exchange.                                                        */

static size_t
take_body (char *data, size_t size, size_t count, void *opaque)
{
  struct answer *a = opaque;
  size_t len = size * count;
  char *p;

  if (len > ANSWER_MAX - a->len)
    return 0;
  p = realloc (a->data, a->len + len + 1);
  if (p == NULL)
    return 0;
  memcpy (p + a->len, data, len);
  a->data = p;
  a->len += len;
  p[a->len] = '\0';
  return len;
}

static int
client_open (struct cli *cli, struct failure *f)
{
  const char *site = cli->site && *cli->site ? cli->site : DEFAULT_SITE;
  struct client *c;

  if (cli->client)
    return 0;
  c = calloc (1, sizeof *c);
  if (c == NULL || curl_global_init (CURL_GLOBAL_DEFAULT) != 0 ||
      (c->curl = curl_easy_init ()) == NULL) {
    free (c);
    failure_set (f, EXIT_FAILED, NULL, NULL, "cannot set up the HTTP client");
    return -1;
  }
  cli->client = c;
  if ((size_t) snprintf (c->socket, sizeof c->socket, "%s/api.sock", site) >=
      sizeof c->socket) {
    failure_set (f, EXIT_NOAGENT, NULL,
                 "give a shorter path with --site, a symbolic link will do",
                 "the path of the socket in '%s' is too long", site);
    return -1;
  }
  return 0;
}

void
client_close (struct cli *cli)
{
  if (cli->client) {
    curl_easy_cleanup (cli->client->curl);
    free (cli->client);
    cli->client = NULL;
  }
}

/* BODY as "a=b&c=d"; the caller frees it. */
static char *
form_body (CURL *curl, const struct param *params, const char *token)
{
  char *text = text_printf ("%s%s", token ? "ClientToken=" : "",
                            token ? token : "");

  for (; params && params->name; ++params) {
    char *value, *more;

    if (params->value == NULL)
      continue;
    value = curl_easy_escape (curl, params->value, 0);
    more = text_printf ("%s%s%s=%s", text, *text ? "&" : "", params->name,
                        value ? value : "");
    curl_free (value);
    free (text);
    text = more;
  }
  return text;
}

static void
exchange (struct client *c, const char *action, const char *body,
          long timeout_ms, struct answer *a)
{
  CLEANUP_FREE char *action_header = text_printf ("x-acs-action: %s", action);
  struct curl_slist *headers = NULL;

  *a = (struct answer) { .data = NULL };
  headers = curl_slist_append (headers, action_header);
  headers = curl_slist_append (headers, "x-acs-version: " API_VERSION);
  headers = curl_slist_append (headers, "accept: application/json");
  headers = curl_slist_append (headers, "Expect:");

  curl_easy_reset (c->curl);
  curl_easy_setopt (c->curl, CURLOPT_URL, "http://localhost/");
  curl_easy_setopt (c->curl, CURLOPT_UNIX_SOCKET_PATH, c->socket);
  curl_easy_setopt (c->curl, CURLOPT_PROXY, "");
  curl_easy_setopt (c->curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt (c->curl, CURLOPT_TIMEOUT_MS, timeout_ms);
  curl_easy_setopt (c->curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt (c->curl, CURLOPT_POSTFIELDS, body);
  curl_easy_setopt (c->curl, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt (c->curl, CURLOPT_WRITEDATA, a);
  a->result = curl_easy_perform (c->curl);
  if (a->result == CURLE_OK)
    curl_easy_getinfo (c->curl, CURLINFO_RESPONSE_CODE, &a->status);
  curl_slist_free_all (headers);
}

/* ------------------------------------------------------------------ */
/* What an answer means.                                                */

static bool
is_lost (const struct answer *a)
{
  switch (a->result) {
  case CURLE_OK:
    return a->status == 503 || a->status == 504;
  case CURLE_OPERATION_TIMEDOUT:
  case CURLE_SEND_ERROR:
  case CURLE_RECV_ERROR:
  case CURLE_GOT_NOTHING:
  case CURLE_PARTIAL_FILE:
    return true;
  default:
    return false;
  }
}

static void
explain_transport (struct client *c, const struct answer *a,
                   struct failure *f)
{
  long os_errno = 0;

  if (a->result == CURLE_COULDNT_CONNECT) {
    curl_easy_getinfo (c->curl, CURLINFO_OS_ERRNO, &os_errno);
    failure_set (f, EXIT_NOAGENT, NULL,
                 "is paird running? Name its site directory with --site or "
                 "PAIRDISK_SITE",
                 "cannot reach the agent at '%s': %s", c->socket,
                 os_errno ? strerror (os_errno) : "cannot connect");
  }
  else if (a->result == CURLE_OPERATION_TIMEDOUT)
    failure_set (f, EXIT_NOAGENT, NULL,
                 "the agent is there but stuck; see its log",
                 "no answer from the agent at '%s' in time", c->socket);
  else if (a->result == CURLE_WRITE_ERROR)
    failure_set (f, EXIT_FAILED, NULL, NULL,
                 "the agent's answer is longer than %u MiB", ANSWER_MAX >> 20);
  else
    failure_set (f, EXIT_NOAGENT, NULL, "see the agent's log",
                 "lost the agent at '%s': %s", c->socket,
                 curl_easy_strerror (a->result));
}

static void
explain_refusal (const json_t *object, long status, struct failure *f)
{
  const char *code = get_string (object, "Code");
  const char *message = get_string (object, "Message");

  failure_set (f, status >= 400 && status < 500 ? EXIT_REFUSED : EXIT_FAILED,
               code, get_string (object, "Recommend"), "%s",
               message ? message : "the agent gives no reason");
  if (code == NULL)
    snprintf (f->code, sizeof f->code, "HTTP %ld", status);
}

/* The answer's object, or NULL and F. */
static json_t *
judge (struct client *c, const struct answer *a, struct failure *f)
{
  json_error_t json_error;
  json_t *object;

  if (a->result != CURLE_OK) {
    explain_transport (c, a, f);
    return NULL;
  }
  object = json_loadb (a->data ? a->data : "", a->len, JSON_REJECT_DUPLICATES,
                       &json_error);
  if (!json_is_object (object)) {
    json_decref (object);
    failure_set (f, EXIT_FAILED, NULL, "is it paird that listens there?",
                 "the answer at '%s' is not a JSON object (HTTP %ld)",
                 c->socket, a->status);
    return NULL;
  }
  if (a->status == 200)
    return object;
  explain_refusal (object, a->status, f);
  json_decref (object);
  return NULL;
}

/* ------------------------------------------------------------------ */
/* Calls.                                                               */

/* How long the next exchange may take; 0: the user's time is over.  What is
 * left is halved while a repetition may follow.
 */
static long
call_timeout (const struct cli *cli, bool is_last)
{
  uint64_t now, left_ms;

  if (cli->deadline_ns == 0)
    return CALL_TIMEOUT_MS;
  now = clock_mono_ns ();
  if (now >= cli->deadline_ns)
    return 0;
  left_ms = (cli->deadline_ns - now) / NS_PER_MSEC + 1;
  if (!is_last)
    left_ms = left_ms / 2 + 1;
  return left_ms < CALL_TIMEOUT_MS ? (long) left_ms : CALL_TIMEOUT_MS;
}

/* Between questions whether a call is done: the API has no way to be told. */
static void
pause_ms (long ms)
{
  const struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

  nanosleep (&ts, NULL);
}

static json_t *
call (struct cli *cli, const char *action, const struct param *params,
      const char *token, struct failure *f)
{
  CLEANUP_FREE char *body = NULL;
  uint64_t give_up = clock_mono_ns () + CALL_TIMEOUT_MS * NS_PER_MSEC;
  bool is_repeated = false;
  struct answer a;
  json_t *ret;

  if (client_open (cli, f) == -1)
    return NULL;
  body = form_body (cli->client->curl, params, token);
  for (;;) {
    long timeout_ms = call_timeout (cli, is_repeated);

    if (timeout_ms == 0) {
      failure_set (f, EXIT_NOAGENT, NULL, NULL,
                   "no answer from the agent in time");
      return NULL;
    }
    exchange (cli->client, action, body, timeout_ms, &a);
    if (is_lost (&a) && !is_repeated) {
      is_repeated = true;
      free (a.data);
      continue;
    }
    ret = judge (cli->client, &a, f);
    free (a.data);
    if (ret == NULL && is_repeated && clock_mono_ns () < give_up &&
        strcmp (f->code, "LastTokenProcessing") == 0) {
      pause_ms (ASK_AGAIN_MS);
      continue;
    }
    return ret;
  }
}

json_t *
client_read (struct cli *cli, const char *action, const struct param *params,
             struct failure *f)
{
  return call (cli, action, params, NULL, f);
}

json_t *
client_change (struct cli *cli, const char *action,
               const struct param *params, struct failure *f)
{
  char token[UUID_STRING_SIZE];
  struct uuid uuid;

  uuid_generate (&uuid);
  uuid_format (&uuid, token);
  return call (cli, action, params, token, f);
}

#define PARAMS_MAX 8

json_t *
client_list (struct cli *cli, const char *action, const struct param *params,
             const char *array, size_t max, struct failure *f)
{
  struct param all[PARAMS_MAX] = { { "MaxResults", "100" },
                                   { "NextToken", NULL } };
  CLEANUP_FREE char *next = NULL;
  json_t *ret = json_array ();
  unsigned n = 2;

  for (; params && params->name && n < PARAMS_MAX - 1; ++params)
    all[n++] = *params;
  for (;;) {
    json_t *page = client_read (cli, action, all, f), *item;
    const char *more;
    size_t i;

    if (page == NULL) {
      json_decref (ret);
      return NULL;
    }
    json_array_foreach (json_object_get (page, array), i, item)
      if (json_array_size (ret) < max && json_is_object (item))
        json_array_append (ret, item);
    more = get_string (page, "NextToken");
    if (more == NULL || json_array_size (ret) >= max ||
        (next && strcmp (next, more) == 0)) {
      json_decref (page);
      return ret;
    }
    free (next);
    next = text_printf ("%s", more);
    json_decref (page);
    all[1].value = next;
  }
}

/* ------------------------------------------------------------------ */
/* Names.                                                               */

/* The one object of LIST whose ID_KEY or else NAME_KEY is NAME; takes LIST. */
static json_t *
find_in (json_t *list, const char *kind, const char *id_key,
         const char *name_key, const char *name, struct failure *f)
{
  json_t *item, *ret = NULL;
  unsigned matches = 0;
  size_t i;

  if (list == NULL)
    return NULL;
  json_array_foreach (list, i, item) {
    const char *id = get_string (item, id_key);
    const char *item_name = get_string (item, name_key);

    if (id && strcmp (id, name) == 0) {
      ret = item;
      matches = 1;
      break;
    }
    if (item_name && strcmp (item_name, name) == 0) {
      ret = item;
      ++matches;
    }
  }
  if (matches == 1)
    json_incref (ret);
  else {
    CLEANUP_FREE char *hint = text_printf ("see 'pairctl %s list'", kind);

    failure_set (f, EXIT_REFUSED,
                 matches == 0 ? "NoSuchResource" : "AmbiguousName", hint,
                 matches == 0 ? "there is no %s '%s' at this site"
                 : "there are several %ss named '%s', use an id", kind, name);
    ret = NULL;
  }
  json_decref (list);
  return ret;
}

json_t *
disk_find (struct cli *cli, const char *name, struct failure *f)
{
  const struct param params[] = { { "DiskIds", name }, { NULL, NULL } };

  return find_in (client_list (cli, "DescribeDisks", params, "Disks",
                               SIZE_MAX, f),
                  "disk", "DiskId", "DiskName", name, f);
}

json_t *
pair_find (struct cli *cli, const char *name, struct failure *f)
{
  return find_in (client_list (cli, "DescribeDiskReplicaPairs", NULL,
                               "ReplicaPairs", SIZE_MAX, f),
                  "pair", "ReplicaPairId", "PairName", name, f);
}

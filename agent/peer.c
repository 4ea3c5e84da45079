/* The other sites: calls to them, and a thread each that keeps in touch
 * (see peer.h; peer-call.c makes one call, peer-serve.c answers them).
 *
 * A peer thread says hello now and then, and when a call took too long, which
 * says whether the site is there; and it exchanges the record of every
 * pair with that site: at once when something changed, else every
 * EXCHANGE_MS.  The exchange is symmetric, so it does not matter which side
 * begins: each ends with the record that counts (record_compare).
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "agent.h"
#include "apierror.h"
#include "change.h"
#include "cleanup.h"
#include "clock.h"
#include "data-tls.h"
#include "error.h"
#include "events.h"
#include "log.h"
#include "peer-internal.h"
#include "peer.h"
#include "record.h"
#include "runtime.h"
#include "settings.h"
#include "states.h"
#include "store.h"
#include "transitions.h"
#include "values.h"
#include "work.h"

#define CALL_TIMEOUT_MS 2500
#define HELLO_MS 2000
#define EXCHANGE_MS 2000
#define SETTLED_MS 5000          /* both sites are as the record says */
#define TOGETHER_MS 500          /* what is due so soon is done with the rest */
#define UNSETTLED_MS 150
#define BACKOFF_MIN_MS 250
#define BACKOFF_MAX_MS 2000
#define SILENT_MS 8000           /* without an answer this long: not there */

static struct peer *
peer_at (struct agent *agent, size_t i)
{
  return &agent->peers[i];
}

static bool
is_removed (struct peer *p)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&p->agent->lock);

  return p->is_removed;
}

struct peer *
peer_find (struct agent *agent, const char *region)
{
  size_t i;

  for (i = 0; i < agent->npeers; ++i) {
    struct peer *p = peer_at (agent, i);

    if (strcmp (p->region, region) == 0 && !is_removed (p))
      return p;
  }
  return NULL;
}

bool
peer_is_reachable_locked (const struct peer *p)
{
  return p->ok_ns > p->fail_ns &&
    clock_mono_ns () - p->ok_ns < SILENT_MS * NS_PER_MSEC;
}

bool
peer_is_reachable (struct peer *p)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&p->agent->lock);

  return peer_is_reachable_locked (p);
}

json_t *
peers_describe (struct agent *agent)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  json_t *array = json_array ();
  size_t i;

  for (i = 0; i < agent->npeers; ++i) {
    struct peer *p = peer_at (agent, i);

    if (p->is_removed)
      continue;
    json_array_append_new (array,
      json_pack ("{s:s, s:s, s:s, s:s, s:b, s:b}", "RegionId", p->region,
                 "ZoneId", p->zone, "Address", p->address,
                 "DataAddress", p->data, "Joined", (int) p->is_joined,
                 "Reachable", (int) peer_is_reachable_locked (p)));
  }
  return array;
}

bool
peer_data_uri (struct agent *agent, const char *region, char *ret,
               size_t size)
{
  struct peer *p = peer_find (agent, region);
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);

  if (p == NULL || p->data[0] == '\0')
    return false;
  data_tls_uri (&agent->settings, p->data, ret, size);
  return true;
}

/* ------------------------------------------------------------------ */
/* Calls to a peer, and what they say of it.                            */

/* What takes too long may be slow in itself, at a disk for example: whether the
 * site is away is for a hello to say, which its thread then says at once.
 */
static void
note_result (struct peer *p, const char *verb, bool ok,
             const struct error *err)
{
  bool before, now;

  pthread_mutex_lock (&p->agent->lock);
  before = p->was_reachable;
  if (ok)
    p->ok_ns = clock_mono_ns ();
  else if (err->errnum == ETIMEDOUT && strcmp (verb, "hello") != 0) {
    p->is_doubted = p->wanted = true;
    pthread_cond_signal (&p->cond);
  }
  else
    p->fail_ns = clock_mono_ns ();
  now = peer_is_reachable_locked (p);
  p->was_reachable = now;
  pthread_mutex_unlock (&p->agent->lock);
  if (before != now && now)
    event_note (p->agent, LOG_LEVEL_INFO, "peer", "peer-back", "", "",
                "the site of region %s answers", p->region);
  else if (before != now)
    event_note (p->agent, LOG_LEVEL_WARNING, "peer", "peer-lost", "", "",
                "the site of region %s does not answer: %s", p->region,
                err->message);
}

json_t *
peer_call (struct peer *p, const char *verb, json_t *body,
           unsigned timeout_ms, struct error *err)
{
  char *text = body ? json_dumps (body, JSON_COMPACT) : NULL;
  char address[ADDRESS_SIZE];
  struct error e = ERROR_INIT;
  struct secret secret;
  json_t *ret;

  json_decref (body);
  if (text == NULL) {
    error_set (err, ENOMEM, "out of memory");
    return NULL;
  }
  pthread_mutex_lock (&p->agent->lock);
  TEXT_SET (address, p->address);
  pthread_mutex_unlock (&p->agent->lock);
  peer_secret (p, &secret);
  ret = peer_call_proven (address, p->is_joined,
                          p->is_joined ? p->ca_path : NULL, &secret, verb,
                          text, timeout_ms, &e);
  secret_wipe (&secret);
  explicit_bzero (text, strlen (text));
  free (text);
  note_result (p, verb, ret != NULL, &e);
  if (ret == NULL && err)
    *err = e;
  return ret;
}

/* ------------------------------------------------------------------ */
/* Hello.                                                               */

/* The address under which we reach what the peer listens on. */
static void
data_address (const char *address, const char *told, char *ret, size_t size)
{
  static const char *const any[] = { "", "0.0.0.0", "[::]", "*", NULL };
  const char *colon = strrchr (told, ':');
  const char *host_end = strrchr (address, ':');
  size_t i;

  text_set (ret, size, "");
  if (colon == NULL)
    return;
  text_set (ret, size, told);
  for (i = 0; any[i]; ++i) {
    if (strlen (any[i]) == (size_t) (colon - told) &&
        memcmp (any[i], told, colon - told) == 0)
      snprintf (ret, size, "%.*s%s", (int) (host_end - address), address,
                colon);
  }
}

static void
remember (struct peer *p, const char *what, const char *value)
{
  char name[32 + REGION_SIZE];

  snprintf (name, sizeof name, "peer-%s:%s", what, p->region);
  if (store_begin (p->agent->store) == 0)
    store_end (p->agent->store,
               store_fact_put (p->agent->store, name, value) == 0);
}

static void
recall (struct peer *p, const char *what, char *ret, size_t size)
{
  char name[32 + REGION_SIZE];
  char *value = NULL;

  snprintf (name, sizeof name, "peer-%s:%s", what, p->region);
  store_enter (p->agent->store);
  if (store_fact_get (p->agent->store, name, &value) == 1)
    text_set (ret, size, value);
  store_leave (p->agent->store);
  free (value);
}

static bool
hello (struct peer *p)
{
  struct agent *agent = p->agent;
  struct error err = ERROR_INIT;
  char data[ADDRESS_SIZE], zone[REGION_SIZE], address[ADDRESS_SIZE];
  bool changed;
  json_t *reply, *body;

  body = json_pack ("{s:s, s:s}", "region", agent->settings.region,
                    "zone", agent->settings.zone);
  sites_tell (p, body);
  reply = peer_call (p, "hello", body, CALL_TIMEOUT_MS, &err);
  if (reply == NULL)
    return false;
  if (strcmp (json_text (reply, "region"), p->region) != 0) {
    log_error ("peer: the site at %s says it is region '%s', not '%s'",
               p->address, json_text (reply, "region"), p->region);
    json_decref (reply);
    return false;
  }
  pthread_mutex_lock (&agent->lock);
  TEXT_SET (address, p->address);
  pthread_mutex_unlock (&agent->lock);
  data_address (address, json_text (reply, "data"), data, sizeof data);
  TEXT_SET (zone, json_text (reply, "zone"));
  sites_hear (p, reply);
  json_decref (reply);

  pthread_mutex_lock (&agent->lock);
  changed = strcmp (data, p->data) != 0 || strcmp (zone, p->zone) != 0;
  TEXT_SET (p->data, data);
  TEXT_SET (p->zone, zone);
  pthread_mutex_unlock (&agent->lock);
  if (changed) {
    remember (p, "data", data);
    remember (p, "zone", zone);
  }
  return true;
}

/* ------------------------------------------------------------------ */
/* Exchange of records.                                                 */

enum api_error
peer_refused_code (const json_t *refused)
{
  enum api_error code = api_error_find (json_text (refused, "code"));

  /* Two have one code; sites do not ask each other about tags. */
  return code == API_OK ? API_OPERATION_DENIED
    : code == API_QUOTA_EXCEED_TAGS ? API_QUOTA_EXCEED : code;
}

static void
take_refusal (struct agent *agent, const struct record *rec,
              const json_t *refused)
{
  struct runtime *rt;
  enum api_error code = peer_refused_code (refused);

  /* What passes by itself is no refusal: ask again. */
  if (code == API_SERVICE_UNAVAILABLE || code == API_INTERNAL)
    return;
  pthread_mutex_lock (&agent->lock);
  rt = runtime_get (agent, rec->id);
  if (rt) {
    rt->refused_code = code;
    snprintf (rt->refused, sizeof rt->refused, "%s", code == API_QUOTA_EXCEED
              ? pair_reason_string (PAIR_REASON_QUOTA_EXCEED)
              : json_text (refused, "message"));
  }
  pthread_mutex_unlock (&agent->lock);
}

/* THEIRS is what the peer holds now; OURS is what counts here.  True: that is
 * news.
 */
static bool
take_ack (struct agent *agent, const struct record *ours,
          const struct record *theirs, const json_t *reply)
{
  bool equal = record_compare (ours, theirs) == 0;
  bool applied = equal && json_is_true (json_object_get (reply, "applied"));
  uint64_t version = equal ? ours->version : 0, epoch = equal ? ours->epoch : 0;
  bool is_news;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  struct runtime *rt = runtime_get (agent, ours->id);

  if (rt == NULL)
    return false;
  is_news = rt->acked_version != version || rt->acked_epoch != epoch ||
    rt->peer_applied != applied || rt->acked_ns == 0;
  rt->acked_version = version;
  rt->acked_epoch = epoch;
  rt->peer_applied = applied;
  rt->acked_ns = clock_mono_ns ();
  json_decref (rt->peer_status);
  rt->peer_status = json_incref (json_object_get (reply, "status"));
  return is_news;
}

static void
take_reply (struct peer *p, const struct record *sent, const json_t *reply)
{
  struct agent *agent = p->agent;
  struct record *both = calloc (2, sizeof *both);
  struct record *theirs = both, *ours = both + 1;
  const json_t *refused = json_object_get (reply, "refused");
  char actor[REGION_SIZE + 8];
  struct site_step step = { .name = "" };
  bool is_news = false;
  int r;

  snprintf (actor, sizeof actor, "peer %s", p->region);
  if (both == NULL)
    return;
  if (json_is_object (refused)) {
    take_refusal (agent, sent, refused);
    is_news = true;
  }
  else if (!record_from_json (json_object_get (reply, "record"), theirs) ||
           strcmp (theirs->id, sent->id) != 0)
    log_warning ("peer: %s answers with a record that cannot be for pair %s",
                 p->region, sent->id);
  else if (store_begin (agent->store) == 0) {
    r = record_merge (agent, theirs, actor, ours);
    if (r == 1)
      site_step_begins (&step, transition_of (ours), "told");
    if (store_end (agent->store, r >= 0) == -1)
      r = -1;
    site_step_ended (&step);
    if (r >= 0)
      is_news = take_ack (agent, ours, theirs, reply);
  }
  free (both);
  if (is_news)
    work_wake (agent);
}

static bool
exchange_pair (struct peer *p, const struct record *rec)
{
  struct agent *agent = p->agent;
  struct error err = ERROR_INIT;
  struct runtime *rt;
  json_t *status = NULL, *body, *reply;

  pthread_mutex_lock (&agent->lock);
  rt = runtime_get (agent, rec->id);
  if (rt) {
    rt->tried_ns = clock_mono_ns ();
    rt->tried_version = rec->version;
    rt->tried_meta = rec->meta;
    status = json_deep_copy (rt->status);
  }
  pthread_mutex_unlock (&agent->lock);

  body = json_pack ("{s:o, s:o*}", "record", record_to_json (rec),
                    "status", status);
  reply = peer_call (p, "pair", body, CALL_TIMEOUT_MS, &err);
  if (reply == NULL)
    return false;
  take_reply (p, rec, reply);
  json_decref (reply);
  return true;
}

/* In how many ms is an exchange due? */
static unsigned
due_in (struct agent *agent, const struct record *rec)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  struct runtime *rt = runtime_get (agent, rec->id);
  uint64_t now = clock_mono_ns (), every;

  if (rt == NULL || rt->refused[0])
    return EXCHANGE_MS;
  if (rt->tried_version != rec->version || rt->tried_meta != rec->meta)
    return 0;
  every = rt->acked_version != rec->version || !rt->peer_applied
    ? UNSETTLED_MS : rec->status == PAIR_FAILOVERED ? EXCHANGE_MS : SETTLED_MS;
  if (now - rt->tried_ns >= every * NS_PER_MSEC)
    return 0;
  return every - (now - rt->tried_ns) / NS_PER_MSEC;
}

/* A pass over all pairs costs as much as some exchanges: settled pairs take
 * theirs together.
 */
static bool
is_due (unsigned due)
{
  return due == 0 || (due > UNSETTLED_MS && due <= TOGETHER_MS);
}

/* All that is due; *WAIT_MS is when the next is.  False: no answer. */
static bool
exchange_all (struct peer *p, unsigned *wait_ms)
{
  struct agent *agent = p->agent;
  struct record *list = NULL;
  bool ok = true;
  ssize_t n, i;

  store_enter (agent->store);
  n = store_pair_list (agent->store, &list);
  store_leave (agent->store);
  for (i = 0; i < n && ok; ++i) {
    unsigned due;

    if (list[i].gone_ms ||
        strcmp (other_region (agent, &list[i]), p->region) != 0)
      continue;
    due = due_in (agent, &list[i]);
    if (is_due (due)) {
      ok = exchange_pair (p, &list[i]);
      due = due_in (agent, &list[i]);
      if (due < UNSETTLED_MS)
        due = UNSETTLED_MS;
    }
    if (due < *wait_ms)
      *wait_ms = due;
  }
  free (list);
  return ok;
}

/* Until woken or the time is over; false: quit. */
static bool
rest (struct peer *p, unsigned ms)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&p->agent->lock);
  uint64_t end = clock_mono_ns () + ms * NS_PER_MSEC;
  struct timespec ts = { .tv_sec = end / NS_PER_SEC,
                         .tv_nsec = end % NS_PER_SEC };

  while (!p->quit && !p->wanted &&
         pthread_cond_timedwait (&p->cond, &p->agent->lock, &ts) == 0)
    ;
  p->wanted = false;
  return !p->quit;
}

static bool
take_doubt (struct peer *p)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&p->agent->lock);
  bool ret = p->is_doubted;

  p->is_doubted = false;
  return ret;
}

static void *
peer_thread (void *opaque)
{
  struct peer *p = opaque;
  unsigned backoff_ms = BACKOFF_MIN_MS, wait_ms = HELLO_MS;
  uint64_t hello_ns = 0;
  bool ok;

  do {
    wait_ms = HELLO_MS;
    ok = true;
    if (is_removed (p))
      continue;
    if (take_doubt (p) || hello_ns == 0 ||
        clock_mono_ns () - hello_ns >= HELLO_MS * NS_PER_MSEC) {
      ok = hello (p);
      if (ok)
        hello_ns = clock_mono_ns ();
      trust_step (p->agent);
    }
    ok = ok && exchange_all (p, &wait_ms);
    if (ok)
      backoff_ms = BACKOFF_MIN_MS;
    else {
      /* A verb may be waiting to know that the peer is not there. */
      work_wake (p->agent);
      hello_ns = 0;
      wait_ms = backoff_ms;
      backoff_ms = backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS
        : backoff_ms * 2;
    }
  } while (rest (p, wait_ms));
  return NULL;
}

/* ------------------------------------------------------------------ */

void
peers_wake (struct agent *agent)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  size_t i;

  for (i = 0; i < agent->npeers; ++i) {
    peer_at (agent, i)->wanted = true;
    pthread_cond_signal (&peer_at (agent, i)->cond);
  }
}

struct peer *
peer_slot (struct agent *agent, const char *region, struct error *err)
{
  pthread_condattr_t attr;
  struct peer *p;
  size_t i;

  for (i = 0; i < agent->npeers; ++i) {
    if (strcmp (agent->peers[i].region, region) == 0)
      return &agent->peers[i];
  }
  if (agent->npeers == PEERS_MAX) {
    error_set (err, E2BIG, "more than %d other sites", PEERS_MAX);
    return NULL;
  }
  p = &agent->peers[agent->npeers];
  memset (p, 0, sizeof *p);
  p->agent = agent;
  TEXT_SET (p->region, region);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&p->cond, &attr);
  pthread_condattr_destroy (&attr);
  recall (p, "data", p->data, sizeof p->data);
  recall (p, "zone", p->zone, sizeof p->zone);
  p->is_removed = true;
  agent->npeers++;
  return p;
}

int
peer_begin (struct peer *p, struct error *err)
{
  int r;

  pthread_mutex_lock (&p->agent->lock);
  p->is_removed = false;
  p->wanted = true;
  p->ok_ns = p->fail_ns = 0;
  pthread_cond_signal (&p->cond);
  pthread_mutex_unlock (&p->agent->lock);
  if (p->has_thread)
    return 0;
  r = pthread_create (&p->thread, NULL, peer_thread, p);
  if (r != 0)
    return error_set_errno (err, r, "cannot start a thread");
  p->has_thread = true;
  return 0;
}

/* What the configuration file names. */
static int
add_configured (struct agent *agent, struct error *err)
{
  const struct settings *s = &agent->settings;
  struct peer *p;
  size_t i;

  for (i = 0; i < s->npeers; ++i) {
    p = peer_slot (agent, s->peers[i].region, err);
    if (p == NULL)
      return -1;
    if (!p->is_removed)
      return error_set (err, EEXIST, "there are two sites of region '%s'",
                        p->region);
    if (!TEXT_SET (p->address, s->peers[i].address))
      return error_set (err, EINVAL, "the address of peer '%s' is too long",
                        p->region);
    p->is_removed = false;
  }
  return 0;
}

int
peers_start (struct agent *agent, struct error *err)
{
  size_t i;

  agent->peers = calloc (PEERS_MAX, sizeof *agent->peers);
  if (agent->peers == NULL)
    return error_set (err, ENOMEM, "out of memory");
  if (sites_load (agent, err) == -1 || add_configured (agent, err) == -1)
    return -1;
  for (i = 0; i < agent->npeers; ++i) {
    if (peer_begin (&agent->peers[i], err) == -1)
      return -1;
  }
  return 0;
}

void
peers_stop (struct agent *agent)
{
  size_t i;

  for (i = 0; i < agent->npeers; ++i) {
    struct peer *p = &agent->peers[i];

    pthread_mutex_lock (&agent->lock);
    p->quit = true;
    pthread_cond_signal (&p->cond);
    pthread_mutex_unlock (&agent->lock);
    if (p->has_thread)
      pthread_join (p->thread, NULL);
    pthread_cond_destroy (&p->cond);
    explicit_bzero (&p->secrets, sizeof p->secrets);
  }
  free (agent->peers);
  agent->peers = NULL;
  agent->npeers = 0;
}

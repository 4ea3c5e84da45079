/* A pair that failed over: what each side has that the other lacks, and what
 * a reprotect makes one of them give up (see reprotect.h).
 *
 * While a pair is failed over each agent adds its disk's history to the
 * status that goes to the other one, and has its plugin compare the two.  So
 * both sites see a split as soon as they meet, and name it, and both know
 * what either choice would cost before anybody chooses.
 */

#include <config.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "actions.h"
#include "agent.h"
#include "apierror.h"
#include "change.h"
#include "cleanup.h"
#include "clock.h"
#include "control.h"
#include "disks.h"
#include "error.h"
#include "events.h"
#include "log.h"
#include "peer.h"
#include "plugin.h"
#include "record.h"
#include "reprotect.h"
#include "runtime.h"
#include "states.h"
#include "values.h"

#define PLUGIN_TIMEOUT_MS 2000
#define PEER_TIMEOUT_MS 1500
#define COMPARE_NS (2 * NS_PER_SEC)   /* between two while histories move */

static bool
is_apart (enum pair_status status)
{
  return status == PAIR_FAILOVERED || status == PAIR_REPROTECTING ||
    status == PAIR_REPROTECT_FAILED;
}

bool
reprotect_is_loser (const struct agent *agent, const struct record *rec)
{
  return is_source (agent, rec) == (rec->reprotect == REPROTECT_REVERSE);
}

json_t *
reprotect_peer_status (struct agent *agent, const struct record *rec)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  struct runtime *rt = runtime_get (agent, rec->id);

  return rt ? json_deep_copy (rt->peer_status) : NULL;
}

/* ------------------------------------------------------------------ */
/* Comparing.                                                           */

static json_t *
ask_plugin (struct agent *agent, const char *disk, const char *op,
            const json_t *peer, bool quick, struct control_error *err)
{
  return plugin_call (agent->plugin,
                      json_pack ("{s:s, s:s, s:O*, s:b}", "op", op, "disk",
                                 disk, "peer", peer, "quick", (int) quick),
                      PLUGIN_TIMEOUT_MS, err);
}

/* The last comparison if it still holds, or is so new that it does for now. */
static json_t *
known_comparison (struct agent *agent, const struct record *rec,
                  const json_t *ours, const json_t *theirs)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  struct runtime *rt = runtime_get (agent, rec->id);

  if (rt == NULL || rt->comparison == NULL)
    return NULL;
  if (clock_mono_ns () - rt->compared_ns > COMPARE_NS &&
      !(json_equal (rt->compared_ours, ours) &&
        json_equal (rt->compared_theirs, theirs)))
    return NULL;
  return json_deep_copy (rt->comparison);
}

/* Both wrote: "unrelated" is a split from the very first write on, of disks
 * that were empty when replication began.
 */
static bool
is_split (const json_t *comparison)
{
  const char *relation = json_text (comparison, "relation");

  return strcmp (relation, "split") == 0 || strcmp (relation, "unrelated") == 0;
}

/* True: it is a split, and nobody was told yet. */
static bool
remember_comparison (struct agent *agent, const struct record *rec,
                     const json_t *ours, const json_t *theirs,
                     const json_t *comparison)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  struct runtime *rt = runtime_get (agent, rec->id);
  bool is_news;

  if (rt == NULL)
    return false;
  json_decref (rt->compared_ours);
  json_decref (rt->compared_theirs);
  json_decref (rt->comparison);
  rt->compared_ours = json_deep_copy (ours);
  rt->compared_theirs = json_deep_copy (theirs);
  rt->comparison = json_deep_copy (comparison);
  rt->compared_ns = clock_mono_ns ();
  is_news = is_split (comparison) && !rt->told_split;
  rt->told_split = is_split (comparison);
  return is_news;
}

static void
forget_comparison (struct agent *agent, const struct record *rec)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  struct runtime *rt = runtime_get (agent, rec->id);

  if (rt == NULL || rt->comparison == NULL)
    return;
  json_decref (rt->compared_ours);
  json_decref (rt->compared_theirs);
  json_decref (rt->comparison);
  rt->compared_ours = rt->compared_theirs = rt->comparison = NULL;
  rt->told_split = false;
}

bool
reprotect_is_split (struct agent *agent, const struct record *rec,
                    bool *ret_known)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  struct runtime *rt = runtime_get (agent, rec->id);

  *ret_known = !is_apart (rec->status) || (rt && rt->comparison);
  return is_apart (rec->status) && rt && rt->told_split;
}

void
reprotect_split_text (struct agent *agent, const struct record *rec,
                      char *ret, size_t size)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  struct runtime *rt = runtime_get (agent, rec->id);

  ret[0] = '\0';
  if (is_apart (rec->status) && rt && rt->told_split)
    snprintf (ret, size, "split brain: %llu writes in region %s and %llu in "
              "region %s are unknown to the other side; 'pairctl pair "
              "reprotect' says whose are given up",
              (unsigned long long)
              json_u64 (json_object_get (rt->comparison, "self"), "writes"),
              agent->settings.region, (unsigned long long)
              json_u64 (rt->comparison, "peer_writes"),
              other_region (agent, rec));
}

static json_t *
compare (struct agent *agent, const struct record *rec, const json_t *ours,
         const json_t *theirs)
{
  struct control_error err;
  char text[480];
  json_t *ret = known_comparison (agent, rec, ours, theirs);

  if (ret)
    return ret;
  ret = ask_plugin (agent, our_disk (agent, rec), "pair.compare", theirs,
                    true, &err);
  if (ret &&
      remember_comparison (agent, rec, ours, theirs, ret)) {
    reprotect_split_text (agent, rec, text, sizeof text);
    event_note (agent, LOG_LEVEL_ERROR, "worker", "split-brain", rec->id,
                our_disk (agent, rec), "%s", text);
  }
  return ret;
}

void
reprotect_observe (struct agent *agent, const struct record *rec,
                   json_t *status)
{
  struct control_error err;
  json_t *ours, *theirs;
  const json_t *history;

  if (!is_apart (rec->status)) {
    forget_comparison (agent, rec);
    return;
  }
  ours = ask_plugin (agent, our_disk (agent, rec), "disk.history", NULL,
                     true, &err);
  if (ours == NULL)
    return;
  theirs = reprotect_peer_status (agent, rec);
  history = json_object_get (theirs, "history");
  if (json_is_object (history)) {
    json_t *comparison = compare (agent, rec, ours, history);

    if (comparison)
      json_object_set_new (status, "compare", comparison);
  }
  json_object_set_new (status, "history", ours);
  json_decref (theirs);
}

/* ------------------------------------------------------------------ */
/* Telling.                                                             */

/* A TAIL of the plugin's, of the disk at one end of the pair. */
static json_t *
describe_tail (const struct record *rec, bool of_source, const json_t *tail)
{
  json_t *json = json_pack ("{s:s, s:s}", "RegionId", of_source
                            ? rec->source_region : rec->destination_region,
                            "DiskId", of_source ? rec->source_disk
                            : rec->destination_disk);

  if (json && json_is_object (tail)) {
    json_object_set (json, "Writes", json_object_get (tail, "writes"));
    json_object_set (json, "Bytes", json_object_get (tail, "bytes"));
    json_object_set (json, "Blocks", json_object_get (tail, "blocks"));
    json_object_set (json, "Seconds", json_object_get (tail, "seconds"));
    json_object_set (json, "Exact", json_object_get (tail, "exact"));
    if (json_u64 (tail, "last_ns") > 0)
      json_object_set_new (json, "LastWrite",
                           json_real (json_u64 (tail, "last_ns") / 1e9));
  }
  return json;
}

/* In the words of the pair: who is ahead, seen from whichever side. */
static const char *
relation_word (const char *relation, bool self_is_source)
{
  if (strcmp (relation, "split") == 0)
    return "split-brain";
  if (strcmp (relation, "self-ahead") == 0)
    return self_is_source ? "source-ahead" : "destination-ahead";
  if (strcmp (relation, "peer-ahead") == 0)
    return self_is_source ? "destination-ahead" : "source-ahead";
  return relation;
}

static void
describe_divergence (struct agent *agent, const struct record *rec,
                     json_t *object)
{
  bool at_source = is_source (agent, rec);
  json_t *comparison = NULL, *theirs = NULL, *self, *peer;
  struct runtime *rt;

  pthread_mutex_lock (&agent->lock);
  rt = runtime_get (agent, rec->id);
  if (rt) {
    comparison = json_deep_copy (rt->comparison);
    theirs = json_deep_copy (json_object_get (rt->peer_status, "compare"));
  }
  pthread_mutex_unlock (&agent->lock);
  if (comparison) {
    self = describe_tail (rec, at_source,
                          json_object_get (comparison, "self"));
    peer = describe_tail (rec, !at_source, json_object_get (theirs, "self"));
    json_object_set (peer, "Writes",
                     json_object_get (comparison, "peer_writes"));
    json_object_set_new (object, "Divergence", json_pack
                         ("{s:s, s:o, s:o}", "Relation", relation_word
                          (json_text (comparison, "relation"), at_source),
                          at_source ? "Source" : "Destination", self,
                          at_source ? "Destination" : "Source", peer));
  }
  json_decref (comparison);
  json_decref (theirs);
}

void
reprotect_describe (struct agent *agent, const struct record *rec,
                    json_t *object)
{
  json_t *json;

  if (is_apart (rec->status))
    describe_divergence (agent, rec, object);
  if (!rec->has_discard)
    return;
  json = json_pack ("{s:s, s:s, s:I, s:I, s:f, s:b}",
                    "RegionId", rec->discard_region,
                    "DiskId", rec->discard_disk,
                    "Writes", (json_int_t) rec->discard_writes,
                    "Bytes", (json_int_t) rec->discard_bytes,
                    "Seconds", rec->discard_ms / 1000.0,
                    "Exact", (int) (rec->discard_exact != 0));
  if (json && rec->discard_file[0])
    json_object_set_new (json, "SalvageFile",
                         json_string (rec->discard_file));
  json_object_set_new (object, "Discard", json);
}

/* ------------------------------------------------------------------ */
/* Before it happens.                                                   */

/* What the loser, at the other site, says; NULL: ANSWER has why not. */
static json_t *
ask_loser (struct agent *agent, const struct record *rec, bool is_here,
           struct answer *answer)
{
  const char *disk = our_disk (agent, rec);
  const char *other = is_source (agent, rec) ? rec->destination_disk
    : rec->source_disk;
  struct peer *peer = peer_find (agent, other_region (agent, rec));
  struct control_error cerr = { "", "" };
  struct error err = ERROR_INIT;
  json_t *history = NULL, *reply = NULL, *ret = NULL;

  if (peer == NULL || !peer_is_reachable (peer))
    error_set (&err, 0, "it cannot be reached");
  else if (is_here) {
    reply = peer_call (peer, "history", json_pack ("{s:s}", "disk", other),
                       PEER_TIMEOUT_MS, &err);
    if (json_object_get (reply, "history"))
      ret = ask_plugin (agent, disk, "pair.compare",
                        json_object_get (reply, "history"), false, &cerr);
  }
  else {
    history = ask_plugin (agent, disk, "disk.history", NULL, true, &cerr);
    if (history)
      reply = peer_call (peer, "compare",
                         json_pack ("{s:s, s:o}", "disk", other, "peer",
                                    history), PEER_TIMEOUT_MS, &err);
    ret = json_incref (json_object_get (reply, "compare"));
  }
  if (ret == NULL && cerr.code[0])
    answer_control_error (answer, &cerr);
  else if (ret == NULL)
    answer_error (answer, API_SERVICE_UNAVAILABLE, NULL, "what is given up "
                  "cannot be told without the site of region %s: %s",
                  other_region (agent, rec), err.message[0] ? err.message
                  : json_text (reply, "trouble"));
  json_decref (reply);
  return ret;
}

void
reprotect_dry_run (struct agent *agent, const struct record *rec,
                   enum reprotect how, struct answer *answer)
{
  bool source_loses = how == REPROTECT_REVERSE;
  bool is_here = is_source (agent, rec) == source_loses;
  json_t *comparison = ask_loser (agent, rec, is_here, answer);
  json_t *discard, *keep;

  if (comparison == NULL)
    return;
  discard = describe_tail (rec, source_loses,
                           json_object_get (comparison, "self"));
  keep = describe_tail (rec, !source_loses, NULL);
  json_object_set (keep, "Writes",
                   json_object_get (comparison, "peer_writes"));
  answer->body = json_pack ("{s:s, s:o, s:o}", "Relation", relation_word
                            (json_text (comparison, "relation"),
                             source_loses), "Discard", discard,
                            "Keep", keep);
  json_decref (comparison);
}

/* ------------------------------------------------------------------ */
/* When it has happened.                                                */

static void
swap_text (char *a, char *b, size_t size)
{
  char text[DISK_ID_SIZE];

  memcpy (text, a, size);
  memcpy (a, b, size);
  memcpy (b, text, size);
}

#define SWAP(rec, field)                                                \
  swap_text ((rec)->source_##field, (rec)->destination_##field,         \
             sizeof (rec)->source_##field)

void
reprotect_end (struct record *rec, void *opaque)
{
  const json_t *discard = opaque;
  const json_t *salvage = json_object_get (discard, "salvage");
  bool is_cancel = rec->reprotect == REPROTECT_CANCEL;

  rec->message[0] = '\0';
  rec->has_discard = json_is_object (discard);
  TEXT_SET (rec->discard_region, is_cancel ? rec->destination_region
            : rec->source_region);
  TEXT_SET (rec->discard_disk, is_cancel ? rec->destination_disk
            : rec->source_disk);
  rec->discard_writes = json_u64 (discard, "writes");
  rec->discard_bytes = json_u64 (discard, "bytes");
  rec->discard_ms =
    json_number_value (json_object_get (discard, "seconds")) * 1000;
  rec->discard_exact = json_is_true (json_object_get (discard, "exact"));
  TEXT_SET (rec->discard_file, json_text (salvage, "file"));
  rec->has_base = 1;
  if (is_cancel)
    return;
  SWAP (rec, region);
  SWAP (rec, zone);
  SWAP (rec, disk);
  SWAP (rec, device);
  rec->has_point = rec->point_ms = 0;
  rec->has_loss = 0;
}

/* The worker: looks at every pair, brings the plugin to what its record
 * says, and ends passing statuses when both sites have done their part
 * (see work.h).
 *
 * One thread.  It looks at all pairs when something changed, else a few times
 * a second at those that are on their way and once at the others, and only
 * reads what it has not itself to change.  A status that passes is
 * ended by the site that took the verb (the owner); the other one does it
 * when the owner cannot be reached for TAKE_OVER_MS.
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
#include "apply.h"
#include "change.h"
#include "cleanup.h"
#include "clock.h"
#include "control.h"
#include "disks.h"
#include "error.h"
#include "events.h"
#include "log.h"
#include "mode.h"
#include "monitor.h"
#include "peer-internal.h"
#include "peer.h"
#include "record.h"
#include "reprotect.h"
#include "runtime.h"
#include "states.h"
#include "store.h"
#include "transitions.h"
#include "values.h"
#include "work.h"

#define TICK_MS 200
#define QUIET_MS 1000            /* between two looks at a pair at rest */
#define STEPS_MAX 5              /* without a rest */
#define STATUS_TIMEOUT_MS 2000
#define PEER_GONE_MS 3000
#define TAKE_OVER_MS 5000
#define WAITS_MS 2000            /* so long it is not worth a word */
#define POINT_SAVE_MS 30000
#define HOUSEKEEPING_NS (2 * NS_PER_SEC)
#define PRUNE_NS (3600 * NS_PER_SEC)

/* ------------------------------------------------------------------ */
/* What is known beside the record.                                     */

static void
note_seen (struct agent *agent, const struct record *rec, json_t *status)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  struct runtime *rt = runtime_get (agent, rec->id);
  uint64_t now = clock_mono_ns ();

  if (rt == NULL)
    return;
  if (rt->seen_version != rec->version) {
    rt->seen_version = rec->version;
    rt->seen_ns = now;
    rt->refused[0] = '\0';
  }
  if (rt->seen_epoch != rec->epoch || rt->epoch_ns == 0) {
    rt->seen_epoch = rec->epoch;
    rt->epoch_ns = now;
  }
  rt->status_missed = status == NULL;
  if (status) {
    json_decref (rt->status);
    rt->status = json_incref (status);
    rt->status_ns = now;
  }
}

static void
note_applied (struct agent *agent, const struct record *rec, bool applied,
              const struct control_error *err)
{
  char trouble[480] = "";

  if (err->code[0])
    snprintf (trouble, sizeof trouble, "%s: %.440s", err->code,
              err->message);
  pthread_mutex_lock (&agent->lock);
  struct runtime *rt = runtime_get (agent, rec->id);
  bool is_new = rt && strcmp (rt->trouble, trouble) != 0;

  if (rt) {
    if (applied)
      rt->applied_version = rec->version;
    TEXT_SET (rt->trouble, trouble);
  }
  if (applied)
    pthread_cond_broadcast (&agent->applied_cond);
  pthread_mutex_unlock (&agent->lock);
  if (is_new && trouble[0])
    event_note (agent, LOG_LEVEL_WARNING, "worker", "trouble", rec->id,
                our_disk (agent, rec), "%s", trouble);
}

bool
work_wait_applied (struct agent *agent, const char *id, uint64_t version,
                   unsigned timeout_ms)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  uint64_t end = clock_mono_ns () + timeout_ms * NS_PER_MSEC;
  struct timespec ts = { .tv_sec = end / NS_PER_SEC,
                         .tv_nsec = end % NS_PER_SEC };
  struct runtime *rt;

  for (;;) {
    rt = runtime_get (agent, id);
    if (rt && rt->applied_version >= version)
      return rt->applied_version == version;
    if (agent->work_quit ||
        pthread_cond_timedwait (&agent->applied_cond, &agent->lock,
                                &ts) != 0)
      return false;
  }
}

/* ------------------------------------------------------------------ */
/* How far both sites are.                                              */

struct progress {
  uint64_t age_ms;               /* of the version as seen here */
  uint64_t epoch_age_ms;
  bool is_late;                  /* the status becomes ..._failed */
  bool applied;                  /* here */
  bool peer_done;                /* there, too */
  bool peer_gone;                /* cannot be asked */
  bool is_owner;                 /* ours to end the passing status */
  char refused[480];
  char trouble[480];
};

static void
get_progress (struct agent *agent, const struct record *rec, bool applied,
              struct progress *ret)
{
  struct peer *peer = peer_find (agent, other_region (agent, rec));
  bool reachable = peer && peer_is_reachable (peer);
  struct runtime *rt;
  uint64_t now;

  memset (ret, 0, sizeof *ret);
  ret->applied = applied;
  ret->is_owner =
    strcmp (rec->owner_region, agent->settings.region) == 0 &&
    strcmp (rec->owner_zone, agent->settings.zone) == 0;

  pthread_mutex_lock (&agent->lock);
  rt = runtime_get (agent, rec->id);
  now = clock_mono_ns ();
  /* What the worker has not seen yet has just begun. */
  if (rt && rt->seen_version == rec->version)
    ret->age_ms = (now - rt->seen_ns) / NS_PER_MSEC;
  if (rt && rt->seen_epoch == rec->epoch)
    ret->epoch_age_ms = (now - rt->epoch_ns) / NS_PER_MSEC;
  if (rt) {
    ret->peer_done = rt->acked_version == rec->version && rt->peer_applied;
    ret->peer_gone = !reachable &&
      ((rt->tried_ns > rt->epoch_ns && rt->tried_version == rec->version) ||
       ret->epoch_age_ms > PEER_GONE_MS);
    TEXT_SET (ret->refused, rt->refused);
    TEXT_SET (ret->trouble, rt->trouble);
  }
  pthread_mutex_unlock (&agent->lock);
  ret->is_late = ret->age_ms > agent->settings.verb_timeout * 1000;
  if (!ret->is_owner && ret->peer_gone && ret->age_ms > TAKE_OVER_MS)
    ret->is_owner = true;
}

void
work_waits_for (struct agent *agent, const struct record *rec, char *ret,
                size_t size)
{
  const char *other = other_region (agent, rec);
  struct progress p;
  bool applied;

  ret[0] = '\0';
  if (pair_status_kind (rec->status) != PAIR_KIND_PASSING)
    return;
  pthread_mutex_lock (&agent->lock);
  struct runtime *rt = runtime_get (agent, rec->id);

  applied = rt && rt->applied_version == rec->version;
  pthread_mutex_unlock (&agent->lock);
  get_progress (agent, rec, applied, &p);
  if (p.epoch_age_ms < WAITS_MS)
    return;
  if (p.trouble[0])
    snprintf (ret, size, "waits for nbdkit here: %.400s", p.trouble);
  else if (p.peer_gone)
    snprintf (ret, size, "waits for the site of region %s, which cannot be "
              "reached", other);
  else if (!p.peer_done)
    snprintf (ret, size, "waits for the site of region %s to do its part",
              other);
  else if (!applied)
    snprintf (ret, size, "waits for nbdkit here");
}

/* ------------------------------------------------------------------ */
/* Ends of passing statuses.                                            */

static void
set_message (struct record *rec, void *opaque)
{
  snprintf (rec->message, sizeof rec->message, "%s",
            (const char *) opaque);
}

static void
end_creating (struct agent *agent, const struct record *rec,
              const struct progress *p)
{
  char why[480] = "";

  if (p->refused[0])
    snprintf (why, sizeof why, "%s", p->refused);
  else if (p->is_late)
    snprintf (why, sizeof why, "not done in time: %.400s", p->trouble[0]
              ? p->trouble : "the other site did not answer");
  if (why[0])
    report_event (agent, rec->id, rec->version, PAIR_EVENT_CREATE_FAILED,
                  why, set_message, why);
  else if (p->applied && p->peer_done)
    report_event (agent, rec->id, rec->version, PAIR_EVENT_CREATED, "",
                  NULL, NULL);
}

/* Stopping and deleting: both sites have done it, or the other one cannot
 * be asked and will when it is back.
 */
static void
end_passing (struct agent *agent, const struct record *rec,
             const struct progress *p, enum pair_event done,
             enum pair_event failed)
{
  char why[480];

  if (p->applied && (p->peer_done || p->peer_gone)) {
    snprintf (why, sizeof why, "%s%s%s", p->peer_done ? ""
              : "the site of region ",
              p->peer_done ? "" : other_region (agent, rec),
              p->peer_done ? "" : " cannot be reached; it follows when it "
              "is back");
    report_event (agent, rec->id, rec->version, done, why, set_message,
                  why);
  }
  else if (p->is_late) {
    snprintf (why, sizeof why, "not done in time: %.400s", p->trouble[0]
              ? p->trouble : "the other site has not done its part");
    report_event (agent, rec->id, rec->version, failed, why, set_message,
                  why);
  }
}

static void
set_loss (struct record *rec, void *opaque)
{
  const json_t *reply = opaque;
  const json_t *loss = json_object_get (reply, "loss");
  const json_t *heard = json_object_get (loss, "heard_seconds_ago");
  uint64_t now = wall_ms ();

  rec->message[0] = '\0';
  rec->has_point = 1;
  rec->point_ms =
    json_u64 (json_object_get (reply, "committed"), "time_ns") / 1000000;
  rec->has_loss = json_is_object (loss);
  rec->loss_writes = json_u64 (loss, "writes");
  rec->loss_bytes = json_u64 (loss, "bytes");
  rec->loss_ms =
    json_number_value (json_object_get (loss, "seconds")) * 1000;
  rec->loss_heard_known = json_is_number (heard);
  rec->loss_heard_ms = json_number_value (heard) * 1000;
  rec->loss_dropped =
    json_is_true (json_object_get (loss, "dropped_staged"));
  rec->loss_zero = mode_loss_zero (loss);
  rec->failover_ms = now > rec->failover_start_ms
    ? now - rec->failover_start_ms : 0;
}

static void
end_failovering (struct agent *agent, const struct record *rec,
                 const struct progress *p, json_t *promoted,
                 const struct control_error *err)
{
  struct record *copy;
  char why[480];

  if (promoted) {
    copy = malloc (sizeof *copy);
    if (copy == NULL)
      return;
    *copy = *rec;
    set_loss (copy, promoted);
    loss_text (copy, why, sizeof why);
    free (copy);
    report_event (agent, rec->id, rec->version, PAIR_EVENT_FAILOVERED, why,
                  set_loss, promoted);
  }
  else if ((err->code[0] && strcmp (err->code, "unreachable") != 0) ||
           p->is_late) {
    snprintf (why, sizeof why, "%s", err->message);
    report_event (agent, rec->id, rec->version, PAIR_EVENT_FAILOVER_FAILED,
                  why, set_message, why);
  }
}

/* What the loser says of what it gives up; a new reference. */
static json_t *
loser_discard (struct agent *agent, const struct record *rec,
               const json_t *status)
{
  json_t *theirs, *ret;

  if (reprotect_is_loser (agent, rec))
    return json_incref (json_object_get (status, "discard"));
  theirs = reprotect_peer_status (agent, rec);
  ret = json_incref (json_object_get (theirs, "discard"));
  json_decref (theirs);
  return ret;
}

static bool
is_saving (const json_t *discard)
{
  return strcmp (json_text (json_object_get (discard, "salvage"), "state"),
                 "running") == 0;
}

/* Both sites must do their part: nothing is turned round while one of them
 * cannot be asked.
 */
static void
end_reprotecting (struct agent *agent, const struct record *rec,
                  const struct progress *p, const json_t *status)
{
  json_t *discard = loser_discard (agent, rec, status);
  struct record *copy;
  char why[480] = "";

  if (p->applied && p->peer_done) {
    copy = malloc (sizeof *copy);
    if (copy) {
      *copy = *rec;
      reprotect_end (copy, discard);
      discard_text (copy, why, sizeof why);
      free (copy);
    }
    report_event (agent, rec->id, rec->version,
                  rec->reprotect == REPROTECT_CANCEL ? PAIR_EVENT_CANCELLED
                  : PAIR_EVENT_REVERSED, why, reprotect_end, discard);
  }
  else if (p->is_late && !is_saving (discard)) {
    snprintf (why, sizeof why, "not done in time: %.400s", p->trouble[0]
              ? p->trouble : p->peer_gone ? "the other site cannot be reached"
              : "the other site has not done its part");
    report_event (agent, rec->id, rec->version, PAIR_EVENT_REPROTECT_FAILED,
                  why, set_message, why);
  }
  json_decref (discard);
}

/* Both sites know that it is deleted: the tombstone has done its work. */
static void
settle_tombstone (struct agent *agent, const struct record *rec,
                  const struct progress *p)
{
  struct site_step step;
  struct record *now;

  if (!p->applied ||
      (!p->peer_done && peer_find (agent, other_region (agent, rec))))
    return;
  now = malloc (sizeof *now);
  if (now && store_begin (agent->store) == 0) {
    bool ok = store_pair_get (agent->store, rec->id, now) == 1 &&
      now->status == PAIR_DELETED;

    now->gone_ms = wall_ms ();
    ok = ok && store_pair_put (agent->store, now) == 0;
    site_step_begins (&step, "delete", "forgotten");
    store_end (agent->store, ok);
    site_step_ended (&step);
  }
  free (now);
}

static void
end_status (struct agent *agent, const struct record *rec, bool applied,
            json_t *promoted, const json_t *status,
            const struct control_error *err)
{
  struct progress p;

  get_progress (agent, rec, applied, &p);
  switch (rec->status) {
  case PAIR_CREATING:
    if (p.is_owner)
      end_creating (agent, rec, &p);
    break;
  case PAIR_STOPPING:
    if (p.is_owner)
      end_passing (agent, rec, &p, PAIR_EVENT_STOPPED,
                   PAIR_EVENT_STOP_FAILED);
    break;
  case PAIR_DELETING:
    if (p.is_owner)
      end_passing (agent, rec, &p, PAIR_EVENT_DELETED,
                   PAIR_EVENT_DELETE_FAILED);
    break;
  case PAIR_DELETED:
    settle_tombstone (agent, rec, &p);
    break;
  case PAIR_FAILOVERING:
    if (is_destination (agent, rec))
      end_failovering (agent, rec, &p, promoted, err);
    break;
  case PAIR_REPROTECTING:
    if (p.is_owner)
      end_reprotecting (agent, rec, &p, status);
    break;
  default:
    break;
  }
}

/* ------------------------------------------------------------------ */
/* Active pairs.                                                        */

/* Events of the link, for people: up, lost, refused. */
static void
tell_link (struct agent *agent, const struct record *rec,
           const struct observation *o)
{
  const char *kind = NULL;
  enum log_level level = LOG_LEVEL_INFO;
  char before[24] = "";
  struct runtime *rt;

  if (o->link_state == NULL)
    return;
  pthread_mutex_lock (&agent->lock);
  rt = runtime_get (agent, rec->id);
  if (rt && strcmp (rt->link_state, o->link_state) != 0) {
    TEXT_SET (before, rt->link_state);
    TEXT_SET (rt->link_state, o->link_state);
    if (o->is_up && !rt->streamed)
      kind = "link-up";
    else if (rt->streamed && !o->is_up)
      kind = "link-lost";
    if (strcmp (o->link_state, "refused") == 0)
      kind = "link-refused";
    else if (strcmp (o->link_state, "fenced") == 0)
      kind = "link-fenced";
    if (kind && strcmp (kind, "link-up") != 0)
      level = LOG_LEVEL_WARNING;
    rt->streamed = o->is_up;
  }
  pthread_mutex_unlock (&agent->lock);
  if (kind)
    event_note (agent, level, "monitor", kind, rec->id,
                our_disk (agent, rec), "%s%s%s%s%s", before,
                before[0] ? " -> " : "", o->link_state,
                o->link_reason && *o->link_reason ? ": " : "",
                o->link_reason ? o->link_reason : "");
}

/* Events of the mode: who waits for whom, and who does not any more. */
static void
tell_mode (struct agent *agent, const struct record *rec,
           const json_t *status)
{
  const char *state = json_text (json_object_get (status, "mode"), "state");
  enum log_level level = LOG_LEVEL_INFO;
  const char *kind = NULL;
  char before[24] = "";
  struct runtime *rt;

  if (*state == '\0' || !is_source (agent, rec))
    return;
  pthread_mutex_lock (&agent->lock);
  rt = runtime_get (agent, rec->id);
  if (rt && strcmp (rt->mode_state, state) != 0) {
    TEXT_SET (before, rt->mode_state);
    TEXT_SET (rt->mode_state, state);
    kind = mode_event (before, state, &level);
  }
  pthread_mutex_unlock (&agent->lock);
  if (kind)
    event_note (agent, level, "monitor", kind, rec->id,
                our_disk (agent, rec), "%s%s%s", before,
                before[0] ? " -> " : "", state);
}

/* Keep the recovery point, now and then, without a new version. */
static void
save_point (struct agent *agent, const struct record *rec,
            const struct observation *o)
{
  struct record *now;

  if (!o->has_point || (rec->has_point && o->point_ms < rec->point_ms +
                        POINT_SAVE_MS))
    return;
  now = malloc (sizeof *now);
  if (now && store_begin (agent->store) == 0) {
    bool ok = store_pair_get (agent->store, rec->id, now) == 1 &&
      now->epoch == rec->epoch;

    now->has_point = 1;
    if (o->point_ms > now->point_ms)
      now->point_ms = o->point_ms;
    store_end (agent->store, ok && store_pair_put (agent->store, now) == 0);
  }
  free (now);
}

static void
set_point (struct record *rec, void *opaque)
{
  const struct observation *o = opaque;

  rec->message[0] = '\0';
  if (!o->has_point)
    return;
  rec->has_point = 1;
  if (o->point_ms > rec->point_ms)
    rec->point_ms = o->point_ms;
}

static void
watch (struct agent *agent, const struct record *rec, const json_t *status)
{
  struct observation o;

  if (pair_status_kind (rec->status) != PAIR_KIND_ACTIVE)
    return;
  monitor_observe (rec, status, is_source (agent, rec), wall_ms (), &o);
  tell_link (agent, rec, &o);
  tell_mode (agent, rec, status);
  save_point (agent, rec, &o);
  if (o.event != PAIR_EVENT_UNSET)
    report_event (agent, rec->id, rec->version, o.event, "", set_point, &o);
}

/* ------------------------------------------------------------------ */
/* One pair.                                                            */

/* Is the disk still the one the pair was made with? */
static const char *
find_fault (struct agent *agent, const struct record *rec,
            const json_t *status)
{
  const char *device = is_source (agent, rec) ? rec->source_device
    : rec->destination_device;

  if (json_u64 (status, "size") != rec->size)
    return pair_reason_string (PAIR_REASON_DEVICE_SIZE_CHANGED);
  if (device[0] && strcmp (device, json_text (status, "uuid")) != 0)
    return pair_reason_string (PAIR_REASON_DEVICE_KEY_CHANGED);
  return NULL;
}

static bool
is_ending (enum pair_status status)
{
  return status == PAIR_DELETING || status == PAIR_DELETED ||
    status == PAIR_DELETE_FAILED || status == PAIR_CREATE_FAILED;
}

/* A volume that cannot be opened is not another disk, and says nothing of
 * its role.
 */
static bool
cannot_open (const json_t *status, struct control_error *err)
{
  if (strcmp (json_text (status, "state"), "failed") != 0 ||
      json_u64 (status, "size") != 0)
    return false;
  TEXT_SET (err->code, "io-error");
  snprintf (err->message, sizeof err->message, "%s",
            json_text (status, "failure"));
  return true;
}

/* True: a step was made, look again. */
static bool
step (struct agent *agent, const struct record *rec)
{
  struct control_error err = { "", "" };
  json_t *status = disk_status (agent, our_disk (agent, rec),
                                STATUS_TIMEOUT_MS, &err);
  bool is_missing = strcmp (err.code, "no-such-disk") == 0;
  json_t *promoted = NULL;
  const char *fault = NULL;
  bool applied = false, is_lost = is_missing;
  int r = APPLY_WAITS;

  if (status)
    reprotect_observe (agent, rec, status);
  note_seen (agent, rec, status);
  if (cannot_open (status, &err))
    is_lost = true;
  else if (status)
    fault = find_fault (agent, rec, status);
  else if (is_missing)
    fault = pair_reason_string (PAIR_REASON_DEVICE_REMOVED);
  if (fault && !is_ending (rec->status) && rec->status != PAIR_INVALID)
    report_event (agent, rec->id, rec->version, PAIR_EVENT_DISK_INVALID,
                  fault, set_message, (void *) fault);
  if (is_lost && is_ending (rec->status)) {
    /* There is nothing to clear, and no reason to keep the pair. */
    applied = true;
    err.code[0] = '\0';
  }
  else if (status && !is_lost) {
    r = apply_record (agent, rec, status, &promoted, &err);
    applied = r == APPLY_DONE;
  }
  note_applied (agent, rec, applied, &err);
  end_status (agent, rec, applied, promoted, status, &err);
  if (status && !is_lost)
    watch (agent, rec, status);
  json_decref (promoted);
  json_decref (status);
  return r == APPLY_STEPPED;
}

static bool
is_quitting (struct agent *agent)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);

  return agent->work_quit;
}

/* Can only the plugin's own doing change anything? */
static bool
is_settled (const struct record *rec)
{
  return pair_status_kind (rec->status) != PAIR_KIND_PASSING &&
    (pair_status_kind (rec->status) != PAIR_KIND_ACTIVE ||
     rec->status == PAIR_NORMAL);
}

/* Was the pair looked at as it is on record, and not long ago? */
static bool
is_quiet (struct agent *agent, const struct record *rec)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  const struct runtime *rt = runtime_get (agent, rec->id);

  return is_settled (rec) && rt && rt->applied_version == rec->version &&
    rt->seen_version == rec->version &&
    clock_mono_ns () - rt->looked_ns < (QUIET_MS - TICK_MS / 2) * NS_PER_MSEC;
}

static bool
look (struct agent *agent, const struct record *rec)
{
  bool stepped = step (agent, rec);
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  struct runtime *rt = runtime_get (agent, rec->id);

  if (rt)
    rt->looked_ns = clock_mono_ns ();
  return stepped;
}

/* Every pair, or all that are not quiet.  Returns when to look again, in ms. */
static unsigned
look_at_all (struct agent *agent, bool quiet_too, bool *ret_stepped)
{
  struct record *list = NULL;
  unsigned again_ms = QUIET_MS;
  ssize_t n, i;

  *ret_stepped = false;
  store_enter (agent->store);
  n = store_pair_list (agent->store, &list);
  store_leave (agent->store);
  for (i = 0; i < n && !is_quitting (agent); ++i) {
    if (list[i].gone_ms)
      continue;
    if (quiet_too || !is_quiet (agent, &list[i])) {
      if (look (agent, &list[i]))
        *ret_stepped = true;
    }
    if (!is_quiet (agent, &list[i]))
      again_ms = TICK_MS;
  }
  free (list);
  return again_ms;
}

/* ------------------------------------------------------------------ */
/* The thread.                                                          */

static void
housekeep (struct agent *agent, uint64_t *settled_ns, uint64_t *pruned_ns)
{
  uint64_t now = clock_mono_ns ();

  if (now - *settled_ns > HOUSEKEEPING_NS) {
    disks_settle (agent);
    trust_step (agent);
    *settled_ns = now;
  }
  if (now - *pruned_ns > PRUNE_NS && store_begin (agent->store) == 0) {
    store_end (agent->store, store_prune (agent->store) == 0);
    *pruned_ns = now;
  }
}

/* Until woken (*RET_WOKEN) or the time is over; false: quit. */
static bool
rest (struct agent *agent, unsigned ms, bool *ret_woken)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);
  uint64_t end = clock_mono_ns () + ms * NS_PER_MSEC;
  struct timespec ts = { .tv_sec = end / NS_PER_SEC,
                         .tv_nsec = end % NS_PER_SEC };

  while (!agent->work_quit && !agent->work_wanted &&
         pthread_cond_timedwait (&agent->work_cond, &agent->lock, &ts) == 0)
    ;
  *ret_woken = agent->work_wanted;
  agent->work_wanted = false;
  return !agent->work_quit;
}

static void *
work_thread (void *opaque)
{
  struct agent *agent = opaque;
  uint64_t settled_ns = 0, pruned_ns = 0;
  unsigned in_a_row = 0, again_ms;
  bool stepped, is_woken = true;

  do {
    again_ms = look_at_all (agent, is_woken, &stepped);
    /* A plugin that does not do what it says must not keep us spinning. */
    in_a_row = stepped ? in_a_row + 1 : 0;
    if (stepped && in_a_row < STEPS_MAX)
      work_wake (agent);
    housekeep (agent, &settled_ns, &pruned_ns);
  } while (rest (agent, again_ms, &is_woken));
  return NULL;
}

void
work_wake (struct agent *agent)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&agent->lock);

  agent->work_wanted = true;
  pthread_cond_signal (&agent->work_cond);
}

int
work_start (struct agent *agent, struct error *err)
{
  int r = pthread_create (&agent->work_thread, NULL, work_thread, agent);

  if (r != 0)
    return error_set_errno (err, r, "cannot start a thread");
  agent->has_work_thread = true;
  return 0;
}

void
work_stop (struct agent *agent)
{
  pthread_mutex_lock (&agent->lock);
  agent->work_quit = true;
  pthread_cond_broadcast (&agent->work_cond);
  pthread_cond_broadcast (&agent->applied_cond);
  pthread_mutex_unlock (&agent->lock);
  if (agent->has_work_thread)
    pthread_join (agent->work_thread, NULL);
}

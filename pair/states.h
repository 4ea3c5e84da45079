/* Statuses of a replication pair and what moves it from one to the next.
 *
 * One list of statuses and one list of events: enums, strings, metric values
 * and the tables of docs/design/pair-states.md all come from them.
 *
 * pair_apply () is pure: no clock, no I/O, no memory of its own.  The caller
 * gathers the facts, asks, makes the new status durable, and only then does
 * the work.  Repeating the question in the new status is harmless: it gives
 * "unchanged" or the same refusal.
 *
 * Order of the checks, so that one call has one answer:
 *
 *   1. no such pair (status deleted, or neither disk is in the region)
 *   2. a passing status that does not take the verb: InvalidStatus, whatever
 *      else is wrong, because clients try again on that code and no other
 *   3. wrong site
 *   4. the pair is a member of a group
 *   5. the status does not take the verb
 *   6. attachment
 *   7. no completed point; one-shot asked for again too soon
 */

#ifndef PAIRDISK_PAIR_STATES_H
#define PAIRDISK_PAIR_STATES_H

#include <stdbool.h>
#include <stdint.h>

#include "apierror.h"

/* passing: work is under way and ends the status by itself
 * resting: stays until a verb comes
 * active:  data flows
 * gone:    only a tombstone
 */
enum pair_kind {
  PAIR_KIND_UNSET = 0,
  PAIR_KIND_PASSING,
  PAIR_KIND_RESTING,
  PAIR_KIND_ACTIVE,
  PAIR_KIND_GONE,
};

/* X (name, string, kind, metric value, meaning).  Strings and metric values
 * are interface: never change one, add at the end.
 */
#define PAIR_STATUSES(X)                                                \
  X (CREATING, "creating", PASSING, 1, "being created")                 \
  X (CREATED, "created", RESTING, 2, "exists, never started")           \
  X (CREATE_FAILED, "create_failed", RESTING, 3, "creation failed")     \
  X (INITIAL_SYNCING, "initial_syncing", ACTIVE, 4,                     \
     "everything is being copied")                                      \
  X (MANUAL_SYNCING, "manual_syncing", ACTIVE, 5,                       \
     "a one-time synchronization runs, then stopped")                   \
  X (SYNCING, "syncing", ACTIVE, 6,                                     \
     "only the difference is being copied")                             \
  X (NORMAL, "normal", ACTIVE, 7, "the copy is within its RPO")         \
  X (STOPPING, "stopping", PASSING, 8, "being stopped")                 \
  X (STOPPED, "stopped", RESTING, 9,                                    \
     "not replicating, destination holds the last completed point")     \
  X (STOP_FAILED, "stop_failed", RESTING, 10, "stop failed")            \
  X (FAILOVERING, "failovering", PASSING, 11, "failover runs")          \
  X (FAILOVERED, "failovered", RESTING, 12,                             \
     "replication is cut, destination may be written")                  \
  X (FAILOVER_FAILED, "failover_failed", RESTING, 13, "failover failed") \
  X (REPROTECTING, "reprotecting", PASSING, 14,                         \
     "direction is turned, or the failover given up")                   \
  X (REPROTECT_FAILED, "reprotect_failed", RESTING, 15,                 \
     "reprotect failed")                                                \
  X (DELETING, "deleting", PASSING, 16, "being deleted")                \
  X (DELETE_FAILED, "delete_failed", RESTING, 17, "deletion failed")    \
  X (DELETED, "deleted", GONE, 18, "deleted, no longer listed")         \
  X (INVALID, "invalid", RESTING, 19,                                   \
     "a disk is not what it was, see the status message")

enum pair_status {
  PAIR_STATUS_UNSET = 0,        /* no pair yet; takes only CREATE */
#define X(name, string, kind, metric, meaning) PAIR_##name,
  PAIR_STATUSES (X)
#undef X
  PAIR_STATUS_COUNT
};

/* X (name, string, what it is).  The verbs of the API first, then what the
 * site's own work reports.
 */
#define PAIR_VERBS(X)                                                   \
  X (VERB_CREATE, "create", "CreateDiskReplicaPair")                    \
  X (VERB_START, "start", "StartDiskReplicaPair OneShot=false")         \
  X (VERB_START_ONESHOT, "start-oneshot",                               \
     "StartDiskReplicaPair OneShot=true")                               \
  X (VERB_STOP, "stop", "StopDiskReplicaPair")                          \
  X (VERB_FAILOVER, "failover", "FailoverDiskReplicaPair")              \
  X (VERB_REVERSE, "reverse",                                           \
     "ReprotectDiskReplicaPair ReverseReplicate=true")                  \
  X (VERB_CANCEL, "cancel",                                             \
     "ReprotectDiskReplicaPair ReverseReplicate=false")                 \
  X (VERB_MODIFY, "modify", "ModifyDiskReplicaPair")                    \
  X (VERB_DELETE, "delete", "DeleteDiskReplicaPair")                    \
  X (VERB_PROGRESS, "progress", "DescribeDiskReplicaPairProgress")

#define PAIR_REPORTS(X)                                                 \
  X (EVENT_CREATED, "created-ok", "creation done")                      \
  X (EVENT_CREATE_FAILED, "created-failed", "creation failed")          \
  X (EVENT_SYNCED, "synced", "copy complete, or RPO kept again")        \
  X (EVENT_LAGGING, "lagging", "RPO exceeded, a cycle runs")            \
  X (EVENT_ONESHOT_DONE, "oneshot-done", "one-time copy complete")      \
  X (EVENT_STOPPED, "stopped-ok", "stop done")                          \
  X (EVENT_STOP_FAILED, "stop-failed", "stop failed")                   \
  X (EVENT_FAILOVERED, "failovered-ok", "failover done")                \
  X (EVENT_FAILOVER_FAILED, "failover-failed", "failover failed")       \
  X (EVENT_REVERSED, "reversed-ok", "reprotect done, direction turned") \
  X (EVENT_CANCELLED, "cancelled-ok", "reprotect done, failover given up") \
  X (EVENT_REPROTECT_FAILED, "reprotect-failed", "reprotect failed")    \
  X (EVENT_DELETED, "deleted-ok", "deletion done")                      \
  X (EVENT_DELETE_FAILED, "delete-failed", "deletion failed")           \
  X (EVENT_DISK_INVALID, "disk-invalid",                                \
     "disk removed, resized or swapped (enum pair_reason)")

enum pair_event {
  PAIR_EVENT_UNSET = 0,
#define X(name, string, what) PAIR_##name,
  PAIR_VERBS (X)
  PAIR_REPORTS (X)
#undef X
  PAIR_EVENT_COUNT
};

/* Why a pair is invalid or could not be created: StatusMessage of the API.
 * The table does not depend on it, the caller keeps it beside the status.
 */
#define PAIR_REASONS(X)                                                 \
  X (DEVICE_REMOVED, "DeviceRemoved")                                   \
  X (DEVICE_KEY_CHANGED, "DeviceKeyChanged")                            \
  X (DEVICE_SIZE_CHANGED, "DeviceSizeChanged")                          \
  X (QUOTA_EXCEED, "OperationDenied.QuotaExceed")                       \
  X (PREPAY_EXPIRED, "PrePayOrderExpired")                              \
  X (POSTPAY_CEASED, "PostPayOrderCeaseService")

enum pair_reason {
  PAIR_REASON_UNSET = 0,
#define X(name, string) PAIR_REASON_##name,
  PAIR_REASONS (X)
#undef X
  PAIR_REASON_COUNT
};

/* What the caller has to do after the new status is durable. */
#define PAIR_WORKS(X)                                                   \
  X (NONE, "none", "nothing")                                           \
  X (CREATE, "create", "check both disks, tie them, then report")       \
  X (SYNC, "sync", "copy, then keep up by the RPO")                     \
  X (SYNC_ONCE, "sync-once", "copy up to now, then report")             \
  X (STOP, "stop", "drop what is staged, then report")                  \
  X (FAILOVER, "failover",                                              \
     "raise the fence, drop what is staged, open the destination")      \
  X (REVERSE, "reverse", "make the old source the target, then report") \
  X (CANCEL, "cancel", "close the destination again, then report")      \
  X (MODIFY, "modify", "store the new values")                          \
  X (DELETE, "delete", "lift all limits from both disks, then report")  \
  X (DESCRIBE, "describe", "answer")                                    \
  X (RECORD_POINT, "record-point", "move the last recovery point")      \
  X (SWAP_DIRECTION, "swap-direction",                                  \
     "exchange source and destination in the record, forget the "       \
     "completed point")

enum pair_work {
#define X(name, string, what) PAIR_WORK_##name,
  PAIR_WORKS (X)
#undef X
  PAIR_WORK_COUNT
};

/* What the caller knows.  "source" and "destination" are the current
 * direction, not the roles the pair was created with.  Set every field:
 * false is not a safe guess for all of them.
 */
struct pair_facts {
  bool at_source;             /* the call's region is the source disk's */
  bool at_destination;        /* ... the destination disk's; both are true
                                 when the disks share a region */
  bool in_group;              /* a member, and the call names the pair itself
                                 (false when the group's verb drives it) */
  bool has_completed_point;   /* the destination holds a point of this
                                 direction */
  bool copies_difference;     /* a start would copy only what differs */
  bool source_attached;       /* on record, or a client is connected */
  bool destination_attached;
  bool peer_reachable;        /* the other site answers */
  bool had_oneshot;           /* a one-shot call was accepted before, ... */
  uint64_t seconds_since_oneshot;       /* ... this long ago */
  uint32_t rpo_seconds;       /* effective: the group's for a member */
  bool changes_link_only;     /* a modify of nothing but how data gets there */
};

enum pair_outcome {
  PAIR_OUTCOME_UNSET = 0,
  PAIR_MOVED,      /* new status, perhaps work */
  PAIR_UNCHANGED,  /* accepted, same status, perhaps work */
  PAIR_REFUSED,    /* a verb that cannot be: refusal says why */
  PAIR_IGNORED,    /* a report that came too late: nothing to do */
  PAIR_DEFERRED,   /* a report that must be made again when the passing
                      status has ended */
};

struct pair_transition {
  enum pair_outcome outcome;
  enum pair_status status;    /* what the pair is in now; the old one unless
                                 outcome is PAIR_MOVED */
  enum pair_work work;
  enum api_error refusal;     /* API_OK unless outcome is PAIR_REFUSED */
  const char *hint;           /* next step for a person when refused, else
                                 NULL; static */
};

/* Never fails; STATUS and EVENT out of range are refused as InternalError. */
extern struct pair_transition pair_apply (enum pair_status status,
                                          enum pair_event event,
                                          const struct pair_facts *facts);

/* "unset" for values out of range. */
extern const char *pair_status_string (enum pair_status status);
extern const char *pair_status_meaning (enum pair_status status);
extern const char *pair_event_string (enum pair_event event);
extern const char *pair_event_meaning (enum pair_event event);
extern const char *pair_reason_string (enum pair_reason reason);
extern const char *pair_work_string (enum pair_work work);
extern const char *pair_work_meaning (enum pair_work work);
extern const char *pair_kind_string (enum pair_kind kind);

extern enum pair_kind pair_status_kind (enum pair_status status);

/* Value of the status in metrics, 0 when unset. */
extern unsigned pair_status_metric (enum pair_status status);

/* Rests after something went wrong: somebody must look. */
static inline bool
pair_status_is_wrong (enum pair_status status)
{
  switch (status) {
  case PAIR_CREATE_FAILED:
  case PAIR_STOP_FAILED:
  case PAIR_FAILOVER_FAILED:
  case PAIR_REPROTECT_FAILED:
  case PAIR_DELETE_FAILED:
  case PAIR_INVALID:
    return true;
  default:
    return false;
  }
}

/* The enum value of a string, or the UNSET one. */
extern enum pair_status pair_status_parse (const char *str);
extern enum pair_reason pair_reason_parse (const char *str);

extern bool pair_event_is_verb (enum pair_event event);

#endif /* PAIRDISK_PAIR_STATES_H */

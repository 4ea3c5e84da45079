/* The named steps of each transition of a pair, in one table.
 *
 * "intent" is the transaction that makes a verb durable, "end" the one that
 * makes its completion durable; what is between may be made again.  Of each
 * step there are two moments: it begins, and it has ended.  A process may be
 * killed at each; tests do it by these names (common/steps.c), and
 * docs/design/transitions.md lists them.
 */

#include <config.h>

#include <stdio.h>
#include <string.h>

#include "change.h"
#include "record.h"
#include "states.h"
#include "steps.h"
#include "transitions.h"

/* X (transition, at, step, is_rare, what) */
#define RECORD_STEPS(X, transition, status)                             \
  X (transition, SITE, "intent", false,                                 \
     "transaction: the record in `" status "`, its event, the answer "  \
     "for its token")                                                   \
  X (transition, SITE, "told", false,                                   \
     "transaction: the other site takes the record over")

/* What is set in each status in which the disks have the roles of the pair. */
#define MODE_STEPS(X, transition)                                       \
  X (transition, SOURCE, "link.mode", true, "the pair's mode")          \
  X (transition, DESTINATION, "link.mode", true, "the pair's mode")     \
  X (transition, SOURCE, "link.limit", true, "the pair's bandwidth")    \
  X (transition, DESTINATION, "link.limit", true, "the pair's bandwidth")

#define PLUGIN_STEPS(X, op)                                             \
  X (op, PLUGIN, "", false, "the request as a whole")                   \
  X (op, PLUGIN, "link-file", false, "the link file is replaced")

#define ROLE_STEPS(X, op)                                               \
  PLUGIN_STEPS (X, op)                                                  \
  X (op, PLUGIN, "role", false, "role and fence are in the super block")

#define STEPS(X)                                                        \
  RECORD_STEPS (X, "create", "creating")                                \
  X ("create", SOURCE, "pair.set", false, "becomes primary")            \
  X ("create", DESTINATION, "pair.set", false,                          \
     "becomes secondary, which gives up what it held")                  \
  X ("create", SITE, "end", false, "transaction: `created`")            \
  X ("create", SITE, "failed", true, "transaction: `create_failed`")    \
  X ("create", SOURCE, "pair.clear", true, "after `create_failed`")     \
  X ("create", DESTINATION, "pair.clear", true, "after `create_failed`") \
  RECORD_STEPS (X, "start", "initial_syncing")                          \
  X ("start", DESTINATION, "replica.accept", false, "takes records")    \
  X ("start", SOURCE, "link.start", false, "the link runs")             \
  X ("start", SITE, "link-noted", false,                                \
     "transaction: which start the link was given for")                 \
  X ("start", SITE, "end", false,                                       \
     "transaction: `normal`, with the recovery point")                  \
  X ("start", SITE, "behind", true,                                     \
     "transaction: `syncing`, the RPO is exceeded")                     \
  X ("start", SOURCE, "pair.set", true, "a new secret, a role that was lost") \
  X ("start", DESTINATION, "pair.set", true,                            \
     "a new secret, a role that was lost")                              \
  X ("start", SOURCE, "link.stop", true, "an older one-shot is over")   \
  RECORD_STEPS (X, "start-oneshot", "manual_syncing")                   \
  X ("start-oneshot", DESTINATION, "replica.accept", false,             \
     "takes records")                                                   \
  X ("start-oneshot", SOURCE, "link.start", false, "the link runs")     \
  X ("start-oneshot", SITE, "link-noted", false,                        \
     "transaction: which start the link was given for")                 \
  X ("start-oneshot", SITE, "end", false,                               \
     "transaction: `stopped`, with the recovery point")                 \
  X ("start-oneshot", SOURCE, "pair.set", true,                         \
     "a new secret, a role that was lost")                              \
  X ("start-oneshot", DESTINATION, "pair.set", true,                    \
     "a new secret, a role that was lost")                              \
  X ("start-oneshot", SOURCE, "link.stop", true,                        \
     "an older one-shot is over")                                       \
  RECORD_STEPS (X, "stop", "stopping")                                  \
  X ("stop", SOURCE, "link.stop", false, "the link is off")             \
  X ("stop", DESTINATION, "replica.stop", false,                        \
     "refuses records, drops what is staged")                           \
  X ("stop", SITE, "end", false, "transaction: `stopped`")              \
  X ("stop", SITE, "failed", true, "transaction: `stop_failed`")        \
  X ("stop", SOURCE, "pair.set", true, "a new secret, a role that was lost") \
  X ("stop", DESTINATION, "pair.set", true,                             \
     "a new secret, a role that was lost")                              \
  RECORD_STEPS (X, "failover", "failovering")                           \
  X ("failover", DESTINATION, "promote", false,                         \
     "drops what is staged; primary, with a new fence number")          \
  X ("failover", SITE, "end", false,                                    \
     "transaction: `failovered`, with the loss")                        \
  X ("failover", SITE, "failed", true, "transaction: `failover_failed`") \
  X ("failover", SOURCE, "link.start", true,                            \
     "the link was off: to meet the new fence number")                  \
  X ("failover", SITE, "link-noted", true,                              \
     "transaction: which start the link was given for")                 \
  X ("failover", SOURCE, "link.stop", false,                            \
     "the new fence number was met: no guest may write")                \
  X ("failover", DESTINATION, "pair.set", true,                         \
     "after a reprotect that failed: primary still")                    \
  RECORD_STEPS (X, "reprotect", "reprotecting")                         \
  X ("reprotect", DESTINATION, "pair.set", false,                       \
     "primary with the new fence number")                               \
  X ("reprotect", DESTINATION, "promote", true,                         \
     "after a cancel that failed: primary again")                       \
  X ("reprotect", SOURCE, "demote", false,                              \
     "secondary; what it gives up is being saved")                      \
  X ("reprotect", SOURCE, "pair.set", true, "has its fence number raised") \
  X ("reprotect", SITE, "end", false,                                   \
     "transaction: `stopped`, source and destination exchanged, what "  \
     "was discarded")                                                   \
  X ("reprotect", SITE, "failed", true, "transaction: `reprotect_failed`") \
  X ("reprotect", SOURCE, "link.start", true,                           \
     "after `reprotect_failed`: to meet the fence number")              \
  X ("reprotect", SITE, "link-noted", true,                             \
     "transaction: which start the link was given for")                 \
  X ("reprotect", SOURCE, "link.stop", true,                            \
     "after `reprotect_failed`: the fence number was met")              \
  RECORD_STEPS (X, "cancel", "reprotecting")                            \
  X ("cancel", DESTINATION, "demote", false,                            \
     "secondary; what it gives up is being saved")                      \
  X ("cancel", DESTINATION, "pair.set", true, "has its fence number raised") \
  X ("cancel", SOURCE, "pair.set", false,                               \
     "writes again, with the new fence number")                         \
  X ("cancel", SOURCE, "promote", true,                                 \
     "after a reverse that failed: primary again")                      \
  X ("cancel", SOURCE, "link.stop", true, "a link of before")           \
  X ("cancel", SITE, "end", false,                                      \
     "transaction: `stopped`, what was discarded")                      \
  X ("cancel", SITE, "failed", true, "transaction: `reprotect_failed`") \
  X ("cancel", SOURCE, "link.start", true,                              \
     "after `reprotect_failed`: to meet the fence number")              \
  X ("cancel", SITE, "link-noted", true,                                \
     "transaction: which start the link was given for")                 \
  X ("modify", SITE, "intent", false,                                   \
     "transaction: the new values, their event, the answer for the token") \
  RECORD_STEPS (X, "delete", "deleting")                                \
  X ("delete", SOURCE, "pair.clear", false, "standalone")               \
  X ("delete", DESTINATION, "pair.clear", false,                        \
     "standalone, at its last commit point")                            \
  X ("delete", SITE, "end", false, "transaction: `deleted`")            \
  X ("delete", SITE, "failed", true, "transaction: `delete_failed`")    \
  X ("delete", SITE, "forgotten", false,                                \
     "transaction: both sites know, the tombstone is at rest")          \
  X ("invalid", SITE, "end", true, "transaction: `invalid`, and why")   \
  X ("invalid", SITE, "told", true,                                     \
     "transaction: the other site takes the record over")               \
  X ("invalid", SOURCE, "link.stop", true, "the link is off")           \
  X ("invalid", DESTINATION, "replica.stop", true, "refuses records")   \
  X ("invalid", SOURCE, "pair.set", true, "a new secret")               \
  X ("invalid", DESTINATION, "pair.set", true, "a new secret")          \
  MODE_STEPS (X, "create")                                              \
  MODE_STEPS (X, "start")                                               \
  MODE_STEPS (X, "start-oneshot")                                       \
  MODE_STEPS (X, "stop")                                                \
  MODE_STEPS (X, "invalid")                                             \
  ROLE_STEPS (X, "pair.set")                                            \
  ROLE_STEPS (X, "pair.clear")                                          \
  PLUGIN_STEPS (X, "link.start")                                        \
  PLUGIN_STEPS (X, "link.stop")                                         \
  PLUGIN_STEPS (X, "replica.accept")                                    \
  PLUGIN_STEPS (X, "replica.stop")                                      \
  ROLE_STEPS (X, "promote")                                             \
  ROLE_STEPS (X, "demote")                                              \
  X ("salvage", PLUGIN, "", false,                                      \
     "what is given up is saved beside the disk")                       \
  X ("salvage", PLUGIN, "file", false, "the file has its name")         \
  X ("attach", PLUGIN, "", false, "a guest opens the disk")             \
  X ("link.limit", PLUGIN, "", true, "the bandwidth")                   \
  X ("link.limit", PLUGIN, "link-file", true, "the link file is replaced") \
  X ("link.mode", PLUGIN, "", true, "the mode")                         \
  X ("link.mode", PLUGIN, "link-file", true, "the link file is replaced")

const struct step_info steps[] = {
#define X(transition, at, step, is_rare, what)                          \
  { transition, STEP_AT_##at, step, is_rare, what },
  STEPS (X)
#undef X
  { NULL, 0, NULL, false, NULL }
};

void
step_name (const struct step_info *info, char ret[STEP_NAME_SIZE])
{
  static const char *const sides[] = {
    [STEP_AT_SITE] = "", [STEP_AT_SOURCE] = ".source",
    [STEP_AT_DESTINATION] = ".destination", [STEP_AT_PLUGIN] = ""
  };

  snprintf (ret, STEP_NAME_SIZE, "%s%s%s%s%s",
            info->at == STEP_AT_PLUGIN ? "plugin." : "", info->transition,
            sides[info->at], *info->step ? "." : "", info->step);
}

const char *
transition_of (const struct record *rec)
{
  switch (rec->status) {
  case PAIR_CREATING:
  case PAIR_CREATED:
  case PAIR_CREATE_FAILED:
    return "create";
  case PAIR_INITIAL_SYNCING:
  case PAIR_SYNCING:
  case PAIR_NORMAL:
    return "start";
  case PAIR_MANUAL_SYNCING:
    return "start-oneshot";
  case PAIR_STOPPING:
  case PAIR_STOPPED:
  case PAIR_STOP_FAILED:
    return "stop";
  case PAIR_FAILOVERING:
  case PAIR_FAILOVERED:
  case PAIR_FAILOVER_FAILED:
    return "failover";
  case PAIR_REPROTECTING:
  case PAIR_REPROTECT_FAILED:
    return rec->reprotect == REPROTECT_CANCEL ? "cancel" : "reprotect";
  case PAIR_DELETING:
  case PAIR_DELETED:
  case PAIR_DELETE_FAILED:
    return "delete";
  default:
    return "invalid";
  }
}

static void
begin (struct site_step *s, const char *transition, enum step_at at,
       const char *step)
{
  const struct step_info *i;

  s->name[0] = '\0';
  if (!steps_are_watched ())
    return;
  for (i = steps; i->transition; ++i) {
    if (i->at == at && strcmp (i->transition, transition) == 0 &&
        strcmp (i->step, step) == 0)
      break;
  }
  if (i->transition)
    step_name (i, s->name);
  else
    snprintf (s->name, sizeof s->name, "unnamed.%.20s.%.20s", transition,
              step);
  step_begins (s->name);
}

void
site_step_begins (struct site_step *s, const char *transition,
                  const char *step)
{
  begin (s, transition, STEP_AT_SITE, step);
}

void
disk_step_begins (struct site_step *s, const struct agent *agent,
                  const struct record *rec, const char *op)
{
  begin (s, transition_of (rec), is_source (agent, rec) ? STEP_AT_SOURCE
         : STEP_AT_DESTINATION, op);
}

void
site_step_ended (const struct site_step *s)
{
  if (s->name[0])
    step_ended (s->name);
}

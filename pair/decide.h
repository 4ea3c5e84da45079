/* What two sides do when they meet: one pure function of both views.
 *
 * The primary reads its peer's status, asks pair_decide () and does what the
 * action says; it logs pair_decide_format () each time, so that a decision
 * can be replayed from the log.
 *
 * The views are boiled down to the facts of PAIR_FACTS; each rule is a
 * pattern over them.  The rules exclude each other and cover every
 * combination (tested), so their order means nothing.
 *
 * Promises, each tested over all histories that small tables can hold:
 *   - stream only if what the peer holds lies on this side's history
 *   - what a writer wrote is not discarded without a command naming the loser
 *   - a peer with a higher fence number stops this side
 */

#ifndef PAIRDISK_PAIR_DECIDE_H
#define PAIRDISK_PAIR_DECIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "generations.h"
#include "uuid.h"

/* X (name, string) */
#define PAIR_ROLES(X)                                                   \
  X (STANDALONE, "standalone")  /* in no pair */                        \
  X (PRIMARY, "primary")        /* the writer */                        \
  X (SECONDARY, "secondary")    /* receives */                          \
  X (FENCED, "fenced")          /* was the writer, met a higher fence:  \
                                   neither writes nor receives until    \
                                   told so */

enum pair_role {
  PAIR_ROLE_UNSET = 0,
#define X(name, string) PAIR_ROLE_##name,
  PAIR_ROLES (X)
#undef X
  PAIR_ROLE_COUNT
};

/* One side as it describes itself. */
struct pair_view {
  struct uuid volume;           /* this disk's own UUID, never shared */
  struct uuid content;          /* what it holds: taken over from the primary
                                   with the initial synchronization */
  uint64_t size;                /* bytes */
  enum pair_role role;
  uint64_t fence;               /* raised by every failover */

  /* What the disk shows now.  Its last point is the last durable record of a
   * writer, the last commit point of a secondary.
   */
  struct pair_history history;

  /* Secondary: last record staged in unbroken order after the commit point;
   * {0, 0} if none.  An unfinished delta is not a point: the link resumes it.
   */
  struct pair_point staged;

  /* Every record from this seq on is still in the journal; 0 when it holds
   * none.  Looked at only on the primary's side.
   */
  uint64_t journal_from;

  /* A command named this volume as the loser: what it holds beyond the common
   * point may be discarded.  Null: no such command.  Cleared when the
   * resynchronization that it allowed has been committed.
   */
  struct uuid loser;
  uint64_t loser_keeps;         /* ... but nothing up to this seq */
};

/* X (name, string, what) */
#define PAIR_ACTIONS(X)                                                 \
  X (STREAM, "stream", "send the records after decision.from")          \
  X (DELTA, "delta",                                                    \
     "send what differs since decision.common, on either side")         \
  X (INITIAL, "initial", "send everything")                             \
  X (DROP_STREAM, "drop-staged-then-stream",                            \
     "the peer drops what it staged, then stream")                      \
  X (DROP_DELTA, "drop-staged-then-delta",                              \
     "the peer drops what it staged, then delta")                       \
  X (DROP_INITIAL, "drop-staged-then-initial",                          \
     "the peer drops what it staged, then initial")                     \
  X (FENCE_PEER, "fence-peer",                                          \
     "tell the peer this side's fence number, then meet again")         \
  X (NEED_COMMAND, "need-command",                                      \
     "wait until a person names the side that loses its writes")        \
  X (FENCED, "fenced",                                                  \
     "stop writing at once, take over the peer's fence number")         \
  X (REFUSE, "refuse", "break off and report")

enum pair_action {
  PAIR_ACTION_UNSET = 0,
#define X(name, string, what) PAIR_ACTION_##name,
  PAIR_ACTIONS (X)
#undef X
  PAIR_ACTION_COUNT
};

/* What the rules look at, in the order of the pattern's columns.
 * X (name, letter, what)
 */
#define PAIR_FACTS(X)                                                   \
  X (FENCE_HIGHER, 'F', "the peer's fence number is higher")            \
  X (WELL_FORMED, 'V', "both views keep their invariants and do not "   \
     "contradict each other")                                           \
  X (TWO_VOLUMES, 'O', "the peer is not this very volume")              \
  X (SELF_PRIMARY, 'S', "this side is primary")                         \
  X (PEER_RECEIVES, 'R', "the peer is secondary or fenced")             \
  X (PEER_PRIMARY, 'P', "the peer is primary")                          \
  X (FENCE_LOWER, 'L', "the peer's fence number is lower")              \
  X (SAME_SIZE, 'Z', "both disks have one size")                        \
  X (PEER_NEW, 'N', "nothing was ever committed at the peer")           \
  X (COMMAND, 'G', "a command names the peer as the loser of what it holds beyond " \
     "that point")             \
  X (SAME_CONTENT, 'C', "both hold one content")                        \
  X (COMMON, 'K', "the histories share a point")                        \
  X (AT_COMMON, 'A', "the peer holds nothing beyond that point")        \
  X (PEER_WROTE, 'W', "the peer itself wrote beyond that point")        \
  X (STAGED_LOST, 'D', "the peer staged records this side lost")        \
  X (JOURNAL_HOLDS, 'J', "the journal holds all that the peer lacks")

enum pair_fact {
#define X(name, letter, what) PAIR_FACT_##name,
  PAIR_FACTS (X)
#undef X
  PAIR_FACT_COUNT
};

/* X (name, string, pattern, action, what).  In a pattern '1' and '0' demand
 * that a fact holds or does not, '-' does not care.
 */
#define PAIR_RULES(X)                                                   \
  /*                              FVOSRPLZNGCKAWDJ */                   \
  X (FENCED, "fenced",           "1---------------", FENCED,            \
     "the peer was promoted after this side")                           \
  X (BROKEN_VIEW, "broken-view", "00--------------", REFUSE,            \
     "a generation table is damaged, or the two contradict each other") \
  X (SAME_VOLUME, "same-volume", "010-------------", REFUSE,            \
     "the peer is this volume itself")                                  \
  X (SELF_NOT_PRIMARY, "self-not-primary",                              \
                                 "0110------------", REFUSE,            \
     "only a primary may decide and send")                              \
  X (PEER_STANDALONE, "peer-standalone",                                \
                                 "011100----------", REFUSE,            \
     "the peer's disk is in no pair")                                   \
  X (PEER_OUTDATED_PRIMARY, "peer-outdated-primary",                    \
                                 "0111011---------", FENCE_PEER,        \
     "the peer does not know yet that it lost its role")                \
  X (TWO_PRIMARIES, "two-primaries",                                    \
                                 "0111010---------", NEED_COMMAND,      \
     "both sides write under one fence number")                         \
  X (SIZE_DIFFERS, "size-differs",                                      \
                                 "01111--0--------", REFUSE,            \
     "the disks differ in size")                                        \
  X (PEER_NEW, "peer-new",       "01111--11-----0-", INITIAL,           \
     "nothing was ever committed at the peer")                          \
  X (PEER_NEW_STAGED_LOST, "peer-new-staged-lost",                      \
                                 "01111--11-----1-", DROP_INITIAL,      \
     "the same, and it staged records that this side lost in a crash")  \
  X (FOREIGN, "foreign",         "01111--1000-----", REFUSE,            \
     "the peer holds another disk's content")                           \
  X (FOREIGN_COMMANDED, "foreign-commanded",                            \
                                 "01111--1010-----", DROP_INITIAL,      \
     "the same, and a command gave it up")                              \
  X (NO_COMMON_POINT, "no-common-point",                                \
                                 "01111--10010----", REFUSE,            \
     "one content, but no shared generation is on record any more")     \
  X (NO_COMMON_POINT_COMMANDED, "no-common-point-commanded",            \
                                 "01111--10110----", DROP_INITIAL,      \
     "the same, and a command gave the peer's side up")                 \
  X (PEER_WROTE, "peer-wrote",   "01111--1001101--", NEED_COMMAND,      \
     "the peer was writer and has writes this side lacks")              \
  X (PEER_WROTE_COMMANDED, "peer-wrote-commanded",                      \
                                 "01111--1011101--", DROP_DELTA,        \
     "the same, and a command gave them up")                            \
  X (SELF_LOST, "self-lost",     "01111--1001100--", NEED_COMMAND,      \
     "this side lost records that it once held durably (restored from " \
     "an old copy?); the peer still has them")                          \
  X (SELF_LOST_COMMANDED, "self-lost-commanded",                        \
                                 "01111--1011100--", DROP_DELTA,        \
     "the same, and a command gave the peer's records up")              \
  X (PEER_BEHIND_JOURNAL_HOLDS, "peer-behind-journal-holds",            \
                                 "01111--10-111-01", STREAM,            \
     "the journal still holds all that the peer lacks")                 \
  X (PEER_BEHIND_CLEANED, "peer-behind-cleaned",                        \
                                 "01111--10-111-00", DELTA,             \
     "a part of what the peer lacks has left the journal")              \
  X (STAGED_LOST_JOURNAL_HOLDS, "staged-lost-journal-holds",            \
                                 "01111--10-111-11", DROP_STREAM,       \
     "the peer staged records this side lost in a crash, none flushed") \
  X (STAGED_LOST_CLEANED, "staged-lost-cleaned",                        \
                                 "01111--10-111-10", DROP_DELTA,        \
     "the same, and a part of what it lacks has left the journal")

enum pair_rule {
  PAIR_RULE_UNSET = 0,
#define X(name, string, pattern, action, what) RULE_##name,
  PAIR_RULES (X)
#undef X
  PAIR_RULE_COUNT
};

struct pair_decision {
  enum pair_rule rule;
  enum pair_action action;
  uint32_t facts;               /* bit 1 << enum pair_fact */

  /* Last point both share, {0, 0} if none or not looked for. */
  struct pair_point common;

  /* For the two stream actions: last point the peer keeps (committed, or
   * staged when that lies on this side's history); sending begins after it.
   */
  struct pair_point from;

  /* Records that the peer's disk shows beyond the common point: what is lost
   * if the peer loses.  And the same of this side, which is lost if a person
   * chooses the other way.
   */
  uint64_t peer_beyond;
  uint64_t self_beyond;
};

extern struct pair_decision pair_decide (const struct pair_view *self,
                                         const struct pair_view *peer);

/* How many rules match these facts, and the last one that does.  For the
 * test that demands exactly one.
 */
extern unsigned pair_rules_matching (uint32_t facts, enum pair_rule *ret);

extern const char *pair_role_string (enum pair_role role);
extern enum pair_role pair_role_parse (const char *str);
extern const char *pair_rule_string (enum pair_rule rule);
extern const char *pair_rule_pattern (enum pair_rule rule);
extern const char *pair_rule_meaning (enum pair_rule rule);
extern enum pair_action pair_rule_action (enum pair_rule rule);
extern const char *pair_action_string (enum pair_action action);
extern const char *pair_action_meaning (enum pair_action action);

/* Does the action make the peer drop what it staged? */
extern bool pair_action_drops_staged (enum pair_action action);

/* The log line: rule, action, facts, common point and both views with their
 * tables.  Always ends with a zero byte; PAIR_DECIDE_FORMAT_MAX is enough for
 * two full tables.  Returns RET.
 */
#define PAIR_DECIDE_FORMAT_MAX 8192

extern const char *pair_decide_format (const struct pair_view *self,
                                       const struct pair_view *peer,
                                       const struct pair_decision *decision,
                                       char *ret, size_t size);

#endif /* PAIRDISK_PAIR_DECIDE_H */

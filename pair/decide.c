/* What two sides do when they meet (see decide.h). */

#include <config.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "decide.h"

static const char *const role_strings[PAIR_ROLE_COUNT] = {
  "unset",
#define X(name, string) string,
  PAIR_ROLES (X)
#undef X
};

static const struct {
  const char *string, *meaning;
} actions[PAIR_ACTION_COUNT] = {
  { "unset", "" },
#define X(name, string, what) { string, what },
  PAIR_ACTIONS (X)
#undef X
};

static const struct rule {
  const char *string, *pattern, *meaning;
  enum pair_action action;
} rules[PAIR_RULE_COUNT] = {
  { "unset", "", "", PAIR_ACTION_UNSET },
#define X(name, string, pattern, action, what)          \
  { string, pattern, what, PAIR_ACTION_##action },
  PAIR_RULES (X)
#undef X
};

static const char fact_letters[PAIR_FACT_COUNT + 1] = {
#define X(name, letter, what) letter,
  PAIR_FACTS (X)
#undef X
};

#define PATTERN_FITS(name, string, pattern, action, what)               \
  _Static_assert (sizeof pattern - 1 == PAIR_FACT_COUNT,                \
                  "pattern of rule " string);
PAIR_RULES (PATTERN_FITS)
#undef PATTERN_FITS

static uint32_t
fact (enum pair_fact f, bool holds)
{
  return holds ? UINT32_C (1) << f : 0;
}

static bool
point_is_null (struct pair_point p)
{
  return p.generation == 0;
}

/* Does one view, taken alone, make sense? */
static bool
view_check (const struct pair_view *view)
{
  const struct pair_point *staged = &view->staged;

  if (!pair_history_check (&view->history))
    return false;
  if (view->role <= PAIR_ROLE_UNSET || view->role >= PAIR_ROLE_COUNT)
    return false;
  if (uuid_is_null (&view->volume))
    return false;
  if (view->history.last_seq > 0 && uuid_is_null (&view->content))
    return false;
  if (point_is_null (*staged))
    return staged->seq == 0;
  return staged->seq > view->history.last_seq;
}

/* Did VIEW's own volume write any of what it holds beyond SEQ? */
static bool
wrote_beyond (const struct pair_view *view, uint64_t seq)
{
  const struct pair_history *h = &view->history;
  uint32_t i;

  for (i = 0; i < h->count; ++i)
    if (pair_history_end (h, i) > seq &&
        pair_history_end (h, i) >= h->generation[i].first_seq &&
        uuid_equal (&h->generation[i].writer, &view->volume))
      return true;
  return false;
}

/* Does VIEW's journal hold every record after SEQ? */
static bool
journal_holds (const struct pair_view *view, uint64_t seq)
{
  return seq == view->history.last_seq ||
    (view->journal_from > 0 && view->journal_from - 1 <= seq);
}

/* Facts that a comparison of two histories of one content gives. */
static uint32_t
history_facts (const struct pair_view *self, const struct pair_view *peer,
               struct pair_decision *d)
{
  enum pair_common common;
  uint32_t facts;

  common = pair_history_common (&self->history, &peer->history, &d->common);
  if (common == PAIR_COMMON_BROKEN)
    return 0;

  d->peer_beyond = peer->history.last_seq - d->common.seq;
  d->self_beyond = self->history.last_seq - d->common.seq;
  facts = fact (PAIR_FACT_WELL_FORMED, true);
  if (common == PAIR_COMMON_NONE)
    return facts;

  return facts |
    fact (PAIR_FACT_COMMON, true) |
    fact (PAIR_FACT_AT_COMMON, d->peer_beyond == 0) |
    fact (PAIR_FACT_PEER_WROTE, wrote_beyond (peer, d->common.seq));
}

/* Does a command allow that the peer loses all it holds beyond SEQ? */
static bool
names_peer (const struct pair_view *self, const struct pair_view *peer,
            uint64_t seq)
{
  return uuid_equal (&self->loser, &peer->volume) && self->loser_keeps <= seq;
}

static uint32_t
collect_facts (const struct pair_view *self, const struct pair_view *peer,
               struct pair_decision *d)
{
  bool peer_new = peer->history.last_seq == 0;
  bool same_content = uuid_equal (&self->content, &peer->content);
  bool has_staged = !point_is_null (peer->staged);
  bool staged_lost;
  uint32_t facts;

  facts =
    fact (PAIR_FACT_FENCE_HIGHER, peer->fence > self->fence) |
    fact (PAIR_FACT_TWO_VOLUMES, !uuid_equal (&self->volume, &peer->volume)) |
    fact (PAIR_FACT_SELF_PRIMARY, self->role == PAIR_ROLE_PRIMARY) |
    fact (PAIR_FACT_PEER_RECEIVES, peer->role == PAIR_ROLE_SECONDARY ||
                                   peer->role == PAIR_ROLE_FENCED) |
    fact (PAIR_FACT_PEER_PRIMARY, peer->role == PAIR_ROLE_PRIMARY) |
    fact (PAIR_FACT_FENCE_LOWER, peer->fence < self->fence) |
    fact (PAIR_FACT_SAME_SIZE, self->size == peer->size) |
    fact (PAIR_FACT_PEER_NEW, peer_new) |
    fact (PAIR_FACT_SAME_CONTENT, same_content);

  if (!view_check (self) || !view_check (peer))
    return facts;

  if (peer_new || !same_content) {
    facts |= fact (PAIR_FACT_WELL_FORMED, true);
    d->peer_beyond = peer->history.last_seq;
    d->self_beyond = self->history.last_seq;
  }
  else
    facts |= history_facts (self, peer, d);

  staged_lost = has_staged &&
    !(same_content && pair_history_contains (&self->history, peer->staged));
  facts |= fact (PAIR_FACT_COMMAND, names_peer (self, peer, d->common.seq));
  d->from = has_staged && !staged_lost ? peer->staged : d->common;
  return facts |
    fact (PAIR_FACT_STAGED_LOST, staged_lost) |
    fact (PAIR_FACT_JOURNAL_HOLDS, journal_holds (self, d->from.seq));
}

static bool
pattern_matches (const char *pattern, uint32_t facts)
{
  unsigned f;

  for (f = 0; f < PAIR_FACT_COUNT; ++f)
    if (pattern[f] != '-' && (pattern[f] == '1') != ((facts >> f) & 1))
      return false;
  return true;
}

unsigned
pair_rules_matching (uint32_t facts, enum pair_rule *ret)
{
  unsigned n = 0, r;

  for (r = PAIR_RULE_UNSET + 1; r < PAIR_RULE_COUNT; ++r)
    if (pattern_matches (rules[r].pattern, facts)) {
      *ret = r;
      ++n;
    }
  return n;
}

struct pair_decision
pair_decide (const struct pair_view *self, const struct pair_view *peer)
{
  struct pair_decision d = { .rule = PAIR_RULE_UNSET };

  d.facts = collect_facts (self, peer, &d);
  pair_rules_matching (d.facts, &d.rule);
  d.action = rules[d.rule].action;
  if (d.action != PAIR_ACTION_STREAM && d.action != PAIR_ACTION_DROP_STREAM)
    d.from = (struct pair_point) { 0, 0 };
  return d;
}

static const struct rule *
rule_of (enum pair_rule rule)
{
  return &rules[(unsigned) rule < PAIR_RULE_COUNT ? rule : PAIR_RULE_UNSET];
}

const char *
pair_rule_string (enum pair_rule rule)
{
  return rule_of (rule)->string;
}

const char *
pair_rule_pattern (enum pair_rule rule)
{
  return rule_of (rule)->pattern;
}

const char *
pair_rule_meaning (enum pair_rule rule)
{
  return rule_of (rule)->meaning;
}

enum pair_action
pair_rule_action (enum pair_rule rule)
{
  return rule_of (rule)->action;
}

const char *
pair_action_string (enum pair_action action)
{
  return actions[(unsigned) action < PAIR_ACTION_COUNT ? action : 0].string;
}

const char *
pair_action_meaning (enum pair_action action)
{
  return actions[(unsigned) action < PAIR_ACTION_COUNT ? action : 0].meaning;
}

bool
pair_action_drops_staged (enum pair_action action)
{
  return action == PAIR_ACTION_DROP_STREAM ||
    action == PAIR_ACTION_DROP_DELTA ||
    action == PAIR_ACTION_DROP_INITIAL;
}

const char *
pair_role_string (enum pair_role role)
{
  return role_strings[(unsigned) role < PAIR_ROLE_COUNT ? role : 0];
}

enum pair_role
pair_role_parse (const char *str)
{
  unsigned i;

  for (i = PAIR_ROLE_UNSET + 1; i < PAIR_ROLE_COUNT; ++i)
    if (strcmp (str, role_strings[i]) == 0)
      return i;
  return PAIR_ROLE_UNSET;
}

/* A string that grows in a buffer of the caller; what does not fit is cut. */
struct line {
  char *buf;
  size_t size, len;
};

static void __attribute__ ((format (printf, 2, 3)))
add (struct line *line, const char *fmt, ...)
{
  va_list args;
  int r;

  va_start (args, fmt);
  r = vsnprintf (line->buf + line->len, line->size - line->len, fmt, args);
  va_end (args);
  if (r > 0)
    line->len += (size_t) r < line->size - line->len
      ? (size_t) r : line->size - line->len - 1;
}

static void
add_point (struct line *line, const char *name, struct pair_point p)
{
  add (line, " %s=%016" PRIx64 ":%" PRIu64, name, p.generation, p.seq);
}

static void
add_uuid (struct line *line, const char *name, const struct uuid *uuid)
{
  char str[UUID_STRING_SIZE];

  uuid_format (uuid, str);
  add (line, "%s%s", name, str);
}

static void
add_view (struct line *line, const char *name, const struct pair_view *view)
{
  const struct pair_history *h = &view->history;
  uint32_t i;

  add (line, " %s={", name);
  add_uuid (line, "volume=", &view->volume);
  add_uuid (line, " content=", &view->content);
  add (line, " size=%" PRIu64 " role=%s fence=%" PRIu64
       " journal-from=%" PRIu64, view->size, pair_role_string (view->role),
       view->fence, view->journal_from);
  add_uuid (line, " loser=", &view->loser);
  add (line, " loser-keeps=%" PRIu64, view->loser_keeps);
  add_point (line, "staged", view->staged);
  add (line, " last=%" PRIu64 " history=[", h->last_seq);
  for (i = 0; i < h->count && i < PAIR_HISTORY_MAX; ++i) {
    add (line, "%s%016" PRIx64 "@%" PRIu64, i ? " " : "",
         h->generation[i].id, h->generation[i].first_seq);
    add_uuid (line, "/", &h->generation[i].writer);
  }
  add (line, "]}");
}

const char *
pair_decide_format (const struct pair_view *self, const struct pair_view *peer,
                    const struct pair_decision *decision,
                    char *ret, size_t size)
{
  struct line line = { ret, size, 0 };
  char facts[PAIR_FACT_COUNT + 1];
  unsigned f;

  if (size == 0)
    return ret;
  ret[0] = '\0';
  for (f = 0; f < PAIR_FACT_COUNT; ++f)
    facts[f] = (decision->facts >> f) & 1 ? fact_letters[f] : '-';
  facts[f] = '\0';

  add (&line, "decide: rule=%s action=%s facts=%s",
       pair_rule_string (decision->rule),
       pair_action_string (decision->action), facts);
  add_point (&line, "common", decision->common);
  add_point (&line, "from", decision->from);
  add (&line, " self-beyond=%" PRIu64 " peer-beyond=%" PRIu64,
       decision->self_beyond, decision->peer_beyond);
  add_view (&line, "self", self);
  add_view (&line, "peer", peer);
  return ret;
}

/* Statuses of a pair as a person meets them: what each means and what to do
 * next.  Names, kinds and meanings are those of pair/states.h; a status that
 * is not listed there (a newer agent's) is shown as it is and waited through.
 */

#include <config.h>

#include <string.h>

#include "cli.h"
#include "states.h"

static const struct {
  const char *name;
  enum pair_kind kind;
  const char *meaning;
} states[] = {
#define X(name, string, kind, metric, meaning)          \
  [PAIR_##name] = { string, PAIR_KIND_##kind, meaning },
  PAIR_STATUSES (X)
#undef X
};

static const char *const next_steps[PAIR_STATUS_COUNT] = {
  [PAIR_CREATED] = "pairctl pair start %s",
  [PAIR_CREATE_FAILED] = "pairctl pair delete %s",
  [PAIR_INITIAL_SYNCING] = "pairctl pair progress %s",
  [PAIR_MANUAL_SYNCING] = "pairctl pair progress %s",
  [PAIR_SYNCING] = "pairctl pair progress %s",
  [PAIR_STOPPED] = "pairctl pair start %s",
  [PAIR_STOP_FAILED] = "pairctl pair stop %s",
  [PAIR_FAILOVERED] = "use the disk (pairctl disk list shows its URI), then: "
    "pairctl pair reprotect %s [--cancel]",
  [PAIR_FAILOVER_FAILED] = "pairctl pair failover %s, or pair delete",
  [PAIR_REPROTECT_FAILED] = "pairctl pair reprotect %s [--cancel], "
    "or pair delete",
  [PAIR_DELETE_FAILED] = "pairctl pair delete %s",
  [PAIR_INVALID] = "pairctl pair delete %s, then create a new pair",
};

static enum pair_status
find (const char *name, size_t len)
{
  unsigned i;

  for (i = 1; i < PAIR_STATUS_COUNT; ++i)
    if (strlen (states[i].name) == len &&
        strncmp (states[i].name, name, len) == 0)
      return i;
  return PAIR_STATUS_UNSET;
}

bool
state_is_known (const char *name, size_t len)
{
  return find (name, len) != PAIR_STATUS_UNSET;
}

bool
state_is_moving (const char *name)
{
  enum pair_status s = find (name, strlen (name));

  return s == PAIR_STATUS_UNSET || states[s].kind == PAIR_KIND_PASSING ||
    (states[s].kind == PAIR_KIND_ACTIVE && s != PAIR_NORMAL);
}

bool
state_is_resting (const char *name)
{
  enum pair_kind kind = states[find (name, strlen (name))].kind;

  return kind == PAIR_KIND_RESTING || kind == PAIR_KIND_GONE;
}

bool
state_is_wrong (const char *name)
{
  return pair_status_is_wrong (find (name, strlen (name)));
}

const char *
state_meaning (const char *name)
{
  enum pair_status s = find (name, strlen (name));

  return s == PAIR_STATUS_UNSET ? "" : states[s].meaning;
}

const char *
state_next (const char *name)
{
  return next_steps[find (name, strlen (name))];
}

const char *
state_names (void)
{
  return ""
#define X(name, string, kind, metric, meaning) string " "
    PAIR_STATUSES (X)
#undef X
    ;
}

bool
states_contain (const char *list, const char *name)
{
  size_t len = strlen (name);
  const char *p = list;

  while (*p) {
    size_t n = strcspn (p, ",");

    if (n == len && strncmp (p, name, n) == 0)
      return true;
    p += n + (p[n] == ',');
  }
  return false;
}

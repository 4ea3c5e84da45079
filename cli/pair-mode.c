/* How data gets to the copy of a pair: the options of create and modify that
 * say so, and what is shown of it.
 */

#include <config.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "size.h"

#define SECONDS_MAX 43200

/* Whole seconds, MIN to MAX; false after a usage error. */
static bool
seconds_option (struct cli *cli, const char *name, double min, double max,
                char *ret, size_t size)
{
  const char *value = args_value (cli, name);
  double seconds;

  ret[0] = '\0';
  if (value == NULL)
    return true;
  if (min <= 0 && (strcmp (value, "0") == 0 || strcmp (value, "0s") == 0))
    seconds = 0;                /* which is no time */
  else if (!duration_parse (value, &seconds) || seconds < min ||
           seconds > max || seconds > rint (seconds) ||
           seconds < rint (seconds)) {
    usage_error (cli, "'--%s %s' is not a time of whole seconds from %.0f to "
                 "%.0f", name, value, min, max);
    return false;
  }
  snprintf (ret, size, "%.0f", seconds);
  return true;
}

static bool
word_option (struct cli *cli, const char *name, const char *one,
             const char *other, const char **ret)
{
  const char *value = args_value (cli, name);

  *ret = value;
  if (value == NULL || strcmp (value, one) == 0 || strcmp (value, other) == 0)
    return true;
  usage_error (cli, "'--%s %s' is neither %s nor %s", name, value, one,
               other);
  return false;
}

bool
mode_options_get (struct cli *cli, struct mode_options *ret)
{
  const char *connections = args_value (cli, "connections");

  if (!word_option (cli, "mode", "async", "sync", &ret->mode) ||
      !word_option (cli, "on-peer-loss", "suspend", "degrade",
                    &ret->on_peer_loss) ||
      !seconds_option (cli, "interval", 0, SECONDS_MAX, ret->interval,
                       sizeof ret->interval) ||
      !seconds_option (cli, "dead-seconds", 2, 600, ret->dead,
                       sizeof ret->dead) ||
      !seconds_option (cli, "proof", 2, 3600, ret->proof, sizeof ret->proof))
    return false;
  if (connections && (strlen (connections) != 1 || *connections < '1' ||
                      *connections > '8')) {
    usage_error (cli, "'--connections %s' is not a number from 1 to 8",
                 connections);
    return false;
  }
  ret->connections = connections;
  return true;
}

static const char *
or_null (const char *text)
{
  return *text ? text : NULL;
}

bool
mode_options_params (const struct mode_options *o,
                     struct param ret[MODE_PARAMS])
{
  const struct param params[MODE_PARAMS] = {
    { "ReplicationMode", o->mode },
    { "OnPeerLoss", o->on_peer_loss },
    { "CommitInterval", or_null (o->interval) },
    { "Connections", o->connections },
    { "DeadSeconds", or_null (o->dead) },
    { "ProofSeconds", or_null (o->proof) },
  };
  bool any = false;
  size_t i;

  for (i = 0; i < MODE_PARAMS; ++i) {
    ret[i] = params[i];
    any |= params[i].value != NULL;
  }
  return any;
}

/* ------------------------------------------------------------------ */

/* What a state of the mode means to who waits for a flush. */
static const char *
state_text (const char *state)
{
  static const struct { const char *state, *text; } texts[] = {
    { "in-sync", "every flush is at both sites" },
    { "catching-up", "not in sync yet: flushes do not wait for the copy" },
    { "suspended", "the copy is away: flushes wait for it" },
    { "degraded", "the copy is away: flushes do not wait for it" },
    { "leaving", "the copy has not been told yet: flushes wait" },
    { "abandoning", "the copy could not be told: flushes wait until it "
      "claims no more to have them all" },
  };
  size_t i;

  for (i = 0; state && i < sizeof texts / sizeof texts[0]; ++i)
    if (strcmp (texts[i].state, state) == 0)
      return texts[i].text;
  return NULL;
}

const char *
rpo_zero_text (const json_t *object)
{
  const char *zero = get_string (object, "RpoZero");
  const char *reason = get_string (object, "RpoZeroReason");

  if (zero == NULL)
    return NULL;
  if (strcmp (zero, "proven") == 0)
    return "proven: no flush that was acknowledged is missing here";
  return reason && strcmp (reason, "lapsed") == 0
    ? "unknown: the primary has not been heard for so long that it may have "
    "been told to go on alone; if it was not, none is missing"
    : "unknown: flushes did not wait for this site";
}

static void
state_fact (struct table *t, const json_t *pair)
{
  const char *state = get_string (pair, "ModeState");
  const char *text = state_text (state);
  char seconds_text[TEXT_SIZE];
  double seconds;
  uint64_t waiting;

  if (state == NULL || strcmp (state, "off") == 0)
    return;
  if (get_double (pair, "HoldSeconds", &seconds) && text)
    fact_printf (t, "mode is", "%s: %s, %s more", state, text,
                 seconds_format (seconds, seconds_text));
  else if (get_uint (pair, "WaitingFlushes", &waiting) && waiting > 0 && text)
    fact_printf (t, "mode is", "%s: %s (%llu now)", state, text,
                 (unsigned long long) waiting);
  else
    fact_printf (t, "mode is", "%s%s%s", state, text ? ": " : "",
                 text ? text : "");
}

void
mode_facts (struct table *t, const json_t *pair)
{
  const char *mode = get_string (pair, "ReplicationMode");
  const char *loss = get_string (pair, "OnPeerLoss");
  char text[TEXT_SIZE];
  uint64_t connections, kbps;
  double interval = 0, dead;

  if (mode == NULL)
    return;
  if (strcmp (mode, "sync") == 0)
    fact_printf (t, "mode", "sync, %s when the copy is lost",
                 or_unknown (loss));
  else if (get_double (pair, "CommitInterval", &interval) && interval > 0)
    fact_printf (t, "mode", "async, a commit every %s",
                 seconds_format (interval, text));
  else
    fact (t, "mode", "async, continuous");
  state_fact (t, pair);
  if (get_uint (pair, "Connections", &connections) &&
      get_double (pair, "DeadSeconds", &dead))
    fact_printf (t, "connections", "%llu, given up when silent for %s",
                 (unsigned long long) connections,
                 seconds_format (dead, text));
  if (get_uint (pair, "Bandwidth", &kbps) && kbps > 0)
    fact_printf (t, "bandwidth", "%llu kbit/s at most",
                 (unsigned long long) kbps);
  if (rpo_zero_text (pair))
    fact (t, "rpo zero", rpo_zero_text (pair));
}

/* How the data of a pair gets to its copy: mode, interval, connections, what
 * is beyond the vendor's API (see mode.h, docs/design/agent-api.md).
 *
 * The values are the record's, so both sites have them, and whichever is the
 * source gives them to its plugin.
 */

#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <jansson.h>

#include "actions.h"
#include "apierror.h"
#include "log.h"
#include "mode.h"
#include "names.h"
#include "params.h"
#include "record.h"
#include "states.h"
#include "values.h"

#define INTERVAL_MAX (RPO_SECONDS_MAX / 2)

/* As in the plugin (replica/options.h, replica/sync.h); 0 is the default. */
#define CONNECTIONS 1
#define CONNECTIONS_MAX 8
#define DEAD_SECONDS 5
#define DEAD_SECONDS_MIN 2
#define DEAD_SECONDS_MAX 600
#define PROOF_SECONDS 300
#define PROOF_SECONDS_MIN 2
#define PROOF_SECONDS_MAX 3600

/* ------------------------------------------------------------------ */
/* Parameters.                                                          */

static const char *
given (const struct request *req, const char *name)
{
  const char *value = params_get (&req->params, name);

  return value && *value ? value : NULL;
}

static bool
bad (struct answer *answer, const char *name, const char *hint)
{
  answer_error (answer, API_INVALID_PARAMETER, name, "%s", hint);
  return false;
}

/* Not given: *RET stays. */
static bool
parse_word (const struct request *req, const char *name, const char *no,
            const char *yes, uint64_t *ret)
{
  const char *value = given (req, name);

  if (value == NULL)
    return true;
  if (strcmp (value, no) != 0 && strcmp (value, yes) != 0)
    return false;
  *ret = strcmp (value, yes) == 0;
  return true;
}

static bool
parse_number (const struct request *req, const char *name, uint64_t min,
              uint64_t max, uint64_t *ret)
{
  const char *value = given (req, name);
  uint64_t n;

  if (value == NULL)
    return true;
  if (!uint_parse (value, max, &n) || n < min)
    return false;
  *ret = n;
  return true;
}

bool
mode_parse (const struct request *req, struct record *rec,
            struct answer *answer)
{
  uint64_t force = 0;

  if (!parse_word (req, "ReplicationMode", "async", "sync", &rec->sync))
    return bad (answer, "ReplicationMode", "give async or sync");
  if (!parse_word (req, "OnPeerLoss", "degrade", "suspend", &rec->suspends))
    return bad (answer, "OnPeerLoss", "give suspend or degrade");
  if (!parse_number (req, "CommitInterval", 0, INTERVAL_MAX,
                     &rec->commit_interval))
    return bad (answer, "CommitInterval", "give seconds, at most half of the "
                "RPO; 0: continuously");
  if (!parse_number (req, "Connections", 1, CONNECTIONS_MAX,
                     &rec->connections))
    return bad (answer, "Connections", "give a number from 1 to 8");
  if (!parse_number (req, "DeadSeconds", DEAD_SECONDS_MIN, DEAD_SECONDS_MAX,
                     &rec->dead_seconds))
    return bad (answer, "DeadSeconds", "give seconds, from 2 to 600");
  if (!parse_number (req, "ProofSeconds", PROOF_SECONDS_MIN,
                     PROOF_SECONDS_MAX, &rec->proof_seconds))
    return bad (answer, "ProofSeconds", "give seconds, from 2 to 3600");
  if (!parse_word (req, "Force", "false", "true", &force))
    return bad (answer, "Force", "give true or false");
  rec->mode_force = force;
  return true;
}

bool
mode_fits (const struct record *rec, struct answer *answer)
{
  if (2 * rec->commit_interval <= rec->rpo)
    return true;
  return bad (answer, "CommitInterval", "it must be at most half of the RPO, "
              "for what is committed takes time to get there");
}

bool
mode_is_all (const struct request *req)
{
  static const char *const ours[] = {
    "ReplicationMode", "OnPeerLoss", "CommitInterval", "Connections",
    "DeadSeconds", "ProofSeconds", "Bandwidth", NULL
  };
  static const char *const others[] = {
    "PairName", "Description", "ResourceGroupId", "RPO", "EnableRtc", NULL
  };
  size_t i;

  for (i = 0; others[i]; ++i)
    if (given (req, others[i]))
      return false;
  for (i = 0; ours[i]; ++i)
    if (given (req, ours[i]))
      return true;
  return false;
}

/* ------------------------------------------------------------------ */
/* To the plugin.                                                       */

static const char *
mode_word (const struct record *rec)
{
  return rec->sync ? "sync" : "async";
}

static const char *
loss_word (const struct record *rec)
{
  return rec->suspends ? "suspend" : "degrade";
}

static uint64_t
proof_seconds (const struct record *rec)
{
  return rec->proof_seconds ? rec->proof_seconds : PROOF_SECONDS;
}

/* Kbit/s of the vendor's API; 0 is as much as there is. */
static uint64_t
limit_bps (const struct record *rec)
{
  return rec->bandwidth * 1000 / 8;
}

/* A weaker promise than the peer was told of has not come into force. */
static bool
is_stuck (const struct record *rec, const json_t *mode)
{
  const char *state = json_text (mode, "state");

  return strcmp (state, "leaving") == 0 ||
    (strcmp (state, "suspended") == 0 && rec->sync && !rec->suspends);
}

json_t *
mode_request (const struct record *rec, const json_t *status)
{
  const json_t *mode = json_object_get (status, "mode");

  if (!json_is_object (mode))
    return NULL;
  if (strcmp (json_text (mode, "mode"), mode_word (rec)) != 0 ||
      strcmp (json_text (mode, "on_peer_loss"), loss_word (rec)) != 0 ||
      json_u64 (mode, "proof_seconds") != proof_seconds (rec) ||
      json_u64 (mode, "interval_seconds") != rec->commit_interval ||
      (rec->mode_force && is_stuck (rec, mode)))
    return json_pack ("{s:s, s:s, s:s, s:I, s:I, s:b}", "op", "link.mode",
                      "mode", mode_word (rec),
                      "on_peer_loss", loss_word (rec),
                      "proof_seconds", (json_int_t) proof_seconds (rec),
                      "interval_seconds",
                      (json_int_t) rec->commit_interval,
                      "force", (int) (rec->mode_force != 0));
  if (json_u64 (mode, "limit_bps") != limit_bps (rec))
    return json_pack ("{s:s, s:I}", "op", "link.limit", "limit_bps",
                      (json_int_t) limit_bps (rec));
  return NULL;
}

void
mode_add_to_start (const struct record *rec, json_t *start)
{
  if (rec->connections)
    json_object_set_new (start, "connections",
                         json_integer (rec->connections));
  if (rec->dead_seconds)
    json_object_set_new (start, "dead_seconds",
                         json_integer (rec->dead_seconds));
}

/* ------------------------------------------------------------------ */
/* To people.                                                           */

static void
describe_state (const struct record *rec, const json_t *mode, json_t *object)
{
  const char *state = json_text (mode, "state");
  uint64_t since = json_u64 (mode, "degraded_ns");

  json_object_set_new (object, "ModeState", json_string (state));
  json_object_set_new (object, "WaitingFlushes",
                       json_integer (json_u64 (mode, "waiting")));
  if (json_u64 (mode, "hold_ms") > 0)
    json_object_set_new (object, "HoldSeconds",
                         json_real (json_u64 (mode, "hold_ms") / 1000.0));
  if (rec->sync)
    json_object_set_new (object, "Degraded",
                         json_boolean (strcmp (state, "degraded") == 0));
  if (since > 0)
    json_object_set_new (object, "DegradedSince",
                         json_integer (since / 1000000000));
}

void
mode_describe_zero (const json_t *status, json_t *object)
{
  const json_t *source = json_object_get (status, "source");

  if (!json_is_object (source))
    return;
  json_object_set_new (object, "RpoZero",
                       json_string (json_text (source, "rpo_zero")));
  if (*json_text (source, "rpo_zero_reason"))
    json_object_set (object, "RpoZeroReason",
                     json_object_get (source, "rpo_zero_reason"));
}

void
mode_describe (const struct record *rec, const json_t *status,
               json_t *object)
{
  const json_t *mode = json_object_get (status, "mode");
  json_t *values;

  values = json_pack ("{s:s, s:s, s:I, s:I, s:I, s:I}",
                      "ReplicationMode", mode_word (rec),
                      "OnPeerLoss", loss_word (rec),
                      "CommitInterval", (json_int_t) rec->commit_interval,
                      "Connections", (json_int_t)
                      (rec->connections ? rec->connections : CONNECTIONS),
                      "DeadSeconds", (json_int_t)
                      (rec->dead_seconds ? rec->dead_seconds : DEAD_SECONDS),
                      "ProofSeconds", (json_int_t) proof_seconds (rec));
  json_object_update (object, values);
  json_decref (values);
  if (pair_status_kind (rec->status) != PAIR_KIND_ACTIVE)
    return;
  if (strcmp (json_text (status, "role"), "primary") == 0 &&
      json_is_object (mode))
    describe_state (rec, mode, object);
  mode_describe_zero (status, object);
}

enum zero
mode_loss_zero (const json_t *loss)
{
  if (strcmp (json_text (loss, "rpo_zero"), "proven") == 0)
    return ZERO_PROVEN;
  return strcmp (json_text (loss, "rpo_zero_reason"), "lapsed") == 0
    ? ZERO_LAPSED : ZERO_UNKNOWN;
}

const char *
zero_string (enum zero zero)
{
  return zero == ZERO_PROVEN ? "proven" : "unknown";
}

const char *
zero_reason (enum zero zero)
{
  return zero == ZERO_LAPSED ? "lapsed" : "no-promise";
}

const char *
mode_event (const char *from, const char *to, enum log_level *ret_level)
{
  static const struct {
    const char *state, *kind;
    enum log_level level;
  } kinds[] = {
    { "in-sync", "mode-in-sync", LOG_LEVEL_INFO },
    { "suspended", "mode-suspended", LOG_LEVEL_ERROR },
    { "degraded", "mode-degraded", LOG_LEVEL_ERROR },
    { "abandoning", "mode-abandoning", LOG_LEVEL_WARNING },
    { "off", "mode-async", LOG_LEVEL_INFO },
  };
  size_t i;

  /* A link that is stopped, or an agent that has just begun, is no news. */
  if (strcmp (to, "off") == 0 && (*from == '\0' ||
                                  strcmp (from, "catching-up") == 0))
    return NULL;
  for (i = 0; i < sizeof kinds / sizeof kinds[0]; ++i)
    if (strcmp (kinds[i].state, to) == 0) {
      *ret_level = kinds[i].level;
      return kinds[i].kind;
    }
  return NULL;
}

/* Following a pair until it is where somebody wants it.
 *
 * The agent is asked again and again: quickly at first, since most work is
 * short.  An agent that goes away in between may be being restarted, so that
 * is borne for a while; the pair's own way through its states goes on
 * without it.
 */

#include <config.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "cli.h"
#include "clock.h"

#define ASK_FIRST_MS 50
#define ASK_MAX_MS 500
#define AGENT_AWAY_NS (15 * NS_PER_SEC)

/* The pair by id; *RET NULL when it is gone. */
static int
ask_pair (struct cli *cli, const char *id, json_t **ret, struct failure *f)
{
  const struct param params[] = { { "PairIds", id }, { NULL, NULL } };
  json_t *list = client_list (cli, "DescribeDiskReplicaPairs", params,
                              "ReplicaPairs", 1, f);

  if (list == NULL)
    return -1;
  *ret = json_incref (json_array_get (list, 0));
  json_decref (list);
  return 0;
}

/* Bytes when the agent knows them, else percent.  Not knowing is no failure:
 * a status may have no progress.
 */
static void
show_progress (struct cli *cli, struct progress *p, const char *id,
               const char *status)
{
  const struct param params[] = { { "ReplicaPairId", id }, { NULL, NULL } };
  struct failure ignored;
  uint64_t done, total;
  json_t *o;

  if (!p->has_bar && p->fd == -1)
    return;
  o = client_read (cli, "DescribeDiskReplicaPairProgress", params, &ignored);
  if (get_uint (o, "DoneBytes", &done) && get_uint (o, "TotalBytes", &total)
      && total > 0)
    progress_update (p, status, done, total, false);
  else if (get_uint (o, "Progress", &done))
    progress_update (p, status, done, 100, true);
  else
    progress_update (p, status, 0, 0, true);
  json_decref (o);
}

static void
nap (unsigned ms, uint64_t deadline_ns)
{
  uint64_t now = clock_mono_ns (), ns = ms * NS_PER_MSEC;
  struct timespec ts;

  if (deadline_ns && now < deadline_ns && deadline_ns - now < ns)
    ns = deadline_ns - now;
  ts = (struct timespec) { ns / NS_PER_SEC, ns % NS_PER_SEC };
  nanosleep (&ts, NULL);
}

/* "'syncing' (the link is waiting: connection refused)" */
static char *
describe_status (const json_t *pair)
{
  const char *status = get_string (pair, "Status");
  const char *link = get_string (pair, "LinkState");
  const char *reason = get_string (pair, "LinkReason");
  const char *message = get_string (pair, "StatusMessage");

  if (message)
    return text_printf ("'%s' (%s)", status ? status : "unknown", message);
  if (link && reason)
    return text_printf ("'%s' (the link is %s: %s)",
                        status ? status : "unknown", link, reason);
  return text_printf ("'%s'", status ? status : "unknown");
}

enum verdict { GO_ON = 0, REACHED, HOPELESS };

static enum verdict
judge_status (const char *status, const char *states, bool is_strict)
{
  if (strcmp (states, WAIT_ANY_END) == 0)
    return state_is_moving (status) ? GO_ON : REACHED;
  if (states_contain (states, status))
    return REACHED;
  if (state_is_wrong (status) || (is_strict && state_is_resting (status)))
    return HOPELESS;
  return GO_ON;
}

static int
gone (const char *states, json_t **ret, struct failure *f)
{
  if (states_contain (states, "deleted")) {
    *ret = NULL;
    return 0;
  }
  failure_set (f, EXIT_FAILED, "NoSuchResource", "see 'pairctl event list'",
               "it was deleted");
  return -1;
}

static void
timed_out (struct cli *cli, const json_t *pair, struct failure *f)
{
  CLEANUP_FREE char *text = describe_status (pair);
  const char *status = get_string (pair, "Status");
  char time_text[TEXT_SIZE];

  failure_set (f, EXIT_TIMEOUT, NULL,
               status && state_is_resting (status)
               ? "nothing happens by itself in this status; see 'pairctl "
               "pair show'"
               : "it goes on without being waited for; see 'pairctl pair "
               "show'",
               "after %s it is %s",
               seconds_format (cli->timeout_s, time_text), text);
}

/* The time is over, and the agent never told of the pair: WHY is of the last
 * question.
 */
static void
never_heard (struct cli *cli, const char *why, struct failure *f)
{
  char time_text[TEXT_SIZE];

  failure_set (f, EXIT_TIMEOUT, NULL,
               "what was begun goes on by itself; see that paird runs, then "
               "'pairctl pair show'",
               "nothing was heard of it from the agent in %s: %s",
               seconds_format (cli->timeout_s, time_text), why);
}

static bool
is_over (const struct cli *cli)
{
  return cli->deadline_ns && clock_mono_ns () >= cli->deadline_ns;
}

static int
follow (struct cli *cli, struct progress *p, const char *id,
        const char *states, bool is_strict, json_t **ret, struct failure *f)
{
  uint64_t heard = clock_mono_ns ();
  unsigned nap_ms = ASK_FIRST_MS;
  json_t *pair = NULL, *newer;
  char why[sizeof f->message] = "";

  for (;;) {
    if (ask_pair (cli, id, &newer, f) == 0) {
      const char *status = get_string (newer, "Status");

      heard = clock_mono_ns ();
      json_decref (pair);
      pair = newer;
      if (pair == NULL || (status && strcmp (status, "deleted") == 0)) {
        json_decref (pair);
        return gone (states, ret, f);
      }
      switch (judge_status (status ? status : "", states, is_strict)) {
      case REACHED:
        *ret = pair;
        return 0;
      case HOPELESS: {
        CLEANUP_FREE char *text = describe_status (pair);

        failure_set (f, EXIT_FAILED, NULL, "see 'pairctl pair show'",
                     "it is %s", text);
        json_decref (pair);
        return -1;
      }
      case GO_ON:
        show_progress (cli, p, id, status ? status : "unknown");
      }
    }
    else if (f->exit_code != EXIT_NOAGENT ||
             (clock_mono_ns () - heard > AGENT_AWAY_NS &&
              cli->deadline_ns == 0)) {
      json_decref (pair);
      return -1;
    }
    else if (*why == '\0' || !is_over (cli))
      snprintf (why, sizeof why, "%s", f->message);
    if (is_over (cli)) {
      if (pair)
        timed_out (cli, pair, f);
      else
        never_heard (cli, why, f);
      json_decref (pair);
      return -1;
    }
    nap (nap_ms, cli->deadline_ns);
    nap_ms = nap_ms * 3 / 2 < ASK_MAX_MS ? nap_ms * 3 / 2 : ASK_MAX_MS;
  }
}

int
pair_wait (struct cli *cli, const char *id, const char *states,
           bool is_strict, json_t **ret, struct failure *f)
{
  struct progress p;
  int r;

  progress_init (&p, cli);
  r = follow (cli, &p, id, states, is_strict, ret, f);
  progress_end (&p);
  return r;
}

/* Following a disk's long work, a scrub or a verification, to its end. */

#include <config.h>

#include <string.h>
#include <time.h>

#include "cli.h"
#include "clock.h"

#define ASK_MS 300

/* The work that KEY names of DISK (a reference is taken from it), or NULL: F
 * is filled.
 */
static json_t *
work_of (json_t *disk, const char *key, struct failure *f)
{
  json_t *work = json_object_get (json_object_get (disk, "Detail"), key);

  if (json_is_object (work))
    json_incref (work);
  else {
    work = NULL;
    failure_set (f, EXIT_FAILED, NULL, "start it again",
                 "the disk's server was started anew and knows of none");
  }
  json_decref (disk);
  return work;
}

static bool
has_ended (const char *state)
{
  return strcmp (state, "running") != 0 && strcmp (state, "waiting") != 0 &&
    strcmp (state, "repairing") != 0;
}

static bool
is_late (const struct cli *cli)
{
  return cli->deadline_ns && clock_mono_ns () >= cli->deadline_ns;
}

/* WORK is as it was last seen. */
static void
timed_out (struct failure *f, const char *label, const json_t *work)
{
  const char *state = or_unknown (get_string (work, "state"));
  const char *reason = get_string (work, "reason");
  uint64_t done = 0, total = 0;

  get_uint (work, "done_bytes", &done);
  get_uint (work, "total_bytes", &total);
  failure_set (f, EXIT_TIMEOUT, NULL, "it goes on without being waited for; "
               "see 'pairctl disk show'", "it is %s%sat %.0f%%%s%s",
               label ? "" : state, label ? "" : " ",
               total ? 100. * done / total : 0, reason ? ": " : "",
               reason ? reason : "");
}

json_t *
disk_follow (struct cli *cli, const char *id, const char *key,
             const char *label, struct failure *f)
{
  const struct timespec nap = { 0, ASK_MS * NS_PER_MSEC };
  const char *state;
  struct progress p;
  json_t *disk, *work = NULL;
  uint64_t done = 0, total = 0;
  bool is_over;

  progress_init (&p, cli);
  for (;;) {
    disk = disk_find (cli, id, f);
    is_over = work != NULL && disk == NULL && is_late (cli);
    if (!is_over) {
      json_decref (work);
      work = disk ? work_of (disk, key, f) : NULL;
      if (work == NULL)
        break;
      state = or_unknown (get_string (work, "state"));
      get_uint (work, "done_bytes", &done);
      get_uint (work, "total_bytes", &total);
      progress_update (&p, label ? label : state, done, total, false);
      if (has_ended (state))
        break;
      is_over = is_late (cli);
    }
    if (is_over) {
      timed_out (f, label, work);
      json_decref (work);
      work = NULL;
      break;
    }
    clock_nanosleep (CLOCK_MONOTONIC, 0, &nap, NULL);
  }
  progress_end (&p);
  return work;
}

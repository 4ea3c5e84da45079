/* pairctl event: what happened at a site. */

#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "clock.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 500             /* the agent's */
#define WATCH_MS 200             /* between questions: nobody tells us */

const struct cli_option event_list_options[] = {
  { "pair", "PAIR", false, "only what happened to this pair" },
  { "disk", "DISK", false, "only what happened to this disk" },
  { "after", "ID", false, "only what came after this event" },
  { "limit", "N", false, "at most so many (default 50)" },
  { NULL, NULL, false, NULL }
};

const struct cli_option event_watch_options[] = {
  { "pair", "PAIR", false, "only what happens to this pair" },
  { "disk", "DISK", false, "only what happens to this disk" },
  { "after", "ID", false, "begin after this event (default: now)" },
  { "until", "KIND", false, "end with the first event of this kind" },
  { NULL, NULL, false, NULL }
};

static void
event_row (struct table *t, const json_t *event)
{
  const char *from = get_string (event, "From"), *to = get_string (event, "To");
  const char *message = get_string (event, "Message");
  char text[TEXT_SIZE];
  double ms;
  uint64_t id;

  if (get_uint (event, "EventId", &id))
    table_printf (t, "%" PRIu64, id);
  else
    table_text (t, get_string (event, "EventId"));
  table_text (t, get_double (event, "Time", &ms)
              ? date_format (ms / 1000, text) : NULL);
  table_text (t, get_string (event, "Level"));
  table_text (t, get_string (event, "Actor"));
  table_text (t, get_string (event, "Kind"));
  table_text (t, get_string (event, "ReplicaPairId")
              ? get_string (event, "ReplicaPairId")
              : get_string (event, "DiskId"));
  if (to)
    table_printf (t, "%s%s-> %s%s%s", from ? from : "", from ? " " : "", to,
                  message ? ": " : "", message ? message : "");
  else
    table_text (t, message);
}

static int
print_events (struct cli *cli, json_t *events)
{
  static const struct column columns[] = {
    { "ID", true, false, 0 },
    { "TIME", false, false, 0 },
    { "LEVEL", false, false, 0 },
    { "ACTOR", false, false, 4 },
    { "KIND", false, true, 0 },
    { "OBJECT", false, false, 3 },
    { "MESSAGE", false, true, 0 },
  };
  struct table *t;
  json_t *event;
  size_t i;

  if (cli->json)
    return print_json (json_pack ("{s:o}", "Events", events));
  t = table_new (columns, sizeof columns / sizeof columns[0]);
  json_array_foreach (events, i, event)
    event_row (t, event);
  json_decref (events);
  return table_print (t);
}

/* The id of what --pair and --disk name, into PARAMS[0] and [1], whose values
 * the caller frees.  What is gone has events still: then the word is taken as
 * the id.  0, or an exit code after the error was printed.
 */
static int
name_objects (struct cli *cli, struct param params[2])
{
  const char *pair = args_value (cli, "pair"), *disk = args_value (cli, "disk");
  struct failure f;
  json_t *o;

  params[0] = (struct param) { "ReplicaPairId", NULL };
  params[1] = (struct param) { "DiskId", NULL };
  if (pair) {
    o = pair_find (cli, pair, &f);
    if (o == NULL && f.exit_code != EXIT_REFUSED)
      return fail (&f, "cannot list the events of pair '%s'", pair);
    params[0].value = text_printf ("%s", o ? get_string (o, "ReplicaPairId")
                                   : pair);
    json_decref (o);
  }
  if (disk) {
    o = disk_find (cli, disk, &f);
    if (o == NULL && f.exit_code != EXIT_REFUSED)
      return fail (&f, "cannot list the events of disk '%s'", disk);
    params[1].value = text_printf ("%s", o ? get_string (o, "DiskId") : disk);
    json_decref (o);
  }
  return 0;
}

static void
free_objects (struct param params[2])
{
  free ((char *) params[0].value);
  free ((char *) params[1].value);
}

/* The newest MAX, or those after AFTER (NULL: none given).  NULL: F. */
static json_t *
ask_events (struct cli *cli, const struct param objects[2],
            const char *after, uint64_t max, struct failure *f)
{
  char max_text[24];
  const struct param params[] = {
    { "MaxResults", max_text }, { "AfterId", after }, objects[0], objects[1],
    { NULL, NULL }
  };
  json_t *o, *events;

  snprintf (max_text, sizeof max_text, "%" PRIu64, max);
  o = client_read (cli, "DescribeEvents", params, f);
  events = json_incref (json_object_get (o, "Events"));
  json_decref (o);
  return o && events == NULL ? json_array () : events;
}

int
event_list (struct cli *cli)
{
  uint64_t limit = LIMIT_DEFAULT, after = 0;
  struct param objects[2] = { { NULL, NULL }, { NULL, NULL } };
  char after_text[24];
  struct failure f;
  json_t *events;
  int r;

  if (!args_number (cli, "limit", LIMIT_MAX, &limit) ||
      !args_number (cli, "after", INT64_MAX, &after))
    return EXIT_USAGE;
  if (limit == 0)
    return usage_error (cli, "'--limit 0' would list nothing");
  snprintf (after_text, sizeof after_text, "%" PRIu64, after);
  r = name_objects (cli, objects);
  if (r == 0) {
    events = ask_events (cli, objects,
                         args_value (cli, "after") ? after_text : NULL, limit,
                         &f);
    r = events ? print_events (cli, events) : fail (&f, "cannot list events");
  }
  free_objects (objects);
  return r;
}

/* ------------------------------------------------------------------ */
/* watch                                                                */

/* One line an event: JSON, or what the table would say. */
static void
print_event (struct cli *cli, const json_t *event)
{
  const char *from = get_string (event, "From"), *to = get_string (event, "To");
  const char *message = get_string (event, "Message");
  const char *object = get_string (event, "ReplicaPairId");
  char date[TEXT_SIZE];
  uint64_t id = 0;
  double ms = 0;
  char *text;

  if (cli->json) {
    text = json_dumps (event, JSON_COMPACT);
    print_line ("%s", text ? text : "{}");
    free (text);
  }
  else {
    get_uint (event, "EventId", &id);
    get_double (event, "Time", &ms);
    if (object == NULL || *object == '\0')
      object = get_string (event, "DiskId");
    print_line ("%" PRIu64 " %s %s %s %s%s%s%s%s%s%s%s%s", id,
                date_format (ms / 1000, date),
                or_unknown (get_string (event, "Level")),
                or_unknown (get_string (event, "Kind")),
                object ? object : "-", from && to ? " " : "",
                from && to ? from : "", to ? " -> " : "", to ? to : "",
                message ? ": " : "", message ? message : "",
                " by ", or_unknown (get_string (event, "Actor")));
  }
  fflush (stdout);
}

/* Print EVENTS, keep the last id in AFTER.  True: the one that ends it. */
static bool
follow (struct cli *cli, const json_t *events, char after[24])
{
  const char *until = args_value (cli, "until"), *kind;
  json_t *event;
  uint64_t id;
  size_t i;

  json_array_foreach (events, i, event) {
    print_event (cli, event);
    if (get_uint (event, "EventId", &id))
      snprintf (after, 24, "%" PRIu64, id);
    kind = get_string (event, "Kind");
    if (until && kind && strcmp (kind, until) == 0)
      return true;
  }
  return false;
}

/* The agent went away (F), or is back: said once each. */
static void
tell_away (const struct failure *f, bool *is_away, const char *after)
{
  if (f && !*is_away)
    fprintf (stderr, "pairctl: %s; trying again, to go on after event %s\n",
             f->message, after);
  else if (f == NULL && *is_away)
    fprintf (stderr, "pairctl: the agent answers again: going on after event "
             "%s\n", after);
  *is_away = f != NULL;
}

static bool
is_late (struct cli *cli)
{
  return cli->deadline_ns && clock_mono_ns () >= cli->deadline_ns;
}

/* An agent that is started again has the same events: what happened meanwhile
 * is told when it is back.
 */
int
event_watch (struct cli *cli)
{
  const struct timespec nap = { 0, WATCH_MS * 1000000 };
  struct param objects[2] = { { NULL, NULL }, { NULL, NULL } };
  const struct param all[2] = { { "DiskId", NULL }, { "DiskId", NULL } };
  char after[24] = "0";
  uint64_t number = 0;
  struct failure f;
  json_t *events;
  bool is_over = false, is_away = false;
  int r;

  if (!args_number (cli, "after", INT64_MAX, &number))
    return EXIT_USAGE;
  r = name_objects (cli, objects);
  events = r == 0 ? ask_events (cli, all, NULL, 1, &f) : NULL;
  if (args_value (cli, "after"))
    snprintf (after, sizeof after, "%" PRIu64, number);
  else if (get_uint (json_array_get (events, 0), "EventId", &number))
    snprintf (after, sizeof after, "%" PRIu64, number);
  if (r == 0 && events == NULL)
    r = is_late (cli) ? EXIT_TIMEOUT : fail (&f, "cannot watch events");
  while (r == 0 && !is_over) {
    json_decref (events);
    events = ask_events (cli, objects, after, LIMIT_MAX, &f);
    if (events || f.exit_code == EXIT_NOAGENT)
      tell_away (events ? NULL : &f, &is_away, after);
    if (events)
      is_over = follow (cli, events, after);
    else if (f.exit_code != EXIT_NOAGENT && !is_late (cli))
      r = fail (&f, "cannot watch events");
    if (r == 0 && !is_over && is_late (cli))
      r = EXIT_TIMEOUT;
    else if (r == 0 && !is_over)
      nanosleep (&nap, NULL);
  }
  if (r == EXIT_TIMEOUT && args_value (cli, "until") == NULL)
    r = EXIT_OK;
  json_decref (events);
  free_objects (objects);
  return r;
}

/* pairctl event: what happened at a site. */

#include <config.h>

#include <inttypes.h>

#include "cli.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 500             /* the agent's */

const struct cli_option event_list_options[] = {
  { "pair", "PAIR", false, "only what happened to this pair" },
  { "disk", "DISK", false, "only what happened to this disk" },
  { "after", "ID", false, "only what came after this event" },
  { "limit", "N", false, "at most so many (default 50)" },
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

int
event_list (struct cli *cli)
{
  const char *pair = args_value (cli, "pair"), *disk = args_value (cli, "disk");
  uint64_t limit = LIMIT_DEFAULT, after = 0;
  json_t *pair_object = NULL, *disk_object = NULL, *events;
  char limit_text[24], after_text[24];
  struct failure f;

  if (!args_number (cli, "limit", LIMIT_MAX, &limit) ||
      !args_number (cli, "after", INT64_MAX, &after))
    return EXIT_USAGE;
  if (limit == 0)
    return usage_error (cli, "'--limit 0' would list nothing");
  snprintf (limit_text, sizeof limit_text, "%" PRIu64, limit);
  snprintf (after_text, sizeof after_text, "%" PRIu64, after);

  /* What is gone has events still: then the word is taken as the id. */
  if (pair)
    pair_object = pair_find (cli, pair, &f);
  if (pair && pair_object == NULL && f.exit_code != EXIT_REFUSED)
    return fail (&f, "cannot list the events of pair '%s'", pair);
  if (disk)
    disk_object = disk_find (cli, disk, &f);
  if (disk && disk_object == NULL && f.exit_code != EXIT_REFUSED) {
    json_decref (pair_object);
    return fail (&f, "cannot list the events of disk '%s'", disk);
  }

  const struct param params[] = {
    { "MaxResults", limit_text },
    { "AfterId", args_value (cli, "after") ? after_text : NULL },
    { "ReplicaPairId",
      pair_object ? get_string (pair_object, "ReplicaPairId") : pair },
    { "DiskId", disk_object ? get_string (disk_object, "DiskId") : disk },
    { NULL, NULL }
  };
  json_t *o = client_read (cli, "DescribeEvents", params, &f);
  json_decref (pair_object);
  json_decref (disk_object);
  if (o == NULL)
    return fail (&f, "cannot list events");
  events = json_incref (json_object_get (o, "Events"));
  json_decref (o);
  return print_events (cli, events ? events : json_array ());
}

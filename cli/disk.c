/* pairctl disk: the disks of a site. */

#include <config.h>

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "cli.h"
#include "size.h"

const struct cli_option disk_create_options[] = {
  { "size", "SIZE", true, "what the guest sees: 512M, 20G" },
  { "capacity", "SIZE", false, "room for its journal (default: 3 times the size)" },
  { NULL, NULL, false, NULL }
};

const struct cli_option disk_resize_options[] = {
  { "size", "SIZE", false, "what the guest shall see" },
  { "capacity", "SIZE", false, "room for its journal (default: as it was to the size)" },
  { NULL, NULL, false, NULL }
};

const struct cli_option disk_delete_options[] = {
  { "yes", NULL, false, "do not ask" },
  { NULL, NULL, false, NULL }
};

int
disk_create (struct cli *cli)
{
  uint64_t size = 0, capacity = 0;
  char size_text[SIZE_STRING_SIZE], number[24], capacity_number[24];
  struct failure f;
  json_t *o;

  if (!args_size (cli, "size", &size) ||
      !args_size (cli, "capacity", &capacity))
    return EXIT_USAGE;
  snprintf (number, sizeof number, "%" PRIu64, size);
  snprintf (capacity_number, sizeof capacity_number, "%" PRIu64, capacity);

  const struct param params[] = {
    { "DiskName", cli->arg },
    { "Size", number },
    { "Capacity", args_value (cli, "capacity") ? capacity_number : NULL },
    { NULL, NULL }
  };
  o = client_change (cli, "CreateDisk", params, &f);
  if (o == NULL)
    return fail (&f, "cannot create disk '%s'", cli->arg);
  if (cli->json)
    return print_json (o);
  print_line ("created disk '%s' of %s: %s", cli->arg,
              size_format (size, size_text),
              or_unknown (get_string (o, "DiskId")));
  json_decref (o);
  return EXIT_OK;
}

int
disk_resize (struct cli *cli)
{
  uint64_t size = 0, capacity = 0;
  char size_text[SIZE_STRING_SIZE] = "unknown size";
  char capacity_text[SIZE_STRING_SIZE] = "unknown";
  char number[24], capacity_number[24];
  struct failure f;
  json_t *disk, *o;

  if (!args_size (cli, "size", &size) ||
      !args_size (cli, "capacity", &capacity))
    return EXIT_USAGE;
  if (args_value (cli, "size") == NULL && args_value (cli, "capacity") == NULL)
    return usage_error (cli, "give '--size', '--capacity' or both");
  snprintf (number, sizeof number, "%" PRIu64, size);
  snprintf (capacity_number, sizeof capacity_number, "%" PRIu64, capacity);
  disk = disk_find (cli, cli->arg, &f);
  if (disk == NULL)
    return fail (&f, "cannot resize disk '%s'", cli->arg);

  const struct param params[] = {
    { "DiskId", get_string (disk, "DiskId") },
    { "Size", args_value (cli, "size") ? number : NULL },
    { "Capacity", args_value (cli, "capacity") ? capacity_number : NULL },
    { NULL, NULL }
  };
  o = client_change (cli, "ResizeDisk", params, &f);
  json_decref (disk);
  if (o == NULL)
    return fail (&f, "cannot resize disk '%s'", cli->arg);
  if (cli->json)
    return print_json (o);
  if (get_uint (o, "Size", &size))
    size_format (size, size_text);
  if (get_uint (o, "Capacity", &capacity))
    size_format (capacity, capacity_text);
  json_decref (o);
  return print_line ("disk '%s' has %s now, its journal room for %s",
                     cli->arg, size_text, capacity_text);
}

int
disk_list (struct cli *cli)
{
  static const struct column columns[] = {
    { "NAME", false, true, 0 },
    { "ID", false, false, 4 },
    { "SIZE", true, false, 0 },
    { "USED", true, false, 6 },
    { "ROLE", false, false, 0 },
    { "STATUS", false, false, 1 },
    { "ATTACHED", false, false, 2 },
    { "PAIR", false, false, 3 },
    { "AGE", true, false, 5 },
    { "URI", false, true, 7 },
  };
  struct failure f;
  struct table *t;
  json_t *disks, *disk;
  size_t i;
  bool b;

  disks = client_list (cli, "DescribeDisks", NULL, "Disks", SIZE_MAX, &f);
  if (disks == NULL)
    return fail (&f, "cannot list disks");
  if (cli->json)
    return print_json (json_pack ("{s:o}", "Disks", disks));

  t = table_new (columns, sizeof columns / sizeof columns[0]);
  json_array_foreach (disks, i, disk) {
    table_text (t, get_string (disk, "DiskName"));
    table_text (t, get_string (disk, "DiskId"));
    table_size (t, disk, "Size");
    table_size (t, disk, "Used");
    table_text (t, get_string (disk, "Role"));
    table_text (t, get_string (disk, "Status"));
    table_text (t, get_string (disk, "InstanceId")
                ? : get_bool (disk, "Attached", &b) ? b ? "yes" : "no"
                : "unknown");
    table_text (t, get_string (disk, "ReplicaPairId"));
    table_age (t, disk, "CreateTime");
    table_text (t, get_string (disk, "NbdUri"));
  }
  json_decref (disks);
  return table_print (t);
}

bool
disk_hold_seconds (const json_t *detail, double *ret)
{
  const json_t *mode = json_object_get (detail, "mode");

  if (!get_double (mode, "hold_ms", ret) || *ret <= 0)
    return false;
  *ret /= 1000;
  return true;
}

/* The volume's own words, where the agent passes them on. */
static void
detail_facts (struct table *t, const json_t *detail)
{
  char hold_text[TEXT_SIZE];
  double hold;
  const json_t *guest = json_object_get (detail, "guest");
  const json_t *errors = json_object_get (detail, "errors");
  const json_t *scrub = json_object_get (detail, "scrub");
  const json_t *verify = json_object_get (detail, "verify");
  const json_t *repair = json_object_get (detail, "repair");
  uint64_t a, b, c;

  if (get_uint (detail, "capacity", &a) && get_uint (detail, "live", &b) &&
      get_uint (detail, "room", &c)) {
    char capacity_text[SIZE_STRING_SIZE], live_text[SIZE_STRING_SIZE];
    char room_text[SIZE_STRING_SIZE];

    fact (t, "capacity", size_format (a, capacity_text));
    fact_printf (t, "live", "%s, full with about %s",
                 size_format (b, live_text), size_format (c, room_text));
  }
  if (get_uint (detail, "clients", &a))
    fact_printf (t, "clients", "%" PRIu64, a);
  if (get_uint (guest, "writes", &a) && get_uint (guest, "reads", &b) &&
      get_uint (guest, "flushes", &c))
    fact_printf (t, "guest", "%" PRIu64 " writes, %" PRIu64 " reads, %" PRIu64
                 " flushes", a, b, c);
  if (get_uint (errors, "checksum", &a) && get_uint (errors, "read", &b))
    fact_printf (t, "errors", "%" PRIu64 " checksum, %" PRIu64 " read", a, b);
  if (get_string (scrub, "state") && get_uint (scrub, "done_bytes", &a) &&
      get_uint (scrub, "total_bytes", &b) && get_uint (scrub, "errors", &c))
    fact_printf (t, "scrub", "%s, %.0f%%, %" PRIu64 " bad blocks",
                 get_string (scrub, "state"), b ? 100. * a / b : 100, c);
  if (get_string (verify, "state") && get_uint (verify, "done_bytes", &a) &&
      get_uint (verify, "total_bytes", &b) &&
      get_uint (verify, "differing", &c))
    fact_printf (t, "verify", "%s, %.0f%%, %" PRIu64 " blocks differ%s%s",
                 get_string (verify, "state"), b ? 100. * a / b : 100, c,
                 get_string (verify, "reason") ? ": " : "",
                 get_string (verify, "reason") ? : "");
  if (get_uint (repair, "damaged", &a) && get_uint (repair, "found", &b) &&
      get_uint (repair, "repaired", &c) && b > 0)
    fact_printf (t, "repair", "%" PRIu64 " blocks damaged now, %" PRIu64
                 " found, %" PRIu64 " repaired", a, b, c);
  if (get_string (detail, "failure"))
    fact (t, "failure", get_string (detail, "failure"));
  if (disk_hold_seconds (detail, &hold))
    fact_printf (t, "flushes", "wait %s more, until the copy claims no more "
                 "to have them all", seconds_format (hold, hold_text));
}

int
disk_show (struct cli *cli)
{
  char text[TEXT_SIZE];
  struct failure f;
  struct table *t;
  CLEANUP_FREE char *attached = NULL;
  json_t *disk;
  double created;

  disk = disk_find (cli, cli->arg, &f);
  if (disk == NULL)
    return fail (&f, "cannot show disk '%s'", cli->arg);
  if (cli->json)
    return print_json (json_pack ("{s:o}", "Disk", disk));

  t = facts_new ();
  fact (t, "name", get_string (disk, "DiskName"));
  fact (t, "id", get_string (disk, "DiskId"));
  fact_size (t, "size", disk, "Size");
  fact_size (t, "used", disk, "Used");
  fact (t, "role", get_string (disk, "Role"));
  fact (t, "status", get_string (disk, "Status"));
  attached = attached_text (disk);
  fact (t, "attached", attached);
  fact (t, "pair", get_string (disk, "ReplicaPairId"));
  fact (t, "region", get_string (disk, "RegionId"));
  fact (t, "zone", get_string (disk, "ZoneId"));
  fact (t, "uri", get_string (disk, "NbdUri"));
  fact (t, "created", get_double (disk, "CreateTime", &created)
        ? date_format (created, text) : NULL);
  detail_facts (t, json_object_get (disk, "Detail"));
  json_decref (disk);
  return table_print_plain (t);
}

/* 0: go on, else the exit code. */
static int
may_delete (struct cli *cli, const json_t *disk)
{
  char size_text[SIZE_STRING_SIZE] = "unknown size";
  CLEANUP_FREE char *question = NULL;
  uint64_t size;

  if (args_value (cli, "yes"))
    return 0;
  if (!isatty (STDIN_FILENO))
    return usage_error (cli, "deleting a disk needs --yes when nobody can be "
                        "asked");
  if (get_uint (disk, "Size", &size))
    size_format (size, size_text);
  question = text_clean (text_printf ("Delete disk '%s' (%s, %s) and all its "
                                      "content?", cli->arg,
                                      or_unknown (get_string (disk,
                                                              "DiskId")),
                                      size_text));
  if (confirm (question))
    return 0;
  fprintf (stderr, "pairctl: nothing was deleted\n");
  return EXIT_FAILED;
}

int
disk_delete (struct cli *cli)
{
  struct failure f;
  json_t *disk, *o;
  int r;

  if (args_value (cli, "yes") == NULL && !isatty (STDIN_FILENO))
    return may_delete (cli, NULL);
  disk = disk_find (cli, cli->arg, &f);
  if (disk == NULL)
    return fail (&f, "cannot delete disk '%s'", cli->arg);
  r = may_delete (cli, disk);
  if (r != 0) {
    json_decref (disk);
    return r;
  }

  const struct param params[] = {
    { "DiskId", get_string (disk, "DiskId") }, { NULL, NULL }
  };
  o = client_change (cli, "DeleteDisk", params, &f);
  json_decref (disk);
  if (o == NULL)
    return fail (&f, "cannot delete disk '%s'", cli->arg);
  if (cli->json)
    return print_json (o);
  json_decref (o);
  return print_line ("deleted disk '%s'", cli->arg);
}

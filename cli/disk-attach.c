/* pairctl disk attach, disk detach: which instance a disk is for, on record. */

#include <config.h>

#include <inttypes.h>

#include "cleanup.h"
#include "cli.h"

const struct cli_option disk_attach_options[] = {
  { "to", "INSTANCE", true, "what opens it: a virtual machine, a host" },
  { NULL, NULL, false, NULL }
};

/* "to vm1, 2 clients", "no". */
char *
attached_text (const json_t *disk)
{
  const char *instance = get_string (disk, "InstanceId");
  uint64_t clients = 0;
  bool b;

  get_uint (json_object_get (disk, "Detail"), "clients", &clients);
  if (instance)
    return text_printf ("to %s, %" PRIu64 " clients", instance, clients);
  return text_printf ("%s", get_bool (disk, "Attached", &b) ? b ? "yes" : "no"
                      : "unknown");
}

int
disk_attach (struct cli *cli)
{
  CLEANUP_FREE char *uri = NULL;
  struct failure f;
  json_t *disk = disk_find (cli, cli->arg, &f), *o = NULL;

  if (disk) {
    const struct param params[] = {
      { "DiskId", get_string (disk, "DiskId") },
      { "InstanceId", args_value (cli, "to") },
      { NULL, NULL }
    };
    o = client_change (cli, "AttachDisk", params, &f);
  }
  uri = text_printf ("%s", or_unknown (get_string (disk, "NbdUri")));
  json_decref (disk);
  if (o == NULL)
    return fail (&f, "cannot attach disk '%s'", cli->arg);
  if (cli->json)
    return print_json (o);
  json_decref (o);
  print_line ("disk '%s' is attached to '%s'", cli->arg,
              args_value (cli, "to"));
  return print_line ("uri: %s", uri);
}

int
disk_detach (struct cli *cli)
{
  uint64_t clients = 0;
  struct failure f;
  json_t *disk = disk_find (cli, cli->arg, &f), *o = NULL;

  if (disk) {
    const struct param params[] = {
      { "DiskId", get_string (disk, "DiskId") }, { NULL, NULL }
    };
    o = client_change (cli, "DetachDisk", params, &f);
    get_uint (json_object_get (disk, "Detail"), "clients", &clients);
    json_decref (disk);
  }
  if (o == NULL)
    return fail (&f, "cannot detach disk '%s'", cli->arg);
  if (cli->json)
    return print_json (o);
  json_decref (o);
  if (clients > 0)
    return print_line ("disk '%s' is detached on record; %" PRIu64
                       " clients have it open still", cli->arg, clients);
  return print_line ("disk '%s' is detached", cli->arg);
}

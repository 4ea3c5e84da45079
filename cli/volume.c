/* pairctl volume: a disk's files on this machine.
 *
 * These verbs need no agent: they work on the files of a volume that nobody
 * has open.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "cli.h"
#include "size.h"
#include "uuid.h"
#include "volume.h"

#define PLUGIN_HELP "the plugin that copies (else $PAIRDISK_PLUGIN)"

#define FINDINGS_DEFAULT 100
#define FINDINGS_MAX 100000

const struct cli_option volume_create_options[] = {
  { "size", "SIZE", false,
    "what the guest sees: 512M, 20G (default: as what it is made from)" },
  { "capacity", "SIZE", false, "room for its journal (default: 3 times the size)" },
  { "from", "SOURCE", false, "copy this: a raw image or an NBD URI" },
  { "plugin", "FILE", false, PLUGIN_HELP },
  { NULL, NULL, false, NULL }
};

const struct cli_option volume_export_options[] = {
  { "plugin", "FILE", false, PLUGIN_HELP },
  { NULL, NULL, false, NULL }
};

const struct cli_option volume_resize_options[] = {
  { "size", "SIZE", false, "what the guest shall see" },
  { "capacity", "SIZE", false, "room for its journal (default: as it was to the size)" },
  { NULL, NULL, false, NULL }
};

const struct cli_option volume_dump_options[] = {
  { "super", NULL, false, "the super block" },
  { "segments", NULL, false, "the segments of the journal" },
  { "records", NULL, false, "the records in them" },
  { "map", NULL, false, "the map" },
  { "write-to", "IMAGE", false,
    "of a salvage file: write its blocks into this image or device" },
  { NULL, NULL, false, NULL }
};

const struct cli_option volume_check_options[] = {
  { "limit", "N", false, "show at most so many findings (default 100)" },
  { "rebuild-map", NULL, false, "first make the map anew from the journal" },
  { NULL, NULL, false, NULL }
};

/* ------------------------------------------------------------------ */
/* create, info                                                         */

int
volume_create_verb (struct cli *cli)
{
  struct volume_params params = { .size = 0 };
  struct volume_status status;
  char size_text[SIZE_STRING_SIZE];
  struct error err = ERROR_INIT;
  int r;

  if (!args_size (cli, "size", &params.size) ||
      !args_size (cli, "capacity", &params.capacity))
    return EXIT_USAGE;
  if (args_value (cli, "from")) {
    r = volume_create_from (cli, args_value (cli, "from"), &params);
    if (r != EXIT_OK)
      return r;
  }
  else if (args_value (cli, "size") == NULL)
    return usage_error (cli, "option '--size' is missing");
  else if (volume_create (NULL, cli->arg, &params, &err) == -1)
    return fail_error (&err, "cannot create volume '%s'", cli->arg);
  if (cli->json) {
    if (volume_probe (NULL, cli->arg, &status, &err) == -1)
      return fail_error (&err, "cannot read volume '%s'", cli->arg);
    return print_json (json_pack ("{s:s, s:I, s:I}", "Path", cli->arg,
                                  "Size", (json_int_t) status.size,
                                  "Capacity", (json_int_t) status.capacity));
  }
  return print_line ("created volume '%s' of %s", cli->arg,
                     size_format (params.size, size_text));
}

/* The volume is opened as a server does, and closed again. */
static int
resize (const char *path, uint64_t size, uint64_t capacity,
        struct volume_status *ret, struct error *err)
{
  struct volume *v = volume_open (NULL, path, NULL, err);
  struct error ignored;
  int r;

  if (v == NULL)
    return -1;
  r = volume_resize (v, size, capacity, err);
  volume_get_status (v, ret);
  if (volume_close (v, r == 0 ? err : &ignored) == -1)
    r = -1;
  return r;
}

int
volume_resize_verb (struct cli *cli)
{
  char size_text[SIZE_STRING_SIZE], capacity_text[SIZE_STRING_SIZE];
  uint64_t size = 0, capacity = 0;
  struct volume_status status;
  struct error err = ERROR_INIT;

  if (!args_size (cli, "size", &size) ||
      !args_size (cli, "capacity", &capacity))
    return EXIT_USAGE;
  if (args_value (cli, "size") == NULL && args_value (cli, "capacity") == NULL)
    return usage_error (cli, "give '--size', '--capacity' or both");
  if (resize (cli->arg, size, capacity, &status, &err) == -1)
    return fail_error (&err, "cannot resize volume '%s'", cli->arg);
  if (cli->json)
    return print_json (json_pack ("{s:s, s:I, s:I}", "Path", cli->arg,
                                  "Size", (json_int_t) status.size,
                                  "Capacity", (json_int_t) status.capacity));
  return print_line ("volume '%s' has %s now, its journal room for %s",
                     cli->arg, size_format (status.size, size_text),
                     size_format (status.capacity, capacity_text));
}

static json_t *
point_json (const struct volume_point *p)
{
  CLEANUP_FREE char *generation = text_printf ("%016" PRIx64, p->generation);

  if (p->generation == 0)
    return json_null ();
  return json_pack ("{s:s, s:I, s:I, s:I}", "Generation", generation,
                    "Seq", (json_int_t) p->seq,
                    "TimeNs", (json_int_t) p->time_ns,
                    "Bytes", (json_int_t) p->bytes);
}

static json_t *
generations_json (const struct volume_generations *g)
{
  json_t *ret = json_array ();
  uint32_t i;

  for (i = 0; i < g->count && i < VOLUME_GENERATIONS_MAX; ++i) {
    CLEANUP_FREE char *id = text_printf ("%016" PRIx64, g->table[i].id);
    char writer[UUID_STRING_SIZE];

    uuid_format (&g->table[i].writer, writer);
    json_array_append_new (ret, json_pack ("{s:s, s:I, s:s}", "Id", id,
                                           "FirstSeq", (json_int_t)
                                           g->table[i].first_seq,
                                           "Writer", writer));
  }
  return ret;
}

static json_t *
usage_json (const struct volume_status *s, uint64_t bytes)
{
  return s->is_usage_known ? json_integer (bytes) : json_null ();
}

static json_t *
status_json (const struct volume_status *s)
{
  char uuid[UUID_STRING_SIZE], pair[UUID_STRING_SIZE];

  uuid_format (&s->uuid, uuid);
  uuid_format (&s->pair, pair);
  return json_pack ("{s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:s, s:s?, s:I, s:b, s:b,"
                    " s:s?, s:o, s:o}",
                    "Uuid", uuid, "Size", (json_int_t) s->size,
                    "Capacity", (json_int_t) s->capacity,
                    "SegmentSize", (json_int_t) s->segment_size,
                    "Room", (json_int_t) s->room,
                    "Used", usage_json (s, s->used),
                    "Live", usage_json (s, s->live),
                    "Role", volume_role_name (s->role),
                    "Pair", uuid_is_null (&s->pair) ? NULL : pair,
                    "Fence", (json_int_t) s->fence, "Fenced", s->is_fenced,
                    "Failed", s->is_failed,
                    "Failure", *s->failure ? s->failure : NULL,
                    "Committed", point_json (&s->committed),
                    "Generations", generations_json (&s->generations));
}

static void
bytes_fact (struct table *t, const char *name, uint64_t bytes)
{
  char text[SIZE_STRING_SIZE];

  fact (t, name, size_format (bytes, text));
}

static void
status_facts (struct table *t, const struct volume_status *s)
{
  char text[UUID_STRING_SIZE], date[TEXT_SIZE];
  char live_text[SIZE_STRING_SIZE], room_text[SIZE_STRING_SIZE];
  uint32_t i;

  uuid_format (&s->uuid, text);
  fact (t, "uuid", text);
  bytes_fact (t, "size", s->size);
  bytes_fact (t, "capacity", s->capacity);
  bytes_fact (t, "segment", s->segment_size);
  if (s->is_usage_known) {
    bytes_fact (t, "used", s->used);
    fact_printf (t, "live", "%s, full with about %s",
                 size_format (s->live, live_text),
                 size_format (s->room, room_text));
  }
  else {
    fact (t, "used", NULL);
    fact (t, "live", NULL);
  }
  fact (t, "role", volume_role_name (s->role));
  uuid_format (&s->pair, text);
  fact (t, "pair", uuid_is_null (&s->pair) ? NULL : text);
  fact_printf (t, "fence", "%" PRIu64 "%s", s->fence,
               s->is_fenced ? " (a higher one was met: not written)" : "");
  if (s->is_failed)
    fact (t, "failed", s->failure);
  if (s->committed.generation == 0)
    fact (t, "committed", "nothing yet");
  else
    fact_printf (t, "committed", "seq %" PRIu64 ", %s", s->committed.seq,
                 date_format (s->committed.time_ns / 1e9, date));
  for (i = 0; i < s->generations.count && i < VOLUME_GENERATIONS_MAX; ++i)
    fact_printf (t, "generation", "%016" PRIx64 " from seq %" PRIu64,
                 s->generations.table[i].id,
                 s->generations.table[i].first_seq);
}

int
volume_info_verb (struct cli *cli)
{
  struct volume_status status = { .size = 0 };
  struct error err = ERROR_INIT;
  struct table *t;

  if (volume_probe (NULL, cli->arg, &status, &err) == -1)
    return fail_error (&err, "cannot read volume '%s'", cli->arg);
  if (cli->json)
    return print_json (json_pack ("{s:o}", "Volume", status_json (&status)));
  t = facts_new ();
  status_facts (t, &status);
  return table_print_plain (t);
}

/* ------------------------------------------------------------------ */
/* dump                                                                 */

/* Printed as it is read, alone among all verbs: it may be larger than any
 * memory.  Its end is known by the exit code.
 */
int
volume_dump_verb (struct cli *cli)
{
  struct error err = ERROR_INIT;
  unsigned what = 0;

  if (cli->json)
    return usage_error (cli, "a dump has no JSON form");
  if (salvage_is_file (cli->arg))
    return salvage_dump (cli->arg, args_value (cli, "write-to"));
  if (args_value (cli, "write-to"))
    return usage_error (cli, "'%s' is no salvage file", cli->arg);
  if (args_value (cli, "super"))
    what |= VOLUME_DUMP_SUPER;
  if (args_value (cli, "segments"))
    what |= VOLUME_DUMP_SEGMENTS;
  if (args_value (cli, "records"))
    what |= VOLUME_DUMP_RECORDS;
  if (args_value (cli, "map"))
    what |= VOLUME_DUMP_MAP;
  if (what == 0)
    what = VOLUME_DUMP_SUPER | VOLUME_DUMP_SEGMENTS | VOLUME_DUMP_RECORDS |
      VOLUME_DUMP_MAP;
  if (volume_dump (NULL, cli->arg, what, stdout, &err) == -1)
    return fail_error (&err, "cannot dump volume '%s'", cli->arg);
  return EXIT_OK;
}

/* ------------------------------------------------------------------ */
/* check                                                                */

struct check {
  struct progress progress;
  json_t *findings;        /* the first LIMIT of them */
  uint64_t limit;
};

static void
take_finding (void *opaque, const struct volume_finding *finding)
{
  struct check *c = opaque;
  CLEANUP_FREE char *what = text_printf ("%s", finding->what);

  if (json_array_size (c->findings) >= c->limit)
    return;
  json_array_append_new (c->findings,
                         json_pack ("{s:s, s:I, s:o, s:s}",
                                    "File", finding->file,
                                    "Position",
                                    (json_int_t) finding->position,
                                    "Block", finding->block < 0 ? json_null ()
                                    : json_integer (finding->block),
                                    "What", text_clean (what)));
}

static void
take_progress (void *opaque, uint64_t done, uint64_t total)
{
  struct check *c = opaque;

  progress_update (&c->progress, "checking", done, total, false);
}

/* Takes the findings. */
static int
print_check_json (struct check *c, const struct volume_check_result *r)
{
  return print_json (json_pack ("{s:I, s:I, s:I, s:I, s:I, s:o}",
                                "Segments", (json_int_t) r->segments,
                                "Records", (json_int_t) r->records,
                                "Units", (json_int_t) r->units,
                                "BlocksWritten",
                                (json_int_t) r->blocks_written,
                                "FindingsCount", (json_int_t) r->findings,
                                "Findings", c->findings));
}

/* Takes the findings. */
static void
print_findings (struct check *c, uint64_t total)
{
  static const struct column columns[] = {
    { "FILE", false, false, 0 },
    { "POSITION", true, false, 0 },
    { "BLOCK", true, false, 0 },
    { "FINDING", false, true, 0 },
  };
  struct table *t = table_new (columns, sizeof columns / sizeof columns[0]);
  uint64_t n, shown = json_array_size (c->findings);
  json_t *finding;
  size_t i;

  json_array_foreach (c->findings, i, finding) {
    table_text (t, get_string (finding, "File"));
    get_uint (finding, "Position", &n);
    table_printf (t, "%" PRIu64, n);
    if (get_uint (finding, "Block", &n))
      table_printf (t, "%" PRIu64, n);
    else
      table_text (t, NULL);
    table_text (t, get_string (finding, "What"));
  }
  json_decref (c->findings);
  table_print (t);
  if (shown < total)
    print_line ("(%" PRIu64 " more: see --limit)", total - shown);
}

static void
take_rebuild_progress (void *opaque, uint64_t done, uint64_t total)
{
  struct progress *progress = opaque;

  progress_update (progress, "rebuilding the map", done, total, false);
}

static int
rebuild_map (struct cli *cli)
{
  struct volume_rebuild_result result;
  struct progress progress;
  struct error err = ERROR_INIT;
  int r;

  progress_init (&progress, cli);
  r = volume_rebuild_map (NULL, cli->arg, take_rebuild_progress, &progress,
                          &result, &err);
  progress_end (&progress);
  if (r == -1)
    return fail_error (&err, "cannot rebuild the map of volume '%s'",
                       cli->arg);
  if (!cli->json)
    print_line ("made the map anew from %" PRIu64 " segments, %" PRIu64
                " records: %" PRIu64 " blocks written", result.segments,
                result.records, result.blocks_written);
  return EXIT_OK;
}

int
volume_check_verb (struct cli *cli)
{
  struct check c = { .limit = FINDINGS_DEFAULT };
  struct volume_check_result result = { .findings = 0 };
  struct error err = ERROR_INIT;
  int r;

  if (!args_number (cli, "limit", FINDINGS_MAX, &c.limit))
    return EXIT_USAGE;
  if (args_value (cli, "rebuild-map")) {
    r = rebuild_map (cli);
    if (r != EXIT_OK)
      return r;
  }
  c.findings = json_array ();
  progress_init (&c.progress, cli);
  r = volume_check (NULL, cli->arg, take_finding, take_progress, &c, &result,
                    &err);
  progress_end (&c.progress);
  if (r == -1) {
    json_decref (c.findings);
    return fail_error (&err, "cannot check volume '%s'", cli->arg);
  }

  if (cli->json)
    print_check_json (&c, &result);
  else {
    if (result.findings > 0)
      print_findings (&c, result.findings);
    else
      json_decref (c.findings);
    print_line ("%" PRIu64 " segments, %" PRIu64 " records, %" PRIu64
                " units, %" PRIu64 " blocks written, %" PRIu64 " findings",
                result.segments, result.records, result.units,
                result.blocks_written, result.findings);
  }
  return result.findings > 0 ? EXIT_DAMAGE : EXIT_OK;
}

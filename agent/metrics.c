/* /metrics and /healthz (see metrics.h).
 *
 * What Prometheus reads is made from a picture taken at once: the records of
 * the pairs with the newest STATUS of their disks, and the plugin's own list
 * of disks.  Names and meanings are interface: the table of families below is
 * the documentation, docs/metrics.md is compared with it by a test.
 *
 * What is not known is left out, never printed as 0.
 */

#include <config.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "agent.h"
#include "change.h"
#include "cleanup.h"
#include "describe.h"
#include "events.h"
#include "log.h"
#include "metrics.h"
#include "monitor.h"
#include "peer.h"
#include "plugin-internal.h"
#include "plugin.h"
#include "record.h"
#include "reprotect.h"
#include "settings.h"
#include "states.h"
#include "store.h"
#include "tls.h"
#include "values.h"

/* X (enum, name, type, scope, help) */
#define FAMILIES(X)                                                     \
  X (BUILD_INFO, "pairdisk_build_info", "gauge", SITE,                  \
     "1, with version, region and zone of the site")                    \
  X (START_TIME, "pairdisk_agent_start_time_seconds", "gauge", SITE,    \
     "when the agent was started, seconds since 1970")                  \
  X (NBDKIT_UP, "pairdisk_nbdkit_up", "gauge", SITE,                    \
     "1 if nbdkit answers on its control socket")                       \
  X (EVENTS, "pairdisk_events_total", "counter", SITE,                  \
     "entries of the event log since the agent was started, by level")  \
  X (CERTIFICATE_END, "pairdisk_certificate_expiry_timestamp_seconds",  \
     "gauge", SITE, "when the site's certificate ends, seconds since "  \
     "1970")                                                            \
  X (PEER_UP, "pairdisk_peer_up", "gauge", PEER,                        \
     "1 if the other site answers")                                     \
  X (PAIR_STATUS, "pairdisk_pair_status", "gauge", PAIR,                \
     "1 for the status the pair is in")                                 \
  X (PAIR_ACTIVE, "pairdisk_pair_active", "gauge", PAIR,                \
     "1 if the pair shall replicate")                                   \
  X (PAIR_FAILED, "pairdisk_pair_failed", "gauge", PAIR,                \
     "1 if the pair is in a status that something went wrong in")       \
  X (PAIR_DEGRADED, "pairdisk_pair_degraded", "gauge", PAIR,            \
     "1 if the pair shall replicate and no data flows, or a "           \
     "synchronous pair goes on without its copy")                       \
  X (PAIR_SPLIT, "pairdisk_pair_split_brain", "gauge", PAIR,            \
     "1 if both sites wrote since the failover, and a reprotect has to " \
     "say whose writes go; absent until both were compared")            \
  X (PAIR_RPO, "pairdisk_pair_rpo_seconds", "gauge", PAIR,              \
     "how old the copy may become")                                     \
  X (PAIR_POINT, "pairdisk_pair_recovery_point_timestamp_seconds",      \
     "gauge", PAIR, "the last recovery point, seconds since 1970")      \
  X (PAIR_LAG, "pairdisk_pair_lag_seconds", "gauge", PAIR,              \
     "age of the oldest write that the copy lacks; at the source only") \
  X (PAIR_LAG_BYTES, "pairdisk_pair_lag_bytes", "gauge", PAIR,          \
     "bytes of the writes that the copy lacks; at the source only")     \
  X (PAIR_LAG_WRITES, "pairdisk_pair_lag_writes", "gauge", PAIR,        \
     "number of the writes that the copy lacks; at the source only")    \
  X (PAIR_DONE, "pairdisk_pair_copied_bytes", "gauge", PAIR,            \
     "bytes done of the synchronization that runs; at the source only") \
  X (PAIR_TOTAL, "pairdisk_pair_to_copy_bytes", "gauge", PAIR,          \
     "bytes of the synchronization that runs; at the source only")      \
  X (PAIR_SENT, "pairdisk_pair_sent_bytes_total", "counter", PAIR,      \
     "bytes sent by the link since it was connected; at the source "    \
     "only")                                                            \
  X (PAIR_CONNECTS, "pairdisk_pair_connects_total", "counter", PAIR,    \
     "connections of the link since nbdkit was started; at the source " \
     "only")                                                            \
  X (DISK_SIZE, "pairdisk_disk_size_bytes", "gauge", DISK,              \
     "what the guest sees")                                             \
  X (DISK_CAPACITY, "pairdisk_disk_capacity_bytes", "gauge", DISK,      \
     "room that the journal may take")                                  \
  X (DISK_USED, "pairdisk_disk_used_bytes", "gauge", DISK,              \
     "room that the journal takes; near the capacity in normal running")\
  X (DISK_LIVE, "pairdisk_disk_live_bytes", "gauge", DISK,              \
     "what the disk's content takes in the journal")                    \
  X (DISK_ROOM, "pairdisk_disk_room_bytes", "gauge", DISK,              \
     "with about so many live bytes the journal is full, and guests "   \
     "get ENOSPC")                                                      \
  X (DISK_FAILED, "pairdisk_disk_failed", "gauge", DISK,                \
     "1 if the volume cannot be opened or written")                     \
  X (DISK_CLIENTS, "pairdisk_disk_clients", "gauge", DISK,              \
     "guests that are connected")                                       \
  X (DISK_ERRORS, "pairdisk_disk_errors_total", "counter", DISK,        \
     "checksums that did not match and reads that failed, by kind")      \
  X (DISK_DAMAGED, "pairdisk_disk_damaged_blocks", "gauge", DISK,       \
     "blocks that are known to be damaged now")                         \
  X (DISK_REPAIRED, "pairdisk_disk_repaired_total", "counter", DISK,    \
     "damaged blocks that were repaired from the other side")           \
  X (DISK_DIFFERING, "pairdisk_disk_differing_blocks", "gauge", DISK,   \
     "blocks that the last verification found to differ and did not "   \
     "repair")

enum family {
#define X(name, string, type, scope, help) FAMILY_##name,
  FAMILIES (X)
#undef X
  FAMILY_COUNT
};

enum scope { SITE = 1, PEER, PAIR, DISK };

static const struct {
  const char *name, *type;
  enum scope scope;
  const char *help;
} families[FAMILY_COUNT] = {
#define X(name, string, type, scope, help) { string, type, scope, help },
  FAMILIES (X)
#undef X
};

/* ------------------------------------------------------------------ */
/* The picture.                                                         */

struct pair_view {
  const struct record *rec;
  json_t *status;                /* of our disk; NULL: not known */
  uint64_t point_ms;             /* 0: none */
  struct observation o;
};

struct picture {
  struct agent *agent;
  struct record *records;
  struct pair_view *pairs;
  size_t npairs;
  json_t *peers, *disks;
  bool is_alive;
};

static void
add_disk (struct agent *agent, const json_t *status, void *opaque)
{
  struct picture *p = opaque;

  (void) agent;
  json_array_append_new (p->disks, json_deep_copy (status));
}

static int
take (struct agent *agent, struct picture *p)
{
  ssize_t n, i;

  *p = (struct picture) { .agent = agent };
  store_enter (agent->store);
  n = store_pair_list (agent->store, &p->records);
  store_leave (agent->store);
  if (n == -1)
    return -1;
  p->pairs = calloc (n + 1, sizeof *p->pairs);
  p->peers = peers_describe (agent);
  p->disks = json_array ();
  p->is_alive = plugin_answers (agent->plugin);
  if (p->pairs == NULL)
    return -1;
  for (i = 0; i < n; ++i) {
    const struct record *rec = &p->records[i];
    struct pair_view *v = &p->pairs[p->npairs];
    struct status_age age;

    if (rec->status == PAIR_DELETED)
      continue;
    v->rec = rec;
    v->status = pair_disk_status (agent, rec, &age);
    v->point_ms = pair_recovery_point (agent, rec, v->status, &age);
    if (age.is_old) {
      json_decref (v->status);
      v->status = NULL;
    }
    monitor_observe (rec, v->status, is_source (agent, rec), wall_ms (),
                     &v->o);
    p->npairs++;
  }
  if (p->is_alive)
    plugin_each_disk (agent, add_disk, p);
  return 0;
}

static void
picture_release (struct picture *p)
{
  size_t i;

  for (i = 0; i < p->npairs; ++i)
    json_decref (p->pairs[i].status);
  free (p->pairs);
  free (p->records);
  json_decref (p->peers);
  json_decref (p->disks);
}

/* ------------------------------------------------------------------ */
/* One sample.                                                          */

/* A label's value: names come from users. */
static void
print_label (FILE *f, const char *name, const char *value)
{
  fprintf (f, "%s=\"", name);
  for (; *value; ++value) {
    if (*value == '\n')
      fputs ("\\n", f);
    else {
      if (*value == '"' || *value == '\\')
        fputc ('\\', f);
      fputc (*value, f);
    }
  }
  fputc ('"', f);
}

static void
site_sample (FILE *f, struct picture *p, enum family family)
{
  const struct settings *s = &p->agent->settings;
  const char *name = families[family].name;
  uint64_t counts[LOG_LEVEL_ERROR + 1], end;
  int i;

  switch (family) {
  case FAMILY_BUILD_INFO:
    fprintf (f, "%s{version=\"%s\",region=\"%s\",zone=\"%s\"} 1\n", name,
             PACKAGE_VERSION, s->region, s->zone);
    break;
  case FAMILY_START_TIME:
    fprintf (f, "%s %.3f\n", name, p->agent->start_ms / 1000.0);
    break;
  case FAMILY_NBDKIT_UP:
    fprintf (f, "%s %d\n", name, p->is_alive);
    break;
  case FAMILY_EVENTS:
    events_counted (counts);
    for (i = LOG_LEVEL_INFO; i <= LOG_LEVEL_ERROR; ++i)
      fprintf (f, "%s{level=\"%s\"} %" PRIu64 "\n", name, log_level_name (i),
               counts[i]);
    break;
  case FAMILY_CERTIFICATE_END:
    if (tls_expiry (&end))
      fprintf (f, "%s %" PRIu64 "\n", name, end);
    break;
  default:
    break;
  }
}

static void
peer_sample (FILE *f, const json_t *peer, enum family family)
{
  if (family != FAMILY_PEER_UP)
    return;
  fputs (families[family].name, f);
  fputc ('{', f);
  print_label (f, "peer", json_text (peer, "RegionId"));
  fprintf (f, "} %d\n", json_is_true (json_object_get (peer, "Reachable")));
}

/* The value; false: not known. */
static bool
pair_value (struct agent *agent, const struct pair_view *v,
            enum family family, double *ret)
{
  const json_t *link = json_object_get (v->status, "link");
  const json_t *lag = json_object_get (link, "lag"), *json = NULL;
  bool is_active = pair_status_kind (v->rec->status) == PAIR_KIND_ACTIVE;
  bool is_known;

  switch (family) {
  case FAMILY_PAIR_ACTIVE:
    *ret = is_active;
    return true;
  case FAMILY_PAIR_FAILED:
    *ret = pair_status_is_wrong (v->rec->status);
    return true;
  case FAMILY_PAIR_DEGRADED:
    if (is_active && v->status == NULL && is_source (agent, v->rec))
      return false;
    *ret = is_active &&
      (strcmp (json_text (json_object_get (v->status, "mode"), "state"),
               "degraded") == 0 ||
       (v->o.link_state && (strcmp (v->o.link_state, "off") == 0 ||
                            strcmp (v->o.link_state, "connecting") == 0 ||
                            strcmp (v->o.link_state, "waiting") == 0 ||
                            strcmp (v->o.link_state, "refused") == 0 ||
                            strcmp (v->o.link_state, "fenced") == 0)) ||
       (!is_source (agent, v->rec) && !v->o.is_up));
    return true;
  case FAMILY_PAIR_SPLIT:
    *ret = reprotect_is_split (agent, v->rec, &is_known);
    return is_known;
  case FAMILY_PAIR_RPO:
    *ret = v->rec->rpo;
    return true;
  case FAMILY_PAIR_POINT:
    *ret = v->point_ms / 1000.0;
    return v->point_ms > 0;
  case FAMILY_PAIR_LAG: json = json_object_get (lag, "seconds"); break;
  case FAMILY_PAIR_LAG_BYTES: json = json_object_get (lag, "bytes"); break;
  case FAMILY_PAIR_LAG_WRITES: json = json_object_get (lag, "writes"); break;
  case FAMILY_PAIR_DONE: json = json_object_get (link, "done_bytes"); break;
  case FAMILY_PAIR_TOTAL: json = json_object_get (link, "total_bytes"); break;
  case FAMILY_PAIR_SENT: json = json_object_get (link, "sent_bytes"); break;
  case FAMILY_PAIR_CONNECTS: json = json_object_get (link, "connects"); break;
  default: break;
  }
  *ret = json_number_value (json);
  return json_is_number (json);
}

static void
pair_sample (FILE *f, struct agent *agent, const struct pair_view *v,
             enum family family)
{
  double value = 1;

  if (family != FAMILY_PAIR_STATUS && !pair_value (agent, v, family, &value))
    return;
  fputs (families[family].name, f);
  fputc ('{', f);
  print_label (f, "pair", v->rec->id);
  fputc (',', f);
  print_label (f, "name", v->rec->name);
  fprintf (f, ",side=\"%s\"", is_source (agent, v->rec) ? "source"
           : "destination");
  if (family == FAMILY_PAIR_STATUS)
    fprintf (f, ",status=\"%s\"", pair_status_string (v->rec->status));
  fprintf (f, "} %.15g\n", value);
}

static void
disk_line (FILE *f, const json_t *disk, enum family family,
           const char *more, double value)
{
  fputs (families[family].name, f);
  fputc ('{', f);
  print_label (f, "disk", json_text (disk, "disk"));
  fprintf (f, "%s} %.15g\n", more, value);
}

static void
disk_sample (FILE *f, const json_t *disk, enum family family)
{
  const json_t *errors = json_object_get (disk, "errors");
  const json_t *repair = json_object_get (disk, "repair");
  const json_t *verify = json_object_get (disk, "verify");
  bool is_failed = strcmp (json_text (disk, "state"), "ok") != 0;
  uint64_t room = json_u64 (disk, "room");     /* 0: not known */

  switch (family) {
  case FAMILY_DISK_SIZE:
    disk_line (f, disk, family, "", json_u64 (disk, "size"));
    break;
  case FAMILY_DISK_CAPACITY:
    disk_line (f, disk, family, "", json_u64 (disk, "capacity"));
    break;
  case FAMILY_DISK_USED:
    disk_line (f, disk, family, "", json_u64 (disk, "used"));
    break;
  case FAMILY_DISK_LIVE:
    if (room > 0)
      disk_line (f, disk, family, "", json_u64 (disk, "live"));
    break;
  case FAMILY_DISK_ROOM:
    if (room > 0)
      disk_line (f, disk, family, "", room);
    break;
  case FAMILY_DISK_FAILED:
    disk_line (f, disk, family, "", is_failed);
    break;
  case FAMILY_DISK_CLIENTS:
    disk_line (f, disk, family, "", json_u64 (disk, "clients"));
    break;
  case FAMILY_DISK_ERRORS:
    disk_line (f, disk, family, ",kind=\"checksum\"",
               json_u64 (errors, "checksum"));
    disk_line (f, disk, family, ",kind=\"read\"", json_u64 (errors, "read"));
    break;
  case FAMILY_DISK_DAMAGED:
    disk_line (f, disk, family, "", json_u64 (repair, "damaged"));
    break;
  case FAMILY_DISK_REPAIRED:
    disk_line (f, disk, family, "", json_u64 (repair, "repaired"));
    break;
  case FAMILY_DISK_DIFFERING:
    if (json_is_object (verify))
      disk_line (f, disk, family, "",
                 (double) json_u64 (verify, "differing") +
                 json_u64 (verify, "unreadable_here") +
                 json_u64 (verify, "unreadable_there") -
                 json_u64 (verify, "repaired"));
    break;
  default:
    break;
  }
}

/* ------------------------------------------------------------------ */

static void
print_family (FILE *f, struct picture *p, enum family family)
{
  json_t *item;
  size_t i;

  fprintf (f, "# HELP %s %s\n# TYPE %s %s\n", families[family].name,
           families[family].help, families[family].name,
           families[family].type);
  switch (families[family].scope) {
  case SITE:
    site_sample (f, p, family);
    break;
  case PEER:
    json_array_foreach (p->peers, i, item)
      peer_sample (f, item, family);
    break;
  case PAIR:
    for (i = 0; i < p->npairs; ++i)
      pair_sample (f, p->agent, &p->pairs[i], family);
    break;
  case DISK:
    json_array_foreach (p->disks, i, item)
      disk_sample (f, item, family);
    break;
  }
}

char *
metrics_text (struct agent *agent)
{
  struct picture p;
  char *text = NULL;
  size_t len;
  FILE *f;
  int i;

  f = take (agent, &p) == 0 ? open_memstream (&text, &len) : NULL;
  for (i = 0; f && i < FAMILY_COUNT; ++i)
    print_family (f, &p, i);
  picture_release (&p);
  if (f == NULL || fclose (f) == EOF) {
    free (text);
    return NULL;
  }
  return text;
}

json_t *
health_json (struct agent *agent, bool *ret_ok)
{
  bool alive = plugin_answers (agent->plugin), stored;
  CLEANUP_FREE char *value = NULL;

  store_enter (agent->store);
  stored = store_fact_get (agent->store, "healthz", &value) != -1;
  store_leave (agent->store);
  *ret_ok = alive && stored;
  return json_pack ("{s:s, s:b, s:b, s:s}",
                    "Status", *ret_ok ? "ok" : "failing",
                    "PluginAlive", (int) alive, "StoreReadable",
                    (int) stored, "RegionId", agent->settings.region);
}

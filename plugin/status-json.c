/* Objects of the control protocol as JSON.  See status-json.h. */

#include <config.h>

#include <string.h>

#include "proof-json.h"
#include "status-json.h"
#include "value-json.h"

/* Null for "".  File names in messages need not be UTF-8. */
static json_t *
text_to_json (const char *text)
{
  json_t *json = text[0] ? json_string (text) : json_null ();

  return json ? json : json_string ("(the message is not valid UTF-8)");
}

static json_t *
link_to_json (struct disk *disk)
{
  struct sender_status s = { 0 };
  struct linkfile link;

  disk_get_link (disk, &link);
  if (link.uri[0] == '\0')
    return json_null ();
  if (!replication_sender_status (disk, &s)) {
    s.state = SENDER_OFF;
    s.oneshot = link.is_oneshot;
    s.limit_bps = link.options.limit_bps;
  }
  return json_pack ("{s:s, s:o, s:b, s:o, s:i, s:I, s:I, s:I, s:I, "
                    "s:{s:I, s:I, s:f}, s:o, s:b, s:I, s:I, "
                    "s:b, s:I, s:i, s:I, s:I, s:o, s:s?, s:o, s:o, s:o}",
                    "state", sender_state_name (s.state),
                    "reason", text_to_json (s.reason),
                    "oneshot", s.oneshot,
                    "rule", text_to_json (s.rule),
                    "progress", (int) s.progress,
                    "total_bytes", NUMBER (s.total_bytes),
                    "done_bytes", NUMBER (s.done_bytes),
                    "sent_bytes", NUMBER (s.sent_bytes),
                    "rate_bps", NUMBER (s.rate_bps),
                    "lag",
                    "writes", NUMBER (s.lag_writes),
                    "bytes", NUMBER (s.lag_bytes),
                    "seconds", s.lag_seconds,
                    "peer_committed", s.has_peer_committed ?
                    point_to_json (&s.peer_committed) : json_null (),
                    "initial_done", s.initial_done,
                    "connects", NUMBER (s.connects),
                    "connected_ms", NUMBER (s.connected_ms),
                    "tls", options_want_tls (&link.options) ||
                    strncmp (link.uri, "nbds", 4) == 0,
                    "connections", NUMBER (s.connections),
                    "dead_seconds", (int)
                    (link.options.dead_seconds ? : OPTIONS_DEAD_SECONDS),
                    "limit_bps", NUMBER (s.limit_bps),
                    "data_bytes", NUMBER (s.data_bytes),
                    "compression", s.data_wire_bytes == 0 ? json_null () :
                    json_real ((double) s.data_bytes / s.data_wire_bytes),
                    "waits_for", sender_wait_name (s.waits_for),
                    "eta_seconds", s.has_eta ?
                    json_real (s.eta_seconds) : json_null (),
                    "retry_ms", s.waits_for == WAITS_RETRY ?
                    json_integer (NUMBER (s.retry_ms)) : json_null (),
                    "next_ms", s.waits_for == WAITS_INTERVAL ?
                    json_integer (NUMBER (s.next_ms)) : json_null ());
}

static json_t *
source_to_json (struct disk *disk)
{
  struct receiver_status s;
  enum sync_proof proof;
  uint64_t left_ms;

  if (!replication_receiver_status (disk, &s))
    return json_null ();
  proof = sync_prove_zero (disk->replication.sync, &left_ms);
  return json_pack ("{s:b, s:b, s:o, s:o, s:i, s:s, s:s?, s:o}",
                    "accept", s.accept,
                    "connected", s.connected,
                    "heard_ms_ago", s.was_heard ?
                    json_integer (NUMBER (s.heard_ms_ago)) : json_null (),
                    "known", s.has_known ?
                    point_to_json (&s.known) : json_null (),
                    "progress", (int) s.progress,
                    "rpo_zero", sync_proof_name (proof),
                    "rpo_zero_reason", sync_proof_reason (proof),
                    "rpo_zero_ms", proof == SYNC_PROVEN ?
                    json_integer (NUMBER (left_ms)) : json_null ());
}

/* Null for a disk on its own, unless flushes still wait for what was promised
 * to the copy that it had.
 */
static json_t *
mode_to_json (struct disk *disk, enum volume_role role)
{
  struct sync_status s;
  struct linkfile link;

  if (disk->replication.sync == NULL)
    return json_null ();
  disk_get_link (disk, &link);
  sync_get_status (disk->replication.sync, &s);
  if (role != VOLUME_ROLE_PRIMARY && role != VOLUME_ROLE_SECONDARY &&
      s.state != SYNC_ABANDONING)
    return json_null ();
  return json_pack ("{s:s, s:s, s:i, s:i, s:I, s:s, s:I, s:I, s:I, s:o}",
                    "mode", s.settings.is_sync ? "sync" : "async",
                    "on_peer_loss",
                    s.settings.suspends ? "suspend" : "degrade",
                    "proof_seconds",
                    (int) (s.settings.proof_ms ? : SYNC_PROOF_MS) / 1000,
                    "interval_seconds", (int) link.interval_seconds,
                    "limit_bps", NUMBER (link.options.limit_bps),
                    "state", sync_state_name (s.state),
                    "waiting", NUMBER (s.waiting),
                    "held_seq", NUMBER (s.held_seq),
                    "hold_ms", NUMBER (s.hold_ms),
                    "degraded_ns", s.degraded_ns ?
                    json_integer (NUMBER (s.degraded_ns)) : json_null ());
}

static json_t *
stage_to_json (const struct volume_status *v)
{
  if (!v->stage.is_active)
    return json_null ();
  return json_pack ("{s:I, s:I, s:I}",
                    "since_seq", NUMBER (v->stage.since_seq),
                    "cursor_bytes",
                    NUMBER (v->stage.cursor * VOLUME_BLOCK_SIZE),
                    "last_seq", NUMBER (v->stage.last_seq));
}

/* Null: none since the plugin was started. */
static json_t *
scrub_to_json (struct disk *disk)
{
  struct scrub_status s;
  json_t *bad;
  uint64_t i;

  if (!scrub_get_status (&disk->scrub, &s))
    return json_null ();
  bad = json_array ();
  for (i = 0; i < s.result.errors && i < VOLUME_SCRUB_BAD_MAX; ++i)
    json_array_append_new (bad, json_integer (NUMBER (s.result.bad[i])));
  return json_pack ("{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:f}",
                    "state", scrub_state_name (s.state),
                    "done_bytes", NUMBER (s.done_bytes),
                    "total_bytes", NUMBER (s.total_bytes),
                    "read_bytes", NUMBER (s.result.bytes),
                    "units", NUMBER (s.result.units),
                    "errors", NUMBER (s.result.errors),
                    "bad_blocks", bad,
                    "rate_bps", NUMBER (s.rate_bps),
                    "seconds", s.seconds);
}

static json_t *
salvage_to_json (const struct salvage_status *s)
{
  return json_pack ("{s:s, s:o, s:o, s:I, s:I, s:I}",
                    "state", salvage_state_name (s->state),
                    "file", text_to_json (s->file),
                    "reason", text_to_json (s->reason),
                    "file_bytes", NUMBER (s->file_bytes),
                    "done_bytes", NUMBER (s->done_bytes),
                    "total_bytes", NUMBER (s->total_bytes));
}

/* Null: the disk gives up nothing, and has not since the start. */
static json_t *
discard_to_json (struct disk *disk, const struct volume_status *v)
{
  struct salvage_status salvage;
  struct volume_tail tail;
  json_t *json;

  if (!salvage_get_status (&disk->salvage, &salvage, &tail))
    return json_null ();
  json = tail_to_json (&tail);
  json_object_set_new (json, "pending", json_boolean (v->discard.is_pending));
  json_object_set_new (json, "saved",
                       json_boolean (!v->discard.is_unsaved &&
                                     salvage.state != SALVAGE_RUNNING));
  json_object_set_new (json, "common", json_pack
                       ("{s:o, s:I}", "generation",
                        hex_to_json (v->discard.generation),
                        "seq", NUMBER (v->discard.seq)));
  json_object_set_new (json, "salvage", salvage_to_json (&salvage));
  return json;
}

static json_t *
generation_to_json (const struct volume_generations *table)
{
  if (table->count == 0)
    return json_null ();
  return hex_to_json (table->table[table->count - 1].id);
}

/* What a disk that cannot be opened still tells about itself is in its
 * super, if that is readable; else its role is unknown, which is null.
 */
json_t *
disk_to_json (struct disk *disk)
{
  struct volume_status v = { 0 };
  const char *failure = "";

  if (disk->volume != NULL) {
    volume_get_status (disk->volume, &v);
    if (v.is_failed)
      failure = v.failure[0] ? v.failure : "the journal failed";
  }
  else {
    failure = disk->failure.message;
    if (volume_probe (NULL, disk->path, &v, NULL) == -1)
      memset (&v, 0, sizeof v);
  }

  return json_pack ("{s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:I, s:b, "
                    "s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:o, "
                    "s:{s:I, s:I}, s:{s:I, s:I, s:I}, s:o, s:o, s:o, s:o, s:o, "
                    "s:o, s:o}",
                    "disk", disk->name,
                    "uuid", uuid_to_json (&v.uuid),
                    "size", NUMBER (v.size),
                    "capacity", NUMBER (v.capacity),
                    "used", NUMBER (v.used),
                    "live", NUMBER (v.live),
                    "room", NUMBER (v.room),
                    "role", v.role == VOLUME_ROLE_UNSET ? json_null () :
                    json_string (volume_role_name (v.role)),
                    "pair", uuid_to_json (&v.pair),
                    "fence", NUMBER (v.fence),
                    "fenced", v.is_fenced,
                    "clients", NUMBER (disk_guests (disk)),
                    "state", failure[0] ? "failed" : "ok",
                    "failure", text_to_json (failure),
                    "generation", generation_to_json (&v.generations),
                    "appended", point_to_json (&v.appended),
                    "durable", point_to_json (&v.durable),
                    "committed", v.is_synced ?
                    point_to_json (&v.committed) : json_null (),
                    "stage", stage_to_json (&v),
                    "errors",
                    "checksum", NUMBER (v.checksum_errors),
                    "read", NUMBER (v.read_errors),
                    "guest",
                    "writes", NUMBER (v.guest_writes),
                    "reads", NUMBER (v.guest_reads),
                    "flushes", NUMBER (v.flushes),
                    "scrub", scrub_to_json (disk),
                    "repair", disk->volume == NULL ? json_null () :
                    repair_to_json (disk),
                    "verify", verify_to_json (disk),
                    "discard", discard_to_json (disk, &v),
                    "link", v.role == VOLUME_ROLE_PRIMARY ?
                    link_to_json (disk) : json_null (),
                    "source", v.role == VOLUME_ROLE_SECONDARY ?
                    source_to_json (disk) : json_null (),
                    "mode", mode_to_json (disk, v.role));
}

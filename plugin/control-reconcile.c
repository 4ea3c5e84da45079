/* Requests that end a split: what each side has that the other lacks, and
 * giving it up (docs/design/control-protocol.md).
 *
 * A command names the loser by being sent to it: 'demote'.  It carries the
 * winner's history, so what is given up is exactly what this side holds
 * beyond the last point both share, and is told before it happens.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "control-call.h"
#include "generations.h"
#include "value-json.h"

/* ------------------------------------------------------------------ */
/* Histories.                                                           */

struct side {
  struct uuid lineage;
  uint64_t size;
  struct pair_history history;
};

/* False: the table does not reach to the last point. */
static bool
set_history (struct pair_history *history,
             const struct volume_generations *table, struct pair_point last)
{
  uint32_t i;

  memset (history, 0, sizeof *history);
  for (i = 0; i < table->count; ++i)
    pair_history_add (history, table->table[i].id, table->table[i].first_seq,
                      &table->table[i].writer);
  return pair_history_close (history, last);
}

static int
self_side (struct call *call, struct side *ret)
{
  struct volume_status status;

  volume_get_status (call->disk->volume, &status);
  volume_lineage (call->disk->volume, &ret->lineage);
  ret->size = status.size;
  if (!set_history (&ret->history, &status.generations,
                    (struct pair_point) { status.committed.generation,
                                          status.committed.seq }))
    return call_refuse (call, "internal", EIO,
                        "the generation table does not fit the content");
  return 0;
}

static bool
generations_from_json (const json_t *list, struct volume_generations *ret)
{
  const json_t *item, *first, *writer;
  size_t i;

  memset (ret, 0, sizeof *ret);
  if (!json_is_array (list) ||
      json_array_size (list) > VOLUME_GENERATIONS_MAX)
    return false;
  json_array_foreach (list, i, item) {
    first = json_object_get (item, "first_seq");
    writer = json_object_get (item, "writer");
    if (!hex_from_json (json_object_get (item, "generation"),
                        &ret->table[i].id) ||
        !json_is_integer (first) || json_integer_value (first) <= 0 ||
        !json_is_string (writer) ||
        !uuid_parse (json_string_value (writer), &ret->table[i].writer))
      return false;
    ret->table[i].first_seq = json_integer_value (first);
    ret->count++;
  }
  return true;
}

/* Field "peer": what disk.history answered there. */
static int
peer_side (struct call *call, struct side *ret)
{
  const json_t *peer = json_object_get (call->request, "peer");
  const json_t *lineage = json_object_get (peer, "lineage");
  const json_t *size = json_object_get (peer, "size");
  struct volume_generations table;
  struct volume_point last;

  if (!json_is_string (lineage) ||
      !uuid_parse (json_string_value (lineage), &ret->lineage) ||
      !json_is_integer (size) ||
      !point_from_json (json_object_get (peer, "committed"), &last) ||
      !generations_from_json (json_object_get (peer, "generations"),
                              &table) ||
      !set_history (&ret->history, &table,
                    (struct pair_point) { last.generation, last.seq }))
    return call_refuse (call, "bad-request", EINVAL, "field 'peer' must be "
                        "what 'disk.history' answers at the other site");
  ret->size = json_integer_value (size);
  return 0;
}

int
op_disk_history (struct call *call)
{
  struct volume_status status;
  json_t *list = json_array ();
  struct uuid lineage;
  uint32_t i;

  volume_get_status (call->disk->volume, &status);
  volume_lineage (call->disk->volume, &lineage);
  for (i = 0; i < status.generations.count; ++i) {
    const struct volume_generation *g = &status.generations.table[i];

    json_array_append_new (list, json_pack
                           ("{s:o, s:I, s:o}", "generation",
                            hex_to_json (g->id), "first_seq",
                            NUMBER (g->first_seq), "writer",
                            uuid_to_json (&g->writer)));
  }
  json_object_set_new (call->answer, "uuid", uuid_to_json (&status.uuid));
  json_object_set_new (call->answer, "lineage", uuid_to_json (&lineage));
  json_object_set_new (call->answer, "size",
                       json_integer (NUMBER (status.size)));
  json_object_set_new (call->answer, "committed",
                       point_to_json (&status.committed));
  json_object_set_new (call->answer, "generations", list);
  return 0;
}

/* ------------------------------------------------------------------ */
/* Comparing.                                                           */

struct comparison {
  const char *relation;
  bool has_common;
  struct pair_point common;
  uint64_t self_beyond, peer_beyond;
};

static void
compare (const struct side *self, const struct side *peer,
         struct comparison *ret)
{
  uint64_t a = self->history.last_seq, b = peer->history.last_seq;
  struct pair_point common = { 0, 0 };

  memset (ret, 0, sizeof *ret);
  if (a > 0 && b > 0) {
    ret->has_common = self->size == peer->size &&
      uuid_equal (&self->lineage, &peer->lineage) &&
      pair_history_common (&self->history, &peer->history, &common) ==
      PAIR_COMMON_FOUND;
  }
  ret->common = common;
  ret->self_beyond = a - common.seq;
  ret->peer_beyond = b - common.seq;
  ret->relation =
    ret->self_beyond == 0 && ret->peer_beyond == 0 ? "equal" :
    ret->peer_beyond == 0 ? "self-ahead" :
    ret->self_beyond == 0 ? "peer-ahead" :
    ret->has_common ? "split" : "unrelated";
}

static int
tell_comparison (struct call *call, const struct comparison *c, bool quick,
                 struct volume_tail *ret_tail)
{
  if (volume_tail_measure (call->disk->volume, c->common.seq, quick,
                           ret_tail, &call->error) == -1)
    return call_failed (call);
  json_object_set_new (call->answer, "relation", json_string (c->relation));
  json_object_set_new (call->answer, "common", !c->has_common ? json_null ()
                       : json_pack ("{s:o, s:I}", "generation",
                                    hex_to_json (c->common.generation),
                                    "seq", NUMBER (c->common.seq)));
  json_object_set_new (call->answer, "self", tail_to_json (ret_tail));
  json_object_set_new (call->answer, "peer_writes",
                       json_integer (NUMBER (c->peer_beyond)));
  return 0;
}

static int
get_bool (struct call *call, const char *key, bool def, bool *ret)
{
  const json_t *value = json_object_get (call->request, key);

  if (value != NULL && !json_is_boolean (value))
    return call_refuse (call, "bad-request", EINVAL,
                        "field '%s' must be true or false", key);
  *ret = value ? json_is_true (value) : def;
  return 0;
}

int
op_pair_compare (struct call *call)
{
  struct side self, peer;
  struct comparison c;
  struct volume_tail tail;
  bool quick = false;

  if (get_bool (call, "quick", false, &quick) == -1 ||
      peer_side (call, &peer) == -1 || self_side (call, &self) == -1)
    return -1;
  compare (&self, &peer, &c);
  return tell_comparison (call, &c, quick, &tail);
}

/* ------------------------------------------------------------------ */
/* Giving up.                                                           */

struct demotion {
  uint64_t fence;
  bool is_dry_run, saves, is_forced;
};

static int
get_demotion (struct call *call, struct demotion *ret)
{
  if (get_bool (call, "dry_run", false, &ret->is_dry_run) == -1 ||
      get_bool (call, "salvage", true, &ret->saves) == -1 ||
      get_bool (call, "force", false, &ret->is_forced) == -1)
    return -1;
  return call_number (call, "fence", &ret->fence);
}

static int
change_role (struct call *call, const struct demotion *wanted,
             const struct comparison *c, bool saves)
{
  struct disk *disk = call->disk;
  struct linkfile link = disk->link, was = disk->link;
  struct error ignored;
  int r;

  link.uri[0] = '\0';
  link.is_on = link.is_oneshot = link.accepts = false;
  link.promoted_fence = 0;
  replication_stop (disk);
  r = sync_forget_heard (disk->replication.sync, &call->error);
  if (r == 0)
    r = disk_set_link (disk, &link, &call->error);
  if (r == 0)
    r = volume_demote (disk->volume, wanted->fence, c->common.generation,
                       c->common.seq, saves, &call->error);
  disk_role_changed (disk);
  if (r == -1) {
    disk_set_link (disk, &was, &ignored);
    replication_start (disk, &ignored);
    return call_failed (call);
  }
  return replication_start (disk, &call->error) == -1 ? call_failed (call)
    : 0;
}

/* Repeated: it is secondary with this fence.  What failed is tried again. */
static int
demote_again (struct call *call, const struct demotion *wanted,
              const struct volume_status *status)
{
  struct disk *disk = call->disk;
  struct salvage_status salvage;
  struct volume_tail tail;

  if (!status->discard.is_unsaved)
    return 0;
  if (!wanted->saves) {
    salvage_stop (&disk->salvage);
    return volume_salvaged (disk->volume, &call->error) == -1
      ? call_failed (call) : 0;
  }
  if (salvage_get_status (&disk->salvage, &salvage, &tail) &&
      salvage.state == SALVAGE_RUNNING)
    return 0;
  return salvage_start (&disk->salvage, disk->volume, disk->path,
                        &call->error) == -1 ? call_failed (call) : 0;
}

static int
check_demotion (struct call *call, const struct demotion *wanted,
                const struct comparison *c,
                const struct volume_status *status)
{
  uint64_t fence = status->is_fenced ? status->met_fence : status->fence;

  if (wanted->fence < fence)
    return call_refuse (call, "fence-too-low", EPERM,
                        "disk '%s' has or met fence %" PRIu64
                        ", higher than %" PRIu64, call->disk->name, fence,
                        wanted->fence);
  if (!c->has_common && c->self_beyond > 0 && !wanted->is_forced) {
    call_refuse (call, "no-common-point", EPERM, "disk '%s' and the other "
                 "one share no point of history: all %" PRIu64
                 " writes would be given up", call->disk->name,
                 c->self_beyond);
    return error_hint (&call->error, "say so with 'force'");
  }
  return 0;
}

int
op_demote (struct call *call)
{
  struct disk *disk = call->disk;
  struct volume_status status;
  struct demotion wanted;
  struct side self, peer;
  struct comparison c;
  struct volume_tail tail;
  int r;

  if (get_demotion (call, &wanted) == -1)
    return -1;
  volume_get_status (disk->volume, &status);
  if (status.role == VOLUME_ROLE_SECONDARY && !wanted.is_dry_run &&
      status.fence == wanted.fence && disk->link.is_set)
    return demote_again (call, &wanted, &status);
  if (call_check_role (call, VOLUME_ROLE_PRIMARY) == -1 ||
      peer_side (call, &peer) == -1 || self_side (call, &self) == -1)
    return -1;
  compare (&self, &peer, &c);
  if (wanted.is_dry_run)
    return tell_comparison (call, &c, false, &tail);
  if (check_demotion (call, &wanted, &c, &status) == -1)
    return -1;

  /* From here on nobody writes, so this is what is given up. */
  if (disk_bar_guests (disk, &call->error) == -1)
    return call_failed (call);
  r = self_side (call, &self);
  if (r == 0) {
    compare (&self, &peer, &c);
    r = tell_comparison (call, &c, false, &tail);
  }
  if (r == 0)
    r = change_role (call, &wanted, &c, wanted.saves && tail.writes > 0);
  disk_unbar_guests (disk);
  return r;
}

/* Records from the peer, and the stage that holds a sync until it is whole.
 *
 * The states of a secondary's content:
 *
 *   shown      map.S; records received are applied to it when durable
 *   staging    map.S stays as it is; records received go to the other map
 *
 *   mark              shown -> staging   staging -> shown
 *   STAGE_BEGIN       empty stage        (an older stage is dropped)
 *   STAGE_CURSOR      -                  stays: progress of the delta
 *   STAGE_COMMIT      -                  the stage is shown, as one step
 *   STAGE_DROP        -                  the stage is forgotten
 *
 * Each change is a mark in the journal, applied in its turn like a record,
 * so replay after a crash takes the same way to the same state.  A commit
 * of a stage from nothing makes the other map the disk (S changes); of a
 * delta it stores the staged entries into map.S, which may be repeated.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "volume-internal.h"

/* ------------------------------------------------------------------ */
/* Tables of the stage.                                                */

int
stage_tables_open (struct volume *v, struct error *err)
{
  unsigned slot = !v->super.map_slot;

  if (table_open (&v->stage_map, v->io, v->dir, map_name (slot), MAP_MAGIC,
                  volume_blocks (v), &v->super.uuid, err) == -1)
    return -1;
  if (table_open (&v->stage_births, v->io, v->dir, births_name (slot),
                  BIRTHS_MAGIC, volume_blocks (v), &v->super.uuid, err) == -1) {
    table_close (&v->stage_map);
    return -1;
  }
  return 0;
}

void
stage_tables_remove (struct volume *v)
{
  unsigned slot = !v->super.map_slot;

  v->io->unlink (v->dir, map_name (slot));
  v->io->unlink (v->dir, births_name (slot));
}

static int
stage_tables_make (struct volume *v, struct error *err)
{
  unsigned slot = !v->super.map_slot;

  stage_tables_remove (v);
  if (table_create (v->io, v->dir, map_name (slot), MAP_MAGIC, volume_blocks (v),
                    &v->super.uuid, err) == -1 ||
      table_create (v->io, v->dir, births_name (slot), BIRTHS_MAGIC,
                    volume_blocks (v), &v->super.uuid, err) == -1)
    return -1;
  if (v->io->dir_sync (v->dir) == -1)
    return error_set_errno (err, errno, "cannot sync '%s'", v->path);
  return stage_tables_open (v, err);
}

/* As if they had never been made. */
static void
stage_tables_unmake (struct volume *v)
{
  int saved = errno;

  table_close (&v->stage_map);
  table_close (&v->stage_births);
  stage_tables_remove (v);
  errno = saved;
}

/* Count all that a map refers to in or out of its segments. */
static void
account_map (struct volume *v, const struct table *map, int sign)
{
  uint64_t i = 0, end, entry;

  if (v->is_replaying)
    return;
  for (table_next_used (map, &i, &end); i < table_count (map);
       table_next_used (map, &i, &end))
    for (; i < end; ++i) {
      entry = table_get (map, i);
      if (entry_kind (entry) == ENTRY_DATA)
        segments_account (&v->segments, entry_position (entry),
                          sign * (int64_t) entry_length (entry));
    }
}

static void
set_staging (struct volume *v, bool is_staging)
{
  __atomic_store_n (&v->is_staging, is_staging, __ATOMIC_RELEASE);
}

/* ------------------------------------------------------------------ */
/* Marks, applied in their turn.                                       */

static void
forget_stage (struct volume *v)
{
  if (!v->is_staging)
    return;
  account_map (v, &v->stage_map, -1);
  set_staging (v, false);
  table_close (&v->stage_map);
  table_close (&v->stage_births);
  v->super.flags &= ~SUPER_STAGE;
  memset (&v->super.stage, 0, sizeof v->super.stage);
}

/* The point of the stream after a mark. */
static void
continue_from (struct volume *v, const struct volume_point *point)
{
  v->point_after_mark = *point;
  v->has_point_after_mark = true;
}

static int
begin (struct volume *v, const struct mark *mark)
{
  struct volume_generations generations = v->super.stage.generations;

  /* Made before the mark was appended, or this is a replay. */
  forget_stage (v);
  if (v->stage_map.file == NULL && stage_tables_make (v, NULL) == -1)
    return -1;
  v->super.stage = (struct stage) {
    .id = mark->stage_id, .since = mark->since, .start = mark->start,
    .salt = mark->salt, .lineage = mark->lineage, .last = mark->start,
    .generations = generations, .shown = mark->point,
  };
  v->super.flags |= SUPER_STAGE;
  continue_from (v, &(struct volume_point) { .seq = mark->start });
  set_staging (v, true);
  return 0;
}

/* The stage becomes the disk. */
static void
show_whole_stage (struct volume *v)
{
  struct table old_map = v->map, old_births = v->births;
  unsigned old_slot = v->super.map_slot;

  account_map (v, &old_map, -1);
  v->map = v->stage_map;
  v->births = v->stage_births;
  v->stage_map = old_map;
  v->stage_births = old_births;
  newest_forget_all (&v->newest, volume_blocks (v));
  v->super.map_slot = !old_slot;
  v->super.content_salt = v->super.stage.salt;
  v->super.lineage = v->super.stage.lineage;
}

/* Births go back to where they were before what was given up.  Where entry
 * and birth do not belong together, because the medium has lost one of them,
 * the disk gets both and a read says so: the block is not what it was.
 */
static void
show_staged (struct volume *v, uint64_t block)
{
  uint64_t entry = table_get (&v->stage_map, block), old;
  uint64_t birth = table_get (&v->stage_births, block);

  if (entry == 0 && birth == 0)
    return;
  table_set (&v->births, block, birth);
  old = table_exchange (&v->map, block, entry);
  newest_forget (&v->newest, block);
  if (!v->is_replaying && entry_kind (old) == ENTRY_DATA)
    segments_account (&v->segments, entry_position (old),
                      -(int64_t) entry_length (old));
}

/* The staged entries become the disk's. */
static void
merge_stage (struct volume *v)
{
  uint64_t i = 0, end;

  for (table_next_used (&v->stage_map, &i, &end);
       i < table_count (&v->stage_map);
       table_next_used (&v->stage_map, &i, &end))
    for (; i < end; ++i)
      show_staged (v, i);
}

static int
commit (struct volume *v, const struct mark *mark, uint64_t position)
{
  if (!v->is_staging || mark->stage_id != v->super.stage.id) {
    errno = EUCLEAN;
    return -1;
  }
  if (table_sync (&v->stage_map) == -1 ||
      table_sync (&v->stage_births) == -1)
    return -1;
  if (v->super.stage.since == 0)
    show_whole_stage (v);
  else
    merge_stage (v);
  v->super.generations = v->super.stage.generations;
  continue_from (v, &mark->point);
  v->super.oldest_seq = mark->point.seq + 1;
  v->super.oldest_position = position;
  v->super.confirmed_seq = mark->point.seq;
  v->super.flags &= ~SUPER_STAGE;
  super_keep_shown (&v->super);
  memset (&v->super.stage, 0, sizeof v->super.stage);
  set_staging (v, false);
  /* The files that are no longer needed stay until a checkpoint names the
   * new ones.
   */
  table_close (&v->stage_map);
  table_close (&v->stage_births);
  return 0;
}

int
stage_apply_mark (struct volume *v, const struct record *record,
                  const void *body, uint64_t position)
{
  struct mark mark;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

  if (!mark_decode (body, record->length, &mark)) {
    errno = EUCLEAN;
    return -1;
  }
  switch (record->type) {
  case RECORD_STAGE_BEGIN:
    return begin (v, &mark);
  case RECORD_STAGE_CURSOR:
    if (v->is_staging)
      v->super.stage.cursor = mark.cursor;
    return 0;
  case RECORD_STAGE_COMMIT:
    return commit (v, &mark, position);
  case RECORD_STAGE_DROP:
    forget_stage (v);
    continue_from (v, &mark.point);
    v->super.oldest_seq = mark.point.seq + 1;
    v->super.oldest_position = position;
    return 0;
  default:
    errno = EUCLEAN;
    return -1;
  }
}

/* ------------------------------------------------------------------ */
/* The secondary's calls.                                              */

static int
check_secondary (struct volume *v, struct error *err)
{
  if (v->super.role == VOLUME_ROLE_SECONDARY)
    return 0;
  return error_set (err, EPERM, "the volume is %s, not secondary",
                    volume_role_name (v->super.role));
}

static int
append_failed (struct volume *v, struct error *err, const char *what)
{
  int saved = errno;

  if (v->journal.failed)
    return error_set (err, saved, "cannot %s: %s", what, v->failure);
  return error_set_errno (err, saved, "cannot %s", what);
}

/* Append a mark and see it applied. */
static int
append_mark (struct volume *v, enum format_record_type type,
             const struct mark *mark, bool wait, struct error *err)
{
  struct record r = { .type = type, .length = sizeof (struct format_mark) };
  struct journal_slot slot;

  if (journal_reserve (v, JOURNAL_MARK, &r, &slot) == -1)
    return append_failed (v, err, "write to the journal");
  record_encode (&r, position_seed (v->super.journal_salt, slot.position),
                 (struct format_record *) slot.memory);
  mark_encode (mark, (struct format_mark *)
               (slot.memory + sizeof (struct format_record)));
  journal_filled (v, &slot);
  if (wait && journal_wait_applied (v, slot.batch + 1) == -1)
    return append_failed (v, err, "write to the journal");
  return 0;
}

/* What the disk shows: the last commit point. */
static struct volume_point
committed_point (struct volume *v)
{
  struct volume_status status;

  volume_get_status (v, &status);
  return status.committed;
}

/* The next stream record follows POINT. */
static void
continue_after (struct volume *v, const struct volume_point *point)
{
  struct journal *j = &v->journal;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  j->next_seq = point->seq + 1;
  j->bytes = point->bytes;
  j->appended = j->durable_point = j->applied_point = *point;
}

/* Carry a mark out and write the result down. */
static int
change_stage (struct volume *v, enum format_record_type type,
              const struct mark *mark, const struct volume_point *next,
              struct error *err)
{
  /* The cleaner does not look before it is written down which tables are
   * the disk and by which salts they are keyed.
   */
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->tables_lock);

  {
    /* No checkpoint looks at the tables while they change. */
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->checkpoint_lock);

    /* A mark that cannot be carried out is the end of a volume: what it needs
     * is there before it is written.
     */
    if (type == RECORD_STAGE_BEGIN && stage_tables_make (v, err) == -1) {
      stage_tables_unmake (v);
      return -1;
    }
    if (append_mark (v, type, mark, true, err) == -1) {
      if (!v->is_staging)
        stage_tables_unmake (v);
      return -1;
    }
    continue_after (v, next);
  }
  if (checkpoint (v, false, err) == -1)
    return -1;
  if (type != RECORD_STAGE_BEGIN)
    stage_tables_remove (v);
  return 0;
}

int
volume_stage_begin (struct volume *v, uint64_t id, uint64_t since_seq,
                    uint64_t start_seq, uint64_t salt,
                    const struct uuid *lineage, struct error *err)
{
  struct mark mark = {
    .stage_id = id, .since = since_seq, .start = start_seq,
    .salt = since_seq == 0 ? salt : v->super.content_salt,
    .lineage = since_seq == 0 ? *lineage : v->super.lineage,
  };
  struct volume_point start = { .seq = start_seq };
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->role_lock);

  if (check_secondary (v, err) == -1)
    return -1;
  if (v->super.flags & SUPER_SALVAGE)
    return error_set (err, EPERM, "what is to be replaced has not been saved "
                      "yet");
  if (start_seq > SEQ_MAX || since_seq > start_seq)
    return error_set (err, EBADMSG, "a stage cannot begin at seq %llu",
                      (unsigned long long) start_seq);
  if (journal_flush_applied (v) == -1)
    return append_failed (v, err, "begin a stage");
  if (v->is_staging && stage_drop_locked (v, err) == -1)
    return -1;
  mark.point = committed_point (v);
  return change_stage (v, RECORD_STAGE_BEGIN, &mark, &start, err);
}

/* Records of the stream come without a gap and each in the generation that the
 * peer told of for its seq.  While staging that table comes at the end.
 */
static int
check_place (struct volume *v, const struct record *r, uint64_t *next,
             struct error *err)
{
  uint64_t generation;

  if (r->seq != *next)
    return error_set (err, ESTALE, "record %llu is out of order",
                      (unsigned long long) r->seq);
  ++*next;
  if (v->is_staging)
    return 0;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);
  generation = generations_at (&v->super.generations, r->seq);
  if (r->generation == generation)
    return 0;
  return error_set (err, EBADMSG, "record %llu is of generation %016llx, "
                    "which is not the one there",
                    (unsigned long long) r->seq,
                    (unsigned long long) r->generation);
}

static uint64_t
next_seq (struct volume *v)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->journal.lock);

  return v->journal.next_seq;
}

/* Validate LEN bytes of records before any of them has an effect. */
static int
validate_records (struct volume *v, const uint8_t *p, size_t len,
                  uint64_t salt, struct error *err)
{
  uint64_t next = next_seq (v);
  struct record r;

  while (len > 0) {
    if (len < sizeof (struct format_record) ||
        !record_decode ((const struct format_record *) p, salt, &r) ||
        r.length > len - sizeof (struct format_record))
      return error_set (err, EBADMSG, "a record's header is garbled");
    if (record_type_is_mark (r.type) || r.type == RECORD_MOVE ||
        (r.type == RECORD_DELTA && !v->is_staging))
      return error_set (err, EBADMSG, "a record of type %d is out of place",
                        r.type);
    p += sizeof (struct format_record);
    len -= sizeof (struct format_record);
    if (!record_verify_body (&r, p, salt, volume_blocks (v)))
      return error_set (err, EBADMSG, "record %llu is garbled",
                        (unsigned long long) r.seq);
    if (r.type != RECORD_DELTA && check_place (v, &r, &next, err) == -1)
      return -1;
    p += r.length;
    len -= r.length;
  }
  return 0;
}

int
volume_receive (struct volume *v, const void *records, size_t len,
                struct error *err)
{
  const uint8_t *p = records, *end = p + len;
  struct journal_slot slot;
  uint64_t salt, seq;
  struct record r;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->role_lock);

  if (check_secondary (v, err) == -1)
    return -1;
  salt = v->is_staging ? v->super.stage.salt : v->super.content_salt;
  if (validate_records (v, p, len, salt, err) == -1)
    return -1;

  while (p < end) {
    if (!record_decode ((const struct format_record *) p, salt, &r))
      return error_set (err, EBADMSG, "a record's header is garbled");
    seq = r.seq;
    if (journal_reserve (v, JOURNAL_FOREIGN, &r, &slot) == -1) {
      if (errno == ESTALE)
        return error_set (err, ESTALE, "record %llu is out of order",
                          (unsigned long long) seq);
      return append_failed (v, err, "store records of the peer");
    }
    record_encode (&r, position_seed (v->super.journal_salt, slot.position),
                   (struct format_record *) slot.memory);
    p += sizeof (struct format_record);
    memcpy (slot.memory + sizeof (struct format_record), p, r.length);
    p += r.length;
    journal_filled (v, &slot);
  }
  return 0;
}

int
volume_receive_flush (struct volume *v, struct error *err)
{
  if (journal_flush_applied (v) == -1)
    return append_failed (v, err, "commit records of the peer");
  return 0;
}

int
volume_stage_cursor (struct volume *v, uint64_t block, struct error *err)
{
  const struct mark mark = { .cursor = block };
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->role_lock);

  if (check_secondary (v, err) == -1)
    return -1;
  if (!v->is_staging || block > volume_blocks (v))
    return error_set (err, EBADMSG, "no stage is open, or block %llu is "
                      "behind the disk's end", (unsigned long long) block);
  return append_mark (v, RECORD_STAGE_CURSOR, &mark, false, err);
}

int
volume_generations_set (struct volume *v,
                        const struct volume_generations *table,
                        struct error *err)
{
  struct volume_point committed;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->role_lock);

  if (check_secondary (v, err) == -1)
    return -1;
  if (table->count > VOLUME_GENERATIONS_MAX)
    return error_set (err, EBADMSG, "%u generations are too many",
                      table->count);
  committed = committed_point (v);

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

    if (v->super.flags & SUPER_STAGE)
      v->super.stage.generations = *table;
    else if (committed.seq > 0 && v->super.generations.count > 0 &&
             generations_at (table, committed.seq) != committed.generation)
      return error_set (err, EBADMSG, "the history does not lead to what is "
                        "committed here");
    else {
      v->super.generations = *table;
      super_keep_shown (&v->super);
    }
  }
  return checkpoint (v, false, err);
}

/* A delta must replace all that was given up: a block that it leaves out
 * would be of neither history.
 */
static int
check_replaces (struct volume *v, struct error *err)
{
  uint64_t since = v->super.stage.since, i;
  struct volume_changed *c;
  int r = 0;

  if (!(v->super.flags & SUPER_DISCARD) || since == 0)
    return 0;
  c = malloc (sizeof *c);
  if (c == NULL)
    return error_set_errno (err, errno, "cannot commit the stage");
  c->end = 0;
  do {
    volume_changed_blocks (v, since, c->end, c);
    for (i = c->first; r == 0 && i < c->end; ++i)
      if (volume_changed_has (c, i) &&
          entry_kind (table_get (&v->stage_map, i)) == ENTRY_UNWRITTEN)
        r = error_set (err, EBADMSG, "the delta leaves block %llu as it was "
                       "given up", (unsigned long long) i);
  } while (r == 0 && c->end < volume_blocks (v));
  free (c);
  return r;
}

int
volume_stage_commit (struct volume *v, const struct volume_point *point,
                     struct error *err)
{
  struct mark mark;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->role_lock);

  if (check_secondary (v, err) == -1)
    return -1;
  if (!v->is_staging)
    return error_set (err, EBADMSG, "no stage is open");
  if (journal_flush_applied (v) == -1)
    return append_failed (v, err, "commit the stage");
  if (v->super.stage.last != point->seq)
    return error_set (err, ESTALE, "the stage ends at seq %llu, not %llu",
                      (unsigned long long) v->super.stage.last,
                      (unsigned long long) point->seq);
  if (check_replaces (v, err) == -1)
    return -1;
  mark = (struct mark) {
    .stage_id = v->super.stage.id, .salt = v->super.stage.salt,
    .point = *point,
  };
  if (point->seq > 0 &&
      generations_at (&v->super.stage.generations, point->seq) !=
      point->generation)
    return error_set (err, EBADMSG, "the stage came without the generation "
                      "of its point");
  return change_stage (v, RECORD_STAGE_COMMIT, &mark, point, err);
}

int
stage_drop_locked (struct volume *v, struct error *err)
{
  struct mark mark;

  if (check_secondary (v, err) == -1)
    return -1;
  if (journal_flush_applied (v) == -1)
    return append_failed (v, err, "drop the stage");
  if (!v->is_staging)
    return 0;
  mark = (struct mark) {
    .salt = v->super.content_salt, .point = committed_point (v),
  };
  return change_stage (v, RECORD_STAGE_DROP, &mark, &mark.point, err);
}

int
volume_stage_drop (struct volume *v, struct error *err)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->role_lock);

  return stage_drop_locked (v, err);
}

int
volume_set_ahead (struct volume *v, bool is_ahead, struct error *err)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->role_lock);
  struct volume_point committed = committed_point (v);

  if (check_secondary (v, err) == -1)
    return -1;
  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

    if (is_ahead == ((v->super.flags & SUPER_AHEAD) != 0))
      return 0;
    v->super.flags ^= SUPER_AHEAD;
    v->super.confirmed_seq = committed.seq;
  }
  return checkpoint (v, false, err);
}

void
volume_confirm (struct volume *v, uint64_t seq)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->super_lock);

  /* With a stage open, what is shown may be of a past that the primary left:
   * its seqs say nothing of that.
   */
  if (!(v->super.flags & SUPER_STAGE) && v->super.confirmed_seq < seq)
    v->super.confirmed_seq = seq;
}

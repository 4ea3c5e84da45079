/* Disks, events, tokens and facts in the store (see store.h, store.c). */

#include <config.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store-internal.h"
#include "store.h"
#include "values.h"

#define TOKEN_LIFE_MS (24 * 3600 * UINT64_C (1000))
#define TOMBSTONE_LIFE_MS (24 * 3600 * UINT64_C (1000))
#define EVENTS_MAX 100000
#define EVENTS_LIST_MAX 500

/* ------------------------------------------------------------------ */
/* Disks.                                                               */

#define DISK_COLUMNS "id, name, state, size, capacity, create_time, instance"

static void
read_disk (sqlite3_stmt *stmt, void *opaque)
{
  struct disk *ret = opaque;

  memset (ret, 0, sizeof *ret);
  store_column_text (stmt, 0, ret->id, sizeof ret->id);
  store_column_text (stmt, 1, ret->name, sizeof ret->name);
  ret->state = sqlite3_column_int (stmt, 2);
  ret->size = sqlite3_column_int64 (stmt, 3);
  ret->capacity = sqlite3_column_int64 (stmt, 4);
  ret->create_time = sqlite3_column_int64 (stmt, 5);
  store_column_text (stmt, 6, ret->instance, sizeof ret->instance);
}

int
store_disk_get (struct store *s, const char *id_or_name, struct disk *ret)
{
  sqlite3_stmt *stmt =
    store_prepare (s, "SELECT " DISK_COLUMNS " FROM disks "
                   "WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC");

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, id_or_name);
  return store_one (s, stmt, read_disk, ret, "read a disk");
}

int
store_disk_put (struct store *s, const struct disk *disk)
{
  sqlite3_stmt *stmt =
    store_prepare (s, "INSERT OR REPLACE INTO disks (" DISK_COLUMNS ") "
                   "VALUES (?,?,?,?,?,?,?)");

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, disk->id);
  store_bind_text (stmt, 2, disk->name);
  sqlite3_bind_int (stmt, 3, disk->state);
  sqlite3_bind_int64 (stmt, 4, disk->size);
  sqlite3_bind_int64 (stmt, 5, disk->capacity);
  sqlite3_bind_int64 (stmt, 6, disk->create_time);
  store_bind_text (stmt, 7, disk->instance);
  return store_run (s, stmt, "write a disk");
}

int
store_disk_remove (struct store *s, const char *id)
{
  sqlite3_stmt *stmt = store_prepare (s, "DELETE FROM disks WHERE id = ?");

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, id);
  return store_run (s, stmt, "remove a disk");
}

ssize_t
store_disk_list (struct store *s, struct disk **ret)
{
  return store_many (s, store_prepare (s, "SELECT " DISK_COLUMNS " FROM disks "
                                       "ORDER BY create_time DESC, "
                                       "rowid DESC"), read_disk,
                     sizeof **ret, SIZE_MAX, ret, "list disks");
}

/* ------------------------------------------------------------------ */
/* Events.                                                              */

int
store_event_add (struct store *s, const struct event *event)
{
  sqlite3_stmt *stmt =
    store_prepare (s, "INSERT INTO events (time_ms, level, actor, kind, "
                   "pair, disk, from_status, to_status, message) "
                   "VALUES (?,?,?,?,?,?,?,?,?)");

  if (stmt == NULL)
    return -1;
  sqlite3_bind_int64 (stmt, 1, event->time_ms);
  sqlite3_bind_int (stmt, 2, event->level);
  store_bind_text (stmt, 3, event->actor);
  store_bind_text (stmt, 4, event->kind);
  store_bind_text (stmt, 5, event->pair);
  store_bind_text (stmt, 6, event->disk);
  store_bind_text (stmt, 7, event->from);
  store_bind_text (stmt, 8, event->to);
  store_bind_text (stmt, 9, event->message);
  return store_run (s, stmt, "write an event");
}

static void
read_event (sqlite3_stmt *stmt, void *opaque)
{
  struct event *ret = opaque;

  memset (ret, 0, sizeof *ret);
  ret->id = sqlite3_column_int64 (stmt, 0);
  ret->time_ms = sqlite3_column_int64 (stmt, 1);
  ret->level = sqlite3_column_int (stmt, 2);
  store_column_text (stmt, 3, ret->actor, sizeof ret->actor);
  store_column_text (stmt, 4, ret->kind, sizeof ret->kind);
  store_column_text (stmt, 5, ret->pair, sizeof ret->pair);
  store_column_text (stmt, 6, ret->disk, sizeof ret->disk);
  store_column_text (stmt, 7, ret->from, sizeof ret->from);
  store_column_text (stmt, 8, ret->to, sizeof ret->to);
  store_column_text (stmt, 9, ret->message, sizeof ret->message);
}

ssize_t
store_event_list (struct store *s, const struct event_filter *filter,
                  struct event **ret)
{
  unsigned max = filter->max < EVENTS_LIST_MAX ? filter->max
    : EVENTS_LIST_MAX;
  sqlite3_stmt *stmt;

  /* After an id: the next ones.  Without: the newest.  Oldest first both
   * ways, as a log is read.
   */
  stmt = store_prepare (s, filter->after
    ? "SELECT * FROM events WHERE id > ?1 AND (?2 = '' OR pair = ?2) AND "
      "(?3 = '' OR disk = ?3) ORDER BY id LIMIT ?4"
    : "SELECT * FROM (SELECT * FROM events WHERE id > ?1 AND "
      "(?2 = '' OR pair = ?2) AND (?3 = '' OR disk = ?3) "
      "ORDER BY id DESC LIMIT ?4) ORDER BY id");
  if (stmt == NULL)
    return -1;
  sqlite3_bind_int64 (stmt, 1, filter->after);
  store_bind_text (stmt, 2, filter->pair ? filter->pair : "");
  store_bind_text (stmt, 3, filter->disk ? filter->disk : "");
  sqlite3_bind_int (stmt, 4, max);
  return store_many (s, stmt, read_event, sizeof **ret, max, ret,
                     "list events");
}

/* ------------------------------------------------------------------ */
/* Tokens and facts.                                                    */

struct text_row {
  char *digest;                  /* NULL: not wanted */
  char *text;
};

/* What is wanted of a token, or a fact; the text is the last column. */
static void
read_text (sqlite3_stmt *stmt, void *opaque)
{
  struct text_row *row = opaque;

  if (row->digest)
    store_column_text (stmt, 0, row->digest, 65);
  row->text =
    strdup ((const char *) sqlite3_column_text (stmt,
                                                sqlite3_column_count (stmt)
                                                - 1));
}

static int
get_text (struct store *s, sqlite3_stmt *stmt, char *ret_digest,
          char **ret_text, const char *what)
{
  struct text_row row = { .digest = ret_digest };
  int r = store_one (s, stmt, read_text, &row, what);

  if (r == 1 && row.text == NULL)
    return store_fail (s, what);
  if (r == 1)
    *ret_text = row.text;
  return r;
}

int
store_token_get (struct store *s, const char *key, char ret_digest[65],
                 char **ret_answer)
{
  sqlite3_stmt *stmt =
    store_prepare (s, "SELECT digest, answer FROM tokens "
                   "WHERE key = ? AND time_ms > ?");

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, key);
  sqlite3_bind_int64 (stmt, 2, wall_ms () - TOKEN_LIFE_MS);
  return get_text (s, stmt, ret_digest, ret_answer, "read a token");
}

int
store_token_put (struct store *s, const char *key, const char *digest,
                 const char *answer)
{
  sqlite3_stmt *stmt =
    store_prepare (s, "INSERT OR REPLACE INTO tokens (key, digest, answer, "
                   "time_ms) VALUES (?,?,?,?)");

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, key);
  store_bind_text (stmt, 2, digest);
  store_bind_text (stmt, 3, answer);
  sqlite3_bind_int64 (stmt, 4, wall_ms ());
  return store_run (s, stmt, "write a token");
}

int
store_fact_get (struct store *s, const char *name, char **ret)
{
  sqlite3_stmt *stmt =
    store_prepare (s, "SELECT value FROM facts WHERE name = ?");

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, name);
  return get_text (s, stmt, NULL, ret, "read a fact");
}

int
store_fact_put (struct store *s, const char *name, const char *value)
{
  sqlite3_stmt *stmt =
    store_prepare (s, "INSERT OR REPLACE INTO facts (name, value) "
                   "VALUES (?,?)");

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, name);
  store_bind_text (stmt, 2, value);
  return store_run (s, stmt, "write a fact");
}

static int
prune (struct store *s, const char *sql, int64_t bound, const char *what)
{
  sqlite3_stmt *stmt = store_prepare (s, sql);

  if (stmt == NULL)
    return -1;
  sqlite3_bind_int64 (stmt, 1, bound);
  return store_run (s, stmt, what);
}

int
store_prune (struct store *s)
{
  int64_t now = wall_ms ();

  if (prune (s, "DELETE FROM tokens WHERE time_ms <= ?",
             now - TOKEN_LIFE_MS, "prune tokens") == -1 ||
      prune (s, "DELETE FROM events WHERE id <= "
             "(SELECT coalesce (max (id), 0) FROM events) - ?",
             EVENTS_MAX, "prune events") == -1 ||
      prune (s, "DELETE FROM pairs WHERE status = 'deleted' AND "
             "gone_ms > 0 AND gone_ms <= ?",
             now - TOMBSTONE_LIFE_MS, "prune pairs") == -1)
    return -1;
  return 0;
}

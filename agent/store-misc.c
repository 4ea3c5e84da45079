/* Disks, events, tokens and facts in the store (see agent.h, store.c). */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "store-internal.h"

#define TOKEN_LIFE_MS (24 * 3600 * UINT64_C (1000))
#define TOMBSTONE_LIFE_MS (24 * 3600 * UINT64_C (1000))
#define EVENTS_MAX 100000
#define EVENTS_LIST_MAX 500

/* ------------------------------------------------------------------ */
/* Disks.                                                               */

#define DISK_COLUMNS "id, name, state, size, capacity, create_time"

static void
read_disk (sqlite3_stmt *stmt, struct disk *ret)
{
  memset (ret, 0, sizeof *ret);
  store_column_text (stmt, 0, ret->id, sizeof ret->id);
  store_column_text (stmt, 1, ret->name, sizeof ret->name);
  ret->state = sqlite3_column_int (stmt, 2);
  ret->size = sqlite3_column_int64 (stmt, 3);
  ret->capacity = sqlite3_column_int64 (stmt, 4);
  ret->create_time = sqlite3_column_int64 (stmt, 5);
}

int
store_disk_get (struct store *s, const char *id_or_name, struct disk *ret)
{
  sqlite3_stmt *stmt =
    store_prepare (s, "SELECT " DISK_COLUMNS " FROM disks "
                   "WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC");
  int r;

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, id_or_name);
  r = sqlite3_step (stmt);
  if (r == SQLITE_ROW)
    read_disk (stmt, ret);
  else if (r != SQLITE_DONE)
    store_fail (s, "read a disk");
  sqlite3_finalize (stmt);
  return r == SQLITE_ROW ? 1 : r == SQLITE_DONE ? 0 : -1;
}

int
store_disk_put (struct store *s, const struct disk *disk)
{
  sqlite3_stmt *stmt =
    store_prepare (s, "INSERT OR REPLACE INTO disks (" DISK_COLUMNS ") "
                   "VALUES (?,?,?,?,?,?)");

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, disk->id);
  store_bind_text (stmt, 2, disk->name);
  sqlite3_bind_int (stmt, 3, disk->state);
  sqlite3_bind_int64 (stmt, 4, disk->size);
  sqlite3_bind_int64 (stmt, 5, disk->capacity);
  sqlite3_bind_int64 (stmt, 6, disk->create_time);
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
  sqlite3_stmt *stmt =
    store_prepare (s, "SELECT " DISK_COLUMNS " FROM disks "
                   "ORDER BY create_time DESC, rowid DESC");
  struct disk *list = NULL;
  size_t n = 0, room = 0;
  int r = SQLITE_ERROR;

  if (stmt == NULL)
    return -1;
  while ((r = sqlite3_step (stmt)) == SQLITE_ROW) {
    if (n == room) {
      size_t more = room ? 2 * room : 16;
      struct disk *new = reallocarray (list, more, sizeof *list);

      if (new == NULL)
        break;
      list = new;
      room = more;
    }
    read_disk (stmt, &list[n++]);
  }
  sqlite3_finalize (stmt);
  if (r != SQLITE_DONE) {
    free (list);
    return store_fail (s, "list disks");
  }
  *ret = list;
  return n;
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
read_event (sqlite3_stmt *stmt, struct event *ret)
{
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
  struct event *list = calloc (max ? max : 1, sizeof *list);
  sqlite3_stmt *stmt;
  size_t n = 0;
  int r;

  /* After an id: the next ones.  Without: the newest.  Oldest first both
   * ways, as a log is read.
   */
  stmt = store_prepare (s, filter->after
    ? "SELECT * FROM events WHERE id > ?1 AND (?2 = '' OR pair = ?2) AND "
      "(?3 = '' OR disk = ?3) ORDER BY id LIMIT ?4"
    : "SELECT * FROM (SELECT * FROM events WHERE id > ?1 AND "
      "(?2 = '' OR pair = ?2) AND (?3 = '' OR disk = ?3) "
      "ORDER BY id DESC LIMIT ?4) ORDER BY id");
  if (list == NULL || stmt == NULL) {
    sqlite3_finalize (stmt);
    free (list);
    return -1;
  }
  sqlite3_bind_int64 (stmt, 1, filter->after);
  store_bind_text (stmt, 2, filter->pair ? filter->pair : "");
  store_bind_text (stmt, 3, filter->disk ? filter->disk : "");
  sqlite3_bind_int (stmt, 4, max);
  while ((r = sqlite3_step (stmt)) == SQLITE_ROW && n < max)
    read_event (stmt, &list[n++]);
  sqlite3_finalize (stmt);
  if (r != SQLITE_DONE && r != SQLITE_ROW) {
    free (list);
    return store_fail (s, "list events");
  }
  *ret = list;
  return n;
}

/* ------------------------------------------------------------------ */
/* Tokens and facts.                                                    */

int
store_token_get (struct store *s, const char *key, char ret_digest[65],
                 char **ret_answer)
{
  sqlite3_stmt *stmt =
    store_prepare (s, "SELECT digest, answer FROM tokens "
                   "WHERE key = ? AND time_ms > ?");
  int r;

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, key);
  sqlite3_bind_int64 (stmt, 2, wall_ms () - TOKEN_LIFE_MS);
  r = sqlite3_step (stmt);
  if (r == SQLITE_ROW) {
    store_column_text (stmt, 0, ret_digest, 65);
    *ret_answer = strdup ((const char *) sqlite3_column_text (stmt, 1));
    if (*ret_answer == NULL)
      r = SQLITE_NOMEM;
  }
  sqlite3_finalize (stmt);
  return r == SQLITE_ROW ? 1 : r == SQLITE_DONE ? 0
    : store_fail (s, "read a token");
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
  int r;

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, name);
  r = sqlite3_step (stmt);
  if (r == SQLITE_ROW) {
    *ret = strdup ((const char *) sqlite3_column_text (stmt, 0));
    if (*ret == NULL)
      r = SQLITE_NOMEM;
  }
  sqlite3_finalize (stmt);
  return r == SQLITE_ROW ? 1 : r == SQLITE_DONE ? 0
    : store_fail (s, "read a fact");
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

/* What survives: pairs, disks, tokens, events, in one SQLite file (store.h).
 *
 * WAL with synchronous FULL: a transaction that was committed is there after
 * a power cut.  One connection, one mutex: the work is small, and a verb is
 * one transaction.
 *
 * The columns of "pairs" come from RECORD_FIELDS, so the record has one
 * definition.  PRAGMA user_version is the schema's version; a file of a newer
 * one is refused.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "error.h"
#include "log.h"
#include "record.h"
#include "settings.h"
#include "states.h"
#include "store-internal.h"
#include "store.h"
#include "values.h"

#define SCHEMA_VERSION 5
#define SCHEMA_OLDEST 2         /* that is brought to ours */
#define SQL_SIZE 4096

static const char schema[] =
  "CREATE TABLE disks (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
  "  state INTEGER NOT NULL, size INTEGER NOT NULL,"
  "  capacity INTEGER NOT NULL, create_time INTEGER NOT NULL,"
  "  instance TEXT NOT NULL DEFAULT '');"
  "CREATE TABLE tokens (key TEXT PRIMARY KEY, digest TEXT NOT NULL,"
  "  answer TEXT NOT NULL, time_ms INTEGER NOT NULL);"
  "CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT,"
  "  time_ms INTEGER NOT NULL, level INTEGER NOT NULL, actor TEXT NOT NULL,"
  "  kind TEXT NOT NULL, pair TEXT NOT NULL, disk TEXT NOT NULL,"
  "  from_status TEXT NOT NULL, to_status TEXT NOT NULL,"
  "  message TEXT NOT NULL);"
  "CREATE INDEX events_pair ON events (pair, id);"
  "CREATE TABLE access_keys (id TEXT PRIMARY KEY, secret TEXT NOT NULL,"
  "  role TEXT NOT NULL, is_active INTEGER NOT NULL,"
  "  description TEXT NOT NULL, create_time INTEGER NOT NULL);"
  "CREATE TABLE nonces (key TEXT NOT NULL, nonce TEXT NOT NULL,"
  "  time_ms INTEGER NOT NULL, PRIMARY KEY (key, nonce)) WITHOUT ROWID;"
  "CREATE INDEX nonces_time ON nonces (time_ms);"
  "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);";

int
store_fail (struct store *s, const char *what)
{
  log_error ("store: cannot %s: %s", what, sqlite3_errmsg (s->db));
  errno = EIO;
  return -1;
}

sqlite3_stmt *
store_prepare (struct store *s, const char *sql)
{
  sqlite3_stmt *stmt = NULL;

  if (sqlite3_prepare_v2 (s->db, sql, -1, &stmt, NULL) != SQLITE_OK) {
    store_fail (s, "prepare");
    return NULL;
  }
  return stmt;
}

int
store_run (struct store *s, sqlite3_stmt *stmt, const char *what)
{
  int r = sqlite3_step (stmt);

  sqlite3_finalize (stmt);
  return r == SQLITE_DONE || r == SQLITE_ROW ? 0 : store_fail (s, what);
}

int
store_one (struct store *s, sqlite3_stmt *stmt, store_read_fn *read,
           void *ret, const char *what)
{
  int r;

  if (stmt == NULL)
    return -1;
  r = sqlite3_step (stmt);
  if (r == SQLITE_ROW)
    read (stmt, ret);
  else if (r != SQLITE_DONE)
    store_fail (s, what);
  sqlite3_finalize (stmt);
  return r == SQLITE_ROW ? 1 : r == SQLITE_DONE ? 0 : -1;
}

ssize_t
store_many (struct store *s, sqlite3_stmt *stmt, store_read_fn *read,
            size_t size, size_t max, void *ret_list, const char *what)
{
  char *list = NULL;
  size_t n = 0, room = 0;
  int r = SQLITE_DONE;

  if (stmt == NULL)
    return -1;
  while (n < max && (r = sqlite3_step (stmt)) == SQLITE_ROW) {
    if (n == room) {
      size_t more = room ? 2 * room : 8;
      char *new = reallocarray (list, more, size);

      if (new == NULL)
        break;
      list = new;
      room = more;
    }
    read (stmt, list + n * size);
    n++;
  }
  sqlite3_finalize (stmt);
  if (r != SQLITE_DONE && n < max) {
    free (list);
    return store_fail (s, what);
  }
  memcpy (ret_list, &list, sizeof list);
  return n;
}

void
store_bind_text (sqlite3_stmt *stmt, int i, const char *text)
{
  sqlite3_bind_text (stmt, i, text, -1, SQLITE_TRANSIENT);
}

void
store_column_text (sqlite3_stmt *stmt, int i, char *dst, size_t size)
{
  const unsigned char *text = sqlite3_column_text (stmt, i);

  text_set (dst, size, text ? (const char *) text : "");
}

/* ------------------------------------------------------------------ */

/* "id, uuid, ..." */
static const char *
pair_columns (char ret[SQL_SIZE])
{
  const struct record_field *f;
  size_t n = 0;

  for (f = record_fields; f->name; ++f)
    n += snprintf (ret + n, SQL_SIZE - n, "%s%s", n ? ", " : "", f->name);
  return ret;
}

static int
exec (struct store *s, const char *sql, struct error *err)
{
  if (sqlite3_exec (s->db, sql, NULL, NULL, NULL) == SQLITE_OK)
    return 0;
  return error_set (err, EIO, "store: %s", sqlite3_errmsg (s->db));
}

static int
create_schema (struct store *s, struct error *err)
{
  char sql[SQL_SIZE];
  const struct record_field *f;
  size_t n;

  n = snprintf (sql, sizeof sql, "CREATE TABLE pairs (");
  for (f = record_fields; f->name; ++f)
    n += snprintf (sql + n, sizeof sql - n, "%s%s %s NOT NULL%s",
                   f == record_fields ? "" : ", ", f->name,
                   f->kind == RECORD_U64 ? "INTEGER" : "TEXT",
                   f == record_fields ? " PRIMARY KEY" : "");
  snprintf (sql + n, sizeof sql - n, ");");

  if (exec (s, "BEGIN IMMEDIATE", err) == -1 || exec (s, sql, err) == -1 ||
      exec (s, schema, err) == -1)
    return -1;
  snprintf (sql, sizeof sql, "PRAGMA user_version = %d; COMMIT",
            SCHEMA_VERSION);
  return exec (s, sql, err);
}

static int
read_version (struct store *s, int *ret)
{
  sqlite3_stmt *stmt = store_prepare (s, "PRAGMA user_version");
  int r = -1;

  if (stmt && sqlite3_step (stmt) == SQLITE_ROW) {
    *ret = sqlite3_column_int (stmt, 0);
    r = 0;
  }
  sqlite3_finalize (stmt);
  return r;
}

static int
add_column (struct store *s, const char *table, const char *name,
            bool is_text, struct error *err)
{
  sqlite3_stmt *stmt = store_prepare (s, "SELECT 1 FROM pragma_table_info (?) "
                                      "WHERE name = ?");
  char sql[SQL_SIZE];
  int r;

  if (stmt == NULL)
    return error_set (err, EIO, "store: %s", sqlite3_errmsg (s->db));
  store_bind_text (stmt, 1, table);
  store_bind_text (stmt, 2, name);
  r = sqlite3_step (stmt);
  sqlite3_finalize (stmt);
  if (r == SQLITE_ROW)
    return 0;
  snprintf (sql, sizeof sql, "ALTER TABLE %s ADD COLUMN %s %s NOT NULL "
            "DEFAULT %s", table, name, is_text ? "TEXT" : "INTEGER",
            is_text ? "''" : "0");
  return exec (s, sql, err);
}

/* Those that this program knows and an older one did not. */
static int
add_columns (struct store *s, struct error *err)
{
  const struct record_field *f;

  for (f = record_fields; f->name; ++f) {
    if (add_column (s, "pairs", f->name, f->kind != RECORD_U64, err) == -1)
      return -1;
  }
  return add_column (s, "disks", "instance", true, err);
}

static int
migrate (struct store *s, struct error *err)
{
  char sql[64];

  if (exec (s, "BEGIN IMMEDIATE", err) == -1 || add_columns (s, err) == -1)
    return -1;
  snprintf (sql, sizeof sql, "PRAGMA user_version = %d; COMMIT",
            SCHEMA_VERSION);
  return exec (s, sql, err);
}

static int
check_schema (struct store *s, struct error *err)
{
  int version;

  if (read_version (s, &version) == -1)
    return error_set (err, EIO, "store: %s", sqlite3_errmsg (s->db));
  if (version == 0)
    return create_schema (s, err);
  if (version >= SCHEMA_OLDEST && version < SCHEMA_VERSION)
    return migrate (s, err);
  if (version != SCHEMA_VERSION) {
    error_set (err, EINVAL, "store has schema version %d, this program "
               "knows %d", version, SCHEMA_VERSION);
    return error_hint (err, "use the paird that wrote it, or a newer one");
  }
  return 0;
}

/* It holds secrets: nobody but its owner reads it.  SQLite gives the files
 * that it makes beside it the same mode.
 */
static int
make_private (const char *path, struct error *err)
{
  int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

  if (fd == -1 || fchmod (fd, 0600) == -1) {
    error_set_errno (err, errno, "cannot open '%s'", path);
    if (fd != -1)
      close (fd);
    return -1;
  }
  close (fd);
  return 0;
}

struct store *
store_open (const char *path, struct error *err)
{
  struct store *s;

  if (make_private (path, err) == -1)
    return NULL;
  s = calloc (1, sizeof *s);
  if (s == NULL) {
    error_set (err, ENOMEM, "out of memory");
    return NULL;
  }
  pthread_mutex_init (&s->lock, NULL);
  if (sqlite3_open_v2 (path, &s->db,
                       SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                       SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK) {
    error_set (err, EIO, "cannot open '%s': %s", path,
               s->db ? sqlite3_errmsg (s->db) : "out of memory");
    store_close (s);
    return NULL;
  }
  sqlite3_busy_timeout (s->db, 2000);
  if (exec (s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
            err) == -1 ||
      check_schema (s, err) == -1) {
    store_close (s);
    return NULL;
  }
  return s;
}

void
store_close (struct store *s)
{
  if (s == NULL)
    return;
  sqlite3_close (s->db);
  pthread_mutex_destroy (&s->lock);
  free (s);
}

void
store_enter (struct store *s)
{
  pthread_mutex_lock (&s->lock);
}

void
store_leave (struct store *s)
{
  pthread_mutex_unlock (&s->lock);
}

int
store_begin (struct store *s)
{
  store_enter (s);
  if (sqlite3_exec (s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) ==
      SQLITE_OK)
    return 0;
  store_fail (s, "begin");
  store_leave (s);
  return -1;
}

int
store_end (struct store *s, bool commit)
{
  int r = 0;

  if (commit &&
      sqlite3_exec (s->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
    r = store_fail (s, "commit");
    commit = false;
  }
  if (!commit)
    sqlite3_exec (s->db, "ROLLBACK", NULL, NULL, NULL);
  store_leave (s);
  return r;
}

/* ------------------------------------------------------------------ */
/* Pairs.                                                               */

static void
read_record (sqlite3_stmt *stmt, void *opaque)
{
  struct record *ret = opaque;
  const struct record_field *f;
  char status[24];
  int i = 0;

  memset (ret, 0, sizeof *ret);
  for (f = record_fields; f->name; ++f, ++i) {
    char *at = (char *) ret + f->offset;

    if (f->kind == RECORD_TEXT)
      store_column_text (stmt, i, at, f->size);
    else if (f->kind == RECORD_U64)
      *(uint64_t *) at = sqlite3_column_int64 (stmt, i);
    else {
      store_column_text (stmt, i, status, sizeof status);
      ret->status = pair_status_parse (status);
    }
  }
}

static sqlite3_stmt *
select_pairs (struct store *s, const char *rest)
{
  char columns[SQL_SIZE], sql[SQL_SIZE + 256];

  snprintf (sql, sizeof sql, "SELECT %s FROM pairs %s",
            pair_columns (columns), rest);
  return store_prepare (s, sql);
}

int
store_pair_get (struct store *s, const char *id, struct record *ret)
{
  sqlite3_stmt *stmt = select_pairs (s, "WHERE id = ?");

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, id);
  return store_one (s, stmt, read_record, ret, "read a pair");
}

int
store_pair_put (struct store *s, const struct record *rec)
{
  char columns[SQL_SIZE], sql[2 * SQL_SIZE];
  const struct record_field *f;
  sqlite3_stmt *stmt;
  size_t n;
  int i = 1;

  n = snprintf (sql, sizeof sql, "INSERT OR REPLACE INTO pairs (%s) VALUES (",
                pair_columns (columns));
  for (f = record_fields; f->name; ++f)
    n += snprintf (sql + n, sizeof sql - n, f == record_fields ? "?" : ",?");
  snprintf (sql + n, sizeof sql - n, ")");
  stmt = store_prepare (s, sql);
  if (stmt == NULL)
    return -1;
  for (f = record_fields; f->name; ++f, ++i) {
    const char *at = (const char *) rec + f->offset;

    if (f->kind == RECORD_TEXT)
      store_bind_text (stmt, i, at);
    else if (f->kind == RECORD_U64)
      sqlite3_bind_int64 (stmt, i, *(const uint64_t *) at);
    else
      store_bind_text (stmt, i, pair_status_string (rec->status));
  }
  return store_run (s, stmt, "write a pair");
}

int
store_pair_remove (struct store *s, const char *id)
{
  sqlite3_stmt *stmt = store_prepare (s, "DELETE FROM pairs WHERE id = ?");

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, id);
  return store_run (s, stmt, "remove a pair");
}

ssize_t
store_pair_list (struct store *s, struct record **ret)
{
  return store_many (s, select_pairs (s, "ORDER BY create_time DESC, "
                                      "rowid DESC"), read_record,
                     sizeof **ret, SIZE_MAX, ret, "list pairs");
}

static void
read_count (sqlite3_stmt *stmt, void *ret)
{
  *(int64_t *) ret = sqlite3_column_int64 (stmt, 0);
}

int64_t
store_pair_count (struct store *s)
{
  int64_t n = -1;

  store_one (s, store_prepare (s, "SELECT count (*) FROM pairs WHERE status "
                               "<> 'deleted'"), read_count, &n,
             "count pairs");
  return n;
}

int
store_pair_of_disk (struct store *s, const struct settings *settings,
                    const char *disk, struct record *ret)
{
  sqlite3_stmt *stmt =
    select_pairs (s, "WHERE status NOT IN ('deleted', 'create_failed') AND "
                  "((source_region = ?1 AND source_zone = ?2 "
                  "AND source_disk = ?3) OR (destination_region = ?1 "
                  "AND destination_zone = ?2 AND destination_disk = ?3))");

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, settings->region);
  store_bind_text (stmt, 2, settings->zone);
  store_bind_text (stmt, 3, disk);
  return store_one (s, stmt, read_record, ret, "read a pair");
}

/* Access keys and used nonces in the store (see auth.h).
 *
 * Secrets lie there in clear, since a signature is checked by making it: the
 * file is its owner's only (store_open).
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "store-internal.h"

#define KEY_COLUMNS "id, secret, role, is_active, description, create_time"

static void
read_key (sqlite3_stmt *stmt, struct access_key *ret)
{
  char role[16];

  memset (ret, 0, sizeof *ret);
  store_column_text (stmt, 0, ret->id, sizeof ret->id);
  store_column_text (stmt, 1, ret->secret, sizeof ret->secret);
  store_column_text (stmt, 2, role, sizeof role);
  ret->role = key_role_parse (role);
  ret->is_active = sqlite3_column_int (stmt, 3);
  store_column_text (stmt, 4, ret->description, sizeof ret->description);
  ret->create_time = sqlite3_column_int64 (stmt, 5);
}

int
store_key_get (struct store *s, const char *id, struct access_key *ret)
{
  sqlite3_stmt *stmt = store_prepare (s, "SELECT " KEY_COLUMNS
                                      " FROM access_keys WHERE id = ?");
  int r;

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, id);
  r = sqlite3_step (stmt);
  if (r == SQLITE_ROW)
    read_key (stmt, ret);
  else if (r != SQLITE_DONE)
    store_fail (s, "read an access key");
  sqlite3_finalize (stmt);
  return r == SQLITE_ROW ? 1 : r == SQLITE_DONE ? 0 : -1;
}

int
store_key_put (struct store *s, const struct access_key *key)
{
  sqlite3_stmt *stmt =
    store_prepare (s, "INSERT OR REPLACE INTO access_keys (" KEY_COLUMNS
                   ") VALUES (?,?,?,?,?,?)");

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, key->id);
  store_bind_text (stmt, 2, key->secret);
  store_bind_text (stmt, 3, key_role_string (key->role));
  sqlite3_bind_int (stmt, 4, key->is_active);
  store_bind_text (stmt, 5, key->description);
  sqlite3_bind_int64 (stmt, 6, key->create_time);
  return store_run (s, stmt, "write an access key");
}

int
store_key_remove (struct store *s, const char *id)
{
  sqlite3_stmt *stmt = store_prepare (s, "DELETE FROM access_keys "
                                      "WHERE id = ?");

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, id);
  return store_run (s, stmt, "remove an access key");
}

ssize_t
store_key_list (struct store *s, struct access_key **ret)
{
  sqlite3_stmt *stmt = store_prepare (s, "SELECT " KEY_COLUMNS
                                      " FROM access_keys "
                                      "ORDER BY create_time, rowid");
  struct access_key *list = calloc (KEYS_MAX, sizeof *list);
  size_t n = 0;
  int r = SQLITE_NOMEM;

  if (stmt && list) {
    while ((r = sqlite3_step (stmt)) == SQLITE_ROW && n < KEYS_MAX)
      read_key (stmt, &list[n++]);
  }
  sqlite3_finalize (stmt);
  if (r != SQLITE_DONE && r != SQLITE_ROW) {
    free (list);
    return store_fail (s, "list access keys");
  }
  *ret = list;
  return n;
}

/* ------------------------------------------------------------------ */

static int
count_nonces (struct store *s, const char *key)
{
  sqlite3_stmt *stmt = store_prepare (s, "SELECT count (*) FROM nonces "
                                      "WHERE key = ?");
  int n = -1;

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, key);
  if (sqlite3_step (stmt) == SQLITE_ROW)
    n = sqlite3_column_int (stmt, 0);
  else
    store_fail (s, "count nonces");
  sqlite3_finalize (stmt);
  return n;
}

static int
drop_old_nonces (struct store *s, uint64_t now_ms)
{
  sqlite3_stmt *stmt = store_prepare (s, "DELETE FROM nonces "
                                      "WHERE time_ms <= ?");

  if (stmt == NULL)
    return -1;
  sqlite3_bind_int64 (stmt, 1, now_ms > NONCE_LIFE_MS
                      ? now_ms - NONCE_LIFE_MS : 0);
  return store_run (s, stmt, "drop old nonces");
}

int
store_nonce_take (struct store *s, const char *key, const char *nonce,
                  uint64_t now_ms, unsigned max)
{
  sqlite3_stmt *stmt;
  int n;

  if (drop_old_nonces (s, now_ms) == -1 ||
      (n = count_nonces (s, key)) == -1)
    return -1;
  if ((unsigned) n >= max) {
    errno = E2BIG;
    return -1;
  }
  stmt = store_prepare (s, "INSERT OR IGNORE INTO nonces (key, nonce, "
                        "time_ms) VALUES (?,?,?)");
  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, key);
  store_bind_text (stmt, 2, nonce);
  sqlite3_bind_int64 (stmt, 3, now_ms);
  if (store_run (s, stmt, "write a nonce") == -1)
    return -1;
  return sqlite3_changes (s->db) > 0;
}

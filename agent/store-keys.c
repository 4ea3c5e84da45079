/* Access keys and used nonces in the store (see auth.h).
 *
 * Secrets lie there in clear, since a signature is checked by making it: the
 * file is its owner's only (store_open).
 */

#include <config.h>

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "store-internal.h"

#define KEY_COLUMNS "id, secret, role, is_active, description, create_time"

static void
read_key (sqlite3_stmt *stmt, void *opaque)
{
  struct access_key *ret = opaque;
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

  if (stmt == NULL)
    return -1;
  store_bind_text (stmt, 1, id);
  return store_one (s, stmt, read_key, ret, "read an access key");
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
  return store_many (s, store_prepare (s, "SELECT " KEY_COLUMNS
                                       " FROM access_keys "
                                       "ORDER BY create_time, rowid"),
                     read_key, sizeof **ret, KEYS_MAX, ret,
                     "list access keys");
}

/* ------------------------------------------------------------------ */

static void
read_count (sqlite3_stmt *stmt, void *ret)
{
  *(int *) ret = sqlite3_column_int (stmt, 0);
}

static int
count_nonces (struct store *s, const char *key)
{
  sqlite3_stmt *stmt = store_prepare (s, "SELECT count (*) FROM nonces "
                                      "WHERE key = ?");
  int n = -1;

  if (stmt)
    store_bind_text (stmt, 1, key);
  store_one (s, stmt, read_count, &n, "count nonces");
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

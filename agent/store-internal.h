/* What store.c (file, pairs) and store-misc.c (disks, events, tokens, facts)
 * share.
 */

#ifndef PAIRDISK_STORE_INTERNAL_H
#define PAIRDISK_STORE_INTERNAL_H

#include <pthread.h>

#include <sqlite3.h>

struct store {
  sqlite3 *db;
  pthread_mutex_t lock;          /* one transaction at a time */
};

/* Log that WHAT failed; -1 with EIO. */
extern int store_fail (struct store *s, const char *what);

/* NULL: failed and logged. */
extern sqlite3_stmt *store_prepare (struct store *s, const char *sql);

/* Step once and finalize. */
extern int store_run (struct store *s, sqlite3_stmt *stmt, const char *what);

extern void store_bind_text (sqlite3_stmt *stmt, int i, const char *text);
extern void store_column_text (sqlite3_stmt *stmt, int i, char *dst,
                               size_t size);

#endif /* PAIRDISK_STORE_INTERNAL_H */

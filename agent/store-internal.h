/* What store.c (file, pairs) and store-misc.c (disks, events, tokens, facts)
 * share.
 */

#ifndef PAIRDISK_STORE_INTERNAL_H
#define PAIRDISK_STORE_INTERNAL_H

#include <pthread.h>
#include <sys/types.h>

#include <sqlite3.h>

struct store {
  sqlite3 *db;
  pthread_mutex_t lock;          /* one transaction at a time */
};

/* Log that WHAT failed; -1 with EIO. */
extern int store_fail (struct store *s, const char *what);

/* NULL: failed and logged. */
extern sqlite3_stmt *store_prepare (struct store *s, const char *sql);

/* A row of STMT into RET, which has room for one. */
typedef void store_read_fn (sqlite3_stmt *stmt, void *ret);

/* The first row, and finalize.  1 found, 0 not, -1 (also for STMT NULL). */
extern int store_one (struct store *s, sqlite3_stmt *stmt,
                      store_read_fn *read, void *ret, const char *what);

/* All rows, at most MAX, as an array of elements of SIZE bytes that the
 * caller frees, into the pointer that RET_LIST points to; and finalize.
 */
extern ssize_t store_many (struct store *s, sqlite3_stmt *stmt,
                           store_read_fn *read, size_t size, size_t max,
                           void *ret_list, const char *what);

/* Step once and finalize. */
extern int store_run (struct store *s, sqlite3_stmt *stmt, const char *what);

extern void store_bind_text (sqlite3_stmt *stmt, int i, const char *text);
extern void store_column_text (sqlite3_stmt *stmt, int i, char *dst,
                               size_t size);

#endif /* PAIRDISK_STORE_INTERNAL_H */

/* The agent's store: what was committed is there, what was not is not. */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "actions.h"
#include "auth.h"
#include "error.h"
#include "record.h"
#include "settings.h"
#include "states.h"
#include "store.h"
#include "values.h"

static char dir[] = "/tmp/pairdisk-store-XXXXXX";
static char path[64];
static struct store *opened;     /* what the tests work on */

static struct store *
reopen (struct store *s)
{
  struct error err = ERROR_INIT;

  store_close (s);
  s = store_open (path, &err);
  if (s == NULL)
    fail_msg ("%s", err.message);
  opened = s;
  return s;
}

static int
setup (void **state)
{
  (void) state;
  assert_non_null (mkdtemp (dir));
  snprintf (path, sizeof path, "%s/paird.db", dir);
  reopen (NULL);
  return 0;
}

static int
teardown (void **state)
{
  char name[80];

  (void) state;
  store_close (opened);
  unlink (path);
  snprintf (name, sizeof name, "%s-wal", path);
  unlink (name);
  snprintf (name, sizeof name, "%s-shm", path);
  unlink (name);
  rmdir (dir);
  return 0;
}

static void
pairs (void **state)
{
  struct record *a = calloc (1, sizeof *a), *b = calloc (1, sizeof *b), *list;
  struct settings here = { .region = (char *) "here", .zone = (char *) "here" };
  struct store *s = opened;
  const struct record_field *f;
  uint64_t n = 1;
  (void) state;

  for (f = record_fields; f->name; ++f) {
    char *at = (char *) a + f->offset;

    if (f->kind == RECORD_TEXT)
      text_set (at, f->size, strstr (f->name, "source_") == f->name &&
                strcmp (f->name, "source_disk") != 0 ? "here" : f->name);
    else if (f->kind == RECORD_U64)
      *(uint64_t *) at = UINT64_C (1) << 40 | n++;
  }
  a->status = PAIR_STOPPED;

  assert_int_equal (store_begin (s), 0);
  assert_int_equal (store_pair_put (s, a), 0);
  assert_int_equal (store_end (s, false), 0);
  store_enter (s);
  assert_int_equal (store_pair_get (s, "id", b), 0);
  store_leave (s);

  assert_int_equal (store_begin (s), 0);
  assert_int_equal (store_pair_put (s, a), 0);
  assert_int_equal (store_end (s, true), 0);
  s = reopen (s);
  store_enter (s);
  assert_int_equal (store_pair_get (s, "id", b), 1);
  assert_memory_equal (a, b, sizeof *a);
  assert_int_equal (store_pair_of_disk (s, &here, "source_disk", b), 1);
  assert_int_equal (store_pair_of_disk (s, &here, "destination_disk", b), 0);
  assert_int_equal (store_pair_list (s, &list), 1);
  store_leave (s);
  free (list);

  /* A tombstone holds no disk. */
  a->status = PAIR_DELETED;
  assert_int_equal (store_begin (s), 0);
  assert_int_equal (store_pair_put (s, a), 0);
  assert_int_equal (store_pair_of_disk (s, &here, "source_disk", b), 0);
  assert_int_equal (store_pair_remove (s, "id"), 0);
  assert_int_equal (store_end (s, true), 0);
  free (a);
  free (b);
}

/* A store of the version before has what it had, and the rest is zero. */
static void
migration (void **state)
{
  struct record *a = calloc (1, sizeof *a);
  struct store *s = opened;
  sqlite3 *db;
  (void) state;

  (void) state;
  TEXT_SET (a->id, "old");
  a->status = PAIR_STOPPED;
  a->rpo = 7;
  a->sync = a->commit_interval = 1;
  assert_int_equal (store_begin (s), 0);
  assert_int_equal (store_pair_put (s, a), 0);
  assert_int_equal (store_end (s, true), 0);
  store_close (s);
  opened = NULL;
  assert_int_equal (sqlite3_open (path, &db), SQLITE_OK);
  assert_int_equal (sqlite3_exec (db, "ALTER TABLE pairs DROP COLUMN sync;"
                                  "ALTER TABLE pairs DROP COLUMN link_digest;"
                                  "ALTER TABLE disks DROP COLUMN instance;"
                                  "PRAGMA user_version = 2;", NULL, NULL,
                                  NULL), SQLITE_OK);
  sqlite3_close (db);
  s = reopen (NULL);
  assert_int_equal (store_begin (s), 0);
  memset (a, 0xff, sizeof *a);
  assert_int_equal (store_pair_get (s, "old", a), 1);
  assert_int_equal (a->rpo, 7);
  assert_int_equal (a->commit_interval, 1);
  assert_int_equal (a->sync, 0);
  assert_string_equal (a->link_digest, "");
  assert_int_equal (store_pair_remove (s, "old"), 0);
  assert_int_equal (store_end (s, true), 0);
  reopen (s);
  free (a);
}

static void
disks (void **state)
{
  struct disk a = { .id = "d-one", .name = "two", .state = DISK_READY,
                    .size = 1, .instance = "vm-1" }, b;
  struct disk other = { .id = "two", .name = "three", .state = DISK_READY };
  struct store *s = opened;
  (void) state;

  assert_int_equal (store_begin (s), 0);
  assert_int_equal (store_disk_put (s, &a), 0);
  assert_int_equal (store_disk_put (s, &other), 0);
  /* An id goes before a name. */
  assert_int_equal (store_disk_get (s, "two", &b), 1);
  assert_string_equal (b.id, "two");
  assert_int_equal (store_disk_remove (s, "two"), 0);
  assert_int_equal (store_disk_get (s, "two", &b), 1);
  assert_string_equal (b.id, "d-one");
  assert_int_equal (store_disk_get (s, "x' OR '1'='1", &b), 0);
  assert_int_equal (store_end (s, true), 0);
}

static void
events (void **state)
{
  struct event e = { .kind = "test", .pair = "p" }, *list;
  struct event_filter filter = { .pair = "p", .max = 3 };
  struct store *s = opened;
  unsigned i;
  (void) state;

  assert_int_equal (store_begin (s), 0);
  for (i = 1; i <= 5; ++i) {
    e.time_ms = i;
    assert_int_equal (store_event_add (s, &e), 0);
  }
  /* The newest, oldest first. */
  assert_int_equal (store_event_list (s, &filter, &list), 3);
  assert_int_equal (list[0].time_ms, 3);
  assert_int_equal (list[2].time_ms, 5);
  filter.after = list[0].id;
  free (list);
  assert_int_equal (store_event_list (s, &filter, &list), 2);
  assert_int_equal (list[0].time_ms, 4);
  free (list);
  filter.pair = "q";
  assert_int_equal (store_event_list (s, &filter, &list), 0);
  free (list);
  assert_int_equal (store_end (s, true), 0);
}

static void
tokens (void **state)
{
  struct store *s = opened;
  char digest[65], *answer;
  (void) state;

  assert_int_equal (store_begin (s), 0);
  assert_int_equal (store_token_get (s, "k", digest, &answer), 0);
  assert_int_equal (store_token_put (s, "k", "d", "{}"), 0);
  assert_int_equal (store_token_get (s, "k", digest, &answer), 1);
  assert_string_equal (digest, "d");
  assert_string_equal (answer, "{}");
  free (answer);
  assert_int_equal (store_prune (s), 0);
  assert_int_equal (store_token_get (s, "k", digest, &answer), 1);
  free (answer);
  assert_int_equal (store_end (s, true), 0);
}

static void
keys (void **state)
{
  struct access_key key = { .id = "one", .secret = "secret",
                            .role = KEY_ROLE_READ_ONLY, .is_active = true,
                            .description = "d", .create_time = 7 };
  struct access_key back, *list;
  struct store *s = opened;
  (void) state;

  assert_int_equal (store_begin (s), 0);
  assert_int_equal (store_key_get (s, "one", &back), 0);
  assert_int_equal (store_key_put (s, &key), 0);
  assert_int_equal (store_key_get (s, "one", &back), 1);
  assert_string_equal (back.id, "one");
  assert_string_equal (back.secret, "secret");
  assert_int_equal (back.role, KEY_ROLE_READ_ONLY);
  assert_true (back.is_active);
  assert_string_equal (back.description, "d");
  assert_int_equal (back.create_time, 7);
  assert_int_equal (store_key_list (s, &list), 1);
  assert_string_equal (list[0].id, "one");
  free (list);
  assert_int_equal (store_key_remove (s, "one"), 0);
  assert_int_equal (store_key_get (s, "one", &back), 0);
  assert_int_equal (store_end (s, true), 0);
}

static void
nonces (void **state)
{
  struct store *s = opened;
  uint64_t now = 1000 * NONCE_LIFE_MS;
  (void) state;

  assert_int_equal (store_begin (s), 0);
  assert_int_equal (store_nonce_take (s, "k", "a", now, 3), 1);
  assert_int_equal (store_nonce_take (s, "k", "a", now, 3), 0);
  assert_int_equal (store_nonce_take (s, "k", "A", now, 3), 1);
  assert_int_equal (store_nonce_take (s, "other", "a", now, 3), 1);
  assert_int_equal (store_nonce_take (s, "k", "b", now + 1, 3), 1);
  /* Full is full, for this key. */
  errno = 0;
  assert_int_equal (store_nonce_take (s, "k", "c", now + 2, 3), -1);
  assert_int_equal (errno, E2BIG);
  assert_int_equal (store_nonce_take (s, "other", "c", now + 2, 3), 1);
  /* Remembered to the end of its life, and no longer. */
  assert_int_equal (store_nonce_take (s, "k", "a", now + NONCE_LIFE_MS - 1,
                                      9), 0);
  assert_int_equal (store_nonce_take (s, "k", "a", now + NONCE_LIFE_MS, 9),
                    1);
  assert_int_equal (store_nonce_take (s, "k", "b", now + NONCE_LIFE_MS, 9),
                    0);
  assert_int_equal (store_end (s, true), 0);
}

static void
newer_schema (void **state)
{
  struct error err = ERROR_INIT;
  sqlite3 *db;

  (void) state;
  store_close (opened);
  opened = NULL;
  assert_int_equal (sqlite3_open (path, &db), SQLITE_OK);
  assert_int_equal (sqlite3_exec (db, "PRAGMA user_version = 99", NULL, NULL,
                                  NULL), SQLITE_OK);
  sqlite3_close (db);
  assert_null (store_open (path, &err));
  assert_non_null (strstr (err.message, "99"));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (pairs),
    cmocka_unit_test (disks),
    cmocka_unit_test (events),
    cmocka_unit_test (tokens),
    cmocka_unit_test (keys),
    cmocka_unit_test (nonces),
    cmocka_unit_test (migration),
    cmocka_unit_test (newer_schema),
  };

  return cmocka_run_group_tests (tests, setup, teardown);
}

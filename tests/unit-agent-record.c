/* The record of a pair: what travels comes back, what cannot be is refused,
 * and of any two versions both sites choose the same.
 */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "record.h"
#include "states.h"
#include "values.h"

static void
fill (struct record *rec)
{
  const struct record_field *f;
  uint64_t n = 1;

  memset (rec, 0, sizeof *rec);
  for (f = record_fields; f->name; ++f) {
    char *at = (char *) rec + f->offset;

    if (f->kind == RECORD_TEXT)
      text_set (at, f->size, "text");
    else if (f->kind == RECORD_U64)
      *(uint64_t *) at = n++;
  }
  rec->status = PAIR_NORMAL;
  TEXT_SET (rec->id, "pair-cn-abcdefghijkl");
  TEXT_SET (rec->uuid, "01234567-89ab-cdef-0123-456789abcdef");
  memset (rec->salt, 'a', 64);
}

static void
travels (void **state)
{
  struct record *one = malloc (sizeof *one), *two = malloc (sizeof *two);
  const struct record_field *f;
  json_t *json;

  (void) state;
  fill (one);
  json = record_to_json (one);
  assert_true (record_from_json (json, two));
  for (f = record_fields; f->name; ++f) {
    const char *a = (char *) one + f->offset, *b = (char *) two + f->offset;

    if (f->scope == RECORD_LOCAL)
      assert_null (json_object_get (json, f->name));
    else if (f->kind == RECORD_TEXT)
      assert_string_equal (a, b);
    else
      assert_memory_equal (a, b, f->size);
  }
  assert_int_equal (record_compare (one, two), 0);
  json_decref (json);
  free (one);
  free (two);
}

/* The secret is made here and there, so it is in no record. */
static void
secret_does_not_travel (void **state)
{
  static const char secret[] = "0123456789abcdef";
  struct record *rec = malloc (sizeof *rec);
  char one[65], two[65];
  json_t *json;
  char *text;

  (void) state;
  fill (rec);
  record_secret (secret, 16, rec, one);
  record_secret (secret, 16, rec, two);
  assert_string_equal (one, two);
  assert_int_equal (strlen (one), 64);
  json = record_to_json (rec);
  text = json_dumps (json, 0);
  assert_null (strstr (text, one));
  rec->salt[0] = 'b';
  record_secret (secret, 16, rec, two);
  assert_string_not_equal (one, two);
  free (text);
  json_decref (json);
  free (rec);
}

static void
refuses (void **state)
{
  static const struct { const char *field; const char *value; } bad[] = {
    { "id", "\"d-abcdefghijkl\"" }, { "id", "\"\"" }, { "id", "1" },
    { "uuid", "\"x\"" }, { "salt", "\"aa\"" }, { "salt", "\"z\"" },
    { "status", "\"sleeping\"" }, { "status", "7" },
    { "version", "0" }, { "version", "-1" }, { "version", "\"1\"" },
    { "version", "1.5" }, { "rpo", "0" }, { "fence", "null" },
    { "name", "\"a\\u0000b\"" }, { "source_disk", "[]" },
  };
  struct record *rec = malloc (sizeof *rec), *ret = malloc (sizeof *ret);
  const struct record_field *f;
  json_t *json;
  size_t i;

  (void) state;
  fill (rec);
  for (i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
    json = record_to_json (rec);
    json_object_set_new (json, bad[i].field,
                         json_loads (bad[i].value, JSON_DECODE_ANY |
                                     JSON_ALLOW_NUL, NULL));
    assert_false (record_from_json (json, ret));
    json_decref (json);
  }
  for (f = record_fields; f->name; ++f) {
    char *text;

    if (f->scope != RECORD_SHARED)
      continue;
    json = record_to_json (rec);
    json_object_del (json, f->name);
    assert_false (record_from_json (json, ret));
    if (f->kind == RECORD_TEXT) {
      text = malloc (f->size + 1);
      memset (text, 'x', f->size);
      text[f->size] = '\0';
      json_object_set_new (json, f->name, json_string (text));
      assert_false (record_from_json (json, ret));
      free (text);
    }
    json_decref (json);
  }
  assert_false (record_from_json (NULL, ret));
  free (rec);
  free (ret);
}

/* Every combination of few values: a total order, in the order of weight. */
static void
order_is_total (void **state)
{
  static const enum pair_status statuses[] =
    { PAIR_STOPPED, PAIR_FAILOVERED, PAIR_DELETING, PAIR_DELETED };
  enum { N = 4 * 2 * 2 * 2 };
  struct record *r = calloc (N, sizeof *r);
  size_t i, j, k;

  (void) state;
  for (i = 0; i < N; ++i) {
    fill (&r[i]);
    r[i].status = statuses[i & 3];
    r[i].fence = 1 + (i >> 2 & 1);
    r[i].epoch = 1 + (i >> 3 & 1);
    r[i].version = 1 + (i >> 4 & 1);
  }
  for (i = 0; i < N; ++i) {
    for (j = 0; j < N; ++j) {
      int ij = record_compare (&r[i], &r[j]);

      assert_true (ij == -record_compare (&r[j], &r[i]) ||
                   (ij > 0) == (record_compare (&r[j], &r[i]) < 0));
      assert_true ((ij == 0) == (i == j));
      for (k = 0; k < N; ++k) {
        if (ij > 0 && record_compare (&r[j], &r[k]) > 0)
          assert_true (record_compare (&r[i], &r[k]) > 0);
      }
    }
  }
  free (r);
}

static void
weights (void **state)
{
  struct record *a = malloc (sizeof *a), *b = malloc (sizeof *b);

  (void) state;
  fill (a);
  fill (b);

  /* A failover beats any number of verbs elsewhere. */
  a->fence = b->fence + 1;
  b->epoch += 100;
  b->version += 1000;
  assert_true (record_compare (a, b) > 0);
  /* A deletion beats a failover. */
  b->status = PAIR_DELETING;
  assert_true (record_compare (a, b) < 0);

  /* A verb beats what the monitor found meanwhile. */
  fill (a);
  fill (b);
  a->epoch++;
  b->version += 10;
  assert_true (record_compare (a, b) > 0);
  free (a);
  free (b);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (travels),
    cmocka_unit_test (secret_does_not_travel),
    cmocka_unit_test (refuses),
    cmocka_unit_test (order_is_total),
    cmocka_unit_test (weights),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

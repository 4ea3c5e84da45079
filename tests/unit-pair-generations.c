/* Generation tables: building, cutting, and the common point of two. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "generations.h"

static const struct uuid A = { .byte = { 0xaa } }, B = { .byte = { 0xbb } };

static struct pair_history
empty (void)
{
  return (struct pair_history) { .count = 0 };
}

/* Generation ID begins after what is there, and N records are written. */
static void
write_records (struct pair_history *h, uint64_t id, const struct uuid *writer,
               uint64_t n)
{
  pair_history_begin (h, id, writer);
  h->last_seq += n;
  assert_true (pair_history_check (h));
}

static void
assert_common (const struct pair_history *a, const struct pair_history *b,
               uint64_t id, uint64_t seq)
{
  struct pair_point p;

  assert_int_equal (pair_history_common (a, b, &p), PAIR_COMMON_FOUND);
  assert_int_equal (p.generation, id);
  assert_int_equal (p.seq, seq);
  assert_int_equal (pair_history_common (b, a, &p), PAIR_COMMON_FOUND);
  assert_int_equal (p.generation, id);
  assert_int_equal (p.seq, seq);
}

static void
assert_no_common (const struct pair_history *a, const struct pair_history *b,
                  enum pair_common expected)
{
  struct pair_point p = { 5, 5 };

  assert_int_equal (pair_history_common (a, b, &p), expected);
  assert_int_equal (pair_history_common (b, a, &p), expected);
  assert_int_equal (p.generation, 5);
}

static void
an_empty_history (void **state)
{
  struct pair_history h = empty (), other = empty ();
  struct pair_point last;

  (void) state;
  assert_true (pair_history_check (&h));
  last = pair_history_last (&h);
  assert_int_equal (last.generation, 0);
  assert_int_equal (last.seq, 0);
  assert_true (pair_history_contains (&h, last));
  assert_false (pair_history_contains (&h, (struct pair_point) { 1, 1 }));
  assert_false (pair_history_contains (&h, (struct pair_point) { 0, 1 }));
  assert_null (pair_history_find (&h, 0));
  assert_true (pair_history_cut (&h, 0));
  assert_false (pair_history_cut (&h, 1));
  write_records (&other, 1, &A, 5);
  assert_no_common (&h, &other, PAIR_COMMON_NONE);
  assert_no_common (&h, &h, PAIR_COMMON_NONE);
}

static void
generations_end_where_the_next_begins (void **state)
{
  struct pair_history h = empty ();

  (void) state;
  write_records (&h, 1, &A, 10);
  write_records (&h, 2, &B, 1);
  write_records (&h, 3, &A, 4);
  assert_int_equal (h.count, 3);
  assert_int_equal (pair_history_end (&h, 0), 10);
  assert_int_equal (pair_history_end (&h, 1), 11);
  assert_int_equal (pair_history_end (&h, 2), 15);
  assert_int_equal (pair_history_find (&h, 1)->id, 1);
  assert_int_equal (pair_history_find (&h, 10)->id, 1);
  assert_int_equal (pair_history_find (&h, 11)->id, 2);
  assert_int_equal (pair_history_find (&h, 12)->id, 3);
  assert_null (pair_history_find (&h, 16));
  assert_int_equal (pair_history_last (&h).generation, 3);
  assert_int_equal (pair_history_last (&h).seq, 15);
  assert_true (pair_history_contains (&h, (struct pair_point) { 2, 11 }));
  assert_false (pair_history_contains (&h, (struct pair_point) { 2, 12 }));
  assert_false (pair_history_contains (&h, (struct pair_point) { 1, 11 }));
}

/* A writer that crashed before its first record was durable. */
static void
an_empty_generation_is_replaced (void **state)
{
  struct pair_history h = empty ();

  (void) state;
  pair_history_begin (&h, 1, &A);
  assert_true (pair_history_check (&h));
  assert_int_equal (pair_history_last (&h).generation, 0);
  write_records (&h, 2, &A, 10);
  pair_history_begin (&h, 3, &A);
  assert_true (pair_history_check (&h));
  assert_int_equal (pair_history_last (&h).generation, 2);
  assert_false (pair_history_contains (&h, (struct pair_point) { 3, 11 }));
  write_records (&h, 4, &A, 1);
  assert_int_equal (h.count, 2);
  assert_int_equal (h.generation[1].id, 4);
  assert_int_equal (h.generation[1].first_seq, 11);
}

static void
the_oldest_is_dropped (void **state)
{
  struct pair_history h = empty ();
  uint64_t id;

  (void) state;
  for (id = 1; id <= PAIR_HISTORY_MAX + 3; ++id)
    write_records (&h, id, &A, 2);
  assert_int_equal (h.count, PAIR_HISTORY_MAX);
  assert_int_equal (h.generation[0].id, 4);
  assert_int_equal (h.generation[0].first_seq, 7);
  assert_null (pair_history_find (&h, 6));
  assert_int_equal (pair_history_find (&h, 7)->id, 4);
  assert_false (pair_history_cut (&h, 6));
  assert_false (pair_history_cut (&h, 0));
  assert_true (pair_history_cut (&h, 7));
  assert_int_equal (h.count, 1);
  assert_true (pair_history_check (&h));
}

static void
cutting_forgets_what_came_later (void **state)
{
  struct pair_history h = empty ();

  (void) state;
  write_records (&h, 1, &A, 10);
  write_records (&h, 2, &A, 10);
  pair_history_begin (&h, 3, &A);
  assert_false (pair_history_cut (&h, 21));
  assert_true (pair_history_cut (&h, 20));
  assert_int_equal (h.count, 2);
  assert_true (pair_history_cut (&h, 10));
  assert_int_equal (h.count, 1);
  assert_int_equal (h.last_seq, 10);
  assert_true (pair_history_cut (&h, 0));
  assert_int_equal (h.count, 0);
}

static void
building_from_a_stored_table (void **state)
{
  struct pair_history h = empty ();

  (void) state;
  /* A secondary at 90 knows its primary's table to 100, then is promoted and
   * writes 91 to 95.
   */
  pair_history_add (&h, 1, 1, &A);
  pair_history_add (&h, 2, 101, &A);
  assert_true (pair_history_close (&h, (struct pair_point) { 1, 90 }));
  assert_int_equal (h.count, 1);

  h = empty ();
  pair_history_add (&h, 1, 1, &A);
  pair_history_add (&h, 2, 101, &A);
  pair_history_add (&h, 3, 91, &B);
  assert_true (pair_history_close (&h, (struct pair_point) { 3, 95 }));
  assert_int_equal (h.count, 2);
  assert_int_equal (h.generation[1].id, 3);

  /* The last point must be in the table. */
  h = empty ();
  pair_history_add (&h, 1, 1, &A);
  assert_false (pair_history_close (&h, (struct pair_point) { 2, 90 }));
  h = empty ();
  assert_false (pair_history_close (&h, (struct pair_point) { 2, 90 }));
  h = empty ();
  pair_history_add (&h, 1, 1, &A);
  assert_true (pair_history_close (&h, (struct pair_point) { 0, 0 }));
  assert_int_equal (h.count, 0);
}

static void
what_is_no_history (void **state)
{
  struct pair_history good = empty (), h;

  (void) state;
  write_records (&good, 1, &A, 10);
  write_records (&good, 2, &B, 10);

#define BROKEN(change)                          \
  do {                                          \
    h = good;                                   \
    change;                                     \
    assert_false (pair_history_check (&h));     \
  } while (0)
  BROKEN (h.count = PAIR_HISTORY_MAX + 1);
  BROKEN (h.count = UINT32_MAX);
  BROKEN (h.count = 0);
  BROKEN (h.generation[0].id = 0);
  BROKEN (h.generation[1].id = 1);
  BROKEN (h.generation[0].first_seq = 0);
  BROKEN (h.generation[1].first_seq = 1);
  BROKEN (h.generation[0].first_seq = 12);
  BROKEN (h.generation[1].first_seq = 22);
  BROKEN (h.last_seq = 9);
  BROKEN (h.last_seq = 0);
#undef BROKEN
  h = good;
  h.generation[1].first_seq = 21;
  assert_true (pair_history_check (&h));
  h.last_seq = UINT64_MAX;
  assert_true (pair_history_check (&h));
}

static void
common_points (void **state)
{
  struct pair_history base = empty (), a, b;

  (void) state;
  write_records (&base, 1, &A, 100);
  assert_common (&base, &base, 1, 100);

  /* Same latest generation, different ends. */
  a = b = base;
  assert_true (pair_history_cut (&b, 90));
  assert_common (&a, &b, 1, 90);

  /* One restarted; the other is just where the new generation begins. */
  a = b = base;
  write_records (&a, 2, &A, 20);
  assert_common (&a, &b, 1, 100);

  /* The new generation has begun but holds nothing, on one side or both. */
  b = a;
  assert_true (pair_history_cut (&b, 100));
  pair_history_begin (&b, 2, &A);
  assert_common (&a, &b, 1, 100);
  assert_common (&b, &b, 1, 100);

  /* Both went on alone from 90. */
  a = b = base;
  assert_true (pair_history_cut (&b, 90));
  write_records (&b, 3, &B, 5);
  assert_common (&a, &b, 1, 90);

  /* And from the same seq. */
  a = b = base;
  write_records (&a, 2, &A, 5);
  write_records (&b, 3, &B, 5);
  assert_common (&a, &b, 1, 100);

  /* One side crashed back to 95, the other holds 96 to 100. */
  a = b = base;
  assert_true (pair_history_cut (&a, 95));
  write_records (&a, 2, &A, 50);
  assert_common (&a, &b, 1, 95);

  /* Unrelated. */
  b = empty ();
  write_records (&b, 7, &B, 100);
  assert_no_common (&base, &b, PAIR_COMMON_NONE);
}

static void
common_points_of_cut_tables (void **state)
{
  struct pair_history a = empty (), b, old;
  uint64_t id;

  (void) state;
  write_records (&a, 1, &A, 10);
  old = a;
  for (id = 2; id <= PAIR_HISTORY_MAX; ++id)
    write_records (&a, id, &A, 10);
  assert_common (&a, &old, 1, 10);
  b = a;
  write_records (&a, 100, &A, 10);      /* generation 1 is dropped */
  assert_common (&a, &b, PAIR_HISTORY_MAX, 10 * PAIR_HISTORY_MAX);
  assert_no_common (&a, &old, PAIR_COMMON_NONE);

  /* Only the begun and empty second generation is shared with a table that
   * has dropped the first.
   */
  pair_history_begin (&old, 2, &A);
  assert_int_equal (a.generation[0].id, 2);
  assert_no_common (&a, &old, PAIR_COMMON_NONE);
}

static void
contradictions (void **state)
{
  struct pair_history a = empty (), b;

  (void) state;
  write_records (&a, 1, &A, 10);
  write_records (&a, 2, &A, 10);

  b = a;
  b.generation[1].first_seq = 12;       /* one id, two beginnings */
  assert_no_common (&a, &b, PAIR_COMMON_BROKEN);
  b = a;
  b.generation[1].writer = B;           /* one id, two writers */
  assert_no_common (&a, &b, PAIR_COMMON_BROKEN);
  b = a;
  b.generation[0].id = 9;               /* one generation, two pasts */
  assert_no_common (&a, &b, PAIR_COMMON_BROKEN);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (an_empty_history),
    cmocka_unit_test (generations_end_where_the_next_begins),
    cmocka_unit_test (an_empty_generation_is_replaced),
    cmocka_unit_test (the_oldest_is_dropped),
    cmocka_unit_test (cutting_forgets_what_came_later),
    cmocka_unit_test (building_from_a_stored_table),
    cmocka_unit_test (what_is_no_history),
    cmocka_unit_test (common_points),
    cmocka_unit_test (common_points_of_cut_tables),
    cmocka_unit_test (contradictions),
  };

  return cmocka_run_group_tests_name ("pair-generations", tests, NULL, NULL);
}

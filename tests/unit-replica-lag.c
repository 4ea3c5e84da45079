/* Tests of replica/lag.h: an age is never negative, never much too small. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lag.h"

static void
test_nothing_missing_is_no_age (void **state)
{
  struct lag lag = { .count = 0 };

  (void) state;
  assert_int_equal (lag_age_ns (&lag, 0, 100), 0);
  lag_note (&lag, 5, 0, 100);
  assert_int_equal (lag_age_ns (&lag, 5, 900), 0);
  assert_int_equal (lag_age_ns (&lag, 9, 900), 0);
}

static void
test_age_of_the_oldest_missing (void **state)
{
  struct lag lag = { .count = 0 };

  (void) state;
  lag_note (&lag, 1, 0, 100);
  lag_note (&lag, 2, 0, 200);
  lag_note (&lag, 2, 0, 250);    /* nothing new */
  lag_note (&lag, 9, 0, 300);
  assert_int_equal (lag_age_ns (&lag, 0, 1000), 900);
  assert_int_equal (lag_age_ns (&lag, 1, 1000), 800);
  assert_int_equal (lag_age_ns (&lag, 2, 1000), 700);
  assert_int_equal (lag_age_ns (&lag, 5, 1000), 700);
  lag_note (&lag, 10, 9, 400);
  assert_int_equal (lag.count, 1);
  assert_int_equal (lag_age_ns (&lag, 9, 1000), 600);
}

static void
test_never_negative (void **state)
{
  struct lag lag = { .count = 0 };

  (void) state;
  lag_note (&lag, 1, 0, 500);
  assert_int_equal (lag_age_ns (&lag, 0, 400), 0);
}

/* A long outage: many notes, bounded memory, ages told too high at most. */
static void
test_a_long_outage (void **state)
{
  struct lag lag = { .count = 0 };

  (void) state;
  for (uint64_t i = 1; i <= 100000; i++)
    lag_note (&lag, i, 0, i * 10);
  assert_true (lag.count <= LAG_SAMPLES_MAX);
  assert_int_equal (lag_age_ns (&lag, 0, 1000000), 1000000 - 10);
  for (uint64_t committed = 0; committed < 100000; committed += 777) {
    uint64_t exact = 1000000 - (committed + 1) * 10;

    assert_true (lag_age_ns (&lag, committed, 1000000) >= exact);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_nothing_missing_is_no_age),
    cmocka_unit_test (test_age_of_the_oldest_missing),
    cmocka_unit_test (test_never_negative),
    cmocka_unit_test (test_a_long_outage),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

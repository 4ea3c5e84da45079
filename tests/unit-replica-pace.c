/* Tests of the bandwidth limit, the size of batches and gathering. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "clock.h"
#include "pace.h"

#define MIB (UINT64_C (1) << 20)

/* Send FRAME bytes whenever it is allowed, for NS; how many went? */
static uint64_t
send_for (struct pace *p, uint64_t *now, uint64_t ns, size_t frame)
{
  uint64_t end = *now + ns, sent = 0;

  while (*now < end) {
    uint64_t wait = pace_wait_ns (p, *now);

    if (wait == 0) {
      pace_sent (p, frame, *now);
      sent += frame;
      wait = 1000;               /* sending takes a moment */
    }
    *now += wait;
  }
  return sent;
}

static void
test_no_limit (void **state)
{
  struct pace p;

  (void) state;
  pace_init (&p, 0, 5);
  for (int i = 0; i < 1000; i++) {
    assert_int_equal (pace_wait_ns (&p, 5), 0);
    pace_sent (&p, 2 * MIB, 5);
  }
}

static void
test_the_rate_is_kept (void **state)
{
  static const uint64_t rates[] = { 1000, 100000, MIB, 50 * MIB, 1000 * MIB };
  static const size_t frames[] = { 80, 4096, 65536, 2 * MIB };
  struct pace p;

  (void) state;
  for (size_t i = 0; i < 5; i++) {
    for (size_t j = 0; j < 4; j++) {
      uint64_t now = 1, sent, most;

      /* More cannot be sent one after the other than a frame a step. */
      if (rates[i] / frames[j] > 100000)
        continue;
      pace_init (&p, rates[i], now);
      sent = send_for (&p, &now, 100 * NS_PER_SEC, frames[j]);
      most = 100 * rates[i];
      assert_true (sent <= most + most / 1000 + rates[i] / 10 + PACE_BURST +
                   2 * frames[j]);
      assert_true (sent + frames[j] >= most - most / 100);
    }
  }
}

static void
test_idle_time_is_not_saved_up (void **state)
{
  struct pace p;
  uint64_t now = 1;

  (void) state;
  pace_init (&p, 10 * MIB, now);
  now += 3600 * NS_PER_SEC;
  assert_true (send_for (&p, &now, NS_PER_SEC, 4096) <= 12 * MIB);
}

static void
test_it_changes_while_it_runs (void **state)
{
  struct pace p;
  uint64_t now = 1, sent;

  (void) state;
  pace_init (&p, 1000, now);
  pace_sent (&p, 2 * MIB, now);
  assert_true (pace_wait_ns (&p, now) > 1000 * NS_PER_SEC);
  pace_set_limit (&p, 10 * MIB, now);
  assert_true (pace_wait_ns (&p, now) <= NS_PER_SEC);
  sent = send_for (&p, &now, 10 * NS_PER_SEC, 65536);
  assert_true (sent > 95 * MIB && sent < 105 * MIB);
  pace_set_limit (&p, 0, now);
  assert_int_equal (pace_wait_ns (&p, now), 0);
  pace_set_limit (&p, MIB, now);
  sent = send_for (&p, &now, 10 * NS_PER_SEC, 65536);
  assert_true (sent > 9 * MIB && sent < 11 * MIB);
  /* A clock that does not move does no harm. */
  pace_sent (&p, 4 * MIB, now - 5);
  assert_true (pace_wait_ns (&p, now - 9) > 0);
}

static void
test_batches (void **state)
{
  struct pace p;
  int i;

  (void) state;
  pace_init (&p, 0, 1);
  pace_returned (&p, 50 * NS_PER_MSEC, false);     /* a long line */
  assert_int_equal (pace_batch (&p), PACE_BATCH_START);
  for (i = 0; i < 10; i++)
    pace_returned (&p, 60 * NS_PER_MSEC, true);
  assert_int_equal (pace_batch (&p), PACE_BATCH_MAX);
  pace_returned (&p, 300 * NS_PER_MSEC, true);     /* neither soon nor long */
  assert_int_equal (pace_batch (&p), PACE_BATCH_MAX);
  for (i = 0; i < 10; i++)
    pace_returned (&p, 900 * NS_PER_MSEC, true);
  assert_int_equal (pace_batch (&p), PACE_BATCH_MIN);
  for (i = 0; i < 10; i++)
    pace_returned (&p, 60 * NS_PER_MSEC, true);
  for (i = 0; i < 10; i++)
    pace_returned (&p, 60 * NS_PER_MSEC, false);   /* idle */
  assert_int_equal (pace_batch (&p), PACE_BATCH_START);
  pace_set_limit (&p, 1000, 2);
  assert_int_equal (pace_batch (&p), PACE_BURST);
}

static void
test_gathering (void **state)
{
  const uint64_t sent = 7 * NS_PER_SEC, ms = NS_PER_MSEC;
  const uint64_t end = sent + PACE_GATHER_MS * ms;

  (void) state;
  assert_int_equal (pace_gather_ns (4096, sent, sent), end - sent);
  assert_int_equal (pace_gather_ns (4096, sent, sent + ms), end - sent - ms);
  assert_int_equal (pace_gather_ns (4096, sent, end - 1), 1);
  assert_int_equal (pace_gather_ns (4096, sent, end), 0);
  assert_int_equal (pace_gather_ns (4096, sent, end + NS_PER_SEC), 0);
  assert_int_equal (pace_gather_ns (PACE_GATHER_BYTES - 1, sent, sent),
                    end - sent);
  assert_int_equal (pace_gather_ns (PACE_GATHER_BYTES, sent, sent), 0);
  assert_int_equal (pace_gather_ns (UINT64_MAX, sent, sent), 0);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_no_limit),
    cmocka_unit_test (test_the_rate_is_kept),
    cmocka_unit_test (test_idle_time_is_not_saved_up),
    cmocka_unit_test (test_it_changes_while_it_runs),
    cmocka_unit_test (test_batches),
    cmocka_unit_test (test_gathering),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

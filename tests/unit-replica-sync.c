/* Tests of replica/sync.h: in what order a promise is written down, told and
 * kept; what the other side may believe is never more than what is kept.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "clock.h"
#include "sync.h"

static struct sync *sync_mode;
static struct sync_record stored;
static bool store_fails, was_free;    /* flushes did not wait when it stored */
static uint64_t newest;
static unsigned proof_ms;

static int
store (void *opaque, const struct sync_record *record, struct error *err)
{
  (void) opaque;
  was_free = !sync_is_required (sync_mode);
  if (store_fails)
    return error_set (err, ENOSPC, "no space");
  stored = *record;
  return 0;
}

static void
open_mode (void)
{
  const struct sync_config config = { .record = stored, .store = store };

  sync_mode = sync_new (&config, NULL);
  assert_non_null (sync_mode);
}

static int
setup (void **state)
{
  (void) state;
  stored = (struct sync_record) { 0 };
  store_fails = false;
  newest = 10;
  proof_ms = 0;
  open_mode ();
  return 0;
}

static int
teardown (void **state)
{
  (void) state;
  sync_free (sync_mode);
  return 0;
}

static void
configure (bool is_sync, bool suspends)
{
  const struct sync_settings settings = { is_sync, suspends, proof_ms };

  sync_configure (sync_mode, &settings, true);
}

static enum sync_state
state_now (void)
{
  struct sync_status status;

  sync_get_status (sync_mode, &status);
  return status.state;
}

static uint64_t
appended (void *opaque)
{
  (void) opaque;
  return newest;
}

static bool
step (enum replica_promise *ret)
{
  uint32_t lease_ms;

  return sync_step (sync_mode, true, appended, NULL, ret, &lease_ms);
}

static void
connect (void)
{
  sync_begin (sync_mode, sync_session_promise (sync_mode), false);
}

/* From nothing to in sync. */
static void
get_in_sync (bool suspends)
{
  enum replica_promise promise;

  configure (true, suspends);
  connect ();
  assert_false (step (&promise));
  sync_note_held (sync_mode, newest);
  assert_true (step (&promise));
  sync_told (sync_mode, promise);
  assert_int_equal (state_now (), SYNC_IN_SYNC);
}

static bool
gone (void)
{
  return true;
}

static void
assert_waits (uint64_t seq)
{
  assert_int_equal (sync_wait (sync_mode, seq, gone), -1);
  assert_int_equal (errno, ESHUTDOWN);
}

static void
test_entering (void **state)
{
  enum replica_promise promise;
  uint32_t lease_ms;

  (void) state;
  assert_int_equal (sync_wait (sync_mode, 99, gone), 0);
  configure (true, true);
  connect ();
  assert_int_equal (state_now (), SYNC_CATCHING_UP);
  assert_false (sync_step (sync_mode, false, appended, NULL, &promise,
                           &lease_ms));
  assert_int_equal (sync_wait (sync_mode, 99, gone), 0);

  /* Flushes wait before anything is promised, */
  assert_false (step (&promise));
  assert_waits (newest);
  newest = 20;
  sync_note_held (sync_mode, 9);
  assert_false (step (&promise));
  assert_int_equal (stored.given, REPLICA_PROMISE_NONE);

  /* it is promised when none that did not wait can be missing there, */
  sync_note_held (sync_mode, 10);
  store_fails = true;
  assert_false (step (&promise));
  store_fails = false;
  assert_true (step (&promise));
  assert_int_equal (promise, REPLICA_PROMISE_SUSPEND);
  assert_int_equal (stored.given, REPLICA_PROMISE_SUSPEND);
  assert_false (step (&promise));
  assert_false (sync_ships_ahead (sync_mode));

  /* and in force when the peer has said so. */
  assert_int_not_equal (state_now (), SYNC_IN_SYNC);
  sync_told (sync_mode, promise);
  assert_int_equal (state_now (), SYNC_IN_SYNC);
  assert_true (sync_ships_ahead (sync_mode));
  assert_int_equal (sync_wait (sync_mode, 10, gone), 0);
  assert_waits (11);
}

static void
test_lost_while_entering (void **state)
{
  enum replica_promise promise;

  (void) state;
  configure (true, true);
  connect ();
  assert_false (step (&promise));
  sync_lost (sync_mode);
  assert_int_equal (sync_wait (sync_mode, 99, gone), 0);
  assert_int_equal (state_now (), SYNC_CATCHING_UP);
}

static void
test_suspend (void **state)
{
  (void) state;
  get_in_sync (true);
  sync_lost (sync_mode);
  assert_int_equal (state_now (), SYNC_SUSPENDED);
  assert_waits (11);
  assert_int_equal (sync_wait (sync_mode, 10, gone), 0);

  /* Also after a restart. */
  sync_free (sync_mode);
  open_mode ();
  assert_waits (1);
  configure (true, true);
  assert_int_equal (state_now (), SYNC_SUSPENDED);
  sync_lost (sync_mode);
  assert_waits (1);
  connect ();
  sync_note_held (sync_mode, 12);
  assert_int_equal (sync_wait (sync_mode, 12, gone), 0);
}

static void
test_degrade (void **state)
{
  enum replica_promise promise;

  (void) state;
  get_in_sync (false);
  store_fails = true;
  sync_lost (sync_mode);
  assert_waits (11);              /* it could not be written down */
  store_fails = false;
  sync_lost (sync_mode);
  assert_false (was_free);        /* written down before */
  assert_int_equal (sync_wait (sync_mode, 11, gone), 0);
  assert_int_equal (state_now (), SYNC_DEGRADED);
  assert_int_equal (stored.given, REPLICA_PROMISE_NONE);
  assert_true (stored.degraded_ns != 0);

  /* It is that until the two are in sync again. */
  sync_free (sync_mode);
  open_mode ();
  configure (true, false);
  assert_int_equal (state_now (), SYNC_DEGRADED);
  connect ();
  assert_false (step (&promise));
  sync_note_held (sync_mode, newest);
  assert_true (step (&promise));
  sync_told (sync_mode, promise);
  assert_int_equal (state_now (), SYNC_IN_SYNC);
  assert_int_equal (stored.degraded_ns, 0);
}

/* A weaker promise is in force only when the peer knows. */
static void
test_weaker (void **state)
{
  enum replica_promise promise;

  (void) state;
  get_in_sync (true);
  configure (true, false);
  assert_int_equal (stored.given, REPLICA_PROMISE_SUSPEND);
  sync_lost (sync_mode);
  assert_waits (11);
  connect ();
  assert_true (step (&promise));
  assert_int_equal (promise, REPLICA_PROMISE_DEGRADE);
  sync_told (sync_mode, promise);
  assert_int_equal (stored.given, REPLICA_PROMISE_DEGRADE);

  configure (false, false);
  assert_int_equal (state_now (), SYNC_LEAVING);
  assert_waits (11);
  assert_false (sync_wait_told (sync_mode, 1));
  assert_true (step (&promise));
  assert_int_equal (promise, REPLICA_PROMISE_NONE);
  sync_told (sync_mode, promise);
  assert_true (sync_wait_told (sync_mode, 1));
  assert_int_equal (state_now (), SYNC_OFF);
  assert_int_equal (sync_wait (sync_mode, 11, gone), 0);
}

/* Who may still claim to have them all is waited for, also over a restart. */
static void
test_force (void **state)
{
  uint64_t began = clock_mono_ns ();
  struct sync_status status;

  (void) state;
  proof_ms = 2000;
  get_in_sync (true);
  assert_int_equal (stored.lease_ms, 2000);
  sync_lost (sync_mode);
  configure (true, false);
  assert_waits (11);
  assert_int_equal (sync_force (sync_mode, NULL), 0);
  assert_int_equal (stored.given, REPLICA_PROMISE_NONE);
  assert_int_equal (stored.abandoned, SYNC_ABANDONED_PEER);
  assert_int_equal (stored.lease_ms, 2000);   /* for who is started anew */
  assert_int_equal (state_now (), SYNC_ABANDONING);
  sync_get_status (sync_mode, &status);
  assert_in_range (status.hold_ms + (clock_mono_ns () - began) / NS_PER_MSEC,
                   2249, 5000);   /* an eighth more than was told */
  assert_in_range (status.hold_ms, 1, 2250);
  assert_waits (11);
  assert_waits (1);               /* nobody holds anything for us */

  sync_free (sync_mode);
  open_mode ();
  configure (true, false);
  assert_int_equal (state_now (), SYNC_ABANDONING);
  sync_get_status (sync_mode, &status);
  assert_in_range (status.hold_ms, 1, 2250);
  assert_waits (11);
  assert_int_equal (sync_wait (sync_mode, 11, NULL), 0);
  assert_int_equal (state_now (), SYNC_DEGRADED);
  assert_int_equal (stored.abandoned, SYNC_ABANDONED_NONE);
  assert_false (sync_is_required (sync_mode));
}

/* The peer is back and hears of it: nothing is abandoned any more. */
static void
test_force_is_heard (void **state)
{
  (void) state;
  get_in_sync (true);
  sync_lost (sync_mode);
  configure (false, false);
  assert_int_equal (sync_force (sync_mode, NULL), 0);
  assert_int_equal (state_now (), SYNC_ABANDONING);
  connect ();
  assert_int_equal (state_now (), SYNC_OFF);
  assert_int_equal (sync_wait (sync_mode, 99, gone), 0);
}

/* A person's word while PROMISE is on its way: that the peer takes it ends
 * nothing.
 */
static void
force_on_the_way (enum replica_promise promise, bool is_sync)
{
  assert_int_equal (promise, REPLICA_PROMISE_SUSPEND);
  configure (is_sync, false);
  assert_int_equal (sync_force (sync_mode, NULL), 0);
  assert_int_equal (stored.abandoned, SYNC_ABANDONED_PEER);
  sync_told (sync_mode, promise);
  assert_int_equal (stored.abandoned, SYNC_ABANDONED_PEER);
  assert_int_equal (state_now (), SYNC_ABANDONING);
  assert_waits (11);
  assert_waits (1);
}

/* Then it is told of less, and knows. */
static void
hears_of_less (bool is_sync)
{
  enum replica_promise promise;

  assert_true (step (&promise));
  assert_int_equal (promise, is_sync ? REPLICA_PROMISE_DEGRADE :
                    REPLICA_PROMISE_NONE);
  assert_waits (1);
  sync_told (sync_mode, promise);
  assert_int_equal (stored.abandoned, SYNC_ABANDONED_NONE);
  assert_int_equal (state_now (), is_sync ? SYNC_IN_SYNC : SYNC_OFF);
}

/* It is renewed, and the answer comes after the word that ends it: the peer
 * may rely on it all the longer.
 */
static void
test_force_while_renewed (void **state)
{
  static const bool is_sync[] = { false, true };
  enum replica_promise promise;
  unsigned i;

  (void) state;
  for (i = 0; i < 2; ++i) {
    proof_ms = 2000;
    get_in_sync (true);
    proof_ms = 3000;
    configure (true, true);
    assert_true (step (&promise));
    force_on_the_way (promise, is_sync[i]);
    assert_int_equal (stored.lease_ms, 3000);
    hears_of_less (is_sync[i]);

    sync_free (sync_mode);
    stored = (struct sync_record) { 0 };
    open_mode ();
  }
}

/* The peer of a pair that is no more never hears of it. */
static void
test_reset (void **state)
{
  enum replica_promise promise;

  (void) state;
  get_in_sync (true);
  sync_lost (sync_mode);
  assert_int_equal (sync_reset (sync_mode, NULL), 0);
  assert_int_equal (stored.given, REPLICA_PROMISE_NONE);
  assert_int_equal (stored.abandoned, SYNC_ABANDONED_FORMER);
  assert_waits (1);
  configure (true, true);
  connect ();
  assert_int_equal (state_now (), SYNC_ABANDONING);
  sync_note_held (sync_mode, 99);
  assert_true (step (&promise));
  sync_told (sync_mode, promise);
  assert_int_equal (stored.abandoned, SYNC_ABANDONED_FORMER);
  assert_waits (1);

  /* What the peer was told or has no lease on is not abandoned. */
  stored = (struct sync_record) { 0 };
  sync_free (sync_mode);
  open_mode ();
  get_in_sync (false);
  assert_int_equal (sync_reset (sync_mode, NULL), 0);
  assert_int_equal (stored.abandoned, SYNC_ABANDONED_NONE);
  assert_int_equal (sync_wait (sync_mode, 99, gone), 0);
}

/* A person's word between two messages: no lease is renewed after it, and a
 * promise given anew begins from nothing.
 */
static void
test_force_in_session (void **state)
{
  enum replica_promise promise;

  (void) state;
  get_in_sync (true);
  configure (false, false);
  assert_int_equal (sync_force (sync_mode, NULL), 0);
  assert_int_equal (state_now (), SYNC_ABANDONING);
  configure (true, true);
  newest = 50;
  assert_false (step (&promise));
  assert_int_equal (stored.given, REPLICA_PROMISE_NONE);
  sync_note_held (sync_mode, 49);
  assert_false (step (&promise));
  sync_note_held (sync_mode, 50);
  assert_true (step (&promise));
  sync_told (sync_mode, promise);
  assert_int_equal (stored.given, REPLICA_PROMISE_SUSPEND);
  assert_int_equal (state_now (), SYNC_IN_SYNC);
  assert_waits (51);
}

/* Its word while the first promise is on its way. */
static void
test_force_in_mid_message (void **state)
{
  enum replica_promise promise;

  (void) state;
  configure (true, true);
  connect ();
  assert_false (step (&promise));
  sync_note_held (sync_mode, newest);
  assert_true (step (&promise));
  force_on_the_way (promise, false);
  hears_of_less (false);
  assert_int_equal (sync_wait (sync_mode, 99, gone), 0);
}

/* ... and while a session's page is. */
static void
test_force_in_mid_page (void **state)
{
  enum replica_promise said, promise;

  (void) state;
  get_in_sync (true);
  sync_lost (sync_mode);
  said = sync_session_promise (sync_mode);
  assert_int_equal (said, REPLICA_PROMISE_SUSPEND);
  configure (false, false);
  assert_int_equal (sync_force (sync_mode, NULL), 0);
  sync_begin (sync_mode, said, false);
  assert_int_equal (stored.abandoned, SYNC_ABANDONED_PEER);
  assert_waits (1);
  assert_true (step (&promise));
  sync_told (sync_mode, promise);
  assert_int_equal (stored.abandoned, SYNC_ABANDONED_NONE);
  assert_int_equal (sync_wait (sync_mode, 99, gone), 0);
}

/* In sync the promise is told again, and at once when it is another. */
static void
test_renewal (void **state)
{
  enum replica_promise promise;
  uint64_t deadline;

  (void) state;
  proof_ms = 2000;
  get_in_sync (true);
  assert_false (step (&promise));
  deadline = clock_mono_ns () + 10 * NS_PER_SEC;
  while (!step (&promise))
    assert_true (clock_mono_ns () < deadline);
  assert_int_equal (promise, REPLICA_PROMISE_SUSPEND);
  assert_int_equal (state_now (), SYNC_IN_SYNC);
  sync_told (sync_mode, promise);
  assert_false (step (&promise));
  proof_ms = 3000;
  configure (true, true);
  assert_true (step (&promise));
  assert_int_equal (stored.lease_ms, 3000);   /* before it is sent */
  sync_told (sync_mode, promise);
  proof_ms = 2000;
  configure (true, true);
  assert_true (step (&promise));
  assert_int_equal (stored.lease_ms, 3000);
  sync_told (sync_mode, promise);
  assert_int_equal (stored.lease_ms, 2000);
}

/* The page of a new session takes back what it does not say. */
static void
test_session_page (void **state)
{
  (void) state;
  get_in_sync (true);
  sync_lost (sync_mode);
  configure (false, false);
  assert_int_equal (sync_session_promise (sync_mode), REPLICA_PROMISE_NONE);
  assert_waits (11);
  connect ();
  assert_int_equal (sync_wait (sync_mode, 11, gone), 0);
  assert_int_equal (state_now (), SYNC_OFF);
}

static bool
is_proven (void)
{
  return sync_prove_zero (sync_mode, NULL) == SYNC_PROVEN;
}

static int
hear (enum replica_promise promise)
{
  return sync_hear (sync_mode, promise,
                    promise == REPLICA_PROMISE_SUSPEND ? 60000 : 0, NULL);
}

static int
hear_session (enum replica_promise promise)
{
  return sync_hear_session (sync_mode, promise, NULL);
}

static void
test_heard (void **state)
{
  (void) state;
  assert_int_equal (sync_prove_zero (sync_mode, NULL), SYNC_UNKNOWN_ASYNC);
  assert_int_equal (hear_session (REPLICA_PROMISE_NONE), 0);
  assert_int_equal (hear (REPLICA_PROMISE_SUSPEND), 0);
  assert_true (is_proven ());
  sync_free (sync_mode);
  open_mode ();
  assert_true (is_proven ());
  assert_int_equal (hear_session (REPLICA_PROMISE_SUSPEND), 0);
  assert_true (is_proven ());
  assert_int_equal (hear_session (REPLICA_PROMISE_DEGRADE), 0);
  assert_false (is_proven ());
  assert_int_equal (hear_session (REPLICA_PROMISE_SUSPEND), 0);
  assert_false (is_proven ());
}

/* Power failed when the role was changed and the record was not: what was
 * heard before the promotion proves nothing after the next demotion.
 */
static void
test_forget_heard (void **state)
{
  (void) state;
  assert_int_equal (hear_session (REPLICA_PROMISE_NONE), 0);
  assert_int_equal (hear (REPLICA_PROMISE_SUSPEND), 0);
  sync_free (sync_mode);
  open_mode ();
  assert_true (is_proven ());
  get_in_sync (true);
  store_fails = true;
  assert_int_equal (sync_forget_heard (sync_mode, NULL), -1);
  store_fails = false;
  assert_int_equal (sync_forget_heard (sync_mode, NULL), 0);
  assert_int_equal (sync_prove_zero (sync_mode, NULL), SYNC_UNKNOWN_ASYNC);
  assert_int_equal (stored.heard, REPLICA_PROMISE_NONE);
  assert_int_equal (stored.lease.ms, 0);
  assert_int_equal (stored.given, REPLICA_PROMISE_SUSPEND);
  assert_int_equal (state_now (), SYNC_IN_SYNC);
  store_fails = true;                           /* it is known already */
  assert_int_equal (sync_forget_heard (sync_mode, NULL), 0);
}

/* A lease counts from the answer before, and is over. */
static void
test_lease (void **state)
{
  uint64_t left_ms, before_ms;

  (void) state;
  assert_int_equal (hear (REPLICA_PROMISE_SUSPEND), 0);
  assert_int_equal (sync_prove_zero (sync_mode, NULL), SYNC_UNKNOWN_LAPSED);
  assert_int_equal (hear_session (REPLICA_PROMISE_SUSPEND), 0);
  assert_int_equal (hear (REPLICA_PROMISE_SUSPEND), 0);
  assert_true (is_proven ());
  do
    sync_prove_zero (sync_mode, &before_ms);
  while (before_ms > 59980);
  assert_int_equal (hear (REPLICA_PROMISE_SUSPEND), 0);
  sync_prove_zero (sync_mode, &left_ms);
  assert_in_range (left_ms, 1, before_ms);      /* from the first answer */
  assert_int_equal (hear (REPLICA_PROMISE_SUSPEND), 0);
  sync_prove_zero (sync_mode, &left_ms);
  assert_true (left_ms > before_ms);            /* from the second */

  assert_int_equal (sync_hear (sync_mode, REPLICA_PROMISE_SUSPEND, 10, NULL),
                    0);
  while (is_proven ())
    ;
  assert_int_equal (sync_prove_zero (sync_mode, NULL), SYNC_UNKNOWN_LAPSED);
}

static void
test_lease_clocks (void **state)
{
  struct lease lease = { .ms = 1000 };
  struct moment now;

  (void) state;
  moment_now (&lease.from);
  assert_false (uuid_is_null (&lease.from.boot));
  now = lease.from;
  assert_int_equal (lease_left_ms (&lease, &now), 1000);
  now.boot_ns += 300 * NS_PER_MSEC;
  assert_int_equal (lease_left_ms (&lease, &now), 700);
  now.wall_ns += 900 * NS_PER_MSEC;      /* the later clock counts */
  assert_int_equal (lease_left_ms (&lease, &now), 100);
  now.boot_ns += 700 * NS_PER_MSEC;
  assert_int_equal (lease_left_ms (&lease, &now), 0);
  now = lease.from;
  now.wall_ns--;                         /* set back */
  assert_int_equal (lease_left_ms (&lease, &now), 0);
  now = lease.from;
  now.boot.byte[0]++;                   /* another boot */
  assert_int_equal (lease_left_ms (&lease, &now), 0);
  lease.ms = 0;
  assert_int_equal (lease_left_ms (&lease, &lease.from), 0);
}

static void *
flusher (void *opaque)
{
  *(int *) opaque = sync_wait (sync_mode, 30, NULL);
  return NULL;
}

static void
test_many_wait_for_one (void **state)
{
  pthread_t thread[4];
  int result[4] = { -1, -1, -1, -1 };
  struct sync_status status;
  unsigned i;

  (void) state;
  get_in_sync (true);
  for (i = 0; i < 4; i++)
    assert_int_equal (pthread_create (&thread[i], NULL, flusher, &result[i]),
                      0);
  do
    sync_get_status (sync_mode, &status);
  while (status.waiting < 4);
  sync_note_held (sync_mode, 30);
  for (i = 0; i < 4; i++) {
    pthread_join (thread[i], NULL);
    assert_int_equal (result[i], 0);
  }
}

static void
test_fenced (void **state)
{
  (void) state;
  get_in_sync (true);
  sync_fenced (sync_mode);
  assert_int_equal (sync_wait (sync_mode, 11, NULL), -1);
  assert_int_equal (errno, ESHUTDOWN);

  /* Whatever it is told, and when nobody claims anything any more. */
  configure (true, false);
  assert_int_equal (sync_force (sync_mode, NULL), 0);
  assert_int_equal (sync_wait (sync_mode, 11, NULL), -1);
  assert_int_equal (errno, ESHUTDOWN);
  assert_int_equal (sync_wait (sync_mode, 1, NULL), 0);

  /* Nor after a restart, when it does not know any more what is held. */
  sync_free (sync_mode);
  open_mode ();
  configure (false, false);
  sync_fenced (sync_mode);
  assert_int_equal (sync_force (sync_mode, NULL), 0);
  assert_int_equal (sync_wait (sync_mode, 1, NULL), -1);
  assert_int_equal (errno, ESHUTDOWN);

  assert_int_equal (sync_reset (sync_mode, NULL), 0);
  assert_int_equal (stored.abandoned, SYNC_ABANDONED_NONE);
  assert_int_equal (sync_wait (sync_mode, 11, NULL), 0);
}

/* The peer was promoted, and claimed that nothing is lost, before it could not
 * rely any more on what was abandoned here.
 */
static void
test_fenced_while_abandoning (void **state)
{
  (void) state;
  get_in_sync (true);
  sync_lost (sync_mode);
  configure (true, false);
  assert_int_equal (sync_force (sync_mode, NULL), 0);
  assert_int_equal (state_now (), SYNC_ABANDONING);
  sync_fenced (sync_mode);
  assert_int_equal (sync_wait (sync_mode, 11, NULL), -1);
  assert_int_equal (errno, ESHUTDOWN);

  sync_free (sync_mode);
  open_mode ();
  configure (true, false);
  sync_fenced (sync_mode);
  assert_int_equal (sync_wait (sync_mode, 11, NULL), -1);
  assert_int_equal (errno, ESHUTDOWN);
  assert_int_equal (sync_reset (sync_mode, NULL), 0);
  assert_int_equal (sync_wait (sync_mode, 11, NULL), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_entering),
    TEST (test_lost_while_entering),
    TEST (test_suspend),
    TEST (test_degrade),
    TEST (test_weaker),
    TEST (test_force),
    TEST (test_force_is_heard),
    TEST (test_force_while_renewed),
    TEST (test_force_in_session),
    TEST (test_force_in_mid_message),
    TEST (test_force_in_mid_page),
    TEST (test_reset),
    TEST (test_renewal),
    TEST (test_session_page),
    TEST (test_heard),
    TEST (test_forget_heard),
    TEST (test_lease),
    TEST (test_lease_clocks),
    TEST (test_many_wait_for_one),
    TEST (test_fenced),
    TEST (test_fenced_while_abandoning),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

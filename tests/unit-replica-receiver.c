/* Tests of the receiver against peers that are late, replaced or damaged: what
 * is refused has no effect, and nobody waits for ever.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "receiver-client.h"

static void
test_nothing_before_auth (void **state)
{
  struct wire_session session;
  struct wire_status status;
  struct client c;

  (void) state;
  guest_writes (1);
  client_open (&c);
  assert_int_equal (client_status (&c, &status), -1);
  assert_int_equal (errno, EPERM);
  session = session_page (WIRE_SESSION_STAGE);
  assert_int_equal (client_session (&c, &session), -1);
  assert_int_equal (errno, EPERM);
  c.session = session.id;
  assert_int_equal (client_send (&c, FRAME_HEARTBEAT, NULL, 0), -1);
  assert_int_equal (errno, EPERM);
  assert_int_equal (receiver_conn_flush (c.conn, NULL), -1);
  assert_int_equal (result_of (&c), WIRE_RESULT_UNAUTHENTICATED);
  assert_false (is_staged ());
  receiver_conn_close (c.conn);
}

static void
test_one_try_to_authenticate (void **state)
{
  struct client c;

  (void) state;
  client_open (&c);
  c.keys.secret[0] ^= 1;
  assert_int_equal (client_auth (&c), -1);
  assert_int_equal (errno, EPERM);
  c.keys.secret[0] ^= 1;
  assert_int_equal (client_auth (&c), -1);
  assert_int_equal (result_of (&c), WIRE_RESULT_UNAUTHENTICATED);
  receiver_conn_close (c.conn);
}

/* An AUTH page that was seen on another connection is worth nothing. */
static void
test_auth_is_not_replayed (void **state)
{
  struct wire_auth auth = { .version = WIRE_VERSION };
  uint8_t page[WIRE_PAGE_SIZE];
  struct client a, b;

  (void) state;
  client_open (&a);
  client_open (&b);
  wire_auth_encode (&auth, &a.keys, page);
  assert_int_equal (write_page (&a, WIRE_AUTH_OFFSET, page), 0);
  assert_int_equal (write_page (&b, WIRE_AUTH_OFFSET, page), -1);
  receiver_conn_close (a.conn);
  receiver_conn_close (b.conn);
}

static void
test_odd_requests (void **state)
{
  uint8_t buf[2 * WIRE_PAGE_SIZE] = { 0 };
  struct client c;

  (void) state;
  client_open (&c);
  assert_int_equal (client_auth (&c), 0);
  assert_int_equal (receiver_conn_read (c.conn, buf, 512, 0, NULL), -1);
  assert_int_equal (receiver_conn_read (c.conn, buf, 8192, 0, NULL), -1);
  assert_int_equal (receiver_conn_read (c.conn, buf, 4096, 20480, NULL), -1);
  assert_int_equal (receiver_conn_read (c.conn, buf, 4096, WIRE_STREAM_OFFSET,
                                        NULL), -1);
  assert_int_equal (receiver_conn_write (c.conn, buf, 4096, 0, false, NULL),
                    -1);
  assert_int_equal (receiver_conn_write (c.conn, buf, 100,
                                         WIRE_SESSION_OFFSET, false, NULL),
                    -1);
  assert_int_equal (write_page (&c, WIRE_SESSION_OFFSET, buf), -1);
  assert_int_equal (receiver_conn_write (c.conn, buf, 0, WIRE_STREAM_OFFSET,
                                         true, NULL), -1);
  assert_int_equal (receiver_conn_write (c.conn, buf, 8192,
                                         WIRE_STREAM_OFFSET, true, NULL), -1);
  receiver_conn_close (c.conn);
}

static void
test_copy_and_stream (void **state)
{
  struct sealed s[FRAMES_MAX];
  struct wire_status status;
  struct client a, b;

  (void) state;
  guest_writes (5);
  first_copy (&a);
  guest_writes (3);

  client_ready (&b, WIRE_SESSION_STREAM);
  assert_int_equal (record_frames (&b, 5, s), 3);
  for (int i = 0; i < 3; i++) {
    assert_int_equal (client_write (&b, &s[i]), 0);
    free (s[i].buf);
  }
  assert_int_equal (committed ().seq, 8);
  assert_int_equal (digest_of (primary), digest_of (secondary));
  assert_int_equal (client_status (&b, &status), 0);
  assert_int_equal (status.next_seq, 9);
  /* The session before has ended. */
  assert_int_equal (client_send (&a, FRAME_HEARTBEAT, NULL, 0), -1);
  assert_int_equal (result_of (&a), WIRE_RESULT_STALE);
  receiver_conn_close (a.conn);
  receiver_conn_close (b.conn);
}

static void
test_frames_in_any_order (void **state)
{
  struct writer w[FRAMES_MAX];
  struct sealed s[FRAMES_MAX];
  struct client c;
  unsigned n;

  (void) state;
  guest_writes (1);
  first_copy (&c);
  receiver_conn_close (c.conn);
  guest_writes (16);
  client_ready (&c, WIRE_SESSION_STREAM);
  n = record_frames (&c, 1, s);
  assert_int_equal (n, 16);
  for (unsigned i = n; i-- > 0;)
    start_writer (&w[i], &c, &s[i]);
  for (unsigned i = 0; i < n; i++) {
    pthread_join (w[i].thread, NULL);
    assert_int_equal (w[i].result, 0);
    free (s[i].buf);
  }
  assert_int_equal (committed ().seq, 17);
  assert_int_equal (digest_of (primary), digest_of (secondary));
  receiver_conn_close (c.conn);
}

static void
test_a_replayed_frame_has_no_effect (void **state)
{
  struct sealed s[2];
  struct client c;

  (void) state;
  two_frames (&c, s);
  assert_int_equal (client_write (&c, &s[0]), 0);
  assert_int_equal (client_write (&c, &s[0]), -1);
  assert_int_equal (committed ().seq, 2);
  /* The stream goes on all the same. */
  assert_int_equal (client_write (&c, &s[1]), 0);
  assert_int_equal (committed ().seq, 3);
  free_frames (s);
  receiver_conn_close (c.conn);
}

static void
test_a_missing_frame_is_not_waited_for_ever (void **state)
{
  uint64_t start = clock_mono_ns ();
  struct sealed s[2];
  struct client c;

  (void) state;
  two_frames (&c, s);
  assert_int_equal (client_write (&c, &s[1]), -1);
  assert_true (clock_mono_ns () - start < 20 * NS_PER_SEC);
  assert_int_equal (result_of (&c), WIRE_RESULT_STALE);
  /* The session is over: the missing one is too late. */
  assert_int_equal (client_write (&c, &s[0]), -1);
  assert_int_equal (committed ().seq, 1);
  free_frames (s);
  receiver_conn_close (c.conn);
}

static void
test_damaged_frames (void **state)
{
  struct sealed s[2];
  struct client c;

  (void) state;
  two_frames (&c, s);
  s[0].buf[FRAME_HEADER_SIZE + 70] ^= 1;
  assert_int_equal (client_write (&c, &s[0]), -1);
  assert_int_equal (errno, EINVAL);
  assert_int_equal (result_of (&c), WIRE_RESULT_GARBAGE);
  s[0].buf[FRAME_HEADER_SIZE + 70] ^= 1;
  assert_int_equal (client_write (&c, &s[0]), -1);   /* ended by it */
  assert_int_equal (committed ().seq, 1);
  free_frames (s);
  receiver_conn_close (c.conn);
}

/* Whole frames whose records are garbled, out of order or of another salt. */
static void
test_bad_records_in_good_frames (void **state)
{
  struct sealed s[2], bad;
  struct client c;

  (void) state;
  two_frames (&c, s);
  s[0].buf[s[0].length - 1] ^= 1;
  c.offset = 0;
  bad = client_frame (&c, FRAME_RECORDS, s[0].buf + FRAME_HEADER_SIZE,
                      s[0].length - FRAME_HEADER_SIZE);
  assert_int_equal (client_write (&c, &bad), -1);
  assert_int_equal (result_of (&c), WIRE_RESULT_GARBAGE);
  free (bad.buf);
  receiver_conn_close (c.conn);

  client_ready (&c, WIRE_SESSION_STREAM);
  bad = client_frame (&c, FRAME_RECORDS, s[1].buf + FRAME_HEADER_SIZE,
                      s[1].length - FRAME_HEADER_SIZE);
  assert_int_equal (client_write (&c, &bad), -1);
  assert_int_equal (result_of (&c), WIRE_RESULT_STALE);
  free (bad.buf);
  receiver_conn_close (c.conn);
  assert_int_equal (committed ().seq, 1);
  free_frames (s);
}

static void
test_a_frame_of_another_session_or_place (void **state)
{
  struct sealed s[2];
  struct client c;
  uint64_t mine;

  (void) state;
  two_frames (&c, s);
  mine = c.session;
  c.session ^= 2;
  assert_int_equal (client_send (&c, FRAME_HEARTBEAT, NULL, 0), -1);
  c.session = mine;
  s[0].offset += 4096;
  assert_int_equal (client_write (&c, &s[0]), -1);
  assert_int_equal (committed ().seq, 1);
  free_frames (s);
  receiver_conn_close (c.conn);
}

static void
test_sessions_that_do_not_fit (void **state)
{
  struct wire_session session;
  struct client c;

  (void) state;
  guest_writes (1);
  first_copy (&c);
  receiver_conn_close (c.conn);

  client_open (&c);
  assert_int_equal (client_auth (&c), 0);
  session = session_page (WIRE_SESSION_STREAM);
  session.fence = 4;
  assert_int_equal (client_session (&c, &session), -1);
  assert_int_equal (errno, ESHUTDOWN);
  assert_int_equal (result_of (&c), WIRE_RESULT_FENCED);
  receiver_conn_close (c.conn);

  client_open (&c);
  assert_int_equal (client_auth (&c), 0);
  session = session_page (WIRE_SESSION_STREAM);
  session.size /= 2;
  assert_int_equal (client_session (&c, &session), -1);
  assert_int_equal (result_of (&c), WIRE_RESULT_MISMATCH);
  session = session_page (WIRE_SESSION_STREAM);
  session.next_seq--;
  assert_int_equal (client_session (&c, &session), -1);
  session = session_page (WIRE_SESSION_STREAM);
  session.lineage.byte[0] ^= 1;
  assert_int_equal (client_session (&c, &session), -1);
  assert_false (is_staged ());
  receiver_conn_close (c.conn);
}

static void
test_waiters_are_released (void **state)
{
  struct sealed s[2];
  struct writer w;
  struct client c, d;

  (void) state;
  two_frames (&c, s);
  start_writer (&w, &c, &s[1]);
  client_ready (&d, WIRE_SESSION_STREAM);    /* replaces the session */
  pthread_join (w.thread, NULL);
  assert_int_equal (w.result, -1);
  free_frames (s);
  receiver_conn_close (c.conn);

  assert_int_equal (record_frames (&d, 1, s), 2);
  start_writer (&w, &d, &s[1]);
  assert_int_equal (receiver_stop_and_rollback (receiver, NULL), 0);
  pthread_join (w.thread, NULL);
  assert_int_equal (w.result, -1);
  free_frames (s);
  assert_int_equal (committed ().seq, 1);
  receiver_conn_close (d.conn);
}

static void
test_a_rollback_drops_the_stage (void **state)
{
  struct receiver_status status;
  struct wire_session session;
  struct sealed s[FRAMES_MAX];
  struct client c;

  (void) state;
  guest_writes (2);
  client_ready (&c, WIRE_SESSION_STAGE);
  assert_int_equal (record_frames (&c, 0, s), 2);
  assert_int_equal (client_write (&c, &s[0]), 0);
  receiver_get_status (receiver, &status);
  assert_true (status.is_staged && status.connected && status.has_known);
  assert_int_equal (status.known.seq, 2);
  assert_int_equal (status.loss_writes, 2);

  assert_int_equal (receiver_stop_and_rollback (receiver, NULL), 0);
  assert_false (is_staged ());
  assert_int_equal (client_write (&c, &s[1]), -1);
  session = session_page (WIRE_SESSION_STAGE);
  assert_int_equal (client_session (&c, &session), -1);
  assert_int_equal (errno, EPERM);
  receiver_get_status (receiver, &status);
  assert_false (status.connected || status.accept);
  assert_int_equal (status.loss_writes, 2);

  receiver_set_accept (receiver, true);
  assert_int_equal (client_session (&c, &session), 0);
  free_frames (s);
  receiver_conn_close (c.conn);
}

/* What changed since the commit point, from the map, without the stream. */
static void
test_a_delta (void **state)
{
  struct wire_session session;
  struct volume_status status;
  uint8_t *buf = malloc (FRAME_PAYLOAD_MAX);
  uint64_t block = 0, before;
  struct client c;
  ssize_t len;

  (void) state;
  assert_non_null (buf);
  guest_writes (10);
  first_copy (&c);
  before = digest_of (secondary);
  guest_writes (20);
  assert_int_equal (volume_zero (primary, 1 << 20, 1 << 20, VOLUME_FUA), 0);

  session = session_page (WIRE_SESSION_STAGE);
  volume_get_status (primary, &status);
  session.stage_since = committed ().seq;
  session.stage_start = status.committed.seq;
  assert_int_equal (client_session (&c, &session), 0);
  while ((len = volume_delta_read (primary, session.stage_since, NULL,
                                   &block, buf, FRAME_PAYLOAD_MAX,
                                   NULL)) > 0)
    assert_int_equal (client_send (&c, FRAME_RECORDS, buf, len), 0);
  assert_int_equal (len, 0);
  /* Nothing of it shows before its commit. */
  assert_int_equal (digest_of (secondary), before);
  assert_int_equal (client_commit (&c), 0);
  assert_int_equal (committed ().seq, status.committed.seq);
  assert_int_equal (digest_of (primary), digest_of (secondary));
  free (buf);
  receiver_conn_close (c.conn);
}

static void
test_connections_outlive_the_receiver (void **state)
{
  struct wire_status status;
  struct client c;

  (void) state;
  guest_writes (1);
  first_copy (&c);
  receiver_free (receiver);
  assert_int_equal (client_status (&c, &status), -1);
  assert_int_equal (client_send (&c, FRAME_HEARTBEAT, NULL, 0), -1);
  assert_int_equal (receiver_conn_flush (c.conn, NULL), -1);
  receiver_conn_close (c.conn);
  new_receiver ();
}

static void
test_frames_over_several_connections (void **state)
{
  struct writer w[FRAMES_MAX];
  struct sealed s[FRAMES_MAX];
  struct client c, other[3];
  unsigned n, i;

  (void) state;
  guest_writes (1);
  first_copy (&c);
  receiver_conn_close (c.conn);
  guest_writes (16);
  client_ready (&c, WIRE_SESSION_STREAM);
  for (i = 0; i < 3; i++)
    client_join (&other[i], &c);
  n = record_frames (&c, 1, s);
  for (i = n; i-- > 0;)
    start_writer (&w[i], i % 4 == 0 ? &c : &other[i % 4 - 1], &s[i]);
  for (i = 0; i < n; i++) {
    pthread_join (w[i].thread, NULL);
    assert_int_equal (w[i].result, 0);
    free (s[i].buf);
  }
  assert_int_equal (committed ().seq, 17);
  assert_int_equal (digest_of (primary), digest_of (secondary));

  /* One that ends takes the session with it. */
  receiver_conn_close (other[1].conn);
  assert_int_equal (client_send (&c, FRAME_HEARTBEAT, NULL, 0), -1);
  assert_int_equal (result_of (&c), WIRE_RESULT_STALE);
  other[0].offset = c.offset;
  assert_int_equal (client_send (&other[0], FRAME_HEARTBEAT, NULL, 0), -1);
  receiver_conn_close (other[0].conn);
  receiver_conn_close (other[2].conn);
  receiver_conn_close (c.conn);
}

int
main (void)
{
#define T(name)                                                         \
  cmocka_unit_test_setup_teardown (name, receiver_setup, receiver_teardown)
  const struct CMUnitTest tests[] = {
    T (test_nothing_before_auth),
    T (test_one_try_to_authenticate),
    T (test_auth_is_not_replayed),
    T (test_odd_requests),
    T (test_copy_and_stream),
    T (test_frames_in_any_order),
    T (test_a_replayed_frame_has_no_effect),
    T (test_a_missing_frame_is_not_waited_for_ever),
    T (test_damaged_frames),
    T (test_bad_records_in_good_frames),
    T (test_a_frame_of_another_session_or_place),
    T (test_sessions_that_do_not_fit),
    T (test_waiters_are_released),
    T (test_a_rollback_drops_the_stage),
    T (test_a_delta),
    T (test_connections_outlive_the_receiver),
    T (test_frames_over_several_connections),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

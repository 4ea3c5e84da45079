/* Tests of the receiver against peers who mean harm, also such as have the
 * secret: what they replay, forge or garble has no effect.
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

#include "receiver-client.h"
#include "record.h"

static void
test_who_may_join (void **state)
{
  struct sealed s[2];
  struct client c, other;

  (void) state;
  two_frames (&c, s);
  client_open (&other);            /* knows the session, not the secret */
  assert_int_equal (receiver_conn_write (other.conn, s[0].buf, s[0].length,
                                         WIRE_STREAM_OFFSET, true, NULL), -1);
  assert_int_equal (result_of (&other), WIRE_RESULT_UNAUTHENTICATED);
  receiver_conn_close (other.conn);

  client_join (&other, &c);        /* has the secret, not the session */
  other.session ^= 4;
  other.offset = 0;
  assert_int_equal (client_send (&other, FRAME_HEARTBEAT, NULL, 0), -1);
  receiver_conn_close (other.conn);
  assert_int_equal (committed ().seq, 1);

  assert_int_equal (client_write (&c, &s[0]), 0);
  assert_int_equal (client_write (&c, &s[1]), 0);
  assert_int_equal (committed ().seq, 3);
  free_frames (s);
  receiver_conn_close (c.conn);
}

/* The frames of a session that ended, in the next one. */
static void
test_a_replayed_session (void **state)
{
  struct sealed s[2];
  struct client c, d;

  (void) state;
  two_frames (&c, s);
  assert_int_equal (client_write (&c, &s[0]), 0);
  client_ready (&d, WIRE_SESSION_STREAM);
  for (int i = 0; i < 2; i++) {
    assert_int_equal (client_write (&c, &s[i]), -1);
    assert_int_equal (client_write (&d, &s[i]), -1);
  }
  assert_int_equal (committed ().seq, 2);
  free_frames (s);
  receiver_conn_close (c.conn);
  receiver_conn_close (d.conn);
}

/* What a bad frame of this payload does: nothing. */
static void
expect_refused (enum frame_type type, const void *payload, uint32_t len,
                enum wire_result_code code)
{
  struct volume_point before = committed ();
  uint64_t digest = digest_of (secondary);
  struct client c;

  client_ready (&c, WIRE_SESSION_STREAM);
  assert_int_equal (client_send (&c, type, payload, len), -1);
  assert_int_equal (result_of (&c), code);
  /* And the session is over. */
  assert_int_equal (client_send (&c, FRAME_HEARTBEAT, NULL, 0), -1);
  receiver_conn_close (c.conn);
  assert_int_equal (committed ().seq, before.seq);
  assert_int_equal (committed ().generation, before.generation);
  assert_int_equal (digest_of (secondary), digest);
  assert_false (is_staged ());
}

/* Records that are hashed as they should be and say something impossible. */
static void
test_forged_records (void **state)
{
  uint64_t salt = volume_content_salt (primary);
  struct format_record *header;
  struct sealed s[2];
  struct record good, r;
  struct client c;
  uint8_t *p;
  uint32_t len;

  (void) state;
  two_frames (&c, s);
  receiver_conn_close (c.conn);
  p = s[0].buf + FRAME_HEADER_SIZE;
  len = s[0].length - FRAME_HEADER_SIZE;
  header = (struct format_record *) p;
  assert_true (record_decode (header, salt, &good));
#define FORGED(change, code)                                            \
  r = good;                                                             \
  change;                                                               \
  record_encode (&r, salt, header);                                     \
  expect_refused (FRAME_RECORDS, p, len, code)
  FORGED (r.generation ^= 1, WIRE_RESULT_GARBAGE);
  FORGED (r.seq++, WIRE_RESULT_GARBAGE);         /* its units know better */
  FORGED (r.seq--, WIRE_RESULT_GARBAGE);
  FORGED (r.block = DISK_SIZE / 4096, WIRE_RESULT_GARBAGE);
  FORGED (r.block = UINT64_MAX / 4096, WIRE_RESULT_GARBAGE);
  FORGED (r.block ^= 1, WIRE_RESULT_GARBAGE);
  FORGED (r.nblocks = UINT32_MAX, WIRE_RESULT_GARBAGE);
  FORGED (r.nblocks++, WIRE_RESULT_GARBAGE);
  FORGED (r.nblocks = 0, WIRE_RESULT_GARBAGE);
  FORGED (r.length += 16, WIRE_RESULT_GARBAGE);
  FORGED (r.length -= 16, WIRE_RESULT_GARBAGE);
  FORGED (r.length = UINT32_MAX, WIRE_RESULT_GARBAGE);
  FORGED (r.type = RECORD_DELTA, WIRE_RESULT_GARBAGE);
  FORGED (r.type = RECORD_MOVE, WIRE_RESULT_GARBAGE);
  FORGED (r.type = RECORD_STAGE_COMMIT, WIRE_RESULT_GARBAGE);
#undef FORGED
  record_encode (&good, salt, header);
  expect_refused (FRAME_RECORDS, p, len - 1, WIRE_RESULT_GARBAGE);
  expect_refused (FRAME_RECORDS, p, 63, WIRE_RESULT_GARBAGE);
  client_ready (&c, WIRE_SESSION_STREAM);
  assert_int_equal (client_send (&c, FRAME_RECORDS, p, len), 0);
  assert_int_equal (committed ().seq, 2);
  receiver_conn_close (c.conn);
  free_frames (s);
}

/* A frame whose first record is good and whose second is not: none counts. */
static void
test_a_frame_counts_as_a_whole (void **state)
{
  uint32_t len[2];
  struct sealed s[2];
  struct client c;
  uint8_t *both;

  (void) state;
  two_frames (&c, s);
  receiver_conn_close (c.conn);
  for (int i = 0; i < 2; i++)
    len[i] = s[i].length - FRAME_HEADER_SIZE;
  both = malloc (2 * len[0] + len[1]);
  assert_non_null (both);
  memcpy (both, s[0].buf + FRAME_HEADER_SIZE, len[0]);
  memcpy (both + len[0], s[0].buf + FRAME_HEADER_SIZE, len[0]);
  expect_refused (FRAME_RECORDS, both, 2 * len[0], WIRE_RESULT_STALE);
  memcpy (both + len[0], s[1].buf + FRAME_HEADER_SIZE, len[1]);
  both[len[0] + len[1] - 1] ^= 1;
  expect_refused (FRAME_RECORDS, both, len[0] + len[1], WIRE_RESULT_GARBAGE);
  both[len[0] + len[1] - 1] ^= 1;
  client_ready (&c, WIRE_SESSION_STREAM);
  assert_int_equal (client_send (&c, FRAME_RECORDS, both, len[0] + len[1]),
                    0);
  assert_int_equal (committed ().seq, 3);
  receiver_conn_close (c.conn);
  free (both);
  free_frames (s);
}

/* Tables of generations that rewrite what was. */
static void
test_forged_histories (void **state)
{
  uint8_t payload[FRAME_SMALL_MAX];
  struct volume_generations good, bad;
  struct wire_session session;
  struct volume_status status;
  struct frame_commit commit;
  struct frame_cursor cursor;
  struct client c;

  (void) state;
  guest_writes (3);
  first_copy (&c);
  receiver_conn_close (c.conn);
  volume_get_status (secondary, &status);
  good = status.generations;
  assert_int_equal (good.count, 1);
#define FORGED(change)                                                  \
  bad = good;                                                           \
  change;                                                               \
  expect_refused (FRAME_GENERATIONS, payload,                           \
                  frame_generations_encode (&bad, payload),             \
                  WIRE_RESULT_GARBAGE)
  FORGED (bad.table[0].id ^= 1);
  FORGED (bad.count = 0);
  FORGED (bad.table[0].id = 0);
  FORGED (bad.table[0].first_seq = 4);
  FORGED (bad.count = 2; bad.table[1].id = 9; bad.table[1].first_seq = 3);
  FORGED (bad.count = 2; bad.table[1].id = 9; bad.table[1].first_seq = 1);
  FORGED (bad.count = 2; bad.table[1].id = 0; bad.table[1].first_seq = 9);
#undef FORGED
  memset (payload, 0xff, sizeof payload);
  expect_refused (FRAME_GENERATIONS, payload, sizeof payload,
                  WIRE_RESULT_GARBAGE);
  expect_refused (FRAME_GENERATIONS, payload, 0, WIRE_RESULT_GARBAGE);

  /* The same in a session's page. */
  client_open (&c);
  assert_int_equal (client_auth (&c), 0);
  session = session_page (WIRE_SESSION_STREAM);
  session.generations.table[0].id ^= 1;
  assert_int_equal (client_session (&c, &session), -1);
  receiver_conn_close (c.conn);

  /* What belongs to a stage, without one. */
  commit.point = status.committed;
  commit.generations = good;
  expect_refused (FRAME_STAGE_COMMIT, payload,
                  frame_commit_encode (&commit, payload),
                  WIRE_RESULT_GARBAGE);
  cursor = (struct frame_cursor) { 0, DISK_SIZE / 4096 };
  expect_refused (FRAME_STAGE_CURSOR, payload,
                  frame_cursor_encode (&cursor, payload),
                  WIRE_RESULT_GARBAGE);
  expect_refused (FRAME_HEARTBEAT, payload, 8, WIRE_RESULT_GARBAGE);
}

/* A stage's commit at a point that is not what was staged. */
static void
test_forged_commits (void **state)
{
  static const char *const what[] = { "seq", "generation", "no table" };
  uint8_t payload[FRAME_SMALL_MAX];
  struct volume_status status;
  struct sealed s[FRAMES_MAX];
  struct frame_commit commit;
  struct client c;

  (void) state;
  guest_writes (2);
  for (size_t i = 0; i < sizeof what / sizeof what[0]; i++) {
    print_message ("# wrong: %s\n", what[i]);
    assert_int_equal (receiver_stop_and_rollback (receiver, NULL), 0);
    receiver_set_accept (receiver, true);
    client_ready (&c, WIRE_SESSION_STAGE);
    assert_int_equal (record_frames (&c, 0, s), 2);
    assert_int_equal (client_write (&c, &s[0]), 0);
    assert_int_equal (client_write (&c, &s[1]), 0);
    free_frames (s);
    volume_get_status (primary, &status);
    commit.point = status.committed;
    commit.generations = status.generations;
    switch (i) {
    case 0: commit.point.seq++; break;
    case 1: commit.point.generation ^= 1; break;
    case 2: commit.generations.count = 0; break;
    }
    assert_int_equal (client_send (&c, FRAME_STAGE_COMMIT, payload,
                                   frame_commit_encode (&commit, payload)),
                      -1);
    assert_int_equal (committed ().seq, 0);
    receiver_conn_close (c.conn);
  }
}

/* From the environment, or a new one. */
static uint64_t
test_seed (void)
{
  const char *seed = getenv ("PAIRDISK_SEED");

  return seed && *seed ? strtoull (seed, NULL, 0) : random_u64 ();
}

static uint64_t
random_below (uint64_t *rng, uint64_t n)
{
  uint64_t z = *rng += UINT64_C (0x9e3779b97f4a7c15);

  z = (z ^ (z >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C (0x94d049bb133111eb);
  return (z ^ (z >> 31)) % n;
}

/* Frames with bytes changed at random, hashed anew: whatever comes of it, the
 * secondary shows what the primary showed at some moment.
 */
static void
test_random_frames (void **state)
{
  uint64_t seed = test_seed (), rng = seed, digest[4], now;
  unsigned rounds = getenv ("PAIRDISK_LONG") && *getenv ("PAIRDISK_LONG") ?
    5000 : 300;
  struct sealed s[2];
  struct client c;

  (void) state;
  print_message ("# PAIRDISK_SEED=%llu\n", (unsigned long long) seed);
  guest_writes (1);
  first_copy (&c);
  receiver_conn_close (c.conn);
  digest[1] = digest_of (primary);
  for (int i = 2; i < 4; i++) {
    guest_writes (1);
    digest[i] = digest_of (primary);
  }
  for (unsigned round = 0; round < rounds && committed ().seq < 3; round++) {
    unsigned n, changes;
    struct sealed bad;
    uint32_t len;

    client_ready (&c, WIRE_SESSION_STREAM);
    n = record_frames (&c, committed ().seq, s);
    len = s[0].length - FRAME_HEADER_SIZE;
    for (changes = 1 + random_below (&rng, 4); changes > 0; changes--)
      s[0].buf[FRAME_HEADER_SIZE + random_below (&rng, len)] ^=
        1 << random_below (&rng, 8);
    if (random_below (&rng, 4) == 0)
      len = random_below (&rng, len);
    c.offset = 0;
    bad = client_frame (&c, random_below (&rng, 4) == 0 ?
                        1 + random_below (&rng, FRAME_TYPE_MAX) :
                        FRAME_RECORDS, s[0].buf + FRAME_HEADER_SIZE, len);
    client_write (&c, &bad);
    if (n > 1)
      client_write (&c, &s[1]);
    now = committed ().seq;
    assert_in_range (now, 1, 3);
    assert_int_equal (digest_of (secondary), digest[now]);
    assert_false (is_staged ());
    free (bad.buf);
    for (unsigned i = 0; i < n; i++)
      free (s[i].buf);
    receiver_conn_close (c.conn);
  }
  client_ready (&c, WIRE_SESSION_STREAM);
  for (unsigned i = 0, n = record_frames (&c, committed ().seq, s); i < n;
       i++) {
    assert_int_equal (client_write (&c, &s[i]), 0);
    free (s[i].buf);
  }
  assert_int_equal (digest_of (secondary), digest[3]);
  receiver_conn_close (c.conn);
}

int
main (void)
{
#define T(name)                                                         \
  cmocka_unit_test_setup_teardown (name, receiver_setup, receiver_teardown)
  const struct CMUnitTest tests[] = {
    T (test_who_may_join),
    T (test_a_replayed_session),
    T (test_forged_records),
    T (test_a_frame_counts_as_a_whole),
    T (test_forged_histories),
    T (test_forged_commits),
    T (test_random_frames),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

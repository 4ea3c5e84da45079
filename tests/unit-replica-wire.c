/* Tests of replica/wire.h: golden bytes, every single flipped bit, truncation,
 * hostile fields.
 *
 * data/replica-wire.txt is the protocol as released, each message as wire_dump
 * shows it and in hex: a change that alters it needs a new WIRE_VERSION.
 * PAIRDISK_GOLDEN=write in the environment writes it anew.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "cleanup.h"
#include "golden.h"
#include "wire.h"

#define MESSAGES 12
#define PAGES 5                 /* the first of them; and the last: */
#define CHANGED_PAGE 11
#define MESSAGE_MAX (WIRE_PAGE_SIZE + FRAME_SMALL_MAX)

static uint8_t message[MESSAGES][MESSAGE_MAX];
static size_t length[MESSAGES];
static struct wire_keys keys;

static struct uuid
uuid_of (uint8_t byte)
{
  struct uuid uuid;

  memset (&uuid, byte, sizeof uuid);
  return uuid;
}

static struct volume_point
point_of (uint64_t seq)
{
  return (struct volume_point) { 0xaabbccdd00112233, seq, seq * 1000,
                                 seq * 4096 };
}

static void
fill_generations (struct volume_generations *table, uint32_t count)
{
  memset (table, 0, sizeof *table);
  table->count = count;
  for (uint32_t i = 0; i < count; i++)
    table->table[i] = (struct volume_generation) {
      .id = 0x1000 + i, .first_seq = 1 + i * 100, .writer = uuid_of (i)
    };
}

static struct wire_status
some_status (void)
{
  struct wire_status status = {
    .role = VOLUME_ROLE_SECONDARY, .accept = true, .is_fenced = false,
    .fence = 7, .size = UINT64_C (1) << 30, .volume = uuid_of (0x11),
    .lineage = uuid_of (0x22), .committed = point_of (400), .next_seq = 401,
    .confirmed_seq = 390,
    .stage_is_active = true, .stage_id = 0x5151, .stage_since = 3,
    .stage_start = 500, .stage_cursor = 4096, .stage_last = 510,
    .is_given_up = true, .keeps_seq = 390,
  };

  fill_generations (&status.generations, VOLUME_GENERATIONS_MAX);
  return status;
}

static struct wire_session
some_session (void)
{
  struct wire_session session = {
    .id = 0x77, .kind = WIRE_SESSION_STAGE,
    .promise = REPLICA_PROMISE_SUSPEND, .fence = 7,
    .size = UINT64_C (1) << 30, .volume = uuid_of (0x33),
    .lineage = uuid_of (0x22), .salt = 0x99, .appended = point_of (1000),
    .next_seq = 401, .stage_id = 0x5151, .stage_since = 3,
    .stage_start = 500,
  };

  fill_generations (&session.generations, 2);
  return session;
}

static void
seal (unsigned i, enum frame_type type, uint32_t len)
{
  struct frame frame = { .type = type, .length = len, .session = 0x77,
                         .offset = 12345, .appended = point_of (1000),
                         .durable_seq = 999 };

  frame_seal (&frame, message[i]);
  length[i] = FRAME_HEADER_SIZE + len;
}

static int
make_messages (void **state)
{
  struct wire_hello hello = { 1, 1, { 1, 2, 3 }, uuid_of (0x44) };
  struct wire_auth auth = { 1, { 9, 8, 7 } };
  struct wire_result result = { WIRE_RESULT_NO_SPACE, "no segment is free" };
  struct frame_cursor cursor = { 4096, 262144 };
  struct frame_commit commit = { .point = point_of (520) };
  struct frame_promise promise = { REPLICA_PROMISE_SUSPEND, 300000 };
  struct wire_status status = some_status ();
  struct wire_session session = some_session ();
  struct volume_changed changed = { 4096, 5000, 36744, { 0x81, 0, 0x10 } };
  uint8_t *payload;

  (void) state;
  memset (keys.secret, 0xab, sizeof keys.secret);
  memcpy (keys.server_nonce, hello.nonce, sizeof hello.nonce);
  memcpy (keys.client_nonce, auth.nonce, sizeof auth.nonce);
  keys.pair = uuid_of (0x44);

  for (unsigned i = 0; i < PAGES; i++)
    length[i] = WIRE_PAGE_SIZE;
  wire_hello_encode (&hello, message[0]);
  wire_auth_encode (&auth, &keys, message[1]);
  wire_status_encode (&status, &keys, message[2]);
  wire_session_encode (&session, &keys, message[3]);
  wire_result_encode (&result, message[4]);

  payload = message[5] + FRAME_HEADER_SIZE;
  memcpy (payload, "opaque records", 14);
  seal (5, FRAME_RECORDS, 14);
  seal (6, FRAME_STAGE_CURSOR,
        frame_cursor_encode (&cursor, message[6] + FRAME_HEADER_SIZE));
  fill_generations (&commit.generations, 3);
  seal (7, FRAME_STAGE_COMMIT,
        frame_commit_encode (&commit, message[7] + FRAME_HEADER_SIZE));
  seal (8, FRAME_GENERATIONS,
        frame_generations_encode (&commit.generations,
                                  message[8] + FRAME_HEADER_SIZE));
  seal (9, FRAME_HEARTBEAT, 0);
  seal (10, FRAME_PROMISE,
        frame_promise_encode (&promise, message[10] + FRAME_HEADER_SIZE));

  length[CHANGED_PAGE] = WIRE_PAGE_SIZE;
  wire_changed_encode (&changed, message[CHANGED_PAGE]);
  return 0;
}

/* ------------------------------------------------------------------ */

static void
hexdump (const uint8_t *p, size_t len, FILE *fp)
{
  static const uint8_t zeros[32];

  for (size_t i = 0; i < len; i += 32) {
    size_t n = len - i < 32 ? len - i : 32;

    if (n == 32 && memcmp (p + i, zeros, 32) == 0)
      continue;
    fprintf (fp, "%06zx ", i);
    for (size_t j = 0; j < n; j++)
      fprintf (fp, "%02x", p[i + j]);
    fputc ('\n', fp);
  }
}

static char *
describe_all (void)
{
  char *text = NULL;
  size_t size;
  FILE *fp = open_memstream (&text, &size);

  assert_non_null (fp);
  for (unsigned i = 0; i < MESSAGES; i++) {
    assert_int_equal (wire_dump (message[i], length[i], fp, NULL), 0);
    hexdump (message[i], length[i], fp);
  }
  fclose (fp);
  return text;
}

static void
test_golden (void **state)
{
  CLEANUP_FREE char *text = describe_all ();

  (void) state;
  assert_golden ("replica-wire.txt", text);
}

/* Which message it is, or -1: none that is whole. */
static int
recognise (const uint8_t *p, size_t len)
{
  struct wire_keys k = keys;
  struct wire_hello hello;
  struct wire_auth auth;
  struct wire_status status;
  struct wire_session session;
  struct wire_result result;
  struct volume_changed changed;
  struct frame frame;

  if (frame_decode (p, len, &frame, NULL) == 0)
    return PAGES - 1 + frame.type;
  if (len != WIRE_PAGE_SIZE)
    return -1;
  if (wire_hello_decode (p, &hello, NULL) == 0)
    return 0;
  if (wire_auth_decode (p, &k, &auth, NULL) == 0)
    return 1;
  if (wire_status_decode (p, &keys, &status, NULL) == 0)
    return 2;
  if (wire_session_decode (p, &keys, &session, NULL) == 0)
    return 3;
  if (wire_changed_decode (p, &changed, NULL) == 0)
    return CHANGED_PAGE;
  return wire_result_decode (p, &result, NULL) == 0 ? 4 : -1;
}

static void
test_each_is_only_itself (void **state)
{
  (void) state;
  for (int i = 0; i < MESSAGES; i++)
    assert_int_equal (recognise (message[i], length[i]), i);
}

static void
test_every_flipped_bit_is_seen (void **state)
{
  (void) state;
  for (unsigned i = 0; i < MESSAGES; i++) {
    for (size_t bit = 0; bit < length[i] * 8; bit++) {
      message[i][bit / 8] ^= 1u << bit % 8;
      assert_int_equal (recognise (message[i], length[i]), -1);
      message[i][bit / 8] ^= 1u << bit % 8;
    }
  }
}

static void
test_frames_of_wrong_length (void **state)
{
  struct frame frame;

  (void) state;
  for (unsigned i = PAGES; i < CHANGED_PAGE; i++) {
    for (size_t len = 0; len < length[i]; len++)
      assert_int_equal (frame_decode (message[i], len, &frame, NULL), -1);
    assert_int_equal (frame_decode (message[i], length[i] + 1, &frame, NULL),
                      -1);
  }
}

/* Give a page with altered fields its hash back, as only a faulty or hostile
 * peer would.
 */
static void
rehash (uint8_t *page)
{
  uint64_t hash = htole64 (XXH3_64bits (page, 4088));

  memcpy (page + 4088, &hash, sizeof hash);
}

static void
test_fields_out_of_bounds (void **state)
{
  uint8_t page[WIRE_PAGE_SIZE];
  struct wire_status status = some_status ();
  struct wire_session session = some_session ();
  struct error err;

  (void) state;
  status.role = 9;
  wire_status_encode (&status, &keys, page);
  assert_int_equal (wire_status_decode (page, &keys, &status, &err), -1);
  assert_int_equal (err.errnum, EBADMSG);

  session.id = 0;
  wire_session_encode (&session, &keys, page);
  assert_int_equal (wire_session_decode (page, &keys, &session, &err), -1);
  session = some_session ();
  session.kind = 3;
  wire_session_encode (&session, &keys, page);
  assert_int_equal (wire_session_decode (page, &keys, &session, &err), -1);

  /* 33 generations: the count stands before the table. */
  status = some_status ();
  wire_status_encode (&status, &keys, page);
  for (size_t i = 0; i + 4 < sizeof page; i += 4) {
    uint32_t n;

    memcpy (&n, page + i, 4);
    if (le32toh (n) == VOLUME_GENERATIONS_MAX) {
      page[i]++;
      break;
    }
  }
  rehash (page);
  assert_int_equal (wire_status_decode (page, NULL, &status, &err), -1);
  assert_int_equal (err.errnum, EBADMSG);
}

static void
test_secret_and_nonces_matter (void **state)
{
  struct wire_keys other = keys;
  struct wire_status status;
  struct wire_auth auth;
  struct error err;

  (void) state;
  other.secret[31] ^= 1;
  assert_int_equal (wire_status_decode (message[2], &other, &status, &err),
                    -1);
  assert_int_equal (err.errnum, EACCES);
  assert_int_equal (wire_auth_decode (message[1], &other, &auth, &err), -1);
  assert_int_equal (err.errnum, EACCES);
  other = keys;
  other.server_nonce[0] ^= 1;
  assert_int_equal (wire_auth_decode (message[1], &other, &auth, &err), -1);
  other = keys;
  other.client_nonce[0] ^= 1;
  assert_int_equal (wire_status_decode (message[2], &other, &status, &err),
                    -1);
  other = keys;
  other.pair.byte[0] ^= 1;
  assert_int_equal (wire_status_decode (message[2], &other, &status, &err),
                    -1);
}

static void
test_a_result_is_clean_text (void **state)
{
  struct wire_result result = { WIRE_RESULT_IO, "a\nb\x1b[31m" };
  uint8_t page[WIRE_PAGE_SIZE];

  (void) state;
  wire_result_encode (&result, page);
  assert_int_equal (wire_result_decode (page, &result, NULL), 0);
  assert_string_equal (result.message, "a?b?[31m");
}

static void
test_payloads_are_whole (void **state)
{
  struct volume_generations table;
  struct frame_commit commit;
  struct frame_cursor cursor;
  uint8_t *p = message[7] + FRAME_HEADER_SIZE;
  size_t len = length[7] - FRAME_HEADER_SIZE;

  (void) state;
  assert_int_equal (frame_commit_decode (p, len, &commit, NULL), 0);
  assert_int_equal (frame_commit_decode (p, len - 1, &commit, NULL), -1);
  assert_int_equal (frame_commit_decode (p, len + 1, &commit, NULL), -1);
  assert_int_equal (frame_commit_decode (p, 0, &commit, NULL), -1);
  assert_int_equal (frame_cursor_decode (p, 15, &cursor, NULL), -1);
  assert_int_equal (frame_generations_decode (p, 3, &table, NULL), -1);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_golden),
    cmocka_unit_test (test_each_is_only_itself),
    cmocka_unit_test (test_every_flipped_bit_is_seen),
    cmocka_unit_test (test_frames_of_wrong_length),
    cmocka_unit_test (test_fields_out_of_bounds),
    cmocka_unit_test (test_secret_and_nonces_matter),
    cmocka_unit_test (test_a_result_is_clean_text),
    cmocka_unit_test (test_payloads_are_whole),
  };

  return cmocka_run_group_tests (tests, make_messages, NULL);
}

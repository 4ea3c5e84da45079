/* Tests of the receiver against peers that are late, replaced or hostile: what
 * is refused has no effect, and nobody waits for ever.
 *
 * The client here speaks the protocol by hand through the functions that
 * nbdkit calls; both volumes are real ones in a private directory.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "record.h"
#include "replica.h"
#include "volume.h"
#include "wire.h"

#define DISK_SIZE (UINT64_C (4) << 20)
#define GAP_MS 150
#define FRAMES_MAX 32

static char dir[] = "/tmp/pairdisk-receiver-XXXXXX";
static struct volume *primary, *secondary;
static struct receiver *receiver;
static struct sync *sync_mode;
static struct uuid pair;
static uint8_t secret[REPLICA_SECRET_SIZE];

/* What a client holds of one connection. */
struct client {
  struct receiver_conn *conn;
  struct wire_keys keys;
  uint64_t session, offset;
};

/* ------------------------------------------------------------------ */

static struct volume *
make_volume (const char *name, enum volume_role role)
{
  const struct volume_params params = { .size = DISK_SIZE };
  struct volume *v;
  char path[128];

  snprintf (path, sizeof path, "%s/%s", dir, name);
  assert_int_equal (volume_create (NULL, path, &params, NULL), 0);
  v = volume_open (NULL, path, NULL, NULL);
  assert_non_null (v);
  assert_int_equal (volume_set_role (v, role, &pair, 5, NULL), 0);
  return v;
}

static int
store_nothing (void *opaque, const struct sync_record *record,
               struct error *err)
{
  (void) opaque;
  (void) record;
  (void) err;
  return 0;
}

static void
new_receiver (void)
{
  struct receiver_config config = { .pair = pair, .accept = true,
                                    .sync = sync_mode,
                                    .gap_ms = GAP_MS };

  memcpy (config.secret, secret, sizeof secret);
  receiver = receiver_new (secondary, &config, NULL);
  assert_non_null (receiver);
}

static int
setup (void **state)
{
  const struct sync_config mode = { .store = store_nothing };

  (void) state;
  strcpy (dir + sizeof dir - 7, "XXXXXX");
  assert_non_null (mkdtemp (dir));
  uuid_generate (&pair);
  random_bytes (secret, sizeof secret);
  primary = make_volume ("a", VOLUME_ROLE_PRIMARY);
  secondary = make_volume ("b", VOLUME_ROLE_SECONDARY);
  sync_mode = sync_new (&mode, NULL);
  assert_non_null (sync_mode);
  new_receiver ();
  return 0;
}

static int
teardown (void **state)
{
  char path[128];

  (void) state;
  receiver_free (receiver);
  sync_free (sync_mode);
  volume_close (primary, NULL);
  volume_close (secondary, NULL);
  for (const char *name = "ab"; *name; name++) {
    snprintf (path, sizeof path, "%s/%c", dir, *name);
    assert_int_equal (volume_destroy (NULL, path, NULL), 0);
  }
  return rmdir (dir);
}

static uint64_t
digest_of (struct volume *v)
{
  uint64_t digest;

  assert_int_equal (volume_digest (v, &digest, NULL), 0);
  return digest;
}

static struct volume_point
committed (void)
{
  struct volume_status status;

  volume_get_status (secondary, &status);
  return status.committed;
}

static bool
is_staged (void)
{
  struct volume_status status;

  volume_get_status (secondary, &status);
  return status.stage.is_active;
}

static void
guest_writes (unsigned count)
{
  uint8_t block[VOLUME_BLOCK_SIZE];

  for (unsigned i = 0; i < count; i++) {
    random_bytes (block, sizeof block);
    assert_int_equal (volume_write (primary, block, sizeof block,
                                    random_u64 () % (DISK_SIZE / 4096) * 4096,
                                    0), 0);
    assert_int_equal (volume_flush (primary), 0);
  }
}

/* ------------------------------------------------------------------ */
/* A client's steps.                                                    */

static int
write_page (struct client *c, uint64_t offset, const void *page)
{
  return receiver_conn_write (c->conn, page, WIRE_PAGE_SIZE, offset, false,
                              NULL);
}

static enum wire_result_code
result_of (struct client *c)
{
  uint8_t page[WIRE_PAGE_SIZE];
  struct wire_result result;

  assert_int_equal (receiver_conn_read (c->conn, page, sizeof page,
                                        WIRE_RESULT_OFFSET, NULL), 0);
  assert_int_equal (wire_result_decode (page, &result, NULL), 0);
  return result.code;
}

static void
client_open (struct client *c)
{
  uint8_t page[WIRE_PAGE_SIZE];
  struct wire_hello hello;

  memset (c, 0, sizeof *c);
  c->conn = receiver_conn_open (receiver, NULL);
  assert_non_null (c->conn);
  assert_int_equal (receiver_conn_read (c->conn, page, sizeof page,
                                        WIRE_HELLO_OFFSET, NULL), 0);
  assert_int_equal (wire_hello_decode (page, &hello, NULL), 0);
  assert_true (uuid_equal (&hello.pair, &pair));
  memcpy (c->keys.server_nonce, hello.nonce, sizeof hello.nonce);
  memcpy (c->keys.secret, secret, sizeof secret);
  c->keys.pair = pair;
}

static int
client_auth (struct client *c)
{
  struct wire_auth auth = { .version = WIRE_VERSION };
  uint8_t page[WIRE_PAGE_SIZE];

  random_bytes (auth.nonce, sizeof auth.nonce);
  memcpy (c->keys.client_nonce, auth.nonce, sizeof auth.nonce);
  wire_auth_encode (&auth, &c->keys, page);
  return write_page (c, WIRE_AUTH_OFFSET, page);
}

static int
client_status (struct client *c, struct wire_status *ret)
{
  uint8_t page[WIRE_PAGE_SIZE];

  if (receiver_conn_read (c->conn, page, sizeof page, WIRE_STATUS_OFFSET,
                          NULL) == -1)
    return -1;
  return wire_status_decode (page, &c->keys, ret, NULL);
}

static struct wire_session
session_page (enum wire_session_kind kind)
{
  struct volume_status status;
  struct wire_session session = {
    .id = random_u64 () | 1, .kind = kind, .fence = 5, .size = DISK_SIZE,
    .salt = volume_content_salt (primary), .next_seq = committed ().seq + 1,
    .stage_id = kind == WIRE_SESSION_STAGE ? 77 : 0,
  };

  volume_get_status (primary, &status);
  volume_lineage (primary, &session.lineage);
  session.volume = status.uuid;
  session.appended = status.appended;
  session.generations = status.generations;
  return session;
}

static int
client_session (struct client *c, const struct wire_session *session)
{
  uint8_t page[WIRE_PAGE_SIZE];

  wire_session_encode (session, &c->keys, page);
  if (write_page (c, WIRE_SESSION_OFFSET, page) == -1)
    return -1;
  c->session = session->id;
  c->offset = 0;
  return 0;
}

/* Everything up to an open session of this kind. */
static void
client_ready (struct client *c, enum wire_session_kind kind)
{
  struct wire_session session = session_page (kind);

  client_open (c);
  assert_int_equal (client_auth (c), 0);
  assert_int_equal (client_session (c, &session), 0);
}

struct sealed {
  uint8_t *buf;
  uint32_t length;
  uint64_t offset;
};

/* The next frame of the stream. */
static struct sealed
client_frame (struct client *c, enum frame_type type, const void *payload,
              uint32_t len)
{
  struct sealed s = { malloc (FRAME_HEADER_SIZE + len),
                      FRAME_HEADER_SIZE + len, c->offset };
  struct frame frame = { .type = type, .length = len, .session = c->session,
                         .offset = c->offset };
  struct volume_status status;

  assert_non_null (s.buf);
  volume_get_status (primary, &status);
  frame.appended = status.appended;
  frame.durable_seq = status.durable.seq;
  if (len > 0)
    memcpy (s.buf + FRAME_HEADER_SIZE, payload, len);
  frame_seal (&frame, s.buf);
  c->offset += s.length;
  return s;
}

static int
client_write (struct client *c, const struct sealed *s)
{
  return receiver_conn_write (c->conn, s->buf, s->length,
                              WIRE_STREAM_OFFSET + s->offset, true, NULL);
}

static int
client_send (struct client *c, enum frame_type type, const void *payload,
             uint32_t len)
{
  struct sealed s = client_frame (c, type, payload, len);
  int r = client_write (c, &s);
  int saved = errno;

  free (s.buf);
  errno = saved;
  return r;
}

static int
client_commit (struct client *c)
{
  uint8_t payload[FRAME_SMALL_MAX];
  struct frame_commit commit;
  struct volume_status status;

  volume_get_status (primary, &status);
  commit.point = status.committed;
  commit.generations = status.generations;
  return client_send (c, FRAME_STAGE_COMMIT, payload,
                      frame_commit_encode (&commit, payload));
}

/* Records after SEQ, each in a frame of its own. */
static unsigned
record_frames (struct client *c, uint64_t seq, struct sealed *ret)
{
  struct volume_status status;
  struct volume_point last = { .seq = seq };
  uint8_t *buf = malloc (FRAME_PAYLOAD_MAX);
  unsigned n = 0, records;

  volume_get_status (primary, &status);
  assert_non_null (buf);
  while (last.seq < status.durable.seq && n < FRAMES_MAX) {
    struct volume_cursor *cursor = volume_cursor_open (primary, last.seq + 1,
                                                       NULL);
    ssize_t len;
    uint32_t first;

    assert_non_null (cursor);
    len = volume_cursor_read (cursor, buf, FRAME_PAYLOAD_MAX, &last, &records,
                              NULL);
    assert_true (len > 0);
    volume_cursor_close (cursor);
    /* Only the first: its length is in its header, at byte 4. */
    memcpy (&first, buf + 4, sizeof first);
    last.seq = seq + n + 1;
    ret[n++] = client_frame (c, FRAME_RECORDS, buf, 64 + first);
  }
  free (buf);
  return n;
}

/* The secondary gets all there is, through a stage. */
static void
first_copy (struct client *c)
{
  struct sealed s[FRAMES_MAX];
  unsigned n;

  client_ready (c, WIRE_SESSION_STAGE);
  n = record_frames (c, 0, s);
  for (unsigned i = 0; i < n; i++) {
    assert_int_equal (client_write (c, &s[i]), 0);
    free (s[i].buf);
  }
  assert_int_equal (client_commit (c), 0);
  assert_int_equal (digest_of (primary), digest_of (secondary));
}

/* ------------------------------------------------------------------ */

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

struct writer {
  pthread_t thread;
  struct client *client;
  struct sealed *sealed;
  int result;
};

static void *
writer_thread (void *opaque)
{
  struct writer *w = opaque;

  w->result = client_write (w->client, w->sealed);
  return NULL;
}

static void
start_writer (struct writer *w, struct client *c, struct sealed *s)
{
  *w = (struct writer) { .client = c, .sealed = s };
  assert_int_equal (pthread_create (&w->thread, NULL, writer_thread, w), 0);
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

/* Two records ready to be sent after a first copy of one. */
static void
two_frames (struct client *c, struct sealed s[2])
{
  struct sealed all[FRAMES_MAX];

  guest_writes (1);
  first_copy (c);
  receiver_conn_close (c->conn);
  guest_writes (2);
  client_ready (c, WIRE_SESSION_STREAM);
  assert_int_equal (record_frames (c, 1, all), 2);
  s[0] = all[0];
  s[1] = all[1];
}

static void
free_frames (struct sealed s[2])
{
  free (s[0].buf);
  free (s[1].buf);
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
  while ((len = volume_delta_read (primary, session.stage_since, NULL, &block, buf,
                                   FRAME_PAYLOAD_MAX, NULL)) > 0)
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

/* ------------------------------------------------------------------ */
/* Peers who have the secret and mean harm.                             */

/* Another connection that proves itself and carries frames of C's session. */
static void
client_join (struct client *other, const struct client *c)
{
  client_open (other);
  assert_int_equal (client_auth (other), 0);
  other->session = c->session;
  other->offset = c->offset;
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
#define T(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
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

/* A receiver and a client of it (see receiver-client.h). */

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

#include "receiver-client.h"
#include "record.h"

#define GAP_MS 150

static char dir[] = "/tmp/pairdisk-receiver-XXXXXX";
struct volume *primary, *secondary;
struct receiver *receiver;
static struct sync *sync_mode;
static struct uuid pair;
static uint8_t secret[REPLICA_SECRET_SIZE];

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

void
new_receiver (void)
{
  struct receiver_config config = { .pair = pair, .accept = true,
                                    .sync = sync_mode,
                                    .gap_ms = GAP_MS };

  memcpy (config.secret, secret, sizeof secret);
  receiver = receiver_new (secondary, &config, NULL);
  assert_non_null (receiver);
}

int
receiver_setup (void **state)
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

int
receiver_teardown (void **state)
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

uint64_t
digest_of (struct volume *v)
{
  uint64_t digest;

  assert_int_equal (volume_digest (v, &digest, NULL), 0);
  return digest;
}

struct volume_point
committed (void)
{
  struct volume_status status;

  volume_get_status (secondary, &status);
  return status.committed;
}

bool
is_staged (void)
{
  struct volume_status status;

  volume_get_status (secondary, &status);
  return status.stage.is_active;
}

void
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

int
write_page (struct client *c, uint64_t offset, const void *page)
{
  return receiver_conn_write (c->conn, page, WIRE_PAGE_SIZE, offset, false,
                              NULL);
}

enum wire_result_code
result_of (struct client *c)
{
  uint8_t page[WIRE_PAGE_SIZE];
  struct wire_result result;

  assert_int_equal (receiver_conn_read (c->conn, page, sizeof page,
                                        WIRE_RESULT_OFFSET, NULL), 0);
  assert_int_equal (wire_result_decode (page, &result, NULL), 0);
  return result.code;
}

void
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

int
client_auth (struct client *c)
{
  struct wire_auth auth = { .version = WIRE_VERSION };
  uint8_t page[WIRE_PAGE_SIZE];

  random_bytes (auth.nonce, sizeof auth.nonce);
  memcpy (c->keys.client_nonce, auth.nonce, sizeof auth.nonce);
  wire_auth_encode (&auth, &c->keys, page);
  return write_page (c, WIRE_AUTH_OFFSET, page);
}

int
client_status (struct client *c, struct wire_status *ret)
{
  uint8_t page[WIRE_PAGE_SIZE];

  if (receiver_conn_read (c->conn, page, sizeof page, WIRE_STATUS_OFFSET,
                          NULL) == -1)
    return -1;
  return wire_status_decode (page, &c->keys, ret, NULL);
}

struct wire_session
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

int
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
void
client_ready (struct client *c, enum wire_session_kind kind)
{
  struct wire_session session = session_page (kind);

  client_open (c);
  assert_int_equal (client_auth (c), 0);
  assert_int_equal (client_session (c, &session), 0);
}

/* The next frame of the stream. */
struct sealed
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

int
client_write (struct client *c, const struct sealed *s)
{
  return receiver_conn_write (c->conn, s->buf, s->length,
                              WIRE_STREAM_OFFSET + s->offset, true, NULL);
}

int
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

int
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
unsigned
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
void
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

static void *
writer_thread (void *opaque)
{
  struct writer *w = opaque;

  w->result = client_write (w->client, w->sealed);
  return NULL;
}

void
start_writer (struct writer *w, struct client *c, struct sealed *s)
{
  *w = (struct writer) { .client = c, .sealed = s };
  assert_int_equal (pthread_create (&w->thread, NULL, writer_thread, w), 0);
}

/* Two records ready to be sent after a first copy of one. */
void
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

void
free_frames (struct sealed s[2])
{
  free (s[0].buf);
  free (s[1].buf);
}

/* Another connection that proves itself and carries frames of C's session. */
void
client_join (struct client *other, const struct client *c)
{
  client_open (other);
  assert_int_equal (client_auth (other), 0);
  other->session = c->session;
  other->offset = c->offset;
}

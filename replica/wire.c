/* Pages and frames of the link: layout to bytes and back (see wire.h).
 *
 * Fields are written and read one after the other through a struct packer;
 * the order of the calls is the layout.  Encoder and decoder of one page
 * stand next to each other for that reason.
 */

#include <config.h>

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "hash.h"
#include "wire.h"

#define PAGE_MAGIC UINT32_C (0x4b4c4450)    /* "PDLK" */
#define FRAME_MAGIC UINT32_C (0x52464450)   /* "PDFR" */
#define MAC_OFFSET 4056u
#define HASH_OFFSET 4088u
#define FRAME_HASH_OFFSET 72u

enum page_type {
  PAGE_HELLO = 1, PAGE_AUTH, PAGE_STATUS, PAGE_SESSION, PAGE_RESULT, PAGE_CHANGED,
};

struct packer {
  uint8_t *p;             /* next byte */
  const uint8_t *end;
  bool is_bad;            /* a field was out of its bounds */
};

static void
put_bytes (struct packer *k, const void *data, size_t len)
{
  assert (len <= (size_t) (k->end - k->p));
  memcpy (k->p, data, len);
  k->p += len;
}

static void
put_u16 (struct packer *k, uint16_t v)
{
  v = htole16 (v);
  put_bytes (k, &v, sizeof v);
}

static void
put_u32 (struct packer *k, uint32_t v)
{
  v = htole32 (v);
  put_bytes (k, &v, sizeof v);
}

static void
put_u64 (struct packer *k, uint64_t v)
{
  v = htole64 (v);
  put_bytes (k, &v, sizeof v);
}

static void
get_bytes (struct packer *k, void *data, size_t len)
{
  if (len > (size_t) (k->end - k->p)) {
    k->is_bad = true;
    memset (data, 0, len);
    return;
  }
  memcpy (data, k->p, len);
  k->p += len;
}

static uint16_t
get_u16 (struct packer *k)
{
  uint16_t v;

  get_bytes (k, &v, sizeof v);
  return le16toh (v);
}

static uint32_t
get_u32 (struct packer *k)
{
  uint32_t v;

  get_bytes (k, &v, sizeof v);
  return le32toh (v);
}

static uint64_t
get_u64 (struct packer *k)
{
  uint64_t v;

  get_bytes (k, &v, sizeof v);
  return le64toh (v);
}

/* A number from MIN to MAX. */
static uint32_t
get_bounded (struct packer *k, uint32_t min, uint32_t max)
{
  uint32_t v = get_u32 (k);

  if (v < min || v > max) {
    k->is_bad = true;
    return min;
  }
  return v;
}

static void
put_uuid (struct packer *k, const struct uuid *uuid)
{
  put_bytes (k, uuid->byte, sizeof uuid->byte);
}

static void
get_uuid (struct packer *k, struct uuid *ret)
{
  get_bytes (k, ret->byte, sizeof ret->byte);
}

static void
put_point (struct packer *k, const struct volume_point *point)
{
  put_u64 (k, point->generation);
  put_u64 (k, point->seq);
  put_u64 (k, point->time_ns);
  put_u64 (k, point->bytes);
}

static void
get_point (struct packer *k, struct volume_point *ret)
{
  ret->generation = get_u64 (k);
  ret->seq = get_u64 (k);
  ret->time_ns = get_u64 (k);
  ret->bytes = get_u64 (k);
}

static void
put_generations (struct packer *k, const struct volume_generations *table)
{
  put_u32 (k, table->count);
  for (uint32_t i = 0; i < table->count; i++) {
    put_u64 (k, table->table[i].id);
    put_u64 (k, table->table[i].first_seq);
    put_uuid (k, &table->table[i].writer);
  }
}

static void
get_generations (struct packer *k, struct volume_generations *ret)
{
  memset (ret, 0, sizeof *ret);
  ret->count = get_bounded (k, 0, VOLUME_GENERATIONS_MAX);
  for (uint32_t i = 0; i < ret->count; i++) {
    ret->table[i].id = get_u64 (k);
    ret->table[i].first_seq = get_u64 (k);
    get_uuid (k, &ret->table[i].writer);
    if (ret->table[i].id == 0 || ret->table[i].first_seq == 0 ||
        (i > 0 && ret->table[i].first_seq < ret->table[i - 1].first_seq))
      k->is_bad = true;
  }
}

/* ------------------------------------------------------------------ */
/* What all pages have.                                                 */

static struct packer
page_start (void *page, enum page_type type)
{
  struct packer k = { page, (uint8_t *) page + MAC_OFFSET, false };

  memset (page, 0, WIRE_PAGE_SIZE);
  put_u32 (&k, PAGE_MAGIC);
  put_u16 (&k, WIRE_VERSION);
  put_u16 (&k, type);
  return k;
}

static void
page_mac (const void *page, const struct wire_keys *keys,
          uint8_t ret[HMAC_SIZE])
{
  uint8_t data[2 * WIRE_NONCE_SIZE + 16 + MAC_OFFSET];
  struct packer k = { data, data + sizeof data, false };

  /* The page's type stands in the page: a page never passes for another. */
  put_bytes (&k, keys->server_nonce, WIRE_NONCE_SIZE);
  put_bytes (&k, keys->client_nonce, WIRE_NONCE_SIZE);
  put_uuid (&k, &keys->pair);
  put_bytes (&k, page, MAC_OFFSET);
  hmac_sha256 (keys->secret, sizeof keys->secret, data, sizeof data, ret);
}

static void
page_seal (void *page, const struct wire_keys *keys)
{
  uint64_t hash;

  if (keys != NULL)
    page_mac (page, keys, (uint8_t *) page + MAC_OFFSET);
  hash = htole64 (XXH3_64bits (page, HASH_OFFSET));
  memcpy ((uint8_t *) page + HASH_OFFSET, &hash, sizeof hash);
}

static int
page_open (const void *page, enum page_type type, struct packer *ret,
           struct error *err)
{
  struct packer k = { (uint8_t *) page, (uint8_t *) page + MAC_OFFSET, false };
  uint64_t hash;

  if (get_u32 (&k) != PAGE_MAGIC)
    return error_set (err, EBADMSG, "a page does not begin with its magic");
  memcpy (&hash, (const uint8_t *) page + HASH_OFFSET, sizeof hash);
  if (le64toh (hash) != XXH3_64bits (page, HASH_OFFSET))
    return error_set (err, EBADMSG, "the hash of a page is wrong");
  /* HELLO tells the versions: it must be readable for later ones too. */
  if (get_u16 (&k) != WIRE_VERSION && type != PAGE_HELLO)
    return error_set (err, EBADMSG, "a page is of another protocol version");
  if (get_u16 (&k) != type)
    return error_set (err, EBADMSG, "a page is of another type");
  *ret = k;
  return 0;
}

static int
page_check_mac (const void *page, const struct wire_keys *keys,
                struct error *err)
{
  uint8_t mac[HMAC_SIZE];

  if (keys == NULL)
    return 0;
  page_mac (page, keys, mac);
  if (!secret_equal (mac, (const uint8_t *) page + MAC_OFFSET, HMAC_SIZE))
    return error_set (err, EACCES, "the two sides' secrets differ");
  return 0;
}

static int
page_done (const struct packer *k, const char *what, struct error *err)
{
  if (k->is_bad)
    return error_set (err, EBADMSG, "a field of the %s page is out of bounds",
                      what);
  return 0;
}

/* ------------------------------------------------------------------ */

void
wire_hello_encode (const struct wire_hello *hello, void *page)
{
  struct packer k = page_start (page, PAGE_HELLO);

  put_u16 (&k, hello->version_min);
  put_u16 (&k, hello->version_max);
  put_u32 (&k, 0);
  put_bytes (&k, hello->nonce, WIRE_NONCE_SIZE);
  put_uuid (&k, &hello->pair);
  page_seal (page, NULL);
}

int
wire_hello_decode (const void *page, struct wire_hello *ret,
                   struct error *err)
{
  struct packer k;

  if (page_open (page, PAGE_HELLO, &k, err) == -1)
    return -1;
  ret->version_min = get_u16 (&k);
  ret->version_max = get_u16 (&k);
  get_u32 (&k);
  get_bytes (&k, ret->nonce, WIRE_NONCE_SIZE);
  get_uuid (&k, &ret->pair);
  return page_done (&k, "HELLO", err);
}

void
wire_auth_encode (const struct wire_auth *auth, const struct wire_keys *keys,
                  void *page)
{
  struct packer k = page_start (page, PAGE_AUTH);

  put_u16 (&k, auth->version);
  put_u16 (&k, 0);
  put_u32 (&k, 0);
  put_bytes (&k, auth->nonce, WIRE_NONCE_SIZE);
  page_seal (page, keys);
}

int
wire_auth_decode (const void *page, struct wire_keys *keys,
                  struct wire_auth *ret, struct error *err)
{
  struct packer k;

  if (page_open (page, PAGE_AUTH, &k, err) == -1)
    return -1;
  ret->version = get_u16 (&k);
  get_u16 (&k);
  get_u32 (&k);
  get_bytes (&k, ret->nonce, WIRE_NONCE_SIZE);
  if (keys != NULL)
    memcpy (keys->client_nonce, ret->nonce, WIRE_NONCE_SIZE);
  if (page_check_mac (page, keys, err) == -1)
    return -1;
  return page_done (&k, "AUTH", err);
}

void
wire_status_encode (const struct wire_status *status,
                    const struct wire_keys *keys, void *page)
{
  struct packer k = page_start (page, PAGE_STATUS);

  put_u32 (&k, status->role);
  put_u32 (&k, status->accept);
  put_u32 (&k, status->is_fenced);
  put_u32 (&k, status->is_given_up);
  put_u32 (&k, status->stage_is_active);
  put_u64 (&k, status->fence);
  put_u64 (&k, status->size);
  put_uuid (&k, &status->volume);
  put_uuid (&k, &status->lineage);
  put_point (&k, &status->committed);
  put_u64 (&k, status->next_seq);
  put_u64 (&k, status->confirmed_seq);
  put_u64 (&k, status->stage_id);
  put_u64 (&k, status->stage_since);
  put_u64 (&k, status->stage_start);
  put_u64 (&k, status->stage_cursor);
  put_u64 (&k, status->stage_last);
  put_u64 (&k, status->keeps_seq);
  put_generations (&k, &status->generations);
  page_seal (page, keys);
}

int
wire_status_decode (const void *page, const struct wire_keys *keys,
                    struct wire_status *ret, struct error *err)
{
  struct packer k;

  if (page_open (page, PAGE_STATUS, &k, err) == -1 ||
      page_check_mac (page, keys, err) == -1)
    return -1;
  ret->role = get_bounded (&k, 1, VOLUME_ROLE_MAX);
  ret->accept = get_bounded (&k, 0, 1);
  ret->is_fenced = get_bounded (&k, 0, 1);
  ret->is_given_up = get_bounded (&k, 0, 1);
  ret->stage_is_active = get_bounded (&k, 0, 1);
  ret->fence = get_u64 (&k);
  ret->size = get_u64 (&k);
  get_uuid (&k, &ret->volume);
  get_uuid (&k, &ret->lineage);
  get_point (&k, &ret->committed);
  ret->next_seq = get_u64 (&k);
  ret->confirmed_seq = get_u64 (&k);
  ret->stage_id = get_u64 (&k);
  ret->stage_since = get_u64 (&k);
  ret->stage_start = get_u64 (&k);
  ret->stage_cursor = get_u64 (&k);
  ret->stage_last = get_u64 (&k);
  ret->keeps_seq = get_u64 (&k);
  get_generations (&k, &ret->generations);
  return page_done (&k, "STATUS", err);
}

void
wire_session_encode (const struct wire_session *session,
                     const struct wire_keys *keys, void *page)
{
  struct packer k = page_start (page, PAGE_SESSION);

  put_u64 (&k, session->id);
  put_u32 (&k, session->kind);
  put_u32 (&k, session->promise);
  put_u64 (&k, session->fence);
  put_u64 (&k, session->size);
  put_uuid (&k, &session->volume);
  put_uuid (&k, &session->lineage);
  put_u64 (&k, session->salt);
  put_point (&k, &session->appended);
  put_u64 (&k, session->next_seq);
  put_u64 (&k, session->stage_id);
  put_u64 (&k, session->stage_since);
  put_u64 (&k, session->stage_start);
  put_generations (&k, &session->generations);
  page_seal (page, keys);
}

int
wire_session_decode (const void *page, const struct wire_keys *keys,
                     struct wire_session *ret, struct error *err)
{
  struct packer k;

  if (page_open (page, PAGE_SESSION, &k, err) == -1 ||
      page_check_mac (page, keys, err) == -1)
    return -1;
  ret->id = get_u64 (&k);
  ret->kind = get_bounded (&k, 1, WIRE_SESSION_KIND_MAX);
  ret->promise = get_bounded (&k, 0, REPLICA_PROMISE_MAX);
  ret->fence = get_u64 (&k);
  ret->size = get_u64 (&k);
  get_uuid (&k, &ret->volume);
  get_uuid (&k, &ret->lineage);
  ret->salt = get_u64 (&k);
  get_point (&k, &ret->appended);
  ret->next_seq = get_u64 (&k);
  ret->stage_id = get_u64 (&k);
  ret->stage_since = get_u64 (&k);
  ret->stage_start = get_u64 (&k);
  get_generations (&k, &ret->generations);
  if (ret->id == 0 || ret->next_seq == 0)
    k.is_bad = true;
  return page_done (&k, "SESSION", err);
}

void
wire_result_encode (const struct wire_result *result, void *page)
{
  struct packer k = page_start (page, PAGE_RESULT);

  put_u32 (&k, result->code);
  put_u32 (&k, 0);
  put_bytes (&k, result->message,
             strnlen (result->message, sizeof result->message - 1));
  page_seal (page, NULL);
}

int
wire_result_decode (const void *page, struct wire_result *ret,
                    struct error *err)
{
  struct packer k;

  if (page_open (page, PAGE_RESULT, &k, err) == -1)
    return -1;
  ret->code = get_u32 (&k);
  get_u32 (&k);
  get_bytes (&k, ret->message, sizeof ret->message);
  ret->message[sizeof ret->message - 1] = '\0';
  /* It goes into a log and a status: no control characters of a peer's. */
  for (char *p = ret->message; *p; p++) {
    if ((unsigned char) *p < ' ' || *p == 0x7f)
      *p = '?';
  }
  return page_done (&k, "RESULT", err);
}

void
wire_changed_encode (const struct volume_changed *changed, void *page)
{
  struct packer k = page_start (page, PAGE_CHANGED);

  put_u64 (&k, changed->from);
  put_u64 (&k, changed->first);
  put_u64 (&k, changed->end);
  put_bytes (&k, changed->bits, sizeof changed->bits);
  page_seal (page, NULL);
}

int
wire_changed_decode (const void *page, struct volume_changed *ret,
                     struct error *err)
{
  struct packer k;

  if (page_open (page, PAGE_CHANGED, &k, err) == -1)
    return -1;
  ret->from = get_u64 (&k);
  ret->first = get_u64 (&k);
  ret->end = get_u64 (&k);
  get_bytes (&k, ret->bits, sizeof ret->bits);
  if (ret->first < ret->from || ret->end < ret->first)
    k.is_bad = true;
  return page_done (&k, "CHANGED", err);
}

const char *
wire_result_string (enum wire_result_code code)
{
  switch (code) {
#define X(name, number, errnum, string) \
  case WIRE_RESULT_##name: return string;
    WIRE_RESULTS (X)
#undef X
  }
  return "refused for a reason this version does not know";
}

int
wire_result_errno (enum wire_result_code code)
{
  switch (code) {
#define X(name, number, errnum, string) \
  case WIRE_RESULT_##name: return errnum;
    WIRE_RESULTS (X)
#undef X
  }
  return EINVAL;
}

/* ------------------------------------------------------------------ */
/* Frames.                                                              */

const char *
frame_type_name (enum frame_type type)
{
  switch (type) {
  case FRAME_UNSET: break;
  case FRAME_RECORDS: return "records";
  case FRAME_STAGE_CURSOR: return "stage-cursor";
  case FRAME_STAGE_COMMIT: return "stage-commit";
  case FRAME_GENERATIONS: return "generations";
  case FRAME_HEARTBEAT: return "heartbeat";
  case FRAME_PROMISE: return "promise";
  }
  return "unknown";
}

static uint64_t
frame_hash (const void *buf, uint32_t length)
{
  /* The header's hash seeds the payload's, so one covers both. */
  return XXH3_64bits_withSeed ((const uint8_t *) buf + FRAME_HEADER_SIZE,
                               length, XXH3_64bits (buf, FRAME_HASH_OFFSET));
}

void
frame_seal (const struct frame *frame, void *buf)
{
  struct packer k = { buf, (uint8_t *) buf + FRAME_HEADER_SIZE, false };

  assert (frame->length <= FRAME_PAYLOAD_MAX);
  put_u32 (&k, FRAME_MAGIC);
  put_u16 (&k, frame->type);
  put_u16 (&k, 0);
  put_u64 (&k, frame->session);
  put_u64 (&k, frame->offset);
  put_u32 (&k, frame->length);
  put_u32 (&k, 0);
  put_point (&k, &frame->appended);
  put_u64 (&k, frame->durable_seq);
  put_u64 (&k, frame_hash (buf, frame->length));
}

int
frame_decode (const void *buf, size_t count, struct frame *ret,
              struct error *err)
{
  struct packer k = { (uint8_t *) buf, (uint8_t *) buf + FRAME_HEADER_SIZE,
                      false };
  uint16_t type;

  if (count < FRAME_HEADER_SIZE ||
      count > FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX)
    return error_set (err, EBADMSG, "%zu bytes are no frame", count);
  if (get_u32 (&k) != FRAME_MAGIC)
    return error_set (err, EBADMSG, "a frame does not begin with its magic");
  type = get_u16 (&k);
  get_u16 (&k);
  ret->session = get_u64 (&k);
  ret->offset = get_u64 (&k);
  ret->length = get_u32 (&k);
  get_u32 (&k);
  get_point (&k, &ret->appended);
  ret->durable_seq = get_u64 (&k);
  if (ret->length != count - FRAME_HEADER_SIZE)
    return error_set (err, EBADMSG, "a frame's length is not its write's");
  if (get_u64 (&k) != frame_hash (buf, ret->length))
    return error_set (err, EBADMSG, "the hash of a frame is wrong");
  if (type == FRAME_UNSET || type > FRAME_TYPE_MAX)
    return error_set (err, EBADMSG, "a frame is of unknown type %u", type);
  ret->type = type;
  return 0;
}

/* Every payload but records is decoded as a whole: no byte is left over. */
static int
payload_done (const struct packer *k, const char *what, struct error *err)
{
  if (k->is_bad || k->p != k->end)
    return error_set (err, EBADMSG, "a %s frame is malformed", what);
  return 0;
}

uint32_t
frame_cursor_encode (const struct frame_cursor *cursor, void *buf)
{
  struct packer k = { buf, (uint8_t *) buf + FRAME_SMALL_MAX, false };

  put_u64 (&k, cursor->block);
  put_u64 (&k, cursor->blocks);
  return k.p - (uint8_t *) buf;
}

int
frame_cursor_decode (const void *buf, size_t len, struct frame_cursor *ret,
                     struct error *err)
{
  struct packer k = { (uint8_t *) buf, (uint8_t *) buf + len, false };

  ret->block = get_u64 (&k);
  ret->blocks = get_u64 (&k);
  return payload_done (&k, "stage-cursor", err);
}

uint32_t
frame_commit_encode (const struct frame_commit *commit, void *buf)
{
  struct packer k = { buf, (uint8_t *) buf + FRAME_SMALL_MAX, false };

  put_point (&k, &commit->point);
  put_generations (&k, &commit->generations);
  return k.p - (uint8_t *) buf;
}

int
frame_commit_decode (const void *buf, size_t len, struct frame_commit *ret,
                     struct error *err)
{
  struct packer k = { (uint8_t *) buf, (uint8_t *) buf + len, false };

  get_point (&k, &ret->point);
  get_generations (&k, &ret->generations);
  return payload_done (&k, "stage-commit", err);
}

uint32_t
frame_generations_encode (const struct volume_generations *table, void *buf)
{
  struct packer k = { buf, (uint8_t *) buf + FRAME_SMALL_MAX, false };

  put_generations (&k, table);
  return k.p - (uint8_t *) buf;
}

int
frame_generations_decode (const void *buf, size_t len,
                          struct volume_generations *ret, struct error *err)
{
  struct packer k = { (uint8_t *) buf, (uint8_t *) buf + len, false };

  get_generations (&k, ret);
  return payload_done (&k, "generations", err);
}

uint32_t
frame_promise_encode (const struct frame_promise *promise, void *buf)
{
  struct packer k = { buf, (uint8_t *) buf + FRAME_SMALL_MAX, false };

  put_u32 (&k, promise->promise);
  put_u32 (&k, promise->lease_ms);
  return k.p - (uint8_t *) buf;
}

int
frame_promise_decode (const void *buf, size_t len, struct frame_promise *ret,
                      struct error *err)
{
  struct packer k = { (uint8_t *) buf, (uint8_t *) buf + len, false };

  ret->promise = get_bounded (&k, 0, REPLICA_PROMISE_MAX);
  ret->lease_ms = get_bounded (&k, 0,
                               ret->promise == REPLICA_PROMISE_SUSPEND ?
                               SYNC_PROOF_MS_MAX : 0);
  return payload_done (&k, "promise", err);
}

const char *
replica_promise_name (enum replica_promise promise)
{
  switch (promise) {
  case REPLICA_PROMISE_NONE: return "none";
  case REPLICA_PROMISE_DEGRADE: return "degrade";
  case REPLICA_PROMISE_SUSPEND: return "suspend";
  }
  return "unknown";
}

/* Fuzzer of what a peer sends: pages, frames and their payloads. */

#include <config.h>

#include <xxhash.h>

#include "fuzz.h"
#include "wire-proof.h"
#include "wire.h"

#define PAGE_HASH_OFFSET 4088u
#define FRAME_HASH_OFFSET 72u
#define PROOF_HASH_OFFSET (WIRE_PROOF_SIZE - 8)

/* For wire_dump; the real one would bring the whole volume with it. */
const char *
volume_role_name (enum volume_role role)
{
  FUZZ_CHECK (role <= VOLUME_ROLE_MAX);
  return "a role";
}

/* What whoever gets a decoded table may rely on. */
static void
check_table (const struct volume_generations *table)
{
  FUZZ_CHECK (table->count <= VOLUME_GENERATIONS_MAX);
  for (uint32_t i = 0; i < table->count; i++)
    FUZZ_CHECK (table->table[i].id != 0 && table->table[i].first_seq != 0 &&
                (i == 0 || table->table[i].first_seq >=
                 table->table[i - 1].first_seq));
}

static void
look_at_page (const uint8_t *page)
{
  struct wire_keys keys;
  struct wire_hello hello;
  struct wire_auth auth;
  struct wire_status status;
  struct wire_session session;
  struct wire_result result;
  struct volume_changed changed;

  memset (&keys, 0x5a, sizeof keys);
  wire_hello_decode (page, &hello, NULL);
  FUZZ_CHECK (wire_auth_decode (page, &keys, &auth, NULL) == -1);
  wire_auth_decode (page, NULL, &auth, NULL);
  FUZZ_CHECK (wire_status_decode (page, &keys, &status, NULL) == -1);
  if (wire_status_decode (page, NULL, &status, NULL) == 0)
    FUZZ_CHECK (status.role <= VOLUME_ROLE_MAX &&
                status.generations.count <= VOLUME_GENERATIONS_MAX);
  FUZZ_CHECK (wire_session_decode (page, &keys, &session, NULL) == -1);
  if (wire_session_decode (page, NULL, &session, NULL) == 0) {
    FUZZ_CHECK (session.kind <= WIRE_SESSION_KIND_MAX);
    check_table (&session.generations);
  }
  if (wire_result_decode (page, &result, NULL) == 0)
    FUZZ_CHECK (memchr (result.message, 0, sizeof result.message));
  if (wire_changed_decode (page, &changed, NULL) == 0)
    FUZZ_CHECK (changed.from <= changed.first &&
                changed.first <= changed.end);
}

static void
look_at_payload (const uint8_t *p, size_t len)
{
  struct volume_generations table;
  struct frame_cursor cursor;
  struct frame_commit commit;
  struct frame_promise promise;

  frame_cursor_decode (p, len, &cursor, NULL);
  if (frame_commit_decode (p, len, &commit, NULL) == 0)
    check_table (&commit.generations);
  if (frame_generations_decode (p, len, &table, NULL) == 0)
    check_table (&table);
  if (frame_promise_decode (p, len, &promise, NULL) == 0)
    FUZZ_CHECK (promise.promise <= REPLICA_PROMISE_MAX &&
                promise.lease_ms <= SYNC_PROOF_MS_MAX);
}

static void
look_at_frame (const uint8_t *p, size_t size)
{
  struct frame frame;
  uint8_t *payload;

  if (frame_decode (p, size, &frame, NULL) == -1)
    return;
  FUZZ_CHECK (frame.length <= FRAME_PAYLOAD_MAX &&
              frame.length == size - FRAME_HEADER_SIZE);
  payload = fuzz_copy (p + FRAME_HEADER_SIZE, frame.length, 0);
  look_at_payload (payload, frame.length);
  free (payload);
}

static void
look_at_proof (const uint8_t *page)
{
  static struct wire_wanted wanted;
  static struct wire_unit unit;
  static struct wire_sums sums;
  struct wire_keys keys;

  memset (&keys, 0x5a, sizeof keys);
  FUZZ_CHECK (wire_wanted_decode (page, &keys, &wanted, NULL) == -1);
  FUZZ_CHECK (wire_unit_decode (page, &keys, &unit, NULL) == -1);
  FUZZ_CHECK (wire_sums_decode (page, &keys, &sums, NULL) == -1);
  if (wire_wanted_decode (page, NULL, &wanted, NULL) == 0)
    FUZZ_CHECK (wanted.count <= VOLUME_WANTS_MAX);
  if (wire_unit_decode (page, NULL, &unit, NULL) == 0)
    FUZZ_CHECK (unit.length <= VOLUME_UNIT_MAX);
  if (wire_sums_decode (page, NULL, &sums, NULL) == 0)
    FUZZ_CHECK (sums.count <= VOLUME_SUMS_MAX);
}

static void
look (const uint8_t *p, size_t size, FILE *null)
{
  if (size == WIRE_PAGE_SIZE)
    look_at_page (p);
  if (size == WIRE_PROOF_SIZE)
    look_at_proof (p);
  look_at_frame (p, size);
  look_at_payload (p, size);
  wire_dump (p, size, null, NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static FILE *null;
  uint64_t hash;
  uint8_t *p;

  if (null == NULL)
    null = fopen ("/dev/null", "w");
  FUZZ_CHECK (null != NULL);
  p = fuzz_copy (data, size, 0);
  look (p, size, null);
  if (size == WIRE_PAGE_SIZE) {
    hash = htole64 (XXH3_64bits (p, PAGE_HASH_OFFSET));
    memcpy (p + PAGE_HASH_OFFSET, &hash, sizeof hash);
    look (p, size, null);
  }
  else if (size == WIRE_PROOF_SIZE) {
    hash = htole64 (XXH3_64bits (p, PROOF_HASH_OFFSET));
    memcpy (p + PROOF_HASH_OFFSET, &hash, sizeof hash);
    look (p, size, null);
  }
  else if (size >= FRAME_HEADER_SIZE) {
    hash = htole64 (XXH3_64bits_withSeed
                    (p + FRAME_HEADER_SIZE, size - FRAME_HEADER_SIZE,
                     XXH3_64bits (p, FRAME_HASH_OFFSET)));
    memcpy (p + FRAME_HASH_OFFSET, &hash, sizeof hash);
    look (p, size, null);
  }
  free (p);
  return 0;
}

/* Pages for repair and verification: layout to bytes and back (see
 * wire-proof.h).  The order of the calls is the layout.
 */

#include <config.h>

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "hash.h"
#include "wire-proof.h"

#define PROOF_MAGIC UINT32_C (0x4b4c4450)   /* "PDLK", as all pages */
#define MAC_OFFSET (WIRE_PROOF_SIZE - 40)
#define HASH_OFFSET (WIRE_PROOF_SIZE - 8)

enum proof_type { PROOF_WANTED = 16, PROOF_UNIT, PROOF_SUMS };

static_assert (8 + 8 + VOLUME_WANTS_MAX * 24 <= MAC_OFFSET, "room");
static_assert (8 + 32 + VOLUME_UNIT_MAX <= MAC_OFFSET, "room");
static_assert (8 + 48 + VOLUME_SUMS_MAX * 16 <= MAC_OFFSET, "room");

/* A seq has 48 bits; above it: */
#define SUM_BAD (UINT64_C (1) << 63)
#define SUM_SEQ ((UINT64_C (1) << 48) - 1)

static void
put32 (uint8_t **p, uint32_t v)
{
  v = htole32 (v);
  memcpy (*p, &v, sizeof v);
  *p += sizeof v;
}

static void
put64 (uint8_t **p, uint64_t v)
{
  v = htole64 (v);
  memcpy (*p, &v, sizeof v);
  *p += sizeof v;
}

static uint32_t
get32 (const uint8_t **p)
{
  uint32_t v;

  memcpy (&v, *p, sizeof v);
  *p += sizeof v;
  return le32toh (v);
}

static uint64_t
get64 (const uint8_t **p)
{
  uint64_t v;

  memcpy (&v, *p, sizeof v);
  *p += sizeof v;
  return le64toh (v);
}

/* ------------------------------------------------------------------ */

static uint8_t *
begin (void *page, enum proof_type type)
{
  uint8_t *p = page;

  memset (page, 0, WIRE_PROOF_SIZE);
  put32 (&p, PROOF_MAGIC);
  put32 (&p, WIRE_VERSION | (uint32_t) type << 16);
  return p;
}

static void
page_mac (const uint8_t *page, const struct wire_keys *keys,
          uint8_t ret[HMAC_SIZE])
{
  uint8_t data[2 * WIRE_NONCE_SIZE + 16 + MAC_OFFSET], *p = data;

  memcpy (p, keys->server_nonce, WIRE_NONCE_SIZE);
  p += WIRE_NONCE_SIZE;
  memcpy (p, keys->client_nonce, WIRE_NONCE_SIZE);
  p += WIRE_NONCE_SIZE;
  memcpy (p, keys->pair.byte, 16);
  memcpy (p + 16, page, MAC_OFFSET);
  hmac_sha256 (keys->secret, sizeof keys->secret, data, sizeof data, ret);
}

static void
seal (uint8_t *page, const struct wire_keys *keys)
{
  uint64_t hash;

  page_mac (page, keys, page + MAC_OFFSET);
  hash = htole64 (XXH3_64bits (page, HASH_OFFSET));
  memcpy (page + HASH_OFFSET, &hash, sizeof hash);
}

/* The fields, or NULL. */
static const uint8_t *
open_page (const void *page, enum proof_type type,
           const struct wire_keys *keys, struct error *err)
{
  const uint8_t *p = page;
  uint8_t mac[HMAC_SIZE];
  uint64_t hash;

  memcpy (&hash, p + HASH_OFFSET, sizeof hash);
  if (le64toh (hash) != XXH3_64bits (page, HASH_OFFSET)) {
    error_set (err, EBADMSG, "the hash of a page is wrong");
    return NULL;
  }
  if (get32 (&p) != PROOF_MAGIC ||
      get32 (&p) != (WIRE_VERSION | (uint32_t) type << 16)) {
    error_set (err, EBADMSG, "a page is of another type or version");
    return NULL;
  }
  if (keys != NULL) {
    page_mac (page, keys, mac);
    if (!secret_equal (mac, (const uint8_t *) page + MAC_OFFSET,
                       HMAC_SIZE)) {
      error_set (err, EACCES, "the two sides' secrets differ");
      return NULL;
    }
  }
  return p;
}

static int
out_of_bounds (const char *what, struct error *err)
{
  return error_set (err, EBADMSG, "a field of the %s page is out of bounds",
                    what);
}

/* All behind P is zero. */
static bool
rest_is_zero (const void *page, const uint8_t *p)
{
  const uint8_t *end = (const uint8_t *) page + MAC_OFFSET;

  while (p < end && *p == 0)
    p++;
  return p == end;
}

static void
put_want (uint8_t **p, const struct volume_want *want)
{
  put64 (p, want->block);
  put64 (p, want->seq);
  put64 (p, want->generation);
}

/* False: out of bounds. */
static bool
get_want (const uint8_t **p, struct volume_want *ret)
{
  ret->block = get64 (p);
  ret->seq = get64 (p);
  ret->generation = get64 (p);
  return ret->block < VOLUME_SIZE_MAX / VOLUME_BLOCK_SIZE &&
    ret->seq <= SUM_SEQ;
}

/* ------------------------------------------------------------------ */

void
wire_wanted_encode (const struct wire_wanted *wanted,
                    const struct wire_keys *keys, void *page)
{
  uint8_t *p = begin (page, PROOF_WANTED);

  put32 (&p, wanted->count);
  put32 (&p, 0);
  for (uint32_t i = 0; i < wanted->count; i++)
    put_want (&p, &wanted->want[i]);
  seal (page, keys);
}

int
wire_wanted_decode (const void *page, const struct wire_keys *keys,
                    struct wire_wanted *ret, struct error *err)
{
  const uint8_t *p = open_page (page, PROOF_WANTED, keys, err);

  if (p == NULL)
    return -1;
  ret->count = get32 (&p);
  if (ret->count > VOLUME_WANTS_MAX || get32 (&p) != 0)
    return out_of_bounds ("WANTED", err);
  for (uint32_t i = 0; i < ret->count; i++)
    if (!get_want (&p, &ret->want[i]))
      return out_of_bounds ("WANTED", err);
  return rest_is_zero (page, p) ? 0 : out_of_bounds ("WANTED", err);
}

void
wire_unit_encode (const struct wire_unit *unit, const struct wire_keys *keys,
                  void *page)
{
  uint8_t *p = begin (page, PROOF_UNIT);

  put_want (&p, &unit->version);
  put32 (&p, unit->length);
  put32 (&p, 0);
  memcpy (p, unit->unit, unit->length);
  seal (page, keys);
}

int
wire_unit_decode (const void *page, const struct wire_keys *keys,
                  struct wire_unit *ret, struct error *err)
{
  const uint8_t *p = open_page (page, PROOF_UNIT, keys, err);

  if (p == NULL)
    return -1;
  if (!get_want (&p, &ret->version))
    return out_of_bounds ("UNIT", err);
  ret->length = get32 (&p);
  if (ret->length > VOLUME_UNIT_MAX || get32 (&p) != 0)
    return out_of_bounds ("UNIT", err);
  memcpy (ret->unit, p, ret->length);
  return rest_is_zero (page, p + ret->length) ? 0 :
    out_of_bounds ("UNIT", err);
}

void
wire_sums_encode (const struct wire_sums *sums, const struct wire_keys *keys,
                  void *page)
{
  uint8_t *p = begin (page, PROOF_SUMS);

  put64 (&p, sums->from);
  put32 (&p, sums->count);
  put32 (&p, sums->is_usable);
  put64 (&p, sums->committed.generation);
  put64 (&p, sums->committed.seq);
  put64 (&p, sums->committed.time_ns);
  put64 (&p, sums->committed.bytes);
  for (uint32_t i = 0; i < sums->count; i++) {
    put64 (&p, sums->sum[i].seq | (sums->sum[i].is_bad ? SUM_BAD : 0));
    put64 (&p, sums->sum[i].hash);
  }
  seal (page, keys);
}

int
wire_sums_decode (const void *page, const struct wire_keys *keys,
                  struct wire_sums *ret, struct error *err)
{
  const uint8_t *p = open_page (page, PROOF_SUMS, keys, err);
  uint32_t usable;

  if (p == NULL)
    return -1;
  ret->from = get64 (&p);
  ret->count = get32 (&p);
  usable = get32 (&p);
  ret->is_usable = usable;
  ret->committed.generation = get64 (&p);
  ret->committed.seq = get64 (&p);
  ret->committed.time_ns = get64 (&p);
  ret->committed.bytes = get64 (&p);
  if (ret->count > VOLUME_SUMS_MAX || usable > 1 ||
      ret->from > VOLUME_SIZE_MAX / VOLUME_BLOCK_SIZE ||
      ret->committed.seq > SUM_SEQ)
    return out_of_bounds ("SUMS", err);
  for (uint32_t i = 0; i < ret->count; i++) {
    uint64_t seq = get64 (&p);

    ret->sum[i].hash = get64 (&p);
    ret->sum[i].is_bad = (seq & SUM_BAD) != 0;
    ret->sum[i].seq = seq & ~SUM_BAD;
    if (ret->sum[i].seq > SUM_SEQ)
      return out_of_bounds ("SUMS", err);
  }
  return rest_is_zero (page, p) ? 0 : out_of_bounds ("SUMS", err);
}

/* ------------------------------------------------------------------ */

static void
dump_want (FILE *fp, const struct volume_want *want)
{
  fprintf (fp, "block %" PRIu64 " seq %" PRIu64 " generation %016" PRIx64,
           want->block, want->seq, want->generation);
}

bool
wire_proof_dump (const void *page, FILE *fp)
{
  struct wire_wanted wanted;
  struct wire_unit unit;
  struct wire_sums sums;

  if (wire_wanted_decode (page, NULL, &wanted, NULL) == 0) {
    fprintf (fp, "WANTED\n");
    for (uint32_t i = 0; i < wanted.count; i++) {
      fputs ("  ", fp);
      dump_want (fp, &wanted.want[i]);
      fputc ('\n', fp);
    }
    return true;
  }
  if (wire_unit_decode (page, NULL, &unit, NULL) == 0) {
    fprintf (fp, "UNIT\n  ");
    dump_want (fp, &unit.version);
    fprintf (fp, " length %" PRIu32 "\n", unit.length);
    return true;
  }
  if (wire_sums_decode (page, NULL, &sums, NULL) == 0) {
    fprintf (fp, "SUMS\n  from %" PRIu64 " usable %d committed %016" PRIx64
             " seq %" PRIu64 "\n", sums.from, sums.is_usable,
             sums.committed.generation, sums.committed.seq);
    for (uint32_t i = 0; i < sums.count; i++)
      fprintf (fp, "  seq %" PRIu64 " hash %016" PRIx64 "%s\n",
               sums.sum[i].seq, sums.sum[i].hash,
               sums.sum[i].is_bad ? " bad" : "");
    return true;
  }
  return false;
}

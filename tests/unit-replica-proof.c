/* Tests of replica/wire-proof.h and of the judgement of replica/verify.h:
 * golden bytes, flipped bits, bounds, other secrets; every kind of pair of
 * versions.
 *
 * data/replica-proof.txt is the pages as released.  When it changes on
 * purpose, run this with PAIRDISK_GOLDEN=write.
 */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "golden.h"
#include "verify.h"
#include "wire-proof.h"

enum { WANTED, UNIT, SUMS, PAGES };

static struct wire_keys keys;
static uint8_t page[PAGES][WIRE_PROOF_SIZE];
static struct wire_wanted wanted;
static struct wire_unit unit;
static struct wire_sums sums;

static int
make_pages (void **state)
{
  (void) state;
  memset (keys.secret, 0xab, sizeof keys.secret);
  memset (keys.server_nonce, 1, sizeof keys.server_nonce);
  memset (keys.client_nonce, 2, sizeof keys.client_nonce);
  memset (keys.pair.byte, 0x44, sizeof keys.pair.byte);

  wanted.count = 2;
  wanted.want[0] = (struct volume_want) { 7, 1000, 0x1111 };
  wanted.want[1] = (struct volume_want) { 80000, 2000, 0x2222 };
  wire_wanted_encode (&wanted, &keys, page[WANTED]);

  unit.version = wanted.want[0];
  unit.length = VOLUME_UNIT_MAX;
  for (unsigned i = 0; i < unit.length; i++)
    unit.unit[i] = i * 7;
  wire_unit_encode (&unit, &keys, page[UNIT]);

  sums.is_usable = true;
  sums.committed = (struct volume_point) { 0x1111, 3000, 5, 6 };
  sums.from = 4096;
  sums.count = 3;
  sums.sum[0] = (struct volume_sum) { .seq = 0 };
  sums.sum[1] = (struct volume_sum) { .seq = 2999, .hash = 0x5566 };
  sums.sum[2] = (struct volume_sum) { .seq = 17, .is_bad = true };
  wire_sums_encode (&sums, &keys, page[SUMS]);
  return 0;
}

static int
decode (unsigned kind, const void *p, const struct wire_keys *with)
{
  static struct wire_wanted w;
  static struct wire_unit u;
  static struct wire_sums s;

  switch (kind) {
  case WANTED: return wire_wanted_decode (p, with, &w, NULL);
  case UNIT: return wire_unit_decode (p, with, &u, NULL);
  default: return wire_sums_decode (p, with, &s, NULL);
  }
}

static void
hexdump (const uint8_t *p, size_t len, FILE *fp)
{
  static const uint8_t zeros[32];

  for (size_t i = 0; i < len; i += 32) {
    if (memcmp (p + i, zeros, 32) == 0)
      continue;
    fprintf (fp, "%06zx ", i);
    for (size_t j = 0; j < 32; j++)
      fprintf (fp, "%02x", p[i + j]);
    fputc ('\n', fp);
  }
}

static void
test_golden (void **state)
{
  CLEANUP_FREE char *text = NULL;
  size_t size;
  FILE *fp = open_memstream (&text, &size);

  (void) state;
  assert_non_null (fp);
  for (unsigned i = 0; i < PAGES; i++) {
    assert_int_equal (wire_dump (page[i], WIRE_PROOF_SIZE, fp, NULL), 0);
    hexdump (page[i], WIRE_PROOF_SIZE, fp);
  }
  fclose (fp);
  assert_golden ("replica-proof.txt", text);
}

static void
test_what_goes_in_comes_out (void **state)
{
  static struct wire_wanted w;
  static struct wire_unit u;
  static struct wire_sums s;

  (void) state;
  assert_int_equal (wire_wanted_decode (page[WANTED], &keys, &w, NULL), 0);
  assert_memory_equal (&w, &wanted, sizeof w);
  assert_int_equal (wire_unit_decode (page[UNIT], &keys, &u, NULL), 0);
  assert_memory_equal (&u, &unit, sizeof u);
  assert_int_equal (wire_sums_decode (page[SUMS], &keys, &s, NULL), 0);
  assert_int_equal (s.count, 3);
  assert_true (s.is_usable && s.from == 4096 && s.committed.seq == 3000);
  for (unsigned i = 0; i < 3; i++)
    assert_true (s.sum[i].seq == sums.sum[i].seq &&
                 s.sum[i].hash == sums.sum[i].hash &&
                 s.sum[i].is_bad == sums.sum[i].is_bad);
}

static void
test_each_is_only_itself (void **state)
{
  (void) state;
  for (unsigned i = 0; i < PAGES; i++)
    for (unsigned j = 0; j < PAGES; j++)
      assert_int_equal (decode (j, page[i], &keys), i == j ? 0 : -1);
}

/* A bit of each byte. */
static void
test_flipped_bits_are_seen (void **state)
{
  (void) state;
  for (unsigned i = 0; i < PAGES; i++)
    for (unsigned at = 0; at < WIRE_PROOF_SIZE; at++) {
      page[i][at] ^= 1u << at % 8;
      assert_int_equal (decode (i, page[i], NULL), -1);
      page[i][at] ^= 1u << at % 8;
    }
}

/* Sealed by one who has the secret, and out of bounds all the same. */
static void
test_hostile_fields (void **state)
{
  static struct wire_wanted w;
  static struct wire_unit u;
  static struct wire_sums s;
  static uint8_t p[WIRE_PROOF_SIZE];

  (void) state;
  w = wanted;
  w.want[1].block = VOLUME_SIZE_MAX / VOLUME_BLOCK_SIZE;
  wire_wanted_encode (&w, &keys, p);
  assert_int_equal (decode (WANTED, p, &keys), -1);
  w = wanted;
  w.want[0].seq = UINT64_C (1) << 48;
  wire_wanted_encode (&w, &keys, p);
  assert_int_equal (decode (WANTED, p, &keys), -1);
  u = unit;
  u.version.block = UINT64_MAX;
  wire_unit_encode (&u, &keys, p);
  assert_int_equal (decode (UNIT, p, &keys), -1);
  s = sums;
  s.from = UINT64_MAX;
  wire_sums_encode (&s, &keys, p);
  assert_int_equal (decode (SUMS, p, &keys), -1);
  s = sums;
  s.sum[1].seq = UINT64_C (1) << 50;
  wire_sums_encode (&s, &keys, p);
  assert_int_equal (decode (SUMS, p, &keys), -1);
  s = sums;
  s.committed.seq = UINT64_MAX;
  wire_sums_encode (&s, &keys, p);
  assert_int_equal (decode (SUMS, p, &keys), -1);
}

static void
test_secret_and_nonces_matter (void **state)
{
  struct wire_keys other;

  (void) state;
  for (unsigned i = 0; i < PAGES; i++) {
    other = keys;
    other.secret[3] ^= 1;
    assert_int_equal (decode (i, page[i], &other), -1);
    assert_int_equal (errno, EACCES);
    other = keys;
    other.server_nonce[3] ^= 1;
    assert_int_equal (decode (i, page[i], &other), -1);
    other = keys;
    other.pair.byte[3] ^= 1;
    assert_int_equal (decode (i, page[i], &other), -1);
  }
}

static void
test_judgement (void **state)
{
  static const struct {
    struct volume_sum own, peer;
    enum verify_verdict verdict;
  } row[] = {
    { { 0, 0, false }, { 0, 0, false }, VERIFY_SAME },
    { { 90, 5, false }, { 90, 5, false }, VERIFY_SAME },
    { { 0, 0, false }, { 80, 0, false }, VERIFY_SAME },   /* holes, zeros */
    { { 110, 5, false }, { 90, 5, false }, VERIFY_SAME },
    { { 90, 5, false }, { 90, 6, false }, VERIFY_DIFFERENT },
    { { 90, 5, false }, { 80, 6, false }, VERIFY_DIFFERENT },
    { { 0, 0, false }, { 80, 6, false }, VERIFY_DIFFERENT },
    { { 100, 5, false }, { 99, 6, false }, VERIFY_DIFFERENT },
    { { 101, 5, false }, { 99, 6, false }, VERIFY_LATER },
    { { 101, 5, false }, { 101, 6, false }, VERIFY_DIFFERENT },
    { { 101, 5, false }, { 0, 0, false }, VERIFY_LATER },
    { { 90, 0, true }, { 90, 5, false }, VERIFY_BAD_HERE },
    { { 90, 5, false }, { 90, 0, true }, VERIFY_BAD_THERE },
    { { 90, 0, true }, { 90, 0, true }, VERIFY_BAD_HERE },
  };

  (void) state;
  for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++)
    assert_int_equal (verify_judge (&row[i].own, &row[i].peer, 100),
                      row[i].verdict);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_golden),
    cmocka_unit_test (test_what_goes_in_comes_out),
    cmocka_unit_test (test_each_is_only_itself),
    cmocka_unit_test (test_flipped_bits_are_seen),
    cmocka_unit_test (test_hostile_fields),
    cmocka_unit_test (test_secret_and_nonces_matter),
    cmocka_unit_test (test_judgement),
  };

  return cmocka_run_group_tests (tests, make_pages, NULL);
}

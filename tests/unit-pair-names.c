/* Values of API calls at and beyond their limits; ids. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "names.h"

/* COUNT times PIECE, after FIRST; freed by nobody before the next call. */
static const char *
many (const char *first, const char *piece, unsigned count)
{
  static char buf[4096];
  char *p = stpcpy (buf, first);

  while (count-- > 0)
    p = stpcpy (p, piece);
  return buf;
}

#define HAN "\xe4\xb8\xad"      /* U+4E2D */

static void
pair_names (void **state)
{
  static const char *const good[] = {
    "ab", "Z9", "a:_.-", "db-01.data:x_y", "http:ab",
    "\xe4\xb8\xad\xe4\xb8\xad", "a\xe4\xb8\xad",
  };
  static const char *const bad[] = {
    "", "a", HAN, "1ab", ":ab", "-ab", "_ab", "a b", "a/b", "http://ab",
    "https://ab", "ab\n", "ab\x7f", "a@", "ab\xe4\xb8", "ab\xc0\xaf",
    "ab\xed\xa0\x80", "ab\xf5\x80\x80\x80", "ab\xff", "\x80xy",
    "a\xc3\xa9" /* a Latin letter with accent is neither */,
  };
  size_t i;

  (void) state;
  for (i = 0; i < sizeof good / sizeof good[0]; ++i)
    assert_true (pair_name_valid (good[i]));
  for (i = 0; i < sizeof bad / sizeof bad[0]; ++i)
    assert_false (pair_name_valid (bad[i]));
  assert_true (pair_name_valid (many ("a", "b", 127)));
  assert_false (pair_name_valid (many ("a", "b", 128)));
  assert_true (pair_name_valid (many ("a", HAN, 127)));
  assert_false (pair_name_valid (many ("a", HAN, 128)));
  assert_true (group_name_valid ("a:_-"));
  assert_false (group_name_valid ("a.b"));
  assert_false (group_name_valid ("1a"));
}

static void
descriptions (void **state)
{
  (void) state;
  assert_true (description_valid ("it"));
  assert_true (description_valid ("two lines\n\tand a tab, "
                                  "\xc3\xa9 \xf0\x9f\x98\x80"));
  assert_true (description_valid ("see http://example.com"));
  assert_false (description_valid (""));
  assert_false (description_valid ("x"));
  assert_false (description_valid ("http://example.com"));
  assert_false (description_valid ("https://example.com"));
  assert_false (description_valid ("bell \a"));
  assert_false (description_valid ("cut \xf0\x9f\x98"));
  assert_true (description_valid (many ("", "x", 256)));
  assert_false (description_valid (many ("", "x", 257)));
  assert_true (description_valid (many ("", "\xf0\x9f\x98\x80", 256)));
  assert_false (description_valid (many ("", "\xf0\x9f\x98\x80", 257)));
}

/* Every first byte with every second: nothing but UTF-8 passes, and nothing
 * is read beyond the zero byte.
 */
static void
two_byte_strings (void **state)
{
  unsigned a, b;

  (void) state;
  for (a = 1; a < 256; ++a)
    for (b = 0; b < 256; ++b) {
      char *s = malloc (3);
      bool is_printable = a >= 0x20 && a < 0x7f && b >= 0x20 && b < 0x7f;

      assert_non_null (s);
      s[0] = a;
      s[1] = b;
      s[2] = '\0';
      if (is_printable)
        assert_true (description_valid (s));
      else if (a >= 0x80 || b >= 0x80)
        assert_false (description_valid (s));
      pair_name_valid (s);
      free (s);
    }
}

static void
client_tokens (void **state)
{
  (void) state;
  assert_true (client_token_valid ("t"));
  assert_true (client_token_valid ("A b~!"));
  assert_true (client_token_valid (many ("", "x", 64)));
  assert_false (client_token_valid (many ("", "x", 65)));
  assert_false (client_token_valid (""));
  assert_false (client_token_valid (HAN));
  assert_false (client_token_valid ("a\n"));
}

static void
numbers (void **state)
{
  uint64_t u = 77;

  (void) state;
  assert_true (uint_parse ("0", 0, &u));
  assert_int_equal (u, 0);
  assert_true (uint_parse ("18446744073709551615", UINT64_MAX, &u));
  assert_true (u == UINT64_MAX);
  u = 77;
  assert_false (uint_parse ("18446744073709551616", UINT64_MAX, &u));
  assert_false (uint_parse ("99999999999999999999999", UINT64_MAX, &u));
  assert_false (uint_parse ("1", 0, &u));
  assert_false (uint_parse ("8", 7, &u));
  assert_false (uint_parse ("", 9, &u));
  assert_false (uint_parse ("-1", 9, &u));
  assert_false (uint_parse ("+1", 9, &u));
  assert_false (uint_parse (" 1", 9, &u));
  assert_false (uint_parse ("1 ", 9, &u));
  assert_false (uint_parse ("0x1", 9, &u));
  assert_int_equal (u, 77);
}

static void
rpo (void **state)
{
  uint32_t v = 7;

  (void) state;
  assert_false (rpo_parse ("0", &v));
  assert_false (rpo_parse ("86401", &v));
  assert_false (rpo_parse ("4294967297", &v));
  assert_int_equal (v, 7);
  assert_true (rpo_parse ("1", &v));
  assert_true (rpo_parse ("86400", &v));
  assert_true (rpo_parse ("900", &v));
  assert_int_equal (v, RPO_SECONDS_DEFAULT);
}

static void
charge_and_bandwidth (void **state)
{
  enum charge_type type;
  uint32_t v = 7;
  bool b;

  (void) state;
  assert_true (charge_type_parse ("POSTPAY", &type));
  assert_int_equal (type, CHARGE_POSTPAY);
  assert_true (bandwidth_parse ("51200", type, &v));
  assert_int_equal (v, 0);
  assert_true (bandwidth_parse ("0", type, &v));
  v = 7;
  assert_false (bandwidth_parse ("51201", type, &v));

  assert_true (charge_type_parse ("PREPAY", &type));
  assert_string_equal (charge_type_string (type), "PREPAY");
  assert_false (bandwidth_parse ("0", type, &v));
  assert_int_equal (v, 7);
  assert_true (bandwidth_parse ("10240", type, &v));
  assert_int_equal (v, BANDWIDTH_KBPS_DEFAULT);
  assert_false (charge_type_parse ("prepay", &type));

  assert_true (period_parse ("36", &v));
  assert_int_equal (v, 36);
  assert_false (period_parse ("4", &v));
  assert_true (period_unit_valid ("Month"));
  assert_false (period_unit_valid ("Year"));

  assert_true (bool_parse ("true", &b));
  assert_true (b);
  assert_true (bool_parse ("false", &b));
  assert_false (b);
  assert_false (bool_parse ("1", &b));
  assert_false (bool_parse ("True", &b));
}

static void
ids_round_trip (void **state)
{
  uint8_t random[ID_RANDOM_SIZE];
  char id[ID_SIZE], other[ID_SIZE];
  unsigned kind, seed, i;

  (void) state;
  for (kind = 1; kind < ID_KIND_COUNT; ++kind)
    for (seed = 0; seed < 1000; ++seed) {
      for (i = 0; i < ID_RANDOM_SIZE; ++i)
        random[i] = seed * 37 + i * 101 + (seed >> 3);
      id_make (kind, random, id);
      assert_int_equal (id_parse (id), kind);
      assert_true (id_valid (id, kind));
      assert_false (id_valid (id, ID_UNSET));
      random[seed % ID_RANDOM_SIZE] ^= 1;
      assert_string_not_equal (id, id_make (kind, random, other));
    }
  memset (random, 0xff, sizeof random);
  id_make (ID_PAIR, random, id);
  assert_int_equal (strlen (id), strlen ("pair-cn-") + ID_BODY_CHARS);
  memset (random, 0, sizeof random);
  assert_string_equal (id_make (ID_DISK, random, id), "d-000000000000");
}

static void
ids_are_checked (void **state)
{
  (void) state;
  assert_int_equal (id_parse ("pair-cn-tl32ribst0z"), ID_PAIR);
  assert_int_equal (id_parse ("pg-12ab"), ID_GROUP);
  assert_int_equal (id_parse ("pg-drill-12ab"), ID_GROUP_DRILL);
  assert_int_equal (id_parse ("drill-12ab"), ID_DRILL);
  assert_int_equal (id_parse ("d-bp131n0q38u3a4zi"), ID_DISK);
  assert_int_equal (id_parse (""), ID_UNSET);
  assert_int_equal (id_parse ("d-"), ID_UNSET);
  assert_int_equal (id_parse ("d-abc"), ID_UNSET);
  assert_int_equal (id_parse ("d-abcD"), ID_UNSET);
  assert_int_equal (id_parse ("d-../x"), ID_UNSET);
  assert_int_equal (id_parse ("d-abcd "), ID_UNSET);
  assert_int_equal (id_parse ("x-abcd"), ID_UNSET);
  assert_int_equal (id_parse (many ("d-", "a", 32)), ID_DISK);
  assert_int_equal (id_parse (many ("d-", "a", 33)), ID_UNSET);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (pair_names),
    cmocka_unit_test (descriptions),
    cmocka_unit_test (two_byte_strings),
    cmocka_unit_test (client_tokens),
    cmocka_unit_test (numbers),
    cmocka_unit_test (rpo),
    cmocka_unit_test (charge_and_bandwidth),
    cmocka_unit_test (ids_round_trip),
    cmocka_unit_test (ids_are_checked),
  };

  return cmocka_run_group_tests_name ("pair-names", tests, NULL, NULL);
}

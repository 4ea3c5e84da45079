/* Secrets of joined sites: two sides end with the same one, whatever the order
 * of changes, lost answers and kills.  Tokens: whole or refused.
 */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "crypto.h"
#include "peer-internal.h"
#include "token.h"
#include "values.h"

static unsigned
pick (unsigned n)
{
  return rand () % n;
}

/* A hello from A to B: the request is proven with a secret that B holds, else
 * nothing happens; the answer may be lost.
 */
static bool
hello (struct secrets *a, struct secrets *b, bool is_lost)
{
  json_t *told;
  size_t i;

  for (i = 0; i < b->n; ++i)
    if (memcmp (b->list[i].data, a->list[a->sure].data,
                JOINED_SECRET_LEN) == 0)
      break;
  if (i == b->n)
    return false;
  told = secrets_tell (a);
  secrets_hear (b, told);
  json_decref (told);
  if (!is_lost) {
    told = secrets_tell (b);
    secrets_hear (a, told);
    json_decref (told);
  }
  return true;
}

static bool
is_settled (const struct secrets *a, const struct secrets *b)
{
  return a->n == 1 && b->n == 1 &&
    memcmp (&a->list[0], &b->list[0], sizeof a->list[0]) == 0;
}

static void
both_end_with_one (void **state)
{
  unsigned round, i;
  const char *seed_text = getenv ("SEED");
  unsigned seed = seed_text ? strtoul (seed_text, NULL, 10) : random_u64 ();

  (void) state;
  printf ("# SEED=%u\n", seed);
  srand (seed);
  for (round = 0; round < 3000; ++round) {
    struct secrets side[2] = { { .n = 0 }, { .n = 0 } };
    struct joined_secret first = { .count = 1 };
    bool heard = false;

    random_bytes (first.data, sizeof first.data);
    secrets_add (&side[0], &first, "");
    secrets_add (&side[1], &first, "");
    for (i = pick (20); i > 0; --i) {
      unsigned from = pick (2);

      switch (pick (3)) {
      case 0: secrets_renew (&side[from]); break;
      case 1: hello (&side[from], &side[!from], true); break;
      default: hello (&side[from], &side[!from], false); break;
      }
      assert_true (side[0].sure < side[0].n && side[1].sure < side[1].n);
      assert_true (side[0].n <= SECRETS_MAX && side[1].n <= SECRETS_MAX);
    }
    /* Both keep saying hello: at least one is always understood. */
    for (i = 0; i < 6; ++i) {
      heard = hello (&side[0], &side[1], false);
      heard = hello (&side[1], &side[0], false) || heard;
      assert_true (heard);
    }
    assert_true (is_settled (&side[0], &side[1]));
  }
}

static void
a_file_keeps_them (void **state)
{
  struct secrets list = { .n = 0 }, back;
  json_t *json;

  (void) state;
  secrets_renew (&list);
  secrets_renew (&list);
  secrets_renew (&list);
  assert_int_equal (list.n, 3);
  assert_int_equal (list.sure, 2);
  json = secrets_to_json (&list);
  assert_true (secrets_from_json (json, &back));
  assert_memory_equal (&list, &back, sizeof list);
  json_array_clear (json);
  assert_false (secrets_from_json (json, &back));
  json_decref (json);
}

static void
tokens (void **state)
{
  struct token token = { .version = 1, .end = 1800000000 }, back = { 0 };
  char *text, *copy;
  size_t i;

  (void) state;
  TEXT_SET (token.address, "[2001:db8::1]:7781");
  TEXT_SET (token.region, "cn-a");
  TEXT_SET (token.id, "0123456789abcdef");
  random_bytes (token.secret, sizeof token.secret);
  memset (token.fingerprint, 'a', 64);
  text = token_format (&token);
  assert_non_null (text);
  assert_int_equal (strcspn (text, " \t\n+/="), strlen (text));
  assert_true (token_parse_text (text, &back));
  assert_memory_equal (&token, &back, sizeof token);

  assert_false (token_parse_text (NULL, &back));
  assert_false (token_parse_text ("", &back));
  copy = strdup (text);
  for (i = 0; text[i]; ++i) {
    copy[i] = text[i] == 'A' ? 'B' : 'A';
    assert_false (token_parse_text (copy, &back));
    copy[i] = '\0';
    assert_false (token_parse_text (copy, &back));
    copy[i] = text[i];
  }
  assert_true (token_parse_text (copy, &back));
  free (copy);
  free (text);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (both_end_with_one),
    cmocka_unit_test (a_file_keeps_them),
    cmocka_unit_test (tokens),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

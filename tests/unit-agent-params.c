/* Parameters of calls: forms, bounds, what is not text; lists and pages. */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "actions.h"
#include "apierror.h"
#include "paging.h"
#include "params.h"
#include "values.h"

static int
add (struct params *p, const char *form)
{
  return params_add_form (p, form, strlen (form));
}

static void
forms (void **state)
{
  struct params p = { 0 };

  (void) state;
  assert_int_equal (add (&p, "a=1&b=&c&&d=x%20y+z&e=%41%4a&f=%e4%b8%ad&"
                         "g=1%2&h=%zz&a=2&i=a=b&=v"), 0);
  assert_string_equal (params_get (&p, "a"), "1");
  assert_string_equal (params_get (&p, "b"), "");
  assert_string_equal (params_get (&p, "c"), "");
  assert_string_equal (params_get (&p, "d"), "x y z");
  assert_string_equal (params_get (&p, "e"), "AJ");
  assert_string_equal (params_get (&p, "f"), "\xe4\xb8\xad");
  assert_string_equal (params_get (&p, "g"), "1%2");
  assert_string_equal (params_get (&p, "h"), "%zz");
  assert_string_equal (params_get (&p, "i"), "a=b");
  assert_string_equal (params_get (&p, ""), "v");
  assert_null (params_get (&p, "A"));
  params_release (&p);
  assert_int_equal (add (&p, ""), 0);
  assert_int_equal (add (&p, "%"), 0);
  assert_int_equal (add (&p, "%4"), 0);
  assert_int_equal (p.count, 2);
  params_release (&p);
}

static void
not_text (void **state)
{
  static const char *const bad[] = { "a=%00", "%00=a", "a=%ff", "a=%c0%80",
                                     "a=%ed%a0%80" };
  size_t i;

  (void) state;
  for (i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
    struct params p = { 0 };

    errno = 0;
    assert_int_equal (add (&p, bad[i]), -1);
    assert_int_equal (errno, EINVAL);
    params_release (&p);
  }
}

static void
too_many (void **state)
{
  struct params p = { 0 };
  unsigned i;

  (void) state;
  for (i = 0; i < PARAMS_MAX; ++i)
    assert_int_equal (add (&p, "a=1"), 0);
  assert_int_equal (add (&p, "a=1"), -1);
  assert_int_equal (errno, E2BIG);
  params_release (&p);
}

static void
comma_lists (void **state)
{
  (void) state;
  assert_true (in_comma_list (NULL, "a"));
  assert_true (in_comma_list ("", "a"));
  assert_true (in_comma_list ("a", "a"));
  assert_true (in_comma_list ("b,a", "a"));
  assert_true (in_comma_list (",a,", "a"));
  assert_false (in_comma_list ("ab", "a"));
  assert_false (in_comma_list ("b,c", "a"));
  assert_false (in_comma_list ("aa,ba", "a"));
}

static bool
parse (const char *form, struct paging *ret)
{
  struct request req = { 0 };
  struct answer answer = { 0 };
  bool r;

  assert_int_equal (add (&req.params, form), 0);
  r = paging_parse (&req, ret, &answer);
  assert_int_equal (r, answer.error == API_OK);
  params_release (&req.params);
  return r;
}

static void
pages (void **state)
{
  struct paging p;
  json_t *body = json_object ();

  (void) state;
  assert_true (parse ("", &p));
  assert_int_equal (p.offset, 0);
  assert_int_equal (p.limit, 10);
  assert_true (parse ("PageNumber=3&PageSize=20", &p));
  assert_int_equal (p.offset, 40);
  assert_int_equal (p.limit, 20);
  assert_true (parse ("MaxResults=500&NextToken=7&PageNumber=9", &p));
  assert_int_equal (p.offset, 7);
  assert_int_equal (p.limit, 500);
  assert_false (parse ("MaxResults=501", &p));
  assert_false (parse ("MaxResults=0", &p));
  assert_false (parse ("MaxResults=-1", &p));
  assert_false (parse ("PageSize=101", &p));
  assert_false (parse ("PageNumber=0", &p));
  assert_false (parse ("NextToken=x", &p));

  assert_true (parse ("MaxResults=2", &p));
  paging_finish (&p, 3, body);
  assert_string_equal (json_text (body, "NextToken"), "2");
  json_object_clear (body);
  paging_finish (&p, 2, body);
  assert_null (json_object_get (body, "NextToken"));
  assert_int_equal (json_u64 (body, "TotalCount"), 2);
  json_decref (body);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (forms),
    cmocka_unit_test (not_text),
    cmocka_unit_test (too_many),
    cmocka_unit_test (comma_lists),
    cmocka_unit_test (pages),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

/* Tests of common/. */
#include <config.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "error.h"
static void
test_placeholder (void **state)
{
  (void) state;
  assert_int_equal (error_set (NULL, 1, "x"), -1);
}
int
main (void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test (test_placeholder) };
  return cmocka_run_group_tests_name ("common", tests, NULL, NULL);
}

/* Golden files (see golden.h). */

#include <config.h>

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

void
assert_golden (const char *name, const char *text)
{
  const char *srcdir = getenv ("top_srcdir");
  const char *mode = getenv ("PAIRDISK_GOLDEN");
  size_t len = strlen (text), n;
  CLEANUP_FREE char *golden = malloc (len + 1);
  char path[4096];
  FILE *fp;

  assert_non_null (golden);
  snprintf (path, sizeof path, "%s/tests/data/%s", srcdir ? srcdir : "..",
            name);
  if (mode && strcmp (mode, "write") == 0) {
    fp = fopen (path, "w");
    assert_non_null (fp);
    fputs (text, fp);
    assert_int_equal (fclose (fp), 0);
  }
  fp = fopen (path, "r");
  if (fp == NULL)
    fail_msg ("cannot open %s", path);
  n = fread (golden, 1, len + 1, fp);
  fclose (fp);
  if (n != len || memcmp (golden, text, len) != 0)
    fail_msg ("%s is no longer what comes out: now\n%s", path, text);
}

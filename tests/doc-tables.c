/* Tables of a documentation page: see doc-tables.h. */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "doc-tables.h"

#define END "<!-- end -->\n"

static char *
read_whole (const char *path)
{
  FILE *in = fopen (path, "r"), *out;
  char *text = NULL;
  size_t size;
  int c;

  if (in == NULL)
    return NULL;
  out = open_memstream (&text, &size);
  while (out && (c = getc (in)) != EOF)
    putc (c, out);
  fclose (in);
  if (out)
    fclose (out);
  return text;
}

/* TEXT with the table in its place; NULL if it has no place.  Frees TEXT. */
static char *
replace_table (char *text, const struct doc_table *table)
{
  char marker[64], *begin, *end, *ret = NULL;
  size_t size;
  FILE *fp;

  snprintf (marker, sizeof marker, "<!-- %s -->\n", table->name);
  begin = strstr (text, marker);
  end = begin ? strstr (begin, END) : NULL;
  fp = end ? open_memstream (&ret, &size) : NULL;
  if (fp) {
    fprintf (fp, "%.*s%s\n", (int) (begin - text), text, marker);
    table->write (fp);
    fprintf (fp, "\n%s", end);
    fclose (fp);
  }
  else
    fprintf (stderr, "no place for table '%s'\n", table->name);
  free (text);
  return ret;
}

static char *
with_tables (char *text, const struct doc_table *tables)
{
  for (; text && tables->name; ++tables)
    text = replace_table (text, tables);
  return text;
}

int
doc_update (const char *path, const struct doc_table *tables)
{
  char *text = read_whole (path);
  FILE *fp;

  if (text)
    text = with_tables (text, tables);
  fp = text ? fopen (path, "w") : NULL;
  if (fp == NULL || fputs (text, fp) == EOF || fclose (fp) == EOF) {
    perror (path);
    free (text);
    return EXIT_FAILURE;
  }
  free (text);
  return EXIT_SUCCESS;
}

bool
doc_is_current (const char *page, const struct doc_table *tables,
                const char *test)
{
  const char *srcdir = getenv ("top_srcdir");
  char path[4096], *text, *expected;
  bool ret;

  snprintf (path, sizeof path, "%s/%s", srcdir ? srcdir : "..", page);
  text = read_whole (path);
  expected = text ? with_tables (strdup (text), tables) : NULL;
  ret = text && expected && strcmp (text, expected) == 0;
  if (!ret)
    printf ("# stale tables: run tests/%s --update %s\n", test, path);
  free (expected);
  free (text);
  return ret;
}

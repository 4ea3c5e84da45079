/* What pairctl prints: tables that fit the terminal, JSON, ages and sizes.
 *
 * An answer is built in memory and written at the end, so that a failure on
 * the way leaves standard output empty.
 */

#include <config.h>

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "cli.h"
#include "clock.h"
#include "size.h"

/* ------------------------------------------------------------------ */
/* Memory and text.                                                     */

static void __attribute__ ((noreturn))
out_of_memory (void)
{
  fprintf (stderr, "pairctl: out of memory\n");
  exit (EXIT_FAILED);
}

static void *
grow (void *ptr, size_t size)
{
  ptr = realloc (ptr, size);
  if (ptr == NULL)
    out_of_memory ();
  return ptr;
}

static char *
text_vprintf (const char *fmt, va_list args)
{
  char *ret;

  if (vasprintf (&ret, fmt, args) == -1)
    out_of_memory ();
  return ret;
}

char *
text_printf (const char *fmt, ...)
{
  va_list args;
  char *ret;

  va_start (args, fmt);
  ret = text_vprintf (fmt, args);
  va_end (args);
  return ret;
}

char *
text_replace (const char *text, const char *what, const char *with)
{
  const char *p = strstr (text, what);

  if (p == NULL)
    return text_printf ("%s", text);
  return text_printf ("%.*s%s%s", (int) (p - text), text, with,
                      p + strlen (what));
}

/* Bytes of the character at P and its columns; 0 bytes: not printable. */
static size_t
character (const char *p, unsigned *columns)
{
  mbstate_t state = { 0 };
  wchar_t wc;
  size_t n = mbrtowc (&wc, p, MB_CUR_MAX, &state);
  int width;

  if (n == 0 || n > MB_CUR_MAX)
    return 0;
  width = wcwidth (wc);
  if (width < 0)
    return 0;
  *columns = width;
  return n;
}

char *
text_clean (char *text)
{
  char *p = text;
  unsigned columns;

  while (*p) {
    size_t n = character (p, &columns);

    if (n == 0) {
      *p = '?';
      n = 1;
    }
    p += n;
  }
  return text;
}

static unsigned
text_width (const char *text)
{
  unsigned width = 0, columns;

  for (size_t n; *text && (n = character (text, &columns)) > 0; text += n)
    width += columns;
  return width;
}

/* Cut TEXT to WIDTH columns, the last of them an ellipsis, in a new string. */
static char *
text_cut (const char *text, unsigned width)
{
  const char *p = text;
  unsigned used = 0, columns;

  if (text_width (text) <= width)
    return text_printf ("%s", text);
  for (size_t n; *p && (n = character (p, &columns)) > 0; p += n) {
    if (used + columns > width - 1)
      break;
    used += columns;
  }
  return text_printf ("%.*s\xe2\x80\xa6", (int) (p - text), text);
}

unsigned
terminal_width (int fd)
{
  const char *env = getenv ("COLUMNS");
  struct winsize size;

  if (env && atoi (env) > 0)
    return atoi (env);
  if (isatty (fd) && ioctl (fd, TIOCGWINSZ, &size) == 0)
    return size.ws_col;
  return 0;
}

const char *
seconds_format (double seconds, char ret[TEXT_SIZE])
{
  static const struct {
    const char *unit, *small;
    unsigned length;         /* of the unit, seconds */
    unsigned part;           /* of the smaller one */
  } scale[] = {
    { "d", "h", 86400, 3600 }, { "h", "m", 3600, 60 }, { "m", "s", 60, 1 }
  };
  uint64_t whole;
  size_t i;

  if (seconds < 0)
    seconds = 0;
  if (seconds < 10) {
    snprintf (ret, TEXT_SIZE, "%.1fs", seconds);
    return ret;
  }
  whole = seconds < 1e15 ? (uint64_t) seconds : (uint64_t) 1e15;
  for (i = 0; i < sizeof scale / sizeof scale[0]; ++i)
    if (whole >= scale[i].length) {
      snprintf (ret, TEXT_SIZE, "%llu%s%02llu%s",
                (unsigned long long) (whole / scale[i].length), scale[i].unit,
                (unsigned long long) (whole % scale[i].length / scale[i].part),
                scale[i].small);
      return ret;
    }
  snprintf (ret, TEXT_SIZE, "%llus", (unsigned long long) whole);
  return ret;
}

const char *
date_format (double seconds, char ret[TEXT_SIZE])
{
  time_t t = seconds;
  struct tm tm;

  if (localtime_r (&t, &tm) == NULL ||
      strftime (ret, TEXT_SIZE, "%Y-%m-%d %H:%M:%S", &tm) == 0)
    snprintf (ret, TEXT_SIZE, "-");
  return ret;
}

/* ------------------------------------------------------------------ */
/* Members of JSON objects.                                             */

const char *
get_string (const json_t *object, const char *key)
{
  const char *s = json_string_value (json_object_get (object, key));

  return s && *s ? s : NULL;
}

const char *
or_unknown (const char *text)
{
  return text ? text : "unknown";
}

/* Some clients and servers of this API send numbers as strings. */
bool
get_double (const json_t *object, const char *key, double *ret)
{
  const json_t *v = json_object_get (object, key);
  const char *s = json_string_value (v);

  if (json_is_number (v))
    *ret = json_number_value (v);
  else if (s && isdigit ((unsigned char) *s)) {
    char *end;
    double d = strtod (s, &end);

    if (*end)
      return false;
    *ret = d;
  }
  else
    return false;
  return true;
}

bool
get_uint (const json_t *object, const char *key, uint64_t *ret)
{
  const json_t *v = json_object_get (object, key);
  double d;

  if (json_is_integer (v)) {
    if (json_integer_value (v) < 0)
      return false;
    *ret = json_integer_value (v);
    return true;
  }
  if (!get_double (object, key, &d) || d < 0 || d > 9e15)
    return false;
  *ret = d;
  return true;
}

bool
get_bool (const json_t *object, const char *key, bool *ret)
{
  const json_t *v = json_object_get (object, key);

  if (!json_is_boolean (v))
    return false;
  *ret = json_is_true (v);
  return true;
}

/* ------------------------------------------------------------------ */
/* Tables.                                                              */

#define COLUMNS_MAX 12
#define CUT_MIN 8            /* a cut column keeps this much */
#define GAP 2                /* between columns */

struct table {
  const struct column *column;
  unsigned columns;
  char **cell;               /* rows after each other */
  size_t cells, allocated;
};

struct layout {
  unsigned width[COLUMNS_MAX];
  bool is_left_out[COLUMNS_MAX];
};

struct table *
table_new (const struct column *columns, unsigned count)
{
  struct table *t = grow (NULL, sizeof *t);

  assert (count <= COLUMNS_MAX);
  *t = (struct table) { .column = columns, .columns = count };
  return t;
}

void
table_free (struct table *t)
{
  size_t i;

  for (i = 0; i < t->cells; ++i)
    free (t->cell[i]);
  free (t->cell);
  free (t);
}

/* Takes TEXT. */
static void
add_cell (struct table *t, char *text)
{
  if (t->cells == t->allocated) {
    t->allocated = t->allocated ? 2 * t->allocated : 64;
    t->cell = grow (t->cell, t->allocated * sizeof *t->cell);
  }
  t->cell[t->cells++] = text_clean (text);
}

void
table_text (struct table *t, const char *text)
{
  add_cell (t, text_printf ("%s", text && *text ? text : "-"));
}

void
table_printf (struct table *t, const char *fmt, ...)
{
  va_list args;

  va_start (args, fmt);
  add_cell (t, text_vprintf (fmt, args));
  va_end (args);
}

void
table_size (struct table *t, const json_t *o, const char *key)
{
  char text[SIZE_STRING_SIZE];
  uint64_t n;

  table_text (t, get_uint (o, key, &n) ? size_format (n, text) : NULL);
}

void
table_age (struct table *t, const json_t *o, const char *key)
{
  char text[TEXT_SIZE];
  double d;

  if (!get_double (o, key, &d) || d <= 0)
    table_text (t, NULL);
  else
    table_text (t, seconds_format ((double) clock_wall_ns () / NS_PER_SEC - d,
                                   text));
}

void
table_seconds (struct table *t, const json_t *o, const char *key)
{
  char text[TEXT_SIZE];
  double d;

  table_text (t, get_double (o, key, &d) ? seconds_format (d, text) : NULL);
}

static unsigned
layout_total (const struct table *t, const struct layout *l)
{
  unsigned i, total = 0;

  for (i = 0; i < t->columns; ++i)
    if (!l->is_left_out[i])
      total += l->width[i] + (total > 0 ? GAP : 0);
  return total;
}

/* Make it fit: first leave out what may be, then cut what may be. */
static void
layout_fit (const struct table *t, struct layout *l, unsigned limit)
{
  for (;;) {
    unsigned i, drop = 0, slack = 0, total = layout_total (t, l);
    unsigned victim = t->columns, widest = t->columns;

    if (total <= limit)
      return;
    for (i = 0; i < t->columns; ++i) {
      if (l->is_left_out[i])
        continue;
      if (t->column[i].drop > drop) {
        drop = t->column[i].drop;
        victim = i;
      }
      if (t->column[i].may_cut && l->width[i] > CUT_MIN) {
        slack += l->width[i] - CUT_MIN;
        if (widest == t->columns || l->width[i] > l->width[widest])
          widest = i;
      }
    }
    if (slack >= total - limit)
      --l->width[widest];
    else if (victim < t->columns)
      l->is_left_out[victim] = true;
    else if (widest < t->columns)
      --l->width[widest];
    else
      return;
  }
}

static void
layout_make (const struct table *t, bool has_header, struct layout *l)
{
  unsigned limit = terminal_width (STDOUT_FILENO);
  size_t i;

  *l = (struct layout) { .width = { 0 } };
  for (i = 0; has_header && i < t->columns; ++i)
    l->width[i] = text_width (t->column[i].title);
  for (i = 0; i < t->cells; ++i) {
    unsigned width = text_width (t->cell[i]);

    if (width > l->width[i % t->columns])
      l->width[i % t->columns] = width;
  }
  if (limit > 0)
    layout_fit (t, l, limit);
}

/* CELL is beside t->column. */
static void
print_row (FILE *fp, const struct table *t, const struct layout *l,
           char *const *cell)
{
  unsigned i, pad = 0;
  bool is_first = true;

  for (i = 0; i < t->columns; ++i) {
    char *text;
    unsigned width, fill;

    if (l->is_left_out[i])
      continue;
    text = text_cut (cell ? cell[i] : t->column[i].title, l->width[i]);
    width = text_width (text);
    fill = l->width[i] > width ? l->width[i] - width : 0;
    if (!is_first)
      pad += GAP;
    is_first = false;
    if (t->column[i].is_right)
      pad += fill;
    fprintf (fp, "%*s%s", (int) pad, "", text);
    pad = t->column[i].is_right ? 0 : fill;
    free (text);
  }
  fputc ('\n', fp);
}

static int
print_table (struct table *t, bool has_header)
{
  struct layout l;
  char *text = NULL;
  size_t i, len;
  FILE *fp = open_memstream (&text, &len);

  if (fp == NULL)
    out_of_memory ();
  assert (t->cells % t->columns == 0);
  layout_make (t, has_header, &l);
  if (has_header)
    print_row (fp, t, &l, NULL);
  for (i = 0; i < t->cells; i += t->columns)
    print_row (fp, t, &l, &t->cell[i]);
  if (fclose (fp) != 0)
    out_of_memory ();
  fwrite (text, 1, len, stdout);
  free (text);
  table_free (t);
  return EXIT_OK;
}

int
table_print (struct table *t)
{
  return print_table (t, true);
}

int
table_print_plain (struct table *t)
{
  return print_table (t, false);
}

struct table *
facts_new (void)
{
  static const struct column columns[] = { { "", false, false, 0 },
                                           { "", false, false, 0 } };

  return table_new (columns, 2);
}

void
fact (struct table *t, const char *name, const char *value)
{
  table_printf (t, "%s:", name);
  table_text (t, value);
}

void
fact_printf (struct table *t, const char *name, const char *fmt, ...)
{
  va_list args;

  table_printf (t, "%s:", name);
  va_start (args, fmt);
  add_cell (t, text_vprintf (fmt, args));
  va_end (args);
}

void
fact_size (struct table *t, const char *name, const json_t *o,
           const char *key)
{
  table_printf (t, "%s:", name);
  table_size (t, o, key);
}

/* ------------------------------------------------------------------ */
/* Single answers and failures.                                         */

/* Programs may rely on what "FormatVersion" 1 has; members are only added. */
int
print_json (json_t *object)
{
  char *text = NULL;

  if (json_object_set_new (object, "FormatVersion", json_integer (1)) == -1 ||
      (text = json_dumps (object, JSON_INDENT (2) |
                          JSON_REAL_PRECISION (15))) == NULL)
    out_of_memory ();
  puts (text);
  free (text);
  json_decref (object);
  return EXIT_OK;
}

int
print_line (const char *fmt, ...)
{
  va_list args;
  char *text;

  va_start (args, fmt);
  text = text_clean (text_vprintf (fmt, args));
  va_end (args);
  puts (text);
  free (text);
  return EXIT_OK;
}

void
failure_set (struct failure *f, int exit_code, const char *code,
             const char *hint, const char *fmt, ...)
{
  va_list args;

  f->exit_code = exit_code;
  snprintf (f->code, sizeof f->code, "%s", code ? code : "");
  snprintf (f->hint, sizeof f->hint, "%s", hint ? hint : "");
  va_start (args, fmt);
  vsnprintf (f->message, sizeof f->message, fmt, args);
  va_end (args);
}

static void
print_failure (char *what, const char *message, const char *code,
               const char *hint)
{
  char *text = text_printf ("%s: %s%s%s%s", what, message, *code ? " (" : "",
                            code, *code ? ")" : "");

  fprintf (stderr, "pairctl: %s\n", text_clean (text));
  free (text);
  if (*hint) {
    text = text_printf ("%s", hint);
    fprintf (stderr, "hint: %s\n", text_clean (text));
    free (text);
  }
  free (what);
}

int
fail (const struct failure *f, const char *what, ...)
{
  va_list args;

  va_start (args, what);
  print_failure (text_vprintf (what, args), f->message, f->code, f->hint);
  va_end (args);
  return f->exit_code;
}

int
fail_error (const struct error *err, const char *what, ...)
{
  va_list args;

  va_start (args, what);
  print_failure (text_vprintf (what, args), err->message, "", err->hint);
  va_end (args);
  return EXIT_FAILED;
}

bool
confirm (const char *question)
{
  char line[16];

  fprintf (stderr, "%s [y/N] ", question);
  fflush (stderr);
  return fgets (line, sizeof line, stdin) != NULL &&
    (strcmp (line, "y\n") == 0 || strcmp (line, "yes\n") == 0);
}

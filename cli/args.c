/* The command line: parsed by the table in main.c, helped from it.
 *
 * Options may stand anywhere after "pairctl"; the first words that are none
 * are the noun, the verb and the verb's argument.  "--" ends the options.
 * Options of a verb are therefore looked up after all words are known: the
 * first pass only tells words from options, which needs to know whether an
 * option takes a value, and any name means the same in that respect in the
 * whole table (checked by a test).
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "clock.h"
#include "size.h"

#define WORDS_MAX (2 + CLI_ARGS_MAX)
#define TYPED_OPTIONS_MAX 32

struct typed_option {
  const char *name;
  size_t len;              /* of the name */
  const char *value;       /* NULL: none */
};

struct typed {
  const char *word[WORDS_MAX];
  unsigned words;
  struct typed_option option[TYPED_OPTIONS_MAX];
  unsigned options;
};

static void
vusage (const char *noun, const char *verb, const char *fmt, va_list args)
{
  char text[512];

  vsnprintf (text, sizeof text, fmt, args);
  fprintf (stderr, "pairctl: %s\ntry 'pairctl %s%s%s%s--help'\n",
           text_clean (text), noun ? noun : "", noun ? " " : "",
           verb ? verb : "", verb && *verb ? " " : "");
}

static int __attribute__ ((format (printf, 3, 4)))
usage (const char *noun, const char *verb, const char *fmt, ...)
{
  va_list args;

  va_start (args, fmt);
  vusage (noun, verb, fmt, args);
  va_end (args);
  return EXIT_USAGE;
}

int
usage_error (const struct cli *cli, const char *fmt, ...)
{
  va_list args;

  va_start (args, fmt);
  vusage (cli->command->noun, cli->command->verb, fmt, args);
  va_end (args);
  return EXIT_USAGE;
}

static const struct cli_option *
option_find (const struct cli_option *list, const char *name, size_t len)
{
  for (; list && list->name; ++list)
    if (strlen (list->name) == len && strncmp (list->name, name, len) == 0)
      return list;
  return NULL;
}

static const struct cli_option *
option_find_anywhere (const char *name, size_t len)
{
  const struct cli_option *o = option_find (cli_globals, name, len);
  const struct cli_command *c;

  for (c = cli_commands; o == NULL && c->noun; ++c)
    o = option_find (c->options, name, len);
  return o;
}

static const struct cli_noun *
noun_find (const char *name)
{
  const struct cli_noun *n;

  for (n = cli_nouns; n->name; ++n)
    if (strcmp (n->name, name) == 0)
      return n;
  return NULL;
}

static const struct cli_command *
command_find (const char *noun, const char *verb)
{
  const struct cli_command *c;

  for (c = cli_commands; c->noun; ++c)
    if (strcmp (c->noun, noun) == 0 && strcmp (c->verb, verb) == 0)
      return c;
  return NULL;
}

/* ------------------------------------------------------------------ */
/* Help.                                                                */

static void
help_options (const char *title, const struct cli_option *o)
{
  char left[64];

  printf ("\n%s:\n", title);
  for (; o->name; ++o) {
    snprintf (left, sizeof left, "--%s%s%s", o->name, o->value ? " " : "",
              o->value ? o->value : "");
    printf ("  %-20s  %s%s\n", left, o->help,
            o->is_required ? " (required)" : "");
  }
}

static void
help_exit_codes (void)
{
  printf ("\nexit codes:\n");
#define X(name, value, text) printf ("  %d  %s\n", value, text);
  EXIT_CODES (X)
#undef X
}

static int
help_all (void)
{
  const struct cli_noun *n;
  const struct cli_command *c;

  printf ("usage: pairctl [OPTIONS] NOUN VERB [ARGUMENT] [OPTIONS]\n");
  for (n = cli_nouns; n->name; ++n) {
    printf ("\n%s: %s\n", n->name, n->help);
    for (c = cli_commands; c->noun; ++c)
      if (strcmp (c->noun, n->name) == 0 && *c->verb)
        printf ("  %-9s  %s\n", c->verb, c->help);
  }
  help_options ("options of every verb", cli_globals);
  help_exit_codes ();
  printf ("\n'pairctl NOUN --help' and 'pairctl NOUN VERB --help' say more; "
          "so does pairctl(1).\n");
  return EXIT_OK;
}

#define HELP_WIDTH 79

/* A word of a synopsis, on the next line where this one has no room for it. */
static void
synopsis_word (const char *word, int indent, int *column)
{
  if (*column + 1 + (int) strlen (word) > HELP_WIDTH) {
    printf ("\n%*s", indent - 1, "");
    *column = indent - 1;
  }
  *column += printf (" %s", word);
}

/* BEFORE is on its first line; the others begin below the verb's words. */
static void
synopsis (const char *before, const struct cli_command *c)
{
  int column = printf ("%spairctl %s%s%s", before, c->noun,
                       *c->verb ? " " : "", c->verb);
  const int indent = strlen (before) + strlen ("pairctl ");
  const struct cli_option *o;
  char word[80];

  if (c->arg)
    synopsis_word (c->arg, indent, &column);
  if (c->arg2)
    synopsis_word (c->arg2, indent, &column);
  for (o = c->options; o && o->name; ++o) {
    snprintf (word, sizeof word, "%s--%s%s%s%s", o->is_required ? "" : "[",
              o->name, o->value ? " " : "", o->value ? o->value : "",
              o->is_required ? "" : "]");
    synopsis_word (word, indent, &column);
  }
  printf ("\n");
}

static int
help_noun (const struct cli_noun *n)
{
  const struct cli_command *c;

  printf ("%s: %s\n", n->name, n->help);
  for (c = cli_commands; c->noun; ++c)
    if (strcmp (c->noun, n->name) == 0) {
      printf ("\n");
      synopsis ("", c);
      printf ("    %s\n", c->help);
    }
  return EXIT_OK;
}

static int
help_command (const struct cli_command *c)
{
  synopsis ("usage: ", c);
  printf ("\n%s\n", c->help);
  if (c->details)
    printf ("%s\n", c->details);
  if (c->options)
    help_options ("options", c->options);
  help_options ("options of every verb", cli_globals);
  return EXIT_OK;
}

/* One line a verb: noun, verb or "-", argument or "-", then the options, with a "="
 * behind those that take a value.
 */
static int
list_commands (void)
{
  const struct cli_command *c;
  const struct cli_option *o;

  for (c = cli_commands; c->noun; ++c) {
    printf ("%s %s %s", c->noun, *c->verb ? c->verb : "-",
            c->arg ? c->arg : "-");
    for (o = c->options; o && o->name; ++o)
      printf (" --%s%s", o->name, o->value ? "=" : "");
    printf ("\n");
  }
  printf ("global - -");
  for (o = cli_globals; o->name; ++o)
    printf (" --%s%s", o->name, o->value ? "=" : "");
  printf ("\n");
  return EXIT_OK;
}

/* ------------------------------------------------------------------ */
/* Parsing.                                                             */

/* Split argv into words and options.  -1: go on. */
static int
collect (struct typed *t, int argc, char **argv)
{
  bool only_words = false;
  int i;

  for (i = 1; i < argc; ++i) {
    const char *a = argv[i], *eq;
    const struct cli_option *o;
    struct typed_option *to;

    if (!only_words && strcmp (a, "--") == 0) {
      only_words = true;
      continue;
    }
    if (only_words || a[0] != '-' || a[1] == '\0') {
      if (t->words == WORDS_MAX)
        return usage (t->words > 0 ? t->word[0] : NULL, NULL,
                      "unexpected argument '%s'", a);
      t->word[t->words++] = a;
      continue;
    }
    if (t->options == TYPED_OPTIONS_MAX)
      return usage (NULL, NULL, "too many options");
    if (a[1] != '-')
      return usage (NULL, NULL, "unknown option '%s'", a);
    to = &t->option[t->options++];
    to->name = a + 2;
    eq = strchr (a, '=');
    to->len = eq ? (size_t) (eq - to->name) : strlen (to->name);
    to->value = eq ? eq + 1 : NULL;
    o = option_find_anywhere (to->name, to->len);
    if (o == NULL)
      return usage (t->words > 0 && noun_find (t->word[0]) ? t->word[0] : NULL,
                    t->words > 1 && command_find (t->word[0], t->word[1])
                    ? t->word[1] : NULL,
                    "unknown option '--%.*s'", (int) to->len, to->name);
    if (o->value == NULL && to->value)
      return usage (NULL, NULL, "option '--%s' takes no value", o->name);
    if (o->value && to->value == NULL) {
      if (i + 1 == argc)
        return usage (NULL, NULL, "option '--%s' needs a value: %s",
                      o->name, o->value);
      to->value = argv[++i];
    }
  }
  return -1;
}

static bool
is_typed (const struct typed *t, const char *name)
{
  unsigned i;

  for (i = 0; i < t->options; ++i)
    if (strlen (name) == t->option[i].len &&
        strncmp (name, t->option[i].name, t->option[i].len) == 0)
      return true;
  return false;
}

static int
set_global (struct cli *cli, const char *noun, const char *verb,
            const char *name, const char *value)
{
  if (strcmp (name, "site") == 0)
    cli->site = value;
  else if (strcmp (name, "json") == 0)
    cli->json = true;
  else if (strcmp (name, "no-progress") == 0)
    cli->no_progress = true;
  else if (strcmp (name, "timeout") == 0) {
    if (!duration_parse (value, &cli->timeout_s) || cli->timeout_s <= 0)
      return usage (noun, verb, "'%s' is not a time: say 30, 0.5s, 5m or 2h",
                    value);
    cli->deadline_ns = clock_mono_ns () +
      (uint64_t) (cli->timeout_s * NS_PER_SEC);
  }
  else if (strcmp (name, "progress") == 0) {
    char *end;
    long fd = strtol (value, &end, 10);

    if (*value == '\0' || *end || fd < 0 || fd > 65535 ||
        fcntl (fd, F_GETFD) == -1)
      return usage (noun, verb, "'%s' is not an open file descriptor", value);
    cli->progress_fd = fd;
  }
  return -1;
}

/* Give each typed option to its verb or to all verbs.  -1: go on. */
static int
assign (struct cli *cli, const struct typed *t)
{
  const struct cli_command *c = cli->command;
  const struct cli_option *o;
  unsigned i, j;

  for (i = 0; i < t->options; ++i) {
    const struct typed_option *to = &t->option[i];

    for (j = 0; j < i; ++j)
      if (t->option[j].len == to->len &&
          strncmp (t->option[j].name, to->name, to->len) == 0)
        return usage (c->noun, c->verb, "option '--%.*s' is given twice",
                      (int) to->len, to->name);

    o = option_find (c->options, to->name, to->len);
    if (o) {
      cli->values[o - c->options] = to->value ? to->value : "";
      continue;
    }
    o = option_find (cli_globals, to->name, to->len);
    if (o == NULL)
      return usage (c->noun, c->verb, "'%s %s' has no option '--%.*s'",
                    c->noun, c->verb, (int) to->len, to->name);
    int r = set_global (cli, c->noun, c->verb, o->name, to->value);
    if (r != -1)
      return r;
  }
  for (o = c->options; o && o->name; ++o)
    if (o->is_required && cli->values[o - c->options] == NULL)
      return usage (c->noun, c->verb, "option '--%s' is missing", o->name);
  return -1;
}

int
args_parse (struct cli *cli, int argc, char **argv)
{
  struct typed t = { .words = 0 };
  const struct cli_noun *noun = NULL;
  bool wants_help;
  unsigned first = 2;      /* word that is the argument */
  int r;

  r = collect (&t, argc, argv);
  if (r != -1)
    return r;
  wants_help = is_typed (&t, "help");

  if (t.words > 0) {
    noun = noun_find (t.word[0]);
    if (noun == NULL)
      return usage (NULL, NULL, "there is no '%s'", t.word[0]);
  }
  if (noun)
    cli->command = command_find (noun->name, "");
  if (cli->command)
    first = 1;
  else if (t.words > 1) {
    cli->command = command_find (noun->name, t.word[1]);
    if (cli->command == NULL)
      return usage (noun->name, NULL, "'%s' has no verb '%s'", noun->name,
                    t.word[1]);
  }
  if (wants_help)
    return cli->command ? help_command (cli->command)
      : noun ? help_noun (noun) : help_all ();
  if (is_typed (&t, "version")) {
    printf ("pairctl %s\n", PACKAGE_VERSION);
    return EXIT_OK;
  }
  if (is_typed (&t, "commands"))
    return list_commands ();
  if (noun == NULL)
    return usage (NULL, NULL, "what shall be done? Say a noun and a verb");
  if (cli->command == NULL)
    return usage (noun->name, NULL, "what shall be done with '%s'? Say a verb",
                  noun->name);
  if (cli->command->arg == NULL && t.words > first)
    return usage (noun->name, cli->command->verb, "unexpected argument '%s'",
                  t.word[first]);
  if (cli->command->arg && (t.words <= first || *t.word[first] == '\0'))
    return usage (noun->name, cli->command->verb, "%s is missing",
                  cli->command->arg);
  if (cli->command->arg2 == NULL && t.words > first + 1)
    return usage (noun->name, NULL, "unexpected argument '%s'",
                  t.word[first + 1]);
  if (cli->command->arg2 && (t.words <= first + 1 ||
                             *t.word[first + 1] == '\0'))
    return usage (noun->name, cli->command->verb, "%s is missing",
                  cli->command->arg2);
  cli->arg = t.words > first ? t.word[first] : NULL;
  cli->arg2 = t.words > first + 1 ? t.word[first + 1] : NULL;

  cli->site = getenv ("PAIRDISK_SITE");
  return assign (cli, &t);
}

const char *
args_value (const struct cli *cli, const char *name)
{
  const struct cli_option *o = option_find (cli->command->options, name,
                                            strlen (name));

  assert (o != NULL);
  return cli->values[o - cli->command->options];
}

bool
args_size (const struct cli *cli, const char *name, uint64_t *ret)
{
  const char *value = args_value (cli, name);

  if (value && !size_parse (value, ret)) {
    usage_error (cli, "'%s' is not a size: say for example 512M or 20G",
                 value);
    return false;
  }
  return true;
}

bool
args_number (const struct cli *cli, const char *name, uint64_t max,
             uint64_t *ret)
{
  const char *value = args_value (cli, name);
  unsigned long long n;
  char *end;

  if (value == NULL)
    return true;
  errno = 0;
  n = strtoull (value, &end, 10);
  if (*value < '0' || *value > '9' || *end || errno || n > max) {
    usage_error (cli, "'--%s %s' is not a number from 0 to %llu", name, value,
                 (unsigned long long) max);
    return false;
  }
  *ret = n;
  return true;
}

bool
duration_parse (const char *str, double *ret)
{
  static const struct {
    const char *unit;
    double seconds;
  } units[] = {
    { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 }
  };
  double value;
  char *end;
  size_t i;

  if (*str < '0' || *str > '9')
    return false;
  value = strtod (str, &end);
  for (i = 0; i < sizeof units / sizeof units[0]; ++i)
    if (strcmp (end, units[i].unit) == 0) {
      value *= units[i].seconds;
      if (!isfinite (value) || value > 366 * 86400.)
        return false;
      *ret = value;
      return true;
    }
  return false;
}

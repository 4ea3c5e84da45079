/* Settings from the command line and the file, by the table of keys
 * (settings-table.h, settings.h).
 *
 * A file line is "key = value"; "#" begins a comment at the start of a line
 * or after a blank.  The command line wins over the file.
 */

#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "data-tls.h"
#include "error.h"
#include "fileio.h"
#include "names.h"
#include "settings-table.h"
#include "settings.h"

/* Regions and zones travel in file names, URLs and SQL: keep them plain. */
bool
region_is_valid (const char *str)
{
  size_t i;

  for (i = 0; str[i]; ++i) {
    if (!isalnum ((unsigned char) str[i]) && str[i] != '-' && str[i] != '_')
      return false;
  }
  return i >= 1 && i < REGION_SIZE;
}

static int
add_peer (struct settings *s, const char *value, struct error *err)
{
  const char *eq = strchr (value, '=');
  struct peer_setting *p;

  if (s->npeers == PEERS_MAX)
    return error_set (err, E2BIG, "more than %d peers", PEERS_MAX);
  p = &s->peers[s->npeers];
  if (eq == NULL || eq - value >= REGION_SIZE)
    return error_set (err, EINVAL, "peer '%s' is not REGION=HOST:PORT", value);
  memcpy (p->region, value, eq - value);
  p->region[eq - value] = '\0';
  if (!region_is_valid (p->region) || strrchr (eq + 1, ':') == NULL)
    return error_set (err, EINVAL, "peer '%s' is not REGION=HOST:PORT", value);
  p->address = strdup (eq + 1);
  if (p->address == NULL)
    return error_set (err, ENOMEM, "out of memory");
  s->npeers++;
  return 0;
}

static int
set_text (struct settings *s, const struct setting *key, const char *value,
          struct error *err)
{
  char **field = (char **) ((char *) s + key->offset);

  if (*value == '\0')
    return error_set (err, EINVAL, "%s is empty", key->name);
  if (key->type == SETTING_REGION && !region_is_valid (value))
    return error_set (err, EINVAL, "%s '%s' is not made of letters, digits "
                      "and dashes", key->name, value);
  free (*field);
  *field = strdup (value);
  return *field ? 0 : error_set (err, ENOMEM, "out of memory");
}

static int
set_bool (struct settings *s, const struct setting *key, const char *value,
          struct error *err)
{
  bool *field = (bool *) ((char *) s + key->offset);

  if (strcmp (value, "yes") == 0 || strcmp (value, "true") == 0 ||
      strcmp (value, "1") == 0)
    *field = true;
  else if (strcmp (value, "no") == 0 || strcmp (value, "false") == 0 ||
           strcmp (value, "0") == 0)
    *field = false;
  else
    return error_set (err, EINVAL, "%s '%s' is neither yes nor no",
                      key->name, value);
  return 0;
}

#define NUMBER_MAX 1000000u

static int
set_number (struct settings *s, const struct setting *key,
            const char *value, struct error *err)
{
  uint64_t *field = (uint64_t *) ((char *) s + key->offset);

  if (!uint_parse (value, NUMBER_MAX, field))
    return error_set (err, EINVAL, "%s '%s' is not a whole number up to %u",
                      key->name, value, NUMBER_MAX);
  return 0;
}

static int
set_key (struct settings *s, const char *name, size_t len, const char *value,
         struct error *err)
{
  const struct setting *k;

  for (k = settings_table; k->name; ++k) {
    if (strlen (k->name) != len || memcmp (k->name, name, len) != 0)
      continue;
    switch (k->type) {
    case SETTING_NUMBER: return set_number (s, k, value, err);
    case SETTING_BOOL: return set_bool (s, k, value, err);
    case SETTING_PEER: return add_peer (s, value, err);
    default: return set_text (s, k, value, err);
    }
  }
  error_set (err, EINVAL, "unknown key '%.*s'", (int) len, name);
  return error_hint (err, "see 'paird --help'");
}

static char *
trim (char *str)
{
  char *end;

  while (isspace ((unsigned char) *str))
    str++;
  end = str + strlen (str);
  while (end > str && isspace ((unsigned char) end[-1]))
    *--end = '\0';
  return str;
}

static int
parse_line (struct settings *s, char *line, struct error *err)
{
  char *eq, *name, *hash = line;

  while ((hash = strchr (hash, '#')) != NULL) {
    if (hash == line || isspace ((unsigned char) hash[-1])) {
      *hash = '\0';
      break;
    }
    hash++;
  }
  name = trim (line);
  if (*name == '\0')
    return 0;
  eq = strchr (name, '=');
  if (eq == NULL)
    return error_set (err, EINVAL, "'%s' is not 'key = value'", name);
  *eq = '\0';
  name = trim (name);
  return set_key (s, name, strlen (name), trim (eq + 1), err);
}

static int
parse_file (struct settings *s, const char *path, struct error *err)
{
  CLEANUP_FREE char *text = file_read (AT_FDCWD, path, 1 << 16, NULL);
  char *line;
  struct error e = ERROR_INIT;
  char *copy;
  unsigned number = 0;

  if (text == NULL)
    return error_set_errno (err, errno, "cannot read '%s'", path);
  for (copy = text; (line = strsep (&copy, "\n")) != NULL; ) {
    ++number;
    if (parse_line (s, line, &e) == -1)
      return error_set (err, e.errnum, "%s line %u: %s", path, number,
                        e.message);
  }
  return 0;
}

static int
read_secret (struct settings *s, struct error *err)
{
  struct stat st;
  size_t len;

  if (s->site_secret_file == NULL) {
    if (s->npeers > 0)
      return error_set (err, EINVAL,
                        "a peer is given but no site-secret-file");
    return 0;
  }
  if (stat (s->site_secret_file, &st) == -1)
    return error_set_errno (err, errno, "cannot read '%s'",
                            s->site_secret_file);
  if (st.st_mode & 077) {
    error_set (err, EPERM, "'%s' can be read by others", s->site_secret_file);
    return error_hint (err, "chmod 600 '%s'", s->site_secret_file);
  }
  s->secret = (uint8_t *) file_read (AT_FDCWD, s->site_secret_file, 4096,
                                     &len);
  if (s->secret == NULL)
    return error_set_errno (err, errno, "cannot read '%s'",
                            s->site_secret_file);
  while (len > 0 && isspace (s->secret[len - 1]))
    len--;
  if (len < 16)
    return error_set (err, EINVAL, "'%s' holds fewer than 16 bytes",
                      s->site_secret_file);
  s->secret_len = len;
  return 0;
}

static int
set_defaults (struct settings *s, struct error *err)
{
  const struct setting *k;

  for (k = settings_table; k->name; ++k) {
    if (k->def &&
        set_key (s, k->name, strlen (k->name), k->def, err) == -1)
      return -1;
  }
  return 0;
}

static int
check_complete (struct settings *s, struct error *err)
{
  const struct setting *k;

  for (k = settings_table; k->name; ++k) {
    if (k->is_required && *(char **) ((char *) s + k->offset) == NULL) {
      error_set (err, EINVAL, "%s is not given", k->name);
      return error_hint (err, "see 'paird --help'");
    }
  }
  if (s->zone == NULL && asprintf (&s->zone, "%s-a", s->region) == -1) {
    s->zone = NULL;
    return error_set (err, ENOMEM, "out of memory");
  }
  if (s->tls_dir == NULL && asprintf (&s->tls_dir, "%s/tls", s->dir) == -1) {
    s->tls_dir = NULL;
    return error_set (err, ENOMEM, "out of memory");
  }
  if (data_tls_check (s, err) == -1)
    return -1;
  return read_secret (s, err);
}

/* --help and the like.  0: printed; 1: it is none of these; -1. */
static int
print_wanted (const char *arg, struct error *err)
{
  if (strcmp (arg, "--help") == 0)
    settings_print_help (stdout);
  else if (strcmp (arg, "--version") == 0)
    printf ("paird %s\n", PACKAGE_VERSION);
  else if (strcmp (arg, "--print-settings=conf") == 0)
    settings_print_conf (stdout);
  else if (strcmp (arg, "--print-settings=pod") == 0)
    settings_print_pod (stdout);
  else
    return 1;
  if (fflush (stdout) != 0)
    return error_set_errno (err, errno, "cannot print");
  return 0;
}

int
settings_load (struct settings *s, int argc, char **argv, struct error *err)
{
  int i;

  if (set_defaults (s, err) == -1)
    return -1;
  for (i = 1; i < argc; ++i) {
    int r = print_wanted (argv[i], err);

    if (r != 1)
      return r;
    if (strncmp (argv[i], "--config=", 9) == 0 &&
        parse_file (s, argv[i] + 9, err) == -1)
      return -1;
  }
  for (i = 1; i < argc; ++i) {
    const char *eq = strchr (argv[i], '=');

    if (strncmp (argv[i], "--config=", 9) == 0)
      continue;
    if (strncmp (argv[i], "--", 2) != 0 || eq == NULL) {
      error_set (err, EINVAL, "'%s' is not --KEY=VALUE", argv[i]);
      return error_hint (err, "see 'paird --help'");
    }
    if (set_key (s, argv[i] + 2, eq - argv[i] - 2, eq + 1, err) == -1)
      return -1;
  }
  return check_complete (s, err) == -1 ? -1 : 1;
}

void
settings_release (struct settings *s)
{
  const struct setting *k;
  size_t i;

  for (k = settings_table; k->name; ++k) {
    if (k->type == SETTING_TEXT || k->type == SETTING_REGION)
      free (*(char **) ((char *) s + k->offset));
  }
  for (i = 0; i < s->npeers; ++i)
    free (s->peers[i].address);
  if (s->secret)
    explicit_bzero (s->secret, s->secret_len);
  free (s->secret);
}

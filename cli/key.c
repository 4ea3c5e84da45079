/* pairctl key: access keys for programs that call the site's API.
 *
 * The agent tells a secret once, when the key is made.  It is printed then,
 * or written to a file that only its owner reads; it is never an argument.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "cli.h"
#include "fileio.h"

#define KEY_FILE_MAX 4096

const struct cli_option key_create_options[] = {
  { "role", "ROLE", false, "operator (default) or read-only" },
  { "description", "TEXT", false, "what it is for" },
  { "out", "FILE", false,
    "write id and secret to this new file, mode 0600, as JSON" },
  { NULL, NULL, false, NULL }
};

const struct cli_option key_import_options[] = {
  { "role", "ROLE", false, "operator (default) or read-only" },
  { "description", "TEXT", false, "what it is for" },
  { NULL, NULL, false, NULL }
};

static const char *
role_option (struct cli *cli)
{
  const char *role = args_value (cli, "role");

  return role ? role : "operator";
}

/* Made before the key is, so that a file that cannot be written costs no
 * key.
 */
static int
open_new (const char *path, struct error *err)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  if (fd == -1)
    return error_set_errno (err, errno, "cannot create '%s'", path);
  return fd;
}

static int
write_key (int fd, const json_t *key, struct error *err)
{
  const char *id = get_string (key, "AccessKeyId");
  const char *secret = get_string (key, "AccessKeySecret");
  json_t *json = json_pack ("{s:s, s:s}", "AccessKeyId", id ? id : "",
                            "AccessKeySecret", secret ? secret : "");
  CLEANUP_FREE char *text = json_dumps (json, JSON_INDENT (2));
  int r = 0;

  json_decref (json);
  if (text == NULL)
    return error_set (err, ENOMEM, "out of memory");
  if (write_full (fd, text, strlen (text)) == -1 ||
      write_full (fd, "\n", 1) == -1 || fsync (fd) == -1)
    r = error_set_errno (err, errno, "cannot write the key");
  explicit_bzero (text, strlen (text));
  return r;
}

/* Print a new key, with its secret if it is in no file. */
static int
show_key (struct cli *cli, json_t *key, bool with_secret)
{
  struct table *t;

  if (!with_secret)
    json_object_del (key, "AccessKeySecret");
  if (cli->json)
    return print_json (key);
  t = facts_new ();
  fact (t, "access key", get_string (key, "AccessKeyId"));
  if (with_secret)
    fact (t, "secret", get_string (key, "AccessKeySecret"));
  fact (t, "role", get_string (key, "Role"));
  json_decref (key);
  return table_print_plain (t);
}

int
key_create (struct cli *cli)
{
  const char *out = args_value (cli, "out");
  const struct param params[] = {
    { "Role", role_option (cli) },
    { "Description", args_value (cli, "description") },
    { NULL, NULL }
  };
  struct error err = ERROR_INIT;
  CLEANUP_CLOSE int fd = -1;
  struct failure f;
  json_t *key;

  if (out && (fd = open_new (out, &err)) == -1)
    return fail_error (&err, "cannot create an access key");
  key = client_read (cli, "CreateAccessKey", params, &f);
  if (key == NULL) {
    if (out)
      unlink (out);
    return fail (&f, "cannot create an access key");
  }
  if (out && write_key (fd, key, &err) == -1) {
    int r = fail_error (&err, "access key '%s' was created, but its secret "
                        "is lost; delete it",
                        or_unknown (get_string (key, "AccessKeyId")));
    json_decref (key);
    return r;
  }
  return show_key (cli, key, out == NULL);
}

/* NULL: ERR is filled. */
static json_t *
read_key (const char *path, struct error *err)
{
  CLEANUP_FREE char *text = NULL;
  struct stat st;
  json_t *key;

  if (stat (path, &st) == 0 && (st.st_mode & 077)) {
    error_set (err, EPERM, "'%s' can be read by others", path);
    error_hint (err, "chmod 600 '%s'", path);
    return NULL;
  }
  text = file_read (AT_FDCWD, path, KEY_FILE_MAX, NULL);
  if (text == NULL) {
    error_set_errno (err, errno, "cannot read '%s'", path);
    return NULL;
  }
  key = json_loads (text, 0, NULL);
  explicit_bzero (text, strlen (text));
  if (get_string (key, "AccessKeyId") == NULL ||
      get_string (key, "AccessKeySecret") == NULL) {
    json_decref (key);
    error_set (err, EINVAL, "'%s' is not what 'pairctl key create --out' "
               "writes", path);
    return NULL;
  }
  return key;
}

int
key_import (struct cli *cli)
{
  struct error err = ERROR_INIT;
  json_t *key = read_key (cli->arg, &err), *answer;
  struct failure f;

  if (key == NULL)
    return fail_error (&err, "cannot import an access key");

  const struct param params[] = {
    { "Role", role_option (cli) },
    { "Description", args_value (cli, "description") },
    { "UserAccessKeyId", get_string (key, "AccessKeyId") },
    { "AccessKeySecret", get_string (key, "AccessKeySecret") },
    { NULL, NULL }
  };
  answer = client_read (cli, "CreateAccessKey", params, &f);
  json_decref (key);
  if (answer == NULL)
    return fail (&f, "cannot import the access key of '%s'", cli->arg);
  return show_key (cli, answer, false);
}

int
key_list (struct cli *cli)
{
  static const struct column columns[] = {
    { "ACCESS KEY", false, false, 0 },
    { "ROLE", false, false, 0 },
    { "STATUS", false, false, 0 },
    { "CREATED", false, false, 2 },
    { "DESCRIPTION", false, true, 1 },
  };
  struct failure f;
  struct table *t;
  json_t *answer, *key;
  char text[TEXT_SIZE];
  double seconds;
  size_t i;

  answer = client_read (cli, "ListAccessKeys", NULL, &f);
  if (answer == NULL)
    return fail (&f, "cannot list access keys");
  if (cli->json)
    return print_json (answer);
  t = table_new (columns, sizeof columns / sizeof columns[0]);
  json_array_foreach (json_object_get (answer, "AccessKeys"), i, key) {
    table_text (t, get_string (key, "AccessKeyId"));
    table_text (t, get_string (key, "Role"));
    table_text (t, get_string (key, "Status"));
    table_text (t, get_double (key, "CreateTime", &seconds)
                ? date_format (seconds, text) : NULL);
    table_text (t, get_string (key, "Description"));
  }
  json_decref (answer);
  return table_print (t);
}

/* STATUS NULL: delete it. */
static int
change (struct cli *cli, const char *status, const char *word)
{
  const struct param params[] = { { "UserAccessKeyId", cli->arg },
                                  { "Status", status }, { NULL, NULL } };
  struct failure f;
  json_t *answer;

  answer = client_read (cli, status ? "UpdateAccessKey" : "DeleteAccessKey",
                        params, &f);
  if (answer == NULL)
    return fail (&f, "cannot change access key '%s'", cli->arg);
  if (cli->json)
    return print_json (answer);
  json_decref (answer);
  return print_line ("access key %s is %s", cli->arg, word);
}

int
key_disable (struct cli *cli)
{
  return change (cli, "Inactive", "disabled");
}

int
key_enable (struct cli *cli)
{
  return change (cli, "Active", "enabled");
}

int
key_delete (struct cli *cli)
{
  return change (cli, NULL, "deleted");
}

/* pairctl site init: a new site on this machine, before it has an agent.
 *
 * What is made: the site directory, its keys and certificates (common/x509.h)
 * and a configuration file for paird.  Nothing that is there is replaced; a
 * kill leaves either a site without its configuration file, which is begun
 * anew, or all of it: the file is the last that is written.
 */

#include <config.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "cli.h"
#include "fileio.h"
#include "x509.h"

#define PORT_DEFAULT "7781"
#define DATA_PORT_DEFAULT "10810"

const struct cli_option site_init_options[] = {
  { "region", "REGION", true, "name of this site, unlike all others" },
  { "zone", "ZONE", false, "name of its zone (default: REGION-a)" },
  { "address", "HOST[:PORT]", true,
    "where the other sites find it (default port 7781)" },
  { "data-address", "HOST[:PORT]", false,
    "where they find its data (default: same host, port 10810)" },
  { "listen", "HOST", false,
    "address to listen on (default: that of --address, if numeric)" },
  { "config", "FILE", false, "the configuration file to write" },
  { NULL, NULL, false, NULL }
};

struct place {
  char host[256];
  char port[8];
};

/* HOST, HOST:PORT, [HOST] or [HOST]:PORT. */
static bool
place_parse (const char *text, const char *port, struct place *ret)
{
  const char *end = text[0] == '[' ? strchr (text, ']') : NULL;
  const char *begin = end ? text + 1 : text, *colon;
  size_t len, i;

  colon = end ? (end[1] == ':' ? end + 1 : NULL) : strrchr (text, ':');
  if (end == NULL && colon && strchr (text, ':') != colon)
    return false;                /* IPv6 without brackets */
  if (end && end[1] && colon == NULL)
    return false;
  len = end ? (size_t) (end - begin)
    : colon ? (size_t) (colon - begin) : strlen (begin);
  if (colon)
    port = colon + 1;
  if (len == 0 || len >= sizeof ret->host || strlen (port) > 5 ||
      strspn (port, "0123456789") != strlen (port) || atoi (port) < 1 ||
      atoi (port) > 65535)
    return false;
  for (i = 0; i < len; ++i) {
    if (!isalnum ((unsigned char) begin[i]) && strchr (".-:", begin[i]) == NULL)
      return false;
  }
  memcpy (ret->host, begin, len);
  ret->host[len] = '\0';
  strcpy (ret->port, port);
  return true;
}

static bool
is_v6 (const char *host)
{
  uint8_t address[16];

  return inet_pton (AF_INET6, host, address) == 1;
}

static bool
is_numeric (const char *host)
{
  uint8_t address[16];

  return is_v6 (host) || inet_pton (AF_INET, host, address) == 1;
}

static char *
place_text (const char *host, const char *port)
{
  return text_printf (is_v6 (host) ? "[%s]:%s" : "%s:%s", host, port);
}

/* As paird checks it. */
static bool
is_name (const char *text)
{
  size_t len = strlen (text);

  return len >= 1 && len <= 64 &&
    strspn (text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
            "0123456789-_") == len;
}

struct init {
  const char *region, *zone, *dir;
  char *tls, *disks, *config;
  struct place address, data;
  const char *listen;            /* host */
};

/* False after a usage error. */
static bool
parse (struct cli *cli, struct init *in)
{
  const char *address = args_value (cli, "address");
  const char *data = args_value (cli, "data-address");
  const char *config = args_value (cli, "config");

  in->region = args_value (cli, "region");
  in->zone = args_value (cli, "zone");
  in->listen = args_value (cli, "listen");
  if (!is_name (in->region) || (in->zone && !is_name (in->zone))) {
    usage_error (cli, "a region and a zone are made of letters, digits and "
                 "dashes");
    return false;
  }
  if (!place_parse (address, PORT_DEFAULT, &in->address)) {
    usage_error (cli, "'--address %s' is not HOST or HOST:PORT", address);
    return false;
  }
  if (!place_parse (data ? data : in->address.host, DATA_PORT_DEFAULT,
                    &in->data) &&
      (data || !is_v6 (in->address.host))) {
    usage_error (cli, "'--data-address %s' is not HOST or HOST:PORT",
                 data ? data : in->address.host);
    return false;
  }
  if (data == NULL) {
    strcpy (in->data.host, in->address.host);
    strcpy (in->data.port, DATA_PORT_DEFAULT);
  }
  if (in->listen == NULL)
    in->listen = is_numeric (in->address.host) ? in->address.host : "0.0.0.0";
  else if (!is_numeric (in->listen)) {
    usage_error (cli, "'--listen %s' is not a numeric address", in->listen);
    return false;
  }
  in->dir = cli->site && *cli->site ? cli->site : DEFAULT_SITE;
  in->tls = text_printf ("%s/tls", in->dir);
  in->disks = text_printf ("%s/disks", in->dir);
  in->config = config ? text_printf ("%s", config)
    : strcmp (in->dir, DEFAULT_SITE) == 0
    ? text_printf ("%s", DEFAULT_CONFIG)
    : text_printf ("%s/paird.conf", in->dir);
  return true;
}

/* And what it lies in, which with a prefix of one's own may be missing. */
static int
make_dir (const char *path, mode_t mode, struct error *err)
{
  CLEANUP_FREE char *above = text_printf ("%s", path);
  char *slash;

  for (slash = above + 1; *above && (slash = strchr (slash, '/')); ++slash) {
    *slash = '\0';
    if (mkdir (above, 0755) == -1 && errno != EEXIST)
      return error_set_errno (err, errno, "cannot make '%s'", above);
    *slash = '/';
  }
  if (mkdir (path, mode) == -1 && errno != EEXIST)
    return error_set_errno (err, errno, "cannot make '%s'", path);
  return 0;
}

static int
make_keys (const struct init *in, struct error *err)
{
  CLEANUP_FREE char *making = text_printf ("%s.making", in->tls);
  const char *hosts[] = {
    in->address.host,
    strcmp (in->data.host, in->address.host) ? in->data.host : NULL, NULL
  };

  /* Left by one that was killed: there is no configuration file yet. */
  x509_remove_site (making);
  x509_remove_site (in->tls);
  if (x509_make_site (making, in->region, hosts, err) == -1)
    return -1;
  if (rename (making, in->tls) == -1)
    return error_set_errno (err, errno, "cannot make '%s'", in->tls);
  return 0;
}

static int
write_config (const struct init *in, struct error *err)
{
  CLEANUP_FREE char *dir = realpath (in->dir, NULL);
  CLEANUP_FREE char *parent = text_printf ("%s", in->config);
  CLEANUP_FREE char *address = place_text (in->address.host,
                                           in->address.port);
  CLEANUP_FREE char *listen = place_text (in->listen, in->address.port);
  CLEANUP_FREE char *data = place_text (in->data.host, in->data.port);
  CLEANUP_FREE char *data_listen = place_text (in->listen, in->data.port);
  CLEANUP_FREE char *text = NULL;
  char *slash = strrchr (parent, '/');

  if (dir == NULL)
    return error_set_errno (err, errno, "cannot find '%s'", in->dir);
  if (slash && slash != parent) {
    *slash = '\0';
    if (make_dir (parent, 0755, err) == -1)
      return -1;
  }
  text = text_printf (
    "# Configuration of paird, made by \"pairctl site init\".  All keys are in "
    "paird(8)\n# and in the sample that \"paird --print-settings=conf\" "
    "prints.\n\n"
    "region = %s\n%s%s%sdir = %s\n\n"
    "# The API: api.sock in the directory for this machine, TLS for others.\n"
    "listen = none\nlisten-tls = %s\naddress = %s\n\n"
    "# The data of the other sites.\n"
    "data-listen = %s\ndata-address = %s\ndata-tls = x509\n",
    in->region, in->zone ? "zone = " : "", in->zone ? in->zone : "",
    in->zone ? "\n" : "", dir, listen, address, data_listen, data);
  if (file_replace_path (in->config, text, strlen (text), 0644) == -1)
    return error_set_errno (err, errno, "cannot write '%s'", in->config);
  return 0;
}

static int
refuse_second (const struct init *in, struct error *err)
{
  CLEANUP_FREE char *db = text_printf ("%s/paird.db", in->dir);
  const char *there = access (in->config, F_OK) == 0 ? in->config
    : access (db, F_OK) == 0 ? db : NULL;

  if (there == NULL)
    return 0;
  error_set (err, EEXIST, "'%s' is there: this is a site already", there);
  return error_hint (err, "'pairctl site rotate' makes new keys; another site "
                     "needs another --site and --config");
}

static int
print_made (struct cli *cli, const struct init *in)
{
  CLEANUP_FREE char *path = text_printf ("%s/site-cert.pem", in->tls);
  CLEANUP_FREE char *pem = file_read (AT_FDCWD, path, X509_PEM_MAX, NULL);
  CLEANUP_FREE char *address = place_text (in->address.host,
                                           in->address.port);
  char fingerprint[X509_FINGERPRINT_SIZE] = "";
  struct table *t;

  if (pem)
    x509_fingerprint (pem, fingerprint, NULL);
  if (cli->json)
    return print_json (json_pack ("{s:s, s:s, s:s, s:s, s:s}",
                                  "RegionId", in->region,
                                  "Directory", in->dir,
                                  "Config", in->config, "Address", address,
                                  "Fingerprint", fingerprint));
  t = facts_new ();
  fact (t, "site", in->region);
  fact (t, "directory", in->dir);
  fact (t, "configuration", in->config);
  fact (t, "address", address);
  fact (t, "certificate", fingerprint);
  fact_printf (t, "next", strcmp (in->config, DEFAULT_CONFIG) == 0
               ? "systemctl enable --now paird (or paird --config=%s)"
               : "paird --config=%s", in->config);
  fact (t, "then", "pairctl site invite here, pairctl site join there");
  return table_print_plain (t);
}

int
site_init (struct cli *cli)
{
  struct init in = { .region = NULL };
  struct error err = ERROR_INIT;
  int r;

  if (!parse (cli, &in))
    return EXIT_USAGE;
  if (refuse_second (&in, &err) == -1 || make_dir (in.dir, 0700, &err) == -1 ||
      make_dir (in.disks, 0700, &err) == -1 || make_keys (&in, &err) == -1 ||
      write_config (&in, &err) == -1)
    r = fail_error (&err, "cannot make site '%s'", in.region);
  else
    r = print_made (cli, &in);
  free (in.tls);
  free (in.disks);
  free (in.config);
  return r;
}

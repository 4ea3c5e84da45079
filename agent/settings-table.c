/* The table of keys, and the texts that are made from it: the help, the
 * sample of a configuration file and the manual page's list (settings-table.h).
 *
 * Nothing about a key is said a second time anywhere: the manual page is
 * built with "paird --print-settings=pod", the sample file with
 * "paird --print-settings=conf".
 */

#include <config.h>

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "settings-table.h"
#include "settings.h"

#define AT(member) offsetof (struct settings, member)
#define WIDTH 76

const struct setting settings_table[] = {
  { "region", SETTING_REGION, AT (region), NULL, true, "REGION",
    "name of this site's region, as in RegionId",
    "Every site is a region of its own, so it must differ from those of the "
    "other sites. It is on record in every pair: do not change it later.",
    "cn-a" },
  { "zone", SETTING_REGION, AT (zone), NULL, false, "ZONE",
    "name of this site's zone, as in ZoneId",
    "Without it the region and \"-a\". It is on record in every pair: do not "
    "change it later.",
    "cn-a-1" },
  { "dir", SETTING_TEXT, AT (dir), NULL, true, "DIR",
    "site directory: paird.db, api.sock, nbd.sock, disks/, tls/, peers/",
    "Made if it is not there, for the user that runs paird only. One paird at "
    "a time uses it. The volumes lie in it, so it belongs on a file system "
    "with room for the journals; its path must be short enough for a Unix "
    "socket.",
    "/var/lib/pairdisk" },
  { "listen", SETTING_TEXT, AT (listen), "127.0.0.1:7780", false,
    "HOST:PORT", "TCP address of the API without TLS, or none",
    "For programs on this machine. Anything further away belongs on "
    "listen-tls, since what travels here can be read and changed on the way.",
    NULL },
  { "listen-tls", SETTING_TEXT, AT (listen_tls), "none", false, "HOST:PORT",
    "TCP address of the API with TLS, or none",
    "For the other sites and for SDKs. The certificate is that of tls-dir, "
    "made by pairctl site init. Sites that were joined with pairctl site join "
    "meet here.",
    "0.0.0.0:7781" },
  { "address", SETTING_TEXT, AT (address), NULL, false, "HOST:PORT",
    "where the other sites find listen-tls",
    "Goes into the token of pairctl site invite. Without it listen-tls, which "
    "is wrong as soon as that is a wildcard or there is a forwarder between.",
    "a.example.com:7781" },
  { "tls-dir", SETTING_TEXT, AT (tls_dir), NULL, false, "DIR",
    "keys and certificates; without it tls in the site directory",
    "With the names that nbdkit and libnbd look for: ca-cert.pem, "
    "server-cert.pem, server-key.pem, client-cert.pem, client-key.pem. Made "
    "by pairctl site init, replaced by pairctl site rotate. Other ones may be "
    "put there; then rotate them yourself.",
    "/var/lib/pairdisk/tls" },
  { "data-listen", SETTING_TEXT, AT (data_listen), "127.0.0.1:10810", false,
    "HOST:PORT", "TCP address of nbdkit for the other sites, or none",
    "The other sites send their writes there; with none the site is never a "
    "destination. With the host 0.0.0.0 or [::] the other sites use the host "
    "they know this site's API by.",
    NULL },
  { "data-address", SETTING_TEXT, AT (data_address), NULL, false,
    "HOST:PORT", "where the other sites find data-listen",
    "What they are told instead of data-listen, when they reach it by another "
    "address: behind NAT or a port forwarder.",
    "a.example.com:10810" },
  { "data-tls", SETTING_TEXT, AT (data_tls), "off", false, "off|x509|psk",
    "how data-listen and the links to the other sites are protected",
    "With x509 by the certificates of tls-dir, which the data of a site must "
    "show, and those who send to it, too, unless pairctl site init made them; "
    "with psk by the key of data-psk-file. The same at all sites. With off "
    "what guests write can be read on its way. A change counts for nbdkit "
    "when it is started again.",
    "x509" },
  { "data-psk-file", SETTING_TEXT, AT (data_psk_file), NULL, false, "FILE",
    "keys of the links with data-tls=psk, mode 0600",
    "An absolute path. Lines of USER:HEX as psktool(1) makes them, the same "
    "at both sites.",
    "/etc/pairdisk/psk" },
  { "data-psk-user", SETTING_TEXT, AT (data_psk_user), "pairdisk", false,
    "USER", "whose key in data-psk-file this site's links use",
    "Every user in the other site's file is let in.", NULL },
  { "peer", SETTING_PEER, 0, NULL, false, "REGION=HOST:PORT",
    "another site and the address of its API; may be repeated",
    "For sites that share a site-secret-file and speak without TLS, as on a "
    "network of their own. Sites that were joined with pairctl site join are "
    "on record in the site directory and are not named here.",
    "cn-b=198.51.100.1:7780" },
  { "site-secret-file", SETTING_TEXT, AT (site_secret_file), NULL, false,
    "FILE", "secret shared with the peers, 16 to 4096 bytes, mode 0600",
    "Required with a peer. Calls from site to site are authenticated with "
    "it, and the secret of each pair's link is derived from it and from a "
    "random value of the pair.",
    "/etc/pairdisk/secret" },
  { "metrics-listen", SETTING_TEXT, AT (metrics_listen), "none", false,
    "HOST:PORT", "TCP address of /metrics and /healthz, or none",
    "For Prometheus. Nothing else is served there and nobody is asked who he "
    "is. Both are on the Unix socket api.sock, too.",
    "127.0.0.1:7782" },
  { "nbdkit", SETTING_TEXT, AT (nbdkit), "nbdkit", false, "PROGRAM",
    "the nbdkit program",
    "Found by PATH.", "/usr/bin/nbdkit" },
  { "plugin", SETTING_TEXT, AT (plugin), "pairdisk", false, "PATH",
    "the nbdkit plugin, a path or an installed name",
    "A path is needed when the plugin is not where nbdkit looks for plugins.",
    "/usr/local/lib/nbdkit/plugins/nbdkit-pairdisk-plugin.so" },
  { "pairs-max", SETTING_NUMBER, AT (pairs_max), "1000", false, "N",
    "how many replication pairs this site takes part in",
    "A call that would make one more is refused with "
    "OperationDenied.QuotaExceed. 1000 is more than one agent was tried with; "
    "0 takes none.",
    NULL },
  { "verb-timeout", SETTING_NUMBER, AT (verb_timeout), "60", false, "SECONDS",
    "how long a verb may take",
    "A status that passes, such as stopping, becomes its ..._failed when both "
    "sites have not done their part by then; the verb may be called again. "
    "What is being saved takes as long as it does.",
    NULL },
  { "run-nbdkit", SETTING_BOOL, AT (run_nbdkit), "yes", false, "BOOL",
    "start nbdkit, and start it again when it dies",
    "With no, somebody else runs nbdkit for this site directory, such as "
    "systemd with pairdisk-nbdkit.service, and paird uses what answers on "
    "control.sock.",
    NULL },
  { "stop-plugin-on-exit", SETTING_BOOL, AT (stop_plugin_on_exit), "yes",
    false, "BOOL", "end nbdkit when paird ends on a signal",
    "With no, as after any other end of paird, nbdkit goes on and the next "
    "paird adopts it. Only counts with run-nbdkit.",
    NULL },
  { NULL, 0, 0, NULL, false, NULL, NULL, NULL, NULL }
};

void
settings_print_help (FILE *f)
{
  const struct setting *k;

  fprintf (f, "paird %s: agent of a pairdisk site\n\n"
           "Usage: paird [--config=FILE] --region=REGION --dir=DIR "
           "[--KEY=VALUE ...]\n\n"
           "Keys, for the command line and the configuration file:\n",
           PACKAGE_VERSION);
  for (k = settings_table; k->name; ++k) {
    fprintf (f, "  --%s=%s\n      %s", k->name, k->word, k->help);
    if (k->def)
      fprintf (f, " (default: %s)", k->def);
    fprintf (f, "%s\n", k->is_required ? " (required)" : "");
  }
  fprintf (f, "Others:\n"
           "  --config=FILE\n      read keys from FILE first\n"
           "  --print-settings=conf|pod\n"
           "      print a sample of a configuration file, or the manual's "
           "list\n"
           "  --help, --version\n");
}

/* TEXT in lines that begin with PREFIX. */
static void
print_wrapped (FILE *f, const char *prefix, const char *text)
{
  const char *p = text;

  while (*p) {
    size_t room = WIDTH - strlen (prefix), n = strlen (p);

    if (n > room) {
      for (n = room; n > 0 && p[n] != ' '; --n)
        ;
      if (n == 0)
        n = strcspn (p, " ");
    }
    fprintf (f, "%s%.*s\n", prefix, (int) n, p);
    p += n;
    p += strspn (p, " ");
  }
}

/* "name of this" as "Name of this". */
static void
print_sentence (FILE *f, const char *prefix, const char *text)
{
  char copy[256];

  snprintf (copy, sizeof copy, "%s.", text);
  if (copy[0] >= 'a' && copy[0] <= 'z')
    copy[0] -= 'a' - 'A';
  print_wrapped (f, prefix, copy);
}

void
settings_print_conf (FILE *f)
{
  const struct setting *k;

  fputs ("# Configuration of paird, the agent of a pairdisk site: see "
         "paird(8).\n"
         "#\n"
         "# \"key = value\"; a # begins a comment at the start of a line or "
         "after a\n"
         "# blank. What is commented out below is the default, or an "
         "example where\n"
         "# there is none.\n", f);
  for (k = settings_table; k->name; ++k) {
    const char *value = k->def ? k->def : k->example;

    fputc ('\n', f);
    print_sentence (f, "# ", k->help);
    print_wrapped (f, "# ", k->details);
    fprintf (f, "%s%s = %s\n", k->is_required ? "" : "#", k->name, value);
  }
}

void
settings_print_pod (FILE *f)
{
  const struct setting *k;

  fputs ("=over 4\n", f);
  for (k = settings_table; k->name; ++k) {
    fprintf (f, "\n=item B<--%s=>%s\n\n", k->name, k->word);
    print_sentence (f, "", k->help);
    print_wrapped (f, "", k->details);
    if (k->is_required)
      fputs ("Required.\n", f);
    if (k->def)
      fprintf (f, "Default: C<%s>.\n", k->def);
  }
  fputs ("\n=back\n", f);
}

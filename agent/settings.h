/* What the agent was told on the command line and in its file (settings.c). */

#ifndef PAIRDISK_AGENT_SETTINGS_H
#define PAIRDISK_AGENT_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define REGION_SIZE 65           /* region or zone, with the zero byte */
#define PEERS_MAX 16

struct peer_setting {
  char region[REGION_SIZE];
  char *address;                 /* HOST:PORT of its HTTP */
};

struct settings {
  char *region, *zone, *dir, *listen, *listen_tls, *address, *tls_dir;
  char *data_tls, *data_psk_file, *data_psk_user;
  char *data_listen, *data_address, *site_secret_file, *metrics_listen;
  char *nbdkit, *plugin;
  bool run_nbdkit, stop_plugin_on_exit;
  uint64_t pairs_max;
  uint64_t verb_timeout;         /* seconds */
  struct peer_setting peers[PEERS_MAX];
  size_t npeers;
  uint8_t *secret;               /* content of site-secret-file */
  size_t secret_len;             /* 0: none */
};

/* 1: go on; 0: help or version was printed; -1: ERR. */
extern int settings_load (struct settings *s, int argc, char **argv,
                          struct error *err);
extern void settings_release (struct settings *s);

/* Can it be the name of a region or zone? */
extern bool region_is_valid (const char *str);

#endif /* PAIRDISK_AGENT_SETTINGS_H */

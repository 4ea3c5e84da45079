/* How a link is carried: what can be set for each pair.
 *
 * Values only, so that they can be copied, compared and kept in the disk's
 * link file.  A value of 0 or "" means the default.
 */

#ifndef PAIRDISK_OPTIONS_H
#define PAIRDISK_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

#define OPTIONS_PATH_MAX 1023
#define OPTIONS_USERNAME_MAX 127

#define OPTIONS_DEAD_SECONDS 5
#define OPTIONS_DEAD_SECONDS_MIN 2      /* a stop of one second is no death */
#define OPTIONS_DEAD_SECONDS_MAX 600
#define OPTIONS_CONNECTIONS 1
#define OPTIONS_CONNECTIONS_MAX 8

struct replica_options {
  /* TLS: at most one of the two is set; without, the link is plain unless its
   * URI says nbds.  With one of them nothing is sent in the clear, whatever
   * the URI says and the peer offers.
   */
  char certificates[OPTIONS_PATH_MAX + 1];   /* directory, X.509 */
  char psk_file[OPTIONS_PATH_MAX + 1];
  char username[OPTIONS_USERNAME_MAX + 1];   /* in the PSK file */

  unsigned dead_seconds;    /* a peer that is silent so long is given up */
  unsigned connections;     /* that the stream is spread over */
  uint64_t limit_bps;       /* bytes a second; 0: none */
};

extern bool options_want_tls (const struct replica_options *options);

/* Bounds, absolute paths, and that the keys are there and nobody else can
 * read them (EPERM).
 */
extern int options_check (const struct replica_options *options,
                          struct error *err);

/* Which files the keys are in now, for telling whether they have changed since.
 * Never 0 with TLS, always 0 without.
 */
extern uint64_t options_keys_stamp (const struct replica_options *options);

#endif /* PAIRDISK_OPTIONS_H */

/* Listening sockets: our own, or those that systemd has opened for us. */

#ifndef PAIRDISK_LISTEN_H
#define PAIRDISK_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

/* Take note of the sockets of LISTEN_FDS (sd_listen_fds(3)), once, before there
 * are threads.
 */
extern void listen_inherit (void);

/* Close those that nothing has asked for, and say so. */
extern void listen_inherit_end (void);

/* Listen on the Unix socket PATH, for the own user only; returns the socket.
 * What is there is replaced, unless it was inherited.
 */
extern int listen_unix (const char *path, struct error *err);

/* Remove PATH, unless its socket was inherited. */
extern void listen_unlink (const char *path);

/* Listen on HOST:PORT.  RET is what was bound, e.g. with the port that the
 * kernel chose for 0; it may be ADDRESS itself.
 */
extern int listen_tcp (const char *address, char *ret, size_t size,
                       struct error *err);

#endif /* PAIRDISK_LISTEN_H */

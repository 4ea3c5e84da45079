/* The control socket: lines of JSON in, lines of JSON out.
 *
 * One thread accepts, one thread for each connection reads requests and
 * answers them in order.  What the requests mean is in control-ops.c.
 */

#ifndef PAIRDISK_CONTROL_H
#define PAIRDISK_CONTROL_H

#include "error.h"

/* Longest line, in either direction, with its newline. */
#define CONTROL_LINE_MAX 65536

/* Bind and listen; no thread yet.  A socket file that nobody listens on is
 * replaced, anything else at PATH is EADDRINUSE.
 */
extern int control_listen (const char *path, struct error *err);

/* Start answering (after the fork). */
extern int control_start (struct error *err);

/* Stop answering, join all threads, remove the socket.  Fine to call at any
 * time.
 */
extern void control_stop (void);

#endif /* PAIRDISK_CONTROL_H */

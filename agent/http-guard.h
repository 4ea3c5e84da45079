/* Connections of a listener and how long each may take.
 *
 * A thread that shuts down what is too slow: a connection whose request is
 * not whole, or whose answer is not fetched, in time; one that says nothing.
 * When there are too many, the one that has waited longest without ever
 * having proved who it is makes room.  So neither silent clients nor slow
 * ones keep others out.
 */

#ifndef PAIRDISK_AGENT_HTTP_GUARD_H
#define PAIRDISK_AGENT_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

#define GUARD_CONNECTIONS 256    /* more than this: the oldest makes room */
#define GUARD_STRANGER_S 10      /* for a client that is not known yet */
#define GUARD_KNOWN_S 60         /* since its last call */

struct guard;
struct guarded;

extern struct guard *guard_new (struct error *err);
extern void guard_free (struct guard *g);

/* A connection on FD began and ended.  NULL: out of memory, not watched. */
extern struct guarded *guard_enter (struct guard *g, int fd);
extern void guard_leave (struct guard *g, struct guarded *c);

/* A call is being carried out, which takes its own time; it is done, and
 * whether the client had proved who it is.
 */
extern void guard_busy (struct guard *g, struct guarded *c);
extern void guard_done (struct guard *g, struct guarded *c, bool is_known);

#endif /* PAIRDISK_AGENT_HTTP_GUARD_H */

/* For how long a secondary may go on saying that it lacks nothing.
 *
 * A moment is kept by the clock that goes on while the machine sleeps, which
 * is only good for this boot, and by the wall clock.  A lease has run out
 * when either of the two says so, when they are of another boot, or when the
 * wall clock went back behind the lease's beginning: who cannot tell how
 * much time went by may claim nothing.
 */

#ifndef PAIRDISK_LEASE_H
#define PAIRDISK_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "uuid.h"

struct moment {
  struct uuid boot;        /* null: not known */
  uint64_t boot_ns, wall_ns;
};

struct lease {
  struct moment from;
  uint64_t ms;             /* 0: none */
};

extern void moment_now (struct moment *ret);

/* What is left of it at NOW, 0: it has run out. */
extern uint64_t lease_left_ms (const struct lease *lease,
                               const struct moment *now);

#endif /* PAIRDISK_LEASE_H */

/* Turns "a record became durable" into something poll can wait for.
 *
 * A thread of its own waits in volume_wait_durable and writes the eventfd.
 * It is armed for one seq at a time and fires once, so a busy sender, which
 * finds records without waiting, costs nothing.
 */

#ifndef PAIRDISK_WATCHER_H
#define PAIRDISK_WATCHER_H

#include <stdint.h>

#include "error.h"
#include "volume.h"

struct watcher;

/* WAKE_FD is written, never closed. */
extern struct watcher *watcher_start (struct volume *v, int wake_fd,
                                      struct error *err);
extern void watcher_stop (struct watcher *w);

/* Fire when a record after SEQ is durable. */
extern void watcher_arm (struct watcher *w, uint64_t seq);

#endif /* PAIRDISK_WATCHER_H */

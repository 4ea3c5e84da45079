/* A window on a file: reads of what the page cache has, without a system
 * call each.
 *
 * Bytes are copied out before anybody looks at them, so what changes behind
 * the window changes nothing that was verified.  Where the medium fails or
 * the file ends the copy is refused (the kernel's SIGBUS is caught), and the
 * caller reads in the ordinary way, which has an errno.
 *
 * What was looked at counts as the process's shared, file-backed memory
 * (RssFile): it is page cache, which the kernel takes back when it needs it.
 */

#ifndef PAIRDISK_VOLUME_WINDOW_H
#define PAIRDISK_VOLUME_WINDOW_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* It grows with the file by a new mapping twice as large; the older ones
 * stay until the end, for readers need no lock.
 */
#define WINDOW_VIEWS 20

/* From this length on faults for its pages cost more than a system call. */
#define WINDOW_COPY_MAX (32u << 10)

struct window {
  int fd;
  pthread_mutex_t lock;        /* whoever opens a view */
  unsigned views;              /* atomic */
  struct window_view {
    const char *memory;
    uint64_t length;
  } view[WINDOW_VIEWS];
};

/* FD stays the caller's and must outlive the window. */
extern void window_init (struct window *window, int fd);
extern void window_release (struct window *window);

/* Any thread.  False: read it in another way. */
extern bool window_copy (struct window *window, void *buf, size_t len,
                         uint64_t offset);

/* What is copied next.  Where it is in memory the processor fetches it while
 * the caller does something else; nothing is read from the medium.
 */
extern void window_approach (struct window *window, size_t len,
                             uint64_t offset);

#endif /* PAIRDISK_VOLUME_WINDOW_H */

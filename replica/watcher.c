/* A thread between volume_wait_durable and an eventfd (see watcher.h). */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"
#include "watcher.h"

/* A stop is noticed after this long even if its wake-up came too early. */
#define WAIT_MS 250

struct watcher {
  struct volume *v;
  int wake_fd;
  pthread_t thread;

  /* Guards all below. */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool stop, is_armed;
  uint64_t seq;
};

/* False: stop. */
static bool
wait_until_armed (struct watcher *w, uint64_t *ret_seq)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&w->lock);

  while (!w->stop && !w->is_armed)
    pthread_cond_wait (&w->changed, &w->lock);
  *ret_seq = w->seq;
  return !w->stop;
}

static void
disarm (struct watcher *w, uint64_t seq)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&w->lock);

  if (w->seq == seq)
    w->is_armed = false;
}

static void *
watcher_thread (void *opaque)
{
  struct watcher *w = opaque;
  const uint64_t one = 1;
  uint64_t seq;

  while (wait_until_armed (w, &seq)) {
    if (volume_wait_durable (w->v, seq, WAIT_MS) != 1)
      continue;
    disarm (w, seq);
    if (write (w->wake_fd, &one, sizeof one) == -1) {
      /* Only EAGAIN can be: it is readable already. */
    }
  }
  return NULL;
}

struct watcher *
watcher_start (struct volume *v, int wake_fd, struct error *err)
{
  struct watcher *w = calloc (1, sizeof *w);
  int errnum;

  if (w == NULL) {
    error_set_errno (err, errno, "cannot make a watcher");
    return NULL;
  }
  w->v = v;
  w->wake_fd = wake_fd;
  pthread_mutex_init (&w->lock, NULL);
  pthread_cond_init (&w->changed, NULL);
  errnum = pthread_create (&w->thread, NULL, watcher_thread, w);
  if (errnum != 0) {
    pthread_cond_destroy (&w->changed);
    pthread_mutex_destroy (&w->lock);
    free (w);
    error_set_errno (err, errnum, "cannot start a thread");
    return NULL;
  }
  return w;
}

void
watcher_stop (struct watcher *w)
{
  if (w == NULL)
    return;
  pthread_mutex_lock (&w->lock);
  w->stop = true;
  pthread_cond_broadcast (&w->changed);
  pthread_mutex_unlock (&w->lock);
  volume_wake_waiters (w->v);
  pthread_join (w->thread, NULL);
  pthread_cond_destroy (&w->changed);
  pthread_mutex_destroy (&w->lock);
  free (w);
}

void
watcher_arm (struct watcher *w, uint64_t seq)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&w->lock);

  if (w->is_armed && w->seq == seq)
    return;
  w->is_armed = true;
  w->seq = seq;
  pthread_cond_broadcast (&w->changed);
}

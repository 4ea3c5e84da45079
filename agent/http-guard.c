/* Connections and how long each may take (see http-guard.h).
 *
 * Only shutdown() is called for a connection of another thread: that thread
 * then finds its end and closes it.  The list holds a connection only while
 * its descriptor is open.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "error.h"
#include "http-guard.h"

struct guarded {
  struct guarded *next, *prev;
  int fd;
  uint64_t since_ns;             /* begin, or end of its last call */
  bool is_busy, is_known, is_shut;
};

struct guard {
  pthread_mutex_t lock;          /* guards all below and every guarded */
  pthread_cond_t cond;           /* quit; monotonic clock */
  bool quit;
  pthread_t thread;
  size_t count;
  struct guarded *first, *last;  /* oldest first */
};

static void
shut (struct guarded *c)
{
  if (!c->is_shut)
    shutdown (c->fd, SHUT_RDWR);
  c->is_shut = true;
}

static void
shut_late (struct guard *g)
{
  uint64_t now = clock_mono_ns ();
  struct guarded *c;

  for (c = g->first; c; c = c->next) {
    uint64_t limit = c->is_known ? GUARD_KNOWN_S : GUARD_STRANGER_S;

    if (!c->is_busy && now - c->since_ns > limit * NS_PER_SEC)
      shut (c);
  }
}

/* Somebody has to go: a stranger rather than one we know. */
static void
make_room (struct guard *g)
{
  struct guarded *c, *known = NULL;

  for (c = g->first; c; c = c->next) {
    if (c->is_shut || c->is_busy)
      continue;
    if (!c->is_known)
      break;
    if (known == NULL || c->since_ns < known->since_ns)
      known = c;
  }
  if (c == NULL)
    c = known;
  if (c)
    shut (c);
}

static void *
watch (void *opaque)
{
  struct guard *g = opaque;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&g->lock);

  while (!g->quit) {
    uint64_t end = clock_mono_ns () + NS_PER_SEC;
    struct timespec ts = { .tv_sec = end / NS_PER_SEC,
                           .tv_nsec = end % NS_PER_SEC };

    pthread_cond_timedwait (&g->cond, &g->lock, &ts);
    shut_late (g);
  }
  return NULL;
}

struct guard *
guard_new (struct error *err)
{
  struct guard *g = calloc (1, sizeof *g);
  pthread_condattr_t attr;
  int r;

  if (g == NULL) {
    error_set (err, ENOMEM, "out of memory");
    return NULL;
  }
  pthread_mutex_init (&g->lock, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&g->cond, &attr);
  pthread_condattr_destroy (&attr);
  r = pthread_create (&g->thread, NULL, watch, g);
  if (r != 0) {
    error_set_errno (err, r, "cannot start a thread");
    pthread_cond_destroy (&g->cond);
    pthread_mutex_destroy (&g->lock);
    free (g);
    return NULL;
  }
  return g;
}

void
guard_free (struct guard *g)
{
  if (g == NULL)
    return;
  pthread_mutex_lock (&g->lock);
  g->quit = true;
  pthread_cond_signal (&g->cond);
  pthread_mutex_unlock (&g->lock);
  pthread_join (g->thread, NULL);
  pthread_cond_destroy (&g->cond);
  pthread_mutex_destroy (&g->lock);
  free (g);
}

struct guarded *
guard_enter (struct guard *g, int fd)
{
  struct guarded *c = calloc (1, sizeof *c);
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&g->lock);

  if (c == NULL)
    return NULL;
  if (g->count >= GUARD_CONNECTIONS)
    make_room (g);
  c->fd = fd;
  c->since_ns = clock_mono_ns ();
  c->prev = g->last;
  if (g->last)
    g->last->next = c;
  else
    g->first = c;
  g->last = c;
  g->count++;
  return c;
}

void
guard_leave (struct guard *g, struct guarded *c)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&g->lock);

  if (c == NULL)
    return;
  *(c->prev ? &c->prev->next : &g->first) = c->next;
  *(c->next ? &c->next->prev : &g->last) = c->prev;
  g->count--;
  free (c);
}

void
guard_busy (struct guard *g, struct guarded *c)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&g->lock);

  if (c)
    c->is_busy = true;
}

void
guard_done (struct guard *g, struct guarded *c, bool is_known)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&g->lock);

  if (c == NULL)
    return;
  c->is_busy = false;
  c->is_known = is_known;
  c->since_ns = clock_mono_ns ();
}

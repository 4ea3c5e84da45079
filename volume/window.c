/* A window on a file (see window.h).
 *
 * A thread that copies says in its guard which bytes may fail.  SIGBUS for
 * one of them ends the copy; any other is none of ours and goes to whoever
 * handled it before.
 */

#include <config.h>

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#include "cleanup.h"
#include "window.h"

#define VIEW_MIN (UINT64_C (1) << 30)
#define CACHE_LINE 64u

struct guard {
  const char *start;
  size_t length;
  sigjmp_buf out;
};

static __thread struct guard *volatile guard;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool is_guarded;
static struct sigaction before;

static void
on_bus_error (int sig, siginfo_t *info, void *context)
{
  const char *address = info->si_addr;
  const ucontext_t *interrupted = context;
  struct guard *g = guard;

  if (g != NULL && address >= g->start && address < g->start + g->length) {
    /* A jump does not unblock what is blocked while this runs. */
    pthread_sigmask (SIG_SETMASK, &interrupted->uc_sigmask, NULL);
    siglongjmp (g->out, 1);
  }
  if (before.sa_flags & SA_SIGINFO)
    before.sa_sigaction (sig, info, context);
  else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
    before.sa_handler (sig);
  else
    sigaction (sig, &before, NULL);     /* it comes again, and ends us */
}

static void
guard_process (void)
{
  struct sigaction action = {
    .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO,
  };

  sigemptyset (&action.sa_mask);
  is_guarded = sigaction (SIGBUS, &action, &before) == 0;
}

/* This code may be unloaded; the handler goes with it. */
__attribute__ ((destructor))
static void
unguard_process (void)
{
  struct sigaction now;

  if (is_guarded && sigaction (SIGBUS, NULL, &now) == 0 &&
      now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_bus_error)
    sigaction (SIGBUS, &before, NULL);
}

void
window_init (struct window *window, int fd)
{
  memset (window, 0, sizeof *window);
  window->fd = fd;
  pthread_mutex_init (&window->lock, NULL);
  pthread_once (&once, guard_process);
}

void
window_release (struct window *window)
{
  while (window->views > 0) {
    window->views--;
    munmap ((void *) window->view[window->views].memory,
            window->view[window->views].length);
  }
  pthread_mutex_destroy (&window->lock);
}

/* One that reaches END, or NULL. */
static const struct window_view *
widen (struct window *window, uint64_t end)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&window->lock);
  struct window_view *view = &window->view[window->views];
  uint64_t length = VIEW_MIN;
  struct stat st;
  void *p;

  if (window->views > 0 && view[-1].length >= end)
    return &view[-1];
  if (window->views == WINDOW_VIEWS || fstat (window->fd, &st) == -1)
    return NULL;
  while (length < end || (S_ISREG (st.st_mode) &&
                          length < (uint64_t) st.st_size))
    length *= 2;
  p = mmap (NULL, length, PROT_READ, MAP_SHARED, window->fd, 0);
  if (p == MAP_FAILED)
    return NULL;
  /* Units lie anywhere: what is around one is not worth reading. */
  madvise (p, length, MADV_RANDOM);
  view->memory = p;
  view->length = length;
  __atomic_store_n (&window->views, window->views + 1, __ATOMIC_RELEASE);
  return view;
}

static bool
guarded_copy (void *buf, const char *from, size_t len)
{
  struct guard g = { .start = from, .length = len };

  if (sigsetjmp (g.out, 0) != 0) {
    guard = NULL;
    return false;
  }
  guard = &g;
  memcpy (buf, from, len);
  __atomic_signal_fence (__ATOMIC_SEQ_CST);
  guard = NULL;
  return true;
}

/* The view that reaches END, or NULL. */
static const struct window_view *
find_view (const struct window *window, uint64_t end)
{
  unsigned n = __atomic_load_n (&window->views, __ATOMIC_ACQUIRE);

  return n > 0 && end <= window->view[n - 1].length ? &window->view[n - 1]
    : NULL;
}

bool
window_copy (struct window *window, void *buf, size_t len, uint64_t offset)
{
  const struct window_view *view;

  if (!is_guarded || len >= WINDOW_COPY_MAX || offset > INT64_MAX - len)
    return false;
  view = find_view (window, offset + len);
  if (view == NULL)
    view = widen (window, offset + len);
  return view != NULL && guarded_copy (buf, view->memory + offset, len);
}

void
window_approach (struct window *window, size_t len, uint64_t offset)
{
  const struct window_view *view;
  size_t i;

  if (len >= WINDOW_COPY_MAX || offset > INT64_MAX - len)
    return;
  view = find_view (window, offset + len);
  for (i = 0; view != NULL && i < len; i += CACHE_LINE)
    __builtin_prefetch (view->memory + offset + i);
}

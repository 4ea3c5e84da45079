/* Coroutines in the place of threads (see sched-sim.h). */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <execinfo.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <ucontext.h>
#include <unistd.h>

#include "clock.h"
#include "sched-sim.h"
#include "volume-model.h"


#define STACK_SIZE (512u << 10)
#define STEP_NS 500u
#define LOOK_NS 100u                /* a look at the clock takes so long */
#define EPOCH_NS (UINT64_C (1800000000) * NS_PER_SEC)
#define TASKS_MAX 512u
#define FDS_MAX 256u
#define FD_BASE (1 << 20)

struct task {
  ucontext_t context;
  void *stack;
  const char *name;
  unsigned id;
  bool is_ready, is_started, is_done, is_detached, is_timed_out;
  const void *waits_for;
  uint64_t deadline;
  int saved_errno;
  void *(*fn) (void *opaque);
  void (*spawned) (void *opaque);
  void *opaque;
};

struct fd {
  bool is_used, is_event;
  uint64_t count;                   /* of an eventfd */
  uint64_t (*ready_at) (void *opaque);
  int (*unsent) (void *opaque);
  void *opaque;
};

static struct {
  bool is_on;
  uint64_t rng, chance;             /* of the schedule, of getrandom */
  unsigned switch_percent;
  uint64_t now, steps, trace, first_deadline;
  struct task *me;
  struct task *task[TASKS_MAX], *ready[TASKS_MAX];
  unsigned count, nready, ids;
  void *stack[TASKS_MAX];           /* not in use */
  unsigned nstacks;
  ucontext_t outside;
  struct task *dumper;
  struct fd fd[FDS_MAX];
  char poll_address;
} s;

/* ------------------------------------------------------------------ */
/* Switching.                                                           */

static void
print_stack (void)
{
  void *frame[40];
  int n = backtrace (frame, 40);

  backtrace_symbols_fd (frame + 2, n - 2, STDERR_FILENO);
}

static void
switch_to (struct task *next)
{
  struct task *me = s.me;

  me->saved_errno = errno;
  s.me = next;
  if (me->is_done)
    setcontext (&next->context);
  swapcontext (&me->context, &next->context);
  if (s.dumper && s.dumper != s.me) {
    print_stack ();
    switch_to (s.dumper);
  }
  errno = s.me->saved_errno;
}

/* Every task prints its own stack. */
static void
dump (void)
{
  struct task *me = s.me;
  unsigned i;

  for (i = 0; i < s.count; i++) {
    struct task *t = s.task[i];

    fprintf (stderr, "# task %u %s: %s", t->id, t->name, t->is_done ? "done" :
             t->is_ready ? "ready" : "waits");
    if (t->deadline != SCHED_NEVER)
      fprintf (stderr, " until %" PRIu64, t->deadline);
    fputc ('\n', stderr);
    if (t == me || t->is_done || !t->is_started)
      continue;
    s.dumper = me;
    switch_to (t);
    s.me = me;
    s.dumper = NULL;
  }
}

static void
make_ready (struct task *t)
{
  t->is_ready = true;
  t->waits_for = NULL;
  t->deadline = SCHED_NEVER;
  s.ready[s.nready++] = t;
}

static void
look_at_deadlines (void)
{
  uint64_t first = SCHED_NEVER;
  unsigned i;

  for (i = 0; i < s.count; i++) {
    struct task *t = s.task[i];

    if (t->is_ready || t->is_done)
      continue;
    if (t->deadline <= s.now) {
      t->is_timed_out = true;
      make_ready (t);
    }
    else if (t->deadline < first)
      first = t->deadline;
  }
  s.first_deadline = first;
}

/* Let some ready task run; the caller's state is set. */
static void
schedule (void)
{
  struct task *next;
  unsigned i;

  s.steps++;
  s.now += STEP_NS;
  CHECK (s.steps < 200u * 1000 * 1000, "it does not end");
  if (s.now >= s.first_deadline)
    look_at_deadlines ();
  while (s.nready == 0) {
    if (s.first_deadline == SCHED_NEVER)
      look_at_deadlines ();
    if (s.nready == 0 && s.first_deadline == SCHED_NEVER) {
      dump ();
      CHECK (false, "a deadlock");
    }
    if (s.now < s.first_deadline)
      s.now = s.first_deadline;
    look_at_deadlines ();
  }
  i = random_below (&s.rng, s.nready);
  next = s.ready[i];
  s.ready[i] = s.ready[--s.nready];
  next->is_ready = false;
  s.trace = (s.trace ^ next->id) * UINT64_C (0x100000001b3);
  if (next != s.me)
    switch_to (next);
}

/* A place where another one may run. */
static void
pass (unsigned percent)
{
  if (s.nready == 0 && s.now < s.first_deadline)
    return;
  if (!random_chance (&s.rng, percent))
    return;
  make_ready (s.me);
  schedule ();
}

bool
sched_wait (const void *address, uint64_t deadline)
{
  struct task *me = s.me;

  assert (s.is_on);
  me->waits_for = address;
  me->deadline = deadline;
  me->is_timed_out = false;
  if (deadline < s.first_deadline)
    s.first_deadline = deadline;
  schedule ();
  return !me->is_timed_out;
}

static unsigned
wake (const void *address, bool all)
{
  unsigned i, found = 0;
  struct task *chosen = NULL;

  for (i = 0; i < s.count; i++) {
    struct task *t = s.task[i];

    if (t->is_ready || t->is_done || t->waits_for != address || t == s.me)
      continue;
    found++;
    if (all)
      make_ready (t);
    else if (random_below (&s.rng, found) == 0)
      chosen = t;
  }
  if (chosen)
    make_ready (chosen);
  return found;
}

void
sched_wake (const void *address)
{
  wake (address, true);
}

void
sched_sleep (uint64_t ns)
{
  sched_wait (NULL, s.now + ns);
}

uint64_t
sched_now (void)
{
  return s.now;
}

uint64_t
sched_steps (void)
{
  return s.steps;
}

uint64_t
sched_trace (void)
{
  return s.trace;
}

/* ------------------------------------------------------------------ */
/* Life of a task.                                                      */

static void *
stack_get (void)
{
  void *p;

  if (s.nstacks > 0)
    return s.stack[--s.nstacks];
  p = mmap (NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  CHECK (p != MAP_FAILED, "no memory");
  CHECK (mprotect (p, 4096, PROT_NONE) == 0, "no guard");
  return p;
}

static void
task_remove (struct task *t)
{
  unsigned i;

  for (i = 0; s.task[i] != t; i++)
    ;
  memmove (&s.task[i], &s.task[i + 1], (--s.count - i) * sizeof s.task[0]);
  s.stack[s.nstacks++] = t->stack;
  free (t);
}

static void
sweep (void)
{
  unsigned i;

  for (i = s.count; i-- > 0;)
    if (s.task[i]->is_done && s.task[i]->is_detached && s.task[i] != s.me)
      task_remove (s.task[i]);
}

static void
task_main (void)
{
  struct task *me = s.me;

  errno = 0;
  me->is_started = true;
  if (me->spawned)
    me->spawned (me->opaque);
  else
    me->fn (me->opaque);
  me->is_done = true;
  sched_wake (me);
  if (me->id == 0)
    setcontext (&s.outside);
  schedule ();
  abort ();
}

static struct task *
task_new (const char *name)
{
  struct task *t;

  sweep ();
  CHECK (s.count < TASKS_MAX, "too many threads");
  t = calloc (1, sizeof *t);
  CHECK (t, "no memory");
  t->name = name;
  t->id = s.ids++;
  t->stack = stack_get ();
  t->deadline = SCHED_NEVER;
  getcontext (&t->context);
  t->context.uc_stack.ss_sp = t->stack;
  t->context.uc_stack.ss_size = STACK_SIZE;
  makecontext (&t->context, task_main, 0);
  s.task[s.count++] = t;
  return t;
}

void
sched_spawn (const char *name, void (*fn) (void *opaque), void *opaque)
{
  struct task *t = task_new (name);

  t->spawned = fn;
  t->opaque = opaque;
  t->is_detached = true;
  make_ready (t);
}

/* Say which seed it was; the stack may be the reason. */
static void
on_fault (int sig)
{
  if (sig != SIGABRT)
    fprintf (stderr, "Bail out! a fault or a hang in '%s' (PAIRDISK_SEED=%" PRIu64
           " PAIRDISK_ROUNDS=1)\n", s.me ? s.me->name : "", test_seed);
  print_stack ();
  if (sig == SIGALRM)
    dump ();
  _exit (1);
}

static void
catch_faults (void)
{
  static uint8_t stack[64 << 10];
  const stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
  struct sigaction action = { .sa_handler = on_fault,
                              .sa_flags = SA_ONSTACK | SA_RESETHAND };

  sigaltstack (&alternate, NULL);
  sigaction (SIGSEGV, &action, NULL);
  sigaction (SIGBUS, &action, NULL);
  sigaction (SIGABRT, &action, NULL);
  sigaction (SIGALRM, &action, NULL);
}

void
sched_run (uint64_t seed, unsigned switch_percent,
           void (*fn) (void *opaque), void *opaque)
{
  struct task *t;

  assert (!s.is_on);
  s.rng = seed;
  s.chance = seed ^ UINT64_C (0x5851f42d4c957f2d);
  s.switch_percent = switch_percent;
  s.now = NS_PER_SEC;
  s.steps = s.trace = 0;
  s.first_deadline = SCHED_NEVER;
  s.ids = 0;
  t = task_new ("main");
  t->spawned = fn;
  t->opaque = opaque;
  t->is_detached = true;
  catch_faults ();
  s.is_on = true;
  s.me = t;
  swapcontext (&s.outside, &t->context);
  s.me = NULL;
  s.is_on = false;
  sweep ();
  CHECK (s.count == 0, "%u threads are left, the first is '%s'", s.count,
         s.task[0]->name);
  for (unsigned i = 0; i < FDS_MAX; i++)
    CHECK (!s.fd[i].is_used, "a file descriptor is left");
}

/* ------------------------------------------------------------------ */
/* What is called instead of libc.  The objects of pthread are big enough for
 * these, and zeros are their beginning.
 */

struct mutex { struct task *owner; };
struct rwlock { struct task *writer; unsigned readers; };
struct cond { bool is_wall; };

#define REPLACES(ret, name, ...)                  \
  extern ret __real_##name (__VA_ARGS__);         \
  extern ret __wrap_##name (__VA_ARGS__);         \
  ret __wrap_##name (__VA_ARGS__)

REPLACES (int, pthread_mutex_init, pthread_mutex_t *m,
          const pthread_mutexattr_t *attr)
{
  (void) attr;
  memset (m, 0, sizeof *m);
  return 0;
}

REPLACES (int, pthread_mutex_destroy, pthread_mutex_t *m)
{
  assert (((struct mutex *) m)->owner == NULL);
  return 0;
}

static void
mutex_take (struct mutex *m)
{
  assert (m->owner != s.me);
  while (m->owner != NULL)
    sched_wait (m, SCHED_NEVER);
  m->owner = s.me;
}

static void
mutex_give (struct mutex *m)
{
  assert (m->owner == s.me);
  m->owner = NULL;
  sched_wake (m);
}

REPLACES (int, pthread_mutex_lock, pthread_mutex_t *m)
{
  if (!s.is_on)
    return 0;
  pass (s.switch_percent);
  mutex_take ((struct mutex *) m);
  return 0;
}

REPLACES (int, pthread_mutex_unlock, pthread_mutex_t *m)
{
  if (!s.is_on)
    return 0;
  mutex_give ((struct mutex *) m);
  pass (s.switch_percent);
  return 0;
}

REPLACES (int, pthread_cond_init, pthread_cond_t *c,
          const pthread_condattr_t *attr)
{
  clockid_t clock = CLOCK_REALTIME;

  memset (c, 0, sizeof *c);
  if (attr)
    pthread_condattr_getclock (attr, &clock);
  ((struct cond *) c)->is_wall = clock == CLOCK_REALTIME;
  return 0;
}

REPLACES (int, pthread_cond_destroy, pthread_cond_t *c)
{
  unsigned i;

  for (i = 0; s.is_on && i < s.count; i++)
    assert (s.task[i]->waits_for != c);
  return 0;
}

static int
cond_wait (const void *c, pthread_mutex_t *m, uint64_t deadline)
{
  bool ok = true;

  mutex_give ((struct mutex *) m);
  if (!random_chance (&s.rng, 1))       /* or it is spurious */
    ok = sched_wait (c, deadline);
  mutex_take ((struct mutex *) m);
  return ok ? 0 : ETIMEDOUT;
}

REPLACES (int, pthread_cond_wait, pthread_cond_t *c, pthread_mutex_t *m)
{
  return cond_wait (c, m, SCHED_NEVER);
}

REPLACES (int, pthread_cond_timedwait, pthread_cond_t *c, pthread_mutex_t *m,
          const struct timespec *ts)
{
  uint64_t at = ts->tv_sec * NS_PER_SEC + ts->tv_nsec;

  if (((struct cond *) c)->is_wall)
    at = at > EPOCH_NS ? at - EPOCH_NS : 0;
  return cond_wait (c, m, at);
}

REPLACES (int, pthread_cond_signal, pthread_cond_t *c)
{
  if (s.is_on)
    wake (c, false);
  return 0;
}

REPLACES (int, pthread_cond_broadcast, pthread_cond_t *c)
{
  if (s.is_on)
    wake (c, true);
  return 0;
}

REPLACES (int, pthread_rwlock_init, pthread_rwlock_t *l,
          const pthread_rwlockattr_t *attr)
{
  (void) attr;
  memset (l, 0, sizeof *l);
  return 0;
}

REPLACES (int, pthread_rwlock_destroy, pthread_rwlock_t *l)
{
  (void) l;
  return 0;
}

REPLACES (int, pthread_rwlock_rdlock, pthread_rwlock_t *lock)
{
  struct rwlock *l = (struct rwlock *) lock;

  pass (s.switch_percent);
  while (l->writer != NULL)
    sched_wait (l, SCHED_NEVER);
  l->readers++;
  return 0;
}

REPLACES (int, pthread_rwlock_wrlock, pthread_rwlock_t *lock)
{
  struct rwlock *l = (struct rwlock *) lock;

  pass (s.switch_percent);
  while (l->writer != NULL || l->readers > 0)
    sched_wait (l, SCHED_NEVER);
  l->writer = s.me;
  return 0;
}

REPLACES (int, pthread_rwlock_unlock, pthread_rwlock_t *lock)
{
  struct rwlock *l = (struct rwlock *) lock;

  if (l->writer == s.me)
    l->writer = NULL;
  else {
    assert (l->readers > 0);
    l->readers--;
  }
  sched_wake (l);
  pass (s.switch_percent);
  return 0;
}

REPLACES (int, pthread_create, pthread_t *ret, const pthread_attr_t *attr,
          void *(*fn) (void *), void *opaque)
{
  struct task *t;

  (void) attr;
  CHECK (s.is_on, "a thread outside of the simulation");
  t = task_new ("thread");
  t->fn = fn;
  t->opaque = opaque;
  make_ready (t);
  *ret = (pthread_t) t;
  return 0;
}

REPLACES (int, pthread_join, pthread_t thread, void **ret)
{
  struct task *t = (struct task *) thread;

  assert (ret == NULL);
  while (!t->is_done)
    sched_wait (t, SCHED_NEVER);
  task_remove (t);
  return 0;
}

REPLACES (int, sched_yield, void)
{
  if (s.is_on)
    pass (50);
  return 0;
}

REPLACES (int, clock_gettime, clockid_t clock, struct timespec *ts)
{
  uint64_t ns;

  if (!s.is_on)
    return __real_clock_gettime (clock, ts);
  s.now += LOOK_NS;
  ns = clock == CLOCK_REALTIME ? EPOCH_NS + s.now : s.now;
  ts->tv_sec = ns / NS_PER_SEC;
  ts->tv_nsec = ns % NS_PER_SEC;
  return 0;
}

REPLACES (ssize_t, getrandom, void *buf, size_t len, unsigned flags)
{
  uint8_t *p = buf;

  if (!s.is_on)
    return __real_getrandom (buf, len, flags);
  for (size_t i = 0; i < len; i++)
    p[i] = random_next (&s.chance) >> 56;
  return len;
}

/* ------------------------------------------------------------------ */
/* File descriptors.                                                    */

static struct fd *
fd_of (int number)
{
  if (number < FD_BASE)
    return NULL;
  assert (number < FD_BASE + (int) FDS_MAX && s.fd[number - FD_BASE].is_used);
  return &s.fd[number - FD_BASE];
}

static int
fd_new (const struct fd *fd)
{
  unsigned i;

  for (i = 0; i < FDS_MAX && s.fd[i].is_used; i++)
    ;
  CHECK (i < FDS_MAX, "too many file descriptors");
  s.fd[i] = *fd;
  s.fd[i].is_used = true;
  return FD_BASE + i;
}

int
sched_fd_new (uint64_t (*ready_at) (void *opaque), void *opaque)
{
  return fd_new (&(struct fd) { .ready_at = ready_at, .opaque = opaque });
}

void
sched_fd_set_unsent (int fd, int (*unsent) (void *opaque))
{
  fd_of (fd)->unsent = unsent;
}

void
sched_fd_free (int fd)
{
  fd_of (fd)->is_used = false;
}

void
sched_poll_again (void)
{
  sched_wake (&s.poll_address);
}

REPLACES (int, eventfd, unsigned count, int flags)
{
  (void) flags;
  CHECK (s.is_on, "an eventfd outside of the simulation");
  return fd_new (&(struct fd) { .is_event = true, .count = count });
}

REPLACES (ssize_t, read, int number, void *buf, size_t len)
{
  struct fd *fd = fd_of (number);

  if (fd == NULL)
    return __real_read (number, buf, len);
  assert (fd->is_event && len == sizeof fd->count);
  if (fd->count == 0) {
    errno = EAGAIN;
    return -1;
  }
  memcpy (buf, &fd->count, sizeof fd->count);
  fd->count = 0;
  return sizeof fd->count;
}

REPLACES (ssize_t, write, int number, const void *buf, size_t len)
{
  struct fd *fd = fd_of (number);
  uint64_t n;

  if (fd == NULL)
    return __real_write (number, buf, len);
  assert (fd->is_event && len == sizeof n);
  memcpy (&n, buf, sizeof n);
  fd->count += n;
  sched_poll_again ();
  return len;
}

REPLACES (int, close, int number)
{
  if (fd_of (number) == NULL)
    return __real_close (number);
  sched_fd_free (number);
  return 0;
}

REPLACES (int, ioctl, int number, unsigned long request, ...)
{
  struct fd *fd = fd_of (number);
  va_list ap;

  assert (fd != NULL && fd->unsent != NULL);
  (void) request;                   /* SIOCOUTQ */
  va_start (ap, request);
  *va_arg (ap, int *) = fd->unsent (fd->opaque);
  va_end (ap);
  return 0;
}

static uint64_t
fd_ready_at (const struct fd *fd)
{
  if (fd->is_event)
    return fd->count > 0 ? 0 : SCHED_NEVER;
  return fd->ready_at (fd->opaque);
}

REPLACES (int, poll, struct pollfd *fds, nfds_t n, int timeout_ms)
{
  uint64_t end = timeout_ms < 0 ? SCHED_NEVER :
    s.now + timeout_ms * NS_PER_MSEC;

  CHECK (s.is_on, "poll outside of the simulation");
  pass (s.switch_percent);
  for (;;) {
    uint64_t first = end;
    int found = 0;

    for (nfds_t i = 0; i < n; i++) {
      uint64_t at = fds[i].events & POLLIN ?
        fd_ready_at (fd_of (fds[i].fd)) : SCHED_NEVER;

      fds[i].revents = at <= s.now ? POLLIN : 0;
      found += at <= s.now;
      if (at < first)
        first = at;
    }
    if (found > 0 || s.now >= end)
      return found;
    sched_wait (&s.poll_address, first);
  }
}

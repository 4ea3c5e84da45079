/* Threads, clocks and chance of one process, decided by a seed.
 *
 * A program that is linked with SCHED_SIM_WRAPS (Makefile.am) has its calls
 * of pthread_*, clock_gettime, poll, eventfd, getrandom and so on end up here.
 * Its threads are coroutines: one runs at a time, and goes on until it waits
 * or passes a lock, where chance may let another one run.  So the code under
 * test is what is shipped, and the same seed makes the same run, step by
 * step.
 *
 * What that cannot show: races between two accesses of memory without a lock
 * or a system call between them, and the memory order of processors.
 *
 * Time passes a little with each step, and when all wait it jumps to the first
 * deadline.  When all wait and there is none, that is a deadlock: all stacks
 * are printed and the test is over.
 *
 * Outside sched_run everything is as usual.
 */

#ifndef PAIRDISK_SCHED_SIM_H
#define PAIRDISK_SCHED_SIM_H

#include <stdbool.h>
#include <stdint.h>

#define SCHED_NEVER UINT64_MAX

/* Run FN as the first thread, until it returns.  No other may be left.
 * SWITCH_PERCENT: how often chance interrupts at a lock.
 */
extern void sched_run (uint64_t seed, unsigned switch_percent,
                       void (*fn) (void *opaque), void *opaque);

/* Nanoseconds of the simulated monotonic clock. */
extern uint64_t sched_now (void);

/* Steps so far: two runs of one seed have the same. */
extern uint64_t sched_steps (void);

/* A hash of which thread ran when: the same for the same seed. */
extern uint64_t sched_trace (void);

extern void sched_sleep (uint64_t ns);

/* Wait until somebody wakes who waits for ADDRESS, or DEADLINE (absolute,
 * SCHED_NEVER).  False: the deadline came first.
 */
extern bool sched_wait (const void *address, uint64_t deadline);
extern void sched_wake (const void *address);

/* Start a thread that nobody joins. */
extern void sched_spawn (const char *name, void (*fn) (void *opaque),
                         void *opaque);

/* File descriptors of the simulation.  READY_AT: when it will be readable, by
 * now or earlier: it is; SCHED_NEVER: not known.  Who makes one readable
 * calls sched_poll_again.
 */
extern int sched_fd_new (uint64_t (*ready_at) (void *opaque), void *opaque);
extern void sched_fd_free (int fd);
extern void sched_poll_again (void);

/* For SIOCOUTQ: bytes in the queue of the descriptor's socket. */
extern void sched_fd_set_unsent (int fd, int (*unsent) (void *opaque));

#endif /* PAIRDISK_SCHED_SIM_H */

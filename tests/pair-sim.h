/* Two sites of a pair in one process, and all that their disk ever was.
 *
 * pair-sim-oracle.c: histories.  A branch is what one writer made of a disk
 * from the moment it became writer on, and knows the disk after each record,
 * by its generation and seq.  A site's commit point names a record, so what
 * its disk must be is known exactly.
 *
 * A site is what plugin/ makes of a volume, a receiver and a sender, without
 * nbdkit, JSON and files:
 *
 *   pair-sim-site.c         its disk, and what power does to it
 *   pair-sim-replication.c  receiver, sender and mode
 *   pair-sim-request.c      what is asked of it
 *   pair-sim-guest.c        who writes to it
 *   pair-sim-check.c        what must be true of it
 *
 * unit-pair-sim.c: what happens to them.
 */

#ifndef PAIRDISK_PAIR_SIM_H
#define PAIRDISK_PAIR_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "io-sim.h"
#include "replica.h"
#include "volume-model.h"
#include "volume.h"

/* ------------------------------------------------------------------ */
/* Histories.                                                           */

/* The model had made STEP at SEQ, or less: power failed in the middle. */
struct note { uint64_t seq, step; bool is_partial; };

struct branch {
  struct branch *older;                  /* made before */
  unsigned id;
  const struct branch *parent;           /* it begins after base_seq of it */
  uint64_t base_generation, base_seq;
  uint64_t generation;                   /* 0: nothing written yet */
  struct model model;
  struct note *note;
  unsigned count, capacity;
};

/* A record, or the beginning of a branch. */
struct place {
  const struct branch *branch;           /* NULL: none */
  uint64_t seq;
};

extern void history_begin (uint64_t size);
extern void history_end (void);

/* A writer begins with CONTENT, which is that of POINT. */
extern struct branch *branch_new (const struct volume_point *point,
                                  const uint8_t *content);

/* The newest record is POINT now, and the model made all there is.
 * IS_PARTIAL: the volume did perhaps not all of the last operation.
 */
extern void branch_note (struct branch *b, const struct volume_point *point,
                         bool is_partial);
extern uint64_t branch_last (const struct branch *b);

/* Take the model's steps after STEP back; the range they were in had CONTENT
 * before.
 */
extern void branch_undo (struct branch *b, uint64_t step, uint64_t offset,
                         uint64_t count, const uint8_t *content);

/* Where on the branches is this point?  No branch: nowhere. */
extern struct place place_of (const struct volume_point *point);

/* Is B in the past of A, or A itself? */
extern bool place_holds (struct place a, struct place b);

/* Is CONTENT the disk as it was at that place? */
extern bool place_is (struct place p, const uint8_t *content);
extern void place_explain (struct place p, const uint8_t *content);

/* ------------------------------------------------------------------ */
/* Sites.                                                               */

struct guest {
  uint64_t rng;
  bool is_on, is_over;
  bool is_busy;                          /* writes as much as it can */
  bool writes, flushes;                  /* in a call of the volume */
  unsigned pause_us;                     /* between operations */
  uint64_t first, end;                   /* bytes that are written */
  uint8_t *buf, *old;
};

struct site {
  unsigned index;
  struct site *other;
  uint64_t rng;
  struct sim *sim;
  struct volume_io io;                   /* as sim_io, but slower */

  /* Kept beside the volume, as the plugin's files. */
  struct {
    bool is_on, accepts;
    struct sync_settings mode;
    unsigned interval_ms;                /* async: between commits */
    unsigned connections, copy_bytes, cursor_bytes;
  } link;
  struct sync_record record;

  struct volume *v;                      /* NULL: down */
  struct sync *sync;
  struct sender *sender;
  struct receiver *receiver;

  struct branch *branch;                 /* the one its guests write */
  struct guest guest;
  struct place acked;                    /* by the last flush */
  struct place seen;                     /* secondary: its last commit point */
  bool was_synced;                       /* secondary: it was promotable */
  bool is_full;
  bool is_ending;                        /* goes down: nobody looks at it */
  unsigned looks;                        /* that go on, of others' guests */
};

struct world {
  struct site site[2];
  uint64_t rng, fence;
  bool is_verbose;
  bool is_copies;                        /* this round is about copies */
  bool is_well;                          /* power does not fail any more */

  /* A secondary was promoted and said that it lacks nothing: the old
   * primary answers no flush beyond that place, unless a person has it go on
   * alone, and then not before the claim's time is over.
   */
  struct place proven;
  uint64_t proven_until;                 /* that time */
  bool is_alone;                         /* a person's word */
  const struct site *proven_to;          /* the old primary; NULL: no */

  struct counts {
    uint64_t crashes, failovers, proven, provable, reversed, switched, checks, trials,
      resumed, broken, deltas, initials, streams, fenced, full, intervals,
      writes, flushes;
  } count;
};

extern struct world world;
extern const struct uuid sim_pair;

#define SAY(...)                                                        \
  do {                                                                  \
    if (world.is_verbose)                                               \
      say (__VA_ARGS__);                                                \
  } while (0)
extern void say (const char *fmt, ...)
  __attribute__ ((format (printf, 1, 2)));

struct net_site;
extern void site_net (struct site *s, struct net_site *ret);
extern void site_create (struct site *s, uint64_t seed);
extern void site_release (struct site *s);

/* Open and go on with what it was.  False: power failed again. */
extern bool site_open (struct site *s);

/* Power is off; take down what is left. */
extern void site_crash (struct site *s, bool says_so);
extern void site_close (struct site *s);

/* Its power failed by itself, or it runs. */
static inline bool
site_is_up (struct site *s)
{
  return s->v != NULL && !sim_is_off (s->sim);
}

extern struct volume_status site_status (struct site *s);

/* A copy to the site is under way. */
extern bool site_is_copied (struct site *s);

/* The site's disk is what its commit point says. */
extern void site_check (struct site *s);

extern void guests_start (struct site *s);
extern void guests_stop (struct site *s);
extern void guest_threads (struct site *s);
extern void guest_threads_end (struct site *s);

/* What the plugin's requests do.  -1: refused, or the power failed. */
extern int op_link_start (struct site *s);
extern void op_link_stop (struct site *s);
extern int op_accept (struct site *s);
extern int op_replica_stop (struct site *s);
extern bool op_mode (struct site *s, const struct sync_settings *mode,
                     bool force);
extern void op_interval (struct site *s, unsigned interval_ms);
extern int op_promote (struct site *s, uint64_t fence, bool *ret_proven);
extern int op_demote (struct site *s, uint64_t fence, bool saves);
extern int op_raise (struct site *s, uint64_t fence);

#endif /* PAIRDISK_PAIR_SIM_H */

/* What the files of volume/ share with each other, and with no one else.
 *
 * Locks, in the order in which they are taken:
 *
 *   role_lock        role, fence and stage calls, one at a time
 *   tables_lock      which tables are the disk and the stage: held by who
 *                    changes that, and by who looks into the tables of a
 *                    volume that may be secondary (cleaner, scrub, repair)
 *   checkpoint_lock  one checkpoint at a time
 *   range lock       stripes of the disk (range-lock.h)
 *   journal.lock     everything in struct journal
 *   super_lock       v->super, v->super_written and their file
 *   submit_lock      the submission side of the queue
 *   pending stripes  (pending.h)
 *   repairs.lock     the damaged units; taken before super_lock only
 *
 * None but role_lock, checkpoint_lock, super_lock and a range lock is held
 * across a wait for the disk.
 */

#ifndef PAIRDISK_VOLUME_INTERNAL_H
#define PAIRDISK_VOLUME_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "format.h"
#include "cold.h"
#include "io.h"
#include "newest.h"
#include "pending.h"
#include "range-lock.h"
#include "record.h"
#include "repair.h"
#include "ring.h"
#include "segments.h"
#include "super.h"
#include "table.h"
#include "volume.h"

/* A batch is closed when it has this much and the device has room ... */
#define BATCH_SOFT (256u << 10)
#define BATCH_IN_FLIGHT 4u
/* ... and in any case before it has more than this. */
#define BATCH_HARD (1280u << 10)
static_assert (sizeof (struct format_batch) + RECORD_MAX <= BATCH_HARD,
               "the largest record fits into a batch");

#define JOURNAL_BATCHES 64u
#define JOURNAL_THREADS 3u          /* committer, maintainer, cleaner */
#define JOURNAL_THREAD_CLEANER 2u
#define STAGING_DEFAULT (UINT64_C (32) << 20)
#define COMMIT_DELAY_MS_DEFAULT 10u
#define CHECKPOINT_BYTES_DEFAULT (UINT64_C (256) << 20)
/* Writers wait for a checkpoint when they are ahead by so many times that. */
#define CHECKPOINT_LEAD 4u
/* What was written is fetched into so much of the machine's memory. */
#define WARM_MEMORY 4u              /* a fourth */
#define SEGMENTS_PREPARED 2u        /* kept ready ahead of the writer */
/* A segment is cleaned if so much of it can be won.  When all that are not
 * reserved are fuller than that, the volume is full.
 */
#define CLEANER_GAIN_PERCENT 10u
#define SEGMENTS_RESERVED 5u         /* three for a round of the cleaner, one
                                        for marks, one for what gives room,
                                        when guests get ENOSPC */
#define SEGMENTS_FOR_TRIMS 1u        /* of these */

/* The life of a batch in memory:
 *
 *   OPEN      records are being added
 *   CLOSED    no more are; written when its last filler is done
 *   DURABLE   on the medium
 *   (gone)    applied to the map; its slot is free again
 */
enum batch_state { BATCH_OPEN = 1, BATCH_CLOSED, BATCH_DURABLE };

struct staged_batch {
  enum batch_state state;
  unsigned holders;            /* atomic: fillers, plus one while OPEN */
  bool is_page;                /* a segment's header or summary page */
  bool is_submitted;           /* whole in the ring, on its way out */
  uint64_t position;           /* logical */
  uint64_t offset;             /* in the journal file */
  uint32_t used, length, records;
  uint64_t first_seq, opened_ns;
  struct volume_point last;    /* after its last record */
};

/* Batches are numbered from 0; number n is in batch[n % JOURNAL_BATCHES].
 * Invariant: tail <= durable <= head <= tail + JOURNAL_BATCHES; all below
 * tail are applied, all below durable are durable.
 */
struct journal {
  pthread_mutex_t lock;
  pthread_cond_t progress;     /* any of the counters moved, or failed */
  pthread_mutex_t submit_lock;
  struct ring ring;
  struct io_file *file;
  struct io_queue *queue;

  struct staged_batch batch[JOURNAL_BATCHES];
  uint64_t head, durable, tail;
  uint64_t submitted_below;    /* batches below are submitted or durable */
  bool is_open;                /* batch head-1 is OPEN */
  unsigned closed;             /* CLOSED and not yet complete */
  int submitted;               /* of these, given to the queue (may be -1 for
                                  a moment: completed before counted) */
  bool is_leading;             /* a thread waits for the queue */
  bool is_applying;
  int failed;                  /* errno of the failure that is final */

  uint64_t segment;            /* index, when lap > 0 */
  uint64_t lap;
  uint64_t offset;             /* next batch, in the segment */
  bool is_segment_closed;      /* has its summary (or is none) */
  struct segment_summary summary;

  uint64_t next_seq, bytes;
  int acceleration;            /* atomic: lz4's, chosen by the committer */
  uint64_t generation;         /* of guest writes; 0: open a new one */
  bool is_guest_writable;
  struct volume_point appended, durable_point, applied_point;
  uint64_t durable_position;   /* atomic */
  uint64_t submitted_position; /* atomic: end of the batches submitted */
  int ship_fd;                 /* eventfd, -1: none; see volume_ship_fd */
  bool is_shipping;            /* atomic */
  uint64_t applied_position;   /* end of the last batch applied: a summary
                                  to come may leave a gap after it */
  uint64_t warm_from;          /* lap: those below it are, or need not be */
  uint64_t requests, requests_ns;      /* of guests, as the maintainer saw
                                  them last; when that changed */
  uint64_t checkpointed;       /* position of the last checkpoint */
  unsigned checkpoint_waiters; /* writers that wait for the next one */
  bool is_committer_idle, is_stopping;
  unsigned wakes;              /* calls of volume_wake_waiters */
  pthread_cond_t committer_cond, maintainer_cond;
  bool is_maintenance_due;
  uint64_t spare_segments;     /* to be made ready in pauses */
  uint64_t rotated_ns;         /* when the last segment was begun */
  bool is_hurried;             /* segments are filled in quick succession */
  int prepare_failed;          /* errno of the last try to make a segment
                                  ready, until a writer wants another */
  uint64_t tries, failed_try;  /* that began; the last that failed for them */
  pthread_t thread[JOURNAL_THREADS];
  unsigned nthreads;
  pthread_cond_t cleaner_cond;
  uint64_t pin;                /* records after it are kept for the peer */
  uint64_t cleaned;            /* segments freed since open */
  bool is_exhausted;           /* the cleaner found nothing to win ... */
  uint64_t exhausted_live;     /* ... when so much was live */
};

/* A unit that does not verify (repair.c). */
struct damaged {
  uint64_t block, entry, seq;
  uint8_t *unit;               /* given, to be written; NULL: wanted */
  bool is_taken;               /* by the cleaner's thread, which writes it */
};

struct repairs {
  pthread_rwlock_t source_lock;/* held for reading while in the source */
  volume_source *source;
  void *source_opaque;

  pthread_mutex_t lock;        /* guards all below */
  pthread_cond_t changed;      /* something was written, or could not be */
  struct damaged list[VOLUME_WANTS_MAX];
  unsigned count;
  unsigned queued;             /* atomic: of these, given */
  uint64_t found, repaired;
  uint64_t refused, missed;    /* atomic */
};

struct volume {
  const struct volume_io *io;
  struct io_dir *dir;
  struct io_file *super_file, *segments_file[2];
  char *path;

  pthread_mutex_t role_lock, checkpoint_lock, tables_lock, super_lock;
  int checkpoint_failed;       /* checkpoint_lock: errno of a sync of the
                                  tables, which cannot be repeated */
  struct super super;          /* as of what is applied */
  struct super super_written;  /* as of the last checkpoint: in the file */
  uint32_t incarnation;        /* of this opening */
  uint64_t nblocks;            /* atomic: it may grow */
  unsigned commit_delay_ms;
  uint64_t checkpoint_bytes;
  uint64_t warm_bytes;         /* of what was written last, at most */

  struct table map, births;   /* what the disk shows */
  struct table stage_map, stage_births;
  struct newest newest;        /* of births */
  bool is_staging;             /* atomic: what is applied goes to stage_* */
  bool is_replaying;           /* live bytes are counted afterwards */
  struct sorted *sorted;       /* then, if there is memory; else NULL */
  uint64_t counted;            /* blocks below it are in the live bytes of
                                  segments; changed under journal.lock and
                                  while nothing is applied */
  struct volume_point point_after_mark;  /* set by applying a mark, for */
  bool has_point_after_mark;             /* who applied it */

  struct segments segments;
  struct pending pending;
  struct range_lock range_lock;
  struct journal journal;
  struct cold cold;
  struct repairs repairs;

  char failure[240];           /* guarded by journal.lock */
  struct {                     /* atomic counters */
    uint64_t checksum_errors, read_errors, writes, reads, flushes;
  } count;
};

static inline void
count_up (uint64_t *counter)
{
  __atomic_add_fetch (counter, 1, __ATOMIC_RELAXED);
}

static inline const struct volume_io *
io_or_real (const struct volume_io *io)
{
  return io ? io : &volume_io_real;
}

static inline uint64_t
volume_blocks (const struct volume *v)
{
  return __atomic_load_n (&v->nblocks, __ATOMIC_ACQUIRE);
}

static inline uint64_t
position_of (const struct volume *v, uint64_t lap, uint64_t offset)
{
  return lap * v->super.segment_size + offset;
}

/* --- journal.c ---------------------------------------------------- */

enum journal_how { JOURNAL_GUEST = 1, JOURNAL_FOREIGN, JOURNAL_MARK };

/* Space for one record, to be filled and given back with journal_filled. */
struct journal_slot {
  uint64_t batch;              /* number */
  uint64_t position;           /* logical, of the record */
  uint64_t offset;             /* in the journal file, of the record */
  uint8_t *memory;             /* header and body */
};

extern void journal_init_locks (struct volume *v);
extern int journal_init (struct volume *v, uint64_t staging_bytes);
extern void journal_release (struct volume *v);

/* Begin appending at POSITION with the record after POINT. */
extern void journal_start (struct volume *v, uint64_t position,
                           const struct volume_point *point);

/* Take the next place in the log for RECORD (type, length, block, nblocks
 * set; seq, generation, time_ns, bytes too when FOREIGN) and complete it.
 * Errors: EIO, ENOSPC, EROFS (guest and not writable), ESTALE (FOREIGN and
 * not the next seq).  On success journal_filled must follow soon.
 */
extern int journal_reserve (struct volume *v, enum journal_how how,
                            struct record *record,
                            struct journal_slot *ret);

/* --- commit.c ----------------------------------------------------- */

extern void journal_filled (struct volume *v,
                            const struct journal_slot *slot);

/* Wait until the batches below NUMBER are durable (applied).  The caller's
 * thread does the work if nobody else does.
 */
extern int journal_wait_durable (struct volume *v, uint64_t number);
extern int journal_wait_applied (struct volume *v, uint64_t number);

/* All that is appended so far. */
extern int journal_flush (struct volume *v);
extern int journal_flush_applied (struct volume *v);

/* The failure that is final: no more writes, EIO to who waits. */
extern void journal_fail (struct volume *v, int errnum, const char *what);

extern void *journal_committer (void *volume);

/* Nothing is applied from a true return of hold until resume, which the same
 * thread calls soon; false: the volume failed or is closed.
 */
extern bool journal_hold_applying_locked (struct volume *v);
extern void journal_resume_applying_locked (struct volume *v);

/* --- apply.c ------------------------------------------------------ */

/* Make a durable record visible.  BODY_OFFSET: where its body is in the
 * journal file; POSITION: its own logical position.  -1: a mark could not be
 * carried out.
 */
extern int apply_record (struct volume *v, const struct record *record,
                         const void *body, uint64_t body_offset,
                         uint64_t position);

/* --- cleaner.c ---------------------------------------------------- */

/* With fewer free segments than this the cleaner works. */
extern uint64_t cleaner_low (const struct volume *v);
extern void *cleaner_thread (void *volume);

/* --- stage.c ------------------------------------------------------ */

extern int stage_apply_mark (struct volume *v, const struct record *record,
                             const void *body, uint64_t position);
extern int stage_tables_open (struct volume *v, struct error *err);

/* volume_stage_drop for one who holds role_lock. */
extern int stage_drop_locked (struct volume *v, struct error *err);

/* Remove the tables that no checkpoint names. */
extern void stage_tables_remove (struct volume *v);

/* --- checkpoint.c ------------------------------------------------- */

/* Write down all that is applied and v->super as it is. */
extern int checkpoint (struct volume *v, bool is_clean, struct error *err);

/* Write down that the volume is open: from here on a crash is a crash, and
 * what this opening writes is told from what earlier ones wrote.
 */
extern int checkpoint_opening (struct volume *v, struct error *err);
extern void *checkpoint_maintainer (void *volume);

/* --- spare.c ------------------------------------------------------ */

/* Another segment is begun: how fast do they go? */
extern void spare_note_rotation_locked (struct volume *v);

/* What the writer needs next, and what may wait for a pause: one more. */
extern void spare_prepare_locked (struct volume *v);
extern void spare_prepare_more_locked (struct volume *v);

/* In a pause: one of the free segments that are too many is punched. */
extern void spare_give_back_locked (struct volume *v);

/* --- recover.c ---------------------------------------------------- */

/* Replay from the checkpoint; sets the journal to append after it. */
extern int recover (struct volume *v, struct error *err);

/* --- live.c ------------------------------------------------------- */

#define LIVE_COUNTED UINT64_MAX

/* Live bytes are to be counted anew ... */
extern void live_forget (struct volume *v);

/* ... at once, before anything else happens to the volume; or by the cleaner,
 * while guests go on.
 */
extern void live_count_now (struct volume *v);
extern void live_count_beside_guests (struct volume *v);

/* Wait until they are; false: they will not be. */
extern bool live_wait (struct volume *v);

/* --- fetch.c ------------------------------------------------------ */

/* LEN bytes of the journal at file offset OFFSET, from the ring or the file.
 * FROM_MEDIUM: past every cache.
 */
extern int fetch (struct volume *v, void *buf, size_t len, uint64_t offset,
                  bool from_medium);

/* Where the batches of LAP end, which is closed and in SEGMENT: an offset, by
 * the segment's summary.  1: it is in *RET; 0: the summary is damaged; -1: it
 * cannot be read.
 */
extern int fetch_data_end (struct volume *v, uint64_t segment, uint64_t lap,
                           uint32_t *ret);

/* The same from the ring alone; false: not all of it is there any more. */
extern bool fetch_staged (struct volume *v, void *buf, size_t len,
                          uint64_t offset);

/* A version of a block: where it is, and when it was written. */
struct version {
  uint64_t entry, seq;
};

/* Do entry and seq belong together, and to BLOCK? */
extern bool version_is_valid (const struct version *version, uint64_t block);

/* What map and births say of BLOCK; false if they do not agree, which may
 * also be because just now the one is changed and the other not yet: then
 * lookup_settle and look again.
 */
extern bool lookup_shown (struct volume *v, uint64_t block,
                          struct version *ret);

/* Wait until no record is being applied. */
extern void lookup_settle (struct volume *v);

/* The unit of BLOCK that a valid VERSION points to, entry_length bytes that
 * were fetched to STORED: is it whole, and that version?
 */
extern bool fetched_unit_is_valid (struct volume *v, const void *stored,
                                   uint64_t block,
                                   const struct version *version,
                                   struct unit *ret);

/* --- repair.c ----------------------------------------------------- */

#define REPAIR_TRIES 5           /* looks at a block that does not verify */

extern void repair_init (struct volume *v);
extern void repair_release (struct volume *v);

/* The unit of BLOCK that the valid VERSION points to is damaged. */
extern void repair_note (struct volume *v, uint64_t block,
                         const struct version *version);

/* The same, and have it from the volume's source: into STORED (room for
 * VOLUME_UNIT_MAX), verified.  It is written anew by and by.
 */
extern bool repair_from_source (struct volume *v, uint64_t block,
                                const struct version *version, void *stored,
                                struct unit *ret);

/* Look up and read BLOCK, from the medium unless its NEWEST version is wanted
 * and that is in memory.  Returns the stored unit's length, 0 for a block
 * without data, -1 (EIO) for one that is damaged, which is noted.
 */
extern int repair_read (struct volume *v, uint64_t block, bool newest,
                        struct version *ret_version, void *stored,
                        struct unit *ret);

/* The cleaner's thread: call FN for each unit that is to be written, then say
 * whether all of them were.
 */
extern bool repair_is_queued (struct volume *v);
extern int repair_take (struct volume *v,
                        int (*fn) (void *opaque, uint64_t block,
                                   const struct version *version,
                                   const void *unit),
                        void *opaque);
extern void repair_written (struct volume *v, bool is_written);

/* --- scrub.c ------------------------------------------------------ */

#define PLACED_RUN_BYTES (256u << 10)

/* A unit to be read from the medium. */
struct placed {
  uint64_t block;
  bool is_staged;
  struct version version;
};

/* By where they lie in the journal. */
extern void placed_sort (struct placed *s, unsigned count);

/* How many of the COUNT sorted units from S on are read as one piece, and how
 * long that is: more than PLACED_RUN_BYTES only if the first unit alone is.
 */
extern unsigned placed_run (const struct volume *v, const struct placed *s,
                            unsigned count, uint32_t *ret_length);

/* --- create.c ----------------------------------------------------- */

/* Are they within the bounds of a volume? */
extern int check_size (uint64_t size, struct error *err);
extern int check_capacity (uint64_t capacity, struct error *err);

/* What is chosen for a disk of SIZE. */
extern uint64_t default_capacity (uint64_t size, uint64_t segment_size);

/* --- volume.c ----------------------------------------------------- */

extern const char *map_name (unsigned slot);
extern const char *births_name (unsigned slot);

/* For tests: stop all threads and let go of the files without writing
 * anything, as a crash would.
 */
extern void volume_abandon (struct volume *v);

#endif /* PAIRDISK_VOLUME_INTERNAL_H */

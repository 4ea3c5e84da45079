/* A disk in memory behind struct volume_io that loses power.
 *
 * For each file it keeps what is on the medium and what was written but not
 * synced.  sim_crash decides, from a seed and sector by sector, what of the
 * latter arrived:
 *
 *   write            each sector of each write, until sync: the old one, the
 *                    new one or noise
 *   queue_submit     the same, until queue_wait has reported it
 *   map              each page: as last synced or written back, as it is now,
 *                    or a mix of both by sectors (noise there is damage, and
 *                    what --rebuild-map is for: unit-volume-rebuild)
 *   punch            what was there or zeros, at once and for good
 *   resize, reserve  the old size or the new one, until sync
 *   open (create),   there or not, until dir_sync
 *   unlink
 *
 * After sim_crash every call on what was open fails with EIO and changes
 * nothing: threads of the volume that still run may do so.  End them
 * (volume_abandon), then sim_restart and open again.
 *
 * Queue writes complete in random order, so how a run goes depends on the
 * seed and on the scheduler.  Misuse (unaligned writes, a buffer changed in
 * flight) aborts the test.
 *
 * All functions may be called by any thread.
 */

#ifndef PAIRDISK_IO_SIM_H
#define PAIRDISK_IO_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "io.h"

struct sim;

extern struct sim *sim_new (uint64_t seed);
extern void sim_free (struct sim *sim);
extern const struct volume_io *sim_io (struct sim *sim);

/* Power fails now, or at the operation after COUNT more.  SEED decides what
 * is left.
 */
extern void sim_crash (struct sim *sim, uint64_t seed);
extern void sim_crash_after (struct sim *sim, uint64_t count, uint64_t seed);
extern bool sim_is_off (struct sim *sim);

/* Until it is restarted, and by the thread whose operation it is, with the
 * disk locked: FN is called when power fails; only the operations that FN
 * says so of count for sim_crash_after.
 */
extern void sim_on_crash (struct sim *sim, void (*fn) (void *opaque),
                          void *opaque);
extern void sim_crash_only (struct sim *sim, bool (*fn) (void *opaque),
                            void *opaque);
extern void sim_restart (struct sim *sim);

/* Operations that can be made to fail. */
#define SIM_READ    (1u << 0)
#define SIM_WRITE   (1u << 1)
#define SIM_SYNC    (1u << 2)    /* sync, dir_sync */
#define SIM_QUEUE   (1u << 3)    /* the completion says so */
#define SIM_SPACE   (1u << 4)    /* zero_fill, reserve, resize */
#define SIM_MAPSYNC (1u << 5)
#define SIM_OPEN    (1u << 6)
#define SIM_ALL     0x7fu

/* After COUNT more operations of KINDS, the next fails with ERRNUM; with
 * IS_STICKY all that follow do too.  A failed write may have been done in
 * part.  ERRNUM 0: no more failures.
 */
extern void sim_fail (struct sim *sim, unsigned kinds, uint64_t count,
                      int errnum, bool is_sticky);

/* Operations of KINDS so far. */
extern uint64_t sim_count (struct sim *sim, unsigned kinds);

/* The file NAME in directory PATH, all its content being on the medium (after
 * a close in order or a restart).  Size 0: no such file.
 */
extern uint64_t sim_file_size (struct sim *sim, const char *path,
                               const char *name);
extern void sim_file_read (struct sim *sim, const char *path,
                           const char *name, uint64_t offset, void *buf,
                           size_t len);
extern void sim_file_write (struct sim *sim, const char *path,
                            const char *name, uint64_t offset,
                            const void *buf, size_t len);
extern void sim_file_resize (struct sim *sim, const char *path,
                             const char *name, uint64_t size);

/* Does the file have anything but zeros in this page. */
extern bool sim_page_is_used (struct sim *sim, const char *path,
                              const char *name, uint64_t offset);

/* Keep the disk as it is, with nothing open, and bring it back. */
struct sim_snapshot;
extern struct sim_snapshot *sim_snapshot_take (struct sim *sim);
extern void sim_snapshot_restore (struct sim *sim,
                                  const struct sim_snapshot *snapshot);
extern void sim_snapshot_free (struct sim_snapshot *snapshot);

#endif /* PAIRDISK_IO_SIM_H */

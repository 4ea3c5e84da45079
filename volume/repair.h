/* Damaged units, and having them from somebody else; proof that two volumes
 * show the same.  Part of what volume.h says of itself.
 *
 * A unit that does not verify on the medium is remembered as damaged while
 * the map shows it.  It is right again when somebody gives the very version
 * that is shown: of this block, seq and generation, with the salt of the
 * content here, in as many bytes.  Such a unit is written anew by the
 * cleaner, as one that it moves, and durable before it counts as repaired.
 *
 * All of it may be called from any thread.
 */

#ifndef PAIRDISK_VOLUME_REPAIR_H
#define PAIRDISK_VOLUME_REPAIR_H

#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "volume.h"

#define VOLUME_UNIT_MAX 4112u    /* stored: header and a raw block */
#define VOLUME_WANTS_MAX 256u    /* damaged units remembered at once */

/* A version of a block. */
struct volume_want {
  uint64_t block, seq, generation;
};

/* Fetch the stored unit of WANT into UNIT (room for VOLUME_UNIT_MAX) from
 * wherever it may be; returns its length, or -1 within a bounded time.  What
 * it brings is verified here.
 */
typedef ssize_t volume_source (void *opaque, const struct volume_want *want,
                               void *unit);

/* Where reads turn to for what is damaged here; NULL: nowhere.  Returns when
 * nobody is in the one there was before.
 */
extern void volume_set_source (struct volume *v, volume_source *source,
                               void *opaque);

/* What is damaged and shown, up to MAX of them. */
extern unsigned volume_wants (struct volume *v, struct volume_want *ret,
                              unsigned max);

/* The unit that is shown of BLOCK as it is stored, verified, read from the
 * medium, and its version.  Returns its length.  ENOENT: there is none, the
 * block reads as zeros.  EIO: it is damaged here, too.
 */
extern ssize_t volume_unit_read (struct volume *v, uint64_t block,
                                 struct volume_want *ret, void *unit,
                                 struct error *err);

/* Here is WANT, LEN bytes.  1: it was damaged and is right again, durably;
 * 0: it is not wanted (any more); -1: it could not be written, or it is not
 * what it should be (EBADMSG), which changes nothing.
 */
extern int volume_unit_give (struct volume *v, const struct volume_want *want,
                             const void *unit, size_t len,
                             struct error *err);

#define VOLUME_DAMAGED_SHOWN 16

struct volume_repairs {
  uint64_t found;            /* units that were found damaged, since open */
  uint64_t repaired;         /* ... and are right again */
  uint64_t refused;          /* units given that were not the ones */
  uint64_t missed;           /* times that nobody had the version */
  unsigned damaged;          /* known to be damaged now; the first of them: */
  uint64_t block[VOLUME_DAMAGED_SHOWN];
};

extern void volume_get_repairs (struct volume *v, struct volume_repairs *ret);

/* ------------------------------------------------------------------ */

#define VOLUME_SUMS_MAX 1000u    /* blocks looked at in one call */

/* What a volume shows of a block. */
struct volume_sum {
  uint64_t seq;              /* of its version; 0: never written */
  uint64_t hash;             /* XXH3-64 of the content; 0: zeros */
  bool is_bad;               /* it cannot be read: no hash, seq if known */
};

/* Read COUNT blocks from BLOCK on from the medium and hash what they hold.
 * NEWEST: as a guest would read them; else as they are in the map, which for
 * a secondary is what it has committed.  Adds what was read to *BYTES.
 */
extern int volume_sums (struct volume *v, uint64_t block, unsigned count,
                        bool newest, struct volume_sum *ret, uint64_t *bytes,
                        struct error *err);

#endif /* PAIRDISK_VOLUME_REPAIR_H */

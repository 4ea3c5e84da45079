/* What a guest's NBD requests do to its disk.
 *
 * The arguments are nbdkit's.  All return what the callback is to return,
 * with errno set to one of the errors that NBD knows and, at most once a
 * second for each disk, the reason in nbdkit's log.
 *
 * Every one of them checks the role: nbdkit caches what was true at open.
 */

#ifndef PAIRDISK_GUEST_H
#define PAIRDISK_GUEST_H

#include <stdint.h>

struct disk;
struct nbdkit_extents;

/* The NBD error for what a volume or receiver function has set. */
extern int guest_errno (int errnum);

extern int guest_can_write (struct disk *disk);
extern int guest_read (struct disk *disk, void *buf, uint32_t count,
                       uint64_t offset);
extern int guest_write (struct disk *disk, const void *buf, uint32_t count,
                        uint64_t offset, uint32_t flags);
extern int guest_zero (struct disk *disk, uint32_t count, uint64_t offset,
                       uint32_t flags);
extern int guest_trim (struct disk *disk, uint32_t count, uint64_t offset,
                       uint32_t flags);
extern int guest_flush (struct disk *disk);
extern int guest_extents (struct disk *disk, uint32_t count, uint64_t offset,
                          uint32_t flags, struct nbdkit_extents *extents);

#endif /* PAIRDISK_GUEST_H */

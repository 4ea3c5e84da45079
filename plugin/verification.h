/* A disk's verification (replica/verify.h): what it works with here, and that it
 * goes on after a restart.
 */

#ifndef PAIRDISK_VERIFICATION_H
#define PAIRDISK_VERIFICATION_H

#include "disks.h"

extern struct verify_ops disk_verify_ops (struct disk *disk);

/* Take up one that a restart interrupted; nothing if there was none, or if
 * the disk is no primary with its link on any more.
 */
extern int verification_resume (struct disk *disk, struct error *err);

#endif /* PAIRDISK_VERIFICATION_H */

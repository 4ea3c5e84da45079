/* What a disk must remember about the promise of the sync mode: the file
 * "sync" in its directory (replica/sync.h says what it means).
 *
 * A state file (statefile.h).  Beside the link file and not in it because it is
 * written by the threads of the link, in the middle of losing a connection,
 * while the link file belongs to the requests of the agent.
 */

#ifndef PAIRDISK_SYNCFILE_H
#define PAIRDISK_SYNCFILE_H

#include "error.h"
#include "sync.h"

/* No file is not an error: RET is all zero then.  A file that cannot be read
 * is, and RET is such that nothing is claimed and no flush goes unwaited for.
 */
extern int syncfile_load (int dirfd, struct sync_record *ret,
                          struct error *err);

/* Durable on return; an all-zero record removes the file. */
extern int syncfile_store (int dirfd, const struct sync_record *record,
                           struct error *err);

#endif /* PAIRDISK_SYNCFILE_H */

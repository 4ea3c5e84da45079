/* How far a verification is: the file "verify" in the disk's directory, so
 * that it goes on after a restart.  A state file (statefile.h); it is there
 * while one runs, and after one that a restart interrupted.
 */

#ifndef PAIRDISK_VERIFYFILE_H
#define PAIRDISK_VERIFYFILE_H

#include <stdbool.h>

#include "verify.h"

/* False: there is none, or none that can be read.  RET says what was found in
 * all below done_bytes, and what was asked for.
 */
extern bool verifyfile_load (int dirfd, struct verify_status *ret);

/* A verification goes on without it: that it cannot be written is no
 * failure.
 */
extern void verifyfile_store (int dirfd, const struct verify_status *status);

/* -1: errno is set; no file is fine. */
extern int verifyfile_remove (int dirfd);

#endif /* PAIRDISK_VERIFYFILE_H */

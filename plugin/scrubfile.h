/* How far a scrub is: the file "scrub" in the disk's directory, so that it
 * goes on after a restart.  A state file (statefile.h); it is there while a
 * scrub runs, and after one that was interrupted.
 */

#ifndef PAIRDISK_SCRUBFILE_H
#define PAIRDISK_SCRUBFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "volume.h"

struct scrub_progress {
  uint64_t block;            /* all below were looked at */
  uint64_t rate_bps;
  struct volume_scrub_result result;
};

/* False: there is none, or none that can be read. */
extern bool scrubfile_load (int dirfd, struct scrub_progress *ret);

/* A scrub goes on without it: that it cannot be written is no failure. */
extern void scrubfile_store (int dirfd, const struct scrub_progress *progress);

/* -1: errno is set; no file is fine. */
extern int scrubfile_remove (int dirfd);

#endif /* PAIRDISK_SCRUBFILE_H */

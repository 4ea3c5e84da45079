/* The small files in which a disk keeps what must survive a restart beside
 * its volume: "link", "sync", "scrub", "verify".
 *
 * Each is a JSON object with members of its own and two that all have:
 *
 *   "version"   of the members, a number
 *   "checksum"  XXH3 (64 bits, 16 lower-case hex digits) of the object
 *               without this member, compact and with sorted keys
 *
 * So the checksum holds the values, whatever the layout, which is for people.
 * A file has mode 0600 and is replaced as one step.  One that is larger than
 * STATEFILE_MAX, of another version, or whose values are not those that were
 * stored, is refused as a whole.
 */

#ifndef PAIRDISK_STATEFILE_H
#define PAIRDISK_STATEFILE_H

#include <stdbool.h>

#include <jansson.h>

#include "error.h"

#define STATEFILE_MAX 16384

struct statefile {
  const char *name;
  int version;
  /* Of a file whose version and checksum are right.  False: its values make
   * no sense; then RET may be half filled.
   */
  bool (*from_json) (json_t *json, void *ret);
};

/* 1: RET is filled; 0: there is no such file; -1: there is, and it cannot be
 * read, is of another version (ENOTSUP) or damaged (EBADMSG).
 */
extern int statefile_load (int dirfd, const struct statefile *file, void *ret,
                           struct error *err);

/* Takes JSON, the file's own members; NULL is short memory.  Durable on
 * return.
 */
extern int statefile_store (int dirfd, const struct statefile *file,
                            json_t *json, struct error *err);

/* Durable on return; no file is fine. */
extern int statefile_remove (int dirfd, const struct statefile *file,
                             struct error *err);

#endif /* PAIRDISK_STATEFILE_H */

/* The disks of this instance: one struct disk for each volume under dir.
 *
 * A volume that cannot be opened is a disk all the same: it is listed, its
 * state is "failed" and says why, and the others go on being served.
 *
 * A disk lives until it was deleted and the last reference is gone.  Whoever
 * uses one holds a reference; a connected guest holds one too.
 *
 * Lock order: disk->ops_lock, then the registry's lock (in disks.c), which is
 * never held across I/O.
 */

#ifndef PAIRDISK_DISKS_H
#define PAIRDISK_DISKS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "linkfile.h"
#include "replication.h"
#include "salvage.h"
#include "scrub.h"
#include "verify.h"
#include "volume.h"

struct disk {
  struct disk *next;         /* registry's lock; sorted by name */
  char name[VOLUME_NAME_MAX + 1];
  char *path;
  int dirfd;                 /* of path, -1 if that could not be opened */
  struct volume *volume;     /* NULL: failed, and then */
  struct error failure;      /* why */

  unsigned refs;             /* registry's lock */
  unsigned guests;           /* registry's lock: connections to the export */
  bool is_barred;            /* registry's lock: no new guests just now */
  bool is_unlisted;          /* registry's lock: freed with the last reference */

  /* Guests may use the disk: role is not secondary.  Set by
   * disk_role_changed, read in every callback.
   */
  atomic_bool serves_guests;
  atomic_uint_fast64_t last_complaint_ns;   /* see guest.c */

  pthread_mutex_t ops_lock;  /* one control request at a time; guards: */
  bool is_gone;              /* deleted while a request waited */

  /* What was last written to the link file.  Changed by disk_set_link with
   * ops_lock held; without that lock read a copy of disk_get_link.
   */
  struct linkfile link;

  struct replication replication;
  struct scrub scrub;
  struct salvage salvage;
  struct verify verify;
};

/* Look at all volumes under DIR without opening them (before the fork, while
 * the user still sees stderr).  Calls FN for each that is not readable.
 */
extern int disks_probe (const char *dir,
                        void (*fn) (const char *name,
                                    const struct error *error),
                        struct error *err);

/* Open all volumes under DIR; FN as above.  -1: DIR itself is unreadable. */
extern int disks_open_all (const char *dir,
                           void (*fn) (const char *name,
                                       const struct error *error),
                           struct error *err);

/* Close all of them: flush and checkpoint.  No guest is connected and no
 * request is running any more.  FN is called for each whose last data may
 * not be durable.
 */
extern void disks_close_all (void (*fn) (const char *name,
                                         const struct error *error));

/* The disk of that name with a reference, or NULL. */
extern struct disk *disk_get (const char *name);

/* The disk whose name follows AFTER ("" for the first), with a reference. */
extern struct disk *disk_next (const char *after);

/* The disk that belongs to the pair, with a reference.  If both do, it is the
 * secondary.
 */
extern struct disk *disk_get_by_pair (const struct uuid *pair);

extern void disk_put (struct disk *disk);

/* How many there are, failed ones too. */
extern unsigned disks_count (void);

/* Make a new volume and serve it.  EEXIST when there is one. */
extern int disk_create (const char *name, const struct volume_params *params,
                        struct error *err);

/* Take DISK out of service and delete its files.  Called with ops_lock held
 * and one reference; returns with the lock released and the reference still
 * held.  EBUSY with guests connected.
 */
extern int disk_delete (struct disk *disk, struct error *err);

/* A guest comes and goes.  Refused with EPERM (role), EBUSY (role is being
 * changed) or EIO (failed).  On success the guest has its own reference.
 */
extern int disk_enter_guest (struct disk *disk, struct error *err);
extern void disk_leave_guest (struct disk *disk);
extern unsigned disk_guests (struct disk *disk);

/* Keep new guests out until disk_unbar_guests; EBUSY if some are there. */
extern int disk_bar_guests (struct disk *disk, struct error *err);
extern void disk_unbar_guests (struct disk *disk);

/* Write the link file and remember it, or remove it (LINK not set).  With
 * ops_lock held.
 */
extern int disk_set_link (struct disk *disk, const struct linkfile *link,
                          struct error *err);
extern void disk_get_link (struct disk *disk, struct linkfile *ret);

/* To be called after every change of the volume's role. */
extern void disk_role_changed (struct disk *disk);

#endif /* PAIRDISK_DISKS_H */

/* What a disk must remember about its link: the file "link" in its directory.
 *
 * A state file (statefile.h), which only its owner reads: the pair's secret is
 * in it.  Role, pair and fence are the volume's own; a link file that names
 * another pair than the volume does is left over from an interrupted step and
 * means nothing.
 */

#ifndef PAIRDISK_LINKFILE_H
#define PAIRDISK_LINKFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto.h"
#include "error.h"
#include "options.h"
#include "sync.h"
#include "uuid.h"
#include "volume.h"

#define LINK_URI_MAX 1024
#define LINK_INTERVAL_MAX 43200      /* seconds: of the longest RPO the half */
#define LINK_SECRET_SIZE 32

/* What a promotion left behind, as far as this side can know. */
struct link_loss {
  uint64_t writes, bytes;
  double seconds;
  double heard_seconds_ago;  /* negative: never heard of the primary */
  bool dropped_staged;
  enum sync_proof zero;      /* was no acknowledged flush lost? */
};

struct linkfile {
  bool is_set;               /* false: there is no link file */
  struct uuid pair;
  uint8_t secret[LINK_SECRET_SIZE];

  /* primary */
  char uri[LINK_URI_MAX + 1];
  bool is_on;                /* link.start was called, link.stop was not */
  bool is_oneshot;
  struct sync_settings mode; /* either role: what it is when primary */
  unsigned interval_seconds; /* the same: between commits; 0: continuously */
  struct replica_options options;

  /* secondary */
  bool accepts;              /* replica.accept was called */

  /* The answer of the promotion with this fence, written before it is done
   * so that repeating the call finds it.
   */
  uint64_t promoted_fence;   /* 0: never */
  struct volume_point promoted_point;
  struct link_loss promoted_loss;
};

/* No file is not an error: RET->is_set is false then. */
extern int linkfile_load (int dirfd, struct linkfile *ret, struct error *err);

/* Durable on return. */
extern int linkfile_store (int dirfd, const struct linkfile *link,
                           struct error *err);

/* Durable on return; no file is fine. */
extern int linkfile_remove (int dirfd, struct error *err);

#endif /* PAIRDISK_LINKFILE_H */

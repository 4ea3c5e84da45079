/* What is known about a pair beside its record; lost at restart and learnt
 * again (runtime.c).  Guarded by agent.lock.
 */

#ifndef PAIRDISK_AGENT_RUNTIME_H
#define PAIRDISK_AGENT_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "apierror.h"
#include "names.h"

struct agent;

struct runtime {
  char id[ID_SIZE];
  struct runtime *next;

  uint64_t seen_version;         /* the record's, and since when */
  uint64_t seen_ns;
  uint64_t seen_epoch, epoch_ns;
  uint64_t looked_ns;            /* when the worker last looked */
  uint64_t applied_version;      /* our plugin is as this version says */
  uint64_t acked_version;        /* the peer holds this version or one as new */
  uint64_t acked_epoch;
  bool peer_applied;             /* ... and its plugin is as it says */
  uint64_t acked_ns;             /* when it last told us */
  uint64_t tried_ns;             /* when we last tried to tell it, */
  uint64_t tried_version, tried_meta; /* ... and what */
  char refused[480];             /* why the peer will not have it */
  enum api_error refused_code;

  json_t *status;                /* newest STATUS of our disk */
  json_t *peer_status;           /* ... of the peer's, as far as told */
  uint64_t status_ns;            /* when it was asked for */
  bool status_missed;            /* the last time it could not be had */
  char link_state[24];           /* as last seen */
  char mode_state[24];
  uint8_t link_secret[32];       /* digest of the secret last given */
  bool streamed;                 /* data flowed since the last loss */
  uint64_t link_started_ns;      /* when link.start was last given */
  char trouble[480];             /* why applying failed, "" if it did not */

  /* Failed over: both histories as last compared, and what that gave. */
  json_t *compared_ours, *compared_theirs, *comparison;
  uint64_t compared_ns;
  bool told_split;
};

/* agent.lock is held.  NULL only when out of memory. */
extern struct runtime *runtime_get (struct agent *agent, const char *id);
extern void runtimes_free (struct agent *agent);

#endif /* PAIRDISK_AGENT_RUNTIME_H */

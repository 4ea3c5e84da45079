/* What survives: pairs, disks, tokens, events (store.c, store-misc.c). */

#ifndef PAIRDISK_AGENT_STORE_H
#define PAIRDISK_AGENT_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "log.h"
#include "names.h"
#include "record.h"

struct settings;
struct store;

#define DISK_NAME_SIZE NAME_SIZE

enum disk_state { DISK_STATE_UNSET = 0, DISK_CREATING, DISK_READY,
                  DISK_DELETING, DISK_RESIZING };

struct disk {
  char id[DISK_ID_SIZE];         /* also the export */
  char name[DISK_NAME_SIZE];
  enum disk_state state;
  uint64_t size, capacity;
  uint64_t create_time;          /* seconds since 1970 */
  char instance[NAME_SIZE];      /* it is attached to, on record; "": none */
};

struct event {
  uint64_t id, time_ms;
  enum log_level level;
  char actor[160];               /* "api", "worker", "peer cn-b", ... */
  char kind[32];
  char pair[ID_SIZE];
  char disk[DISK_ID_SIZE];
  char from[24], to[24];
  char message[480];
};

struct event_filter {
  const char *pair, *disk;       /* NULL: any */
  uint64_t after;
  unsigned max;
};

extern struct store *store_open (const char *path, struct error *err);
extern void store_close (struct store *s);

/* Every call below is made between store_begin and store_end (one
 * transaction; END with commit false forgets it) or, for reading, between
 * store_enter and store_leave.  -1: ERRNO is EIO, and it is logged.
 */
extern int store_begin (struct store *s);
extern int store_end (struct store *s, bool commit);
extern void store_enter (struct store *s);
extern void store_leave (struct store *s);

/* 1 found, 0 not, -1. */
extern int store_pair_get (struct store *s, const char *id,
                           struct record *ret);
extern int store_pair_put (struct store *s, const struct record *rec);
extern int store_pair_remove (struct store *s, const char *id);

/* All pairs, newest first, as an array the caller frees.  -1: failed. */
extern ssize_t store_pair_list (struct store *s, struct record **ret);

/* How many pairs there are, tombstones apart; -1. */
extern int64_t store_pair_count (struct store *s);

/* The pair (tombstones and failed creations apart) of a disk of ours. */
extern int store_pair_of_disk (struct store *s,
                               const struct settings *settings,
                               const char *disk, struct record *ret);

/* By id or name. */
extern int store_disk_get (struct store *s, const char *id_or_name,
                           struct disk *ret);
extern int store_disk_put (struct store *s, const struct disk *disk);
extern int store_disk_remove (struct store *s, const char *id);
extern ssize_t store_disk_list (struct store *s, struct disk **ret);

extern int store_event_add (struct store *s, const struct event *event);
extern ssize_t store_event_list (struct store *s,
                                 const struct event_filter *filter,
                                 struct event **ret);

/* Remembered calls.  DIGEST is of the parameters, ANSWER the JSON text. */
extern int store_token_get (struct store *s, const char *key,
                            char ret_digest[65], char **ret_answer);
extern int store_token_put (struct store *s, const char *key,
                            const char *digest, const char *answer);

/* Small facts: NAME -> VALUE.  GET: the caller frees; 1, 0, -1. */
extern int store_fact_get (struct store *s, const char *name, char **ret);
extern int store_fact_put (struct store *s, const char *name,
                           const char *value);

/* Drop old tokens, events beyond the limit, settled tombstones. */
extern int store_prune (struct store *s);

#endif /* PAIRDISK_AGENT_STORE_H */

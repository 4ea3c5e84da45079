/* The record of a pair: the intent that both sites hold (record.c).
 *
 * Its fields are listed once, in RECORD_FIELDS: the columns in the store and
 * the members of the JSON between the sites come from there.
 */

#ifndef PAIRDISK_AGENT_RECORD_H
#define PAIRDISK_AGENT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "names.h"
#include "settings.h"
#include "states.h"
#include "uuid.h"

#define DISK_ID_SIZE 65          /* export name, with the zero byte */
#define TAGS_SIZE 24576          /* 20 tags of 128 characters fit */
#define TAGS_MAX 20

/* X (kind, member, scope): kind TEXT (char array), U64, STATUS; scope SHARED
 * goes to the other site, LOCAL does not.  Columns of the table "pairs" and
 * members of the JSON object have the same names.
 */
#define RECORD_FIELDS(X)                                                \
  X (TEXT, id, SHARED)                                                  \
  X (TEXT, uuid, SHARED)                                                \
  X (TEXT, salt, SHARED)                                                \
  X (TEXT, name, SHARED)                                                \
  X (TEXT, description, SHARED)                                         \
  X (STATUS, status, SHARED)                                            \
  X (TEXT, message, SHARED)                                             \
  X (TEXT, source_region, SHARED)                                       \
  X (TEXT, source_zone, SHARED)                                         \
  X (TEXT, source_disk, SHARED)                                         \
  X (TEXT, source_device, SHARED)                                       \
  X (TEXT, destination_region, SHARED)                                  \
  X (TEXT, destination_zone, SHARED)                                    \
  X (TEXT, destination_disk, SHARED)                                    \
  X (TEXT, destination_device, SHARED)                                  \
  X (TEXT, primary_region, SHARED)                                      \
  X (TEXT, primary_zone, SHARED)                                        \
  X (TEXT, standby_region, SHARED)                                      \
  X (TEXT, standby_zone, SHARED)                                        \
  X (TEXT, charge_type, SHARED)                                         \
  X (TEXT, resource_group, SHARED)                                      \
  X (TEXT, tags, SHARED)                                                \
  X (TEXT, asked_by, SHARED)                                            \
  X (TEXT, owner_region, SHARED)                                        \
  X (TEXT, owner_zone, SHARED)                                          \
  X (U64, meta, SHARED)                                                 \
  X (U64, version, SHARED)                                              \
  X (U64, epoch, SHARED)                                                \
  X (U64, fence, SHARED)                                                \
  X (U64, size, SHARED)                                                 \
  X (U64, rpo, SHARED)                                                  \
  X (U64, bandwidth, SHARED)                                            \
  X (U64, period, SHARED)                                               \
  X (U64, enable_rtc, SHARED)                                           \
  X (U64, create_time, SHARED)                                          \
  X (U64, oneshot_time, SHARED)                                         \
  X (U64, has_point, SHARED)                                            \
  X (U64, point_ms, SHARED)                                             \
  X (U64, has_loss, SHARED)                                             \
  X (U64, loss_writes, SHARED)                                          \
  X (U64, loss_bytes, SHARED)                                           \
  X (U64, loss_ms, SHARED)                                              \
  X (U64, loss_heard_known, SHARED)                                     \
  X (U64, loss_heard_ms, SHARED)                                        \
  X (U64, loss_dropped, SHARED)                                         \
  X (U64, failover_ms, SHARED)                                          \
  X (U64, failover_start_ms, SHARED)                                    \
  X (U64, reprotect, SHARED)                                            \
  X (U64, reprotect_force, SHARED)                                      \
  X (U64, reprotect_unsaved, SHARED)                                    \
  X (U64, has_base, SHARED)                                             \
  X (U64, has_discard, SHARED)                                          \
  X (U64, discard_writes, SHARED)                                       \
  X (U64, discard_bytes, SHARED)                                        \
  X (U64, discard_ms, SHARED)                                           \
  X (U64, discard_exact, SHARED)                                        \
  X (TEXT, discard_region, SHARED)                                      \
  X (TEXT, discard_disk, SHARED)                                        \
  X (TEXT, discard_file, SHARED)                                        \
  X (U64, sync, SHARED)                                                 \
  X (U64, suspends, SHARED)                                             \
  X (U64, commit_interval, SHARED)                                      \
  X (U64, connections, SHARED)                                          \
  X (U64, dead_seconds, SHARED)                                         \
  X (U64, proof_seconds, SHARED)                                        \
  X (U64, mode_force, SHARED)                                           \
  X (U64, loss_zero, SHARED)                                            \
  X (U64, link_epoch, LOCAL)                                            \
  X (TEXT, link_uri, LOCAL)                                             \
  X (TEXT, link_digest, LOCAL)                                          \
  X (U64, gone_ms, LOCAL)

struct record {
  char id[ID_SIZE];
  char uuid[UUID_STRING_SIZE];   /* the pair's name between the plugins */
  char salt[65];                 /* the secret is made from it, see record.c */
  char name[NAME_SIZE];
  char description[DESCRIPTION_SIZE];
  enum pair_status status;
  char message[480];             /* StatusMessage */
  char source_region[REGION_SIZE], source_zone[REGION_SIZE];
  char source_disk[DISK_ID_SIZE], source_device[UUID_STRING_SIZE];
  char destination_region[REGION_SIZE], destination_zone[REGION_SIZE];
  char destination_disk[DISK_ID_SIZE], destination_device[UUID_STRING_SIZE];
  char primary_region[REGION_SIZE], primary_zone[REGION_SIZE];
  char standby_region[REGION_SIZE], standby_zone[REGION_SIZE];
  char charge_type[16];
  char resource_group[129];
  char tags[TAGS_SIZE];          /* JSON: [{"TagKey","TagValue"}], or "" */
  char asked_by[128];            /* who made the last verb, of which client */
  char owner_region[REGION_SIZE], owner_zone[REGION_SIZE];  /* the site that
                                    took the last verb and carries it out */
  uint64_t meta;                 /* of tags and resource_group, see tags.c */
  uint64_t version;              /* of the record: every change adds one */
  uint64_t epoch;                /* of the intent: every verb adds one */
  uint64_t fence;
  uint64_t size;
  uint64_t rpo;                  /* seconds */
  uint64_t bandwidth, period, enable_rtc;
  uint64_t create_time;          /* seconds since 1970 */
  uint64_t oneshot_time;         /* ms: last accepted one-shot call, or 0 */
  uint64_t has_point, point_ms;  /* last recovery point */
  uint64_t has_loss, loss_writes, loss_bytes, loss_ms;
  uint64_t loss_heard_known, loss_heard_ms, loss_dropped;
  uint64_t failover_ms;          /* how long it took */
  uint64_t failover_start_ms;
  uint64_t reprotect;            /* enum reprotect, of the last such verb */
  uint64_t reprotect_force;      /* also without a common point */
  uint64_t reprotect_unsaved;    /* what is given up is not saved first */
  uint64_t has_base;             /* the destination was the source: what it
                                    holds differs from it, no more */
  uint64_t has_discard;          /* what the last reprotect gave up, where */
  uint64_t discard_writes, discard_bytes, discard_ms, discard_exact;
  char discard_region[REGION_SIZE], discard_disk[DISK_ID_SIZE];
  char discard_file[300];        /* "": nothing was saved */
  uint64_t sync, suspends;       /* mode, and what it does on peer loss */
  uint64_t commit_interval;      /* async: seconds, 0: continuously */
  uint64_t connections, dead_seconds, proof_seconds;   /* 0: default */
  uint64_t mode_force;           /* also if the peer cannot be told */
  uint64_t loss_zero;            /* enum zero, of the last failover */
  uint64_t link_epoch;           /* the last epoch link.start was given for */
  char link_uri[300];            /* ... and the address given */
  char link_digest[65];          /* ... and how, without what STATUS shows */
  uint64_t gone_ms;              /* deleted: since when both sites know */
};

/* Who loses in a reprotect is who is named; stored, so numbers are fixed. */
enum reprotect {
  REPROTECT_UNSET = 0,
  REPROTECT_REVERSE = 1,         /* the source gives up, and is the target */
  REPROTECT_CANCEL = 2,          /* the destination gives up the failover */
};

/* Did a failover lose an acknowledged flush?  Stored: numbers are fixed. */
enum zero {
  ZERO_UNKNOWN = 0,              /* it was never promised that none can be */
  ZERO_PROVEN = 1,               /* none */
  ZERO_LAPSED = 2,               /* it was, but too long ago */
};

enum record_kind { RECORD_TEXT = 1, RECORD_U64, RECORD_STATUS };
enum record_scope { RECORD_SHARED = 1, RECORD_LOCAL };

struct record_field {
  const char *name;
  enum record_kind kind;
  enum record_scope scope;
  size_t offset, size;
};

extern const struct record_field record_fields[];  /* name NULL ends it */

extern json_t *record_to_json (const struct record *rec);

/* False for a missing or oversize field, or values that cannot be. */
extern bool record_from_json (const json_t *json, struct record *ret);

/* Which of two records of one pair counts: > 0 when A does.  A deletion
 * beats everything, then the higher fence, then the later verb (epoch),
 * then the later change (version).
 */
extern int record_compare (const struct record *a, const struct record *b);

/* The secret of the link: HMAC of the pair's random salt with the SECRET that
 * the two sites share, as 64 hex digits.  So it neither travels nor lies in
 * the store.
 */
extern void record_secret (const void *secret, size_t len,
                           const struct record *rec, char ret[65]);

#endif /* PAIRDISK_AGENT_RECORD_H */

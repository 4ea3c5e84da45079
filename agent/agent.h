/* What the files of paird share.
 *
 *   main.c        start, signals, stop
 *   settings.c, settings-table.c   the table of keys: command line, file, help
 *   log.c         one line an event on stderr
 *   store.c, store-misc.c   SQLite: pairs; disks, tokens, events
 *   record.c      a pair's record: fields, JSON, which of two is newer
 *   control.c     client of the plugin's control socket
 *   plugin.c, plugin-spawn.c   the nbdkit instance: start, adopt, watch, stop
 *   http.c, http-guard.c, params.c   libmicrohttpd: a request in, JSON out
 *   auth.c, sign.c   who calls: signatures, access keys, peer credentials
 *   keys.c, store-keys.c   access keys
 *   actions.c     the table of actions, tokens, forwarding
 *   disks.c, disk-resize.c, disk-attach.c   disks of the site, DescribeSite
 *   events.c      the event log
 *   actions-pair.c, describe.c   the pair's verbs; what is told of pairs
 *   tags.c, regions.c   tags and resource groups; the sites there are
 *   peer.c        calls to the other sites, and the threads that keep in touch
 *   peer-serve.c  calls from the other sites
 *   sites.c, join.c, secrets.c, trust.c   sites joined by invitation: on disk,
 *                 how they are joined, their secrets, our certificates
 *   work.c        the worker: looks at every pair, ends passing statuses
 *   mode.c        sync and async, and how the link is carried
 *   apply.c       brings this site's plugin to what a record says
 *   change.c      changes of a record: verbs, reports, merging the peer's
 *   monitor.c     what the plugin's status means for a pair
 *   dry-run.c     what a verb would do
 *   reprotect.c   what two sides that both wrote have, and who gives up what
 *   metrics.c     /metrics and /healthz
 *   tls.c         the certificate that the API shows
 *
 * How it works: a pair's record is the intent.  A verb changes the record in
 * one SQLite transaction (with its token and event) and answers.  Everything
 * else is level-triggered: the worker compares record and plugin and does
 * what is missing, the peer threads exchange records, and of two records of
 * one pair the newer wins on both sites (record_compare).  So a kill at any
 * moment leaves a state from which a restart goes on by itself.
 *
 * Threads: one a HTTP connection, one a listener (http-guard.c), one worker,
 * one a peer, one for nbdkit.
 * Locks: agent.lock guards the runtime fields below; the store has its own
 * (store_begin/store_enter).  Order: store, then agent.lock.  Neither is
 * held over a call to a plugin or a peer.
 */

#ifndef PAIRDISK_AGENT_H
#define PAIRDISK_AGENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "apierror.h"
#include "error.h"
#include "names.h"
#include "states.h"
#include "uuid.h"

struct agent;

/* ------------------------------------------------------------------ */
/* log.c                                                                */

enum log_level { LOG_LEVEL_UNSET = 0, LOG_LEVEL_INFO, LOG_LEVEL_WARNING,
                 LOG_LEVEL_ERROR };

extern const char *log_level_name (enum log_level level);

/* One line on stderr: time, level, text.  Never a secret. */
extern void log_line (enum log_level level, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));
#define log_info(...) log_line (LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warning(...) log_line (LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_error(...) log_line (LOG_LEVEL_ERROR, __VA_ARGS__)

/* ------------------------------------------------------------------ */
/* settings.c                                                           */

#define REGION_SIZE 65           /* region or zone, with the zero byte */
#define PEERS_MAX 16

struct peer_setting {
  char region[REGION_SIZE];
  char *address;                 /* HOST:PORT of its HTTP */
};

struct settings {
  char *region, *zone, *dir, *listen, *listen_tls, *address, *tls_dir;
  char *data_tls, *data_psk_file, *data_psk_user;
  char *data_listen, *data_address, *site_secret_file, *metrics_listen;
  char *nbdkit, *plugin;
  bool run_nbdkit, stop_plugin_on_exit;
  uint64_t pairs_max;
  uint64_t verb_timeout;         /* seconds */
  struct peer_setting peers[PEERS_MAX];
  size_t npeers;
  uint8_t *secret;               /* content of site-secret-file */
  size_t secret_len;             /* 0: none */
};

/* 1: go on; 0: help or version was printed; -1: ERR. */
extern int settings_load (struct settings *s, int argc, char **argv,
                          struct error *err);
extern void settings_release (struct settings *s);

/* Can it be the name of a region or zone? */
extern bool region_is_valid (const char *str);

/* ------------------------------------------------------------------ */
/* data-tls.c: data-tls and what goes with it.                          */

extern int data_tls_check (const struct settings *s, struct error *err);
extern bool data_tls_is_on (const struct settings *s);

/* The URI of nbdkit at ADDRESS.  It differs for each kind, so that a link is
 * started anew when data-tls is another one.
 */
extern void data_tls_uri (const struct settings *s, const char *address,
                          char *ret, size_t size);

/* Field "tls" of link.start, a new reference; null without. */
extern json_t *data_tls_link (const struct settings *s);

/* The flag of nbdkit that names the keys, NULL without TLS or memory; the
 * caller frees it.
 */
extern char *data_tls_flag (const struct settings *s);

/* Shall nbdkit have clients show a certificate that it trusts? */
extern bool data_tls_verifies (const struct settings *s);

/* ------------------------------------------------------------------ */
/* record.c                                                             */

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

/* Copy SRC into the array DST; false (DST then empty) when it does not fit. */
extern bool text_set (char *dst, size_t size, const char *src);
#define TEXT_SET(dst, src) text_set ((dst), sizeof (dst), (src))

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

/* ------------------------------------------------------------------ */
/* mode.c: how the data of a pair gets to its copy, beyond the vendor's.  */

struct request;
struct answer;

/* Parameters of create and modify into REC.  False: ANSWER says why not. */
extern bool mode_parse (const struct request *req, struct record *rec,
                        struct answer *answer);

/* Do the values of REC go together? */
extern bool mode_fits (const struct record *rec, struct answer *answer);

/* Is nothing else asked for? */
extern bool mode_is_all (const struct request *req);

/* The request that brings the disk of STATUS to what REC says, NULL when
 * there is none.
 */
extern json_t *mode_request (const struct record *rec,
                             const json_t *status);

/* Add to a link.start what REC says of it. */
extern void mode_add_to_start (const struct record *rec, json_t *start);

/* Fields of DescribeDiskReplicaPairs. */
extern void mode_describe (const struct record *rec, const json_t *status,
                           json_t *object);

/* Those of them that say whether a failover to the disk of STATUS, a copy,
 * would lose an acknowledged flush.
 */
extern void mode_describe_zero (const json_t *status, json_t *object);

/* The enum zero of LOSS in the control protocol; its words. */
extern enum zero mode_loss_zero (const json_t *loss);
extern const char *zero_string (enum zero zero);
extern const char *zero_reason (enum zero zero);

/* The event for people that a change of the mode's state from FROM to the one
 * of STATUS is worth, NULL: none.
 */
extern const char *mode_event (const char *from, const char *to,
                               enum log_level *ret_level);

/* ------------------------------------------------------------------ */
/* store.c                                                              */

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

/* ------------------------------------------------------------------ */
/* control.c                                                            */

struct control_error {
  char code[32];                 /* of the plugin; "unreachable" when it does
                                    not answer */
  char message[480];
};

/* Send REQUEST (stolen), wait for the answer.  NULL: ERR is filled. */
extern json_t *control_call (const char *path, json_t *request,
                             unsigned timeout_ms,
                             struct control_error *err);

/* ------------------------------------------------------------------ */
/* plugin.c                                                             */

struct plugin;

extern struct plugin *plugin_new (struct agent *agent, struct error *err);

/* Adopt or start nbdkit, then watch it in a thread. */
extern int plugin_start (struct plugin *p, struct error *err);

/* End the thread, and nbdkit too if STOP_NBDKIT. */
extern void plugin_free (struct plugin *p, bool stop_nbdkit);

/* It answered once, and its process lives. */
extern bool plugin_is_alive (struct plugin *p);

/* It did not answer the last call.  Does it answer now?  That is a call. */
extern bool plugin_is_silent (struct plugin *p);
extern bool plugin_answers (struct plugin *p);

/* The address others reach our data at: HOST:PORT, data-address if given.
 * Returns RET.
 */
#define DATA_ADDRESS_SIZE 256
extern const char *plugin_data_address (struct plugin *p,
                                        char ret[DATA_ADDRESS_SIZE]);

/* Which process of nbdkit was last heard; "" when none was. */
extern void plugin_instance (struct plugin *p, char ret[UUID_STRING_SIZE]);

/* control_call with the plugin's socket. */
extern json_t *plugin_call (struct plugin *p, json_t *request,
                            unsigned timeout_ms, struct control_error *err);

/* ------------------------------------------------------------------ */
/* http.c                                                               */

struct http;

extern struct http *http_start (struct agent *agent, struct error *err);
extern void http_stop (struct http *h);

/* Parameters of a call, and lists like them. */
#define PARAMS_MAX 512
#define BODY_MAX (1024 * 1024)

struct params {
  size_t count;
  struct { char *name, *value; } *table;
};

/* First come wins.  -1: E2BIG, EINVAL (not text), ENOMEM. */
extern int params_add (struct params *p, const char *name, size_t name_len,
                       const char *value, size_t value_len);

/* Add what an application/x-www-form-urlencoded body says. */
extern int params_add_form (struct params *p, const char *body, size_t len);
extern const char *params_get (const struct params *p, const char *name);
extern void params_release (struct params *p);

/* ------------------------------------------------------------------ */
/* actions.c                                                            */

enum key_role { KEY_ROLE_UNSET = 0, KEY_ROLE_READ_ONLY, KEY_ROLE_OPERATOR };

#define KEY_ID_SIZE 65

struct request {
  struct params params;
  const char *action, *region;
  char client[128];              /* who: "local", a key and an address */
  char key_id[KEY_ID_SIZE];      /* access key, "" if not signed */
  enum key_role role;
  bool is_local;                 /* unsigned, by the Unix socket */
  bool is_forwarded;             /* came from another site, which checked */
};

struct answer {
  json_t *body;                  /* without RequestId; NULL: {} */
  enum api_error error;
  const char *name1, *name2;     /* for the error's "%s"; static */
  char recommend[480];           /* "": the error's own hint */
};

/* Set the error; FMT (may be NULL) is the next step for a person. */
extern void answer_error (struct answer *a, enum api_error error,
                          const char *name, const char *fmt, ...)
  __attribute__ ((format (printf, 4, 5)));

/* Carry out REQ.  Sets the HTTP status and returns the JSON to send. */
extern json_t *actions_run (struct agent *agent, struct request *req,
                            int *ret_http);

/* The JSON of an error outside any action. */
extern json_t *error_body (struct agent *agent, enum api_error error,
                           const char *name, const char *recommend);

/* Actions that take a token finish here: the effect, the event and the
 * remembered answer are one transaction.
 */
struct work_token {
  char key[512];                 /* "": no token */
  char digest[65];
};
extern int token_remember (struct agent *agent, const struct work_token *t,
                           const json_t *body);

typedef void action_fn (struct agent *agent, struct request *req,
                        const struct work_token *token,
                        struct answer *answer);
extern action_fn action_create_disk, action_delete_disk, action_scrub_disk,
  action_verify_disk, action_attach_disk, action_detach_disk,
  action_resize_disk, action_describe_disks, action_describe_events,
  action_describe_site,
  action_create_pair, action_start_pair, action_stop_pair,
  action_failover_pair, action_reprotect_pair, action_delete_pair, action_modify_pair,
  action_describe_pairs, action_describe_progress,
  action_create_invitation, action_join_site, action_rotate_site,
  action_remove_site,
  action_describe_regions, action_list_edges,
  action_tag_resources, action_untag_resources, action_list_tag_resources,
  action_change_resource_group,
  action_create_key, action_update_key, action_delete_key, action_list_keys;

/* tags.c: the Tag.N of a call, into the record; as a filter. */
extern bool tags_parse (const struct request *req, struct record *rec,
                        struct answer *answer);
extern bool tags_filter_valid (const struct request *req,
                               struct answer *answer);
extern bool tags_match (const struct request *req, const struct record *rec);
extern bool resource_group_valid (const char *str);

/* actions-pair.c: has this site all the pairs that it takes? */
extern bool pairs_are_too_many (struct agent *agent);

/* disks.c: STATUS of a disk, and what it is attached to; errors of the plugin
 * as the API's; what a kill left half done.
 */
extern json_t *disk_status (struct agent *agent, const char *disk,
                            unsigned timeout_ms, struct control_error *err);
extern void answer_control_error (struct answer *answer,
                                  const struct control_error *err);
extern void disks_settle (struct agent *agent);

/* disk-attach.c: add to the STATUS of a disk what it is attached to, on record,
 * as "instance".  Is it attached, on record or to a guest, by its STATUS?
 * What is known of both of a pair's disks, for DescribeDiskReplicaPairs;
 * STATUS is of the one here, or NULL.
 */
extern void attach_add (struct agent *agent, const char *id, json_t *status);
extern bool attach_is_on (const json_t *status);
extern void attach_describe (struct agent *agent, const struct record *rec,
                             const json_t *status, json_t *object);

/* disk-resize.c: the same for one that was being resized. */
extern void disk_resize_settle (struct agent *agent, const struct disk *disk);

/* describe.c: the newest STATUS of a pair's disk here, a new reference, and its
 * age; NULL when there is none.  One that is some seconds old, and could not
 * be had anew, says no more how things are.  Milliseconds since 1970 of the
 * last recovery point, by such a STATUS; 0: none yet.
 */
struct status_age {
  uint64_t ms;
  bool is_old;
};
extern json_t *pair_disk_status (struct agent *agent,
                                 const struct record *rec,
                                 struct status_age *ret);
extern uint64_t pair_recovery_point (struct agent *agent,
                                     const struct record *rec,
                                     const json_t *status,
                                     const struct status_age *age);

/* reprotect.c: what the two sides of a pair that failed over have and the
 * other lacks.
 *
 * observe: add "history" and "compare" to STATUS, which goes to the peer.
 * is_loser: is it our disk that gives up in the reprotect that REC asks for?
 * peer_status: what the peer told of its disk, a new reference or NULL.
 * end: change REC as a finished reprotect does; OPAQUE is the loser's DISCARD.
 * dry_run: answer what this reprotect would give up.
 */
extern void reprotect_observe (struct agent *agent, const struct record *rec,
                               json_t *status);
extern bool reprotect_is_loser (const struct agent *agent,
                                const struct record *rec);
extern json_t *reprotect_peer_status (struct agent *agent,
                                      const struct record *rec);
extern void reprotect_end (struct record *rec, void *opaque);
extern void reprotect_dry_run (struct agent *agent, const struct record *rec,
                               enum reprotect how, struct answer *answer);

/* dry-run.c: what EVENT, which T does not refuse, would give up. */
extern void dry_run (struct agent *agent, const struct record *rec,
                     enum pair_event event, const struct pair_transition *t,
                     struct answer *answer);

extern void reprotect_describe (struct agent *agent,
                                const struct record *rec, json_t *object);

/* Failed over: did both sides write?  *RET_KNOWN is false until both
 * histories were compared.  In words, with the next step, into RET (empty if
 * it is none).
 */
extern bool reprotect_is_split (struct agent *agent,
                                const struct record *rec, bool *ret_known);
extern void reprotect_split_text (struct agent *agent,
                                  const struct record *rec, char *ret,
                                  size_t size);

/* metrics.c: the text for Prometheus (the caller frees it), and the answer of
 * /healthz.
 */
extern char *metrics_text (struct agent *agent);
extern json_t *health_json (struct agent *agent, bool *ret_ok);

/* Paging of lists: see api 5.5. */
struct paging {
  bool by_token;
  uint64_t offset, limit, page_number;
};
extern bool paging_parse (const struct request *req, struct paging *ret,
                          struct answer *answer);
extern void paging_finish (const struct paging *p, uint64_t total,
                           json_t *body);

/* Is VALUE one of the comma list LIST?  NULL list: everything is. */
extern bool in_comma_list (const char *list, const char *value);

/* ------------------------------------------------------------------ */
/* peer.c and peer-serve.c                                              */

#define PEER_AUTH_HEADER "x-pairdisk-auth"
#define PEER_WINDOW_MS 60000     /* how far the clocks may differ */

struct peer;

/* Start one thread a peer. */
extern int peers_start (struct agent *agent, struct error *err);
extern void peers_stop (struct agent *agent);

/* The peer for a region, NULL if none is configured. */
extern struct peer *peer_find (struct agent *agent, const char *region);
extern bool peer_is_reachable (struct peer *peer);
extern json_t *peers_describe (struct agent *agent);

/* POST /peer/VERB with BODY (stolen).  NULL: no valid answer in time. */
extern json_t *peer_call (struct peer *peer, const char *verb, json_t *body,
                          unsigned timeout_ms, struct error *err);

/* The code in the "refused" of its answer. */
extern enum api_error peer_refused_code (const json_t *refused);

/* Data URI of the peer's plugin, or false when never heard. */
extern bool peer_data_uri (struct agent *agent, const char *region,
                           char *ret, size_t size);

/* Have the peer threads look at the records now. */
extern void peers_wake (struct agent *agent);

/* The authentication of a message: hex HMAC with SECRET over KIND, verb, time,
 * nonce, body.
 */
extern void peer_hmac (const void *secret, size_t secret_len,
                       const char *kind, const char *verb,
                       const char *time_ms, const char *nonce,
                       const char *body, size_t len, char ret[65]);

/* Check and serve a call.  *RET_AUTH (64 digits) proves the answer. */
extern json_t *peer_serve (struct agent *agent, const char *verb,
                           const char *auth, const char *body, size_t len,
                           int *ret_http, char ret_auth[65]);

/* ------------------------------------------------------------------ */
/* work.c and monitor.c                                                 */

/* What is known about a pair beside its record; lost at restart and learnt
 * again.  Guarded by agent.lock.
 */
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

extern int work_start (struct agent *agent, struct error *err);
extern void work_stop (struct agent *agent);
extern void runtimes_free (struct agent *agent);
extern void work_wake (struct agent *agent);

/* What a passing status waits for, in words; "": nothing that takes long. */
extern void work_waits_for (struct agent *agent, const struct record *rec,
                            char *ret, size_t size);

/* A pair of this disk that is being deleted may be gone already for who asked
 * at the other site: give it a moment to be so here.  Not in a transaction.
 */
extern void work_let_go (struct agent *agent, const char *disk);

/* Wait until our plugin is as VERSION of the record says; false: not yet. */
extern bool work_wait_applied (struct agent *agent, const char *id,
                               uint64_t version, unsigned timeout_ms);

/* agent.lock is held.  NULL only when out of memory. */
extern struct runtime *runtime_get (struct agent *agent, const char *id);

/* Is this site the source / the destination of the pair? */
extern bool is_source (const struct agent *agent, const struct record *rec);
extern bool is_destination (const struct agent *agent,
                            const struct record *rec);

/* The pair's other region as seen from here, our disk. */
extern const char *other_region (const struct agent *agent,
                                 const struct record *rec);
extern const char *our_disk (const struct agent *agent,
                             const struct record *rec);

/* Apply EVENT to the pair as it is now, if it still is at VERSION (0: any).
 * Takes its own transaction.  1: moved or accepted, 0: not, -1.
 */
extern int report_event (struct agent *agent, const char *id,
                         uint64_t version, enum pair_event event,
                         const char *message,
                         void (*change) (struct record *rec, void *opaque),
                         void *opaque);

/* In a transaction: give REC its new status as a change made here, with the
 * event that tells of it.
 */
extern int record_move (struct agent *agent, struct record *rec,
                        enum pair_status status, bool is_verb,
                        const char *actor, const char *kind,
                        const char *message);

/* In words for an event: what a reprotect gave up, and a failover lost. */
extern void discard_text (const struct record *rec, char *ret, size_t size);
extern void loss_text (const struct record *rec, char *ret, size_t size);

/* A record came from the other site: keep the newer.  In a transaction.
 * 1: ours was replaced, 0: kept, -1.  RET is the one that counts.
 */
extern int record_merge (struct agent *agent, const struct record *theirs,
                         const char *actor, struct record *ret);

/* apply.c: bring our plugin nearer to what REC says, by one step.  STATUS is
 * that of our disk.  -1: ERR.  Once promoted, *RET_PROMOTED is the plugin's
 * answer (the caller frees).
 */
enum { APPLY_WAITS,              /* for the other site */
       APPLY_STEPPED,            /* STATUS is old now: look again */
       APPLY_DONE };             /* it is as REC says */
extern int apply_record (struct agent *agent, const struct record *rec,
                         const json_t *status, json_t **ret_promoted,
                         struct control_error *err);

/* What the STATUS of our disk says about a pair in an active status: an
 * event for the table, or PAIR_EVENT_UNSET.  Pure.
 */
struct observation {
  enum pair_event event;
  bool has_point;
  uint64_t point_ms;             /* recovery point */
  const char *link_state;        /* NULL: none */
  const char *link_reason;
  bool is_up;                    /* data flows */
};
extern void monitor_observe (const struct record *rec, const json_t *status,
                             bool at_source, uint64_t now_ms,
                             struct observation *ret);

/* Lag of a pair by the status of our disk; absent members stay away. */
extern void monitor_describe (const struct record *rec,
                              const json_t *status, bool at_source,
                              json_t *object);

/* Progress 0..100, its details into OBJECT. */
extern int monitor_progress (const struct record *rec, const json_t *status,
                             bool at_source, json_t *object);

/* ------------------------------------------------------------------ */

struct agent {
  struct settings settings;
  struct store *store;
  struct plugin *plugin;
  struct http *http;

  uint64_t start_ms;             /* wall clock when this process began */

  pthread_mutex_t lock;          /* guards what follows */
  pthread_cond_t work_cond;      /* the worker has something to do, or is to
                                    end; monotonic clock */
  pthread_cond_t applied_cond;   /* the worker has applied something */
  bool work_wanted, work_quit;
  pthread_t work_thread;
  bool has_work_thread;
  struct runtime *runtimes;
  struct peer *peers;            /* PEERS_MAX slots, of which npeers are used;
                                    they are neither moved nor given back */
  _Atomic size_t npeers;
};

/* Append to the event log (inside a transaction) and to stderr. */
extern int event_add (struct agent *agent, enum log_level level,
                      const char *actor, const char *kind,
                      const char *pair, const char *disk,
                      const char *from, const char *to,
                      const char *fmt, ...)
  __attribute__ ((format (printf, 9, 10)));

/* The same with a transaction of its own. */
extern void event_note (struct agent *agent, enum log_level level,
                        const char *actor, const char *kind,
                        const char *pair, const char *disk,
                        const char *fmt, ...)
  __attribute__ ((format (printf, 7, 8)));

/* Events of each level since the start. */
extern void events_counted (uint64_t ret[LOG_LEVEL_ERROR + 1]);

extern uint64_t wall_ms (void);

/* JSON members with defaults. */
extern const char *json_text (const json_t *object, const char *name);
extern uint64_t json_u64 (const json_t *object, const char *name);

#endif /* PAIRDISK_AGENT_H */

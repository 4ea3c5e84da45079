/* What the files of pairctl share.
 *
 *   main.c      the table of nouns and verbs, dispatch
 *   args.c      parsing by that table, help made from it
 *   client.c    calls to the agent
 *   output.c    tables, sizes, ages, JSON
 *   progress.c  the bar, and lines for machines
 *   state.c     states of a pair and what to do next in each
 *   wait.c      following a pair until it is in a state
 *   disk.c disk-attach.c disk-scrub.c disk-verify.c pair.c pair-modify.c
 *   pair-plan.c pair-reprotect.c event.c key.c
 *   site.c site-init.c status.c
 *   volume.c volume-copy.c volume-salvage.c   the nouns
 *
 * pairctl is an edge: a verb's function prints, once, and returns an exit
 * code.  Everything below the verbs fills a struct failure instead.
 * Invariant: standard output carries the whole answer or nothing.
 */

#ifndef PAIRDISK_CLI_H
#define PAIRDISK_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "error.h"

/* Exit codes are interface: the man page is compared with this list. */
#define EXIT_CODES(X)                                                   \
  X (EXIT_OK,      0, "done")                                           \
  X (EXIT_FAILED,  1, "failed")                                         \
  X (EXIT_USAGE,   2, "bad usage")                                      \
  X (EXIT_REFUSED, 3, "refused by a rule; the code is shown")           \
  X (EXIT_NOAGENT, 4, "cannot reach the agent")                         \
  X (EXIT_TIMEOUT, 5, "timed out waiting")                              \
  X (EXIT_DAMAGE,  6, "check found damage")

enum exit_code {
#define X(name, value, text) name = value,
  EXIT_CODES (X)
#undef X
};

/* ------------------------------------------------------------------ */
/* The table (main.c) and what was typed (args.c).                      */

struct cli_option {
  const char *name;        /* without the dashes; NULL ends a list */
  const char *value;       /* word in the help; NULL: takes no value */
  bool is_required;
  const char *help;
};

#define CLI_OPTIONS_MAX 16 /* of one verb */
#define CLI_ARGS_MAX 2

#ifndef DEFAULT_SITE
#define DEFAULT_SITE "/var/lib/pairdisk"
#endif
#ifndef DEFAULT_CONFIG
#define DEFAULT_CONFIG "/etc/pairdisk/paird.conf"
#endif

struct cli;

struct cli_command {
  const char *noun, *verb; /* a noun without verbs has one command, "" */
  const char *arg;         /* word in the help; NULL: takes none */
  const char *help;        /* one line */
  const char *details;     /* more for the verb's own help, or NULL */
  const struct cli_option *options;  /* may be NULL */
  int (*run) (struct cli *cli);
  const char *arg2;        /* the one behind it; NULL: takes none */
};

struct cli_noun {
  const char *name;
  const char *help;
};

extern const struct cli_noun cli_nouns[];        /* name NULL ends it */
extern const struct cli_command cli_commands[];  /* noun NULL ends it */
extern const struct cli_option cli_globals[];    /* name NULL ends it */

struct client;

struct cli {
  const struct cli_command *command;
  const char *arg, *arg2;                /* NULL only if it takes none */
  const char *values[CLI_OPTIONS_MAX];   /* beside command->options */
  const char *site;                      /* site directory */
  bool json;
  bool no_progress;
  int progress_fd;                       /* -1: none */
  double timeout_s;                      /* 0: none given */
  uint64_t deadline_ns;                  /* monotonic; 0: none */
  struct client *client;                 /* made by the first call */
};

/* Parse the command line.  -1: run CLI->command; else exit with what is
 * returned (help was printed, or a usage error).
 */
extern int args_parse (struct cli *cli, int argc, char **argv);

/* The value of an option of this verb: NULL when not given, "" for a switch
 * that was.  NAME must be in the verb's list.
 */
extern const char *args_value (const struct cli *cli, const char *name);

/* Print a usage error and where to read on; returns EXIT_USAGE. */
extern int usage_error (const struct cli *cli, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));

/* The value of a size option, or *RET untouched if it was not given; false
 * after a usage error was printed.
 */
extern bool args_size (const struct cli *cli, const char *name,
                       uint64_t *ret);
extern bool args_number (const struct cli *cli, const char *name,
                         uint64_t max, uint64_t *ret);

/* "30", "0.5s", "5m", "2h", "1d" as seconds. */
extern bool duration_parse (const char *str, double *ret);

/* ------------------------------------------------------------------ */
/* Failures.                                                            */

struct failure {
  int exit_code;
  char code[96];           /* of the API, or "" */
  char message[480];
  char hint[480];          /* next step, or "" */
};

/* Fill F; CODE and HINT may be NULL. */
extern void failure_set (struct failure *f, int exit_code, const char *code,
                         const char *hint, const char *fmt, ...)
  __attribute__ ((format (printf, 5, 6)));

/* Print "pairctl: WHAT: message (code)" and the hint; returns the exit code. */
extern int fail (const struct failure *f, const char *what, ...)
  __attribute__ ((format (printf, 2, 3)));

/* The same for an error of a library; returns EXIT_FAILED. */
extern int fail_error (const struct error *err, const char *what, ...)
  __attribute__ ((format (printf, 2, 3)));

/* ------------------------------------------------------------------ */
/* Calls to the agent (client.c).                                       */

struct param {
  const char *name;        /* NULL ends a list */
  const char *value;       /* NULL: not sent */
};

/* Call ACTION.  A changing call carries a fresh client token, so that it can
 * be repeated once when its answer was lost.  NULL: F is filled.
 */
extern json_t *client_read (struct cli *cli, const char *action,
                            const struct param *params, struct failure *f);
extern json_t *client_change (struct cli *cli, const char *action,
                              const struct param *params, struct failure *f);
extern void client_close (struct cli *cli);

/* All of ARRAY ("ReplicaPairs") over all pages; at most MAX items. */
extern json_t *client_list (struct cli *cli, const char *action,
                            const struct param *params, const char *array,
                            size_t max, struct failure *f);

/* The one disk or pair with that name or id.  NULL: F is filled. */
extern json_t *disk_find (struct cli *cli, const char *name,
                          struct failure *f);
extern json_t *pair_find (struct cli *cli, const char *name,
                          struct failure *f);

/* Show the progress of a disk's long work ("scrub", "verify") until it has
 * ended; what it says of itself then, to be given back, or NULL: F is filled.
 * The bar says LABEL, or the work's state (NULL).  disk-follow.c.
 */
extern json_t *disk_follow (struct cli *cli, const char *id, const char *key,
                            const char *label, struct failure *f);

/* ------------------------------------------------------------------ */
/* Output (output.c).                                                   */

/* Members of a JSON object; absent, null and of another type are alike. */
extern const char *get_string (const json_t *object, const char *key);
extern const char *or_unknown (const char *text);   /* "unknown" for NULL */
extern bool get_double (const json_t *object, const char *key, double *ret);
extern bool get_uint (const json_t *object, const char *key, uint64_t *ret);
extern bool get_bool (const json_t *object, const char *key, bool *ret);

struct column {
  const char *title;
  bool is_right;           /* numbers */
  bool may_cut;            /* text that may lose its end to fit */
  unsigned drop;           /* 0: never left out to fit; highest goes first */
};

struct table;

extern struct table *table_new (const struct column *columns, unsigned count);
extern void table_free (struct table *t);

/* Add the next cell, row after row.  A null or empty text is "-". */
extern void table_text (struct table *t, const char *text);
extern void table_printf (struct table *t, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));
extern void table_size (struct table *t, const json_t *o, const char *key);
extern void table_age (struct table *t, const json_t *o, const char *key);
extern void table_seconds (struct table *t, const json_t *o, const char *key);

/* Print it with (or without) its header and free it; returns an exit code. */
extern int table_print (struct table *t);
extern int table_print_plain (struct table *t);

/* A two-column table for "show": a name and a value. */
extern struct table *facts_new (void);
extern void fact (struct table *t, const char *name, const char *value);
extern void fact_printf (struct table *t, const char *name,
                         const char *fmt, ...)
  __attribute__ ((format (printf, 3, 4)));
extern void fact_size (struct table *t, const char *name, const json_t *o,
                       const char *key);

#define TEXT_SIZE 48

/* "0.3s", "42s", "5m12s", "3h04m", "2d5h".  Returns RET. */
extern const char *seconds_format (double seconds, char ret[TEXT_SIZE]);

/* Local date and time of a moment in seconds since 1970.  Returns RET. */
extern const char *date_format (double seconds, char ret[TEXT_SIZE]);

/* Print OBJECT (its reference is taken) as the answer; returns an exit code. */
extern int print_json (json_t *object);

/* Print a line on standard output; returns an exit code. */
extern int print_line (const char *fmt, ...)
  __attribute__ ((format (printf, 1, 2)));

/* Like asprintf, but never fails. */
extern char *text_printf (const char *fmt, ...)
  __attribute__ ((format (printf, 1, 2)));

/* A copy of TEXT with the first WHAT replaced by WITH. */
extern char *text_replace (const char *text, const char *what,
                           const char *with);

/* Replace what a terminal would act on by '?', in place.  Returns TEXT. */
extern char *text_clean (char *text);

/* Columns of the terminal behind FD, or COLUMNS; 0: no limit. */
extern unsigned terminal_width (int fd);

/* Ask on the terminal.  True: yes. */
extern bool confirm (const char *question);

/* ------------------------------------------------------------------ */
/* Progress (progress.c).                                               */

#define PROGRESS_SAMPLES 16

struct progress {
  bool has_bar;            /* draw on standard error */
  int fd;                  /* lines for machines, or -1 */
  bool is_drawn;
  uint64_t drawn_ns;       /* when last */
  struct {
    uint64_t ns, done;
  } sample[PROGRESS_SAMPLES];
  unsigned samples;        /* oldest first */
};

extern void progress_init (struct progress *p, const struct cli *cli);

/* DONE of TOTAL (0: unknown) units that are bytes, or percent when
 * IS_PERCENT.  LABEL is one word.
 */
extern void progress_update (struct progress *p, const char *label,
                             uint64_t done, uint64_t total, bool is_percent);
extern void progress_end (struct progress *p);

/* ------------------------------------------------------------------ */
/* States and waiting (state.c, wait.c).                                */

/* Statuses of pairs by name; one that is not in the list is unknown. */
extern bool state_is_known (const char *name, size_t len);
extern bool state_is_moving (const char *name);  /* will end by itself */
extern bool state_is_resting (const char *name); /* until somebody acts */
extern bool state_is_wrong (const char *name);   /* rests after a failure */
extern const char *state_meaning (const char *name);   /* "" if unknown */

/* The next step in that state, "%s" is the pair; NULL: none. */
extern const char *state_next (const char *name);

/* All names in one line, for messages. */
extern const char *state_names (void);

/* The comma list STATES holds NAME. */
extern bool states_contain (const char *states, const char *name);

#define WAIT_ANY_END "*"   /* as states: whatever does not end by itself */

/* Follow the pair ID until its status is in STATES.
 * IS_STRICT: another state that does not end by itself is a failure; without
 * it only one in which something is wrong is.  With "deleted" in STATES a
 * pair that is gone is *RET = NULL and success.  -1: F is filled.
 */
extern int pair_wait (struct cli *cli, const char *id, const char *states,
                      bool is_strict, json_t **ret, struct failure *f);

/* ------------------------------------------------------------------ */
/* Verbs.                                                               */

extern const struct cli_option disk_create_options[], disk_delete_options[],
  disk_attach_options[], disk_resize_options[], disk_scrub_options[],
  disk_verify_options[];
extern int disk_create (struct cli *cli);
extern int disk_list (struct cli *cli);
extern int disk_show (struct cli *cli);
extern int disk_delete (struct cli *cli);
extern int disk_resize (struct cli *cli);
extern int disk_attach (struct cli *cli);
extern int disk_detach (struct cli *cli);
extern int disk_scrub (struct cli *cli);
extern int disk_verify (struct cli *cli);

extern const struct cli_option pair_create_options[], pair_start_options[],
  pair_verb_options[], pair_wait_for_options[], pair_progress_options[];
extern const struct cli_option pair_modify_options[];

/* pair-mode.c: --mode, --on-peer-loss, --interval, --connections,
 * --dead-seconds, --proof.  GET: false after a usage error.  PARAMS: true if
 * any was given.
 */
#define MODE_PARAMS 6
#define MODE_OPTIONS                                                    \
  { "mode", "MODE", false, "async, or sync: a flush waits for both sites" }, \
  { "on-peer-loss", "WHAT", false,                                      \
    "sync without the copy: suspend flushes, or degrade" },             \
  { "interval", "TIME", false,                                          \
    "async: commit once in this time; 0s: continuously" },              \
  { "connections", "N", false, "of the link, 1 to 8" },                 \
  { "dead-seconds", "TIME", false,                                      \
    "a peer that is silent so long is given up" },                      \
  { "proof", "TIME", false,                                             \
    "how long a silent primary's copy can prove that it lacks nothing" }
/* disk-attach.c: is the disk attached, and to what?  The caller frees it. */
extern char *attached_text (const json_t *disk);

/* disk.c: for how long flushes are held back, by its Detail; false: they are
 * not.
 */
extern bool disk_hold_seconds (const json_t *detail, double *ret);

struct mode_options {
  const char *mode, *on_peer_loss, *connections;
  char interval[24], dead[24], proof[24];
};
extern bool mode_options_get (struct cli *cli, struct mode_options *ret);
extern bool mode_options_params (const struct mode_options *o,
                                 struct param ret[MODE_PARAMS]);
extern void mode_facts (struct table *t, const json_t *pair);

/* What RpoZero of a pair or of its Loss means, NULL without. */
extern const char *rpo_zero_text (const json_t *object);
extern int pair_create (struct cli *cli);
extern int pair_modify (struct cli *cli);
extern int pair_start (struct cli *cli);
extern int pair_stop (struct cli *cli);
extern int pair_failover (struct cli *cli);
extern int pair_delete (struct cli *cli);
extern const struct cli_option pair_reprotect_options[];
extern int pair_reprotect (struct cli *cli);
extern int pair_list (struct cli *cli);
extern int pair_show (struct cli *cli);
extern int pair_progress (struct cli *cli);
extern int pair_wait_for (struct cli *cli);

extern const struct cli_option status_options[];
extern int status_show (struct cli *cli);

extern const struct cli_option event_list_options[], event_watch_options[];
extern int event_list (struct cli *cli);
extern int event_watch (struct cli *cli);

extern const struct cli_option site_init_options[], site_invite_options[],
  site_rotate_options[];
extern int site_init (struct cli *cli);
extern int site_invite (struct cli *cli);
extern int site_join (struct cli *cli);
extern int site_list (struct cli *cli);
extern int site_remove (struct cli *cli);
extern int site_rotate (struct cli *cli);
extern int site_show (struct cli *cli);

extern const struct cli_option key_create_options[], key_import_options[];
extern int key_create (struct cli *cli);
extern int key_import (struct cli *cli);
extern int key_list (struct cli *cli);
extern int key_disable (struct cli *cli);
extern int key_enable (struct cli *cli);
extern int key_delete (struct cli *cli);

extern const struct cli_option volume_create_options[],
  volume_export_options[], volume_resize_options[], volume_dump_options[],
  volume_check_options[];
extern int volume_create_verb (struct cli *cli);
extern int volume_export_verb (struct cli *cli);
extern int volume_resize_verb (struct cli *cli);
extern int volume_info_verb (struct cli *cli);
extern int volume_dump_verb (struct cli *cli);

/* pair-plan.c: what each side of a failed-over pair has, what a reprotect gave
 * up.
 */
extern void divergence_facts (struct table *t, const json_t *pair);

/* Print the answer of a DryRun, taking it; returns the exit code. */
extern int plan_print (struct cli *cli, json_t *plan);

/* May what PLAN gives up be given up?  Else the exit code, after that was
 * printed, and whether --force SAVES it.
 */
extern int plan_check (struct cli *cli, const json_t *plan, const char *pair,
                       bool saves);

/* A salvage file, or (WRITE_TO not NULL) its blocks into that image. */
extern int salvage_dump (const char *path, const char *write_to);
extern int volume_check_verb (struct cli *cli);

/* A directory of a copy's own, locked by LOCK, which children may hold, too
 * (volume-left.c).  PATH NULL: none.
 */
struct workdir {
  char *path;
  int lock;
};

#define WORKDIR_DISK "disk"      /* the volume in it */

/* In PARENT; beside what will be NAME there, or NULL.  -1: errno. */
extern int workdir_make (struct workdir *w, const char *parent,
                         const char *name);
extern void workdir_remove (struct workdir *w);

/* Remove those in PARENT that were left, and say so. */
extern void workdirs_sweep (const char *parent, const char *name);

/* Make the volume of cli->arg with the content of FROM, an image or an NBD
 * URI; params->size 0: as large as that, and set to it (volume-copy.c).
 */
struct volume_params;
extern int volume_create_from (struct cli *cli, const char *from,
                               struct volume_params *params);

#endif /* PAIRDISK_CLI_H */

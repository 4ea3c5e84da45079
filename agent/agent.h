/* The agent of a site, and what its files are.  A file's own header says what
 * others may use of it.
 *
 *   main.c        start, signals, stop
 *   settings.c, settings-table.c   the table of keys: command line, file, help
 *   log.c         one line an event on stderr
 *   values.c      texts in arrays, members of JSON, the time of day
 *   store.c, store-misc.c   SQLite: pairs; disks, tokens, events
 *   record.c      a pair's record: fields, JSON, which of two is newer
 *   control.c     client of the plugin's control socket
 *   plugin.c, plugin-spawn.c   the nbdkit instance: start, adopt, watch, stop
 *   http.c, http-guard.c, params.c   libmicrohttpd: a request in, JSON out
 *   auth.c, sign.c   who calls: signatures, access keys, peer credentials
 *   keys.c, store-keys.c   access keys
 *   actions.c, paging.c   the table of actions, tokens, forwarding; lists
 *   disks.c, disk-resize.c, disk-attach.c   disks of the site, DescribeSite
 *   events.c      the event log
 *   actions-pair.c, describe.c   the pair's verbs; what is told of pairs
 *   claim.c       a disk that is to be changed, a place among the pairs
 *   tags.c, regions.c   tags and resource groups; the sites there are
 *   peer.c, peer-call.c   the other sites: threads that keep in touch; one call
 *   peer-serve.c  calls from the other sites
 *   sites.c, join.c, secrets.c, trust.c   sites joined by invitation: on disk,
 *                 how they are joined, their secrets, our certificates
 *   work.c        the worker: looks at every pair, ends passing statuses
 *   runtime.c     what is known of a pair beside its record
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

#include "settings.h"

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

#endif /* PAIRDISK_AGENT_H */

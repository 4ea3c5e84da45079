/* The load engine: requests at a fixed depth over libnbd, in one thread.
 *
 * A run is: issue until the time or the number of requests is up, wait for
 * all that is in flight, then (if asked) one last flush that is timed apart.
 * "Flush each N" is honest about what a flush covers: after N writes nothing
 * more is sent, all in flight is drained, the flush is sent and waited for,
 * then it goes on.
 */

#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "error.h"
#include "hist.h"
#include "ledger.h"
#include "pattern.h"

struct load_options {
  const char *uri;
  unsigned connections;
  unsigned depth;               /* in flight over all connections */
  uint32_t block_size;
  uint64_t area;                /* from the start of the disk; 0: all */
  unsigned read_percent;        /* 100: only reads, 0: only writes */
  bool is_sequential;
  bool is_one_pass;             /* stop at the end of the area */
  bool is_check;                /* settle the ledger at what is read */
  unsigned flush_each;          /* writes; 0: never */
  bool is_fua;
  double seconds;               /* 0: no limit */
  uint64_t ops;                 /* 0: no limit */
  uint64_t rate;                /* requests a second at most; 0: no limit */
  uint64_t seed;
  bool is_final_flush;
  bool is_verify;
  bool is_keep_going;           /* after failed requests */
  const char *ledger_path;
  enum pattern_kind pattern;
  pid_t server_pid;             /* 0: none */
  FILE *log;                    /* a CSV line a second, or NULL */
};

struct load_result {
  uint64_t reads;
  uint64_t writes;
  uint64_t flushes;
  uint64_t errors;
  int first_errnum;
  uint64_t verified_blocks;
  uint64_t bad_blocks;
  double seconds;               /* first request to last answer */
  double final_flush_seconds;
  double cpu_seconds;           /* of the load generator */
  double server_cpu_seconds;    /* without and with the last flush */
  double server_cpu_seconds_flushed;
  struct hist read_latency;
  struct hist write_latency;
  struct hist flush_latency;
};

/* Returns -1 if the load could not be run; failed requests and bad blocks
 * are counted in *RET instead.
 */
extern int load_run (const struct load_options *options,
                     struct load_result *ret, struct error *err);

#endif /* BENCH_LOAD_H */

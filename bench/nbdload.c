/* nbdload: put load on an NBD server, measure it, verify what it returns.
 *
 * Options in, one JSON object on stdout.  The work is in load.c; nothing
 * else in this program prints, except load.c's first few bad blocks.
 *
 * Exit code: 0 all well, 1 could not run, 2 requests failed, 3 wrong data.
 */

#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "load.h"
#include "size.h"

#define MAX_DEPTH 4096
#define MAX_CONNECTIONS 64
#define MAX_BLOCK_SIZE (32u << 20)

enum exit_code { EXIT_OK = 0, EXIT_USAGE, EXIT_FAILED, EXIT_WRONG_DATA };

static const char usage_text[] =
  "usage: nbdload [OPTIONS] NBD-URI\n"
  "  -w, --workload W       randwrite randread randrw write read check\n"
  "  -b, --block-size SIZE  of a request (4K)\n"
  "  -d, --depth N          requests in flight over all connections (1)\n"
  "  -c, --connections N    (1)\n"
  "  -r, --read-percent N   of randrw (70)\n"
  "  -f, --flush-each N     drain, flush and wait after each N writes\n"
  "      --fua              force unit access on writes\n"
  "      --final-flush      flush at the end and report with and without it\n"
  "  -t, --time SECONDS     (5, unless --ops or --once)\n"
  "  -n, --ops N            stop after N requests\n"
  "      --rate N           at most N requests a second\n"
  "      --once             one pass over the area\n"
  "  -s, --size SIZE        area used, from the start of the disk (all)\n"
  "  -p, --pattern P        half, random or zero (half)\n"
  "      --seed N           (1)\n"
  "      --verify           seal writes and judge reads\n"
  "      --ledger FILE      keep what --verify knows; for restarts\n"
  "      --keep-going       after failed requests\n"
  "      --server-pid PID   report the CPU time of this process too\n"
  "      --log FILE         CSV line a second: throughput and latency\n"
  "workload check: read the area once, judge it by the ledger and settle the\n"
  "ledger at what is there (after a restart of the server)\n";

struct workload {
  const char *name;
  unsigned read_percent;
  bool is_sequential;
  bool is_check;
};

static const struct workload workloads[] = {
  { "randwrite", 0, false, false },
  { "randread", 100, false, false },
  { "randrw", 70, false, false },
  { "write", 0, true, false },
  { "read", 100, true, false },
  { "check", 100, true, true },
};

enum {
  OPT_FUA = 256, OPT_FINAL_FLUSH, OPT_ONCE, OPT_RATE, OPT_SEED, OPT_VERIFY,
  OPT_LEDGER, OPT_KEEP_GOING, OPT_SERVER_PID, OPT_LOG,
};

static const struct option long_options[] = {
  { "workload", required_argument, NULL, 'w' },
  { "block-size", required_argument, NULL, 'b' },
  { "depth", required_argument, NULL, 'd' },
  { "connections", required_argument, NULL, 'c' },
  { "read-percent", required_argument, NULL, 'r' },
  { "flush-each", required_argument, NULL, 'f' },
  { "fua", no_argument, NULL, OPT_FUA },
  { "final-flush", no_argument, NULL, OPT_FINAL_FLUSH },
  { "time", required_argument, NULL, 't' },
  { "ops", required_argument, NULL, 'n' },
  { "once", no_argument, NULL, OPT_ONCE },
  { "rate", required_argument, NULL, OPT_RATE },
  { "size", required_argument, NULL, 's' },
  { "pattern", required_argument, NULL, 'p' },
  { "seed", required_argument, NULL, OPT_SEED },
  { "verify", no_argument, NULL, OPT_VERIFY },
  { "ledger", required_argument, NULL, OPT_LEDGER },
  { "keep-going", no_argument, NULL, OPT_KEEP_GOING },
  { "server-pid", required_argument, NULL, OPT_SERVER_PID },
  { "log", required_argument, NULL, OPT_LOG },
  { "help", no_argument, NULL, 'h' },
  { NULL, 0, NULL, 0 },
};

static void __attribute__ ((noreturn, format (printf, 1, 2)))
die (const char *fmt, ...)
{
  va_list args;

  va_start (args, fmt);
  fputs ("nbdload: ", stderr);
  vfprintf (stderr, fmt, args);
  fputc ('\n', stderr);
  va_end (args);
  exit (EXIT_USAGE);
}

static uint64_t
parse_size (const char *what, const char *arg, uint64_t min, uint64_t max)
{
  uint64_t value;

  if (!size_parse (arg, &value) || value < min || value > max)
    die ("bad %s '%s'", what, arg);
  return value;
}

static double
parse_seconds (const char *arg)
{
  char *end;
  double value = strtod (arg, &end);

  if (end == arg || *end || !(value > 0 && value < 1e9))
    die ("bad time '%s'", arg);
  return value;
}

static const struct workload *
parse_workload (const char *name)
{
  size_t i;

  for (i = 0; i < sizeof workloads / sizeof workloads[0]; ++i)
    if (strcmp (name, workloads[i].name) == 0)
      return &workloads[i];
  die ("unknown workload '%s'", name);
}

static FILE *
open_log (const char *path)
{
  FILE *fp = fopen (path, "w");

  if (fp == NULL)
    die ("cannot write '%s': %s", path, strerror (errno));
  setvbuf (fp, NULL, _IOLBF, 0);
  fputs ("second,ops,mb_per_s,p50_us,p99_us,p999_us,max_us\n", fp);
  return fp;
}

static void
parse_option (struct load_options *o, const struct workload **ret_workload,
              int *ret_read_percent, int c)
{
  switch (c) {
  case 'w': *ret_workload = parse_workload (optarg); break;
  case 'b':
    o->block_size = parse_size ("block size", optarg, 512, MAX_BLOCK_SIZE);
    break;
  case 'd': o->depth = parse_size ("depth", optarg, 1, MAX_DEPTH); break;
  case 'c':
    o->connections = parse_size ("connections", optarg, 1, MAX_CONNECTIONS);
    break;
  case 'r':
    *ret_read_percent = parse_size ("read percent", optarg, 0, 100);
    break;
  case 'f':
    o->flush_each = parse_size ("flush each", optarg, 1, 1u << 30);
    break;
  case 't': o->seconds = parse_seconds (optarg); break;
  case 'n': o->ops = parse_size ("ops", optarg, 1, INT64_MAX); break;
  case 's': o->area = parse_size ("size", optarg, 512, INT64_MAX); break;
  case 'p':
    o->pattern = pattern_kind_parse (optarg);
    if (o->pattern == PATTERN_NONE)
      die ("unknown pattern '%s'", optarg);
    break;
  case OPT_FUA: o->is_fua = true; break;
  case OPT_FINAL_FLUSH: o->is_final_flush = true; break;
  case OPT_ONCE: o->is_one_pass = true; break;
  case OPT_RATE: o->rate = parse_size ("rate", optarg, 1, 1u << 30); break;
  case OPT_SEED: o->seed = parse_size ("seed", optarg, 0, INT64_MAX); break;
  case OPT_VERIFY: o->is_verify = true; break;
  case OPT_LEDGER:
    o->ledger_path = optarg;
    o->is_verify = true;
    break;
  case OPT_KEEP_GOING: o->is_keep_going = true; break;
  case OPT_SERVER_PID:
    o->server_pid = parse_size ("pid", optarg, 1, INT32_MAX);
    break;
  case OPT_LOG: o->log = open_log (optarg); break;
  case 'h':
    fputs (usage_text, stdout);
    exit (EXIT_OK);
  default:
    fputs (usage_text, stderr);
    exit (EXIT_USAGE);
  }
}

static const struct workload *
parse_command_line (struct load_options *o, int argc, char *argv[])
{
  const struct workload *w = &workloads[0];
  int c, read_percent = -1;

  while ((c = getopt_long (argc, argv, "w:b:d:c:r:f:t:n:s:p:h", long_options,
                           NULL)) != -1)
    parse_option (o, &w, &read_percent, c);
  if (optind != argc - 1)
    die ("one NBD URI is needed, see --help");
  o->uri = argv[optind];
  o->read_percent = w->read_percent;
  o->is_sequential = w->is_sequential;
  o->is_check = w->is_check;
  if (read_percent >= 0) {
    if (w->read_percent == 0 || w->read_percent == 100)
      die ("--read-percent is for the workload randrw");
    o->read_percent = read_percent;
  }
  if (w->is_check) {
    if (o->ledger_path == NULL)
      die ("the workload check needs --ledger");
    o->is_one_pass = true;
    o->is_final_flush = true;
  }
  if (o->is_verify && o->block_size % PATTERN_BLOCK != 0)
    die ("--verify needs a block size that is a multiple of 4K");
  if (o->connections > o->depth)
    die ("more connections than requests in flight");
  if (o->seconds == 0 && o->ops == 0 && !o->is_one_pass)
    o->seconds = 5;
  return w;
}

/* JSON. */

static void
set (json_t *obj, const char *key, json_t *value)
{
  if (json_object_set_new (obj, key, value) == -1)
    die ("cannot build the result");
}

static double
rounded (double value, double unit)
{
  return (double) (int64_t) (value / unit + 0.5) * unit;
}

static json_t *
latency_json (const struct hist *h)
{
  json_t *obj = json_object ();
  static const struct { const char *key; double fraction; } points[] = {
    { "p50", 0.5 }, { "p95", 0.95 }, { "p99", 0.99 }, { "p99.9", 0.999 },
    { "max", 1 },
  };
  size_t i;

  for (i = 0; i < sizeof points / sizeof points[0]; ++i)
    set (obj, points[i].key,
         json_real (hist_percentile (h, points[i].fraction) / 1e3));
  return obj;
}

static json_t *
options_json (const struct load_options *o, const struct workload *w)
{
  json_t *obj = json_object ();

  set (obj, "workload", json_string (w->name));
  set (obj, "block_size", json_integer (o->block_size));
  set (obj, "depth", json_integer (o->depth));
  set (obj, "connections", json_integer (o->connections));
  set (obj, "read_percent", json_integer (o->read_percent));
  set (obj, "flush_each", json_integer (o->flush_each));
  set (obj, "fua", json_boolean (o->is_fua));
  set (obj, "pattern", json_string (pattern_kind_name (o->pattern)));
  set (obj, "seed", json_integer (o->seed));
  return obj;
}

static void
set_rates (json_t *obj, const struct load_options *o,
           const struct load_result *r)
{
  uint64_t ops = r->reads + r->writes;
  double whole = r->seconds + r->final_flush_seconds;

  set (obj, "ops_per_s",
       json_real (r->seconds > 0 ? rounded (ops / r->seconds, 0.1) : 0));
  set (obj, "mb_per_s",
       json_real (r->seconds > 0 ?
                  rounded (ops / r->seconds * o->block_size / 1e6, 0.1) : 0));
  if (!o->is_final_flush)
    return;
  set (obj, "final_flush_seconds", json_real (r->final_flush_seconds));
  set (obj, "ops_per_s_flushed",
       json_real (whole > 0 ? rounded (ops / whole, 0.1) : 0));
  set (obj, "mb_per_s_flushed",
       json_real (whole > 0 ?
                  rounded (ops / whole * o->block_size / 1e6, 0.1) : 0));
}

static int
print_result (const struct load_options *o, const struct workload *w,
              const struct load_result *r)
{
  json_t *obj = json_object ();
  int ret;

  set (obj, "options", options_json (o, w));
  set (obj, "seconds", json_real (r->seconds));
  set (obj, "reads", json_integer (r->reads));
  set (obj, "writes", json_integer (r->writes));
  set (obj, "flushes", json_integer (r->flushes));
  set_rates (obj, o, r);
  if (r->read_latency.count)
    set (obj, "read_latency_us", latency_json (&r->read_latency));
  if (r->write_latency.count)
    set (obj, "write_latency_us", latency_json (&r->write_latency));
  if (r->flush_latency.count)
    set (obj, "flush_latency_us", latency_json (&r->flush_latency));
  set (obj, "cpu_seconds", json_real (r->cpu_seconds));
  if (o->server_pid) {
    set (obj, "server_cpu_seconds", json_real (r->server_cpu_seconds));
    set (obj, "server_cpu_seconds_flushed",
         json_real (r->server_cpu_seconds_flushed));
  }
  if (o->is_verify) {
    set (obj, "verified_blocks", json_integer (r->verified_blocks));
    set (obj, "bad_blocks", json_integer (r->bad_blocks));
  }
  set (obj, "errors", json_integer (r->errors));
  if (r->errors)
    set (obj, "first_error", json_string (error_name (r->first_errnum)));

  ret = json_dumpf (obj, stdout, JSON_INDENT (2) | JSON_REAL_PRECISION (6));
  putchar ('\n');
  json_decref (obj);
  return ret == 0 && fflush (stdout) == 0 ? 0 : -1;
}

int
main (int argc, char *argv[])
{
  struct load_options options = {
    .connections = 1, .depth = 1, .block_size = 4096,
    .pattern = PATTERN_HALF, .seed = 1,
  };
  static struct load_result result;
  struct error err = ERROR_INIT;
  const struct workload *workload;

  signal (SIGPIPE, SIG_IGN);
  workload = parse_command_line (&options, argc, argv);
  if (load_run (&options, &result, &err) == -1)
    die ("%s", err.message);
  if (options.log)
    fclose (options.log);
  if (print_result (&options, workload, &result) == -1)
    die ("cannot write the result");
  if (result.bad_blocks)
    return EXIT_WRONG_DATA;
  return result.errors ? EXIT_FAILED : EXIT_OK;
}

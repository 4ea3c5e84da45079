/* The load engine, see load.h.
 *
 * Each slot is one request that may be in flight and owns its buffer.  A
 * completion callback runs inside libnbd with the handle locked, so it only
 * takes the time, judges the data and puts the slot on the idle list; the
 * main loop sends the next request.
 *
 * Invariant: idle_count + in_flight == depth, except while a flush is in
 * flight, when in_flight counts flushes and all slots are idle.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <libnbd.h>

#include "clock.h"
#include "load.h"

#define MAX_REPORTED_BAD_BLOCKS 10
#define BUFFER_VARIANTS_BYTES 65536u

struct load;

struct slot {
  struct load *load;
  struct nbd_handle *nbd;
  uint8_t *write_bufs;          /* `variants` filled buffers in turn */
  uint8_t *read_buf;            /* apart, so that reads spoil no filling */
  uint8_t *buf;                 /* the one of these in use */
  uint32_t *oldest;             /* per block, reads with --verify */
  uint64_t offset;
  uint64_t start_ns;
  unsigned turn;
  bool is_write;
};

struct load {
  const struct load_options *opt;
  struct load_result *ret;
  struct nbd_handle **nbds;
  struct pollfd *fds;
  struct slot *slots;
  struct slot **idle;
  unsigned idle_count;
  unsigned in_flight;
  unsigned variants;
  struct pattern pattern;
  struct ledger ledger;
  uint64_t area;
  uint64_t cursor;              /* next offset of a sequential load */
  uint64_t rng;
  uint64_t issued;
  uint64_t unflushed;           /* writes sent since the last flush */
  bool is_connection_lost;
  uint64_t flush_start_ns;
  int flush_errnum;
  /* for the log */
  uint64_t start_ns;
  uint64_t next_tick_ns;
  struct hist tick;
};

static void
record_error (struct load *l, int errnum)
{
  if (l->ret->errors++ == 0)
    l->ret->first_errnum = errnum;
}

static bool
is_stopped (const struct load *l)
{
  return l->is_connection_lost ||
    (l->ret->errors > 0 && !l->opt->is_keep_going);
}

/* Verification. */

static void
report_bad (struct load *l, uint64_t block, uint32_t oldest,
            uint32_t version, const char *what)
{
  if (l->ret->bad_blocks++ < MAX_REPORTED_BAD_BLOCKS)
    fprintf (stderr, "nbdload: block %" PRIu64 " %s "
             "(version %" PRIu32 ", expected %" PRIu32 " to %" PRIu32 ")\n",
             block, what, version, oldest, l->ledger.blocks[block].issued);
}

static void
verify_read (struct slot *s)
{
  struct load *l = s->load;
  uint64_t block = s->offset / PATTERN_BLOCK;
  size_t i;

  for (i = 0; i < l->opt->block_size / PATTERN_BLOCK; ++i, ++block) {
    uint32_t version = 0;
    enum pattern_verdict verdict =
      pattern_check (&l->pattern, s->buf + i * PATTERN_BLOCK, block, &version);
    const char *bad =
      ledger_judge (&l->ledger, block, s->oldest[i], verdict, version);

    l->ret->verified_blocks++;
    if (bad)
      report_bad (l, block, s->oldest[i], version, bad);
    else if (l->opt->is_check)
      ledger_adopt (&l->ledger, block, version);
  }
}

static void
verify_begin (struct slot *s)
{
  struct load *l = s->load;
  uint64_t block = s->offset / PATTERN_BLOCK;
  size_t i;

  for (i = 0; i < l->opt->block_size / PATTERN_BLOCK; ++i, ++block)
    if (s->is_write)
      pattern_seal (s->buf + i * PATTERN_BLOCK, block,
                    ledger_write_begin (&l->ledger, block));
    else
      s->oldest[i] = ledger_oldest (&l->ledger, block);
}

static void
verify_end (struct slot *s, int errnum)
{
  struct load *l = s->load;
  uint64_t block = s->offset / PATTERN_BLOCK;
  size_t i;

  if (!s->is_write) {
    if (errnum == 0)
      verify_read (s);
    return;
  }
  for (i = 0; i < l->opt->block_size / PATTERN_BLOCK; ++i)
    ledger_write_end (&l->ledger, block + i, errnum == 0, l->opt->is_fua);
}

static bool
is_write_in_flight (const struct load *l, uint64_t offset)
{
  uint64_t block = offset / PATTERN_BLOCK;
  size_t i;

  for (i = 0; i < l->opt->block_size / PATTERN_BLOCK; ++i)
    if (ledger_is_busy (&l->ledger, block + i))
      return true;
  return false;
}

/* Requests. */

static int
completed (void *opaque, int *error)
{
  struct slot *s = opaque;
  struct load *l = s->load;
  uint64_t ns = clock_mono_ns () - s->start_ns;

  if (*error)
    record_error (l, *error);
  else {
    hist_add (s->is_write ? &l->ret->write_latency : &l->ret->read_latency,
              ns);
    if (l->opt->log)
      hist_add (&l->tick, ns);
    if (s->is_write)
      l->ret->writes++;
    else
      l->ret->reads++;
  }
  if (l->opt->is_verify)
    verify_end (s, *error);
  l->idle[l->idle_count++] = s;
  l->in_flight--;
  return 1;
}

static bool
choose_offset (struct load *l, bool is_write, uint64_t *ret_offset)
{
  uint64_t count = l->area / l->opt->block_size;

  if (l->opt->is_sequential) {
    *ret_offset = l->cursor;
    if (is_write && l->opt->is_verify && is_write_in_flight (l, l->cursor))
      return false;
    l->cursor = (l->cursor / l->opt->block_size + 1) % count *
      l->opt->block_size;
    return true;
  }
  *ret_offset = pattern_random (&l->rng) % count * l->opt->block_size;
  return !(is_write && l->opt->is_verify &&
           is_write_in_flight (l, *ret_offset));
}

static uint8_t *
next_buffer (struct slot *s)
{
  if (!s->is_write)
    return s->read_buf;
  if (++s->turn == s->load->variants)
    s->turn = 0;
  return s->write_bufs + (size_t) s->turn * s->load->opt->block_size;
}

/* False if no request can be sent before another one has completed. */
static bool
issue (struct load *l)
{
  struct slot *s = l->idle[l->idle_count - 1];
  int64_t r;

  s->is_write = pattern_random (&l->rng) % 100 >= l->opt->read_percent;
  if (!choose_offset (l, s->is_write, &s->offset))
    return false;
  s->buf = next_buffer (s);
  if (l->opt->is_verify)
    verify_begin (s);
  else if (s->is_write)
    pattern_stamp (&l->pattern, s->buf, l->opt->block_size);

  l->idle_count--;
  l->in_flight++;
  l->issued++;
  if (s->is_write)
    l->unflushed++;
  s->start_ns = clock_mono_ns ();

  nbd_completion_callback done = { .callback = completed, .user_data = s };
  if (s->is_write)
    r = nbd_aio_pwrite (s->nbd, s->buf, l->opt->block_size, s->offset, done,
                        l->opt->is_fua ? LIBNBD_CMD_FLAG_FUA : 0);
  else
    r = nbd_aio_pread (s->nbd, s->buf, l->opt->block_size, s->offset, done,
                       0);
  if (r == -1) {
    int errnum = nbd_get_errno ();

    completed (s, &errnum);
    l->is_connection_lost = true;
  }
  return true;
}

static int
flush_completed (void *opaque, int *error)
{
  struct load *l = opaque;

  if (*error) {
    record_error (l, *error);
    l->flush_errnum = *error;
  }
  l->in_flight--;
  return 1;
}

/* One flush where the server says that it covers all connections, else one
 * on each.
 */
static void
issue_flush (struct load *l)
{
  unsigned i, n = l->opt->connections;

  if (n > 1 && nbd_can_multi_conn (l->nbds[0]) == 1)
    n = 1;
  l->flush_errnum = 0;
  l->flush_start_ns = clock_mono_ns ();
  for (i = 0; i < n; ++i) {
    nbd_completion_callback done =
      { .callback = flush_completed, .user_data = l };

    l->in_flight++;
    if (nbd_aio_flush (l->nbds[i], done, 0) == -1) {
      int errnum = nbd_get_errno ();

      flush_completed (l, &errnum);
      l->is_connection_lost = true;
    }
  }
}

static void
print_ticks (struct load *l)
{
  uint64_t now = clock_mono_ns ();

  while (l->opt->log && now >= l->next_tick_ns) {
    fprintf (l->opt->log,
             "%.0f,%" PRIu64 ",%.1f,%.0f,%.0f,%.0f,%.0f\n",
             (double) (l->next_tick_ns - l->start_ns) / NS_PER_SEC,
             l->tick.count, (double) l->tick.count * l->opt->block_size / 1e6,
             hist_percentile (&l->tick, 0.5) / 1e3,
             hist_percentile (&l->tick, 0.99) / 1e3,
             hist_percentile (&l->tick, 0.999) / 1e3, l->tick.max / 1e3);
    hist_reset (&l->tick);
    l->next_tick_ns += NS_PER_SEC;
  }
}

/* With --rate: when the next request may be sent, at the earliest. */
static uint64_t
next_issue_ns (const struct load *l)
{
  return l->start_ns +
    (uint64_t) ((double) l->issued / l->opt->rate * NS_PER_SEC);
}

static bool
is_early (const struct load *l)
{
  return l->opt->rate && clock_mono_ns () < next_issue_ns (l);
}

/* How long poll may sleep: at most to the next request of a limited rate. */
static int
poll_ms (const struct load *l)
{
  uint64_t now = clock_mono_ns (), next;

  if (l->opt->rate == 0 || l->idle_count == 0)
    return 1000;
  next = next_issue_ns (l);
  return next <= now ? 0 : next - now < NS_PER_SEC ?
    (int) ((next - now) / NS_PER_MSEC) + 1 : 1000;
}

/* Wait for the sockets and let libnbd move on; completions run in here. */
static int
turn (struct load *l, struct error *err)
{
  unsigned i, dir;
  int r;

  for (i = 0; i < l->opt->connections; ++i) {
    dir = nbd_aio_get_direction (l->nbds[i]);
    l->fds[i].fd = nbd_aio_get_fd (l->nbds[i]);
    l->fds[i].events =
      (dir & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
      (dir & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0);
    l->fds[i].revents = 0;
  }
  if (poll (l->fds, l->opt->connections, poll_ms (l)) == -1 && errno != EINTR)
    return error_set_errno (err, errno, "cannot poll");
  for (i = 0; i < l->opt->connections; ++i) {
    r = 0;
    if (l->fds[i].revents & (POLLIN | POLLHUP | POLLERR))
      r = nbd_aio_notify_read (l->nbds[i]);
    else if (l->fds[i].revents & POLLOUT)
      r = nbd_aio_notify_write (l->nbds[i]);
    if (r == -1 || nbd_aio_is_dead (l->nbds[i]) == 1 ||
        nbd_aio_is_closed (l->nbds[i]) == 1)
      l->is_connection_lost = true;
  }
  print_ticks (l);
  return 0;
}

/* Requests on a lost connection have been failed by libnbd; those on the
 * other connections need not be waited for.
 */
static int
drain (struct load *l, struct error *err)
{
  while (l->in_flight > 0 && !l->is_connection_lost)
    if (turn (l, err) == -1)
      return -1;
  return 0;
}

static int
flush_and_wait (struct load *l, double *ret_seconds, struct error *err)
{
  uint64_t ns;

  issue_flush (l);
  if (drain (l, err) == -1)
    return -1;
  if (l->flush_errnum || l->is_connection_lost)
    return 0;
  ns = clock_mono_ns () - l->flush_start_ns;
  hist_add (&l->ret->flush_latency, ns);
  l->ret->flushes++;
  l->unflushed = 0;
  if (l->opt->is_verify)
    ledger_flushed (&l->ledger);
  *ret_seconds = (double) ns / NS_PER_SEC;
  return 0;
}

static bool
is_flush_due (const struct load *l)
{
  return l->opt->flush_each && l->unflushed >= l->opt->flush_each;
}

static bool
is_all_issued (const struct load *l)
{
  return l->opt->ops && l->issued >= l->opt->ops;
}

static bool
is_over (const struct load *l)
{
  if (is_stopped (l) || is_all_issued (l))
    return true;
  return l->opt->seconds > 0 &&
    clock_mono_ns () - l->start_ns >= l->opt->seconds * NS_PER_SEC;
}

static int
run_requests (struct load *l, struct error *err)
{
  double ignored;

  for (;;) {
    if (is_flush_due (l)) {
      if (drain (l, err) == -1 ||
          (!is_stopped (l) && flush_and_wait (l, &ignored, err) == -1))
        return -1;
    }
    if (is_over (l))
      return drain (l, err);
    while (l->idle_count > 0 && !is_flush_due (l) && !is_all_issued (l) &&
           !is_early (l) && !l->is_connection_lost)
      if (!issue (l))
        break;
    if ((l->in_flight > 0 || is_early (l)) && turn (l, err) == -1)
      return -1;
  }
}

/* CPU time. */

static double
own_cpu (void)
{
  struct rusage ru;

  getrusage (RUSAGE_SELF, &ru);
  return ru.ru_utime.tv_sec + ru.ru_stime.tv_sec +
    (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

/* User and system time of a process; the command name in /proc/PID/stat may
 * hold anything, so count the fields from its closing parenthesis.
 */
static double
process_cpu (pid_t pid)
{
  char path[64], line[1024];
  unsigned long user, system;
  const char *fields;
  FILE *fp;

  if (pid == 0)
    return 0;
  snprintf (path, sizeof path, "/proc/%ld/stat", (long) pid);
  fp = fopen (path, "r");
  if (fp == NULL)
    return 0;
  fields = fgets (line, sizeof line, fp);
  fclose (fp);
  if (fields == NULL || (fields = strrchr (line, ')')) == NULL ||
      sscanf (fields + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u"
              " %lu %lu", &user, &system) != 2)
    return 0;
  return (double) (user + system) / sysconf (_SC_CLK_TCK);
}

/* Set up and tear down. */

static int
nbd_failed (struct error *err, const char *what)
{
  int errnum = nbd_get_errno ();

  return error_set (err, errnum ? errnum : EIO, "%s: %s", what,
                    nbd_get_error ());
}

static int
connect_all (struct load *l, struct error *err)
{
  unsigned i;
  struct nbd_handle *nbd;

  for (i = 0; i < l->opt->connections; ++i) {
    nbd = l->nbds[i] = nbd_create ();
    if (nbd == NULL)
      return nbd_failed (err, "cannot create a handle");
    /* Requests are right by construction and read buffers whole: let libnbd
     * neither check the one nor clear the other.  Worth a tenth at depth 32.
     */
    if (nbd_set_strict_mode (nbd, 0) == -1 ||
        nbd_set_pread_initialize (nbd, false) == -1 ||
        nbd_set_uri_allow_local_file (nbd, true) == -1 ||
        nbd_connect_uri (nbd, l->opt->uri) == -1)
      return nbd_failed (err, "cannot connect");
  }
  return 0;
}

static int
settle_area (struct load *l, struct error *err)
{
  int64_t size = nbd_get_size (l->nbds[0]);
  uint32_t bs = l->opt->block_size;

  if (size == -1)
    return nbd_failed (err, "cannot get the size");
  l->area = l->opt->area ? l->opt->area : (uint64_t) size;
  if (l->area > (uint64_t) size)
    return error_set (err, EINVAL, "the area is larger than the disk");
  l->area -= l->area % bs;
  if (l->area == 0)
    return error_set (err, EINVAL, "the area is smaller than one block");
  if (l->opt->is_verify && l->area < (uint64_t) bs * l->opt->depth)
    return error_set (err, EINVAL, "the area is too small to verify at depth "
                      "%u", l->opt->depth);
  return 0;
}

static int
make_slots (struct load *l, struct error *err)
{
  unsigned i;
  size_t len;
  uint32_t bs = l->opt->block_size;

  l->variants = bs < BUFFER_VARIANTS_BYTES ? BUFFER_VARIANTS_BYTES / bs : 1;
  len = (size_t) l->variants * bs;
  for (i = 0; i < l->opt->depth; ++i) {
    struct slot *s = &l->slots[i];

    s->load = l;
    s->nbd = l->nbds[i % l->opt->connections];
    s->write_bufs = malloc (len);
    s->read_buf = malloc (bs);
    s->oldest = calloc (bs / PATTERN_BLOCK + 1, sizeof *s->oldest);
    if (s->write_bufs == NULL || s->read_buf == NULL || s->oldest == NULL)
      return error_set_errno (err, ENOMEM, "cannot allocate buffers");
    pattern_fill (&l->pattern, s->write_bufs, len, &l->rng);
    l->idle[l->idle_count++] = s;
  }
  return 0;
}

static int
load_open (struct load *l, struct error *err)
{
  const struct load_options *opt = l->opt;

  l->nbds = calloc (opt->connections, sizeof *l->nbds);
  l->fds = calloc (opt->connections, sizeof *l->fds);
  l->slots = calloc (opt->depth, sizeof *l->slots);
  l->idle = calloc (opt->depth, sizeof *l->idle);
  if (!l->nbds || !l->fds || !l->slots || !l->idle)
    return error_set_errno (err, ENOMEM, "cannot allocate slots");
  if (connect_all (l, err) == -1 ||
      settle_area (l, err) == -1 ||
      pattern_init (&l->pattern, opt->pattern, opt->seed, err) == -1 ||
      make_slots (l, err) == -1)
    return -1;
  if (opt->is_verify &&
      ledger_open (&l->ledger, opt->ledger_path, l->area / PATTERN_BLOCK,
                   err) == -1)
    return -1;
  return 0;
}

/* Handles go first: libnbd fails what is still in flight, and the callbacks
 * need the slots and the ledger.
 */
static void
load_close (struct load *l)
{
  unsigned i;

  for (i = 0; l->nbds && i < l->opt->connections; ++i) {
    if (l->nbds[i] && !l->is_connection_lost)
      nbd_shutdown (l->nbds[i], 0);
    nbd_close (l->nbds[i]);
  }
  for (i = 0; l->slots && i < l->opt->depth; ++i) {
    free (l->slots[i].write_bufs);
    free (l->slots[i].read_buf);
    free (l->slots[i].oldest);
  }
  if (l->ledger.blocks)
    ledger_close (&l->ledger);
  pattern_release (&l->pattern);
  free (l->nbds);
  free (l->fds);
  free (l->slots);
  free (l->idle);
}

static int
measure (struct load *l, struct error *err)
{
  double own = own_cpu (), server = process_cpu (l->opt->server_pid);
  int r;

  l->start_ns = clock_mono_ns ();
  l->next_tick_ns = l->start_ns + NS_PER_SEC;
  r = run_requests (l, err);
  l->ret->seconds = (double) (clock_mono_ns () - l->start_ns) / NS_PER_SEC;
  l->ret->server_cpu_seconds = process_cpu (l->opt->server_pid) - server;
  if (r == 0 && l->opt->is_final_flush && !is_stopped (l))
    r = flush_and_wait (l, &l->ret->final_flush_seconds, err);
  l->ret->server_cpu_seconds_flushed =
    process_cpu (l->opt->server_pid) - server;
  l->ret->cpu_seconds = own_cpu () - own;
  return r;
}

int
load_run (const struct load_options *options, struct load_result *ret,
          struct error *err)
{
  struct load l = {
    .opt = options, .ret = ret, .rng = options->seed ^ 0x6e62646c,
  };
  struct load_options whole;
  int r;

  memset (ret, 0, sizeof *ret);
  r = load_open (&l, err);
  if (r == 0) {
    if (options->is_one_pass) {
      whole = *options;
      whole.ops = l.area / options->block_size;
      l.opt = &whole;
    }
    r = measure (&l, err);
  }
  load_close (&l);
  return r;
}

/* A guest that knows what it wrote.
 *
 *   writer run URI OFFSET LENGTH SEED RATE LOG [PATIENCE]
 *     Small writes into [OFFSET, OFFSET+LENGTH) of a disk, one after another,
 *     a flush after every few; each flush that was acknowledged is a line in
 *     LOG, synced, before the next write is sent.  RATE is flushes a second.
 *     Ends (exit 0) when the disk goes away, or on SIGTERM.  With PATIENCE
 *     it waits that many seconds for the disk to come back, verifies what is
 *     there as below and goes on after it; so it does at the start when LOG
 *     has lines from before.
 *
 *   writer verify URI OFFSET LENGTH SEED LOG [POINT_NS]
 *     The area must be exactly what it was after some write M: writes 1 to M
 *     all there (of M a part, if no flush covers it), none garbled, none after
 *     it.  M must cover every flush
 *     that was acknowledged before POINT_NS (wall clock), and no write that
 *     was sent after it; without POINT_NS every flush in LOG.
 *
 * Write N (from 1) is a pure function of SEED and N: where, how long, which
 * bytes.  So the area after M writes can be computed and compared whole; there
 * is no need to have kept what was written.  Every sector written begins with
 * its write's number, which is how verify finds M.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <libnbd.h>

#include "cleanup.h"
#include "clock.h"
#include "fileio.h"

#define SECTOR 512
#define MAX_SECTORS 32          /* 16 KiB: small, often not whole blocks */
#define MAX_AREA (UINT64_C (1) << 30)
#define READ_SIZE (1 << 20)
#define RETRY_NS (20 * NS_PER_MSEC)
#define MAGIC UINT64_C (0x7265747269727770)

struct area {
  const char *uri;
  uint64_t offset, length, seed;
};

struct write {
  uint64_t offset;              /* within the area */
  size_t length;
};

static volatile sig_atomic_t terminated;

static void
on_term (int sig)
{
  (void) sig;
  terminated = 1;
}

/* splitmix64 */
static uint64_t
mix (uint64_t x)
{
  x += UINT64_C (0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C (0x94d049bb133111eb);
  return x ^ (x >> 31);
}

static struct write
write_place (const struct area *a, uint64_t n)
{
  uint64_t r = mix (a->seed ^ mix (n));
  uint64_t sectors = 1 + r % MAX_SECTORS;
  uint64_t slots = a->length / SECTOR - sectors + 1;

  return (struct write) {
    .offset = mix (r) % slots * SECTOR, .length = sectors * SECTOR
  };
}

/* Magic, number of the write, then noise; half of each sector compresses. */
static void
write_content (const struct area *a, uint64_t n, size_t length, uint8_t *ret)
{
  uint64_t words[SECTOR / 8];
  size_t s, i;

  for (s = 0; s < length / SECTOR; ++s) {
    memset (words, 0, sizeof words);
    words[0] = MAGIC ^ a->seed;
    words[1] = n;
    for (i = 2; i < SECTOR / 16; ++i)
      words[i] = mix (a->seed + n * MAX_SECTORS * SECTOR + s * SECTOR + i);
    memcpy (ret + s * SECTOR, words, SECTOR);
  }
}

static struct nbd_handle *
try_open (const struct area *a)
{
  struct nbd_handle *nbd = nbd_create ();

  if (nbd == NULL || nbd_connect_uri (nbd, a->uri) == -1) {
    nbd_close (nbd);
    return NULL;
  }
  if (nbd_get_size (nbd) < (int64_t) (a->offset + a->length)) {
    fprintf (stderr, "writer: the disk is too small\n");
    exit (EXIT_FAILURE);
  }
  return nbd;
}

static struct nbd_handle *
open_disk (const struct area *a)
{
  struct nbd_handle *nbd = try_open (a);

  if (nbd == NULL) {
    fprintf (stderr, "writer: cannot open the disk: %s\n", nbd_get_error ());
    exit (EXIT_FAILURE);
  }
  return nbd;
}

/* ------------------------------------------------------------------ */
/* verify                                                               */

/* NULL: the disk went away. */
static uint8_t *
read_area (const struct area *a, struct nbd_handle *nbd)
{
  uint8_t *buf = malloc (a->length);
  uint64_t o;

  if (buf == NULL) {
    perror ("writer");
    exit (EXIT_FAILURE);
  }
  for (o = 0; o < a->length; o += READ_SIZE) {
    size_t len = a->length - o < READ_SIZE ? a->length - o : READ_SIZE;

    if (nbd_pread (nbd, buf + o, len, a->offset + o, 0) == -1) {
      free (buf);
      return NULL;
    }
  }
  return buf;
}

static uint64_t
word_at (const uint8_t *p, size_t i)
{
  uint64_t w;

  memcpy (&w, p + 8 * i, sizeof w);
  return w;
}

/* The newest write that left a sector in the area, 0 for none. */
static uint64_t
newest_write (const struct area *a, const uint8_t *buf)
{
  uint64_t newest = 0, o;

  for (o = 0; o < a->length; o += SECTOR)
    if (word_at (buf + o, 0) == (MAGIC ^ a->seed) &&
        word_at (buf + o, 1) > newest)
      newest = word_at (buf + o, 1);
  return newest;
}

static void
add_writes (const struct area *a, uint64_t from, uint64_t to, uint8_t *buf)
{
  for (uint64_t n = from; n <= to; ++n) {
    struct write w = write_place (a, n);

    write_content (a, n, w.length, buf + w.offset);
  }
}

/* A write that does not begin and end with a block is several, one after
 * another: of the newest, if no flush covered it (MAY_BE_TORN), only a part
 * may be there, which RET_IS_TORN then says.
 */
static bool
is_as_after (const struct area *a, uint64_t newest, bool may_be_torn,
             const uint8_t *buf, bool *ret_is_torn)
{
  CLEANUP_FREE uint8_t *want = calloc (1, a->length);
  CLEANUP_FREE uint8_t *before = NULL;
  struct write last = { 0, 0 };
  uint64_t o;

  if (newest > 0 && may_be_torn)
    last = write_place (a, newest);
  before = malloc (last.length + 1);
  if (want == NULL || before == NULL) {
    perror ("writer");
    exit (EXIT_FAILURE);
  }
  if (newest > 0)
    add_writes (a, 1, newest - 1, want);
  memcpy (before, want + last.offset, last.length);
  add_writes (a, newest > 0 ? newest : 1, newest, want);

  *ret_is_torn = false;
  for (o = 0; o < a->length; o += SECTOR) {
    if (memcmp (buf + o, want + o, SECTOR) == 0)
      continue;
    if (o >= last.offset && o < last.offset + last.length &&
        memcmp (buf + o, before + (o - last.offset), SECTOR) == 0) {
      *ret_is_torn = true;
      continue;
    }
    fprintf (stderr, "writer: wrong data at offset %" PRIu64 ": it looks "
             "like write %" PRIu64 ", expected write %" PRIu64 "\n",
             a->offset + o, word_at (buf + o, 1), word_at (want + o, 1));
    return false;
  }
  return true;
}

/* Compare what is there (writes 1 to NEWEST) with the acknowledged flushes.
 * Returns false after saying what is wrong.
 */
static bool
log_agrees (const char *log, uint64_t newest, uint64_t point_ns,
            uint64_t *ret_due, uint64_t *ret_flushed, double *ret_age)
{
  uint64_t n, sent_ns, acked_ns, due = 0, flushed = 0;
  uint64_t last_ns = 0, kept_ns = 0;
  bool is_good = true;
  FILE *fp = fopen (log, "re");

  if (fp == NULL) {
    fprintf (stderr, "writer: %s: %m\n", log);
    return false;
  }
  while (fscanf (fp, "%" SCNu64 " %" SCNu64 " %" SCNu64 "\n",
                 &n, &sent_ns, &acked_ns) == 3) {
    flushed = n;
    last_ns = acked_ns;
    if (n <= newest)
      kept_ns = acked_ns;
    if (acked_ns <= point_ns)
      due = n;
    if (sent_ns > point_ns && n <= newest) {
      fprintf (stderr, "writer: write %" PRIu64 " is there, but was sent "
               "after the point\n", n);
      is_good = false;
      break;
    }
  }
  fclose (fp);
  if (due > newest) {
    fprintf (stderr, "writer: write %" PRIu64 " was flushed before the point "
             "and is missing\n", due);
    is_good = false;
  }
  *ret_due = due;
  *ret_flushed = flushed;
  *ret_age = last_ns > kept_ns ? (last_ns - kept_ns) / 1e9 : 0;
  return is_good;
}

static int
verify (const struct area *a, const char *log, uint64_t point_ns)
{
  struct nbd_handle *nbd = open_disk (a);
  CLEANUP_FREE uint8_t *buf = read_area (a, nbd);
  uint64_t newest, due, flushed;
  bool is_torn;
  double age;

  if (buf == NULL) {
    fprintf (stderr, "writer: reading the disk: %s\n", nbd_get_error ());
    return EXIT_FAILURE;
  }
  nbd_shutdown (nbd, 0);
  nbd_close (nbd);
  newest = newest_write (a, buf);
  if (!log_agrees (log, newest, point_ns, &due, &flushed, &age) ||
      !is_as_after (a, newest, newest > due, buf, &is_torn))
    return EXIT_FAILURE;
  printf ("the area is as after write %" PRIu64 "%s; flushed before the "
          "point: %" PRIu64 "; acknowledged in all: %" PRIu64 "; not there: %"
          PRIu64 " (%.3f s)\n", newest, is_torn ? " (a part of it)" : "", due,
          flushed, flushed > newest ? flushed - newest : 0, age);
  return EXIT_SUCCESS;
}

/* ------------------------------------------------------------------ */
/* run                                                                  */

static void
wait_until (uint64_t mono_ns)
{
  struct timespec ts = {
    .tv_sec = mono_ns / NS_PER_SEC, .tv_nsec = mono_ns % NS_PER_SEC
  };

  clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

/* One run: what was sent and acknowledged so far. */
struct guest {
  const struct area *area;
  const char *log;
  int fd;
  struct nbd_handle *nbd;       /* NULL: not connected */
  uint64_t n, flushed;          /* newest write sent, flushed */
};

static void
leave (struct guest *g)
{
  nbd_close (g->nbd);
  g->nbd = NULL;
}

/* The disk is back.  What does it hold?  Go on after that.
 * 1: it is fine; 0: it went away again; -1: it is wrong.
 */
static int
catch_up (struct guest *g)
{
  CLEANUP_FREE uint8_t *buf = read_area (g->area, g->nbd);
  uint64_t newest, due;
  bool is_torn;
  double age;

  if (buf == NULL)
    return 0;
  newest = newest_write (g->area, buf);
  if (!log_agrees (g->log, newest, UINT64_MAX, &due, &g->flushed, &age) ||
      !is_as_after (g->area, newest, newest > due, buf, &is_torn))
    return -1;
  if (newest > g->n) {
    fprintf (stderr, "writer: write %" PRIu64 " is there and was never sent\n",
             newest);
    return -1;
  }
  printf ("the disk is there as after write %" PRIu64 ", %" PRIu64
          " flushed\n", newest, g->flushed);
  g->n = is_torn ? newest - 1 : newest;      /* the rest of it comes, too */
  return 1;
}

/* Like catch_up, from no connection, within SECONDS. */
static int
come_back (struct guest *g, uint64_t seconds)
{
  uint64_t deadline = clock_mono_ns () + seconds * NS_PER_SEC;
  int r = 0;

  while (r == 0 && !terminated && clock_mono_ns () < deadline) {
    g->nbd = try_open (g->area);
    if (g->nbd != NULL)
      r = catch_up (g);
    if (r == 0) {
      leave (g);
      wait_until (clock_mono_ns () + RETRY_NS);
    }
  }
  if (r == 0 && !terminated)
    fprintf (stderr, "writer: the disk did not come back\n");
  return r;
}

/* A few writes and a flush.  1: acknowledged; 0: the disk went away; -1. */
static int
burst (struct guest *g)
{
  const struct area *a = g->area;
  uint8_t buf[MAX_SECTORS * SECTOR];
  unsigned i, count = 1 + mix (a->seed + g->n) % 4;
  uint64_t sent_ns = 0;
  char line[100];
  int len;

  for (i = 0; i < count; ++i) {
    struct write w = write_place (a, ++g->n);

    write_content (a, g->n, w.length, buf);
    sent_ns = clock_wall_ns ();
    if (nbd_pwrite (g->nbd, buf, w.length, a->offset + w.offset, 0) == -1)
      return 0;
  }
  if (nbd_flush (g->nbd, 0) == -1)
    return 0;
  g->flushed = g->n;
  len = snprintf (line, sizeof line, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                  g->n, sent_ns, clock_wall_ns ());
  if (write_full (g->fd, line, len) == -1) {
    fprintf (stderr, "writer: %s: %m\n", g->log);
    return -1;
  }
  return 1;
}

static int
run (const struct area *a, uint64_t rate, const char *log, uint64_t patience)
{
  struct guest g = { .area = a, .log = log };
  uint64_t next;
  struct stat st;
  int r = 1;

  g.fd = open (log, O_WRONLY | O_CREAT | O_APPEND | O_DSYNC | O_CLOEXEC, 0600);
  if (g.fd == -1 || fstat (g.fd, &st) == -1) {
    fprintf (stderr, "writer: %s: %m\n", log);
    return EXIT_FAILURE;
  }
  g.nbd = open_disk (a);
  if (st.st_size > 0) {
    g.n = UINT64_MAX;            /* not known any more */
    r = catch_up (&g);
  }
  next = clock_mono_ns ();
  while (r == 1 && !terminated) {
    wait_until (next);
    next += NS_PER_SEC / rate;
    r = burst (&g);
    if (r == 0 && !terminated && patience > 0) {
      leave (&g);
      r = come_back (&g, patience);
      next = clock_mono_ns ();
    }
  }
  if (terminated)
    printf ("stopped: %" PRIu64 " writes sent, %" PRIu64 " flushed\n",
            g.n, g.flushed);
  else if (r == 0)
    printf ("the disk went away: %" PRIu64 " writes sent, %" PRIu64
            " flushed (%s)\n", g.n, g.flushed,
            nbd_get_error () ? : "not there");
  if (r == 1)
    nbd_shutdown (g.nbd, 0);
  leave (&g);
  close (g.fd);
  return r == -1 || (r == 0 && patience > 0 && !terminated) ? EXIT_FAILURE
    : EXIT_SUCCESS;
}

/* ------------------------------------------------------------------ */

static uint64_t
number (const char *text)
{
  char *end;
  unsigned long long n;

  errno = 0;
  n = strtoull (text, &end, 10);
  if (errno || end == text || *end) {
    fprintf (stderr, "writer: '%s' is not a number\n", text);
    exit (EXIT_FAILURE);
  }
  return n;
}

int
main (int argc, char **argv)
{
  struct area a;
  bool is_run = (argc == 8 || argc == 9) && strcmp (argv[1], "run") == 0;
  bool is_verify =
    (argc == 7 || argc == 8) && strcmp (argv[1], "verify") == 0;

  if (!is_run && !is_verify) {
    fprintf (stderr, "usage: writer run URI OFFSET LENGTH SEED RATE LOG "
             "[PATIENCE]\n"
             "       writer verify URI OFFSET LENGTH SEED LOG [POINT_NS]\n");
    return EXIT_FAILURE;
  }
  a.uri = argv[2];
  a.offset = number (argv[3]);
  a.length = number (argv[4]);
  a.seed = number (argv[5]);
  if (a.length < MAX_SECTORS * SECTOR || a.length > MAX_AREA ||
      a.length % SECTOR != 0) {
    fprintf (stderr, "writer: the length must be whole sectors, 16 KiB "
             "to 1 GiB\n");
    return EXIT_FAILURE;
  }
  signal (SIGTERM, on_term);
  signal (SIGPIPE, SIG_IGN);
  setvbuf (stdout, NULL, _IOLBF, 0);
  if (is_run) {
    uint64_t rate = number (argv[6]);

    if (rate == 0 || rate > 1000000) {
      fprintf (stderr, "writer: the rate must be 1 to 1000000\n");
      return EXIT_FAILURE;
    }
    return run (&a, rate, argv[7], argc == 9 ? number (argv[8]) : 0);
  }
  return verify (&a, argv[6], argc == 8 ? number (argv[7]) : UINT64_MAX);
}

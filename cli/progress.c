/* How far something is: a bar for people, lines for programs.
 *
 * The rate is measured here, over the last seconds; what did not move in
 * that time has no rate, and without a rate the time left is unknown: it is
 * said so, not guessed.
 *
 * A line for programs is
 *   DONE TOTAL RATE LEFT LABEL
 * in bytes (percent of 100 when nothing better is known), bytes a second and
 * seconds; what is not known is "unknown".
 */

#include <config.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "clock.h"
#include "fileio.h"
#include "size.h"

#define DRAW_NS (150 * NS_PER_MSEC)      /* between drawings */
#define SAMPLE_NS (500 * NS_PER_MSEC)    /* so the window is 8 seconds */
#define RATE_NS (1 * NS_PER_SEC)         /* shorter spans tell nothing */
#define BAR_MIN 10
#define BAR_MAX 40

void
progress_init (struct progress *p, const struct cli *cli)
{
  *p = (struct progress) {
    .has_bar = !cli->no_progress && isatty (STDERR_FILENO),
    .fd = cli->progress_fd
  };
}

static void
add_sample (struct progress *p, uint64_t now, uint64_t done)
{
  if (p->samples > 0 && done < p->sample[p->samples - 1].done)
    p->samples = 0;                      /* it began anew */
  if (p->samples > 0 && now - p->sample[p->samples - 1].ns < SAMPLE_NS)
    return;
  if (p->samples == PROGRESS_SAMPLES) {
    memmove (&p->sample[0], &p->sample[1],
             (PROGRESS_SAMPLES - 1) * sizeof p->sample[0]);
    --p->samples;
  }
  p->sample[p->samples].ns = now;
  p->sample[p->samples++].done = done;
}

/* A second, 0: unknown. */
static double
rate_of (const struct progress *p, uint64_t now, uint64_t done)
{
  uint64_t span;

  if (p->samples == 0)
    return 0;
  span = now - p->sample[0].ns;
  if (span < RATE_NS)
    return 0;
  return (double) (done - p->sample[0].done) * NS_PER_SEC / span;
}

static void
write_line (struct progress *p, const char *label, uint64_t done,
            uint64_t total, double rate)
{
  char total_text[32] = "unknown", rate_text[32] = "unknown";
  char left_text[32] = "unknown", line[256];
  int n;

  if (total > 0)
    snprintf (total_text, sizeof total_text, "%llu",
              (unsigned long long) total);
  if (rate > 0) {
    snprintf (rate_text, sizeof rate_text, "%.0f", rate);
    if (total >= done && total > 0)
      snprintf (left_text, sizeof left_text, "%.0f", (total - done) / rate);
  }
  n = snprintf (line, sizeof line, "%llu %s %s %s %.64s\n",
                (unsigned long long) done, total_text, rate_text, left_text,
                label);
  if (write_full (p->fd, line, n) == -1)
    p->fd = -1;                          /* nobody reads it any more */
}

/* "1.2 GiB of 4.0 GiB, 80.0 MiB/s, 0m34s left" */
static void
describe (char *text, size_t size, uint64_t done, uint64_t total, double rate,
          bool is_percent)
{
  char done_text[SIZE_STRING_SIZE], total_text[SIZE_STRING_SIZE];
  char rate_text[SIZE_STRING_SIZE], left_text[TEXT_SIZE];
  int n = 0;

  if (!is_percent) {
    n = snprintf (text, size, "%s of %s, ", size_format (done, done_text),
                  total > 0 ? size_format (total, total_text) : "unknown");
    if (rate > 0)
      n += snprintf (text + n, size - n, "%s/s, ",
                     size_format (rate, rate_text));
  }
  if (rate > 0 && total >= done && total > 0)
    seconds_format ((total - done) / rate, left_text);
  else
    snprintf (left_text, sizeof left_text, "time unknown");
  snprintf (text + n, size - n, "%s left", left_text);
}

static void
draw (struct progress *p, const char *label, uint64_t done, uint64_t total,
      double rate, bool is_percent)
{
  char head[96], tail[160], bar[BAR_MAX + 3] = "";
  unsigned width = terminal_width (STDERR_FILENO), used, cells, i;

  if (width == 0)
    width = 80;
  describe (tail, sizeof tail, done, total, rate, is_percent);
  if (total > 0)
    snprintf (head, sizeof head, "%.64s %3u%% ", label,
              (unsigned) (100. * (done < total ? done : total) / total));
  else
    snprintf (head, sizeof head, "%.64s ", label);

  used = strlen (head) + strlen (tail) + 4;   /* brackets, blank, cursor */
  if (total > 0 && used + BAR_MIN <= width) {
    cells = width - used < BAR_MAX ? width - used : BAR_MAX;
    bar[0] = '[';
    for (i = 0; i < cells; ++i)
      bar[i + 1] = (i + 1.) / cells <= (double) done / total ? '#' : '.';
    bar[cells + 1] = ']';
    bar[cells + 2] = '\0';
  }
  fprintf (stderr, "\r\033[K%.*s%s%s%.*s", (int) width - 1, head, bar,
           *bar ? " " : "",
           (int) (width > strlen (head) + 1 ? width - strlen (head) - 1 : 0),
           tail);
  fflush (stderr);
  p->is_drawn = true;
}

void
progress_update (struct progress *p, const char *label, uint64_t done,
                 uint64_t total, bool is_percent)
{
  uint64_t now = clock_mono_ns ();
  double rate;

  if (!p->has_bar && p->fd == -1)
    return;
  add_sample (p, now, done);
  if (p->drawn_ns != 0 && now - p->drawn_ns < DRAW_NS &&
      (total == 0 || done < total))
    return;
  p->drawn_ns = now;
  rate = rate_of (p, now, done);
  if (p->fd != -1)
    write_line (p, label, done, total, rate);
  if (p->has_bar)
    draw (p, label, done, total, rate, is_percent);
}

void
progress_end (struct progress *p)
{
  if (p->is_drawn)
    fputs ("\r\033[K", stderr);
  fflush (stderr);
  p->is_drawn = false;
}

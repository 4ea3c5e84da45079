/* Reading ahead (see ahead.h). */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "ahead.h"
#include "segments.h"

#define MAPPED (AHEAD_BYTES + 2 * AHEAD_PIECE)

int
ahead_init (struct ahead *a, const struct volume_io *io,
            struct io_file *journal, uint64_t segment_size,
            uint64_t (*find) (void *opaque, uint64_t lap), void *opaque)
{
  memset (a, 0, sizeof *a);
  if (hugemem_map (&a->space, MAPPED) == -1)
    return -1;
  a->memory = a->space.memory;
  a->queue = io->queue_open (journal, AHEAD_IN_FLIGHT, a->memory,
                             AHEAD_BYTES);
  if (a->queue == NULL) {
    hugemem_unmap (&a->space);
    return -1;
  }
  a->io = io;
  a->segment_size = segment_size;
  a->find = find;
  a->opaque = opaque;
  return 0;
}

void
ahead_release (struct ahead *a)
{
  if (a->io == NULL)
    return;
  a->io->queue_close (a->queue);
  hugemem_unmap (&a->space);
  a->io = NULL;
}

static uint8_t *
memory_at (const struct ahead *a, uint64_t position)
{
  return a->memory + position % AHEAD_BYTES;
}

static unsigned
piece_slot (uint64_t position)
{
  return position / AHEAD_PIECE % AHEAD_PIECES;
}

/* Begin to read the piece at a->end.  1: done; 0: there is none. */
static int
begin_piece (struct ahead *a)
{
  uint64_t segment = a->find (a->opaque, a->end / a->segment_size);

  if (segment == SEGMENT_NONE)
    return 0;
  if (a->io->queue_read (a->queue, a->end, memory_at (a, a->end),
                         AHEAD_PIECE, segment * a->segment_size +
                         a->end % a->segment_size) == -1)
    return -1;
  a->is_had[piece_slot (a->end)] = false;
  a->end += AHEAD_PIECE;
  a->in_flight++;
  return 1;
}

static int
wait_pieces (struct ahead *a)
{
  struct io_completion completion[AHEAD_IN_FLIGHT];
  int i, n, error = 0;

  n = a->io->queue_wait (a->queue, true, completion, AHEAD_IN_FLIGHT);
  for (i = 0; i < n; ++i) {
    a->in_flight--;
    if (completion[i].error)
      error = completion[i].error;
    else
      a->is_had[piece_slot (completion[i].id)] = true;
  }
  if (error)
    errno = error;
  return n == -1 || error ? -1 : 0;
}

const uint8_t *
ahead_get (struct ahead *a, uint64_t position, uint32_t len)
{
  uint64_t first = position / AHEAD_PIECE * AHEAD_PIECE, at;
  unsigned n;
  int r = 1;

  if (first < a->begun || first > a->end || a->end == 0) {
    while (a->in_flight > 0) {
      n = a->in_flight;
      if (wait_pieces (a) == -1 && a->in_flight == n)
        return NULL;             /* not that a read failed: it cannot wait */
    }
    a->end = first;
    a->window = AHEAD_PIECE;
  }
  else if (first > a->begun && a->window < AHEAD_BYTES)
    a->window *= 2;
  a->begun = first;
  while (r == 1 && a->in_flight < AHEAD_IN_FLIGHT &&
         a->end - first < a->window)
    r = begin_piece (a);
  if (r == -1)
    return NULL;

  for (at = first; at < position + len; at += AHEAD_PIECE) {
    while (at >= a->end || !a->is_had[piece_slot (at)]) {
      if (at >= a->end && (r = begin_piece (a)) != 1) {
        errno = r == 0 ? EIO : errno;
        return NULL;
      }
      if (wait_pieces (a) == -1)
        return NULL;
    }
  }
  at = position % AHEAD_BYTES;
  if (at + len > AHEAD_BYTES)
    memcpy (a->memory + AHEAD_BYTES, a->memory, at + len - AHEAD_BYTES);
  return memory_at (a, position);
}

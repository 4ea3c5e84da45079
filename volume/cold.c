/* The cold stream (see cold.h). */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "volume-internal.h"

int
cold_init (struct volume *v)
{
  struct cold *c = &v->cold;

  if (hugemem_map (&c->space, BATCH_HARD + FORMAT_PAGE) == -1)
    return -1;
  c->buf = c->space.memory;
  c->queue = v->io->queue_open (v->journal.file, 1, c->buf,
                                BATCH_HARD + FORMAT_PAGE);
  return c->queue ? 0 : -1;
}

void
cold_release (struct volume *v)
{
  if (v->cold.queue)
    v->io->queue_close (v->cold.queue);
  hugemem_unmap (&v->cold.space);
}

void
cold_start (struct volume *v, uint64_t position)
{
  struct cold *c = &v->cold;
  uint64_t size = v->super.segment_size;

  c->position = position;
  c->lap = position / size;
  c->offset = position % size;
  c->segment = segments_find_lap (&v->segments, c->lap);
  c->is_segment_closed = c->segment == SEGMENT_NONE;
  if (c->is_segment_closed)
    c->lap--;
  else if (c->offset == 0)
    c->offset = FORMAT_PAGE;
  c->summary = (struct segment_summary) { .lap = c->lap };
  c->used = sizeof (struct format_batch);
  c->records = 0;
}

/* How long the batch may become. */
static uint32_t
batch_max (const struct volume *v)
{
  const struct cold *c = &v->cold;
  uint64_t left = v->super.segment_size - FORMAT_PAGE - c->offset;

  /* Where not one unit has room the batch goes to the next segment. */
  if (c->is_segment_closed || left > BATCH_HARD ||
      left < sizeof (struct format_batch) + sizeof (struct format_record) +
      COLD_UNIT_MAX)
    return BATCH_HARD;
  return left;
}

uint8_t *
cold_reserve (struct volume *v, uint32_t length, uint32_t *ret_length)
{
  struct cold *c = &v->cold;
  uint32_t used = c->used + sizeof (struct format_record);
  uint32_t max = batch_max (v);

  if (used + length > max)
    return NULL;
  *ret_length = max - used;
  return c->buf + c->used + sizeof (struct format_record);
}

void
cold_add (struct volume *v, const struct record *r)
{
  struct cold *c = &v->cold;
  struct segment_summary *s = &c->summary;

  /* The place in the log, and so the hash, is known when it is written. */
  record_encode (r, 0, (struct format_record *) (c->buf + c->used));
  c->used += sizeof (struct format_record) + r->length;
  c->records++;
  s->records++;
  s->zeros += r->type == RECORD_KEEP_ZERO;
  if (r->type == RECORD_MOVE)
    s->units += r->nblocks;
}

static int
write_through (struct volume *v, uint32_t length, uint64_t offset)
{
  struct cold *c = &v->cold;
  struct io_completion completion;

  if (v->io->queue_submit (c->queue, 0, c->buf, length, offset) == -1 ||
      v->io->queue_wait (c->queue, true, &completion, 1) == -1)
    return -1;
  if (completion.error == 0)
    return 0;
  errno = completion.error;
  return -1;
}

/* A free segment for the cleaner itself, its blocks there. */
static uint64_t
take_segment (struct volume *v)
{
  struct journal *j = &v->journal;
  uint64_t segment;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&j->lock);

  for (;;) {
    segment = segments_find_ready (&v->segments);
    if (segment != SEGMENT_NONE || j->is_stopping || j->failed ||
        j->prepare_failed ||
        segments_find_free (&v->segments, GROUND_NONE) == SEGMENT_NONE)
      break;
    j->is_maintenance_due = true;
    pthread_cond_signal (&j->maintainer_cond);
    pthread_cond_wait (&j->progress, &j->lock);
  }
  if (segment == SEGMENT_NONE) {
    errno = ENOSPC;
    return SEGMENT_NONE;
  }
  v->segments.table[segment].born = j->lap;
  v->segments.table[segment].is_without_zeros = true;
  __atomic_store_n (&v->segments.table[segment].first_seq, 0,
                    __ATOMIC_RELAXED);
  __atomic_store_n (&v->segments.table[segment].lap, v->cold.lap + 1,
                    __ATOMIC_RELEASE);
  j->is_maintenance_due = true;
  pthread_cond_signal (&j->maintainer_cond);
  return segment;
}

/* The pages around segments are written from BUF too: what is in it is put
 * aside meanwhile.
 */
static int
write_page (struct volume *v, const void *page, size_t len, uint64_t offset)
{
  struct cold *c = &v->cold;
  uint8_t aside[FORMAT_PAGE];
  int r;

  memcpy (aside, c->buf, FORMAT_PAGE);
  memset (c->buf, 0, FORMAT_PAGE);
  memcpy (c->buf, page, len);
  r = write_through (v, FORMAT_PAGE, offset);
  memcpy (c->buf, aside, FORMAT_PAGE);
  return r;
}

static int
rotate (struct volume *v)
{
  struct cold *c = &v->cold;
  uint64_t size = v->super.segment_size, segment;
  struct format_summary summary;
  struct format_segment header;
  struct segment_header h = {
    .lap = c->lap + 1, .opened_ns = clock_wall_ns (), .kind = SEGMENT_COLD,
    .incarnation = v->incarnation,
  };

  if (!c->is_segment_closed) {
    c->summary.data_end = c->offset;
    c->summary.closed_ns = clock_wall_ns ();
    segment_summary_encode (&c->summary, v->super.journal_salt, size,
                            &summary);
    if (write_page (v, &summary, sizeof summary,
                    (c->segment + 1) * size - FORMAT_PAGE) == -1)
      return -1;
    c->is_segment_closed = true;
    v->io->prefetch (v->journal.file, c->segment * size, size);
  }
  segment = take_segment (v);
  if (segment == SEGMENT_NONE)
    return -1;
  segment_header_encode (&h, &v->super.uuid, v->super.journal_salt, size,
                         &header);
  if (write_page (v, &header, sizeof header, segment * size) == -1)
    return -1;
  c->segment = segment;
  c->lap++;
  c->offset = FORMAT_PAGE;
  c->is_segment_closed = false;
  c->summary = (struct segment_summary) { .lap = c->lap };
  return 0;
}

/* Seed the records with their place and store what they moved. */
static int
for_each_record (struct volume *v, bool apply)
{
  struct cold *c = &v->cold;
  uint64_t position = position_of (v, c->lap, c->offset);
  uint64_t offset = c->segment * v->super.segment_size + c->offset;
  uint32_t at = sizeof (struct format_batch);
  struct format_record *header;
  struct record r;

  while (at < c->used) {
    header = (struct format_record *) (c->buf + at);
    if (!apply)
      record_reseed (header, position_seed (v->super.journal_salt,
                                            position + at));
    if (!record_decode (header, position_seed (v->super.journal_salt,
                                               position + at), &r)) {
      errno = EUCLEAN;
      return -1;
    }
    at += sizeof *header;
    if (apply && apply_record (v, &r, c->buf + at, offset + at,
                               position + at - sizeof *header) == -1)
      return -1;
    at += r.length;
  }
  return 0;
}

static int
write_batch (struct volume *v)
{
  struct cold *c = &v->cold;
  struct batch header = {
    .length = ROUND_UP (c->used, FORMAT_PAGE), .used = c->used,
    .records = c->records, .incarnation = v->incarnation,
  };

  if (c->is_segment_closed ||
      c->offset + header.length > v->super.segment_size - FORMAT_PAGE) {
    if (rotate (v) == -1)
      return -1;
  }
  header.position = header.watermark = position_of (v, c->lap, c->offset);
  memset (c->buf + c->used, 0, header.length - c->used);
  if (for_each_record (v, false) == -1)
    return -1;
  if (!batch_digest (c->buf, c->used, c->records, &header.digest)) {
    errno = EUCLEAN;
    return -1;
  }
  batch_encode (&header, v->super.journal_salt,
                (struct format_batch *) c->buf);
  if (write_through (v, header.length, c->segment * v->super.segment_size +
                     c->offset) == -1)
    return -1;

  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->tables_lock);

    if (for_each_record (v, true) == -1)
      return -1;
  }
  c->offset += header.length;
  c->summary.batches++;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&v->journal.lock);
  c->position = position_of (v, c->lap, c->offset);
  return 0;
}

int
cold_write (struct volume *v)
{
  struct cold *c = &v->cold;
  int r = 0;

  if (c->records > 0) {
    r = write_batch (v);
    if (r == -1 && errno != ENOSPC)
      journal_fail (v, errno, "cannot write what the cleaner moves");
  }
  c->used = sizeof (struct format_batch);
  c->records = 0;
  return r;
}

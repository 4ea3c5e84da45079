/* A volume that nobody has open (see offline.h). */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "offline.h"
#include "volume-internal.h"

static int
compare_laps (const void *a, const void *b)
{
  const struct offline_lap *p = a, *q = b;

  if (p->lap != q->lap)
    return p->lap < q->lap ? -1 : 1;
  if (p->is_in_table != q->is_in_table)
    return p->is_in_table ? -1 : 1;
  return p->incarnation > q->incarnation ? -1 :
    p->incarnation < q->incarnation;
}

/* Does the journal go on in a segment with this header? */
static bool
is_after_checkpoint (const struct offline *o,
                     const struct segment_header *header)
{
  return !(o->super.flags & SUPER_CLEAN) &&
    header->lap >= (lap_is_cold (header->lap) ? o->super.cold_position
                    : o->super.position) / o->super.segment_size &&
    header->incarnation >= o->super.incarnation;
}

static void
find_laps (struct offline *o)
{
  uint64_t i, n = 0, size = o->super.segment_size;
  struct format_segment page;
  struct segment_header header;
  struct offline_lap *l;

  for (i = 0; i < o->segments.count; ++i) {
    l = &o->lap[n];
    *l = (struct offline_lap) { .lap = o->segments.table[i].lap, .segment = i };
    header.incarnation = 0;
    if (o->journal == NULL ||
        o->io->read (o->journal, &page, sizeof page, i * size) == -1 ||
        !segment_header_decode (&page, &o->super.uuid, o->super.journal_salt,
                                size, &header))
      header.lap = 0;
    l->incarnation = header.incarnation;
    if (l->lap != 0) {
      l->is_in_table = true;
      n++;
    }
    else if (header.lap != 0 &&
             (!o->is_table_valid || is_after_checkpoint (o, &header))) {
      l->lap = header.lap;
      n++;
    }
  }
  qsort (o->lap, n, sizeof *o->lap, compare_laps);
  for (o->nlaps = 0, i = 0; i < n; ++i)
    if (o->nlaps == 0 || o->lap[o->nlaps - 1].lap != o->lap[i].lap)
      o->lap[o->nlaps++] = o->lap[i];
}

bool
offline_is_refused (int errnum)
{
  return errnum == ENOMEM || errnum == EMFILE || errnum == ENFILE;
}

/* NULL in *RET: it is not there, or cannot be read. */
static int
open_file (struct offline *o, const char *name, struct io_file **ret,
           struct error *err)
{
  *ret = o->io->open (o->dir, name, 0);
  if (*ret == NULL && offline_is_refused (errno))
    return error_set_errno (err, errno, "cannot open '%s'", name);
  return 0;
}

int
offline_open (struct offline *o, const struct volume_io *io,
              const char *path, struct error *err)
{
  struct error failure = ERROR_INIT;

  memset (o, 0, sizeof *o);
  o->io = io ? io : &volume_io_real;
  o->dir = o->io->dir_open (o->io->opaque, path);
  if (o->dir == NULL)
    return error_set_errno (err, errno, "cannot open '%s'", path);
  o->super_file = o->io->open (o->dir, "super", IO_LOCK);
  if (o->super_file == NULL) {
    if (errno == EBUSY) {
      error_set (err, EBUSY, "'%s' is in use by another process", path);
      error_hint (err, "stop the nbdkit that serves it");
    }
    else if (errno == ENOENT || errno == ENOTDIR)
      error_set (err, ENOENT, "'%s' is not a volume", path);
    else
      error_set_errno (err, errno, "cannot open '%s'", path);
    goto err;
  }
  if (super_read (o->io, o->super_file, &o->super, err) == -1)
    goto err;

  if (open_file (o, segments_name (o->super.segments_slot),
                 &o->segments_file, err) == -1 ||
      open_file (o, "journal", &o->journal, err) == -1)
    goto err;
  o->buf = malloc (OFFLINE_BATCH_MAX);
  o->lap = calloc (super_segments (&o->super) + 1, sizeof *o->lap);
  if (o->buf == NULL || o->lap == NULL ||
      segments_init (&o->segments, super_segments (&o->super),
                     o->super.segment_size) == -1) {
    error_set_errno (err, ENOMEM, "cannot open '%s'", path);
    goto err;
  }
  o->is_table_valid = o->segments_file != NULL &&
    segments_load (&o->segments, o->io, o->segments_file, &o->super,
                   &failure) == 0;
  if (offline_is_refused (failure.errnum)) {
    error_set (err, failure.errnum, "%s", failure.message);
    goto err;
  }
  find_laps (o);
  return 0;

 err:
  offline_close (o);
  errno = err ? err->errnum : errno;
  return -1;
}

void
offline_close (struct offline *o)
{
  int saved = errno;

  segments_release (&o->segments);
  free (o->lap);
  free (o->buf);
  if (o->journal)
    o->io->close (o->journal);
  if (o->segments_file)
    o->io->close (o->segments_file);
  if (o->super_file)
    o->io->close (o->super_file);
  if (o->dir)
    o->io->dir_close (o->dir);
  errno = saved;
}

static uint64_t
file_offset (const struct offline *o, uint64_t segment, uint64_t position)
{
  return segment * o->super.segment_size + position % o->super.segment_size;
}

int
offline_read_batch_header (struct offline *o, uint64_t segment,
                           uint64_t position, struct batch *ret)
{
  uint64_t size = o->super.segment_size;
  struct format_batch header;

  if (position % size >= size - FORMAT_PAGE)
    return 0;
  if (o->io->read (o->journal, &header, sizeof header,
                   file_offset (o, segment, position)) == -1)
    return -1;
  return batch_decode (&header, o->super.journal_salt, position, size, ret) &&
    ret->length <= OFFLINE_BATCH_MAX;
}

int
offline_read_batch (struct offline *o, uint64_t segment, uint64_t position,
                    struct batch *ret)
{
  uint64_t digest;
  int r;

  r = offline_read_batch_header (o, segment, position, ret);
  if (r != 1)
    return r;
  if (o->io->read (o->journal, o->buf, ret->length,
                   file_offset (o, segment, position)) == -1)
    return -1;
  return batch_digest (o->buf, ret->used, ret->records, &digest) &&
    digest == ret->digest;
}

int
offline_read_summary (struct offline *o, const struct offline_lap *lap,
                      struct segment_summary *ret)
{
  uint64_t size = o->super.segment_size;
  struct format_summary page;

  if (o->io->read (o->journal, &page, sizeof page,
                   (lap->segment + 1) * size - FORMAT_PAGE) == -1)
    return -1;
  return segment_summary_decode (&page, o->super.journal_salt, size,
                                 lap->lap, ret);
}

bool
offline_record (const struct offline *o, const struct batch *batch,
                uint32_t at, struct record *ret)
{
  return batch->used - at >= sizeof (struct format_record) &&
    record_decode ((const struct format_record *) (o->buf + at),
                   position_seed (o->super.journal_salt,
                                  batch->position + at), ret) &&
    ret->length <= batch->used - at - sizeof (struct format_record);
}

/* Recovery: replay of the journal from the last checkpoint.
 *
 * Batches are read one after the other and applied as they were at run time.
 * The first position where no whole batch stands is the end.  Which end:
 *
 *   what stands there          durable before the crash?    it is
 *   a summary that ends here   -                            the next lap
 *   anything else              no watermark is above it     a torn tail: cut
 *   anything else              a watermark is above it      damage: refuse
 *
 * A watermark is the position up to which the journal was durable when a
 * batch was written; those of batches behind the bad place count, and so
 * does the hint in the super.  A batch never comes from before a batch in
 * front of it: its incarnation (the opening that wrote it) may only grow, so
 * what an earlier crash left behind the cut is not taken up again.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ahead.h"
#include "cleanup.h"
#include "sorted.h"
#include "volume-internal.h"

/* A lap that was begun after the checkpoint. */
struct found_lap {
  uint64_t lap, segment, first_seq;
  uint32_t incarnation;
};

struct replay {
  struct volume *v;
  uint64_t position;           /* logical, of the next batch */
  uint64_t segment;            /* where its lap is */
  uint32_t incarnation;        /* of the last batch */
  uint64_t watermark;          /* highest seen */
  struct volume_point point;   /* after the last record */
  struct found_lap *found;     /* sorted by lap */
  size_t nfound;
  uint64_t last_segment;       /* that was looked up; any, at first */
  struct ahead ahead;
  const uint8_t *buf;          /* the batch that is looked at */
};

static int
compare_laps (const void *a, const void *b)
{
  const struct found_lap *p = a, *q = b;

  if (p->lap != q->lap)
    return p->lap < q->lap ? -1 : 1;
  /* Of two uses with one number the later opening counts: first. */
  return p->incarnation > q->incarnation ? -1 :
    p->incarnation < q->incarnation;
}

/* Look at the header pages of all segments that the table calls free. */
static int
find_laps (struct replay *replay, struct error *err)
{
  struct volume *v = replay->v;
  uint64_t size = v->super.segment_size, file_size, i, floor;
  struct format_segment page;
  struct segment_header header;

  if (v->io->size (v->journal.file, &file_size) == -1)
    return error_set_errno (err, errno, "cannot read the journal");
  replay->found = calloc (v->segments.count, sizeof *replay->found);
  if (replay->found == NULL)
    return error_set_errno (err, errno, "cannot read the journal");

  floor = replay->position / size;
  for (i = 0; i < v->segments.count && (i + 1) * size <= file_size; ++i) {
    if (segment_lap (&v->segments, i) != 0)
      continue;
    if (v->io->read (v->journal.file, &page, sizeof page, i * size) == -1)
      return error_set_errno (err, errno,
                              "cannot read the header of segment %llu",
                              (unsigned long long) i);
    if (segment_header_decode (&page, &v->super.uuid, v->super.journal_salt,
                               size, &header) &&
        header.lap >= floor &&
        lap_is_cold (header.lap) == lap_is_cold (floor) &&
        header.incarnation >= v->super.incarnation)
      replay->found[replay->nfound++] = (struct found_lap) {
        header.lap, i, header.first_seq, header.incarnation
      };
  }
  qsort (replay->found, replay->nfound, sizeof *replay->found, compare_laps);
  return 0;
}

static const struct found_lap *
find_lap (const struct replay *replay, uint64_t lap)
{
  size_t i;

  for (i = 0; i < replay->nfound; ++i)
    if (replay->found[i].lap == lap &&
        replay->found[i].incarnation >= replay->incarnation)
      return &replay->found[i];
  return NULL;
}

static uint64_t
segment_of_lap (void *opaque, uint64_t lap)
{
  struct replay *replay = opaque;
  const struct segments *segments = &replay->v->segments;
  const struct found_lap *found;
  uint64_t segment = replay->last_segment;

  /* It is asked for each piece, and the table of a large volume is long. */
  if (segment_lap (segments, segment) == lap)
    return segment;
  segment = segments_find_lap (segments, lap);
  if (segment != SEGMENT_NONE) {
    replay->last_segment = segment;
    return segment;
  }
  found = find_lap (replay, lap);
  return found ? found->segment : SEGMENT_NONE;
}

static uint64_t
file_offset (const struct replay *replay, uint64_t position)
{
  uint64_t size = replay->v->super.segment_size;

  return replay->segment * size + position % size;
}

static bool
is_batch_header (const struct replay *replay, const void *header,
                 uint64_t position, struct batch *ret)
{
  struct volume *v = replay->v;

  return batch_decode (header, v->super.journal_salt, position,
                       v->super.segment_size, ret) &&
    ret->length <= BATCH_HARD + FORMAT_PAGE &&
    ret->incarnation >= replay->incarnation;
}

/* 1: a header is there that belongs to POSITION of this or a later opening;
 * 0: not; -1: I/O error.
 */
static int
read_batch_header (struct replay *replay, uint64_t position,
                   struct batch *ret)
{
  struct volume *v = replay->v;
  struct format_batch header;

  if (position % v->super.segment_size >=
      v->super.segment_size - FORMAT_PAGE)
    return 0;
  if (v->io->read (v->journal.file, &header, sizeof header,
                   file_offset (replay, position)) == -1)
    return -1;
  return is_batch_header (replay, &header, position, ret);
}

/* The batch at the position replay is at, to replay->buf.  Returns as
 * read_batch_header.
 */
static int
get_batch (struct replay *replay, struct batch *ret)
{
  uint64_t position = replay->position, size = replay->v->super.segment_size;

  if (position % size >= size - FORMAT_PAGE)
    return 0;
  replay->buf = ahead_get (&replay->ahead, position, FORMAT_PAGE);
  if (replay->buf == NULL)
    return -1;
  if (!is_batch_header (replay, replay->buf, position, ret))
    return 0;
  replay->buf = ahead_get (&replay->ahead, position, ret->length);
  return replay->buf ? 1 : -1;
}

/* Walk the records of the batch in replay->buf; APPLY or only verify. */
static bool
walk_batch (struct replay *replay, const struct batch *batch, bool apply,
            struct error *err)
{
  struct volume *v = replay->v;
  uint32_t at = sizeof (struct format_batch), n = 0;
  uint64_t salt = v->is_staging ? v->super.stage.salt
    : v->super.content_salt;
  struct record r;
  const uint8_t *body;

  for (; n < batch->records; ++n) {
    if (batch->used - at < sizeof (struct format_record) ||
        !record_decode ((const struct format_record *) (replay->buf + at),
                        position_seed (v->super.journal_salt,
                                       batch->position + at), &r))
      return false;
    body = replay->buf + at + sizeof (struct format_record);
    if (r.length > batch->used - at - sizeof (struct format_record))
      return false;
    if (!apply) {
      if (r.type == RECORD_STAGE_BEGIN || r.type == RECORD_STAGE_COMMIT ||
          r.type == RECORD_STAGE_DROP) {
        struct mark mark;

        if (!mark_decode (body, r.length, &mark))
          return false;
        salt = mark.salt;      /* what follows is keyed with */
      }
      else if (!record_verify_body (&r, body, salt, v->nblocks) &&
               !(r.type == RECORD_MOVE && v->is_staging &&
                 record_verify_body (&r, body, v->super.content_salt,
                                     v->nblocks)))
        return false;
    }
    else {
      if (apply_record (v, &r, body,
                        file_offset (replay, batch->position) + at +
                        sizeof (struct format_record),
                        batch->position + at) == -1) {
        error_set_errno (err, errno, "cannot replay record %llu",
                         (unsigned long long) r.seq);
        return false;
      }
      if (v->has_point_after_mark)
        replay->point = v->point_after_mark;
      else if (!record_type_is_mark (r.type) && r.type != RECORD_DELTA)
        replay->point = (struct volume_point) {
          r.generation, r.seq, r.time_ns, r.bytes
        };
    }
    at += sizeof (struct format_record) + r.length;
  }
  return at == batch->used;
}

/* 1: a whole batch was applied; 0: none stands here; -1: error. */
static int
replay_batch (struct replay *replay, struct error *err)
{
  struct batch batch;
  struct error why = ERROR_INIT;
  uint64_t digest;
  int r;

  r = get_batch (replay, &batch);
  if (r == -1)
    return error_set_errno (err, errno,
                            "cannot read the journal at byte %llu",
                            (unsigned long long)
                            file_offset (replay, replay->position));
  if (r == 0 || !walk_batch (replay, &batch, false, &why) ||
      !batch_digest (replay->buf, batch.used, batch.records, &digest) ||
      digest != batch.digest)
    return 0;
  if (!walk_batch (replay, &batch, true, &why)) {
    if (err)
      *err = why;
    errno = why.errnum;
    return -1;
  }
  replay->incarnation = batch.incarnation;
  if (batch.watermark > replay->watermark)
    replay->watermark = batch.watermark;
  replay->position += batch.length;
  return 1;
}

/* Does the segment end here by its summary? */
static int
segment_ends (struct replay *replay, struct error *err)
{
  struct volume *v = replay->v;
  uint64_t size = v->super.segment_size;
  struct format_summary page;
  struct segment_summary summary;

  if (v->io->read (v->journal.file, &page, sizeof page,
                   (replay->segment + 1) * size - FORMAT_PAGE) == -1)
    return error_set_errno (err, errno, "cannot read the journal");
  return segment_summary_decode (&page, v->super.journal_salt, size,
                                 replay->position / size, &summary) &&
    summary.data_end == replay->position % size;
}

/* Watermarks of the batches that stand one behind the other from POSITION on
 * in SEGMENT.
 */
static int
look_along (struct replay *replay, uint64_t segment, uint64_t position,
            struct error *err)
{
  uint64_t here = replay->segment;
  struct batch batch;
  int r;

  replay->segment = segment;
  while ((r = read_batch_header (replay, position, &batch)) == 1) {
    if (batch.watermark > replay->watermark)
      replay->watermark = batch.watermark;
    position += batch.length;
  }
  replay->segment = here;
  return r == 0 ? 0 : error_set_errno (err, errno, "cannot read the journal");
}

/* ... in all laps that begin at FROM or later. */
static int
look_at_laps (struct replay *replay, uint64_t from, struct error *err)
{
  uint64_t size = replay->v->super.segment_size;
  size_t i;

  for (i = 0; i < replay->nfound; ++i)
    if (replay->found[i].lap * size >= from &&
        look_along (replay, replay->found[i].segment,
                    replay->found[i].lap * size + FORMAT_PAGE, err) == -1)
      return -1;
  return 0;
}

/* ... behind a bad place, in its segment and in laps after it. */
static int
look_behind (struct replay *replay, struct error *err)
{
  uint64_t size = replay->v->super.segment_size, position;
  uint64_t end = (replay->position / size + 1) * size;
  struct batch batch;
  int r;

  for (position = replay->position; position < end; position += FORMAT_PAGE) {
    r = read_batch_header (replay, position, &batch);
    if (r == -1)
      return error_set_errno (err, errno, "cannot read the journal");
    if (r == 1 && batch.watermark > replay->watermark)
      replay->watermark = batch.watermark;
  }
  return look_at_laps (replay, end, err);
}

/* No segment says that it holds the lap at replay's position: it was never
 * begun, unless batches say otherwise, those of a later lap or those that
 * stand in a free segment behind a header that is not theirs.
 */
static int
end_or_gone (struct replay *replay, struct error *err)
{
  struct volume *v = replay->v;
  uint64_t i, file_size;

  if (v->io->size (v->journal.file, &file_size) == -1)
    return error_set_errno (err, errno, "cannot read the journal");
  if (look_at_laps (replay, replay->position, err) == -1)
    return -1;
  for (i = 0; i < segments_count (&v->segments) &&
         (i + 1) * v->super.segment_size <= file_size; ++i)
    if (segment_lap (&v->segments, i) == 0 &&
        look_along (replay, i, replay->position + FORMAT_PAGE, err) == -1)
      return -1;
  if (replay->watermark <= replay->position)
    return 0;
  error_set (err, EUCLEAN, "the newest segment of the journal is gone");
  return error_hint (err, "nothing was changed; recover from the other site");
}

static int
end_or_damage (struct replay *replay, struct error *err)
{
  if (look_behind (replay, err) == -1)
    return -1;
  if (replay->watermark <= replay->position)
    return 0;
  error_set (err, EUCLEAN, "the journal is damaged at byte %llu: "
             "what was written there was durable and no longer verifies",
             (unsigned long long) file_offset (replay, replay->position));
  return error_hint (err, "nothing was changed; 'pairctl volume check' names "
                     "the blocks that are hit; recover from the other site");
}

/* Go to LAP.  1: done; 0: it was never begun. */
static int
enter_lap (struct replay *replay, uint64_t lap)
{
  struct volume *v = replay->v;
  const struct found_lap *found;
  uint64_t segment = segments_find_lap (&v->segments, lap);

  if (segment == SEGMENT_NONE) {
    found = find_lap (replay, lap);
    if (found == NULL)
      return 0;
    segment = found->segment;
    /* What an earlier opening left in the same place does not count. */
    if (found->incarnation > replay->incarnation)
      replay->incarnation = found->incarnation;
    v->segments.table[segment].first_seq = found->first_seq;
    v->segments.table[segment].lap = lap;
    v->segments.table[segment].born = lap_is_cold (lap)
      ? v->super.position / v->super.segment_size : lap;
  }
  replay->segment = segment;
  if (replay->position % v->super.segment_size == 0)
    replay->position += FORMAT_PAGE;
  return 1;
}

static int
replay_all (struct replay *replay, struct error *err)
{
  uint64_t size = replay->v->super.segment_size;
  int r;

  if (!enter_lap (replay, replay->position / size)) {
    if (replay->position % size != 0)
      return error_set (err, EUCLEAN,
                        "the segment of the last checkpoint is gone");
    return end_or_gone (replay, err);
  }
  for (;;) {
    r = replay_batch (replay, err);
    if (r == 1)
      continue;
    if (r == -1)
      return -1;
    r = segment_ends (replay, err);
    if (r == -1)
      return -1;
    if (r == 0)
      return end_or_damage (replay, err);
    replay->position = (replay->position / size + 1) * size;
    if (!enter_lap (replay, replay->position / size))
      return end_or_gone (replay, err);
  }
}

static int
replay_stream (struct replay *replay, struct error *err)
{
  struct volume *v = replay->v;
  int r;

  if (ahead_init (&replay->ahead, v->io, v->journal.file,
                  v->super.segment_size, segment_of_lap, replay) == -1)
    return error_set_errno (err, errno, "cannot read the journal");
  r = find_laps (replay, err);
  if (r == 0)
    r = replay_all (replay, err);
  ahead_release (&replay->ahead);
  free (replay->found);
  return r;
}

/* First what the cleaner moved, as far as the map still shows where from,
 * then what guests and the peer wrote: the two have no order between them,
 * and whatever was written after a move is newer than it.
 */
static int
replay_both (struct volume *v, struct replay *cold, struct replay *hot,
             struct error *err)
{
  struct sorted sorted;
  int r;

  live_forget (v);
  v->is_replaying = true;
  if (sorted_init (&sorted, SORTED_STORES) == 0)
    v->sorted = &sorted;
  r = replay_stream (cold, err);
  if (r == 0)
    r = replay_stream (hot, err);
  if (v->sorted) {
    sorted_drain (&sorted);
    sorted_release (&sorted);
    v->sorted = NULL;
  }
  v->is_replaying = false;
  v->has_point_after_mark = false;
  if (r == -1)
    return -1;
  /* What was read back is durable from here on. */
  if (v->io->sync (v->journal.file) == -1)
    return error_set_errno (err, errno, "cannot sync the journal");
  if (v->super.role != VOLUME_ROLE_SECONDARY)
    v->super.flags |= SUPER_NEW_WRITER;
  return 0;
}

/* Space that was merely reserved may be gone after a crash, so that the file
 * ends within its last segment: what is missing there was never written.
 */
static int
make_segments_whole (struct volume *v, struct error *err)
{
  const struct volume_io *io = v->io;
  uint64_t size, whole;

  if (io->size (v->journal.file, &size) == -1)
    return error_set_errno (err, errno, "cannot read the journal");
  whole = ROUND_UP (size, v->super.segment_size);
  if (whole > size && io->resize (v->journal.file, whole) == -1)
    return error_set_errno (err, errno, "cannot make the journal's last "
                            "segment whole");
  return 0;
}

int
recover (struct volume *v, struct error *err)
{
  struct replay hot = {
    .v = v, .position = v->super.position, .point = v->super.point,
    .incarnation = v->super.incarnation, .watermark = v->super.durable_hint,
  };
  struct replay cold = {
    .v = v, .position = v->super.cold_position,
    .incarnation = v->super.incarnation,
    .watermark = v->super.cold_position,
  };

  if (make_segments_whole (v, err) == -1 ||
      (!(v->super.flags & SUPER_CLEAN) &&
       replay_both (v, &cold, &hot, err) == -1))
    return -1;
  if (v->super.role == VOLUME_ROLE_SECONDARY || v->is_staging)
    live_count_now (v);
  journal_start (v, hot.position, &hot.point);
  v->journal.checkpointed = v->super.position;
  cold_start (v, cold.position);
  return 0;
}

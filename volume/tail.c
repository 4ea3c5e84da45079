/* The tail of a history: what a volume shows that is newer than some point.
 *
 * A writer that lost its role has one; its new primary has to replace it,
 * block by block, and before that a person wants to know how much it is.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "volume-internal.h"

/* Entries that one look for changes passes over at most. */
#define LOOK_BLOCKS (UINT64_C (1) << 24)

static bool
is_newer (struct volume *v, uint64_t block, uint64_t since)
{
  uint64_t seq;

  return !birth_decode (table_get (&v->births, block), block, &seq) ||
    seq > since;
}

void
volume_changed_blocks (struct volume *v, uint64_t since_seq, uint64_t from,
                       struct volume_changed *ret)
{
  uint64_t i = from, end, stop = from + LOOK_BLOCKS;

  memset (ret, 0, sizeof *ret);
  ret->from = ret->first = from;
  if (stop > volume_blocks (v))
    stop = volume_blocks (v);
  for (table_next_used (&v->births, &i, &end); i < stop;
       table_next_used (&v->births, &i, &end))
    for (; i < end && i < stop; ++i) {
      if (!is_newer (v, i, since_seq))
        continue;
      if (ret->end == 0) {
        ret->first = i;
        ret->end = i + VOLUME_CHANGED_BITS;
        if (stop > ret->end)
          stop = ret->end;
      }
      ret->bits[(i - ret->first) / 8] |= 1u << (i - ret->first) % 8;
    }
  ret->end = stop;
  if (ret->first == from && (ret->bits[0] & 1) == 0)
    ret->first = stop;
}

static uint64_t
count_newer (struct volume *v, uint64_t since)
{
  uint64_t i = 0, end, n = 0;

  for (table_next_used (&v->births, &i, &end); i < volume_blocks (v);
       table_next_used (&v->births, &i, &end))
    for (; i < end; ++i)
      n += is_newer (v, i, since);
  return n;
}

/* The first record after SEQ, if the journal still holds it.  -1: error. */
static int
first_record (struct volume *v, uint64_t seq, struct record *ret,
              struct error *err)
{
  CLEANUP_FREE uint8_t *buf = malloc (RECORD_MAX);
  struct volume_cursor *c;
  struct volume_point last;
  unsigned records;
  ssize_t len;

  if (buf == NULL)
    return error_set_errno (err, errno, "cannot read the journal");
  c = volume_cursor_open (v, seq + 1, err);
  if (c == NULL)
    return errno == ERANGE ? 0 : -1;
  len = volume_cursor_read (c, buf, RECORD_MAX, &last, &records, err);
  volume_cursor_close (c);
  if (len == -1)
    return errno == ERANGE ? 0 : -1;
  return records > 0 &&
    record_decode ((const struct format_record *) buf, v->super.content_salt,
                   ret);
}

int
volume_tail_measure (struct volume *v, uint64_t seq, bool quick,
                     struct volume_tail *ret, struct error *err)
{
  struct volume_tail tail = { .is_exact = true };
  struct volume_status status;
  struct record first;
  int r;

  if (journal_flush_applied (v) == -1)
    return error_set (err, errno, "cannot flush: %s", v->failure);
  volume_get_status (v, &status);
  if (status.committed.seq > seq) {
    tail.writes = status.committed.seq - seq;
    tail.last_ns = status.committed.time_ns;
    r = first_record (v, seq, &first, err);
    if (r == -1)
      return -1;
    tail.is_exact = r == 1;
    if (tail.is_exact) {
      tail.first_ns = first.time_ns;
      tail.bytes = status.committed.bytes - first.bytes +
        (uint64_t) first.nblocks * VOLUME_BLOCK_SIZE;
      tail.blocks = tail.bytes / VOLUME_BLOCK_SIZE;
      if (tail.blocks > v->nblocks)
        tail.blocks = v->nblocks;
    }
    else {
      tail.blocks = quick ? 0 : count_newer (v, seq);
      tail.bytes = (quick ? tail.writes : tail.blocks) * VOLUME_BLOCK_SIZE;
    }
  }
  *ret = tail;
  return 0;
}

/* Generation tables (see generations.h). */

#include <config.h>

#include <string.h>

#include "generations.h"

bool
pair_history_check (const struct pair_history *history)
{
  const struct pair_generation *g = history->generation;
  uint32_t i, j;

  if (history->count > PAIR_HISTORY_MAX)
    return false;
  if (history->last_seq > 0 &&
      (history->count == 0 || g[0].first_seq > history->last_seq))
    return false;

  for (i = 0; i < history->count; ++i) {
    if (g[i].id == 0 || g[i].first_seq == 0)
      return false;
    /* Written so that last_seq + 1 cannot wrap. */
    if (g[i].first_seq - 1 > history->last_seq)
      return false;
    if (i > 0 && g[i].first_seq <= g[i-1].first_seq)
      return false;
    for (j = 0; j < i; ++j)
      if (g[j].id == g[i].id)
        return false;
  }
  return true;
}

uint64_t
pair_history_end (const struct pair_history *history, uint32_t index)
{
  if (index + 1 < history->count)
    return history->generation[index + 1].first_seq - 1;
  return history->last_seq;
}

void
pair_history_add (struct pair_history *history, uint64_t id,
                  uint64_t first_seq, const struct uuid *writer)
{
  struct pair_generation *g = history->generation;
  uint32_t n = history->count;

  while (n > 0 && g[n-1].first_seq >= first_seq)
    --n;
  if (n == PAIR_HISTORY_MAX) {
    memmove (g, g + 1, (PAIR_HISTORY_MAX - 1) * sizeof *g);
    --n;
  }
  g[n].id = id;
  g[n].first_seq = first_seq;
  g[n].writer = *writer;
  history->count = n + 1;
}

bool
pair_history_close (struct pair_history *history, struct pair_point last)
{
  const struct pair_generation *g = history->generation;

  while (history->count > 0 && g[history->count-1].first_seq > last.seq)
    --history->count;
  history->last_seq = last.seq;
  return pair_history_check (history) &&
    pair_history_contains (history, last);
}

void
pair_history_begin (struct pair_history *history, uint64_t id,
                    const struct uuid *writer)
{
  pair_history_add (history, id, history->last_seq + 1, writer);
}

bool
pair_history_cut (struct pair_history *history, uint64_t seq)
{
  const struct pair_generation *g = history->generation;

  if (seq > history->last_seq)
    return false;
  /* The past before the oldest entry is known only where there is none. */
  if (history->count > 0 && g[0].first_seq > 1 && g[0].first_seq > seq)
    return false;

  while (history->count > 0 && g[history->count-1].first_seq > seq)
    --history->count;
  history->last_seq = seq;
  return true;
}

const struct pair_generation *
pair_history_find (const struct pair_history *history, uint64_t seq)
{
  uint32_t i;

  if (seq == 0 || seq > history->last_seq)
    return NULL;
  for (i = history->count; i-- > 0; )
    if (history->generation[i].first_seq <= seq)
      return &history->generation[i];
  return NULL;
}

struct pair_point
pair_history_last (const struct pair_history *history)
{
  struct pair_point point = { 0, 0 };
  const struct pair_generation *g;

  g = pair_history_find (history, history->last_seq);
  if (g) {
    point.generation = g->id;
    point.seq = history->last_seq;
  }
  return point;
}

bool
pair_history_contains (const struct pair_history *history,
                       struct pair_point point)
{
  const struct pair_generation *g;

  if (point.generation == 0)
    return point.seq == 0;
  g = pair_history_find (history, point.seq);
  return g && g->id == point.generation;
}

static bool
generation_equal (const struct pair_generation *a,
                  const struct pair_generation *b)
{
  return a->id == b->id && a->first_seq == b->first_seq &&
    uuid_equal (&a->writer, &b->writer);
}

/* Index of the last generation of A that B knows too, and where B has it.
 * False if there is none, or if one id means two things (*ret_broken).
 */
static bool
last_shared (const struct pair_history *a, const struct pair_history *b,
             uint32_t *ret_i, uint32_t *ret_j, bool *ret_broken)
{
  bool found = false;
  uint32_t i, j;

  *ret_broken = false;
  for (i = 0; i < a->count; ++i)
    for (j = 0; j < b->count; ++j) {
      if (a->generation[i].id != b->generation[j].id)
        continue;
      if (!generation_equal (&a->generation[i], &b->generation[j])) {
        *ret_broken = true;
        return false;
      }
      *ret_i = i;
      *ret_j = j;
      found = true;
    }
  return found;
}

/* Before a shared generation both tables must tell the same, as far back as
 * both of them reach.
 */
static bool
same_past (const struct pair_history *a, uint32_t i,
           const struct pair_history *b, uint32_t j)
{
  while (i-- > 0 && j-- > 0)
    if (!generation_equal (&a->generation[i], &b->generation[j]))
      return false;
  return true;
}

enum pair_common
pair_history_common (const struct pair_history *a,
                     const struct pair_history *b,
                     struct pair_point *ret)
{
  uint64_t end_a, end_b, end;
  uint32_t i, j;
  bool broken;

  if (!last_shared (a, b, &i, &j, &broken))
    return broken ? PAIR_COMMON_BROKEN : PAIR_COMMON_NONE;
  if (!same_past (a, i, b, j))
    return PAIR_COMMON_BROKEN;

  /* The last shared generation may still be empty on one side.  Then both
   * share the one before to its end, if both still know it.
   */
  for (;;) {
    end_a = pair_history_end (a, i);
    end_b = pair_history_end (b, j);
    end = end_a < end_b ? end_a : end_b;
    if (end >= a->generation[i].first_seq)
      break;
    if (i == 0 || j == 0)
      return PAIR_COMMON_NONE;
    --i;
    --j;
  }
  ret->generation = a->generation[i].id;
  ret->seq = end;
  return PAIR_COMMON_FOUND;
}

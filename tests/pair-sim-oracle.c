/* Histories of a disk (see pair-sim.h). */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "pair-sim.h"

static struct {
  uint64_t size;
  struct branch *newest;
  unsigned count;
} history;

void
history_begin (uint64_t size)
{
  history.size = size;
  history.newest = NULL;
  history.count = 0;
}

void
history_end (void)
{
  struct branch *b;

  while ((b = history.newest) != NULL) {
    history.newest = b->older;
    model_release (&b->model);
    free (b->note);
    free (b);
  }
}

struct branch *
branch_new (const struct volume_point *point, const uint8_t *content)
{
  struct branch *b = calloc (1, sizeof *b);

  CHECK (b, "no memory");
  b->id = history.count++;
  b->parent = place_of (point).branch;
  b->base_generation = point->generation;
  b->base_seq = point->seq;
  model_init (&b->model, history.size);
  if (content)
    model_adopt (&b->model, content);
  b->older = history.newest;
  history.newest = b;
  return b;
}

uint64_t
branch_last (const struct branch *b)
{
  return b->count == 0 ? b->base_seq : b->note[b->count - 1].seq;
}

void
branch_note (struct branch *b, const struct volume_point *point,
             bool is_partial)
{
  if (point->seq == branch_last (b))
    return;
  CHECK (point->seq > branch_last (b), "seq %" PRIu64 " after %" PRIu64,
         point->seq, branch_last (b));
  CHECK (b->generation == 0 || b->generation == point->generation,
         "a writer changed its generation");
  b->generation = point->generation;
  if (b->count == b->capacity) {
    b->capacity = b->capacity ? b->capacity * 2 : 64;
    b->note = realloc (b->note, b->capacity * sizeof *b->note);
    CHECK (b->note, "no memory");
  }
  b->note[b->count++] = (struct note) { point->seq, b->model.step, is_partial };
}

void
branch_undo (struct branch *b, uint64_t step, uint64_t offset,
             uint64_t count, const uint8_t *content)
{
  struct model *m = &b->model;
  uint64_t i;

  memcpy (m->data + offset, content, count);
  for (i = 0; i < m->nblocks; i++) {
    struct model_block *block = &m->block[i];

    while (block->count > 1 && block->version[block->count - 1].step > step)
      block->count--;
  }
  m->step = step;
}

struct place
place_of (const struct volume_point *point)
{
  struct branch *b;

  for (b = history.newest; b; b = b->older)
    if (b->generation == point->generation && b->count > 0 &&
        point->seq > b->base_seq && point->seq <= branch_last (b))
      return (struct place) { b, point->seq };
  /* The first branch has no older one. */
  for (b = history.newest; b; b = b->older)
    if (b->base_generation == point->generation &&
        b->base_seq == point->seq)
      return (struct place) { b, point->seq };
  return (struct place) { NULL, 0 };
}

bool
place_holds (struct place a, struct place b)
{
  /* The beginning of a branch is a place of its parent. */
  while (b.branch->parent != NULL && b.seq <= b.branch->base_seq)
    b.branch = b.branch->parent;
  while (a.branch != b.branch && a.branch->parent != NULL) {
    if (a.branch->base_seq < a.seq)
      a.seq = a.branch->base_seq;
    a.branch = a.branch->parent;
  }
  return a.branch == b.branch && a.seq >= b.seq;
}

/* The steps that the model may have made at SEQ: one operation of a guest may
 * be several records.
 */
static void
steps_of (struct place p, uint64_t *ret_low, uint64_t *ret_high)
{
  const struct branch *b = p.branch;
  unsigned i;

  *ret_low = *ret_high = 0;
  if (p.seq == b->base_seq)
    return;
  for (i = 0; b->note[i].seq < p.seq; i++)
    ;
  *ret_high = b->note[i].step;
  *ret_low = b->note[i].seq == p.seq && !b->note[i].is_partial ? *ret_high :
    (i == 0 ? 0 : b->note[i - 1].step) + 1;
}

bool
place_is (struct place p, const uint8_t *content)
{
  const struct model *m = &p.branch->model;
  uint64_t low, high, first, last;

  steps_of (p, &low, &high);
  return model_match (m, content, 0, m->nblocks, low, &first, &last) &&
    first <= high;
}

void
place_explain (struct place p, const uint8_t *content)
{
  const struct model *m = &p.branch->model;
  uint64_t low, high, first = 0, last = 0;
  bool found;

  steps_of (p, &low, &high);
  found = model_match (m, content, 0, m->nblocks, 0, &first, &last);
  fprintf (stderr, "# branch %u, seq %" PRIu64 ", should be step %" PRIu64
           " to %" PRIu64 "; it is %s %" PRIu64 " to %" PRIu64 "\n",
           p.branch->id, p.seq, low, high, found ? "that of" : "none:",
           first, last);
  if (!found)
    model_explain (m, content, 0, m->nblocks, low);
}

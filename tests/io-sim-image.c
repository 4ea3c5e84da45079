/* What the simulated disk holds: images of files, the nodes that have them,
 * and the test's own way to both (see io-sim.h).  Images are sparse: a page
 * that was never written is not there.
 */

#include <config.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "io-sim-internal.h"

uint8_t *
sim_image_page (struct image *image, uint64_t i, bool make)
{
  uint64_t n;

  if (i >= image->npages) {
    if (!make)
      return NULL;
    n = (i + 1) * 2;
    image->page = must (realloc (image->page, n * sizeof *image->page));
    memset (image->page + image->npages, 0,
            (n - image->npages) * sizeof *image->page);
    image->npages = n;
  }
  if (image->page[i] == NULL && make)
    image->page[i] = must (calloc (1, PAGE));
  return image->page[i];
}

void
sim_image_write (struct image *image, const uint8_t *data, size_t len,
                 uint64_t offset)
{
  size_t at, n;

  if (offset + len > image->size)
    image->size = offset + len;
  for (; len > 0; data += n, offset += n, len -= n) {
    at = offset % PAGE;
    n = len < PAGE - at ? len : PAGE - at;
    memcpy (sim_image_page (image, offset / PAGE, true) + at, data, n);
  }
}

void
sim_image_read (struct image *image, uint8_t *data, size_t len, uint64_t offset)
{
  const uint8_t *page;
  size_t at, n;

  for (; len > 0; data += n, offset += n, len -= n) {
    at = offset % PAGE;
    n = len < PAGE - at ? len : PAGE - at;
    page = sim_image_page (image, offset / PAGE, false);
    if (page)
      memcpy (data, page + at, n);
    else
      memset (data, 0, n);
  }
}

/* Whole pages only; what is beyond the end is given up. */
void
sim_image_zero (struct image *image, uint64_t offset, uint64_t len)
{
  uint64_t i;

  for (i = offset / PAGE; i < (offset + len) / PAGE && i < image->npages;
       ++i) {
    free (image->page[i]);
    image->page[i] = NULL;
  }
}

void
sim_image_resize (struct image *image, uint64_t size)
{
  uint64_t end = (size + PAGE - 1) / PAGE * PAGE;
  uint8_t *page;

  if (size < image->size) {
    if (image->npages * PAGE > end)
      sim_image_zero (image, end, image->npages * PAGE - end);
    page = sim_image_page (image, size / PAGE, false);
    if (page && size % PAGE != 0)
      memset (page + size % PAGE, 0, PAGE - size % PAGE);
  }
  image->size = size;
}

void
sim_image_release (struct image *image)
{
  sim_image_zero (image, 0, image->npages * PAGE);
  free (image->page);
  memset (image, 0, sizeof *image);
}

void
sim_image_copy (struct image *to, const struct image *from)
{
  uint64_t i;

  sim_image_release (to);
  to->size = from->size;
  for (i = 0; i < from->npages; ++i)
    if (from->page[i])
      memcpy (sim_image_page (to, i, true), from->page[i], PAGE);
}

struct change *
new_change (const void *buf, size_t len, uint64_t offset)
{
  struct change *c = must (malloc (sizeof *c + len));

  c->next = NULL;
  c->offset = offset;
  c->len = len;
  memcpy (c->data, buf, len);
  return c;
}

/* A page of memory that others may be storing to, in words. */
void
copy_page (uint8_t *to, const uint8_t *from)
{
  size_t i;

  for (i = 0; i < PAGE / 8; ++i)
    ((uint64_t *) to)[i] = __atomic_load_n ((const uint64_t *) from + i,
                                            __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ */
/* Nodes.                                                              */

struct node *
find_node (struct sim *sim, const char *dir, const char *name)
{
  struct node *n;

  for (n = sim->nodes; n; n = n->next)
    if (strcmp (n->dir, dir) == 0 &&
        (name ? n->name && strcmp (n->name, name) == 0 : n->name == NULL))
      return n;
  return NULL;
}

struct node *
add_node (struct sim *sim, const char *dir, const char *name)
{
  struct node *n = must (calloc (1, sizeof *n));

  n->dir = must (strdup (dir));
  n->name = name ? must (strdup (name)) : NULL;
  n->changes_end = &n->changes;
  n->next = sim->nodes;
  sim->nodes = n;
  return n;
}

void
drop_changes (struct node *n)
{
  struct change *c;

  while ((c = n->changes) != NULL) {
    n->changes = c->next;
    free (c);
  }
  n->changes_end = &n->changes;
}

void
release_map (struct node *n)
{
  if (n->map)
    munmap (n->map, n->map_len);
  n->map = NULL;
}

void
free_nodes (struct node *n)
{
  struct node *next;

  for (; n; n = next) {
    next = n->next;
    drop_changes (n);
    release_map (n);
    sim_image_release (&n->now);
    sim_image_release (&n->medium);
    free (n->dir);
    free (n->name);
    free (n);
  }
}

/* ------------------------------------------------------------------ */
/* The test's side.                                                    */

uint64_t
sim_file_size (struct sim *sim, const char *path, const char *name)
{
  struct node *n;
  LOCK (sim);

  n = find_node (sim, path, name);
  return n && n->exists ? n->now.size : 0;
}

void
sim_file_read (struct sim *sim, const char *path, const char *name,
               uint64_t offset, void *buf, size_t len)
{
  LOCK (sim);

  sim_image_read (&((struct node *) must (find_node (sim, path, name)))->now,
                  buf, len, offset);
}

void
sim_file_write (struct sim *sim, const char *path, const char *name,
                uint64_t offset, const void *buf, size_t len)
{
  struct node *n;
  LOCK (sim);

  n = must (find_node (sim, path, name));
  sim_image_write (&n->now, buf, len, offset);
  sim_image_write (&n->medium, buf, len, offset);
}

void
sim_file_resize (struct sim *sim, const char *path, const char *name,
                 uint64_t size)
{
  struct node *n;
  LOCK (sim);

  n = must (find_node (sim, path, name));
  sim_image_resize (&n->now, size);
  sim_image_resize (&n->medium, size);
}

bool
sim_page_is_used (struct sim *sim, const char *path, const char *name,
                  uint64_t offset)
{
  struct node *n;
  LOCK (sim);

  n = must (find_node (sim, path, name));
  return sim_image_page (&n->now, offset / PAGE, false) != NULL;
}

struct sim_snapshot {
  struct node *nodes;
};

static void
copy_nodes (struct node **to, const struct node *from)
{
  struct node *n;

  for (; from; from = from->next) {
    n = must (calloc (1, sizeof *n));
    n->dir = must (strdup (from->dir));
    n->name = from->name ? must (strdup (from->name)) : NULL;
    n->exists = n->exists_on_medium = from->exists;
    n->changes_end = &n->changes;
    sim_image_copy (&n->now, &from->now);
    sim_image_copy (&n->medium, &from->now);
    *to = n;
    to = &n->next;
  }
}

struct sim_snapshot *
sim_snapshot_take (struct sim *sim)
{
  struct sim_snapshot *snapshot = must (calloc (1, sizeof *snapshot));
  LOCK (sim);

  copy_nodes (&snapshot->nodes, sim->nodes);
  return snapshot;
}

void
sim_snapshot_restore (struct sim *sim, const struct sim_snapshot *snapshot)
{
  LOCK (sim);

  assert (sim->queues == NULL);
  free_nodes (sim->nodes);
  sim->nodes = NULL;
  copy_nodes (&sim->nodes, snapshot->nodes);
}

void
sim_snapshot_free (struct sim_snapshot *snapshot)
{
  if (snapshot == NULL)
    return;
  free_nodes (snapshot->nodes);
  free (snapshot);
}

/* The disk that loses power (see io-sim.h).
 *
 * A file has two images: now (what reads see) and medium.  A change goes to
 * now at once; how it gets to medium:
 *
 *   write   a pending change is kept; sync carries all of them over
 *   queue   not even in now until it completes, then in both
 *   map     the mapping is memory of its own; map_sync and random write-backs
 *           copy it over
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "io-sim-internal.h"

static void
check_aligned (const void *buf, size_t len, uint64_t offset)
{
  assert ((uintptr_t) buf % PAGE == 0 && len % PAGE == 0 && len > 0 &&
          offset % PAGE == 0);
}

/* ------------------------------------------------------------------ */
/* Directories.                                                        */

static int
sim_dir_create (void *opaque, const char *path)
{
  struct sim *sim = opaque;
  struct node *n;
  LOCK (sim);

  if (sim->is_off)
    return result (EIO);
  n = find_node (sim, path, NULL);
  if (n && n->exists)
    return result (EEXIST);
  if (n == NULL)
    n = add_node (sim, path, NULL);
  n->exists = n->exists_on_medium = true;
  return 0;
}

static int
sim_dir_remove (void *opaque, const char *path)
{
  struct sim *sim = opaque;
  struct node *n, *dir;
  LOCK (sim);

  if (sim->is_off)
    return result (EIO);
  dir = find_node (sim, path, NULL);
  if (dir == NULL || !dir->exists)
    return result (ENOENT);
  for (n = sim->nodes; n; n = n->next)
    if (n->name && n->exists && strcmp (n->dir, path) == 0)
      return result (ENOTEMPTY);
  dir->exists = dir->exists_on_medium = false;
  for (n = sim->nodes; n; n = n->next)
    if (strcmp (n->dir, path) == 0)
      n->exists_on_medium = false;
  return 0;
}

static struct io_dir *
sim_dir_open (void *opaque, const char *path)
{
  struct sim *sim = opaque;
  struct io_dir *dir;
  struct node *n;
  LOCK (sim);

  n = find_node (sim, path, NULL);
  if (sim->is_off || n == NULL || !n->exists) {
    errno = sim->is_off ? EIO : ENOENT;
    return NULL;
  }
  dir = must (malloc (sizeof *dir));
  dir->sim = sim;
  dir->boot = sim->boot;
  dir->path = must (strdup (path));
  return dir;
}

static int
sim_dir_sync (struct io_dir *dir)
{
  struct sim *sim = dir->sim;
  struct node *n;
  int e;
  LOCK (sim);

  e = begin (sim, dir->boot, SIM_SYNC);
  if (e == 0)
    for (n = sim->nodes; n; n = n->next)
      if (strcmp (n->dir, dir->path) == 0)
        n->exists_on_medium = n->exists;
  return result (e);
}

static void
sim_dir_close (struct io_dir *dir)
{
  if (dir == NULL)
    return;
  free (dir->path);
  free (dir);
}

static int
sim_unlink (struct io_dir *dir, const char *name)
{
  struct sim *sim = dir->sim;
  struct node *n;
  LOCK (sim);

  if (!has_power (sim, dir->boot))
    return result (EIO);
  n = find_node (sim, dir->path, name);
  if (n == NULL || !n->exists)
    return result (ENOENT);
  n->exists = false;
  return 0;
}

/* ------------------------------------------------------------------ */
/* Files.                                                              */

static struct io_file *
sim_open (struct io_dir *dir, const char *name, unsigned flags)
{
  struct sim *sim = dir->sim;
  struct io_file *file;
  struct node *n;
  int e;
  LOCK (sim);

  n = find_node (sim, dir->path, name);
  e = begin (sim, dir->boot, SIM_OPEN);
  if (e == 0 && (flags & IO_CREATE) && n && n->exists)
    e = EEXIST;
  else if (e == 0 && !(flags & IO_CREATE) && (n == NULL || !n->exists))
    e = ENOENT;
  else if (e == 0 && (flags & IO_LOCK) && n && n->is_locked)
    e = EBUSY;
  if (e != 0) {
    errno = e;
    return NULL;
  }
  if (n == NULL)
    n = add_node (sim, dir->path, name);
  if (flags & IO_CREATE) {
    n->exists = true;
    drop_changes (n);
    sim_image_release (&n->now);
    sim_image_release (&n->medium);
  }
  file = must (calloc (1, sizeof *file));
  file->sim = sim;
  file->node = n;
  file->boot = sim->boot;
  if (flags & IO_LOCK)
    file->is_locked = n->is_locked = true;
  return file;
}

static void
sim_unmap (struct io_file *file)
{
  struct node *n = file->node;
  LOCK (file->sim);

  if (n->map == NULL)
    return;
  if (file->boot == file->sim->boot && !file->sim->is_off)
    sim_image_write (&n->now, n->map,
                     n->map_len < n->now.size ? n->map_len : n->now.size, 0);
  release_map (n);
}

static void
sim_close (struct io_file *file)
{
  if (file == NULL)
    return;
  sim_unmap (file);
  {
    LOCK (file->sim);
    if (file->is_locked && file->boot == file->sim->boot)
      file->node->is_locked = false;
  }
  free (file);
}

static int
sim_size (struct io_file *file, uint64_t *ret)
{
  LOCK (file->sim);

  *ret = file->node->now.size;
  return 0;
}

static int
sim_resize (struct io_file *file, uint64_t size)
{
  int e;
  LOCK (file->sim);

  e = begin (file->sim, file->boot, SIM_SPACE);
  if (e == 0)
    sim_image_resize (&file->node->now, size);
  return result (e);
}

static int
sim_reserve (struct io_file *file, uint64_t offset, uint64_t len)
{
  int e;
  LOCK (file->sim);

  e = begin (file->sim, file->boot, SIM_SPACE);
  if (e == 0 && offset + len > file->node->now.size)
    sim_image_resize (&file->node->now, offset + len);
  return result (e);
}

/* What is read there afterwards is undefined: what there was, or zeros. */
static int
sim_punch (struct io_file *file, uint64_t offset, uint64_t len)
{
  int e;
  LOCK (file->sim);

  e = begin (file->sim, file->boot, SIM_SPACE);
  if (e == 0 && next_random (&file->sim->rng) % 2) {
    sim_image_zero (&file->node->now, offset, len);
    sim_image_zero (&file->node->medium, offset, len);
  }
  return result (e);
}

static void
sim_prefetch (struct io_file *file, uint64_t offset, uint64_t len)
{
  (void) file;
  (void) offset;
  (void) len;
}

static int
sim_zero_fill (struct io_file *file, uint64_t offset, uint64_t len)
{
  struct node *n = file->node;
  int e;
  LOCK (file->sim);

  assert (offset % PAGE == 0 && len % PAGE == 0);
  e = begin (file->sim, file->boot, SIM_SPACE);
  if (e != 0)
    return result (e);
  sim_image_zero (&n->now, offset, len);
  sim_image_zero (&n->medium, offset, len);
  if (offset + len > n->now.size)
    n->now.size = offset + len;
  if (offset + len > n->medium.size)
    n->medium.size = offset + len;
  return 0;
}

static int
sim_read (struct io_file *file, void *buf, size_t len, uint64_t offset)
{
  struct node *n = file->node;
  int e;
  LOCK (file->sim);

  e = begin (file->sim, file->boot, SIM_READ);
  if (e == 0 && (offset > n->now.size || len > n->now.size - offset))
    e = EIO;
  if (e != 0)
    return result (e);
  sim_image_read (&n->now, buf, len, offset);
  if (n->map && offset < n->map_len)
    memcpy (buf, n->map + offset,
            len < n->map_len - offset ? len : n->map_len - offset);
  return 0;
}

static int
sim_write (struct io_file *file, const void *buf, size_t len, uint64_t offset)
{
  struct node *n = file->node;
  struct change *c;
  int e;
  LOCK (file->sim);

  check_aligned (buf, len, offset);
  e = begin (file->sim, file->boot, SIM_WRITE);
  if (e != 0 && (file->boot != file->sim->boot || file->sim->is_off))
    return result (e);
  c = new_change (buf, len, offset);
  if (e != 0) {
    arrive (&n->now, c, EACH_SECTOR, &file->sim->rng);
    free (c);
    return result (e);
  }
  sim_image_write (&n->now, buf, len, offset);
  *n->changes_end = c;
  n->changes_end = &c->next;
  return 0;
}

static int
sim_sync (struct io_file *file)
{
  struct node *n = file->node;
  struct change *c;
  int e;
  LOCK (file->sim);

  e = begin (file->sim, file->boot, SIM_SYNC);
  if (e != 0)
    return result (e);
  for (c = n->changes; c; c = c->next)
    sim_image_write (&n->medium, c->data, c->len, c->offset);
  drop_changes (n);
  sim_image_resize (&n->medium, n->now.size);
  return 0;
}

/* ------------------------------------------------------------------ */
/* Mappings.                                                           */

static void *
sim_map (struct io_file *file, uint64_t len)
{
  struct node *n = file->node;
  LOCK (file->sim);

  if (file->sim->is_off || file->boot != file->sim->boot || n->map) {
    errno = n->map ? EBUSY : EIO;
    return NULL;
  }
  n->map_len = (len + PAGE - 1) / PAGE * PAGE;
  n->map = mmap (NULL, n->map_len, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (n->map == MAP_FAILED) {    /* little address space: valgrind */
    n->map = NULL;
    errno = ENOMEM;
    return NULL;
  }
  sim_image_read (&n->now, n->map, len < n->now.size ? len : n->now.size, 0);
  return n->map;
}

static void
write_back (struct node *n, uint64_t i)
{
  uint8_t page[PAGE] __attribute__ ((aligned (8)));
  uint64_t end = n->now.size;

  if (i * PAGE >= end)
    return;
  copy_page (page, n->map + i * PAGE);
  sim_image_write (&n->now, page,
                   end - i * PAGE < PAGE ? end - i * PAGE : PAGE, i * PAGE);
  sim_image_write (&n->medium, page,
                   end - i * PAGE < PAGE ? end - i * PAGE : PAGE, i * PAGE);
}

static int
sim_map_sync (struct io_file *file, uint64_t len)
{
  struct node *n = file->node;
  uint64_t i;
  int e;
  LOCK (file->sim);

  e = begin (file->sim, file->boot, SIM_MAPSYNC);
  if (e != 0)
    return result (e);
  for (i = 0; i * PAGE < len && i * PAGE < n->map_len; ++i)
    write_back (n, i);
  return 0;
}

/* The kernel writes back when it likes. */
static void
write_back_some (struct sim *sim)
{
  struct node *n;

  for (n = sim->nodes; n; n = n->next)
    if (n->map && n->now.size >= PAGE && next_random (&sim->rng) % 8 == 0)
      write_back (n, next_random (&sim->rng) % (n->now.size / PAGE));
}

/* ------------------------------------------------------------------ */
/* Queues.                                                             */

static struct io_queue *
sim_queue_open (struct io_file *file, unsigned depth, void *buf,
                size_t buflen)
{
  struct io_queue *q = must (calloc (1, sizeof *q));
  LOCK (file->sim);

  (void) buf;
  (void) buflen;
  q->sim = file->sim;
  q->node = file->node;
  q->boot = file->boot;
  q->depth = depth;
  q->flight = must (calloc (depth, sizeof *q->flight));
  q->next = file->sim->queues;
  file->sim->queues = q;
  return q;
}

static int
sim_queue_submit (struct io_queue *q, uint64_t id, const void *buf,
                  size_t len, uint64_t offset)
{
  LOCK (q->sim);

  check_aligned (buf, len, offset);
  if (!has_power (q->sim, q->boot))
    return result (EIO);
  assert (q->count < q->depth);
  q->flight[q->count++] = (struct flight) {
    id, buf, new_change (buf, len, offset), len, offset
  };
  return 0;
}

static int
sim_queue_read (struct io_queue *q, uint64_t id, void *buf, size_t len,
                uint64_t offset)
{
  LOCK (q->sim);

  check_aligned (buf, len, offset);
  if (!has_power (q->sim, q->boot))
    return result (EIO);
  assert (q->count < q->depth);
  q->flight[q->count++] = (struct flight) { id, buf, NULL, len, offset };
  return 0;
}

static void
complete_read (struct io_queue *q, unsigned i, struct io_completion *ret)
{
  struct flight f = q->flight[i];
  struct image *now = &q->node->now;

  q->flight[i] = q->flight[--q->count];
  ret->id = f.id;
  ret->error = begin (q->sim, q->boot, SIM_READ);
  if (ret->error == 0 &&
      (f.offset > now->size || f.len > now->size - f.offset))
    ret->error = EIO;
  if (ret->error == 0)
    sim_image_read (now, (void *) f.buf, f.len, f.offset);
}

static void
complete (struct io_queue *q, unsigned i, struct io_completion *ret)
{
  struct sim *sim = q->sim;
  struct flight f = q->flight[i];
  bool is_on;
  int e;

  if (f.change == NULL) {
    complete_read (q, i, ret);
    return;
  }
  e = begin (sim, q->boot, SIM_QUEUE);         /* may crash: then in flight */
  is_on = !sim->is_off && q->boot == sim->boot;
  q->flight[i] = q->flight[--q->count];
  if (is_on)
    assert (memcmp (f.buf, f.change->data, f.change->len) == 0);
  if (e == 0) {
    sim_image_write (&q->node->now, f.change->data, f.change->len,
                     f.change->offset);
    sim_image_write (&q->node->medium, f.change->data, f.change->len,
                     f.change->offset);
  }
  else if (is_on) {
    arrive (&q->node->now, f.change, EACH_SECTOR, &sim->rng);
    arrive (&q->node->medium, f.change, EACH_SECTOR, &sim->rng);
  }
  free (f.change);
  ret->id = f.id;
  ret->error = e;
}

static int
sim_queue_wait (struct io_queue *q, bool wait, struct io_completion *ret,
                unsigned max)
{
  struct sim *sim = q->sim;
  unsigned n = 0, want;
  LOCK (sim);

  write_back_some (sim);
  if (q->count == 0 || max == 0)
    return 0;
  want = next_random (&sim->rng) % (q->count + 1);
  if (want == 0 && (wait || sim->is_off))
    want = 1;
  while (n < want && n < max) {
    complete (q, next_random (&sim->rng) % q->count, &ret[n]);
    n++;
  }
  return n;
}

static void
sim_queue_close (struct io_queue *q)
{
  struct io_completion c;
  struct io_queue **p;

  if (q == NULL)
    return;
  {
    LOCK (q->sim);
    while (q->count > 0)
      complete (q, 0, &c);
    for (p = &q->sim->queues; *p != q; p = &(*p)->next)
      ;
    *p = q->next;
  }
  free (q->flight);
  free (q);
}

/* ------------------------------------------------------------------ */
/* The test's side.                                                    */

struct sim *
sim_new (uint64_t seed)
{
  struct sim *sim = must (calloc (1, sizeof *sim));

  pthread_mutex_init (&sim->lock, NULL);
  sim->rng = seed;
  sim->io = (struct volume_io) {
    .opaque = sim,
    .dir_create = sim_dir_create, .dir_remove = sim_dir_remove,
    .dir_open = sim_dir_open, .dir_sync = sim_dir_sync,
    .dir_close = sim_dir_close, .unlink = sim_unlink,
    .open = sim_open, .close = sim_close,
    .size = sim_size, .resize = sim_resize,
    .reserve = sim_reserve, .zero_fill = sim_zero_fill,
    .punch = sim_punch, .prefetch = sim_prefetch,
    .warm = sim_prefetch,
    .read = sim_read, .read_medium = sim_read,
    .write = sim_write, .sync = sim_sync,
    .map = sim_map, .map_sync = sim_map_sync, .unmap = sim_unmap,
    .queue_open = sim_queue_open, .queue_submit = sim_queue_submit,
    .queue_read = sim_queue_read, .queue_wait = sim_queue_wait,
    .queue_close = sim_queue_close,
  };
  return sim;
}

const struct volume_io *
sim_io (struct sim *sim)
{
  return &sim->io;
}

void
sim_free (struct sim *sim)
{
  if (sim == NULL)
    return;
  assert (sim->queues == NULL);
  free_nodes (sim->nodes);
  pthread_mutex_destroy (&sim->lock);
  free (sim);
}

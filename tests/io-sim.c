/* The disk that loses power (see io-sim.h).
 *
 * A file has two images: now (what reads see) and medium.  A change goes to
 * now at once; how it gets to medium:
 *
 *   write   a pending change is kept; sync carries all of them over
 *   queue   not even in now until it completes, then in both
 *   map     the mapping is memory of its own; map_sync and random write-backs
 *           copy it over
 *
 * Images are sparse: a page that was never written is not there.
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
#include "io-sim.h"

#define PAGE 4096u
#define SECTOR 512u

struct image {
  uint64_t size;
  uint64_t npages;
  uint8_t **page;
};

struct change {
  struct change *next;
  uint64_t offset;
  size_t len;
  uint8_t data[];
};

struct node {
  struct node *next;
  char *dir, *name;            /* name NULL: the directory itself */
  bool exists, exists_on_medium;
  struct image now, medium;
  struct change *changes, **changes_end;
  bool is_locked;
  uint8_t *map;
  uint64_t map_len;
};

struct io_dir {
  struct sim *sim;
  unsigned boot;
  char *path;
};

struct io_file {
  struct sim *sim;
  struct node *node;
  unsigned boot;
  bool is_locked;
};

struct flight {
  uint64_t id;
  const void *buf;
  struct change *change;       /* NULL: a read of len bytes at offset */
  size_t len;
  uint64_t offset;
};

struct io_queue {
  struct io_queue *next;
  struct sim *sim;
  struct node *node;
  unsigned boot, depth, count;
  struct flight *flight;
};

struct sim {
  struct volume_io io;
  pthread_mutex_t lock;        /* everything */
  uint64_t rng;
  unsigned boot;               /* handles of an earlier one are dead */
  bool is_off;
  struct node *nodes;
  struct io_queue *queues;

  bool crash_armed;
  uint64_t crash_after, crash_seed;

  unsigned fail_kinds;
  uint64_t fail_after;
  int fail_errnum;
  bool fail_sticky;
  uint64_t count[8];
};

#define LOCK(sim) ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&(sim)->lock)

static uint64_t
next_random (uint64_t *rng)
{
  uint64_t z = *rng += UINT64_C (0x9e3779b97f4a7c15);

  z = (z ^ z >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C (0x94d049bb133111eb);
  return z ^ z >> 31;
}

static void *
must (void *p)
{
  assert (p != NULL);
  return p;
}

/* ------------------------------------------------------------------ */
/* Images.                                                             */

static uint8_t *
image_page (struct image *image, uint64_t i, bool make)
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

static void
image_write (struct image *image, const uint8_t *data, size_t len,
             uint64_t offset)
{
  size_t at, n;

  if (offset + len > image->size)
    image->size = offset + len;
  for (; len > 0; data += n, offset += n, len -= n) {
    at = offset % PAGE;
    n = len < PAGE - at ? len : PAGE - at;
    memcpy (image_page (image, offset / PAGE, true) + at, data, n);
  }
}

static void
image_read (struct image *image, uint8_t *data, size_t len, uint64_t offset)
{
  const uint8_t *page;
  size_t at, n;

  for (; len > 0; data += n, offset += n, len -= n) {
    at = offset % PAGE;
    n = len < PAGE - at ? len : PAGE - at;
    page = image_page (image, offset / PAGE, false);
    if (page)
      memcpy (data, page + at, n);
    else
      memset (data, 0, n);
  }
}

/* Whole pages only; what is beyond the end is given up. */
static void
image_zero (struct image *image, uint64_t offset, uint64_t len)
{
  uint64_t i;

  for (i = offset / PAGE; i < (offset + len) / PAGE && i < image->npages;
       ++i) {
    free (image->page[i]);
    image->page[i] = NULL;
  }
}

static void
image_resize (struct image *image, uint64_t size)
{
  uint64_t end = (size + PAGE - 1) / PAGE * PAGE;
  uint8_t *page;

  if (size < image->size) {
    if (image->npages * PAGE > end)
      image_zero (image, end, image->npages * PAGE - end);
    page = image_page (image, size / PAGE, false);
    if (page && size % PAGE != 0)
      memset (page + size % PAGE, 0, PAGE - size % PAGE);
  }
  image->size = size;
}

static void
image_release (struct image *image)
{
  image_zero (image, 0, image->npages * PAGE);
  free (image->page);
  memset (image, 0, sizeof *image);
}

static void
image_copy (struct image *to, const struct image *from)
{
  uint64_t i;

  image_release (to);
  to->size = from->size;
  for (i = 0; i < from->npages; ++i)
    if (from->page[i])
      memcpy (image_page (to, i, true), from->page[i], PAGE);
}

/* ------------------------------------------------------------------ */
/* Nodes and failures.                                                 */

static struct node *
find_node (struct sim *sim, const char *dir, const char *name)
{
  struct node *n;

  for (n = sim->nodes; n; n = n->next)
    if (strcmp (n->dir, dir) == 0 &&
        (name ? n->name && strcmp (n->name, name) == 0 : n->name == NULL))
      return n;
  return NULL;
}

static struct node *
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

static void
drop_changes (struct node *n)
{
  struct change *c;

  while ((c = n->changes) != NULL) {
    n->changes = c->next;
    free (c);
  }
  n->changes_end = &n->changes;
}

static void
release_map (struct node *n)
{
  if (n->map)
    munmap (n->map, n->map_len);
  n->map = NULL;
}

static void crash_locked (struct sim *sim, uint64_t seed);

/* Is the power on for a handle of BOOT? */
static bool
has_power (struct sim *sim, unsigned boot)
{
  if (sim->is_off || boot != sim->boot)
    return false;
  if (sim->crash_armed && sim->crash_after-- == 0) {
    crash_locked (sim, sim->crash_seed);
    return false;
  }
  return true;
}

/* Is the power on, and is this operation to fail?  Returns 0 or a positive
 * errno.
 */
static int
begin (struct sim *sim, unsigned boot, unsigned kind)
{
  if (!has_power (sim, boot))
    return EIO;
  sim->count[__builtin_ctz (kind)]++;
  if (sim->fail_errnum == 0 || !(sim->fail_kinds & kind))
    return 0;
  if (sim->fail_after > 0) {
    sim->fail_after--;
    return 0;
  }
  kind = sim->fail_errnum;
  if (!sim->fail_sticky)
    sim->fail_errnum = 0;
  return kind;
}

static int
result (int errnum)
{
  if (errnum == 0)
    return 0;
  errno = errnum;
  return -1;
}

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

  if (sim->is_off || dir->boot != sim->boot)
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
    image_release (&n->now);
    image_release (&n->medium);
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
    image_write (&n->now, n->map,
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
    image_resize (&file->node->now, size);
  return result (e);
}

static int
sim_reserve (struct io_file *file, uint64_t offset, uint64_t len)
{
  int e;
  LOCK (file->sim);

  e = begin (file->sim, file->boot, SIM_SPACE);
  if (e == 0 && offset + len > file->node->now.size)
    image_resize (&file->node->now, offset + len);
  return result (e);
}

/* What is read there afterwards is undefined: leave it. */
static int
sim_punch (struct io_file *file, uint64_t offset, uint64_t len)
{
  (void) offset;
  (void) len;
  LOCK (file->sim);

  return result (begin (file->sim, file->boot, SIM_SPACE));
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
  image_zero (&n->now, offset, len);
  image_zero (&n->medium, offset, len);
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
  image_read (&n->now, buf, len, offset);
  if (n->map && offset < n->map_len)
    memcpy (buf, n->map + offset,
            len < n->map_len - offset ? len : n->map_len - offset);
  return 0;
}

static struct change *
new_change (const void *buf, size_t len, uint64_t offset)
{
  struct change *c = must (malloc (sizeof *c + len));

  c->next = NULL;
  c->offset = offset;
  c->len = len;
  memcpy (c->data, buf, len);
  return c;
}

/* Of what was not synced this much arrives: */
enum arrival { NONE, ALL, EACH_SECTOR, EACH_WRITE, A_HEAD, A_TAIL, ARRIVALS };

static void
arrive (struct image *image, const struct change *c, enum arrival how,
        uint64_t *rng)
{
  uint64_t i, cut, sectors = c->len / SECTOR;

  if (how == EACH_WRITE)
    how = next_random (rng) % 2 ? ALL : NONE;
  cut = next_random (rng) % (sectors + 1);
  for (i = 0; i < sectors; ++i)
    if (how == ALL || (how == EACH_SECTOR && next_random (rng) % 2) ||
        (how == A_HEAD && i < cut) || (how == A_TAIL && i >= cut))
      image_write (image, c->data + i * SECTOR, SECTOR,
                   c->offset + i * SECTOR);
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
  image_write (&n->now, buf, len, offset);
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
    image_write (&n->medium, c->data, c->len, c->offset);
  drop_changes (n);
  image_resize (&n->medium, n->now.size);
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
  assert (n->map != MAP_FAILED);
  image_read (&n->now, n->map, len < n->now.size ? len : n->now.size, 0);
  return n->map;
}

/* A page of memory that others may be storing to, in words. */
static void
copy_page (uint8_t *to, const uint8_t *from)
{
  size_t i;

  for (i = 0; i < PAGE / 8; ++i)
    ((uint64_t *) to)[i] = __atomic_load_n ((const uint64_t *) from + i,
                                            __ATOMIC_RELAXED);
}

static void
write_back (struct node *n, uint64_t i)
{
  uint8_t page[PAGE] __attribute__ ((aligned (8)));
  uint64_t end = n->now.size;

  if (i * PAGE >= end)
    return;
  copy_page (page, n->map + i * PAGE);
  image_write (&n->now, page, end - i * PAGE < PAGE ? end - i * PAGE : PAGE,
               i * PAGE);
  image_write (&n->medium, page,
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
    image_read (now, (void *) f.buf, f.len, f.offset);
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
    image_write (&q->node->now, f.change->data, f.change->len,
                 f.change->offset);
    image_write (&q->node->medium, f.change->data, f.change->len,
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
/* The crash.                                                          */

static void
crash_map (struct node *n, uint64_t *rng)
{
  uint8_t page[PAGE] __attribute__ ((aligned (8)));
  uint64_t i, end = n->now.size;
  unsigned s, how;

  for (i = 0; i < n->map_len / PAGE && i * PAGE < end; ++i) {
    copy_page (page, n->map + i * PAGE);
    how = next_random (rng) % 3;
    for (s = 0; s < PAGE / SECTOR; ++s)
      if ((how == 1 || (how == 2 && next_random (rng) % 2)) &&
          i * PAGE + s * SECTOR < end)
        image_write (&n->medium, page + s * SECTOR, SECTOR,
                     i * PAGE + s * SECTOR);
  }
}

static void
crash_node (struct node *n, enum arrival how, uint64_t *rng)
{
  uint64_t size = next_random (rng) % 2 ? n->now.size : n->medium.size;
  struct change *c;

  if (n->exists != n->exists_on_medium)
    n->exists = n->exists_on_medium = next_random (rng) % 2;
  for (c = n->changes; c; c = c->next)
    arrive (&n->medium, c, how, rng);
  drop_changes (n);
  if (n->map)
    crash_map (n, rng);
  if (n->medium.size < size)
    n->medium.size = size;
  n->is_locked = false;
}

static void
crash_locked (struct sim *sim, uint64_t seed)
{
  uint64_t rng = seed;
  enum arrival how = next_random (&rng) % ARRIVALS;
  struct io_queue *q;
  struct node *n;
  unsigned i, k;

  for (q = sim->queues; q; q = q->next)
    for (i = 0, k = q->count; i < k && q->boot == sim->boot; ++i)
      if (q->flight[i].change)
        arrive (&q->node->medium, q->flight[i].change, how, &rng);
  for (n = sim->nodes; n; n = n->next) {
    crash_node (n, how, &rng);
    image_copy (&n->now, &n->medium);
  }
  sim->is_off = true;
  sim->crash_armed = false;
  sim->fail_errnum = 0;
}

void
sim_crash (struct sim *sim, uint64_t seed)
{
  LOCK (sim);

  if (!sim->is_off)
    crash_locked (sim, seed);
}

void
sim_crash_after (struct sim *sim, uint64_t count, uint64_t seed)
{
  LOCK (sim);

  sim->crash_armed = true;
  sim->crash_after = count;
  sim->crash_seed = seed;
}

bool
sim_is_off (struct sim *sim)
{
  LOCK (sim);

  return sim->is_off;
}

void
sim_restart (struct sim *sim)
{
  struct node *n;
  LOCK (sim);

  for (n = sim->nodes; n; n = n->next)
    assert (n->map == NULL);
  sim->is_off = sim->crash_armed = false;
  sim->boot++;
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

static void
free_nodes (struct node *n)
{
  struct node *next;

  for (; n; n = next) {
    next = n->next;
    drop_changes (n);
    release_map (n);
    image_release (&n->now);
    image_release (&n->medium);
    free (n->dir);
    free (n->name);
    free (n);
  }
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

void
sim_fail (struct sim *sim, unsigned kinds, uint64_t count, int errnum,
          bool is_sticky)
{
  LOCK (sim);

  sim->fail_kinds = kinds;
  sim->fail_after = count;
  sim->fail_errnum = errnum;
  sim->fail_sticky = is_sticky;
}

uint64_t
sim_count (struct sim *sim, unsigned kinds)
{
  uint64_t n = 0;
  unsigned i;
  LOCK (sim);

  for (i = 0; i < 8; ++i)
    if (kinds & 1u << i)
      n += sim->count[i];
  return n;
}

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

  image_read (&((struct node *) must (find_node (sim, path, name)))->now,
              buf, len, offset);
}

void
sim_file_write (struct sim *sim, const char *path, const char *name,
                uint64_t offset, const void *buf, size_t len)
{
  struct node *n;
  LOCK (sim);

  n = must (find_node (sim, path, name));
  image_write (&n->now, buf, len, offset);
  image_write (&n->medium, buf, len, offset);
}

void
sim_file_resize (struct sim *sim, const char *path, const char *name,
                 uint64_t size)
{
  struct node *n;
  LOCK (sim);

  n = must (find_node (sim, path, name));
  image_resize (&n->now, size);
  image_resize (&n->medium, size);
}

bool
sim_page_is_used (struct sim *sim, const char *path, const char *name,
                  uint64_t offset)
{
  struct node *n;
  LOCK (sim);

  n = must (find_node (sim, path, name));
  return image_page (&n->now, offset / PAGE, false) != NULL;
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
    image_copy (&n->now, &from->now);
    image_copy (&n->medium, &from->now);
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

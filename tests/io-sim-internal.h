/* What the files of the simulated disk share with each other, and with no one
 * else (see io-sim.h).
 */

#ifndef PAIRDISK_IO_SIM_INTERNAL_H
#define PAIRDISK_IO_SIM_INTERNAL_H

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
  void (*on_crash) (void *opaque);
  bool (*crash_only) (void *opaque);
  void *on_crash_opaque, *crash_only_opaque;

  unsigned fail_kinds;
  uint64_t fail_after;
  int fail_errnum;
  bool fail_sticky;
  uint64_t count[8];
};

#define LOCK(sim) ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&(sim)->lock)

/* --- io-sim-image.c ----------------------------------------------- */

/* The page I of an image; NULL if it is not there and not to be made. */
extern uint8_t *sim_image_page (struct image *image, uint64_t i, bool make);
extern void sim_image_write (struct image *image, const uint8_t *data,
                             size_t len, uint64_t offset);
extern void sim_image_read (struct image *image, uint8_t *data, size_t len,
                            uint64_t offset);
extern void sim_image_zero (struct image *image, uint64_t offset, uint64_t len);
extern void sim_image_resize (struct image *image, uint64_t size);
extern void sim_image_release (struct image *image);
extern void sim_image_copy (struct image *to, const struct image *from);

extern struct node *find_node (struct sim *sim, const char *dir,
                               const char *name);
extern struct node *add_node (struct sim *sim, const char *dir,
                              const char *name);
extern void drop_changes (struct node *n);
extern void release_map (struct node *n);
extern void free_nodes (struct node *n);
extern struct change *new_change (const void *buf, size_t len,
                                  uint64_t offset);
extern void copy_page (uint8_t *to, const uint8_t *from);

/* --- io-sim-fault.c ----------------------------------------------- */

extern bool has_power (struct sim *sim, unsigned boot);
extern int begin (struct sim *sim, unsigned boot, unsigned kind);

/* Of what was not synced this much arrives: */
enum arrival { NONE, ALL, EACH_SECTOR, EACH_WRITE, A_HEAD, A_TAIL, GARBLED,
               ANY, ARRIVALS };

extern void arrive (struct image *image, const struct change *c,
                    enum arrival how, uint64_t *rng);

/* ------------------------------------------------------------------ */

static inline uint64_t
next_random (uint64_t *rng)
{
  uint64_t z = *rng += UINT64_C (0x9e3779b97f4a7c15);

  z = (z ^ z >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C (0x94d049bb133111eb);
  return z ^ z >> 31;
}

static inline void *
must (void *p)
{
  assert (p != NULL);
  return p;
}

static inline int
result (int errnum)
{
  if (errnum == 0)
    return 0;
  errno = errnum;
  return -1;
}

#endif /* PAIRDISK_IO_SIM_INTERNAL_H */

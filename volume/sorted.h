/* Stores of a replay, made in the order of the disk by threads of their own.
 *
 * After small writes all over a large disk a replay is page faults: for each
 * block one in the map and one in the births.  The two tables have nothing to
 * do with each other until somebody reads them, and in the order of the disk
 * neighbours share what a fault has to look up.  So stores are gathered,
 * sorted by place, and made by two threads, one for each table, while the
 * next are gathered.  Those of one block stay in their order.
 *
 * Nobody else reads or stores to the tables between a put and the drain that
 * follows it.  The threads begin when there is enough for them to do.
 */

#ifndef PAIRDISK_VOLUME_SORTED_H
#define PAIRDISK_VOLUME_SORTED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "table.h"

#define SORTED_STORES 65536u     /* gathered before they are made */
#define SORTED_TABLES 2u

/* The birth and the entry of BLOCK; or the entry alone, where ORIGIN stands
 * and if that is not 0.
 */
struct store {
  uint64_t block, birth, entry, origin;
};

struct sorted {
  struct table *map, *births;  /* where they go */
  struct store *gathered, *made;
  unsigned ngathered, nmade, room;

  pthread_mutex_t lock;        /* guards nmade and all below */
  pthread_cond_t changed;
  pthread_t thread[SORTED_TABLES];
  unsigned nthreads;
  bool is_busy[SORTED_TABLES]; /* the thread is to make, or makes, what is
                                  in made */
  bool is_stopping;
};

/* ROOM: SORTED_STORES, or fewer. */
extern int sorted_init (struct sorted *s, unsigned room);

/* To be stored, by the next drain at the latest. */
extern void sorted_put (struct sorted *s, struct table *map,
                        struct table *births, const struct store *store);

/* All that was put is stored now. */
extern void sorted_drain (struct sorted *s);

/* Drain first. */
extern void sorted_release (struct sorted *s);

#endif /* PAIRDISK_VOLUME_SORTED_H */

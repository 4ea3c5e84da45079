/* map.N and births.N: a header page and 8 bytes an entry, memory-mapped.
 *
 * Entries are little-endian and are read and stored atomically, so readers
 * take no lock.  Rule W: an entry is stored only after the record it stands
 * for is durable; then it does not matter when the kernel writes a page back.
 *
 * A table never moves: the mapping reaches as far as the largest disk needs,
 * beyond the end of the file, so that it may grow under its readers.
 */

#ifndef PAIRDISK_VOLUME_TABLE_H
#define PAIRDISK_VOLUME_TABLE_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "io.h"
#include "uuid.h"

struct table {
  const struct volume_io *io;
  struct io_file *file;        /* NULL: not open */
  uint64_t *entry;
  uint64_t count;              /* atomic: it may grow */
  uint64_t room;               /* entries that the mapping reaches to */
};

/* Make the file with COUNT zero entries and space for all of them. */
extern int table_create (const struct volume_io *io, struct io_dir *dir,
                         const char *name, const char *magic, uint64_t count,
                         const struct uuid *uuid, struct error *err);

/* EUCLEAN when header or length are not what they must be. */
extern int table_open (struct table *table, const struct volume_io *io,
                       struct io_dir *dir, const char *name,
                       const char *magic, uint64_t count,
                       const struct uuid *uuid, struct error *err);
extern void table_close (struct table *table);
extern int table_sync (struct table *table);

/* Space for COUNT entries, those after the last being zero: durable, but not
 * yet part of the table, and gone again if it fails.  table_extended: now
 * they are; no table_sync is running.
 */
extern int table_extend (struct table *table, uint64_t count);
extern void table_extended (struct table *table, uint64_t count);

/* Give back what table_extend made. */
extern void table_cut (struct table *table);

/* Some next entries from *I on that may be other than 0, on their way into
 * memory: *I becomes the first, *RET_END what follows the last; *I is the
 * table's end if there are none.
 */
extern void table_next_used (const struct table *table, uint64_t *i,
                             uint64_t *ret_end);

static inline uint64_t
table_count (const struct table *table)
{
  return __atomic_load_n (&table->count, __ATOMIC_ACQUIRE);
}

static inline uint64_t
table_get (const struct table *table, uint64_t i)
{
  return le64toh (__atomic_load_n (&table->entry[i], __ATOMIC_ACQUIRE));
}

/* Store VALUE where EXPECTED stands; false if something else does. */
static inline bool
table_replace (const struct table *table, uint64_t i, uint64_t expected,
               uint64_t value)
{
  uint64_t was = htole64 (expected);

  return __atomic_compare_exchange_n (&table->entry[i], &was,
                                      htole64 (value), false,
                                      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Store VALUE, return what stood there. */
static inline uint64_t
table_exchange (const struct table *table, uint64_t i, uint64_t value)
{
  return le64toh (__atomic_exchange_n (&table->entry[i], htole64 (value),
                                       __ATOMIC_ACQ_REL));
}

static inline void
table_set (struct table *table, uint64_t i, uint64_t value)
{
  __atomic_store_n (&table->entry[i], htole64 (value), __ATOMIC_RELEASE);
}

#endif /* PAIRDISK_VOLUME_TABLE_H */

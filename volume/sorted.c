/* Stores of a replay, in the order of the disk (see sorted.h). */

#include <config.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cleanup.h"
#include "format.h"
#include "sorted.h"

#define PLACES 8192u             /* that are told apart when sorting */
#define STEP 64u                 /* stores between two looks at faults */
#define AHEAD 256u               /* stores whose pages are being read */

int
sorted_init (struct sorted *s, unsigned room)
{
  memset (s, 0, sizeof *s);
  s->room = room;
  s->gathered = malloc (2 * (size_t) room * sizeof *s->gathered);
  if (s->gathered == NULL)
    return -1;
  s->made = s->gathered + room;
  pthread_mutex_init (&s->lock, NULL);
  pthread_cond_init (&s->changed, NULL);
  return 0;
}

/* By place, those of one place as they came: from gathered to made. */
static void
sort (struct sorted *s)
{
  uint32_t end[PLACES] = { 0 }, sum = 0, n;
  unsigned shift = 0, i;

  while (table_count (s->map) >> shift > PLACES - 1)
    ++shift;
  for (i = 0; i < s->ngathered; ++i)
    end[s->gathered[i].block >> shift]++;
  for (i = 0; i < PLACES; ++i) {
    n = end[i];
    end[i] = sum;
    sum += n;
  }
  for (i = 0; i < s->ngathered; ++i)
    s->made[end[s->gathered[i].block >> shift]++] = s->gathered[i];
  s->nmade = s->ngathered;
  s->ngathered = 0;
}

/* How far a thread is with a table. */
struct making {
  const struct sorted *s;
  const struct table *table;
  unsigned i;                  /* the next store */
  unsigned asked;              /* the pages of those below are asked for */
  uint64_t page;               /* the last one that was */
  bool is_cold;                /* they are not in memory */
  long faults;                 /* at the last look */
};

/* That this thread had to wait for the medium for. */
static long
major_faults (void)
{
  struct rusage usage;

  return getrusage (RUSAGE_THREAD, &usage) == 0 ? usage.ru_majflt : 0;
}

static struct making
making_start (const struct sorted *s, const struct table *table)
{
  return (struct making) { .s = s, .table = table,
                           .faults = major_faults () };
}

/* After power failed the tables are not in memory, and one page after the
 * other takes long.
 */
static void
read_ahead (struct making *m)
{
  uint64_t page;
  long faults;

  if (!m->is_cold) {
    faults = major_faults ();
    m->is_cold = faults - m->faults > (long) STEP / 8;
    m->faults = faults;
  }
  if (!m->is_cold)
    return;
  if (m->asked < m->i)
    m->asked = m->i;
  for (; m->asked < m->s->nmade && m->asked < m->i + AHEAD; ++m->asked) {
    page = 1 + m->s->made[m->asked].block / (FORMAT_PAGE / sizeof (uint64_t));
    if (page != m->page)
      m->table->io->prefetch (m->table->file, page * FORMAT_PAGE,
                              FORMAT_PAGE);
    m->page = page;
  }
}

/* The next one, or NULL. */
static const struct store *
making_next (struct making *m)
{
  if (m->i == m->s->nmade)
    return NULL;
  if (m->i % STEP == 0)
    read_ahead (m);
  return &m->s->made[m->i++];
}

static inline void
store_birth (struct table *births, const struct store *store)
{
  if (store->origin == 0)
    table_set (births, store->block, store->birth);
}

static inline void
store_entry (struct table *map, const struct store *store)
{
  if (store->origin == 0)
    table_set (map, store->block, store->entry);
  else
    table_replace (map, store->block, store->origin, store->entry);
}

/* Inline, so that it calls nothing for each store. */
static inline void __attribute__ ((always_inline))
make_stores (const struct sorted *s, struct table *table,
             void (*store_in) (struct table *, const struct store *))
{
  struct making m = making_start (s, table);
  const struct store *store;

  while ((store = making_next (&m)) != NULL)
    store_in (table, store);
}

static void
make_births (const struct sorted *s)
{
  make_stores (s, s->births, store_birth);
}

static void
make_entries (const struct sorted *s)
{
  make_stores (s, s->map, store_entry);
}

static bool
is_busy_locked (const struct sorted *s)
{
  return s->is_busy[0] || s->is_busy[1];
}

static void
run (struct sorted *s, unsigned which, void (*make) (const struct sorted *s))
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  while (!s->is_stopping) {
    if (!s->is_busy[which]) {
      pthread_cond_wait (&s->changed, &s->lock);
      continue;
    }
    pthread_mutex_unlock (&s->lock);
    make (s);
    pthread_mutex_lock (&s->lock);
    s->is_busy[which] = false;
    pthread_cond_broadcast (&s->changed);
  }
}

static void *
births_thread (void *sorted)
{
  run (sorted, 0, make_births);
  return NULL;
}

static void *
entries_thread (void *sorted)
{
  run (sorted, 1, make_entries);
  return NULL;
}

/* False: there are not two of them. */
static bool
has_threads (struct sorted *s)
{
  static void *(*const body[SORTED_TABLES]) (void *) = {
    births_thread, entries_thread
  };

  while (s->nthreads < SORTED_TABLES &&
         pthread_create (&s->thread[s->nthreads], NULL, body[s->nthreads],
                         s) == 0)
    s->nthreads++;
  return s->nthreads == SORTED_TABLES;
}

static void
wait_made (struct sorted *s)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  while (is_busy_locked (s))
    pthread_cond_wait (&s->changed, &s->lock);
}

/* Have what is gathered made, or make it. */
static void
hand_over (struct sorted *s, bool by_threads)
{
  wait_made (s);
  sort (s);
  if (!by_threads) {
    make_births (s);
    make_entries (s);
    return;
  }
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);
  s->is_busy[0] = s->is_busy[1] = true;
  pthread_cond_broadcast (&s->changed);
}

void
sorted_put (struct sorted *s, struct table *map, struct table *births,
            const struct store *store)
{
  if (map != s->map) {
    sorted_drain (s);
    s->map = map;
    s->births = births;
  }
  assert (store->block < table_count (map));
  s->gathered[s->ngathered++] = *store;
  if (s->ngathered == s->room)
    hand_over (s, has_threads (s));
}

void
sorted_drain (struct sorted *s)
{
  if (s->ngathered > 0)
    hand_over (s, s->nthreads == SORTED_TABLES);
  wait_made (s);
}

void
sorted_release (struct sorted *s)
{
  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

    s->is_stopping = true;
    pthread_cond_broadcast (&s->changed);
  }
  while (s->nthreads > 0)
    pthread_join (s->thread[--s->nthreads], NULL);
  pthread_cond_destroy (&s->changed);
  pthread_mutex_destroy (&s->lock);
  free (s->gathered);
}

/* The newest birth in each page (see newest.h). */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "fence.h"
#include "volume-internal.h"

#define UNKNOWN UINT64_C (0)
#define COUNTING (UINT64_C (1) << 63)

static size_t
map_size (uint64_t room)
{
  return (room / NEWEST_BLOCKS + 1) * sizeof (uint64_t);
}

int
newest_open (struct newest *n, uint64_t room, struct error *err)
{
  void *page = mmap (NULL, map_size (room), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  if (page == MAP_FAILED)
    return error_set_errno (err, errno, "no memory for the newest births");
  n->page = page;
  n->room = room;
  return 0;
}

void
newest_close (struct newest *n)
{
  if (n->page != NULL)
    munmap (n->page, map_size (n->room));
  n->page = NULL;
}

static uint64_t *
page_of (struct newest *n, uint64_t block)
{
  assert (block <= n->room);
  return &n->page[block / NEWEST_BLOCKS];
}

void
newest_raise (struct newest *n, uint64_t block, uint64_t seq)
{
  uint64_t *page = page_of (n, block);
  uint64_t was, is;

  /* The birth is stored before it is seen that nobody counts. */
  fence (__ATOMIC_SEQ_CST);
  was = __atomic_load_n (page, __ATOMIC_ACQUIRE);
  do {
    if (was == UNKNOWN || (was & ~COUNTING) >= seq + 1)
      return;
    is = (was & COUNTING) | (seq + 1);
  } while (!__atomic_compare_exchange_n (page, &was, is, false,
                                         __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
}

void
newest_forget (struct newest *n, uint64_t block)
{
  __atomic_store_n (page_of (n, block), UNKNOWN, __ATOMIC_RELEASE);
}

void
newest_forget_all (struct newest *n, uint64_t end)
{
  for (uint64_t block = 0; block < end; block += NEWEST_BLOCKS)
    newest_forget (n, block);
}

/* Look at all births of the page.  False: one of them does not agree with the
 * map, because it is damaged or is being stored.
 */
static bool
find_newest (struct volume *v, uint64_t block, uint64_t *ret_seq)
{
  uint64_t end = block + NEWEST_BLOCKS;
  struct version version;

  if (end > volume_blocks (v))
    end = volume_blocks (v);
  for (*ret_seq = 0; block < end; block++) {
    if (!lookup_shown (v, block, &version))
      return false;
    if (version.seq > *ret_seq)
      *ret_seq = version.seq;
  }
  return true;
}

/* Count a page that is not known.  What it is then. */
static uint64_t
count_page (struct volume *v, uint64_t block)
{
  uint64_t *page = page_of (&v->newest, block);
  uint64_t was = UNKNOWN, value, seq;

  if (!__atomic_compare_exchange_n (page, &was, COUNTING, false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
    return was;                /* somebody else does */
  fence (__ATOMIC_SEQ_CST);
  if (!find_newest (v, block, &seq)) {
    newest_forget (&v->newest, block);
    return UNKNOWN;
  }
  was = COUNTING;
  do {
    value = was & ~COUNTING;
    if (value < seq + 1)
      value = seq + 1;
  } while (!__atomic_compare_exchange_n (page, &was, value, false,
                                         __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
  return value;
}

bool
newest_may_be_after (struct volume *v, uint64_t block, uint64_t since)
{
  uint64_t value = __atomic_load_n (page_of (&v->newest, block),
                                    __ATOMIC_ACQUIRE);

  if (value == UNKNOWN)
    value = count_page (v, block);
  return value == UNKNOWN || (value & COUNTING) || value > since + 1;
}

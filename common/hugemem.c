/* Memory in huge pages (see hugemem.h). */

#include <config.h>

#include <errno.h>
#include <sys/mman.h>

#include "hugemem.h"

#define HUGE ((size_t) 2 << 20)

int
hugemem_map (struct hugemem *h, size_t size)
{
  void *mapping;

  if (size > SIZE_MAX - 2 * HUGE) {
    errno = ENOMEM;
    return -1;
  }
  size += HUGE;
  mapping = mmap (NULL, size, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED)
    return -1;
  h->mapping = mapping;
  h->mapped = size;
  h->memory = (uint8_t *) (((uintptr_t) mapping + HUGE - 1) / HUGE * HUGE);
  madvise (mapping, size, MADV_HUGEPAGE);   /* or small ones */
  return 0;
}

void
hugemem_unmap (struct hugemem *h)
{
  if (h->mapping)
    munmap (h->mapping, h->mapped);
  *h = (struct hugemem) { .mapping = NULL };
}

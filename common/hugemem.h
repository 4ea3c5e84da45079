/* Memory for a device to read and write: in huge pages where there are any.
 *
 * A request of 1 MiB in 256 places of memory can take a device (a virtual
 * one, say) twice or three times as long as one in a single place.
 */

#ifndef PAIRDISK_HUGEMEM_H
#define PAIRDISK_HUGEMEM_H

#include <stddef.h>
#include <stdint.h>

struct hugemem {
  void *mapping;               /* NULL: none */
  size_t mapped;
  uint8_t *memory;             /* zeros, at a multiple of 2 MiB */
};

/* Only what is used of it is taken from the system.  -1: errno. */
extern int hugemem_map (struct hugemem *h, size_t size);

/* Of one that is all zero, or was unmapped: nothing. */
extern void hugemem_unmap (struct hugemem *h);

#endif /* PAIRDISK_HUGEMEM_H */

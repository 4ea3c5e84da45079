/* XXH3, with the widest registers that this machine has: the plain calls of
 * the library use those that all machines of its kind have, at a tenth of the
 * speed on what is longer than a few KiB.  The values are the same.
 */

#ifndef PAIRDISK_HASH_H
#define PAIRDISK_HASH_H

#include <xxhash.h>
#if HAVE_XXH_DISPATCH
#include <xxh_x86dispatch.h>
#endif

#endif /* PAIRDISK_HASH_H */

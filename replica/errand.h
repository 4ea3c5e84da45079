/* A connection of its own to the peer's export, for pages only: made when it
 * is needed, dropped when it fails or is not needed any more.
 *
 * One thread uses it; errand_stop may come from any.
 */

#ifndef PAIRDISK_ERRAND_H
#define PAIRDISK_ERRAND_H

#include <stdint.h>

#include "replica.h"
#include "wire-proof.h"

/* Copied. */
struct errand_config {
  const char *uri;               /* of the peer's instance */
  struct uuid pair;
  uint8_t secret[REPLICA_SECRET_SIZE];
  struct replica_options options;
  unsigned page_ms;              /* connecting, and each page: at most */
};

struct errand;

extern struct errand *errand_new (const struct errand_config *config,
                                  struct error *err);
extern void errand_free (struct errand *e);

/* End what is under way, and let all that follows fail with ECANCELED. */
extern void errand_stop (struct errand *e);

/* Connect if there is no connection, and read or write a page.  On failure
 * the connection is dropped.
 */
extern int errand_read (struct errand *e, uint64_t offset, void *page,
                        struct error *err);
extern int errand_write (struct errand *e, uint64_t offset, const void *page,
                         struct error *err);

/* Connect if need be: the keys that pages of this connection prove. */
extern const struct wire_keys *errand_keys (struct errand *e,
                                            struct error *err);

extern void errand_drop (struct errand *e);

#endif /* PAIRDISK_ERRAND_H */

/* HELLO and AUTH on the connection of LINK that pages go through: who answers
 * speaks this protocol and is of this pair, and is told that this side has
 * the secret.  That the peer has it, too, shows in the next page that it
 * proves (STATUS, WANTED, UNIT, SUMS).
 */

#ifndef PAIRDISK_HANDSHAKE_H
#define PAIRDISK_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "link.h"
#include "wire.h"

/* Fills KEYS for this connection.  -1: RET_IS_REFUSED tells whether trying
 * again is of no use as things are.
 */
extern int handshake (struct link *l, const struct uuid *pair,
                      const uint8_t secret[REPLICA_SECRET_SIZE],
                      struct wire_keys *keys, bool *ret_is_refused,
                      struct error *err);

#endif /* PAIRDISK_HANDSHAKE_H */

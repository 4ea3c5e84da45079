/* Pages for repair and verification (docs/design/replica-protocol.md):
 *
 *   WANTED  what is damaged at the secondary, for the primary to give
 *   UNIT    one stored unit; read: from the peer, written: to it
 *   SUMS    what blocks hold at the secondary, as hashes
 *
 * Pure, as wire.h.  Such a page is WIRE_PROOF_SIZE bytes:
 *      0  magic, 4: version, 6: type
 *      8  fields
 *   16344  HMAC-SHA256 of the bytes before it
 *   16376  XXH3-64 of the bytes before it
 *
 * A UNIT page proves who sent it.  What is in it is proved by the unit's own
 * hash, by who takes it.
 */

#ifndef PAIRDISK_WIRE_PROOF_H
#define PAIRDISK_WIRE_PROOF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "repair.h"
#include "wire.h"

#define WIRE_PROOF_SIZE 16384u

#define WIRE_WANTED_OFFSET UINT64_C (20480)
/* A page for each block ... */
#define WIRE_UNIT_OFFSET (UINT64_C (1) << 60)
/* ... and one for each block and count of blocks (0: as many as fit). */
#define WIRE_SUMS_OFFSET (UINT64_C (3) << 59)

static inline bool
wire_is_unit_offset (uint64_t offset)
{
  return offset >= WIRE_UNIT_OFFSET && offset < WIRE_SUMS_OFFSET &&
    offset % WIRE_PAGE_SIZE == 0;
}

static inline bool
wire_is_sums_offset (uint64_t offset)
{
  return offset >= WIRE_SUMS_OFFSET && offset < WIRE_CHANGED_OFFSET;
}

struct wire_wanted {
  uint32_t count;
  struct volume_want want[VOLUME_WANTS_MAX];
};

struct wire_unit {
  struct volume_want version;
  uint32_t length;               /* 0: it cannot be given */
  uint8_t unit[VOLUME_UNIT_MAX];
};

struct wire_sums {
  bool is_usable;                /* of a secondary with a copy */
  struct volume_point committed; /* all up to it is in what follows */
  uint64_t from;
  uint32_t count;
  struct volume_sum sum[VOLUME_SUMS_MAX];
};

/* As in wire.h: encoding fills the page, decoding is EBADMSG or EACCES. */
extern void wire_wanted_encode (const struct wire_wanted *wanted,
                                const struct wire_keys *keys, void *page);
extern int wire_wanted_decode (const void *page, const struct wire_keys *keys,
                               struct wire_wanted *ret, struct error *err);
extern void wire_unit_encode (const struct wire_unit *unit,
                              const struct wire_keys *keys, void *page);
extern int wire_unit_decode (const void *page, const struct wire_keys *keys,
                             struct wire_unit *ret, struct error *err);
extern void wire_sums_encode (const struct wire_sums *sums,
                              const struct wire_keys *keys, void *page);
extern int wire_sums_decode (const void *page, const struct wire_keys *keys,
                             struct wire_sums *ret, struct error *err);

/* Print the page; false if it is none of these. */
extern bool wire_proof_dump (const void *page, FILE *fp);

#endif /* PAIRDISK_WIRE_PROOF_H */

/* 128-bit random identifiers (RFC 4122 version 4) as 16 plain bytes. */

#ifndef PAIRDISK_UUID_H
#define PAIRDISK_UUID_H

#include <stdbool.h>
#include <stdint.h>

#define UUID_STRING_SIZE 37     /* with the terminating zero byte */

struct uuid {
  uint8_t byte[16];
};

/* Random version 4 UUID.  Aborts if the kernel has no randomness. */
extern void uuid_generate (struct uuid *ret);

/* Lower-case 8-4-4-4-12 form. */
extern void uuid_format (const struct uuid *uuid, char ret[UUID_STRING_SIZE]);

/* False unless STR is exactly one UUID in the form above (either case). */
extern bool uuid_parse (const char *str, struct uuid *ret);

extern bool uuid_equal (const struct uuid *a, const struct uuid *b);
extern bool uuid_is_null (const struct uuid *uuid);

#endif /* PAIRDISK_UUID_H */

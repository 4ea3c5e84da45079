/* Sizes as people write them: "10G", "512M", "1073741824".
 *
 * Suffixes K M G T P (either case, optional trailing iB) are powers of 1024,
 * as in nbdkit and QEMU.
 */

#ifndef PAIRDISK_SIZE_H
#define PAIRDISK_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIZE_STRING_SIZE 32

/* False for anything but a whole number with at most one suffix that fits
 * in 63 bits.
 */
extern bool size_parse (const char *str, uint64_t *ret);

/* "4.0 GiB", "512 B".  Returns RET. */
extern const char *size_format (uint64_t bytes, char ret[SIZE_STRING_SIZE]);

#endif /* PAIRDISK_SIZE_H */

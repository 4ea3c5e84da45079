/* Randomness, hexadecimal, Base64, and the hashes that peers and clients prove
 * themselves by.
 *
 * The hashes are GnuTLS's; nothing here is a cipher of our own.  SHA-1 is for
 * the signature of old clients only, where it is keyed.
 */

#ifndef PAIRDISK_CRYPTO_H
#define PAIRDISK_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HMAC_SIZE 32            /* bytes of a HMAC-SHA256 */
#define HMAC_SHA1_SIZE 20

/* Fill BUF from the kernel.  Aborts if the kernel has no randomness. */
extern void random_bytes (void *buf, size_t len);

extern uint64_t random_u64 (void);

/* HMAC-SHA256 of DATA with KEY.  Aborts only if the library has no SHA-256. */
extern void hmac_sha256 (const void *key, size_t keylen,
                         const void *data, size_t len,
                         uint8_t ret[HMAC_SIZE]);

extern void hmac_sha1 (const void *key, size_t keylen,
                       const void *data, size_t len,
                       uint8_t ret[HMAC_SHA1_SIZE]);

extern void sha256 (const void *data, size_t len, uint8_t ret[HMAC_SIZE]);

/* LEN bytes in Base64, 4 * ((LEN + 2) / 3) characters and a zero byte. */
extern void base64_encode (const void *data, size_t len, char *ret);

/* Compare secrets in time that does not depend on where they differ. */
extern bool secret_equal (const void *a, const void *b, size_t len);

/* LEN bytes as 2*LEN lower-case digits and a zero byte. */
extern void hex_encode (const void *data, size_t len, char *ret);

/* Decode exactly DIGITS (even) hex digits; false if one is none. */
extern bool hex_decode (const char *hex, size_t digits, void *ret);

#endif /* PAIRDISK_CRYPTO_H */

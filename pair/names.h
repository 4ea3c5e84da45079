/* Values that come in API calls, and the ids we give out.
 *
 * Everything is checked here before it is stored or sent on.  Strings are
 * UTF-8; anything that is not well-formed UTF-8 is refused.  Functions that
 * parse touch *ret only on success.
 */

#ifndef PAIRDISK_PAIR_NAMES_H
#define PAIRDISK_PAIR_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_CHARS_MIN 2
#define NAME_CHARS_MAX 128
#define NAME_SIZE (4 * NAME_CHARS_MAX + 1)      /* bytes, with the zero byte */
#define DESCRIPTION_CHARS_MIN 2
#define DESCRIPTION_CHARS_MAX 256
#define DESCRIPTION_SIZE (4 * DESCRIPTION_CHARS_MAX + 1)
#define TAG_CHARS_MAX 128
#define CLIENT_TOKEN_MAX 64
#define CLIENT_TOKEN_SIZE (CLIENT_TOKEN_MAX + 1)

#define RPO_SECONDS_MIN 1
#define RPO_SECONDS_MAX 86400
#define RPO_SECONDS_DEFAULT 900
#define BANDWIDTH_KBPS_DEFAULT 10240

/* 2 to 128 characters, first a letter (A-Z, a-z or Chinese), then letters,
 * digits, and ':' '_' '.' '-'.
 */
extern bool pair_name_valid (const char *str);
#define PAIR_NAME_RULE "2 to 128 characters, first a letter; letters, " \
  "digits, : _ . -; not http:// or https://"

/* The same without '.'. */
extern bool group_name_valid (const char *str);

/* 2 to 256 characters, not beginning with http:// or https://, and no
 * control characters but tab and new line.
 */
extern bool description_valid (const char *str);

/* 1 to 128 characters, no "http://" or "https://", not beginning with "acs:"
 * or "aliyun".
 */
extern bool tag_key_valid (const char *str);

/* The same, but it may be empty and may begin with "aliyun". */
extern bool tag_value_valid (const char *str);

/* 1 to 64 printable ASCII characters. */
extern bool client_token_valid (const char *str);

enum charge_type {
  CHARGE_TYPE_UNSET = 0,
  CHARGE_POSTPAY,               /* default */
  CHARGE_PREPAY,
};

extern bool charge_type_parse (const char *str, enum charge_type *ret);
extern const char *charge_type_string (enum charge_type type);

/* Whole seconds, 1 to 86400 (the vendor takes only 900). */
extern bool rpo_parse (const char *str, uint32_t *ret);

/* Kbit/s, one of 10240, 20480, 51200, 102400.  With CHARGE_POSTPAY it may
 * also be 0 and *ret is always 0: allocated as needed.
 */
extern bool bandwidth_parse (const char *str, enum charge_type type,
                             uint32_t *ret);

/* Months: 1, 2, 3, 6, 12, 24, 36 or 60. */
extern bool period_parse (const char *str, uint32_t *ret);

/* "Month". */
extern bool period_unit_valid (const char *str);

/* "true" or "false". */
extern bool bool_parse (const char *str, bool *ret);

/* A whole number without sign, blanks or leading "+", at most MAX. */
extern bool uint_parse (const char *str, uint64_t max, uint64_t *ret);

/* X (name, prefix, what).  An id is the prefix and lower-case letters and
 * digits, so no prefix can be taken for another.
 */
#define ID_KINDS(X)                                                     \
  X (PAIR, "pair-cn-", "replication pair")                              \
  X (GROUP, "pg-", "replication pair-consistent group")                 \
  X (DRILL, "drill-", "pair drill")                                     \
  X (GROUP_DRILL, "pg-drill-", "group drill")                           \
  X (DISK, "d-", "disk")

enum id_kind {
  ID_UNSET = 0,
#define X(name, prefix, what) ID_##name,
  ID_KINDS (X)
#undef X
  ID_KIND_COUNT
};

#define ID_RANDOM_SIZE 16       /* bytes of randomness one id is made from */
#define ID_BODY_CHARS 12        /* characters after the prefix of our ids */
#define ID_SIZE 48              /* buffer for any id, with the zero byte */

/* A new id from random bytes of the caller.  Returns RET. */
extern const char *id_make (enum id_kind kind,
                            const uint8_t random[ID_RANDOM_SIZE],
                            char ret[ID_SIZE]);

/* Which kind of id is this?  ID_UNSET if none: wrong prefix, wrong
 * characters, fewer than 4 or more than 32 after the prefix.
 */
extern enum id_kind id_parse (const char *str);

extern bool id_valid (const char *str, enum id_kind kind);

#endif /* PAIRDISK_PAIR_NAMES_H */

/* Values that come in API calls, and ids (see names.h). */

#include <config.h>

#include <stdio.h>
#include <string.h>

#include "names.h"

static bool
is_ascii_letter (uint32_t c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit (uint32_t c)
{
  return c >= '0' && c <= '9';
}

/* Chinese: the unified ideographs, their extensions and the compatibility
 * forms of Unicode.
 */
static bool
is_letter (uint32_t c)
{
  return is_ascii_letter (c) ||
    (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x4e00 && c <= 0x9fff) ||
    (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x323af);
}

/* Decode one character at P.  Returns its length, 0 if it is not well-formed
 * (cut short, overlong, surrogate, beyond Unicode).
 */
static unsigned
utf8_decode (const char *p, uint32_t *ret)
{
  static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
  uint8_t first = *p;
  unsigned len = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  uint32_t c;
  unsigned i;

  if (first < 0x80) {
    *ret = first;
    return 1;
  }
  if (first < 0xc2 || first > 0xf4)
    return 0;
  c = first & (0xff >> (len + 1));
  for (i = 1; i < len; ++i) {
    if (((uint8_t) p[i] & 0xc0) != 0x80)        /* also at the zero byte */
      return 0;
    c = c << 6 | ((uint8_t) p[i] & 0x3f);
  }
  if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
    return 0;
  *ret = c;
  return len;
}

static bool
is_name_char (uint32_t c)
{
  return is_letter (c) || is_digit (c) ||
    c == ':' || c == '_' || c == '.' || c == '-';
}

static bool
is_text_char (uint32_t c)
{
  return (c >= 0x20 || c == '\t' || c == '\n') && c != 0x7f;
}

/* MIN to MAX characters, all of which IS_ALLOWED. */
static bool
check_text (const char *str, unsigned min, unsigned max,
            bool (*is_allowed) (uint32_t c))
{
  unsigned chars = 0;

  while (*str) {
    uint32_t c;
    unsigned len = utf8_decode (str, &c);

    if (len == 0 || !is_allowed (c) || ++chars > max)
      return false;
    str += len;
  }
  return chars >= min;
}

bool
pair_name_valid (const char *str)
{
  uint32_t first;

  /* "http://" needs no check of its own: '/' is in no name. */
  return utf8_decode (str, &first) > 0 && is_letter (first) &&
    check_text (str, NAME_CHARS_MIN, NAME_CHARS_MAX, is_name_char);
}

bool
group_name_valid (const char *str)
{
  return pair_name_valid (str) && strchr (str, '.') == NULL;
}

bool
description_valid (const char *str)
{
  return strncmp (str, "http://", 7) != 0 &&
    strncmp (str, "https://", 8) != 0 &&
    check_text (str, DESCRIPTION_CHARS_MIN, DESCRIPTION_CHARS_MAX,
                is_text_char);
}

bool
tag_value_valid (const char *str)
{
  return strncmp (str, "acs:", 4) != 0 && strstr (str, "http://") == NULL &&
    strstr (str, "https://") == NULL &&
    check_text (str, 0, TAG_CHARS_MAX, is_text_char);
}

bool
tag_key_valid (const char *str)
{
  return *str && strncmp (str, "aliyun", 6) != 0 && tag_value_valid (str);
}

bool
client_token_valid (const char *str)
{
  size_t i;

  for (i = 0; str[i]; ++i)
    if (i >= CLIENT_TOKEN_MAX || str[i] < 0x20 || str[i] > 0x7e)
      return false;
  return i > 0;
}

bool
uint_parse (const char *str, uint64_t max, uint64_t *ret)
{
  uint64_t value = 0;

  if (*str == '\0')
    return false;
  for (; *str; ++str) {
    unsigned digit = (unsigned) *str - '0';

    if (digit > 9 || value > max / 10 || digit > max - value * 10)
      return false;
    value = value * 10 + digit;
  }
  *ret = value;
  return true;
}

/* A number that is one of LIST[0..N-1]. */
static bool
parse_one_of (const char *str, const uint32_t *list, size_t n, uint32_t *ret)
{
  uint64_t value;
  size_t i;

  if (!uint_parse (str, UINT32_MAX, &value))
    return false;
  for (i = 0; i < n; ++i)
    if (list[i] == value) {
      *ret = value;
      return true;
    }
  return false;
}

#define COUNT(array) (sizeof (array) / sizeof (array)[0])

bool
rpo_parse (const char *str, uint32_t *ret)
{
  uint64_t value;

  if (!uint_parse (str, RPO_SECONDS_MAX, &value) || value < RPO_SECONDS_MIN)
    return false;
  *ret = value;
  return true;
}

bool
bandwidth_parse (const char *str, enum charge_type type, uint32_t *ret)
{
  static const uint32_t list[] = { 10240, 20480, 51200, 102400, 0 };
  uint32_t value;

  if (!parse_one_of (str, list, COUNT (list), &value))
    return false;
  if (type == CHARGE_POSTPAY)
    value = 0;
  else if (value == 0)
    return false;
  *ret = value;
  return true;
}

bool
period_parse (const char *str, uint32_t *ret)
{
  static const uint32_t list[] = { 1, 2, 3, 6, 12, 24, 36, 60 };

  return parse_one_of (str, list, COUNT (list), ret);
}

bool
period_unit_valid (const char *str)
{
  return strcmp (str, "Month") == 0;
}

bool
bool_parse (const char *str, bool *ret)
{
  bool is_true = strcmp (str, "true") == 0;

  if (!is_true && strcmp (str, "false") != 0)
    return false;
  *ret = is_true;
  return true;
}

bool
charge_type_parse (const char *str, enum charge_type *ret)
{
  if (strcmp (str, "POSTPAY") == 0)
    *ret = CHARGE_POSTPAY;
  else if (strcmp (str, "PREPAY") == 0)
    *ret = CHARGE_PREPAY;
  else
    return false;
  return true;
}

const char *
charge_type_string (enum charge_type type)
{
  return type == CHARGE_PREPAY ? "PREPAY"
    : type == CHARGE_POSTPAY ? "POSTPAY" : "unset";
}

static const char *const id_prefixes[ID_KIND_COUNT] = {
  "",
#define X(name, prefix, what) prefix,
  ID_KINDS (X)
#undef X
};

const char *
id_make (enum id_kind kind, const uint8_t random[ID_RANDOM_SIZE],
         char ret[ID_SIZE])
{
  static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  unsigned __int128 value = 0;
  char *p;
  unsigned i;

  /* 128 random bits make 62 bits of id: no character is likelier than
   * another by more than 2^-64.
   */
  for (i = 0; i < ID_RANDOM_SIZE; ++i)
    value = value << 8 | random[i];

  p = stpcpy (ret, id_prefixes[(unsigned) kind < ID_KIND_COUNT ? kind : 0]);
  for (i = 0; i < ID_BODY_CHARS; ++i) {
    *p++ = digits[value % 36];
    value /= 36;
  }
  *p = '\0';
  return ret;
}

static bool
id_body_valid (const char *str)
{
  size_t i;

  for (i = 0; str[i]; ++i)
    if (i >= 32 || !(is_digit (str[i]) || (str[i] >= 'a' && str[i] <= 'z')))
      return false;
  return i >= 4;
}

enum id_kind
id_parse (const char *str)
{
  unsigned i;

  for (i = ID_UNSET + 1; i < ID_KIND_COUNT; ++i) {
    size_t len = strlen (id_prefixes[i]);

    if (strncmp (str, id_prefixes[i], len) == 0 && id_body_valid (str + len))
      return i;
  }
  return ID_UNSET;
}

bool
id_valid (const char *str, enum id_kind kind)
{
  return kind != ID_UNSET && id_parse (str) == kind;
}

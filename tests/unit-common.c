/* Unit tests of common/: errors, identifiers, sizes, secrets, files. */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "crypto.h"
#include "error.h"
#include "fileio.h"
#include "size.h"
#include "uuid.h"

/* ---- error ---- */

static void
error_carries_message_and_errno (void **state)
{
  struct error err = ERROR_INIT;

  (void) state;
  errno = 0;
  assert_int_equal (error_set (&err, EBUSY, "disk '%s' is in use", "a"), -1);
  assert_int_equal (errno, EBUSY);
  assert_int_equal (err.errnum, EBUSY);
  assert_string_equal (err.message, "disk 'a' is in use");
  assert_string_equal (err.hint, "");
}

static void
error_errno_adds_the_reason (void **state)
{
  struct error err = ERROR_INIT;

  (void) state;
  assert_int_equal (error_set_errno (&err, ENOENT, "open %s", "x"), -1);
  assert_string_equal (err.message, "open x: No such file or directory");
}

static void
error_without_struct_still_sets_errno (void **state)
{
  (void) state;
  errno = 0;
  assert_int_equal (error_set (NULL, EIO, "x"), -1);
  assert_int_equal (errno, EIO);
  assert_int_equal (error_set_errno (NULL, ENOSPC, "x"), -1);
  assert_int_equal (errno, ENOSPC);
  assert_int_equal (error_hint (NULL, "x"), -1);
}

static void
error_hint_is_kept_beside_and_cleared_by_the_next (void **state)
{
  struct error err = ERROR_INIT;

  (void) state;
  error_set (&err, EPERM, "no");
  errno = EXDEV;
  assert_int_equal (error_hint (&err, "try %d", 7), -1);
  assert_int_equal (errno, EXDEV);
  assert_string_equal (err.message, "no");
  assert_string_equal (err.hint, "try 7");
  error_set (&err, EPERM, "again");
  assert_string_equal (err.hint, "");
}

static void
error_long_messages_are_cut (void **state)
{
  struct error err;
  char text[2000];

  (void) state;
  memset (text, 'a', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  error_set_errno (&err, EIO, "%s", text);
  assert_int_equal (strlen (err.message), sizeof err.message - 1);
  error_hint (&err, "%s", text);
  assert_int_equal (strlen (err.hint), sizeof err.hint - 1);
}

static void
error_names (void **state)
{
  (void) state;
  assert_string_equal (error_name (ENOSPC), "ENOSPC");
  assert_string_equal (error_name (99999), "EUNKNOWN");
}

/* ---- uuid ---- */

static void
uuid_text_round_trip (void **state)
{
  struct uuid a, b;
  char text[UUID_STRING_SIZE];

  (void) state;
  uuid_generate (&a);
  uuid_format (&a, text);
  assert_int_equal (strlen (text), UUID_STRING_SIZE - 1);
  assert_true (uuid_parse (text, &b));
  assert_true (uuid_equal (&a, &b));
}

static void
uuid_is_random_version_4 (void **state)
{
  struct uuid a, b;
  char text[UUID_STRING_SIZE];

  (void) state;
  uuid_generate (&a);
  uuid_generate (&b);
  assert_false (uuid_equal (&a, &b));
  assert_false (uuid_is_null (&a));
  uuid_format (&a, text);
  assert_int_equal (text[14], '4');
  assert_non_null (strchr ("89ab", text[19]));
}

static void
uuid_known_text (void **state)
{
  struct uuid u, upper, null = { { 0 } };
  char text[UUID_STRING_SIZE];

  (void) state;
  assert_true (uuid_parse ("00112233-4455-6677-8899-aabbccddeeff", &u));
  assert_int_equal (u.byte[0], 0x00);
  assert_int_equal (u.byte[5], 0x55);
  assert_int_equal (u.byte[15], 0xff);
  assert_true (uuid_parse ("00112233-4455-6677-8899-AABBCCDDEEFF", &upper));
  assert_true (uuid_equal (&u, &upper));
  uuid_format (&upper, text);
  assert_string_equal (text, "00112233-4455-6677-8899-aabbccddeeff");
  assert_true (uuid_is_null (&null));
}

static void
uuid_refuses_everything_else (void **state)
{
  static const char *const bad[] = {
    "",
    "-",
    "00112233-4455-6677-8899-aabbccddeef",
    "00112233-4455-6677-8899-aabbccddeefff",
    "00112233-4455-6677-8899-aabbccddeefg",
    "0011223344556677-8899-aabbccddeeff--",
    "00112233_4455_6677_8899_aabbccddeeff",
    " 0112233-4455-6677-8899-aabbccddeeff",
  };
  struct uuid u, before;
  size_t i;

  (void) state;
  memset (&u, 0x5a, sizeof u);
  before = u;
  for (i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
    assert_false (uuid_parse (bad[i], &u));
    assert_true (uuid_equal (&u, &before));
  }
}

/* ---- size ---- */

static void
size_parses_what_people_write (void **state)
{
  static const struct { const char *text; uint64_t value; } good[] = {
    { "0", 0 },
    { "1", 1 },
    { "1073741824", UINT64_C (1) << 30 },
    { "512M", UINT64_C (512) << 20 },
    { "512m", UINT64_C (512) << 20 },
    { "10G", UINT64_C (10) << 30 },
    { "10GiB", UINT64_C (10) << 30 },
    { "10GB", UINT64_C (10) << 30 },
    { "4K", 4096 },
    { "2T", UINT64_C (2) << 40 },
    { "3P", UINT64_C (3) << 50 },
    { "8191P", UINT64_C (8191) << 50 },
  };
  uint64_t v;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof good / sizeof good[0]; ++i) {
    assert_true (size_parse (good[i].text, &v));
    assert_int_equal (v, good[i].value);
  }
}

static void
size_refuses_everything_else (void **state)
{
  static const char *const bad[] = {
    "", " ", "-1", "+1", "G", "1.5G", "1 G", "1X", "1GG", "1Gi", "1GiBx",
    "0x10", "8192P", "9223372036854775808", "18446744073709551616",
    "99999999999999999999999",
  };
  uint64_t v = 77;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
    if (size_parse (bad[i], &v))
      fail_msg ("\"%s\" was taken for a size", bad[i]);
    assert_int_equal (v, 77);
  }
}

static void
size_formats_for_reading (void **state)
{
  char s[SIZE_STRING_SIZE];

  (void) state;
  assert_string_equal (size_format (0, s), "0 B");
  assert_string_equal (size_format (1023, s), "1023 B");
  assert_string_equal (size_format (1024, s), "1.0 KiB");
  assert_string_equal (size_format (UINT64_C (5) << 29, s), "2.5 GiB");
  assert_string_equal (size_format (UINT64_C (4) << 50, s), "4.0 PiB");
  assert_string_equal (size_format (UINT64_MAX, s), "16384.0 PiB");
}

/* ---- crypto ---- */

static void
random_bytes_differ (void **state)
{
  uint8_t a[64], b[64];

  (void) state;
  random_bytes (a, sizeof a);
  random_bytes (b, sizeof b);
  assert_memory_not_equal (a, b, sizeof a);
  assert_true (random_u64 () != random_u64 ());
}

/* RFC 4231, test case 2. */
static void
hmac_matches_the_rfc (void **state)
{
  static const char data[] = "what do ya want for nothing?";
  uint8_t mac[HMAC_SIZE];
  char hex[2 * HMAC_SIZE + 1];

  (void) state;
  hmac_sha256 ("Jefe", 4, data, sizeof data - 1, mac);
  hex_encode (mac, sizeof mac, hex);
  assert_string_equal (hex, "5bdcc146bf60754e6a042426089575c7"
                            "5a003f089d2739839dec58b964ec3843");
}

static void
secrets_compare_by_content (void **state)
{
  (void) state;
  assert_true (secret_equal ("", "", 0));
  assert_true (secret_equal ("abcd", "abcd", 4));
  assert_false (secret_equal ("abcd", "abce", 4));
  assert_false (secret_equal ("abcd", "bbcd", 4));
  assert_true (secret_equal ("abcd", "abce", 3));
}

static void
hex_round_trip_and_refusals (void **state)
{
  static const uint8_t data[] = { 0x00, 0x7f, 0xa5, 0xff };
  uint8_t back[4];
  char hex[9];

  (void) state;
  hex_encode (data, sizeof data, hex);
  assert_string_equal (hex, "007fa5ff");
  assert_true (hex_decode ("007FA5fF", 8, back));
  assert_memory_equal (back, data, sizeof data);
  assert_false (hex_decode ("007fa5f", 8, back));
  assert_false (hex_decode ("007fa5fg", 8, back));
  assert_false (hex_decode ("", 2, back));
  assert_true (hex_decode ("", 0, back));
}

/* ---- clock ---- */

static void
clocks_go_forward (void **state)
{
  uint64_t a = clock_mono_ns (), b = clock_mono_ns ();

  (void) state;
  assert_true (b >= a);
  assert_true (clock_wall_ns () > UINT64_C (1500000000) * NS_PER_SEC);
}

/* ---- fileio: each test gets an empty directory, *STATE is its fd ---- */

struct dir {
  char path[64];
  int fd;
};

static int
dir_setup (void **state)
{
  struct dir *d = malloc (sizeof *d);

  if (d == NULL)
    return -1;
  strcpy (d->path, "/tmp/pairdisk-unit-XXXXXX");
  if (mkdtemp (d->path) == NULL)
    return -1;
  d->fd = open (d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  *state = d;
  return d->fd == -1 ? -1 : 0;
}

static int
dir_teardown (void **state)
{
  struct dir *d = *state;

  unlinkat (d->fd, "f", 0);
  unlinkat (d->fd, "f.new", 0);
  close (d->fd);
  rmdir (d->path);
  free (d);
  return 0;
}

static void
replaced_file_has_the_new_content (void **state)
{
  struct dir *d = *state;
  CLEANUP_FREE char *text = NULL;
  struct stat st;
  size_t len;

  assert_int_equal (file_replace (d->fd, "f", "old content", 11, 0600), 0);
  assert_int_equal (file_replace (d->fd, "f", "new", 3, 0600), 0);
  text = file_read (d->fd, "f", 100, &len);
  assert_non_null (text);
  assert_int_equal (len, 3);
  assert_string_equal (text, "new");
  assert_int_equal (fstatat (d->fd, "f", &st, 0), 0);
  assert_int_equal (st.st_mode & 0777, 0600);
  assert_int_equal (faccessat (d->fd, "f.new", F_OK, 0), -1);
}

/* A crash between writing and renaming leaves f.new behind. */
static void
replace_survives_a_leftover (void **state)
{
  struct dir *d = *state;
  CLEANUP_FREE char *text = NULL;
  int fd;

  fd = openat (d->fd, "f.new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  assert_int_not_equal (fd, -1);
  close (fd);
  assert_int_equal (file_replace (d->fd, "f", "x", 1, 0600), 0);
  text = file_read (d->fd, "f", 1, NULL);
  assert_non_null (text);
  assert_string_equal (text, "x");
}

static void
replace_refuses_names_too_long (void **state)
{
  struct dir *d = *state;
  char name[300];

  memset (name, 'n', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  errno = 0;
  assert_int_equal (file_replace (d->fd, name, "x", 1, 0600), -1);
  assert_int_equal (errno, ENAMETOOLONG);
}

static void
read_is_bounded (void **state)
{
  struct dir *d = *state;

  errno = 0;
  assert_null (file_read (d->fd, "f", 100, NULL));
  assert_int_equal (errno, ENOENT);
  assert_int_equal (file_replace (d->fd, "f", "12345", 5, 0600), 0);
  errno = 0;
  assert_null (file_read (d->fd, "f", 4, NULL));
  assert_int_equal (errno, EFBIG);
}

static void
whole_reads_and_writes (void **state)
{
  struct dir *d = *state;
  CLEANUP_CLOSE int fd = -1;
  char buf[8] = "";

  fd = openat (d->fd, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  assert_int_not_equal (fd, -1);
  assert_int_equal (write_full (fd, "abcdef", 6), 0);
  assert_int_equal (pwrite_full (fd, "XY", 2, 2), 0);
  assert_int_equal (pread_full (fd, buf, 6, 0), 0);
  assert_string_equal (buf, "abXYef");
  errno = 0;
  assert_int_equal (pread_full (fd, buf, 6, 1), -1);
  assert_int_equal (errno, EIO);
  assert_int_equal (dir_sync (d->fd), 0);
}

#define file_test(name) \
  cmocka_unit_test_setup_teardown (name, dir_setup, dir_teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (error_carries_message_and_errno),
    cmocka_unit_test (error_errno_adds_the_reason),
    cmocka_unit_test (error_without_struct_still_sets_errno),
    cmocka_unit_test (error_hint_is_kept_beside_and_cleared_by_the_next),
    cmocka_unit_test (error_long_messages_are_cut),
    cmocka_unit_test (error_names),
    cmocka_unit_test (uuid_text_round_trip),
    cmocka_unit_test (uuid_is_random_version_4),
    cmocka_unit_test (uuid_known_text),
    cmocka_unit_test (uuid_refuses_everything_else),
    cmocka_unit_test (size_parses_what_people_write),
    cmocka_unit_test (size_refuses_everything_else),
    cmocka_unit_test (size_formats_for_reading),
    cmocka_unit_test (random_bytes_differ),
    cmocka_unit_test (hmac_matches_the_rfc),
    cmocka_unit_test (secrets_compare_by_content),
    cmocka_unit_test (hex_round_trip_and_refusals),
    cmocka_unit_test (clocks_go_forward),
    file_test (replaced_file_has_the_new_content),
    file_test (replace_survives_a_leftover),
    file_test (replace_refuses_names_too_long),
    file_test (read_is_bounded),
    file_test (whole_reads_and_writes),
  };

  return cmocka_run_group_tests_name ("common", tests, NULL, NULL);
}

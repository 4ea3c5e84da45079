/* Tests of plugin/statefile.h and of the four files of state on it: golden
 * text, what is stored is loaded, and whatever else is in a file is either
 * refused or the very same values.
 *
 * data/plugin-statefiles.txt is the files as released.  When it changes on
 * purpose, count up the file's version and run this with
 * PAIRDISK_GOLDEN=write.
 */

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
#include "fileio.h"
#include "golden.h"
#include "linkfile.h"
#include "scrubfile.h"
#include "statefile.h"
#include "syncfile.h"
#include "verifyfile.h"

static char dir[] = "/tmp/unit-plugin-statefile.XXXXXX";
static int dirfd = -1;
static struct error err;

/* What a load says. */
enum answer { NONE, SAME, OTHER, REFUSED };

/* ------------------------------------------------------------------ */
/* A value of each, no two members alike.                               */

static const struct linkfile link_sample = {
  .is_set = true,
  .pair.byte = { 0x11, 0x22, 0x33, [15] = 0xff },
  .secret = { 0xab, 0xcd, [31] = 0xef },
  .uri = "nbds://b.example:10809/d?x=\"\xc3\xa4\\",
  .is_on = true,
  .is_oneshot = false,
  .mode = { .is_sync = true, .suspends = false, .proof_ms = 12000 },
  .interval_seconds = 77,
  .options = { .psk_file = "/etc/psk", .username = "somebody",
               .dead_seconds = 9, .connections = 3, .limit_bps = 1000000 },
  .accepts = true,
  .promoted_fence = 5,
  .promoted_point = { 0xfedcba9876543210, 1001, 1002, 1003 },
  .promoted_loss = { 21, 22, 0.1, 1.0 / 3, true, SYNC_UNKNOWN_LAPSED },
};

static bool
link_equal (const struct linkfile *a, const struct linkfile *b)
{
  const struct replica_options *o = &a->options, *p = &b->options;
  const struct link_loss *l = &a->promoted_loss, *m = &b->promoted_loss;

  return a->is_set == b->is_set && uuid_equal (&a->pair, &b->pair) &&
    memcmp (a->secret, b->secret, sizeof a->secret) == 0 &&
    strcmp (a->uri, b->uri) == 0 && a->is_on == b->is_on &&
    a->is_oneshot == b->is_oneshot && a->mode.is_sync == b->mode.is_sync &&
    a->mode.suspends == b->mode.suspends &&
    a->mode.proof_ms == b->mode.proof_ms &&
    a->interval_seconds == b->interval_seconds &&
    strcmp (o->certificates, p->certificates) == 0 &&
    strcmp (o->psk_file, p->psk_file) == 0 &&
    strcmp (o->username, p->username) == 0 &&
    o->dead_seconds == p->dead_seconds && o->connections == p->connections &&
    o->limit_bps == p->limit_bps && a->accepts == b->accepts &&
    a->promoted_fence == b->promoted_fence &&
    memcmp (&a->promoted_point, &b->promoted_point,
            sizeof a->promoted_point) == 0 &&
    l->writes == m->writes && l->bytes == m->bytes &&
    l->seconds == m->seconds &&
    l->heard_seconds_ago == m->heard_seconds_ago &&
    l->dropped_staged == m->dropped_staged && l->zero == m->zero;
}

static void
store_link (void)
{
  assert_int_equal (linkfile_store (dirfd, &link_sample, &err), 0);
}

static enum answer
load_link (void)
{
  static struct linkfile got;

  if (linkfile_load (dirfd, &got, &err) == -1)
    return REFUSED;
  return !got.is_set ? NONE : link_equal (&got, &link_sample) ? SAME : OTHER;
}

static int
remove_link (void)
{
  return linkfile_remove (dirfd, &err);
}

static const struct sync_record sync_sample = {
  .given = REPLICA_PROMISE_SUSPEND, .heard = REPLICA_PROMISE_DEGRADE,
  .degraded_ns = 1763000000000000001, .abandoned = SYNC_ABANDONED_FORMER,
  .lease_ms = 31000,
  .lease = { .from = { .boot.byte = { 0x44, [15] = 0x55 }, .boot_ns = 66,
                       .wall_ns = 1763000000000000002 }, .ms = 2500 },
};

static bool
sync_equal (const struct sync_record *a, const struct sync_record *b)
{
  return a->given == b->given && a->heard == b->heard &&
    a->degraded_ns == b->degraded_ns && a->abandoned == b->abandoned &&
    a->lease_ms == b->lease_ms &&
    uuid_equal (&a->lease.from.boot, &b->lease.from.boot) &&
    a->lease.from.boot_ns == b->lease.from.boot_ns &&
    a->lease.from.wall_ns == b->lease.from.wall_ns &&
    a->lease.ms == b->lease.ms;
}

static void
store_sync (void)
{
  assert_int_equal (syncfile_store (dirfd, &sync_sample, &err), 0);
}

/* What is refused is the worst. */
static enum answer
load_sync (void)
{
  static const struct sync_record none, worst = {
    .given = REPLICA_PROMISE_SUSPEND, .lease_ms = SYNC_PROOF_MS_MAX
  };
  struct sync_record got;

  if (syncfile_load (dirfd, &got, &err) == -1) {
    assert_true (sync_equal (&got, &worst));
    return REFUSED;
  }
  return sync_equal (&got, &none) ? NONE
    : sync_equal (&got, &sync_sample) ? SAME : OTHER;
}

static int
remove_sync (void)
{
  return syncfile_store (dirfd, &(struct sync_record) { 0 }, &err);
}

static const struct scrub_progress scrub_sample = {
  .block = 123456, .rate_bps = 67108864,
  .result = { .units = 31, .bytes = 32, .errors = 3, .bad = { 7, 8, 99 } },
};

static void
store_scrub (void)
{
  scrubfile_store (dirfd, &scrub_sample);
}

static enum answer
load_scrub (void)
{
  struct scrub_progress got;

  if (!scrubfile_load (dirfd, &got))
    return REFUSED;
  return memcmp (&got, &scrub_sample, sizeof got) == 0 ? SAME : OTHER;
}

static int
remove_scrub (void)
{
  return scrubfile_remove (dirfd);
}

static const struct verify_status verify_sample = {
  .repairs = true, .done_bytes = 33554432, .rate_bps = 41,
  .read_bytes = 42, .differing = 43, .repaired = 44, .unreadable_here = 45,
  .unreadable_there = 46, .changing = 47,
  .ranges = 2, .range = { { 51, 52 }, { 53, 54 } },
};

static void
store_verify (void)
{
  verifyfile_store (dirfd, &verify_sample);
}

/* What is not stored is zero on both sides. */
static enum answer
load_verify (void)
{
  static struct verify_status got;
  const struct verify_status *want = &verify_sample;

  if (!verifyfile_load (dirfd, &got))
    return REFUSED;
  return got.repairs == want->repairs && got.done_bytes == want->done_bytes &&
    got.rate_bps == want->rate_bps && got.read_bytes == want->read_bytes &&
    got.differing == want->differing && got.repaired == want->repaired &&
    got.unreadable_here == want->unreadable_here &&
    got.unreadable_there == want->unreadable_there &&
    got.changing == want->changing && got.ranges == want->ranges &&
    memcmp (got.range, want->range, sizeof got.range) == 0 ? SAME : OTHER;
}

static int
remove_verify (void)
{
  return verifyfile_remove (dirfd);
}

static const struct kind {
  const char *name;
  int version;
  enum answer none;          /* what load says without a file */
  bool tells;                /* why, when it refuses */
  void (*store) (void);
  enum answer (*load) (void);
  int (*remove) (void);
} kinds[] = {
  { "link", 3, NONE, true, store_link, load_link, remove_link },
  { "sync", 3, NONE, true, store_sync, load_sync, remove_sync },
  { "scrub", 2, REFUSED, false, store_scrub, load_scrub, remove_scrub },
  { "verify", 2, REFUSED, false, store_verify, load_verify, remove_verify },
};
#define KINDS (sizeof kinds / sizeof kinds[0])
#define for_each_kind(k) \
  for (const struct kind *k = kinds; k < kinds + KINDS; k++)

/* ------------------------------------------------------------------ */

/* The text of the sample; the caller frees it. */
static char *
sample_text (const struct kind *k, size_t *ret_len)
{
  char *text;

  k->store ();
  text = file_read (dirfd, k->name, STATEFILE_MAX, ret_len);
  assert_non_null (text);
  return text;
}

static void
put (const struct kind *k, const char *text, size_t len)
{
  CLEANUP_CLOSE int fd = openat (dirfd, k->name, O_WRONLY | O_CREAT | O_TRUNC,
                                 0600);

  assert_true (fd >= 0);
  assert_int_equal (write_full (fd, text, len), 0);
}

static bool
is_there (const char *name, const char *suffix)
{
  char path[80];

  snprintf (path, sizeof path, "%s%s", name, suffix);
  return faccessat (dirfd, path, F_OK, 0) == 0;
}

/* It is refused, and says so in these words about its file. */
static void
assert_refused (const struct kind *k, int errnum, const char *words)
{
  char message[120];

  err = (struct error) ERROR_INIT;
  assert_int_equal (k->load (), REFUSED);
  if (!k->tells)
    return;
  assert_non_null (strstr (err.message, words));
  snprintf (message, sizeof message, "file \"%s\"", k->name);
  assert_non_null (strstr (err.message, message));
  assert_int_equal (err.errnum, errnum);
  assert_true (err.hint[0] != '\0');
}

static void
test_golden (void **state)
{
  CLEANUP_FREE char *text = NULL;
  size_t size;
  FILE *fp = open_memstream (&text, &size);

  (void) state;
  assert_non_null (fp);
  for_each_kind (k) {
    CLEANUP_FREE char *one = sample_text (k, NULL);

    fprintf (fp, "%s\n%s\n", k->name, one);
  }
  fclose (fp);
  assert_golden ("plugin-statefiles.txt", text);
}

static void
test_what_goes_in_comes_out (void **state)
{
  struct stat st;

  (void) state;
  for_each_kind (k) {
    k->store ();
    assert_int_equal (k->load (), SAME);
    assert_int_equal (fstatat (dirfd, k->name, &st, 0), 0);
    assert_int_equal (st.st_mode & 07777, 0600);
  }
}

/* With all that an interrupted file_replace leaves. */
static void
test_removed (void **state)
{
  (void) state;
  for_each_kind (k) {
    char new[80];

    k->store ();
    snprintf (new, sizeof new, "%s.new", k->name);
    assert_int_equal (file_replace (dirfd, new, "{", 1, 0600), 0);
    for (int i = 0; i < 2; i++) {
      assert_int_equal (k->remove (), 0);
      assert_false (is_there (k->name, "") || is_there (new, ""));
      assert_int_equal (k->load (), k->none);
    }
  }
}

static void
test_changed_bytes (void **state)
{
  static const char others[] = " \n0159aefFE\"\\,:{}[]-.u";
  size_t refused = 0, same = 0;

  (void) state;
  for_each_kind (k) {
    size_t len;
    CLEANUP_FREE char *text = sample_text (k, &len);
    CLEANUP_CLOSE int fd = openat (dirfd, k->name, O_WRONLY);

    for (size_t at = 0; at < len; at++) {
      for (size_t i = 0; i < 8 + sizeof others; i++) {
        char c = i < 8 ? text[at] ^ 1 << i : others[i - 8];

        assert_int_equal (pwrite (fd, &c, 1, at), 1);
        switch (k->load ()) {
        case SAME: same++; break;
        case REFUSED: refused++; break;
        default:
          fail_msg ("\"%s\" with byte 0x%02x at %zu is taken for another",
                    k->name, (unsigned char) c, at);
        }
      }
      assert_int_equal (pwrite (fd, text + at, 1, at), 1);
    }
    assert_int_equal (k->load (), SAME);
  }
  /* The one is most of the values, the other white space. */
  assert_true (refused > same && same > 0);
}

static void
test_truncated (void **state)
{
  (void) state;
  for_each_kind (k) {
    size_t len;
    CLEANUP_FREE char *text = sample_text (k, &len);

    while (len-- > 0) {
      put (k, text, len);
      assert_refused (k, EBADMSG, "is damaged");
    }
  }
}

/* The layout is for people: they may change it. */
static void
test_layout_does_not_count (void **state)
{
  (void) state;
  for_each_kind (k) {
    CLEANUP_FREE char *text = sample_text (k, NULL), *compact = NULL;
    json_auto_t *json = json_loads (text, 0, NULL);

    compact = json_dumps (json, JSON_COMPACT | JSON_SORT_KEYS |
                          JSON_ENSURE_ASCII | JSON_ESCAPE_SLASH);
    put (k, compact, strlen (compact));
    assert_int_equal (k->load (), SAME);
  }
}

static void
test_size_is_bound (void **state)
{
  static char text[STATEFILE_MAX + 1];

  (void) state;
  for_each_kind (k) {
    size_t len;
    CLEANUP_FREE char *sample = sample_text (k, &len);

    memset (text, ' ', sizeof text);
    memcpy (text, sample, len);
    put (k, text, STATEFILE_MAX);
    assert_int_equal (k->load (), SAME);
    put (k, text, STATEFILE_MAX + 1);
    assert_refused (k, EFBIG, "cannot read");
  }
}

static void
test_no_file_that_can_be_read (void **state)
{
  (void) state;
  for_each_kind (k) {
    k->remove ();
    assert_int_equal (mkdirat (dirfd, k->name, 0700), 0);
    err = (struct error) ERROR_INIT;
    assert_int_equal (k->load (), REFUSED);
    assert_true (!k->tells || strstr (err.message, "cannot read file"));
    assert_int_equal (unlinkat (dirfd, k->name, AT_REMOVEDIR), 0);
  }
}

static void
test_other_version (void **state)
{
  (void) state;
  for_each_kind (k)
    for (int change = -1; change <= 1; change += 2) {
      const struct statefile other = { k->name, k->version + change, NULL };
      char words[40];

      assert_int_equal (statefile_store (dirfd, &other, json_object (), NULL),
                        0);
      snprintf (words, sizeof words, "is of version %d, not %d",
                other.version, k->version);
      assert_refused (k, ENOTSUP, words);
    }
}

static void
test_no_checksum_or_version (void **state)
{
  static const char *const member[] = { "checksum", "version" };

  (void) state;
  for_each_kind (k)
    for (unsigned i = 0; i < 4; i++) {
      CLEANUP_FREE char *text = sample_text (k, NULL), *changed = NULL;
      json_auto_t *json = json_loads (text, 0, NULL);

      if (i < 2)
        json_object_del (json, member[i]);
      else
        json_object_set_new (json, member[i - 2], json_null ());
      changed = json_dumps (json, 0);
      put (k, changed, strlen (changed));
      assert_refused (k, EBADMSG, "is damaged");
    }
}

/* Even of the same value. */
static void
test_duplicate_keys (void **state)
{
  (void) state;
  for_each_kind (k) {
    CLEANUP_FREE char *text = sample_text (k, NULL), *twice = NULL;

    assert_true (asprintf (&twice, "{ \"version\": %d, %s", k->version,
                           text + 1) > 0);
    put (k, twice, strlen (twice));
    assert_refused (k, EBADMSG, "is damaged");
  }
}

/* Nor is one the other. */
static void
test_each_is_only_itself (void **state)
{
  (void) state;
  for_each_kind (k)
    for_each_kind (other) {
      size_t len;
      CLEANUP_FREE char *text = sample_text (other, &len);

      put (k, text, len);
      assert_int_equal (k->load (), k == other ? SAME : REFUSED);
    }
}

/* Values that make no sense, in files whose checksum is right.  Of an object
 * what is not named stays as it is in the sample.
 */
static void
test_hostile_values (void **state)
{
  static const struct {
    unsigned kind;
    const char *member, *value;
  } row[] = {
    { 0, "uri", "5" }, { 0, "secret", "\"abcd\"" }, { 0, "on", "1" },
    { 0, "pair", "\"x\"" }, { 0, "pair", "0" },
    { 0, "mode", "{\"interval\":43201}" }, { 0, "mode", "{\"interval\":-1}" },
    { 0, "mode", "{\"proof_ms\":3600001}" }, { 0, "mode", "{\"sync\":1}" },
    { 0, "options", "{\"tls\":1}" }, { 0, "options", "{\"connections\":-1}" },
    { 0, "promoted", "5" }, { 0, "promoted", "{\"fence\":0}" },
    { 0, "promoted", "{\"fence\":-1}" }, { 0, "promoted", "{\"loss\":null}" },
    { 1, "given", "\"all\"" }, { 1, "heard", "null" },
    { 1, "abandoned", "\"\"" }, { 1, "degraded_ns", "-1" },
    { 1, "lease_ms", "3600001" }, { 1, "lease_ms", "1.5" },
    { 1, "heard_lease", "5" }, { 1, "heard_lease", "{\"boot\":5}" },
    { 1, "heard_lease", "{\"boot_ns\":null}" },
    { 1, "heard_lease", "{\"wall_ns\":-1}" },
    { 1, "heard_lease", "{\"ms\":3600001}" },
    { 2, "block", "-1" }, { 2, "block", "1152921504606846976" },
    { 2, "bad_blocks", "[1,2]" }, { 2, "bad_blocks", "[1,2,-3]" },
    { 2, "bad_blocks", "{}" }, { 2, "errors", "\"3\"" },
    { 2, "errors", "17" },
    { 3, "done_bytes", "4095" }, { 3, "repair", "0" }, { 3, "ranges", "[1]" },
    { 3, "ranges", "[{\"block\":1}]" }, { 3, "changing", "null" },
    { 3, "differing", "1e3" },
  };

  (void) state;
  for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++) {
    const struct kind *k = &kinds[row[i].kind];
    const struct statefile file = { k->name, k->version, NULL };
    CLEANUP_FREE char *text = sample_text (k, NULL);
    json_t *json = json_loads (text, 0, NULL), *was;
    json_t *value = json_loads (row[i].value, JSON_DECODE_ANY, NULL);

    json_object_del (json, "version");
    json_object_del (json, "checksum");
    assert_int_equal (statefile_store (dirfd, &file, json_incref (json), NULL),
                      0);
    assert_int_equal (k->load (), SAME);

    was = json_object_get (json, row[i].member);
    assert_non_null (was);
    if (json_is_object (value) && json_is_object (was))
      json_object_update_missing (value, was);
    assert_int_equal (json_object_set_new (json, row[i].member, value), 0);
    assert_int_equal (statefile_store (dirfd, &file, json, NULL), 0);
    if (k->load () != REFUSED)
      fail_msg ("\"%s\" with \"%s\" %s is taken", k->name, row[i].member,
                row[i].value);
  }
}

/* A lease that seems shorter than it is would let flushes go on too soon. */
static void
test_flipped_lease (void **state)
{
  static const char member[] = "\"lease_ms\": ";
  const struct kind *k = &kinds[1];
  CLEANUP_FREE char *text = sample_text (k, NULL);
  char *digit = strstr (text, member);

  (void) state;
  assert_non_null (digit);
  digit += strlen (member);
  assert_int_equal (*digit, '3');
  *digit = '1';
  put (k, text, strlen (text));
  assert_refused (k, EBADMSG, "is damaged");   /* load_sync: and the worst */
}

/* The largest there can be are not too large. */
static void
test_largest (void **state)
{
  static struct linkfile link, link_got;
  static struct verify_status verify, verify_got;
  static struct scrub_progress scrub, scrub_got;

  (void) state;
  link = link_sample;
  memset (link.uri, 1, LINK_URI_MAX);
  memset (link.options.psk_file, 1, OPTIONS_PATH_MAX);
  memset (link.options.username, 1, OPTIONS_USERNAME_MAX);
  assert_int_equal (linkfile_store (dirfd, &link, &err), 0);
  assert_int_equal (linkfile_load (dirfd, &link_got, &err), 0);
  assert_true (link_equal (&link, &link_got));

  verify = verify_sample;
  verify.ranges = VERIFY_RANGES_MAX;
  for (unsigned i = 0; i < VERIFY_RANGES_MAX; i++)
    verify.range[i].block = verify.range[i].count = INT64_MAX;
  verifyfile_store (dirfd, &verify);
  assert_true (verifyfile_load (dirfd, &verify_got));
  assert_memory_equal (verify.range, verify_got.range, sizeof verify.range);

  scrub.result.errors = 1000;
  for (unsigned i = 0; i < VOLUME_SCRUB_BAD_MAX; i++)
    scrub.result.bad[i] = INT64_MAX;
  scrubfile_store (dirfd, &scrub);
  assert_true (scrubfile_load (dirfd, &scrub_got));
  assert_memory_equal (&scrub, &scrub_got, sizeof scrub);
}

/* What could not be loaded again is not stored; the old file stays. */
static void
test_too_large_to_store (void **state)
{
  static char large[STATEFILE_MAX];
  const struct statefile file = { "link", 3, NULL };

  (void) state;
  store_link ();
  memset (large, 'x', sizeof large - 1);
  assert_int_equal (statefile_store (dirfd, &file,
                                     json_pack ("{s:s}", "a", large), &err),
                    -1);
  assert_int_equal (err.errnum, EFBIG);
  assert_int_equal (statefile_store (dirfd, &file, NULL, &err), -1);
  assert_int_equal (err.errnum, ENOMEM);
  assert_int_equal (load_link (), SAME);
}

static int
make_dir (void **state)
{
  (void) state;
  if (mkdtemp (dir) == NULL)
    return -1;
  dirfd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return dirfd == -1 ? -1 : 0;
}

static int
remove_dir (void **state)
{
  (void) state;
  for_each_kind (k)
    k->remove ();
  close (dirfd);
  return rmdir (dir);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_golden),
    cmocka_unit_test (test_what_goes_in_comes_out),
    cmocka_unit_test (test_removed),
    cmocka_unit_test (test_changed_bytes),
    cmocka_unit_test (test_truncated),
    cmocka_unit_test (test_layout_does_not_count),
    cmocka_unit_test (test_size_is_bound),
    cmocka_unit_test (test_no_file_that_can_be_read),
    cmocka_unit_test (test_other_version),
    cmocka_unit_test (test_no_checksum_or_version),
    cmocka_unit_test (test_duplicate_keys),
    cmocka_unit_test (test_each_is_only_itself),
    cmocka_unit_test (test_hostile_values),
    cmocka_unit_test (test_flipped_lease),
    cmocka_unit_test (test_largest),
    cmocka_unit_test (test_too_large_to_store),
  };

  return cmocka_run_group_tests (tests, make_dir, remove_dir);
}

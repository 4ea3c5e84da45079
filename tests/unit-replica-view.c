/* Tests of replica/view.h and of the URIs in replica/link.h. */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "link.h"
#include "view.h"

static struct volume_status
some_primary (void)
{
  struct volume_status status = {
    .size = 1 << 20, .role = VOLUME_ROLE_PRIMARY, .fence = 3,
    .durable = { .generation = 2, .seq = 20 },
    .committed = { .generation = 2, .seq = 20 },
    .oldest_seq = 1,
    .generations = { .count = 2, .table = { { .id = 1, .first_seq = 1 },
                                            { .id = 2, .first_seq = 11 } } },
  };

  uuid_generate (&status.uuid);
  return status;
}

static struct wire_status
some_secondary (void)
{
  struct wire_status status = { .role = VOLUME_ROLE_SECONDARY,
                                .size = 1 << 20, .fence = 3, .next_seq = 1 };

  uuid_generate (&status.volume);
  return status;
}

static enum pair_action
action (const struct volume_status *self, const struct wire_status *peer,
        const struct uuid *lineage)
{
  struct pair_view a, b;

  view_of_self (self, lineage, &a);
  view_of_peer (peer, &b);
  return pair_decide (&a, &b).action;
}

static void
test_decisions_from_views (void **state)
{
  struct volume_status self = some_primary ();
  struct wire_status peer = some_secondary ();
  struct uuid lineage;

  (void) state;
  uuid_generate (&lineage);
  assert_int_equal (action (&self, &peer, &lineage), PAIR_ACTION_INITIAL);

  /* It has my whole table, but only a part of the records. */
  peer.lineage = lineage;
  peer.generations = self.generations;
  peer.committed = (struct volume_point) { .generation = 1, .seq = 5 };
  peer.confirmed_seq = 5;
  assert_int_equal (action (&self, &peer, &lineage), PAIR_ACTION_STREAM);
  self.oldest_seq = 6;
  assert_int_equal (action (&self, &peer, &lineage), PAIR_ACTION_STREAM);
  self.oldest_seq = 7;
  assert_int_equal (action (&self, &peer, &lineage), PAIR_ACTION_DELTA);

  /* A point that its table does not know is not taken for anything. */
  peer.committed.generation = 9;
  assert_int_equal (action (&self, &peer, &lineage), PAIR_ACTION_REFUSE);
  peer.committed.generation = 1;
  peer.generations.count = 0;
  assert_int_equal (action (&self, &peer, &lineage), PAIR_ACTION_REFUSE);

  peer.generations = self.generations;
  peer.fence = 4;
  assert_int_equal (action (&self, &peer, &lineage), PAIR_ACTION_FENCED);
  peer.fence = 2;
  peer.role = VOLUME_ROLE_PRIMARY;
  assert_int_equal (action (&self, &peer, &lineage), PAIR_ACTION_FENCE_PEER);
}

/* A peer in sync mode has records that were not durable here. */
static void
test_ahead (void **state)
{
  struct volume_status self = some_primary ();
  struct wire_status peer = some_secondary ();
  struct uuid lineage;

  (void) state;
  uuid_generate (&lineage);
  peer.lineage = lineage;
  peer.generations = self.generations;
  peer.committed = (struct volume_point) { .generation = 2, .seq = 20 };
  peer.confirmed_seq = 15;
  assert_int_equal (action (&self, &peer, &lineage), PAIR_ACTION_STREAM);

  /* They were lost in a crash, and none was ever confirmed. */
  peer.committed.seq = 25;
  assert_int_equal (action (&self, &peer, &lineage), PAIR_ACTION_DROP_STREAM);
  self.oldest_seq = 18;
  assert_int_equal (action (&self, &peer, &lineage), PAIR_ACTION_DROP_DELTA);

  /* Of these one was: that is no crash. */
  peer.confirmed_seq = 21;
  assert_int_equal (action (&self, &peer, &lineage), PAIR_ACTION_NEED_COMMAND);
}

static void
test_stage_ids (void **state)
{
  struct volume_status self = some_primary ();
  struct uuid lineage, pair;
  struct pair_view a, b;
  uint64_t id;

  (void) state;
  uuid_generate (&lineage);
  uuid_generate (&pair);
  view_of_self (&self, &lineage, &a);
  id = view_stage_id (&a, &pair, 0, 15);

  /* The same after more was written, and after a restart of the writer. */
  self.committed = (struct volume_point) { .generation = 3, .seq = 40 };
  self.generations.count = 3;
  self.generations.table[2] = (struct volume_generation) { 3, 31, self.uuid };
  view_of_self (&self, &lineage, &b);
  assert_int_equal (view_stage_id (&b, &pair, 0, 15), id);

  assert_int_not_equal (view_stage_id (&b, &pair, 0, 16), id);
  assert_int_not_equal (view_stage_id (&b, &pair, 1, 15), id);
  assert_int_not_equal (view_stage_id (&b, &lineage, 0, 15), id);

  /* Another history that has the same seqs. */
  self.generations.table[1].id = 7;
  view_of_self (&self, &lineage, &b);
  assert_int_not_equal (view_stage_id (&b, &pair, 0, 15), id);
}

static void
assert_uri (const char *uri, const char *wanted)
{
  struct error err = ERROR_INIT;
  CLEANUP_FREE char *got = link_uri (uri, "@replica/x", &err);

  if (wanted == NULL) {
    assert_null (got);
    assert_int_equal (err.errnum, EINVAL);
  }
  else
    assert_string_equal (got, wanted);
}

static void
test_uris (void **state)
{
  (void) state;
  assert_uri ("nbd://host:10809", "nbd://host:10809/@replica/x");
  assert_uri ("nbd://host:10809/", "nbd://host:10809/@replica/x");
  assert_uri ("nbds://[::1]:1?tls-psk-file=/p",
              "nbds://[::1]:1/@replica/x?tls-psk-file=/p");
  assert_uri ("nbd+unix:///?socket=/tmp/s",
              "nbd+unix:///@replica/x?socket=/tmp/s");
  assert_uri ("nbd+unix://?socket=/tmp/s",
              "nbd+unix:///@replica/x?socket=/tmp/s");
  assert_uri ("nbd://host/disk", NULL);
  assert_uri ("http://host", NULL);
  assert_uri ("host:10809", NULL);
  assert_uri ("", NULL);
}

static void
test_export_names (void **state)
{
  struct uuid pair;

  (void) state;
  assert_true (replica_export_parse
               ("@replica/12345678-1234-4234-8234-123456789abc", &pair));
  assert_false (replica_export_parse ("@replica/", &pair));
  assert_false (replica_export_parse ("@replica/12345678", &pair));
  assert_false (replica_export_parse
                ("12345678-1234-4234-8234-123456789abc", &pair));
  assert_false (replica_export_parse
                ("@replica/12345678-1234-4234-8234-123456789abcd", &pair));
}

/* What a secondary wrote itself is seen to be missing in a primary's table. */
static void
test_own_writes_beyond (void **state)
{
  struct volume_status s = { .uuid = { { 0xbb } } };
  struct volume_generations other;

  (void) state;
  s.generations = (struct volume_generations) {
    3, { { 0x1, 1, { { 0xaa } } }, { 0x2, 101, { { 0xbb } } },
         { 0x3, 201, { { 0xaa } } } }
  };
  s.committed.generation = 0x3;
  s.committed.seq = 250;
  other = s.generations;
  assert_false (view_has_own_beyond (&s, &other));
  other.count = 2;               /* that one went on in generation 2 */
  assert_false (view_has_own_beyond (&s, &other));
  other.table[2] = (struct volume_generation) { 0x4, 151, { { 0xaa } } };
  other.count = 3;               /* it only ever had half of it */
  assert_true (view_has_own_beyond (&s, &other));
  other.count = 1;               /* it never had it */
  assert_true (view_has_own_beyond (&s, &other));
  s.generations.count = 1;       /* nor did this one write any */
  s.committed.seq = 100;
  assert_false (view_has_own_beyond (&s, &other));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_decisions_from_views),
    cmocka_unit_test (test_ahead),
    cmocka_unit_test (test_stage_ids),
    cmocka_unit_test (test_own_writes_beyond),
    cmocka_unit_test (test_uris),
    cmocka_unit_test (test_export_names),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

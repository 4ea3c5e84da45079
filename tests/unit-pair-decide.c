/* The decision: its rules as a partition of all facts, named situations, and
 * promises checked over every history that small tables can hold, against
 * histories written out record by record.
 */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "decide.h"

static const struct uuid A = { .byte = { 0xaa } }, B = { .byte = { 0xbb } };
static const struct uuid content = { .byte = { 0xcc } };
static const struct uuid none;

static struct pair_view
view_of (const struct uuid *volume, enum pair_role role)
{
  struct pair_view v = {
    .volume = *volume,
    .content = content,
    .size = 1 << 20,
    .role = role,
    .fence = 1,
    .journal_from = 1,
  };

  return v;
}

static void
write_records (struct pair_view *v, uint64_t id, uint64_t n)
{
  pair_history_begin (&v->history, id, &v->volume);
  v->history.last_seq += n;
}

/* A, primary, wrote 100 records in generation 1; B committed 90 of them. */
static void
primary_and_secondary (struct pair_view *a, struct pair_view *b)
{
  *a = view_of (&A, PAIR_ROLE_PRIMARY);
  *b = view_of (&B, PAIR_ROLE_SECONDARY);
  write_records (a, 1, 100);
  b->history = a->history;
  assert_true (pair_history_cut (&b->history, 90));
}

static void
assert_rule (const struct pair_view *self, const struct pair_view *peer,
             enum pair_rule rule)
{
  struct pair_decision d = pair_decide (self, peer);

  assert_string_equal (pair_rule_string (d.rule), pair_rule_string (rule));
  assert_int_equal (d.action, pair_rule_action (rule));
}

/* With a command that names the peer the rule is another. */
static void
assert_rules (struct pair_view self, const struct pair_view *peer,
              enum pair_rule without, enum pair_rule with_command)
{
  self.loser = none;
  assert_rule (&self, peer, without);
  self.loser = self.volume;             /* names the wrong side */
  assert_rule (&self, peer, without);
  self.loser = peer->volume;
  assert_rule (&self, peer, with_command);
}

static void
every_combination_of_facts_matches_one_rule (void **state)
{
  bool used[PAIR_RULE_COUNT] = { false };
  enum pair_rule rule = PAIR_RULE_UNSET;
  uint32_t facts;
  unsigned r;

  (void) state;
  for (facts = 0; facts < UINT32_C (1) << PAIR_FACT_COUNT; ++facts) {
    assert_int_equal (pair_rules_matching (facts, &rule), 1);
    used[rule] = true;
  }
  for (r = PAIR_RULE_UNSET + 1; r < PAIR_RULE_COUNT; ++r)
    assert_true (used[r]);
}

static void
a_secondary_that_is_behind (void **state)
{
  struct pair_view a, b;
  struct pair_decision d;

  (void) state;
  primary_and_secondary (&a, &b);
  d = pair_decide (&a, &b);
  assert_int_equal (d.rule, RULE_PEER_BEHIND_JOURNAL_HOLDS);
  assert_int_equal (d.common.generation, 1);
  assert_int_equal (d.common.seq, 90);
  assert_int_equal (d.from.seq, 90);
  assert_int_equal (d.self_beyond, 10);
  assert_int_equal (d.peer_beyond, 0);

  a.journal_from = 91;
  assert_rule (&a, &b, RULE_PEER_BEHIND_JOURNAL_HOLDS);
  a.journal_from = 92;
  assert_rule (&a, &b, RULE_PEER_BEHIND_CLEANED);
  a.journal_from = 0;                   /* the journal holds nothing */
  assert_rule (&a, &b, RULE_PEER_BEHIND_CLEANED);

  /* What it staged counts: only the rest is needed. */
  a.journal_from = 95;
  b.staged = (struct pair_point) { 1, 94 };
  d = pair_decide (&a, &b);
  assert_int_equal (d.rule, RULE_PEER_BEHIND_JOURNAL_HOLDS);
  assert_int_equal (d.common.seq, 90);
  assert_int_equal (d.from.seq, 94);
  a.journal_from = 96;
  d = pair_decide (&a, &b);
  assert_int_equal (d.rule, RULE_PEER_BEHIND_CLEANED);
  assert_int_equal (d.from.seq, 0);

  /* Nothing is missing: no need of a journal. */
  b.staged = (struct pair_point) { 0, 0 };
  b.history = a.history;
  a.journal_from = 0;
  assert_rule (&a, &b, RULE_PEER_BEHIND_JOURNAL_HOLDS);
}

static void
a_primary_that_crashed_and_came_back_with_less (void **state)
{
  struct pair_view a, b;
  struct pair_decision d;

  (void) state;
  primary_and_secondary (&a, &b);
  b.staged = (struct pair_point) { 1, 98 };
  assert_true (pair_history_cut (&a.history, 95));
  write_records (&a, 2, 20);            /* from 96 on */
  d = pair_decide (&a, &b);
  assert_int_equal (d.rule, RULE_STAGED_LOST_JOURNAL_HOLDS);
  assert_int_equal (d.from.seq, 90);
  a.journal_from = 92;
  assert_rule (&a, &b, RULE_STAGED_LOST_CLEANED);

  /* Up to where it came back the staged records are its own. */
  a.journal_from = 96;
  b.staged = (struct pair_point) { 1, 95 };
  assert_rule (&a, &b, RULE_PEER_BEHIND_JOURNAL_HOLDS);

  /* It restarted cleanly, exactly where the peer is. */
  b.staged = (struct pair_point) { 0, 0 };
  assert_true (pair_history_cut (&a.history, 90));
  write_records (&a, 3, 5);
  a.journal_from = 91;
  assert_rule (&a, &b, RULE_PEER_BEHIND_JOURNAL_HOLDS);
}

static void
a_new_peer (void **state)
{
  struct pair_view a, b;

  (void) state;
  primary_and_secondary (&a, &b);
  b = view_of (&B, PAIR_ROLE_SECONDARY);
  assert_rules (a, &b, RULE_PEER_NEW, RULE_PEER_NEW);
  b.content = B;
  assert_rules (a, &b, RULE_PEER_NEW, RULE_PEER_NEW);
  b.content = none;
  assert_rule (&a, &b, RULE_PEER_NEW);
  b.content = content;
  b.staged = (struct pair_point) { 1, 50 };
  assert_rule (&a, &b, RULE_PEER_NEW);
  b.staged = (struct pair_point) { 1, 101 };
  assert_rule (&a, &b, RULE_PEER_NEW_STAGED_LOST);

  /* Both never written. */
  b = view_of (&B, PAIR_ROLE_SECONDARY);
  a = view_of (&A, PAIR_ROLE_PRIMARY);
  assert_rule (&a, &b, RULE_PEER_NEW);
}

static void
after_a_failover (void **state)
{
  struct pair_view a, b;
  struct pair_decision d;

  (void) state;
  /* B took over at 90 and wrote 5; A had 100 and is back. */
  primary_and_secondary (&a, &b);
  b.role = PAIR_ROLE_PRIMARY;
  b.fence = 2;
  write_records (&b, 2, 5);
  assert_rule (&a, &b, RULE_FENCED);
  assert_rules (b, &a, RULE_PEER_OUTDATED_PRIMARY, RULE_PEER_OUTDATED_PRIMARY);

  a.role = PAIR_ROLE_FENCED;
  a.fence = 2;
  assert_rules (b, &a, RULE_PEER_WROTE, RULE_PEER_WROTE_COMMANDED);
  d = pair_decide (&b, &a);
  assert_int_equal (d.common.seq, 90);
  assert_int_equal (d.peer_beyond, 10);
  assert_int_equal (d.self_beyond, 5);
  assert_rule (&a, &b, RULE_SELF_NOT_PRIMARY);

  /* A had nothing that B lacks: nobody loses anything. */
  assert_true (pair_history_cut (&a.history, 90));
  assert_rule (&b, &a, RULE_PEER_BEHIND_JOURNAL_HOLDS);

  /* Nobody wrote at B, A goes on: an unused promotion splits nothing. */
  primary_and_secondary (&a, &b);
  b.fence = a.fence = 3;
  assert_rule (&a, &b, RULE_PEER_BEHIND_JOURNAL_HOLDS);
}

static void
the_failover_is_given_up (void **state)
{
  struct pair_view a, b;

  (void) state;
  primary_and_secondary (&a, &b);
  write_records (&b, 2, 5);             /* while B was primary */
  b.role = PAIR_ROLE_FENCED;
  assert_rules (a, &b, RULE_PEER_WROTE, RULE_PEER_WROTE_COMMANDED);
}

static void
a_primary_restored_from_an_old_copy (void **state)
{
  struct pair_view a, b;

  (void) state;
  primary_and_secondary (&a, &b);
  assert_true (pair_history_cut (&a.history, 80));
  assert_rules (a, &b, RULE_SELF_LOST, RULE_SELF_LOST_COMMANDED);
  write_records (&a, 2, 50);
  assert_rules (a, &b, RULE_SELF_LOST, RULE_SELF_LOST_COMMANDED);
}

static void
strangers (void **state)
{
  struct pair_view a, b;

  (void) state;
  primary_and_secondary (&a, &b);
  b.content = B;
  assert_rules (a, &b, RULE_FOREIGN, RULE_FOREIGN_COMMANDED);

  primary_and_secondary (&a, &b);
  memset (&b.history, 0, sizeof b.history);
  write_records (&b, 9, 10);
  assert_rules (a, &b, RULE_NO_COMMON_POINT, RULE_NO_COMMON_POINT_COMMANDED);

  primary_and_secondary (&a, &b);
  b.role = PAIR_ROLE_STANDALONE;
  assert_rule (&a, &b, RULE_PEER_STANDALONE);
  b.role = PAIR_ROLE_PRIMARY;
  assert_rule (&a, &b, RULE_TWO_PRIMARIES);
  b.role = PAIR_ROLE_SECONDARY;
  b.size += 4096;
  assert_rule (&a, &b, RULE_SIZE_DIFFERS);
  b.size = a.size;
  b.volume = a.volume;
  assert_rule (&a, &b, RULE_SAME_VOLUME);
}

static void
damaged_views (void **state)
{
  struct pair_view a, b, good;

  (void) state;
  primary_and_secondary (&a, &good);
#define BROKEN(change)                          \
  do {                                          \
    b = good;                                   \
    change;                                     \
    assert_rule (&a, &b, RULE_BROKEN_VIEW);     \
  } while (0)
  BROKEN (b.role = PAIR_ROLE_UNSET);
  BROKEN (b.role = PAIR_ROLE_COUNT);
  BROKEN (b.volume = none);
  BROKEN (b.content = none);
  BROKEN (b.history.count = 33);
  BROKEN (b.history.count = 0);
  BROKEN (b.history.generation[0].first_seq = 2);
  BROKEN (b.history.generation[0].writer = B);
  BROKEN (b.staged = ((struct pair_point) { 0, 95 }));
  BROKEN (b.staged = ((struct pair_point) { 1, 90 }));
#undef BROKEN
  b = good;
  a.history.last_seq = 0;
  a.history.generation[0].first_seq = 0;
  assert_rule (&a, &b, RULE_BROKEN_VIEW);
  b.fence = 9;
  assert_rule (&a, &b, RULE_FENCED);
}

/* ------------------------------------------------------------------ */
/* Every history of small tables.                                      */

#define SEQS 4                  /* last_seq 0..4, first_seq 1..4 */
#define TABLES_MAX 1024

static struct pair_history tables[TABLES_MAX];
static unsigned n_tables;

/* Who writes a generation hangs on its id, as in life. */
static void
add_generation (struct pair_history *h, uint64_t id, uint64_t first)
{
  struct pair_generation *g = &h->generation[h->count++];

  g->id = id;
  g->first_seq = first;
  g->writer = id % 2 ? A : B;
}

/* All tables over ids 1..3 that keep the invariant, up to three entries. */
static void
make_tables (struct pair_history h)
{
  uint64_t last, id, first;

  for (last = 0; last <= SEQS; ++last) {
    h.last_seq = last;
    if (pair_history_check (&h)) {
      assert_true (n_tables < TABLES_MAX);
      tables[n_tables++] = h;
    }
  }
  if (h.count == 3)
    return;
  for (id = 1; id <= 3; ++id)
    for (first = 1; first <= SEQS; ++first) {
      struct pair_history longer = h;
      uint32_t i;
      bool is_new = true;

      for (i = 0; i < h.count; ++i)
        is_new = is_new && h.generation[i].id != id &&
          h.generation[i].first_seq < first;
      if (!is_new)
        continue;
      add_generation (&longer, id, first);
      make_tables (longer);
    }
}

/* The same history record by record: which generation wrote seq I (0: not
 * known, or beyond the end).
 */
struct records {
  uint64_t id[SEQS + 2];
};

static struct records
write_out (const struct pair_history *h)
{
  struct records r = { { 0 } };
  uint64_t seq;
  uint32_t i;

  for (i = 0; i < h->count; ++i)
    for (seq = h->generation[i].first_seq; seq <= h->last_seq; ++seq)
      r.id[seq] = h->generation[i].id;
  return r;
}

/* Last seq that both wrote in the same generation. */
static uint64_t
last_same (const struct records *a, const struct records *b)
{
  uint64_t seq;

  for (seq = SEQS; seq > 0; --seq)
    if (a->id[seq] && a->id[seq] == b->id[seq])
      return seq;
  return 0;
}

/* Do they tell different stories about one generation's past or beginning?
 * FIRST_x: where the table says that each id begins.
 */
static bool
is_contradiction (const struct pair_history *a, const struct pair_history *b)
{
  uint64_t first_a[4] = { 0 }, first_b[4] = { 0 }, id, seq, shared = 0;
  struct records ra, rb;
  uint32_t i;

  for (i = 0; i < a->count; ++i)
    first_a[a->generation[i].id] = a->generation[i].first_seq;
  for (i = 0; i < b->count; ++i)
    first_b[b->generation[i].id] = b->generation[i].first_seq;
  for (id = 1; id <= 3; ++id)
    if (first_a[id] && first_b[id]) {
      if (first_a[id] != first_b[id])
        return true;
      if (first_a[id] > shared)
        shared = first_a[id];
    }
  /* Before the last shared beginning, what both know must be the same. */
  ra = write_out (a);
  rb = write_out (b);
  for (seq = 1; seq < shared; ++seq)
    if (ra.id[seq] && rb.id[seq] && ra.id[seq] != rb.id[seq])
      return true;
  return false;
}

static bool
sends (enum pair_action action)
{
  return action == PAIR_ACTION_STREAM || action == PAIR_ACTION_DELTA ||
    action == PAIR_ACTION_INITIAL || pair_action_drops_staged (action);
}

static bool
streams (enum pair_action action)
{
  return action == PAIR_ACTION_STREAM || action == PAIR_ACTION_DROP_STREAM;
}

/* Who wrote SEQ of B's records? */
static bool
written_by_b (const struct records *b, uint64_t seq)
{
  return b->id[seq] && b->id[seq] % 2 == 0;
}

/* Check a decision between well-formed views of one content by what the
 * records themselves say.
 */
static void
check_promises (const struct pair_view *self, const struct pair_view *peer,
                const struct pair_decision *d)
{
  struct records a = write_out (&self->history);
  struct records b = write_out (&peer->history);
  uint64_t same = last_same (&a, &b);
  uint64_t last = peer->history.last_seq, seq;
  bool commanded = uuid_equal (&self->loser, &peer->volume) &&
    self->loser_keeps <= same;
  bool peer_wrote = false;

  if (is_contradiction (&self->history, &peer->history) && last > 0) {
    assert_int_equal (d->rule, RULE_BROKEN_VIEW);
    return;
  }
  assert_int_not_equal (d->rule, RULE_BROKEN_VIEW);
  if (last == 0) {
    assert_true (d->rule == RULE_PEER_NEW ||
                 d->rule == RULE_PEER_NEW_STAGED_LOST);
    return;
  }

  assert_int_equal (d->common.seq, same);
  assert_int_equal (d->peer_beyond, last - same);
  for (seq = same + 1; seq <= last; ++seq)
    peer_wrote = peer_wrote || written_by_b (&b, seq);

  /* Nothing that the peer shows goes away without a command. */
  if (sends (d->action) && last > same)
    assert_true (commanded);
  if (same > 0 && last > same)
    assert_int_equal (d->rule, peer_wrote
                      ? commanded ? RULE_PEER_WROTE_COMMANDED
                                  : RULE_PEER_WROTE
                      : commanded ? RULE_SELF_LOST_COMMANDED
                                  : RULE_SELF_LOST);

  /* A full copy only where nothing is shared. */
  if (d->action == PAIR_ACTION_INITIAL ||
      d->action == PAIR_ACTION_DROP_INITIAL)
    assert_int_equal (same, 0);

  /* A stream extends exactly what the peer keeps, from the journal. */
  if (streams (d->action)) {
    assert_int_equal (same, last);
    assert_true (d->from.seq >= last);
    assert_int_equal (a.id[d->from.seq], d->from.generation);
    if (d->from.seq < self->history.last_seq)
      assert_true (self->journal_from > 0 &&
                   self->journal_from <= d->from.seq + 1);
    if (d->from.seq > last)
      assert_true (d->from.seq == peer->staged.seq &&
                   d->action == PAIR_ACTION_STREAM);
  }

  /* Staged records that this side does not have are never kept. */
  if (sends (d->action) && peer->staged.generation &&
      (peer->staged.seq > SEQS ||
       a.id[peer->staged.seq] != peer->staged.generation))
    assert_true (pair_action_drops_staged (d->action));
}

static void
check_staged_and_journal (struct pair_view *self, struct pair_view *peer)
{
  uint64_t seq, id, from;

  for (id = 0; id <= 3; id += 1)
    for (seq = id ? peer->history.last_seq + 1 : 0;
         seq <= (id ? SEQS + 1 : 0); seq += 2)
      for (from = 0; from <= SEQS + 1; ++from) {
        struct pair_decision d;

        peer->staged = (struct pair_point) { id, seq };
        self->journal_from = from;
        d = pair_decide (self, peer);
        check_promises (self, peer, &d);
      }
}

static void
promises_hold_over_all_small_histories (void **state)
{
  struct pair_view self = view_of (&A, PAIR_ROLE_PRIMARY);
  struct pair_view peer = view_of (&B, PAIR_ROLE_SECONDARY);
  unsigned i, j, commanded;

  (void) state;
  for (i = 0; i < n_tables; ++i)
    for (j = 0; j < n_tables; ++j)
      for (commanded = 0; commanded < 2 + SEQS; ++commanded) {
        self.history = tables[i];
        peer.history = tables[j];
        self.loser = commanded ? B : none;
        self.loser_keeps = commanded > 1 ? commanded - 1 : 0;
        check_staged_and_journal (&self, &peer);
      }
}

/* Roles, fences, sizes and contents in every combination over all histories:
 * whatever else is true, a higher fence stops this side, and only a primary
 * sends, only to one that receives the same disk.
 */
static void
promises_hold_over_all_circumstances (void **state)
{
  struct pair_view self = view_of (&A, PAIR_ROLE_PRIMARY);
  struct pair_view peer = view_of (&B, PAIR_ROLE_SECONDARY);
  unsigned i, j, r, q, bits;

  (void) state;
  for (i = 0; i < n_tables; i += 7)
    for (j = 0; j < n_tables; j += 5)
      for (r = 0; r < PAIR_ROLE_COUNT; ++r)
        for (q = 0; q < PAIR_ROLE_COUNT; ++q)
          for (bits = 0; bits < 48; ++bits) {
            struct pair_decision d;

            self.history = tables[i];
            peer.history = tables[j];
            self.role = r;
            peer.role = q;
            self.loser = bits & 1 ? B : none;
            peer.content = bits & 2 ? B : content;
            peer.size = bits & 4 ? 1 : self.size;
            peer.volume = bits & 8 ? A : B;
            peer.fence = bits / 16;     /* self has 1 */
            d = pair_decide (&self, &peer);

            assert_int_not_equal (d.rule, PAIR_RULE_UNSET);
            assert_int_equal (d.action == PAIR_ACTION_FENCED,
                              peer.fence > self.fence);
            if (!sends (d.action))
              continue;
            assert_int_equal (r, PAIR_ROLE_PRIMARY);
            assert_true (q == PAIR_ROLE_SECONDARY || q == PAIR_ROLE_FENCED);
            assert_int_equal (bits & 12, 0);
            if ((bits & 2) && peer.history.last_seq > 0)
              assert_int_equal (d.rule, RULE_FOREIGN_COMMANDED);
          }
}

static void
the_log_line_tells_all (void **state)
{
  struct pair_view a, b;
  struct pair_decision d;
  char line[PAIR_DECIDE_FORMAT_MAX], longer[PAIR_DECIDE_FORMAT_MAX];
  char little[10], *guarded = longer;

  (void) state;
  primary_and_secondary (&a, &b);
  a.history.generation[0].id = UINT64_C (0x1f2e3d4c5b6a7988);
  b.history.generation[0].id = UINT64_C (0x1f2e3d4c5b6a7988);
  d = pair_decide (&a, &b);
  pair_decide_format (&a, &b, &d, line, sizeof line);
  assert_string_equal (line,
    "decide: rule=peer-behind-journal-holds action=stream "
    "facts=-VOSR--Z--CKA--J common=1f2e3d4c5b6a7988:90 "
    "from=1f2e3d4c5b6a7988:90 self-beyond=10 peer-beyond=0 "
    "self={volume=aa000000-0000-0000-0000-000000000000 "
    "content=cc000000-0000-0000-0000-000000000000 size=1048576 "
    "role=primary fence=1 journal-from=1 "
    "loser=00000000-0000-0000-0000-000000000000 loser-keeps=0 "
    "staged=0000000000000000:0 last=100 "
    "history=[1f2e3d4c5b6a7988@1/aa000000-0000-0000-0000-000000000000]} "
    "peer={volume=bb000000-0000-0000-0000-000000000000 "
    "content=cc000000-0000-0000-0000-000000000000 size=1048576 "
    "role=secondary fence=1 journal-from=1 "
    "loser=00000000-0000-0000-0000-000000000000 loser-keeps=0 "
    "staged=0000000000000000:0 last=90 "
    "history=[1f2e3d4c5b6a7988@1/aa000000-0000-0000-0000-000000000000]}");

  /* Short buffers are cut, not overrun. */
  assert_string_equal (pair_decide_format (&a, &b, &d, little, sizeof little),
                       "decide: r");
  pair_decide_format (&a, &b, &d, little, 0);
  assert_string_equal (pair_decide_format (&a, &b, &d, little, 1), "");

  /* Two full tables with the longest numbers fit. */
  memset (&a, 0xff, sizeof a);
  a.role = PAIR_ROLE_SECONDARY;
  a.history.count = PAIR_HISTORY_MAX;
  memset (&d, 0xff, sizeof d);
  d.rule = RULE_NO_COMMON_POINT_COMMANDED;
  d.action = PAIR_ACTION_DROP_INITIAL;
  pair_decide_format (&a, &a, &d, guarded, sizeof longer);
  assert_string_equal (guarded + strlen (guarded) - 3, "f]}");
}

static void
strings (void **state)
{
  unsigned r;

  (void) state;
  for (r = PAIR_ROLE_UNSET + 1; r < PAIR_ROLE_COUNT; ++r)
    assert_int_equal (pair_role_parse (pair_role_string (r)), r);
  assert_int_equal (pair_role_parse ("unset"), PAIR_ROLE_UNSET);
  assert_int_equal (pair_role_parse ("Primary"), PAIR_ROLE_UNSET);
  assert_string_equal (pair_role_string (99), "unset");
  assert_string_equal (pair_rule_string (99), "unset");
  assert_string_equal (pair_action_string (99), "unset");
  for (r = PAIR_RULE_UNSET + 1; r < PAIR_RULE_COUNT; ++r) {
    assert_true (pair_rule_meaning (r)[0] != '\0');
    assert_true (pair_action_meaning (pair_rule_action (r))[0] != '\0');
  }
}

static int
setup (void **state)
{
  struct pair_history h = { .count = 0 };

  (void) state;
  make_tables (h);
  print_message ("# %u tables, %u pairs of them\n", n_tables,
                 n_tables * n_tables);
  return 0;
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (every_combination_of_facts_matches_one_rule),
    cmocka_unit_test (a_secondary_that_is_behind),
    cmocka_unit_test (a_primary_that_crashed_and_came_back_with_less),
    cmocka_unit_test (a_new_peer),
    cmocka_unit_test (after_a_failover),
    cmocka_unit_test (the_failover_is_given_up),
    cmocka_unit_test (a_primary_restored_from_an_old_copy),
    cmocka_unit_test (strangers),
    cmocka_unit_test (damaged_views),
    cmocka_unit_test (promises_hold_over_all_small_histories),
    cmocka_unit_test (promises_hold_over_all_circumstances),
    cmocka_unit_test (the_log_line_tells_all),
    cmocka_unit_test (strings),
  };

  return cmocka_run_group_tests_name ("pair-decide", tests, setup, NULL);
}

/* What a STATUS of the plugin means for a pair. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "monitor.h"
#include "record.h"
#include "states.h"

#define NOW_MS UINT64_C (1700000000000)

static struct observation
observe (enum pair_status status, bool at_source, const char *text)
{
  struct record *rec = calloc (1, sizeof *rec);
  json_t *json = json_loads (text, 0, NULL);
  struct observation o;

  assert_non_null (json);
  rec->status = status;
  rec->rpo = 10;
  rec->epoch = 5;
  rec->link_epoch = 5;
  monitor_observe (rec, json, at_source, NOW_MS, &o);
  json_decref (json);
  free (rec);
  o.link_state = o.link_reason = NULL;
  return o;
}

#define SOURCE(state, done, lag)                                        \
  "{\"appended\":{\"seq\":9},\"link\":{\"state\":\"" state "\","        \
  "\"initial_done\":" done ",\"lag\":" lag ",\"peer_committed\":"       \
  "{\"generation\":\"01\",\"seq\":7,\"time_ns\":1600000000000000000}}}"
#define SMALL "{\"writes\":2,\"bytes\":8192,\"seconds\":0.5}"
#define NONE "{\"writes\":0,\"bytes\":0,\"seconds\":0}"
#define LARGE "{\"writes\":9,\"bytes\":8192,\"seconds\":10.5}"

static void
events (void **state)
{
  static const struct {
    enum pair_status status;
    const char *text;
    enum pair_event event;
  } cases[] = {
    { PAIR_INITIAL_SYNCING, SOURCE ("initial", "false", NONE), 0 },
    { PAIR_INITIAL_SYNCING, SOURCE ("stream", "false", NONE), 0 },
    { PAIR_INITIAL_SYNCING, SOURCE ("stream", "true", SMALL),
      PAIR_EVENT_SYNCED },
    { PAIR_INITIAL_SYNCING, SOURCE ("stream", "true", LARGE), 0 },
    { PAIR_INITIAL_SYNCING, SOURCE ("waiting", "true", NONE), 0 },
    { PAIR_SYNCING, SOURCE ("delta", "true", SMALL), 0 },
    { PAIR_SYNCING, SOURCE ("stream", "true", NONE), PAIR_EVENT_SYNCED },
    { PAIR_NORMAL, SOURCE ("stream", "true", SMALL), 0 },
    { PAIR_NORMAL, SOURCE ("waiting", "true", SMALL), 0 },
    { PAIR_NORMAL, SOURCE ("waiting", "true", LARGE), PAIR_EVENT_LAGGING },
    { PAIR_NORMAL, SOURCE ("stream", "true", LARGE), PAIR_EVENT_LAGGING },
    { PAIR_MANUAL_SYNCING, SOURCE ("delta", "true", SMALL), 0 },
    { PAIR_MANUAL_SYNCING, SOURCE ("done", "true", NONE),
      PAIR_EVENT_ONESHOT_DONE },
    { PAIR_NORMAL, SOURCE ("done", "true", NONE), 0 },
    { PAIR_STOPPED, SOURCE ("stream", "true", LARGE), 0 },
    { PAIR_NORMAL, "{\"link\":null}", 0 },
    { PAIR_NORMAL, "{}", 0 },
    /* Nobody ever wrote to it. */
    { PAIR_INITIAL_SYNCING, "{\"appended\":{\"seq\":0},\"link\":{\"state\":"
      "\"stream\",\"initial_done\":false,\"lag\":" NONE
      ",\"peer_committed\":null}}", PAIR_EVENT_SYNCED },
  };
  size_t i;

  (void) state;
  for (i = 0; i < sizeof cases / sizeof cases[0]; ++i)
    assert_int_equal (observe (cases[i].status, true, cases[i].text).event,
                      cases[i].event);
}

/* "done" of an earlier one-shot does not end this one. */
static void
old_oneshot (void **state)
{
  struct record *rec = calloc (1, sizeof *rec);
  json_t *json = json_loads (SOURCE ("done", "true", NONE), 0, NULL);
  struct observation o;

  (void) state;
  rec->status = PAIR_MANUAL_SYNCING;
  rec->epoch = 6;
  rec->link_epoch = 5;
  monitor_observe (rec, json, true, NOW_MS, &o);
  assert_int_equal (o.event, PAIR_EVENT_UNSET);
  json_decref (json);
  free (rec);
}

static void
recovery_point (void **state)
{
  struct observation o;

  (void) state;
  o = observe (PAIR_NORMAL, true, SOURCE ("stream", "true", SMALL));
  assert_true (o.has_point);
  assert_int_equal (o.point_ms, UINT64_C (1600000000000));
  /* Nothing is missing there: the copy is as of now. */
  o = observe (PAIR_NORMAL, true, SOURCE ("stream", "true", NONE));
  assert_int_equal (o.point_ms, NOW_MS);
  o = observe (PAIR_NORMAL, true, SOURCE ("waiting", "true", NONE));
  assert_int_equal (o.point_ms, UINT64_C (1600000000000));
  o = observe (PAIR_INITIAL_SYNCING, true,
               SOURCE ("initial", "false", SMALL));
  assert_false (o.has_point);

  o = observe (PAIR_NORMAL, false, "{\"role\":\"secondary\",\"committed\":"
               "{\"seq\":7,\"time_ns\":1600000000000000000},\"stage\":null,"
               "\"source\":{\"connected\":true,\"heard_ms_ago\":300,"
               "\"known\":{\"seq\":7,\"time_ns\":1}}}");
  assert_int_equal (o.point_ms, NOW_MS - 300);
  o = observe (PAIR_NORMAL, false, "{\"role\":\"secondary\",\"committed\":"
               "{\"seq\":7,\"time_ns\":1600000000000000000},\"stage\":null,"
               "\"source\":{\"connected\":true,\"heard_ms_ago\":300,"
               "\"known\":{\"seq\":8,\"time_ns\":1}}}");
  assert_int_equal (o.point_ms, UINT64_C (1600000000000));
  o = observe (PAIR_NORMAL, false, "{\"role\":\"secondary\","
               "\"committed\":null}");
  assert_false (o.has_point);
}

static int
progress (enum pair_status status, bool at_source, const char *text)
{
  struct record *rec = calloc (1, sizeof *rec);
  json_t *json = json_loads (text, 0, NULL), *object = json_object ();
  int r;

  rec->status = status;
  r = monitor_progress (rec, json, at_source, object);
  json_decref (json);
  json_decref (object);
  free (rec);
  return r;
}

static void
progress_is_bounded (void **state)
{
  (void) state;
  assert_int_equal (progress (PAIR_INITIAL_SYNCING, true,
                              "{\"link\":{\"progress\":42}}"), 42);
  assert_int_equal (progress (PAIR_INITIAL_SYNCING, true,
                              "{\"link\":{\"progress\":420}}"), 100);
  assert_int_equal (progress (PAIR_INITIAL_SYNCING, true,
                              "{\"link\":{\"progress\":-1}}"), 0);
  assert_int_equal (progress (PAIR_INITIAL_SYNCING, false,
                              "{\"source\":{\"progress\":7}}"), 7);
  assert_int_equal (progress (PAIR_INITIAL_SYNCING, true, "{}"), 0);
  assert_int_equal (progress (PAIR_NORMAL, true, "{}"), 100);
  assert_int_equal (progress (PAIR_CREATED, true, "{}"), 0);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (events),
    cmocka_unit_test (old_oneshot),
    cmocka_unit_test (recovery_point),
    cmocka_unit_test (progress_is_bounded),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}

/* An allocation that fails costs one request: that gets ENOMEM and has changed
 * all of its record or nothing, and everything after it goes on, be it a
 * guest's or the cleaner's allocation.  An opening, a growth, a change of role
 * or a check that gets no memory says so, and has changed nothing; a checkpoint
 * needs none.
 *
 * malloc and its like are replaced when the test is linked (--wrap).  On real
 * files, so that what allocates is the volume alone; the test's own thread
 * cannot fail but while it is in a call of the volume.
 */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "volume-internal.h"
#include "volume-model.h"

#define BLOCK VOLUME_BLOCK_SIZE
#define MIB (UINT64_C (1) << 20)

/* Checkpoints all the time, and so little room that the cleaner works. */
#define SIZE (12 * MIB)
#define CAPACITY (48 * MIB)

static const struct volume_options options = {
  .staging_bytes = 6 << 20, .commit_delay_ms = 1, .checkpoint_bytes = MIB,
};

/* ------------------------------------------------------------------ */

static atomic_int countdown = -1;      /* 0: the next one; below: none */
static atomic_uint failures;
static _Thread_local bool is_test;     /* its allocations do not fail */

static bool
is_to_fail (void)
{
  if (is_test || atomic_load (&countdown) < 0 ||
      atomic_fetch_sub (&countdown, 1) != 0)
    return false;
  atomic_fetch_add (&failures, 1);
  errno = ENOMEM;
  return true;
}

extern void *__real_malloc (size_t size);
extern void *__real_calloc (size_t n, size_t size);
extern void *__real_realloc (void *p, size_t size);
extern void *__real_aligned_alloc (size_t alignment, size_t size);
extern int __real_posix_memalign (void **ret, size_t alignment, size_t size);
extern char *__real_strdup (const char *s);
extern void *__wrap_malloc (size_t size);
extern void *__wrap_calloc (size_t n, size_t size);
extern void *__wrap_realloc (void *p, size_t size);
extern void *__wrap_aligned_alloc (size_t alignment, size_t size);
extern int __wrap_posix_memalign (void **ret, size_t alignment, size_t size);
extern char *__wrap_strdup (const char *s);

void *
__wrap_malloc (size_t size)
{
  return is_to_fail () ? NULL : __real_malloc (size);
}

void *
__wrap_calloc (size_t n, size_t size)
{
  return is_to_fail () ? NULL : __real_calloc (n, size);
}

void *
__wrap_realloc (void *p, size_t size)
{
  return is_to_fail () ? NULL : __real_realloc (p, size);
}

void *
__wrap_aligned_alloc (size_t alignment, size_t size)
{
  return is_to_fail () ? NULL : __real_aligned_alloc (alignment, size);
}

int
__wrap_posix_memalign (void **ret, size_t alignment, size_t size)
{
  return is_to_fail () ? ENOMEM : __real_posix_memalign (ret, alignment,
                                                         size);
}

char *
__wrap_strdup (const char *s)
{
  return is_to_fail () ? NULL : __real_strdup (s);
}

/* A call of the volume, in which allocations may fail. */
#define IN_VOLUME(call)                                                 \
  ({                                                                    \
    __typeof__ (call) ret_;                                             \
    is_test = false;                                                    \
    ret_ = (call);                                                      \
    is_test = true;                                                     \
    ret_;                                                               \
  })

/* ------------------------------------------------------------------ */

struct place {
  char dir[256], path[300];
  uint64_t rng;
  struct volume *v;
  struct model model;
  uint8_t *buf;
};

static void
open_volume (struct place *p)
{
  struct error err = ERROR_INIT;

  p->v = volume_open (NULL, p->path, &options, &err);
  CHECK (p->v, "%s", err.message);
}

static void
begin (struct place *p, uint64_t seed)
{
  const struct volume_params params = { SIZE, CAPACITY, 4 * MIB };
  const char *tmp = getenv ("TMPDIR");
  struct error err = ERROR_INIT;

  is_test = true;
  memset (p, 0, sizeof *p);
  p->rng = seed;
  p->buf = malloc (RANDOM_WRITE_MAX);
  CHECK (p->buf, "no memory");
  snprintf (p->dir, sizeof p->dir, "%s/pairdisk-no-memory.XXXXXX",
            tmp ? tmp : "/var/tmp");
  CHECK (mkdtemp (p->dir), "%s", strerror (errno));
  snprintf (p->path, sizeof p->path, "%s/disk", p->dir);
  CHECK (volume_create (NULL, p->path, &params, &err) == 0, "%s",
         err.message);
  model_init (&p->model, SIZE);
  open_volume (p);
}

static void
close_volume (struct place *p)
{
  struct error err = ERROR_INIT;

  CHECK (volume_close (p->v, &err) == 0, "%s", err.message);
  p->v = NULL;
}

static void
end (struct place *p)
{
  struct volume_check_result result;
  struct error err = ERROR_INIT;

  check_all (p->v, &p->model);
  close_volume (p);
  CHECK (volume_check (NULL, p->path, NULL, NULL, NULL, &result, &err) == 0 &&
         result.findings == 0, "%s, %" PRIu64 " findings", err.message,
         result.findings);
  open_volume (p);
  check_all (p->v, &p->model);
  close_volume (p);
  CHECK (volume_destroy (NULL, p->path, &err) == 0, "%s", err.message);
  CHECK (rmdir (p->dir) == 0, "%s", strerror (errno));
  model_release (&p->model);
  free (p->buf);
}

static void
check_alive (struct place *p)
{
  struct volume_status status;

  volume_get_status (p->v, &status);
  CHECK (!status.is_failed, "%s", status.failure);
}

/* ------------------------------------------------------------------ */

/* A request that failed: what is there now is as before or as wanted. */
static void
adopt (struct place *p, uint64_t count, uint64_t offset)
{
  uint8_t *now = malloc (count);

  CHECK (now, "no memory");
  atomic_store (&countdown, -1);
  CHECK (volume_read (p->v, now, count, offset) == 0, "%s",
         strerror (errno));
  if (memcmp (now, p->buf, count) == 0)
    model_write (&p->model, now, count, offset);
  else
    CHECK (memcmp (now, p->model.data + offset, count) == 0,
           "half of a record of %" PRIu64 " bytes at %" PRIu64, count,
           offset);
  free (now);
}

/* One record: whole blocks, or a part of one. */
static int
write_one (struct place *p)
{
  uint64_t offset, count, room;
  bool is_zero = random_chance (&p->rng, 10);
  int r;

  if (random_chance (&p->rng, 15)) {
    offset = random_below (&p->rng, SIZE / BLOCK) * BLOCK;
    count = 1 + random_below (&p->rng, BLOCK - 1);
    offset += random_below (&p->rng, BLOCK - count);
  }
  else {
    offset = random_below (&p->rng, SIZE / BLOCK) * BLOCK;
    room = (SIZE - offset) / BLOCK;
    if (room > VOLUME_RECORD_BLOCKS_MAX)
      room = VOLUME_RECORD_BLOCKS_MAX;
    count = (1 + random_below (&p->rng, room)) * BLOCK;
  }
  if (is_zero) {
    memset (p->buf, 0, count);
    r = IN_VOLUME (volume_zero (p->v, count, offset, 0));
  }
  else {
    fill_random (&p->rng, p->buf, count);
    r = IN_VOLUME (volume_write (p->v, p->buf, count, offset,
                                 random_chance (&p->rng, 10)
                                 ? VOLUME_FUA : 0));
  }
  if (r == 0)
    model_write (&p->model, p->buf, count, offset);
  else {
    int saved = errno;

    adopt (p, count, offset);
    errno = saved;
  }
  return r;
}

static int
read_one (struct place *p)
{
  uint64_t offset = random_below (&p->rng, SIZE - MIB);
  uint64_t count = 1 + random_below (&p->rng, MIB);
  uint8_t *buf = malloc (count);
  int r;

  CHECK (buf, "no memory");
  r = IN_VOLUME (volume_read (p->v, buf, count, offset));
  CHECK (r == -1 || memcmp (buf, p->model.data + offset, count) == 0,
         "wrong data");
  free (buf);
  return r;
}

static void
test_requests (void **state)
{
  uint64_t i, ops = test_begin (2500), refused = 0, moved;
  struct error err = ERROR_INIT;
  struct place p;
  unsigned kind;
  int r;

  (void) state;
  begin (&p, test_round_seed (0));
  atomic_store (&failures, 0);
  for (i = 0; test_goes_on (i, ops); ++i) {
    if (atomic_load (&countdown) < 0)
      atomic_store (&countdown, (int) random_below (&p.rng, 20));
    kind = random_below (&p.rng, 100);
    if (kind < 65)
      r = write_one (&p);
    else if (kind < 90)
      r = read_one (&p);
    else if (kind < 95)
      r = IN_VOLUME (volume_flush (p.v));
    else {
      r = IN_VOLUME (checkpoint (p.v, false, &err));
      CHECK (r == 0, "%s", err.message);
    }
    if (r == -1) {
      CHECK (errno == ENOMEM, "operation %" PRIu64 ": %s", i,
             strerror (errno));
      refused++;
      CHECK (refused <= atomic_load (&failures),
             "%" PRIu64 " requests were refused for %u allocations", refused,
             atomic_load (&failures));
    }
    check_alive (&p);
  }
  atomic_store (&countdown, -1);
  moved = cold_position (p.v) - COLD_LAP_BASE * p.v->super.segment_size;
  printf ("# %u allocations failed, %" PRIu64 " requests were refused, %"
          PRIu64 " bytes moved\n", atomic_load (&failures), refused, moved);
  if (i >= 2500)
    CHECK (refused > 0 && refused < atomic_load (&failures) && moved > 0,
           "a test of nothing");
  end (&p);
}

/* ------------------------------------------------------------------ */
/* Each allocation of what a user or an agent asks for. */

/* Its threads are not to take the failure away. */
static void
close_and_keep_countdown (struct place *p)
{
  int nth = atomic_exchange (&countdown, -1);

  close_volume (p);
  atomic_store (&countdown, nth);
}

static int
do_open (struct place *p, struct error *err)
{
  close_and_keep_countdown (p);
  p->v = IN_VOLUME (volume_open (NULL, p->path, &options, err));
  if (p->v)
    return 0;
  atomic_store (&countdown, -1);
  open_volume (p);
  errno = err->errnum;
  return -1;
}

static int
do_resize (struct place *p, struct error *err)
{
  uint64_t size = volume_size (p->v) + BLOCK;
  struct volume_status before, after;
  int r;

  volume_get_status (p->v, &before);
  r = IN_VOLUME (volume_resize (p->v, size, before.capacity + 4 * MIB, err));
  if (r == 0)
    model_grow (&p->model, size);
  volume_get_status (p->v, &after);
  CHECK (volume_size (p->v) == p->model.size &&
         after.size == p->model.size &&
         after.capacity == before.capacity + (r == 0 ? 4 * MIB : 0),
         "half grown");
  return r;
}

static int
do_checkpoint (struct place *p, struct error *err)
{
  int r = IN_VOLUME (checkpoint (p->v, false, err));

  CHECK (r == 0, "%s", err->message);
  return r;
}

/* All of it or nothing; nothing is what a call that failed leaves. */
static int
change_role (struct place *p, enum volume_role role, struct error *err)
{
  static const struct uuid pair = { { 1 } };
  struct volume_status before, after;
  int r;

  volume_get_status (p->v, &before);
  r = IN_VOLUME (volume_set_role (p->v, role, &pair, before.fence + 1, err));
  volume_get_status (p->v, &after);
  CHECK (after.role == (r == 0 ? role : before.role) &&
         after.fence == before.fence + (r == 0), "%s with fence %" PRIu64
         " became %s with %" PRIu64 ": %s", volume_role_name (before.role),
         before.fence, volume_role_name (after.role), after.fence,
         r == 0 ? "done" : err->message);
  return r;
}

/* What follows begins with a disk on its own. */
static void
end_pair (struct place *p)
{
  struct error err = ERROR_INIT;

  atomic_store (&countdown, -1);
  CHECK (change_role (p, VOLUME_ROLE_STANDALONE, &err) == 0, "%s",
         err.message);
}

/* To primary, secondary and back: the first that fails ends it. */
static int
do_roles (struct place *p, struct error *err)
{
  int r = change_role (p, VOLUME_ROLE_PRIMARY, err);

  if (r == 0)
    r = change_role (p, VOLUME_ROLE_SECONDARY, err);
  if (r == 0)
    r = change_role (p, VOLUME_ROLE_STANDALONE, err);
  if (r == -1) {
    end_pair (p);
    errno = err->errnum;
  }
  return r;
}

static int
do_meet_fence (struct place *p, struct error *err)
{
  struct volume_status before, after;
  int r;

  volume_get_status (p->v, &before);
  r = IN_VOLUME (volume_meet_fence (p->v, before.fence + 1, err));
  volume_get_status (p->v, &after);
  CHECK (after.is_fenced == (r == 0), "half fenced: %s", err->message);
  end_pair (p);
  errno = err->errnum;
  return r;
}

static int
do_scrub (struct place *p, struct error *err)
{
  struct volume_scrub_result result = { 0 };
  uint64_t block = 0;
  int r = 0;

  while (r == 0 && block < volume_size (p->v) / BLOCK)
    r = IN_VOLUME (volume_scrub (p->v, &block, 4096, &result));
  CHECK (result.errors == 0, "the scrub found damage");
  return r == 0 ? 0 : error_set_errno (err, errno, "scrub");
}

static void
refuse_finding (void *opaque, const struct volume_finding *f)
{
  (void) opaque;
  CHECK (false, "the check found damage: %s at %" PRIu64 ", block %" PRId64
         ": %s", f->file, f->position, f->block, f->what);
}

static int
do_check (struct place *p, struct error *err)
{
  struct volume_check_result result = { 0 };
  int r;

  close_and_keep_countdown (p);
  r = IN_VOLUME (volume_check (NULL, p->path, refuse_finding, NULL, NULL,
                               &result, err));
  atomic_store (&countdown, -1);
  open_volume (p);
  errno = err->errnum;
  return r;
}

static int
do_rebuild (struct place *p, struct error *err)
{
  struct volume_rebuild_result result;
  int r;

  close_and_keep_countdown (p);
  r = IN_VOLUME (volume_rebuild_map (NULL, p->path, NULL, NULL, &result,
                                     err));
  atomic_store (&countdown, -1);
  open_volume (p);
  errno = err->errnum;
  return r;
}

static void
test_calls (void **state)
{
  static const struct {
    const char *name;
    int (*fn) (struct place *p, struct error *err);
  } calls[] = {
    { "open", do_open }, { "resize", do_resize },
    { "checkpoint", do_checkpoint }, { "roles", do_roles },
    { "meet fence", do_meet_fence }, { "scrub", do_scrub },
    { "check", do_check }, { "rebuild", do_rebuild },
  };
  struct error err;
  struct place p;
  unsigned nth, refused;
  size_t i;
  int r;

  (void) state;
  test_begin (1);
  begin (&p, test_round_seed (0));
  for (i = 0; i < 60; ++i)
    CHECK (write_one (&p) == 0, "%s", strerror (errno));
  for (i = 0; i < sizeof calls / sizeof calls[0]; ++i) {
    refused = 0;
    for (nth = 0; ; ++nth) {
      CHECK (nth < 500, "'%s' has no end", calls[i].name);
      err = (struct error) ERROR_INIT;
      atomic_store (&failures, 0);
      atomic_store (&countdown, (int) nth);
      r = calls[i].fn (&p, &err);
      CHECK (r == 0 || (errno == ENOMEM && err.message[0]),
             "'%s' without its allocation %u: %s (%s)", calls[i].name, nth,
             err.message, strerror (errno));
      refused += r == -1;
      atomic_store (&countdown, -1);
      check_alive (&p);
      CHECK (write_one (&p) == 0, "%s", strerror (errno));
      check_all (p.v, &p.model);
      if (atomic_load (&failures) == 0)
        break;
    }
    printf ("# %s: %u allocations, refused without %u\n", calls[i].name, nth,
            refused);
    fflush (stdout);
    CHECK (r == 0, "'%s' failed with all its memory", calls[i].name);
  }
  end (&p);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_requests),
    cmocka_unit_test (test_calls),
  };

  return cmocka_run_group_tests_name ("volume without memory", tests, NULL,
                                      NULL);
}

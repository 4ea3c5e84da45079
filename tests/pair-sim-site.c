/* A site: what plugin/ makes of a volume, a receiver and a sender, without
 * nbdkit, JSON and files (see pair-sim.h).
 *
 * Power may fail in any call; then calls return -1 and sim_is_off is true.
 */

#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "generations.h"
#include "net-sim.h"
#include "pair-sim.h"
#include "sched-sim.h"
#include "volume-internal.h"

#define BLOCK VOLUME_BLOCK_SIZE
#define TELL_MS 100

struct world world;
const struct uuid sim_pair = { { 7, 7, 7 } };

static const struct volume_options options = {
  .staging_bytes = 6 << 20, .commit_delay_ms = 1
};

void
say (const char *fmt, ...)
{
  int saved = errno;
  va_list ap;

  fprintf (stderr, "# %12.6f ", sched_now () / 1e9);
  va_start (ap, fmt);
  vfprintf (stderr, fmt, ap);
  va_end (ap);
  fputc ('\n', stderr);
  errno = saved;
}

struct volume_status
site_status (struct site *s)
{
  struct volume_status status;

  volume_get_status (s->v, &status);
  return status;
}

/* ------------------------------------------------------------------ */
/* Logs and stores.                                                     */

/* No full copy once there was one. */
static void
look_at_log (struct site *s, const char *line)
{
  if (strncmp (line, "link is initial", 15) == 0) {
    world.count.initials++;
    CHECK (!s->other->was_synced, "a full copy to site %u", s->other->index);
  }
  else if (strncmp (line, "link is delta", 13) == 0)
    world.count.deltas++;
  else if (strncmp (line, "link is stream", 14) == 0)
    world.count.streams++;
  else if (strncmp (line, "link is fenced", 14) == 0)
    world.count.fenced++;
  else if (strncmp (line, "resume at", 9) == 0)
    world.count.resumed++;
}

static void
log_line (void *opaque, enum replica_log_level level, const char *line)
{
  (void) level;
  SAY ("  site %u: %s", ((struct site *) opaque)->index, line);
  look_at_log (opaque, line);
}

static void
log_sync (void *opaque, bool is_error, const char *line)
{
  (void) is_error;
  SAY ("  site %u: %s", ((struct site *) opaque)->index, line);
}

static int
store_sync (void *opaque, const struct sync_record *record,
            struct error *err)
{
  struct site *s = opaque;

  sched_sleep (random_below (&s->rng, 300000));
  if (sim_is_off (s->sim))
    return error_set (err, EIO, "power is off");
  s->record = *record;
  sched_sleep (random_below (&s->rng, 300000));
  return 0;
}

/* Nobody relies on what is not given, or on a lease that is over there: who
 * abandoned a promise answers nothing as long as it may be relied on.  (A
 * promise that ends when the peer is lost is none that could be relied on.)
 */
static void
check_promise (struct site *primary)
{
  struct site *s = primary->other;
  struct sync_status mode;
  uint64_t left_ms;

  if (!site_is_up (s) || s->sync == NULL ||
      s->record.heard != REPLICA_PROMISE_SUSPEND ||
      sync_prove_zero (s->sync, &left_ms) != SYNC_PROVEN)
    return;
  CHECK (primary->record.given == REPLICA_PROMISE_SUSPEND ||
         primary->record.abandoned != SYNC_ABANDONED_NONE,
         "site %u heard %s, %s was given", s->index,
         replica_promise_name (s->record.heard),
         replica_promise_name (primary->record.given));
  if (!site_is_up (primary) || primary->sync == NULL)
    return;
  sync_get_status (primary->sync, &mode);
  CHECK (primary->record.given == REPLICA_PROMISE_SUSPEND ||
         site_status (primary).is_fenced || mode.hold_ms >= left_ms,
         "site %u relies on what was abandoned for %" PRIu64 " ms, flushes "
         "wait %" PRIu64 " ms", s->index, left_ms, mode.hold_ms);
}

static void
force_sync (struct site *s)
{
  struct error err = ERROR_INIT;

  world.is_alone |= world.proven_to == s;
  sync_force (s->sync, &err);
}

/* ------------------------------------------------------------------ */
/* Receiver and sender (plugin/replication.c).                          */

static struct receiver_conn *
open_conn (void *opaque, struct error *err)
{
  struct site *s = opaque;

  return s->receiver == NULL ? NULL : receiver_conn_open (s->receiver, err);
}

static bool
is_off (void *opaque)
{
  struct site *s = opaque;

  return sim_is_off (s->sim);
}

static void
configure_sync (struct site *s)
{
  sync_configure (s->sync, &s->link.mode,
                  site_status (s).role == VOLUME_ROLE_PRIMARY &&
                  s->link.is_on);
}

static unsigned
interval_ms (struct site *s)
{
  return s->link.mode.is_sync ? 0 : s->link.interval_ms;
}

static void
start_sender (struct site *s)
{
  struct sender_config config = {
    .uri = s->index == 0 ? "nbd://1" : "nbd://0",
    .pair = sim_pair, .sync = s->sync,
    .options = { .connections = s->link.connections },
    .log = { log_line, s },
    .connect_ms = 300, .dead_ms = 300, .heartbeat_ms = 40,
    .backoff_min_ms = 5, .backoff_max_ms = 50, .refused_ms = 50,
    .interval_ms = interval_ms (s), .copy_bytes = s->link.copy_bytes,
    .cursor_bytes = s->link.cursor_bytes,
  };
  struct error err = ERROR_INIT;

  configure_sync (s);
  s->sender = sender_start (s->v, &config, &err);
  CHECK (s->sender, "%s", err.message);
}

static void
start_receiver (struct site *s, bool accepts)
{
  struct receiver_config config = {
    .pair = sim_pair, .sync = s->sync, .accept = accepts,
    .log = { log_line, s }, .gap_ms = 500,
  };
  struct error err = ERROR_INIT;

  s->receiver = receiver_new (s->v, &config, &err);
  CHECK (s->receiver, "%s", err.message);
}

static void
start_replication (struct site *s)
{
  struct volume_status status = site_status (s);

  configure_sync (s);
  if (status.is_fenced)
    sync_fenced (s->sync);
  if (status.role == VOLUME_ROLE_STANDALONE)
    return;
  if (!s->link.is_on)
    force_sync (s);
  start_receiver (s, status.role == VOLUME_ROLE_SECONDARY &&
                  s->link.accepts);
  if (status.role == VOLUME_ROLE_PRIMARY && s->link.is_on)
    start_sender (s);
}

static void
stop_sender (struct site *s)
{
  struct sender *sender = s->sender;

  s->sender = NULL;
  sender_stop (sender);
}

static void
stop_replication (struct site *s)
{
  struct receiver *receiver = s->receiver;

  stop_sender (s);
  s->receiver = NULL;
  receiver_free (receiver);
}

/* ------------------------------------------------------------------ */
/* Life.                                                                */

/* A disk takes its time. */
static int
slow_wait (struct io_queue *queue, bool wait, struct io_completion *ret,
           unsigned max)
{
  if (wait && random_chance (&world.rng, 30))
    sched_sleep (random_below (&world.rng, 400000));
  return sim_io (world.site[0].sim)->queue_wait (queue, wait, ret, max);
}

static int
slow_sync (struct io_file *file)
{
  if (random_chance (&world.rng, 30))
    sched_sleep (random_below (&world.rng, 400000));
  return sim_io (world.site[0].sim)->sync (file);
}

/* So that much happens while a copy reads. */
static int
slow_read (struct io_file *file, void *buf, size_t len, uint64_t offset)
{
  if (random_chance (&world.rng, world.is_copies ? 5 : 1))
    sched_sleep (random_below (&world.rng, 4000000));
  return sim_io (world.site[0].sim)->read (file, buf, len, offset);
}

void
site_create (struct site *s, uint64_t seed)
{
  uint64_t size = world.site[0].branch ? world.site[0].branch->model.size :
    VOLUME_SIZE_MIN + seed % (world.is_copies ? 2000 :
                              seed % 3 == 0 ? 1500 : 100) * BLOCK;
  struct volume_params params = { size, 0, 4 << 20 };
  struct error err = ERROR_INIT;

  s->rng = seed;
  s->guest.rng = random_next (&s->rng);
  s->sim = sim_new (random_next (&s->rng));
  s->io = *sim_io (s->sim);
  s->io.queue_wait = slow_wait;
  s->io.sync = slow_sync;
  s->io.read = slow_read;
  s->link.connections = 1 + random_below (&s->rng, 4);
  s->link.copy_bytes = 16384 << random_below (&s->rng, 8);
  s->link.cursor_bytes = 16384 << random_below (&s->rng, 9);
  s->guest.buf = malloc (RANDOM_WRITE_MAX);
  s->guest.old = malloc (RANDOM_WRITE_MAX);
  s->guest.pause_us = 1 + random_below (&s->rng, 20000);
  s->guest.end = size;
  params.capacity = (uint64_t) (32 + random_below (&s->rng, 48)) << 20;
  CHECK (volume_create (&s->io, "disk", &params, &err) == 0, "%s",
         err.message);
  if (s->index == 0) {
    struct volume_point none = { 0 };

    history_begin (size);
    s->branch = branch_new (&none, NULL);
  }
}

void
site_release (struct site *s)
{
  sim_free (s->sim);
  free (s->guest.buf);
  free (s->guest.old);
}

/* All of the disk; NULL: power failed. */
static uint8_t *
read_disk (struct site *s, struct volume *v)
{
  uint64_t size = volume_size (v), at, n;
  uint8_t *content = malloc (size);

  CHECK (content, "no memory");
  for (at = 0; at < size; at += n) {
    n = size - at < (1 << 20) ? size - at : 1 << 20;
    if (volume_read (v, content + at, n, at) == -1) {
      CHECK (sim_is_off (s->sim), "site %u cannot be read: %s", s->index,
             strerror (errno));
      free (content);
      return NULL;
    }
  }
  return content;
}

/* What the disk must be right after it was opened, before anything else. */
static bool
check_opened (struct site *s)
{
  struct volume_status status = site_status (s);
  uint8_t *content;
  struct place p;

  if (status.role == VOLUME_ROLE_SECONDARY && !status.is_synced) {
    CHECK (!s->was_synced, "site %u was promotable", s->index);
    return true;
  }
  content = read_disk (s, s->v);
  if (content == NULL)
    return false;
  p = place_of (&status.committed);
  CHECK (p.branch, "site %u shows a point that never was: %016" PRIx64 " %"
         PRIu64, s->index, status.committed.generation, status.committed.seq);
  if (!place_is (p, content))
    place_explain (p, content);
  CHECK (place_is (p, content), "site %u is not as it was at its point",
         s->index);
  if (status.role == VOLUME_ROLE_SECONDARY) {
    CHECK (s->seen.branch == NULL || place_holds (p, s->seen),
           "site %u was at seq %" PRIu64 " before, and is at %" PRIu64,
           s->index, s->seen.seq, p.seq);
  }
  else {
    CHECK (s->acked.branch == NULL || place_holds (p, s->acked),
           "site %u lost what was flushed: seq %" PRIu64 " of branch %u, it "
           "has %" PRIu64 " of %u", s->index, s->acked.seq,
           s->acked.branch->id, p.seq, p.branch->id);
    s->branch = branch_new (&status.committed, content);
  }
  free (content);
  return true;
}

/* Promote a copy of the disk as it lies there. */
static void
try_promotion (struct site *s)
{
  struct sim_snapshot *snapshot = sim_snapshot_take (s->sim);
  struct volume *v;
  struct volume_status status, after;
  struct error err = ERROR_INIT;
  uint8_t *content;
  struct place p;

  v = volume_open (&s->io, "disk", &options, &err);
  CHECK (v, "%s", err.message);
  volume_get_status (v, &status);
  if (status.role == VOLUME_ROLE_SECONDARY && status.is_synced) {
    CHECK (volume_receive_flush (v, &err) == 0 &&
           volume_stage_drop (v, &err) == 0 &&
           volume_set_role (v, VOLUME_ROLE_PRIMARY, &sim_pair,
                            status.fence + 1000, &err) == 0,
           "it cannot be promoted: %s", err.message);
    volume_get_status (v, &after);
    content = read_disk (s, v);
    p = place_of (&after.committed);
    CHECK (p.branch && place_is (p, content),
           "promoted, site %u is not as it was at its point", s->index);
    free (content);
    world.count.trials++;
  }
  volume_abandon (v);
  sim_snapshot_restore (s->sim, snapshot);
  sim_snapshot_free (snapshot);
}

/* Who would say now that it lacks nothing has every flush that was answered:
 * the peer answers nothing before it is durable.
 */
static bool
check_claim (struct site *s)
{
  const struct branch *writing = s->other->branch;
  struct place held, acked = s->other->acked;
  struct volume_status status;
  struct volume_point point;

  if (!site_is_up (s) || s->sync == NULL || acked.branch == NULL)
    return false;
  status = site_status (s);
  if (status.role != VOLUME_ROLE_SECONDARY || !status.is_synced ||
      sync_prove_zero (s->sync, NULL) != SYNC_PROVEN)
    return false;
  /* What is staged it would not show. */
  point = status.stage.is_active ? status.committed : status.durable;
  held = place_of (&point);
  /* Of a write that has not returned yet: newer than all that did. */
  if (held.branch == NULL && (writing->generation == 0 ||
                              writing->generation == point.generation))
    held = (struct place) { writing, point.seq };
  CHECK (held.branch && place_holds (held, acked), "site %u has seq %" PRIu64
         ", and claims to lack nothing; a flush of seq %" PRIu64
         " of branch %u was answered", s->index, held.seq, acked.seq,
         acked.branch->id);
  return true;
}

bool
site_open (struct site *s)
{
  struct sync_config config = { .record = s->record, .store = store_sync,
                                .log = log_sync, .opaque = s };
  struct volume_status status;
  struct error err = ERROR_INIT;

  if (sim_is_off (s->sim))
    sim_restart (s->sim);
  sim_crash_after (s->sim, UINT64_MAX, 0);
  sim_fail (s->sim, 0, 0, 0, false);
  s->is_full = false;
  if (random_chance (&s->rng, 50))
    try_promotion (s);
  if (world.fence > 0 && random_chance (&s->rng, 10))
    sim_crash_after (s->sim, random_below (&s->rng, 200),
                     random_next (&s->rng));
  s->v = volume_open (&s->io, "disk", &options, &err);
  if (s->v == NULL) {
    CHECK (sim_is_off (s->sim), "site %u: %s", s->index, err.message);
    return false;
  }
  if (sim_is_off (s->sim) || !check_opened (s)) {
    volume_abandon (s->v);
    s->v = NULL;
    return false;
  }
  s->sync = sync_new (&config, &err);
  CHECK (s->sync, "%s", err.message);
  world.count.provable += check_claim (s);
  net_power_on (s->index);
  start_replication (s);
  status = site_status (s);
  SAY ("site %u is up as %s", s->index, volume_role_name (status.role));
  if (world.fence > 0)
    guests_start (s);
  return true;
}

/* Where the secondary is: it will not be before that again. */
static void
note_seen (struct site *s)
{
  struct volume_status status = site_status (s);

  s->seen.branch = NULL;
  if (status.role == VOLUME_ROLE_SECONDARY && status.is_synced &&
      !status.stage.is_active && !status.discard.is_pending)
    s->seen = place_of (&status.committed);
}

static void
take_down (struct site *s)
{
  guests_stop (s);
  stop_replication (s);
  net_close_server (s->index);
}

void
site_crash (struct site *s, bool says_so)
{
  SAY ("site %u has no power%s", s->index, says_so ? ", and says so" : "");
  world.count.crashes++;
  if (!sim_is_off (s->sim))
    sim_crash (s->sim, random_next (&s->rng));
  net_power_off (s->index, says_so);
  note_seen (s);
  take_down (s);
  volume_abandon (s->v);
  sync_free (s->sync);
  s->v = NULL;
  s->sync = NULL;
}

void
site_close (struct site *s)
{
  struct error err = ERROR_INIT;
  int r;

  note_seen (s);
  take_down (s);
  r = volume_close (s->v, &err);
  CHECK (r == 0 || sim_is_off (s->sim) || s->is_full, "%s", err.message);
  net_power_off (s->index, true);
  sync_free (s->sync);
  s->v = NULL;
  s->sync = NULL;
  SAY ("site %u was closed", s->index);
}

bool
site_is_copied (struct site *s)
{
  struct sender_status link;

  if (!site_is_up (s) || !site_is_up (s->other) ||
      s->other->sender == NULL || !site_status (s).stage.is_active)
    return false;
  sender_get_status (s->other->sender, &link);
  return link.connected_ms > 0;
}

/* ------------------------------------------------------------------ */
/* Checks.                                                              */

static void
check_primary (struct site *s)
{
  const struct model *m = &s->branch->model;
  struct volume_status status = site_status (s);
  uint8_t *content = read_disk (s, s->v);

  if (content == NULL)
    return;
  CHECK (status.appended.seq == branch_last (s->branch), "seq %" PRIu64
         ", %" PRIu64 " were written", status.appended.seq,
         branch_last (s->branch));
  CHECK (memcmp (content, m->data, m->size) == 0,
         "site %u does not show what was written", s->index);
  free (content);
}

/* A write was refused that a secondary or a fenced primary must refuse. */
static void
check_refuses (struct site *s)
{
  static const uint8_t block[BLOCK];

  CHECK (volume_write (s->v, block, BLOCK, 0, 0) == -1,
         "site %u takes a write", s->index);
}

static void
check_secondary (struct site *s)
{
  uint64_t deadline = sched_now () + 200 * NS_PER_MSEC;
  bool is_right = false;

  check_refuses (s);
  check_promise (s->other);
  while (!is_right && site_is_up (s)) {
    struct volume_status status = site_status (s), after;
    struct place p = place_of (&status.committed);
    uint8_t *content;

    CHECK (status.is_synced || !s->was_synced, "site %u was promotable",
           s->index);
    if (!status.is_synced)
      return;
    s->was_synced |= status.committed.seq > 0;
    content = read_disk (s, s->v);
    if (content == NULL)
      return;
    after = site_status (s);
    is_right = p.branch && place_is (p, content);
    if (!is_right && sched_now () > deadline &&
        memcmp (&after.committed, &status.committed,
                sizeof after.committed) == 0) {
      CHECK (p.branch, "site %u shows a point that never was", s->index);
      place_explain (p, content);
      CHECK (is_right, "site %u is not as its primary was", s->index);
    }
    free (content);
    if (!is_right)
      sched_sleep (NS_PER_MSEC);
  }
}

void
site_check (struct site *s)
{
  struct volume_status status;

  if (!site_is_up (s))
    return;
  status = site_status (s);
  world.count.checks++;
  if (status.is_failed)
    return;                      /* power is failing */
  if (status.role == VOLUME_ROLE_SECONDARY)
    check_secondary (s);
  else if (s->branch != NULL)
    check_primary (s);
}

/* ------------------------------------------------------------------ */
/* Requests (plugin/control-*.c).                                       */

int
op_link_start (struct site *s)
{
  if (site_status (s).role != VOLUME_ROLE_PRIMARY)
    return -1;
  stop_sender (s);
  s->link.is_on = true;
  start_sender (s);
  return 0;
}

static void
take_promise_back (struct site *s)
{
  struct sender_status status;

  sync_configure (s->sync, &s->link.mode, false);
  if (s->sender == NULL)
    return;
  sender_get_status (s->sender, &status);
  if (status.connected_ms > 0) {
    sender_kick (s->sender);
    sync_wait_told (s->sync, TELL_MS);
  }
}

void
op_link_stop (struct site *s)
{
  take_promise_back (s);
  stop_sender (s);
  if (sim_is_off (s->sim))
    return;
  s->link.is_on = false;
  force_sync (s);
}

int
op_accept (struct site *s)
{
  if (site_status (s).role != VOLUME_ROLE_SECONDARY)
    return -1;
  s->link.accepts = true;
  receiver_set_accept (s->receiver, true);
  return 0;
}

int
op_replica_stop (struct site *s)
{
  struct error err = ERROR_INIT;

  if (site_status (s).role != VOLUME_ROLE_SECONDARY)
    return -1;
  s->link.accepts = false;
  if (receiver_stop_and_rollback (s->receiver, &err) == -1 ||
      sync_hear (s->sync, REPLICA_PROMISE_NONE, 0, &err) == -1) {
    CHECK (sim_is_off (s->sim) || s->is_full, "%s", err.message);
    return -1;
  }
  return 0;
}

bool
op_mode (struct site *s, const struct sync_settings *mode, bool force)
{
  bool is_told;

  s->link.mode = *mode;
  configure_sync (s);
  if (s->sender) {
    sender_set_interval (s->sender, interval_ms (s));
    sender_kick (s->sender);
  }
  is_told = sync_wait_told (s->sync, TELL_MS);
  if (!is_told && force)
    force_sync (s);
  return is_told;
}

void
op_interval (struct site *s, unsigned interval)
{
  s->link.interval_ms = interval;
  if (s->sender)
    sender_set_interval (s->sender, interval_ms (s));
}

static int
check_promoted (struct site *s)
{
  struct volume_status status = site_status (s);
  uint8_t *content = read_disk (s, s->v);
  struct place p = place_of (&status.committed);

  if (content == NULL)
    return -1;
  CHECK (p.branch, "site %u was promoted at a point that never was",
         s->index);
  if (!place_is (p, content))
    place_explain (p, content);
  CHECK (place_is (p, content), "site %u was promoted, and is not as its "
         "primary was", s->index);
  s->branch = branch_new (&status.committed, content);
  s->acked = p;
  free (content);
  return 0;
}

int
op_promote (struct site *s, uint64_t fence, bool *ret_proven)
{
  struct volume_status status = site_status (s);
  struct error err = ERROR_INIT;
  uint64_t left_ms;

  if (status.role != VOLUME_ROLE_SECONDARY || !status.is_synced ||
      fence <= status.fence)
    return -1;
  if (receiver_stop_and_rollback (s->receiver, &err) == -1 ||
      volume_receive_flush (s->v, &err) == -1)
    goto failed;
  s->link.accepts = false;
  *ret_proven = sync_prove_zero (s->sync, &left_ms) == SYNC_PROVEN;
  world.proven_until = sched_now () + left_ms * NS_PER_MSEC;
  if (volume_set_role (s->v, VOLUME_ROLE_PRIMARY, &sim_pair, fence,
                       &err) == -1)
    goto failed;
  if (sim_is_off (s->sim) || check_promoted (s) == -1)
    return -1;
  if (sync_reset (s->sync, &err) == -1)
    goto failed;
  return 0;

 failed:
  CHECK (sim_is_off (s->sim) || s->is_full, "site %u: %s", s->index,
         err.message);
  if (!sim_is_off (s->sim))
    receiver_set_accept (s->receiver, s->link.accepts);
  return -1;
}

static void
history_of (struct site *s, struct pair_history *ret)
{
  struct volume_status status = site_status (s);
  struct pair_point last = { status.committed.generation,
                             status.committed.seq };

  memset (ret, 0, sizeof *ret);
  for (uint32_t i = 0; i < status.generations.count; i++) {
    const struct volume_generation *g = &status.generations.table[i];

    pair_history_add (ret, g->id, g->first_seq, &g->writer);
  }
  CHECK (pair_history_close (ret, last), "site %u: its table does not fit",
         s->index);
}

int
op_demote (struct site *s, uint64_t fence, bool saves)
{
  struct pair_history mine, theirs;
  struct pair_point common = { 0, 0 };
  struct volume_tail tail;
  struct error err = ERROR_INIT;
  int r;

  if (site_status (s).role != VOLUME_ROLE_PRIMARY)
    return -1;
  guests_stop (s);
  if (volume_flush (s->v) == -1)
    goto failed;
  while (site_is_up (s) &&
         site_status (s).committed.seq < site_status (s).appended.seq)
    sched_sleep (NS_PER_MSEC);
  if (!site_is_up (s))
    return -1;
  history_of (s, &mine);
  history_of (s->other, &theirs);
  if (mine.last_seq > 0 && theirs.last_seq > 0)
    CHECK (pair_history_common (&mine, &theirs, &common) ==
           PAIR_COMMON_FOUND, "the two have nothing in common");
  if (volume_tail_measure (s->v, common.seq, false, &tail, &err) == -1)
    goto failed;
  CHECK (tail.writes == mine.last_seq - common.seq, "%" PRIu64 " writes are "
         "given up, %" PRIu64 " were named", mine.last_seq - common.seq,
         tail.writes);
  stop_replication (s);
  s->link.is_on = s->link.accepts = false;
  r = volume_demote (s->v, fence, common.generation, common.seq,
                     saves && tail.writes > 0, &err);
  if (r == 0 && !sim_is_off (s->sim))
    SAY ("site %u gives up %" PRIu64 " writes after seq %" PRIu64, s->index,
         tail.writes, common.seq);
  start_replication (s);
  if (r == -1)
    goto failed;
  s->seen.branch = NULL;
  return sim_is_off (s->sim) ? -1 : 0;

 failed:
  CHECK (sim_is_off (s->sim) || s->is_full, "site %u: %s", s->index,
         err.message);
  return -1;
}

/* pair.set with the same role and a higher fence. */
int
op_raise (struct site *s, uint64_t fence)
{
  struct error err = ERROR_INIT;
  int r;

  stop_replication (s);
  r = volume_set_role (s->v, site_status (s).role, &sim_pair, fence, &err);
  CHECK (r == 0 || sim_is_off (s->sim) || s->is_full, "%s", err.message);
  start_replication (s);
  return r;
}

/* ------------------------------------------------------------------ */
/* Guests (plugin/guest.c): one writes, one flushes.                    */

static bool
is_gone (unsigned i)
{
  return !world.site[i].guest.is_on || sim_is_off (world.site[i].sim);
}

static bool
is_gone_0 (void)
{
  return is_gone (0);
}

static bool
is_gone_1 (void)
{
  return is_gone (1);
}

static int
wait_for_peer (struct site *s, uint64_t seq)
{
  return seq == 0 ? 0 :
    sync_wait (s->sync, seq, s->index == 0 ? is_gone_0 : is_gone_1);
}

static uint64_t
seq_for_peer (struct site *s)
{
  struct volume_point appended;

  if (!sync_is_required (s->sync))
    return 0;
  volume_get_points (s->v, &appended, NULL);
  return appended.seq;
}

/* A flush covers all that is in PLACE. */
static void
note_acked (struct site *s, struct place place)
{
  if (sim_is_off (s->sim))
    return;
  s->acked = place;
  world.count.flushes++;
  check_claim (s->other);
  if (world.proven_to == s)
    CHECK (place_holds (world.proven, place) ||
           (world.is_alone && sched_now () >= world.proven_until),
           "site %u answered a flush of seq %" PRIu64 ", and the other was "
           "promoted with a proof at %" PRIu64, s->index, place.seq,
           world.proven.seq);
}

static void
flush_once (struct site *s)
{
  struct place place = { s->branch, branch_last (s->branch) };
  uint64_t seq = seq_for_peer (s);

  if (volume_flush (s->v) == 0 && wait_for_peer (s, seq) == 0)
    note_acked (s, place);
}

/* A call that failed may have been done in part, from its beginning. */
static void
undo (struct site *s, uint64_t step, uint64_t offset, uint64_t count)
{
  struct model *m = &s->branch->model;
  struct guest *g = &s->guest;
  uint64_t done = 0, n;

  for (; done < count; done += n) {
    n = BLOCK - (offset + done) % BLOCK;
    if (n > count - done)
      n = count - done;
    if (volume_read (s->v, g->buf, n, offset + done) == -1 ||
        memcmp (g->buf, m->data + offset + done, n) != 0)
      break;
    step++;
  }
  branch_undo (s->branch, step, offset + done, count - done,
               g->old + done);
}

static void
write_once (struct site *s)
{
  struct guest *g = &s->guest;
  struct branch *b = s->branch;
  struct model *m = &b->model;
  bool was_fenced = site_status (s).is_fenced;
  bool is_fua = random_chance (&g->rng, 5);
  bool is_zero = random_chance (&g->rng, 15);
  uint64_t max = random_chance (&g->rng, g->is_busy ? 20 : 3) ?
    RANDOM_WRITE_MAX :
    random_chance (&g->rng, 70) ? 2 * BLOCK : 16 * BLOCK;
  uint64_t unit = random_chance (&g->rng, 70) ? BLOCK : 1;
  uint64_t offset, count, step = m->step, last = branch_last (b);
  struct volume_point appended;
  int r, errnum;

  offset = g->first + random_below (&g->rng, (g->end - g->first) / unit) *
    unit;
  count = (1 + random_below (&g->rng, max / unit)) * unit;
  if (count > g->end - offset)
    count = g->end - offset;
  memcpy (g->old, m->data + offset, count);
  if (is_zero) {
    model_zero (m, count, offset);
    r = volume_zero (s->v, count, offset, (is_fua ? VOLUME_FUA : 0) |
                     (random_chance (&g->rng, 50) ? VOLUME_TRIM : 0));
  }
  else {
    fill_random (&g->rng, g->buf, count);
    model_write (m, g->buf, count, offset);
    r = volume_write (s->v, g->buf, count, offset, is_fua ? VOLUME_FUA : 0);
  }
  errnum = errno;
  volume_get_points (s->v, &appended, NULL);
  if (r == -1 && !sim_is_off (s->sim)) {
    CHECK ((errnum == ENOSPC && s->is_full) || site_status (s).is_fenced ||
           sim_is_off (s->sim), "write: %s", strerror (errnum));
    undo (s, step, offset, count);
  }
  branch_note (b, &appended, r == -1 && sim_is_off (s->sim));
  CHECK (!was_fenced || appended.seq == last, "fenced, it took a write");
  world.count.writes++;
  if (r == 0 && is_fua && wait_for_peer (s, seq_for_peer (s)) == 0)
    note_acked (s, (struct place) { b, branch_last (b) });
}

static void
read_once (struct site *s)
{
  const struct model *m = &s->branch->model;
  uint64_t offset = random_below (&s->guest.rng, m->size);
  uint64_t count = 1 + random_below (&s->guest.rng, 8 * BLOCK);

  if (count > m->size - offset)
    count = m->size - offset;
  CHECK (try_read (s->v, m, count, offset) == 0 || sim_is_off (s->sim),
         "read: %s", strerror (errno));
}

static void
rest (struct guest *g)
{
  if (g->is_busy) {
    sched_sleep (random_below (&g->rng, 200000));
    return;
  }
  sched_sleep (random_below (&g->rng, 2000 * g->pause_us));
  if (random_chance (&g->rng, 2))
    sched_sleep (100 * NS_PER_MSEC);
}

static void
writer (void *opaque)
{
  struct site *s = opaque;
  struct guest *g = &s->guest;

  while (!g->is_over) {
    bool has_power = !sim_is_off (s->sim);

    /* From here to 'writes' nobody else runs. */
    g->is_on = g->is_on && has_power;
    if (!g->is_on) {
      sched_wake (g);
      sched_wait (g, SCHED_NEVER);
      continue;
    }
    g->writes = true;
    if (random_chance (&g->rng, 85))
      write_once (s);
    else
      read_once (s);
    g->writes = false;
    sched_wake (g);
    rest (g);
  }
}

static void
flusher (void *opaque)
{
  struct site *s = opaque;
  struct guest *g = &s->guest;

  while (!g->is_over) {
    if (!g->is_on) {
      sched_wait (g, SCHED_NEVER);
      continue;
    }
    g->flushes = true;
    if (!sim_is_off (s->sim))
      flush_once (s);
    g->flushes = false;
    sched_wake (g);
    for (unsigned i = random_below (&g->rng, 10); i > 0; i--)
      rest (g);
    if (sim_is_off (s->sim) && g->is_on)
      sched_wait (g, SCHED_NEVER);
  }
}

void
guest_threads (struct site *s)
{
  s->guest.is_over = false;
  sched_spawn ("writer", writer, s);
  sched_spawn ("flusher", flusher, s);
}

void
guest_threads_end (struct site *s)
{
  guests_stop (s);
  s->guest.is_over = true;
  sched_wake (&s->guest);
  sched_sleep (NS_PER_SEC * 30);
}

void
guests_start (struct site *s)
{
  if (!site_is_up (s) || s->branch == NULL ||
      site_status (s).role == VOLUME_ROLE_SECONDARY)
    return;
  s->guest.is_on = true;
  sched_wake (&s->guest);
}

void
guests_stop (struct site *s)
{
  struct guest *g = &s->guest;

  g->is_on = false;
  sched_wake (g);
  while (g->writes || g->flushes)
    sched_wait (g, SCHED_NEVER);
}

void
site_net (struct site *s, struct net_site *ret)
{
  *ret = (struct net_site) { .open = open_conn, .is_off = is_off,
                             .opaque = s };
}

/* What plugin/replication.c makes of a volume: receiver, sender and mode, as
 * the role and the link settings say, without nbdkit and files (see
 * pair-sim.h).
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "net-sim.h"
#include "pair-sim-internal.h"
#include "sched-sim.h"

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

/* It takes its time, and power may fail in it. */
static int
be_storing (struct site *s, struct error *err)
{
  sched_sleep (random_below (&s->rng, 300000));
  if (world.fence > 0 && !world.is_well && random_below (&s->rng, 300) == 0)
    sim_crash (s->sim, random_next (&s->rng));
  return sim_is_off (s->sim) ? error_set (err, EIO, "power is off") : 0;
}

static int
store_sync (void *opaque, const struct sync_record *record,
            struct error *err)
{
  struct site *s = opaque;

  if (be_storing (s, err) == -1)
    return -1;
  s->record = *record;           /* replaced as one step */
  return be_storing (s, err);
}

void
site_sync_new (struct site *s)
{
  struct sync_config config = { .record = s->record, .store = store_sync,
                                .log = log_sync, .opaque = s };
  struct error err = ERROR_INIT;

  s->sync = sync_new (&config, &err);
  CHECK (s->sync, "%s", err.message);
}

void
site_force_sync (struct site *s)
{
  struct error err = ERROR_INIT;

  world.is_alone |= world.proven_to == s;
  sync_force (s->sync, &err);
}

/* ------------------------------------------------------------------ */
/* Receiver and sender.                                                 */

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

void
site_configure_sync (struct site *s)
{
  sync_configure (s->sync, &s->link.mode,
                  site_status (s).role == VOLUME_ROLE_PRIMARY &&
                  s->link.is_on);
}

unsigned
site_interval_ms (struct site *s)
{
  return s->link.mode.is_sync ? 0 : s->link.interval_ms;
}

void
site_start_sender (struct site *s)
{
  struct sender_config config = {
    .uri = s->index == 0 ? "nbd://1" : "nbd://0",
    .pair = sim_pair, .sync = s->sync,
    .options = { .connections = s->link.connections },
    .log = { log_line, s },
    .connect_ms = 300, .dead_ms = 300, .heartbeat_ms = 40,
    .backoff_min_ms = 5, .backoff_max_ms = 50, .refused_ms = 50,
    .interval_ms = site_interval_ms (s), .copy_bytes = s->link.copy_bytes,
    .cursor_bytes = s->link.cursor_bytes,
  };
  struct error err = ERROR_INIT;

  site_configure_sync (s);
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

void
site_start_replication (struct site *s)
{
  struct volume_status status = site_status (s);

  site_configure_sync (s);
  if (status.is_fenced)
    sync_fenced (s->sync);
  if (status.role == VOLUME_ROLE_STANDALONE)
    return;
  if (!s->link.is_on)
    site_force_sync (s);
  start_receiver (s, status.role == VOLUME_ROLE_SECONDARY &&
                  s->link.accepts);
  if (status.role == VOLUME_ROLE_PRIMARY && s->link.is_on)
    site_start_sender (s);
}

void
site_stop_sender (struct site *s)
{
  struct sender *sender = s->sender;

  s->sender = NULL;
  sender_stop (sender);
}

void
site_stop_replication (struct site *s)
{
  struct receiver *receiver = s->receiver;

  site_stop_sender (s);
  s->receiver = NULL;
  receiver_free (receiver);
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

void
site_net (struct site *s, struct net_site *ret)
{
  *ret = (struct net_site) { .open = open_conn, .is_off = is_off,
                             .opaque = s };
}

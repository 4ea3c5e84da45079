/* Sender and receiver of a disk.  See replication.h. */

#include <config.h>

#include <errno.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "cleanup.h"
#include "disks.h"
#include "log.h"
#include "repairer.h"
#include "replication.h"
#include "syncfile.h"

#define PAGE_MS 2000            /* for repair and verification */

void
replication_init (struct replication *r)
{
  pthread_mutex_init (&r->lock, NULL);
}

void
replication_release (struct replication *r)
{
  sync_free (r->sync);
  pthread_mutex_destroy (&r->lock);
}

static void
log_line (void *opaque, enum replica_log_level level, const char *line)
{
  const struct disk *disk = opaque;

  if (level == REPLICA_LOG_ERROR)
    nbdkit_error ("disk '%s': %s", disk->name, line);
  else
    log_info ("disk '%s': %s", disk->name, line);
}

static void
log_sync (void *opaque, bool is_error, const char *line)
{
  log_line (opaque, is_error ? REPLICA_LOG_ERROR : REPLICA_LOG_INFO, line);
}

static int
store_sync (void *opaque, const struct sync_record *record,
            struct error *err)
{
  const struct disk *disk = opaque;

  return syncfile_store (disk->dirfd, record, err);
}

int
replication_load_sync (struct disk *disk, struct error *err)
{
  struct sync_config config = { .store = store_sync, .log = log_sync,
                                .opaque = disk };
  int r = syncfile_load (disk->dirfd, &config.record, err);

  disk->replication.sync = sync_new (&config, r == 0 ? err : NULL);
  return disk->replication.sync == NULL ? -1 : r;
}

void
replication_configure_sync (struct disk *disk)
{
  struct volume_status status;

  volume_get_status (disk->volume, &status);
  sync_configure (disk->replication.sync, &disk->link.mode,
                  status.role == VOLUME_ROLE_PRIMARY && disk->link.is_on &&
                  !disk->link.is_oneshot);
}

/* In sync mode all goes at once; a one-shot is one interval by itself. */
static unsigned
interval_ms (const struct disk *disk)
{
  return disk->link.mode.is_sync || disk->link.is_oneshot ? 0
    : disk->link.interval_seconds * 1000;
}

int
replication_errand (struct disk *disk, struct errand_config *ret,
                    char uri[LINK_URI_MAX + 1], struct error *err)
{
  struct linkfile link;

  disk_get_link (disk, &link);
  if (!link.is_set || !link.is_on)
    return error_set (err, ENOTCONN, "the link is off");
  memset (ret, 0, sizeof *ret);
  strcpy (uri, link.uri);
  ret->uri = uri;
  ret->pair = link.pair;
  memcpy (ret->secret, link.secret, sizeof ret->secret);
  ret->options = link.options;
  ret->page_ms = PAGE_MS;
  explicit_bzero (&link.secret, sizeof link.secret);
  return 0;
}

static struct repairer *
start_repairer (struct disk *disk, struct error *err)
{
  const struct replica_log log = { log_line, disk };
  struct errand_config config;
  char uri[LINK_URI_MAX + 1];
  struct repairer *repairer;

  if (replication_errand (disk, &config, uri, err) == -1)
    return NULL;
  repairer = repairer_start (disk->volume, &config, &log, err);
  explicit_bzero (&config.secret, sizeof config.secret);
  return repairer;
}

int
replication_start_sender (struct disk *disk, struct error *err)
{
  struct sender_config config = {
    .uri = disk->link.uri,
    .pair = disk->link.pair,
    .oneshot = disk->link.is_oneshot,
    .interval_ms = interval_ms (disk),
    .sync = disk->replication.sync,
    .options = disk->link.options,
    .log = { log_line, disk },
  };
  struct sender *sender;

  replication_configure_sync (disk);
  config.repairer = start_repairer (disk, err);
  if (config.repairer == NULL)
    return -1;
  memcpy (config.secret, disk->link.secret, sizeof config.secret);
  sender = sender_start (disk->volume, &config, err);
  if (sender == NULL) {
    repairer_stop (config.repairer);
    return -1;
  }
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disk->replication.lock);
  disk->replication.sender = sender;
  disk->replication.repairer = config.repairer;
  return 0;
}

void
replication_stop_sender (struct disk *disk)
{
  struct sender *sender;
  struct repairer *repairer;

  pthread_mutex_lock (&disk->replication.lock);
  sender = disk->replication.sender;
  repairer = disk->replication.repairer;
  disk->replication.sender = NULL;
  disk->replication.repairer = NULL;
  pthread_mutex_unlock (&disk->replication.lock);
  repairer_quit (repairer);      /* the sender may wait for it */
  sender_stop (sender);
  repairer_stop (repairer);
}

int
replication_mend (struct disk *disk, const uint64_t *block, size_t count,
                  uint64_t *ret_id, struct error *err)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disk->replication.lock);
  if (disk->replication.sender == NULL)
    return error_set (err, ENOTCONN, "the link is off");
  return sender_mend (disk->replication.sender, block, count, ret_id, err);
}

enum sender_mend
replication_mend_state (struct disk *disk, uint64_t id)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disk->replication.lock);
  return disk->replication.sender == NULL ? SENDER_MEND_GONE :
    sender_mend_state (disk->replication.sender, id);
}

void
replication_mend_cancel (struct disk *disk)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disk->replication.lock);
  if (disk->replication.sender != NULL)
    sender_mend_cancel (disk->replication.sender);
}

void
replication_kick_sender (struct disk *disk)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disk->replication.lock);
  if (disk->replication.sender != NULL)
    sender_kick (disk->replication.sender);
}

static int
start_receiver (struct disk *disk, bool accepts, struct error *err)
{
  struct receiver_config config = {
    .pair = disk->link.pair,
    .sync = disk->replication.sync,
    .accept = accepts,
    .log = { log_line, disk },
  };
  struct receiver *receiver;

  memcpy (config.secret, disk->link.secret, sizeof config.secret);
  receiver = receiver_new (disk->volume, &config, err);
  if (receiver == NULL)
    return -1;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disk->replication.lock);
  disk->replication.receiver = receiver;
  return 0;
}

static void
stop_receiver (struct disk *disk)
{
  struct receiver *receiver;

  pthread_mutex_lock (&disk->replication.lock);
  receiver = disk->replication.receiver;
  disk->replication.receiver = NULL;
  pthread_mutex_unlock (&disk->replication.lock);
  receiver_free (receiver);
}

int
replication_start (struct disk *disk, struct error *err)
{
  struct volume_status status;

  volume_get_status (disk->volume, &status);
  replication_configure_sync (disk);
  if (status.is_fenced)
    sync_fenced (disk->replication.sync);

  /* A request that ended the pair or the link was interrupted. */
  if ((status.role == VOLUME_ROLE_STANDALONE &&
       sync_reset (disk->replication.sync, err) == -1) ||
      (disk->link.is_set && !disk->link.is_on &&
       sync_force (disk->replication.sync, err) == -1))
    return -1;
  if (status.role == VOLUME_ROLE_STANDALONE || !disk->link.is_set)
    return 0;

  if (start_receiver (disk, status.role == VOLUME_ROLE_SECONDARY &&
                      disk->link.accepts, err) == -1)
    return -1;
  if (salvage_start (&disk->salvage, disk->volume, disk->path, err) == -1) {
    stop_receiver (disk);
    return -1;
  }
  if (status.role == VOLUME_ROLE_PRIMARY && disk->link.is_on &&
      replication_start_sender (disk, err) == -1) {
    stop_receiver (disk);
    return -1;
  }
  return 0;
}

void
replication_stop (struct disk *disk)
{
  replication_stop_sender (disk);
  stop_receiver (disk);
  salvage_stop (&disk->salvage);
}

void
replication_set_interval (struct disk *disk)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disk->replication.lock);
  if (disk->replication.sender != NULL)
    sender_set_interval (disk->replication.sender, interval_ms (disk));
}

void
replication_set_limit (struct disk *disk, uint64_t limit_bps)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disk->replication.lock);
  if (disk->replication.sender != NULL)
    sender_set_limit (disk->replication.sender, limit_bps);
}

bool
replication_sender_status (struct disk *disk, struct sender_status *ret)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disk->replication.lock);
  if (disk->replication.sender == NULL)
    return false;
  sender_get_status (disk->replication.sender, ret);
  return true;
}

bool
replication_receiver_status (struct disk *disk, struct receiver_status *ret)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disk->replication.lock);
  if (disk->replication.receiver == NULL)
    return false;
  receiver_get_status (disk->replication.receiver, ret);
  return true;
}

struct receiver_conn *
replication_open (struct disk *disk, struct error *err)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&disk->replication.lock);
  if (disk->replication.receiver == NULL) {
    error_set (err, EPERM, "disk '%s' has no link: its pair was not set up",
               disk->name);
    return NULL;
  }
  return receiver_conn_open (disk->replication.receiver, err);
}

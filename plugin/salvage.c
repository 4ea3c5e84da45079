/* The thread that saves what a disk gives up (see salvage.h).
 *
 * The file's name is made of the disk's and of the last point that was given
 * up, so who begins anew after a crash replaces his own unfinished work and
 * nothing else.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "salvage.h"
#include "steps.h"

const char *
salvage_state_name (enum salvage_state state)
{
  switch (state) {
  case SALVAGE_NONE: return "none";
  case SALVAGE_RUNNING: return "running";
  case SALVAGE_DONE: return "done";
  case SALVAGE_FAILED: return "failed";
  }
  return "unknown";
}

void
salvage_init (struct salvage *s)
{
  pthread_mutex_init (&s->lock, NULL);
}

void
salvage_release (struct salvage *s)
{
  pthread_mutex_destroy (&s->lock);
}

static bool
note_progress (void *opaque, uint64_t done, uint64_t total)
{
  struct salvage *s = opaque;
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  s->status.done_bytes = done * VOLUME_BLOCK_SIZE;
  s->status.total_bytes = total * VOLUME_BLOCK_SIZE;
  return !s->is_stopping;
}

static void *
run (void *salvage)
{
  struct salvage *s = salvage;
  struct volume_status status;
  struct salvage_info info;
  struct error err = ERROR_INIT;
  int r;

  step_begins ("plugin.salvage");
  volume_get_status (s->volume, &status);
  r = volume_salvage (s->volume, status.discard.generation,
                      status.discard.seq, s->path, note_progress, s, &info,
                      &err);
  step_ended ("plugin.salvage.file");
  if (r == 0)
    r = volume_salvaged (s->volume, &err);
  step_ended ("plugin.salvage");

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);
  if (r == 0) {
    s->status.state = SALVAGE_DONE;
    s->status.file_bytes = info.length;
    snprintf (s->status.file, sizeof s->status.file, "%s", s->path);
  }
  else {
    s->status.state = SALVAGE_FAILED;
    snprintf (s->status.reason, sizeof s->status.reason, "%s", err.message);
  }
  return NULL;
}

static int
start_thread (struct salvage *s, struct error *err)
{
  int r;

  s->status.state = SALVAGE_RUNNING;
  r = pthread_create (&s->thread, NULL, run, s);
  if (r != 0) {
    s->status.state = SALVAGE_FAILED;
    return error_set_errno (err, r, "cannot start a thread");
  }
  s->has_thread = true;
  return 0;
}

int
salvage_start (struct salvage *s, struct volume *volume,
               const char *disk_path, struct error *err)
{
  struct volume_status status;
  struct volume_tail tail;

  volume_get_status (volume, &status);
  if (!status.discard.is_pending)
    return 0;
  salvage_stop (s);
  if (volume_tail_measure (volume, status.discard.seq, false, &tail, err) == -1)
    return -1;

  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);
  if (snprintf (s->path, sizeof s->path, "%s.%016" PRIx64 "-%" PRIu64
                ".salvage", disk_path, status.committed.generation,
                status.committed.seq) >= (int) sizeof s->path)
    return error_set (err, ENAMETOOLONG, "'%s' is too long a name",
                      disk_path);
  s->tail = tail;
  s->has_tail = true;
  s->volume = volume;
  s->is_stopping = false;
  memset (&s->status, 0, sizeof s->status);
  if (status.discard.is_unsaved)
    return start_thread (s, err);
  /* Saved before a restart: the file is there, if it was wanted. */
  if (salvage_is_file (s->path)) {
    s->status.state = SALVAGE_DONE;
    snprintf (s->status.file, sizeof s->status.file, "%s", s->path);
  }
  return 0;
}

void
salvage_stop (struct salvage *s)
{
  {
    ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

    if (!s->has_thread)
      return;
    s->is_stopping = true;
  }
  pthread_join (s->thread, NULL);
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);
  s->has_thread = false;
}

bool
salvage_get_status (struct salvage *s, struct salvage_status *ret,
                    struct volume_tail *ret_tail)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&s->lock);

  if (!s->has_tail)
    return false;
  *ret = s->status;
  *ret_tail = s->tail;
  return true;
}

/* Names, logging and waiting for sender and receiver. */

#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "replica-internal.h"

bool
replica_export_parse (const char *name, struct uuid *ret_pair)
{
  size_t len = strlen (REPLICA_EXPORT_PREFIX);

  return strncmp (name, REPLICA_EXPORT_PREFIX, len) == 0 &&
    uuid_parse (name + len, ret_pair);
}

const char *
sender_state_name (enum sender_state state)
{
  switch (state) {
  case SENDER_UNSET: break;
  case SENDER_OFF: return "off";
  case SENDER_CONNECTING: return "connecting";
  case SENDER_INITIAL: return "initial";
  case SENDER_DELTA: return "delta";
  case SENDER_STREAM: return "stream";
  case SENDER_DONE: return "done";
  case SENDER_WAITING: return "waiting";
  case SENDER_REFUSED: return "refused";
  case SENDER_FENCED: return "fenced";
  }
  return "unknown";
}

const char *
sender_wait_name (enum sender_wait wait)
{
  switch (wait) {
  case WAITS_UNSET: break;
  case WAITS_WRITES: return "writes";
  case WAITS_PEER: return "peer";
  case WAITS_LIMIT: return "limit";
  case WAITS_MAP: return "map";
  case WAITS_INTERVAL: return "interval";
  case WAITS_RETRY: return "retry";
  }
  return NULL;
}

void
log_line (const struct replica_log *log, enum replica_log_level level,
          const char *fmt, ...)
{
  char line[9216];               /* a decision with both its tables */
  va_list ap;

  if (log->fn == NULL)
    return;
  va_start (ap, fmt);
  vsnprintf (line, sizeof line, fmt, ap);
  va_end (ap);
  log->fn (log->opaque, level, line);
}

void
cond_init_monotonic (pthread_cond_t *cond)
{
  pthread_condattr_t attr;

  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (cond, &attr);
  pthread_condattr_destroy (&attr);
}

int
cond_wait_until (pthread_cond_t *cond, pthread_mutex_t *lock,
                 uint64_t deadline_ns)
{
  struct timespec ts = { .tv_sec = deadline_ns / NS_PER_SEC,
                         .tv_nsec = deadline_ns % NS_PER_SEC };

  return pthread_cond_timedwait (cond, lock, &ts);
}

/* Leases (see lease.h). */

#include <config.h>

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "lease.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static struct uuid boot;

/* Not known: every lease has run out. */
static void
read_boot (void)
{
  char text[UUID_STRING_SIZE] = "";
  int fd = open (BOOT_ID, O_RDONLY | O_CLOEXEC);

  if (fd == -1)
    return;
  if (read (fd, text, UUID_STRING_SIZE - 1) == UUID_STRING_SIZE - 1 &&
      !uuid_parse (text, &boot))
    memset (&boot, 0, sizeof boot);
  close (fd);
}

void
moment_now (struct moment *ret)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  struct timespec ts;

  pthread_once (&once, read_boot);
  clock_gettime (CLOCK_BOOTTIME, &ts);
  ret->boot = boot;
  ret->boot_ns = ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
  ret->wall_ns = clock_wall_ns ();
}

uint64_t
lease_left_ms (const struct lease *lease, const struct moment *now)
{
  const struct moment *from = &lease->from;
  uint64_t boot_ns, wall_ns, gone_ms;

  if (lease->ms == 0 || uuid_is_null (&now->boot) ||
      !uuid_equal (&from->boot, &now->boot) ||
      now->boot_ns < from->boot_ns || now->wall_ns < from->wall_ns)
    return 0;
  boot_ns = now->boot_ns - from->boot_ns;
  wall_ns = now->wall_ns - from->wall_ns;
  gone_ms = (boot_ns > wall_ns ? boot_ns : wall_ns) / NS_PER_MSEC;
  return gone_ms < lease->ms ? lease->ms - gone_ms : 0;
}

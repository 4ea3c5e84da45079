/* Listening sockets (listen.h).
 *
 * An inherited socket is found by its address, not by its number or name, so
 * that the configuration says what is served where and a unit only who opens
 * it.  A wildcard stands for any address of its port: "ListenStream=7781" is
 * one of IPv6 that takes IPv4 as well.  Callers get a duplicate: nbdkit is
 * started again with the same socket.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdbool.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "error.h"
#include "listen.h"
#include "log.h"
#include "values.h"

#define INHERITED_FIRST 3        /* as sd_listen_fds(3) says */
#define INHERITED_MAX 16

union address {
  struct sockaddr sa;
  struct sockaddr_un un;
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
};

/* Written before there are threads. */
static struct inherited {
  int fd;
  union address address;
  bool is_taken;
} inherited[INHERITED_MAX];
static size_t ninherited;

static bool
is_listening_stream (int fd)
{
  int listening = 0, type = 0;
  socklen_t len = sizeof listening;

  return getsockopt (fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 &&
    getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && listening &&
    type == SOCK_STREAM;
}

void
listen_inherit (void)
{
  const char *pid = getenv ("LISTEN_PID"), *count = getenv ("LISTEN_FDS");
  long n = count ? strtol (count, NULL, 10) : 0;
  int fd;

  if (pid == NULL || strtol (pid, NULL, 10) != getpid ())
    return;
  for (fd = INHERITED_FIRST; fd < INHERITED_FIRST + n; ++fd) {
    struct inherited *i = &inherited[ninherited];
    socklen_t len = sizeof i->address;

    if (fcntl (fd, F_SETFD, FD_CLOEXEC) == -1)
      break;
    if (ninherited == INHERITED_MAX || !is_listening_stream (fd) ||
        getsockname (fd, &i->address.sa, &len) == -1) {
      log_warning ("paird: descriptor %d of LISTEN_FDS cannot be used", fd);
      close (fd);
      continue;
    }
    i->fd = fd;
    ninherited++;
  }
  unsetenv ("LISTEN_PID");
  unsetenv ("LISTEN_FDS");
  unsetenv ("LISTEN_FDNAMES");
}

void
listen_inherit_end (void)
{
  size_t i;

  for (i = 0; i < ninherited; ++i) {
    if (inherited[i].is_taken)
      continue;
    log_warning ("paird: descriptor %d of LISTEN_FDS has an address that is "
                 "not in the configuration", inherited[i].fd);
    close (inherited[i].fd);
    inherited[i].fd = -1;
  }
}

/* Is the socket of A the one for WANTED? */
static bool
is_same_address (const union address *a, const union address *wanted)
{
  struct stat st, wanted_st;

  if (a->sa.sa_family == AF_UNIX)
    return wanted->sa.sa_family == AF_UNIX && a->un.sun_path[0] &&
      stat (a->un.sun_path, &st) == 0 &&
      stat (wanted->un.sun_path, &wanted_st) == 0 &&
      st.st_dev == wanted_st.st_dev && st.st_ino == wanted_st.st_ino;
  if (wanted->sa.sa_family == AF_INET && a->sa.sa_family == AF_INET)
    return a->in.sin_port == wanted->in.sin_port &&
      (a->in.sin_addr.s_addr == wanted->in.sin_addr.s_addr ||
       a->in.sin_addr.s_addr == htonl (INADDR_ANY));
  if (a->sa.sa_family != AF_INET6)
    return false;
  if (wanted->sa.sa_family == AF_INET)
    return a->in6.sin6_port == wanted->in.sin_port &&
      IN6_IS_ADDR_UNSPECIFIED (&a->in6.sin6_addr);
  return wanted->sa.sa_family == AF_INET6 &&
    a->in6.sin6_port == wanted->in6.sin6_port &&
    (IN6_ARE_ADDR_EQUAL (&a->in6.sin6_addr, &wanted->in6.sin6_addr) ||
     IN6_IS_ADDR_UNSPECIFIED (&a->in6.sin6_addr));
}

static struct inherited *
find_inherited (const union address *wanted)
{
  size_t i;

  for (i = 0; i < ninherited; ++i) {
    if (inherited[i].fd != -1 &&
        is_same_address (&inherited[i].address, wanted))
      return &inherited[i];
  }
  return NULL;
}

/* A duplicate of the inherited socket, -1 if there is none. */
static int
take_inherited (const union address *wanted)
{
  struct inherited *i = find_inherited (wanted);

  if (i == NULL)
    return -1;
  i->is_taken = true;
  return fcntl (i->fd, F_DUPFD_CLOEXEC, INHERITED_FIRST);
}

int
listen_unix (const char *path, struct error *err)
{
  union address a = { .un.sun_family = AF_UNIX };
  mode_t mask;
  int fd, r;

  if (!text_set (a.un.sun_path, sizeof a.un.sun_path, path))
    return error_set (err, ENAMETOOLONG, "'%s' is too long for a socket",
                      path);
  fd = take_inherited (&a);
  if (fd != -1)
    return fd;
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd == -1)
    return error_set_errno (err, errno, "socket");
  unlink (path);
  mask = umask (0177);
  r = bind (fd, &a.sa, sizeof a.un);
  umask (mask);
  if (r == -1 || listen (fd, SOMAXCONN) == -1) {
    r = errno;
    close (fd);
    return error_set_errno (err, r, "cannot listen on '%s'", path);
  }
  return fd;
}

void
listen_unlink (const char *path)
{
  union address a = { .un.sun_family = AF_UNIX };

  if (text_set (a.un.sun_path, sizeof a.un.sun_path, path) &&
      find_inherited (&a) == NULL)
    unlink (path);
}

/* Split HOST:PORT or [HOST]:PORT. */
static int
resolve (const char *address, struct addrinfo **ret, struct error *err)
{
  struct addrinfo hints = { .ai_flags = AI_PASSIVE,
                            .ai_socktype = SOCK_STREAM };
  char host[256];
  const char *colon = strrchr (address, ':');
  const char *begin = address;
  size_t len;
  int r;

  len = colon ? (size_t) (colon - address) : 0;
  if (colon == NULL || len >= sizeof host)
    return error_set (err, EINVAL, "'%s' is not HOST:PORT", address);
  if (len >= 2 && begin[0] == '[' && begin[len - 1] == ']') {
    begin++;
    len -= 2;
  }
  memcpy (host, begin, len);
  host[len] = '\0';
  r = getaddrinfo (len ? host : NULL, colon + 1, &hints, ret);
  if (r != 0)
    return error_set (err, EINVAL, "cannot resolve '%s': %s", address,
                      gai_strerror (r));
  return 0;
}

static void
bound_address (int fd, const char *address, char *ret, size_t size)
{
  struct sockaddr_storage ss;
  socklen_t len = sizeof ss;
  char port[16];
  const char *colon = strrchr (address, ':');

  if (getsockname (fd, (struct sockaddr *) &ss, &len) == 0 &&
      getnameinfo ((struct sockaddr *) &ss, len, NULL, 0, port, sizeof port,
                   NI_NUMERICSERV) == 0)
    snprintf (ret, size, "%.*s:%s", (int) (colon - address), address, port);
}

/* Connections inherit it: one whose other end vanished without a word is given
 * up after half a minute, and with it the threads that nbdkit holds for it.
 */
static void
keep_alive (int fd)
{
  int on = 1, idle = 15, interval = 5, count = 3;

  setsockopt (fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt (fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt (fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt (fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

/* A new one; -1 sets errno. */
static int
bind_tcp (const struct addrinfo *ai)
{
  int fd, on = 1, saved;

  fd = socket (ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd == -1)
    return -1;
  setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind (fd, ai->ai_addr, ai->ai_addrlen) == -1 ||
      listen (fd, SOMAXCONN) == -1) {
    saved = errno;
    close (fd);
    errno = saved;
    return -1;
  }
  return fd;
}

int
listen_tcp (const char *address, char *ret, size_t size, struct error *err)
{
  union address wanted = { 0 };
  struct addrinfo *ai;
  int fd, saved;

  if (resolve (address, &ai, err) == -1)
    return -1;
  if (ai->ai_addrlen <= sizeof wanted)
    memcpy (&wanted, ai->ai_addr, ai->ai_addrlen);
  fd = take_inherited (&wanted);
  if (fd == -1)
    fd = bind_tcp (ai);
  saved = errno;
  freeaddrinfo (ai);
  if (fd == -1)
    return error_set_errno (err, saved, "cannot listen on '%s'", address);
  keep_alive (fd);
  bound_address (fd, address, ret, size);
  return fd;
}

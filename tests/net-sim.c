/* The simulated network (see net-sim.h).
 *
 * A pipe is one direction of a connection: messages in order, each with the
 * time at which it arrives.  Its sender's site may be blocked: then the first
 * one waits, and with it all behind it, as TCP does.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#include "net-sim.h"
#include "replica.h"
#include "sched-sim.h"
#include "volume-model.h"

#define WORKERS 16u              /* of nbdkit, a connection */

enum kind { CONNECT = 1, ACCEPT, REFUSE, READ, WRITE, ANSWER, FIN };

struct message {
  struct message *next;
  enum kind kind;
  uint64_t arrives;
  uint64_t cookie, offset;
  bool fua;
  int errnum;
  uint32_t count;
  uint8_t data[];
};

struct pipe {
  unsigned from;
  struct message *first, **end;
  uint64_t last_ns;
  uint64_t bytes;
};

struct command {
  struct command *next;
  uint64_t cookie;
  uint8_t *buf;                  /* of a read */
  nbd_completion_callback cb;
};

enum state { CREATED = 0, CONNECTING, READY, DEAD, CLOSED };

struct connection {
  struct connection *next;
  unsigned client, server;
  struct pipe there, back;
  unsigned refs;                 /* handle, server */
  bool is_broken;                /* both ends know */
  bool server_is_off;            /* nobody is there; the client may not know */
  bool client_is_off;
  unsigned working;              /* requests in the receiver */
  bool is_served;                /* it has a thread of the server */
};

struct nbd_handle {
  struct connection *conn;
  enum state state;
  int fd;
  struct command *commands;
  uint64_t cookie;
};

struct request {
  struct connection *conn;
  struct receiver_conn *to;
  struct message *message;
};

static struct {
  uint64_t rng;
  struct net_site site[2];
  bool is_off[2], is_blocked[2], is_hanging[2];
  uint64_t delay_ns, bps;
  struct connection *conns;
  uint64_t requests;
  int errnum;
  char error[200];
} net;

static int
fail (int errnum, const char *what)
{
  net.errnum = errnum;
  snprintf (net.error, sizeof net.error, "%s", what);
  errno = errnum;
  return -1;
}

static bool
site_is_off (unsigned site)
{
  return net.is_off[site] || net.site[site].is_off (net.site[site].opaque);
}

/* ------------------------------------------------------------------ */
/* Pipes.                                                               */

static void
pipe_init (struct pipe *p, unsigned from)
{
  p->from = from;
  p->end = &p->first;
}

static struct message *
message_new (enum kind kind, uint64_t cookie, const void *data,
             uint32_t count)
{
  struct message *m = calloc (1, sizeof *m + (data ? count : 0));

  CHECK (m, "no memory");
  m->kind = kind;
  m->cookie = cookie;
  m->count = count;
  if (data)
    memcpy (m->data, data, count);
  return m;
}

static void
pipe_send (struct pipe *p, struct message *m)
{
  uint64_t at, wire = 100;

  if (site_is_off (p->from)) {
    free (m);
    return;
  }
  at = sched_now ();
  if (m->kind == WRITE || m->kind == ANSWER)
    wire += m->count;
  at += net.delay_ns + random_below (&net.rng, net.delay_ns + 1);
  if (p->last_ns > at)
    at = p->last_ns;
  at += wire * 1000000000 / net.bps;
  p->last_ns = m->arrives = at;
  p->bytes += wire;
  *p->end = m;
  p->end = &m->next;
  sched_wake (p);
  sched_poll_again ();
}

static uint64_t
pipe_ready_at (const struct pipe *p)
{
  return p->first == NULL || net.is_blocked[p->from] ? SCHED_NEVER :
    p->first->arrives;
}

static struct message *
pipe_take (struct pipe *p)
{
  struct message *m = p->first;

  if (pipe_ready_at (p) > sched_now ())
    return NULL;
  p->first = m->next;
  if (p->first == NULL) {
    p->end = &p->first;
    p->bytes = 0;
  }
  else
    p->bytes -= m->kind == WRITE || m->kind == ANSWER ? 100 + m->count : 100;
  return m;
}

static void
pipe_clear (struct pipe *p)
{
  struct message *m;

  while ((m = p->first) != NULL) {
    p->first = m->next;
    free (m);
  }
  p->end = &p->first;
  p->bytes = 0;
}

static void
conn_unref (struct connection *c)
{
  struct connection **p;

  if (--c->refs > 0)
    return;
  for (p = &net.conns; *p != c; p = &(*p)->next)
    ;
  *p = c->next;
  pipe_clear (&c->there);
  pipe_clear (&c->back);
  free (c);
}

static void
conn_break (struct connection *c)
{
  c->is_broken = true;
  sched_wake (&c->there);
  sched_poll_again ();
}

/* ------------------------------------------------------------------ */
/* The server: nbdkit.                                                  */

static int
errno_of_nbd (int errnum)
{
  switch (errnum) {
  case EROFS:
  case EPERM: return EPERM;
  case EIO: case ENOMEM: case ESHUTDOWN: case ENOTSUP: case EOVERFLOW:
    return errnum;
  case EDQUOT: case EFBIG:
  case ENOSPC: return ENOSPC;
  default: return EINVAL;
  }
}

static void
work (void *opaque)
{
  struct request *r = opaque;
  struct connection *c = r->conn;
  struct message *m = r->message, *answer;
  struct error err = ERROR_INIT;
  int rc;

  answer = calloc (1, sizeof *answer + (m->kind == READ ? m->count : 0));
  CHECK (answer, "no memory");
  answer->kind = ANSWER;
  answer->cookie = m->cookie;
  if (m->kind == READ) {
    answer->count = m->count;
    rc = receiver_conn_read (r->to, answer->data, m->count, m->offset, &err);
  }
  else
    rc = receiver_conn_write (r->to, m->data, m->count, m->offset, m->fua,
                              &err);
  answer->errnum = rc == -1 ? errno_of_nbd (errno) : 0;
  if (c->server_is_off)
    free (answer);
  else
    pipe_send (&c->back, answer);
  net.requests++;
  c->working--;
  sched_wake (&c->there);
  free (m);
  free (r);
}

static void
serve_one (struct connection *c, struct receiver_conn *to, struct message *m)
{
  struct request *r = malloc (sizeof *r);

  CHECK (r, "no memory");
  *r = (struct request) { c, to, m };
  c->working++;
  sched_spawn ("request", work, r);
}

/* The server's end of a connection, from its beginning to its end. */
static void
serve (void *opaque)
{
  struct connection *c = opaque;
  struct receiver_conn *to = NULL;
  struct error err = ERROR_INIT;
  bool is_over = false;

  while (!is_over) {
    struct message *m = NULL;

    if (c->is_broken || c->server_is_off)
      break;
    if (!net.is_hanging[c->server] && c->working < WORKERS)
      m = pipe_take (&c->there);
    if (m == NULL) {
      uint64_t at = net.is_hanging[c->server] || c->working >= WORKERS ?
        SCHED_NEVER : pipe_ready_at (&c->there);

      sched_wait (&c->there, at);
      continue;
    }
    switch (m->kind) {
    case CONNECT:
      to = net.site[c->server].open (net.site[c->server].opaque, &err);
      pipe_send (&c->back, message_new (to ? ACCEPT : REFUSE, 0, NULL, 0));
      is_over = to == NULL;
      free (m);
      break;
    case READ:
    case WRITE:
      serve_one (c, to, m);
      break;
    default:
      is_over = true;
      free (m);
    }
  }
  while (c->working > 0)
    sched_wait (&c->there, SCHED_NEVER);
  if (to != NULL)
    receiver_conn_close (to);
  c->is_served = false;
  sched_wake (&net.site[c->server]);
  conn_unref (c);
}

void
net_close_server (unsigned site)
{
  struct connection *c;

  for (;;) {
    for (c = net.conns; c; c = c->next)
      if (c->server == site && c->is_served)
        break;
    if (c == NULL)
      return;
    if (!c->server_is_off)
      conn_break (c);
    sched_wake (&c->there);
    sched_wait (&net.site[site], SCHED_NEVER);
  }
}

/* ------------------------------------------------------------------ */
/* Faults.                                                              */

static void
wake_all (void)
{
  struct connection *c;

  for (c = net.conns; c; c = c->next)
    sched_wake (&c->there);
  sched_poll_again ();
}

void
net_set_speed (uint64_t delay_ns, uint64_t bps)
{
  net.delay_ns = delay_ns;
  net.bps = bps;
}

void
net_block (unsigned from, bool is_blocked)
{
  net.is_blocked[from] = is_blocked;
  wake_all ();
}

void
net_hang (unsigned site, bool is_hanging)
{
  net.is_hanging[site] = is_hanging;
  wake_all ();
}

void
net_cut (void)
{
  struct connection *c;

  for (c = net.conns; c; c = c->next)
    conn_break (c);
}

void
net_power_off (unsigned site, bool says_so)
{
  struct connection *c;

  net.is_off[site] = true;
  for (c = net.conns; c; c = c->next) {
    if (says_so)
      c->is_broken = true;
    if (c->server == site)
      c->server_is_off = true;
    else
      c->client_is_off = true;
  }
  wake_all ();
}

void
net_power_on (unsigned site)
{
  struct connection *c;

  net.is_off[site] = false;
  /* Who still sends to what was there before is told at some time. */
  for (c = net.conns; c; c = c->next)
    if (c->server_is_off && c->server == site &&
        random_chance (&net.rng, 50))
      conn_break (c);
}

void
net_begin (uint64_t seed, const struct net_site site[2])
{
  memset (&net, 0, sizeof net);
  net.rng = seed;
  net.site[0] = site[0];
  net.site[1] = site[1];
  net_set_speed (100000, 1000 * 1000 * 1000);
}

void
net_end (void)
{
  net_close_server (0);
  net_close_server (1);
  CHECK (net.conns == NULL, "a connection is left");
}

uint64_t
net_requests (void)
{
  return net.requests;
}

/* ------------------------------------------------------------------ */
/* The client: libnbd, as far as link.c uses it.                        */

struct nbd_handle *
nbd_create (void)
{
  struct nbd_handle *h = calloc (1, sizeof *h);

  CHECK (h, "no memory");
  h->fd = -1;
  return h;
}

static uint64_t
handle_ready_at (void *opaque)
{
  struct nbd_handle *h = opaque;

  return h->conn->is_broken ? 0 : pipe_ready_at (&h->conn->back);
}

static int
handle_unsent (void *opaque)
{
  struct nbd_handle *h = opaque;

  return h->conn->there.bytes;
}

int
nbd_aio_connect_uri (struct nbd_handle *h, const char *uri)
{
  struct connection *c = calloc (1, sizeof *c);

  CHECK (c, "no memory");
  CHECK (strncmp (uri, "nbd://", 6) == 0, "%s", uri);
  c->server = uri[6] - '0';
  c->client = !c->server;
  pipe_init (&c->there, c->client);
  pipe_init (&c->back, c->server);
  c->refs = 2;
  c->next = net.conns;
  net.conns = c;
  h->conn = c;
  h->fd = sched_fd_new (handle_ready_at, h);
  sched_fd_set_unsent (h->fd, handle_unsent);
  h->state = CONNECTING;
  c->client_is_off = net.is_off[c->client];
  if (net.is_off[c->server]) {
    c->server_is_off = true;
    c->refs--;                   /* nobody serves it */
    c->is_broken = random_chance (&net.rng, 50);
    return 0;
  }
  pipe_send (&c->there, message_new (CONNECT, 0, NULL, 0));
  c->is_served = true;
  sched_spawn ("server", serve, c);
  return 0;
}

static void
die (struct nbd_handle *h, enum state state)
{
  struct command *command;

  h->state = state;
  while ((command = h->commands) != NULL) {
    int errnum = ENOTCONN;

    h->commands = command->next;
    command->cb.callback (command->cb.user_data, &errnum);
    free (command);
  }
}

static void
complete (struct nbd_handle *h, const struct message *m)
{
  struct command **p = &h->commands, *command;
  int errnum = m->errnum;

  while (*p != NULL && (*p)->cookie != m->cookie)
    p = &(*p)->next;
  command = *p;
  CHECK (command, "an answer to no question");
  *p = command->next;
  if (command->buf != NULL && errnum == 0)
    memcpy (command->buf, m->data, m->count);
  command->cb.callback (command->cb.user_data, &errnum);
  free (command);
}

int
nbd_aio_notify_read (struct nbd_handle *h)
{
  struct message *m;

  if (h->conn->is_broken) {
    die (h, DEAD);
    return fail (ECONNRESET, "the connection was reset");
  }
  while ((m = pipe_take (&h->conn->back)) != NULL) {
    switch (m->kind) {
    case ACCEPT:
      h->state = READY;
      break;
    case ANSWER:
      complete (h, m);
      break;
    default:
      free (m);
      die (h, DEAD);
      return fail (ENOENT, "the server has no such export");
    }
    free (m);
  }
  return 0;
}

int
nbd_aio_notify_write (struct nbd_handle *h)
{
  (void) h;
  return 0;
}

static int64_t
send_command (struct nbd_handle *h, struct message *m, uint8_t *buf,
              nbd_completion_callback cb)
{
  struct command *command;

  if (h->state != READY) {
    free (m);
    return fail (ENOTCONN, "the connection is not open");
  }
  command = calloc (1, sizeof *command);
  CHECK (command, "no memory");
  command->cookie = ++h->cookie;
  command->buf = buf;
  command->cb = cb;
  command->next = h->commands;
  h->commands = command;
  m->cookie = command->cookie;
  if (h->conn->server_is_off && !net.is_off[h->conn->server]) {
    free (m);
    conn_break (h->conn);        /* nobody there knows of it any more */
  }
  else
    pipe_send (&h->conn->there, m);
  return command->cookie;
}

int64_t
nbd_aio_pread (struct nbd_handle *h, void *buf, size_t count,
               uint64_t offset, nbd_completion_callback cb, uint32_t flags)
{
  struct message *m = message_new (READ, 0, NULL, count);

  (void) flags;
  m->offset = offset;
  return send_command (h, m, buf, cb);
}

int64_t
nbd_aio_pwrite (struct nbd_handle *h, const void *buf, size_t count,
                uint64_t offset, nbd_completion_callback cb, uint32_t flags)
{
  struct message *m = message_new (WRITE, 0, buf, count);

  m->offset = offset;
  m->fua = flags & LIBNBD_CMD_FLAG_FUA;
  return send_command (h, m, NULL, cb);
}

int
nbd_aio_disconnect (struct nbd_handle *h, uint32_t flags)
{
  (void) flags;
  if (h->state == READY)
    pipe_send (&h->conn->there, message_new (FIN, 0, NULL, 0));
  return 0;
}

void
nbd_close (struct nbd_handle *h)
{
  struct command *command;

  if (h == NULL)
    return;
  while ((command = h->commands) != NULL) {
    h->commands = command->next;
    free (command);
  }
  if (h->conn) {
    sched_fd_free (h->fd);
    if (!h->conn->is_broken)
      pipe_send (&h->conn->there, message_new (FIN, 0, NULL, 0));
    conn_unref (h->conn);
  }
  free (h);
}

int
nbd_aio_get_fd (struct nbd_handle *h)
{
  return h->fd;
}

unsigned
nbd_aio_get_direction (struct nbd_handle *h)
{
  (void) h;
  return LIBNBD_AIO_DIRECTION_READ;
}

int
nbd_aio_is_ready (struct nbd_handle *h)
{
  return h->state == READY;
}

int
nbd_aio_is_processing (struct nbd_handle *h)
{
  (void) h;
  return 0;
}

int
nbd_aio_is_dead (struct nbd_handle *h)
{
  return h->state == DEAD;
}

int
nbd_aio_is_closed (struct nbd_handle *h)
{
  return h->state == CLOSED;
}

int
nbd_get_errno (void)
{
  return net.errnum;
}

const char *
nbd_get_error (void)
{
  return net.error;
}

#define ACCEPTED(name, type)                    \
  int                                           \
  name (struct nbd_handle *h, type value)       \
  {                                             \
    (void) h;                                   \
    (void) value;                               \
    return 0;                                   \
  }

ACCEPTED (nbd_set_strict_mode, uint32_t)
ACCEPTED (nbd_set_request_structured_replies, bool)
ACCEPTED (nbd_set_request_block_size, bool)
ACCEPTED (nbd_set_uri_allow_local_file, bool)
ACCEPTED (nbd_set_tls, int)
ACCEPTED (nbd_set_tls_verify_peer, bool)
ACCEPTED (nbd_set_tls_certificates, const char *)
ACCEPTED (nbd_set_tls_psk_file, const char *)
ACCEPTED (nbd_set_tls_username, const char *)

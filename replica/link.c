/* The connections to the peer (see link.h).
 *
 * A connection is alive when something of it moves: an answer came, or its
 * socket took or got rid of bytes.  Time in which this side did not look (it
 * was stopped, or read its journal) is nobody's silence.
 *
 * Callbacks of libnbd run inside the notify functions and nbd_close, so on
 * our own thread; what they point to belongs to struct link and outlives the
 * handle.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/sockios.h>

#include <libnbd.h>

#include "clock.h"
#include "link.h"
#include "replica-internal.h"

struct page_op {
  uint8_t page[WIRE_PROOF_SIZE];
  bool is_done;
  int errnum;
};

#define AWAY_NS (100 * NS_PER_MSEC) /* not looking for less is not noticed */
#define STALL 6                     /* times dead_ms */

struct link_conn {
  struct nbd_handle *nbd;
  struct page_op op;                /* one page at a time */
  struct page_op ping;
  bool is_pinging, is_asking;
  unsigned in_flight;               /* frames */
  size_t outstanding;               /* bytes of them */
  int unsent;                       /* in the socket's queue when last seen */
  uint64_t life_ns;                 /* something moved */
  uint64_t progress_ns;             /* ... and it was not only a ping */
};

struct link {
  struct link_config config;
  struct link_conn conn[OPTIONS_CONNECTIONS_MAX];
  unsigned nconns;
  unsigned pages;                   /* the connection they go through */
  struct link_slot slot[LINK_WINDOW];
  struct page_op question;
  bool was_asked;                   /* and the answer not taken yet */
  unsigned in_flight;
  bool was_woken;
  uint64_t looked_ns;
};

static bool
starts_with (const char *str, const char *prefix)
{
  return strncmp (str, prefix, strlen (prefix)) == 0;
}

char *
link_uri (const char *uri, const char *export, struct error *err)
{
  const char *authority = strstr (uri, "://");
  const char *path, *query;
  char *ret;

  if (authority == NULL ||
      (!starts_with (uri, "nbd://") && !starts_with (uri, "nbds://") &&
       !starts_with (uri, "nbd+unix://") &&
       !starts_with (uri, "nbds+unix://"))) {
    error_set (err, EINVAL, "'%s' is not an NBD URI", uri);
    error_hint (err, "like nbd://HOST:PORT or nbd+unix:///?socket=PATH");
    return NULL;
  }
  query = uri + strcspn (uri, "?");
  path = authority + 3 + strcspn (authority + 3, "/?");
  if (query - path > 1) {
    error_set (err, EINVAL, "'%s' names an export", uri);
    error_hint (err, "leave the path away");
    return NULL;
  }
  if (asprintf (&ret, "%.*s/%s%s", (int) (path - uri), uri, export,
                query) == -1) {
    error_set (err, ENOMEM, "cannot make a URI");
    return NULL;
  }
  return ret;
}

/* The one place where libnbd's errors become ours. */
static int
error_from_nbd (struct error *err, const char *what)
{
  int errnum = nbd_get_errno ();

  return error_set (err, errnum > 0 ? errnum : EIO, "%s: %s", what,
                    nbd_get_error ());
}

/* libnbd hands completions a positive errno; 0 is success. */
static int
errno_of_completion (const int *error)
{
  return *error > 0 ? *error : *error < 0 ? EIO : 0;
}

static int
page_completed (void *opaque, int *error)
{
  struct page_op *op = opaque;

  op->is_done = true;
  op->errnum = errno_of_completion (error);
  return 1;
}

static int
frame_completed (void *opaque, int *error)
{
  struct link_slot *slot = opaque;
  struct link_conn *c = &slot->link->conn[slot->conn];

  slot->is_done = true;
  slot->errnum = errno_of_completion (error);
  slot->done_ns = clock_mono_ns ();
  c->in_flight--;
  c->outstanding -= slot->length;
  c->life_ns = c->progress_ns = slot->done_ns;
  return 1;
}

static int
pinged (void *opaque, int *error)
{
  struct link_conn *c = opaque;

  c->is_pinging = false;
  c->ping.errnum = errno_of_completion (error);
  c->life_ns = clock_mono_ns ();
  return 1;
}

static int
answered (void *opaque, int *error)
{
  struct link *l = opaque;

  l->conn[0].is_asking = false;
  l->question.is_done = true;
  l->question.errnum = errno_of_completion (error);
  l->conn[0].life_ns = clock_mono_ns ();
  return 1;
}

/* ------------------------------------------------------------------ */

static bool
conn_is_alive (const struct link_conn *c)
{
  return nbd_aio_is_ready (c->nbd) == 1 || nbd_aio_is_processing (c->nbd) == 1;
}

bool
link_is_alive (struct link *l)
{
  return conn_is_alive (&l->conn[l->pages]);
}

static bool
is_broken (const struct link_conn *c)
{
  return nbd_aio_is_dead (c->nbd) == 1 || nbd_aio_is_closed (c->nbd) == 1;
}

static void
moved (struct link_conn *c)
{
  c->life_ns = c->progress_ns = clock_mono_ns ();
}

static int
notify (struct link_conn *c, short revents, unsigned direction)
{
  if (revents & (POLLIN | POLLHUP | POLLERR) &&
      direction & LIBNBD_AIO_DIRECTION_READ)
    return nbd_aio_notify_read (c->nbd);
  if (revents & (POLLOUT | POLLHUP | POLLERR) &&
      direction & LIBNBD_AIO_DIRECTION_WRITE) {
    moved (c);                   /* the peer's side takes bytes */
    return nbd_aio_notify_write (c->nbd);
  }
  return 0;
}

/* Bytes that leave the socket's queue have arrived at the peer's machine: on
 * a slow line that is all that moves for a long time.
 */
static void
look_at_queue (struct link_conn *c)
{
  int unsent;

  if (ioctl (nbd_aio_get_fd (c->nbd), SIOCOUTQ, &unsent) == -1)
    return;
  if (unsent < c->unsent)
    moved (c);
  c->unsent = unsent;
}

static void
clear_wake (struct link *l)
{
  uint64_t n;

  if (read (l->config.wake_fd, &n, sizeof n) == sizeof n)
    l->was_woken = true;
}

/* The time since this side last looked, but for what it waited here, is not
 * the peer's.
 */
static void
forgive (struct link *l, uint64_t before, uint64_t timeout_ms)
{
  uint64_t now = clock_mono_ns ();
  uint64_t away = minus (before, l->looked_ns) +
    minus (now - before, timeout_ms * NS_PER_MSEC);

  if (l->looked_ns != 0 && away > AWAY_NS) {
    for (unsigned i = 0; i < l->nconns; i++) {
      struct link_conn *c = &l->conn[i];

      c->life_ns = c->life_ns + away < now ? c->life_ns + away : now;
      c->progress_ns = c->progress_ns + away < now ?
        c->progress_ns + away : now;
    }
  }
  l->looked_ns = now;
}

/* One round of poll.  That one connection is lost keeps none of the others
 * from being served.
 */
static int
poll_once (struct link *l, int timeout_ms, struct error *err)
{
  unsigned direction[OPTIONS_CONNECTIONS_MAX];
  struct pollfd fds[OPTIONS_CONNECTIONS_MAX + 1];
  uint64_t before = clock_mono_ns ();
  int r = 0;
  unsigned i;

  for (i = 0; i < l->nconns; i++) {
    direction[i] = nbd_aio_get_direction (l->conn[i].nbd);
    fds[i] = (struct pollfd) { .fd = nbd_aio_get_fd (l->conn[i].nbd) };
    if (direction[i] & LIBNBD_AIO_DIRECTION_READ)
      fds[i].events |= POLLIN;
    if (direction[i] & LIBNBD_AIO_DIRECTION_WRITE)
      fds[i].events |= POLLOUT;
  }
  fds[i] = (struct pollfd) { .fd = l->config.wake_fd, .events = POLLIN };
  if (poll (fds, l->nconns + 1, timeout_ms) == -1) {
    if (errno == EINTR)
      return 0;
    return error_set_errno (err, errno, "poll");
  }
  if (fds[i].revents & POLLIN)
    clear_wake (l);
  for (i = 0; i < l->nconns; i++) {
    if (notify (&l->conn[i], fds[i].revents, direction[i]) == -1)
      r = error_from_nbd (err, "the connection is lost");
    else if (is_broken (&l->conn[i]))
      r = error_set (err, ENOTCONN, "the peer closed the connection");
  }
  forgive (l, before, timeout_ms);
  return r;
}

/* Poll until *DONE or the link is not in the middle of connecting. */
static int
poll_until (struct link *l, const bool *done, const char *what,
            struct error *err)
{
  uint64_t deadline = clock_mono_ns () + l->config.page_ms * NS_PER_MSEC;

  for (;;) {
    uint64_t now = clock_mono_ns ();

    if (done != NULL ? *done : link_is_alive (l))
      return 0;
    if (atomic_load (l->config.stop))
      return error_set (err, ECANCELED, "%s: stopped", what);
    if (now >= deadline)
      return error_set (err, ETIMEDOUT, "%s: no answer for %u ms", what,
                        l->config.page_ms);
    if (poll_once (l, (deadline - now) / NS_PER_MSEC + 1, err) == -1 &&
        !(done != NULL && *done))
      return -1;
  }
}

/* With keys the link is never plain, whatever the URI says. */
static int
set_tls (struct nbd_handle *nbd, const struct replica_options *options)
{
  if (!options_want_tls (options))
    return 0;
  if (nbd_set_tls (nbd, LIBNBD_TLS_REQUIRE) == -1 ||
      nbd_set_tls_verify_peer (nbd, true) == -1)
    return -1;
  if (options->certificates[0])
    return nbd_set_tls_certificates (nbd, options->certificates);
  return nbd_set_tls_psk_file (nbd, options->psk_file) == -1 ? -1 :
    nbd_set_tls_username (nbd, options->username);
}

/* What libnbd says when TLS fails is of little use to who must mend it. */
static int
explain_tls (struct error *err)
{
  const char *text = nbd_get_error () ? : "";

  if (strstr (text, "certificate") != NULL)
    return error_set (err, EACCES, "the peer's certificate is not trusted: "
                      "another CA or another host name (%s)", text);
  if (strstr (text, "server requires TLS") != NULL)
    return error_set (err, EACCES, "the peer requires TLS and the link has "
                      "no keys");
  if (strstr (text, "refused TLS") != NULL)
    return error_set (err, EACCES, "the peer offers no TLS, and the link has "
                      "keys: it is never plain");
  if (strstr (text, "gnutls") != NULL)
    return error_set (err, EPROTO, "the peer ended the TLS handshake: a "
                      "wrong key, or a certificate unknown there (%s)", text);
  return -1;
}

static struct nbd_handle *
make_handle (const char *uri, const struct replica_options *options,
             struct error *err)
{
  struct nbd_handle *nbd = nbd_create ();

  /* Lenient: frames have odd sizes, and the window is no disk. */
  if (nbd == NULL ||
      nbd_set_strict_mode (nbd, 0) == -1 ||
      nbd_set_request_structured_replies (nbd, false) == -1 ||
      nbd_set_request_block_size (nbd, false) == -1 ||
      nbd_set_uri_allow_local_file (nbd, true) == -1 ||
      set_tls (nbd, options) == -1 ||
      nbd_aio_connect_uri (nbd, uri) == -1) {
    error_from_nbd (err, "cannot connect");
    nbd_close (nbd);
    return NULL;
  }
  return nbd;
}

int
link_add (struct link *l, struct error *err)
{
  struct link_conn *c = &l->conn[l->nconns];

  if (options_check (l->config.options, err) == -1) {
    errno = EACCES;
    return -1;
  }
  c->nbd = make_handle (l->config.uri, l->config.options, err);
  if (c->nbd == NULL)
    return -1;
  l->pages = l->nconns++;
  moved (c);
  if (poll_until (l, NULL, "cannot connect", err) == 0)
    return 0;
  if (errno != ECANCELED && errno != ETIMEDOUT)
    explain_tls (err);
  return -1;
}

struct link *
link_open (const struct link_config *config, struct error *err)
{
  struct link *l = calloc (1, sizeof *l);

  if (l == NULL) {
    error_set_errno (err, errno, "cannot make a connection");
    return NULL;
  }
  l->config = *config;
  if (link_add (l, err) == 0)
    return l;
  link_close (l);
  return NULL;
}

static bool
conn_is_busy (const struct link_conn *c)
{
  return c->in_flight > 0 || c->is_pinging || c->is_asking;
}

/* Is there an answer to wait for? */
static bool
is_busy (const struct link *l)
{
  for (unsigned i = 0; i < l->nconns; i++)
    if (conn_is_busy (&l->conn[i]) && conn_is_alive (&l->conn[i]))
      return true;
  return false;
}

void
link_settle (struct link *l, unsigned timeout_ms)
{
  uint64_t deadline = clock_mono_ns () + timeout_ms * NS_PER_MSEC, now;
  struct error ignored = ERROR_INIT;

  while (is_busy (l) && (now = clock_mono_ns ()) < deadline)
    poll_once (l, (deadline - now) / NS_PER_MSEC + 1, &ignored);
}

void
link_close (struct link *l)
{
  int errnum = errno;

  if (l == NULL)
    return;
  for (unsigned i = 0; i < l->nconns; i++) {
    struct link_conn *c = &l->conn[i];

    /* Tells the server when nothing is under way; does not wait for it. */
    if (!conn_is_busy (c) && conn_is_alive (c))
      nbd_aio_disconnect (c->nbd, 0);
    nbd_close (c->nbd);
  }
  for (unsigned i = 0; i < LINK_WINDOW; i++)
    free (l->slot[i].buf);
  free (l);
  errno = errnum;
}

unsigned
link_connections (const struct link *l)
{
  return l->nconns;
}

void
link_use (struct link *l, unsigned conn)
{
  l->pages = conn;
}

static int
page_result (struct link *l, const char *what, struct error *err)
{
  struct page_op *op = &l->conn[l->pages].op;

  if (poll_until (l, &op->is_done, what, err) == -1)
    return -1;
  if (op->errnum != 0)
    return error_set_errno (err, op->errnum, "%s", what);
  return 0;
}

static int
read_page (struct link *l, uint64_t offset, void *page, size_t size,
           struct error *err)
{
  struct link_conn *c = &l->conn[l->pages];
  nbd_completion_callback cb = { .callback = page_completed,
                                 .user_data = &c->op };

  c->op.is_done = false;
  if (nbd_aio_pread (c->nbd, c->op.page, size, offset, cb, 0) == -1)
    return error_from_nbd (err, "cannot read a page");
  if (page_result (l, "read a page of the peer", err) == -1)
    return -1;
  memcpy (page, c->op.page, size);
  return 0;
}

static int
write_page (struct link *l, uint64_t offset, const void *page, size_t size,
            struct error *err)
{
  struct link_conn *c = &l->conn[l->pages];
  nbd_completion_callback cb = { .callback = page_completed,
                                 .user_data = &c->op };

  c->op.is_done = false;
  memcpy (c->op.page, page, size);
  if (nbd_aio_pwrite (c->nbd, c->op.page, size, offset, cb, 0) == -1)
    return error_from_nbd (err, "cannot write a page");
  return page_result (l, "write a page to the peer", err);
}

int
link_read_page (struct link *l, uint64_t offset, void *page,
                struct error *err)
{
  return read_page (l, offset, page, WIRE_PAGE_SIZE, err);
}

int
link_write_page (struct link *l, uint64_t offset, const void *page,
                 struct error *err)
{
  return write_page (l, offset, page, WIRE_PAGE_SIZE, err);
}

int
link_read_proof (struct link *l, uint64_t offset, void *page,
                 struct error *err)
{
  return read_page (l, offset, page, WIRE_PROOF_SIZE, err);
}

int
link_write_proof (struct link *l, uint64_t offset, const void *page,
                  struct error *err)
{
  return write_page (l, offset, page, WIRE_PROOF_SIZE, err);
}

int
link_ask (struct link *l, uint64_t offset, struct error *err)
{
  struct link_conn *c = &l->conn[0];
  nbd_completion_callback cb = { .callback = answered, .user_data = l };

  if (l->was_asked)
    return 0;
  l->was_asked = c->is_asking = true;
  l->question.is_done = false;
  if (nbd_aio_pread (c->nbd, l->question.page, WIRE_PROOF_SIZE, offset, cb,
                     0) == -1)
    return error_from_nbd (err, "cannot read a page");
  return 0;
}

int
link_answer (struct link *l, void *page)
{
  if (!l->was_asked || !l->question.is_done)
    return 0;
  l->was_asked = false;
  if (l->question.errnum != 0)
    return -1;
  memcpy (page, l->question.page, WIRE_PROOF_SIZE);
  return 1;
}

/* ------------------------------------------------------------------ */

struct link_slot *
link_free_slot (struct link *l)
{
  for (unsigned i = 0; i < LINK_WINDOW; i++) {
    struct link_slot *slot = &l->slot[i];

    if (slot->in_flight || slot->is_held)
      continue;
    if (slot->buf == NULL)
      slot->buf = malloc (FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX);
    if (slot->buf == NULL)
      return NULL;              /* fewer in flight, then */
    slot->link = l;
    return slot;
  }
  return NULL;
}

/* The one with the least to do. */
static unsigned
choose (const struct link *l)
{
  unsigned best = 0;

  for (unsigned i = 1; i < l->nconns; i++) {
    if (l->conn[i].outstanding < l->conn[best].outstanding)
      best = i;
  }
  return best;
}

int
link_send (struct link *l, struct link_slot *slot, uint64_t stream_offset,
           bool fua, struct error *err)
{
  nbd_completion_callback cb = { .callback = frame_completed,
                                 .user_data = slot };
  struct link_conn *c;

  slot->conn = choose (l);
  c = &l->conn[slot->conn];
  slot->sent_ns = clock_mono_ns ();
  if (c->in_flight == 0)
    c->progress_ns = slot->sent_ns;
  if (c->in_flight == 0 && !c->is_pinging)
    c->life_ns = slot->sent_ns;
  slot->is_done = false;
  slot->errnum = 0;
  slot->in_flight = true;
  l->in_flight++;
  c->in_flight++;
  c->outstanding += slot->length;
  if (nbd_aio_pwrite (c->nbd, slot->buf, slot->length,
                      WIRE_STREAM_OFFSET + stream_offset, cb,
                      fua ? LIBNBD_CMD_FLAG_FUA : 0) == -1)
    return error_from_nbd (err, "cannot send a frame");
  return 0;
}

struct link_slot *
link_reap (struct link *l)
{
  for (unsigned i = 0; i < LINK_WINDOW; i++) {
    struct link_slot *slot = &l->slot[i];

    if (slot->in_flight && slot->is_done) {
      slot->in_flight = false;
      l->in_flight--;
      return slot;
    }
  }
  return NULL;
}

unsigned
link_in_flight (const struct link *l)
{
  return l->in_flight;
}

/* A page that needs neither volume nor lock there: it is answered while the
 * peer's disk is slow.
 */
static int
ping (struct link_conn *c, struct error *err)
{
  nbd_completion_callback cb = { .callback = pinged, .user_data = c };

  c->is_pinging = true;
  if (c->in_flight == 0)
    c->life_ns = clock_mono_ns ();
  if (nbd_aio_pread (c->nbd, c->ping.page, WIRE_PAGE_SIZE, WIRE_HELLO_OFFSET,
                     cb, 0) == -1)
    return error_from_nbd (err, "cannot read a page");
  return 0;
}

int
link_check (struct link *l, unsigned dead_ms, unsigned quiet_ms,
            struct error *err)
{
  for (unsigned i = 0; i < l->nconns; i++) {
    struct link_conn *c = &l->conn[i];
    uint64_t now = clock_mono_ns ();

    if (c->in_flight > 0 || c->is_pinging)
      look_at_queue (c);
    if ((c->in_flight > 0 || c->is_pinging) &&
        minus (now, c->life_ns) > dead_ms * NS_PER_MSEC)
      return error_set (err, ETIMEDOUT, "the peer answered nothing for %u ms",
                        dead_ms);
    if (c->in_flight > 0 &&
        minus (now, c->progress_ns) > STALL * dead_ms * NS_PER_MSEC)
      return error_set (err, ETIMEDOUT, "the peer answers, but it took "
                        "nothing for %u ms", STALL * dead_ms);
    if (!c->is_pinging && minus (now, c->life_ns) >= quiet_ms * NS_PER_MSEC &&
        ping (c, err) == -1)
      return -1;
  }
  return 0;
}

static bool
has_completed (const struct link *l)
{
  for (unsigned i = 0; i < LINK_WINDOW; i++) {
    if (l->slot[i].in_flight && l->slot[i].is_done)
      return true;
  }
  return false;
}

int
link_poll (struct link *l, unsigned timeout_ms, struct error *err)
{
  uint64_t deadline = clock_mono_ns () + timeout_ms * NS_PER_MSEC;

  for (;;) {
    uint64_t now = clock_mono_ns ();
    int left = now >= deadline ? 0 : (deadline - now) / NS_PER_MSEC + 1;

    l->was_woken = false;
    if (poll_once (l, left, err) == -1)
      return has_completed (l) ? 0 : -1;
    if (has_completed (l) || l->was_woken || left == 0)
      return 0;
  }
}

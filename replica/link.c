/* One connection to the peer (see link.h).
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
#include <unistd.h>

#include <libnbd.h>

#include "clock.h"
#include "link.h"
#include "replica-internal.h"

struct page_op {
  uint8_t page[WIRE_PAGE_SIZE];
  bool is_done;
  int errnum;
};

struct link {
  struct link_config config;
  struct nbd_handle *nbd;
  struct page_op op;                /* one page at a time */
  struct link_slot slot[LINK_WINDOW];
  unsigned in_flight;
  bool was_woken;
  uint64_t life_ns;
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

  slot->is_done = true;
  slot->errnum = errno_of_completion (error);
  slot->link->life_ns = clock_mono_ns ();
  return 1;
}

/* ------------------------------------------------------------------ */

bool
link_is_alive (struct link *l)
{
  return nbd_aio_is_ready (l->nbd) == 1 || nbd_aio_is_processing (l->nbd) == 1;
}

static bool
is_broken (struct link *l)
{
  return nbd_aio_is_dead (l->nbd) == 1 || nbd_aio_is_closed (l->nbd) == 1;
}

static int
notify (struct link *l, short revents, unsigned direction)
{
  if (revents & (POLLIN | POLLHUP | POLLERR) &&
      direction & LIBNBD_AIO_DIRECTION_READ)
    return nbd_aio_notify_read (l->nbd);
  if (revents & (POLLOUT | POLLHUP | POLLERR) &&
      direction & LIBNBD_AIO_DIRECTION_WRITE) {
    l->life_ns = clock_mono_ns ();   /* the peer's side takes bytes */
    return nbd_aio_notify_write (l->nbd);
  }
  return 0;
}

static void
clear_wake (struct link *l)
{
  uint64_t n;

  if (read (l->config.wake_fd, &n, sizeof n) == sizeof n)
    l->was_woken = true;
}

/* One round of poll. */
static int
poll_once (struct link *l, int timeout_ms, struct error *err)
{
  unsigned direction = nbd_aio_get_direction (l->nbd);
  struct pollfd fds[2] = {
    { .fd = nbd_aio_get_fd (l->nbd) },
    { .fd = l->config.wake_fd, .events = POLLIN },
  };

  if (direction & LIBNBD_AIO_DIRECTION_READ)
    fds[0].events |= POLLIN;
  if (direction & LIBNBD_AIO_DIRECTION_WRITE)
    fds[0].events |= POLLOUT;
  if (poll (fds, 2, timeout_ms) == -1) {
    if (errno == EINTR)
      return 0;
    return error_set_errno (err, errno, "poll");
  }
  if (fds[1].revents & POLLIN)
    clear_wake (l);
  if (notify (l, fds[0].revents, direction) == -1)
    return error_from_nbd (err, "the connection is lost");
  if (is_broken (l))
    return error_set (err, ENOTCONN, "the peer closed the connection");
  return 0;
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

struct link *
link_open (const struct link_config *config, struct error *err)
{
  struct link *l = calloc (1, sizeof *l);

  if (l == NULL) {
    error_set_errno (err, errno, "cannot make a connection");
    return NULL;
  }
  l->config = *config;
  if (options_check (config->options, err) == -1)
    errno = EACCES;
  else if ((l->nbd = make_handle (config->uri, config->options, err)) != NULL) {
    if (poll_until (l, NULL, "cannot connect", err) == 0)
      return l;
    if (errno != ECANCELED && errno != ETIMEDOUT)
      explain_tls (err);
  }
  link_close (l);
  return NULL;
}

void
link_close (struct link *l)
{
  int errnum = errno;

  if (l == NULL)
    return;
  /* Tells the server when nothing is under way; does not wait for it. */
  if (l->nbd != NULL && l->in_flight == 0 && link_is_alive (l))
    nbd_aio_disconnect (l->nbd, 0);
  nbd_close (l->nbd);
  for (unsigned i = 0; i < LINK_WINDOW; i++)
    free (l->slot[i].buf);
  free (l);
  errno = errnum;
}

static int
page_result (struct link *l, const char *what, struct error *err)
{
  if (poll_until (l, &l->op.is_done, what, err) == -1)
    return -1;
  if (l->op.errnum != 0)
    return error_set_errno (err, l->op.errnum, "%s", what);
  return 0;
}

int
link_read_page (struct link *l, uint64_t offset, void *page,
                struct error *err)
{
  nbd_completion_callback cb = { .callback = page_completed,
                                 .user_data = &l->op };

  l->op.is_done = false;
  if (nbd_aio_pread (l->nbd, l->op.page, WIRE_PAGE_SIZE, offset, cb, 0) == -1)
    return error_from_nbd (err, "cannot read a page");
  if (page_result (l, "read a page of the peer", err) == -1)
    return -1;
  memcpy (page, l->op.page, WIRE_PAGE_SIZE);
  return 0;
}

int
link_write_page (struct link *l, uint64_t offset, const void *page,
                 struct error *err)
{
  nbd_completion_callback cb = { .callback = page_completed,
                                 .user_data = &l->op };

  l->op.is_done = false;
  memcpy (l->op.page, page, WIRE_PAGE_SIZE);
  if (nbd_aio_pwrite (l->nbd, l->op.page, WIRE_PAGE_SIZE, offset, cb,
                      0) == -1)
    return error_from_nbd (err, "cannot write a page");
  return page_result (l, "write a page to the peer", err);
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

int
link_send (struct link *l, struct link_slot *slot, uint64_t stream_offset,
           bool fua, struct error *err)
{
  nbd_completion_callback cb = { .callback = frame_completed,
                                 .user_data = slot };

  if (l->in_flight == 0)
    l->life_ns = clock_mono_ns ();
  slot->is_done = false;
  slot->errnum = 0;
  slot->in_flight = true;
  l->in_flight++;
  if (nbd_aio_pwrite (l->nbd, slot->buf, slot->length,
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

uint64_t
link_life_ns (const struct link *l)
{
  return l->life_ns;
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

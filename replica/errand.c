/* A connection for pages only (see errand.h). */

#include <config.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "errand.h"
#include "handshake.h"
#include "link.h"

#define SETTLE_MS 200

struct errand {
  struct errand_config config;   /* its uri is not used */
  char *uri;                     /* with the export */
  int wake_fd;
  atomic_bool stop;
  struct link *link;             /* NULL: not connected */
  struct wire_keys keys;
};

struct errand *
errand_new (const struct errand_config *config, struct error *err)
{
  struct errand *e = calloc (1, sizeof *e);
  char export[REPLICA_EXPORT_NAME_SIZE];
  char pair[UUID_STRING_SIZE];

  if (e == NULL) {
    error_set_errno (err, errno, "cannot make a connection");
    return NULL;
  }
  e->config = *config;
  e->config.uri = NULL;
  uuid_format (&config->pair, pair);
  snprintf (export, sizeof export, "%s%s", REPLICA_EXPORT_PREFIX, pair);
  e->wake_fd = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (e->wake_fd == -1)
    error_set_errno (err, errno, "cannot make an eventfd");
  else
    e->uri = link_uri (config->uri, export, err);
  if (e->uri == NULL) {
    errand_free (e);
    return NULL;
  }
  return e;
}

void
errand_free (struct errand *e)
{
  if (e == NULL)
    return;
  errand_drop (e);
  if (e->wake_fd != -1)
    close (e->wake_fd);
  explicit_bzero (&e->config.secret, sizeof e->config.secret);
  free (e->uri);
  free (e);
}

void
errand_stop (struct errand *e)
{
  const uint64_t one = 1;

  atomic_store (&e->stop, true);
  if (write (e->wake_fd, &one, sizeof one) == -1) {
    /* Only EAGAIN can be: it is readable already. */
  }
}

void
errand_drop (struct errand *e)
{
  if (e->link != NULL)
    link_settle (e->link, SETTLE_MS);
  link_close (e->link);
  e->link = NULL;
  explicit_bzero (&e->keys, sizeof e->keys);
}

static int
connect_link (struct errand *e, struct error *err)
{
  const struct link_config config = {
    .uri = e->uri, .wake_fd = e->wake_fd, .stop = &e->stop,
    .options = &e->config.options, .page_ms = e->config.page_ms
  };
  bool is_refused;

  if (e->link != NULL && link_is_alive (e->link))
    return 0;
  errand_drop (e);
  e->link = link_open (&config, err);
  if (e->link == NULL)
    return -1;
  if (handshake (e->link, &e->config.pair, e->config.secret, &e->keys,
                 &is_refused, err) == 0)
    return 0;
  errand_drop (e);
  return -1;
}

const struct wire_keys *
errand_keys (struct errand *e, struct error *err)
{
  return connect_link (e, err) == -1 ? NULL : &e->keys;
}

int
errand_read (struct errand *e, uint64_t offset, void *page,
             struct error *err)
{
  if (connect_link (e, err) == -1)
    return -1;
  if (link_read_proof (e->link, offset, page, err) == 0)
    return 0;
  errand_drop (e);
  return -1;
}

int
errand_write (struct errand *e, uint64_t offset, const void *page,
              struct error *err)
{
  if (connect_link (e, err) == -1)
    return -1;
  if (link_write_proof (e->link, offset, page, err) == 0)
    return 0;
  errand_drop (e);
  return -1;
}

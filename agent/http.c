/* HTTP: a request in, JSON out (see agent.h).
 *
 * Listeners, all libmicrohttpd with a thread a connection: the Unix socket
 * api.sock for people and programs on this machine, TCP without and with TLS
 * for the other sites and SDKs, and one for monitoring only.  Whatever comes in is answered in JSON, since the vendor's
 * clients break on anything else.
 */

#include <config.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "agent.h"
#include "plugin-internal.h"
#include "tls.h"

#define CONNECTIONS_MAX 256
#define IDLE_TIMEOUT_S 30
#define HEADERS_MAX (128 * 1024)
#define UPLOAD_MAX (16 * 1024 * 1024)   /* read and dropped beyond BODY_MAX */

struct listener {
  struct http *http;
  enum { LISTENER_LOCAL = 1, LISTENER_TCP, LISTENER_TLS,
         LISTENER_METRICS } kind;
  bool is_local;
  int fd;
  struct MHD_Daemon *daemon;
};

struct http {
  struct agent *agent;
  char *path;                    /* of api.sock */
  struct listener unix_socket, tcp, tls, metrics;
};

/* One request while it is being read. */
struct upload {
  char *body;
  size_t len, room, seen;
  bool is_too_big;
};

static enum MHD_Result
send_json (struct MHD_Connection *connection, int http, json_t *json,
           const char *auth)
{
  char *text = json ? json_dumps (json, JSON_COMPACT) : NULL;
  struct MHD_Response *response;
  enum MHD_Result r;

  json_decref (json);
  if (text == NULL)
    return MHD_NO;
  response = MHD_create_response_from_buffer (strlen (text), text,
                                              MHD_RESPMEM_MUST_FREE);
  if (response == NULL) {
    free (text);
    return MHD_NO;
  }
  MHD_add_response_header (response, "Content-Type", "application/json");
  if (auth)
    MHD_add_response_header (response, PEER_AUTH_HEADER, auth);
  r = MHD_queue_response (connection, http, response);
  MHD_destroy_response (response);
  return r;
}

static enum MHD_Result
send_error (struct listener *l, struct MHD_Connection *connection,
            enum api_error error, const char *name, const char *recommend)
{
  return send_json (connection, api_error_info (error)->http,
                    error_body (l->http->agent, error, name, recommend),
                    NULL);
}

struct query {
  struct params *params;
  int errnum;
};

static enum MHD_Result
add_query (void *opaque, enum MHD_ValueKind kind, const char *key,
           size_t key_size, const char *value, size_t value_size)
{
  struct query *q = opaque;

  (void) kind;
  if (params_add (q->params, key, key_size, value ? value : "",
                  value ? value_size : 0) == -1) {
    q->errnum = errno;
    return MHD_NO;
  }
  return MHD_YES;
}

static int
add_header (struct MHD_Connection *connection, const char *header,
            const char *name, struct params *params)
{
  const char *value = MHD_lookup_connection_value (connection,
                                                   MHD_HEADER_KIND, header);

  return value == NULL ? 0
    : params_add (params, name, strlen (name), value, strlen (value));
}

static bool
is_form (struct MHD_Connection *connection)
{
  const char *type =
    MHD_lookup_connection_value (connection, MHD_HEADER_KIND,
                                 "Content-Type");
  static const char form[] = "application/x-www-form-urlencoded";

  return type && strncasecmp (type, form, sizeof form - 1) == 0;
}

/* Headers win over the query, the query over the body. */
static int
gather_params (struct MHD_Connection *connection, const struct upload *u,
               struct params *params)
{
  struct query q = { .params = params };

  if (add_header (connection, "x-acs-action", "Action", params) == -1 ||
      add_header (connection, "x-acs-version", "Version", params) == -1)
    return -1;
  MHD_get_connection_values_n (connection, MHD_GET_ARGUMENT_KIND, add_query,
                               &q);
  if (q.errnum) {
    errno = q.errnum;
    return -1;
  }
  if (u->len > 0 && is_form (connection))
    return params_add_form (params, u->body, u->len);
  return 0;
}

static void
client_name (struct listener *l, struct MHD_Connection *connection,
             char *ret, size_t size)
{
  const union MHD_ConnectionInfo *info =
    MHD_get_connection_info (connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  char host[64];

  text_set (ret, size, l->is_local ? "local" : "remote");
  if (!l->is_local && info && info->client_addr &&
      getnameinfo (info->client_addr,
                   info->client_addr->sa_family == AF_INET6
                   ? sizeof (struct sockaddr_in6)
                   : sizeof (struct sockaddr_in),
                   host, sizeof host, NULL, 0, NI_NUMERICHOST) == 0)
    text_set (ret, size, host);
}

static enum MHD_Result
serve_action (struct listener *l, struct MHD_Connection *connection,
              const struct upload *u)
{
  struct request req = { .is_local = l->is_local };
  enum MHD_Result r;
  json_t *json;
  int http;

  if (gather_params (connection, u, &req.params) == -1) {
    r = send_error (l, connection, API_INVALID_PARAMETER_FORMAT, NULL,
                    errno == E2BIG ? "send fewer parameters"
                    : "parameters must be UTF-8 text");
    params_release (&req.params);
    return r;
  }
  client_name (l, connection, req.client, sizeof req.client);
  json = actions_run (l->http->agent, &req, &http);
  params_release (&req.params);
  return send_json (connection, http, json, NULL);
}

static enum MHD_Result
serve_peer (struct listener *l, struct MHD_Connection *connection,
            const char *verb, const struct upload *u)
{
  const char *auth =
    MHD_lookup_connection_value (connection, MHD_HEADER_KIND,
                                 PEER_AUTH_HEADER);
  char answer_auth[65] = "";
  json_t *json;
  int http;

  json = peer_serve (l->http->agent, verb, auth, u->body ? u->body : "",
                     u->len, &http, answer_auth);
  return send_json (connection, http, json,
                    answer_auth[0] ? answer_auth : NULL);
}

static enum MHD_Result
serve_metrics (struct listener *l, struct MHD_Connection *connection)
{
  char *text = metrics_text (l->http->agent);
  struct MHD_Response *response;
  enum MHD_Result r;

  if (text == NULL)
    return send_error (l, connection, API_INTERNAL, NULL, NULL);
  response = MHD_create_response_from_buffer (strlen (text), text,
                                              MHD_RESPMEM_MUST_FREE);
  if (response == NULL) {
    free (text);
    return MHD_NO;
  }
  MHD_add_response_header (response, "Content-Type",
                           "text/plain; version=0.0.4; charset=utf-8");
  r = MHD_queue_response (connection, 200, response);
  MHD_destroy_response (response);
  return r;
}

static enum MHD_Result
serve_health (struct listener *l, struct MHD_Connection *connection)
{
  bool ok;
  json_t *json = health_json (l->http->agent, &ok);

  return send_json (connection, ok ? 200 : 503, json, NULL);
}

/* What monitoring asks.  Not over the addresses of the API: there everybody
 * must say who he is.
 */
static bool
is_monitoring (const struct listener *l, const char *method)
{
  return (l->kind == LISTENER_METRICS || l->kind == LISTENER_LOCAL) &&
    strcmp (method, "GET") == 0;
}

static enum MHD_Result
serve (struct listener *l, struct MHD_Connection *connection,
       const char *url, const char *method, const struct upload *u)
{
  if (u->is_too_big)
    return send_error (l, connection, API_INVALID_PARAMETER_FORMAT, NULL,
                       "a request body may have 1 MiB");
  if (strcmp (method, "GET") != 0 && strcmp (method, "POST") != 0)
    return send_error (l, connection, API_UNSUPPORTED_HTTP_METHOD, NULL,
                       NULL);
  if (is_monitoring (l, method) && strcmp (url, "/metrics") == 0)
    return serve_metrics (l, connection);
  if (is_monitoring (l, method) && strcmp (url, "/healthz") == 0)
    return serve_health (l, connection);
  if (l->kind == LISTENER_METRICS)
    return send_error (l, connection, API_NO_SUCH_API, NULL, NULL);
  if (strcmp (url, "/") == 0)
    return serve_action (l, connection, u);
  if (strncmp (url, "/peer/", 6) == 0 && strcmp (method, "POST") == 0)
    return serve_peer (l, connection, url + 6, u);
  return send_error (l, connection, API_NO_SUCH_API, NULL, NULL);
}

static bool
upload_append (struct upload *u, const char *data, size_t len)
{
  u->seen += len;
  if (u->seen > UPLOAD_MAX)
    return false;
  if (u->seen > BODY_MAX) {
    u->is_too_big = true;
    return true;
  }
  if (u->len + len > u->room) {
    size_t room = u->room ? 2 * u->room : 4096;
    char *body;

    while (room < u->len + len)
      room *= 2;
    body = realloc (u->body, room);
    if (body == NULL)
      return false;
    u->body = body;
    u->room = room;
  }
  memcpy (u->body + u->len, data, len);
  u->len += len;
  return true;
}

static enum MHD_Result
handle (void *opaque, struct MHD_Connection *connection, const char *url,
        const char *method, const char *version, const char *data,
        size_t *data_size, void **con_cls)
{
  struct listener *l = opaque;
  struct upload *u = *con_cls;

  (void) version;
  if (u == NULL) {
    *con_cls = calloc (1, sizeof *u);
    return *con_cls ? MHD_YES : MHD_NO;
  }
  if (*data_size > 0) {
    bool ok = upload_append (u, data, *data_size);

    *data_size = 0;
    return ok ? MHD_YES : MHD_NO;
  }
  return serve (l, connection, url, method, u);
}

static void
completed (void *opaque, struct MHD_Connection *connection, void **con_cls,
           enum MHD_RequestTerminationCode code)
{
  struct upload *u = *con_cls;

  (void) opaque;
  (void) connection;
  (void) code;
  if (u)
    free (u->body);
  free (u);
  *con_cls = NULL;
}

/* libmicrohttpd's own complaints, to our log. */
static void __attribute__ ((format (printf, 2, 0)))
log_http (void *opaque, const char *fmt, va_list args)
{
  char text[512];

  (void) opaque;
  vsnprintf (text, sizeof text, fmt, args);
  log_warning ("http: %s", text);
}

static int
start_listener (struct http *h, struct listener *l, int fd, int kind,
                struct error *err)
{
  const struct MHD_OptionItem with_tls[] = {
    { MHD_OPTION_HTTPS_CERT_CALLBACK, tls_callback (), NULL },
    { MHD_OPTION_END, 0, NULL }
  };
  const struct MHD_OptionItem without_tls[] = {
    { MHD_OPTION_END, 0, NULL }
  };

  l->http = h;
  l->kind = kind;
  l->is_local = kind == LISTENER_LOCAL;
  l->fd = fd;
  l->daemon =
    MHD_start_daemon (MHD_USE_THREAD_PER_CONNECTION |
                      MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
                      MHD_USE_ERROR_LOG |
                      (kind == LISTENER_TLS ? MHD_USE_TLS : 0),
                      0, NULL, NULL, handle, l,
                      MHD_OPTION_EXTERNAL_LOGGER, log_http, NULL,
                      MHD_OPTION_ARRAY,
                      kind == LISTENER_TLS ? with_tls : without_tls,
                      MHD_OPTION_LISTEN_SOCKET, fd,
                      MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
                      MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
                      MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S,
                      MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                      (size_t) HEADERS_MAX,
                      MHD_OPTION_END);
  if (l->daemon == NULL) {
    close (fd);
    return error_set (err, EIO, "cannot start the HTTP server");
  }
  return 0;
}

/* Listen on ADDRESS, unless that is "none". */
static int
start_tcp (struct http *h, struct listener *l, const char *address, int kind,
           struct error *err)
{
  static const char *const words[] = {
    [LISTENER_TCP] = "the API", [LISTENER_TLS] = "the API with TLS",
    [LISTENER_METRICS] = "monitoring"
  };
  char bound[256];
  int fd;

  if (strcmp (address, "none") == 0)
    return 0;
  fd = listen_tcp (address, bound, sizeof bound, err);
  if (fd == -1 || start_listener (h, l, fd, kind, err) == -1)
    return -1;
  log_info ("http: %s listens on %s", words[kind], bound);
  return 0;
}

struct http *
http_start (struct agent *agent, struct error *err)
{
  const struct settings *s = &agent->settings;
  struct http *h = calloc (1, sizeof *h);
  int fd;

  if (h == NULL || asprintf (&h->path, "%s/api.sock",
                             agent->settings.dir) == -1) {
    free (h);
    error_set (err, ENOMEM, "out of memory");
    return NULL;
  }
  h->agent = agent;
  fd = plugin_listen_unix (h->path, err);
  if (fd == -1 ||
      start_listener (h, &h->unix_socket, fd, LISTENER_LOCAL, err) == -1 ||
      start_tcp (h, &h->tcp, s->listen, LISTENER_TCP, err) == -1 ||
      start_tcp (h, &h->tls, s->listen_tls, LISTENER_TLS, err) == -1 ||
      start_tcp (h, &h->metrics, s->metrics_listen, LISTENER_METRICS,
                 err) == -1)
    goto err;
  return h;

 err:
  http_stop (h);
  return NULL;
}

void
http_stop (struct http *h)
{
  if (h == NULL)
    return;
  if (h->metrics.daemon)
    MHD_stop_daemon (h->metrics.daemon);
  if (h->tls.daemon)
    MHD_stop_daemon (h->tls.daemon);
  if (h->tcp.daemon)
    MHD_stop_daemon (h->tcp.daemon);
  if (h->unix_socket.daemon)
    MHD_stop_daemon (h->unix_socket.daemon);
  unlink (h->path);
  free (h->path);
  free (h);
}

/* HTTP: a request in, JSON out (see http.h).
 *
 * Listeners, all libmicrohttpd with a thread a connection: the Unix socket
 * api.sock for people and programs on this machine, TCP without and with TLS
 * for the other sites and SDKs, and one for monitoring only.  Whatever comes
 * in is answered in JSON, since the vendor's clients break on anything else.
 * Only a request line and headers that do not fit into POOL_SIZE are answered
 * by libmicrohttpd itself (413, 414 or 431 and a page), before we hear of them.
 */

#include <config.h>

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>
#include <microhttpd.h>

#include "actions.h"
#include "agent.h"
#include "apierror.h"
#include "auth.h"
#include "cleanup.h"
#include "clock.h"
#include "error.h"
#include "http-guard.h"
#include "http.h"
#include "listen.h"
#include "log.h"
#include "metrics.h"
#include "params.h"
#include "peer.h"
#include "settings.h"
#include "tls.h"
#include "values.h"

/* The guard keeps it below this, unless many end at the same time. */
#define CONNECTIONS_MAX (GUARD_CONNECTIONS + 128)
#define STACK_SIZE (512 * 1024)
#define HEADERS_MAX (128 * 1024)
#define POOL_SIZE (1280 * 1024)  /* of a connection; used as far as needed */
#define UPLOAD_MAX (16 * 1024 * 1024)   /* read and dropped beyond BODY_MAX */

struct listener {
  struct http *http;
  enum { LISTENER_LOCAL = 1, LISTENER_TCP, LISTENER_TLS,
         LISTENER_METRICS } kind;
  int fd;
  struct MHD_Daemon *daemon;
  struct guard *guard;
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

/* A stranger must not be able to fill the log: a line a second. */
struct quiet {
  pthread_mutex_t lock;
  uint64_t last_ns, dropped;
};
#define QUIET_INIT { PTHREAD_MUTEX_INITIALIZER, 0, 0 }

/* May a line be written now?  *RET_DROPPED were not. */
static bool
quiet_ask (struct quiet *q, uint64_t *ret_dropped)
{
  ACQUIRE_LOCK_FOR_CURRENT_SCOPE (&q->lock);
  uint64_t now = clock_mono_ns ();

  if (q->last_ns && now - q->last_ns < NS_PER_SEC) {
    q->dropped++;
    return false;
  }
  *ret_dropped = q->dropped;
  q->last_ns = now;
  q->dropped = 0;
  return true;
}

/* A connection that is kept has all of its memory touched by libmicrohttpd,
 * so a stranger's is not: IS_KNOWN.
 */
static enum MHD_Result
send_json (struct MHD_Connection *connection, int http, json_t *json,
           const char *auth, bool is_known)
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
  if (!is_known)
    MHD_add_response_header (response, "Connection", "close");
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
                    NULL, false);
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

static bool
is_form (struct MHD_Connection *connection)
{
  const char *type =
    MHD_lookup_connection_value (connection, MHD_HEADER_KIND,
                                 "Content-Type");
  static const char form[] = "application/x-www-form-urlencoded";

  return type && strncasecmp (type, form, sizeof form - 1) == 0;
}

/* -1: ERRNO is E2BIG, EINVAL, ENOMEM. */
static int
gather_params (struct MHD_Connection *connection, const struct upload *u,
               struct params *query, struct params *form)
{
  struct query q = { .params = query };

  MHD_get_connection_values_n (connection, MHD_GET_ARGUMENT_KIND, add_query,
                               &q);
  if (q.errnum) {
    errno = q.errnum;
    return -1;
  }
  if (u->len > 0 && is_form (connection))
    return params_add_form (form, u->body, u->len);
  return 0;
}

static const char *
find_header (void *opaque, const char *name)
{
  return MHD_lookup_connection_value (opaque, MHD_HEADER_KIND, name);
}

static void
client_address (struct listener *l, struct MHD_Connection *connection,
                char *ret, size_t size)
{
  const union MHD_ConnectionInfo *info =
    MHD_get_connection_info (connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  char host[64];

  text_set (ret, size, l->kind == LISTENER_LOCAL ? "local" : "remote");
  if (l->kind != LISTENER_LOCAL && info && info->client_addr &&
      getnameinfo (info->client_addr,
                   info->client_addr->sa_family == AF_INET6
                   ? sizeof (struct sockaddr_in6)
                   : sizeof (struct sockaddr_in),
                   host, sizeof host, NULL, 0, NI_NUMERICHOST) == 0)
    text_set (ret, size, host);
}

static int
connection_fd (struct MHD_Connection *connection)
{
  const union MHD_ConnectionInfo *info =
    MHD_get_connection_info (connection, MHD_CONNECTION_INFO_CONNECTION_FD);

  return info ? (int) info->connect_fd : -1;
}

static void
note_stranger (const char *address, const struct answer *answer)
{
  static struct quiet quiet = QUIET_INIT;
  struct api_error_text text;
  uint64_t dropped;

  if (!quiet_ask (&quiet, &dropped))
    return;
  api_error_format (answer->error, answer->name1, answer->name2, &text);
  log_warning ("api: %s: refused, %s (%llu more since the last line)",
               address, text.code, (unsigned long long) dropped);
}

/* Answer what ANSWER says is wrong. */
static json_t *
refusal (struct http *h, const struct answer *answer, int *ret_http)
{
  *ret_http = api_error_info (answer->error)->http;
  return error_body (h->agent, answer->error, answer->name1,
                     answer->recommend);
}

static enum MHD_Result
serve_action (struct listener *l, struct MHD_Connection *connection,
              const char *url, const char *method, const struct upload *u,
              bool *ret_known)
{
  struct answer answer = { .error = API_OK };
  struct params query = { 0 }, form = { 0 };
  struct request req = { .is_local = false };
  char address[64];
  struct call call = {
    .method = method, .path = url, .query = &query, .form = &form,
    .header = find_header, .opaque = connection,
    .body = u->body ? u->body : "", .body_len = u->len,
    .is_unix = l->kind == LISTENER_LOCAL, .fd = connection_fd (connection),
    .address = address,
  };
  json_t *json;
  int http;

  client_address (l, connection, address, sizeof address);
  if (gather_params (connection, u, &query, &form) == -1)
    answer_error (&answer, API_INVALID_PARAMETER_FORMAT, NULL,
                  errno == E2BIG ? "send fewer parameters"
                  : "parameters must be UTF-8 text");
  else
    *ret_known = auth_call (l->http->agent, &call, &req, &answer);
  if (*ret_known)
    json = actions_run (l->http->agent, &req, &http);
  else {
    note_stranger (address, &answer);
    json = refusal (l->http, &answer, &http);
  }
  params_release (&req.params);
  params_release (&query);
  params_release (&form);
  return send_json (connection, http, json, NULL, *ret_known);
}

static enum MHD_Result
serve_peer (struct listener *l, struct MHD_Connection *connection,
            const char *verb, const struct upload *u, bool *ret_known)
{
  const char *auth =
    MHD_lookup_connection_value (connection, MHD_HEADER_KIND,
                                 PEER_AUTH_HEADER);
  char answer_auth[65] = "";
  json_t *json;
  int http;

  json = peer_serve (l->http->agent, verb, auth, u->body ? u->body : "",
                     u->len, &http, answer_auth);
  *ret_known = answer_auth[0];
  return send_json (connection, http, json,
                    answer_auth[0] ? answer_auth : NULL, *ret_known);
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

  return send_json (connection, ok ? 200 : 503, json, NULL, true);
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

static size_t
header_size (struct MHD_Connection *connection)
{
  const union MHD_ConnectionInfo *info =
    MHD_get_connection_info (connection,
                             MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

  return info ? info->header_size : 0;
}

static enum MHD_Result
serve (struct listener *l, struct MHD_Connection *connection,
       const char *url, const char *method, const struct upload *u,
       bool *ret_known)
{
  if (header_size (connection) > HEADERS_MAX)
    return send_error (l, connection, API_INVALID_PARAMETER_FORMAT, NULL,
                       "request line and headers may have 128 KiB; a form "
                       "body may have 1 MiB");
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
    return serve_action (l, connection, url, method, u, ret_known);
  if (strncmp (url, "/peer/", 6) == 0 && strcmp (method, "POST") == 0)
    return serve_peer (l, connection, url + 6, u, ret_known);
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
  struct guarded *guarded;
  enum MHD_Result r;
  bool is_known = false;

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
  guarded = MHD_get_connection_info (
    connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
  guard_busy (l->guard, guarded);
  r = serve (l, connection, url, method, u, &is_known);
  guard_done (l->guard, guarded, is_known);
  return r;
}

static void
connected (void *opaque, struct MHD_Connection *connection, void **context,
           enum MHD_ConnectionNotificationCode code)
{
  struct listener *l = opaque;

  if (code == MHD_CONNECTION_NOTIFY_STARTED)
    *context = guard_enter (l->guard, connection_fd (connection));
  else {
    guard_leave (l->guard, *context);
    *context = NULL;
  }
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
  static struct quiet quiet = QUIET_INIT;
  uint64_t dropped;
  char text[512];

  (void) opaque;
  if (!quiet_ask (&quiet, &dropped))
    return;
  vsnprintf (text, sizeof text, fmt, args);
  text[strcspn (text, "\r\n")] = '\0';
  log_warning ("http: %s (%llu more since the last line)", text,
               (unsigned long long) dropped);
}

static int
start_listener (struct http *h, struct listener *l, int fd, int kind,
                struct error *err)
{
  const struct MHD_OptionItem with_tls[] = {
    { MHD_OPTION_HTTPS_CERT_CALLBACK, 0, tls_callback () },
    { MHD_OPTION_HTTPS_PRIORITIES, 0,
      (void *) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2" },
    { MHD_OPTION_END, 0, NULL }
  };
  const struct MHD_OptionItem without_tls[] = {
    { MHD_OPTION_END, 0, NULL }
  };

  l->http = h;
  l->kind = kind;
  l->fd = fd;
  l->guard = guard_new (err);
  if (l->guard == NULL) {
    close (fd);
    return -1;
  }
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
                      MHD_OPTION_NOTIFY_CONNECTION, connected, l,
                      MHD_OPTION_CONNECTION_TIMEOUT, GUARD_KNOWN_S,
                      MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                      (size_t) POOL_SIZE,
                      MHD_OPTION_THREAD_STACK_SIZE, (size_t) STACK_SIZE,
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
  fd = listen_unix (h->path, err);
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

static void
stop_listener (struct listener *l)
{
  if (l->daemon)
    MHD_stop_daemon (l->daemon);
  guard_free (l->guard);
}

void
http_stop (struct http *h)
{
  if (h == NULL)
    return;
  stop_listener (&h->metrics);
  stop_listener (&h->tls);
  stop_listener (&h->tcp);
  stop_listener (&h->unix_socket);
  listen_unlink (h->path);
  free (h->path);
  free (h);
}

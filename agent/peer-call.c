/* One call to another site: POST /peer/VERB, proven in both directions
 * (peer-internal.h).
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>
#include <jansson.h>

#include "cleanup.h"
#include "crypto.h"
#include "error.h"
#include "params.h"
#include "peer-internal.h"
#include "peer.h"
#include "values.h"

#define ANSWER_MAX (2 * BODY_MAX)

void
peer_hmac (const void *secret, size_t secret_len, const char *kind,
           const char *verb, const char *time_ms, const char *nonce,
           const char *body, size_t len, char ret[65])
{
  CLEANUP_FREE char *text = NULL;
  uint8_t mac[HMAC_SIZE];
  int head;

  head = asprintf (&text, "%s\n%s\n%s\n%s\n%*s", kind, verb, time_ms, nonce,
                   (int) len, "");
  if (head == -1)
    abort ();
  memcpy (text + head - len, body, len);
  hmac_sha256 (secret, secret_len, text, head, mac);
  hex_encode (mac, sizeof mac, ret);
}

struct exchange {
  char *body;
  size_t len;
  char auth[65];
};

static size_t
take_body (char *data, size_t size, size_t count, void *opaque)
{
  struct exchange *x = opaque;
  size_t n = size * count;
  char *body;

  if (n > ANSWER_MAX - x->len)
    return 0;
  body = realloc (x->body, x->len + n + 1);
  if (body == NULL)
    return 0;
  x->body = body;
  memcpy (body + x->len, data, n);
  x->len += n;
  body[x->len] = '\0';
  return n;
}

static size_t
take_header (char *data, size_t size, size_t count, void *opaque)
{
  static const char name[] = PEER_AUTH_HEADER ":";
  struct exchange *x = opaque;
  size_t n = size * count;
  size_t at = sizeof name - 1;

  if (n > at && strncasecmp (data, name, at) == 0) {
    while (at < n && data[at] == ' ')
      at++;
    if (n - at >= 64) {
      memcpy (x->auth, data + at, 64);
      x->auth[64] = '\0';
    }
  }
  return n;
}

/* A thread keeps its connections from call to call: a TLS handshake costs more
 * than most calls.  One that the other side has closed meanwhile is noticed
 * by libcurl, which then makes another.
 */
static pthread_key_t curl_key;
static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void
make_curl_key (void)
{
  if (pthread_key_create (&curl_key, curl_easy_cleanup) != 0)
    abort ();
}

static CURL *
our_curl (void)
{
  CURL *curl;

  pthread_once (&curl_once, make_curl_key);
  curl = pthread_getspecific (curl_key);
  if (curl) {
    curl_easy_reset (curl);
    return curl;
  }
  curl = curl_easy_init ();
  if (curl && pthread_setspecific (curl_key, curl) != 0) {
    curl_easy_cleanup (curl);
    return NULL;
  }
  return curl;
}

int
peer_post (const char *address, bool is_tls, const char *ca_path,
           const char *verb, const char *body, const char *auth,
           unsigned timeout_ms, char **ret_body, size_t *ret_len,
           char ret_auth[65], struct error *err)
{
  CLEANUP_FREE char *url = NULL;
  struct curl_slist *headers = NULL;
  struct exchange x = { 0 };
  CURL *curl = our_curl ();
  CURLcode r;

  if (curl == NULL ||
      asprintf (&url, "%s://%s/peer/%s", is_tls ? "https" : "http", address,
                verb) == -1)
    return error_set (err, ENOMEM, "out of memory");
  headers = curl_slist_append (headers, "Content-Type: application/json");
  headers = curl_slist_append (headers, "Expect:");
  headers = curl_slist_append (headers, auth);
  curl_easy_setopt (curl, CURLOPT_URL, url);
  curl_easy_setopt (curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt (curl, CURLOPT_PROXY, "");
  curl_easy_setopt (curl, CURLOPT_MAXCONNECTS, 2L);
  curl_easy_setopt (curl, CURLOPT_POSTFIELDS, body);
  curl_easy_setopt (curl, CURLOPT_POSTFIELDSIZE, (long) strlen (body));
  curl_easy_setopt (curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt (curl, CURLOPT_TIMEOUT_MS, (long) timeout_ms);
  curl_easy_setopt (curl, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt (curl, CURLOPT_WRITEDATA, &x);
  curl_easy_setopt (curl, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt (curl, CURLOPT_HEADERDATA, &x);
  /* Who signed the certificate is what counts, not the name in it: a site
   * may be reached through a forwarder.
   */
  curl_easy_setopt (curl, CURLOPT_SSL_VERIFYHOST, 0L);
  curl_easy_setopt (curl, CURLOPT_SSL_VERIFYPEER, ca_path ? 1L : 0L);
  curl_easy_setopt (curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
  curl_easy_setopt (curl, CURLOPT_CAPATH, NULL);
  if (ca_path)
    curl_easy_setopt (curl, CURLOPT_CAINFO, ca_path);
  r = curl_easy_perform (curl);
  curl_slist_free_all (headers);
  if (r != CURLE_OK) {
    free (x.body);
    error_set (err, r == CURLE_OPERATION_TIMEDOUT ? ETIMEDOUT : EIO,
               "%s", curl_easy_strerror (r));
    if (r == CURLE_PEER_FAILED_VERIFICATION ||
        r == CURLE_SSL_CACERT_BADFILE)
      error_set (err, EACCES, "it shows a certificate that is not the "
                 "joined site's");
    return -1;
  }
  *ret_body = x.body ? x.body : strdup ("");
  *ret_len = x.len;
  memcpy (ret_auth, x.auth, sizeof x.auth);
  return *ret_body ? 0 : error_set (err, ENOMEM, "out of memory");
}

/* The answer, if it proves that it is the peer's to this very call. */
static json_t *
check_answer (const struct secret *secret, const char *verb,
              const char *time_ms, const char *nonce, const char *body,
              size_t len, const char *auth, struct error *err)
{
  char want[65];
  json_t *json;

  peer_hmac (secret->data, secret->len, "answer", verb, time_ms, nonce, body,
             len, want);
  if (strlen (auth) != 64 || !secret_equal (want, auth, 64)) {
    json = json_loads (body, 0, NULL);
    error_set (err, EPERM, "not authenticated: %s", json
               ? json_text (json, "Message") : "do both sites have the same "
               "secret, and clocks that agree?");
    json_decref (json);
    return NULL;
  }
  json = json_loads (body, 0, NULL);
  if (!json_is_object (json)) {
    json_decref (json);
    error_set (err, EBADMSG, "the answer is not a JSON object");
    return NULL;
  }
  return json;
}

json_t *
peer_call_proven (const char *address, bool is_tls, const char *ca_path,
                  const struct secret *secret, const char *verb,
                  const char *body, unsigned timeout_ms, struct error *err)
{
  char time_ms[24], nonce[33], mac[65], auth[192], answer_auth[65];
  CLEANUP_FREE char *answer = NULL;
  uint8_t random[16];
  size_t len;

  random_bytes (random, sizeof random);
  hex_encode (random, sizeof random, nonce);
  snprintf (time_ms, sizeof time_ms, "%llu",
            (unsigned long long) wall_ms ());
  peer_hmac (secret->data, secret->len, "request", verb, time_ms, nonce, body,
             strlen (body), mac);
  snprintf (auth, sizeof auth, PEER_AUTH_HEADER ": %s:%s:%s", time_ms, nonce,
            mac);
  if (peer_post (address, is_tls, ca_path, verb, body, auth, timeout_ms,
                 &answer, &len, answer_auth, err) == -1)
    return NULL;
  return check_answer (secret, verb, time_ms, nonce, answer, len,
                       answer_auth, err);
}

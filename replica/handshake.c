/* The handshake of each connection (see handshake.h). */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "handshake.h"

static int
read_hello (struct link *l, const struct uuid *pair, struct wire_keys *keys,
            bool *ret_is_refused, struct error *err)
{
  uint8_t page[WIRE_PAGE_SIZE];
  struct wire_hello hello;

  if (link_read_page (l, WIRE_HELLO_OFFSET, page, err) == -1)
    return -1;
  *ret_is_refused = true;
  if (wire_hello_decode (page, &hello, err) == -1)
    return -1;
  if (hello.version_min > WIRE_VERSION || hello.version_max < WIRE_VERSION)
    return error_set (err, EPROTO, "the peer speaks protocol versions %u to "
                      "%u, this side %u", hello.version_min,
                      hello.version_max, WIRE_VERSION);
  if (!uuid_equal (&hello.pair, pair))
    return error_set (err, EPROTO, "the peer answers for another pair");
  *ret_is_refused = false;
  memcpy (keys->server_nonce, hello.nonce, sizeof hello.nonce);
  return 0;
}

int
handshake (struct link *l, const struct uuid *pair,
           const uint8_t secret[REPLICA_SECRET_SIZE], struct wire_keys *keys,
           bool *ret_is_refused, struct error *err)
{
  uint8_t page[WIRE_PAGE_SIZE];
  struct wire_auth auth = { .version = WIRE_VERSION };

  *ret_is_refused = false;
  if (read_hello (l, pair, keys, ret_is_refused, err) == -1)
    return -1;
  keys->pair = *pair;
  memcpy (keys->secret, secret, sizeof keys->secret);
  random_bytes (keys->client_nonce, sizeof keys->client_nonce);
  memcpy (auth.nonce, keys->client_nonce, sizeof auth.nonce);
  wire_auth_encode (&auth, keys, page);
  return link_write_page (l, WIRE_AUTH_OFFSET, page, err);
}

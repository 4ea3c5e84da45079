/* What the functions of the table in control-ops.c share: refusals, fields of
 * a request, the role of its disk.
 */

#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "control-call.h"

/* ------------------------------------------------------------------ */
/* Refusals.                                                            */

int
call_refuse (struct call *call, const char *code, int errnum,
             const char *fmt, ...)
{
  va_list args;

  call->code = code;
  call->error.errnum = errnum;
  va_start (args, fmt);
  vsnprintf (call->error.message, sizeof call->error.message, fmt, args);
  va_end (args);
  return -1;
}

int
call_failed (struct call *call)
{
  switch (call->error.errnum) {
  case EBUSY:  call->code = "disk-in-use";  break;
  case EEXIST: call->code = "disk-exists";  break;
  case EINVAL: call->code = "bad-request";  break;
  case ENOMEM: call->code = "internal";     break;
  case ENOSPC: call->code = "no-space";     break;
  default:     call->code = "io-error";     break;
  }
  return -1;
}

int
call_wrong_role (struct call *call, const struct volume_status *status,
            const char *wanted)
{
  return call_refuse (call, "wrong-role", EPERM, "disk '%s' is %s, not %s",
                      call->disk->name, volume_role_name (status->role),
                      wanted);
}

int
call_check_role (struct call *call, enum volume_role wanted)
{
  struct volume_status status;

  volume_get_status (call->disk->volume, &status);
  if (status.role != wanted)
    return call_wrong_role (call, &status, volume_role_name (wanted));
  if (!call->disk->link.is_set || call->disk->replication.receiver == NULL) {
    call_refuse (call, "wrong-role", EPERM,
                 "the link of disk '%s' was not set up", call->disk->name);
    return error_hint (&call->error, "send 'pair.set' again");
  }
  return 0;
}

/* ------------------------------------------------------------------ */
/* Fields of a request.                                                 */

int
call_string (struct call *call, const char *key, const char **ret)
{
  const json_t *value = json_object_get (call->request, key);

  /* A zero byte inside would cut it short. */
  if (!json_is_string (value) ||
      strlen (json_string_value (value)) != json_string_length (value))
    return call_refuse (call, "bad-request", EINVAL,
                        "field '%s' must be a string", key);
  *ret = json_string_value (value);
  return 0;
}

int
call_number (struct call *call, const char *key, uint64_t *ret)
{
  const json_t *value = json_object_get (call->request, key);

  if (!json_is_integer (value) || json_integer_value (value) < 0)
    return call_refuse (call, "bad-request", EINVAL,
                        "field '%s' must be a whole number from 0", key);
  *ret = json_integer_value (value);
  return 0;
}

int
call_uuid (struct call *call, const char *key, struct uuid *ret)
{
  const char *str;

  if (call_string (call, key, &str) == -1)
    return -1;
  if (!uuid_parse (str, ret) || uuid_is_null (ret))
    return call_refuse (call, "bad-request", EINVAL,
                        "field '%s' must be a UUID", key);
  return 0;
}

int
call_secret (struct call *call, uint8_t ret[LINK_SECRET_SIZE])
{
  const char *str;

  if (call_string (call, "secret", &str) == -1)
    return -1;
  if (strlen (str) != 2 * LINK_SECRET_SIZE ||
      !hex_decode (str, 2 * LINK_SECRET_SIZE, ret))
    return call_refuse (call, "bad-request", EINVAL,
                        "field 'secret' must be %d hexadecimal digits",
                        2 * LINK_SECRET_SIZE);
  return 0;
}

int
call_start_or_stop (struct call *call, bool *is_start, uint64_t *rate_bps)
{
  const char *action;

  if (call_string (call, "action", &action) == -1)
    return -1;
  *is_start = strcmp (action, "start") == 0;
  if (!*is_start && strcmp (action, "stop") != 0)
    return call_refuse (call, "bad-request", EINVAL,
                        "field 'action' must be 'start' or 'stop'");
  if (json_object_get (call->request, "rate_bps") == NULL)
    return 0;
  return call_number (call, "rate_bps", rate_bps);
}

/* Requests on the control socket: one table, one function each (in the other
 * control-*.c).
 *
 * A function that changes a disk runs with the disk's ops_lock held.  Each
 * change is made durable in this order: what is to run is stopped, the link
 * file is written, the volume's role is set, what is to run now is started.
 * After a crash between any two steps the disk is safe (the link is off or
 * the old role still in force) and the same request finishes the work.
 */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "control-call.h"
#include "control-ops.h"
#include "disks.h"
#include "steps.h"
#include "value-json.h"

#define NEEDS_DISK   (1u << 0)  /* there is one of that name */
#define NEEDS_VOLUME (1u << 1)  /* and it is open */
#define CHANGES      (1u << 2)  /* ops_lock is held */

/* ------------------------------------------------------------------ */

static struct uuid instance;

static void
make_instance (void)
{
  uuid_generate (&instance);
}

static int
op_ping (struct call *call)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;

  pthread_once (&once, make_instance);
  json_object_set_new (call->answer, "version", json_string (PACKAGE_VERSION));
  json_object_set_new (call->answer, "pid", json_integer (getpid ()));
  json_object_set_new (call->answer, "instance", uuid_to_json (&instance));
  return 0;
}

/* ------------------------------------------------------------------ */

static const struct op {
  const char *name;
  unsigned flags;
  int (*fn) (struct call *call);
} ops[] = {
  { "ping",           0,                                   op_ping },
  { "disk.create",    0,                                   op_disk_create },
  { "disk.delete",    NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_disk_delete },
  { "disk.list",      0,                                   op_disk_list },
  { "disk.status",    NEEDS_DISK,                          op_disk_status },
  { "disk.digest",    NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_disk_digest },
  { "disk.history",   NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_disk_history },
  { "disk.resize",    NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_disk_resize },
  { "disk.scrub",     NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_disk_scrub },
  { "disk.verify",    NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_disk_verify },
  { "pair.set",       NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_pair_set },
  { "pair.clear",     NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_pair_clear },
  { "link.start",     NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_link_start },
  { "link.limit",     NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_link_limit },
  { "link.stop",      NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_link_stop },
  { "link.mode",      NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_link_mode },
  { "replica.accept", NEEDS_DISK | NEEDS_VOLUME | CHANGES,
    op_replica_accept },
  { "replica.stop",   NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_replica_stop },
  { "promote",        NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_promote },
  { "pair.compare",   NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_pair_compare },
  { "demote",         NEEDS_DISK | NEEDS_VOLUME | CHANGES, op_demote },
};

static const struct op *
find_op (const char *name)
{
  size_t i;

  for (i = 0; i < sizeof ops / sizeof ops[0]; i++)
    if (strcmp (ops[i].name, name) == 0)
      return &ops[i];
  return NULL;
}

static int
no_such_disk (struct call *call, const char *name)
{
  return call_refuse (call, "no-such-disk", ENOENT,
                      "there is no disk '%.80s' here", name);
}

/* What changes a pair can be watched: common/steps.c. */
static int
run_step (struct call *call, const struct op *op)
{
  char name[64];
  int r;

  if (!steps_are_watched () || strncmp (op->name, "disk.", 5) == 0 ||
      op->fn == op_pair_compare)
    return op->fn (call);
  snprintf (name, sizeof name, "plugin.%s", op->name);
  step_begins (name);
  step_scope_set (name);
  r = op->fn (call);
  step_scope_set (NULL);
  step_ended (name);
  return r;
}

static int
run_on_disk (struct call *call, const struct op *op)
{
  struct disk *disk = call->disk;
  int r;

  if ((op->flags & NEEDS_VOLUME) && disk->volume == NULL) {
    call_refuse (call, "io-error", EIO, "disk '%s' is not served: %s",
                 disk->name, disk->failure.message);
    return error_hint (&call->error, "%s", disk->failure.hint);
  }
  if (!(op->flags & CHANGES))
    return op->fn (call);

  pthread_mutex_lock (&disk->ops_lock);
  r = disk->is_gone ? no_such_disk (call, disk->name) : run_step (call, op);
  if (!call->is_unlocked)
    pthread_mutex_unlock (&disk->ops_lock);
  return r;
}

static int
run (struct call *call)
{
  const char *name;
  const struct op *op;
  int r;

  if (!json_is_object (call->request))
    return call_refuse (call, "bad-request", EINVAL,
                        "a request is one JSON object on one line");
  if (call_string (call, "op", &name) == -1)
    return -1;
  op = find_op (name);
  if (op == NULL)
    return call_refuse (call, "bad-request", EINVAL,
                        "there is no op '%.80s'", name);
  if (!(op->flags & NEEDS_DISK))
    return op->fn (call);

  if (call_string (call, "disk", &name) == -1)
    return -1;
  call->disk = disk_get (name);
  if (call->disk == NULL)
    return no_such_disk (call, name);
  r = run_on_disk (call, op);
  disk_put (call->disk);
  return r;
}

static json_t *
refusal_to_json (const char *code, const struct error *error)
{
  json_t *message = json_string (error->message);

  if (message == NULL)
    message = json_string ("(the message is not valid UTF-8)");
  return json_pack ("{s:b, s:{s:s, s:s, s:o, s:s}}", "ok", 0, "error",
                    "code", code, "errno", error_name (error->errnum),
                    "message", message, "hint", error->hint);
}

json_t *
control_refusal (const char *code, int errnum, const char *message)
{
  struct error error = ERROR_INIT;

  error_set (&error, errnum, "%s", message);
  return refusal_to_json (code, &error);
}

json_t *
control_answer (const char *line, size_t len)
{
  json_t *request = json_loadb (line, len, JSON_REJECT_DUPLICATES, NULL);
  struct call call = {
    .request = request,
    .answer = json_pack ("{s:b}", "ok", 1),
    .error = ERROR_INIT,
  };

  if (run (&call) == -1) {
    json_decref (call.answer);
    call.answer = refusal_to_json (call.code, &call.error);
    nbdkit_debug ("control: %s: %s", call.code, call.error.message);
  }
  json_decref (request);
  return call.answer;
}

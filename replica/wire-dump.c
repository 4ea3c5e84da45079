/* Pages and frames, printed field by field (see wire.h). */

#include <config.h>

#include <errno.h>
#include <inttypes.h>

#include "wire-proof.h"
#include "wire.h"

static void
dump_point (FILE *fp, const char *name, const struct volume_point *point)
{
  fprintf (fp, "  %s: generation %016" PRIx64 " seq %" PRIu64
           " time_ns %" PRIu64 " bytes %" PRIu64 "\n",
           name, point->generation, point->seq, point->time_ns, point->bytes);
}

static void
dump_uuid (FILE *fp, const char *name, const struct uuid *uuid)
{
  char str[UUID_STRING_SIZE];

  uuid_format (uuid, str);
  fprintf (fp, "  %s: %s\n", name, str);
}

static void
dump_generations (FILE *fp, const struct volume_generations *table)
{
  for (uint32_t i = 0; i < table->count; i++) {
    char str[UUID_STRING_SIZE];

    uuid_format (&table->table[i].writer, str);
    fprintf (fp, "  generation %016" PRIx64 ": first_seq %" PRIu64
             " writer %s\n",
             table->table[i].id, table->table[i].first_seq, str);
  }
}

static void
dump_nonce (FILE *fp, const uint8_t nonce[WIRE_NONCE_SIZE])
{
  char hex[2 * WIRE_NONCE_SIZE + 1];

  hex_encode (nonce, WIRE_NONCE_SIZE, hex);
  fprintf (fp, "  nonce: %s\n", hex);
}

static bool
dump_handshake (const void *page, FILE *fp)
{
  struct wire_hello hello;
  struct wire_auth auth;
  struct wire_result result;

  if (wire_hello_decode (page, &hello, NULL) == 0) {
    fprintf (fp, "HELLO\n  versions: %u-%u\n", hello.version_min,
             hello.version_max);
    dump_nonce (fp, hello.nonce);
    dump_uuid (fp, "pair", &hello.pair);
    return true;
  }
  if (wire_auth_decode (page, NULL, &auth, NULL) == 0) {
    fprintf (fp, "AUTH\n  version: %u\n", auth.version);
    dump_nonce (fp, auth.nonce);
    return true;
  }
  if (wire_result_decode (page, &result, NULL) == 0) {
    fprintf (fp, "RESULT\n  code: %u (%s)\n  message: %s\n",
             (unsigned) result.code, wire_result_string (result.code),
             result.message);
    return true;
  }
  return false;
}

static void
dump_status (const struct wire_status *status, FILE *fp)
{
  fprintf (fp, "STATUS\n  role: %s accept: %d fenced: %d given up: %d "
           "keeps: %" PRIu64 "\n", volume_role_name (status->role),
           status->accept, status->is_fenced, status->is_given_up,
           status->keeps_seq);
  fprintf (fp, "  fence: %" PRIu64 " size: %" PRIu64 " next_seq: %" PRIu64
           " confirmed_seq: %" PRIu64 "\n", status->fence, status->size,
           status->next_seq, status->confirmed_seq);
  dump_uuid (fp, "volume", &status->volume);
  dump_uuid (fp, "lineage", &status->lineage);
  dump_point (fp, "committed", &status->committed);
  if (status->stage_is_active)
    fprintf (fp, "  stage: id %016" PRIx64 " since %" PRIu64 " start %" PRIu64
             " cursor %" PRIu64 " last %" PRIu64 "\n",
             status->stage_id, status->stage_since, status->stage_start,
             status->stage_cursor, status->stage_last);
  dump_generations (fp, &status->generations);
}

static void
dump_session (const struct wire_session *session, FILE *fp)
{
  fprintf (fp, "SESSION\n  id: %016" PRIx64 " kind: %s promise: %s\n",
           session->id,
           session->kind == WIRE_SESSION_STAGE ? "stage" : "stream",
           replica_promise_name (session->promise));
  fprintf (fp, "  fence: %" PRIu64 " size: %" PRIu64 " next_seq: %" PRIu64
           " salt: %016" PRIx64 "\n", session->fence, session->size,
           session->next_seq, session->salt);
  dump_uuid (fp, "volume", &session->volume);
  dump_uuid (fp, "lineage", &session->lineage);
  dump_point (fp, "appended", &session->appended);
  if (session->kind == WIRE_SESSION_STAGE)
    fprintf (fp, "  stage: id %016" PRIx64 " since %" PRIu64 " start %" PRIu64
             "\n", session->stage_id, session->stage_since,
             session->stage_start);
  dump_generations (fp, &session->generations);
}

static void
dump_payload (const struct frame *frame, const void *payload, FILE *fp)
{
  struct frame_cursor cursor;
  struct frame_commit commit;
  struct volume_generations table;
  struct frame_promise promise;

  if (frame->type == FRAME_STAGE_CURSOR &&
      frame_cursor_decode (payload, frame->length, &cursor, NULL) == 0)
    fprintf (fp, "  block: %" PRIu64 " of %" PRIu64 "\n", cursor.block,
             cursor.blocks);
  if (frame->type == FRAME_STAGE_COMMIT &&
      frame_commit_decode (payload, frame->length, &commit, NULL) == 0) {
    dump_point (fp, "point", &commit.point);
    dump_generations (fp, &commit.generations);
  }
  if (frame->type == FRAME_GENERATIONS &&
      frame_generations_decode (payload, frame->length, &table, NULL) == 0)
    dump_generations (fp, &table);
  if (frame->type == FRAME_PROMISE &&
      frame_promise_decode (payload, frame->length, &promise, NULL) == 0)
    fprintf (fp, "  promise: %s for %" PRIu32 " ms\n",
             replica_promise_name (promise.promise), promise.lease_ms);
}

static void
dump_changed (const struct volume_changed *changed, FILE *fp)
{
  fprintf (fp, "CHANGED\n  from: %" PRIu64 " end: %" PRIu64 " blocks:",
           changed->from, changed->end);
  for (unsigned i = 0; i < VOLUME_CHANGED_BITS; i++)
    if (changed->bits[i / 8] >> i % 8 & 1)
      fprintf (fp, " %" PRIu64, changed->first + i);
  fputc ('\n', fp);
}

int
wire_dump (const void *buf, size_t len, FILE *fp, struct error *err)
{
  struct wire_status status;
  struct wire_session session;
  struct volume_changed changed;
  struct frame frame;

  if (frame_decode (buf, len, &frame, NULL) == 0) {
    fprintf (fp, "FRAME %s\n  session: %016" PRIx64 " offset: %" PRIu64
             " length: %" PRIu32 " durable_seq: %" PRIu64 "\n",
             frame_type_name (frame.type), frame.session, frame.offset,
             frame.length, frame.durable_seq);
    dump_point (fp, "appended", &frame.appended);
    dump_payload (&frame, (const uint8_t *) buf + FRAME_HEADER_SIZE, fp);
    return 0;
  }
  if (len == WIRE_PROOF_SIZE && wire_proof_dump (buf, fp))
    return 0;
  if (len == WIRE_PAGE_SIZE) {
    if (dump_handshake (buf, fp))
      return 0;
    if (wire_status_decode (buf, NULL, &status, NULL) == 0) {
      dump_status (&status, fp);
      return 0;
    }
    if (wire_session_decode (buf, NULL, &session, NULL) == 0) {
      dump_session (&session, fp);
      return 0;
    }
    if (wire_changed_decode (buf, &changed, NULL) == 0) {
      dump_changed (&changed, fp);
      return 0;
    }
  }
  return error_set (err, EBADMSG, "neither a page nor a frame of the link");
}

/* What goes over the link: pages at fixed offsets and frames in the stream
 * window (docs/design/replica-protocol.md has the tables).
 *
 * Pure: no I/O, no locks, no clock.  All integers are little-endian.  Whatever
 * comes from the peer is checked here before anybody uses a field of it:
 * magic, version, type, hash, bounds.
 *
 * A page is 4096 bytes:
 *      0  magic, 4: version, 6: type
 *      8  fields
 *   4056  HMAC-SHA256 of the bytes before it (AUTH, STATUS, SESSION)
 *   4088  XXH3-64 of the bytes before it
 *
 * A frame is a header of FRAME_HEADER_SIZE bytes and a payload.
 */

#ifndef PAIRDISK_WIRE_H
#define PAIRDISK_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "crypto.h"
#include "replica.h"

#define WIRE_VERSION 1u

#define WIRE_PAGE_SIZE 4096u
#define WIRE_NONCE_SIZE 32

/* Where the pages are, and the stream. */
#define WIRE_HELLO_OFFSET   UINT64_C (0)
#define WIRE_AUTH_OFFSET    UINT64_C (4096)
#define WIRE_STATUS_OFFSET  UINT64_C (8192)
#define WIRE_SESSION_OFFSET UINT64_C (12288)
#define WIRE_RESULT_OFFSET  UINT64_C (16384)
#define WIRE_STREAM_OFFSET  (UINT64_C (1) << 40)
/* ... and a page for each block to look from, up to the end of the export. */
#define WIRE_CHANGED_OFFSET (UINT64_C (1) << 61)

/* NBD carries few error numbers, so the reason is a page of its own.
 * X (name, number, errno that NBD is given, string)
 */
#define WIRE_RESULTS(X)                                                 \
  X (OK, 0, 0, "ok")                                                    \
  X (UNAUTHENTICATED, 1, EPERM, "not authenticated")                    \
  X (NOT_ACCEPTED, 2, EPERM, "replication is not accepted here")        \
  X (FENCED, 3, ESHUTDOWN, "a higher fence number is known here")       \
  X (STALE, 4, EINVAL, "the session has ended or a seq is out of order")\
  X (GARBAGE, 5, EINVAL, "malformed or damaged data")                   \
  X (MISMATCH, 6, EINVAL, "the two disks do not fit together")          \
  X (NO_SPACE, 7, ENOSPC, "the journal there is full")                  \
  X (IO, 8, EIO, "the volume there failed")                             \
  X (TLS_REQUIRED, 9, EPERM, "TLS is required there")

enum wire_result_code {
#define X(name, number, errnum, string) WIRE_RESULT_##name = number,
  WIRE_RESULTS (X)
#undef X
};

extern const char *wire_result_string (enum wire_result_code code);

/* Errno that the receiver answers a refused command with. */
extern int wire_result_errno (enum wire_result_code code);

/* ------------------------------------------------------------------ */
/* Pages.                                                               */

struct wire_hello {
  uint16_t version_min, version_max;
  uint8_t nonce[WIRE_NONCE_SIZE];
  struct uuid pair;
};

struct wire_auth {
  uint16_t version;
  uint8_t nonce[WIRE_NONCE_SIZE];
};

struct wire_status {
  enum volume_role role;
  bool accept, is_fenced;
  bool is_given_up;              /* what it holds after keeps_seq may be
                                    replaced: a command said so */
  uint64_t keeps_seq;            /* 0: all of it */
  uint64_t fence;
  uint64_t size;
  struct uuid volume, lineage;
  struct volume_point committed;
  uint64_t next_seq;             /* the stream record it would take next */
  uint64_t confirmed_seq;        /* of what is committed, the primary is known
                                    to have held so much durably */
  struct volume_generations generations;
  bool stage_is_active;
  uint64_t stage_id, stage_since, stage_start, stage_cursor, stage_last;
};

enum wire_session_kind {
  WIRE_SESSION_UNSET = 0,
  WIRE_SESSION_STREAM,           /* records from next_seq on */
  WIRE_SESSION_STAGE,            /* an initial copy or a delta, then those */
  WIRE_SESSION_KIND_MAX = WIRE_SESSION_STAGE
};

struct wire_session {
  uint64_t id;                   /* random, not 0 */
  enum wire_session_kind kind;
  enum replica_promise promise;  /* in force, if it was given before */
  uint64_t fence;
  uint64_t size;
  struct uuid volume, lineage;
  uint64_t salt;
  struct volume_point appended;
  uint64_t next_seq;             /* as read from STATUS: else STALE */
  uint64_t stage_id, stage_since, stage_start;
  struct volume_generations generations;   /* cut at next_seq */
};

struct wire_result {
  enum wire_result_code code;
  char message[256];
};

/* What both sides know of a connection and the HMACs are made with. */
struct wire_keys {
  uint8_t secret[REPLICA_SECRET_SIZE];
  uint8_t server_nonce[WIRE_NONCE_SIZE];
  uint8_t client_nonce[WIRE_NONCE_SIZE];
  struct uuid pair;
};

/* Encoding fills all WIRE_PAGE_SIZE bytes of PAGE. */
extern void wire_hello_encode (const struct wire_hello *hello, void *page);
extern void wire_auth_encode (const struct wire_auth *auth,
                              const struct wire_keys *keys, void *page);
extern void wire_status_encode (const struct wire_status *status,
                                const struct wire_keys *keys, void *page);
extern void wire_session_encode (const struct wire_session *session,
                                 const struct wire_keys *keys, void *page);
extern void wire_result_encode (const struct wire_result *result, void *page);
extern void wire_changed_encode (const struct volume_changed *changed,
                                 void *page);

/* Decoding: EBADMSG for a page that is none or is damaged, EACCES when the
 * HMAC is not the one of KEYS (NULL: not looked at, for dumps).  The client's
 * nonce in an AUTH page is part of its own HMAC: wire_auth_decode takes it
 * into KEYS.
 */
extern int wire_hello_decode (const void *page, struct wire_hello *ret,
                              struct error *err);
extern int wire_auth_decode (const void *page, struct wire_keys *keys,
                             struct wire_auth *ret, struct error *err);
extern int wire_status_decode (const void *page, const struct wire_keys *keys,
                               struct wire_status *ret, struct error *err);
extern int wire_session_decode (const void *page,
                                const struct wire_keys *keys,
                                struct wire_session *ret, struct error *err);
extern int wire_result_decode (const void *page, struct wire_result *ret,
                               struct error *err);
extern int wire_changed_decode (const void *page, struct volume_changed *ret,
                                struct error *err);

/* ------------------------------------------------------------------ */
/* Frames.                                                              */

#define FRAME_HEADER_SIZE 80u
#define FRAME_PAYLOAD_MAX (2u << 20)

enum frame_type {
  FRAME_UNSET = 0,
  FRAME_RECORDS,       /* whole records, opaque here */
  FRAME_STAGE_CURSOR,  /* how far the scan of the disk is: for display */
  FRAME_STAGE_COMMIT,  /* point and generations: show what is staged */
  FRAME_GENERATIONS,   /* the table, before the first record of a new one */
  FRAME_HEARTBEAT,     /* no payload */
  FRAME_PROMISE,       /* what a flush at the primary waits for from here on */
  FRAME_TYPE_MAX = FRAME_PROMISE
};

extern const char *frame_type_name (enum frame_type type);

struct frame {
  enum frame_type type;
  uint32_t length;               /* of the payload */
  uint64_t session;
  uint64_t offset;               /* of this header in the stream */
  struct volume_point appended;  /* the primary's newest */
  uint64_t durable_seq;          /* the primary's newest durable */
};

/* Write the header; the payload stands right behind it. */
extern void frame_seal (const struct frame *frame, void *buf);

/* COUNT bytes that should be one frame: EBADMSG if they are not. */
extern int frame_decode (const void *buf, size_t count, struct frame *ret,
                         struct error *err);

/* Payloads.  Encoders return the length; FRAME_SMALL_MAX is enough. */
#define FRAME_SMALL_MAX 1200u

struct frame_cursor {
  uint64_t block, blocks;        /* looked at, of all */
};

struct frame_commit {
  struct volume_point point;
  struct volume_generations generations;
};

struct frame_promise {
  enum replica_promise promise;
  uint32_t lease_ms;             /* suspend: see sync.h; else 0 */
};

extern uint32_t frame_cursor_encode (const struct frame_cursor *cursor,
                                     void *buf);
extern int frame_cursor_decode (const void *buf, size_t len,
                                struct frame_cursor *ret, struct error *err);
extern uint32_t frame_commit_encode (const struct frame_commit *commit,
                                     void *buf);
extern int frame_commit_decode (const void *buf, size_t len,
                                struct frame_commit *ret, struct error *err);
extern uint32_t
frame_generations_encode (const struct volume_generations *table, void *buf);
extern int frame_generations_decode (const void *buf, size_t len,
                                     struct volume_generations *ret,
                                     struct error *err);

extern uint32_t frame_promise_encode (const struct frame_promise *promise,
                                      void *buf);
extern int frame_promise_decode (const void *buf, size_t len,
                                 struct frame_promise *ret,
                                 struct error *err);

/* ------------------------------------------------------------------ */

/* Print a page or a frame field by field (wire-dump.c); HMACs are not
 * checked.  -1 and EBADMSG when it is neither.
 */
extern int wire_dump (const void *buf, size_t len, FILE *fp,
                      struct error *err);

#endif /* PAIRDISK_WIRE_H */

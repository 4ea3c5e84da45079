/* A receiver with its volumes, and a client of it that speaks the protocol by
 * hand through the functions that nbdkit calls.  Both volumes are real ones
 * in a private directory.  What cannot fail is asserted.
 */

#ifndef PAIRDISK_RECEIVER_CLIENT_H
#define PAIRDISK_RECEIVER_CLIENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "replica.h"
#include "volume.h"
#include "wire.h"

#define DISK_SIZE (UINT64_C (4) << 20)
#define FRAMES_MAX 32

extern struct volume *primary, *secondary;
extern struct receiver *receiver;

/* What a client holds of one connection. */
struct client {
  struct receiver_conn *conn;
  struct wire_keys keys;
  uint64_t session, offset;
};

struct sealed {
  uint8_t *buf;
  uint32_t length;
  uint64_t offset;
};

struct writer {
  pthread_t thread;
  struct client *client;
  struct sealed *sealed;
  int result;
};

/* As setup made it, after the last one was freed. */
extern void new_receiver (void);

/* Two volumes, a primary and a secondary, and the receiver of the latter. */
extern int receiver_setup (void **state);
extern int receiver_teardown (void **state);
extern uint64_t digest_of (struct volume *v);
extern struct volume_point committed (void);
extern bool is_staged (void);

/* So many blocks anywhere on the primary, each flushed. */
extern void guest_writes (unsigned count);
extern int write_page (struct client *c, uint64_t offset, const void *page);
extern enum wire_result_code result_of (struct client *c);
extern void client_open (struct client *c);
extern int client_auth (struct client *c);
extern int client_status (struct client *c, struct wire_status *ret);

/* A session that the secondary would take. */
extern struct wire_session session_page (enum wire_session_kind kind);
extern int client_session (struct client *c,
                           const struct wire_session *session);

/* Everything up to an open session of this kind. */
extern void client_ready (struct client *c, enum wire_session_kind kind);

/* The next frame of the stream; the caller frees its buf. */
extern struct sealed client_frame (struct client *c, enum frame_type type,
                                   const void *payload, uint32_t len);
extern int client_write (struct client *c, const struct sealed *s);
extern int client_send (struct client *c, enum frame_type type,
                        const void *payload, uint32_t len);
extern int client_commit (struct client *c);

/* Records after SEQ, each in a frame of its own; at most FRAMES_MAX. */
extern unsigned record_frames (struct client *c, uint64_t seq,
                               struct sealed *ret);

/* The secondary gets all there is, through a stage. */
extern void first_copy (struct client *c);

/* A frame written in a thread of its own. */
extern void start_writer (struct writer *w, struct client *c,
                          struct sealed *s);

/* Two records ready to be sent after a first copy of one. */
extern void two_frames (struct client *c, struct sealed s[2]);
extern void free_frames (struct sealed s[2]);

/* Another connection that proves itself and carries frames of C's session. */
extern void client_join (struct client *other, const struct client *c);

#endif /* PAIRDISK_RECEIVER_CLIENT_H */

/* Commits by interval (see session.c and session-internal.h).
 *
 * A peer that is to commit once an interval gets nothing in REST, where it
 * otherwise would in STREAM.  Then a session begins anew on the same
 * connections, with a delta from the peer's commit point to now: a block that
 * was written many times in between is shipped once, and until all of it is
 * there, and committed as one step, the peer shows the point before.  So
 * whatever ends it in the middle, there is a point to promote; who comes back
 * goes on with that stage or replaces it, as with any other.
 */

#include <config.h>

#include "clock.h"
#include "session-internal.h"

unsigned
session_interval_ms (const struct session *n)
{
  return sync_is_required (n->s->config.sync) ? 0
    : atomic_load (&n->s->interval_ms);
}

uint64_t
session_end_of_rest (const struct session *n)
{
  return n->level_ns + session_interval_ms (n) * NS_PER_MSEC;
}

/* An interval counts from when there was nothing left to send. */
static bool
is_rest_over (struct session *n)
{
  struct volume_point appended;
  uint64_t now = clock_mono_ns ();

  volume_get_points (n->s->v, &appended, NULL);
  if (appended.seq <= n->last.seq)
    n->level_ns = now;
  return (now >= session_end_of_rest (n) || session_mend_is_due (n)) &&
    n->is_committed && link_in_flight (n->link) == 0;
}

/* What changed since the peer's commit point goes as one stage. */
static enum session_end
begin_cycle (struct session *n, struct error *err)
{
  enum session_end end;

  n->is_cycle = true;
  end = session_agree (n, err);
  if (end != SESSION_END_UNSET)
    return end;
  session_note_progress (n);
  return session_open_cursor (n, n->first_seq, err);
}

enum session_end
session_keep_interval (struct session *n, struct error *err)
{
  bool is_on = session_interval_ms (n) > 0;

  if (is_on && n->phase == PHASE_STREAM && n->is_committed &&
      n->held == NULL && !n->is_ahead)
    n->phase = PHASE_REST;
  if (n->phase != PHASE_REST)
    return SESSION_END_UNSET;

  /* The journal may go on without a cursor that does not. */
  session_close_cursor (n);
  if (!is_on) {
    n->phase = PHASE_STREAM;
    return session_open_cursor (n, n->last.seq + 1, err);
  }
  return is_rest_over (n) ? begin_cycle (n, err) : SESSION_END_UNSET;
}

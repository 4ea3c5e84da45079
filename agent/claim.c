/* What somebody wants for himself (see claim.h). */

#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "agent.h"
#include "claim.h"
#include "record.h"
#include "states.h"
#include "store.h"
#include "work.h"

#define LET_GO_MS 450            /* from the end there to the end here */

/* Wait, but not long, for the end of a pair that is being deleted. */
static void
let_go (struct agent *agent, const char *id_or_name, struct record *rec)
{
  struct disk disk;
  bool is_going;

  store_enter (agent->store);
  is_going = store_disk_get (agent->store, id_or_name, &disk) == 1 &&
    store_pair_of_disk (agent->store, &agent->settings, disk.id, rec) == 1 &&
    rec->status == PAIR_DELETING;
  store_leave (agent->store);
  if (is_going)
    work_wait_applied (agent, rec->id, rec->version + 1, LET_GO_MS);
}

enum claim
claim_disk (struct agent *agent, const char *id_or_name, struct disk *ret,
            struct record *ret_pair)
{
  int r;

  if (ret_pair == NULL)
    return CLAIM_FAILED;
  let_go (agent, id_or_name, ret_pair);
  if (store_begin (agent->store) == -1)
    return CLAIM_FAILED;
  r = store_disk_get (agent->store, id_or_name, ret);
  if (r == 0)
    return CLAIM_NO_DISK;
  if (r == 1)
    r = store_pair_of_disk (agent->store, &agent->settings, ret->id,
                            ret_pair);
  if (r == -1) {
    store_end (agent->store, false);
    return CLAIM_FAILED;
  }
  return r == 1 ? CLAIM_IN_PAIR : CLAIM_FREE;
}

bool
pairs_are_too_many (struct agent *agent)
{
  int64_t n;

  store_enter (agent->store);
  n = store_pair_count (agent->store);
  store_leave (agent->store);
  return n == -1 || (uint64_t) n >= agent->settings.pairs_max;
}

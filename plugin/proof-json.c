/* Repair and verification of a disk, as JSON. */

#include <config.h>

#include "proof-json.h"
#include "value-json.h"

json_t *
repair_to_json (struct disk *disk)
{
  struct volume_repairs r;
  json_t *blocks = json_array ();

  volume_get_repairs (disk->volume, &r);
  for (unsigned i = 0; i < r.damaged && i < VOLUME_DAMAGED_SHOWN; i++)
    json_array_append_new (blocks, json_integer (NUMBER (r.block[i])));
  return json_pack ("{s:I, s:o, s:I, s:I, s:I, s:I}",
                    "damaged", NUMBER (r.damaged),
                    "damaged_blocks", blocks,
                    "found", NUMBER (r.found),
                    "repaired", NUMBER (r.repaired),
                    "refused", NUMBER (r.refused),
                    "missed", NUMBER (r.missed));
}

json_t *
verify_to_json (struct disk *disk)
{
  struct verify_status s;
  json_t *ranges;

  if (!verify_get_status (&disk->verify, &s))
    return json_null ();
  ranges = json_array ();
  for (unsigned i = 0; i < s.ranges; i++)
    json_array_append_new (ranges,
                           json_pack ("{s:I, s:I}",
                                      "block", NUMBER (s.range[i].block),
                                      "count", NUMBER (s.range[i].count)));
  return json_pack ("{s:s, s:s*, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I,"
                    " s:I, s:o, s:o, s:f}",
                    "state", verify_state_name (s.state),
                    "reason", s.reason[0] ? s.reason : NULL,
                    "repair", s.repairs,
                    "done_bytes", NUMBER (s.done_bytes),
                    "total_bytes", NUMBER (s.total_bytes),
                    "rate_bps", NUMBER (s.rate_bps),
                    "read_bytes", NUMBER (s.read_bytes),
                    "differing", NUMBER (s.differing),
                    "repaired", NUMBER (s.repaired),
                    "unreadable_here", NUMBER (s.unreadable_here),
                    "unreadable_there", NUMBER (s.unreadable_there),
                    "changing", NUMBER (s.changing),
                    "ranges", ranges,
                    "committed", point_to_json (&s.committed),
                    "seconds", s.seconds);
}

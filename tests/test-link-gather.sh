#!/usr/bin/env bash
# Flushed writes one after the other wait for company in a frame, but not for
# long: all are at the copy well before the next heartbeat would bring them,
# and the disks are equal.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

# Writes in threes: the first goes out at once, the others gather behind it.
# The middle one of the times is of no slow moment of the machine.
arrives_soon ()
{
  nbd_python "$(nbd_uri "$a" d)" "
import os, time
from control import Control
control = Control('$a')
def lag():
    return control.status('d')['link']['lag']['writes']
took = []
for i in range(21):
    for j in range(3):
        h.pwrite(os.urandom(4096), (3 * i + j) * 4096)
        h.flush()
    began = time.monotonic()
    while lag() != 0:
        if time.monotonic() - began > 60:
            raise SystemExit('it does not arrive')
    took.append(time.monotonic() - began)
took.sort()
print('# the middle one of', len(took), 'took', round(took[len(took) // 2], 4), 's')
assert took[len(took) // 2] < 0.2, took"
}

sites 16M
pair
link_start
ok 'in step' wait_for 30 is_synced
ok 'small writes arrive soon' arrives_soon
ok 'both disks are equal' same_content
done_testing

#!/usr/bin/env bash
# A peer that keeps its connection but answers nothing is given up after some
# seconds; the lag grows meanwhile, guests go on, and all is well afterwards.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

sites 64M
proxy_start
pair
fill 1 50
link_start
wait_synced || bail_out 'no initial copy'
proxy freeze >/dev/null
fill 2 10
ok 'the lag is seen' wait_for 5 link_is \
  "l['lag']['writes'] >= 10 and l['lag']['bytes'] >= 655360 and l['lag']['seconds'] > 0.5"
ok 'the peer is given up' wait_for 12 link_is \
  "l['state'] in ('waiting', 'connecting')"
ok 'the reason is told' wait_for 12 link_is "'no' in (l['reason'] or '')"
ok 'guests go on' fill 3 10
proxy thaw >/dev/null
proxy cut >/dev/null
ok 'it comes back by itself' wait_synced
ok 'both disks are equal' same_content
is 'the lag is gone' "$(link_status "l['lag']['seconds']")" 0.0
done_testing

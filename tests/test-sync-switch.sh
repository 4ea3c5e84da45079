#!/usr/bin/env bash
# The mode is changed while flushes are under way: none fails, none is lost, and
# the secondary claims no more than it can prove at any time.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"
source "${0%/*}/sync-functions.sh"

claim () { status "$b" d "s['source']['rpo_zero']"; }

# goes_on: more flushes are acknowledged.
goes_on ()
{
  local n
  n=$(acked_count)
  wait_for 20 acked_more_than $((n + 30))
}

sites 64M
pair
link_start
ok 'the link streams' wait_stream
writers_start 4
ok 'async: flushes are acknowledged' goes_on
for ((i = 1; i <= ${PAIRDISK_LONG:+30}${PAIRDISK_LONG:-3}; i++)); do
  set_mode sync suspend
  ok "$i: in sync" wait_mode in-sync
  ok "$i: flushes are acknowledged" goes_on
  is "$i: the secondary can prove it" "$(claim)" proven
  set_mode sync degrade
  is "$i: and no longer" "$(claim)" unknown
  ok "$i: still in sync" wait_mode in-sync
  ok "$i: flushes are acknowledged" goes_on
  set_mode sync suspend
  ok "$i: in sync" wait_mode in-sync
  set_mode async
  is "$i: async: no claim" "$(claim)" unknown
  is "$i: off" "$(status "$a" d "s['mode']['state']")" off
  ok "$i: flushes are acknowledged" goes_on
done

set_mode sync suspend
ok 'in sync' wait_mode in-sync
ask "$a" link.stop
is 'the link is stopped: no claim' "$(claim)" unknown
ok 'flushes go on' goes_on
link_start
ok 'in sync again' wait_mode in-sync
is 'the secondary can prove it' "$(claim)" proven
ok 'no writer gave up' eval '! is_gone "$writers_pid"'
writers_stop
promote_b 2
is 'proven' "$(loss "l['rpo_zero']")" proven
ok 'what was flushed is there' has_acked
promote_b 2
is 'the same answer again' "$(loss "l['rpo_zero']")" proven
refused 'nonsense is refused' bad-request \
  answers '"ok": ?true' "$a" '{"op":"link.mode","disk":"d","mode":"quick"}'
done_testing

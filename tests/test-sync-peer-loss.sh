#!/usr/bin/env bash
# In sync mode the secondary is stopped, then killed.  With "suspend" flushes
# wait until it is back, whatever happens to the primary meanwhile; with
# "degrade" they go on, which is to be seen and survives a restart, and nobody
# claims that nothing was lost.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"
source "${0%/*}/sync-functions.sh"

claim () { status "$b" d "s['source']['rpo_zero']"; }
flush_all () { nbd_python "$(nbd_uri "$a" d)" 'h.pwrite(bytes(4096), 0); h.flush()'; }

# stands_still: no flush is acknowledged any more, though all writers wait.
stands_still ()
{
  local n
  wait_for 20 flushes_wait || return 1
  n=$(acked_count)
  sleep 0.3             # long enough for hundreds of flushes
  [ "$(acked_count)" -eq "$n" ]
}

sites 64M
pair
set_mode sync suspend
# Long enough to look at the primary while the secondary's claim holds.
proof=$(at_least 10 60)
ask "$a" link.mode "\"proof_seconds\":$proof"
is 'the link is off' "$(status "$a" d "s['mode']['state']")" off
link_start
ok 'in sync' wait_mode in-sync
is 'the secondary knows' "$(claim)" proven

writers_start 4
ok 'flushes are acknowledged' wait_for 20 acked_more_than 50
signal_b STOP
ok 'the secondary is stopped: flushes wait' stands_still
signal_b CONT
n=$(acked_count)
ok 'it goes on: they are acknowledged' wait_for 20 acked_more_than $((n + 50))

kill_b
ok 'the secondary is gone: suspended' wait_mode suspended
ok 'flushes wait' stands_still
kill_a
wait_for 20 is_gone "$writers_pid"
start_a
is 'still suspended after a restart' \
  "$(status "$a" d "s['mode']['state']")" suspended
writers_start 2
ok 'flushes wait' stands_still
start_b
ok 'the secondary is back: in sync' wait_mode in-sync
ok 'flushes are acknowledged' wait_for 20 acked_more_than 50

kill_b
ok 'suspended' wait_mode suspended
set_mode sync degrade force
is 'a force waits until the secondary can claim nothing' \
  "$(status "$a" d "s['mode']['state']")" abandoning
ok 'flushes wait so long' stands_still
n=$(acked_count)
ok 'then they go on' wait_for $((proof + 30)) acked_more_than $((n + 50))
is 'degraded' "$(status "$a" d "s['mode']['state']")" degraded
ok 'that is written down' grep -q '"given": "none"' "$a/d/sync"
ok 'and since when' grep -qE '"degraded_ns": [1-9]' "$a/d/sync"
start_b
ok 'in sync again' wait_mode in-sync
is 'which is no proof with degrade' "$(claim)" unknown
writers_stop

signal_b STOP
ok 'a flush that finds the secondary stopped is answered' flush_all
is 'degraded' "$(status "$a" d "s['mode']['state']")" degraded
kill_a
start_a
is 'degraded after a restart' \
  "$(status "$a" d "s['mode']['state']")" degraded
signal_b CONT
ok 'in sync again' wait_mode in-sync
ok 'both are equal' wait_synced
ok 'both disks are equal' same_content

# A client that goes away does not keep its flush.
set_mode sync suspend
ok 'in sync' wait_mode in-sync
writers_start 2
wait_for 20 acked_more_than 20
kill_b
ok 'suspended' wait_mode suspended
ok 'flushes wait' stands_still
writers_stop
ok 'nobody waits for them' \
  wait_for 20 eval '[ "$(status "$a" d "s[\"mode\"][\"waiting\"]")" = 0 ]'
kill "$a_pid"
ok 'the primary can be ended' wait_for 20 is_gone "$a_pid"
done_testing

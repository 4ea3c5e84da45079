#!/usr/bin/env bash
# The mode of a pair, as people use it: sync from its creation, changed while
# data flows, suspended and forced on, proven or not at a failover, kept when
# the direction is turned round.
source "${0%/*}/functions.sh"
source "${0%/*}/pair-functions.sh"

mode_is () { [ "$(pair_field "$1" .ModeState)" = "$2" ]; }
told () { shows "$2" on "$1" event list; }

sites_up
disks_make 64M
ok 'a pair in sync mode' pair_make --mode sync --on-peer-loss suspend \
  --connections 2 --dead-seconds 3s --proof 4s
on a pair start db01 >/dev/null
wait_status a normal
ok 'in sync' wait_for 30 mode_is a in-sync
is 'two connections' "$(disk_field a $disk_a .Detail.link.connections)" 2
is 'dead after' "$(disk_field a $disk_a .Detail.link.dead_seconds)" 3
ok 'b can prove it' wait_for 10 eval '[ "$(pair_field b .RpoZero)" = proven ]'
ok 'that is shown' grep -q 'mode is: *in-sync: every flush' \
  <(on a pair show db01)
ok 'in the status, too' grep -q 'db01 .*normal .*in-sync' <(on a status)
ok 'and told' wait_for 10 told a mode-in-sync

# Live, and the link goes on.
connects=$(disk_field a $disk_a .Detail.link.connects)
ok 'async with an interval' on a pair modify db01 --mode async --interval 60s
ok 'at once' wait_for 10 eval \
  '[ "$(disk_field a $disk_a .Detail.link.waits_for)" = interval ]'
is 'over the same link' "$(disk_field a $disk_a .Detail.link.connects)" \
  "$connects"
ok 'it is shown' grep -q 'mode: *async, a commit every' <(on a pair show db01)
refused 'an interval of more than half the RPO' 'half of the RPO' \
  on a pair modify db01 --interval 451s
ok 'continuous' on a pair modify db01 --interval 0s
ok 'at once' wait_for 10 eval \
  '[ "$(disk_field a $disk_a .Detail.mode.interval_seconds)" = 0 ]'
ok 'sync again, called at b' on b pair modify db01 --mode sync
ok 'in sync' wait_for 30 mode_is a in-sync

# b is lost: flushes wait, until someone says that they shall not.
site_kill b
ok 'suspended' wait_for 30 mode_is a suspended
ok 'that needs attention' grep -q 'flushes wait for the copy' <(on a status)
on a pair modify db01 --on-peer-loss degrade >/dev/null
ok 'b cannot be told' wait_for 10 mode_is a suspended
ok 'force' on a pair modify db01 --on-peer-loss degrade --force
ok 'a flush is answered in the end' timeout 60 nbdcopy --flush \
  <(head -c 4096 /dev/urandom) "$uri_a"
ok 'degraded' wait_for 30 mode_is a degraded
ok 'that is told' wait_for 10 told a mode-degraded
is 'to the status, too' "$(pair_field a .Degraded)" true
agent_start b
ok 'b is back: in sync' wait_for 60 mode_is a in-sync
is 'degrade is no proof' "$(pair_field b .RpoZero)" unknown
# What was proven shall hold until the failover.
on a pair modify db01 --on-peer-loss suspend --proof 60s >/dev/null
ok 'with suspend it is' wait_for 30 eval '[ "$(pair_field b .RpoZero)" = proven ]'

site_kill a
on b pair failover db01 --wait --timeout 120 >"$tmp/failover"
ok 'the failover proves that nothing is lost' grep -q 'rpo zero: *proven' \
  "$tmp/failover"
is 'in JSON' "$(pair_field b .Loss.RpoZero)" proven
ok 'in the event' grep -q 'RPO zero: proven' <(on b event list)
agent_start a
wait_for 60 sees_peer b
wait_status a failovered
# A site that has just come back may be slow with a call, and is away again for
# a moment then.
ok 'reprotect' wait_for 60 on b pair reprotect db01 --force --wait --timeout 120
on b pair start db01 >/dev/null
wait_status b normal
ok 'the other way round it is in sync, too' wait_for 60 mode_is b in-sync
is 'as before' "$(pair_field b .OnPeerLoss)" suspend
ok 'nobody crashed' nobody_crashed
done_testing

# The site is lost, the other takes over alone; the old one learns of it.

source "${0%/*}/functions.sh"
source "${0%/*}/agent-functions.sh"
requires nbdkit nbdcopy

sites_up
disks_make
guest_write a "$disk_a"
pair_make
pair_start >/dev/null
wait_status a "$pair" normal
wait_for 20 same_content
before=$(digest b "$disk_b")

site_kill a
ok 'failover' api b FailoverDiskReplicaPair ReplicaPairId="$pair"
ok 'it is failed over' wait_status b "$pair" failovered
is 'the loss is reported' "$(pair_value b "$pair" Loss.Writes)" 0
ok 'and how long it took' test -n "$(pair_value b "$pair" \
  Loss.FailoverSeconds | grep -E '^[0-9]')"
is 'the content is that of the last point' "$(digest b "$disk_b")" "$before"
ok 'the disk can be written' guest_write b "$disk_b"
ok 'failover again changes nothing' \
  api b FailoverDiskReplicaPair ReplicaPairId="$pair"
refused 'no start after it' '403 .*InvalidStatus' \
  api b StartDiskReplicaPair ReplicaPairId="$pair"
is 'with a higher fence number' "$(disk_value b "$disk_b" fence)" 2

site_up a
ok 'the old primary learns of it' wait_status a "$pair" failovered
ok 'its plugin is fenced' wait_for 30 disk_is a "$disk_a" fenced true
ok 'its link is off' wait_for 30 disk_is a "$disk_a" link.state off
is 'it knows the loss' "$(pair_value a "$pair" Loss.Writes)" 0
refused 'its disk takes no writes' . guest_write a "$disk_a"
ok 'an event tells of the failover' event_told b failovered-ok
ok 'one at the old primary' event_told a peer-record

# The site that is left may delete.
site_kill a
peer_is_away () { [ "$(value b DescribeSite Peers.0.Reachable)" = false ]; }
wait_for 30 peer_is_away || bail_out 'b does not see that a is away'
ok 'delete at the site that is left' \
  api b DeleteDiskReplicaPair ReplicaPairId="$pair"
ok 'it is gone' wait_for 30 pair_gone b "$pair"
site_up a
ok 'the other follows when it is back' wait_for 30 pair_gone a "$pair"
ok 'its disk is free' wait_for 30 disk_is a "$disk_a" role standalone

done_testing

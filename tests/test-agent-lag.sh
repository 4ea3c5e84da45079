# normal means: the copy is no older than the RPO.  And a failover that the
# plugin refuses.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"

hold ()
{
  control a "{\"op\":\"fake.hold\",\"disk\":\"$disk_a\",\"hold\":$1}" \
    >/dev/null
}

sites_up
disks_make
guest_write a "$disk_a"
pair_make RPO=1
pair_start >/dev/null
ok 'normal' wait_status a "$pair" normal
point=$(pair_value a "$pair" LastRecoverPoint)
hold true
guest_write a "$disk_a"
ok 'beyond the RPO: syncing' wait_status a "$pair" syncing
ok 'the other site knows' wait_status b "$pair" syncing
ok 'the lag is told' test "$(pair_value a "$pair" LagWrites)" = 1
hold false
ok 'normal again' wait_status a "$pair" normal
ok 'the recovery point moves' test \
  "$(pair_value a "$pair" LastRecoverPoint)" -gt "$point"

# While nbdkit says nothing nothing is claimed: its last word said that the
# copy is level, and holds for then.
for site in a b; do
  control $site '{"op":"fake.silent","seconds":600}' >/dev/null
  point=$(pair_value $site "$pair" LastRecoverPoint)
  no_lag () { [ "$(pair_value $site "$pair" LagSeconds)" = null ]; }
  ok "$site: the lag is not known" wait_for 20 no_lag
  ok "$site: the recovery point does not move on" \
    test "$(pair_value $site "$pair" LastRecoverPoint)" -le $((point + 2))
  control $site '{"op":"fake.silent","seconds":0}' >/dev/null
  has_lag () { ! no_lag; }
  ok "$site: it is known again" wait_for 30 has_lag
done

# The link is lost for less than the RPO: normal stays.
api a StopDiskReplicaPair ReplicaPairId="$pair" >/dev/null
wait_status a "$pair" stopped

# A second pair, with an RPO nothing exceeds.
api a DeleteDiskReplicaPair ReplicaPairId="$pair" >/dev/null
wait_for 30 pair_gone a "$pair"
wait_for 30 pair_gone b "$pair"
pair_make RPO=900
pair_start >/dev/null
wait_status a "$pair" normal
wait_status b "$pair" normal
site_kill b
link_lost () { [ "$(pair_value a "$pair" LinkState)" = waiting ]; }
ok 'the link is lost' wait_for 20 link_lost
is 'still within the RPO' "$(pair_value a "$pair" Status)" normal
ok 'an event tells' wait_for 20 event_told a link-lost
ok 'an event tells of the site' wait_for 20 event_told a peer-lost
site_up b
ok 'the link is back' wait_for 20 event_told a link-up

# Failover: the plugin refuses once, the next call succeeds.
control b '{"op":"fake.fail","what":"promote","code":"io-error"}' >/dev/null
ok 'failover' api b FailoverDiskReplicaPair ReplicaPairId="$pair"
ok 'it fails' wait_status b "$pair" failover_failed
ok 'the reason is told' grep -q 'made to fail' \
  <<<"$(pair_value b "$pair" StatusMessage)"
ok 'again' api b FailoverDiskReplicaPair ReplicaPairId="$pair"
ok 'it is failed over' wait_status b "$pair" failovered

# A disk that was swapped under the pair.
pair_disk=$(value a CreateDisk DiskId DiskName=other Size=$disk_size)
is 'another disk is not touched' "$(disk_value a "$pair_disk" role)" standalone

done_testing

# Who is attached decides what may be done.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"

clients ()
{
  control "$1" "{\"op\":\"fake.clients\",\"disk\":\"$2\",\"count\":$3}" \
    >/dev/null
}

sites_up
disks_make
guest_write a "$disk_a"
clients b "$disk_b" 1
refused 'create: destination attached' '403 .*OperationDenied.*attached' \
  pair_create
clients b "$disk_b" 0
clients a "$disk_a" 1
pair_make
pass 'create: an attached source is fine'

# The plugin would not let a guest in; the agent asks all the same.
clients b "$disk_b" 1
refused 'start at the source' \
  '400 .*OperationDenied.StandbyDeviceAttached.*The secondary disk is attached\.' \
  pair_start
refused 'start at the destination' '400 .*StandbyDeviceAttached' \
  api b StartDiskReplicaPair ReplicaPairId="$pair"
refused 'one-shot' '400 .*StandbyDeviceAttached' pair_start OneShot=true
is 'a refused call has no effect' "$(pair_value a "$pair" Status)" created
ok 'refusals are in the events' event_told a refused
clients b "$disk_b" 0
ok 'start when it is detached' pair_start ClientToken=again
ok 'normal' wait_status a "$pair" normal
is 'attached is shown' \
  "$(value a DescribeDisks Disks.0.Status DiskIds="$disk_a")" InUse
ok 'a token whose call was refused may be used again' \
  pair_start ClientToken=again
refused 'a disk in use is not deleted' '403 .*OperationDenied' \
  api a DeleteDisk DiskId="$disk_a"

# On record, without any client.
clients a "$disk_a" 0
attach () { api "$1" AttachDisk DiskId="$2" InstanceId="$3" "${@:4}"; }
detach () { api "$1" DetachDisk DiskId="$2" "${@:3}"; }
told () { [ "$(pair_value "$1" "$pair" "$2" 2>/dev/null)" = "$3" ]; }

ok 'the source is attached' attach a "$disk_a" vm-1 ClientToken=one
ok 'once' attach a "$disk_a" vm-1 ClientToken=one
is 'it is in use' "$(value a DescribeDisks Disks.0.Status \
  DiskIds="$disk_a")" InUse
is 'by whom' "$(value a DescribeDisks Disks.0.InstanceId \
  DiskIds="$disk_a")" vm-1
ok 'it is in the events' event_told a disk-attached
refused 'not to two' '403 .*OperationDenied.*attached to vm-1' \
  attach a "$disk_a" vm-2
refused 'not the copy' '403 .*OperationDenied.*after a failover' \
  attach b "$disk_b" vm-1
refused 'nor by the other site' '403 .*OperationDenied.*after a failover' \
  attach a "$disk_b" vm-1 RegionId=site-b
refused 'no such disk' '404 .*NoSuchResource' attach a none vm-1
refused 'no instance' '400 .*MissingInstanceId' attach a "$disk_a" ''
refused 'no name' '400 .*InvalidParameter.*InstanceId' \
  attach a "$disk_a" 'a b'
for site in a b; do
  ok "$site knows the source" wait_for 15 told $site SourceInstanceId vm-1
  ok "$site knows the copy" wait_for 15 told $site DestinationAttached false
done

api b FailoverDiskReplicaPair ReplicaPairId="$pair" >/dev/null
wait_status b "$pair" failovered
wait_status a "$pair" failovered
ok 'after a failover the copy is attached' attach b "$disk_b" vm-2
ok 'a knows' wait_for 15 told a DestinationInstanceId vm-2
kill_pid "${site_pid[a]}"
site_start a
wait_for 30 peers_see_each_other
is 'it is on record' "$(value a DescribeDisks Disks.0.InstanceId \
  DiskIds="$disk_a")" vm-1
reprotect () { api b ReprotectDiskReplicaPair ReplicaPairId="$pair" "$@"; }
refused 'reprotect: the source is attached' '403 .*"OperationDenied"' \
  reprotect
refused 'cancel: the destination is' '403 .*"OperationDenied"' \
  reprotect ReverseReplicate=false
ok 'the source is detached' detach a "$disk_a"
ok 'again' detach a "$disk_a"
ok 'reprotect' reprotect
wait_status a "$pair" reprotecting
refused 'who becomes the copy is not attached' \
  '403 .*OperationDenied.*failover' attach a "$disk_a" vm-1

disk_a=$(value a CreateDisk DiskId DiskName=a2 Size="$disk_size")
disk_b=$(value b CreateDisk DiskId DiskName=b2 Size="$disk_size")
ok 'a disk without a pair is attached' attach b "$disk_b" vm-2
refused 'an attached disk is not deleted' '403 .*attached to vm-2' \
  api b DeleteDisk DiskId="$disk_b"
refused 'an attached disk is no copy' '403 .*OperationDenied.*attached' \
  pair_create
ok 'detached' api b DetachDisk DiskId="$disk_b"
ok 'it may be' pair_create

ok 'pairctl disk attach' \
  grep -qx "uri: nbd+unix:///$disk_a?socket=$tmp/a/nbd.sock" \
  <("$pairctl" --site "$tmp/a" disk attach "$disk_a" --to vm-3)
ok 'disk show' grep -q '^attached: *to vm-3, 0 clients$' \
  <("$pairctl" --site "$tmp/a" disk show "$disk_a")
ok 'disk list' grep -q ' vm-3 ' <("$pairctl" --site "$tmp/a" disk list)
ok 'pair show' grep -q '^attached: *source to vm-3' <(
  "$pairctl" --site "$tmp/a" pair show "$(value a DescribeDisks \
    Disks.0.ReplicaPairId DiskIds="$disk_a")")
is 'pairctl disk detach' \
  "$("$pairctl" --site "$tmp/a" disk detach "$disk_a")" \
  "disk '$disk_a' is detached"

done_testing

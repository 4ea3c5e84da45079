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

done_testing

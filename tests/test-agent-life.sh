# A pair's whole life with two agents and the real plugin: create, start,
# normal, stop, one-shot, delete, from either site.

source "${0%/*}/functions.sh"
source "${0%/*}/agent-functions.sh"
requires nbdkit nbdcopy

sites_up
disks_make
guest_write a "$disk_a"

refused 'create: no such disk here' '404 .*NoSuchResource' \
  api a CreateDiskReplicaPair SourceZoneId=site-a-1 DiskId=d-nothere \
  DestinationRegionId=site-b DestinationZoneId=site-b-1 \
  DestinationDiskId="$disk_b"
refused 'create: no such disk there' '404 .*NoSuchResource' \
  api a CreateDiskReplicaPair SourceZoneId=site-a-1 DiskId="$disk_a" \
  DestinationRegionId=site-b DestinationZoneId=site-b-1 \
  DestinationDiskId=d-nothere
refused 'create: no such zone' '404 .*NoSuchResource' \
  api a CreateDiskReplicaPair SourceZoneId=site-a-2 DiskId="$disk_a" \
  DestinationRegionId=site-b DestinationZoneId=site-b-1 \
  DestinationDiskId="$disk_b"
small=$(value b CreateDisk DiskId DiskName=small Size=1048576)
refused 'create: disks of two sizes' '403 .*OperationDenied.*bytes' \
  api a CreateDiskReplicaPair SourceZoneId=site-a-1 DiskId="$disk_a" \
  DestinationRegionId=site-b DestinationZoneId=site-b-1 \
  DestinationDiskId="$small"
refused 'create: a bad name' '400 .*PairName' pair_create PairName=http://x

pair_make PairName=orders RPO=900 Description='orders of the shop' \
  ClientToken=token-1 Tag.1.Key=team Tag.1.Value=shop
pass 'created'
is 'the record is at both sites' "$(pair_value b "$pair" PairName)" orders
is 'a region is production for its pair' "$(pair_value a "$pair" Site)" \
  production
is 'the other is backup' "$(pair_value b "$pair" Site)" backup
is 'tags are kept' "$(pair_value b "$pair" Tags.0.TagValue)" shop
is 'no recovery point before the first copy' \
  "$(pair_value a "$pair" LastRecoverPoint)" null
is 'roles: source' "$(disk_value a "$disk_a" role)" primary
is 'roles: destination' "$(disk_value b "$disk_b" role)" secondary
is 'the same token gives the same pair' \
  "$(pair_create PairName=orders RPO=900 Description='orders of the shop' \
     ClientToken=token-1 Tag.1.Key=team Tag.1.Value=shop |
     grep -o 'pair-cn-[a-z0-9]*')" "$pair"
refused 'the same token, other parameters' '400 .*IdempotentParameterMismatch' \
  pair_create PairName=other ClientToken=token-1
refused 'one pair a disk' '403 .*OperationDenied' pair_create
refused 'a disk in a pair is not deleted' '403 .*OperationDenied' \
  api a DeleteDisk DiskId="$disk_a"
refused 'nothing to fail over to' '403 .*InvalidStatus' \
  api b FailoverDiskReplicaPair ReplicaPairId="$pair"
refused 'stop of what does not run' '403 .*InvalidStatus' \
  api a StopDiskReplicaPair ReplicaPairId="$pair"

ok 'start' pair_start
ok 'it becomes normal' wait_status a "$pair" normal
ok 'at the other site, too' wait_status b "$pair" normal
ok 'the content is the same' wait_for 20 same_content
is 'progress' "$(value a DescribeDiskReplicaPairProgress Progress \
  ReplicaPairId="$pair")" 100
ok 'a recovery point' test "$(pair_value a "$pair" LastRecoverPoint)" -gt \
  $(($(date +%s) - 600))
ok 'start again changes nothing' pair_start
is 'still normal' "$(pair_value a "$pair" Status)" normal
refused 'failover at the source' '403 .*OperateNotAllowedForPrimary' \
  api a FailoverDiskReplicaPair ReplicaPairId="$pair"
refused 'delete while it runs' '403 .*InvalidStatus' \
  api a DeleteDiskReplicaPair ReplicaPairId="$pair"
guest_write a "$disk_a"
ok 'writes follow' wait_for 20 same_content

ok 'stop, called at the destination' \
  api b StopDiskReplicaPair ReplicaPairId="$pair"
ok 'stopped at the source' wait_status a "$pair" stopped
ok 'stopped at the destination' wait_status b "$pair" stopped
ok 'the link is off' wait_for 20 disk_is a "$disk_a" link.state off
ok 'nothing is accepted' wait_for 20 disk_is b "$disk_b" source.accept false
ok 'stop again changes nothing' \
  api a StopDiskReplicaPair ReplicaPairId="$pair"
guest_write a "$disk_a"
ok 'what is written now stays here' test "$(digest a "$disk_a")" != \
  "$(digest b "$disk_b")"

ok 'one-shot, asked at the other site for this region' \
  api b StartDiskReplicaPair RegionId=site-a ReplicaPairId="$pair" \
  OneShot=true
ok 'it ends in stopped' wait_status a "$pair" stopped
ok 'with the same content' wait_for 20 same_content
refused 'another at once' '403 .*ManualSyncLimit' pair_start OneShot=true
ok 'a start is no one-shot' pair_start
ok 'normal again' wait_status a "$pair" normal
ok 'stop at the source' api a StopDiskReplicaPair ReplicaPairId="$pair"
ok 'is stopped' wait_status a "$pair" stopped

refused 'delete at the destination' '403 .*OperateNotAllowedForStandby' \
  api b DeleteDiskReplicaPair ReplicaPairId="$pair"
ok 'delete' api a DeleteDiskReplicaPair ReplicaPairId="$pair"
ok 'it is gone' wait_for 30 pair_gone a "$pair"
ok 'there, too' wait_for 30 pair_gone b "$pair"
is 'the disks stay: source' "$(disk_value a "$disk_a" role)" standalone
is 'the disks stay: destination' "$(disk_value b "$disk_b" role)" standalone
refused 'a second delete' '404 .*NoSuchResource' \
  api a DeleteDiskReplicaPair ReplicaPairId="$pair"
pair_make
pass 'a new pair of the same disks'
ok 'events tell of it' event_told a created-ok
ok 'no secret in the logs' sh -c \
  "! grep -rqE '[0-9a-f]{64}' '$tmp'/*.log '$tmp'/a/*.log '$tmp'/b/*.log"

done_testing

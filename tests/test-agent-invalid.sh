# A disk is resized, swapped or removed under the pair.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"

sites_up
for what in size:4096:DeviceSizeChanged uuid:\"other\":DeviceKeyChanged; do
  IFS=: read -r member value reason <<<"$what"
  disk_a=$(value a CreateDisk DiskId DiskName="a-$member" Size=$disk_size)
  disk_b=$(value b CreateDisk DiskId DiskName="b-$member" Size=$disk_size)
  guest_write a "$disk_a"
  pair_make
  pair_start >/dev/null
  wait_status a "$pair" normal
  control b "{\"op\":\"fake.set\",\"disk\":\"$disk_b\",\"values\":{\"$member\":$value}}" >/dev/null
  ok "$reason: invalid" wait_status b "$pair" invalid
  is "$reason: told" "$(pair_value b "$pair" StatusMessage)" $reason
  ok "$reason: the other site knows" wait_status a "$pair" invalid
  ok "$reason: it can be deleted at either" \
    api b DeleteDiskReplicaPair ReplicaPairId="$pair"
  ok "$reason: gone" wait_for 30 pair_gone a "$pair"
done

done_testing

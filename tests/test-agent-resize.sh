# A disk of a site grows, asked by pairctl: alone, refused in a pair, and after
# the pair is gone, both sides grow and only what differs is copied.

source "${0%/*}/functions.sh"
source "${0%/*}/agent-functions.sh"
mb=$((1024 * 1024))

sites_up
export PAIRDISK_SITE=$tmp/a
pairctl_b ()
{
  "$pairctl" --site "$tmp/b" "$@"
}

"$pairctl" disk create web --size 16M >/dev/null
is 'pairctl disk resize' "$("$pairctl" disk resize web --size 24M 2>&1)" \
  "disk 'web' has 24.0 MiB now, its journal room for 72.0 MiB"
is 'the same again' "$("$pairctl" disk resize web --size 24M 2>&1)" \
  "disk 'web' has 24.0 MiB now, its journal room for 72.0 MiB"
ok 'in JSON' bash -c "'$pairctl' disk resize web --capacity 200M --json |
  grep -q '\"Capacity\": 209715200'"
is 'the list says so' "$(value a DescribeDisks Disks.0.Size)" $((24 * mb))
is 'and NBD' "$(nbdinfo --size "$(value a DescribeDisks Disks.0.NbdUri)")" \
  $((24 * mb))
ok 'an event' bash -c \
  "'$pairctl' event list | grep -q 'disk-resized.*25165824 bytes, before 16777216'"
refused 'less' 'cannot become less' "$pairctl" disk resize web --size 16M
refused 'no whole blocks' 'multiple of 4096' \
  "$pairctl" disk resize web --size 25000000
refused 'no such disk' 'NoSuchResource' "$pairctl" disk resize none --size 1G
refused 'nothing to do' "give '--size'" "$pairctl" disk resize web
refused 'what is no number' 'InvalidSize|Size' api a ResizeDisk DiskId=web Size=x
refused 'the API wants one of them' 'Size' api a ResizeDisk DiskId=web

disk_a=$(value a CreateDisk DiskId DiskName=db Size=$disk_size)
disk_b=$(value b CreateDisk DiskId DiskName=db Size=$disk_size)
guest_write a "$disk_a"
pair_make
refused 'a disk of a pair that is created' "in replication pair $pair" \
  "$pairctl" disk resize db --size 32M
pair_start >/dev/null
wait_status a "$pair" normal
for site in a b; do
  refused "a disk of a pair, at $site" \
    "in replication pair $pair.*stop and delete the pair, resize both" \
    "$pairctl" --site "$tmp/$site" disk resize db --size 32M
  ok "more room for its journal, at $site" \
    "$pairctl" --site "$tmp/$site" disk resize db --capacity 256M
done
is 'the pair goes on' "$(pair_value a "$pair" Status)" normal

api a StopDiskReplicaPair ReplicaPairId="$pair" >/dev/null
wait_status a "$pair" stopped
api a DeleteDiskReplicaPair ReplicaPairId="$pair" >/dev/null
wait_for 30 pair_gone a "$pair"
wait_for 30 pair_gone b "$pair"
ok 'without the pair one grows' "$pairctl" disk resize db --size 32M
refused 'no pair of two sizes' 'make one of the same size' pair_create
ok 'and the other' pairctl_b disk resize db --size 32M
pair_make
pair_start >/dev/null
ok 'they are a pair again' wait_status a "$pair" normal
ok 'of one content' wait_for 30 same_content
sent=$(disk_value a "$disk_a" link.sent_bytes)
diag "$(disk_value a "$disk_a" link.rule): $sent bytes sent"
ok 'only what differs was copied' test "$sent" -lt $((mb / 4))
done_testing

# The plugin says nothing while a disk is being resized, or the agent is killed
# meanwhile: the disk is in no pair until it is known what became of it.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"
mb=$((1024 * 1024))

sites_up
disks_make
size_is ()
{
  [ "$(value a DescribeDisks Disks.0.Size DiskIds="$disk_a")" = "$1" ]
}
state_is ()
{
  [ "$(value a DescribeDisks Disks.0.Status DiskIds="$disk_a")" = "$1" ]
}
silent ()
{
  control a "{\"op\":\"fake.silent\",\"seconds\":$1}" >/dev/null
}

silent 600
refused 'no answer' 'ServiceUnavailable' \
  api a ResizeDisk DiskId="$disk_a" Size=$((32 * mb))
refused 'no pair meanwhile' 'is being resized' pair_create
silent 0
ok 'the plugin has done it: known when it answers' \
  wait_for 30 size_is $((32 * mb))
ok 'and the disk is as any other' wait_for 30 state_is Available
ok 'an event' event_told a disk-resized

silent 600
api a ResizeDisk DiskId="$disk_a" Size=$((48 * mb)) >/dev/null 2>&1 &
call=$!
to_be_ended "$call"
ok 'it is under way' wait_for 30 state_is Resizing
site_kill_agent a
wait "$call"
site_start a
silent 0
ok 'the agent killed: it is known afterwards' \
  wait_for 30 size_is $((48 * mb))
ok 'and the disk is as any other' wait_for 30 state_is Available
refused 'refused by the plugin' 'cannot become less' \
  api a ResizeDisk DiskId="$disk_a" Size=$((32 * mb))
ok 'that leaves it as it was' state_is Available
ok 'the other grows, too' api b ResizeDisk DiskId="$disk_b" Size=$((48 * mb))
ok 'then they can be a pair' pair_create
done_testing

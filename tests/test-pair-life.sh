# The life of a pair as its owner sees it: two whole sites, pairctl, and a
# guest of the source that never notices anything.

source "${0%/*}/pair-functions.sh"

# The guest does not come back: it must never lose its disk.
writer_patience=0

at_rest ()
{
  writer_stop && same_content
}

# sent_since COUNT: on the wire
sent_since () { echo $(($(proxy bytes) - $1)); }

sites_up
disks_make 96M
fill 32 1
writer_start 1
ok 'a guest writes' wait_for 20 has_flushed 10

# ---- create -----------------------------------------------------------------

on b disk create small --size 64M >/dev/null
refused 'create: disks of two sizes' '67108864|64 MiB|size' \
  on a pair create --disk db01 --name db01 \
  --peer-disk "$(disk_field b small .DiskId)"
refused 'create: no such disk there' NoSuchResource \
  on a pair create --disk db01 --name db01 --peer-disk d-nothere

# A guest of the copy, that stays.
start guest-b env -u LD_PRELOAD /usr/bin/python3 -c "
import nbd, sys, time
h = nbd.NBD()
h.connect_uri(sys.argv[1])
while True:
    time.sleep(60)" "$uri_b"
guest_b=$started_pid
wait_for 20 disk_is b $disk_b .Attached true
refused 'create: a guest is attached to the copy' attached pair_make
kill_pid "$guest_b"
wait_for 20 disk_is b $disk_b .Attached false
is 'nothing is left of refused pairs' \
  "$(on a pair list --json | jq -c .ReplicaPairs)" '[]'
ok 'create' pair_make
is 'created at the source' "$(pair_field a .Status)" created
ok 'created at the destination' wait_status b created
refused 'attaching the copy is refused' . nbdinfo "$uri_b"
ok 'and its site says why' grep -q secondary "$tmp/b/nbdkit.log"
refused 'nothing to fail over to yet' InvalidStatus on b pair failover db01

# ---- start, stop, start -----------------------------------------------------

ok 'start' on a pair start db01 --wait --timeout 120
ok 'normal at the source' wait_status a normal
ok 'normal at the destination' wait_status b normal
refused 'failover at the source' OperateNotAllowedForPrimary \
  on a pair failover db01
refused 'delete while it runs' InvalidStatus on a pair delete db01
refused 'attaching the copy is still refused' . nbdinfo "$uri_b"
ok 'both disks are equal' at_rest

ok 'stop' on a pair stop db01 --wait --timeout 120
ok 'stopped at the destination, too' wait_status b stopped
before=$(digest b $disk_b)
written=$(disk_field a $disk_a .Detail.appended.bytes)
writer_start 1
ok 'the guest goes on' wait_for 20 has_flushed $(($(flushes) + 20))
is 'the copy stays as it was' "$(digest b $disk_b)" "$before"
bytes=$(proxy bytes)
ok 'start at the other site' on b pair start db01
ok 'normal again' wait_status a normal
ok 'both disks are equal again' at_rest
# The whole would be 32 MiB more than what the guest has written meanwhile.
written=$(($(disk_field a $disk_a .Detail.appended.bytes) - written))
ok 'only what differs was sent' \
  test "$(sent_since "$bytes")" -lt $((written + (16 << 20)))

# ---- one-shot ---------------------------------------------------------------

on a pair stop db01 --wait --timeout 120 >/dev/null
writer_start 1
wait_for 20 has_flushed $(($(flushes) + 20))
ok 'one-shot' on a pair start db01 --one-shot
ok 'it ends in stopped' wait_status a stopped
ok 'at the other site, too' wait_status b stopped
# Newest write, under its true name, of when the copy was made.
writer_stop >/dev/null
refused 'another one at once' ManualSyncLimit on a pair start db01 --one-shot
is 'a refused call has no effect' "$(pair_field a .Status)" stopped
point_ns=$(disk_field b $disk_b .Detail.committed.time_ns)

# ---- delete -----------------------------------------------------------------

ok 'delete' on a pair delete db01 --wait --timeout 120
is 'no pair at the source' \
  "$(on a pair list --json | jq -c .ReplicaPairs)" '[]'
b_has_none () { [ "$(on b pair list --json | jq -c .ReplicaPairs)" = '[]' ]; }
ok 'no pair at the destination' wait_for 30 b_has_none
is 'the source stands alone' "$(disk_field a db01 .Role)" standalone
is 'the copy stands alone' "$(disk_field b $disk_b .Role)" standalone
ok 'the copy opens, as of the one-shot' writer_verify "$uri_b" "$point_ns"
ok 'the source holds everything' writer_verify "$uri_a"
nbdcopy "$uri_a" "$tmp/image"
head -c 1048576 /dev/urandom >"$tmp/other"
ok 'the copy takes writes' nbdcopy --flush "$tmp/other" "$uri_b"
detached b $disk_b
writer_start 1

# ---- again ------------------------------------------------------------------

refused 'a new pair of the same disks: what the copy would lose is named' \
  'gives up 4 writes, 1\.0 MiB' pair_make
ok 'a new pair of the same disks' pair_make --force
ok 'start' on a pair start db01
ok 'normal' wait_status a normal
ok 'what the copy had written is replaced' at_rest
ok 'the guest never lost its disk' \
  sh -c "! grep -q 'went away' '$tmp/writer.log'"
ok 'no secret in any log' sh -c \
  "! grep -rqE '[0-9a-f]{64}' '$tmp'/*.log '$tmp'/a/*.log '$tmp'/b/*.log"
ok 'nothing died by itself' nobody_crashed
done_testing

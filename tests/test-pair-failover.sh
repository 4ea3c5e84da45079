# Failover with the first site dead, and with it alive; the old primary is
# fenced when it meets the new one, and both sites say the same.

source "${0%/*}/pair-functions.sh"

takes_writes () { nbdcopy --flush "$tmp/data" "$1"; }

# All writes, or none of them: the disk says no.
refuses_writes () { ! nbdcopy --flush "$tmp/data" "$1"; }

is_fenced () { disk_is a $disk_a .Detail.fenced true; }

head -c 1048576 /dev/urandom >"$tmp/data"
sites_up
disks_make 96M
fill 32 1
writer_patience=0
writer_start 1
pair_make >/dev/null || bail_out 'no pair'

# ---- no copy to fail over to ------------------------------------------------

# It ends when it may.
proxy rate $((1 << 20)) >/dev/null
on a pair start db01 >/dev/null
wait_for 30 disk_is a $disk_a .Detail.link.state initial
refused 'no failover to half a copy' 'InvalidStatus|RecoverPointNotFound' \
  on b pair failover db01
proxy rate 0 >/dev/null
ok 'the copy goes on' wait_status a normal
wait_status b normal >/dev/null

# ---- the first site is lost in mid-write ------------------------------------

has_flushed 100 || wait_for 30 has_flushed 100
site_kill a
wait_for 30 is_gone "$writer_pid"
ok 'the guest lost its disk' grep -q 'went away' "$tmp/writer.log"
ok 'failover' on b pair failover db01 --wait --timeout 120
is 'the pair is failovered' "$(pair_field b .Status)" failovered
is 'the copy is primary' "$(disk_field b $disk_b .Role)" primary
point_ns=$(disk_field b $disk_b .Detail.committed.time_ns)
ok 'it holds every flush up to the point' writer_verify "$uri_b" "$point_ns"
before=$(disk_field b $disk_b .Detail.appended.seq)
ok 'it takes writes' takes_writes "$uri_b"
ok 'the pair is listed' grep -q failovered <<<"$(on b pair list)"

# ---- the first site comes back ----------------------------------------------

agent_start a
ok 'the old primary is fenced' wait_for 30 is_fenced
ok 'it takes no writes' refuses_writes "$uri_a"
ok 'it can still be read' nbdcopy "$uri_a" "$tmp/image"
ok 'the pair is failovered at its site, too' wait_status a failovered
is 'both list the same' \
  "$(on a pair list --json | jq -c '.ReplicaPairs[] | [.ReplicaPairId,
     .Status, .SourceDiskId, .DestinationDiskId]')" \
  "$(on b pair list --json | jq -c '.ReplicaPairs[] | [.ReplicaPairId,
     .Status, .SourceDiskId, .DestinationDiskId]')"
refused 'no start' InvalidStatus on a pair start db01
nbdcopy "$uri_b" "$tmp/image"
ok 'what the new primary wrote is there' cmp -n 1048576 "$tmp/image" "$tmp/data"
ok 'it was only written by its guest' test \
  "$(disk_field b $disk_b .Detail.appended.seq)" -ge "$before"
nbdkit_kill a
wait_for 30 site_is_up a
ok 'still fenced after a restart' wait_for 10 is_fenced
ok 'and takes no writes' refuses_writes "$uri_a"

# ---- dissolve it: both disks are usable -------------------------------------

ok 'delete' on b pair delete db01 --wait --timeout 120
ok 'both disks stand alone' wait_for 30 disk_is a $disk_a .Role standalone
is 'the other one, too' "$(disk_field b $disk_b .Role)" standalone
ok 'the old primary may be written again' takes_writes "$uri_a"
ok 'the new one, too' takes_writes "$uri_b"

# ---- failover while the first site lives ------------------------------------

disk_b=second
on b disk create $disk_b --size 96M >/dev/null
pair_make >/dev/null || bail_out 'no second pair'
on a pair start db01 >/dev/null
wait_status a normal >/dev/null
wait_status b normal >/dev/null
rm "$tmp/acknowledged" "$tmp/writer.log"
writer_start 2
ok 'a guest at the first site' wait_for 30 has_flushed 100
ok 'failover at the second' on b pair failover db01 --wait --timeout 120
ok 'the first one stops its guest at once' wait_for 10 is_gone "$writer_pid"
ok 'it is fenced' wait_for 10 is_fenced
ok 'both sites say so' wait_status a failovered
ok 'nothing died by itself' nobody_crashed
done_testing

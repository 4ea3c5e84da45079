# The second site is away for longer than the first one's journal remembers:
# when it is back only what differs is copied, and it stays promotable.

source "${0%/*}/pair-functions.sh"

sites_up
on a disk create $disk_a --size 96M --capacity 192M >/dev/null ||
  bail_out 'no disk'
on b disk create $disk_b --size 96M >/dev/null || bail_out 'no disk'
uri_a=$(disk_field a $disk_a .NbdUri)
uri_b=$(disk_field b $disk_b .NbdUri)
fill 48 1
pair_make >/dev/null || bail_out 'no pair'
on a pair start db01 >/dev/null
wait_status a normal >/dev/null
writer_start 1
wait_for 30 has_flushed 50

site_kill b
ok 'the guest writes three journals into a small part' \
  /usr/bin/python3 -c '
import nbd, random, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
r = random.Random(1)
for i in range(2304):
    h.pwrite(r.randbytes(1 << 18), r.randrange(32) << 18)
h.flush()' "$uri_a"
ok 'the link waits' wait_for 30 disk_is a $disk_a .Detail.link.state waiting
bytes=$(proxy bytes)
agent_start b
is_delta ()
{
  disk_is a $disk_a .Detail.link.rule peer-behind-cleaned
}
ok 'what is gone from the journal is copied from the disk' wait_for 30 is_delta
ok 'nothing flushed was lost' writer_stop
ok 'both disks are equal' same_content
ok 'the pair is normal' wait_status a normal
ok 'at both sites' wait_status b normal
bytes=$(($(proxy bytes) - bytes))
diag "$((bytes >> 20)) MiB sent"
ok 'only what differs was sent' test "$bytes" -lt $((30 << 20))

# The same, and the first site is lost before the copy is done: the second one
# still has its last point.
writer_start 1
wait_for 30 has_flushed $(($(flushes) + 50))
writer_stop >/dev/null
same_content >/dev/null
before=$(digest b $disk_b)
site_kill b
for i in 1 2 3 4 5 6 7 8 9; do
  nbdcopy --flush -- [ nbdkit random 48M seed="$i" ] "$uri_a" ||
    fail "the guest could not write"
done
proxy rate $((4 << 20)) >/dev/null
agent_start b
in_delta () { disk_is a $disk_a .Detail.link.state delta; }
ok 'a large difference is copied' wait_for 30 in_delta
random_ms 2000
site_kill a
ok 'failover in the middle of it' on b pair failover db01 --wait --timeout 120
is 'opens the last point' "${before% at *}" \
  "$(digest b $disk_b | sed 's/ at .*//')"
ok 'with all that was flushed before' writer_verify "$uri_b"
ok 'nothing died by itself' nobody_crashed
done_testing

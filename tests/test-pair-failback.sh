# Failover while the sites are apart, 1 % of the disk changed at each: going
# back ships what differs, not the disk, and the dry run had named it exactly.
#
#   PAIRDISK_SIZE   of the disk in GiB (1; 4 for long)

source "${0%/*}/pair-functions.sh"

size=$(($((${PAIRDISK_SIZE:-${PAIRDISK_LONG:+4}} + 0)) << 30))
[ "$size" -gt 0 ] || size=$((1 << 30))
blocks=$((size / 4096))
changed=$((blocks / 100))
nbdload=$top_builddir/bench/nbdload
[ -x "$nbdload" ] || skip_all "bench/nbdload is not built"

# change URI SEED FIRST: that many blocks, each once, half of each compresses.
# Those of a are in the first half of the disk, those of b from a quarter on.
change ()
{
  /usr/bin/python3 - "$1" "$2" "$3" "$changed" "$blocks" <<'PYTHON' || bail_out 'cannot write'
import random, sys, nbd
seed, first, count, blocks = map(int, sys.argv[2:])
h = nbd.NBD()
h.connect_uri(sys.argv[1])
r = random.Random(seed)
for b in r.sample(range(first, first + blocks // 2), count):
    h.pwrite(r.randbytes(2048) + bytes(2048), b << 12)
h.flush()
PYTHON
}

# differ: how many blocks either of these changed
differ ()
{
  /usr/bin/python3 - "$changed" "$blocks" <<'PYTHON'
import random, sys
count, blocks = map(int, sys.argv[1:])
def changed(seed, first):
    r = random.Random(seed)
    return set(r.sample(range(first, first + blocks // 2), count))
print(len(changed(1, 0) | changed(2, blocks // 4)))
PYTHON
}

level_from_b () { disk_is b $disk_b .Detail.link.lag.writes 0; }

sites_up
disks_make $size
"$nbdload" -w write -b 1M -d 4 --once --final-flush "$uri_a" >/dev/null ||
  bail_out 'the disk cannot be filled'
pair_make >/dev/null || bail_out 'no pair'
on a pair start db01 >/dev/null
wait_status a normal 120 >/dev/null && wait_status b normal 120 >/dev/null ||
  bail_out 'not normal'
wait_for 60 disk_is a $disk_a .Detail.link.lag.writes 0

proxy freeze >/dev/null
change "$uri_a" 1 0
ok 'failover' on b pair failover db01 --wait --timeout 120
change "$uri_b" 2 $((blocks / 4))
proxy thaw >/dev/null
wanted=$(digest b $disk_b | cut -d' ' -f1)

on b pair reprotect db01 --dry-run --json >"$tmp/plan"
is 'the dry run names what goes, exactly' "$(jq -c '[.Relation,
  .Discard.Writes, .Discard.Bytes, .Discard.Blocks, .Discard.Exact,
  .Keep.Writes]' "$tmp/plan")" \
  "[\"split-brain\",$changed,$((changed * 4096)),$changed,true,$changed]"
ok 'reprotect' on b pair reprotect db01 --force --wait --timeout 120
is 'that is what went' "$(pair_field b .Discard.Writes) $(
  pair_field b .Discard.Bytes)" "$changed $((changed * 4096))"
SECONDS=0
on b pair start db01 >/dev/null
ok 'start' wait_status b normal 120
wait_for 60 level_from_b
took=$SECONDS
is 'both are as b was' "$(digest a $disk_a | cut -d' ' -f1)" "$wanted"
is 'and b is' "$(digest b $disk_b | cut -d' ' -f1)" "$wanted"

shipped=$(disk_field b $disk_b .Detail.link.sent_bytes)
differing=$(differ)
diag "disk $((size >> 20)) MiB, $changed blocks changed at each side, \
$differing differ: $((differing >> 8)) MiB; shipped $shipped bytes in $took s"
ok 'what differs was shipped, compressed' \
  test "$shipped" -le $((differing * 2060 * 13 / 10))
is 'one full copy in all this' \
  "$(cat "$tmp"/[ab]/nbdkit.log | grep -c 'session.*initial copy')" 1
ok 'nothing died by itself' nobody_crashed
done_testing

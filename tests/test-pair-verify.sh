# Both sides of a pair are compared, as its owner does it.

source "${0%/*}/pair-functions.sh"

requires_forge
sites_up
disks_make 64M
fill 16 1
refused 'not without a pair' 'OperationDenied|wrong|primary|InvalidStatus' \
  on a disk verify db01
pair_make
on a pair start db01 --wait --timeout 120 >/dev/null
ok 'normal' wait_status a normal

out=$(on a disk verify db01 --wait --rate 0 2>&1)
is 'nothing differs' "$?:$out" \
  "0:verification of disk 'db01' is done: 0 blocks differ, 0 repaired"
ok 'disk show says so' bash -c \
  "'$pairctl' --site '$tmp/a' disk show db01 |
   grep -q 'verify: *done, 100%, 0 blocks differ'"
is 'in JSON' "$(on a disk verify db01 --wait --rate 0 --json |
  jq -c '[.Verify.state, .Verify.differing]')" '["done",0]'
refused 'not at the secondary' 'is secondary' on b disk verify "$disk_b"
refused 'no such disk' NoSuchResource on a disk verify none
refused '--stop alone' "'--stop' goes with no other option" \
  on a disk verify db01 --stop --repair
ok 'started' on a disk verify db01 --rate 1M
ok 'stopped' on a disk verify db01 --stop

# One block becomes another while the secondary's site is down.
site_kill b
dir=$(find "$tmp/b" -name journal -printf '%h\n')
# Who is killed may hold its lock a moment longer than it lives.
ok 'change a block of the copy' \
  wait_for 10 with_preload "$forge" forge "$dir" 77
refused 'verify does not end without the secondary' . \
  on a disk verify db01 --rate 0 --wait --timeout 2
waits () { shows 'verify: *waiting' on a disk show db01; }
ok 'it waits for it' wait_for 30 waits
agent_start b
wait_for 60 site_is_up b
out=$(on a disk verify db01 --rate 0 --wait --timeout 120 2>/dev/null)
is 'it is found when the secondary is back' "$?:$out" \
  "6:blocks 77 to 77 differ: 315392 bytes from the disk's begin
verification of disk 'db01' is done: 1 blocks differ, 0 repaired"
out=$(on a disk verify db01 --rate 0 --wait --repair --timeout 120 2>/dev/null)
is 'and repaired' "$?:$(tail -n 1 <<<"$out")" \
  "0:verification of disk 'db01' is done: 1 blocks differ, 1 repaired"
ok 'normal' wait_status a normal
ok 'both sides hold the same' same_content
ok 'nobody crashed' nobody_crashed
done_testing

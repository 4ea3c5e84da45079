# A pair through its whole life: create, start, failover, reprotect, start,
# failover back, cancel, start, delete; data checked at each step, what is
# given up named before it goes, the difference copied and no more.

source "${0%/*}/pair-functions.sh"

# nbd SITE CODE: Python with the disk of that site as h.
nbd ()
{
  /usr/bin/python3 - "$(if [ "$1" = a ]; then echo "$uri_a"; else echo "$uri_b"; fi)" "$2" <<'PYTHON'
import random, sys, nbd
h = nbd.NBD()
h.connect_uri(sys.argv[1])
def fill(seed, count):
    r = random.Random(seed)
    for i in range(count):
        h.pwrite(r.randbytes(65536), r.randrange(h.get_size() // 65536) * 65536)
    h.flush()
def check(seed, count, gone=()):
    r, last = random.Random(seed), {}
    for i in range(count):
        data = r.randbytes(65536)
        last[r.randrange(h.get_size() // 65536)] = data
    for block, data in last.items():
        if block not in gone:
            assert h.pread(65536, block * 65536) == data, block
exec(sys.argv[2])
PYTHON
}

# same: both plugins show one content now.
content () { digest "$@" | cut -d' ' -f1; }
disk_of () { if [ "$1" = a ]; then echo $disk_a; else echo $disk_b; fi; }
both_are () { [ "$(content a $disk_a)" = "$1" ] && [ "$(content b $disk_b)" = "$1" ]; }
level_from () { disk_is "$1" "$(disk_of "$1")" .Detail.link.lag.writes 0; }
synced_from () { wait_status "$1" normal && wait_for 30 level_from "$1"; }
is_split () { [ "$(pair_field "$1" .Divergence.Relation)" = split-brain ]; }
sent_by () { disk_field "$1" "$(disk_of "$1")" .Detail.link.sent_bytes; }

sites_up
disks_make 256M
fill 64 1
pair_make >/dev/null || bail_out 'no pair'
on a pair start db01 >/dev/null
ok 'the pair is normal' synced_from a
wait_status b normal >/dev/null

# ---- split ------------------------------------------------------------------

proxy freeze >/dev/null
ok 'a tail is written at a while the link is cut' nbd a 'fill(2, 20)'
tail_of_a=$(content a $disk_a)
refused 'no reprotect before a failover' InvalidStatus \
  on b pair reprotect db01 --dry-run
ok 'failover' on b pair failover db01 --wait --timeout 120
ok 'an event says what was lost, and who asked' grep -q \
  'lost .* writes.*asked for by local' \
  <<<"$(on b event list --json | jq -r '.Events[].Message')"
ok 'b is written' nbd b 'fill(3, 30)'
ok 'b sees the split' wait_for 30 is_split b
ok 'and a does' wait_for 30 is_split a
proxy thaw >/dev/null
# What either compared in the middle of the writes holds for a moment.
tails ()
{
  pair_field "$1" .Divergence | jq -c '[.Source.Writes, .Destination.Writes]'
}
tails_are () { [ "$(tails "$1")" = "$2" ]; }
for site in a b; do
  ok "$site says how much is only at a, and at b" \
    wait_for 20 tails_are $site '[20,30]'
  ok "show names it at $site" grep -q 'split brain' \
    <<<"$(on $site pair show db01)"
  ok "and StatusMessage, with both figures and what to do" \
    grep -qE 'split brain: .*20 .*30|split brain: .*30 .*20' \
    <<<"$(pair_field $site .StatusMessage)"
  is 'status has it as critical' \
    "$(on $site status --json | jq -r '.Attention[] |
       select(.Kind == "pair") | "\(.Severity) \(.Problem)"' |
       grep -c '^critical split brain')" 1
  ok 'and the metric' grep -qE \
    '^pairdisk_pair_split_brain\{.*name="db01".*\} 1$' \
    <<<"$(curl -s --unix-socket "$tmp/$site/api.sock" http://x/metrics)"
done
told_at_both ()
{
  [ "$(for s in a b; do on $s event list; done | grep -c split-brain)" = 2 ]
}
ok 'the event log has it at both' wait_for 10 told_at_both

# ---- reprotect --------------------------------------------------------------

refused 'not at the old primary' OperateNotAllowedForPrimary \
  on a pair reprotect db01
on b pair reprotect db01 --dry-run --json >"$tmp/plan"
is 'the dry run names what a gives up, exactly' \
  "$(jq -c '[.Relation, .Discard.Writes, .Discard.Bytes, .Discard.Exact,
             .Keep.Writes]' "$tmp/plan")" \
  '["split-brain",20,1310720,true,30]'
refused 'without --force it is refused, and named' '20 writes' \
  on b pair reprotect db01
is 'and nothing happened' "$(pair_field b .Status)" failovered
mkfifo "$tmp/hold"
nbd a "open('$tmp/hold').read()" & guest=$!
wait_for 30 disk_is a $disk_a .Detail.clients 1
refused 'not while the old primary is attached' OperationDenied \
  on b pair reprotect db01 --force
echo >"$tmp/hold"; wait $guest
detached a $disk_a
at_b=$(content b $disk_b)
ok 'reprotect' on b pair reprotect db01 --force --wait --timeout 120
is 'the direction is turned' \
  "$(pair_field b .SourceRegion) $(pair_field b .DestinationDiskId)" \
  "site-b $(disk_field a $disk_a .DiskId)"
ok 'at both sites' wait_for 10 eval '[ "$(pair_field a .SourceRegion)" = site-b ]'
is 'what was given up is on record' "$(pair_field a .Discard.Writes)" 20
file=$(pair_field b .Discard.SalvageFile)
ok 'and saved' "$pairctl" volume dump "$file"
for site in a b; do
  ok "an event at $site says who, why, how much and where it is" \
    grep -qE 'region site-a gives up 20 writes, 1310720 bytes, made over .* s; saved there in .*salvage; asked for by local' \
    <<<"$(on $site event list --json | jq -r '.Events[].Message')"
  is "and it is no split any more at $site" \
    "$(pair_field $site .StatusMessage)" ''
done
is 'a still shows what it had' "$(content a $disk_a)" "$tail_of_a"
is 'no recovery point yet' "$(pair_field b .LastRecoverPoint)" null
ok 'start copies the difference' on b pair start db01
ok 'that is syncing, not initial_syncing' test \
  "$(on b event list --json | jq -r '[.Events[] | select(.Kind == "start")] | last | .To')" = syncing
ok 'normal' synced_from b
ok 'both are as b was' both_are "$at_b"
ok "the union was shipped: $(sent_by b)" test "$(sent_by b)" -lt 4500000
ok 'a recovery point' test "$(pair_field b .LastRecoverPoint)" -gt 0

# ---- failover back, and give it up ------------------------------------------

wait_status a normal >/dev/null
ok 'b goes on' nbd b 'fill(4, 10)'
wait_for 30 level_from b
refused 'failover belongs to the other site now' OperateNotAllowedForPrimary \
  on b pair failover db01
ok 'failover back' on a pair failover db01 --wait --timeout 120
ok 'what b wrote is there' nbd a 'check(4, 10)'
ok 'a is written' nbd a 'fill(5, 15)'
detached a $disk_a
at_b=$(content b $disk_b)
on a pair reprotect db01 --cancel --dry-run --json >"$tmp/plan"
is 'the dry run names what a gives up' \
  "$(jq -c '[.Discard.RegionId, .Discard.Writes]' "$tmp/plan")" '["site-a",15]'
ok 'cancel' on a pair reprotect db01 --cancel --force --wait --timeout 120
is 'the direction stays' "$(pair_field a .SourceRegion)" site-b
ok 'b may be written again' nbd b 'fill(6, 5)'
at_b=$(content b $disk_b)
wait_status b stopped
ok 'start' on b pair start db01
ok 'normal again' synced_from b
ok 'both are as b was again' both_are "$at_b"
ok 'the difference was shipped' test "$(sent_by b)" -lt 2500000
is 'one full copy in all this' \
  "$(cat "$tmp"/[ab]/nbdkit.log | grep -c 'session.*initial copy')" 1
on b pair stop db01 --wait --timeout 120 >/dev/null
ok 'delete' on b pair delete db01 --wait --timeout 120
ok 'both disks are free' eval 'wait_for 10 disk_is a $disk_a .Role standalone &&
  wait_for 10 disk_is b $disk_b .Role standalone'
ok 'and can be written' eval 'nbd a "fill(7, 1)" && nbd b "fill(8, 1)"'
ok 'nothing died by itself' nobody_crashed
done_testing

# Verify compares both sides while guests write; it finds what differs though
# it verifies by itself, and repairs it when it is told to; it waits for a
# secondary that is away, and a kill in the middle leaves one to fail over to.

source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

requires_forge
sites 64M
pair

verify () # ACTION [FIELDS]
{
  answers '"ok": ?true' "$a" \
    '{"op":"disk.verify","disk":"d","action":"'"$1"'"'"${2:+,$2}}"
}
verify_is () { [ "$(status "$a" d "(lambda v: $1)(s['verify'])")" = True ]; }
verify_ended () { revive_b; verify_is 'v["state"] in ("done", "stopped")'; }
verify_run () # [FIELDS]: to its end
{
  verify start "$1" && wait_for 120 verify_ended &&
    verify_is 'v["state"] == "done"'
}

answer=$(control "$a" '{"op":"disk.verify","disk":"d","action":"start"}')
ok 'not with the link off' grep -q 'wrong-role' <<<"$answer"
answer=$(control "$b" '{"op":"disk.verify","disk":"d","action":"start"}')
ok 'not at the secondary' grep -q 'wrong-role' <<<"$answer"
answer=$(control "$a" '{"op":"disk.verify","disk":"d","action":"look"}')
ok 'no other action' grep -q 'bad-request' <<<"$answer"

ok 'blocks that do not compress' nbd_python "$(nbd_uri "$a" d)" \
  'import random
r = random.Random(7)
h.pwrite(r.randbytes(8 << 20), 0)
h.pwrite(r.randbytes(65536), 60 << 20)
h.trim(65536, 61 << 20)
h.flush()'
link_start
ok 'in sync' wait_synced
ok 'nothing differs' verify_run '"rate_bps":0'
ok 'all was looked at' verify_is 'v["differing"] == 0 and v["ranges"] == [] and
  v["done_bytes"] == v["total_bytes"] == 64 << 20 and v["changing"] == 0 and
  v["read_bytes"] > 8 << 20 and v["unreadable_here"] == 0'
ok 'it keeps to its rate' verify start '"rate_bps":1048576'
ok 'it runs' wait_for 20 verify_is \
  'v["state"] == "running" and v["rate_bps"] == 1048576'
ok 'stop' verify stop
ok 'it is stopped' verify_is 'v["state"] == "stopped"'

# Others than the primary's, and nobody's checksum tells.
end_b
for block in 100 101 102 900 15366; do
  with_preload "$forge" forge "$b/d" "$block" >/dev/null || bail_out forge
done
start_b
ok 'connected' wait_stream
refused 'they differ' '.' same_content
answers '"ok"' "$b" \
  '{"op":"disk.scrub","disk":"d","action":"start","rate_bps":0}' >/dev/null
scrub_ended () { [ "$(status "$b" d 's["scrub"]["state"]')" = done ]; }
wait_for 30 scrub_ended
is 'scrub sees nothing' "$(status "$b" d 's["scrub"]["errors"]')" 0

# Beside a writer: exactly these.
seed=${PAIRDISK_SEED:-$RANDOM}
diag "seed $seed"
cat >"$tmp/load.py" <<'PYTHON'
import random, sys, nbd
r = random.Random(int(sys.argv[2]))
h = nbd.NBD()
h.connect_uri(sys.argv[1])
while True:
    for i in range(50):
        # Between what differs; some blocks again and again, if told so.
        block = r.randrange(2048, 15000)
        if len(sys.argv) > 3 and i % 2:
            block = 2048 + i % 4
        h.pwrite(r.randbytes(4096), block * 4096)
    h.flush()
PYTHON
start load /usr/bin/python3 "$tmp/load.py" "$(nbd_uri "$a" d)" "$seed" hot
load=$started_pid
ok 'verify beside a writer' verify_run '"rate_bps":0'
ok 'it finds what differs, and only that' verify_is 'v["differing"] == 5 and
  v["ranges"] == [{"block": 100, "count": 3}, {"block": 900, "count": 1},
                  {"block": 15366, "count": 1}]'
diag "changing: $(status "$a" d 's["verify"]["changing"]')"
kill_pid "$load"
start load /usr/bin/python3 "$tmp/load.py" "$(nbd_uri "$a" d)" "$seed"
load=$started_pid
ok 'it is repaired' verify_run '"rate_bps":0,"repair":true'
ok 'all of it' verify_is 'v["differing"] == 5 and v["repaired"] == 5'
ok 'nothing differs any more' verify_run '"rate_bps":0'
ok 'beside the writer, too' verify_is 'v["differing"] == 0'
kill_pid "$load"
ok 'in sync' wait_synced
ok 'both sides hold the same' same_content
is 'no full copy' "$(grep -c 'initial copy' "$tmp/nbdkit-b.log")" 1

# The secondary goes away in the middle, and comes back.
end_b
with_preload "$forge" forge "$b/d" 901 >/dev/null || bail_out forge
start_b
ok 'connected' wait_stream
verify start '"rate_bps":8388608,"repair":true' >/dev/null
kill_b
ok 'it says that it waits' wait_for 20 verify_is \
  'v["state"] == "waiting" and v["reason"] != ""'
start_b
ok 'it goes on' wait_for 60 verify_ended
ok 'and has repaired what differs' verify_is 'v["state"] == "done" and
  v["differing"] == v["repaired"] == 1'

# The primary dies while it repairs: the secondary can be failed over to.
end_b
for block in $(seq 1000 1040); do
  with_preload "$forge" forge "$b/d" "$block" >/dev/null || bail_out forge
done
start_b
ok 'connected' wait_stream
verify start '"rate_bps":0,"repair":true' >/dev/null
wait_for 20 verify_is 'v["state"] == "repairing" or v["repaired"] > 0'
kill_a
ok 'the secondary holds a commit point' [ "$(status "$b" d \
  's["committed"]["seq"] > 0 and s["source"] is not None')" = True ]
start_a
ok 'connected' wait_stream
ok 'once more' verify_run '"rate_bps":0,"repair":true'
ok 'nothing differs' verify_is 'v["differing"] == v["repaired"]'
ok 'in sync' wait_synced
ok 'both sides hold the same' same_content

# In sync mode, too: it is in sync again afterwards.
ask "$a" link.mode '"mode":"sync","on_peer_loss":"suspend"'
ask "$b" link.mode '"mode":"sync","on_peer_loss":"suspend"'
mode_is () { revive_b; [ "$(status "$a" d "s['mode']['state']")" = "$1" ]; }
ok 'sync' wait_for 30 mode_is in-sync
end_b
with_preload "$forge" forge "$b/d" 500 >/dev/null || bail_out forge
start_b
ok 'in sync again' wait_for 30 mode_is in-sync
ok 'repaired' verify_run '"rate_bps":0,"repair":true'
ok 'one block' verify_is 'v["differing"] == v["repaired"] == 1'
ok 'in sync after it' wait_for 30 mode_is in-sync
# With commits by interval what is newer here waits for the next one.
# The primary dies while it verifies: it goes on by itself.
verify start '"rate_bps":1048576' >/dev/null
ok 'it is written down' wait_for 20 test -e "$a/d/verify"
kill_a
start_a
ok 'it goes on after a kill' verify_is 'v["state"] in ("running", "waiting") and
  v["rate_bps"] == 1048576 and not v["repair"]'
kill_pid "$a_pid"
state_file_change "$a/d/verify" '{"done_bytes": 33554432, "differing": 2}'
start_a
ok 'it goes on after an end in good order, where it was' verify_is \
  'v["done_bytes"] >= 32 << 20 and v["differing"] == 2'
verify start '"rate_bps":0' >/dev/null
ok 'to its end' wait_for 60 verify_is 'v["state"] == "done" and
  v["done_bytes"] == v["total_bytes"] and v["differing"] == 2'
ok 'then nothing is left of it' wait_for 10 test ! -e "$a/d/verify"
verify start '"rate_bps":1048576' >/dev/null
wait_for 20 test -e "$a/d/verify"
verify stop
kill_pid "$a_pid"
start_a
is 'one that was stopped does not' "$(status "$a" d 's["verify"]')" None
ok 'connected' wait_synced

ask "$a" link.mode '"mode":"async","interval_seconds":8'
ask "$b" link.mode '"mode":"async"'
resting () { link_is "l['waits_for'] == 'interval'"; }
ok 'commits by interval' wait_for 30 resting
nbd_python "$(nbd_uri "$a" d)" 'for i in range(20):
    h.pwrite(bytes([i + 1]) * 4096, (40 << 20) + i * 8192)
h.flush()'
ok 'verify' verify_run '"rate_bps":0'
ok 'all of it is compared' verify_is 'v["changing"] == v["differing"] == 0'
verify start '"rate_bps":1048576' >/dev/null
ask "$a" pair.clear
ok 'without a pair it fails, and says why' wait_for 20 verify_is \
  'v["state"] == "failed" and "no longer primary" in v["reason"]'
pair
link_start
ok 'paired again' wait_synced
ok 'a flush is answered' nbd_python "$(nbd_uri "$a" d)" \
  'h.pwrite(bytes(4096), 500 * 4096)
h.flush()'

kill_pid "$a_pid"
ask "$b" promote '"fence":9'
ok 'failed over' nbd_python "nbd://127.0.0.1:$b_port/d" 'h.pread(4096, 0)'
end_b
done_testing

# A scrub verifies all that is live while guests write and the cleaner moves;
# it finds what is damaged on the medium, keeps to its rate, and stops.

source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"

state=$tmp/state
size=$((64 << 20))
nbdload=$top_builddir/bench/nbdload
make_disk "$state/d" 64M
pattern "$tmp/image" "$size" 5
nbdkit_start "$state"

# scrub ACTION [RATE]
scrub ()
{
  answers '"ok": ?true' "$state" \
    '{"op":"disk.scrub","disk":"d","action":"'"$1"'"'"${2:+,\"rate_bps\":$2}}"
}
scrub_is ()
{
  [ "$(status "$state" d "($1)")" = True ]
}

is 'none at first' "$(status "$state" d 's["scrub"]')" None
ok 'fill the disk' nbdcopy --flush "$tmp/image" "$(nbd_uri "$state" d)"
ok 'start' scrub start 0
ok 'it ends' wait_for 60 scrub_is 's["scrub"]["state"] == "done"'
ok 'all of it, nothing bad' scrub_is 's["scrub"]["errors"] == 0 and
  s["scrub"]["done_bytes"] == s["size"] and s["scrub"]["units"] > 10000 and
  s["scrub"]["read_bytes"] >= s["live"] and s["scrub"]["bad_blocks"] == []'

ok 'at a low rate it takes long' scrub start 1048576
ok 'it runs' scrub_is 's["scrub"]["state"] == "running" and
  s["scrub"]["rate_bps"] == 1048576'
kill_pid "$nbdkit_pid"
nbdkit_start "$state"
ok 'it goes on after a restart' scrub_is 's["scrub"]["state"] == "running" and
  s["scrub"]["rate_bps"] == 1048576'
kill_pid "$nbdkit_pid" KILL
nbdkit_start "$state"
ok 'and after a crash' scrub_is 's["scrub"]["state"] == "running"'
ok 'stop' scrub stop
ok 'it is stopped' scrub_is 's["scrub"]["state"] == "stopped" and
  s["scrub"]["done_bytes"] < s["size"]'
ok 'stop is repeated' scrub stop
answer=$(control "$state" '{"op":"disk.scrub","disk":"d","action":"pause"}')
ok 'no other action' grep -q bad-request <<<"$answer"

# Beside a load that makes the cleaner work: no false alarm.
if [ -x "$nbdload" ]; then
  start load "$nbdload" -w randwrite -d 16 -p random -t 6 \
    "$(nbd_uri "$state" d)"
  load=$started_pid
  rounds=0
  until is_gone "$load"; do
    scrub start 0 >/dev/null
    wait_for 60 scrub_is 's["scrub"]["state"] == "done"' || break
    scrub_is 's["scrub"]["errors"] == 0' || break
    rounds=$((rounds + 1))
  done
  wait "$load"
  diag "$rounds rounds beside writers"
  ok 'no false alarm beside writers' scrub_is 's["scrub"]["errors"] == 0 and
    s["errors"] == {"checksum": 0, "read": 0}'
else
  skip 'no false alarm beside writers' 'nbdload is not built'
fi

# One block, damaged while nobody has it in memory.
ok 'write one block' nbd_python "$(nbd_uri "$state" d)" \
  'h.pwrite(b"needle in a haystack" + bytes(range(236)) * 17 + bytes(64), 7 << 20)
h.flush()'
kill_pid "$nbdkit_pid"
ok 'damage it' /usr/bin/python3 - "$state/d/journal" <<'PYTHON'
import mmap, sys
with open(sys.argv[1], "r+b") as f:
    m = mmap.mmap(f.fileno(), 0)
    at, n = m.find(b"needle in a haystack"), 0
    while at >= 0:
        m[at] ^= 1
        n += 1
        at = m.find(b"needle in a haystack", at + 1)
    m.flush()
    sys.exit(n == 0)
PYTHON
nbdkit_start "$state"
ok 'start' scrub start 0
ok 'it ends' wait_for 60 scrub_is 's["scrub"]["state"] == "done"'
ok 'the block is named' scrub_is 's["scrub"]["errors"] == 1 and
  s["scrub"]["bad_blocks"] == [(7 << 20) // 4096] and
  s["errors"]["checksum"] >= 1'
scrub start 1048576 >/dev/null
answer=$(control "$state" '{"op":"disk.delete","disk":"d"}')
ok 'a disk is deleted under a scrub' grep -q '"ok": \?true' <<<"$answer"
kill_pid "$nbdkit_pid"

done_testing

#!/usr/bin/env bash
# Async with an interval: a block that is written a hundred times in it is
# shipped once, the secondary shows the old point until the new one is there
# as a whole, the lag says so, and the interval is changed live.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

requires_forge
set_interval () { ask "$a" link.mode "\"interval_seconds\":$1"; }

# write_often TIMES: the same 64 blocks, what does not compress, flushed.
write_often ()
{
  nbd_python "$(nbd_uri "$a" d)" "
import random
r = random.Random($RANDOM)
for i in range($1):
    h.pwrite(r.randbytes(262144), 1 << 20)
    h.flush()"
}

sent () { link_status "l['sent_bytes']"; }
committed () { status "$b" d "s['committed']['seq']"; }
rests () { link_is "l['waits_for'] == 'interval' and l['lag']['writes'] == $1"; }
knows () { [ "$(status "$b" d "s['source']['known']['seq']")" = "$1" ]; }

sites 64M
pair
link_start
fill 1 20
nbd_python "$(nbd_uri "$a" d)" '
import os
h.pwrite(os.urandom(65536), 8 << 20)
h.flush()'
ok 'synced' wait_synced
set_interval 600
is 'so it is set' "$(status "$a" d "s['mode']['interval_seconds']")" 600
ok 'nothing to do: it rests' wait_for 10 rests 0
is 'it is a stream still' "$(link_status "l['state']")" stream
connects=$(link_status "l['connects']")

seq=$(committed)
before=$(sent)
write_often 100
is 'nothing was committed meanwhile' "$(committed)" "$seq"
ok 'the lag says so' link_is "l['lag']['writes'] == 100 and l['lag']['seconds'] > 0"
ok 'and when it will be' link_is "400000 < l['next_ms'] <= 600000"
ok 'the secondary knows what it lacks' wait_for 10 knows $((seq + 100))
set_interval 4
ok 'the interval is another one now' link_is "l['next_ms'] <= 4000"
ok 'at the end of the interval all is committed' wait_for 60 rests 0
is 'by one step' "$(committed)" $((seq + 100))
took=$(($(sent) - before))
diag "$took bytes for 100 times 262144"
ok 'each block was shipped once' [ "$took" -lt $((262144 + 32768)) ]
ok 'and was shipped' [ "$took" -ge 262144 ]
ok 'both disks are equal' same_content
is 'over the same connection' "$(link_status "l['connects']")" "$connects"

# An interval that is not over ends when it is set to none.
set_interval 600
write_often 10
ok 'behind' wait_for 10 rests 10
set_interval 0
ok 'continuous: all is there at once' wait_synced 60
ok 'both disks are equal' same_content
write_often 10
ok 'the stream goes on' wait_synced
set_interval 600
ok 'it rests again' wait_for 10 rests 0
write_often 5
ok 'that is told, too' wait_for 10 knows $(($(committed) + 5))

# What differs is brought while it rests.
end_b
with_preload "$forge" forge "$b/d" 2050 >/dev/null || bail_out forge
start_b
ok 'connected, behind or not' wait_for 20 link_is \
  "l['waits_for'] == 'interval'"
ok 'repair' eval 'answers "\"ok\": ?true" "$a" \
  "{\"op\":\"disk.verify\",\"disk\":\"d\",\"action\":\"start\",\"rate_bps\":0,\"repair\":true}"'
verify_ended () { [ "$(status "$a" d "s['verify']['state']")" = done ]; }
ok 'it ends' wait_for 60 verify_ended
ok 'it found something' [ "$(status "$a" d "s['verify']['differing']")" -gt 0 ]
is 'and repaired it' "$(status "$a" d "s['verify']['repaired']")" \
  "$(status "$a" d "s['verify']['differing']")"
set_interval 0
ok 'all is there' wait_synced
ok 'both disks are equal' same_content
set_interval 600
ok 'it rests once more' wait_for 10 rests 0
write_often 5
ok 'that is told' wait_for 10 knows $(($(committed) + 5))

# A failover in the middle is one to the last commit point.
seq=$(committed)
last=$(control "$b" '{"op":"disk.digest","disk":"d"}')
ask "$b" promote '"fence":2'
is 'the failover is to that point' "$(committed)" "$seq"
is 'exactly' "$(control "$b" '{"op":"disk.digest","disk":"d"}')" "$last"
ok 'the loss is told' /usr/bin/python3 -c '
import json, sys
assert json.loads(sys.argv[1])["loss"]["writes"] == 5' "$answer"
refused 'nonsense is refused' bad-request \
  answers '"ok": ?true' "$a" '{"op":"link.mode","disk":"d","interval_seconds":43201}'
done_testing

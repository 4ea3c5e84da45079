#!/usr/bin/env bash
# The bandwidth limit: kept, changed while data flows, remembered, lifted.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

limit () { ask "$a" link.limit "\"limit_bps\":$1"; }

# rate_is SECONDS LOW HIGH: bytes a second that were sent in this time.  More
# than HIGH is never right; less than LOW may be the fault of this machine,
# but not again and again.  When exactly it was asked is not known: between the
# question and the answer.
rate_is ()
{
  /usr/bin/python3 - "$a" "$@" <<'PYTHON'
import sys, time
from control import Control
control = Control(sys.argv[1])
seconds, low, high = map(int, sys.argv[2:])
def sent():
    before = time.monotonic()
    size = control.status("d")["link"]["sent_bytes"]
    return size, before, time.monotonic()
for i in range(4):
    first = sent()
    time.sleep(seconds)
    last = sent()
    size = last[0] - first[0]
    least, most = size / (last[2] - first[1]), size / (last[1] - first[2])
    print("%d to %d bytes a second" % (least, most))
    if least > high:
        sys.exit("more than %d" % high)
    if most >= low:
        sys.exit(0)
sys.exit("less than %d" % low)
PYTHON
}

sites 64M
pair
limit 500000
link_start
is 'it is shown' "$(link_status "l['limit_bps']")" 500000
wait_stream
fill 1 600
ok 'it is what the link waits for' wait_for 10 link_is \
  "l['waits_for'] == 'limit' and l['lag']['bytes'] > 1000000"
ticks () { awk '{ print $14 + $15 }' "/proc/$a_pid/stat"; }
first=$(ticks) began=$(date +%s%N)
ok 'not more than the limit, nor much less' rate_is 3 350000 600000
percent=$((($(ticks) - first) * 100000000000 / $(getconf CLK_TCK) /
  ($(date +%s%N) - began)))
ok "who waits for it rests: $percent % of a CPU" test "$percent" -lt 30
ok 'lag, compression and time to go are told' wait_for 10 link_is \
  "l['lag']['seconds'] > 1 and 1.5 < l['compression'] < 3 and l['eta_seconds'] > 0"

limit 2000000
ok 'a higher one counts at once' rate_is 1 1200000 2500000

limit 100000
kill_a
start_a
wait_for 60 is_stream
is 'it is remembered' "$(link_status "l['limit_bps']")" 100000
limit 0
ok 'without it the rest is there at once' wait_synced 30
ok 'nothing is left to do' wait_for 10 link_is \
  "(l['waits_for'], l['eta_seconds'], l['limit_bps']) == ('writes', 0.0, 0)"
ok 'both disks are equal' same_content

ok 'a limit that is none' grep -q 'bad-request' \
  <(control "$a" '{"op":"link.limit","disk":"d","limit_bps":-1}')
ok 'a secondary keeps one for when it is primary' grep -q '"ok":true' \
  <(control "$b" '{"op":"link.limit","disk":"d","limit_bps":1}')
done_testing

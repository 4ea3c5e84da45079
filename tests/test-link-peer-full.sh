#!/usr/bin/env bash
# A secondary whose journal is full: the primary says so and goes on serving
# guests; the secondary keeps its last commit point.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

sites 64M
control "$b" '{"op":"disk.delete","disk":"d"}' >/dev/null
ask "$b" disk.create "\"size\":$((64 << 20)),\"capacity\":$((32 << 20))"
pair
fill 1 10
link_start
wait_synced || bail_out 'no initial copy'
# More live data than the journal there has room for (it is given the least
# capacity there is, 48 MiB), and less than that here.
nbd_python "$(nbd_uri "$a" d)" "
import random
r = random.Random(7)
for i in range(1000):
    h.pwrite(r.randbytes(65536), i * 65536)
h.flush()" || bail_out 'the primary took no more'
ok 'the reason is told' wait_for 40 link_is "'full' in (l['reason'] or '')"
seq=$(status "$b" d "s['committed']['seq']")
ok 'the peer has a point' test "$seq" -ge 10
ok 'the lag is told' link_is "l['lag']['writes'] > 0 and l['lag']['seconds'] > 0"
kill_b
start_b
# A record more may have found room meanwhile, never one less.
ok 'the peer keeps its point' \
  test "$(status "$b" d "s['committed']['seq']")" -ge "$seq"
done_testing

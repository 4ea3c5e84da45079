#!/usr/bin/env bash
# An initial copy that is cut goes on where it was, also after both servers
# were restarted: the bytes on the wire are counted.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

sites 256M
proxy_start
pair
# About 40 MB on the wire.
nbd_python "$(nbd_uri "$a" d)" '
import random
r = random.Random(1)
for i in range(40):
    h.pwrite(r.randbytes(1 << 20), i * 4 << 20)
h.flush()'

proxy cut-after 25000000 >/dev/null
link_start
wait_for 30 link_is "l['connects'] == 1 and l['state'] != 'initial'"
ok 'the copy was cut' wait_for 30 link_is "l['connects'] >= 1"
ok 'it ends' wait_synced
ok 'both disks are equal' same_content
bytes=$(proxy bytes)
# All of it once, and at most what was in flight or after the last mark.
ok "$bytes bytes were sent for 42000000" test "$bytes" -lt 62000000

ask "$a" link.stop
ask "$b" pair.clear
ask "$b" disk.delete
ask "$b" disk.create '"size":268435456'
set_pair "$b" secondary 1
ask "$b" replica.accept
proxy cut-after 25000000 >/dev/null
before=$(proxy bytes)
link_start
ok 'a second copy is cut' wait_for 30 link_is "l['connects'] >= 2 or l['state'] == 'waiting'"
kill_a
kill_b
start_b
start_a
ok 'it goes on after both were restarted' wait_synced
ok 'both disks are equal' same_content
bytes=$(($(proxy bytes) - before))
ok "$bytes bytes were sent for 42000000" test "$bytes" -lt 62000000
done_testing

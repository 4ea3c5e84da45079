#!/usr/bin/env bash
# Failover, both sides written, and the failover is given up: the promoted side
# loses what it wrote since, named and saved; the old primary keeps its whole
# tail and goes on; only what either side changed is shipped.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/reconcile-functions.sh"

sites 64M
pair
write a 1 600
link a b
wait_synced a || bail_out 'no initial copy'
ask a link.stop
write a 2 20
promote b 2
write b 3 30
link_fenced () { of_is a "s['fenced']"; }
ask a link.start "\"uri\":\"nbd+unix:///?socket=$(socket_of b)\""
ok 'the old primary meets the fence' wait_for 20 link_fenced
ask a link.stop
wanted=$(digest a)
given_up=$(digest b)

demote b 3 a
is 'what is given up is named' "$(field "s['self']['writes']")" 30
is 'so is what is kept' "$(field "s['peer_writes']")" 20
ok 'it is saved' \
  wait_for 30 of_is b "s['discard']['salvage']['state'] == 'done'"
is 'and stays where it was until it is replaced' "$(digest b)" "$given_up"
set_pair a primary 3
is 'the old primary may write again' "$(of a "s['fenced']")" False
write a 4 5
wanted=$(digest a)
link a b '"connections":3'
ok 'the difference is copied, over several connections' wait_synced a
is 'so many' "$(of a "s['link']['connections']")" 3
is 'by the rule' "$(of a "s['link']['rule']")" peer-wrote-commanded
ok 'both disks are equal' same_content
is 'the old primary kept all it had' "$(digest a)" "$wanted"
sent=$(of a "s['link']['sent_bytes']")
ok "not much more than the union was shipped: $sent" test "$sent" -lt 2400000

# ---- the saved blocks are what was given up ---------------------------------

file=$(of b "s['discard']['salvage']['file']")
kill_site a
kill_site b
truncate -s 64M "$tmp/image"
start_site a
nbdcopy --flush "$(nbd_uri "$tmp/a" d)" "$tmp/image" ||
  bail_out 'cannot copy the disk'
ok 'they are written into a copy of the disk' \
  "$pairctl" volume dump "$file" --write-to "$tmp/image"
ok 'and show what was written at the promoted side' nbd_python \
  "$(nbd_uri "$tmp/a" d)" "
import random
r = random.Random(3)
last = {}
for i in range(30):
    data = r.randbytes(32768) + bytes(32768)
    last[r.randrange(h.get_size() // 65536)] = data
image = open('$tmp/image', 'rb')
for block in last:
    image.seek(block * 65536)
    assert image.read(65536) == last[block], block"
printf x | dd of="$file" bs=1 seek=5000 conv=notrunc status=none
refused 'a damaged file is refused' 'damaged' "$pairctl" volume dump "$file"
done_testing

#!/usr/bin/env bash
# The new primary is lost while it replaces what the old one gave up: the old
# one still shows all it had, also after a crash, and can be made primary with
# that.  The other one comes back and is the loser then.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/reconcile-functions.sh"

# all SITE SEED: the first 128 MiB, incompressible.
all ()
{
  nbd_python "$(nbd_uri "$tmp/$1" d)" "
import random
r = random.Random($2)
for i in range(128):
    h.pwrite(r.randbytes(1 << 20), i << 20)
h.flush()" || bail_out "cannot write at $1"
}

sites 256M
pair
write a 1 100
link a b
wait_synced a || bail_out 'no initial copy'
ask a link.stop
write a 2 50
lost=$(digest a)
promote b 2
all b 3
demote a 2 b
wait_for 30 of_is a "s['discard']['saved']" || bail_out 'not saved'
# Slow enough that it is not over before somebody looks.
ask b link.limit '"limit_bps":16777216'
link b a
# Looked at each millisecond: a delta may be over in less than a shell takes.
ok 'the new primary is killed in the middle of its delta' /usr/bin/python3 - \
  "$tmp/a" "$(pid_of b)" <<'PYTHON'
import os, signal, sys, time
from control import Control
control = Control(sys.argv[1])
end = time.monotonic() + 30
while time.monotonic() < end:
    stage = control.status("d")["stage"]
    if stage and stage["cursor_bytes"] > 0:
        os.kill(int(sys.argv[2]), signal.SIGKILL)
        sys.exit(0)
    time.sleep(0.001)
sys.exit("no stage was seen")
PYTHON
kill_site b
ok 'it is not complete' of_is a "s['discard']['pending']"
is 'the old primary shows what it had' "$(digest a)" "$lost"
kill_site a
start_site a
is 'also after a crash' "$(digest a)" "$lost"
ok 'what is staged is still there' of_is a "s['stage'] is not None"
promote a 3
is 'it can be promoted' "$(of a "(s['role'], s['discard'] and s['discard']['pending'])")" \
  "('primary', False)"
is 'with that' "$(digest a)" "$lost"
write a 4 10
wanted=$(digest a)

start_site b
demote b 3 a
is 'now the other one gives up what it wrote' \
  "$(field "s['self']['writes']")" 128
wait_for 60 of_is b "s['discard']['saved']" || bail_out 'not saved'
link a b
ok 'which is replaced' wait_synced a
is 'both are equal' "$(digest b)" "$wanted"
ok 'at the price of the difference' test \
  "$(of a "s['link']['sent_bytes']")" -lt 10000000
done_testing

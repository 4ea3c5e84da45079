# A scrub asked of the agent, by pairctl.

source "${0%/*}/functions.sh"
source "${0%/*}/agent-functions.sh"
source "${0%/*}/plugin-functions.sh"

sites_prepare
site_up a
export PAIRDISK_SITE=$tmp/a
"$pairctl" disk create web --size 16M >/dev/null
out=$("$pairctl" disk scrub web --wait --rate 0 2>&1)
is 'pairctl disk scrub --wait' "$?:$out" \
  "0:scrub of disk 'web' is done: 0 units in 0 B, 0 bad blocks"
ok 'disk show says so' bash -c \
  "'$pairctl' disk show web | grep -q 'scrub: *done, 100%, 0 bad blocks'"
ok 'in JSON' bash -c \
  "'$pairctl' disk scrub web --wait --json | grep -q '\"state\": \"done\"'"
ok 'started' "$pairctl" disk scrub web
ok 'stopped' "$pairctl" disk scrub web --stop
uri=$("$pairctl" disk show web | sed -n 's/^uri: *//p')
nbd_python "$uri" 'import os; h.pwrite(os.urandom(8 << 20), 0); h.flush()'
out=$("$pairctl" disk scrub web --wait --rate 1M --timeout 1 2>&1)
is 'not waited for any longer: exit code' "$?" 5
ok 'how far it is' grep -q "scrub of disk 'web': it is at [0-9]*%" <<<"$out"
ok 'it goes on' bash -c "'$pairctl' disk show web | grep -q 'scrub: *running'"
ok 'stopped by hand' "$pairctl" disk scrub web --stop
refused 'no such disk' 'NoSuchResource' "$pairctl" disk scrub none
refused 'a wrong rate' 'InvalidRateBps|RateBps' \
  api a ScrubDisk DiskId=web RateBps=fast
done_testing

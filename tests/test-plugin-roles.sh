# Roles over the control socket: who may attach, what is durable, what is
# refused.  Without a peer: that is the link's tests.

source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"

state=$tmp/state
make_disk "$state/d" 16M
nbdkit_start "$state"
pair=0f0e0d0c-0b0a-4908-8706-050403020100
other=1f0e0d0c-0b0a-4908-8706-050403020100
secret=$(printf '%064x' 7)

# set_pair ROLE PAIR FENCE
set_pair ()
{
  echo '{"op":"pair.set","disk":"d","role":"'"$1"'","pair":"'"$2"'","fence":'"$3"',"secret":"'"$secret"'"}'
}

ok 'pair.set with wrong fields' answers '"code":"bad-request"' "$state" \
  "$(set_pair standalone $pair 1)" "$(set_pair primary nonsense 1)" \
  "$(set_pair primary 00000000-0000-0000-0000-000000000000 1)" \
  "$(set_pair primary $pair -1)" \
  '{"op":"pair.set","disk":"d","role":"primary","pair":"'$pair'","fence":1,"secret":"abc"}' \
  '{"op":"pair.set","disk":"d","role":"primary","pair":"'$pair'","fence":1,"secret":"'"${secret/0/g}"'"}'
ok 'what needs a pair is refused without' answers '"code":"wrong-role"' \
  "$state" '{"op":"link.start","disk":"d","uri":"nbd://127.0.0.1:1"}' \
  '{"op":"link.stop","disk":"d"}' '{"op":"replica.accept","disk":"d"}' \
  '{"op":"replica.stop","disk":"d"}' '{"op":"promote","disk":"d","fence":9}'

ok 'content of its own' nbd_python "$(nbd_uri "$state" d)" '
h.pwrite(b"mine" * 1024, 0, nbd.CMD_FLAG_FUA)'
ok 'not made secondary under a guest' nbd_python "$(nbd_uri "$state" d)" '
import json
from control import Control
r = json.loads(Control("'"$state"'").send("""'"$(set_pair secondary $pair 1)"'"""))
assert r["error"]["code"] == "disk-in-use", r
h.pwrite(b"mine" * 1024, 4096, nbd.CMD_FLAG_FUA)'
wait_for 30 answers '"clients":0' "$state" '{"op":"disk.status","disk":"d"}'

ok 'secondary' answers '"ok":true' "$state" "$(set_pair secondary $pair 3)" \
  "$(set_pair secondary $pair 3)"
is 'the link file is secret' "$(stat -c %a "$state/d/link")" 600
is 'role' "$(status "$state" d "(s['role'], s['pair'], s['fence'])")" \
  "('secondary', '$pair', 3)"
is 'nothing is committed yet' "$(status "$state" d "s['committed']")" None
is 'it does not accept yet' "$(status "$state" d "s['source']['accept']")" \
  False
refused 'a guest is refused' 'No such file' nbdinfo "$(nbd_uri "$state" d)"
ok 'the log says why and what to do' bash -c \
  "grep -q \"'d' is the secondary of pair $pair\" '$tmp/nbdkit-state.log' &&
   grep -q 'hint: .*failover' '$tmp/nbdkit-state.log'"
ok 'the description in the list says so to the client' /usr/bin/python3 -c '
import nbd, sys
h = nbd.NBD()
h.set_opt_mode(True)
h.connect_uri(sys.argv[1])
found = {}
h.opt_list(lambda name, description: found.update({name: description}))
h.opt_abort()
assert "secondary" in found["d"], found' "$(nbd_uri "$state")"
ok 'promotion without a copy is refused' answers '"code":"no-commit-point"' \
  "$state" '{"op":"promote","disk":"d","fence":4}'
ok 'promotion with an old fence is refused' answers '"code":"fence-too-low"' \
  "$state" '{"op":"promote","disk":"d","fence":3}'
ok 'pair.set does not promote, lower the fence or change the pair' \
  answers '"code":"(wrong-role|fence-too-low)"' "$state" \
  "$(set_pair primary $pair 4)" "$(set_pair secondary $pair 2)" \
  "$(set_pair secondary $other 4)"
ok 'not deleted while in a pair' answers '"code":"wrong-role"' "$state" \
  '{"op":"disk.delete","disk":"d"}'
ok 'accept' answers '"ok":true' "$state" '{"op":"replica.accept","disk":"d"}'

kill_pid "$nbdkit_pid" KILL
nbdkit_start "$state"
is 'all of it survives kill -9' \
  "$(status "$state" d "(s['role'], s['pair'], s['fence'], s['source']['accept'], s['committed'])")" \
  "('secondary', '$pair', 3, True, None)"
refused 'still refused' 'No such file' nbdinfo "$(nbd_uri "$state" d)"
ok 'stop' answers '"ok":true' "$state" '{"op":"replica.stop","disk":"d"}' \
  '{"op":"replica.stop","disk":"d"}'

ok 'clear' answers '"ok":true' "$state" '{"op":"pair.clear","disk":"d"}' \
  '{"op":"pair.clear","disk":"d"}'
ok 'the link file is gone' test ! -e "$state/d/link"
is 'standalone, the fence stays' \
  "$(status "$state" d "(s['role'], s['pair'], s['fence'])")" \
  "('standalone', None, 3)"
ok 'its own content is still there' nbd_python "$(nbd_uri "$state" d)" '
assert h.pread(8192, 0) == b"mine" * 2048'

ok 'primary with a link to nobody' answers '"ok":true' "$state" \
  "$(set_pair primary $pair 3)" \
  '{"op":"link.start","disk":"d","uri":"nbd://127.0.0.1:'"$(free_port)"'"}'
ok 'a URI that is none' answers '"code":"bad-request"' "$state" \
  '{"op":"link.start","disk":"d","uri":"http://127.0.0.1"}' \
  '{"op":"link.start","disk":"d"}' \
  '{"op":"link.start","disk":"d","uri":"nbd://h","oneshot":1}'
ok 'the link waits and says why' wait_for 30 answers \
  '"state":"waiting","reason":"[^"]' "$state" '{"op":"disk.status","disk":"d"}'
ok 'guests write all the same' nbd_python "$(nbd_uri "$state" d)" '
h.pwrite(b"more" * 1024, 0, nbd.CMD_FLAG_FUA)'
kill_pid "$nbdkit_pid"
nbdkit_start "$state"
ok 'the link is tried again after a restart' wait_for 30 answers \
  '"state":"waiting"' "$state" '{"op":"disk.status","disk":"d"}'
ok 'stop the link' answers '"ok":true' "$state" '{"op":"link.stop","disk":"d"}'
is 'it is off' "$(status "$state" d "s['link']['state']")" off
kill_pid "$nbdkit_pid"

# A link file that is damaged: the disk is served, the link is not.
echo '{"version":1' >"$state/d/link"
nbdkit_start "$state"
ok 'the log says so' grep -q 'file "link" is damaged' "$tmp/nbdkit-state.log"
ok 'the disk is served' nbd_python "$(nbd_uri "$state" d)" '
assert h.pread(4096, 0) == b"more" * 1024'
ok 'the link is refused' answers '"code":"wrong-role".*pair.set' "$state" \
  '{"op":"link.start","disk":"d","uri":"nbd://127.0.0.1:1"}'
ok 'until the pair is set again' answers '"ok":true' "$state" \
  "$(set_pair primary $pair 3)" \
  '{"op":"link.start","disk":"d","uri":"nbd://127.0.0.1:1"}'
kill_pid "$nbdkit_pid"

done_testing

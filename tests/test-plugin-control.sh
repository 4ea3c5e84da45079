# The control socket: every op, every refusal, and what is not JSON at all.

source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"

state=$tmp/state
mkdir "$state"
nbdkit_start "$state"
mb=$((1024 * 1024))

ok 'the socket is for its owner' bash -c \
  "stat -c %a '$state/control.sock' | grep -qx 600"
ok 'ping' answers '"ok":true,"version":"[0-9.]+","pid":[0-9]+,"instance":"' \
  "$state" '{"op":"ping"}'
ok 'no disks yet' answers '"disks":\[\]' "$state" '{"op":"disk.list"}'
ok 'create' answers '^\{"ok":true\}$' "$state" \
  '{"op":"disk.create","disk":"a","size":'$((64 * mb))'}' \
  '{"op":"disk.create","disk":"b","size":'$((64 * mb))',"capacity":'$((256 * mb))'}'
ok 'created disks are served at once' nbd_python "$(nbd_uri "$state" b)" '
assert h.get_size() == 64 << 20
h.pwrite(b"b" * 512, 0)'
ok 'create again' answers '"code":"disk-exists"' "$state" \
  '{"op":"disk.create","disk":"a","size":'$((64 * mb))'}'
ok 'names and sizes that cannot be' answers '"code":"bad-request"' "$state" \
  '{"op":"disk.create","disk":"../x","size":'$mb'}' \
  '{"op":"disk.create","disk":"","size":'$mb'}' \
  '{"op":"disk.create","disk":".lock","size":'$mb'}' \
  '{"op":"disk.create","disk":"a\u0000b","size":'$mb'}' \
  '{"op":"disk.create","disk":"x","size":0}' \
  '{"op":"disk.create","disk":"x","size":-1}' \
  '{"op":"disk.create","disk":"x","size":"1"}' \
  '{"op":"disk.create","disk":"x","size":'$((mb + 512))'}' \
  '{"op":"disk.create","disk":"x","size":9223372036854775807}' \
  '{"op":"disk.create","disk":"x","size":99999999999999999999}'
ok 'nothing is left of them' test ! -e "$state/x"
ok 'requests that are none' answers '"code":"bad-request"' "$state" \
  '' ' ' 'hello' '[]' '1' '{' '{"op":1}' '{}' '{"op":"disk.status"}' \
  '{"op":"disk.eat","disk":"a"}' '{"op":"ping","op":"ping"}' \
  "$(printf '[%.0s' {1..5000})"
ok 'no such disk' answers '"code":"no-such-disk","errno":"ENOENT"' "$state" \
  '{"op":"disk.status","disk":"nope"}' '{"op":"disk.delete","disk":"nope"}' \
  '{"op":"promote","disk":"nope","fence":1}'

ok 'status' answers \
  '"disk":"a".*"size":67108864.*"role":"standalone","pair":null.*"clients":0,"state":"ok"' \
  "$state" '{"op":"disk.status","disk":"a"}'
ok 'status counts clients' nbd_python "$(nbd_uri "$state" a)" '
from control import Control
control = Control("'"$state"'")
assert control.status("a")["clients"] == 1
r = control.ask(op="disk.delete", disk="a")
assert r["error"]["code"] == "disk-in-use", r
h.pwrite(b"still here" * 100, 0)
h.shutdown()'
ok 'the connection of a guest ends with it' wait_for 30 answers \
  '"clients":0' "$state" '{"op":"disk.status","disk":"a"}'
ok 'digest' answers '"digest":"[0-9a-f]{16}","committed":\{' "$state" \
  '{"op":"disk.digest","disk":"a"}'

ok 'a line that never ends is refused and the connection closed' \
  /usr/bin/python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.settimeout(30)
try:
    s.sendall(b"x" * 200000)
except OSError:
    pass
answer = b""
try:
    while True:
        more = s.recv(4096)
        if not more: break
        answer += more
except ConnectionResetError:
    pass
assert not answer or b"bad-request" in answer, answer' "$state/control.sock"
ok 'requests sent in one piece are answered in order' /usr/bin/python3 -c '
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.settimeout(30)
s.sendall(b"".join(b"{\"op\":\"disk.status\",\"disk\":\"%s\"}\n" % d
                   for d in (b"a", b"b") * 200))
f = s.makefile("rb")
for want in ("a", "b") * 200:
    assert json.loads(f.readline())["disk"] == want' "$state/control.sock"

ok 'a list too long for one line goes on after a name' /usr/bin/python3 -c '
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.settimeout(120)
f = s.makefile("rwb")
def ask(**request):
    f.write(json.dumps(request).encode() + b"\n")
    f.flush()
    line = f.readline()
    assert len(line) <= 65536, len(line)
    answer = json.loads(line)
    assert answer["ok"], answer
    return answer
names = sorted(["a", "b"] + ["n%03d" % i for i in range(120)])
for name in names[2:]:
    ask(op="disk.create", disk=name, size=1 << 20)
got, after, lists = [], "", 0
while after is not None:
    answer = ask(op="disk.list", after=after)
    got += [d["disk"] for d in answer["disks"]]
    after = answer.get("next")
    lists += 1
assert got == names and lists > 1, (got, lists)
for name in names[2:]:
    ask(op="disk.delete", disk=name)' "$state/control.sock"

ok 'delete' answers '^\{"ok":true\}$' "$state" '{"op":"disk.delete","disk":"a"}'
ok 'no file of it is left' test ! -e "$state/a"
refused 'nor its export' 'No such file' nbdinfo "$(nbd_uri "$state" a)"
kill_pid "$nbdkit_pid"
ok 'the socket goes with the server' test ! -e "$state/control.sock"

# kill -9 leaves the socket's file behind.
nbdkit_start "$state"
kill_pid "$nbdkit_pid" KILL
nbdkit_start "$state"
ok 'a socket left behind is replaced' answers '"disk":"b"' "$state" \
  '{"op":"disk.list"}'
kill_pid "$nbdkit_pid"

nbdkit_start "$state" control="$tmp/other.sock"
ok 'the socket is where control= says' test -S "$tmp/other.sock"
kill_pid "$nbdkit_pid"

done_testing

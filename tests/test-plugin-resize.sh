# A disk grows while a guest uses it: who connects again sees the new size, a
# full journal takes writes again, and a kill leaves the old size or the new.

source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
mb=$((1024 * 1024))

state=$tmp/state
make_disk "$state/a" 32M
make_disk "$state/full" 64M --capacity 48M
nbdkit_start "$state"

# resize DISK [FIELD:NUMBER...]: as a request
resize ()
{
  local disk=$1 fields="" f
  shift
  for f; do fields+=",\"${f%:*}\":${f#*:}"; done
  echo '{"op":"disk.resize","disk":"'"$disk"'"'"$fields"'}'
}

ok 'nothing asked: it says what is' answers \
  '^\{"ok":true,"size":33554432,"capacity":100663296\}$' "$state" \
  "$(resize a)" "$(resize a "size:$((32 * mb))")"
ok 'less' answers '"code":"bad-request".*cannot become less.*"hint":"[^"]' \
  "$state" "$(resize a "size:$((16 * mb))")" "$(resize a "capacity:$mb")"
ok 'what cannot be' answers '"code":"bad-request"' "$state" \
  "$(resize a "size:$((32 * mb + 512))")" "$(resize a size:-1)" \
  "$(resize a 'size:"x"')" "$(resize a size:9223372036854775807)" \
  "$(resize a capacity:9223372036854775807)"

ok 'a guest goes on with the size it was told' nbd_python \
  "$(nbd_uri "$state" a)" '
import json
from control import Control
control = Control("'"$state"'")
h.pwrite(b"old" * 4096, 32 << 20 >> 1)
r = json.loads(control.send("""'"$(resize a "size:$((80 * mb))")"'"""))
assert r["ok"] and r["size"] == 80 << 20 and r["capacity"] == 240 << 20, r
assert h.get_size() == 32 << 20
fails("EINVAL", h.pread, 512, 32 << 20)
h.pwrite(b"end!" * 128, (32 << 20) - 512)
g = nbd.NBD()
g.connect_uri(sys.argv[1])
assert g.get_size() == 80 << 20, g.get_size()
assert g.pread(3 << 12, 16 << 20) == b"old" * 4096
assert g.pread(1024, (32 << 20) - 512) == b"end!" * 128 + bytes(512)
g.pwrite(b"new!" * 128, (80 << 20) - 512)
g.flush()
assert h.pread(512, (32 << 20) - 512) == b"end!" * 128
g.shutdown()
h.shutdown()'
ok 'status says so' answers '"size":83886080,"capacity":251658240' "$state" \
  '{"op":"disk.status","disk":"a"}'

ok 'a journal that is full takes writes again when it has grown' nbd_python \
  "$(nbd_uri "$state" full)" '
import json, os
from control import Control
control = Control("'"$state"'")
at = 0
try:
    while at < 64 << 20:
        h.pwrite(os.urandom(1 << 20), at)
        at += 1 << 20
except nbd.Error as e:
    assert e.errnum == errno.ENOSPC, e
assert 8 << 20 < at < 48 << 20, at
r = json.loads(control.send("""'"$(resize full "capacity:$((128 * mb))")"'"""))
assert r["ok"] and r["size"] == 64 << 20 and r["capacity"] == 128 << 20, r
while at < 64 << 20:
    h.pwrite(os.urandom(1 << 20), at)
    at += 1 << 20
h.flush()
h.shutdown()'

secret=$(printf '%064d' 7)
ok 'the disk of a pair' answers '^\{"ok":true' "$state" \
  '{"op":"pair.set","disk":"full","role":"primary","pair":"11111111-2222-4333-8444-555555555555","fence":1,"secret":"'"$secret"'"}'
ok 'keeps its size' answers \
  '"code":"wrong-role".*of a pair.*"hint":"stop and delete the pair' "$state" \
  "$(resize full "size:$((128 * mb))")"
ok 'but may have more room' answers '"ok":true.*"capacity":167772160' \
  "$state" "$(resize full "capacity:$((160 * mb))")"
ok 'without the pair it grows' answers '^\{"ok":true' "$state" \
  '{"op":"pair.clear","disk":"full"}' "$(resize full "size:$((128 * mb))")"

kill_pid "$nbdkit_pid" KILL
nbdkit_start "$state"
ok 'all of it is there after a kill' nbd_python "$(nbd_uri "$state" a)" '
assert h.get_size() == 80 << 20
assert h.pread(3 << 12, 16 << 20) == b"old" * 4096
assert h.pread(512, (80 << 20) - 512) == b"new!" * 128'

# Killed while it grows: the old size or the new one, and nothing is lost.
size=$((80 * mb))
killed=ok
for i in 1 2 3 4 5 6; do
  next=$((size + 512 * mb))
  control "$state" "$(resize a "size:$next")" >"$tmp/answer" 2>/dev/null &
  client=$!
  to_be_ended "$client"
  sleep "0.0$((i * i))"        # some moment of it
  kill_pid "$nbdkit_pid" KILL
  wait "$client" 2>/dev/null
  nbdkit_start "$state"
  found=$(status "$state" a 's["size"]')
  if grep -q '"ok":true' "$tmp/answer"; then
    [ "$found" = "$next" ] || killed="answered $next, but it has $found"
  fi
  [ "$found" = "$size" ] || [ "$found" = "$next" ] ||
    killed="between $size and $next: $found"
  size=$found
done
diag "size at the end: $((size / mb)) MiB"
is 'killed while it grows' "$killed" ok
ok 'it is whole' nbd_python "$(nbd_uri "$state" a)" '
assert h.pread(3 << 12, 16 << 20) == b"old" * 4096
assert h.pread(512, (80 << 20) - 512) == b"new!" * 128
h.pwrite(b"last" * 128, h.get_size() - 512)
h.flush()'
kill_pid "$nbdkit_pid"
ok 'check finds nothing' "$pairctl" volume check "$state/a"
done_testing

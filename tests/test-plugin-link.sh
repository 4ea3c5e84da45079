# Two instances, no agent: a pair is made over the control sockets, copied,
# kept in step, cut off, promoted.

source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"

a=$tmp/a
b=$tmp/b
make_disk "$a/d" 64M
make_disk "$b/copy" 64M
pair=0f0e0d0c-0b0a-4908-8706-050403020100
secret=$(printf '%064x' 99)
pattern "$tmp/image" $((40 * 1024 * 1024)) 3

start_a () { nbdkit_start "$a"; pid_a=$nbdkit_pid; }
start_b () { nbdkit_start "$b"; pid_b=$nbdkit_pid; }
start_a
start_b
uri_a=$(nbd_uri "$a" d)

# set_pair DIR DISK ROLE FENCE
set_pair ()
{
  control "$1" '{"op":"pair.set","disk":"'"$2"'","role":"'"$3"'","pair":"'$pair'","fence":'"$4"',"secret":"'"$secret"'"}'
}
link_start='{"op":"link.start","disk":"d","uri":"nbd+unix:///?socket='$b.sock'"}'

# The secondary's commit point is all the primary has.
in_step ()
{
  [ "$(status "$a" d "s['link']['state'], s['durable']['seq']")" = \
    "('stream', $(status "$b" copy "s['committed']['seq']"))" ]
}

digest ()
{
  control "$1" '{"op":"disk.digest","disk":"'"$2"'"}' |
    sed 's/.*"digest":"\([0-9a-f]*\)".*/\1/'
}

same_content ()
{
  local x
  x=$(digest "$a" d)
  [[ $x =~ ^[0-9a-f]{16}$ && $x = "$(digest "$b" copy)" ]]
}

ok 'content before there is a pair' nbdcopy --flush "$tmp/image" "$uri_a"
ok 'primary' set_pair "$a" d primary 1
ok 'secondary' set_pair "$b" copy secondary 1
ok 'the link starts' answers '"ok":true' "$a" "$link_start"
ok 'and is refused while the peer does not accept' wait_for 30 answers \
  '"state":"(refused|waiting)","reason":"[^"]' "$a" \
  '{"op":"disk.status","disk":"d"}'
ok 'promotion now finds no copy' answers '"code":"no-commit-point"' "$b" \
  '{"op":"promote","disk":"copy","fence":2}'
ok 'accept' answers '"ok":true' "$b" '{"op":"replica.accept","disk":"copy"}'
ok 'the first copy ends in step' wait_for 60 in_step
ok 'with the same content' same_content
ok 'the log has the reason of the full copy' \
  grep -q "disk 'd': decide: rule=peer-new action=initial" "$tmp/nbdkit-a.log"
refused 'the secondary is not attached' 'No such file' \
  nbdinfo "$(nbd_uri "$b" copy)"

ok 'writes go on' nbd_python "$uri_a" '
for i in range(500):
    h.pwrite(bytes([i & 255]) * 4096, (i * 7919 % 16000) * 4096)
    if i % 50 == 0:
        h.zero(1 << 20, (i % 60) << 20)
h.flush()'
ok 'and arrive' wait_for 60 in_step
ok 'with the same content again' same_content
ok 'lag is nothing' wait_for 10 answers '"lag":\{"writes":0,"bytes":0,"seconds":0' "$a" \
  '{"op":"disk.status","disk":"d"}'

kill_pid "$pid_b" KILL
ok 'writes while the secondary is dead' nbd_python "$uri_a" '
h.pwrite(b"while b was dead" * 256, 50 << 20, nbd.CMD_FLAG_FUA)'
start_b
ok 'it catches up' wait_for 60 in_step
kill_pid "$pid_a" KILL
start_a
ok 'the primary comes back by itself' wait_for 60 in_step
ok 'with the same content still' same_content

ok 'stop both ends' eval 'answers "\"ok\":true" "$a" "{\"op\":\"link.stop\",\"disk\":\"d\"}" &&
  answers "\"ok\":true" "$b" "{\"op\":\"replica.stop\",\"disk\":\"copy\"}"'
ok 'start both again' eval 'answers "\"ok\":true" "$b" "{\"op\":\"replica.accept\",\"disk\":\"copy\"}" &&
  answers "\"ok\":true" "$a" "$link_start"'
ok 'in step again' wait_for 60 in_step

# Disaster.
kill_pid "$pid_a" KILL
answer=$(control "$b" '{"op":"promote","disk":"copy","fence":2}')
ok 'promoted' grep -q '"ok":true,"committed":{.*"loss":{"writes":0,"bytes":0' \
  <<<"$answer"
is 'asked again, the same answer' \
  "$(control "$b" '{"op":"promote","disk":"copy","fence":2}')" "$answer"
ok 'the copy has what was flushed, and is written to' \
  nbd_python "$(nbd_uri "$b" copy)" '
assert h.pread(4096, 50 << 20) == b"while b was dead" * 256
h.pwrite(b"new" * 1024, 0, nbd.CMD_FLAG_FUA)'
kill_pid "$pid_b" KILL
start_b
is 'after a restart the same answer too' \
  "$(control "$b" '{"op":"promote","disk":"copy","fence":2}')" "$answer"

# The old primary comes back and must not go on as if nothing had been.
start_a
ok 'the old primary is fenced' wait_for 60 answers \
  '"fenced":true.*"state":"fenced"' "$a" '{"op":"disk.status","disk":"d"}'
ok 'its guests read but do not write' nbd_python "$uri_a" '
assert h.is_read_only()
assert h.pread(4096, 50 << 20) == b"while b was dead" * 256
fails("EPERM", h.pwrite, b"x" * 4096, 0)'
kill_pid "$pid_a"
start_a
ok 'also after a restart' nbd_python "$uri_a" 'assert h.is_read_only()'
ok 'taken out of the pair' answers '"ok":true' "$a" \
  '{"op":"pair.clear","disk":"d"}'
is 'it is a disk of its own' \
  "$(status "$a" d "(s['role'], s['fence'], s['fenced'])")" \
  "('standalone', 2, False)"
ok 'and is written to' nbd_python "$uri_a" '
h.pwrite(b"x" * 4096, 0, nbd.CMD_FLAG_FUA)'
kill_pid "$pid_a"
kill_pid "$pid_b"

done_testing

# guests=unix: disks only over the Unix socket, peers over TCP too.

source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"

state=$tmp/state
make_disk "$state/d" 16M
pair=0f0e0d0c-0b0a-4908-8706-050403020100
secret=$(printf '%064x' 7)

# start_tcp NAME PARAMETER...: sets port and nbdkit_pid.
start_tcp ()
{
  port=$(free_port)
  start "$1" nbdkit -f -p "$port" -i 127.0.0.1 "$plugin" dir="$state" "${@:2}"
  nbdkit_pid=$started_pid
  wait_for 30 control "$state" '{"op":"ping"}' || bail_out 'no answer'
  wait_for 30 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port" || bail_out 'no port'
}

start_tcp unix guests=unix
ok 'nothing is listed over TCP' bash -c \
  "! nbdinfo --list nbd://127.0.0.1:$port 2>/dev/null | grep -q '^export='"
refused 'a disk is refused over TCP' 'No such file' \
  nbdinfo "nbd://127.0.0.1:$port/d"
refused 'the default export too' 'No such file' nbdinfo "nbd://127.0.0.1:$port"
ok 'the log says why' grep -q 'cannot be attached over the network' \
  "$tmp/unix.log"
refused 'no pair, no replication export' 'No such file' \
  nbdinfo "nbd://127.0.0.1:$port/@replica/$pair"
ok 'become a secondary' answers '"ok":true' "$state" \
  '{"op":"pair.set","disk":"d","role":"secondary","pair":"'$pair'","fence":1,"secret":"'$secret'"}'
ok 'the peer is let in over TCP' nbdinfo --size \
  "nbd://127.0.0.1:$port/@replica/$pair"
kill_pid "$nbdkit_pid"

nbdkit_start "$state" guests=unix
ok 'no longer a secondary' answers '"ok":true' "$state" \
  '{"op":"pair.clear","disk":"d"}'
ok 'a disk over the Unix socket' nbdinfo "$(nbd_uri "$state" d)"
kill_pid "$nbdkit_pid"

start_tcp any guests=any
ok 'guests=any serves over TCP' nbdinfo "nbd://127.0.0.1:$port/d"
kill_pid "$nbdkit_pid"

done_testing

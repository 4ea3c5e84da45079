# Sourced by test-link-*.sh after functions.sh and plugin-functions.sh: two
# sites with a disk each, a proxy between them, a load.
#
#   sites 64M            # $a and $b, their plugins, disk "d" at both
#   pair                 # roles, secret; link_start makes data flow
#   load_start SEED      # random flushed and unflushed writes until it is ended
#   wait_stream; same_content

pair_uuid=$(cat /proc/sys/kernel/random/uuid)
pair_secret=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
a=$tmp/a
b=$tmp/b
b_flags=()             # of nbdkit at b
b_peers=any            # or tls

start_a () { nbdkit_start "$a"; a_pid=$nbdkit_pid; }

# The secondary listens on TCP; the port stays the same when it comes back.
# It may come back in a subshell, as what ok runs is.
start_b ()
{
  start_free nbdkit-b nbdkit -f -i 127.0.0.1 -p "$b_port" "${b_flags[@]}" \
    "$plugin" dir="$b" peers="$b_peers"
  b_pid=$started_pid
  wait_for 30 answers '"ok":' "$b" '{"op":"ping"}' ||
    bail_out "nbdkit did not start: $(tail -n 5 "$tmp/nbdkit-b.log")"
}

know_b () { know_free nbdkit-b && b_pid=$started_pid; }

# signal_b SIGNAL
signal_b () { know_b; kill -s "$1" "$b_pid"; }

# There is no agent here to start it again when it aborts by itself.
revived () { cat "$tmp/b.revived" 2>/dev/null || echo 0; }
revive_b ()
{
  local aborted
  know_b
  is_gone "$b_pid" || return 0
  aborted=$(aborts "$tmp/nbdkit-b.log")
  [ "$aborted" -gt "$(revived)" ] || return 0
  echo "$aborted" >"$tmp/b.revived"
  diag 'nbdkit of b aborted by a known bug of its own; started again' >&2
  start_b
}

kill_a () { kill_pid "$a_pid" KILL; }
kill_b () { know_b; kill_pid "$b_pid" KILL; }
end_b () { know_b; kill_pid "$b_pid"; }

proxy_start ()
{
  start proxy /usr/bin/python3 "$top_srcdir/tests/tcp-proxy.py" \
    "$tmp/proxy.port" "$b_port" "$tmp/proxy.sock"
  wait_for 10 test -s "$tmp/proxy.port" || bail_out 'the proxy did not start'
  link_port=$(cat "$tmp/proxy.port")
}

# proxy COMMAND: see tcp-proxy.py
proxy ()
{
  /usr/bin/python3 - "$tmp/proxy.sock" "$*" <<'PYTHON'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode())
print(s.recv(100).decode().strip())
PYTHON
}

# sites SIZE [SIZE-OF-B]
sites ()
{
  local size
  mkdir -p "$a" "$b"
  b_port=$(free_port)
  link_port=$b_port
  start_a
  start_b
  size=$(numfmt --from=iec "$1")
  ask "$a" disk.create "\"size\":$size"
  size=$(numfmt --from=iec "${2:-$1}")
  ask "$b" disk.create "\"size\":$size"
}

# ask DIR OP [FIELDS]: of disk d; bails out on a refusal.
ask ()
{
  answer=$(control "$1" "{\"op\":\"$2\",\"disk\":\"d\"${3:+,$3}}")
  [[ $answer == '{"ok":true'* || $answer == '{"ok": true'* ]] ||
    bail_out "$2: $answer"
}

# set_pair DIR ROLE FENCE [SECRET]
set_pair ()
{
  ask "$1" pair.set "\"role\":\"$2\",\"pair\":\"$pair_uuid\",\"fence\":$3,\"secret\":\"${4:-$pair_secret}\""
}

pair ()
{
  set_pair "$a" primary 1
  set_pair "$b" secondary 1
  ask "$b" replica.accept
}

link_start ()
{
  ask "$a" link.start "\"uri\":\"nbd://127.0.0.1:$link_port\"${1:+,$1}"
}

# link_status EXPRESSION: of LINK at A, as Python with it as l.
link_status () { status "$a" d "(lambda l: $1)(s['link'])"; }

link_is () { [ "$(link_status "$1")" = True ]; }

# link_shows SECONDS EXPRESSION: it is true in the end, if only for a moment.
link_shows ()
{
  /usr/bin/python3 - "$a" "$@" <<'PYTHON'
import sys, time
from control import Control
control = Control(sys.argv[1])
deadline = time.monotonic() + int(sys.argv[2])
while True:
    l = control.status("d")["link"]
    if eval(sys.argv[3]):
        break
    if time.monotonic() > deadline:
        sys.exit("not in %s s: %s; it is %s" % (sys.argv[2], sys.argv[3], l))
    time.sleep(0.01)
PYTHON
}

# at_least SECONDS LOOKS: so many, or as many as so many looks take here.
at_least ()
{
  local began took
  began=$(date +%s%N)
  link_is True
  took=$(((($(date +%s%N) - began) / 1000000 * $2 + 999) / 1000))
  echo $((took > $1 ? took : $1))
}

is_stream () { revive_b; link_is "l['state'] == 'stream'"; }
is_synced ()
{
  revive_b
  link_is "l['state'] == 'stream' and l['initial_done'] and l['lag']['writes'] == 0"
}

wait_stream () { wait_for "${1:-60}" is_stream; }
wait_synced () { wait_for "${1:-60}" is_synced; }

# Both show the same at one commit point (nothing may be writing).
same_content ()
{
  local da db
  da=$(control "$a" '{"op":"disk.digest","disk":"d"}')
  db=$(control "$b" '{"op":"disk.digest","disk":"d"}')
  [[ $da == *digest* ]] || { echo "$da"; return 1; }
  [ "$da" = "$db" ] || { echo "$da"; echo "$db"; return 1; }
}

# fill SEED COUNT: that many random 64 KiB writes, flushed.
fill ()
{
  nbd_python "$(nbd_uri "$a" d)" "
import random
r = random.Random($1)
blocks = h.get_size() // 65536
for i in range($2):
    h.pwrite(r.randbytes(32768) + bytes(32768), r.randrange(blocks) * 65536)
h.flush()"
}

# load_start SEED: writes until load_stop; goes on when A comes back.
load_start ()
{
  start load /usr/bin/python3 "$top_srcdir/tests/link-load.py" \
    "$(nbd_uri "$a" d)" "$1"
  load_pid=$started_pid
}

load_stop ()
{
  kill "$load_pid"
  wait_for 20 is_gone "$load_pid"
}

# Some seconds with random fractions, for "at a random moment".
random_moment ()
{
  local ms=$((RANDOM % ${1:-1500}))
  sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}

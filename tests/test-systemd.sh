# The units name what is installed and systemd takes them; what they start does
# start, with sockets from outside.  test-systemd-boot.sh boots with them.

source "${0%/*}/functions.sh"

units="paird.service paird.socket pairdisk-nbdkit.service
  pairdisk-nbdkit.socket"
dest=$tmp/dest
mkdir -p "$dest/lib/systemd/system"
for unit in $units; do
  ok "$unit has no variable left" \
    test -z "$(grep -n '@[a-zA-Z]*@' "$top_builddir/systemd/$unit")"
  cp "$top_builddir/systemd/$unit" "$dest/lib/systemd/system"
done
ok 'the data path is there before remote file systems' \
  grep -q '^Before=remote-fs-pre.target' "$dest"/lib/systemd/system/*.service
ok 'the agent leaves nbdkit to its own unit' \
  grep -q '^ExecStart=.*--run-nbdkit=no' \
  "$dest/lib/systemd/system/paird.service"

if command -v systemd-analyze >/dev/null; then
  # Programs that are not installed yet are stood in for by /bin/true.
  sed -i 's|^ExecStart=[^ ]*|ExecStart=/bin/true|' \
    "$dest"/lib/systemd/system/*.service
  for unit in $units; do
    output=$(SYSTEMD_UNIT_PATH="$dest/lib/systemd/system:" \
      systemd-analyze verify --man=no "$dest/lib/systemd/system/$unit" 2>&1)
    ok "systemd takes $unit" \
      test -z "$(grep -F -e "$unit" -e pairdisk -e paird <<<"$output")"
    diag "$output"
  done
  # 10 is a service that may do anything, most of Debian's are at 9.6.
  for unit in paird.service pairdisk-nbdkit.service; do
    ok "$unit may not do everything" systemd-analyze security --offline=yes \
      --threshold=80 --no-pager "$dest/lib/systemd/system/$unit"
  done
else
  skip 'systemd takes the units' 'no systemd-analyze'
fi

# As systemd would start both: sockets from outside, ready by notification.
FAKE=
source "${0%/*}/agent-functions.sh"
requires systemd-socket-activate curl
on_exit sites_kill
"$pairctl" --site "$tmp/a" site init --region site-a --zone site-a-1 \
  --address "127.0.0.1:$(free_port)" >/dev/null || bail_out "no site"
cat >"$tmp/notify.py" <<'END'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(100).decode(), flush=True)
END
start notify python3 "$tmp/notify.py" "$tmp/notify"
wait_for 10 test -S "$tmp/notify"
NOTIFY_SOCKET=$tmp/notify start paird-a "$paird" --config="$tmp/a/paird.conf" \
  --run-nbdkit=no
site_pid[a]=$started_pid
ok 'the agent tells systemd that it is ready' \
  wait_for 20 grep -q READY=1 "$tmp/notify.log"
ok '... without nbdkit' site_answers a
is '... which it does not start' "$(value a DescribeSite PluginAlive)" false
port=$(free_port)
start nbdkit systemd-socket-activate -l "$tmp/a/nbd.sock" \
  -l "127.0.0.1:$port" -E LD_PRELOAD nbdkit -f "$plugin" \
  dir="$tmp/a/disks" control="$tmp/a/control.sock" guests=unix
nbdkit_pid=$started_pid
# Somebody connects: that is when this tool starts it; systemd does at once.
wait_for 10 test -S "$tmp/a/nbd.sock"
nbdinfo --list "nbd+unix:///?socket=$tmp/a/nbd.sock" >/dev/null 2>&1
ok 'the agent finds the one that is started for it' \
  wait_for 20 plugin_alive a
ok 'a disk is made there' "$pairctl" --site "$tmp/a" disk create db01 \
  --size 1M
ok 'and served' wait_for 20 nbdinfo --size \
  "$(value a DescribeDisks Disks.0.NbdUri)"
kill_pid "${site_pid[a]}"
ok 'the end is told, too' wait_for 10 grep -q STOPPING=1 "$tmp/notify.log"
ok 'nbdkit goes on without the agent' kill -0 "$nbdkit_pid"

# The agent's own sockets from outside: found by their addresses.
tls_port=$(sed -n 's/^listen-tls = .*://p' "$tmp/a/paird.conf")
unused_port=$(free_port)
start activated systemd-socket-activate -l "$tmp/a/api.sock" \
  -l "$tls_port" -l "127.0.0.1:$unused_port" -E NOTIFY_SOCKET "$paird" \
  --config="$tmp/a/paird.conf" --run-nbdkit=no
site_pid[a]=$started_pid
wait_for 10 test -S "$tmp/a/api.sock"
inode=$(stat -c %i "$tmp/a/api.sock")
ok 'who connects starts the agent' site_answers a
ok '... in the same process' \
  grep -q paird "/proc/${site_pid[a]}/cmdline"
is '... on the same socket' "$(stat -c %i "$tmp/a/api.sock")" "$inode"
ok '... and on that of TLS' wait_for 10 curl -sk --noproxy '*' \
  -o "$tmp/answer" "https://127.0.0.1:$tls_port/"
ok 'a socket that is not in the configuration is told of' \
  grep -q 'descriptor 5 of LISTEN_FDS' "$tmp/activated.log"
refused '... and closed' 'refused|Failed to connect' \
  curl -sS --noproxy '*' "http://127.0.0.1:$unused_port/"
ok 'it has nbdkit, still' wait_for 20 plugin_alive a
kill_pid "${site_pid[a]}"
ok 'a socket that was inherited is left where it is' test -S "$tmp/a/api.sock"

done_testing

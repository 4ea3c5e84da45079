# Sourced by test-pair-*.sh, instead of functions.sh, which it brings: two
# whole sites (paird, its nbdkit, the real plugin) with a TCP proxy on the way
# of the data from a to b, driven with pairctl as people do.
#
#   sites_up                        # a and b are there and see each other
#   disks_make 64M                  # db01 at both
#   pair_make                       # made, not started
#   on a pair start db01
#   wait_status a normal; same_content
#
# The pair is always called db01, the disks $disk_a and $disk_b.

# Journals are large: not on a /tmp that lies in memory.
export TMPDIR=${TMPDIR:-/var/tmp}
source "$(dirname "${BASH_SOURCE[0]}")/functions.sh"

requires jq nbdkit nbdcopy nbdinfo python3

writer=$top_builddir/tests/writer
declare -A agent_pid api_port data_port agent_options nbdkit_kills
agent_options=([a]="" [b]="")
nbdkit_kills=([a]=0 [b]=0)
disk_a=db01
disk_b=db01-copy

# on SITE pairctl's arguments...
on () { local site=$1; shift; "$pairctl" --site "$tmp/$site" "$@"; }

other_site () { if [ "$1" = a ]; then echo b; else echo a; fi; }

# ---- processes --------------------------------------------------------------

sites_prepare ()
{
  local site
  on_exit sites_end
  (umask 077; od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$tmp/secret")
  for site in a b; do
    api_port[$site]=$(free_port)
    data_port[$site]=$(free_port)
  done
}

# The data of b is reached through the proxy.
proxy_start ()
{
  # Python does not bear the thread sanitizer's library.
  start proxy env -u LD_PRELOAD python3 "$top_srcdir/tests/tcp-proxy.py" \
    "$tmp/proxy.port" "${data_port[b]}" "$tmp/proxy.sock"
  wait_for 10 test -s "$tmp/proxy.port" || bail_out "the proxy did not start"
  agent_options[b]="--data-address=127.0.0.1:$(cat "$tmp/proxy.port")"
}

# proxy COMMAND: see tcp-proxy.py
proxy ()
{
  python3 - "$tmp/proxy.sock" "$*" <<'PYTHON'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode())
print(s.recv(100).decode().strip())
PYTHON
}

# agent_start SITE [OPTION...]: paird; it starts or finds its nbdkit.
agent_start ()
{
  local site=$1 other
  other=$(other_site "$site")
  shift
  mkdir -p -m 700 "$tmp/$site"
  # shellcheck disable=SC2086
  start "paird-$site" "$paird" --region="site-$site" --zone="site-$site-1" \
    --dir="$tmp/$site" --listen="127.0.0.1:${api_port[$site]}" \
    --data-listen="127.0.0.1:${data_port[$site]}" \
    --peer="site-$other=127.0.0.1:${api_port[$other]}" \
    --site-secret-file="$tmp/secret" --plugin="$plugin" \
    ${agent_options[$site]} "$@"
  agent_pid[$site]=$started_pid
}

site_is_up () { [ "$(on "$1" site show --json | jq .PluginAlive)" = true ]; }

sees_peer ()
{
  [ "$(on "$1" site show --json | jq '.Peers[0].Reachable')" = true ]
}

sites_up ()
{
  sites_prepare
  proxy_start
  agent_start a
  agent_start b
  wait_for 30 site_is_up a || bail_out "site a does not start"
  wait_for 30 site_is_up b || bail_out "site b does not start"
  wait_for 30 sees_peer a || bail_out "a does not see b"
  wait_for 30 sees_peer b || bail_out "b does not see a"
}

# nbdkit_of SITE: its process id, if it runs; only ever one of our own.
nbdkit_of ()
{
  local pid
  pid=$(cut -d' ' -f1 "$tmp/$1/nbdkit.pid" 2>/dev/null)
  [ -n "$pid" ] && ! is_gone "$pid" &&
    tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null |
      grep -qF -- "$tmp/$1/" && echo "$pid"
}

agent_kill () { kill_pid "${agent_pid[$1]}" KILL; }

nbdkit_kill ()
{
  local pid
  pid=$(nbdkit_of "$1") || return
  nbdkit_kills[$1]=$((nbdkit_kills[$1] + 1))
  kill_pid "$pid" KILL
}

# Nothing died that was not killed here: an agent would start it again, and
# nobody would notice.  nbdkit 1.32.4 to 1.33.9 may abort by itself when a
# client is killed while several replies are on their way to it.
nobody_crashed ()
{
  local site died nbdkit_bug='raw_send_socket: Assertion .sock >= 0. failed'
  for site in a b; do
    died=$(grep -c plugin-died "$tmp/paird-$site.log")
    died=$((died - $(grep -c "$nbdkit_bug" "$tmp/$site/nbdkit.log")))
    [ "$died" -le "${nbdkit_kills[$site]}" ] || {
      echo "nbdkit of $site died $died times, ${nbdkit_kills[$site]} wanted:"
      cat "$tmp/$site/nbdkit.log"
      return 1
    }
    ! grep -hE 'Sanitizer|runtime error|Assertion' "$tmp/paird-$site.log" \
      "$tmp/$site/nbdkit.log" | grep -v "$nbdkit_bug" || return 1
  done
}

# The whole site at once, as when its machine is lost.
site_kill ()
{
  agent_kill "$1"
  nbdkit_kill "$1"
}

sites_end ()
{
  local site
  for site in a b; do
    [ -n "${agent_pid[$site]-}" ] || continue
    site_kill "$site"
    # One that was started and not on record yet knows nothing of us.
    wait_for 1 nbdkit_of "$site" && nbdkit_kill "$site"
  done
  if [ "$tap_failed" -gt 0 ]; then
    for site in a b; do
      [ -s "$tmp/$site/nbdkit.log" ] && diag "--- nbdkit of $site ---
$(tail -n 40 "$tmp/$site/nbdkit.log")"
    done
  fi
}

# ---- disks and pairs --------------------------------------------------------

# disk FIELD of a disk: disk_field SITE DISK .JQ
disk_field ()
{
  on "$1" disk show "$2" --json 2>/dev/null | jq -r ".Disk$3"
}

# disk_is SITE DISK .JQ VALUE
disk_is () { [ "$(disk_field "$1" "$2" "$3")" = "$4" ]; }

# detached SITE DISK: a guest that ended is gone for the plugin, too: nbdkit
# says that a moment later.
detached () { wait_for 30 disk_is "$1" "$2" .Detail.clients 0; }

pair_field () { on "$1" pair show db01 --json | jq -r ".ReplicaPair$2"; }

pair_is () { [ "$(pair_field "$1" .Status)" = "$2" ]; }

# wait_status SITE STATUS [SECONDS]
wait_status ()
{
  wait_for "${3:-60}" pair_is "$1" "$2" || {
    echo "the pair at $1 is not $2:"
    on "$1" pair show db01
    on "$1" event list | tail -n 20
    return 1
  }
}

# disks_make SIZE [SIZE-AT-B]
disks_make ()
{
  on a disk create $disk_a --size "$1" >/dev/null || bail_out "no disk at a"
  on b disk create $disk_b --size "${2:-$1}" >/dev/null ||
    bail_out "no disk at b"
  uri_a=$(disk_field a $disk_a .NbdUri)
  uri_b=$(disk_field b $disk_b .NbdUri)
}

pair_make ()
{
  on a pair create --disk "$disk_a" --name db01 --wait --timeout 120 \
    --peer-disk "$(disk_field b "$disk_b" .DiskId)" "$@"
}

# fill MIB SEED: as much that does not compress, at the start of the disk.
fill ()
{
  python3 - "$tmp/fill" "$@" <<'PYTHON'
import random, sys
r = random.Random(int(sys.argv[3]))
with open(sys.argv[1], "wb") as f:
    for i in range(int(sys.argv[2])):
        f.write(r.randbytes(1 << 20))
PYTHON
  nbdcopy --flush "$tmp/fill" "$uri_a" || bail_out "the disk cannot be filled"
  rm "$tmp/fill"
}

# control SITE JSON: one request to the plugin.
control ()
{
  python3 "$top_srcdir/tests/control.py" "$tmp/$1" "$2"
}

# digest SITE DISK: of the content at its commit point, with the point's seq.
digest ()
{
  control "$1" "{\"op\":\"disk.digest\",\"disk\":\"$(
    disk_field "$1" "$2" .DiskId)\"}" |
    jq -r '"\(.digest) at \(.committed.seq)"'
}

# Nothing is written and nothing is under way.
is_level ()
{
  on a disk show $disk_a --json | jq -e '.Disk.Detail |
    .link.state == "stream" and .link.initial_done and
    .link.lag.writes == 0' >/dev/null &&
  [ "$(disk_field b "$disk_b" .Detail.committed.seq)" = \
    "$(disk_field a $disk_a .Detail.appended.seq)" ]
}

# Both disks show the same at one commit point (nothing may be writing).
same_content ()
{
  local at_a at_b
  wait_for "${1:-60}" is_level || {
    echo "the link does not get level:"
    on a disk show $disk_a --json | jq -c '.Disk.Detail'
    on b disk show "$disk_b" --json | jq -c '.Disk.Detail'
    return 1
  }
  at_a=$(digest a $disk_a)
  at_b=$(digest b "$disk_b")
  [[ $at_a == *" at "* && $at_a = "$at_b" ]] || {
    echo "a: $at_a"
    echo "b: $at_b"
    return 1
  }
}

# ---- the writer -------------------------------------------------------------

# writer_start SEED: flushed writes in the last 16 MiB of db01, going on where
# it was stopped; every reconnection verifies what is there.
writer_patience=60
writer_length=$((16 << 20))
writer_start ()
{
  writer_seed=$1
  writer_offset=$(($(disk_field a $disk_a .Size) - writer_length))
  start writer "$writer" run "$uri_a" "$writer_offset" "$writer_length" \
    "$writer_seed" 200 "$tmp/acknowledged" "$writer_patience"
  writer_pid=$started_pid
}

flushes () { wc -l <"$tmp/acknowledged" 2>/dev/null || echo 0; }
has_flushed () { [ "$(flushes)" -ge "$1" ]; }

# Fails if the writer found anything wrong.
writer_stop ()
{
  kill "$writer_pid" 2>/dev/null
  wait_for 60 is_gone "$writer_pid"
  [[ $(tail -n 1 "$tmp/writer.log") == stopped:* ]] || {
    cat "$tmp/writer.log"
    return 1
  }
}

# load_start SEED: writes, zeros and trims of all sizes before the writer's.
load_start ()
{
  start load env -u LD_PRELOAD /usr/bin/python3 \
    "$top_srcdir/tests/link-load.py" "$uri_a" "$1" $((writer_offset / 4096))
  load_pid=$started_pid
}

load_stop () { kill_pid "$load_pid"; }

# writer_verify URI [POINT_NS]
writer_verify ()
{
  "$writer" verify "$1" "$writer_offset" "$writer_length" "$writer_seed" \
    "$tmp/acknowledged" ${2+"$2"}
}

# random_ms MAX: sleep for a random time, "at a random moment".
random_ms ()
{
  local ms=$((RANDOM % $1))
  sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}

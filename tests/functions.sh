# Sourced by every test-*.sh: TAP, a private directory, processes, waiting.
#
#   source "${0%/*}/functions.sh"
#   requires nbdinfo qemu-img
#   nbdkit_start "$tmp/state"           # sets nbdkit_pid, waits until it answers
#   ok 'the disk is listed' nbdinfo --list "$(nbd_uri "$tmp/state")"
#   done_testing
#
# Always the built tree, a private directory ($tmp), private sockets.  Only
# processes that were started here are ended, by their ids, at exit.

set -u -o pipefail
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin

: "${top_builddir:=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}"
: "${top_srcdir:=$top_builddir}"
: "${PAIRDISK_LONG:=}"
: "${PAIRDISK_SANITIZERS=$(sed -n 's/^SANITIZERS = //p' \
    "$top_builddir/tests/Makefile" 2>/dev/null)}"
plugin=$top_builddir/plugin/.libs/nbdkit-pairdisk-plugin.so
pairctl=$top_builddir/cli/pairctl
paird=$top_builddir/agent/paird

tmp=$(mktemp -d "${TMPDIR:-/tmp}/pairdisk-test-XXXXXX") || exit 1
started_pids=()
declare -A started_at           # of each when it began, see start_of
cleanup_commands=()

# ---- TAP --------------------------------------------------------------------

tap_count=0
tap_failed=0
tap_bailed=false

diag ()
{
  local line
  while IFS= read -r line; do echo "# $line"; done <<<"$*"
}

pass ()
{
  echo "ok $((++tap_count)) - $1"
}

fail ()
{
  echo "not ok $((++tap_count)) - $1"
  tap_failed=$((tap_failed + 1))
}

# ok NAME COMMAND...: passes if the command succeeds; else shows its output.
ok ()
{
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then pass "$name"; else fail "$name"; diag "$* =>
$output"; fi
}

# refused NAME PATTERN COMMAND...: passes if the command fails and says why.
refused ()
{
  local name=$1 pattern=$2 output
  shift 2
  if output=$("$@" 2>&1); then
    fail "$name"; diag "$* succeeded:
$output"
  elif ! grep -qE -- "$pattern" <<<"$output"; then
    fail "$name"; diag "$* failed without saying '$pattern':
$output"
  else
    pass "$name"
  fi
}

# shows PATTERN COMMAND...: its output has a line that matches.  Piped into
# grep -q, which ends with the first such line, a command that still writes
# dies of that, and with it the whole pipe fails.
shows ()
{
  local pattern=$1
  shift
  grep -qE -- "$pattern" <<<"$("$@")"
}

# is NAME GOT WANTED
is ()
{
  if [ "$2" = "$3" ]; then pass "$1"; else fail "$1"; diag "got '$2', not '$3'"; fi
}

skip ()
{
  echo "ok $((++tap_count)) - $1 # SKIP $2"
}

skip_all ()
{
  echo "1..0 # SKIP $*"
  exit 0
}

bail_out ()
{
  echo "Bail out! $*"
  tap_bailed=true
  exit 1
}

done_testing ()
{
  echo "1..$tap_count"
  [ "$tap_failed" -eq 0 ]
  exit
}

# requires PROGRAM...: skip this test where one is missing.
requires ()
{
  local program
  for program; do
    command -v "$program" >/dev/null || skip_all "$program is not installed"
  done
}

requires_libnbd ()
{
  /usr/bin/python3 -c 'import nbd' 2>/dev/null ||
    skip_all "libnbd's module for Python is not installed"
}

# What stores a unit that is no longer as it was: $forge.
requires_forge ()
{
  forge=$top_builddir/tests/forge-unit
  [ -x "$forge" ] || skip_all 'forge-unit is not built'
}

# Only for make check-long.
requires_long ()
{
  [ -n "$PAIRDISK_LONG" ] || skip_all "slow; runs in make check-long"
}

# ---- the end ----------------------------------------------------------------

# on_exit COMMAND...: run at the end, the last one first.
on_exit ()
{
  cleanup_commands+=("$(printf '%q ' "$@")")
}

cleanup ()
{
  local status=$? i at
  # A child that is killed before it has become its command comes here, too.
  [ "$BASHPID" = $$ ] || exit "$status"
  trap '' INT TERM HUP
  for ((i = ${#cleanup_commands[@]} - 1; i >= 0; i--)); do
    eval "${cleanup_commands[i]}"
  done
  while read -r i at; do
    [ -n "$at" ] || continue
    started_pids+=("$i")
    started_at[$i]=$at
  done < <(cat "$tmp/started-free" 2>/dev/null)
  for i in ${started_pids[@]+"${started_pids[@]}"}; do
    kill_pid "$i" KILL
  done
  if [ "$tap_failed" -gt 0 ] || $tap_bailed; then
    for i in "$tmp"/*.log; do
      [ -s "$i" ] && diag "--- last lines of ${i##*/} ---
$(cut -c 1-400 "$i" | uniq -c | tail -n 20)"
    done
  fi
  rm -rf "$tmp"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- processes --------------------------------------------------------------

# Programs that are not built with sanitizers (nbdkit) need the run-time
# library before the plugin; others do not mind.
if [[ $PAIRDISK_SANITIZERS == *address* ]]; then
  sanitizer_preload=$(gcc -print-file-name=libasan.so)
elif [[ $PAIRDISK_SANITIZERS == *thread* ]]; then
  sanitizer_preload=$(gcc -print-file-name=libtsan.so)
else
  sanitizer_preload=
fi
# nbdkit's own leaks at exit are not ours to judge.
export ASAN_OPTIONS=detect_leaks=0:${ASAN_OPTIONS-}
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:${UBSAN_OPTIONS-}

# with_preload COMMAND...: the command, under the sanitizers if there are any.
with_preload ()
{
  if [ -n "$sanitizer_preload" ]; then
    env LD_PRELOAD="$sanitizer_preload" "$@"
  else
    "$@"
  fi
}

# start NAME COMMAND...: in the background, output in $tmp/NAME.log; its
# process id is in $started_pid and it is killed at exit.
start ()
{
  local name=$1
  shift
  if [ -n "$sanitizer_preload" ]; then
    LD_PRELOAD=$sanitizer_preload "$@" </dev/null >>"$tmp/$name.log" 2>&1 &
  else
    "$@" </dev/null >>"$tmp/$name.log" 2>&1 &
  fi
  started_pid=$!
  to_be_ended "$started_pid"
}

# start_free NAME COMMAND...: the same for one that lives on when the shell that
# starts it is a subshell and ends, as those that ok and $(...) make: nbdkit -f
# ends with its parent, so there it begins when it has none.  Who it is is in
# $tmp/NAME.started.
start_free ()
{
  local name=$1
  shift
  if [ "$BASHPID" = $$ ]; then
    start "$name" "$@"
    echo "$started_pid ${started_at[$started_pid]}" >"$tmp/$name.started"
    return
  fi
  (
    parent=$BASHPID
    {
      self=$BASHPID
      while [ "$(parent_of "$self")" = "$parent" ]; do sleep 0.01; done
      [ -z "$sanitizer_preload" ] || export LD_PRELOAD=$sanitizer_preload
      exec "$@"
    } </dev/null >>"$tmp/$name.log" 2>&1 &
    echo "$! $(start_of $!)" >"$tmp/$name.started"
    cat "$tmp/$name.started" >>"$tmp/started-free"
  )
  know_free "$name"
}

# know_free NAME: sets $started_pid to the one that is running now, if any; one
# that a subshell started is ended by this shell, too.
know_free ()
{
  local at
  read -r started_pid at 2>/dev/null <"$tmp/$1.started" || return
  [ "${started_at[$started_pid]-}" = "$at" ] || {
    started_pids+=("$started_pid")
    started_at[$started_pid]=$at
  }
}

# parent_of PID
parent_of () { sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f2; }

# to_be_ended PID: it was started here, and is killed at exit.
to_be_ended ()
{
  started_pids+=("$1")
  started_at[$1]=$(start_of "$1")
}

# start_of PID: the time it began.  Numbers come again within minutes: this
# tells a process from a later one, which may be another test's.
start_of ()
{
  sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}

# kill_pid PID [SIGNAL]: end a process that was started here, wait for it.
kill_pid ()
{
  [ -z "${started_at[$1]-}" ] ||
    [ "${started_at[$1]}" = "$(start_of "$1")" ] || return 0
  kill -s "${2:-TERM}" "$1" 2>/dev/null
  wait "$1" 2>/dev/null
  # Not a child of this shell: it is gone when its entry is.
  wait_for 30 is_gone "$1"
}

is_gone ()
{
  local state
  # State Z: dead, only not yet collected by its parent.
  state=$(sed -n 's/^State:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null)
  [[ -z $state || $state == Z* ]]
}

# wait_for SECONDS COMMAND...: poll until it succeeds; false at the deadline.
# Where a look takes long, so does what is looked for: it is ten for each of
# the seconds, but not for ever.
wait_for ()
{
  local wait_s=$1 wait_began=$SECONDS wait_looks=0 wait_took
  shift
  until "$@" >/dev/null 2>&1; do
    wait_looks=$((wait_looks + 1)) wait_took=$((SECONDS - wait_began))
    if [ "$wait_took" -ge "$wait_s" ]; then
      [ "$wait_looks" -lt $((10 * wait_s)) ] &&
        [ "$wait_took" -lt $((10 * wait_s)) ] || return 1
    fi
    sleep 0.05
  done
}

# Tests that run beside each other have a hundred ports each, by a lock that
# lasts as long as the test and what it started: a port that one has been given
# and does not listen on yet, or not at the moment, is never given to another.
# Below the range the kernel hands out to clients.  sites.py does the same.
ports_dir=/tmp/pairdisk-test-ports-$(id -u)
ports_take ()
{
  local fd i
  (umask 077; mkdir -p "$ports_dir") || return
  for ((i = 0; i < 200; i++)); do
    { exec {fd}>"$ports_dir/$i"; } 2>/dev/null || continue
    if flock -n "$fd"; then
      ports_first=$((10240 + 100 * i)) ports_start=$RANDOM
      return
    fi
    exec {fd}>&-
  done
  return 1
}

ports_take || bail_out "no ports for this test: see $ports_dir"

# A TCP port of the loopback address nobody listens on, and another one each
# time.
free_port ()
{
  local port
  while :; do
    echo >>"$tmp/ports-given"
    port=$((ports_first +
            (ports_start + $(wc -l <"$tmp/ports-given")) % 100))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  echo "$port"
}

# ---- nbdkit -----------------------------------------------------------------

# nbdkit_start STATEDIR [PARAMETER...]: serve it at STATEDIR.sock; sets
# $nbdkit_pid.
nbdkit_start () { nbdkit_start_by start "$@"; }

# nbdkit_start_by start|start_free STATEDIR [PARAMETER...]: as nbdkit-DIR
nbdkit_start_by ()
{
  local how=$1 dir=$2 name=nbdkit-${2##*/}
  shift 2
  rm -f "$dir.sock"
  "$how" "$name" nbdkit -f -U "$dir.sock" "$plugin" dir="$dir" "$@"
  nbdkit_pid=$started_pid
  wait_for 30 test -S "$dir.sock" || bail_out "nbdkit did not start:
$(tail -n 5 "$tmp/$name.log")"
  # The socket is there before the plugin is; an answer comes after both.
  nbdinfo --size "$(nbd_uri "$dir" no-such-export)" >/dev/null 2>&1
  return 0
}

# nbd_uri STATEDIR [DISK]
nbd_uri ()
{
  echo "nbd+unix:///${2-}?socket=$1.sock"
}

#!/usr/bin/env bash
# The primary of a pair that may not flush alone starts while so few files are
# to be had that something cannot be opened: whatever that is, no flush is
# acknowledged later that the secondary does not have.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"
source "${0%/*}/sync-functions.sh"

sites 16M
pair
set_mode sync suspend
link_start
ok 'in sync' wait_mode in-sync
kill_b
kill_a

# The disks were looked at: it answers requests, or would.
has_looked ()
{
  is_gone "$a_pid" ||
    grep -q 'control socket: accept' "$tmp/few.log" ||
    timeout 0.5 /usr/bin/python3 "$top_srcdir/tests/control.py" "$a" \
      '{"op":"ping"}'
}

# start_few FILES: more are to be had once it is up
start_few ()
{
  rm -f "$a.sock" "$tmp/few.log"
  start few bash -c 'ulimit -S -n "$1"; shift; exec "$@"' few "$1" \
    nbdkit -f -U "$a.sock" "$plugin" dir="$a"
  a_pid=$started_pid
  wait_for 20 eval 'is_gone "$a_pid" || test -S "$a.sock"'
  wait_for 20 has_looked || bail_out "with $1 files it does not come up"
  is_gone "$a_pid" || prlimit --pid "$a_pid" --nofile=1024:
}

flush () { nbd_python "$(nbd_uri "$a" d)" 'h.pwrite(bytes(4096), 0); h.flush()'; }

refused=0 waited=0 acked_at=
for ((files = 8; waited < 10 && files < 100; files++)); do
  start_few "$files"
  start flush flush
  flush_pid=$started_pid
  if wait_for 1 is_gone "$flush_pid"; then
    wait "$flush_pid" && acked_at=$files
    refused=$((refused + 1))
  elif [ "$refused" -gt 0 ]; then
    waited=$((waited + 1))
  fi
  kill_pid "$flush_pid" KILL
  is_gone "$a_pid" || kill_a
done
ok 'with few files it is not served' test "$refused" -gt 0
is 'with more a flush waits' "$waited" 10
is 'it is never acknowledged' "$acked_at" ''
diag "with $files files, refused $refused times"
done_testing

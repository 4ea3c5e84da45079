#!/usr/bin/env bash
# Random faults under load, one after another, in sync and in async mode: kill
# -9 of either side or both, the line cut, either side stopped for a moment.
# Now and then the primary is lost for good: the secondary takes over, and
# back.  A failover in sync mode misses nothing that was flushed, one in async
# mode shows an exact earlier moment; in the end both sides are equal, and
# nothing was copied as a whole but once.
#
#   PAIRDISK_FAULTS   how many in each mode (8; 100 for long)
#   PAIRDISK_SEED     as a run before printed it
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"
source "${0%/*}/sync-functions.sh"

faults=${PAIRDISK_FAULTS:-${PAIRDISK_LONG:+100}}
faults=${faults:-8}
seed=${PAIRDISK_SEED:-$RANDOM}
diag "PAIRDISK_SEED=$seed PAIRDISK_FAULTS=$faults"
RANDOM=$seed
SECONDS=0

writer=$top_builddir/tests/writer
area=$((16 << 20))              # the writer's, at the disk's start
failover_each=20
fence=1
initial=1

a_uri () { nbd_uri "$a" d; }

# The load is behind the writer's area, so that either can tell what it wrote.
guests_start ()
{
  start writer "$writer" run "$(a_uri)" 0 $area "$seed" 200 \
    "$tmp/acknowledged" 60
  writer_pid=$started_pid
  start load /usr/bin/python3 "$top_srcdir/tests/link-load.py" "$(a_uri)" \
    $RANDOM 12288 4096
  load_pid=$started_pid
}

# True if the writer, which verifies after each loss of its connection, found
# all that it had flushed each time.
guests_stop ()
{
  kill "$load_pid" "$writer_pid" 2>/dev/null
  wait_for 60 is_gone "$writer_pid"
  wait_for 20 is_gone "$load_pid"
  [[ $(tail -n 1 "$tmp/writer.log") == stopped:* ]]
}

flushes () { wc -l <"$tmp/acknowledged"; }
has_flushed () { [ "$(flushes)" -ge "$1" ]; }

is_stopped () { grep -q '^State:.*stopped' "/proc/$1/status"; }

# The length of a stall is part of the fault; 0.2 to 1.2 s.
stall ()
{
  kill -STOP "$1"
  wait_for 5 is_stopped "$1"
  sleep "$((RANDOM % 2)).$((2 + RANDOM % 8))"
  kill -CONT "$1"
}

strike ()
{
  revive_b
  case $1 in
    kill-a) kill_a; start_a ;;
    kill-b) kill_b; start_b ;;
    cut) proxy cut >/dev/null ;;
    stall-a) stall "$a_pid" ;;
    stall-b) stall "$b_pid" ;;
    both) kill_a; kill_b; start_b; start_a ;;
  esac
}

# history DIR
history () { control "$1" '{"op":"disk.history","disk":"d"}'; }

level_from () { [ "$(status "$1" d "s['link']['state'] == 'stream' and s['link']['lag']['writes'] == 0")" = True ]; }

# take_over FROM TO URI-OF-FROM: what FROM had beyond is given up.
take_over ()
{
  ask "$1" demote "\"fence\":$fence,\"peer\":$(history "$2"),\"salvage\":false"
  ask "$1" replica.accept
  ask "$2" link.start "\"uri\":\"$3\""
  wait_for 60 level_from "$2"
}

# The primary is lost; what the secondary shows is looked at, and then all is
# as it was.  The guest goes on after the last write that survived.
fail_over ()
{
  local found m point_ns
  kill_a
  wait_for 1 is_gone "$load_pid"  # nobody but us needs to know
  kill "$writer_pid" "$load_pid" 2>/dev/null
  wait_for 20 is_gone "$writer_pid"
  wait_for 20 is_gone "$load_pid"
  revive_b
  promote_b $((++fence))
  point_ns=$(/usr/bin/python3 -c 'import json, sys
print(json.loads(sys.argv[1])["committed"]["time_ns"])' "$answer")
  [ "$mode" = sync ] && point_ns=
  if ! found=$("$writer" verify "$(b_uri)" 0 $area "$seed" \
         "$tmp/acknowledged" $point_ns 2>&1); then
    fail "$mode: fault $i: failover"
    diag "$found"
    return 1
  fi
  if [ "$mode" = sync ]; then
    is "$mode: fault $i: nothing is lost: $(cut -d';' -f1 <<<"$found")" \
      "$(loss "l['rpo_zero']")" proven
  else
    pass "$mode: fault $i: $found"
  fi
  writer_keep "$found"

  start_a
  take_over "$a" "$b" "nbd+unix:///?socket=$a.sock" ||
    { fail "$mode: fault $i: b's writes do not get to a"; return 1; }
  ask "$a" promote "\"fence\":$((++fence))"
  take_over "$b" "$a" "nbd://127.0.0.1:$link_port" ||
    { fail "$mode: fault $i: the two do not change back"; return 1; }
  [ "$mode" = async ] || wait_mode in-sync || return 1
}

sites 96M
proxy_start
pair
link_start
wait_synced || bail_out 'no initial copy'
kinds=(kill-a kill-b cut stall-a stall-b both)
for mode in sync async; do
  for site in "$a" "$b"; do
    ask "$site" link.mode "\"mode\":\"$mode\",\"on_peer_loss\":\"suspend\""
  done
  [ "$mode" = async ] || wait_mode in-sync || bail_out 'never in sync'
  : >>"$tmp/acknowledged"
  guests_start
  done_kinds=
  for ((i = 1; i <= faults; i++)); do
    n=$(flushes)
    wait_for 60 has_flushed $((n + 5 + RANDOM % 100)) || {
      fail "$mode: fault $i: the guest is stuck after $kind"
      diag "$(control "$a" '{"op":"disk.status","disk":"d"}')"
      break 2
    }
    if [ $((i % failover_each)) = 0 ] || [ "$i" = "$faults" ]; then
      fail_over || break 2
      guests_start
      continue
    fi
    kind=${kinds[RANDOM % 6]}
    done_kinds+=" $kind"
    strike "$kind"
    # Not always into a pair that has found itself again.
    if [ $((RANDOM % 2)) = 0 ]; then wait_for 60 is_stream; fi
  done
  diag "$mode:$done_kinds"
  ok "$mode: nothing flushed was lost" guests_stop
  ok "$mode: all is committed" wait_synced
  ok "$mode: both sides are equal" same_content
done
is 'one full copy, the first' "$(cat "$tmp"/nbdkit-[ab].log |
  grep -c 'action=[a-z-]*initial')" $initial
diag "$SECONDS seconds"
done_testing

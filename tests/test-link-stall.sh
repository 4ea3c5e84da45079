#!/usr/bin/env bash
# What is slow or stopped for a moment is not dead: neither a peer that stops
# for a second, nor a slow line, nor this side itself.  A peer that is silent
# for longer than dead_seconds is.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

connects () { link_status "l['connects']"; }
is_stopped () { grep -q '^State:.*stopped' "/proc/$1/status"; }

# stop_for PID SECONDS: the length of the stop is what is tested.
stop_for ()
{
  kill -STOP "$1"
  wait_for 5 is_stopped "$1"
  sleep "$2"
  kill -CONT "$1"
}

sites 64M
proxy_start
pair
fill 1 20
link_start '"dead_seconds":3'
wait_synced || bail_out 'no initial copy'
before=$(connects)
load_start 7
stop_for "$b_pid" 1
ok 'a peer stopped for a second keeps its connection' wait_for 10 link_is \
  "l['state'] == 'stream' and l['lag']['seconds'] < 1"
is 'it was never lost' "$(connects)" "$before"

stop_for "$a_pid" 4.5
ok 'this side stopped for longer than the limit' wait_for 10 link_is \
  "l['state'] == 'stream' and l['lag']['seconds'] < 1"
is 'does not blame the peer' "$(connects)" "$before"
load_stop
wait_synced

# Both, as when their machine is suspended, while the peer owes an answer.
signal_b STOP
sleep 0.8
kill -STOP "$a_pid"
wait_for 5 is_stopped "$a_pid"
sleep 4.5
kill -CONT "$a_pid"
sleep 0.7
signal_b CONT
fill 4 1
ok 'nor when both were stopped' wait_synced 10
is 'and the peer a little longer' "$(connects)" "$before"

# A frame takes longer than the limit.
proxy rate 40000 >/dev/null
fill 2 10
ok 'a slow line' wait_synced 40
is 'and was never lost' "$(connects)" "$before"
proxy rate 0 >/dev/null

signal_b STOP
since=$SECONDS
fill 3 5
filled=$SECONDS
ok 'a peer stopped for good is given up' link_shows 30 \
  "l['state'] in ('waiting', 'connecting')"
ok "after the seconds that were set ($((SECONDS - since)))" \
  test $((SECONDS - since)) -ge 2
ok "not many more ($((SECONDS - filled)))" \
  test $((SECONDS - filled)) -le "$(at_least 6 30)"
ok 'the reason is told, also while the next try runs' link_shows 30 \
  "l['state'] == 'connecting' and 'no' in l['reason']"
ok 'and when that will be' link_shows 60 \
  "l['waits_for'] == 'retry' and l['retry_ms'] >= 0 and 'no' in l['reason']"
signal_b CONT
ok 'it comes back by itself' wait_synced
ok 'both disks are equal' same_content

for n in 1 601; do
  ok "dead_seconds $n is refused" grep -q 'bad-request.*2 to 600 seconds' \
    <(control "$a" '{"op":"link.start","disk":"d","uri":"nbd://127.0.0.1:1","dead_seconds":'$n'}')
done
done_testing

#!/usr/bin/env bash
# --wait, wait, progress and the loss report.

source "${0%/*}/cli-functions.sh"
fake_agent
run disk create d1 --size 1G
run pair create --disk d1 --peer-disk d1 --name x --wait
is "create --wait" "$code:$err:${out%%:*}" "0::created pair 'x'"

run pair start x
is "start without waiting says how to wait" "$code:$out" \
   "0:pair 'x' is starting
next: pairctl pair wait x --for normal"
run pair wait x --for created,normal --timeout 120
is "wait" "$code:$err:$out" "0::pair 'x' is normal"
run pair start x --one-shot --wait --timeout 120
is "one-shot" "$code:$out" "0:pair 'x' is copied and stopped"
like "one-shot is sent" "$(grep Start "$PAIRDISK_SITE/calls" | tail -n 1)" \
     '*"OneShot": "true"*'
run pair stop x --wait --timeout 120
is "stop" "$code:$out" "0:pair 'x' is stopped"

fake '{"steps": 1000000, "pair": {"LinkState": "waiting",
                                  "LinkReason": "connection refused"}}'
run pair start x --wait --timeout 2.4
is "timed out" "$code:$out:$err" "5::pairctl: waiting for pair 'x': after 2.4s\
 it is 'initial_syncing' (the link is waiting: connection refused)
hint: it goes on without being waited for; see 'pairctl pair show'"

fake '{"drop": {"DescribeDiskReplicaPairs": 1000000}}'
run pair create --disk d1 --peer-disk d1 --name unheard --wait --timeout 1
like "never heard of" "$code:$out:$err" "5::pairctl: waiting for pair\
 'unheard': nothing was heard of it from the agent in 1.0s: lost the agent at\
 '$PAIRDISK_SITE/api.sock': *
hint: what was begun goes on by itself; see that paird runs, then 'pairctl\
 pair show'"
fake '{}'
run pair delete unheard --wait

fake '{"steps": 4}'
run pair start x
"$pairctl" pair progress x --progress 7 7>"$tmp/lines" >"$tmp/out" 2>"$tmp/err"
is "progress ends in normal" "$?:$(cat "$tmp/err"):$(cat "$tmp/out")" \
   "0::pair 'x' is normal"
is "lines for programs" "$(grep -cvE \
   '^[0-9]+ ([0-9]+|unknown) ([0-9]+|unknown) ([0-9]+|unknown) [a-z_]+$' \
   "$tmp/lines"):$(tail -n 1 "$tmp/lines" | cut -d' ' -f2,5)" \
   "0:1073741824 initial_syncing"
like "rate is not guessed" "$(head -n 1 "$tmp/lines")" "* unknown unknown *"
run pair progress x --once
like "once" "$code:$out" "0:status: *normal*progress: *%*"

fake '{"pair": {"Status": "invalid", "StatusMessage": "DeviceRemoved"}}'
run pair wait x --for normal --timeout 120
is "a pair gone wrong ends the waiting" "$code:$out:$err" \
   "1::pairctl: waiting for pair 'x': it is 'invalid' (DeviceRemoved)
hint: see 'pairctl pair show'"
run pair wait x --for normal,invalid
is "unless that is waited for" "$code:$out" "1:pair 'x' is invalid"
fake '{"pair": {"Status": "of_tomorrow"}}'
run pair wait x --for normal --timeout 2
like "a status not known is waited through" "$code:$err" "5:*'of_tomorrow'*"
fake '{}'

run pair failover x --wait --timeout 120
is "loss report" "$code:$err:$out" "0::failed over:       x
open for writing:  d1
uri:               nbd+unix:///d1?socket=/x
lost writes:       12
lost bytes:        48.0 KiB
lost time:         0.2s
primary heard:     4.2s before the failover; what it wrote after that is not\
 counted
failover took:     0.4s"
run pair failover x --wait --timeout 120 --json
is "loss report in JSON" "$(python3 -c '
import json, sys
print (json.load (sys.stdin)["ReplicaPair"]["Loss"]["Writes"])' <<<"$out")" 12
fake '{"pair": {"Loss": {"Writes": null}}}'
run pair failover x --wait --timeout 120
like "an unknown loss is not zero" "$out" "*lost writes:       unknown*\
lost bytes:        unknown*primary heard:     unknown*took:     unknown"
fake '{}'

run pair delete x --wait --timeout 120
is "delete" "$code:$err:$out" "0::pair 'x' is deleted"
run pair wait x --for deleted
is "gone is deleted" "$code:$out" "0:pair 'x' is deleted"

# The agent is restarted while somebody waits.
run pair create --disk d1 --peer-disk d1 --name y --wait
fake '{"steps": 1000000}'
run pair start y
>"$PAIRDISK_SITE/calls"
"$pairctl" pair wait y --for normal --timeout 120 >"$tmp/out2" 2>"$tmp/err2" &
waiting=$!
wait_for 30 grep -q '"PairIds"' "$PAIRDISK_SITE/calls"
kill_pid "$agent_pid"
rm -f "$PAIRDISK_SITE/api.sock"
# The new one has forgotten the pair: it must not say so before it has it again.
fake '{"drop": {"DescribeDiskReplicaPairs": 1000000}}'
fake_agent
run disk create d1 --size 1G
run pair create --disk d1 --peer-disk d1 --name y
fake '{}'
run pair start y
wait $waiting
is "waiting outlives a restart of the agent" \
   "$?:$(cat "$tmp/err2"):$(cat "$tmp/out2")" "0::pair 'y' is normal"

done_testing

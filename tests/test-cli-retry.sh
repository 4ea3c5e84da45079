#!/usr/bin/env bash
# A changing call whose answer was lost is repeated once with the same token
# and so has one effect; different calls have different tokens.

source "${0%/*}/cli-functions.sh"
fake_agent

tokens ()
{
  sed -n "s/.*\"ClientToken\": \"\([^\"]*\)\".*\"action\": \"$1\".*/\1/p" \
        "$PAIRDISK_SITE/calls"
}

fake '{"drop": {"CreateDisk": 1}}'
run disk create d1 --size 1M
is "answer lost once: works" "$code:$err" "0:"
is "asked twice with one token" \
   "$(tokens CreateDisk | wc -l) $(tokens CreateDisk | sort -u | wc -l)" "2 1"
run disk list
is "one effect" "$(wc -l <<<"$out")" 2

fake '{"drop": {"CreateDisk": 9}}'
run disk create d2 --size 1M
like "answer lost twice: says so" "$code:$err" "4:*lost the agent at*hint: *"
is "asked twice, not more" "$(tokens CreateDisk | wc -l)" 4
is "another token for another call" "$(tokens CreateDisk | sort -u | wc -l)" 2

fake '{"drop": {"DeleteDisk": 1}, "busy": {"DeleteDisk": 3}}'
run disk delete d1 --yes
is "waits for the first call to be done" "$code:$err" "0:"
is "asks until it is" "$(tokens DeleteDisk | sort | uniq -c | xargs |
                         cut -d' ' -f1)" 5

fake '{"fail": {"CreateDisk": [403, "LastTokenProcessing", "Busy.", ""]}}'
run disk create d3 --size 1M
is "a refusal is not repeated" "$code:$(tokens CreateDisk | wc -l)" "3:5"

# An agent that is there but does not answer.
kill -STOP $agent_pid
run disk create d4 --size 1M --timeout 0.6
like "stuck agent" "$code:$err" "4:*no answer from the agent*"
kill -CONT $agent_pid

done_testing

#!/usr/bin/env bash
# After a failover the old primary meets the higher fence and stops writing,
# also after a restart; the new primary keeps what it has.  And one that does
# not know of a later failover yet is told by the one it connects to or that
# connects to it.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

sites 64M
pair
fill 1 50
link_start
wait_synced || bail_out 'no initial copy'
before=$(control "$b" '{"op":"disk.digest","disk":"d"}')
ask "$b" promote '"fence":2'
ok 'the old primary is fenced' wait_for 20 link_is "l['state'] == 'fenced'"
refused 'its guests cannot write' '' fill 2 1
is 'it says so' "$(status "$a" d "s['fenced']")" True
kill_a
start_a
is 'also after a restart' "$(status "$a" d "s['fenced']")" True
refused 'and then, too, its guests cannot write' '' fill 3 1
is 'the new primary is as it was' \
  "$(control "$b" '{"op":"disk.digest","disk":"d"}')" "$before"

# The other way round: A is given a higher fence, connects, and B hears of it.
set_pair "$a" primary 3
link_start
ok 'a primary of a lower fence is told' \
  wait_for 20 eval '[ "$(status "$b" d "s[\"fenced\"]")" = True ]'
is 'its content is not touched' \
  "$(control "$b" '{"op":"disk.digest","disk":"d"}')" "$before"
done_testing

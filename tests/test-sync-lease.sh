#!/usr/bin/env bash
# A primary that cannot tell its secondary is made to go on alone, by a force,
# by a stop, by the end of the pair: no flush is answered alone as long as the
# secondary says that it has them all.  Nor is one after a restart.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"
source "${0%/*}/sync-functions.sh"

claim () { revive_b; status "$b" d "s['source']['rpo_zero']"; }
reason () { revive_b; status "$b" d "s['source']['rpo_zero_reason']"; }
claims () { [ "$(claim)" = "$1" ]; }

# watch_both BEFORE: more flushes than those are answered in the end, and no
# claim is heard after the first of them.
watch_both ()
{
  local alone now i
  for ((i = 0; i < 300; i++)); do
    alone=$(acked_count)
    now=$(claim)
    [ "$alone" -gt "$1" ] || continue
    [ "$now" = unknown ]
    return
  done
  echo "after $1 flushes: $(acked_count), $(status "$a" d "s['mode']")"
  return 1
}

# loses WHAT COMMAND...: the line is cut, COMMAND has the primary go on alone.
loses ()
{
  local what=$1 n
  shift
  ok "$what: in sync" wait_mode in-sync
  ok "$what: proven" wait_for 20 claims proven
  writers_start 2
  ok "$what: flushes are acknowledged" wait_for 20 acked_more_than 20
  proxy freeze >/dev/null
  ok "$what: the line is cut, flushes wait" wait_for 20 flushes_wait
  n=$(acked_count)
  "$@"
  ok "$what: flushes go on, and not before the claim ends" watch_both "$n"
  is "$what: there is a reason" "$(reason)" lapsed
  writers_stop
  proxy thaw >/dev/null
}

sites 64M
proxy_start
pair
# Long enough to look at what waits for its end.
proof=$(at_least 3 25)
ask "$a" link.mode \
  "\"mode\":\"sync\",\"on_peer_loss\":\"suspend\",\"proof_seconds\":$proof"
is 'before: no promise' "$(reason)" no-promise
link_start '"dead_seconds":2'
ok 'in sync' wait_mode in-sync

# A restart that takes as long as the lease proves nothing: another one.
for ((i = 0; i < 10; i++)); do
  wait_mode in-sync && wait_for 20 claims proven || break
  began=$(date +%s%N)
  kill_b
  start_b
  claim=$(claim)
  took=$((($(date +%s%N) - began) / 1000000))
  [ "$claim" != proven ] && [ "$took" -gt 2000 ] || break
done
is "a restart of the secondary does not end its claim ($took ms)" \
  "$claim" proven

loses force ask "$a" link.mode '"on_peer_loss":"degrade","force":true'
ok 'it hears of it: no promise' wait_for 20 eval '[ "$(reason)" = no-promise ]'
ask "$a" link.mode '"on_peer_loss":"suspend"'

loses stop ask "$a" link.stop
link_start '"dead_seconds":2'

restarted ()
{
  ask "$a" link.stop
  kill_a
  wait_for 20 is_gone "$writers_pid"
  start_a
  [ "$(status "$a" d "s['mode']['state']")" = abandoning ] ||
    diag "after the restart: $(status "$a" d "s['mode']")"
  writers_start 2
  # They count from nothing again.
  n=0
}
loses 'stop and restart' restarted
link_start '"dead_seconds":2'

# The pair is no more here; the disk serves its guests on its own.
ended ()
{
  ask "$a" pair.clear
  is 'the end of the pair: it is told why flushes wait' \
    "$(status "$a" d "s['role'], s['mode']['state']")" \
    "('standalone', 'abandoning')"
}
loses clear ended
is 'afterwards there is no mode' "$(status "$a" d "s['mode']")" None
ask "$b" promote '"fence":2'
is 'a failover says so' "$(loss "l['rpo_zero']")" unknown
refused 'nonsense is refused' bad-request \
  answers '"ok": ?true' "$b" '{"op":"link.mode","disk":"d","proof_seconds":1}'
done_testing

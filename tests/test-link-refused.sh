#!/usr/bin/env bash
# A link that cannot work says why, tries again slowly, harms nothing, and
# works as soon as the reason is gone.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

wrong_secret=$(printf '00%.0s' {1..32})
refused_with ()
{
  link_is "l['state'] in ('refused', 'waiting') and '$1' in (l['reason'] or '')"
}

sites 16M
set_pair "$a" primary 1 "$wrong_secret"
set_pair "$b" secondary 1
ask "$b" replica.accept
fill 1 10
link_start
ok 'a wrong secret is refused' wait_for 10 refused_with 'secrets differ'
is 'nothing reached the peer' \
  "$(status "$b" d "(s['committed'], s['stage'], s['source']['connected'])")" \
  '(None, None, False)'
ask "$a" link.stop
set_pair "$a" primary 1
ask "$b" replica.stop
link_start
ok 'a peer that does not accept is waited for' \
  wait_for 10 refused_with 'replication is stopped'
ask "$b" replica.accept
ok 'and works when it does' wait_synced
ok 'both disks are equal' same_content

ask "$b" replica.stop
ok 'stopped while it streams, it waits' \
  wait_for 10 refused_with 'not accepted'
point=$(status "$b" d "s['committed']")
fill 2 10
is 'the peer keeps its point' "$(status "$b" d "s['committed']")" "$point"
ask "$b" replica.accept
ok 'and catches up' wait_synced

ask "$a" link.stop
ask "$b" pair.clear
ask "$b" disk.delete
ask "$b" disk.create "\"size\":$((8 << 20))"
set_pair "$b" secondary 1
ask "$b" replica.accept
link_start
ok 'a peer of another size is refused' wait_for 10 refused_with 'differ in size'
is 'nothing reached it' "$(status "$b" d "(s['committed'], s['stage'])")" \
  '(None, None)'

ask "$a" link.stop
link_port=$(free_port)
link_start
ok 'nobody listening is waited for' wait_for 10 refused_with 'refused'
ok 'and guests are not disturbed' fill 3 5
done_testing

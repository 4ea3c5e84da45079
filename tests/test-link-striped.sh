#!/usr/bin/env bash
# A link over several connections: the stream is in order, and when one of
# them is lost all of it begins anew.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

sites 64M
proxy_start
pair
fill 1 200
link_start '"connections":4'
ok 'the first copy' wait_synced
ok 'both disks are equal' same_content
is 'four connections' \
  "$(link_status "l['connections']") $(proxy count)" '4 4'

load_start 5
rounds=3
[ -z "$PAIRDISK_LONG" ] || rounds=30
for ((i = 1; i <= rounds; i++)); do
  before=$(link_status "l['connects']")
  random_moment 700
  proxy cut-one >/dev/null
  ok "one is cut: the link begins anew ($i)" wait_for 15 link_is \
    "l['connects'] > $before and l['state'] == 'stream' and l['connections'] == 4"
  revive_b
done
load_stop
ok 'all was sent' wait_synced
ok 'both disks are equal again' same_content
ok 'no connection is left over' wait_for 10 eval '[ "$(proxy count)" -eq 4 ]'

link_start '"connections":1'
ok 'one again' wait_for 10 link_is "l['connections'] == 1"
ok 'too many are refused' grep -q 'bad-request.*at most 8' \
  <(control "$a" '{"op":"link.start","disk":"d","uri":"nbd://127.0.0.1:1","connections":9}')
done_testing

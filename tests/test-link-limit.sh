#!/usr/bin/env bash
# The bandwidth limit: kept, changed while data flows, remembered, lifted.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

limit () { ask "$a" link.limit "\"limit_bps\":$1"; }
sent () { link_status "l['sent_bytes']"; }

# rate_over SECONDS: bytes a second that were sent in this time.
rate_over ()
{
  local before t
  before=$(sent)
  t=$(date +%s%N)
  sleep "$1"
  echo $((($(sent) - before) * 1000000000 / ($(date +%s%N) - t)))
}

# between LOW HIGH N
between () { [ "$3" -ge "$1" ] && [ "$3" -le "$2" ]; }

sites 64M
pair
limit 500000
link_start
is 'it is shown' "$(link_status "l['limit_bps']")" 500000
wait_stream
fill 1 200
ok 'it is what the link waits for' wait_for 10 link_is \
  "l['waits_for'] == 'limit' and l['lag']['bytes'] > 1000000"
rate=$(rate_over 3)
ok "not more than the limit, nor much less ($rate)" \
  between 350000 600000 "$rate"
ok 'lag, compression and time to go are told' wait_for 10 link_is \
  "l['lag']['seconds'] > 1 and 1.5 < l['compression'] < 3 and l['eta_seconds'] > 0"

limit 2000000
rate=$(rate_over 1)
ok "a higher one counts at once ($rate)" between 1200000 2500000 "$rate"

limit 100000
kill_a
start_a
wait_for 10 is_stream
is 'it is remembered' "$(link_status "l['limit_bps']")" 100000
limit 0
ok 'without it the rest is there at once' wait_synced 10
is 'nothing is left to do' \
  "$(link_status "(l['waits_for'], l['eta_seconds'], l['limit_bps'])")" \
  "('writes', 0.0, 0)"
ok 'both disks are equal' same_content

ok 'a limit that is none' grep -q 'bad-request' \
  <(control "$a" '{"op":"link.limit","disk":"d","limit_bps":-1}')
ok 'a secondary keeps one for when it is primary' grep -q '"ok":true' \
  <(control "$b" '{"op":"link.limit","disk":"d","limit_bps":1}')
done_testing

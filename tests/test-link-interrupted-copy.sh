#!/usr/bin/env bash
# A slow initial copy under load, with either server killed or the connection
# cut at random moments of it: it gets to its end, and both disks are equal.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

rounds=${PAIRDISK_LONG:+20}
sites 256M
proxy_start
pair
fill 1 1200                     # some 45 MB on the wire
proxy rate 5000000 >/dev/null   # longer than the rounds take
link_start
load_start "$RANDOM"
for ((i = 1; i <= ${rounds:-6}; i++)); do
  random_moment 700
  case $((RANDOM % 3)) in
    0) kill_a; start_a ;;
    1) kill_b; start_b ;;
    2) proxy cut >/dev/null ;;
  esac
done
proxy rate 0 >/dev/null
ok 'the link streams' wait_stream
load_stop
ok 'everything is committed' wait_synced
ok 'both disks are equal' same_content
done_testing

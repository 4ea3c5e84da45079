#!/usr/bin/env bash
# The TCP connection is cut at random moments of the initial copy and of
# streaming: the link comes back by itself and both disks are equal.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

rounds=${PAIRDISK_LONG:+20}
sites 256M
proxy_start
pair
fill 1 1200
link_start
load_start "$RANDOM"
for ((i = 1; i <= ${rounds:-8}; i++)); do
  random_moment 800
  proxy cut >/dev/null
  revive_b
done
ok 'the link streams again' wait_stream
load_stop
ok 'everything is committed' wait_synced
ok 'both disks are equal' same_content
ok 'it was cut more than once' link_is "l['connects'] > 2"
done_testing

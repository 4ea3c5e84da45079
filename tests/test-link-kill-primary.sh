#!/usr/bin/env bash
# The primary's server is killed at random moments of the initial copy and of
# streaming: each time the link comes back by itself and both disks are equal.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

rounds=${PAIRDISK_LONG:+20}
sites 256M
pair
fill 1 1200
link_start
load_start "$RANDOM"
for ((i = 1; i <= ${rounds:-4}; i++)); do
  random_moment
  kill_a
  start_a
done
ok 'the link streams again' wait_stream
load_stop
ok 'everything is committed' wait_synced
ok 'both disks are equal' same_content
is 'no block failed its checksum' \
  "$(status "$b" d "s['errors']['checksum']")" 0
done_testing

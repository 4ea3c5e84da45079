#!/usr/bin/env bash
# The secondary's server is killed at random moments of the initial copy and
# of streaming: the primary goes on, the link comes back by itself, both disks
# are equal in the end, and there was one initial copy.
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
  kill_b
  start_b
done
ok 'the link streams again' wait_stream
ok 'and is in step under load' \
  wait_for 60 link_is "l['initial_done'] and l['lag']['seconds'] < 2"
kill_b
start_b
ok 'the link comes back' wait_for 30 link_is \
  "l['state'] == 'stream' and l['rule'] == 'peer-behind-journal-holds'"
load_stop
ok 'everything is committed' wait_synced
ok 'both disks are equal' same_content
is 'the primary was not disturbed' "$(cat "$tmp/load.log")" ''
done_testing

#!/usr/bin/env bash
# In sync mode the primary is killed with writes under way, some of which only
# the secondary has then, and comes back: in sync by itself, the two are equal,
# nothing flushed is lost and nothing is copied as a whole.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"
source "${0%/*}/sync-functions.sh"

rounds=${PAIRDISK_ROUNDS:-${PAIRDISK_LONG:+40}}
seed=${PAIRDISK_SEED:-$RANDOM}
diag "PAIRDISK_SEED=$seed"
RANDOM=$seed

lost=0
sites 64M
pair
set_mode sync suspend
link_start
for ((i = 1; i <= ${rounds:-5}; i++)); do
  wait_mode in-sync || bail_out 'never in sync'
  writers_start 4
  wait_for 20 acked_more_than 20
  start load /usr/bin/python3 "$top_srcdir/tests/link-load.py" \
    "$(nbd_uri "$a" d)" "$RANDOM" 2048
  load_pid=$started_pid
  random_moment 500
  kill_a
  wait_for 20 is_gone "$writers_pid"
  start_a
  ok "$i: in sync by itself" wait_mode in-sync
  load_stop
  ok "$i: what was flushed is there" /usr/bin/python3 \
    "$top_srcdir/tests/sync-load.py" --check "$(nbd_uri "$a" d)" "$acked"
  ok "$i: all is committed" wait_synced
  ok "$i: both disks are equal" same_content
  rule=$(link_status "l['rule']")
  diag "rule $rule"
  [[ $rule == staged-lost-* ]] && lost=$((lost + 1))
done
diag "$lost times the secondary was ahead"
is 'one initial copy, the first' \
  "$(grep -c 'action=[a-z-]*initial' "$tmp/nbdkit-a.log")" 1
done_testing

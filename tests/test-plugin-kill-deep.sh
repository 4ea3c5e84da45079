# kill -9 under a deep load on several connections, some of it flushed: what
# was flushed is back, nothing is garbled, 50 times in a row.
#
#   PAIRDISK_ROUNDS, PAIRDISK_SEED

source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"

rounds=${PAIRDISK_ROUNDS:-50}
seed=${PAIRDISK_SEED:-$RANDOM}
diag "PAIRDISK_SEED=$seed PAIRDISK_ROUNDS=$rounds"
RANDOM=$seed
nbdload=$top_builddir/bench/nbdload
state=$tmp/state
make_disk "$state/d" 32M --capacity 2G

nbdkit_start "$state"
uri=$(nbd_uri "$state" d)
for ((round = 1; round <= rounds; round++)); do
  sizes=(4K 4K 16K 64K)
  start load "$nbdload" -w randrw -r 20 -b "${sizes[RANDOM % 4]}" \
    -d $((3 + RANDOM % 30)) -c $((1 + RANDOM % 3)) -f $((4 + RANDOM % 60)) \
    -t 60 --seed "$seed" --verify --ledger "$tmp/ledger" "$uri"
  load_pid=$started_pid
  sleep "0.$(printf %03d $((50 + RANDOM % 400)))"
  kill_pid "$nbdkit_pid" KILL
  wait "$load_pid"
  # 0 to 2: it lost the server in, after or before its work.
  [ $? -ne 3 ] || fail "round $round: the load read wrong data"
  nbdkit_start "$state"
  ok "round $round: what was flushed is back" \
    "$nbdload" -w check --seed "$seed" --ledger "$tmp/ledger" "$uri"
  [ "$tap_failed" -eq 0 ] || break
done
is 'no read failed its checksum' \
  "$(status "$state" d "s['errors']")" "{'checksum': 0, 'read': 0}"
done_testing

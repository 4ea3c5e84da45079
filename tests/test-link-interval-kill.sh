#!/usr/bin/env bash
# Async with an interval, under load, either side is killed at random moments,
# also in the middle of a delta: what the secondary would be promoted to is
# always exactly the primary at the time of its commit point, the link goes on
# by itself, and nothing is copied as a whole a second time.
#
#   PAIRDISK_ROUNDS   how many (5; 60 for long)
#   PAIRDISK_SEED     as a run before printed it
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

rounds=${PAIRDISK_ROUNDS:-${PAIRDISK_LONG:+60}}
rounds=${rounds:-5}
seed=${PAIRDISK_SEED:-$RANDOM}
diag "PAIRDISK_SEED=$seed PAIRDISK_ROUNDS=$rounds"
RANDOM=$seed

c=$tmp/c
writer=$top_builddir/tests/writer
offset=$((48 << 20))
length=$((16 << 20))

is_staged () { revive_b; [ "$(status "$b" d "s['stage'] is not None")" = True ]; }
has_moved () { revive_b; [ "$(status "$b" d "s['committed']['seq']")" -gt "$1" ]; }

# A promotion of what B holds, tried with a copy.
try_promotion ()
{
  local point
  rm -rf "$c"
  mkdir "$c"
  cp -r --sparse=always "$b/d" "$c/d"
  nbdkit_start "$c"
  ask "$c" promote '"fence":2'
  point=$(/usr/bin/python3 -c '
import json, sys
print(json.loads(sys.argv[1])["committed"]["time_ns"])' "$answer")
  "$writer" verify "$(nbd_uri "$c" d)" $offset $length "$seed" \
    "$tmp/acknowledged" "$point"
}

sites 64M
pair
ask "$a" link.mode '"interval_seconds":1'
start writer "$writer" run "$(nbd_uri "$a" d)" $offset $length "$seed" 200 \
  "$tmp/acknowledged" 60
writer_pid=$started_pid
start load /usr/bin/python3 "$top_srcdir/tests/link-load.py" \
  "$(nbd_uri "$a" d)" "$seed" $((offset / 4096))
load_pid=$started_pid
# A copy of nothing would be no first copy.
wait_for 20 test -s "$tmp/acknowledged" || bail_out 'the writer does not write'
link_start
ok 'the first copy is there' wait_for 60 link_is "l['initial_done']"
for ((i = 1; i <= rounds; i++)); do
  seq=$(status "$b" d "s['committed']['seq']")
  ok "$i: the secondary moves on" wait_for 30 has_moved "$seq"
  random_moment 1500
  # Every other time in the middle of a delta.
  [ $((RANDOM % 2)) = 0 ] || wait_for 10 is_staged || diag 'no delta was seen'
  case $((RANDOM % 3)) in
    0) what=secondary ;;
    1) what=primary; kill_a ;;
    2) what=both; kill_a ;;
  esac
  [ $what = primary ] && random_moment 100
  kill_b
  ok "$i ($what): what is there is exactly a moment of the primary" \
    try_promotion
  kill_pid "$nbdkit_pid" KILL
  start_b
  is_gone "$a_pid" && start_a
done
kill_pid "$load_pid"
kill "$writer_pid"
ok 'the writer ended' wait_for 60 is_gone "$writer_pid"
ok 'and found nothing wrong' grep -q '^stopped:' "$tmp/writer.log"
ok 'all is committed' wait_synced
ok 'both disks are equal' same_content
is 'one initial copy, the first' \
  "$(grep -c 'action=[a-z-]*initial' "$tmp/nbdkit-a.log")" 1
done_testing

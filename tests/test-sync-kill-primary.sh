#!/usr/bin/env bash
# In sync mode the primary is killed at random moments under flushes: after the
# failover every write whose flush was acknowledged is at the secondary, which
# says so.
#
#   PAIRDISK_ROUNDS   how many (8; 60 for long)
#   PAIRDISK_SEED     as a run before printed it
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"
source "${0%/*}/sync-functions.sh"

rounds=${PAIRDISK_ROUNDS:-${PAIRDISK_LONG:+60}}
rounds=${rounds:-8}
seed=${PAIRDISK_SEED:-$RANDOM}
diag "PAIRDISK_SEED=$seed PAIRDISK_ROUNDS=$rounds"
RANDOM=$seed

# one_round THREADS [fua]
one_round ()
{
  sites 16M
  proxy_start
  started_proxy=$started_pid
  pair
  set_mode sync suspend
  link_start
  wait_mode in-sync || bail_out 'never in sync'
  # So slow that what was not waited for is not there yet.
  proxy rate 300000 >/dev/null
  writers_start "$@"
  wait_for 20 acked_more_than 20 || bail_out 'nothing is acknowledged'
  random_moment 700
  kill_pid "$started_proxy" KILL   # with all that is on the wire
  kill_a
  wait_for 20 is_gone "$writers_pid"
  promote_b 2
  is "round $i: the secondary proves that nothing is lost" \
    "$(loss "l['rpo_zero']")" proven
  ok "round $i: what was flushed is there ($(acked_count) flushes, $1 writers)" \
    has_acked
  kill_b
  rm -rf "$a" "$b" "$tmp"/proxy.*
}

for ((i = 1; i <= rounds; i++)); do
  case $((RANDOM % 4)) in
    0) one_round 1 ;;
    1) one_round 1 fua ;;
    2) one_round 8 ;;
    3) one_round 16 fua ;;
  esac
done
done_testing

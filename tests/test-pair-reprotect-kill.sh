# Agents and plugins of either site are killed at random moments of a reverse
# or a cancel: the pair gets to stopped by itself, or the same call again gets
# it there; after a start both disks are the winner's, by what differs.
#
#   PAIRDISK_ROUNDS   3; 20 for long
#   PAIRDISK_SEED     as a run before printed it

source "${0%/*}/pair-functions.sh"

rounds=${PAIRDISK_ROUNDS:-${PAIRDISK_LONG:+20}}
rounds=${rounds:-3}
seed=${PAIRDISK_SEED:-$RANDOM}
diag "PAIRDISK_SEED=$seed PAIRDISK_ROUNDS=$rounds"
RANDOM=$seed

disk_of () { if [ "$1" = a ]; then echo $disk_a; else echo $disk_b; fi; }
uri_of () { if [ "$1" = a ]; then echo "$uri_a"; else echo "$uri_b"; fi; }
content () { digest "$1" "$(disk_of "$1")" | cut -d' ' -f1; }
level_from () { disk_is "$1" "$(disk_of "$1")" .Detail.link.lag.writes 0; }

# put SITE SEED COUNT: so many random writes of 64 KiB.
put ()
{
  /usr/bin/python3 - "$(uri_of "$1")" "$2" "$3" <<'PYTHON' || bail_out "cannot write at $1"
import random, sys, nbd
h = nbd.NBD()
h.connect_uri(sys.argv[1])
r = random.Random(int(sys.argv[2]))
for i in range(int(sys.argv[3])):
    h.pwrite(r.randbytes(65536), r.randrange(h.get_size() // 65536) * 65536)
h.flush()
PYTHON
}

strike ()
{
  local site
  site=$([ $((RANDOM % 2)) = 0 ] && echo a || echo b)
  if [ $((RANDOM % 2)) = 0 ]; then
    nbdkit_kill $site
  else
    agent_kill $site
    agent_start $site
  fi
}

# Another try where the first one failed; true when both sites are there.
settled ()
{
  case $(pair_field "$secondary" .Status 2>/dev/null) in
    failovered | reprotect_failed) reprotect ;;
  esac
  pair_is a stopped && pair_is b stopped
} 2>/dev/null

reprotect ()
{
  # shellcheck disable=SC2086
  on "$secondary" pair reprotect db01 $way --force >>"$tmp/calls.log" 2>&1
}

sites_up
disks_make 96M
pair_make >/dev/null || bail_out 'no pair'
put a 1 200
on a pair start db01 >/dev/null
wait_status a normal && wait_status b normal || bail_out 'not normal'
primary=a
for ((i = 1; i <= rounds; i++)); do
  secondary=$(other_site $primary)
  wait_for 30 level_from $primary
  # The proxy is on the way to b only: so only a can have a tail.
  if [ $primary = a ]; then
    proxy freeze >/dev/null
    put a $RANDOM 30
  fi
  on $secondary pair failover db01 --wait --timeout 120 >/dev/null ||
    { fail "round $i: failover"; break; }
  proxy thaw >/dev/null
  put $secondary $RANDOM 30
  if [ $((RANDOM % 2)) = 0 ]; then
    way='' winner=$secondary
  else
    way=--cancel winner=$primary
  fi
  wanted=$(content $winner)
  wait_for 60 reprotect || { fail "round $i: not taken"; break; }
  random_ms 300; strike
  random_ms 300; strike
  wait_for 150 settled || { fail "round $i: '$way' is stuck: $(
    on $secondary pair show db01)"; break; }
  ok "round $i: start after reprotect $way" wait_for 30 on $winner pair start db01
  ok "round $i: normal" eval 'wait_status $winner normal &&
    wait_status $(other_site $winner) normal && wait_for 30 level_from $winner'
  is "round $i: both are the winner's" "$(content a) $(content b)" \
    "$wanted $wanted"
  is "round $i: which is the source" "$(pair_field a .SourceRegion)" \
    "site-$winner"
  primary=$winner
done
is 'one full copy in all this' \
  "$(cat "$tmp"/[ab]/nbdkit.log | grep -c 'session.*initial copy')" 1
ok 'nothing died by itself' nobody_crashed
done_testing

# pairctl status, when the copy is behind, and when both sites wrote, also from
# the first write on: each site says so, and what comes next.

source "${0%/*}/pair-functions.sh"

problem () { on "$1" status --json | jq -r '.Attention[] |
  "\(.Severity) \(.Problem) NEXT \(.Next)"' >"$tmp/problem"
  grep -qE "$2" "$tmp/problem"; }

sites_up
# Nothing was ever written to them: there is no common point but the start.
disks_make 64M
pair_make --rpo 5 >/dev/null || bail_out 'no pair'
refused 'a refusal says in which status' \
  'the pair is created .*pairctl pair show' on b pair failover db01
on a pair start db01 --wait >/dev/null
ok 'the source is told to be here' grep -qE '^db01 +normal +source ' \
  <(on a status)
wait_status b normal
ok 'and the copy there' grep -qE '^db01 +normal +copy ' <(on b status)
head -c 1048576 /dev/urandom >"$tmp/data"

proxy freeze >/dev/null
nbdcopy --flush "$tmp/data" "$uri_a"
ok 'the source says that the copy is cut off' \
  wait_for 30 problem a '^critical .*no data flows.*NEXT .*site list'
ok 'so does the copy' \
  wait_for 30 problem b '^critical .*no data flows.*heard of the source'
is 'which does not know how far it is behind' \
  "$(on b pair show db01 --json | jq .ReplicaPair.LagSeconds)" null

on b pair failover db01 --wait >/dev/null
nbdcopy --flush "$tmp/data" "$uri_b"
proxy thaw >/dev/null
for site in a b; do
  ok "split brain, at $site" wait_for 30 problem $site \
    '^critical split brain: .*NEXT pairctl pair reprotect db01 --dry-run.*site-b'
done
ok 'who uses it is told' grep -qE '^db01 +failovered +in use ' <(on b status)
ok 'it ends as any split does' on b pair reprotect db01 --force --wait
ok 'and the pair goes on' on b pair start db01 --wait
is_same ()
{
  [ "$(digest a $disk_a | cut -d' ' -f1)" = \
    "$(digest b $disk_b | cut -d' ' -f1)" ]
}
ok 'both have what the one wrote' wait_for 30 is_same
ok 'nothing died by itself' nobody_crashed
done_testing

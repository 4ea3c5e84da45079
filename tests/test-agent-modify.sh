# ModifyDiskReplicaPair: what can be changed, when, and by what rules.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"

sites_up
disks_make
pair_make PairName=first RPO=5
modify () { api a ModifyDiskReplicaPair ReplicaPairId="$pair" "$@"; }
field_is () { [ "$(pair_value "$1" "$pair" "$2")" = "$3" ]; }

ok 'everything at once' modify PairName=second.name Description='the shop' \
  RPO=900 EnableRtc=true
is 'name' "$(pair_value a "$pair" PairName)" second.name
is 'description' "$(pair_value a "$pair" Description)" 'the shop'
is 'RPO' "$(pair_value a "$pair" RPO)" 900
is 'EnableRtc' "$(pair_value a "$pair" EnableRtc)" true
is 'it is still created' "$(pair_value a "$pair" Status)" created
ok 'the other site knows' wait_for 30 field_is b PairName second.name
ok 'one thing, called there' api b ModifyDiskReplicaPair RPO=7 \
  ReplicaPairId="$pair"
ok 'this site knows' wait_for 30 field_is a RPO 7
is 'the rest is as before' "$(pair_value a "$pair" Description)" 'the shop'
is 'Bandwidth of a pair that is paid for afterwards is 0' \
  "$(modify Bandwidth=10240 >/dev/null; pair_value a "$pair" Bandwidth)" 0

for bad in PairName=x PairName=1st PairName=http://x "PairName=a b" \
  Description=x Description=https://x RPO=0 RPO=x RPO=86401 EnableRtc=1 \
  EnableRtc=True Bandwidth=5 \
  PairName="$(printf 'x%.0s' {1..129})" \
  Description="$(printf 'x%.0s' {1..257})"; do
  refused "${bad:0:30}" "400 .*InvalidParameter\".*${bad%%=*}" modify "$bad"
done
refused 'one wrong, one right: neither' '400 .*RPO' modify PairName=third RPO=0
is 'indeed' "$(pair_value a "$pair" PairName)" second.name
# How data gets there: at both sites, also while it does.
mode_is () { [ "$(disk_value "$1" "$2" "mode.$3")" = "$4" ]; }
ok 'mode and link' modify ReplicationMode=sync OnPeerLoss=suspend \
  Connections=4 DeadSeconds=9 ProofSeconds=60
is 'the mode' "$(pair_value a "$pair" ReplicationMode)" sync
is 'on peer loss' "$(pair_value a "$pair" OnPeerLoss)" suspend
is 'connections' "$(pair_value a "$pair" Connections)" 4
is 'dead seconds' "$(pair_value a "$pair" DeadSeconds)" 9
is 'proof seconds' "$(pair_value a "$pair" ProofSeconds)" 60
ok 'the other site knows' wait_for 30 field_is b ReplicationMode sync
for site in a b; do
  disk=disk_$site
  ok "the plugin of $site, too" wait_for 30 mode_is $site "${!disk}" mode sync
  ok "and more" wait_for 30 mode_is $site "${!disk}" proof_seconds 60
done
for bad in ReplicationMode=quick OnPeerLoss=shout CommitInterval=x \
  CommitInterval=43201 Connections=0 Connections=9 DeadSeconds=1 \
  DeadSeconds=601 ProofSeconds=1 ProofSeconds=3601 Force=yes; do
  refused "$bad" "400 .*InvalidParameter\".*${bad%%=*}" modify "$bad"
done
refused 'an interval that the RPO has no room for' '400 .*CommitInterval' \
  modify CommitInterval=4
refused 'an RPO without room for the interval' '400 .*CommitInterval' \
  modify CommitInterval=3 RPO=5
ok 'as much as it has' modify CommitInterval=3
is 'the interval' "$(pair_value a "$pair" CommitInterval)" 3

refused 'no pair' '404 .*NoSuchResource' api a ModifyDiskReplicaPair \
  ReplicaPairId=pair-cn-none RPO=5

pair_start >/dev/null
wait_status a "$pair" normal
refused 'while it runs' '403 .*OperationDenied.InvalidStatus' modify RPO=8
refused 'nor both' '403 .*OperationDenied.InvalidStatus' \
  modify RPO=8 ReplicationMode=async
ok 'but the mode' modify ReplicationMode=async CommitInterval=0
ok 'at once' wait_for 30 mode_is a "$disk_a" mode async
ok 'at both' wait_for 30 mode_is b "$disk_b" interval_seconds 0
is 'it runs on' "$(pair_value a "$pair" Status)" normal
api a StopDiskReplicaPair ReplicaPairId="$pair" >/dev/null
wait_status a "$pair" stopped
ok 'stopped' modify RPO=8
is 'so it is' "$(pair_value a "$pair" RPO)" 8
ok 'it starts again' pair_start
ok 'and is normal' wait_status a "$pair" normal

# The bandwidth that was paid for is the link's limit, live.
api a StopDiskReplicaPair ReplicaPairId="$pair" >/dev/null
wait_status a "$pair" stopped
api a DeleteDiskReplicaPair ReplicaPairId="$pair" >/dev/null
ok 'deleted' wait_for 30 pair_gone a "$pair"
is_alone () { disk_is a "$disk_a" role standalone && disk_is b "$disk_b" role standalone; }
ok 'both disks are free' wait_for 30 is_alone
pair_make ChargeType=PREPAY Period=1 PeriodUnit=Month
ok 'its default of 10240 kbit/s' wait_for 30 mode_is a "$disk_a" \
  limit_bps 1280000
pair_start >/dev/null
wait_status a "$pair" normal
ok 'another, while it runs' modify Bandwidth=20480
ok 'at the source' wait_for 30 mode_is a "$disk_a" limit_bps 2560000
ok 'at the destination' wait_for 30 mode_is b "$disk_b" limit_bps 2560000

done_testing

# Every error that the API lists for an action on pairs, and that this product
# can meet, is met by that action: the list below, a line an action and code.
# What stands behind a dash is not met, and why.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"

cat >"$tmp/list" <<'END'
Create 400 IdempotentParameterMismatch
Create 403 LastTokenProcessing
Create 403 OperationDenied.QuotaExceed
Create 403 OperationDenied
Create 404 NoSuchResource
Create 500 InternalError
Create 403 OperationDenied.InvalidStatus - a disk in a pair is OperationDenied, whatever the status
Create 403 InvalidAccountStatus.NotEnoughBalance - there are no accounts
Start 400 OperationDenied.StandbyDeviceAttached
Start 403 OperationDenied.InvalidStatus
Start 403 OperationDenied.ManualSyncLimit
Start 404 NoSuchResource
Stop 403 OperationDenied.InvalidStatus
Stop 404 NoSuchResource
Failover 403 OperationDenied.InvalidStatus
Failover 403 OperationDenied.OperateNotAllowedForPrimary
Failover 404 NoSuchResource
Failover 403 OperationDenied.OperateNotAllowedForStandby - no reason is given for it anywhere
Reprotect 403 OperationDenied.InvalidStatus
Reprotect 403 OperationDenied.OperateNotAllowedForPrimary
Reprotect 403 OperationDenied
Reprotect 404 NoSuchResource
Reprotect 403 OperationDenied.OperateNotAllowedForStandby - no reason is given for it anywhere
Reprotect 403 OperationDenied.NoPairInGroup - groups
Reprotect 403 OperationDenied.PairGroupAZoneConflict - groups
Reprotect 403 OperationDenied.PairGroupStatusConflict - groups
Reprotect 403 OperationDenied.PairNotInGroup - groups
Modify 403 OperationDenied.InvalidStatus
Modify 404 NoSuchResource
Modify 403 OperationDenied.OperateNotAllowedForPrimary - either site may modify
Modify 403 OperationDenied.OperateNotAllowedForStandby - either site may modify
Delete 403 OperationDenied.InvalidStatus
Delete 403 OperationDenied.OperateNotAllowedForStandby
Delete 404 NoSuchResource
Progress 403 OperationDenied.InvalidStatus - a deleted pair is NoSuchResource, in any other status there is an answer
Progress 404 NoSuchResource
END

met=()
# row VERB STATUS CODE COMMAND...
row ()
{
  local line="$1 $2 $3" status=$2 code=$3 output
  shift 3
  output=$("$@" 2>&1)
  is "$line" "$(sed -n 's/^\([0-9]*\) .*"Code": "\([^"]*\)".*/\1 \2/p' \
    <<<"$output")" "$status $code"
  met+=("$line")
}

sites_prepare
site_up a --pairs-max=2
site_up b
wait_for 30 peers_see_each_other || bail_out "the sites do not meet"
disks_make
verb () { api "$1" "$2DiskReplicaPair" ReplicaPairId="$pair" "${@:3}"; }
clients ()
{
  control "$1" "{\"op\":\"fake.clients\",\"disk\":\"$2\",\"count\":$3}" \
    >/dev/null
}

pair=pair-cn-none
for name in Start Stop Modify Delete; do
  row $name 404 NoSuchResource verb a $name
done
row Failover 404 NoSuchResource verb b Failover
row Reprotect 404 NoSuchResource verb b Reprotect
row Progress 404 NoSuchResource api a DescribeDiskReplicaPairProgress \
  ReplicaPairId=$pair
row Create 404 NoSuchResource api a CreateDiskReplicaPair DiskId=none \
  SourceZoneId=site-a-1 DestinationRegionId=site-b \
  DestinationZoneId=site-b-1 DestinationDiskId="$disk_b"
clients b "$disk_b" 1
row Create 403 OperationDenied pair_create
clients b "$disk_b" 0

# Two at once, while the other site's plugin is silent.  The first one is given
# up after a time, which the second may have missed.
twice ()
{
  local first i
  control b '{"op":"fake.silent","seconds":600}' >/dev/null
  for ((i = 0; i < 20; i++)); do
    pair_create ClientToken=slow >"$tmp/one" &
    first=$!
    pair_create ClientToken=slow >"$tmp/two"
    wait "$first"
    grep -h '^403 .*LastTokenProcessing' "$tmp/one" "$tmp/two" && break
  done
  control b '{"op":"fake.silent","seconds":0}' >/dev/null
}
row Create 403 LastTokenProcessing twice
sql ()
{
  python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=10)
db.execute(sys.argv[2])
db.commit()' "$tmp/a/paird.db" "$1"
}
wait_for 30 disk_is b "$disk_b" role standalone
sql 'ALTER TABLE events RENAME TO lost'
row Create 500 InternalError pair_create
sql 'ALTER TABLE lost RENAME TO events'
is 'and no pair is there' "$(value a DescribeDiskReplicaPairs TotalCount)" 0

pair_make RPO=900 ClientToken=made
row Create 400 IdempotentParameterMismatch pair_create ClientToken=made RPO=1

row Stop 403 OperationDenied.InvalidStatus verb a Stop
row Failover 403 OperationDenied.OperateNotAllowedForPrimary verb a Failover
row Failover 403 OperationDenied.InvalidStatus verb b Failover
row Reprotect 403 OperationDenied.InvalidStatus verb b Reprotect
row Delete 403 OperationDenied.OperateNotAllowedForStandby verb b Delete
clients b "$disk_b" 1
row Start 400 OperationDenied.StandbyDeviceAttached verb a Start
clients b "$disk_b" 0
verb a Start OneShot=true >/dev/null
wait_status a "$pair" stopped
row Start 403 OperationDenied.ManualSyncLimit verb a Start OneShot=true
verb a Start >/dev/null
wait_status a "$pair" normal
row Modify 403 OperationDenied.InvalidStatus verb a Modify PairName=new-name
row Delete 403 OperationDenied.InvalidStatus verb a Delete
wait_status b "$pair" normal
verb b Failover >/dev/null
wait_status b "$pair" failovered
wait_status a "$pair" failovered
row Start 403 OperationDenied.InvalidStatus verb b Start
row Reprotect 403 OperationDenied.OperateNotAllowedForPrimary verb a Reprotect
clients a "$disk_a" 1
row Reprotect 403 OperationDenied verb b Reprotect
clients a "$disk_a" 0

more ()
{
  disk_a=$(value a CreateDisk DiskId DiskName="a$1" Size=$disk_size)
  disk_b=$(value b CreateDisk DiskId DiskName="b$1" Size=$disk_size)
}
more 2
pair_make
more 3
row Create 403 OperationDenied.QuotaExceed pair_create

while read -r name status code dash _; do
  [ "$dash" = - ] ||
    ok "$name $status $code is met" grep -qxF -- "$name $status $code" \
      < <(printf '%s\n' "${met[@]}")
done <"$tmp/list"
for line in "${met[@]}"; do
  grep -qxF -- "$line" "$tmp/list" || fail "$line is in the list"
done
done_testing

# How many pairs a site takes part in is limited (pairs-max), at either end;
# what was paid for in advance has a time at which it ends.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"

sites_prepare
site_up a --pairs-max=2
site_up b --pairs-max=1
wait_for 30 peers_see_each_other || bail_out "the sites do not meet"

disks_make_more ()
{
  disk_a=$(value a CreateDisk DiskId DiskName="a$1" Size=$disk_size)
  disk_b=$(value b CreateDisk DiskId DiskName="b$1" Size=$disk_size)
}

disks_make_more 1
pair_make ChargeType=PREPAY Period=1 PeriodUnit=Month
first=$pair
expired=$(pair_value a "$first" ExpiredTime)
created=$(pair_value a "$first" CreateTime)
is 'a month later' "$(date -u -d "@$expired" '+%H:%M:%S')" \
  "$(date -u -d "@$created" '+%H:%M:%S')"
days=$(((expired - created) / 86400))
ok "that is $days days" test $days -ge 28 -a $days -le 31
is 'the other site says the same' "$(pair_value b "$first" ExpiredTime)" \
  "$expired"

disks_make_more 2
refused 'the destination has all it takes' \
  '403 .*OperationDenied.QuotaExceed.*not allowed due to quota.*site-b.*pairs-max' \
  pair_create
is 'nothing was made' "$(value a DescribeDiskReplicaPairs TotalCount)" 1

site_kill_agent b
site_up b --pairs-max=1000
wait_for 30 peers_see_each_other
pair_make
is 'without a charge in advance there is no end' \
  "$(pair_value a "$pair" ExpiredTime)" null
disks_make_more 3
refused 'the source has all it takes' '403 .*OperationDenied.QuotaExceed' \
  pair_create
api a DeleteDiskReplicaPair ReplicaPairId="$first" >/dev/null
ok 'one is deleted' wait_for 30 pair_gone a "$first"
ok 'and there is room again' pair_make

refused 'a limit is a number' "pairs-max 'many'" "$paird" --region=x \
  --dir="$tmp/x" --pairs-max=many
done_testing

# Tags, resource groups and regions: section 5.4 of the API.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"

sites_up
disks_make
pair_make Tag.1.Key=app Tag.1.Value=shop ResourceGroupId=rg-1
type=ResourceType=DiskReplicaPair

tags ()
{
  call -a ListTagResources -p TagResources "$tmp/$1" $type \
    ResourceId.1="$pair" "${@:2}" |
    python3 -c 'import json, sys
print(*("%(TagKey)s=%(TagValue)s" % t for t in json.load(sys.stdin)))'
}
tags_are () { [ "$(tags "$1")" = "$2" ]; }

is 'tags given at creation' "$(tags a)" app=shop
ok 'more of them' api a TagResources $type ResourceId.1="$pair" \
  Tag.1.Key=app Tag.1.Value=bank Tag.2.Key=env Tag.2.Value=
is 'a key that is there gets its new value' "$(tags a)" 'app=bank env='
ok 'the other site has them too' wait_for 30 tags_are b 'app=bank env='
ok 'from there: one goes' api b UntagResources $type ResourceId.1="$pair" \
  TagKey.1=env
ok 'and is gone here' wait_for 30 tags_are a app=bank
is 'a filter that fits' "$(value a DescribeDiskReplicaPairs TotalCount \
  Tag.1.Key=app Tag.1.Value=bank)" 1
is 'a filter that does not' "$(value a DescribeDiskReplicaPairs TotalCount \
  Tag.1.Key=app Tag.1.Value=shop)" 0
is 'list by tag' "$(value a ListTagResources TagResources.0.ResourceId \
  $type Tag.1.Key=app)" "$pair"
is 'both conditions count' "$(value a ListTagResources TagResources.0 $type \
  Tag.1.Key=none ResourceId.1="$pair")" null

# many Tag .Key=k 3: Tag.1.Key=k1 Tag.2.Key=k2 Tag.3.Key=k3
many () { local i; for ((i = 1; i <= $3; ++i)); do echo "$1.$i$2$i"; done; }
e ()
{
  local name=$1 pattern=$2
  shift 2
  refused "$name" "$pattern" api a "$@"
}
e 'no type' '404 .*MissingParameter.ResourceType' TagResources \
  ResourceId.1="$pair" Tag.1.Key=a
e 'an unknown type' '404 .*InvalidResourceType.NotFound' TagResources \
  ResourceType=disk ResourceId.1="$pair" Tag.1.Key=a
e 'no resource' '400 .*"MissingResourceId"' TagResources $type Tag.1.Key=a
e 'no tag' '400 .*"MissingTag"' TagResources $type ResourceId.1="$pair"
e 'an unknown resource' '404 .*InvalidResourceId.NotFound' TagResources \
  $type ResourceId.1=pair-cn-none Tag.1.Key=a
e 'one of two unknown: none is changed' '404 .*InvalidResourceId.NotFound' \
  TagResources $type ResourceId.1="$pair" ResourceId.2=pair-cn-none Tag.1.Key=a
is 'indeed' "$(tags a)" app=bank
e 'an unknown region' '404 .*InvalidRegionId.NotFound' TagResources $type \
  ResourceId.1="$pair" Tag.1.Key=a RegionId=nowhere
e 'a key twice' '400 .*Duplicate.TagKey' TagResources $type \
  ResourceId.1="$pair" Tag.1.Key=a Tag.2.Key=a
e 'a value without a key' '400 .*InvalidParameter.TagValue' ListTagResources \
  $type Tag.1.Value=x
for key in acs:x aliyunx http://x "$(printf 'x%.0s' {1..129})"; do
  e "key ${key:0:10}" '400 .*InvalidParameter".*Tag.N.Key' TagResources $type \
    ResourceId.1="$pair" Tag.1.Key="$key"
done
for value in acs:x xhttps://x "$(printf 'x%.0s' {1..129})"; do
  e "value ${value:0:10}" '400 .*InvalidParameter".*Tag.N.Value' TagResources \
    $type ResourceId.1="$pair" Tag.1.Key=a Tag.1.Value="$value"
done
e '21 tags' '400 .*NumberExceed.Tags' TagResources $type ResourceId.1="$pair" \
  $(many Tag .Key=k 21)
e '51 resources' '400 .*NumberExceed.ResourceIds' TagResources $type \
  Tag.1.Key=a $(many ResourceId =pair-cn- 51)
e 'the 21st tag of a pair' '400 .*OperationDenied.QuotaExceed' TagResources \
  $type ResourceId.1="$pair" $(many Tag .Key=k 20)
e 'nothing to list by' '400 .*"MissingResourceId"' ListTagResources $type
e 'untag: neither keys nor All' '400 .*"MissingTagKey"' UntagResources $type \
  ResourceId.1="$pair"
ok 'untag: All' api a UntagResources $type ResourceId.1="$pair" All=true
is 'none is left' "$(tags a)" ''
long=$(printf '\xf0\xa0\x80\x80%.0s' {1..128})
ok 'the longest key and value' api a TagResources $type ResourceId.1="$pair" \
  Tag.1.Key="$long" Tag.1.Value="$long"

# Pages of tags.
api a UntagResources $type ResourceId.1="$pair" All=true >/dev/null
api a TagResources $type ResourceId.1="$pair" \
  $(many Tag .Key=k 5) >/dev/null
token=$(value a ListTagResources NextToken $type ResourceId.1="$pair" \
  MaxResults=3)
is 'the second page has the rest' "$(value a ListTagResources \
  TagResources.1.TagKey $type ResourceId.1="$pair" MaxResults=3 \
  NextToken="$token")" k5

ok 'another resource group' api a ChangeResourceGroup $type \
  ResourceId="$pair" NewResourceGroupId=rg-2
in_group () { [ "$(pair_value "$1" "$pair" ResourceGroupId)" = "$2" ]; }
ok 'at both sites' wait_for 30 in_group b rg-2
e 'no resource group' '404 .*MissingParameter.ResourceGroup' \
  ChangeResourceGroup $type ResourceId="$pair"
e 'a resource group that cannot be' '404 .*InvalidResourceGroup.NotFound' \
  ChangeResourceGroup $type ResourceId="$pair" NewResourceGroupId='a b'

# Tags do not disturb what runs, nor a verb the tags.
pair_start >/dev/null
wait_status a "$pair" normal
ok 'tags while it runs' api b TagResources $type ResourceId.1="$pair" \
  Tag.1.Key=live
ok 'are there' wait_for 30 tags_are a 'k1= k2= k3= k4= k5= live='
is 'it still runs' "$(pair_value a "$pair" Status)" normal

# Changed at both sites while they cannot hear each other: neither is lost.
api a StopDiskReplicaPair ReplicaPairId="$pair" >/dev/null
wait_status a "$pair" stopped
wait_status b "$pair" stopped
site_kill_agent a
ok 'a tag there, alone' api b TagResources $type ResourceId.1="$pair" \
  Tag.1.Key=alone
site_kill_agent b
site_start a
ok 'a name here, alone' api a ModifyDiskReplicaPair \
  ReplicaPairId="$pair" PairName=renamed
ok 'a name once more' api a ModifyDiskReplicaPair \
  ReplicaPairId="$pair" PairName=renamed2
site_start b
both ()
{
  tags_are "$1" 'k1= k2= k3= k4= k5= live= alone=' &&
    [ "$(pair_value "$1" "$pair" PairName)" = renamed2 ]
}
ok 'here are both' wait_for 30 both a
ok 'there, too' wait_for 30 both b
wait_for 30 peers_see_each_other

is 'regions: ours' "$(value a DescribeRegions Regions.0.RegionId)" site-a
is 'regions: the peer, with its zone' \
  "$(value a DescribeRegions Regions.1.Zones.0.ZoneId)" site-b-1
is 'regions: one of them' \
  "$(value a DescribeRegions Regions.0.RegionId RegionId=site-b)" site-b
is 'regions: of another product' \
  "$(value a DescribeRegions Regions.0 ResourceType=lens)" null
e 'regions: of no product' '400 .*ResourceType' DescribeRegions \
  ResourceType=x
e 'regions: in Klingon' '400 .*AcceptLanguage' DescribeRegions \
  AcceptLanguage=tlh
is 'where a disk may be copied to' "$(value a ListReplicaEdgeSupported \
  SupportedRegions.0.RegionId Azone=site-a-1)" site-b
is 'from an unknown zone: nowhere' "$(value a ListReplicaEdgeSupported \
  SupportedRegions.0 Azone=x)" null
e 'no zone' '400 .*"MissingAzone"' ListReplicaEdgeSupported

done_testing

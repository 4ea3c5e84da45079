# What comes in by HTTP, and that every answer is JSON with the right code.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"

sites_prepare
site_up a
tcp=127.0.0.1:${api_port[a]}
list=DescribeDiskReplicaPairs
key_make a "$tmp/key"
signed () { call -k "$tmp/key" "$@"; }

answers ()
{
  local name=$1 pattern=$2 output
  shift 2
  output=$("$@" 2>&1)
  if grep -qE -- "$pattern" <<<"$output"; then pass "$name"; else
    fail "$name"; diag "$* => $output"; fi
}

answers 'GET with Action in the query' '^200 .*"ReplicaPairs": \[\]' \
  signed -S rpc -m GET -a $list "$tcp" RegionId=site-a
answers 'POST with the action in a header' '^200 .*"ReplicaPairs"' \
  signed -A $list "$tcp" RegionId=site-a
answers 'parameters in a form body' '^200 .*"ReplicaPairs"' \
  signed -w form -a $list "$tcp" RegionId=site-a
answers 'parameters in a chunked form body' '^200 .*"ReplicaPairs"' \
  signed -w chunked -A $list "$tcp" RegionId=site-a
answers 'Version as a parameter' '^200' \
  signed -v '' -a $list "$tcp" RegionId=site-a Version=2021-07-30
answers 'RequestId is an upper-case UUID' \
  '"RequestId": "[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}"' \
  signed -a $list "$tcp" RegionId=site-a
answers 'an error has all its members' \
  '^404 .*"RequestId".*"HostId": "site-a".*"Code": "InvalidApi.NotFound".*"Message".*"Recommend"' \
  signed -a NoSuchAction "$tcp" RegionId=site-a
answers 'no action' '^400 .*"MissingAction"' signed "$tcp" RegionId=site-a
answers 'a wrong version' '^404 .*"InvalidVersion"' \
  signed -v 2014-05-26 -a $list "$tcp" RegionId=site-a
answers 'no version' '^400 .*"MissingVersion"' \
  signed -v '' -a $list "$tcp" RegionId=site-a
answers 'no region by TCP' '^400 .*"MissingRegionId"' signed -a $list "$tcp"
answers 'no region, no version on the Unix socket' '^200' \
  call -v '' -a $list "$tmp/a"
answers 'a missing parameter is named' \
  '^400 .*"MissingReplicaPairId".*"ReplicaPairId is mandatory' \
  signed -a StartDiskReplicaPair "$tcp" RegionId=site-a
answers 'a wrong value is named' \
  '^400 .*"InvalidParameter".*"The parameter OneShot is invalid\."' \
  signed -a StartDiskReplicaPair "$tcp" RegionId=site-a ReplicaPairId=pair-cn-x \
  OneShot=yes
answers 'an unknown pair' '^404 .*"NoSuchResource"' \
  signed -a StopDiskReplicaPair "$tcp" RegionId=site-a ReplicaPairId=pair-cn-x
answers 'an unknown region: a verb finds nothing' '^404 .*"NoSuchResource"' \
  signed -a StopDiskReplicaPair "$tcp" RegionId=nowhere ReplicaPairId=pair-cn-x
answers 'an unknown region: an empty list' '^200 .*"ReplicaPairs": \[\]' \
  signed -a $list "$tcp" RegionId=nowhere
answers 'a region whose site is dead' '^503 .*"ServiceUnavailable".*site-b' \
  signed -a $list "$tcp" RegionId=site-b
for method in PUT DELETE HEAD2 PATCH; do
  answers "method $method" '^400 .*"UnsupportedHTTPMethod"' \
    call -m $method -a $list "$tcp" RegionId=site-a
done
answers 'another path' '^404 .*"InvalidApi.NotFound"' \
  signed -u /index.html "$tcp"
answers 'a call of a peer without proof' '^403 .*"Forbidden"' \
  call -u /peer/hello -w form -d '{}' "$tcp"
answers 'the query wins over the body' '^400 .*"InvalidParameter".*MaxResults' \
  signed -w form -a $list -u "/?MaxResults=0" "$tcp" RegionId=site-a MaxResults=1
answers 'a JSON body is not read' '^200' \
  signed -w form -u "/?Action=$list&RegionId=site-a" -t application/json \
  -d '{"MaxResults":0}' "$tcp"
answers 'names are case-sensitive' '^400 .*"MissingRegionId"' \
  signed -a $list "$tcp" regionid=site-a
answers 'text that is not UTF-8' '^400 .*"InvalidParameter.Format"' \
  signed -u "/?Action=$list&RegionId=%ff%fe" "$tcp"
answers 'a zero byte' '^400 .*"InvalidParameter.Format"' \
  signed -w form -t application/x-www-form-urlencoded -d 'RegionId=a%00b' \
  -A $list "$tcp"
answers 'too many parameters' '^400 .*"InvalidParameter.Format"' \
  signed -w form -A $list "$tcp" $(seq -f 'p%g=1' 600)
head -c 1100000 /dev/zero | tr '\0' a >"$tmp/big"
answers 'a body beyond 1 MiB' '^400 .*"InvalidParameter.Format"' \
  python3 - "$tcp" "$tmp/big" <<END
import sys
sys.path.insert(0, "$top_srcdir/tests")
import importlib
c = importlib.import_module("agent-call")
status, data, r = c.call(sys.argv[1], way="form",
                         body=b"x=" + open(sys.argv[2], "rb").read())
print(status, data.decode())
END
answers 'Content-Type' 'application/json' python3 - "$tcp" <<END
import sys
sys.path.insert(0, "$top_srcdir/tests")
import importlib
c = importlib.import_module("agent-call")
print(c.call(sys.argv[1])[2].getheader("Content-Type"))
END

# Paging: 5.5 of the API.
for n in 1 2 3 4 5; do
  api a CreateDisk DiskName=disk0$n Size=1048576 >/dev/null
done
is 'pages: the count is of all' \
  "$(value a DescribeDisks TotalCount PageSize=2)" 5
is 'pages: the third has the rest' \
  "$(value a DescribeDisks Disks.1 PageSize=2 PageNumber=3)" null
is 'tokens: first page' \
  "$(value a DescribeDisks Disks.2 MaxResults=2)" null
token=$(value a DescribeDisks NextToken MaxResults=4)
is 'tokens: the last page has what is left' \
  "$(value a DescribeDisks Disks.1 MaxResults=4 NextToken="$token")" null
is 'tokens: the last page has no token' \
  "$(value a DescribeDisks NextToken MaxResults=4 NextToken="$token")" null
answers 'a token that is none' '^400 .*NextToken' \
  api a DescribeDisks NextToken=abc
answers 'a page too large' '^400 .*PageSize' api a DescribeDisks PageSize=101

# Clients give up after 3 seconds, so even a dead plugin is answered before.
pid=$(nbdkit_of a)
control a '{"op":"fake.silent","seconds":600}' >/dev/null
# The best of some: how long this machine takes for a client is not measured.
for try in {1..10}; do
  before=$(date +%s%N)
  answers 'a plugin that does not answer' '^503 .*"ServiceUnavailable"' \
    api a CreateDisk DiskName="later$try" Size=1048576
  ms=$((($(date +%s%N) - before) / 1000000))
  [ $ms -ge 3000 ] || break
done
ok "it took $ms ms, less than 3 s" test $ms -lt 3000

# A new paird waits for a silent nbdkit and does not end it.
site_kill_agent a
site_start a
is 'it is not alive yet' "$(value a DescribeSite PluginAlive)" false
control a '{"op":"fake.silent","seconds":0}' >/dev/null
ok 'it is when it answers' wait_for 30 plugin_alive a
is 'it is the same' "$(nbdkit_of a)" "$pid"

done_testing

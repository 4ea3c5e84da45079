#!/usr/bin/env bash
# One call that takes too long says nothing of the site: it is away when it does
# not answer a hello.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"

stall ()
{
  control b "{\"op\":\"fake.stall\",\"what\":\"disk.list\",\"stall\":$1}" \
    >/dev/null
}

lost () { value a DescribeEvents Events | grep -c '"peer-lost"'; }
sees_b () { [ "$(value a DescribeSite Peers.0.Reachable)" = "$1" ]; }

sites_up
# So many that they are asked for in one list.
for ((i = 0; i < 8; i++)); do
  api b CreateDisk DiskName="d$i" Size=1048576 >/dev/null
done
is 'no site was lost' "$(lost)" 0
stall true
ok 'a call takes too long' grep -q '^503 .*site-b cannot be reached' \
  <(api a DescribeDisks RegionId=site-b)
is 'its site is not lost' "$(lost)" 0
ok 'it is reachable' sees_b true
stall false
ok 'the call is answered' grep -q '^200 ' <(api a DescribeDisks RegionId=site-b)

# A site that takes connections and answers nothing.
kill -STOP "${site_pid[b]}"
ok 'a site that hangs is away' wait_for 30 sees_b false
ok 'which is told' test "$(lost)" = 1
kill -CONT "${site_pid[b]}"
ok 'it is back' wait_for 30 sees_b true
done_testing

#!/usr/bin/env bash
# Errors say what failed, why, the code and the next step; exit codes tell a
# refusal from a failure from an agent that is not there.

source "${0%/*}/cli-functions.sh"

run disk list --site "$tmp/nowhere"
is "no agent" "$code:$out:$err" "4::pairctl: cannot list disks: cannot reach\
 the agent at '$tmp/nowhere/api.sock': No such file or directory
hint: is paird running? Name its site directory with --site or PAIRDISK_SITE"
run disk list --site "/$(printf 'x%.0s' {1..200})"
like "path too long for a socket" "$code:$err" "4:*is too long*hint: give a*"

fake_agent
run disk create d1 --size 1G
run pair create --disk d1 --peer-disk d2 --name x

fake '{"fail": {"StartDiskReplicaPair": [400,
        "OperationDenied.StandbyDeviceAttached",
        "The secondary disk is attached.", "detach it, then start again"]}}'
run pair start x
is "refused, with code and hint" "$code:$out:$err" "3::pairctl: cannot start\
 pair 'x': The secondary disk is attached.\
 (OperationDenied.StandbyDeviceAttached)
hint: detach it, then start again"
fake '{"fail": {"StartDiskReplicaPair": [403, "OperationDenied", "No.", ""]}}'
run pair start x
is "no hint, no line" "$err" \
   "pairctl: cannot start pair 'x': No. (OperationDenied)"
fake '{"fail": {"DescribeDisks": [500, "InternalError", "Oops.", ""]}}'
run disk list
is "the agent failed" "$code:$err" \
   "1:pairctl: cannot list disks: Oops. (InternalError)"
fake '{"fail": {"DescribeDisks": [502, "", "", ""]}}'
run disk list
is "no reason given" "$code:$err" "1:pairctl: cannot list disks: the agent\
 gives no reason (HTTP 502)"
for raw in 'no JSON' '[]' '' '{"Disks": [}'; do
  fake "$(printf '{"raw": {"DescribeDisks": "%s"}}' \
            "$(sed 's/"/\\"/g' <<<"$raw")")"
  run disk list
  like "answer '$raw'" "$code:$out:$err" "1::*is not a JSON object*"
done
fake '{"raw": {"DescribeDisks": "{\"Disks\": 7}"}}'
run disk list
is "members of another type are no members" "$code:${out:0:4}" "0:NAME"
fake '{}'

run disk show none
is "no such disk" "$code:$err" "3:pairctl: cannot show disk 'none': there is\
 no disk 'none' at this site (NoSuchResource)
hint: see 'pairctl disk list'"
run pair stop none
is "no such pair" "$code:$err" "3:pairctl: cannot stop pair 'none': there is\
 no pair 'none' at this site (NoSuchResource)
hint: see 'pairctl pair list'"
run pair create --disk d1 --peer-disk d2 --name x
run pair show x
like "a name that is not unique" "$code:$err" "3:*several pairs*AmbiguousName*"
run pair create --disk d1 --peer-disk d2 --peer-region cn-z
like "no such peer" "$code:$err" "3:*has no peer 'cn-z'*hint: 'pairctl site*"
fake '{"site": {"Peers": []}}'
run pair create --disk d1 --peer-disk d2
like "no peer at all" "$code:$err" "3:*the site has 0 peers*--peer-region*"
fake '{"site": {"Peers": [{"RegionId": "cn-b"}]}}'
run pair create --disk d1 --peer-disk d2
like "zone not known" "$code:$err" "3:*zone of peer 'cn-b' is not known*"
run pair create --disk d1 --peer-disk d2 --peer-zone z9
is "zone given" "$code" 0

done_testing

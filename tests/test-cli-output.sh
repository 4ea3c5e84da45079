#!/usr/bin/env bash
# Tables fit and line up, JSON carries the same facts, what is not known is
# not printed as zero.

source "${0%/*}/cli-functions.sh"
requires python3
fake_agent

run disk list
is "empty list is a header" "$code:$err:${out%% *}" "0::NAME"

run disk create vm1 --size 2G
is "create" "$code:$err:$out" "0::created disk 'vm1' of 2.0 GiB: d-000000000001"
run disk create a-long-name-of-a-disk --size 512M --capacity 1G
like "capacity is sent" "$(tail -n 1 "$PAIRDISK_SITE/calls")" \
     '*"Capacity": "1073741824"*"Size": "536870912"*'

run disk list
is "columns line up, numbers to the right" "$(cut -c1-69 <<<"$out")" \
"NAME                   ID                   SIZE     USED  ROLE      
vm1                    d-000000000001    2.0 GiB  4.0 KiB  standalone
a-long-name-of-a-disk  d-000000000002  512.0 MiB  4.0 KiB  standalone"

for columns in 40 60 80 120; do
  COLUMNS=$columns run disk list
  widest=$(wc -L <<<"$out")
  [ "$widest" -le $columns ] && fits=yes || fits="no, $widest"
  is "fits $columns columns" "$fits" yes
done
like "cut text shows it" "$(COLUMNS=40 "$pairctl" disk list)" "*…*"

fake '{"disk": {"Attached": null, "Used": null}}'
run disk show vm1
like "unknown is said" "$out" "*used:      -*attached:  unknown*"
fake '{"disk": {"DiskName": "e\u001b[2Jvil"}}'
run disk list
like "control characters are replaced" "$out" "*e?\[2Jvil*"
fake '{"disk": {"DiskName": "磁盘", "Used": "8192"}}'
run disk list
is "wide characters line up, numbers may be strings" \
   "$(sed -n '2s/  standalone.*//p' <<<"$out")" \
   "磁盘  d-000000000001    2.0 GiB  8.0 KiB"
fake '{}'

run disk list --json
is "JSON has the same disks" "$(python3 -c '
import json, sys
o = json.load (sys.stdin)
print (o["FormatVersion"], [d["DiskName"] for d in o["Disks"]],
       o["Disks"][0]["Size"])' <<<"$out")" \
   "1 ['vm1', 'a-long-name-of-a-disk'] 2147483648"

for i in 1 2 3 4 5; do
  run pair create --disk vm1 --peer-disk d-peer --name "p$i" --rpo 1m
done
is "create says what comes next" "$out" \
   "created pair 'p5': pair-cn-000000000005
next: pairctl pair start p5"
is "peer, zone and RPO are found and sent" \
   "$(grep CreateDiskReplicaPair "$PAIRDISK_SITE/calls" | tail -n 1 |
      sed 's/"ClientToken": "[^"]*", //')" \
   '{"DestinationDiskId": "d-peer", "DestinationRegionId": "cn-b",'\
' "DestinationZoneId": "cn-b-1", "DiskId": "d-000000000001",'\
' "PairName": "p5", "RPO": "60", "SourceZoneId": "cn-a-1",'\
' "action": "CreateDiskReplicaPair"}'

run pair list
is "all pages are listed" "$(awk 'NR > 1 { print $1 }' <<<"$out" | xargs)" \
   "p1 p2 p3 p4 p5"
fake '{"pair": {"LagSeconds": 0.25, "LagBytes": 4096, "LagWrites": 1,
                "LinkState": "waiting", "LinkReason": "connection refused"}}'
run pair list
like "lag and link" "$out" "*  0.2s  4.0 KiB  *  waiting*"
run pair show p1
like "show has the reason" "$out" "*link: *waiting: connection refused*"
like "show has the lag" "$out" "*lag: *0.2s, 1 writes, 4.0 KiB*"
fake '{}'
run pair show pair-cn-000000000002
like "next step" "$code:$out" "0:*next: *pairctl pair start pair-cn-0*2"
run pair show p2 --json
is "JSON of a pair without progress" "$(python3 -c '
import json, sys
o = json.load (sys.stdin)
print (o["ReplicaPair"]["PairName"], o["Progress"])' <<<"$out")" "p2 None"

run event list
is "oldest first" "$(awk 'NR > 1 { print $1 }' <<<"$out" | xargs)" \
   "1 2 3 4 5 6 7"
like "states of an event" "$out" "*creating -> created*"
run event list --after 5 --limit 1 --json
is "after and limit are sent" "$(python3 -c '
import json, sys
print ([e["EventId"] for e in json.load (sys.stdin)["Events"]])' <<<"$out")" \
   "[6]"
run event list --pair p3
is "events of one pair, by its name" "$(awk 'NR > 1 { print $1 }' <<<"$out")" 5
run site show
like "site" "$code:$out" "0:*peer: *cn-b/cn-b-1 at 127.0.0.1:1, reachable"

run disk delete vm1 --yes
is "delete" "$code:$out" "0:deleted disk 'vm1'"
"$pairctl" disk list >/dev/full 2>"$tmp/err"
is "output that cannot be written fails" "$?:$(cut -c1-23 "$tmp/err")" \
   "1:pairctl: cannot write t"

done_testing

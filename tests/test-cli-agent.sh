#!/usr/bin/env bash
# pairctl against the real agents of two sites: a pair's whole life.

source "${0%/*}/cli-functions.sh"
source "${0%/*}/agent-functions.sh"
requires nbdkit nbdcopy nbdinfo
[ -x "$paird" ] || skip_all "paird is not built"
[ -e "$plugin" ] || skip_all "the plugin is not built"

at_a () { run --site "$tmp/a" "$@"; }
at_b () { run --site "$tmp/b" "$@"; }

sites_up
at_a site show
like "site" "$code:$out" \
     "0:region: *site-a*data path: *alive*peer: *site-b/site-b-1 at*, reachable"

at_a disk create vm1 --size 64M
like "disk here" "$code:$err:$out" "0::created disk 'vm1' of 64.0 MiB: d-*"
at_b disk create vm1-copy --size 64M
like "disk there" "$code:$err:$out" "0::created disk 'vm1-copy'*: d-*"
copy=${out##* }
at_a disk create vm1 --size 64M
like "name taken" "$code:$err" "3:pairctl: cannot create disk 'vm1': *hint: *"
at_a disk list
like "listed" "$code:$out" "0:NAME*vm1 *64.0 MiB*standalone*Available*no*"
at_a disk show vm1 --json
uri_a=$(python3 -c 'import json, sys
print (json.load (sys.stdin)["Disk"]["NbdUri"])' <<<"$out")
head -c 8M /dev/urandom >"$tmp/data"
ok "content" nbdcopy --flush "$tmp/data" "$uri_a"

at_a pair create --disk vm1 --peer-disk "$copy" --name vm1 --wait --timeout 120
like "pair" "$code:$err:$out" "0::created pair 'vm1': pair-cn-*next: *"
at_a disk delete vm1 --yes
like "a disk in a pair stays" "$code:$err" "3:pairctl: cannot delete disk*"
at_a pair modify vm1 --rpo 10m --description 'the shop'
is "modify" "$code:$err:$out" "0::pair 'vm1' is changed"
at_a pair show vm1
like "changed" "$code:$out" "0:*10m*"
at_a pair modify vm1 --rpo 0.5s
like "half a second" "$code:$err" "2:*whole seconds*"
at_a pair modify vm1
like "nothing to change" "$code:$err" "2:*nothing to change*"
at_b pair failover vm1
like "nothing to fail over to yet" "$code:$err" \
     "3:*(OperationDenied.InvalidStatus)*hint: *"
at_a pair start vm1 --wait --timeout 120
is "start" "$code:$err:$out" "0::pair 'vm1' is replicating"
at_a pair list
like "list" "$code:$out" "0:NAME*vm1 *normal*site-a/d-*site-b/$copy*stream*"
at_a pair progress vm1 --once
like "progress" "$code:$out" "0:*status: *normal*progress: *100%*"
# The other site is told after who waits here.
at_b pair wait vm1 --for normal --timeout 120
at_b pair show vm1
like "known at the other site" "$code:$out" "0:*status: *normal*last point: *"
at_a pair failover vm1
like "not at the primary" "$code:$err" \
     "3:*(OperationDenied.OperateNotAllowedForPrimary)*hint: *"
at_a pair stop vm1 --wait --timeout 120
is "stop" "$code:$err:$out" "0::pair 'vm1' is stopped"
at_a pair start vm1 --one-shot --wait --timeout 120
is "one-shot" "$code:$err:$out" "0::pair 'vm1' is copied and stopped"
at_a pair start vm1 --wait --timeout 120
is "start again" "$code:$err:$out" "0::pair 'vm1' is replicating"

site_kill a
at_a pair list
like "no agent" "$code:$err" "4:*cannot reach the agent*hint: *"
at_b pair failover vm1 --wait --timeout 120
like "failover with a loss report" "$code:$err:$out" "0::failed over: *vm1
open for writing: *$copy
uri: *nbd+unix://*
lost writes: *[0-9]*
lost bytes: *[0-9]*
lost time: *[0-9]*s
primary heard: *
failover took: *[0-9]*s"
at_b pair wait vm1 --for failovered
is "failed over" "$code:$out" "0:pair 'vm1' is failovered"
at_b disk show vm1-copy --json
uri_b=$(python3 -c 'import json, sys
print (json.load (sys.stdin)["Disk"]["NbdUri"])' <<<"$out")
ok "the copy opens" nbdcopy "$uri_b" "$tmp/copy"
ok "and has the content" cmp -n "$((8 << 20))" "$tmp/data" "$tmp/copy"
at_b event list --pair vm1
like "events tell it" "$code:$out" "0:*normal*failovering*-> failovered*"
at_b pair delete vm1 --wait --timeout 120
is "delete" "$code:$err:$out" "0::pair 'vm1' is deleted"
at_b disk delete vm1-copy --yes
is "and the disk" "$code:$err:$out" "0::deleted disk 'vm1-copy'"

done_testing

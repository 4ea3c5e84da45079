#!/usr/bin/env bash
# A disk whose journal fills up: the operator is told before guests are
# refused, reads go on, and trimming or growing it ends it.

source "${0%/*}/functions.sh"
source "${0%/*}/agent-functions.sh"
source "${0%/*}/plugin-functions.sh"
requires curl

sites_prepare
site_up a
export PAIRDISK_SITE=$tmp/a
"$pairctl" disk create web --size 64M --capacity 128M >/dev/null
uri=$("$pairctl" disk show web | sed -n 's/^uri: *//p')

# write COUNT: so many MiB of noise, one after the other; how it ends.
write ()
{
  nbd_python "$uri" '
import nbd, os
n = 0
try:
    for n in range('"$1"'):
        h.pwrite(os.urandom(1 << 20), n << 20)
    h.flush()
    print("written")
except nbd.Error as e:
    print("%s after %d" % (e.errno, n), len(h.pread(1 << 20, 0)))
'
}
is_full ()
{
  "$pairctl" status --json | grep -q 'journal is [0-9]* % full'
}
# The disks that the sample alert of docs/pairdisk-alerts.yml names.
alerted ()
{
  curl -s --noproxy '*' -m 10 --unix-socket "$tmp/a/api.sock" \
       http://paird/metrics |
    awk -F '[{} ]' '$1 == "pairdisk_disk_live_bytes" { live[$2] = $NF }
                    $1 == "pairdisk_disk_room_bytes" { room[$2] = $NF }
                    END { for (d in room)
                            if (live[d] / room[d] >= .85) print d }'
}

is 'half of it' "$(write 32)" written
ok 'nothing needs attention' bash -c "! '$pairctl' status | grep -q full"
is 'nor does the alert say so' "$(alerted)" ""
ok 'what is live is shown' bash -c "'$pairctl' disk show web |
  grep -qE '^live: *32[.][0-9] MiB, full with about 97[.][0-9] MiB'"
ok 'and the capacity' bash -c "'$pairctl' disk show web |
  grep -qE '^capacity: *128[.]0 MiB'"

"$pairctl" disk create small --size 64M --capacity 48M >/dev/null
uri=$("$pairctl" disk show small | sed -n 's/^uri: *//p')
out=$(write 64)
ok 'the guest is refused, and reads on' \
   grep -qE '^ENOSPC after 2[0-9] 1048576$' <<<"$out"
ok 'the operator is told, and what to do' bash -c "'$pairctl' status |
  grep -q 'small.*journal is 9[0-9] % full.*pairctl disk resize small'"
id=$("$pairctl" disk show small | sed -n 's/^id: *//p')
is '... by the alert, too' "$(alerted)" "disk=\"$id\""
nbd_python "$uri" 'h.trim(16 << 20, 0); h.flush()'
ok 'after a trim he is no more' wait_for 30 eval '! is_full'
is 'and the guest writes' "$(write 8)" written
"$pairctl" disk resize small --capacity 160M >/dev/null
is 'larger it takes all' "$(write 64)" written
ok 'and all is well' eval '! is_full'
done_testing

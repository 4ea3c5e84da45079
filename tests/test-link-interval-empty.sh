#!/usr/bin/env bash
# Commits by interval of a disk that was empty when the two sides came
# together: what is written first arrives with the next commit, that is logged
# as the commit it is, and no copy is made after the one of nothing.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

rests () { link_is "l['waits_for'] == 'interval' and l['lag']['writes'] == 0"; }
holds () { [ "$(status "$b" d "s['committed']['seq']")" -ge "$1" ]; }
logged () { grep -c -- "$1" "$tmp/nbdkit-a.log"; }

sites 16M
pair
ask "$a" link.mode '"interval_seconds":1'
link_start
ok 'there is nothing to do' wait_for 20 rests
connects=$(link_status "l['connects']")
fill 1 20
seq=$(status "$a" d "s['durable']['seq']")
ok 'it arrives' wait_for 20 holds "$seq"
ok 'both disks are equal' same_content
fill 2 20
ok 'so does what follows' wait_for 20 holds $((seq + 20))
ok 'both disks are equal' same_content
is 'over the same connection' "$(link_status "l['connects']")" "$connects"
is 'the first copy was one of nothing' "$(logged 'action=initial')" 1
is 'the first commit is told' "$(logged 'its first commit by interval')" 1
done_testing

#!/usr/bin/env bash
# Initial copy, streaming under load, an empty disk, a one-shot: in the end
# both sides hold the same.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

sites 64M
pair
link_start
ok 'a disk that was never written is in step at once' wait_stream
ok 'its first writes arrive' fill 1 20
ok 'and are committed' wait_synced
ok 'both disks are equal' same_content

load_start 2
sleep 2
load_stop
ok 'writes under load are committed' wait_synced
ok 'both disks are equal after a load' same_content
is 'all in one connection' "$(link_status "l['connects']")" 1
is 'the lag is told as nothing' "$(link_status "l['lag']['seconds']")" 0.0
knows_point ()
{
  [ "$(status "$b" d "s['source']['known'] == s['committed']")" = True ]
}
ok 'the secondary knows the point' wait_for 10 knows_point
refused 'a guest of the secondary' '' \
  nbdinfo "nbd://127.0.0.1:$b_port/d"

ask "$a" link.stop
fill 3 50
link_start '"oneshot":true'
ok 'a one-shot ends' wait_for 30 link_is "l['state'] == 'done'"
ok 'with both disks equal' same_content
fill 4 1
is 'and then sends nothing more' "$(link_status "(l['state'], l['lag']['writes'])")" \
  "('done', 1)"
done_testing

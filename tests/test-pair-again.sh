# A pair has a point to fail over to as soon as its first synchronization is
# complete, however little there was to copy: on a disk that was never written,
# and on one that was of the same pair before and has not changed since.  It
# keeps it when the first site is gone and the second one's nbdkit restarts.

source "${0%/*}/pair-functions.sh"

sites_up || bail_out 'the sites do not start'
disks_make 64M
ok 'a pair of disks that were never written' pair_make
ok 'it starts' on a pair start db01
ok 'it becomes normal' wait_status a normal 30
ok 'and stays it at the other site' wait_status b normal
ok 'it can be stopped' on a pair stop db01 --wait
ok 'and deleted' on a pair delete db01 --wait

fill 8 1
ok 'another pair of the same disks' pair_make
on a pair start db01
ok 'normal' wait_status a normal 30
ok 'equal' same_content
on a pair stop db01 --wait
on a pair delete db01 --wait
ok 'and another one, with nothing written between' pair_make
on a pair start db01
ok 'normal again' wait_status a normal 30
wait_status b normal
before=$(digest b $disk_b)

site_kill a
nbdkit_kill b
nbdkit_is_up () { [ "$(on b site show --json | jq .PluginAlive)" = true ]; }
wait_for 30 nbdkit_is_up
ok 'it fails over without the first site' \
  on b pair failover db01 --wait --timeout 120
ok 'the state says so' wait_status b failovered
is 'to what was there' "$(digest b $disk_b)" "$before"

sites_end
done_testing

# What a verb gives up is named before, and nothing happens then: a pair made
# onto a disk that holds something, a failover of a copy that lacks something.

source "${0%/*}/pair-functions.sh"

# put URI FIRST COUNT: blocks
put ()
{
  /usr/bin/python3 - "$@" <<'PYTHON' || bail_out 'cannot write'
import sys, nbd
h = nbd.NBD()
h.connect_uri(sys.argv[1])
first, count = map(int, sys.argv[2:])
for i in range(first, first + count):
    h.pwrite(b"%08d" % i * 512, i * 4096)
h.flush()
PYTHON
}
dry () { local site=$1; shift; on "$site" pair "$@" --dry-run --json; }
create ()
{
  on a pair create --disk $disk_a --name db01 --interval 60s \
    --peer-disk "$(disk_field b $disk_b .DiskId)" "$@"
}
gone () { jq -c '[.Status, .Discard.RegionId, .Discard.Writes, .Discard.Bytes]'; }

sites_up
disks_make 64M
is 'create: an empty disk gives up nothing' "$(create --dry-run --json |
  gone)" '["creating","site-b",0,0]'
put "$uri_a" 0 30
put "$uri_b" 10 20
detached b $disk_b
is 'create: what is on it' "$(create --dry-run --json | gone)" \
  '["creating","site-b",20,81920]'
ok 'for people' grep -q '^gives up: *20 writes, 80.0 KiB, made over' \
  <(create --dry-run)
refused 'it takes --force' 'gives up 20 writes, 80.0 KiB' create
refused 'and says so' 'hint: --force goes on' create
is 'the exit code' "$(create >/dev/null 2>&1; echo $?)" 3
is 'no pair is there' "$(on a pair list --json | jq -c .ReplicaPairs)" '[]'
refused 'a dry run is refused as the call is' NoSuchResource \
  on a pair create --disk $disk_a --peer-disk d-none --dry-run
ok 'create' create --force --wait --timeout 120
ok 'the event says what goes' grep -q \
  'create .*db01; disk .* gives up 20 writes, 81920 bytes' <(on a event list)

is 'start: the same' "$(dry a start db01 | gone)" \
  '["initial_syncing","site-b",20,81920]'
refused 'failover: refused' InvalidStatus dry b failover db01
is 'nothing was begun' "$(pair_field a .Status)" created
ok 'start' on a pair start db01 --wait --timeout 120
level () { disk_is b $disk_b .Detail.committed.seq "$1"; }
wait_for 60 level "$(disk_field a $disk_a .Detail.appended.seq)"
is 'start: it runs already' "$(dry a start db01 | jq -c .Discard)" null

# The copy commits once a minute.
put "$uri_a" 100 50
knows () { [ "$(dry b failover db01 | jq .Discard.Writes)" = 50 ]; }
ok 'failover: what the copy lacks' wait_for 20 knows
is 'in bytes' "$(dry b failover db01 | gone)" \
  '["failovering","site-a",50,204800]'
plan=$(on b pair failover db01 --dry-run)
for line in 'would be: *failovering' 'gives up: *50 writes, 200.0 KiB, made' \
    'primary heard: *[0-9.]*s ago' 'rpo zero: *unknown' 'copy is of: *20'; do
  ok "for people: $line" grep -q "^$line" <<<"$plan"
done
refused 'not at the source' OperateNotAllowedForPrimary \
  on a pair failover db01 --dry-run
ok 'stop: nothing' grep -q '^gives up: *nothing' \
  <(on a pair stop db01 --dry-run)
refused 'delete: not now' InvalidStatus on a pair delete db01 --dry-run
ok 'nothing was begun still' wait_status b normal

proxy freeze >/dev/null
plan=$(dry b failover db01)
ok 'failover' on b pair failover db01 --wait --timeout 120
is 'lost is what was named' "$(pair_field b .Loss | jq -c '[.Writes, .Bytes]')" \
  "$(jq -c '[.Discard.Writes, .Discard.Bytes]' <<<"$plan")"
is 'delete: nothing' "$(dry a delete db01 | jq -c '[.Status, .Discard]')" \
  '["deleting",null]'
ok 'nothing died by itself' nobody_crashed
done_testing

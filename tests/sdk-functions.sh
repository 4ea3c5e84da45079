# Sourced by test-sdk-*.sh: a client library of the cloud, from npm, takes a
# pair of two real sites through its life while a guest writes.
#
#   sdk_install @alicloud/pop-core   # or the test is skipped
#   sdk_life get post                # ways to call, see sdk-client.js

source "$(dirname "${BASH_SOURCE[0]}")/pair-functions.sh"

sdk_install ()
{
  command -v node >/dev/null && command -v npm >/dev/null ||
    skip_all 'node and npm are not installed'
  mkdir "$tmp/npm"
  # They come from the registry when the test runs; nothing of them is kept.
  timeout 120 npm install --prefix "$tmp/npm" --no-audit --no-fund \
    --no-update-notifier --ignore-scripts "$@" >"$tmp/npm.log" 2>&1 ||
    skip_all "npm cannot install $*: $(tail -n 1 "$tmp/npm.log")"
}

sdk_start ()
{
  on a key create --out "$tmp/key" >/dev/null || bail_out 'no access key'
  on b key import "$tmp/key" >/dev/null || bail_out 'no access key at b'
  coproc SDK { exec node "$top_srcdir/tests/sdk-client.js" "$tmp/npm" \
    "$tmp/key" 2>"$tmp/sdk.err"; }
  # The shell hides a coprocess's own descriptors from subshells.
  exec {sdk_in}>&"${SDK[1]}" {sdk_out}<&"${SDK[0]}" {SDK[1]}>&-
  on_exit sdk_end
}

sdk_end () { exec {sdk_in}>&- 2>/dev/null; }

# sdk SITE ACTION [NAME=VALUE...]: prints what sdk-client.js does.
sdk_how=
sdk ()
{
  local site=$1 action=$2 answer
  shift 2
  jq -nc --arg how "$sdk_how" --arg port "${api_port[$site]}" \
    --arg action "$action" --arg region "site-$site" \
    '{how: $how, port: $port, action: $action, params:
      ([{RegionId: $region}] + ($ARGS.positional |
        map(split("=") | {(.[0]): .[1:] | join("=")})) | add)}' \
    --args "$@" >&"$sdk_in"
  read -r -t 30 answer <&"$sdk_out" || { cat "$tmp/sdk.err"; return 1; }
  printf '%s\n' "$answer"
  [ "${answer%% *}" = 200 ]
}

# sdk_value JQ SITE ACTION [NAME=VALUE...]
sdk_value ()
{
  local filter=$1 answer
  shift
  answer=$(sdk "$@") && jq -r "$filter" <<<"${answer#200 }"
}

sdk_pair ()
{
  sdk_value ".ReplicaPairs[0].$2" "$1" DescribeDiskReplicaPairs \
    PairIds="$sdk_pair_id"
}

sdk_pair_is () { [[ ,$2, == *,$(sdk_pair "$1" Status),* ]]; }
sdk_pair_gone ()
{
  [ "$(sdk_value .TotalCount "$1" DescribeDiskReplicaPairs \
    PairIds="$sdk_pair_id")" = 0 ]
}

# sdk_until SITE STATUS
sdk_until ()
{
  wait_for 60 sdk_pair_is "$1" "$2" || {
    echo "the pair at $1 is not $2 but $(sdk_pair "$1" Status):" \
      "$(sdk_pair "$1" StatusMessage)"
    on "$1" event list | tail -n 20
    return 1
  }
}

# verb SITE ACTION [NAME=VALUE...]
verb () { sdk "$1" "${2}DiskReplicaPair" ReplicaPairId="$sdk_pair_id" "${@:3}"; }

# Every way of calling: the same answer, and the same refusal.
sdk_ways ()
{
  for sdk_how; do
    is "$sdk_how: a list" "$(sdk_value .TotalCount a \
      DescribeDiskReplicaPairs PairIds=pair-cn-none)" 0
    is "$sdk_how: signs what is hard to encode" \
      "$(sdk_value .TotalCount a DescribeDiskReplicaPairs \
      Name="a b+c%*()!'~/é=&")" 0
    refused "$sdk_how: a refusal has its code" 'NoSuchResource' \
      sdk a StartDiskReplicaPair ReplicaPairId=pair-cn-none
    refused "$sdk_how: so has one of the gateway" 'MissingReplicaPairId' \
      sdk a StartDiskReplicaPair
    refused "$sdk_how: an unknown action" 'InvalidApi.NotFound' \
      sdk a DoSomething
  done
}

# copy_files VOLUME TO: the files of a volume that rests, as of one moment: no
# checkpoint in the midst of it, which would change the super.
copy_files ()
{
  rm -rf "$2"
  cp "$1/super" "$2.super" && cp -a "$1" "$2" && cmp "$1/super" "$2.super"
}

# copy_is_good SITE DISK: a copy that rests is what the writer had written at
# its commit point.  Guests may not see a secondary, so its volume is copied,
# and that copy made primary.
copy_is_good ()
{
  local id point dir=$tmp/rested r
  id=$(disk_field "$1" "$2" .DiskId)
  point=$(disk_field "$1" "$2" .Detail.committed.time_ns)
  mkdir "$dir" &&
    wait_for 30 copy_files "$tmp/$1/disks/$id" "$dir/$id" || return
  start rested nbdkit -f -U "$dir.sock" "$plugin" dir="$dir" \
    control="$dir.control"
  wait_for 30 test -S "$dir.control" &&
    python3 - "$dir.control" "$id" <<'PYTHON' &&
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(json.dumps({"op": "promote", "disk": sys.argv[2],
                      "fence": 1 << 40}).encode() + b"\n")
answer = json.loads(s.makefile().readline())
sys.exit(0 if answer.get("ok") else str(answer))
PYTHON
    writer_verify "nbd+unix:///$id?socket=$dir.sock" "$point"
  r=$?
  kill_pid "$started_pid"
  rm -rf "$dir" "$dir.sock" "$dir.control"
  return $r
}

# both_are_good SITE DISK: the writer, which compares all of it whenever it
# connects, has found nothing wrong at the source, and both sides are the
# same, block by block, while it writes.
both_are_good ()
{
  is_gone "$writer_pid" && { cat "$tmp/writer.log"; return 1; }
  on "$1" disk verify "$2" --rate 0 --wait --timeout 120
}

sdk_create ()
{
  sdk a CreateDiskReplicaPair DiskId="$disk_a_id" SourceZoneId=site-a-1 \
    DestinationRegionId=site-b DestinationZoneId=site-b-1 \
    DestinationDiskId="$disk_b_id" PairName=sdk RPO=900 "$@"
}

# The pair's life, through one way of calling.
sdk_life ()
{
  local token="life-$RANDOM" point
  sdk_how=$1
  disk_a_id=$(disk_field a $disk_a .DiskId)
  disk_b_id=$(disk_field b $disk_b .DiskId)

  refused 'create: a parameter is missing' 'MissingDestinationDiskId' \
    sdk_create ClientToken="$token" DestinationDiskId=
  sdk_pair_id=$(sdk_create ClientToken="$token" Description='by an SDK' |
    sed -n 's/.*"ReplicaPairId":"\([^"]*\)".*/\1/p')
  is 'create' "${sdk_pair_id%%-cn-*}" pair
  is 'create, again with its token: the same pair' "$(sdk_create \
    ClientToken="$token" Description='by an SDK' |
    sed -n 's/.*"ReplicaPairId":"\([^"]*\)".*/\1/p')" "$sdk_pair_id"
  refused 'its token, other parameters' 'IdempotentParameterMismatch' \
    sdk_create ClientToken="$token" Description='by somebody else'
  refused 'a disk has one pair' 'OperationDenied' sdk_create
  ok 'created' sdk_until a created
  is 'no recovery point yet' "$(sdk_pair a LastRecoverPoint)" null
  refused 'nothing to fail over to' 'OperationDenied.InvalidStatus' \
    verb b Failover

  ok 'start' verb a Start ClientToken="$token"
  ok 'it synchronizes' sdk_until a initial_syncing,syncing,normal
  ok 'normal' sdk_until a normal
  ok 'start again: nothing changes' verb a Start
  ok 'both sides have what the writer wrote' both_are_good a $disk_a
  refused 'delete: not while it runs' 'OperationDenied.InvalidStatus' \
    verb a Delete
  is 'progress' "$(sdk_value .Progress a DescribeDiskReplicaPairProgress \
    ReplicaPairId="$sdk_pair_id")" 100
  ok 'a recovery point' test "$(sdk_pair a LastRecoverPoint)" -gt 1700000000
  refused 'modify: not while it runs' 'OperationDenied.InvalidStatus' \
    verb a Modify PairName=sdk2
  ok 'stop, at the other site' verb b Stop
  ok 'stopped' sdk_until a stopped
  ok 'the other site says so, too' sdk_until b stopped
  ok 'the copy is the disk at its last point' copy_is_good b $disk_b
  ok 'modify' verb a Modify PairName=sdk2 EnableRtc=true
  is 'a boolean' "$(sdk_pair a EnableRtc)" true

  ok 'start' verb a Start
  ok 'normal again' sdk_until a normal
  ok 'both sides have what the writer wrote, again' both_are_good a $disk_a
  ok 'stop' verb a Stop
  ok 'stopped again' sdk_until a stopped
  ok 'the copy is the disk at its last point, again' copy_is_good b $disk_b
  ok 'one-shot' verb a Start OneShot=true
  ok 'it ends in stopped' sdk_until a stopped
  wait_for 10 sdk_until b stopped
  ok 'the copy is the disk of then' copy_is_good b $disk_b
  refused 'one-shot: too soon' 'OperationDenied.ManualSyncLimit' \
    verb a Start OneShot=true

  ok 'tags' sdk a TagResources ResourceType=DiskReplicaPair \
    ResourceId.1="$sdk_pair_id" Tag.1.Key=app Tag.1.Value='a shop'
  is 'are listed' "$(sdk_value '.TagResources[0].TagValue' a \
    ListTagResources ResourceType=DiskReplicaPair \
    ResourceId.1="$sdk_pair_id")" 'a shop'

  ok 'start, for the failover' verb a Start
  ok 'normal before the failover' sdk_until b normal
  ok 'both sides have what the writer wrote, once more' \
    both_are_good a $disk_a
  refused 'failover: not at the primary' \
    'OperationDenied.OperateNotAllowedForPrimary' verb a Failover
  ok 'failover' verb b Failover ClientToken="$token"
  ok 'its answer again' verb b Failover ClientToken="$token"
  ok 'failovered' sdk_until b failovered
  point=$(disk_field b $disk_b .Detail.committed.time_ns)
  ok 'the copy is the guest'"'"'s disk at its point' \
    writer_verify "$uri_b" "$point"
  ok 'the old primary hears of it' sdk_until a failovered
  refused 'start: not after a failover' 'OperationDenied.InvalidStatus' \
    verb a Start

  # The other way round: what b wrote is kept, a becomes the copy.
  writer_stop >/dev/null
  ok 'a guest writes at the new primary' sdk_write "$uri_b" one
  refused 'reprotect: not at the old primary' \
    'OperationDenied.OperateNotAllowedForPrimary' verb a Reprotect
  ok 'reprotect' verb b Reprotect ClientToken="turn-$token"
  ok 'its answer again' verb b Reprotect ClientToken="turn-$token"
  ok 'it ends in stopped' sdk_until b stopped
  is 'the direction is turned' "$(sdk_pair b SourceRegion)" site-b
  is 'who was first is not' "$(sdk_pair b PrimaryRegion)" site-a
  refused 'reprotect: not twice' \
    'OperateNotAllowedForPrimary|InvalidStatus' verb b Reprotect
  ok 'start, the other way' verb b Start
  ok 'normal, the other way' sdk_until a normal
  ok 'both sides are the same, the other way' \
    on b disk verify $disk_b --rate 0 --wait --timeout 120
  refused 'failover: not at the new primary' \
    'OperationDenied.OperateNotAllowedForPrimary' verb b Failover

  # Back, and given up.
  ok 'failover back' verb a Failover
  ok 'failovered back' sdk_until a failovered
  ok 'it has what the writer wrote first' writer_verify "$uri_a" "$point"
  ok 'and what was written at the other site' sdk_has "$uri_a" one
  ok 'a guest writes there' sdk_write "$uri_a" two
  detached a $disk_a
  ok 'cancel' verb a Reprotect ReverseReplicate=false
  ok 'cancel ends in stopped' sdk_until a stopped
  ok 'the disk that goes on has all it had' writer_verify "$uri_b" "$point"
  ok 'and what was written there' sdk_has "$uri_b" one
  is 'the direction is as before' "$(sdk_pair a SourceRegion)" site-b
  ok 'start after the cancel' verb a Start
  ok 'normal after the cancel' sdk_until b normal
  ok 'both sides are the same after the cancel' \
    on b disk verify $disk_b --rate 0 --wait --timeout 120
  ok 'stop, to delete' verb b Stop
  ok 'stopped, to delete' sdk_until b stopped
  ok 'delete, at the source' verb b Delete
  ok 'gone' wait_for 30 sdk_pair_gone a
  ok 'gone at the other site, too' wait_for 30 sdk_pair_gone b
  refused 'delete: it is gone' 'NoSuchResource' verb b Delete
  ok 'the disk that won is as it was' sdk_has "$uri_b" one
  ok 'the copy has it, not what was given up' sdk_has "$uri_a" one
}

# sdk_write URI WORD: a MiB that only that WORD makes, at the disk's start.
sdk_data () { yes "$1" | head -c 1048576 >"$tmp/data"; }
sdk_write () { sdk_data "$2"; nbdcopy --flush "$tmp/data" "$1"; }
sdk_has ()
{
  sdk_data "$2"
  nbdcopy "$1" "$tmp/image" && cmp -n 1048576 "$tmp/image" "$tmp/data"
}

# sdk_test PACKAGE WAY...: the whole test.
sdk_test ()
{
  sdk_install "$1"
  shift
  sites_up
  sdk_start
  disks_make 64M
  writer_patience=0
  writer_start $RANDOM
  sdk_ways "$@"
  sdk_life "$1"
  ok 'nobody crashed' nobody_crashed
  done_testing
}

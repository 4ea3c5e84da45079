# A call repeated with its token has one effect, over a restart, too.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"

sites_up
disk=$(value a CreateDisk DiskId DiskName=db01 Size=1048576 ClientToken=one)
is 'the same call gives the same disk' \
  "$(value a CreateDisk DiskId DiskName=db01 Size=1048576 ClientToken=one)" \
  "$disk"
is 'there is one' "$(value a DescribeDisks TotalCount)" 1
refused 'the same token, other parameters' '400 .*IdempotentParameterMismatch' \
  api a CreateDisk DiskName=db02 Size=1048576 ClientToken=one
refused 'the same name without the token' '400 .*InvalidParameter.*DiskName' \
  api a CreateDisk DiskName=db01 Size=1048576
refused 'a token too long' '400 .*ClientToken' \
  api a CreateDisk DiskName=db02 Size=1048576 \
  ClientToken="$(printf 'x%.0s' {1..65})"
is 'case matters in tokens' "$(value a CreateDisk DiskId DiskName=db03 \
  Size=1048576 ClientToken=One | cut -c1-2)" d-
site_kill a
site_up a
is 'after a restart, still the same disk' \
  "$(value a CreateDisk DiskId DiskName=db01 Size=1048576 ClientToken=one)" \
  "$disk"
ok 'nonce and time do not matter' api a CreateDisk DiskName=db01 \
  Size=1048576 ClientToken=one SignatureNonce=1 Timestamp=2

# Signed: a token is the key's own, in either form.
key_make a "$tmp/key"
key_make a "$tmp/key2"
tcp=127.0.0.1:${api_port[a]}
signed_disk ()
{
  local key=$1 form=$2
  shift 2
  call -k "$tmp/$key" -S "$form" -a CreateDisk -p DiskId "$tcp" \
    Size=1048576 ClientToken=one "$@"
}
disk2=$(signed_disk key acs3 DiskName=db04)
is 'the token of another caller is another token' "${disk2:0:2}" d-
is 'the old form, same token and parameters: same disk' \
  "$(signed_disk key rpc DiskName=db04)" "$disk2"
refused 'the old form, other parameters' '400 .*IdempotentParameterMismatch' \
  signed_disk key rpc DiskName=db05
is 'the token of another key is another token' \
  "$(signed_disk key2 acs3 DiskName=db05 | cut -c1-2)" d-

# Many at once: one does it, the others are told to wait or get its answer.
for i in 1 2 3 4 5 6; do
  api a CreateDisk DiskName=many Size=1048576 ClientToken=many \
    >"$tmp/many.$i" 2>&1 &
done
wait $(jobs -p | grep -v -e "${site_pid[a]}" -e "${site_pid[b]}")
is 'calls at the same time make one disk' \
  "$(value a DescribeDisks TotalCount DiskIds=many)" 1
ok 'each has the disk, or LastTokenProcessing' sh -c \
  "! grep -LE '\"DiskId\"|LastTokenProcessing' '$tmp'/many.* | grep ."

# Verbs of a pair: their second call has no effect, whatever came between.
disk_a=$disk
disk_b=$(value b CreateDisk DiskId DiskName=db01 Size=1048576)
wait_for 30 peers_see_each_other
pair_make ClientToken=pair
is 'create, again' "$(pair_create ClientToken=pair |
  sed -n 's/.*"ReplicaPairId": "\([^"]*\)".*/\1/p')" "$pair"
refused 'create, another RPO' '400 .*IdempotentParameterMismatch' \
  pair_create ClientToken=pair RPO=5
pair_start ClientToken=start >/dev/null
wait_status a "$pair" normal
stop_pair () { api "$1" StopDiskReplicaPair ReplicaPairId="$pair" "${@:2}"; }
ok 'stop, forwarded' stop_pair a ClientToken=stop RegionId=site-b
wait_status a "$pair" stopped
wait_status b "$pair" stopped
site_kill_agent a
site_start a
ok 'start, again after a kill' pair_start ClientToken=start
is 'it is still stopped' "$(pair_value a "$pair" Status)" stopped
refused 'the token of a start is not of a one-shot' \
  '400 .*IdempotentParameterMismatch' pair_start ClientToken=start OneShot=true
ok 'a start of its own' pair_start ClientToken=start2
ok 'starts' wait_status a "$pair" normal
ok 'stop, forwarded again' stop_pair a ClientToken=stop RegionId=site-b
ok 'or called there' stop_pair b ClientToken=stop RegionId=site-b
is 'it is still normal' "$(pair_value a "$pair" Status)" normal
refused 'a refused call is not remembered' '403 .*InvalidStatus' \
  api a DeleteDiskReplicaPair ReplicaPairId="$pair" ClientToken=delete
ok 'stop' stop_pair a
ok 'stopped' wait_status a "$pair" stopped
ok 'so the same call may be made again' \
  api a DeleteDiskReplicaPair ReplicaPairId="$pair" ClientToken=delete
ok 'gone' wait_for 30 pair_gone a "$pair"
ok 'and again' \
  api a DeleteDiskReplicaPair ReplicaPairId="$pair" ClientToken=delete

# Delete: no token needed.
ok 'delete' api a DeleteDisk DiskId="$disk"
refused 'again: not there' '404 .*NoSuchResource' api a DeleteDisk DiskId="$disk"

# Disks that the plugin knows and the store does not are taken in.
kill_pid "${site_pid[a]}" KILL
rm -f "$tmp"/a/paird.db*
site_up a
is 'a lost store finds the disks again' "$(value a DescribeDisks TotalCount)" 4

done_testing

# fio writes at random with several requests in flight and reads it all back.

source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
requires fio
fio --enghelp 2>/dev/null | grep -qw nbd || skip_all 'fio without NBD'

state=$tmp/state
make_disk "$state/d" 128M
nbdkit_start "$state"
uri=$(nbd_uri "$state" d)

# verify NAME OPTION...
verify ()
{
  local name=$1
  shift
  ok "$name" fio --name=verify --ioengine=nbd --uri="$uri" --size=64M \
    --verify=xxhash --verify_fatal=1 --do_verify=1 --randrepeat=0 \
    --buffer_compress_percentage=50 --output="$tmp/fio.out" "$@"
}
cd "$tmp" || exit 1
verify 'random 4 KiB, depth 32' --rw=randwrite --bs=4k --iodepth=32
verify 'random 4 KiB, a flush each 32' --rw=randwrite --bs=4k --iodepth=16 \
  --fsync=32
verify 'random sizes' --rw=randwrite --bsrange=512-256k --bs_unaligned=0 \
  --blockalign=512 --iodepth=8
verify 'sequential 1 MiB' --rw=write --bs=1M --iodepth=4
kill_pid "$nbdkit_pid"
done_testing

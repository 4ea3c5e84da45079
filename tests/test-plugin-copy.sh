# Disks made offline are served without any agent; images go in and out with
# the usual tools and are the same after a restart.

source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
requires qemu-img

state=$tmp/state
size=$((64 * 1024 * 1024))
make_disk "$state/web" 64M
make_disk "$state/db" 64M
pattern "$tmp/image" "$size" 1

nbdkit_start "$state"
ok 'both disks are listed' bash -c \
  "nbdinfo --list '$(nbd_uri "$state")' | grep -c '^export=' | grep -qx 2"
ok 'nbdinfo shows the size' bash -c \
  "nbdinfo --size '$(nbd_uri "$state" web)' | grep -qx $size"
refused 'no default export among two disks' 'No such file' \
  nbdinfo "$(nbd_uri "$state")"
refused 'unknown export' 'No such file' nbdinfo "$(nbd_uri "$state" nope)"
ok 'an empty disk is all hole' bash -c \
  "nbdinfo --map --totals '$(nbd_uri "$state" web)' | grep -q '100.0%.*hole'"

ok 'nbdcopy in' nbdcopy --flush "$tmp/image" "$(nbd_uri "$state" web)"
ok 'nbdcopy out' nbdcopy "$(nbd_uri "$state" web)" "$tmp/out"
ok 'what came out is what went in' cmp "$tmp/image" "$tmp/out"
ok 'qemu-img convert in' qemu-img convert -n -f raw -O raw \
  "$tmp/image" "$(nbd_uri "$state" db)"
ok 'qemu-img convert out' qemu-img convert -f raw -O qcow2 \
  "$(nbd_uri "$state" db)" "$tmp/out.qcow2"
ok 'qemu-img compare' qemu-img compare -f raw -F qcow2 \
  "$tmp/image" "$tmp/out.qcow2"

kill_pid "$nbdkit_pid"
nbdkit_start "$state"
ok 'the same after a clean restart' bash -c \
  "nbdcopy '$(nbd_uri "$state" web)' - | cmp - '$tmp/image'"
kill_pid "$nbdkit_pid" KILL
nbdkit_start "$state"
ok 'and after kill -9' bash -c \
  "nbdcopy '$(nbd_uri "$state" db)' - | cmp - '$tmp/image'"
kill_pid "$nbdkit_pid"

# nbdkit's own fork, as in daily use.
rm -f "$state.sock"
with_preload nbdkit -U "$state.sock" -P "$tmp/nbdkit.pid" "$plugin" "$state" ||
  bail_out 'nbdkit does not start in the background'
on_exit kill_pid "$(cat "$tmp/nbdkit.pid")"
ok 'served from the background too' bash -c \
  "nbdcopy '$(nbd_uri "$state" web)' - | cmp - '$tmp/image'"

done_testing

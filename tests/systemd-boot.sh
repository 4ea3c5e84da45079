#!/bin/bash -
# The machine of test-systemd-boot.sh, in namespaces of its own: mount what a
# machine has at ROOT, go there and become systemd.
#
#   systemd-boot.sh ROOT LAYERS LOG
#   systemd-boot.sh --try ROOT LAYERS LOG     only see whether it can be done
#
# ROOT has etc and var of its own; usr is the one of this machine, below what
# was written to LAYERS/upper.  systemd writes to LOG, its kernel's log.

set -e
try=
[ "$1" != --try ] || { try=1; shift; }
root=$1 layers=$2 log=$3

mount --bind "$root" "$root"
mount -t overlay overlay "$root/usr" \
  -o "lowerdir=/usr,upperdir=$layers/upper,workdir=$layers/work"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for i in dev run tmp; do
  mount -t tmpfs tmpfs "$root/$i"
done
for i in null zero full random urandom tty; do
  touch "$root/dev/$i"
  mount --bind "/dev/$i" "$root/dev/$i"
done
touch "$log" "$root/dev/kmsg"
mount --bind "$log" "$root/dev/kmsg"
mkdir "$root/dev/pts" "$root/dev/shm" "$root/run/before"
mount -t tmpfs tmpfs "$root/dev/shm"
cd "$root"
pivot_root . run/before
umount -l /run/before
[ -z "$try" ] || exit 0
exec env -i container=pairdisk-test \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin /lib/systemd/systemd \
  --log-target=kmsg --log-level=info --show-status=no

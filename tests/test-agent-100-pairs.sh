# 100 pairs between two agents with the real plugin: all of them get to normal,
# 'pairctl status' answers in under a second, memory and CPU are reported.

source "${0%/*}/functions.sh"
requires_long
export TMPDIR=${TMPDIR:-/var/tmp}
source "${0%/*}/agent-functions.sh"
requires jq nbdkit

pairs=${PAIRDISK_PAIRS:-100}
disk_size=$((4 << 20))
on () { local site=$1; shift; "$pairctl" --site "$tmp/$site" "$@"; }
in_status ()
{
  on a pair list --json |
    jq "[.ReplicaPairs[] | select(.Status == \"$1\")] | length"
}
all_are () { [ "$(in_status "$1")" = "$pairs" ]; }

sites_up
for ((i = 1; i <= pairs; ++i)); do
  disk_a=$(value a CreateDisk DiskId DiskName="a$i" Size=$disk_size)
  disk_b=$(value b CreateDisk DiskId DiskName="b$i" Size=$disk_size)
  [ -n "$disk_a" ] && [ -n "$disk_b" ] || bail_out "no disks $i"
  pair_create PairName="pair-$i" RPO=60 >"$tmp/answer" ||
    bail_out "no pair $i: $(cat "$tmp/answer")"
done
ok "$pairs pairs are created" wait_for 120 all_are created
for id in $(on a pair list --json | jq -r '.ReplicaPairs[].ReplicaPairId'); do
  api a StartDiskReplicaPair ReplicaPairId="$id" >/dev/null ||
    fail "start $id"
done
ok 'all get to normal' wait_for 300 all_are normal

cpu_ticks () { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
rss_mib () { awk '/^VmRSS/ { print int ($2 / 1024) }' "/proc/$1/status"; }
declare -A before
for site in a b; do before[$site]=$(cpu_ticks "${site_pid[$site]}"); done
begin=$SECONDS
worst=0
for ((i = 0; i < 10; ++i)); do
  then=$(date +%s%N)
  on a status >"$tmp/status" || fail 'status'
  took=$((($(date +%s%N) - then) / 1000000))
  [ $took -le $worst ] || worst=$took
  # What they do at rest is to be seen, too.
  wait_for 2 false
done
ok "pairctl status took at most $worst ms" test $worst -lt 1000
for site in a b; do
  used=$((($(cpu_ticks "${site_pid[$site]}") - before[$site]) * 1000 /
    $(getconf CLK_TCK) / (SECONDS - begin)))
  diag "agent $site: $(rss_mib "${site_pid[$site]}") MiB resident," \
    "$((used / 10)).$((used % 10)) % of a CPU"
  ok "agent $site takes less than 200 MiB" \
    test "$(rss_mib "${site_pid[$site]}")" -lt 200
done
ok 'all are listed' grep -q "^$pairs pairs: $pairs normal" "$tmp/status"
done_testing

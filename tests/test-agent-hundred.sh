# 100 pairs of real disks between two agents: what they cost while nothing is
# written, and how long pairctl status takes.  For check-long.
#
#   PAIRDISK_PAIRS   how many (100)

source "${0%/*}/functions.sh"
FAKE=
source "${0%/*}/agent-functions.sh"
source "${0%/*}/site-functions.sh"
[ -n "$PAIRDISK_LONG${PAIRDISK_PAIRS-}" ] || requires_long
requires jq
pairs=${PAIRDISK_PAIRS:-100}
joined_sites_up

begin=$SECONDS
for ((i = 0; i < pairs; i++)); do
  on a disk create "disk$i" --size 1M >/dev/null || bail_out "no disk $i at a"
  on b disk create "disk$i" --size 1M >/dev/null || bail_out "no disk $i at b"
done
diag "$((2 * pairs)) disks in $((SECONDS - begin)) s; they take $(
  du -sh "$tmp/a/disks" | cut -f1) at each site"
begin=$SECONDS
on b disk list --json | jq -r '.Disks[] | "\(.DiskName) \(.DiskId)"' \
  >"$tmp/ids"
while read -r name id; do
  on a pair create --disk "$name" --peer-disk "$id" --name "$name" >/dev/null ||
    bail_out "no pair of $name"
done <"$tmp/ids"
in_status ()
{
  [ "$(on a status --json |
         jq "[.ReplicaPairs[] | select(.Status == \"$1\")] | length")" = \
    "$pairs" ]
}
ok 'all are created' wait_for 120 in_status created
for ((i = 0; i < pairs; i++)); do
  on a pair start "disk$i" >/dev/null || bail_out "pair $i does not start"
done
ok 'all replicate' wait_for 120 in_status normal
diag "$pairs pairs created and started in $((SECONDS - begin)) s"

best=100000 worst=0
for _ in {1..15}; do
  begin=$(date +%s%N)
  on a status >"$tmp/status" || fail 'status'
  took=$((($(date +%s%N) - begin) / 1000000))
  [ "$took" -ge "$best" ] || best=$took
  [ "$took" -le "$worst" ] || worst=$took
done
diag "pairctl status: $best ms, at worst $worst ms"
ok 'status in less than a second' test "$best" -lt 1000
ok 'all is well' grep -qx 'nothing needs attention' "$tmp/status"

memory () { sed -n 's/^VmRSS:[ \t]*\([0-9]*\) kB/\1/p' "/proc/$1/status"; }
ticks () { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
# All four processes, while nothing is written.
seconds=10
declare -A process=([paird-a]=${site_pid[a]} [paird-b]=${site_pid[b]}
  [nbdkit-a]=$(nbdkit_of a) [nbdkit-b]=$(nbdkit_of b)) before=()
for i in "${!process[@]}"; do before[$i]=$(ticks "${process[$i]}"); done
begin=$(date +%s%N)
wait_for $seconds false
took=$((($(date +%s%N) - begin) / 1000000))
for i in paird-a paird-b nbdkit-a nbdkit-b; do
  cpu=$((($(ticks "${process[$i]}") - before[$i]) * 1000000 /
    $(getconf CLK_TCK) / took))
  rss=$(memory "${process[$i]}")
  diag "$i: $((cpu / 10)).$((cpu % 10)) % of a CPU, $((rss / 1024)) MiB, \
$(ls "/proc/${process[$i]}/task" | wc -l) threads, \
$(ls "/proc/${process[$i]}/fd" | wc -l) descriptors"
  [ -n "$PAIRDISK_SANITIZERS" ] || case $i in
    # In thousandths, with room for a slower machine.
    paird-*) ok "$i is at rest" test "$cpu" -lt 100
             ok "$i is small" test "$rss" -lt 65536 ;;
    *) ok "$i is at rest" test "$cpu" -lt 300 ;;
  esac
done

ok 'nobody has complained' \
  test -z "$(on a event list --json | jq -r '.Events[] |
    select(.Level != "info") | .Text')"
[ -z "${PAIRDISK_HOLD-}" ] || { diag "$tmp"; wait_for "$PAIRDISK_HOLD" false; }
done_testing

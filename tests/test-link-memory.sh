#!/usr/bin/env bash
# Guests write as fast as it goes, the secondary falls behind, then it catches
# up: the memory of either plugin is the same throughout, whatever is written.
# What is its own (anonymous) is held against a bound; pages of its files that
# happen to be resident are shown beside it.  Now and then there is a round of
# the cleaner in it.  Buffers become resident when they are first used, sooner
# or later by the load: what they come to in the end is no growth.
#
#   PAIRDISK_LOAD_SECONDS   how long (8; 60 for long)
#   PAIRDISK_MEMORY         a file for the samples, one a second: seconds, then
#                           anonymous and all resident KiB of the primary and
#                           of the secondary, then the lag in writes
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

nbdload=$top_builddir/bench/nbdload
[ -x "$nbdload" ] || skip_all 'nbdload is not built'
[[ $PAIRDISK_SANITIZERS != *address* && $PAIRDISK_SANITIZERS != *thread* ]] ||
  skip_all 'the memory of sanitizers is not that of the plugin'
seconds=${PAIRDISK_LOAD_SECONDS:-${PAIRDISK_LONG:+60}}
seconds=${seconds:-8}
samples=${PAIRDISK_MEMORY:-$tmp/samples}
buffers=$((40 << 10))           # KiB that either may have at any time
more=8192                       # KiB that may come in the course of it
cleaner=$((48 << 10))           # KiB that a round may hold

# resident PID: anonymous and all, KiB.
resident ()
{
  awk '/^VmRSS:/ { all = $2 } /^RssAnon:/ { anon = $2 }
    END { print anon, all }' "/proc/$1/status"
}

# sample UNTIL...: each second until the command succeeds.
sample ()
{
  while ! "$@"; do
    echo "$((SECONDS - began)) $(resident "$a_pid") $(resident "$b_pid")" \
      "$(link_status "l['lag']['writes']")" >>"$samples"
    sleep 1                     # the time between samples is what is meant
  done
}

# memory HIGHEST|LOWEST COLUMN FROM TO: of the samples of those seconds.
memory ()
{
  awk -v what="$1" -v c="$2" -v from="$3" -v to="$4" '
    $1 < from || $1 > to { next }
    found == "" || (what == "highest" ? $c > found : $c < found) { found = $c }
    END { print found + 0 }' "$samples"
}

sites 256M
pair
link_start
fill 1 4096                     # every part of the map is in use
wait_synced || bail_out 'no initial copy'
began=$SECONDS
: >"$samples"
start load "$nbdload" -w randwrite -d 32 -t "$seconds" "$(nbd_uri "$a" d)"
sample is_gone "$started_pid"
ended=$((SECONDS - began))
is_level () { is_synced && [ $((SECONDS - began)) -ge $((ended + 3)) ]; }
sample is_level
over=$((SECONDS - began))
ok 'there was a load' grep -q '"mb_per_s\|"ops' "$tmp/load.log"

for column in 2 4; do
  site=$([ $column = 2 ] && echo primary || echo secondary)
  early=$(memory highest $column 0 $((ended / 3)))
  had=$((early > buffers ? early : buffers))
  late=$(memory lowest $column $((ended * 2 / 3)) "$ended")
  drained=$(memory lowest $column "$ended" "$over")
  highest=$(memory highest $column 0 "$over")
  diag "$site: KiB in the first third up to $early, in the last third from" \
    "$late, in the end from $drained; highest $highest," \
    "with files $(memory highest $((column + 1)) 0 "$over")"
  ok "$site: no more under load" test "$late" -le $((had + more))
  ok "$site: nor while it catches up" test "$drained" -le $((had + more))
  ok "$site: never more than that and a round of the cleaner" \
    test "$highest" -le $((had + more + cleaner))
done
diag "lag: up to $(memory highest 6 0 "$over") writes; level" \
  "$((over - ended)) s after the load"
is 'neither was started anew' "$(revived)" 0
done_testing

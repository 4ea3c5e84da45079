#!/bin/bash -
# The main job, end to end: a disk image is served, replicated, and failed
# over after its site is killed.  ./quickstart runs it for people, test-story.sh
# with --tap as a test.
#
#   story.sh [--keep] [--tap]
#     --keep  leave the second site running at the end
#     --tap   speak TAP
#
# Two sites live in one private directory, each with its own agent and nbdkit.

keep="" tap=""
for option; do
  case $option in
    --keep) keep=1 ;;
    --tap) tap=1 ;;
    *) echo "usage: story.sh [--keep] [--tap]" >&2; exit 2 ;;
  esac
done

# Images are large: not on a /tmp that lies in memory.
export TMPDIR=${TMPDIR:-/var/tmp}
source "$(dirname "${BASH_SOURCE[0]}")/functions.sh"

image_mb=384 files_mb=220 disk_mb=512
# The writer has the disk behind the file system to itself.
writer_offset=$((448 << 20)) writer_length=$((32 << 20)) writer_rate=400
writer_flushes=1200             # acknowledged before the site is killed
writer=$top_builddir/tests/writer
space_mb=4000

# ---- telling it ---------------------------------------------------------------

say ()
{
  if [ "$tap" ]; then diag "$*"; else
    local line
    while IFS= read -r line; do echo "   $line"; done <<<"$*"
  fi
}

step_number=0
step ()
{
  if [ "$tap" ]; then diag "$((++step_number)). $*"; else
    echo
    echo "$((++step_number)). $*"
  fi
}

# must NAME COMMAND...: a check the rest depends on.
must ()
{
  ok "$@"
  [ "$tap_failed" -eq 0 ] || the_end
}

must_be_refused ()
{
  refused "$@"
  [ "$tap_failed" -eq 0 ] || the_end
}

if [ -z "$tap" ]; then
  pass () { echo "   ok: $1"; tap_count=$((tap_count + 1)); }
  fail () { echo "   FAILED: $1"; tap_failed=$((tap_failed + 1)); }
  diag () { local line; while IFS= read -r line; do echo "     $line"; done <<<"$*"; }
fi

the_end ()
{
  local log
  if [ "$tap_failed" -gt 0 ]; then
    for log in "$tmp"/site-*/nbdkit.log; do
      [ -s "$log" ] && diag "--- last lines of $log ---
$(tail -n 10 "$log")"
    done
  fi
  [ "$tap" ] && done_testing
  [ "$tap_failed" -eq 0 ]
  exit
}

now_ms () { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# seconds_since MS
seconds_since ()
{
  local ms=$(($(now_ms) - $1))
  printf '%d.%02d s' $((ms / 1000)) $((ms % 1000 / 10))
}

# ---- sites --------------------------------------------------------------------

site_a=$tmp/site-a site_b=$tmp/site-b

on () { local site=$1; shift; "$pairctl" --site "$tmp/site-$site" "$@"; }

# site_pids SITE: agent and nbdkit of one of our two sites.  Nothing else on
# the machine has this private directory in its command line.
site_pids ()
{
  local dir name
  for dir in /proc/[0-9]*; do
    [ -O "$dir" ] || continue
    read -r name 2>/dev/null <"$dir/comm" || continue
    case $name in
      paird|nbdkit) ;;
      *) continue ;;
    esac
    tr '\0' '\n' <"$dir/cmdline" 2>/dev/null | grep -qF -- "$1" &&
      echo "${dir#/proc/}"
  done
}

end_site ()
{
  local pid
  for pid in $(site_pids "$1"); do kill "$pid" 2>/dev/null; done
  wait_for 10 site_is_gone "$1" && return
  for pid in $(site_pids "$1"); do kill -9 "$pid" 2>/dev/null; done
}

site_is_gone () { [ -z "$(site_pids "$1")" ]; }

site_is_up () { [ "$(on "$1" site show --json | jq .PluginAlive)" = true ]; }

peer_is_reachable ()
{
  [ "$(on "$1" site show --json | jq '.Peers[0].Reachable')" = true ]
}

port_a=$(free_port) port_b=$(free_port)
until [ "$port_b" != "$port_a" ]; do port_b=$(free_port); done

# start_site NAME PORT PEER PEER-PORT
start_site ()
{
  mkdir -m 700 "$tmp/site-$1"
  start "site-$1" "$paird" --region="site-$1" --zone="site-$1-1" \
    --dir="$tmp/site-$1" --listen="127.0.0.1:$2" --data-listen=127.0.0.1:0 \
    --peer="site-$3=127.0.0.1:$4" --site-secret-file="$tmp/secret" \
    --plugin="$plugin"
  on_exit end_site "$tmp/site-$1"
}

disk_field () { on "$1" disk show "$2" --json | jq -r ".Disk.$3"; }
pair_field () { on "$1" pair show "$2" --json | jq -r ".ReplicaPair.$3"; }

# ---- 0. what is needed ----------------------------------------------------------

for program in jq nbdcopy nbdinfo nbdkit mke2fs e2fsck debugfs; do
  command -v "$program" >/dev/null && continue
  [ "$tap" ] && skip_all "$program is not installed"
  echo "$program is missing: run ./quickstart, it installs what is needed" >&2
  exit 1
done
for program in "$paird" "$pairctl" "$plugin" "$writer"; do
  [ -e "$program" ] && continue
  [ "$tap" ] && bail_out "$program is not built: run make"
  echo "$program is not built: run make" >&2
  exit 1
done
free_mb=$(df -Pm "$tmp" | awk 'NR == 2 { print $4 }')
if [ "$free_mb" -lt "$space_mb" ]; then
  [ "$tap" ] && skip_all "$tmp has $free_mb MiB free, needs $space_mb"
  echo "$tmp has $free_mb MiB free, needs $space_mb: set TMPDIR to another" \
       "file system" >&2
  exit 1
fi

story_ms=$(now_ms)
[ "$tap" ] || cat <<STORY
Two sites on this machine, as separate processes on the loopback network:

   guest -> nbdkit + pairdisk (site-a)  ==>  nbdkit + pairdisk (site-b)
                  |                                  |
            paird of site-a       <==>         paird of site-b
STORY

# ---- 1. a real disk image ---------------------------------------------------------

step "Build a disk image from files of this machine and copy it in over NBD"

(umask 077; od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$tmp/secret")
start_site a "$port_a" b "$port_b"
start_site b "$port_b" a "$port_a"
must "agent and nbdkit of site-a are up" wait_for 30 site_is_up a
must "agent and nbdkit of site-b are up" wait_for 30 site_is_up b
must "the two sites reach each other" wait_for 30 peer_is_reachable a

# Programs, libraries, and small files by the hundred, up to files_mb.
pick_files ()
{
  local dir
  for dir in /usr/share/perl5 /usr/share/zoneinfo /usr/share/terminfo \
             /usr/lib/python3 /etc/ssl /usr/bin /usr/sbin /usr/lib; do
    [ -d "$dir" ] || continue
    find "$dir" -xdev -type f -readable -size +0 -size -16M -printf '%s\t%p\n' |
      sort -k2 -t$'\t'
  done 2>/dev/null |
    awk -F'\t' -v max=$((files_mb << 20)) \
      '{ if (sum + $1 <= max && n < 12000 && !seen[$2]++) {
           sum += $1; ++n; print $2 } }' | tr '\n' '\0'
}

make_image ()
{
  mkdir "$tmp/files" &&
    pick_files | (cd / && xargs -0 cp --parents -t "$tmp/files") &&
    chmod -R u+rwX "$tmp/files" &&
    (cd "$tmp/files" && find . -type f -print0 | sort -z |
       xargs -0 sha256sum) >"$tmp/manifest" &&
    mke2fs -q -t ext4 -b 4096 -m 0 -E "root_owner=$(id -u):$(id -g)" \
      -d "$tmp/files" "$tmp/image" "${image_mb}M" &&
    rm -rf "$tmp/files"
}

t=$(now_ms)
must "an ext4 file system of $image_mb MiB is made" make_image
say "$(wc -l <"$tmp/manifest") files, each with its SHA-256 on record ($(seconds_since "$t"))"

must "disk db01 of $disk_mb MiB is created at site-a" \
  on a disk create db01 --size "${disk_mb}M"
uri_a=$(disk_field a db01 NbdUri)
say "its address: $uri_a"
t=$(now_ms)
must "the image is copied in with nbdcopy" nbdcopy --flush "$tmp/image" "$uri_a"
say "$image_mb MiB in $(seconds_since "$t"); at rest: $(disk_field a db01 Used |
  awk '{ printf "%.0f MiB", $1 / 1048576 }') of journal, compressed and checksummed"
rm -f "$tmp/image"

# ---- 2. the pair -------------------------------------------------------------------

step "Pair it with a disk at site-b and copy everything once"

must "disk db01-copy of the same size is created at site-b" \
  on b disk create db01-copy --size "${disk_mb}M"
copy_id=$(disk_field b db01-copy DiskId)
must "the pair is created" \
  on a pair create --disk db01 --peer-disk "$copy_id" --name db01 --wait \
  --timeout 300
t=$(now_ms)
must "it is started" on a pair start db01

follow_progress ()
{
  if [ -z "$tap" ] && [ -t 1 ] && [ -t 2 ]; then
    on a pair progress db01 --timeout 600
    return
  fi
  # Lines: DONE TOTAL RATE LEFT LABEL; one for each quarter is enough.
  on a pair progress db01 --timeout 600 --progress 3 3>&1 >/dev/null |
    awk '$2 > 0 { q = int ($1 * 4 / $2)
                  if (!shown[q]++)
                    printf "   %s %3d %%\n", $5, $1 * 100 / $2 }' |
    if [ "$tap" ]; then sed 's/^/# /'; else cat; fi
}
follow_progress
must "the pair is in normal" \
  on a pair wait db01 --for normal --timeout 600
say "initial copy complete in $(seconds_since "$t")"

# ---- 3. a guest at work ------------------------------------------------------------

step "Keep a guest writing at site-a; the copy at site-b refuses to be opened"

seed=$((RANDOM << 15 | RANDOM))
say "writer's seed: $seed"
start writer "$writer" run "$uri_a" "$writer_offset" "$writer_length" "$seed" \
  "$writer_rate" "$tmp/acknowledged"
writer_pid=$started_pid
has_flushed () { [ "$(wc -l <"$tmp/acknowledged")" -ge "$1" ]; }
must "a writer flushes small writes" wait_for 30 has_flushed 200

uri_b=$(disk_field b db01-copy NbdUri)
must_be_refused "opening the copy is refused" . nbdinfo "$uri_b"
say "\$ nbdinfo $uri_b"
say "$(nbdinfo "$uri_b" 2>&1 >/dev/null | head -n 1)"
why=$(grep -h secondary "$site_b/nbdkit.log" | tail -n 1)
must "site-b says why" test -n "$why"
say "why, says site-b: ${why#*error: }"
is "its role is secondary" "$(disk_field b db01-copy Role)" secondary

# ---- 4. disaster -------------------------------------------------------------------

step "Kill everything of site-a in mid-write (kill -9)"

must "the writer has flushed $writer_flushes times" \
  wait_for 120 has_flushed "$writer_flushes"
say "before: $(on a pair list | tail -n 1)"
victims=$(site_pids "$site_a")
# shellcheck disable=SC2086
must "agent and nbdkit of site-a are killed" kill -9 $victims
# shellcheck disable=SC2086
wait $victims 2>/dev/null
must "site-a is dead" wait_for 10 site_is_gone "$site_a"
wait_for 30 is_gone "$writer_pid"
must "the writer lost its disk in mid-work" \
  grep -q 'the disk went away' "$tmp/writer.log"
say "writer: $(tail -n 1 "$tmp/writer.log")"

# ---- 5. failover -------------------------------------------------------------------

step "Fail over at site-b, with site-a gone"

t=$(now_ms)
must "site-b takes over" \
  on b pair failover db01 --wait --timeout 300 --json
took=$(seconds_since "$t")
is "the pair is in failovered" "$(pair_field b db01 Status)" failovered
say "\$ pairctl pair show db01"
say "$(on b pair show db01 | grep -vE '^(id|rpo|created|next)')"
say "the command took $took"

# ---- 6. proof ----------------------------------------------------------------------

step "Open the disk at site-b and check everything"

point_ns=$(disk_field b db01-copy Detail.committed.time_ns)
is "its role is primary" "$(disk_field b db01-copy Role)" primary
must "the disk opens and is copied out with nbdcopy" \
  nbdcopy "$uri_b" "$tmp/image"
must "every flush up to the reported point is there, nothing is garbled, nothing is newer" \
  "$writer" verify "$uri_b" "$writer_offset" "$writer_length" "$seed" \
  "$tmp/acknowledged" "$point_ns"
say "$("$writer" verify "$uri_b" "$writer_offset" "$writer_length" "$seed" \
  "$tmp/acknowledged" "$point_ns")"
truncate -s "${image_mb}M" "$tmp/image"
must "e2fsck finds the file system clean" e2fsck -fn "$tmp/image"

files_are_right ()
{
  mkdir "$tmp/restored" &&
    debugfs -R "rdump / $tmp/restored" "$tmp/image" >"$tmp/debugfs.log" 2>&1 &&
    (cd "$tmp/restored" && sha256sum --quiet --strict -c "$tmp/manifest")
}
must "all $(wc -l <"$tmp/manifest") files have the right checksum" files_are_right

# A guest at work again, at the other site.
start writer-b "$writer" run "$uri_b" "$writer_offset" "$writer_length" \
  "$((seed + 1))" "$writer_rate" "$tmp/acknowledged-b"
must "the disk takes new writes" wait_for 30 test -s "$tmp/acknowledged-b"
kill "$started_pid"
wait_for 10 is_gone "$started_pid"

# ---- 7. next -----------------------------------------------------------------------

step "Done in $(seconds_since "$story_ms")"

if [ "$keep" ] && [ "$tap_failed" -eq 0 ]; then
  trap - EXIT
  rm -rf "$tmp/image" "$tmp/restored" "$site_a"
  # shellcheck disable=SC2046
  say "site-b is still running. Type next:

  export PAIRDISK_SITE=$site_b
  $pairctl pair list
  $pairctl event list
  nbdinfo '$uri_b'

To end it:  kill $(echo $(site_pids "$site_b")) && rm -rf $tmp"
  exit 0
fi
say "Both sites are cleaned up. To look at the second one yourself, type next:

  ./quickstart --keep                    the same, and site-b stays
  pairctl --site DIR/site-b pair list    what it knows of the pair
  nbdinfo 'nbd+unix:///DISK?socket=DIR/site-b/nbd.sock'

It prints these with the names filled in."
the_end

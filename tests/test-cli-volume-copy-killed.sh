#!/usr/bin/env bash
# A copy that is killed with kill -9, alone or with its children, whenever:
# what was to be made is whole or not there, what is left has a name that
# nothing takes for a volume, and the next copy removes it.

source "${0%/*}/cli-functions.sh"
source "${0%/*}/plugin-functions.sh"
export PAIRDISK_PLUGIN=$plugin TMPDIR=$tmp/private
mkdir "$TMPDIR" "$tmp/at"
v=$tmp/at/vm1
size=$((8 * 1024 * 1024))
pattern "$tmp/image" "$size" 1
seed=${PAIRDISK_SEED:-$RANDOM}
diag "PAIRDISK_SEED=$seed"
RANDOM=$seed

left ()
{
  ls -A "$TMPDIR"
  ls -A "$tmp/at"
}

# A source that takes a minute for all of it, at $slow.  A new one each time:
# it may abort when its client is killed.
slow_source ()
{
  rm -f "$tmp/source.sock"
  start source env -u LISTEN_FDS nbdkit -f -U "$tmp/source.sock" \
    --filter=rate file "$tmp/image" rate=1M
  wait_for 30 test -S "$tmp/source.sock"
  slow="nbd+unix:///?socket=$tmp/source.sock"
}

# begin ARGS...: pairctl in the background, as $copy_pid.
begin ()
{
  "$pairctl" "$@" >"$tmp/begun.log" 2>&1 &
  copy_pid=$!
  to_be_ended "$copy_pid"
}

# The journal has something: nbdcopy is at work.
is_filling ()
{
  [ -n "$(find "$tmp/at" -path '*/.vm1.*/journal' -size +0)" ]
}

all_gone ()
{
  local pid
  for pid; do is_gone "$pid" || return 1; done
}

# No process of a killed copy holds what it left, not even one that it started
# after its children were listed.
none_held ()
{
  local dir
  for dir in "$tmp"/at/.vm1.pairctl-* "$TMPDIR"/pairctl-*; do
    [ ! -d "$dir" ] || flock -n "$dir" true || return 1
  done
}

# kill_copy all|alone: its processes are gone afterwards, in any case.
kill_copy ()
{
  local children
  children=$(pgrep -P "$copy_pid")
  if [ "$1" = all ]; then
    # shellcheck disable=SC2086
    kill -s KILL "$copy_pid" $children 2>/dev/null
  fi
  kill_pid "$copy_pid" KILL
  # shellcheck disable=SC2086
  wait_for 30 all_gone $children
  wait_for 30 none_held
}

for who in all alone; do
  slow_source
  begin volume create "$v" --from "$slow"
  wait_for 30 is_filling || fail "$who: nothing is copied"
  kill_copy "$who"
  ok "$who killed: no volume is there" test ! -e "$v"
  like "$who killed: what is left says what it is" "$(ls -A "$tmp/at")" \
    '.vm1.pairctl-??????'
  nbdkit_start "$tmp/at"
  is "$who killed: it is not served" \
     "$(nbdinfo --list --json "$(nbd_uri "$tmp/at")" |
        python3 -c 'import json, sys
print ([e["export-name"] for e in json.load (sys.stdin)["exports"]])')" "[]"
  kill_pid "$nbdkit_pid"
  rm "$tmp/at/.lock"

  run volume create "$v" --from "$tmp/image"
  like "$who killed: the next copy says what it removes" "$code:$err" \
    "0:*removed '$tmp/at/.vm1.pairctl-??????'*killed*"
  is "$who killed: and does" "$(left)" vm1
  run volume export "$v" "$tmp/copy"
  ok "$who killed: the next copy is whole" cmp "$tmp/image" "$tmp/copy"
  rm -rf "$v" "$tmp/copy"
done

# At any moment, quick copies: some come to their end.
began=$(date +%s%3N)
"$pairctl" volume create "$v" --from "$tmp/image" >"$tmp/begun.log" 2>&1
takes=$(($(date +%s%3N) - began))
rm -rf "$v"

# A moment within the time that a copy takes, and half as long again.
any_moment ()
{
  local ms=$((RANDOM % (takes * 3 / 2 + 1)))
  sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}

whole=0
for ((i = 0; i < 12; i++)); do
  begin volume create "$v" --from "$tmp/image"
  any_moment
  kill_copy "$([ $((i % 2)) = 0 ] && echo all || echo alone)"
  if [ -e "$v" ]; then
    whole=$((whole + 1))
    rm -f "$tmp/copy"
    "$pairctl" volume export "$v" "$tmp/copy" >"$tmp/export.log" 2>&1 &&
      cmp "$tmp/image" "$tmp/copy" || fail "a volume is there, and not whole"
    begin volume export "$v" "$tmp/at/copy"
    any_moment
    kill_copy "$([ $((i / 2 % 2)) = 0 ] && echo all || echo alone)"
    [ ! -e "$tmp/at/copy" ] || cmp "$tmp/image" "$tmp/at/copy" ||
      fail "an image is there, and not whole"
    rm -rf "$v" "$tmp/at/copy"
  fi
done
diag "$whole of $i copies, which take $takes ms, were complete when they were killed"
run volume create "$v" --from "$tmp/image"
is "after all that" "$code:$(left)" "0:vm1"

# Not ours, or in use.
mkdir "$tmp/at/.vm2.pairctl-abcdef"
touch "$tmp/at/.vm2.pairctl-abcdef/letters" "$tmp/at/.vm2.pairctl-ghijkl"
run volume create "$tmp/at/vm2" --from "$tmp/image"
like "what holds other things stays" "$code:$err:$(ls -A "$tmp/at")" \
  "0:*and stays: *:.vm2.pairctl-abcdef*.vm2.pairctl-ghijkl*"
rm -r "$tmp"/at/.vm2.* "$tmp/at/vm2" "$v"
slow_source
begin volume create "$v" --from "$slow"
wait_for 30 is_filling || fail "nothing is copied"
run volume create "$v" --from "$tmp/image"
like "another copy is told" "$code:$err" "0:*another copy*under way*"
like "and let alone" "$(ls -A "$tmp/at")" ".vm1.pairctl-??????*vm1"
kill_copy all
rm -rf "$tmp/at"/.vm1.* "$v"

# Killed while it was made, or deleted: see tests/unit-volume-create.c.
unfinished ()
{
  run volume create "$v" --size 16M
  rm "$v/super" "$v/map.0"
}
unfinished
run volume info "$v"
like "an unfinished volume is none" "$code:$err" "1:*"
run volume create "$v" --size 16M
is "it is made again" "$code:$err" "0:"
rm -r "$v"
unfinished
nbdkit_start "$tmp/at"
ok "a server removes it" test ! -e "$v"
ok "and says so" grep -q "'vm1'.*interrupted.*removed" "$tmp/nbdkit-at.log"
kill_pid "$nbdkit_pid"
done_testing

#!/usr/bin/env bash
# Content in and out of volumes without any agent: all of it or nothing, and
# nothing is left running or lying about.

source "${0%/*}/cli-functions.sh"
source "${0%/*}/plugin-functions.sh"
export PAIRDISK_PLUGIN=$plugin TMPDIR=$tmp/private
mkdir "$TMPDIR" "$tmp/at"
v=$tmp/at/vm1
size=$((24 * 1024 * 1024))
pattern "$tmp/image" "$size" 1

# Nothing of ours but what the name says.
left ()
{
  ls -A "$TMPDIR"
  ls -A "$tmp/at"
}

run volume create "$v" --from "$tmp/image"
is "from an image" "$code:$err:$out" "0::created volume '$v' of 24.0 MiB"
is "nothing else is left" "$(left)" "vm1"
run volume export "$v" "$tmp/copy"
is "to a file" "$code:$err:$out" \
   "0::exported volume '$v' of 24.0 MiB to '$tmp/copy'"
ok "it is the same" cmp "$tmp/image" "$tmp/copy"
run volume check "$v"
like "the volume is whole" "$code:$out" "0:* 0 findings"

run volume export "$v" "$tmp/copy"
like "a file is not replaced" "$code:$err" "1:*cannot make*exists*"
ok "it is still the same" cmp "$tmp/image" "$tmp/copy"
run volume create "$v" --from "$tmp/image"
like "a volume is not replaced" "$code:$err" "1:*exists*"
"$pairctl" volume export "$v" "$tmp/copy-2" --progress 7 7>"$tmp/lines" \
  >/dev/null
is "progress in lines" "$(grep -cvE \
'^[0-9]+ ([0-9]+|unknown) ([0-9]+|unknown) ([0-9]+|unknown) copying$' \
"$tmp/lines"):$(tail -n 1 "$tmp/lines" | cut -d' ' -f1,2)" "0:$size $size"

# Over NBD, both ways: another volume, served.
mkdir "$tmp/state"
cp -r "$v" "$tmp/state/src"
make_disk "$tmp/state/dst" 32M
nbdkit_start "$tmp/state"
run volume create "$tmp/at/vm2" --from "$(nbd_uri "$tmp/state" src)" \
  --size 32M --json
is "from NBD, with room" \
   "$code:$(python3 -c 'import json, sys; print (json.load (sys.stdin)["Size"])' \
            <<<"$out")" "0:$((32 << 20))"
run volume export "$tmp/at/vm2" "$(nbd_uri "$tmp/state" dst)"
is "to NBD" "$code:$err" "0:"
nbdcopy "$(nbd_uri "$tmp/state" dst)" "$tmp/copy-3"
ok "it is the same, and zeros" bash -c \
  "cat '$tmp/image' <(head -c 8M /dev/zero) | cmp - '$tmp/copy-3'"

# Odd sizes and names.
head -c 1500001 "$tmp/image" >"$tmp/-odd"
( cd "$tmp" && "$pairctl" volume create at/odd/ --from=-odd >odd.log 2>&1 )
is "whole blocks, names with a dash" "$?" 0
run volume info "$tmp/at/odd" --json
like "in whole blocks" "$out" '*"Size": 1503232,*'

# What fails leaves nothing.
rm -rf "$tmp/at/odd" "$tmp/at/vm2"
run volume create "$tmp/at/no" --from "$tmp/none"
like "no such image" "$code:$err" "1:*cannot open '$tmp/none'*"
run volume create "$tmp/at/no" --from "$tmp/at"
like "a directory" "$code:$err" "1:*is neither a file nor a block device*"
run volume create "$tmp/at/no" --from "$tmp/image" --size 16M
like "too small" "$code:$err" "1:*is larger*"
run volume create "$tmp/at/no" --from "$(nbd_uri "$tmp/state" none)"
like "no such export" "$code:$err" "1:*cannot find out the size*"
run volume create "$tmp/at/no" --from "$tmp/image" --plugin "$tmp/none.so"
like "no such plugin" "$code:$err" "1:*cannot read the plugin*hint: *"
run volume create "$tmp/at/no" --from "$tmp/image" --plugin "$tmp/image"
like "a plugin that is none" "$code:$err" "1:*the copying failed*"
printf 'QFI\xfb%s' "$(head -c 4096 /dev/zero | tr '\0' x)" >"$tmp/qcow2"
run volume create "$tmp/at/no" --from "$tmp/qcow2"
like "qcow2 is named" "$code:$err" "1:*not a raw image*hint: *qemu-nbd*"
run volume export "$v" "$(nbd_uri "$tmp/state" none)"
like "no export to copy to" "$code:$err" "1:*the copying failed*"
run volume create "$tmp/at/no"
like "neither size nor source" "$code:$err" "2:*'--size' is missing*"
is "nothing is left of all that" "$(left)" "vm1"

# A signal in the middle: a source that never answers.
stopped_pids ()
{
  pgrep -P "$1" nbdcopy
}
for sig in INT TERM HUP; do
  start "stuck-$sig" env -u LISTEN_FDS nbdkit -f -U "$tmp/stuck.sock" \
    --filter=delay null 32M delay-read=600 delay-extents=600
  stuck=$started_pid
  wait_for 30 test -S "$tmp/stuck.sock"
  python3 -c 'import os, signal, sys
signal.signal (signal.SIGINT, signal.SIG_DFL)
os.execv (sys.argv[1], sys.argv[1:])' "$pairctl" volume create "$tmp/at/no" \
    --from "nbd+unix:///?socket=$tmp/stuck.sock" >"$tmp/stuck.log" 2>&1 &
  pid=$!
  to_be_ended "$pid"
  wait_for 30 stopped_pids "$pid"
  children=$(pgrep -P "$pid")
  kill -s "$sig" "$pid"
  wait "$pid"
  is "$sig ends it" "$?" $((128 + $(kill -l "$sig")))
  gone=yes
  for child in $children; do is_gone "$child" || gone=no; done
  is "$sig: both are gone" "$gone:$(left)" "yes:vm1"
  kill_pid "$stuck" KILL
  rm -f "$tmp/stuck.sock"
done

done_testing

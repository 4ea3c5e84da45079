#!/usr/bin/env bash
# A flipped byte in the journal is found by check: a table of findings and an
# exit code of its own.

source "${0%/*}/cli-functions.sh"
requires nbdkit nbdcopy python3
[ -e "$plugin" ] || skip_all "the plugin is not built"

mkdir "$tmp/state"
run volume create "$tmp/state/vm1" --size 16M
is "create" "$code:$err" "0:"
nbdkit_start "$tmp/state"
head -c 1048576 /dev/urandom >"$tmp/data"
ok "content is copied in" nbdcopy --flush "$tmp/data" \
   "$(nbd_uri "$tmp/state" vm1)"
run volume check "$tmp/state/vm1"
like "not while it is open" "$code:$out:$err" "1::pairctl: cannot check*"
kill_pid "$nbdkit_pid"

run volume check "$tmp/state/vm1"
like "whole" "$code:$err:$out" "0::* 0 findings"
run volume info "$tmp/state/vm1"
like "info has a committed point" "$code:$out" "0:*committed: *seq *"
like "and what is used, and live" "$out" \
     "*used: *4.0 MiB*live: *1.0 MiB*"
run volume info "$tmp/state/vm1" --json
is "in JSON" "$(python3 -c 'import json, sys
v = json.load (sys.stdin)["Volume"]
print (v["Used"], 1 << 20 <= v["Live"] < v["Used"])' <<<"$out")" \
   "$((4 << 20)) True"
run volume dump "$tmp/state/vm1"
like "dump has records" "$code:$out" "0:*record*"
"$pairctl" volume dump "$tmp/state/vm1" >/dev/full 2>"$tmp/err"
like "a dump that cannot be written fails" "$?" "1"

# A map that is lost is made anew from the journal.
for f in "$tmp"/state/vm1/map.[01] "$tmp"/state/vm1/births.[01]; do
  [ ! -e "$f" ] || head -c 100000 /dev/urandom >"$f"
done
run volume check "$tmp/state/vm1"
is "a lost map is damage" "$code" "6"
run volume check "$tmp/state/vm1" --rebuild-map
like "and is made anew" "$code:$err:$out" \
     "0::made the map anew*256 blocks written* 0 findings"
nbdkit_start "$tmp/state"
ok "content is copied out" nbdcopy "$(nbd_uri "$tmp/state" vm1)" "$tmp/out"
ok "it is the same" cmp -n 1048576 "$tmp/data" "$tmp/out"
run volume check "$tmp/state/vm1" --rebuild-map
like "not while it is open" "$code:$out:$err" "1::pairctl: cannot rebuild*"
kill_pid "$nbdkit_pid"

# Random data is stored as it is, so its middle is found in the journal.
ok "a byte is flipped" python3 - "$tmp/data" "$tmp/state/vm1/journal" <<'PYTHON'
import sys
data = open(sys.argv[1], "rb").read()
with open(sys.argv[2], "r+b") as f:
    journal = f.read()
    at = journal.index(data[500000:500064])
    f.seek(at)
    f.write(bytes([journal[at] ^ 0x10]))
PYTHON
run volume check "$tmp/state/vm1"
like "damage has its exit code" "$code:$err" "6:"
like "and a table" "$out" "FILE *POSITION *BLOCK *FINDING*journal *findings"
run volume check "$tmp/state/vm1" --json
is "and JSON, with the block of the disk" "$code:$(python3 -c '
import json, sys
blocks = [f["Block"] for f in json.load (sys.stdin)["Findings"]]
print (int (sys.argv[1]) in blocks)' $((500000 / 4096)) <<<"$out")" "6:True"


# What is not known is not said to be zero.
for i in 0 1; do head -c 8192 /dev/urandom >"$tmp/state/vm1/segments.$i"; done
run volume info "$tmp/state/vm1"
like "a damaged table tells of no room" "$code:$out" "0:*used: *-*live: *-*"
run volume info "$tmp/state/vm1" --json
like "nor in JSON" "$code:$out" '0:*"Used": null,*"Live": null,*'

done_testing

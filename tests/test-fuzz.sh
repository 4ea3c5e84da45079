#!/usr/bin/env bash
# Whatever stands on the disk or comes from the peer: it is taken apart
# without a fault, and what passes is within its bounds.  Each fuzzer starts
# from the golden files; PAIRDISK_SECONDS is how long each runs.

source "${0%/*}/functions.sh"
requires python3

seconds=${PAIRDISK_SECONDS:-5}
[ -z "$PAIRDISK_LONG" ] || seconds=${PAIRDISK_SECONDS:-300}
dir=$top_builddir/tests
data=$top_srcdir/tests/data

# seeds NAME FILE...: the bytes of golden files, in $tmp/NAME.
seeds ()
{
  local name=$1
  shift
  mkdir "$tmp/$name" "$tmp/$name.new"
  python3 - "$tmp/$name" "$@" <<'PYTHON'
import os, re, sys

def store (out, name, lines):
    data = bytearray ()
    size = 0
    for line in lines:
        if re.fullmatch (r"\d+ bytes", line):
            size = int (line.split ()[0])
        m = re.fullmatch (r"([0-9a-f]{4,6}):? ([0-9a-f ]+)", line)
        if m:
            data += bytes (int (m[1], 16) - len (data))
            data += bytes.fromhex (m[2])
    data += bytes (max (0, size - len (data)))
    if data:
        with open (os.path.join (out, name), "wb") as f:
            f.write (data)

out = sys.argv[1]
for path in sys.argv[2:]:
    lines = open (path).read ().splitlines ()
    starts = [i for i, line in enumerate (lines) if re.match ("[A-Z]", line)]
    starts = starts or [0]
    for k, i in enumerate (starts):
        end = starts[k + 1] if k + 1 < len (starts) else len (lines)
        store (out, "%s-%d" % (os.path.basename (path), k), lines[i:end])
PYTHON
}

fuzz ()
{
  local name=$1 log=$tmp/fuzz-$1.log f
  if "$dir/fuzz-$name" -max_total_time="$seconds" -max_len=16384 \
       -artifact_prefix="$tmp/" "$tmp/$name.new" "$tmp/$name" \
       >"$log" 2>&1; then
    pass "$name: $(grep -oE 'Done [0-9]+' "$log" | tail -1) inputs"
  else
    fail "$name"
    diag "$(grep -E "runtime error|ERROR|#[0-9]+ 0x|fuzz-.*:" "$log" | head -20)"
    for f in "$tmp"/crash-* "$tmp"/leak-* "$tmp"/timeout-*; do
      [ ! -f "$f" ] || diag "$(gzip -c "$f" | base64 -w 0 | head -c 8000)"
    done
  fi
}

seeds record "$data"/volume-record-*.txt "$data"/volume-batch.txt
seeds segment "$data"/volume-segment-*.txt "$data"/volume-mark.txt
seeds super "$data"/volume-super.txt
seeds wire "$data"/replica-wire.txt
for name in record segment super wire; do
  if [ -x "$dir/fuzz-$name" ]; then fuzz "$name"
  else skip "$name" "not built"; fi
done

done_testing

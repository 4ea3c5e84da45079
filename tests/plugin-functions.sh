# Sourced by test-plugin-*.sh after functions.sh: a state directory with disks
# in it, NBD from Python, the control socket.

requires nbdinfo nbdcopy nbdkit
requires_libnbd

# make_disk STATEDIR/NAME SIZE [OPTION...]: a volume, without any server.
make_disk ()
{
  local path=$1 size=$2
  shift 2
  mkdir -p "${path%/*}"
  with_preload "$pairctl" volume create "$path" --size "$size" "$@" \
    >"$tmp/create.log" 2>&1 || bail_out "cannot create $path:
$(cat "$tmp/create.log")"
}

# Code of ours in Python may import what is in this directory: control.py.
export PYTHONPATH=$top_srcdir/tests${PYTHONPATH:+:$PYTHONPATH}

# state_file_change FILE MEMBERS: with a checksum that is right again
state_file_change ()
{
  /usr/bin/python3 - "$@" <<'PYTHON'
import ctypes, json, sys
xxhash = ctypes.CDLL("libxxhash.so.0")
xxhash.XXH3_64bits.restype = ctypes.c_uint64
with open(sys.argv[1]) as f:
    state = json.load(f)
del state["checksum"]
state.update(json.loads(sys.argv[2]))
text = json.dumps(state, sort_keys=True, separators=(",", ":"),
                  ensure_ascii=False).encode()
hash = xxhash.XXH3_64bits(text, ctypes.c_size_t(len(text)))
state["checksum"] = f"{hash:016x}"
with open(sys.argv[1], "w") as f:
    json.dump(state, f)
PYTHON
}

# nbd_python URI CODE: runs CODE with the connected handle as h, whose own
# checks of requests are off.  Fails if the code raises.
nbd_python ()
{
  /usr/bin/python3 - "$1" "$2" <<'PYTHON'
import errno, sys, nbd
h = nbd.NBD()
h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
h.set_strict_mode(0)
h.connect_uri(sys.argv[1])
def fails(name, fn, *args):
    try:
        fn(*args)
    except nbd.Error as e:
        assert e.errnum == getattr(errno, name), "%s, not %s" % (e, name)
    else:
        raise AssertionError("did not fail with " + name)
exec(sys.argv[2])
PYTHON
}

# control STATEDIR LINE...: prints the answers, one a line.
control ()
{
  /usr/bin/python3 "$top_srcdir/tests/control.py" "$@"
}

# answers WANTED STATEDIR LINE...: every answer matches the regular expression.
answers ()
{
  local wanted=$1 answer
  shift
  while IFS= read -r answer; do
    if ! grep -qE -- "$wanted" <<<"$answer"; then
      echo "no '$wanted' in: $answer"
      return 1
    fi
  done < <(control "$@" 2>&1)
}

# status STATEDIR DISK EXPRESSION: of the STATUS, as Python with it as s.
status ()
{
  control "$1" '{"op":"disk.status","disk":"'"$2"'"}' |
    /usr/bin/python3 -c 'import json, sys
s = json.load(sys.stdin)
print(eval(sys.argv[1]))' "$3"
}

# pattern FILE SIZE SEED: reproducible bytes, half of which compress.
pattern ()
{
  /usr/bin/python3 - "$@" <<'PYTHON'
import random, sys
r = random.Random(int(sys.argv[3]))
left = int(sys.argv[2])
with open(sys.argv[1], "wb") as f:
    while left > 0:
        kind = r.randrange(4)
        n = min(left, r.randrange(1, 65) * 4096)
        f.write(bytes(n) if kind == 0 else r.randbytes(n) if kind == 1 else
                (r.randbytes(1024) + b"pairdisk" * 384) * (n // 4096 + 1)
                if kind == 2 else r.randbytes(16) * (n // 16 + 1))
        left -= n
    f.truncate(int(sys.argv[2]))
PYTHON
}

# aborts LOG: how often nbdkit aborted by a bug of its own, as its log has it:
# 1.32.4 to 1.33.9 may when a connection is lost while several replies are on
# their way.
aborts ()
{
  cat "$1" 2>/dev/null |
    grep -c "raw_send_socket: Assertion .sock >= 0. failed"
}

# writer_keep FOUND: the guest goes on where it was after a failover, which
# "writer verify" says in FOUND.  What it flushed beyond never happened; sets
# $m, the newest write there.  Of that only a part may be there, though where
# it was written a flush covered it: that flush is gone, too.
writer_keep ()
{
  local last
  m=$(sed 's/.*after write \([0-9]*\)[; ].*/\1/' <<<"$1")
  last=$m
  [[ $1 != *'(a part of it)'* ]] || last=$((m - 1))
  awk -v last="$last" '$1 <= last' "$tmp/acknowledged" >"$tmp/kept"
  mv "$tmp/kept" "$tmp/acknowledged"
}

# kill -9 in the middle of writes: what was flushed is back, nothing is garbled.

source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"

rounds=${PAIRDISK_ROUNDS:-50}
seed=${PAIRDISK_SEED:-$RANDOM}
diag "seed $seed"
RANDOM=$seed
state=$tmp/state
make_disk "$state/d" 64M

# Blocks of 4 KiB filled with their own number and a version that only grows;
# the versions that were flushed are in "$tmp/flushed", all that were begun in
# "$tmp/begun".
cat >"$tmp/load.py" <<'PYTHON'
import os, random, struct, sys, nbd
uri, tmp, seed, mode = sys.argv[1:]
BLOCKS = 4096

def load(name):
    try:
        data = open(tmp + "/" + name, "rb").read()
    except FileNotFoundError:
        data = bytes(8 * BLOCKS)
    return list(struct.unpack("<%dQ" % BLOCKS, data))

def store(name, table):
    with open(tmp + "/" + name + ".new", "wb") as f:
        f.write(struct.pack("<%dQ" % BLOCKS, *table))
    os.rename(tmp + "/" + name + ".new", tmp + "/" + name)

def content(block, version):
    if version == 0:
        return bytes(4096)
    unit = struct.pack("<QQ", block, version)
    noise = random.Random(version * BLOCKS + block).randbytes(1024)
    return noise + unit * 192

h = nbd.NBD()
h.connect_uri(uri)
if mode == "write":
    r = random.Random(int(seed))
    flushed, begun = load("flushed"), load("begun")
    version = max(begun)
    written = {}
    open(tmp + "/loading", "w").close()
    try:
        while True:
            version += 1
            count = r.choice((1, 1, 1, 2, 16, 64))
            first = r.randrange(BLOCKS - count)
            for b in range(first, first + count):
                begun[b] = version
            flags = nbd.CMD_FLAG_FUA if r.randrange(8) == 0 else 0
            h.pwrite(b"".join(content(b, version)
                              for b in range(first, first + count)),
                     first * 4096, flags)
            for b in range(first, first + count):
                written[b] = version
            if flags:
                for b in range(first, first + count):
                    flushed[b] = version
            if r.randrange(16) == 0:
                h.flush()
                for b, v in written.items():
                    flushed[b] = v
                written.clear()
    except nbd.Error:
        pass
    store("flushed", flushed)
    store("begun", begun)
else:
    flushed, begun = load("flushed"), load("begun")
    now = []
    for block in range(BLOCKS):
        data = h.pread(4096, block * 4096)
        version = struct.unpack("<Q", data[-8:])[0]
        assert data == content(block, version), "block %d is garbled" % block
        assert flushed[block] <= version <= begun[block], \
            "block %d: version %d, flushed %d, begun %d" % (
                block, version, flushed[block], begun[block])
        now.append(version)
    # A later round may read older data back only if it was never durable:
    # what was read after a restart is.
    store("flushed", now)
    print(sum(1 for v in now if v), "blocks, newest version", max(now))
PYTHON

nbdkit_start "$state"
uri=$(nbd_uri "$state" d)
for ((round = 1; round <= rounds; round++)); do
  /usr/bin/python3 "$tmp/load.py" "$uri" "$tmp" $((seed + round)) write &
  load_pid=$!
  to_be_ended "$load_pid"
  wait_for 30 test -e "$tmp/loading" || bail_out 'the load does not begin'
  rm "$tmp/loading"
  # Any moment will do; this only has to differ from round to round.
  sleep "0.$((RANDOM % 400 + 100))"
  kill_pid "$nbdkit_pid" KILL
  wait "$load_pid"
  nbdkit_start "$state"
  ok "round $round" /usr/bin/python3 "$tmp/load.py" "$uri" "$tmp" 0 check
done
is 'no read failed its checksum' \
  "$(status "$state" d "s['errors']")" "{'checksum': 0, 'read': 0}"
ok 'the versions did grow' test "$(status "$state" d "s['appended']['seq']")" \
  -gt "$rounds"
kill_pid "$nbdkit_pid"

done_testing

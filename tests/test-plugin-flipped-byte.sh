# Whatever byte of a stopped volume changes: a read returns the right bytes or
# an error, never anything else.

source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"

rounds=${PAIRDISK_LONG:+200}
rounds=${rounds:-12}
seed=${PAIRDISK_SEED:-$RANDOM}
diag "seed $seed"
RANDOM=$seed
state=$tmp/state
make_disk "$state/d" 8M

# Data of all kinds, some of it overwritten, trimmed, split.
pattern "$tmp/image" $((8 * 1024 * 1024)) "$seed"
nbdkit_start "$state"
ok 'fill the disk' nbdcopy --flush "$tmp/image" "$(nbd_uri "$state" d)"
ok 'write over some of it' nbd_python "$(nbd_uri "$state" d)" "
import random
r = random.Random($seed)
image = open('$tmp/image', 'r+b')
for i in range(300):
    offset = r.randrange((8 << 20) - 70000)
    data = (r.randbytes(r.randrange(1, 3000)) * 20)[:65536] if i % 3 else \\
        bytes(r.randrange(1, 65536))
    h.pwrite(data, offset) if i % 3 else h.trim(len(data), offset)
    image.seek(offset)
    image.write(data)
    if i % 40 == 0:
        h.flush()
h.flush()"
kill_pid "$nbdkit_pid"
cp -r --sparse=always "$state/d" "$tmp/saved"

# flip FILE: changes one byte where there is data, or one in 8 times anywhere.
flip ()
{
  /usr/bin/python3 - "$1" "$RANDOM$RANDOM" <<'PYTHON'
import os, random, sys
r = random.Random(int(sys.argv[2]))
f = open(sys.argv[1], "r+b")
size = os.fstat(f.fileno()).st_size
for attempt in range(1000):
    at = r.randrange(size)
    f.seek(at)
    old = f.read(1)[0]
    if old or r.randrange(8) == 0:
        break
new = old ^ r.choice((1 << r.randrange(8), r.randrange(1, 256)))
f.seek(at)
f.write(bytes([new]))
print("%s: byte %d of %d from %d to %d" %
      (os.path.basename(sys.argv[1]), at, size, old, new))
PYTHON
}

# Every block right or an error, or the disk refused as a whole.
check ()
{
  /usr/bin/python3 - "$(nbd_uri "$state" d)" "$tmp/image" <<'PYTHON'
import sys, nbd
h = nbd.NBD()
try:
    h.connect_uri(sys.argv[1])
except nbd.Error as e:
    print("refused:", e)
    sys.exit(0)
image = open(sys.argv[2], "rb").read()
errors = 0
for at in range(0, len(image), 4096):
    try:
        data = h.pread(4096, at)
    except nbd.Error as e:
        assert e.errno == "EIO", e
        errors += 1
        continue
    assert data == image[at:at + 4096], "block %d is wrong" % (at // 4096)
print(errors, "errors")
PYTHON
}

nothing=0
for ((round = 1; round <= rounds; round++)); do
  rm -rf "$state/d"
  cp -r --sparse=always "$tmp/saved" "$state/d"
  file=journal
  [ $((round % 4)) -eq 0 ] && file=super
  what=$(flip "$state/d/$file")
  nbdkit_start "$state"
  if output=$(check 2>&1); then
    pass "round $round: $what: $output"
    [ "$output" = '0 errors' ] && nothing=$((nothing + 1))
  else
    fail "round $round: $what"
    diag "$output"
  fi
  kill_pid "$nbdkit_pid"
done
diag "$nothing of $rounds flips hit nothing that is read"
done_testing

# What an NBD client may ask of a disk, and what it may not.

source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"

state=$tmp/state
make_disk "$state/d" 256M
nbdkit_start "$state"
uri=$(nbd_uri "$state" d)

ok 'properties' nbd_python "$uri" '
assert h.get_size() == 256 << 20
assert h.can_flush() and h.can_fua() and h.can_multi_conn()
assert h.can_trim() and h.can_zero() and h.can_fast_zero() and h.can_df()
assert not h.is_rotational() and not h.is_read_only()
assert [h.get_block_size(i) for i in range(3)] == [512, 4096, 32 << 20]'
ok 'the default export is the only disk' nbd_python "$(nbd_uri "$state")" '
assert h.get_size() == 256 << 20'

ok 'unaligned and odd requests' nbd_python "$uri" '
model = bytearray(1 << 20)
import random
r = random.Random(2)
for i in range(400):
    offset = r.randrange(len(model) - 1)
    data = r.randbytes(r.randrange(1, min(20000, len(model) - offset) + 1))
    h.pwrite(data, offset, nbd.CMD_FLAG_FUA if i % 50 == 0 else 0)
    model[offset:offset + len(data)] = data
    if i % 7 == 0:
        n = r.randrange(1, 9000)
        h.zero(min(n, len(model) - offset), offset)
        model[offset:offset + n] = bytes(min(n, len(model) - offset))
assert h.pread(len(model), 0) == model
for i in range(400):
    offset = r.randrange(len(model) - 1)
    n = r.randrange(1, len(model) - offset + 1)
    assert h.pread(n, offset) == model[offset:offset + n]'

ok 'a request of 32 MiB' nbd_python "$uri" '
data = bytes(range(256)) * (1 << 17)
h.pwrite(data, 4 << 20)
assert h.pread(len(data), 4 << 20) == data
h.pwrite(b"!", (4 << 20) + 12345)
assert h.pread(3, (4 << 20) + 12344) == data[12344:12345] + b"!" + data[12346:12347]'
# libnbd does not send such a request, so this speaks NBD itself.
ok 'a request that is too large is refused, the next one works' \
  /usr/bin/python3 -c '
import socket, struct, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.settimeout(60)
def get(n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        assert more
        data += more
    return data
def read(cookie, count):
    s.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, cookie, 0, count))
    magic, error, got = struct.unpack(">IIQ", get(16))
    assert magic == 0x67446698 and got == cookie
    return error
get(18)
s.sendall(struct.pack(">I", 3))                               # no zeroes
s.sendall(b"IHAVEOPT" + struct.pack(">II", 1, 1) + b"d")      # export d
get(10)
assert read(1, 256 << 20) in (12, 22)
assert read(2, 0xffffffff) in (12, 22)
assert read(3, 4096) == 0
get(4096)' "$state.sock"
ok 'nothing outside the disk' nbd_python "$uri" '
end = 256 << 20
fails("EINVAL", h.pread, 4096, end)
fails("EINVAL", h.pread, 4096, end - 512)
fails("EINVAL", h.pread, 512, (1 << 63) - 512)
fails("ENOSPC", h.pwrite, bytes(1024), end - 512)
fails("ENOSPC", h.zero, 1024, end - 512)
h.pwrite(b"e" * 512, end - 512)
assert h.pread(512, end - 512) == b"e" * 512'

ok 'trim, zero and fast zero read as zeros at any length' nbd_python "$uri" '
at = 64 << 20
for clear in (lambda n, o: h.trim(n, o),
              lambda n, o: h.trim(n, o, nbd.CMD_FLAG_FUA),
              lambda n, o: h.zero(n, o),
              lambda n, o: h.zero(n, o, nbd.CMD_FLAG_NO_HOLE),
              lambda n, o: h.zero(n, o, nbd.CMD_FLAG_FAST_ZERO)):
    for n in (512, 4096, 70000, 1 << 20):
        h.pwrite(b"x" * (2 << 20), at)
        clear(n, at + 1000)
        assert h.pread(2 << 20, at) == \
            b"x" * 1000 + bytes(n) + b"x" * ((2 << 20) - 1000 - n)
h.zero(192 << 20, at)
assert not any(h.pread(1 << 20, 255 << 20))'
ok 'extents tell data from holes' nbd_python "$uri" '
h.trim(256 << 20, 0)
h.pwrite(b"d" * (1 << 20), 10 << 20)
h.flush()
found = []
def extent(context, offset, entries, error):
    found.extend(entries)
h.block_status(256 << 20, 0, extent)
runs = list(zip(found[::2], [f & nbd.STATE_ZERO for f in found[1::2]]))
assert sum(n for n, z in runs) == 256 << 20, runs
assert sum(n for n, z in runs if not z) == 1 << 20, runs
found.clear()
h.block_status(256 << 20, 0, extent, nbd.CMD_FLAG_REQ_ONE)
assert len(found) == 2 and found[1] & nbd.STATE_ZERO, found'

ok 'many requests at once on several connections' nbd_python "$uri" '
import threading
def work(k):
    c = nbd.NBD()
    c.connect_uri(sys.argv[1])
    base = (100 + 8 * k) << 20
    pending = []
    for i in range(512):
        buf = nbd.Buffer.from_bytearray(bytearray([k, i & 255] * 4096))
        pending.append((buf, c.aio_pwrite(buf, base + i * 8192)))
    while c.aio_in_flight():
        c.poll(-1)
        while c.aio_peek_command_completed() > 0:
            c.aio_command_completed(c.aio_peek_command_completed())
    c.flush()
threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
for k in range(4):
    want = b"".join(bytes([k, i & 255] * 4096) for i in range(512))
    assert h.pread(len(want), (100 + 8 * k) << 20) == want'

kill_pid "$nbdkit_pid"
done_testing

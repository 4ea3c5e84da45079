# What nobody should send: garbage, a megabyte of parameters, connections that
# say nothing, slow ones.  An error, no effect, and the agent goes on.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"

sites_up
key_make a "$tmp/key"
pid=${site_pid[a]}
serves () { call -k "$tmp/key" -a DescribeDisks "127.0.0.1:${api_port[a]}" \
  RegionId=site-a; }
rss () { awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"; }
descriptors () { ls "/proc/$pid/fd" | wc -l; }

cat >"$tmp/hostile.py" <<END
import importlib, json, os, random, re, socket, sys, time
sys.path.insert(0, "$top_srcdir/tests")
c = importlib.import_module("agent-call")
ADDRESS = ("127.0.0.1", ${api_port[a]})
TCP = "%s:%d" % ADDRESS
key = json.load(open("$tmp/key"))

def connect():
    s = socket.create_connection(ADDRESS, timeout=20)
    return s

def raw(data, end=True):
    s = connect()
    try:
        s.sendall(data)
        if end:
            s.shutdown(socket.SHUT_WR)
        answer = b""
        while True:
            more = s.recv(65536)
            if not more:
                return answer
            answer += more
            head, _, body = answer.partition(b"\r\n\r\n")
            size = re.search(rb"(?i)content-length: (\d+)", head)
            if not end and size and len(body) >= int(size.group(1)):
                return answer
    except OSError:
        return b""              # hung up on: fair
    finally:
        s.close()
END
hostile () { cat "$tmp/hostile.py" - | python3 -; }

ok 'it serves' serves
ok 'a megabyte of parameters in the body' hostile <<'END'
params = [("RegionId", "site-a")] + [
    ("p%d" % i, "x" * 1000) for i in range(1000)]
for sent in (params, params + [("more", "x" * 100000)]):
    for form in ("acs3", "rpc"):
        p = list(sent) + [("Action", "DescribeDisks"),
                          ("Version", "2021-07-30")]
        status, data, r = c.call(TCP, params=p, way="form", key=key,
                                 form=form)
        answer = json.loads(data)
        assert status == 400, status
        assert answer["Code"] == "InvalidParameter.Format", answer
END
ok 'a megabyte in the query' hostile <<'END'
for query in (b"&".join(b"p%d=%s" % (i, b"x" * 1000) for i in range(1000)),
              b"x" * 1000000):
    answer = raw(b"GET /?" + query + b" HTTP/1.1\r\nHost: x\r\n\r\n", False)
    assert answer.split()[1] == b"400", answer[:100]
    head, body = answer.split(b"\r\n\r\n", 1)
    assert b"application/json" in head, head
    assert json.loads(body)["Code"] == "InvalidParameter.Format", body
# Beyond what the HTTP library takes.
for query in b"&".join(b"a=1" for i in range(250000)), b"x" * 4000000:
    answer = raw(b"GET /?" + query + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer == b"" or answer.split()[1][:1] == b"4", answer[:100]
END
ok 'a megabyte of headers' hostile <<'END'
for header in (b"x: " + b"y" * 1000000,
               b"\r\n".join(b"x%d: y" % i for i in range(100000))):
    answer = raw(b"GET / HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n",
                 False)
    assert answer.split()[1][:1] == b"4", answer[:100]
    if header[:2] == b"x:":
        body = answer.split(b"\r\n\r\n", 1)[1]
        assert json.loads(body)["Code"] == "InvalidParameter.Format", body
END
ok '40 KB of parameters, 600 of them: an error in JSON' hostile <<'END'
p = "&".join("p%d=%s" % (i, "x" * 50) for i in range(600))
status, data, r = c.call(TCP, path="/?" + p)
assert status == 400 and json.loads(data)["Code"] == "InvalidParameter.Format"
END
ok 'a chunked body without end' hostile <<'END'
s = connect()
s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
try:
    for i in range(40):
        s.sendall(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
    raise SystemExit("40 MiB were taken")
except OSError:
    pass
END
ok 'garbage' hostile <<'END'
seed = int(os.environ.get("SEED") or time.time_ns())
print("seed", seed)
r = random.Random(seed)
parts = [b"GET ", b"POST ", b"/", b"?", b"&", b"=", b" HTTP/1.1", b"\r\n",
         b"Host: x\r\n", b"Authorization: ACS3-HMAC-SHA256 Credential=",
         b",SignedHeaders=", b",Signature=", b";", b"%", b"%00", b"%ff",
         b"Signature=", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n",
         b"Content-Type: application/x-www-form-urlencoded\r\n", b"\r\n\r\n",
         b"x-acs-date: 2026-11-21T00:00:00Z\r\n", b"-1", b"99999999999999999",
         b"Action=CreateDisk&DiskName=bad&Size=1048576&RegionId=site-a"]
for i in range(300):
    data = b"".join(r.choice(parts) if r.random() < 0.9
                    else r.randbytes(r.randrange(40))
                    for j in range(r.randrange(1, 40)))
    raw(data)
for i in range(20):
    raw(r.randbytes(r.randrange(1, 100000)))
END
ok 'it serves' serves
is 'nothing had an effect' "$(value a DescribeDisks TotalCount)" 0

before=$(rss)
# 200 that say nothing, and 200 more than it wants.
cat >"$tmp/idle.py" <<END
import os, socket, time
idle = []
for n in (200, 500):
    while len(idle) < n:
        idle.append(socket.create_connection(("127.0.0.1", ${api_port[a]})))
    open("$tmp/idle.%d" % n, "w").close()
    while n == 200 and not os.path.exists("$tmp/go"):
        time.sleep(0.01)
time.sleep(600)
END
start idle python3 "$tmp/idle.py"
ok '200 idle connections' wait_for 20 test -e "$tmp/idle.200"
ok 'it serves beside them' serves
touch "$tmp/go"
ok '500 idle connections' wait_for 20 test -e "$tmp/idle.500"
ok 'it serves: the oldest make room' serves
ok 'and again' serves
ok 'a pair call of the other site, too' wait_for 20 peers_see_each_other
few () { [ "$(descriptors)" -lt 420 ]; }
ok 'they are bounded' wait_for 20 few
kill_pid "$started_pid"
diag "memory before $before KiB, with the connections $(rss) KiB"

# A byte now and then keeps nobody's connection: 10 s for a whole request.
ok 'slow clients are hung up on' hostile <<'END'
import select
slow = [connect() for i in range(3)]
texts = [b"GET /?a=b HTTP/1.1\r\nHost: x\r\n" + b"x: y\r\n" * 100,
         b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" +
         b"x" * 900, b""]
start = time.monotonic()
at = 0
while slow:
    assert time.monotonic() - start < 30, "still connected"
    for s, text in list(zip(slow, texts)):
        try:
            if text[at:at + 1]:
                s.sendall(text[at:at + 1])
            ready = select.select([s], [], [], 0.05)[0]
            gone = ready and not s.recv(4096)
        except OSError:
            gone = True
        if gone:
            i = slow.index(s)
            del slow[i], texts[i]
    at += 1
print("hung up on after %.1f s" % (time.monotonic() - start))
assert time.monotonic() - start > 5, "too soon"
END
ok 'it serves' serves
ok 'it is the same process' kill -0 "$pid"
ok 'the Unix socket, too' api a DescribeDisks

done_testing

"""Two whole sites (paird, its nbdkit, the real plugin) for tests in Python:
kill-everywhere.py, message-faults.py.

Everything lies in a private directory, listens on Unix sockets and free ports
of the loopback address, and is ended by its process id.
"""
import atexit
import fcntl
import http.client
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import nbd

from control import Control

TOP = os.environ["top_builddir"]
PLUGIN = TOP + "/plugin/.libs/nbdkit-pairdisk-plugin.so"
SIZE = 16 << 20
BLOCK = 65536
DEADLINE = 90


class Failed(Exception):
    """What is wrong, for people."""


def wait_for(what, seconds, condition):
    """Ten looks for each second, too; as wait_for of functions.sh."""
    began, looks = time.monotonic(), 0
    while True:
        result = condition()
        if result:
            return result
        looks += 1
        took = time.monotonic() - began
        if took > seconds and (looks >= 10 * seconds or took > 10 * seconds):
            raise Failed("not in %d s: %s" % (seconds, what))
        time.sleep(0.02)


def take_ports():
    """A hundred for this test alone; as ports_take of functions.sh."""
    where = "/tmp/pairdisk-test-ports-%d" % os.getuid()
    os.makedirs(where, 0o700, exist_ok=True)
    for i in range(200):
        f = open("%s/%d" % (where, i), "w")
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            f.close()
            continue
        # Where to begin is not by the seed.
        first = random.SystemRandom().randrange(100)
        return f, itertools.cycle(10240 + 100 * i + (first + n) % 100
                                  for n in range(100))
    raise Failed("no ports for this test: see " + where)


ports_lock, ports = None, None


def free_port():
    global ports_lock, ports
    if ports is None:
        ports_lock, ports = take_ports()
    while True:
        port = next(ports)
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) != 0:
                return port


def is_alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class UnixHTTP(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Hold:
    """Whoever comes by a named step first waits there until released."""

    def __init__(self):
        self.reached, self.free = threading.Event(), threading.Event()

    def wait(self):
        if not self.reached.wait(30):
            raise Failed("nobody came by the step to be held")

    def release(self):
        self.free.set()


class Watcher:
    """Is told of every named step (common/steps.c), and may act there."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.seen = {}                 # (name, moment) -> how often
        self.wanted = None             # (name, moment, action)
        self.holds = {}                # (name, moment) -> Hold
        self.hit = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(100)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            c, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(c,),
                             daemon=True).start()

    def serve(self, c):
        with c:
            try:
                words = c.makefile().readline().split()
            except OSError:
                return
            if len(words) != 3:
                return
            pid, name, moment = int(words[0]), words[1], words[2]
            action = None
            with self.lock:
                key = name, moment
                self.seen[key] = self.seen.get(key, 0) + 1
                if self.wanted and self.wanted[:2] == key:
                    action = self.wanted[2]
                    self.wanted = None
                hold = self.holds.pop(key, None)
            if action:
                action(pid)
                self.hit.set()
            if hold:
                hold.reached.set()
                hold.free.wait()

    def arm(self, name, moment, action):
        with self.lock:
            self.hit.clear()
            self.wanted = name, moment, action

    def hold(self, name, moment):
        with self.lock:
            return self.holds.setdefault((name, moment), Hold())


class Site:
    def __init__(self, name, tmp, watcher):
        self.name, self.tmp, self.watcher = name, tmp, watcher
        self.region = "site-" + name
        self.dir = os.path.join(tmp, name)
        self.port, self.data_port = free_port(), free_port()
        self.agent = None
        self.peer_address = None
        self.options = []

    def command(self):
        other = "site-a" if self.name == "b" else "site-b"
        return [TOP + "/agent/paird", "--region=" + self.region,
                "--zone=" + self.region + "-1", "--dir=" + self.dir,
                "--listen=127.0.0.1:%d" % self.port,
                "--data-listen=127.0.0.1:%d" % self.data_port,
                "--peer=%s=%s" % (other, self.peer_address),
                "--site-secret-file=" + os.path.join(self.tmp, "secret"),
                "--plugin=" + PLUGIN] + self.options

    def start(self):
        env = dict(os.environ)
        if self.watcher:
            env["PAIRDISK_STEPS"] = self.watcher.path
        log = open(os.path.join(self.tmp, "paird-%s.log" % self.name), "ab")
        self.agent = subprocess.Popen(self.command(), env=env,
                                      stdin=subprocess.DEVNULL, stdout=log,
                                      stderr=log)
        log.close()

    def nbdkit(self):
        try:
            with open(os.path.join(self.dir, "nbdkit.pid")) as f:
                pid = int(f.read().split()[0])
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                mine = (self.dir + "/").encode() in f.read()
        except (OSError, ValueError, IndexError):
            return None
        return pid if mine and is_alive(pid) else None

    def kill_agent(self):
        self.agent.kill()
        self.agent.wait()

    def kill_nbdkit(self):
        pid = self.nbdkit()
        if pid:
            os.kill(pid, signal.SIGKILL)
            wait_for("nbdkit of %s ends" % self.name, 30,
                     lambda: not is_alive(pid))

    def agent_is_dead(self):
        return self.agent.poll() is not None

    def end(self):
        if self.agent:
            self.kill_agent()
            self.kill_nbdkit()

    # ---- calls --------------------------------------------------------------

    def call(self, action, **params):
        """(HTTP status, answer); ConnectionError when nobody answers."""
        query = [("Action", action), ("Version", "2021-07-30")]
        query += list(params.items())
        c = UnixHTTP(self.dir + "/api.sock", 10)
        try:
            body = "&".join("%s=%s" % q for q in query)
            c.request("POST", "/", body, {
                "Content-Type": "application/x-www-form-urlencoded"})
            r = c.getresponse()
            return r.status, json.loads(r.read())
        except (OSError, http.client.HTTPException, ValueError) as e:
            raise ConnectionError(str(e)) from e
        finally:
            c.close()

    def ask(self, action, **params):
        """The answer, or {}."""
        try:
            status, answer = self.call(action, **params)
        except ConnectionError:
            return {}
        return answer if status == 200 else {}

    def do(self, action, **params):
        status, answer = self.call(action, **params)
        if status != 200:
            raise Failed("%s at %s: %s" % (action, self.name, answer))
        return answer

    def is_up(self):
        site = self.ask("DescribeSite")
        return site.get("PluginAlive") and \
            all(p["Reachable"] for p in site.get("Peers", []))

    def pair(self, pair):
        found = self.ask("DescribeDiskReplicaPairs", PairIds=pair)
        if "ReplicaPairs" not in found:
            return {"Status": "unknown"}
        return (found["ReplicaPairs"] or [{"Status": "gone"}])[0]

    def disk(self, disk):
        found = self.ask("DescribeDisks", DiskIds=disk).get("Disks")
        return found[0].get("Detail", {}) if found else {}

    def events(self, **params):
        return self.ask("DescribeEvents", MaxResults=500,
                        **params).get("Events", [])

    def control(self, **request):
        with Control(self.dir, 30) as control:
            return control.ask(**request)

    def digest(self, disk):
        """(digest, seq), or something that equals nothing."""
        try:
            answer = self.control(op="disk.digest", disk=disk)
            return answer["digest"], (answer["committed"] or {})["seq"]
        except (OSError, ValueError, KeyError):
            return object(), None

    def guest(self, disk):
        h = nbd.NBD()
        h.connect_uri("nbd+unix:///%s?socket=%s/nbd.sock" % (disk, self.dir))
        return h

    def full_copies(self):
        with open(os.path.join(self.dir, "nbdkit.log"), errors="replace") as f:
            return sum(" initial copy from" in line and "resumed" not in line
                       for line in f)


class Sites:
    site_class = Site

    def __init__(self, watched=True, between=None, options=()):
        """BETWEEN (from, to): the address that FROM reaches TO at."""
        self.tmp = tempfile.mkdtemp(prefix="pairdisk-test-",
                                    dir=os.environ.get("TMPDIR", "/var/tmp"))
        atexit.register(self.end)
        for n in signal.SIGTERM, signal.SIGHUP:
            signal.signal(n, lambda *_: sys.exit(1))
        with open(os.path.join(self.tmp, "secret"), "w") as f:
            os.chmod(f.name, 0o600)
            f.write(uuid.uuid4().hex + uuid.uuid4().hex + "\n")
        self.watcher = Watcher(self.tmp + "/steps") if watched else None
        self.a = self.site_class("a", self.tmp, self.watcher)
        self.b = self.site_class("b", self.tmp, self.watcher)
        self.both = self.a, self.b
        for here in self.both:
            there = self.other(here)
            here.peer_address = between(here, there) if between else \
                "127.0.0.1:%d" % there.port
            here.options = list(options)
        self.failed = False

    def other(self, site):
        return self.b if site is self.a else self.a

    def start(self):
        for site in self.both:
            site.start()
        self.wait_up()

    def full_copies(self):
        return sum(s.full_copies() for s in self.both)

    def wait_up(self):
        wait_for("both sites are up", 60,
                 lambda: all(s.is_up() for s in self.both))

    def of_pid(self, pid):
        for site in self.both:
            if pid in (site.agent.pid, site.nbdkit()):
                return site
        raise Failed("process %d is of no site" % pid)

    def end(self):
        for site in self.both:
            site.end()
        if self.failed:
            self.failed = False        # told once
            for name in ("paird-a.log", "paird-b.log", "a/nbdkit.log",
                         "b/nbdkit.log"):
                try:
                    with open(os.path.join(self.tmp, name),
                              errors="replace") as f:
                        tail = f.readlines()[-40:]
                except FileNotFoundError:
                    continue
                print("# --- last lines of " + name)
                for line in tail:
                    print("# " + line.rstrip())
        if not os.environ.get("PAIRDISK_KEEP"):
            shutil.rmtree(self.tmp, ignore_errors=True)


class Content:
    """What a disk holds, by what was written and flushed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.blocks = {}

    def write(self, site, disk, count=3):
        new = {}
        for _ in range(count):
            new[self.random.randrange(SIZE // BLOCK)] = \
                self.random.randbytes(BLOCK)

        def work(h):
            for at, data in new.items():
                h.pwrite(data, at * BLOCK)
            h.flush()
        as_guest(site, disk, work)
        self.blocks = self.blocks | new

    def check(self, site, disk):
        def work(h):
            for at in range(SIZE // BLOCK):
                if h.pread(BLOCK, at * BLOCK) != \
                        self.blocks.get(at, bytes(BLOCK)):
                    raise Failed("wrong data at %s, block %d" % (site.name,
                                                                 at))
        as_guest(site, disk, work)


def as_guest(site, disk, work):
    """WORK (handle), from its beginning when nbdkit dies meanwhile."""
    def attempt():
        try:
            h = site.guest(disk)
            work(h)
            h.shutdown()
            return True
        except nbd.Error as e:
            attempt.error = e
            return False
    try:
        wait_for("a guest can work", 60, attempt)
    except Failed as e:
        raise Failed("%s: %s" % (e, attempt.error)) from e


class Pair:
    """A pair between two new disks, and who is its source now."""

    def __init__(self, sites, seed):
        self.sites = sites
        self.content = Content(seed)
        name = "d%06d" % random.randrange(1000000)
        self.disks = {s: s.do("CreateDisk", DiskName=name, Size=SIZE)["DiskId"]
                      for s in sites.both}
        self.source = sites.a
        self.id = None
        self.options = {}              # for its creation

    @property
    def destination(self):
        return self.sites.other(self.source)

    def write(self, site):
        self.content.write(site, self.disks[site])

    def statuses(self):
        return [s.pair(self.id) for s in self.sites.both]

    def agree(self):
        """Both sites tell the same of the pair."""
        keys = ("Status", "SourceRegion", "SourceDiskId", "DestinationRegion",
                "DestinationDiskId", "PairName", "RPO")
        one, two = self.statuses()
        return one["Status"] != "unknown" and \
            [one.get(k) for k in keys] == [two.get(k) for k in keys] and one

    def describe(self):
        return "; ".join("%s: %s %s" % (s.name, p["Status"],
                                        p.get("StatusMessage", ""))
                         for s, p in zip(self.sites.both, self.statuses()))

    def is_level(self):
        disk = self.source.disk(self.disks[self.source])
        lag = (disk.get("link") or {}).get("lag") or {"writes": 1}
        if lag["writes"]:
            return False
        return self.source.digest(self.disks[self.source]) == \
            self.destination.digest(self.disks[self.destination])

    def delete_disks(self):
        for site in self.sites.both:
            def is_deleted():
                # A plugin that is slow has it deleted after the answer: the
                # next call finds nothing.
                try:
                    status, _ = site.call("DeleteDisk",
                                          DiskId=self.disks[site])
                except ConnectionError:
                    return False
                return status in (200, 404)
            wait_for("disk deleted", 20, is_deleted)


count = failures = 0


def result(ok, name, why=""):
    global count, failures
    count += 1
    failures += not ok
    print("%s %d - %s" % ("ok" if ok else "not ok", count, name))
    for line in str(why).splitlines():
        print("# " + line)
    sys.stdout.flush()
    return ok

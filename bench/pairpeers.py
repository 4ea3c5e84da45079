"""The peers of bench/pair: a disk that a guest reaches over a Unix socket and
a copy of it behind TCP on loopback, each with the same few verbs.

    peer.open()          servers, an empty disk, replication that works
    peer.converge()      wait until the copy has all; the seconds it took
    peer.lag()           what the copy lacks now: bytes, and what else is known
    peer.outage_begin(), outage_end()    the copy goes away, and is back
    peer.failover()      the copy takes over; the URI of the disk there
    peer.close()
"""

import json
import os
import secrets
import shutil
import socket
import time
import uuid

from benchlib import (PLUGIN, Server, fail, nbd_answers, volume_create)

LEVEL_SECONDS = 600         # the longest a copy may take to have all
QEMU_SETTLES_SECONDS = 0.3  # its figures of a mirror may be that old


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class JsonLines:
    """A Unix socket that takes one JSON object a line and answers so: the
    plugin's control socket, and QMP."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.file = self.socket.makefile("rwb")

    def send(self, request):
        self.file.write(json.dumps(request).encode() + b"\n")
        self.file.flush()

    def receive(self):
        line = self.file.readline()
        if not line:
            fail("a server closed its control socket")
        return json.loads(line)

    def close(self):
        self.file.close()
        self.socket.close()


def memory_of(pid):
    """Bytes of a process that are its own, not files'."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def cpu_of(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Peer:
    """`near` serves the guest, `far` the copy."""

    has_copy = True
    tells_seconds = False       # the age of what the copy lacks
    survives_outage = True
    can_fail_over = True

    def __init__(self, options, top):
        self.options = options
        self.dir = os.path.join(top, self.name)
        self.near = self.far = None
        self.socket = os.path.join(self.dir, "near.sock")

    @property
    def uri(self):
        return f"nbd+unix:///disk?socket={self.socket}"

    def servers(self):
        return [s for s in (self.near, self.far) if s and s.process]

    def cpu(self):
        return sum(cpu_of(s.pid) for s in self.servers())

    def memory(self):
        return sum(memory_of(s.pid) for s in self.servers())

    def near_log(self):
        return self.near.log_tail() if self.near else ""

    def new_dir(self, size):
        self.size = size
        shutil.rmtree(self.dir, ignore_errors=True)
        os.mkdir(self.dir)
        self.near = Server(os.path.join(self.dir, "near.log"))
        self.far = Server(os.path.join(self.dir, "far.log"))

    def nbdkit(self, *args):
        return ["nbdkit", "-f", "-t", str(self.options.threads), *args]

    def start_near(self, command):
        self.near.start(command)
        self.near.wait_until(lambda: nbd_answers(self.uri), self.name)

    def close(self):
        for server in (self.near, self.far):
            if server:
                server.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def until(self, is_so, what):
        begin = time.monotonic()
        while not is_so():
            if time.monotonic() > begin + LEVEL_SECONDS:
                fail(f"{self.name}: {what} takes too long:\n"
                     f"{self.near_log()}")
            time.sleep(0.01)
        return time.monotonic() - begin


class Single(Peer):
    """pairdisk without replication: what replication costs is seen by it."""

    name = "single"
    text = "pairdisk alone"
    has_copy = False

    def open(self, size, capacity):
        self.new_dir(size)
        state = os.path.join(self.dir, "a")
        os.mkdir(state)
        volume_create(os.path.join(state, "disk"), size, capacity)
        self.start_near(self.nbdkit("-U", self.socket, PLUGIN,
                                    f"dir={state}"))

    def converge(self):
        return 0.0


class Pairdisk(Peer):
    """Two plugin instances as the agents would set them up."""

    tells_seconds = True
    mode = "async"

    def open(self, size, capacity):
        self.new_dir(size)
        self.port = free_port()
        self.control = {}
        for site in "ab":
            os.mkdir(os.path.join(self.dir, site))
            volume_create(os.path.join(self.dir, site, "disk"), size,
                          capacity)
        self.start_a()
        self.start_b()
        pair, secret = str(uuid.uuid4()), secrets.token_hex(32)
        for site, role in (("a", "primary"), ("b", "secondary")):
            self.ask(site, "pair.set", role=role, pair=pair, fence=1,
                     secret=secret)
        self.ask("b", "replica.accept")
        if self.mode == "sync":
            self.ask("a", "link.mode", mode="sync", on_peer_loss="degrade")
        self.ask("a", "link.start", uri=f"nbd://127.0.0.1:{self.port}")
        self.converge()

    def start_a(self):
        self.start_near(self.nbdkit("-U", self.socket, PLUGIN,
                                    f"dir={self.dir}/a"))

    def start_b(self):
        self.far.start(self.nbdkit("-i", "127.0.0.1", "-p", str(self.port),
                                   PLUGIN, f"dir={self.dir}/b", "peers=any"))
        self.far.wait_until(self.far_answers, self.name)

    def far_answers(self):
        try:
            return self.ask("b", "ping")["ok"]
        except OSError:
            return False

    def ask(self, site, op, **fields):
        control = JsonLines(os.path.join(self.dir, site, "control.sock"))
        control.send({"op": op, "disk": "disk", **fields})
        answer = control.receive()
        control.close()
        if not answer["ok"]:
            fail(f"{self.name}: {op}: {answer['error']['message']}")
        return answer

    def status(self, site="a"):
        return self.ask(site, "disk.status")

    def has_all(self):
        status = self.status()
        link = status["link"]
        return link["state"] == "stream" and link["initial_done"] and \
            link["lag"]["writes"] == 0 and \
            (self.mode == "async" or status["mode"]["state"] == "in-sync")

    def converge(self):
        return self.until(self.has_all, "catching up")

    def lag(self):
        return self.status()["link"]["lag"]

    def outage_begin(self):
        # Between the answers: nbdkit before 1.34 may abort else.
        self.converge()
        self.far.stop()
        self.shipped_before = self.status()["link"]["sent_bytes"]

    def outage_end(self):
        self.start_b()

    def shipped(self):
        """Bytes on the wire since the outage began."""
        return self.status()["link"]["sent_bytes"] - self.shipped_before

    def stored_per_block(self):
        """What a block takes in the journal, on average."""
        return self.status()["live"] / (self.size / 4096)

    def failover(self):
        self.near.kill()
        begin = time.monotonic()
        answer = self.ask("b", "promote", fence=2)
        self.promote_seconds = time.monotonic() - begin
        self.loss = answer["loss"]
        return f"nbd://127.0.0.1:{self.port}/disk"


class Async(Pairdisk):
    name = "async"
    text = "pairdisk async"


class Sync(Pairdisk):
    name = "sync"
    text = "pairdisk sync"
    mode = "sync"


class Qemu(Peer):
    """qemu-storage-daemon with a raw file, and nbdkit file as its target."""

    can_fail_over = False       # there is no verb: the target is a disk

    def open(self, size, _capacity):
        self.new_dir(size)
        self.port = free_port()
        for image in (self.source, self.target):
            with open(image, "wb") as out:
                out.truncate(size)
        self.start_target()
        control = os.path.join(self.dir, "qmp.sock")
        self.start_near(
            ["qemu-storage-daemon",
             "--chardev", f"socket,id=qmp,path={control},server=on,wait=off",
             "--monitor", "chardev=qmp",
             "--blockdev", "driver=file,node-name=source,"
             f"filename={self.source},aio={self.options.qemu_aio}",
             "--blockdev", "driver=nbd,node-name=target,server.type=inet,"
             f"server.host=127.0.0.1,server.port={self.port}",
             *self.more_nodes,
             "--nbd-server", f"addr.type=unix,addr.path={self.socket}",
             "--export", f"nbd,id=disk,node-name={self.exported},name=disk,"
             "writable=on"])
        self.qmp = JsonLines(control)
        self.qmp.receive()
        self.execute("qmp_capabilities")
        self.replicate()

    @property
    def source(self):
        return os.path.join(self.dir, "source")

    @property
    def target(self):
        return os.path.join(self.dir, "target")

    def start_target(self):
        self.far.start(self.nbdkit("-i", "127.0.0.1", "-p", str(self.port),
                                   "file", self.target))
        self.far.wait_until(
            lambda: nbd_answers(f"nbd://127.0.0.1:{self.port}"), self.name)

    def execute(self, command, **arguments):
        self.qmp.send({"execute": command, "arguments": arguments})
        while True:
            answer = self.qmp.receive()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                fail(f"{self.name}: {command}: {answer['error']['desc']}")


class Mirror(Qemu):
    name = "mirror"
    text = "QEMU mirror"
    more_nodes = []
    exported = "source"

    def replicate(self):
        self.execute("blockdev-mirror", **{
            "job-id": "mirror", "device": "source", "target": "target",
            "sync": "full", "copy-mode": "background", "granularity": 4096,
            "on-target-error": "stop"})
        self.converge()

    def job(self):
        jobs = self.execute("query-block-jobs")
        if not jobs:
            fail("the mirror ended by itself:\n" + self.near_log())
        return jobs[0]

    def converge(self):
        """Ready, and nothing left; for so long that it is not an old figure,
        which is not counted."""
        self.level_since = None
        return self.until(self.has_been_level, "the mirror") - \
            QEMU_SETTLES_SECONDS

    def has_been_level(self):
        job, now = self.job(), time.monotonic()
        if job["io-status"] != "ok":    # connects again at the next try only
            self.execute("block-job-resume", device="mirror")
        if not job["ready"] or job["offset"] != job["len"]:
            self.level_since = None
        elif self.level_since is None:
            self.level_since = now
        return self.level_since is not None and \
            now - self.level_since >= QEMU_SETTLES_SECONDS

    def lag(self):
        job = self.job()
        return {"bytes": job["len"] - job["offset"]}

    def outage_begin(self):
        self.far.kill()
        self.shipped_before = self.job()["offset"]

    def outage_end(self):
        self.start_target()

    def shipped(self):
        return self.job()["offset"] - self.shipped_before


class Quorum(Qemu):
    name = "quorum"
    text = "QEMU quorum"
    survives_outage = False     # it cannot bring a child back up to date
    more_nodes = ["--blockdev", "driver=quorum,node-name=both,"
                  "vote-threshold=2,children.0=source,children.1=target"]
    exported = "both"

    def replicate(self):
        pass

    def converge(self):
        return 0.0


PEERS = {peer.name: peer for peer in (Single, Async, Mirror, Sync, Quorum)}

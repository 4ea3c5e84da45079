#!/usr/bin/env python3
"""Stands for nbdkit with the pairdisk plugin in tests of the agent.

Started as paird starts nbdkit: socket activation, "dir=" and "control=".
Speaks the control protocol (docs/design/control-protocol.md) and keeps what
is durable in DIR/fake.json.  A disk is a count of writes; a link copies the
count over TCP, so two of them replicate.  Beyond the protocol:

  fake.write  disk, count?         a guest's writes
  fake.clients disk, count         guests that are connected
  fake.set    disk, values         change members of the disk's state
  fake.silent seconds              answer nothing for a while
  fake.stall  what, stall          do not answer operations of this name
  fake.fail   what, code, times    refuse the next operations of this name
  fake.hold   disk, hold           do not copy (the lag grows)
"""

import hashlib
import json
import os
import socket
import sys
import threading
import time
import uuid

# A link speaks at least so often, also to one that did not take it.
HEARTBEAT = 0.1

lock = threading.RLock()
changed = threading.Condition(lock)
changes = 0
silent_until = 0.0
stalled = set()
failures = {}
instance = str(uuid.uuid4())
args = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
state_path = os.path.join(args["dir"], "fake.json")
disks = {}
live = {}       # disk -> what is not durable


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def load():
    try:
        with open(state_path) as f:
            disks.update(json.load(f))
    except FileNotFoundError:
        pass


def save():
    with open(state_path + ".new", "w") as f:
        json.dump(disks, f)
        f.flush()
        os.fsync(f.fileno())
    os.rename(state_path + ".new", state_path)


def volatile(name):
    return live.setdefault(name, {
        "clients": 0, "hold": False, "connected": False, "heard": None,
        "known": 0, "link": "off", "reason": None, "behind_since": None})


def find(name):
    if name not in disks:
        raise Refused("no-such-disk", "no disk '%s'" % name)
    return disks[name]


def point(seq):
    if seq is None:
        return None
    return {"generation": "%016x" % (1 if seq else 0), "seq": seq,
            "time_ns": int(time.time() * 1e9) if seq else 0,
            "bytes": seq * 4096}


def lag_seconds(d, v):
    if d["seq"] == (d["peer_committed"] or 0):
        v["behind_since"] = None
        return 0.0
    if v["behind_since"] is None:
        v["behind_since"] = time.monotonic()
    return time.monotonic() - v["behind_since"]


def status(name):
    d, v = find(name), volatile(name)
    role = d["role"]
    link = source = None
    if role == "primary" and (d["link"] or v["link"] != "off"):
        behind = d["seq"] - (d["peer_committed"] or 0)
        link = {"state": v["link"], "reason": v["reason"],
                "oneshot": d["oneshot"], "rule": None,
                "progress": 100 if not behind else 50,
                "total_bytes": d["size"],
                "done_bytes": d["size"] if not behind else 0,
                "sent_bytes": 0, "rate_bps": 0,
                "lag": {"writes": behind, "bytes": behind * 4096,
                        "seconds": lag_seconds(d, v)},
                "peer_committed": point(d["peer_committed"]),
                "initial_done": d["peer_committed"] is not None,
                "connects": 1, "connected_ms": 1}
    if role == "secondary":
        heard = v["heard"]
        source = {"accept": d["accept"], "connected": v["connected"],
                  "heard_ms_ago": None if heard is None
                  else int((time.monotonic() - heard) * 1000),
                  "known": point(v["known"]), "progress": 100}
    committed = d["committed"] if role == "secondary" else d["seq"]
    return {"disk": name, "uuid": d["uuid"], "size": d["size"],
            "capacity": d["size"] * 2, "used": 0,
            "live": d["size"] // 4,
            "room": d["size"], "role": role,
            "pair": d["pair"], "fence": d["fence"], "fenced": d["fenced"],
            "clients": v["clients"], "state": "ok", "failure": None,
            "generation": None, "appended": point(d["seq"]),
            "durable": point(d["seq"]), "committed": point(committed),
            "stage": None, "errors": {"checksum": 0, "read": 0},
            "guest": {"writes": d["seq"], "reads": 0, "flushes": 0},
            "link": link, "source": source,
            "mode": {**d["mode"], "state": "off", "waiting": 0, "held_seq": 0,
                     "hold_ms": 0, "degraded_ns": None}
            if role != "standalone" else None}


def op_ping(_):
    return {"version": "fake", "pid": os.getpid(), "instance": instance}


def op_disk_create(r):
    if r["disk"] in disks:
        raise Refused("disk-exists", "disk '%s' exists" % r["disk"])
    disks[r["disk"]] = {
        "uuid": str(uuid.uuid4()), "size": r["size"], "role": "standalone",
        "pair": None, "fence": 0, "fenced": False, "secret": None, "seq": 0,
        "committed": None, "peer_committed": None, "link": None,
        "oneshot": False, "accept": False, "promoted": None,
        "mode": {"mode": "async", "on_peer_loss": "degrade",
                 "proof_seconds": 300, "interval_seconds": 0,
                 "limit_bps": 0}}
    return {}


def op_disk_resize(r):
    d = find(r["disk"])
    size = r.get("size", d["size"])
    if size < d["size"]:
        raise Refused("bad-request", "the size cannot become less")
    if size > d["size"] and d["role"] != "standalone":
        raise Refused("wrong-role", "disk is in a pair")
    d["size"] = size
    return {"size": size, "capacity": r.get("capacity", 4 * size)}


def op_disk_delete(r):
    d = find(r["disk"])
    if d["role"] != "standalone":
        raise Refused("wrong-role", "disk is in a pair")
    if volatile(r["disk"])["clients"]:
        raise Refused("disk-in-use", "a guest is connected")
    del disks[r["disk"]]
    live.pop(r["disk"], None)
    return {}


def op_disk_list(r):
    """By name, as many as fit into a line, as the plugin does it."""
    answer = {"disks": []}
    room = 65536 - 256
    for name in sorted(n for n in disks if n > r.get("after", "")):
        one = status(name)
        room -= len(json.dumps(one)) + 2
        if room < 0:
            answer["next"] = answer["disks"][-1]["disk"]
            break
        answer["disks"].append(one)
    return answer


def op_disk_status(r):
    return status(r["disk"])


def op_disk_digest(r):
    d = find(r["disk"])
    seq = d["committed"] if d["role"] == "secondary" else d["seq"]
    return {"digest": hashlib.sha256(str(seq).encode()).hexdigest()[:16],
            "committed": point(seq)}


def op_pair_set(r):
    d = find(r["disk"])
    if len(r["secret"]) != 64:
        raise Refused("bad-request", "secret")
    if r["role"] == "secondary" and volatile(r["disk"])["clients"]:
        raise Refused("disk-in-use", "a guest is connected")
    if r["fence"] < d["fence"]:
        raise Refused("fence-too-low", "fence is %d" % d["fence"])
    if d["pair"] != r["pair"]:
        d.update(committed=None, peer_committed=None, promoted=None)
    d.update(role=r["role"], pair=r["pair"], fence=r["fence"],
             secret=r["secret"], fenced=False)
    return {}


def op_pair_clear(r):
    d = find(r["disk"])
    if d["role"] == "secondary":
        d["seq"] = d["committed"] or 0
    d.update(role="standalone", pair=None, secret=None, link=None,
             accept=False, peer_committed=None, committed=None)
    volatile(r["disk"])["link"] = "off"
    return {}


def need_role(r, role):
    d = find(r["disk"])
    if d["role"] != role:
        raise Refused("wrong-role", "disk is %s" % d["role"])
    return d


def op_link_start(r):
    d = need_role(r, "primary")
    d.update(link=r["uri"], oneshot=r.get("oneshot", False))
    volatile(r["disk"]).update(link="connecting", reason=None)
    return {}


def op_link_stop(r):
    need_role(r, "primary")["link"] = None
    volatile(r["disk"]).update(link="off", reason=None)
    return {}


def op_link_mode(r):
    d = find(r["disk"])
    d["mode"].update({k: r[k] for k in r if k in d["mode"] and
                      k != "limit_bps"})
    return {"told": True, "hold_ms": 0}


def op_link_limit(r):
    find(r["disk"])["mode"]["limit_bps"] = r["limit_bps"]
    return {}


def op_replica_accept(r):
    need_role(r, "secondary")["accept"] = True
    return {}


def op_replica_stop(r):
    need_role(r, "secondary")["accept"] = False
    volatile(r["disk"])["connected"] = False
    return {}


def op_promote(r):
    d, v = find(r["disk"]), volatile(r["disk"])
    if d["role"] == "primary" and d["fence"] == r["fence"] and d["promoted"]:
        return d["promoted"]
    need_role(r, "secondary")
    if r["fence"] <= d["fence"]:
        raise Refused("fence-too-low", "fence is %d" % d["fence"])
    if d["committed"] is None:
        raise Refused("no-commit-point", "no initial sync was completed")
    lost = max(0, v["known"] - d["committed"])
    d.update(role="primary", fence=r["fence"], seq=d["committed"], link=None,
             accept=False)
    d["promoted"] = {
        "committed": point(d["committed"]),
        "loss": {"writes": lost, "bytes": lost * 4096, "seconds": float(lost),
                 "heard_seconds_ago": None if v["heard"] is None
                 else time.monotonic() - v["heard"],
                 "dropped_staged": False}}
    return d["promoted"]


def op_fake_write(r):
    d = find(r["disk"])
    if d["role"] == "secondary" or d["fenced"]:
        raise Refused("wrong-role", "read-only")
    d["seq"] += r.get("count", 1)
    return {}


def op_fake_clients(r):
    find(r["disk"])
    volatile(r["disk"])["clients"] = r["count"]
    return {}


def op_fake_set(r):
    find(r["disk"]).update(r["values"])
    return {}


def op_fake_silent(r):
    global silent_until
    silent_until = time.monotonic() + r["seconds"]
    return {}


def op_fake_stall(r):
    (stalled.add if r["stall"] else stalled.discard)(r["what"])
    return {}


def op_fake_fail(r):
    failures[r["what"]] = [r["code"], r.get("times", 1)]
    return {}


def op_fake_hold(r):
    volatile(r["disk"])["hold"] = r["hold"]
    return {}


def serve(request):
    global changes
    op = request["op"]
    with lock:
        left = failures.get(op)
        if left and left[1] > 0:
            left[1] -= 1
            raise Refused(left[0], "made to fail")
        perform = globals().get("op_" + op.replace(".", "_"))
        if perform is None:
            raise Refused("bad-request", "there is no operation '%s'" % op)
        answer = perform(request)
        if op not in ("ping", "disk.status", "disk.list", "disk.digest"):
            save()
            changes += 1
            changed.notify_all()
    return answer


def wait_while_silent(op):
    with lock:
        while op in stalled:
            changed.wait()
        while (left := silent_until - time.monotonic()) > 0:
            changed.wait(left)


def control_connection(c):
    for line in c.makefile("r"):
        request = json.loads(line)
        if not request["op"].startswith("fake."):
            wait_while_silent(request["op"])
        try:
            answer = {"ok": True, **serve(request)}
        except Refused as e:
            answer = {"ok": False, "error": {
                "code": e.code, "errno": "EINVAL", "message": str(e),
                "hint": ""}}
        try:
            c.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            return


# ---- the link ---------------------------------------------------------------

def receive(request):
    """The destination's answer to what the source sends."""
    with lock:
        for name, d in disks.items():
            if d["pair"] != request["pair"]:
                continue
            v = volatile(name)
            if d["secret"] != request["secret"]:
                return {"state": "refused", "reason": "wrong secret"}
            if d["fence"] > request["fence"]:
                return {"state": "fenced", "reason": "higher fence here"}
            if d["role"] != "secondary" or not d["accept"]:
                return {"state": "refused", "reason": "not accepted"}
            v.update(connected=True, heard=time.monotonic(),
                     known=request["seq"])
            if not request["hold"] and (d["committed"] is None or
                                        d["committed"] < request["seq"]):
                d["committed"] = d["seq"] = request["seq"]
                save()
            return {"state": "stream", "committed": d["committed"]}
    return {"state": "refused", "reason": "no such pair"}


def send(d, v):
    with lock:
        if not d["link"]:
            return None             # stopped meanwhile
        host, port = d["link"].split("//")[1].rsplit(":", 1)
        request = {k: d[k] for k in ("pair", "secret", "fence", "seq")}
        request["hold"] = v["hold"]
    try:
        with socket.create_connection((host, int(port)), 1) as c:
            c.sendall(json.dumps(request).encode() + b"\n")
            return json.loads(c.makefile("r").readline())
    except (OSError, ValueError) as e:
        return {"state": "waiting", "reason": str(e)}


def take(d, v, answer):
    v.update(link=answer["state"], reason=answer.get("reason"))
    if answer["state"] == "fenced":
        d["fenced"] = True
    elif answer["state"] == "stream":
        if answer["committed"] is not None and \
                d["peer_committed"] != answer["committed"]:
            d["peer_committed"] = answer["committed"]
        if d["peer_committed"] != d["seq"]:
            v["link"] = "delta"
        elif d["oneshot"]:
            v["link"] = "done"
    save()


def links():
    while True:
        with lock:
            seen = changes
            active = [n for n, d in disks.items()
                      if d["role"] == "primary" and d["link"] and
                      not d["fenced"] and volatile(n)["link"] != "done"]
        for name in active:
            d, v = disks.get(name), volatile(name)
            if d is None:
                continue
            answer = send(d, v)
            with lock:
                if answer and d["link"]:
                    take(d, v, answer)
        with lock:
            changed.wait_for(lambda: changes != seen, HEARTBEAT)


def data_connection(c):
    with c:
        line = c.makefile("r").readline()
        if line:
            c.sendall(json.dumps(receive(json.loads(line))).encode() + b"\n")


def accept_all(s, handler):
    while True:
        c, _ = s.accept()
        threading.Thread(target=handler, args=(c,), daemon=True).start()


def main():
    assert os.environ["LISTEN_PID"] == str(os.getpid())
    assert os.environ["LISTEN_FDS"] == "2"
    load()
    control = socket.socket(socket.AF_UNIX)
    if os.path.exists(args["control"]):
        os.unlink(args["control"])
    control.bind(args["control"])
    control.listen(64)
    data = socket.socket(fileno=4)
    threading.Thread(target=links, daemon=True).start()
    threading.Thread(target=accept_all, args=(data, data_connection),
                     daemon=True).start()
    accept_all(control, control_connection)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A small agent for tests of pairctl: SITE/api.sock, everything in memory.

What it does wrong is told by SITE/fake.json, read before each call:
  {"fail": {ACTION: [HTTP, CODE, MESSAGE, RECOMMEND]},
   "drop": {ACTION: N},     work, but hang up instead of the first N answers
   "busy": {ACTION: N},     LastTokenProcessing for the first N repetitions
   "raw":  {ACTION: TEXT},  answer TEXT
   "site": {...}, "pair": {...}, "disk": {...}   members to change in answers
   "steps": N}              describes until a passing status has passed
Each call is a line of JSON in SITE/calls.
"""

import http.server
import json
import os
import socketserver
import sys
import time
import urllib.parse
import uuid

SITE = sys.argv[1]
DISKS, PAIRS, TOKENS, COUNT, EVENTS = {}, {}, {}, {}, []
PASSES = {"creating": "created", "initial_syncing": "normal",
          "manual_syncing": "stopped", "stopping": "stopped",
          "failovering": "failovered", "deleting": None}


class Refusal(Exception):
    pass


def refuse(status, code, message, recommend=""):
    raise Refusal(status, code, message, recommend)


def settings():
    try:
        with open(os.path.join(SITE, "fake.json")) as f:
            return json.load(f)
    except FileNotFoundError:
        return {}


def event(kind, **more):
    EVENTS.append({"EventId": len(EVENTS) + 1, "Time": 1790000000000,
                   "Level": "info", "Actor": "api", "Kind": kind, **more})


def create_disk(p):
    if any(d["DiskName"] == p["DiskName"] for d in DISKS.values()):
        refuse(400, "InvalidDiskName", "Specified parameter DiskName is not "
               "valid.", "choose another name")
    did = "d-%012d" % (len(DISKS) + 1)
    DISKS[did] = {"DiskId": did, "DiskName": p["DiskName"],
                  "Size": int(p["Size"]), "Used": 4096, "Attached": False,
                  "Status": "Available", "Role": "standalone",
                  "ReplicaPairId": "", "RegionId": "cn-a", "ZoneId": "cn-a-1",
                  "NbdUri": "nbd+unix:///%s?socket=/x" % p["DiskName"],
                  "CreateTime": int(time.time()) - 100}
    event("disk.create", DiskId=did, Message="disk created")
    return {"DiskId": did}


def describe_disks(p):
    ids = p.get("DiskIds", "").split(",")
    return {"Disks": [{**d, **settings().get("disk", {})}
                      for d in DISKS.values()
                      if ids == [""] or d["DiskId"] in ids
                      or d["DiskName"] in ids]}


def scrub_disk(p):
    if p["DiskId"] not in DISKS:
        refuse(404, "NoSuchResource", "The specified resource does not exist.")
    DISKS[p["DiskId"]]["Detail"] = {"scrub": {
        "state": "stopped" if p.get("Stop") == "true" else "done",
        "done_bytes": 4096, "total_bytes": 4096, "read_bytes": 4096,
        "units": 1, "errors": 0, "bad_blocks": [],
        "rate_bps": int(p.get("RateBps", 64 << 20)), "seconds": 0.5}}
    return {}


def resize_disk(p):
    if p["DiskId"] not in DISKS:
        refuse(404, "NoSuchResource", "The specified resource does not exist.")
    disk = DISKS[p["DiskId"]]
    disk["Size"] = int(p.get("Size", disk["Size"]))
    return {"DiskId": p["DiskId"], "Size": disk["Size"],
            "Capacity": int(p.get("Capacity", 4 * disk["Size"]))}


def delete_disk(p):
    if p["DiskId"] not in DISKS:
        refuse(404, "NoSuchResource", "The specified resource does not exist.")
    del DISKS[p["DiskId"]]
    return {}


def create_pair(p):
    for name in ("SourceZoneId", "DiskId", "DestinationRegionId",
                 "DestinationZoneId", "DestinationDiskId"):
        if name not in p:
            refuse(400, "Missing" + name,
                   name + " is mandatory for this action.")
    pid = "pair-cn-%012d" % (len(PAIRS) + 1)
    PAIRS[pid] = {"ReplicaPairId": pid, "PairName": p.get("PairName", ""),
                  "Status": "creating", "SourceRegion": "cn-a",
                  "SourceZoneId": p["SourceZoneId"],
                  "SourceDiskId": p["DiskId"],
                  "DestinationRegion": p["DestinationRegionId"],
                  "DestinationZoneId": p["DestinationZoneId"],
                  "DestinationDiskId": p["DestinationDiskId"],
                  "RPO": int(p.get("RPO", 900)), "CreateTime": 1790000000,
                  "LinkState": "off", "steps": 0}
    event("pair.state", ReplicaPairId=pid, From="creating", To="created")
    return {"ReplicaPairId": pid, "OrderId": ""}


def pair_of(p):
    if p["ReplicaPairId"] not in PAIRS:
        refuse(404, "NoSuchResource", "The specified resource does not exist.")
    return PAIRS[p["ReplicaPairId"]]


def move(pair, status):
    pair["Status"] = status
    pair["steps"] = 0


def start(p):
    move(pair_of(p), "manual_syncing" if p.get("OneShot") == "true"
         else "initial_syncing")
    return {}


def failover(p):
    pair = pair_of(p)
    move(pair, "failovering")
    pair["Loss"] = {"Writes": 12, "Bytes": 49152, "Seconds": 0.25,
                    "HeardSecondsAgo": 4.2, "FailoverSeconds": 0.42}
    return {}


def verb(status):
    def run(p):
        move(pair_of(p), status)
        return {}
    return run


def step(pair):
    if pair["Status"] not in PASSES:
        return
    pair["steps"] += 1
    if pair["steps"] > settings().get("steps", 2):
        status = PASSES[pair["Status"]]
        if status is None:
            del PAIRS[pair["ReplicaPairId"]]
        else:
            move(pair, status)


def describe_pairs(p):
    ids = p.get("PairIds")
    found = [x for x in list(PAIRS.values())
             if ids is None or x["ReplicaPairId"] in ids.split(",")]
    for pair in found:
        step(pair)
    found = [x for x in found if x["ReplicaPairId"] in PAIRS]
    first = int(p.get("NextToken", "0"))
    last = first + min(int(p.get("MaxResults", "10")), 2)   # small pages
    return {"ReplicaPairs": [{**x, **settings().get("pair", {})}
                             for x in found[first:last]],
            "NextToken": str(last) if last < len(found) else ""}


def progress(p):
    pair = pair_of(p)
    if pair["Status"] == "created":
        refuse(403, "OperationDenied.InvalidStatus",
               "The operation is not allowed in current status.")
    done = min(pair["steps"], 4) * (1 << 28)
    return {"Progress": done * 100 >> 30, "DoneBytes": done,
            "TotalBytes": 1 << 30, "LinkState": "initial"}


def describe_events(p):
    found = [e for e in EVENTS
             if e["EventId"] > int(p.get("AfterId", 0))
             and p.get("ReplicaPairId") in (None, e.get("ReplicaPairId"))
             and p.get("DiskId") in (None, e.get("DiskId"))]
    n = int(p["MaxResults"])
    return {"Events": found[:n] if "AfterId" in p else found[-n:]}


def site(p):
    return {"RegionId": "cn-a", "ZoneId": "cn-a-1", "Version": "1",
            "Peers": [{"RegionId": "cn-b", "ZoneId": "cn-b-1",
                       "Address": "127.0.0.1:1", "Reachable": True}],
            "NbdSocket": "/x", "DataAddress": "127.0.0.1:2",
            "PluginAlive": True, **settings().get("site", {})}


ACTIONS = {"CreateDisk": create_disk, "DescribeDisks": describe_disks,
           "DeleteDisk": delete_disk, "ResizeDisk": resize_disk,
           "ScrubDisk": scrub_disk,
           "CreateDiskReplicaPair": create_pair,
           "StartDiskReplicaPair": start,
           "StopDiskReplicaPair": verb("stopping"),
           "FailoverDiskReplicaPair": failover,
           "DeleteDiskReplicaPair": verb("deleting"),
           "DescribeDiskReplicaPairs": describe_pairs,
           "DescribeDiskReplicaPairProgress": progress,
           "DescribeEvents": describe_events, "DescribeSite": site}


# What a dry run says unless the settings do.
PLAN = {"Status": "creating", "Relation": "equal",
        "Discard": {"RegionId": "cn-b", "DiskId": "d-peer", "Writes": 0},
        "Keep": {"RegionId": "cn-a", "DiskId": "d-1", "Writes": 0}}


def is_dry_run(p):
    return p.get("DryRun") == "true"


def limited(kind, action):
    n = COUNT[kind, action] = COUNT.get((kind, action), 0) + 1
    return n <= settings().get(kind, {}).get(action, 0)


def answer(action, p):
    token = p.get("ClientToken")
    if action in settings().get("fail", {}):
        refuse(*settings()["fail"][action])
    if token in TOKENS:
        if limited("busy", action):
            refuse(403, "LastTokenProcessing",
                   "The last token request is processing.")
        return TOKENS[token]
    if action not in ACTIONS:
        refuse(404, "InvalidApi.NotFound", "Specified api is not found, "
               "please check your url and method.")
    if is_dry_run(p):
        if "ReplicaPairId" in p:
            pair_of(p)
        return settings().get("plan", PLAN)
    ret = ACTIONS[action](p)
    if token:
        TOKENS[token] = ret
    return ret


class Handler(http.server.BaseHTTPRequestHandler):
    def address_string(self):
        return "local"

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        p = dict(urllib.parse.parse_qsl(body, strict_parsing=bool(body)))
        action = self.headers["x-acs-action"]
        with open(os.path.join(SITE, "calls"), "a") as f:
            f.write(json.dumps({"action": action, **p}, sort_keys=True) + "\n")
        status, ret = 200, {}
        try:
            ret = answer(action, p)
        except Refusal as e:
            status, code, message, recommend = e.args
            ret = {"HostId": "local", "Code": code, "Message": message,
                   "Recommend": recommend}
        if not is_dry_run(p) and limited("drop", action):
            self.close_connection = True
            return
        ret = {"RequestId": str(uuid.uuid4()).upper(), **ret}
        data = json.dumps(ret).encode()
        if not is_dry_run(p) and action in settings().get("raw", {}):
            data = settings()["raw"][action].encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(socketserver.UnixStreamServer):
    def get_request(self):
        request, _ = super().get_request()
        return request, ("local", 0)


temporary = os.path.join(SITE, "api.sock.new")
server = Server(temporary, Handler)
os.rename(temporary, os.path.join(SITE, "api.sock"))   # there: it answers
server.serve_forever()

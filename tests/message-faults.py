#!/usr/bin/env python3
"""Messages between the agents are lost, delivered twice or too late.

  PAIRDISK_SEED   which order, what is written
  PAIRDISK_RUNS   how many faults (14; in check-long all there are)
  PAIRDISK_ONLY   only faults whose description contains this

The agents reach each other through a proxy that knows their messages (POST
/peer/VERB).  While a verb is under way, or while the sites join or change
their keys (join_faults.py), one message of a kind from one of the sites meets
one fault:

  lost      it does not arrive
  unheard   it arrives, its answer does not
  twice     it arrives twice (as an attacker would send it)
  late      it arrives after newer ones; its sender takes it for lost
"""
import http.client
import http.server
import os
import random
import socketserver
import ssl
import sys
import threading
import time

import join_faults
import life
import sites as lib
from sites import result, wait_for

LONG = os.environ.get("PAIRDISK_LONG")
SEED = int(os.environ.get("PAIRDISK_SEED") or random.randrange(1 << 30))
RUNS = int(os.environ.get("PAIRDISK_RUNS") or (1000000 if LONG else 14))
ONLY = os.environ.get("PAIRDISK_ONLY", "")
FAULTS = "lost", "unheard", "twice", "late"


class Message:
    def __init__(self, sender, verb, headers, body, is_tls):
        self.sender, self.verb = sender, verb
        self.headers, self.body, self.is_tls = headers, body, is_tls

    def deliver(self, port):
        """(status, headers, body) of the answer."""
        if self.is_tls:
            # Who it is, the sites find out by themselves.
            c = http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=10,
                context=ssl._create_unverified_context())
        else:
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            c.request("POST", "/peer/" + self.verb, self.body, self.headers)
            r = c.getresponse()
            return r.status, r.getheaders(), r.read()
        finally:
            c.close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        proxy = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {k: v for k, v in self.headers.items()
                   if k.lower() in ("content-type", "x-pairdisk-auth")}
        message = Message(proxy.sender, self.path.split("/")[-1], headers,
                          body, isinstance(proxy, join_faults.TLSProxy))
        fault = proxy.faults.take(message)
        self.close_connection = True
        if fault in ("lost", "late"):
            return
        try:
            status, answer_headers, answer = message.deliver(proxy.port)
            if fault == "twice":
                message.deliver(proxy.port)
        except OSError:
            return
        if fault == "unheard" or proxy.faults.hides(answer):
            return
        self.close_connection = False
        self.send_response(status)
        for k, v in answer_headers:
            if k.lower() in ("content-type", "x-pairdisk-auth"):
                self.send_header(k, v)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


class Proxy(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass                    # an agent that hangs up


class TLSProxy(join_faults.TLSProxy, Proxy):
    pass


class Faults:
    """Which message is to meet what; and those that wait to come late."""

    def __init__(self):
        self.lock = threading.Lock()
        self.wanted = None
        self.hidden = None             # nothing with this text gets through
        self.hit = threading.Event()
        self.held = []
        self.seen = {}

    def arm(self, sender, verb, fault):
        with self.lock:
            self.hit.clear()
            self.wanted = sender, verb, fault

    def hide(self, text):
        with self.lock:
            self.hidden = text

    def hides(self, body):
        with self.lock:
            return self.hidden is not None and self.hidden in body

    def take(self, message):
        if self.hides(message.body):
            return "lost"
        with self.lock:
            key = message.sender, message.verb
            self.seen[key] = self.seen.get(key, 0) + 1
            if self.wanted is None or self.wanted[:2] != key:
                return None
            fault = self.wanted[2]
            self.wanted = None
            if fault == "late":
                self.held.append((message, self.seen[key]))
            self.hit.set()
            return fault

    def between(self, sender, receiver):
        is_tls = isinstance(receiver, join_faults.Site)
        proxy = (TLSProxy if is_tls else Proxy)(("127.0.0.1", 0), Handler)
        proxy.tls_dir = receiver.dir + "/tls"
        proxy.sender, proxy.port, proxy.faults = (sender.name, receiver.port,
                                                  self)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        return "127.0.0.1:%d" % proxy.server_address[1]

    def deliver_late(self, sites):
        """After a newer one of its kind, if there is one."""
        for message, number in self.held:
            receiver = sites.b if message.sender == "a" else sites.a
            try:
                wait_for("a newer message", 2.5, lambda: self.seen[
                    message.sender, message.verb] > number)
            except lib.Failed:
                pass
            message.deliver(receiver.port)
        self.held = []


faults = Faults()


class Fault(life.Run):
    """job: verb of the pair, who sends ("here": where it is called), message,
    fault.
    """

    def arm(self):
        here = self.site_of_call()
        sender = here if self.job[1] == "here" else self.sites.other(here)
        faults.arm(sender.name, self.job[2], self.job[3])
        if self.job[2] in ("history", "compare"):
            self.dry_run()

    def call_once(self, token):
        if self.job is None or self.job[2] != "forward":
            return super().call_once(token)
        # Called at the other site, for this one.
        here, there = self.site_of_call(), None
        there = self.sites.other(here)
        action, params, _ = life.VERBS[self.verb]
        return there.call(action, RegionId=here.region, ClientToken=token,
                          ReplicaPairId=self.pair.id, **params)

    def dry_run(self):
        """Asks the other site what would be given up."""
        params = dict(life.VERBS[self.verb][1], DryRun="true",
                      ReplicaPairId=self.pair.id)
        wait_for("a dry run has an answer", 30, lambda:
                 self.site_of_call().ask("ReprotectDiskReplicaPair", **params))

    def reached(self):
        return faults.hit.is_set()

    def finish(self):
        if self.job:
            faults.deliver_late(self.sites)
            time.sleep(0.3)     # what it might do would be done by now


def all_jobs():
    kinds = [(verb, sender, "pair") for verb in life.VERBS
             for sender in ("here", "there")]
    kinds += [("create", "here", "check"), ("start", "here", "disk"),
              ("start-oneshot", "here", "disk"), ("reprotect", "here", "disk"),
              ("reprotect", "here", "compare"), ("cancel", "here", "history"),
              ("start", "there", "forward"), ("stop", "there", "forward"),
              ("failover", "there", "forward"), ("modify", "there", "forward"),
              ("failover", "there", "hello"), ("start", "here", "hello")]
    jobs = [kind + (fault,) for kind in kinds for fault in FAULTS
            if ONLY in " ".join(kind + (fault,))]
    random.Random(SEED).shuffle(jobs)
    return jobs


def title(job):
    return "%s from %s %s" % (job[2], job[1], job[3])


def again(sites):
    """A pair is gone where it was deleted, and the other site does not know
    yet: another one of its disks waits for that a moment.  One of some tries
    shall be quick enough.
    """
    pair, why, status = lib.Pair(sites, SEED), "", 0
    create, delete = (life.Run(sites, pair, verb, None)
                      for verb in ("create", "delete"))
    try:
        create.go()
        for i in range(10):
            faults.hide(b'"status":"deleted"')
            delete.call("delete%d" % i)
            wait_for("it is gone at one site", 30,
                     lambda: sites.a.pair(pair.id)["Status"] == "gone")
            threading.Timer(0.1, faults.hide, [None]).start()
            status, answer = create.call_once("create%d" % i)
            wait_for("it is gone at both", 30,
                     lambda: sites.b.pair(pair.id)["Status"] == "gone")
            create.call("create%d" % i)
            create.end()
            if status == 200:
                break
        delete.go()
        pair.delete_disks()
        if status != 200:
            raise lib.Failed("%d %s" % (status, answer))
    except (lib.Failed, OSError) as e:
        sites.failed, why = True, "%r" % e
    return result(not why, "a pair is deleted and made again at once", why)


def join_jobs():
    jobs = [job for job in join_faults.JOBS if ONLY in " ".join(job)]
    random.Random(SEED).shuffle(jobs)
    return jobs[:max(1, RUNS // 7)]


def join(jobs):
    """Two sites join and part as often as there are faults."""
    sites = join_faults.Sites(faults)
    sites.start()
    for i, job in enumerate(jobs):
        begin, why = time.monotonic(), ""
        try:
            join_faults.Joining(sites, faults, SEED - i, job).go()
        except (lib.Failed, OSError) as e:
            sites.failed, why = True, "%r" % e
        result(not why, "%s, %s (%.1f s)" % (
            job[0], title(job), time.monotonic() - begin), why)
        if why:
            break
    sites.end()
    return not why


def main():
    queues = life.spread(all_jobs(), lambda job: job[0], RUNS)
    joins = join_jobs()
    number = sum(len(q) for q in queues.values()) + len(joins)
    random.seed(SEED)
    print("# PAIRDISK_SEED=%d, %d faults" % (SEED, number), flush=True)
    sites = lib.Sites(watched=False, between=faults.between)
    sites.start()
    lives, begin, ok = 0, time.monotonic(), True
    while ok and any(queues.values()):
        lives += 1
        ok = life.live(sites, lives, SEED, queues, Fault, title)
    ok = ok and again(sites)
    sites.end()
    if ok and joins:
        ok = join(joins)
    print("# %d faults in %d lives, %d s" % (number, lives,
                                             time.monotonic() - begin))
    print("1..%d" % lib.count)
    sys.exit(not ok)


main()

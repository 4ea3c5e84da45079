#!/usr/bin/env python3
"""Kills processes at every named step of every transition of a pair.

  PAIRDISK_SEED   which order, what is written
  PAIRDISK_RUNS   how many kills (24; in check-long all there are)
  PAIRDISK_ONLY   only steps whose name contains this
  PAIRDISK_PART   I/N: this part of them

A run takes a pair from verb to verb.  While a verb is under way its process
is held at one named step, then some processes are killed with SIGKILL and
started again.  Either they finish by themselves, or the same call again does,
or the status says that it failed and the call after that does: then both sites
agree, the data is what was written, nothing was copied whole twice.
"""
import os
import random
import re
import sys
import time

import sites as lib
from sites import Failed, result, wait_for

LONG = os.environ.get("PAIRDISK_LONG")
SEED = int(os.environ.get("PAIRDISK_SEED") or random.randrange(1 << 30))
RUNS = int(os.environ.get("PAIRDISK_RUNS") or (1000000 if LONG else 24))
ONLY = os.environ.get("PAIRDISK_ONLY", "")
PART = os.environ.get("PAIRDISK_PART", "1/1")
VICTIMS = ("agent-here", "agent-there", "nbdkit-here", "nbdkit-there",
           "agents")
# In which verb a step of the plugin is waited for.
VERB_OF = {
    "pair.set": "create", "pair.clear": "delete", "link.start": "start",
    "link.stop": "stop", "replica.accept": "start", "replica.stop": "stop",
    "promote": "failover", "demote": "reprotect", "salvage": "reprotect",
    "attach": "attach",
}
# verb, action, its parameters, status afterwards
VERBS = {
    "create": ("CreateDiskReplicaPair", {}, "created"),
    "modify": ("ModifyDiskReplicaPair", {"PairName": "changed"}, "created"),
    "start": ("StartDiskReplicaPair", {}, "normal"),
    "start-oneshot": ("StartDiskReplicaPair", {"OneShot": "true"}, "stopped"),
    "stop": ("StopDiskReplicaPair", {}, "stopped"),
    "failover": ("FailoverDiskReplicaPair", {}, "failovered"),
    "reprotect": ("ReprotectDiskReplicaPair", {}, "stopped"),
    "cancel": ("ReprotectDiskReplicaPair", {"ReverseReplicate": "false"},
               "stopped"),
    "delete": ("DeleteDiskReplicaPair", {}, "gone"),
}
# One round of a pair's life.
LIFE = ("create modify start stop start-oneshot start failover attach "
        "reprotect start failover attach cancel start stop delete").split()
FAILED = ("create_failed", "stop_failed", "failover_failed",
          "reprotect_failed", "delete_failed")


def named_steps():
    """The table of docs/design/transitions.md: those that are not rare."""
    page = os.path.join(os.environ["top_srcdir"],
                        "docs/design/transitions.md")
    known, wanted = set(), []
    with open(page) as f:
        for line in f:
            m = re.match(r"\| `([a-z.-]+)` \| (\w*) \| (begin, end|end) \|",
                         line)
            if m:
                known.add(m.group(1))
                if m.group(2) != "rare":
                    wanted += [(m.group(1), moment)
                               for moment in m.group(3).split(", ")]
    return known, wanted


def verb_of(name):
    words = name.split(".")
    if words[0] != "plugin":
        return words[0]
    return VERB_OF.get(".".join(words[1:3])) or VERB_OF[words[1]]


def jobs_by_verb(wanted):
    jobs = [(name, moment, victim) for name, moment in wanted
            for victim in VICTIMS if ONLY in name]
    random.Random(SEED).shuffle(jobs)
    part, parts = (int(n) for n in PART.split("/"))
    jobs = jobs[part - 1::parts]
    if RUNS < len(jobs):
        # As many of every verb.
        seen, ranked = {}, []
        for job in jobs:
            verb = verb_of(job[0])
            seen[verb] = seen.get(verb, 0) + 1
            ranked.append((seen[verb], job))
        ranked.sort(key=lambda r: r[0])
        jobs = [job for _, job in ranked[:RUNS]]
    queues = {}
    for job in jobs:
        queues.setdefault(verb_of(job[0]), []).append(job)
    return queues, len(jobs)


class Run:
    def __init__(self, sites, pair, verb, job):
        self.sites, self.pair, self.verb, self.job = sites, pair, verb, job
        self.notes = []

    def kill(self, pid):
        here = self.sites.of_pid(pid)
        there = self.sites.other(here)
        victim = self.job[2]
        if victim in ("agent-here", "agents"):
            here.kill_agent()
        if victim in ("agent-there", "agents"):
            there.kill_agent()
        if victim == "nbdkit-here":
            here.kill_nbdkit()
        if victim == "nbdkit-there":
            there.kill_nbdkit()

    def restart(self):
        for site in self.sites.both:
            if site.agent_is_dead():
                site.start()

    def site_of_call(self):
        # Where the API wants it.
        if self.verb in ("failover", "reprotect", "cancel"):
            return self.pair.destination
        return self.pair.source

    def call_once(self, token):
        pair, action = self.pair, VERBS[self.verb][0]
        params = dict(VERBS[self.verb][1], ClientToken=token)
        if self.verb == "create":
            params.update(
                SourceZoneId=pair.source.region + "-1",
                DiskId=pair.disks[pair.source],
                DestinationRegionId=pair.destination.region,
                DestinationZoneId=pair.destination.region + "-1",
                DestinationDiskId=pair.disks[pair.destination], RPO=1)
        else:
            params["ReplicaPairId"] = pair.id
        if self.verb == "start-oneshot":
            time.sleep(0.6)             # more than half the RPO
        return self.site_of_call().call(action, **params)

    def call(self, token, statuses_ok=(200,)):
        """The same call until it has an answer."""
        deadline = time.monotonic() + lib.DEADLINE
        while True:
            try:
                status, answer = self.call_once(token)
            except ConnectionError:
                status, answer = 0, {}
            if status in statuses_ok:
                if status == 200 and self.verb == "create":
                    self.pair.id = answer["ReplicaPairId"]
                return
            if time.monotonic() > deadline:
                raise Failed("%s is not taken: %s" % (self.verb, answer))
            if status:
                self.notes.append("%s, again" % answer.get("Code"))
            self.restart()
            time.sleep(0.1)

    def settled(self):
        """In the end's status at both sites; True also when that took another
        call because a site said that it had failed.
        """
        self.restart()
        told = self.pair.agree()
        if not told:
            return False
        status = told["Status"]
        if status in FAILED:
            self.notes.append("%s: %s" % (status, told["StatusMessage"]))
            if status == "create_failed":
                raise Failed("create_failed: " + told["StatusMessage"])
            self.call("t%d" % random.getrandbits(60), (200, 403, 404))
            return False
        if status == "syncing" and VERBS[self.verb][2] == "normal":
            return False
        return status == VERBS[self.verb][2]

    def attach(self):
        """A guest writes, again until it may."""
        def write():
            self.restart()
            try:
                self.pair.write(self.pair.destination)
                return True
            except lib.nbd.Error:
                return False
        wait_for("a guest may write", lib.DEADLINE, write)

    def check(self):
        pair = self.pair
        if self.verb == "reprotect":
            pair.source = pair.destination
        if self.verb in ("start", "start-oneshot"):
            def equal():
                if self.verb == "start":
                    return pair.is_level()
                return pair.sites.a.digest(pair.disks[pair.sites.a])[0] == \
                    pair.sites.b.digest(pair.disks[pair.sites.b])[0]
            wait_for("both disks are equal", 30, equal)
            pair.content.check(pair.source, pair.disks[pair.source])
        if self.verb == "failover":
            pair.content.check(pair.destination,
                               pair.disks[pair.destination])
            self.before = dict(pair.content.blocks)
        if pair.id and self.verb != "delete":
            told = pair.agree()
            if not told or told["SourceRegion"] != pair.source.region:
                raise Failed("the sites do not agree: " + pair.describe())

    def go(self):
        watcher = self.sites.watcher
        if self.job:
            watcher.arm(self.job[0], self.job[1], self.kill)
        if self.verb == "attach":
            self.attach()
        else:
            self.call("t%d" % random.getrandbits(60))
            if self.job:
                wait_for("step %s is reached: %s" % (
                    self.job[0], self.pair.describe()), lib.DEADLINE,
                    lambda: watcher.hit.is_set() or self.after_end())
            wait_for("%s: %s" % (self.verb, VERBS[self.verb][2]),
                     lib.DEADLINE, self.settled)
        if self.job and not watcher.hit.is_set():
            wait_for("step %s is reached" % self.job[0], 10,
                     watcher.hit.is_set)
        self.restart()
        self.sites.wait_up()
        if self.verb != "attach":
            wait_for("%s: %s" % (self.verb, VERBS[self.verb][2]),
                     lib.DEADLINE, self.settled)
        self.check()

    def after_end(self):
        return False


def main():
    known, wanted = named_steps()
    queues, total = jobs_by_verb(wanted)
    random.seed(SEED)
    print("# PAIRDISK_SEED=%d, %d named steps, %d moments, %d kills here" %
          (SEED, len(known), len(wanted), total))
    sites = lib.Sites()
    sites.start()
    done, lives, begin = 0, 0, time.monotonic()
    copies = 0
    while any(queues.values()):
        pair = lib.Pair(sites, SEED + lives)
        pair.write(sites.a)
        saved = None
        lives += 1
        for verb in LIFE:
            queue = queues.get(verb)
            job = queue.pop() if queue else None
            run = Run(sites, pair, verb, job)
            if verb == "failover":
                pair.write(pair.source)
                wait_for("both disks are equal", 30, pair.is_level)
                saved = dict(pair.content.blocks)
            if verb == "cancel":
                pair.content.blocks = saved
            if verb in ("start", "start-oneshot"):
                pair.write(pair.source)
            name = "life %d: %s" % (lives, verb)
            if job:
                name += ", %s killed when %s %s" % (
                    job[2], job[0], "begins" if job[1] == "begin" else
                    "has ended")
            then = time.monotonic()
            try:
                run.go()
                ok, why = True, ""
            except (Failed, lib.nbd.Error, ConnectionError) as e:
                ok, why = False, "%r\n%s" % (e, pair.describe()
                                             if pair.id else "")
            name += " (%.1f s)" % (time.monotonic() - then)
            if job or not ok:
                why = "\n".join([n for n in run.notes[:5]] +
                                ([why] if why else []))
                result(ok, name, why)
                done += ok
            if not ok:
                sites.failed = True
                print("1..%d" % lib.count)
                sys.exit(1)
        pair.delete_disks()
        now = sites.a.full_copies() + sites.b.full_copies()
        result(now - copies <= 1, "life %d: one full copy" % lives,
               "" if now - copies <= 1 else "%d" % (now - copies))
        copies = now
    seen = set(sites.watcher.seen)
    result(not any(n.startswith("unnamed") or n not in known
                   for n, _ in seen), "every step has a name",
           sorted({n for n, _ in seen} - known) or "")
    if not ONLY:
        missed = [w for w in wanted if w not in seen]
        result(not missed, "every named step was reached", missed or "")
    print("# %d kills in %d lives, %d s" % (done, lives,
                                            time.monotonic() - begin))
    print("1..%d" % lib.count)


main()

#!/usr/bin/env python3
"""Kills processes at every named step of every transition of a pair.

  PAIRDISK_SEED   which order, what is written
  PAIRDISK_RUNS   how many kills (16; in check-long all there are)
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

import life
import sites as lib
from sites import result

LONG = os.environ.get("PAIRDISK_LONG")
SEED = int(os.environ.get("PAIRDISK_SEED") or random.randrange(1 << 30))
RUNS = int(os.environ.get("PAIRDISK_RUNS") or (1000000 if LONG else 16))
ONLY = os.environ.get("PAIRDISK_ONLY", "")
PART = os.environ.get("PAIRDISK_PART", "1/1")
VICTIMS = ("agent-here", "agent-there", "nbdkit-here", "nbdkit-there",
           "agents")
# In which verb a step of the plugin is waited for.
VERB_OF = {
    "pair.set": "create", "pair.clear": "delete", "link.start": "start",
    "link.stop": "stop", "replica.accept": "start", "replica.stop": "stop",
    "promote": "failover", "demote": "reprotect", "salvage": "cancel",
    "attach": "attach",
}
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


def all_jobs(wanted):
    jobs = [(name, moment, victim) for name, moment in wanted
            for victim in VICTIMS if ONLY in name]
    random.Random(SEED).shuffle(jobs)
    part, parts = (int(n) for n in PART.split("/"))
    return jobs[part - 1::parts]


class Kill(life.Run):
    def arm(self):
        self.sites.watcher.arm(self.job[0], self.job[1], self.kill)

    def reached(self):
        return self.sites.watcher.hit.is_set()

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


def title(job):
    return "%s killed when %s %s" % (job[2], job[0], "begins"
                                     if job[1] == "begin" else "has ended")


def main():
    known, wanted = named_steps()
    queues = life.spread(all_jobs(wanted), lambda job: verb_of(job[0]), RUNS)
    kills = sum(len(q) for q in queues.values())
    random.seed(SEED)
    print("# PAIRDISK_SEED=%d, %d named steps, %d moments, %d kills here" %
          (SEED, len(known), len(wanted), kills), flush=True)
    sites = lib.Sites()
    sites.start()
    lives, begin, ok = 0, time.monotonic(), True
    while ok and any(queues.values()):
        lives += 1
        ok = life.live(sites, lives, SEED, queues, Kill, title)
    if ok:
        seen = set(sites.watcher.seen)
        unknown = sorted({name for name, _ in seen} - known)
        result(not unknown, "every step has a name", unknown or "")
        if not ONLY:
            missed = [w for w in wanted if w not in seen]
            result(not missed, "every named step was reached", missed or "")
    print("# %d kills in %d lives, %d s" % (kills, lives,
                                            time.monotonic() - begin))
    print("1..%d" % lib.count)
    sys.exit(not ok)


main()

#!/usr/bin/env python3
"""Kills processes at every named step of every transition of a pair.

  PAIRDISK_SEED   which order, what is written
  PAIRDISK_RUNS   how many kills (16; in check-long all there are)
  PAIRDISK_ONLY   only steps whose name contains this
  PAIRDISK_KIND   usual or rare: only steps that are so
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
import rare_steps
import sites as lib
from sites import result

LONG = os.environ.get("PAIRDISK_LONG")
SEED = int(os.environ.get("PAIRDISK_SEED") or random.randrange(1 << 30))
RUNS = int(os.environ.get("PAIRDISK_RUNS") or (1000000 if LONG else 16))
ONLY = os.environ.get("PAIRDISK_ONLY", "")
KIND = os.environ.get("PAIRDISK_KIND", "")
PART = os.environ.get("PAIRDISK_PART", "1/1")
FAILURES_MAX = 5
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
    """The table of docs/design/transitions.md: (names, moments of the usual
    course, moments of rare steps).
    """
    page = os.path.join(os.environ["top_srcdir"],
                        "docs/design/transitions.md")
    known, usual, rare = set(), [], []
    with open(page) as f:
        for line in f:
            m = re.match(r"\| `([a-z.-]+)` \| (\w*) \| (begin, end|end) \|",
                         line)
            if m:
                known.add(m.group(1))
                of_kind = rare if m.group(2) == "rare" else usual
                of_kind += [(m.group(1), moment)
                            for moment in m.group(3).split(", ")]
    if KIND:
        (rare if KIND == "usual" else usual).clear()
    return known, usual, rare


def verb_of(name):
    words = name.split(".")
    if words[0] != "plugin":
        return words[0]
    return VERB_OF.get(".".join(words[1:3])) or VERB_OF[words[1]]


def all_jobs(moments):
    """This part of them: the seed only says in which order, so that parts
    with different seeds are still the whole.
    """
    jobs = [(name, moment, victim) for name, moment in moments
            for victim in VICTIMS if ONLY in name]
    part, parts = (int(n) for n in PART.split("/"))
    jobs = jobs[part - 1::parts]
    random.Random(SEED).shuffle(jobs)
    return jobs


def kill(sites, victim, pid):
    """PID is the process that came by the step."""
    here = sites.of_pid(pid)
    there = sites.other(here)
    if victim in ("agent-here", "agents"):
        here.kill_agent()
    if victim in ("agent-there", "agents"):
        there.kill_agent()
    if victim == "nbdkit-here":
        here.kill_nbdkit()
    if victim == "nbdkit-there":
        there.kill_nbdkit()


class Kill(life.Run):
    def arm(self):
        name, moment, victim = self.job
        self.sites.watcher.arm(name, moment,
                               lambda pid: kill(self.sites, victim, pid))

    def reached(self):
        return self.sites.watcher.hit.is_set()


def title(job):
    return "%s killed when %s %s" % (job[2], job[0], "begins"
                                     if job[1] == "begin" else "has ended")


def usual_kill(sites, number, queues):
    """The life of a pair, a kill in each verb.  False: something was wrong."""
    return life.live(sites, number, SEED, queues, Kill, title)


def rare_kill(sites, number, queues):
    """A pair for one kill."""
    name, moment, victim = queues["rare"].pop()
    scenario = rare_steps.of_step(name)
    begin, ok, why = time.monotonic(), True, ""
    try:
        rare_steps.Rare(sites, SEED - number, scenario, name, moment,
                        lambda pid: kill(sites, victim, pid)).go()
    except (lib.Failed, OSError) as e:
        sites.failed = True
        ok, why = False, "%r" % e
    return result(ok, "%s: %s (%.1f s)" % (
        scenario, title((name, moment, victim)), time.monotonic() - begin),
        why)


def work_off(queues, do, options):
    """Until a few went wrong, each time with new sites.  The steps seen."""
    seen, number = set(), 0
    while any(queues.values()) and lib.failures < FAILURES_MAX:
        sites = lib.Sites(options=options)
        sites.start()
        ok = True
        while ok and any(queues.values()):
            number += 1
            ok = do(sites, number, queues)
        seen |= set(sites.watcher.seen)
        sites.end()
    return seen


def main():
    known, usual, rare = named_steps()
    rare_runs = RUNS if KIND == "rare" else RUNS // 4
    queues = life.spread(all_jobs(usual), lambda job: verb_of(job[0]),
                         RUNS - rare_runs)
    rare_queue = {"rare": all_jobs(rare)[:rare_runs]}
    kills = sum(len(q) for q in [*queues.values(), *rare_queue.values()])
    random.seed(SEED)
    print("# PAIRDISK_SEED=%d, %d named steps, %d moments, %d of them rare, "
          "%d kills here" % (SEED, len(known), len(usual) + len(rare),
                             len(rare), kills), flush=True)
    without = [name for name, _ in rare if not rare_steps.of_step(name)]
    result(not without, "every rare step has a scenario", without or "")
    begin = time.monotonic()
    seen = work_off(queues, usual_kill, [])
    if usual and not ONLY and not lib.failures:
        missed = [w for w in usual if w not in seen]
        result(not missed, "every step that is not rare was reached",
               missed or "")
    seen |= work_off(rare_queue, rare_kill, rare_steps.OPTIONS)
    unknown = sorted({name for name, _ in seen} - known)
    result(not unknown, "every step has a name", unknown or "")
    print("# %d kills, %d s" % (kills, time.monotonic() - begin))
    print("1..%d" % lib.count)
    sys.exit(lib.failures > 0)


main()

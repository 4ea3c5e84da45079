"""A pair's life, verb by verb, with something going wrong at each: for
kill-everywhere.py and message-faults.py.

A verb is called until it is accepted (the same call, with its token): a second
one-shot is refused for half the RPO.  Then its end is waited for.  A status that says that it failed is answered by calling
the verb again.  Afterwards both sites agree and the data is what was written.
"""
import random
import time

import sites as lib
from sites import Failed, result, wait_for

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


class Run:
    """One verb.  Derived classes say what goes wrong: arm () before it, reached
    () once it has happened, finish () at the end.
    """

    def __init__(self, sites, pair, verb, job):
        self.sites, self.pair, self.verb, self.job = sites, pair, verb, job
        self.notes = []

    def arm(self):
        pass

    def reached(self):
        return True

    def finish(self):
        pass

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
                DestinationDiskId=pair.disks[pair.destination], RPO=1,
                **pair.options)
        else:
            params["ReplicaPairId"] = pair.id
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
        self.pair.write(self.pair.destination)

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
            def is_fenced():
                disk = pair.source.disk(pair.disks[pair.source])
                link = disk.get("link") or {"state": "off"}
                return disk.get("fenced") and link["state"] == "off"
            wait_for("the old source is fenced", 30, is_fenced)
            pair.content.check(pair.destination,
                               pair.disks[pair.destination])
        if pair.id and self.verb != "delete":
            # With an RPO of a second either may be syncing for a moment.
            told = wait_for("the sites agree", 10, pair.agree)
            if told["SourceRegion"] != pair.source.region:
                raise Failed("the source is at %s: %s" % (
                    told["SourceRegion"], pair.describe()))

    def end(self):
        if self.verb != "attach":
            wait_for("%s: %s; %s" % (self.verb, VERBS[self.verb][2],
                                     self.pair.describe()),
                     lib.DEADLINE, self.settled)

    def go(self):
        if self.job:
            self.arm()
        if self.verb == "attach":
            self.attach()
        else:
            self.call("t%d" % random.getrandbits(60))
        if self.job:
            wait_for("%s is reached" % (self.job,), 30, self.reached)
        self.end()
        self.finish()
        self.restart()
        self.sites.wait_up()
        self.end()
        self.check()


def live(sites, number, seed, queues, run_class, title, copies_max=1):
    """One pair from create to delete; each verb takes a job from its queue of
    QUEUES, if there is one.  False: something was wrong.
    """
    copies = sites.full_copies()
    pair = lib.Pair(sites, seed + number)
    pair.write(sites.a)
    saved = None
    for verb in LIFE:
        queue = queues.get(verb)
        job = queue.pop() if queue else None
        run = run_class(sites, pair, verb, job)
        begin = time.monotonic()
        try:
            if verb in ("start", "start-oneshot", "failover"):
                pair.write(pair.source)
            if verb == "failover":
                wait_for("both disks are equal", 30, pair.is_level)
                saved = dict(pair.content.blocks)
            if verb == "cancel":
                pair.content.blocks = saved
            run.go()
            ok, why = True, run.notes[:5]
        except (Failed, OSError) as e:
            sites.failed = True
            ok, why = False, run.notes + ["%r" % e,
                                          pair.describe() if pair.id else ""]
        if job or not ok:
            result(ok, "life %d: %s%s (%.1f s)" % (
                number, verb, ", " + title(job) if job else "",
                time.monotonic() - begin), "\n".join(why))
        if not ok:
            return False
    pair.delete_disks()
    copies = sites.full_copies() - copies
    return result(copies <= copies_max, "life %d: one full copy" % number,
                  "" if copies <= copies_max else "%d of them" % copies)


def spread(jobs, verb_of, most):
    """At most so many of JOBS, by turns of each verb: {verb: [job, ...]}."""
    seen, ranked = {}, []
    for job in jobs:
        verb = verb_of(job)
        seen[verb] = seen.get(verb, 0) + 1
        ranked.append((seen[verb], job))
    ranked.sort(key=lambda r: r[0])
    queues = {}
    for _, job in ranked[:most]:
        queues.setdefault(verb_of(job), []).append(job)
    return queues

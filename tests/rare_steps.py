"""Scenarios that come by the steps which the usual course of a pair does not,
for kill-everywhere.py.

Each brings a new pair to where the step is next, arms, and goes on until
somebody was killed.  Then what is held is let go, what is dead started, and
the pair must get to the scenario's end as in life.py, hold the right data
and let itself be deleted.
"""
import os
import random
import shutil
import signal
import threading

import life
import sites as lib
from sites import Failed, wait_for

OPTIONS = ["--verb-timeout=3"]      # until a verb is called failed
# Such a pair has a bandwidth that can be changed.
PREPAID = {"ChargeType": "PREPAY", "Period": "1", "PeriodUnit": "Month",
           "Bandwidth": "102400"}
MODE = {"ReplicationMode": "sync", "Bandwidth": "51200"}
LINK_MODE = ("link.mode", "link.limit")
SIDES = ("source", "destination")


class Done(Exception):
    """The step was reached: what the scenario would do yet does not count."""


class Rare:
    """A scenario under way; KILL (pid) at its step."""

    def __init__(self, sites, seed, scenario, name, moment, kill):
        self.sites, self.scenario = sites, scenario
        self.name, self.moment, self.kill = name, moment, kill
        self.watcher = sites.watcher
        self.holds, self.stopped = [], None
        self.verb, self.ends = None, None
        self.copies = sites.full_copies()
        self.pair = lib.Pair(sites, seed)
        self.pair.options = PREPAID
        self.missing = {}              # site -> where its disk went
        self.pair.write(sites.a)

    @property
    def source(self):
        return self.pair.source

    @property
    def destination(self):
        return self.pair.destination

    # ---- what scenarios are made of -----------------------------------------

    def run(self, *verbs):
        """Each to its end, before anything goes wrong."""
        for verb in verbs:
            if verb == "failover":
                wait_for("both disks are equal", 30, self.pair.is_level)
            life.Run(self.sites, self.pair, verb, None).go()

    def failed_over(self, keeps):
        """... and the destination written to; KEEPS: that will count."""
        self.run("create", "start", "failover")
        saved = dict(self.pair.content.blocks)
        self.pair.write(self.destination)
        if not keeps:
            self.pair.content.blocks = saved

    def call(self, verb, token=None):
        life.Run(self.sites, self.pair, verb, None).call(
            token or "t%d" % random.getrandbits(60))
        self.done()

    def modify(self, site):
        self.again(site.call, "ModifyDiskReplicaPair",
                   ReplicaPairId=self.pair.id,
                   ClientToken="t%d" % random.getrandbits(60), **MODE)

    def again(self, call, *args, **params):
        """The same call until it has an answer."""
        def answers():
            try:
                status, answer = call(*args, **params)
            except ConnectionError:
                life.Run(self.sites, self.pair, None, None).restart()
                return False
            if status != 200:
                raise Failed("%s: %s" % (args[0], answer))
            return True
        wait_for("an answer", 30, answers)
        self.done()

    def hold(self, name, moment):
        self.holds.append(self.watcher.hold(name, moment))
        return self.holds[-1]

    def arm(self):
        self.watcher.arm(self.name, self.moment, self.kill)

    def done(self):
        if self.watcher.hit.is_set():
            raise Done

    def until(self, what, condition):
        wait_for(what, 30, lambda: self.watcher.hit.is_set() or condition())
        self.done()

    def until_status(self, status, *sites):
        """There, or at both."""
        for site in sites or self.sites.both:
            self.until("%s at %s" % (status, site.name), lambda: site.pair(
                self.pair.id)["Status"] == status)

    def until_seen(self, name, before):
        self.until(name, lambda: self.watcher.seen.get((name, "end"), 0) >
                   before.get((name, "end"), 0))

    def role(self, site):
        return site.disk(self.pair.disks[site]).get("role")

    def kill_agents(self, *sites):
        for site in sites:
            site.kill_agent()

    def restart(self):
        life.Run(self.sites, self.pair, None, None).restart()

    def stopped_for_long(self):
        """An agent that remembers no link starts one without a pause."""
        self.run("create", "start", "stop")
        self.kill_agents(self.source)
        self.restart()
        self.sites.wait_up()

    def lose_disk(self, site):
        """Its directory goes; nbdkit sees that when it is started anew."""
        disk = self.pair.disks[site]
        self.missing[site] = os.path.join(site.dir, "lost-" + disk)
        os.rename(os.path.join(site.dir, "disks", disk), self.missing[site])
        site.kill_nbdkit()

    # ---- the whole ----------------------------------------------------------

    def go(self):
        self.watcher.hit.clear()
        try:
            SCENARIOS[self.scenario][0](self)
            wait_for("%s %s is reached; %s" % (
                self.name, self.moment, self.pair.describe()), 30,
                self.watcher.hit.is_set)
        except Done:
            pass
        finally:
            for hold in self.holds:
                hold.release()
            self.watcher.holds.clear()
            if self.stopped and self.stopped == self.destination.nbdkit():
                os.kill(self.stopped, signal.SIGCONT)
        self.restart()
        self.sites.wait_up()
        if self.ends:
            wait_for("%s; %s" % (self.ends, self.pair.describe()),
                     lib.DEADLINE, self.has_ended)
        else:
            run = life.Run(self.sites, self.pair, self.verb, None)
            run.end()
            run.check()
        self.leave()

    def has_ended(self):
        self.restart()
        told = self.pair.agree()
        return told and told["Status"] in self.ends

    def leave(self):
        end = life.VERBS[self.verb][2] if self.verb else None
        if end == "stopped":
            self.run("start")
        if end in ("stopped", "normal"):
            self.run("stop")
        if end != "gone":
            self.run("delete")
        if self.verb != "failover" and self.source not in self.missing:
            self.pair.content.check(self.source,
                                    self.pair.disks[self.source])
        self.pair.delete_disks()
        for path in self.missing.values():
            shutil.rmtree(path)
        copies = self.sites.full_copies() - self.copies
        if copies > 1:
            raise Failed("%d full copies" % copies)


# ---- create -----------------------------------------------------------------

def create_fails(s):
    s.ends = "created", "create_failed"
    hold = s.hold("create.destination.pair.set", "end")
    s.call("create")
    hold.wait()
    s.arm()
    s.until_status("create_failed", s.source)
    hold.release()


def create_with_mode(s):
    s.verb = "create"
    s.pair.options = PREPAID | MODE
    s.arm()
    s.call("create")


# ---- start, stop ------------------------------------------------------------

def modified_while_normal(s):
    s.verb = "start"
    s.run("create", "start")
    s.arm()
    s.modify(s.source)


def restarted_while_normal(s):
    s.verb = "start"
    s.run("create", "start")
    s.arm()
    s.kill_agents(*s.sites.both)
    s.restart()


def falls_behind(s):
    s.verb = "start"
    s.run("create", "start")
    s.arm()
    s.stopped = s.destination.nbdkit()
    os.kill(s.stopped, signal.SIGSTOP)
    s.pair.write(s.source)


def started_before_one_shot_is_over(s, verb="start"):
    s.verb = verb
    s.run("create")
    hold = s.hold("start-oneshot.end", "end")
    s.call("start-oneshot")
    hold.wait()
    s.arm()
    s.call(verb)
    hold.release()


def one_shot_before_one_shot_is_over(s):
    started_before_one_shot_is_over(s, "start-oneshot")


def restarted_in_one_shot(s):
    s.verb = "start-oneshot"
    s.run("create")
    hold = s.hold("start-oneshot.destination.replica.accept", "begin")
    s.call("start-oneshot")
    hold.wait()
    s.arm()
    s.kill_agents(*s.sites.both)
    # The source goes on only when the destination was seen to be again.
    hold = s.hold("start-oneshot.source.link.start", "begin")
    before = dict(s.watcher.seen)
    s.restart()
    for side in SIDES:
        s.until_seen("start-oneshot.%s.pair.set" % side, before)
    hold.release()


def modified_in_one_shot(s):
    s.verb = "start-oneshot"
    s.run("create")
    hold = s.hold("start-oneshot.source.link.start", "begin")
    s.call("start-oneshot")
    hold.wait()
    before = dict(s.watcher.seen)
    s.arm()
    s.modify(s.source)
    for step in LINK_MODE:
        s.until_seen("start-oneshot.destination." + step, before)
    hold.release()


def stop_fails(s):
    s.verb = "stop"
    s.run("create", "start")
    hold = s.hold("stop.destination.replica.stop", "begin")
    s.call("stop")
    hold.wait()
    s.arm()


def restarted_while_stopped(s):
    s.verb = "stop"
    s.run("create", "start", "stop")
    s.arm()
    s.kill_agents(*s.sites.both)
    s.restart()


def modified_while_stopped(s):
    s.verb = "stop"
    s.run("create", "start", "stop")
    s.arm()
    s.modify(s.source)


# ---- failover ---------------------------------------------------------------

def failover_fails(s):
    """The destination's disk has lost its role."""
    s.ends = ("failover_failed",)
    s.run("create", "start")
    hold = s.hold("failover.intent", "begin")
    token = "t%d" % random.getrandbits(60)
    caller = threading.Thread(target=lambda: s.destination.ask(
        "FailoverDiskReplicaPair", ReplicaPairId=s.pair.id,
        ClientToken=token))
    caller.start()
    hold.wait()
    s.destination.control(op="pair.clear", disk=s.pair.disks[s.destination])
    s.arm()
    hold.release()
    caller.join()
    s.call("failover", token)


def failed_over_while_stopped(s):
    s.verb = "failover"
    s.stopped_for_long()
    s.arm()
    s.call("failover")


def failed_over_after_reverse_failed(s):
    s.verb = "failover"
    s.failed_over(keeps=True)
    hold = s.hold("reprotect.source.demote", "begin")
    s.call("reprotect")
    hold.wait()
    s.until_status("reprotect_failed")
    s.kill_agents(s.source)
    s.restart()
    s.arm()
    s.call("failover")


# ---- reprotect --------------------------------------------------------------

def reverse_fails(s, moment="begin"):
    s.verb = "reprotect"
    s.failed_over(keeps=True)
    hold = s.hold("reprotect.source.demote", moment)
    s.call("reprotect")
    hold.wait()
    s.arm()
    s.until_status("reprotect_failed")
    hold.release()


def reversed_again(s):
    """The source has given up already."""
    reverse_fails(s, "end")
    s.call("reprotect")


def fails_unfenced(s, verb):
    """While the old source did not meet the new fence number yet."""
    s.verb = verb
    s.stopped_for_long()
    hold = s.hold("failover.source.link.start", "begin")
    s.call("failover")
    s.until_status("failovered")
    hold.wait()
    s.call(verb)
    s.until_status("reprotect_failed")
    s.arm()
    s.kill_agents(s.source)
    s.restart()


def reverse_fails_unfenced(s):
    fails_unfenced(s, "reprotect")


def cancel_fails_unfenced(s):
    fails_unfenced(s, "cancel")


def cancel_fails(s, keeps=False):
    """The destination has given up already."""
    s.verb = "cancel"
    s.failed_over(keeps)
    hold = s.hold("cancel.source.pair.set", "begin")
    s.call("cancel")
    hold.wait()
    s.arm()
    s.until_status("reprotect_failed")
    s.kill_agents(s.source)
    s.restart()


def cancelled_again(s):
    cancel_fails(s)
    s.call("cancel")


def reversed_after_cancel_failed(s):
    cancel_fails(s, keeps=True)
    s.verb = "reprotect"
    s.call("reprotect")


def cancelled_after_reverse_failed(s):
    """The source has given up already."""
    s.verb = "cancel"
    s.failed_over(keeps=False)
    hold = s.hold("reprotect.source.demote", "end")
    s.call("reprotect")
    hold.wait()
    s.until_status("reprotect_failed")
    hold.release()
    s.arm()
    s.call("cancel")


def cancelled_while_linked(s):
    """The source's link was not stopped yet."""
    s.verb = "cancel"
    s.run("create", "start")
    hold = s.hold("failover.source.link.stop", "begin")
    s.call("failover")
    hold.wait()
    s.until_status("failovered")
    s.call("cancel")
    s.until_status("reprotecting", s.source)
    s.until("the destination gives up", lambda: s.role(s.destination) ==
            "secondary")
    s.arm()
    s.kill_agents(s.source)
    s.restart()


# ---- delete, invalid --------------------------------------------------------

def delete_fails(s):
    s.verb = "delete"
    s.run("create", "start", "stop")
    hold = s.hold("delete.destination.pair.clear", "begin")
    s.call("delete")
    hold.wait()
    s.arm()


def disk_is_lost(s, of_source):
    s.ends = ("invalid",)
    s.run("create", "start")
    s.arm()
    s.lose_disk(s.source if of_source else s.destination)


def source_is_lost(s):
    disk_is_lost(s, True)


def destination_is_lost(s):
    disk_is_lost(s, False)


def restarted_while_invalid(s, of_source):
    s.ends = ("invalid",)
    s.run("create", "start", "stop")
    s.lose_disk(s.source if of_source else s.destination)
    wait_for("invalid", 30, s.has_ended)
    s.arm()
    s.kill_agents(*s.sites.both)
    s.restart()


def restarted_without_source(s):
    restarted_while_invalid(s, True)


def restarted_without_destination(s):
    restarted_while_invalid(s, False)


def modified_before_invalid(s, of_source):
    """The other site hears of both when it is back."""
    s.ends = ("invalid",)
    lost, away = s.source, s.destination
    if not of_source:
        lost, away = away, lost
    s.run("create", "start", "stop")
    s.kill_agents(away)
    s.again(lost.call, "ModifyDiskReplicaPair", ReplicaPairId=s.pair.id,
            **MODE)
    s.lose_disk(lost)
    s.until_status("invalid", lost)
    s.arm()
    s.restart()


def modified_before_source_is_lost(s):
    modified_before_invalid(s, True)


def modified_before_destination_is_lost(s):
    modified_before_invalid(s, False)


def sided(verb, sides, steps):
    return ["%s.%s.%s" % (verb, side, step) for side in sides
            for step in steps]


# name -> what it does, the rare steps it comes by after arm ()
SCENARIOS = {f.__name__: (f, steps) for f, steps in [
    (create_fails, ["create.failed"] +
     sided("create", SIDES, ["pair.clear"])),
    (create_with_mode, sided("create", SIDES, LINK_MODE)),
    (modified_while_normal, sided("start", SIDES, LINK_MODE) + [
        "plugin.link.mode", "plugin.link.mode.link-file",
        "plugin.link.limit", "plugin.link.limit.link-file"]),
    (restarted_while_normal, sided("start", SIDES, ["pair.set"])),
    (falls_behind, ["start.behind"]),
    (started_before_one_shot_is_over, ["start.source.link.stop"]),
    (one_shot_before_one_shot_is_over, ["start-oneshot.source.link.stop"]),
    (restarted_in_one_shot, sided("start-oneshot", SIDES, ["pair.set"])),
    (modified_in_one_shot, sided("start-oneshot", SIDES, LINK_MODE)),
    (stop_fails, ["stop.failed"]),
    (restarted_while_stopped, sided("stop", SIDES, ["pair.set"])),
    (modified_while_stopped, sided("stop", SIDES, LINK_MODE)),
    (failover_fails, ["failover.failed"]),
    (failed_over_while_stopped, ["failover.source.link.start",
                                 "failover.link-noted"]),
    (failed_over_after_reverse_failed, ["failover.destination.pair.set"]),
    (reverse_fails, ["reprotect.failed"]),
    (reverse_fails_unfenced, ["reprotect.source.link.start",
                              "reprotect.link-noted",
                              "reprotect.source.link.stop"]),
    (reversed_again, ["reprotect.source.pair.set"]),
    (reversed_after_cancel_failed, ["reprotect.destination.promote"]),
    (cancel_fails, ["cancel.failed"]),
    (cancel_fails_unfenced, ["cancel.source.link.start",
                             "cancel.link-noted"]),
    (cancelled_again, ["cancel.destination.pair.set"]),
    (cancelled_after_reverse_failed, ["cancel.source.promote"]),
    (cancelled_while_linked, ["cancel.source.link.stop"]),
    (delete_fails, ["delete.failed"]),
    (source_is_lost, ["invalid.end", "invalid.told",
                      "invalid.destination.replica.stop"]),
    (destination_is_lost, ["invalid.source.link.stop"]),
    (restarted_without_source, ["invalid.destination.pair.set"]),
    (restarted_without_destination, ["invalid.source.pair.set"]),
    (modified_before_source_is_lost,
     sided("invalid", ["destination"], LINK_MODE)),
    (modified_before_destination_is_lost,
     sided("invalid", ["source"], LINK_MODE)),
]}


def of_step(name):
    """The scenario that comes by it."""
    for scenario, (_, steps) in SCENARIOS.items():
        if name in steps:
            return scenario
    return None

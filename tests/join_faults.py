"""Messages by which two sites come to trust each other, and go on doing so when
one of them changes its keys, are lost, delivered twice or too late: for
message-faults.py.

The sites speak TLS.  The proxy shows the certificate of the site it stands
before, so that it can do what the network between them can.
"""
import json
import ssl
import subprocess

import life
import sites as lib
from sites import Failed, wait_for

# When what, who sends, message, fault.  "stale": late by a whole rotation.
JOBS = [("join", "b", verb, fault) for verb in ("ca", "join")
        for fault in ("lost", "unheard", "twice", "late")]
JOBS += [("join", "b", "join", "stale")]
JOBS += [("rotate", sender, "hello", fault) for sender in ("a", "b")
         for fault in ("lost", "unheard", "twice", "late")]


class TLSProxy:
    """Mixed into a proxy.  Keys change, so each connection reads them."""

    def finish_request(self, request, client_address):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.tls_dir + "/server-cert.pem",
                                    self.tls_dir + "/server-key.pem")
            with context.wrap_socket(request, server_side=True) as tls:
                super().finish_request(tls, client_address)
        except (OSError, ssl.SSLError):
            pass                # in the middle of a change, or hung up


class Site(lib.Site):
    def make(self, address):
        self.address = address
        subprocess.run(
            [lib.TOP + "/cli/pairctl", "--site", self.dir, "site", "init",
             "--region", self.region, "--zone", self.region + "-1",
             "--address", "127.0.0.1:%d" % self.port,
             "--data-address", "127.0.0.1:%d" % self.data_port],
            check=True, stdout=subprocess.DEVNULL)

    def command(self):
        return [lib.TOP + "/agent/paird", "--config=%s/paird.conf" % self.dir,
                "--address=" + self.address,
                "--listen-tls=127.0.0.1:%d" % self.port,
                "--plugin=" + lib.PLUGIN]

    def certificate(self):
        return self.ask("DescribeSite").get("Certificate", {})

    def secrets(self, peer):
        with open("%s/peers/%s.json" % (self.dir, peer.region)) as f:
            return [s["secret"] for s in json.load(f)["secrets"]]


class Sites(lib.Sites):
    site_class = Site

    def __init__(self, faults):
        super().__init__(watched=False, between=faults.between)
        for site in self.both:
            site.make(self.other(site).peer_address)

    def peers(self):
        return [s.ask("DescribeSite").get("Peers") for s in self.both]

    def know_each_other(self):
        return all(p and p[0]["Reachable"] for p in self.peers())

    def share_one_secret(self):
        ours, theirs = self.a.secrets(self.b), self.b.secrets(self.a)
        return len(ours) == 1 and ours == theirs


class Joining:
    """Two sites meet, change keys, run a pair and part."""

    def __init__(self, sites, faults, seed, job):
        self.sites, self.faults, self.seed = sites, faults, seed
        self.when, self.sender, self.verb, self.fault = job

    def arm(self, when):
        if when == self.when:
            self.faults.arm(self.sender, self.verb, "late" if self.fault ==
                            "stale" else self.fault)

    def settle(self, when):
        """The message came by; what is held comes after all."""
        if when == self.when:
            wait_for("%s from %s" % (self.verb, self.sender), 30,
                     self.faults.hit.is_set)
        if (self.fault == "stale") == (when == "rotate"):
            self.faults.deliver_late(self.sites)
        wait_for("they know each other: %s" % self.sites.peers(), 60,
                 self.sites.know_each_other)

    def join(self):
        token = self.sites.a.do("CreateInvitation")["Token"]
        self.arm("join")
        wait_for("b joins", 60, lambda: self.sites.b.ask("JoinSite",
                                                         Token=token))
        self.settle("join")

    def rotate(self):
        site = self.sites.a
        before, old = site.certificate(), site.secrets(self.sites.b)
        self.arm("rotate")
        site.do("RotateSite")
        wait_for("a has another certificate", 60, lambda: (
            now := site.certificate()) and now["Rotation"] != "waiting" and
            now["Fingerprint"] != before["Fingerprint"])
        wait_for("they share one secret", 60, self.sites.share_one_secret)
        self.settle("rotate")
        self.exchange_hellos()
        if not self.sites.share_one_secret() or \
                site.secrets(self.sites.b) == old:
            raise Failed("they do not share a new secret")

    def exchange_hellos(self):
        """They know each other still."""
        before = dict(self.faults.seen)
        for name in "a", "b":
            key = name, "hello"
            wait_for("a hello from " + name, 30, lambda: self.faults.seen.get(
                key, 0) > before.get(key, 0) + 1)
        wait_for("they know each other: %s" % self.sites.peers(), 60,
                 self.sites.know_each_other)

    def run_a_pair(self):
        pair = lib.Pair(self.sites, self.seed)
        pair.write(self.sites.a)
        for verb in ("create", "start", "stop", "delete"):
            life.Run(self.sites, pair, verb, None).go()
        pair.delete_disks()

    def go(self):
        self.join()
        self.rotate()
        self.run_a_pair()
        for site in self.sites.both:
            site.do("RemoveSite",
                    PeerRegionId=self.sites.other(site).region)

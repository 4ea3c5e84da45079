"""What the programs of this directory share: sizes, servers' processes, the
load generator, medians, tables.  Only processes started here are ended, by
their own handles."""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("PAIRDISK_BUILDDIR", os.path.dirname(HERE))
NBDLOAD = os.path.join(BUILD, "bench", "nbdload")
PLUGIN = os.path.join(BUILD, "plugin", ".libs", "nbdkit-pairdisk-plugin.so")
PAIRCTL = os.path.join(BUILD, "cli", "pairctl")

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


class LoadFailed(Exception):
    """nbdload did not end well; the message has all it said."""


def fail(message):
    sys.exit("bench: " + message)


def parse_size(text):
    units = {"K": KIB, "M": MIB, "G": GIB, "T": 1024 * GIB}
    scale = units.get(text[-1:].upper())
    try:
        return int(text[:-1]) * scale if scale else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"bad size '{text}'")


def median_of(cells):
    ret = {key: statistics.median(cell[key] for cell in cells)
           for key in cells[0]}
    ret["rounds"] = len(cells)
    ret["spread"] = (max(c["ops_per_s"] for c in cells) /
                     max(min(c["ops_per_s"] for c in cells), 1e-9))
    return ret


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K" + text)
        sys.stderr.flush()
    elif text:
        print("bench: " + text, file=sys.stderr, flush=True)


def cell(value, form):
    return "-" if value is None else format(value, form)


def format_table(rows):
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        first = row[0].ljust(widths[0])
        rest = (text.rjust(width) for text, width in zip(row[1:], widths[1:]))
        lines.append("  ".join([first, *rest]).rstrip())
    return "\n".join(lines)


def machine():
    with open("/proc/meminfo") as info:
        memory = int(info.readline().split()[1]) * KIB
    return {"kernel": platform.release(), "cpus": os.cpu_count(),
            "memory_bytes": memory}


def chosen(text, known, what):
    names = text.split(",")
    for name in names:
        if name not in known:
            fail(f"unknown {what} '{name}', known: {', '.join(known)}")
    return names


class Server:
    """A process started here, and what it says in LOG."""

    def __init__(self, log):
        self.log = log
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    def start(self, command):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_until(self, is_ready, what, seconds=60):
        deadline = time.monotonic() + seconds
        while not is_ready():
            if self.process.poll() is not None or \
               time.monotonic() > deadline:
                fail(f"{what} does not start:\n{self.log_tail()}")
            time.sleep(0.02)

    def work_done(self):
        """Bytes that it had the disk read and write so far."""
        with open(f"/proc/{self.pid}/io") as counters:
            found = dict(line.split(": ") for line in counters)
        return int(found["read_bytes"]) + int(found["write_bytes"])

    def settle(self, seconds=20):
        """Wait until it does nothing any more for half a second."""
        deadline = time.monotonic() + seconds
        still, before = 0, self.work_done()
        while still < 5 and time.monotonic() < deadline:
            time.sleep(0.1)
            now = self.work_done()
            still = still + 1 if now == before else 0
            before = now

    def log_tail(self):
        with open(self.log, errors="replace") as log:
            return "".join(log.readlines()[-10:])

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def kill(self):
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.process = None


def nbd_answers(uri):
    return subprocess.run(["nbdinfo", "--size", uri],
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def nbdload(uri, *args):
    run = subprocess.run([NBDLOAD, *map(str, args), uri],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
    if run.returncode != 0:
        raise LoadFailed(f"nbdload {' '.join(map(str, args))} failed with "
                         f"{run.returncode}\n{run.stderr}{run.stdout}")
    return json.loads(run.stdout)


def volume_create(path, size, capacity=None):
    args = [PAIRCTL, "volume", "create", path, "--size", str(size)]
    if capacity:
        args += ["--capacity", str(capacity)]
    run = subprocess.run(args, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)
    if run.returncode != 0:
        fail(f"cannot create a volume: {run.stderr}")

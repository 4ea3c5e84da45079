#!/usr/bin/env python3
"""Writers that flush, and a log of what was acknowledged.

sync-load.py URI LOG THREADS [FUA]   write until killed or the server is gone
sync-load.py --check URI LOG         is all that the log says there?

Each thread has blocks of its own, and writes to them in turn a number that
grows; after the flush (or with FUA) was answered it puts "THREAD NUMBER" into
the log.  A block that shows a number below the one that was logged last for it
lost an acknowledged flush.
"""
import os
import sys
import threading

import nbd

BLOCKS = 16
FIRST = 8 << 20     # another load may have what is below


def open_disk(uri):
    h = nbd.NBD()
    h.connect_uri(uri)
    return h


def offset(thread, number):
    return FIRST + (thread * BLOCKS + number % BLOCKS) * 4096


def block(thread, number):
    return b"%16d %16d;" % (thread, number) * 120 + bytes(16)


def write(uri, log, thread, fua):
    number = 0
    try:
        h = open_disk(uri)
        while True:
            number += 1
            data = block(thread, number).ljust(4096, b"\0")
            if fua and number % 2:
                h.pwrite(data, offset(thread, number), nbd.CMD_FLAG_FUA)
            else:
                h.pwrite(data, offset(thread, number))
                h.flush()
            os.write(log, b"%d %d\n" % (thread, number))
    except nbd.Error:
        pass


def check(uri, path):
    h = open_disk(uri)
    last = {}
    for line in open(path):
        thread, number = map(int, line.split())
        last[offset(thread, number)] = thread, number
    for at, (thread, number) in last.items():
        data = h.pread(4096, at)
        words = data[:33].split()
        if len(words) != 2 or int(words[0]) != thread or \
           int(words[1]) < number or \
           data != block(thread, int(words[1])).ljust(4096, b"\0"):
            sys.exit("thread %d: number %d was acknowledged, there is %r" %
                     (thread, number, data[:34]))
    print("%d blocks, %d flushes" % (len(last), sum(1 for _ in open(path))))


if sys.argv[1] == "--check":
    check(sys.argv[2], sys.argv[3])
else:
    log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    threads = [threading.Thread(target=write, args=(
        sys.argv[1], log, t, len(sys.argv) > 4))
        for t in range(int(sys.argv[3]))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()

#!/usr/bin/env python3
"""Random writes to a disk until it is told to end (SIGTERM).

link-load.py URI SEED [BLOCKS [FIRST]]

Sizes from 4 KiB to 256 KiB, zeros and trims among them, a flush now and then,
in BLOCKS of 4 KiB (all) from FIRST (0) on.
When the server goes away it waits for it to come back.
"""
import random
import signal
import sys
import time

import nbd

uri, seed = sys.argv[1], int(sys.argv[2])
limit = int(sys.argv[3]) if len(sys.argv) > 3 else 1 << 60
first = int(sys.argv[4]) if len(sys.argv) > 4 else 0
r = random.Random(seed)
ended = False


def end(_signal, _frame):
    global ended
    ended = True


def step(h, blocks):
    n = r.choice((1, 1, 1, 2, 8, 64))
    at = (first + r.randrange(blocks - n)) * 4096
    kind = r.randrange(12)
    if kind == 0:
        h.zero(n * 4096, at)
    elif kind == 1:
        h.trim(n * 4096, at)
    elif kind == 2:
        h.flush()
    else:
        h.pwrite((r.randbytes(1024) + bytes(3072)) * n, at)
    time.sleep(0.001)


signal.signal(signal.SIGTERM, end)
while not ended:
    try:
        h = nbd.NBD()
        h.connect_uri(uri)
        blocks = min(limit, h.get_size() // 4096 - first)
        while not ended:
            step(h, blocks)
        h.flush()
    except nbd.Error as e:
        print(e, flush=True)
        time.sleep(0.05)

#!/usr/bin/env python3
"""A TCP proxy on loopback that can be cut, frozen and counted.

tcp-proxy.py PORT-FILE TARGET-PORT CONTROL-SOCKET

Writes its own port to PORT-FILE.  Commands on the control socket, one a
connection, answered by one line:
  cut            close all connections
  cut-one        close one of them
  count          how many there are
  cut-after N    close each connection after N more bytes towards the target
  freeze, thaw   pass nothing on, but keep the connections; go on
  rate N         at most N bytes a second towards the target; 0: no limit
  bytes          bytes passed on towards the target, of all connections
"""
import os
import select
import socket
import sys
import time

port_file, target, control_path = sys.argv[1], int(sys.argv[2]), sys.argv[3]

listener = socket.create_server(("127.0.0.1", 0))
# What a line holds is little; connections get it from the listener.
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
control = socket.socket(socket.AF_UNIX)
control.bind(control_path)
control.listen()
with open(port_file + ".new", "w") as f:
    f.write(str(listener.getsockname()[1]))
os.rename(port_file + ".new", port_file)

pairs = {}          # socket -> its other end
to_target = set()   # those whose bytes go to the target
limit = None
rate = 0
frozen = False
passed = 0


def drop(sock):
    other = pairs.pop(sock, None)
    to_target.discard(sock)
    sock.close()
    if other is not None:
        drop(other)


def drop_all():
    for sock in list(pairs):
        if sock in pairs:
            drop(sock)


def accept():
    client, _ = listener.accept()
    try:
        server = socket.create_connection(("127.0.0.1", target), 5)
    except OSError:
        client.close()
        return
    for sock in (client, server):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pairs[client], pairs[server] = server, client
    to_target.add(client)


def command(line):
    global limit, rate, frozen
    words = line.split()
    if words[0] == "cut":
        drop_all()
    elif words[0] == "cut-one":
        for sock in list(to_target)[:1]:
            drop(sock)
    elif words[0] == "count":
        return str(len(to_target))
    elif words[0] == "cut-after":
        limit = int(words[1])
    elif words[0] == "rate":
        rate = int(words[1])
    elif words[0] in ("freeze", "thaw"):
        frozen = words[0] == "freeze"
    elif words[0] != "bytes":
        return "unknown command"
    return str(passed)


def serve_control():
    sock, _ = control.accept()
    with sock:
        sock.sendall(command(sock.recv(1000).decode()).encode() + b"\n")


def pass_on(sock):
    global passed, limit
    try:
        data = sock.recv(1 << 16)
        if not data:
            return drop(sock)
        if sock in to_target and limit is not None:
            data = data[:limit]
            limit -= len(data)
        pairs[sock].sendall(data)
        if sock in to_target:
            passed += len(data)
            if rate:
                time.sleep(len(data) / rate)
            if limit == 0:
                limit = None
                drop_all()
    except OSError:
        drop(sock)


while True:
    watched = [listener, control] + ([] if frozen else list(pairs))
    for sock in select.select(watched, [], [])[0]:
        if sock is listener:
            accept()
        elif sock is control:
            serve_control()
        elif sock in pairs and not frozen:
            pass_on(sock)

#!/usr/bin/env python3
"""The plugin's control socket (docs/design/control-protocol.md), for tests.

As a program: control.py DIR LINE..., prints the answers, one a line.
"""
import json
import socket
import sys


class Control:
    """One connection to the plugin of the state directory DIR."""

    def __init__(self, dir, timeout=60):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(dir + "/control.sock")
        self.file = self.socket.makefile("rwb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, line):
        """The answer to LINE, as it came."""
        self.file.write(line.encode() + b"\n")
        self.file.flush()
        return self.file.readline().decode()

    def ask(self, **request):
        return json.loads(self.send(json.dumps(request)))

    def status(self, disk):
        return self.ask(op="disk.status", disk=disk)


if __name__ == "__main__":
    with Control(sys.argv[1]) as control:
        for text in sys.argv[2:]:
            print(control.send(text).rstrip("\n"))

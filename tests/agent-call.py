#!/usr/bin/env python3
"""Call an action of paird, print the answer.

agent-call.py [OPTION...] WHERE [NAME=VALUE...]
  WHERE        HOST:PORT, or a site directory (its api.sock)
  -a ACTION    as query parameter Action (-A: as header x-acs-action)
  -m METHOD    default POST; -u PATH default /
  -w WAY       parameters in: query (default), form, chunked
  -d TEXT      send TEXT as the body instead; -t TYPE its Content-Type
  -p PATH      print only this member, as in ReplicaPairs.0.Status
  -v VERSION   default 2021-07-30, "" for none

Prints "STATUS JSON" or the member; succeeds if the status is 200.
"""

import getopt
import http.client
import json
import socket
import sys
import urllib.parse


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


def connection(where):
    if "/" in where:
        return UnixConnection(where + "/api.sock")
    host, port = where.rsplit(":", 1)
    return http.client.HTTPConnection(host, int(port), timeout=10)


def call(where, method="POST", path="/", way="query", params=(), headers=None,
         body=None):
    c = connection(where)
    headers = dict(headers or {})
    text = urllib.parse.urlencode(params)
    if way == "query":
        if text:
            path += "?" + text
    elif body is None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = text.encode()
    if way == "chunked":
        half = len(body) // 2
        c.request(method, path, iter([body[:half], body[half:]]), headers,
                  encode_chunked=True)
    else:
        c.request(method, path, body, headers)
    r = c.getresponse()
    data = r.read()
    c.close()
    return r.status, data, r


def pick(value, path):
    for key in path.split("."):
        if isinstance(value, list):
            value = value[int(key)] if int(key) < len(value) else None
        elif isinstance(value, dict):
            value = value.get(key)
        else:
            value = None
    return value


def main():
    opts, args = getopt.getopt(sys.argv[1:], "a:A:m:u:w:d:t:p:v:")
    o = dict(opts)
    params = [tuple(a.split("=", 1)) for a in args[1:]]
    headers = {}
    if "-a" in o:
        params.append(("Action", o["-a"]))
    if "-A" in o:
        headers["x-acs-action"] = o["-A"]
    if o.get("-v", "2021-07-30"):
        headers["x-acs-version"] = o.get("-v", "2021-07-30")
    if "-t" in o:
        headers["Content-Type"] = o["-t"]
    body = o["-d"].encode() if "-d" in o else None
    status, data, _ = call(args[0], o.get("-m", "POST"), o.get("-u", "/"),
                           o.get("-w", "query"), params, headers, body)
    answer = json.loads(data)
    if "-p" in o and status == 200:
        value = pick(answer, o["-p"])
        print(value if isinstance(value, str) else json.dumps(value))
    else:
        print(status, json.dumps(answer))
    return status != 200


if __name__ == "__main__":
    sys.exit(main())

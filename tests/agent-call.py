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
  -k FILE      sign with the access key of this JSON file
  -S FORM      how: acs3 (default) or rpc
  -T TIME      as if signed then; -N NONCE with this nonce
  -H HEADER    one more "Name: value"
  -U UID       as this user

Prints "STATUS JSON" or the member; succeeds if the status is 200.
"""

import base64
import getopt
import hashlib
import hmac
import http.client
import json
import os
import socket
import ssl
import sys
import time
import urllib.parse
import uuid


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


def connection(where):
    if where.startswith("https:"):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        host, port = where[6:].rsplit(":", 1)
        return http.client.HTTPSConnection(host, int(port), timeout=10,
                                           context=context)
    if "/" in where:
        return UnixConnection(where + "/api.sock")
    host, port = where.rsplit(":", 1)
    return http.client.HTTPConnection(host, int(port), timeout=10)


def encode(text):
    return urllib.parse.quote(text, safe="-_.~")


def canonical(params):
    return "&".join(encode(k) + "=" + encode(v)
                    for k, v in sorted(dict(reversed(params)).items()))


def pairs(text):
    return urllib.parse.parse_qsl(text, keep_blank_values=True)


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def sign_acs3(key, method, path, headers, body, when=None, nonce=None):
    """Add the headers of ACS3-HMAC-SHA256 to HEADERS."""
    path, _, query = path.partition("?")
    headers["host"] = "localhost"
    headers["x-acs-date"] = when or now()
    headers["x-acs-signature-nonce"] = nonce or uuid.uuid4().hex
    headers["x-acs-content-sha256"] = hashlib.sha256(body or b"").hexdigest()
    names = sorted(n for n in headers
                   if n in ("host", "content-type") or n.startswith("x-acs-"))
    text = "\n".join([method, path, canonical(pairs(query))] +
                     ["%s:%s" % (n, headers[n].strip()) for n in names] +
                     ["", ";".join(names),
                      headers["x-acs-content-sha256"]])
    text = ("ACS3-HMAC-SHA256\n" +
            hashlib.sha256(text.encode()).hexdigest())
    headers["Authorization"] = (
        "ACS3-HMAC-SHA256 Credential=%s,SignedHeaders=%s,Signature=%s" %
        (key["AccessKeyId"], ";".join(names),
         hmac.new(key["AccessKeySecret"].encode(), text.encode(),
                  "sha256").hexdigest()))


def sign_rpc(key, method, params, when=None, nonce=None):
    """PARAMS with those of an RPC signature."""
    params = list(params) + [
        ("AccessKeyId", key["AccessKeyId"]), ("SignatureVersion", "1.0"),
        ("SignatureMethod", "HMAC-SHA1"), ("Timestamp", when or now()),
        ("SignatureNonce", nonce or uuid.uuid4().hex)]
    text = method + "&%2F&" + encode(canonical(params))
    mac = hmac.new((key["AccessKeySecret"] + "&").encode(), text.encode(),
                   "sha1").digest()
    return params + [("Signature", base64.b64encode(mac).decode())]


def call(where, method="POST", path="/", way="query", params=(), headers=None,
         body=None, key=None, form="acs3", when=None, nonce=None):
    c = connection(where)
    headers = dict(headers or {})
    if key and form == "rpc":
        params = sign_rpc(key, method, list(params) +
                          pairs(path.partition("?")[2]), when, nonce)
        path = path.partition("?")[0]
    text = urllib.parse.urlencode(params)
    if way == "query":
        if text:
            path += ("&" if "?" in path else "?") + text
    elif body is None:
        headers["content-type"] = "application/x-www-form-urlencoded"
        body = text.encode()
    if key and form == "acs3":
        sign_acs3(key, method, path, headers, body, when, nonce)
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
    opts, args = getopt.getopt(sys.argv[1:], "a:A:m:u:w:d:t:p:v:k:S:T:N:H:U:")
    o = dict(opts)
    params = [tuple(os.fsencode(s) for s in a.split("=", 1))
              if "\udc80" <= max(a) <= "\udcff" else tuple(a.split("=", 1))
              for a in args[1:]]
    headers = {}
    version = o.get("-v", "2021-07-30")
    form = o.get("-S", "acs3")
    if "-a" in o:
        params.append(("Action", o["-a"]))
    if "-A" in o:
        headers["x-acs-action"] = o["-A"]
    if version and form == "acs3":
        headers["x-acs-version"] = version
    elif version:
        params.append(("Version", version))
    if "-t" in o:
        headers["content-type"] = o["-t"]
    body = o["-d"].encode() if "-d" in o else None
    key = None
    if "-k" in o:
        with open(o["-k"]) as f:
            key = json.load(f)
    if "-H" in o:
        name, value = o["-H"].split(": ", 1)
        headers[name] = value
    if "-U" in o:
        os.seteuid(int(o["-U"]))
    status, data, _ = call(args[0], o.get("-m", "POST"), o.get("-u", "/"),
                           o.get("-w", "query"), params, headers, body, key,
                           form, o.get("-T"), o.get("-N"))
    answer = json.loads(data)
    if "-p" in o and status == 200:
        value = pick(answer, o["-p"])
        print(value if isinstance(value, str) else json.dumps(value))
    else:
        print(status, json.dumps(answer))
    return status != 200


if __name__ == "__main__":
    sys.exit(main())

# Who may call what, and what is told to those who may not.  Nothing that is
# refused has an effect, and the agent goes on.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"

sites_up
key_make a "$tmp/key"
key_make a "$tmp/reader" read-only
key_make a "$tmp/off"
api a UpdateAccessKey Status=Inactive \
  UserAccessKeyId="$(sed -n 's/.*"AccessKeyId": "\([^"]*\)".*/\1/p' \
  "$tmp/off")" >/dev/null

# A Python at hand, with TCP the address, the keys key, reader and off, and
# run (...), which calls and prints status and answer.
cat >"$tmp/ask.py" <<END
import contextlib, importlib, io, json, os, sys, time
sys.path.insert(0, "$top_srcdir/tests")
c = importlib.import_module("agent-call")
TCP = "127.0.0.1:${api_port[a]}"
key, reader, off = (json.load(open("$tmp/" + n))
                    for n in ("key", "reader", "off"))
LIST, MAKE = "DescribeDisks", "CreateDisk"

def at(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ",
                         time.gmtime(time.time() + seconds))

def run(action=LIST, headers=None, params=(), way="query", show=True, **more):
    h = {} if more.get("form") == "rpc" else {
        "x-acs-action": action, "x-acs-version": "2021-07-30"}
    p = [("RegionId", "site-a")] + list(params)
    if more.get("form") == "rpc":
        p += [("Action", action), ("Version", "2021-07-30")]
    h.update(headers or {})
    status, data, r = c.call(TCP, params=p, headers=h, way=way, **more)
    if show:
        print(status, data.decode())
    return status

# Sign, then change what was signed before it goes out.
def tampered(change, way="query", **more):
    real = c.http.client.HTTPConnection.request
    def request(self, method, path, body=None, headers={}, **k):
        method, path, body, headers = change(method, path, body, headers)
        return real(self, method, path, body, headers, **k)
    c.http.client.HTTPConnection.request = request
    try:
        return run(way=way, **more)
    finally:
        c.http.client.HTTPConnection.request = real

# Code up to a line "%%" in, one line of what it printed out.
code = []
for line in sys.stdin:
    if line != "%%\n":
        code.append(line)
        continue
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            exec("".join(code))
        except BaseException as e:
            print("exception", repr(e))
    print(out.getvalue().strip().replace("\n", " / "), flush=True)
    code = []
END
coproc ASK { python3 "$tmp/ask.py" 2>"$tmp/ask.err"; }

# case NAME PATTERN CODE
case_is ()
{
  local output
  printf '%s\n%%%%\n' "$3" >&"${ASK[1]}"
  read -r -t 30 output <&"${ASK[0]}" || output=$(cat "$tmp/ask.err")
  if grep -qE -- "$2" <<<"$output"; then pass "$1"; else
    fail "$1"; diag "$3 => $output"; fi
}

for form in acs3 rpc; do
  f="key=key, form='$form'"
  case_is "$form: in the query" '^200 .*Disks' "run($f)"
  case_is "$form: in a form body" '^200 .*Disks' "run($f, way='form')"
  case_is "$form: in a chunked body" '^200 .*Disks' "run($f, way='chunked')"
  case_is "$form: wrong secret" '^400 .*"SignatureDoesNotMatch"' \
    "run(form='$form', key=dict(key, AccessKeySecret='x' * 40))"
  case_is "$form: unknown key" '^404 .*"InvalidAccessKeyId.NotFound"' \
    "run(form='$form', key=dict(key, AccessKeyId='nobody'))"
  case_is "$form: a key that cannot be" '^404 .*"InvalidAccessKeyId.NotFound"' \
    "run(form='$form', key=dict(key, AccessKeyId=\"a' OR 1=1\"))"
  case_is "$form: disabled key" '^400 .*"InvalidAccessKeyId.Inactive"' \
    "run(form='$form', key=off)"
  case_is "$form: 14 minutes ago" '^200' "run($f, when=at(-840))"
  case_is "$form: 16 minutes ago" '^400 .*"InvalidTimeStamp.Expired"' \
    "run($f, when=at(-960))"
  case_is "$form: 16 minutes ahead" '^400 .*"InvalidTimeStamp.Expired"' \
    "run($f, when=at(960))"
  case_is "$form: no time" '^400 .*"InvalidTimeStamp.Format"' \
    "run($f, when='yesterday')"
  case_is "$form: a nonce twice" '^400 .*"SignatureNonceUsed"' \
    "run($f, nonce='$form', show=False); run($f, nonce='$form')"
  case_is "$form: a nonce too long" '^400 .*"InvalidSignatureNonce"' \
    "run($f, nonce='x' * 129)"
  case_is "$form: read-only reads" '^200' "run(key=reader, form='$form')"
  case_is "$form: read-only does not write" '^403 .*"Forbidden.Action"' \
    "run(MAKE, key=reader, form='$form', params=[('DiskName', 'bad1'),
         ('Size', '1048576')])"
  case_is "$form: keys are not made from afar" '^403 .*"Forbidden.Action"' \
    "run('CreateAccessKey', $f, params=[('Role', 'operator')])"
  case_is "$form: nor listed" '^403 .*"Forbidden.Action"' \
    "run('ListAccessKeys', $f)"
  case_is "$form: a changed parameter" '^400 .*"SignatureDoesNotMatch"' \
    "tampered(lambda m, p, b, h: (m, p.replace('good1', 'bad2'), b, h),
       action=MAKE, $f, params=[('DiskName', 'good1'), ('Size', '1048576')])"
  case_is "$form: a changed body" '^400 .*"SignatureDoesNotMatch"' \
    "tampered(lambda m, p, b, h: (m, p, b.replace(b'good1', b'bad3'), h),
       action=MAKE, $f, way='form',
       params=[('DiskName', 'good1'), ('Size', '1048576')])"
  case_is "$form: a parameter more" '^400 .*"SignatureDoesNotMatch"' \
    "tampered(lambda m, p, b, h: (m, p + '&Capacity=1', b, h),
       action=MAKE, $f, params=[('DiskName', 'bad4'), ('Size', '1048576')])"
  case_is "$form: another method" '^400 .*"SignatureDoesNotMatch"' \
    "tampered(lambda m, p, b, h: ('GET', p, b, h), $f)"
done
# What a name in the query hides in the body is neither signed nor seen.
case_is 'rpc: the same name again, later' '^200 .*"TotalCount":0' \
  "tampered(lambda m, p, b, h: (m, p + '&DiskIds=other', b, h), key=key,
     form='rpc', params=[('DiskIds', 'none')])"
case_is 'rpc: the same name again, before' '^400 .*"SignatureDoesNotMatch"' \
  "tampered(lambda m, p, b, h: (m, p.replace('/?', '/?DiskIds=other&'), b, h),
     key=key, form='rpc', params=[('DiskIds', 'none')])"
case_is 'acs3: another action' '^400 .*"SignatureDoesNotMatch"' \
  "tampered(lambda m, p, b, h: (m, p, b, dict(h, **{'x-acs-action': MAKE})),
     key=key)"
case_is 'rpc: an action in a header changes nothing' '^200 .*"Disks"' \
  "tampered(lambda m, p, b, h: (m, p, b, {'x-acs-action': 'DescribeEvents'}),
     key=key, form='rpc')"
case_is 'acs3: a body that was not announced' '^400 .*"SignatureDoesNotMatch"' \
  "tampered(lambda m, p, b, h: (m, p, b'a=b', h), key=key)"
for name in date signature-nonce content-sha256 action; do
  case_is "acs3: x-acs-$name not signed" '^400 .*"SignatureDoesNotMatch"' \
    "tampered(lambda m, p, b, h: (m, p, b, dict(h, Authorization=
       h['Authorization'].replace('x-acs-$name', 'x-acs-version'))), key=key)"
done
case_is 'acs3: another algorithm' '^400 .*"InvalidSignatureMethod"' \
  "run(headers={'Authorization': 'ACS3-HMAC-SM3 Credential=a'})"
case_is 'acs3: half of the header' '^400 .*"InvalidAuthorization"' \
  "run(headers={'Authorization': 'ACS3-HMAC-SHA256 Credential=a'})"
case_is 'rpc: another algorithm' '^400 .*"InvalidSignatureMethod"' \
  "run(form='rpc', params=[('Signature', 'x'), ('AccessKeyId', 'abcd'),
     ('SignatureMethod', 'HMAC-MD5'), ('SignatureVersion', '1.0'),
     ('SignatureNonce', '1'), ('Timestamp', at(0))])"
case_is 'rpc: another version of the form' '^400 .*"InvalidSignatureVersion"' \
  "run(form='rpc', params=[('Signature', 'x'), ('AccessKeyId', 'abcd'),
     ('SignatureMethod', 'HMAC-SHA1'), ('SignatureVersion', '2.0'),
     ('SignatureNonce', '1'), ('Timestamp', at(0))])"
for name in AccessKeyId SignatureNonce Timestamp; do
  case_is "rpc: no $name" "^400 .*\"Missing$name\"" \
    "run(form='rpc', params=[x for x in [('Signature', 'x'),
       ('AccessKeyId', 'abcd'), ('SignatureMethod', 'HMAC-SHA1'),
       ('SignatureVersion', '1.0'), ('SignatureNonce', '1'),
       ('Timestamp', at(0))] if x[0] != '$name'])"
done
case_is 'unsigned by TCP' '^400 .*"MissingAccessKeyId"' "run()"
case_is 'unsigned, whatever the action' '^400 .*"MissingAccessKeyId"' \
  "run('NoSuchAction')"

# A nonce is remembered over a restart.
case_is 'a call' '^200' "run(key=key, nonce='kept')"
site_kill_agent a
site_start a
case_is 'again, after a kill of the agent' '^400 .*"SignatureNonceUsed"' \
  "run(key=key, nonce='kept')"
case_is 'keys are still there' '^200' "run(key=key)"

# Another user of this machine may not call unsigned.
ok 'nobody but the owner reads the store' test \
  "$(stat -c %a "$tmp/a/paird.db")" = 600
ok 'nor its log' test "$(stat -c %a "$tmp/a/paird.db-wal")" = 600
if [ "$(id -u)" = 0 ]; then
  chmod 711 "$tmp" "$tmp/a"
  chmod 666 "$tmp/a/api.sock"
  case_is 'another user, unsigned' '^403 .*"Forbidden"' "
os.seteuid(65534)
s, d, r = c.call('$tmp/a', params=[('Action', LIST)])
os.seteuid(0)
print(s, d.decode())"
  case_is 'another user, signed' '^200' "
os.seteuid(65534)
s, d, r = c.call('$tmp/a', params=[('RegionId', 'site-a')], key=key, headers={
  'x-acs-action': LIST, 'x-acs-version': '2021-07-30'})
os.seteuid(0)
print(s, d.decode())"
fi

# Forwarded to the other site: with the rights of the caller.
wait_for 30 peers_see_each_other
case_is 'forwarded' '^400 .*"HostId":"site-b".*"MissingDiskName"' "
s, d, r = c.call(TCP, params=[('RegionId', 'site-b')], key=key, headers={
  'x-acs-action': MAKE, 'x-acs-version': '2021-07-30'})
print(s, d.decode())"
case_is 'read-only is read-only there, too' '^403 .*"Forbidden.Action"' "
s, d, r = c.call(TCP, params=[('RegionId', 'site-b'), ('DiskName', 'bad5'),
  ('Size', '1048576')], key=reader, headers={
  'x-acs-action': MAKE, 'x-acs-version': '2021-07-30'})
print(s, d.decode())"

is 'nothing of all this had an effect' \
  "$(value a DescribeDisks TotalCount)$(value b DescribeDisks TotalCount)" 00
ok 'no secret is in a log' sh -c "! grep -rq '$(sed -n \
  's/.*"AccessKeySecret": "\([^"]*\)".*/\1/p' "$tmp/key")' '$tmp'/*.log"
api a DeleteAccessKey UserAccessKeyId="$(sed -n \
  's/.*"AccessKeyId": "\([^"]*\)".*/\1/p' "$tmp/key")" >/dev/null
case_is 'a deleted key' '^404 .*"InvalidAccessKeyId.NotFound"' "run(key=key)"
exec {ASK[1]}>&-

done_testing

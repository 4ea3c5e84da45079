# pairctl status: what needs attention comes first, with the next step; 100
# pairs are told of in less than a second.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"
source "${0%/*}/site-functions.sh"
requires jq

# many SITE ACTION NAME=VALUE... for each N from 1 to 100 in place of "%N"
# and of "%a" and "%b" the Nth line of files a and b: prints FIELD of each.
many ()
{
  python3 - "$tmp" "$@" <<'END'
import http.client, json, os, socket, sys, urllib.parse
tmp, site, action, field = sys.argv[1:5]
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.path.join(tmp, site, "api.sock"))
def lines(name):
    try:
        return open(os.path.join(tmp, name)).read().split() + [""] * 100
    except FileNotFoundError:
        return [""] * 100
a, b, p = lines("ids.a"), lines("ids.b"), lines("ids.p")
c = Unix("localhost")
for n in range(100):
    q = {}
    for arg in sys.argv[5:]:
        k, v = arg.split("=", 1)
        for w, x in (("%N", str(n)), ("%a", a[n]), ("%b", b[n]), ("%p", p[n])):
            v = v.replace(w, x)
        q[k] = v
    c.request("POST", "/", urllib.parse.urlencode(q),
              {"x-acs-action": action,
               "content-type": "application/x-www-form-urlencoded"})
    r = json.loads(c.getresponse().read())
    if "Code" in r:
        sys.exit("%s: %s" % (action, r))
    print(r.get(field, ""))
END
}

# However long this machine takes for 100 pairs.
joined_sites_up --verb-timeout=600
ok 'nothing needs attention' grep -qx 'nothing needs attention' \
  <(on a status)
ok 'no pairs' grep -qx '0 pairs' <(on a status)
many a CreateDisk DiskId DiskName=disk%N Size=1048576 >"$tmp/ids.a"
many b CreateDisk DiskId DiskName=disk%N Size=1048576 >"$tmp/ids.b"
many a CreateDiskReplicaPair ReplicaPairId SourceZoneId=site-a-1 DiskId=%a \
  DestinationRegionId=site-b DestinationZoneId=site-b-1 DestinationDiskId=%b \
  PairName=pair-%N >"$tmp/ids.p"
in_status ()
{
  [ "$(on a status --json |
         jq "[.ReplicaPairs[] | select(.Status == \"$1\")] | length")" = "$2" ]
}
wait_for 300 in_status created 100 || bail_out "no 100 pairs"
many a StartDiskReplicaPair RequestId ReplicaPairId=%p >/dev/null
ok 'all replicate' wait_for 300 in_status normal 100

# The best of some: what else this machine does is not measured.
best=100000
for _ in {1..15}; do
  begin=$(date +%s%N)
  on a status >"$tmp/status" || fail 'status'
  took=$((($(date +%s%N) - begin) / 1000000))
  [ "$took" -lt "$best" ] && best=$took
  [ "$best" -ge 500 ] || break
done
diag "status of 100 pairs: $best ms; paird: $(sed -n 's/^VmRSS:[ \t]*//p' \
  "/proc/${site_pid[a]}/status") resident, $(sed -n 's/^Threads:[ \t]*//p' \
  "/proc/${site_pid[a]}/status") threads"
ticks () { awk '{ print $14 + $15 }' "/proc/${site_pid[a]}/stat"; }
first=$(ticks) begin=$(date +%s%N)
wait_for 3 false
diag "paird with 100 pairs that replicate: $(awk \
  "BEGIN { printf \"%.1f\", ($(ticks) - $first) * 1e11 / $(getconf CLK_TCK) / ($(date +%s%N) - $begin) }") % of a CPU"
limit=1000
[ -z "$PAIRDISK_SANITIZERS" ] || limit=10000
ok 'in less than a second' test "$best" -lt "$limit"
rss=$(sed -n 's/^VmRSS:[ \t]*\([0-9]*\) kB/\1/p' \
  "/proc/${site_pid[a]}/status")
[ -n "$PAIRDISK_SANITIZERS" ] || ok 'in less than 64 MiB' test "$rss" -lt 65536
ok 'all is well' grep -qx 'nothing needs attention' "$tmp/status"
ok 'the pairs are counted' grep -qx '100 pairs: 100 normal' "$tmp/status"
ok 'the disks are counted' grep -q '^100 disks: 100 Available' "$tmp/status"
is 'into a file goes all' "$(grep -c '^pair-' "$tmp/status")" 100

# On a terminal it is one screen.
screen ()
{
  python3 - "$pairctl" "$tmp/a" "$@" <<'END'
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    os.execv(sys.argv[1], [sys.argv[1], "--site", sys.argv[2]] + sys.argv[3:])
out = b""
while True:
    try:
        data = os.read(fd, 65536)
    except OSError:
        break
    if not data:
        break
    out += data
os.waitpid(pid, 0)
sys.stdout.write(out.decode().replace("\r\n", "\n"))
END
}
screen status >"$tmp/screen"
ok 'on a terminal it is one screen' test "$(wc -l <"$tmp/screen")" -lt 24
ok '... no line is too long' test -z "$(awk 'length > 80' "$tmp/screen")"
ok '... and tells of the rest' grep -q 'more: pairctl status --all' \
  "$tmp/screen"
is '... --all has them' "$(screen status --all | grep -c '^pair-')" 100

# What goes wrong comes first.
one=$(sed -n 43p "$tmp/ids.p")
api a StopDiskReplicaPair ReplicaPairId="$one" >/dev/null
wait_for 30 in_status stopped 1
site_kill b
problem () { shows "$1" on a status; }
ok 'the other site is away' \
  wait_for 30 problem '^warning  *site site-b  *the site does not answer'
ok 'no data flows' \
  wait_for 30 problem '^critical  *pair pair-7 .*no data flows.*pairctl'
is 'the pair that was stopped is no problem' \
  "$(on a status --json | jq '[.Attention[] |
    select(.Object == "pair-42")] | length')" 0
is 'the severest come first' "$(on a status --json |
  jq -r '.Attention[0].Severity')" critical
is 'JSON has all of it' "$(on a status --json |
  jq -c '[(.ReplicaPairs | length), (.Disks | length), .Site.RegionId]')" \
  '[100,100,"site-a"]'
site_kill_agent a
refused 'no agent' 'cannot reach the agent' on a status
is 'its exit code' "$(on a status >/dev/null 2>&1; echo $?)" 4

done_testing

# Two sites that do not trust each other make no pair, and say why; a plugin
# whose pair has another secret gets no data; nothing is changed by trying.

source "${0%/*}/pair-functions.sh"

sites_prepare
proxy_start
head -c 32 /dev/urandom | base64 >"$tmp/other"
chmod 600 "$tmp/other"
agent_start a
agent_start b --site-secret-file="$tmp/other"
wait_for 30 site_is_up a || bail_out 'site a does not start'
wait_for 30 site_is_up b || bail_out 'site b does not start'

# ---- the secret of the sites --------------------------------------------------

disks_make 64M
fill 8 1
before=$(digest b $disk_b)
ok 'a site with another secret is told of' \
  wait_for 20 grep -q 'secret' "$tmp/paird-a.log"
is 'it does not count as reachable' "$(sees_peer a && echo yes)" ''
refused 'no pair can be made with it' 'peer|reach|secret' \
  on a pair create --disk db01 --name db01 --timeout 20 \
  --peer-region site-b --peer-zone site-b-1 \
  --peer-disk "$(disk_field b $disk_b .DiskId)"
is 'no pair here' "$(on a pair list --json | jq -c .ReplicaPairs)" '[]'
is 'no pair there' "$(on b pair list --json | jq -c .ReplicaPairs)" '[]'
is 'the disk here stands alone' "$(disk_field a db01 .Role)" standalone
is 'the disk there, too' "$(disk_field b $disk_b .Role)" standalone
is 'its content is what it was' "$(digest b $disk_b)" "$before"

# The same site with the right secret.
agent_kill b
agent_start b
ok 'with the right one they meet' wait_for 30 sees_peer a
wait_for 30 sees_peer b
ok 'and make a pair' pair_make
ok 'start' on a pair start db01
ok 'normal' wait_status a normal
ok 'both disks are equal' same_content

# A site whose secret is changed later is a stranger; data already agreed on
# goes on, the pair's own secret is what protects it.
agent_kill b
agent_start b --site-secret-file="$tmp/other"
site_is_unreachable () { ! sees_peer a; }
ok 'a changed secret is noticed' wait_for 30 site_is_unreachable
head -c 1048576 /dev/urandom >"$tmp/data"
nbdcopy --flush "$tmp/data" "$uri_a"
ok 'data goes on' same_content
agent_kill b
agent_start b
ok 'and is mended' wait_for 30 sees_peer a
ok 'the pair is normal' wait_status a normal
wait_status b normal >/dev/null

# ---- the secret of the pair ---------------------------------------------------

# Whatever connects to the data port without it gets nothing.
uuid=$(disk_field b $disk_b .Detail.pair)
before=$(digest b $disk_b)
/usr/bin/python3 - "${data_port[b]}" "$uuid" >"$tmp/stranger" 2>&1 <<'PYTHON'
import nbd, os, sys
def attempt(what, fn):
    try:
        fn()
        print(what, "worked")
    except nbd.Error:
        print(what, "failed")
h = nbd.NBD()
h.set_strict_mode(0)
h.set_export_name("@replica/" + sys.argv[2])
h.connect_tcp("127.0.0.1", sys.argv[1])
attempt("auth", lambda: h.pwrite(os.urandom(4096), 4096))
attempt("status", lambda: h.pread(4096, 8192))
attempt("session", lambda: h.pwrite(os.urandom(4096), 12288))
attempt("stream", lambda: h.pwrite(os.urandom(4096), 1 << 40))
PYTHON
is 'a stranger at the data port gets nothing' "$(cat "$tmp/stranger")" \
  'auth failed
status failed
session failed
stream failed'
is 'and changes nothing' "$(digest b $disk_b)" "$before"
nbdcopy --flush "$tmp/data" "$uri_a"
ok 'the pair is not disturbed' same_content
done_testing

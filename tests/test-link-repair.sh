# A unit that rots on one side is right again from the other side's copy, and
# a read that meets it gets the right bytes; where nobody has them it is EIO.

source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"

requires_forge
sites 32M
pair

# block NUMBER: what it should hold: a page of bytes that do not compress.
cat >"$tmp/content.py" <<'PYTHON'
import random
def content(number):
    return random.Random(number).randbytes(4096)
PYTHON
ok 'fill 200 blocks' env PYTHONPATH="$tmp" bash -c "$(declare -f nbd_python)
nbd_python '$(nbd_uri "$a" d)' 'from content import content
for i in range(200):
    h.pwrite(content(i), i * 4096)
h.flush()'"
link_start
ok 'in sync' wait_synced

# reads BLOCK...: they are right; read_fails BLOCK...: EIO.
reads ()
{
  local blocks
  blocks=$(IFS=,; echo "$*")
  PYTHONPATH=$tmp nbd_python "$(nbd_uri "$a" d)" "
from content import content
for i in [$blocks]:
    assert h.pread(4096, i * 4096) == content(i), i"
}
read_fails ()
{
  nbd_python "$(nbd_uri "$a" d)" "fails('EIO', h.pread, 4096, $1 * 4096)"
}
damage_at ()   # a|b BLOCK...
{
  local dir=$1 block
  shift
  for block; do with_preload "$forge" damage "$dir/d" "$block" || return; done
}
repair_is () { [ "$(status "$1" d "(lambda r: $2)(s['repair'])")" = True ]; }
scrub_finds ()   # DIR ERRORS
{
  answers '"ok": ?true' "$1" \
    '{"op":"disk.scrub","disk":"d","action":"start","rate_bps":0}' &&
    wait_for 60 scrub_ended "$1" &&
    [ "$(status "$1" d 's["scrub"]["errors"]')" = "$2" ]
}
scrub_ended () { [ "$(status "$1" d 's["scrub"]["state"]')" = done ]; }

# The primary's copy, met by a read.
kill_a
ok 'damage blocks of the primary' damage_at "$a" 3 50 199
start_a
ok 'connected' wait_stream
ok 'a read gets the right bytes' reads 3 50 4 199
ok 'they are written anew' wait_for 30 repair_is "$a" \
  'r["repaired"] == 3 and r["damaged"] == 0 and r["found"] == 3'
ok 'the primary is clean' scrub_finds "$a" 0
ok 'what differs is nothing' same_content
ok 'the log says so' grep -q 'block 3 is damaged here: read from the peer' \
  "$tmp/nbdkit-a.log"

# ... and after a crash of the primary.
kill_a
start_a
ok 'connected' wait_stream
ok 'right after a crash' reads 3 50 199
ok 'nothing is damaged' repair_is "$a" 'r["found"] == 0'

# The primary's copy, met by a scrub.
kill_a
damage_at "$a" 70 >/dev/null
start_a
ok 'connected' wait_stream
ok 'scrub finds it' scrub_finds "$a" 1
ok 'it is repaired' wait_for 30 repair_is "$a" \
  'r["repaired"] == 1 and r["damaged"] == 0'
ok 'clean' scrub_finds "$a" 0

# The secondary's copy.
kill_b
ok 'damage blocks of the secondary' damage_at "$b" 10 11 120
start_b
ok 'connected' wait_stream
ok 'scrub finds them there' scrub_finds "$b" 3
ok 'they are repaired' wait_for 30 repair_is "$b" \
  'r["repaired"] == 3 and r["damaged"] == 0'
ok 'clean' scrub_finds "$b" 0
ok 'both hold the same' same_content
ok 'the log says so' grep -q 'block 11 was damaged and is right again' \
  "$tmp/nbdkit-b.log"
kill_b
start_b
ok 'in sync' wait_synced
ok 'both hold the same after a crash' same_content

# Both rot: the peer cannot give it, and it is never made up.
kill_a
kill_b
damage_at "$a" 20 21 >/dev/null
damage_at "$b" 20 >/dev/null
start_b
start_a
ok 'connected' wait_stream
ok 'block 20 is EIO' read_fails 20
ok 'block 21 is right' reads 21
ok 'a counter says so' repair_is "$a" \
  'r["missed"] >= 1 and 20 in r["damaged_blocks"]'
ok 'writing it again ends it' nbd_python "$(nbd_uri "$a" d)" \
  'h.pwrite(bytes(range(256)) * 16, 20 * 4096)
h.flush()
assert h.pread(4096, 20 * 4096) == bytes(range(256)) * 16'
ok 'nothing is damaged any more' wait_for 30 repair_is "$a" 'r["damaged"] == 0'

# The peer holds the same version of another content: its hash tells.
kill_a
kill_b
damage_at "$a" 30 >/dev/null
ok 'another version at the peer' with_preload "$forge" older "$b/d" 30
start_b
start_a
ok 'connected' wait_stream
ok 'what is not that version is not taken' read_fails 30
ok 'it is still damaged' repair_is "$a" 'r["repaired"] == 0 and
  30 in r["damaged_blocks"]'

# The peer is away: an answer in bounded time.
kill_a
kill_b
damage_at "$a" 40 >/dev/null
start_a
ok 'EIO without the peer, soon' nbd_python "$(nbd_uri "$a" d)" '
import time
began = time.monotonic()
fails("EIO", h.pread, 4096, 40 * 4096)
took = time.monotonic() - began
assert took < 8, took'
start_b
ok 'connected' wait_stream
ok 'right with it' wait_for 20 reads 40
kill_pid "$a_pid"
end_b
done_testing

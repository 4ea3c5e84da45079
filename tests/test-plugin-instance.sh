# Starting: what is refused on stderr, and a damaged disk that does not keep
# the others from being served.

source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"

state=$tmp/state
make_disk "$state/good" 16M
make_disk "$state/bad" 16M
make_disk "$state/worse" 16M
mkdir "$state/lost+found" "$state/empty"
echo 'not a disk' >"$state/note"

serve=(with_preload timeout 60 nbdkit -f -U "$tmp/refused.sock" "$plugin")
refused 'no directory given' 'give dir=DIR' "${serve[@]}"
refused 'a directory that is not there' 'No such file' \
  "${serve[@]}" "$tmp/nowhere"
refused 'a directory that is a file' '[Nn]ot a directory' \
  "${serve[@]}" "$state/note"
refused 'an unknown parameter' "unknown parameter 'size'" \
  "${serve[@]}" "$state" size=1G
refused 'a wrong value' "guests must be 'any' or 'unix'" \
  "${serve[@]}" "$state" guests=all
refused 'a control path that is too long' 'longer than the 107 bytes' \
  "${serve[@]}" "$state" control="$tmp/$(printf 'x%.0s' {1..120})"
refused 'a control path that is something else' 'Address already in use' \
  "${serve[@]}" "$state" control="$state/note"
ok 'which is left alone' grep -q 'not a disk' "$state/note"

nbdkit_start "$state"
refused 'a second instance on the same directory' \
  'served by another instance' "${serve[@]}" "$state"
ok 'the first one goes on' nbdinfo "$(nbd_uri "$state" good)"
kill_pid "$nbdkit_pid"

# One volume without its super, one with garbage for it.
rm "$state/bad/super"
head -c 65536 /dev/urandom >"$state/worse/super"
nbdkit_start "$state"
log=$tmp/nbdkit-state.log
ok 'the log names both' bash -c \
  "grep -q \"disk 'bad': \" '$log' && grep -q \"disk 'worse': \" '$log'"
ok 'the good disk is served' nbd_python "$(nbd_uri "$state" good)" '
h.pwrite(b"x" * 4096, 0)
assert h.pread(4096, 0) == b"x" * 4096'
for disk in bad worse; do
  refused "disk $disk is refused" 'No such file' \
    nbdinfo "$(nbd_uri "$state" "$disk")"
  is "its state is failed" "$(status "$state" $disk "s['state']")" failed
  is "its role is unknown" "$(status "$state" $disk "s['role']")" None
  ok "requests on it are refused" answers '"code":"io-error"' "$state" \
    '{"op":"disk.delete","disk":"'$disk'"}' \
    '{"op":"disk.digest","disk":"'$disk'"}'
done
ok 'the log says why it cannot be attached' grep -q "'bad' is not served" "$log"
ok 'what is no volume is not listed' bash -c \
  "! nbdinfo --list '$(nbd_uri "$state")' 2>/dev/null | grep -Eq 'lost|empty|note'"
kill_pid "$nbdkit_pid"
ok 'nothing of the damaged disks was touched' \
  test -e "$state/bad/journal" -a ! -e "$state/bad/super" \
  -a "$(stat -c %s "$state/worse/super")" = 65536

done_testing

#!/usr/bin/env bash
# The key of a link is changed in its file: the link begins anew with the new
# one by itself, and with none that the other side does not have.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"
source "${0%/*}/tls-functions.sh"

connects () { link_status "l['connects']"; }
begun_anew () { is_synced && [ "$(connects)" -gt "$1" ]; }

# new_key FILE...: put in place by a rename, as who cares does.
new_key ()
{
  local file
  rm -f "$tmp/new"
  make_psk "$tmp/new" alice
  for file; do
    cp -p "$tmp/new" "$file.new"
    mv "$file.new" "$file"
  done
}

new_key "$tmp/psk-a" "$tmp/psk-b"
b_peers=tls
b_flags=(--tls=on --tls-psk="$tmp/psk-b")
sites 16M
pair
fill 1 10
link_start "\"tls\":{\"psk_file\":\"$tmp/psk-a\",\"username\":\"alice\"}"
ok 'synced' wait_synced
before=$(connects)
fill 2 5
ok 'the same keys: it stays' wait_synced
is 'indeed' "$(connects)" "$before"

new_key "$tmp/psk-a" "$tmp/psk-b"
ok 'another key at both: the link begins anew' wait_for 20 begun_anew "$before"
ok 'that is told' grep -q 'the keys of the link have changed' \
  "$tmp/nbdkit-a.log"
fill 3 5
ok 'it replicates' wait_synced
ok 'both disks are equal' same_content

new_key "$tmp/psk-a"
ok 'another key here: no data flows with the old one' \
  wait_for 20 link_is "'TLS handshake' in (l['reason'] or '')"
cp -p "$tmp/psk-a" "$tmp/psk-b"
fill 4 5
ok 'the other side has it, too' wait_synced 20
ok 'both disks are equal' same_content

# The same at another path is another option of the link.
before=$(connects)
cp -p "$tmp/psk-a" "$tmp/psk-c"
link_start "\"tls\":{\"psk_file\":\"$tmp/psk-c\",\"username\":\"alice\"}"
rm "$tmp/psk-a"
fill 5 5
ok 'another path' wait_synced 20
ok 'both disks are equal' same_content
done_testing

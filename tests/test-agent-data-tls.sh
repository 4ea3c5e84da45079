#!/usr/bin/env bash
# data-tls: pairs go through TLS by key or by certificates, and by nothing else.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/agent-functions.sh"
source "${0%/*}/tls-functions.sh"

make_psk "$tmp/psk" pairdisk
make_certificates "$tmp/tls"

both_up ()
{
  site_up a "$@"
  site_up b "$@"
  wait_for 30 peers_see_each_other || bail_out 'the sites do not meet'
}

both_down ()
{
  local site
  for site in a b; do
    kill_pid "${site_pid[$site]}"
  done
}

flags_of () { tr '\0' ' ' <"/proc/$(nbdkit_of "$1")/cmdline"; }

# The link's URI as the plugin remembers it.
link_file () { cat "$tmp/a/disks/$disk_a/link"; }

sites_prepare
both_up --data-tls=psk --data-psk-file="$tmp/psk"
disks_make
pair_make
ok 'start' pair_start
ok 'a pair by key becomes normal' wait_status a "$pair" normal
ok 'its link has the key' grep -q "\"psk_file\": \"$tmp/psk\"" <(link_file)
ok 'nbdkit has it too' grep -q -- "--tls-psk=$tmp/psk" <(flags_of b)
pair_uuid=$(disk_value b "$disk_b" pair)
refused 'plain TCP reads nothing there' 'not permitted' \
  nbd_python "nbd://127.0.0.1:${data_port[b]}/@replica/$pair_uuid" \
  'h.pread(4096, 0)'
refused 'no disk is served there' 'No such file' \
  nbdinfo "nbd://127.0.0.1:${data_port[b]}/$disk_b"

both_down
both_up --data-tls=x509 --tls-dir="$tmp/tls"
ok 'after a change to certificates it is normal again' \
  wait_for 40 grep -q '"certificates"' <(link_file)
wait_status a "$pair" normal
ok 'and nbdkit has them' grep -q -- "--tls-certificates=$tmp/tls" <(flags_of b)

both_down
refused 'a word that is none' "none of off, x509, psk" \
  "$paird" --region=r --dir="$tmp/c" --data-tls=yes
refused 'psk without a file' 'needs a data-psk-file' \
  "$paird" --region=r --dir="$tmp/c" --data-tls=psk
chmod 644 "$tmp/psk"
refused 'a key for all to read' 'can be read by others' \
  "$paird" --region=r --dir="$tmp/c" --data-tls=psk --data-psk-file="$tmp/psk"
done_testing

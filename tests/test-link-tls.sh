#!/usr/bin/env bash
# A link with keys is never plain; the peer takes no plain one; wrong keys of
# either kind are refused and say so.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/link-functions.sh"
source "${0%/*}/tls-functions.sh"

make_certificates "$tmp/ca1"
make_certificates "$tmp/ca2"
mkdir "$tmp/nobody"
cp "$tmp/ca1/ca-cert.pem" "$tmp/nobody"
make_psk "$tmp/psk1" alice
make_psk "$tmp/psk2" alice

x509 () { echo "\"tls\":{\"certificates\":\"$1\"}"; }
psk () { echo "\"tls\":{\"psk_file\":\"$1\",\"username\":\"$2\"}"; }

restart_b ()
{
  end_b
  b_flags=("$@")
  start_b
}

says () { link_is "'$1' in (l['reason'] or '')"; }
nothing_came () { status "$b" d "(s['committed'], s['stage'])"; }

# link_refuses NAME FIELDS REASON
link_refuses ()
{
  link_start "$2"
  ok "$1" wait_for 15 says "$3"
  is "$1: nothing reached the peer" "$(nothing_came)" '(None, None)'
  ask "$a" link.stop
}

# ask_refused FIELDS: the answer of a link.start.
try_start ()
{
  control "$a" '{"op":"link.start","disk":"d","uri":"nbd://127.0.0.1:1",'"$1}"
}

b_peers=tls
b_flags=(--tls=on --tls-certificates="$tmp/ca1" --tls-verify-peer)
sites 16M
pair
fill 1 10

link_refuses 'plain TCP is refused' '"oneshot":false' 'TLS is required'
link_refuses 'another CA is refused' "$(x509 "$tmp/ca2")" 'not trusted'
link_refuses 'a client without a certificate is refused' \
  "$(x509 "$tmp/nobody")" 'ended the TLS handshake'
link_refuses 'a key where the peer has certificates is refused' \
  "$(psk "$tmp/psk1" alice)" 'TLS handshake'
ok 'a guest of the Unix socket needs no TLS' fill 2 1

link_start "$(x509 "$tmp/ca1")"
ok 'the right certificates' wait_synced
ok 'both disks are equal' same_content
kill_a
start_a
fill 3 5
ok 'they are remembered' wait_synced

ask "$a" link.stop
restart_b --tls=require --tls-psk="$tmp/psk1"
link_start "$(psk "$tmp/psk2" alice)"
ok 'another key is refused' wait_for 15 says 'wrong key'
link_start "$(psk "$tmp/psk1" bob)"
ok 'a user who is not in the file' wait_for 15 says 'bob was not found'
link_start '"oneshot":false'
ok 'plain where the server requires TLS' wait_for 15 says 'requires TLS'
link_start "$(psk "$tmp/psk1" alice)"
fill 4 5
ok 'the right key' wait_synced
ok 'both disks are equal again' same_content

chmod 640 "$tmp/psk1"
kill_b
start_b
ok 'a key that others can read is not used any more' \
  wait_for 20 says 'can be read by others'
chmod 600 "$tmp/psk1"
ok 'and is when they cannot' wait_synced
ask "$a" link.stop

b_peers=any
restart_b
link_start "$(psk "$tmp/psk1" alice)"
ok 'with keys it is not plain where there is no TLS' \
  wait_for 15 says 'offers no TLS'
ask "$a" link.stop

chmod 644 "$tmp/psk2"
ok 'a key for all to read' grep -q 'bad-request.*can be read by others' \
  <(try_start "$(psk "$tmp/psk2" alice)")
ok 'a key that is not there' grep -q 'bad-request.*No such file' \
  <(try_start "$(psk "$tmp/psk9" alice)")
ok 'a relative path' grep -q 'bad-request.*must be absolute' \
  <(try_start "$(psk psk1 alice)")
ok 'no user' grep -q 'bad-request.*needs the name of the user' \
  <(try_start "\"tls\":{\"psk_file\":\"$tmp/psk1\"}")
ok 'both kinds' grep -q "bad-request.*with 'certificates' or" \
  <(try_start "\"tls\":{\"psk_file\":\"$tmp/psk1\",\"certificates\":\"/\"}")
ok 'no such directory' grep -q 'bad-request.*ca-cert.pem' \
  <(try_start "$(x509 "$tmp/none")")
ok 'keys in the URI' grep -q "bad-request.*field 'tls'" \
  <(control "$a" '{"op":"link.start","disk":"d","uri":"nbds://127.0.0.1:1/?tls-psk-file=/x"}')
done_testing
